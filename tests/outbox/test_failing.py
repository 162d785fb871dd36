"""Endpoints that take nothing: tried again, disabled and enabled, changed and deleted meanwhile; on both databases."""

import asyncio

import pytest

from farthing.core.deliveries import DAY, FAILING, LADDER, Again, Delivered, Disable, GiveUp, Outcome
from farthing.outbox.lanes import FIRST_AHEAD
from farthing.stores.acts import Act
from farthing.stores.outbox import Taken, Tried, Try, look_up
from farthing.stores.pages import LAST, Position
from farthing.stores.reports import Execute
from farthing.stores.statements import statements
from tests.outbox.office import Office, eventually, on_both, on_one
from tests.outbox.receivers import OK, Got, receiving, says
from tests.support import START_US


@on_both
async def test_who_answers_500_for_a_week_is_tried_ten_times_and_disabled_after_five_days(office: Office):
    async with receiving(says(500)) as receiver:
        await office.endpoint(receiver.url())
        await office.endpoint(receiver.url("/told"), "whe_told", types=["webhook.disabled"])
        (first,) = await office.put(1)
        for wait in LADDER:
            office.clock.advance(us=wait)
            await office.send()
        assert receiver.ids() == [first] * 10
        assert [each.outcome for each in await office.tries()] == ["failed"] * 9 + ["given_up"]
        assert await office.left() == 0
        (second,) = await office.put(1)
        await office.send()
        assert (await office.found()).state == "enabled"
        office.clock.advance(us=2 * DAY)
        await office.send()
        found = await office.found()
        assert (found.state, found.reason, receiver.ids()[10:12]) == ("disabled", "failing", [second] * 2)
        receiver.answer = OK
        await office.put(1)
        await office.send()
    assert len([got for got in receiver.got if got.path == "/hook"]) == 12
    (told,) = [got for got in receiver.got if got.path == "/told"]
    assert told.data == {"workspace": "main", "endpoint": "whe_a", "reason": "failing"}
    # What it did not take, and what waits, stays until somebody enables or removes the endpoint; it is nobody's worry.
    assert len(await office.outbox.waiting("main", "whe_a")) == 2
    assert await office.left() == 0


@on_both
async def test_who_says_that_it_is_gone_gets_nothing_more(office: Office):
    async with receiving(says(410)) as receiver:
        await office.endpoint(receiver.url())
        await office.put(1)
        await office.send()
        await office.put(3)
        await office.send()
    found = await office.found()
    assert (found.state, found.reason, len(receiver.got)) == ("disabled", "gone", 1)
    assert [event.data["reason"] for event in (await office.events.page("main", type="webhook.disabled")).items] == [
        "gone"
    ]
    assert [each.outcome for each in await office.tries()] == ["failed"]


@on_one
async def test_who_has_been_gone_may_be_enabled_again_and_gets_all_that_it_did_not_take(office: Office):
    async with receiving(says(410)) as receiver:
        await office.endpoint(receiver.url())
        ids = await office.put(40)
        await office.send()
        assert len(receiver.got) <= FIRST_AHEAD, "nothing more was taken for it"
        receiver.answer, receiver.got = OK, []
        at = office.clock.now_us()
        await office.endpoints.update("main", "whe_a", {"enabled": True}, Act("test", at))
        assert await office.send() == 40
    assert sorted(receiver.ids()) == sorted(ids)


@on_one
async def test_that_it_is_gone_is_written_down_also_by_who_is_cut_off(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url("/gone"))
        await office.endpoint(receiver.url("/hangs"), "whe_hangs")
        receiver.answer = lambda got: says(410) if got.path == "/gone" else receiver.hang(got)
        await office.put(9)
        await office.put(1, "whe_hangs")
        sender = office.sender()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("farthing.outbox.sender.GATHER_SECONDS", 60.0)
            sending = asyncio.create_task(sender.run())
            await eventually(lambda: receiver.at_once == 1 and len(receiver.got) > 1)
            await asyncio.sleep(0.01)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
    assert (await office.found()).reason == "gone"
    waiting = await office.outbox.waiting("main", "whe_a")
    assert (len(waiting), {each.due_at for each in waiting}) == (9, {START_US})


async def note(office: Office, *outcomes: tuple[Taken, Outcome]) -> None:
    """Write down what came of tries, in one go."""
    at = office.clock.now_us()
    tried = [Tried(taken=each, at=at, outcome=outcome, status=500) for each, outcome in outcomes]
    await office.outbox.exchange(tried, [], [], at, at)


@on_both
async def test_who_took_something_at_all_is_not_failing_since_before(office: Office):
    await office.endpoint("http://127.0.0.1:9/")
    await office.put(3)
    first, second, third = await office.taken()
    await note(office, (first, Again(START_US + DAY)))
    office.clock.advance(us=FAILING)
    await note(office, (second, Delivered()), (third, Again(START_US + 9 * DAY)))
    assert (await office.found()).failing_since == START_US + FAILING


@on_both
async def test_nobody_is_disabled_for_failing_who_took_something_from_another_process(office: Office):
    await office.endpoint("http://127.0.0.1:9/")
    await office.put(2)
    late, other = await office.taken()
    await note(office, (other, Delivered()))
    await note(office, (late, Disable("failing")))
    found = await office.found()
    assert (found.state, found.failing_since) == ("enabled", START_US)
    assert [each.event for each in await office.outbox.waiting("main", "whe_a")] == [late.event]


@on_one
async def test_who_takes_again_after_five_days_is_not_disabled_by_the_next_failure(office: Office):
    """Of what was on its way side by side the first was taken, which is not written down yet."""
    async with receiving(says(500)) as receiver:
        await office.endpoint(receiver.url())
        await office.put(1)
        await office.send()
        office.clock.advance(us=FAILING)
        receiver.answer = lambda got: OK if len(receiver.got) == 2 else says(500)
        await office.put(1)
        await office.send()
    assert [each.outcome for each in await office.tries()][1:] == ["delivered", "failed"]
    assert (await office.found()).state == "enabled"


@on_one
async def test_another_address_begins_anew(office: Office):
    await office.endpoint("http://127.0.0.1:9/")
    await office.put(1)
    await office.send()
    at = office.clock.now_us()
    assert (await office.found()).failing_since == at
    for url, since in (("http://127.0.0.1:9/", at), ("http://127.0.0.1:9/b", None)):
        await office.endpoints.update("main", "whe_a", {"url": url}, Act("test", at))
        assert (await office.found()).failing_since == since


@on_both
async def test_what_is_on_its_way_to_a_webhook_that_is_deleted_leaves_nothing_behind(office: Office):
    async with receiving() as receiver:

        async def delete(got: Got) -> bytes:
            if got is receiver.got[0]:
                await office.endpoints.remove("main", "whe_a", Act("test", START_US))
            return says(500)

        receiver.answer = delete
        await office.endpoint(receiver.url())
        await office.put(40)
        await office.send()
        assert len(receiver.got) < 20
    assert await office.ledger.database.rows("select event from outbox") == []
    # Who was about to write when it was deleted wrote on.
    await office.endpoint("http://127.0.0.1:9/", "whe_b")
    await office.put(2)
    await office.put(3, "whe_b")
    assert await office.outbox.drop_homeless() == 2
    assert await office.outbox.drop_homeless() == 0
    assert await office.left() == 3


@on_both
async def test_what_came_to_something_is_found_without_reading_all_that_was_tried(office: Office):
    await office.endpoint("http://127.0.0.1:9/")
    await office.put(12)
    came: tuple[Outcome, ...] = (Delivered(), Again(START_US + DAY), GiveUp())
    await note(office, *((each, came[place % 3]) for place, each in enumerate(await office.taken(12))))
    whole = (await office.tries())[::-1]
    for outcome in ("delivered", "failed", "given_up"):
        found: list[Try] = []
        after: Position | None = None
        while len(found) < 12:
            page = await office.outbox.tries("main", "whe_a", outcome=outcome, after=after, limit=3)
            found += page.items
            if (after := page.next) is None:
                break
        assert found == [each for each in whole if each.outcome == outcome]
        assert len(found) == 4
    dialect = office.ledger.database.dialect
    sql, values = statements(dialect, "outbox"), ("main", "whe_a", LAST, "", 0, "failed", 50)

    async def plan(execute: Execute) -> str:
        await look_up(execute, sql)
        told = "explain" if dialect == "postgres" else "explain query plan"
        return str(await execute(f"{told} {sql['tries_failed']}", values))

    assert "delivery_failed" in await office.ledger.database.read(plan)
