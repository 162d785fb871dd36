"""Answers that are made in the background: charged when somebody asks for them, in whichever process."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing.fakes.models import Remote
from farthing.llm import meter, metering, settled
from farthing.llm.settling import settler_of
from tests.llm.ledgers import CARD, Desk, evidence, open_ledger, read, worth
from tests.llm.sides import Side, side_of
from tests.llm.vendors import Vendors, last

pytestmark = pytest.mark.xdist_group("models")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("later")


@pytest.fixture(scope="module", params=["sync", "async"])
def side(request: pytest.FixtureRequest, folder: Path, vendors: Vendors, models: Remote) -> Iterator[Side]:
    with side_of(request.param, folder, vendors, models) as found:
        yield found


@pytest.fixture
def desk(side: Side) -> Desk:
    return side.desk()


def begun(desk: Desk, **habits: Any) -> Any:
    answer = desk.ask("responses", stream=False, habits=habits, background=True)
    assert answer.status == "queued"
    return answer


def test_it_is_held_for_until_it_is_there_and_charged_for_what_it_is(desk: Desk):
    id = begun(desk, reasoning_tokens=9, background_polls=1).id
    for status, charges in (("in_progress", 0), ("completed", 1), ("completed", 1)):
        assert desk.done(desk.openai.responses.retrieve(id)).status == status
        assert len(desk.charges()) == charges
        assert (desk.ledger.balance(desk.account).held > 0) == (charges == 0)
    call = last(desk.models)
    assert (desk.charge().amount, call["billed"]["reasoning_tokens"]) == (worth(call), 9)
    assert (evidence(desk.charge())["answer"], evidence(desk.charge())["charged_by"]) == (id, "provider")
    assert desk.nothing_is_held()


def test_the_prompt_of_one_that_is_waited_for_is_not_kept(tmp_path: Path, vendors: Vendors, models: Remote):
    with open_ledger(tmp_path) as ledger:
        id = begun(Desk(ledger, vendors, models)).id
        call = settler_of(ledger).waiting.of(id)
        assert call is not None
        assert (call.asked.texts, call.asked.input_tokens) == ((), 7)


def test_it_is_its_own_terms_by_which_it_is_charged(side: Side):
    one, other = side.desk(), side.desk()
    with metering(metadata={"page": "report"}):
        id = begun(one).id
    with metering(account=other.account):
        raw = one.done(one.openai.responses.with_raw_response.retrieve(id))
    assert raw.parse().status == "completed"
    assert (one.charge().metadata["page"], other.charges()) == ("report", [])


def test_another_process_finds_it_by_its_hold(desk: Desk, folder: Path, vendors: Vendors):
    id = begun(desk).id
    with farthing.connect(f"sqlite:///{folder}/credits.db") as ledger:
        ledger.grant("a stranger", 100)
        for account, charges in (("a stranger", 0), (None, 0), (desk.account, 1), (desk.account, 1)):
            answer = meter(vendors.openai, ledger=ledger, account=account).responses.retrieve(id)
            assert (answer.status, settled(ledger), len(desk.charges())) == ("completed", True, charges)
        ledger.close()
        assert meter(vendors.openai, ledger=ledger, account="a stranger").responses.retrieve(id).status == "completed"
    # Who has begun it comes late, and finds it charged.
    desk.done(desk.openai.responses.retrieve(id))
    assert (desk.charge().amount, desk.nothing_is_held()) == (worth(last(desk.models)), True)


def test_one_that_is_cancelled_costs_nothing(desk: Desk):
    id = begun(desk, background_polls=5).id
    assert desk.done(desk.openai.responses.cancel(id)).status == "cancelled"
    assert (desk.charges(), desk.nothing_is_held()) == ([], True)


@pytest.mark.parametrize("way", ["stream", "whole", "elsewhere"])
def test_a_stream_that_breaks_is_charged_when_the_rest_was_read(desk: Desk, folder: Path, vendors: Vendors, way: str):
    habits = {"cut_after": 4, "answer_tokens": 20}
    stream = desk.ask("responses", stream=True, habits=habits, background=True)
    id = next(stream).response.id
    seen = 1 + read(stream, swallow=Exception)
    assert desk.charges() == []
    if way == "stream":
        rest = desk.done(desk.openai.responses.retrieve(id, stream=True, starting_after=seen - 1))
        assert read(rest) > 16
    elif way == "whole":
        assert desk.done(desk.openai.responses.retrieve(id)).status == "completed"
    else:
        with farthing.connect(f"sqlite:///{folder}/credits.db") as ledger:
            api = meter(vendors.openai, ledger=ledger, account=desk.account)
            assert read(api.responses.retrieve(id, stream=True, starting_after=seen - 1)) > 16
            assert settled(ledger)
    call = last(desk.models)
    assert (desk.charge().amount, call["billed"]["output_tokens"]) == (worth(call), 20)
    assert desk.nothing_is_held()


def test_one_that_nobody_asks_for_costs_what_went_in_when_its_hold_expires(
    tmp_path: Path, vendors: Vendors, models: Any
):
    clock = farthing.VirtualClock(datetime.now(UTC))
    with farthing.connect(f"sqlite:///{tmp_path}/credits.db", clock=clock) as ledger:
        ledger.rate_cards.put(CARD, reason="The first")
        desk = Desk(ledger, vendors, models)
        id = begun(desk).id
        clock.advance(hours=1)
        ledger.jobs.run_due()
        assert [each.amount for each in desk.charges()] == [7]
        # And the rest where somebody does at last.
        desk.openai.responses.retrieve(id)
        assert sum(each.amount for each in desk.charges()) == worth(last(models))


def test_where_nothing_is_held_it_costs_what_went_in(side: Side):
    desk = side.desk(policy={"hold": "nothing"})
    id = begun(desk).id
    desk.done(desk.openai.responses.retrieve(id))
    assert (desk.charge().amount, evidence(desk.charge())["pending"]) == (7, True)
