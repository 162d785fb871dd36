"""Sending as a job: beside a server, woken by what that commits; kept, and shared with others."""

import io
from functools import partial
from unittest.mock import patch

import pytest

from farthing.api.logs import make_logger
from farthing.api.metrics import Metrics
from farthing.core.commands import GiveGrant, TakeCharge
from farthing.core.deliveries import DAY
from farthing.core.outcomes import Accepted
from farthing.jobs import webhooks
from farthing.jobs.kinds import KINDS
from farthing.outbox.endpoints import event_of_test
from farthing.settings import Settings, SettingsError, read_settings
from farthing.stores.acts import Act
from farthing.stores.bell import Bell
from farthing.stores.jobs import Jobs
from farthing.stores.redelivering import Redelivering
from farthing.working import working
from tests.jobs.runners import Told
from tests.outbox.office import Office, eventually, on_both, on_one
from tests.outbox.receivers import OK, Got, Receiver, receiving, says
from tests.support import UNIT

SETTINGS = Settings(webhook_private="allow", fold_seconds=0, renew_seconds=0)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0


def has_more(receiver: Receiver, before: int) -> bool:
    return len(receiver.got) > before


async def charged(office: Office, account: str = "anna") -> None:
    given = GiveGrant(workspace="main", account=account, amount=10 * UNIT)
    assert isinstance(await office.ledger.engine.ask(given), Accepted)
    charge = TakeCharge(workspace="main", account=account, amount=UNIT)
    assert isinstance(await office.ledger.engine.ask(charge), Accepted)


@on_both
async def test_what_a_server_commits_it_sends_at_once_and_counts(office: Office):
    metrics = Metrics()
    async with receiving() as receiver:
        await office.endpoint(receiver.url(), types=["charge.*"])
        # To look would be of no use for an hour: it is the commit that wakes it.
        settings = Settings(webhook_private="allow", webhook_seconds=3_600, fold_seconds=0, renew_seconds=0)
        async with working(settings, office.ledger, metrics, make_logger("info", io.StringIO())):
            await eventually(lambda: value(metrics, "farthing_jobs_runs_total", kind="webhooks", result="done") > 0)
            for _ in range(2):
                before = len(receiver.got)
                await charged(office)
                await eventually(partial(has_more, receiver, before))
            # So do those who tell something beside commands, or have it told again.
            act, again = Act("test", office.clock.now_us()), Redelivering(office.ledger.database)
            event = receiver.got[0].id
            for work in (
                office.endpoints.test(event_of_test("main", "whe_a", act.at), "whe_a", act),
                again.one("main", "whe_a", event, act),
            ):
                before = len(receiver.got)
                await work
                await eventually(partial(has_more, receiver, before))
            await eventually(lambda: value(metrics, "farthing_webhooks_total", result="delivered") == 4)
    assert [got.data.get("account") for got in receiver.got] == ["anna", "anna", None, "anna"]
    assert [got.id for got in receiver.got].count(event) == 2
    (job,) = await Jobs(office.ledger.database).standing(["webhooks"])
    assert (job.locked_until, job.attempts) == (0, 0)


@on_one
async def test_what_others_commit_is_found_by_looking_and_what_fails_is_no_failure_of_the_job(office: Office):
    metrics, told = Metrics(), io.StringIO()

    def answer(got: Got) -> bytes:
        return says(500) if got.path == "/bad" else OK

    async with receiving(answer) as receiver:
        await office.endpoint(receiver.url())
        await office.endpoint(receiver.url("/bad"), "whe_bad")
        settings = Settings(webhook_private="allow", webhook_seconds=0.05, fold_seconds=0, renew_seconds=0)
        async with working(settings, office.ledger, metrics, make_logger("info", told)):
            await eventually(lambda: value(metrics, "farthing_jobs_runs_total", kind="webhooks", result="done") > 0)
            with patch.object(Bell, "ring"):  # as if it were another process
                await office.put(1)
                await office.put(3, "whe_bad")
            await eventually(lambda: value(metrics, "farthing_webhooks_total", result="failed") == 3)
            await eventually(lambda: value(metrics, "farthing_webhooks_total", result="delivered") == 1)
    assert value(metrics, "farthing_jobs_alerts_total", kind="webhooks") == 0
    assert "jobs fail" not in told.getvalue()


@on_one
async def test_0_seconds_leaves_sending_to_others(office: Office):
    metrics = Metrics()
    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        await office.put(1)
        settings = Settings(webhook_private="allow", webhook_seconds=0, sweep_seconds=0.01, fold_seconds=0)
        async with working(settings, office.ledger, metrics, make_logger("info", io.StringIO())):
            await eventually(lambda: value(metrics, "farthing_jobs_runs_total", kind="lapses", result="done") > 0)
    assert receiver.got == []


@on_both
async def test_once_sends_all_that_is_due_and_ends(office: Office):
    from farthing.desks import runner_on

    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        await office.put(40)
        (ran,) = await runner_on(office.ledger, SETTINGS, Told()).once(["webhooks"])
    assert (ran.done, ran.failed, len(receiver.got)) == (40, 0, 40)


@on_one
async def test_without_leave_nothing_goes_to_this_machine(office: Office):
    from farthing.desks import runner_on

    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        await office.put(1)
        await runner_on(office.ledger, Settings(), Told()).once(["webhooks"])
    assert (receiver.got, (await office.tries())[0].detail) == ([], "the address must begin with https://")


@on_one
async def test_what_is_old_goes_also_while_something_hangs(office: Office):
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(webhooks, "TIDY_SECONDS", 0.01)
        async with receiving() as receiver:
            receiver.answer = receiver.hang
            await office.endpoint(receiver.url())
            await office.put(1)
            async with working(SETTINGS, office.ledger, Metrics(), make_logger("info", io.StringIO())):
                await eventually(partial(has_more, receiver, 0))
                await office.put(2, "whe_gone")
                count = "select count(*) from outbox where endpoint = 'whe_gone'"

                async def is_gone() -> bool:
                    return await office.ledger.database.rows(count) == [(0,)]

                await eventually(is_gone)
                receiver.let_go()


@on_one
async def test_what_is_old_goes_with_the_job(office: Office):
    from farthing.desks import runner_on

    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        await office.put(2)
        await runner_on(office.ledger, SETTINGS, Told()).once(["webhooks"])
    at = office.clock.now_us()
    await office.endpoints.listen("main", "whe_listener", ("*",), at)
    office.clock.advance(us=31 * DAY)
    await runner_on(office.ledger, SETTINGS, Told()).once(["webhooks"])
    assert (await office.tries(), len((await office.events.page("main")).items)) == ([], 2)
    assert await office.ledger.database.rows("select id from webhook_endpoint where url = ''") == []
    workspace = await office.ledger.reports.workspace("main")
    assert workspace is not None
    assert "whe_listener" not in workspace.told
    office.clock.advance(us=60 * DAY)
    await runner_on(office.ledger, SETTINGS, Told()).once(["webhooks"])
    assert (await office.events.page("main")).items == []


def test_the_job_is_one_of_all():
    assert KINDS["webhooks"] is webhooks.kind


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("WEBHOOK_TIMEOUT", "0"),
        ("WEBHOOK_TIMEOUT", "61"),
        ("WEBHOOK_TIMEOUT", "nan"),
        ("WEBHOOKS_AT_ONCE", "0"),
        ("WEBHOOKS_AT_ONCE", "257"),
        ("WEBHOOK_SECONDS", "-1"),
        ("WEBHOOK_PRIVATE", "perhaps"),
        ("DELIVERY_DAYS", "-1"),
        ("EVENT_DAYS", "-1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, text: str):
    with pytest.raises(SettingsError, match=name.lower() if name != "WEBHOOK_PRIVATE" else name):
        read_settings({f"FARTHING_{name}": text})
