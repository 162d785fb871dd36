"""Calls with a key: a job that is run again is charged once, whatever became of it before."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest

import farthing
from farthing.fakes.models import Remote
from farthing.llm import meter, metered, metering
from tests.llm.ledgers import CARD, Desk, evidence, open_ledger, read, worth
from tests.llm.sides import Side, side_of
from tests.llm.vendors import Vendors, last

pytestmark = pytest.mark.xdist_group("models")


@pytest.fixture(scope="module", params=["sync", "async"])
def side(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, vendors: Vendors, models: Remote
) -> Iterator[Side]:
    with side_of(request.param, tmp_path_factory.mktemp("keys"), vendors, models) as found:
        yield found


@pytest.fixture
def desk(side: Side) -> Desk:
    return side.desk()


@pytest.mark.parametrize("way", ["chat", "messages"])
def test_what_was_charged_is_not_asked_again(desk: Desk, way: Any):
    with metering(key=f"job-{desk.account}"):
        desk.ask(way, stream=False)
    assert desk.charge().amount == worth(last(desk.models))
    before = desk.models.get("state")["calls"]
    with metering(key=f"job-{desk.account}"), pytest.raises(farthing.HoldEnded, match="was made before") as refused:
        desk.ask(way, stream=False)
    assert (refused.value.state, desk.models.get("state")["calls"]) == ("settled", before)
    assert evidence(desk.charge())["key"] == f"job-{desk.account}"


def test_what_has_failed_is_asked_again_and_charged_then(desk: Desk):
    for _ in range(2):
        with metering(key=f"job-{desk.account}"), pytest.raises(openai.InternalServerError):
            desk.ask("chat", stream=False, habits={"fail": "server_error"})
    assert desk.settled()
    with metering(key=f"job-{desk.account}"):
        desk.ask("chat", stream=False)
    assert desk.charge().amount == worth(last(desk.models))
    assert desk.nothing_is_held()


def test_the_calls_of_a_block_are_told_apart_by_their_number(desk: Desk):
    def job(calls: int) -> None:
        with metering(key=f"job-{desk.account}"):
            for number in range(calls):
                desk.ask("chat", stream=False, text=f"Question {number}")

    job(2)
    assert [evidence(each)["key"] for each in desk.charges()] == [f"job-{desk.account}", f"job-{desk.account}/2"]
    with pytest.raises(farthing.HoldEnded):
        job(3)
    assert len(desk.charges()) == 2


def test_the_same_key_for_another_prompt_is_refused(desk: Desk):
    with metering(key=f"job-{desk.account}"):
        desk.ask("chat", stream=False)
    with metering(key=f"job-{desk.account}"), pytest.raises(farthing.KeyConflict):
        desk.ask("chat", stream=False, text="Something else, which is longer")


def test_a_call_that_is_under_way_elsewhere_is_charged_once(desk: Desk):
    streams = []
    for _ in range(2):
        with metering(key=f"job-{desk.account}"):
            streams.append(desk.ask("chat", stream=True))
    assert len(list(desk.ledger.entries(desk.account, kinds="hold"))) == 1
    for stream in streams:
        read(stream)
    assert desk.charge().amount == worth(last(desk.models))
    assert desk.nothing_is_held()


def test_where_nothing_is_held_the_charge_is_made_once(desk: Desk):
    for text in ("One", "One, and more"):
        with metering(key=f"job-{desk.account}", policy={"hold": "nothing"}):
            desk.ask("chat", stream=False, text=text)
    assert evidence(desk.charge())["estimated_input_tokens"] == 5


def test_a_block_by_hand_has_a_key_too(tmp_path: Path):
    with open_ledger(tmp_path) as ledger:
        ledger.grant("alice", 10_000)
        with metered(ledger, "alice", model="m", key="once") as call:
            call.used(input_tokens=1, output_tokens=1)
        with pytest.raises(farthing.HoldEnded), metered(ledger, "alice", model="m", key="once"):
            pass
        assert ledger.balance("alice").balance == 10_000 - 11


@pytest.mark.parametrize("key", ["", "x" * 201, "über"])
def test_a_key_that_can_be_none_is_refused_at_once(key: str):
    with pytest.raises(ValueError, match="key"), metering(key=key):
        pass


@pytest.mark.parametrize("after", [0, 1])
def test_a_job_that_was_killed_is_charged_for_the_whole_when_it_is_run_again(
    tmp_path: Path, vendors: Vendors, models: Remote, after: int
):
    clock = farthing.VirtualClock(datetime.now(UTC))
    url = f"sqlite:///{tmp_path}/credits.db"
    policy = {"report_tokens": 1, "report_seconds": 1}
    with farthing.connect(url, clock=clock) as gone:
        gone.rate_cards.put(CARD, reason="The first")
        gone.grant("alice", 100_000)
        desk = Desk(gone, vendors, models, policy=policy)
        account = desk.account
        with metering(key="job"):
            stream = desk.ask("chat", stream=True, habits={"hold_after": 5})
        for _ in range(6):
            next(stream)
            assert desk.settled()
        # As far as the ledger knows, nobody is there any more.
        (hold,) = gone.holds.list(account, state="live")
        assert hold.metered == 7 + 50
        clock.advance(hours=after)
        gone.jobs.run_due()
        assert [each.amount for each in gone.charges.list(account)] == ([57] if after else [])
        api = meter(vendors.openai, ledger=gone, account=account, policy=policy)
        with metering(key="job"):
            api.chat.completions.create(
                model="gpt-test", messages=[{"role": "user", "content": "How are you?"}], max_completion_tokens=1_000
            )
        assert desk.settled()
        charges = list(gone.charges.list(account))[::-1]
        (call,) = models.get("books", after=str(models.get("state")["calls"] - 1))["calls"]
        assert sum(each.amount for each in charges) == worth(call)
        assert [evidence(each)["again"] for each in charges if each.metadata] == ["expired" if after else "live"]
        models.post("release")
        stream.close()
        assert gone.balance(account).held == 0
