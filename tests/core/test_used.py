"""A charge that carries usage: recorded in its commit, once, within its time, whatever it comes to."""

from typing import Any

import pytest
from msgspec.structs import replace

from farthing.core.commands import GiveGrant, PlaceHold, Settle, TakeCharge
from farthing.core.outcomes import Refusal
from farthing.core.records import WorkspaceSettings
from farthing.core.refundable import read_body
from farthing.core.usage import Line, Metered, Priced, Usage
from tests.support import MAIN, START_US, UNIT, Book, hold_id

WHO: dict[str, Any] = {"workspace": "main", "account": "alice"}
HOUR_US = 3_600_000_000
CALL = Usage(
    provider="openai",
    model="gpt-4o-latest",
    service="chat",
    chat="c1",
    dimensions={"input_tokens": "1500", "output_tokens": "800"},
)
LINES = (Line("price", "0.00375", "input_tokens", "1500", "0.0025", 1000, "in", "main@1"),)
PRICED = Priced(
    amount=11_750, exact="0.01175", lines=LINES, cost=9_000_000, card="main@1", provider="openai", model="gpt-4o"
)


def charge(usage: Usage = CALL, priced: Priced = PRICED, *, given: bool = False, **options: Any) -> TakeCharge:
    metered = Metered(usage, priced, given)
    return TakeCharge(**{**WHO, "amount": priced.amount, "operation": "reply", "usage": metered, **options})


@pytest.fixture
def book() -> Book:
    book = Book()
    book.accept(GiveGrant(**WHO, amount=UNIT))
    return book


def rows(book: Book) -> list[tuple[Any, ...]]:
    return list(
        book.db.execute(
            "select id, account, at, booked_at, service, operation, provider, model, chat, input_tokens, output_tokens,"
            " tokens, amount, cost, unpriced from usage order by id"
        )
    )


def test_what_is_only_recorded_takes_nothing_and_is_kept(book: Book) -> None:
    priced = Priced(amount=0, exact="0")
    command = charge(priced=priced, given=True, asked="0.000007")
    command.usage = Metered(CALL, priced, given=True, recorded=7)
    entry = book.accept(command)
    metered = read_body(entry).usage
    assert (entry.amount, metered and metered.recorded, rows(book)[0][-3]) == (0, 7, 0)


@pytest.mark.parametrize("more", ["", ',"given":false', ',"given":false,"recorded":0'])
def test_an_entry_reads_the_same_whether_it_says_that_nothing_was_recorded_apart(book: Book, more: str) -> None:
    body = f'{{"usage":{{"usage":{{"model":"m"}},"priced":{{"amount":1,"exact":"1"}}{more}}}}}'
    told = read_body(replace(book.accept(charge()), body=body)).usage
    assert told == Metered(Usage(model="m"), Priced(amount=1, exact="1"))


def test_usage_and_charge_are_one_commit(book: Book) -> None:
    entry = book.accept(charge())
    assert read_body(entry).usage == Metered(CALL, PRICED)
    assert rows(book) == [
        (
            entry.id, "alice", START_US, START_US, "chat", "reply", "openai", "gpt-4o", "c1", 1500, 800, 2300, 11_750,
            9_000_000, 0,
        )
    ]  # fmt: skip


def test_a_refused_charge_records_no_usage(book: Book) -> None:
    assert book.refuse(charge(priced=replace(PRICED, amount=2 * UNIT))).code == Refusal.INSUFFICIENT_CREDITS
    assert rows(book) == []


def test_a_repeat_charges_and_records_nothing_more_whatever_the_price_is_now(book: Book) -> None:
    first = book.accept(charge(key="k"))
    dearer = replace(PRICED, amount=99_999, card="main@2")
    assert book.accept(charge(priced=dearer, key="k")) == first
    reordered = replace(CALL, dimensions=dict(reversed(CALL.dimensions.items())), at=START_US - HOUR_US)
    assert book.accept(charge(reordered, key="k")) == first
    assert len(rows(book)) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(CALL, dimensions={"input_tokens": "1501", "output_tokens": "800"}),
        replace(CALL, model="gpt-4o"),
        replace(CALL, attributes={"service_tier": "flex"}),
        replace(CALL, chat="c2"),
    ],
)
def test_other_usage_under_the_same_key_is_a_conflict_that_says_so(book: Book, other: Usage) -> None:
    book.accept(charge(key="k"))
    refused = book.refuse(charge(other, key="k"))
    assert (refused.code, refused.facts["differs"]) == (Refusal.KEY_CONFLICT, ["usage"])


def test_where_the_caller_gives_the_amount_the_amount_is_the_content(book: Book) -> None:
    first = book.accept(charge(given=True, key="k"))
    assert book.accept(charge(replace(CALL, model="other"), given=True, key="k")) == first
    refused = book.refuse(charge(priced=replace(PRICED, amount=5), given=True, key="k"))
    assert (refused.code, refused.facts["differs"]) == (Refusal.KEY_CONFLICT, ["amount"])


def test_usage_that_costs_nothing_is_recorded_also_for_who_has_nothing(book: Book) -> None:
    book.accept(charge(priced=replace(PRICED, amount=UNIT)))
    entry = book.accept(charge(priced=replace(PRICED, amount=0, unpriced=True, cost=None)))
    assert (entry.amount, rows(book)[1][-3:]) == (0, (0, None, 1))


def test_late_usage_keeps_its_own_time(book: Book) -> None:
    book.accept(charge(replace(CALL, at=START_US - 10 * HOUR_US)))
    assert rows(book)[0][2:4] == (START_US - 10 * HOUR_US, START_US)


@pytest.mark.parametrize(("at", "taken"), [(-2 * HOUR_US, True), (-2 * HOUR_US - 1, False), (30_000_000, True)])
def test_the_bounds_of_its_time_are_the_workspaces(at: int, taken: bool) -> None:
    settings = WorkspaceSettings(usage_late_hours=2, usage_ahead_seconds=30)
    book = Book(workspaces=[replace(MAIN, settings=settings)])
    book.accept(GiveGrant(**WHO, amount=UNIT))
    command = charge(replace(CALL, at=START_US + at))
    if taken:
        book.accept(command)
    else:
        refused = book.refuse(command)
        assert (refused.code, refused.facts["field"]) == (Refusal.INVALID, "usage.at")
        assert "2 hours" in refused.facts["message"]
        assert rows(book) == []


def test_usage_from_the_future_is_refused(book: Book) -> None:
    refused = book.refuse(charge(replace(CALL, at=START_US + HOUR_US)))
    assert (refused.code, refused.facts["field"]) == (Refusal.INVALID, "usage.at")


def test_a_shortfall_records_what_was_really_charged(book: Book) -> None:
    entry = book.accept(charge(priced=replace(PRICED, amount=3 * UNIT), shortfall="take"))
    assert (entry.amount, read_body(entry).unpaid, rows(book)[0][-3]) == (-UNIT, 2 * UNIT, UNIT)


def test_a_hold_keeps_its_estimate_and_each_settle_has_its_own_usage(book: Book) -> None:
    held = book.accept(PlaceHold(**WHO, amount=50_000, ttl=HOUR_US, operation="stream", usage=Metered(CALL, PRICED)))
    assert read_body(held).usage == Metered(CALL, PRICED)
    assert rows(book) == []
    settled = [
        book.accept(Settle(**WHO, hold=hold_id(held), amount=11_750, last=last, usage=Metered(CALL, PRICED)))
        for last in (False, True)
    ]
    assert [(row[0], row[5], row[-3]) for row in rows(book)] == [(e.id, "stream", 11_750) for e in settled]


def test_the_same_settle_is_answered_again_by_its_usage(book: Book) -> None:
    held = book.accept(PlaceHold(**WHO, amount=50_000, ttl=HOUR_US))
    settle = {**WHO, "hold": hold_id(held), "amount": 11_750, "key": "s"}
    first = book.accept(Settle(**settle, usage=Metered(CALL, PRICED)))
    assert book.accept(Settle(**{**settle, "amount": 9}, usage=Metered(CALL, replace(PRICED, amount=9)))) == first
    other = Metered(replace(CALL, chat="c9"), PRICED)
    assert book.refuse(Settle(**settle, usage=other)).facts["differs"] == ["usage"]


def test_the_entry_covers_usage_and_price_with_its_hash(book: Book) -> None:
    entry = book.accept(charge())
    assert '"input_tokens":"1500"' in entry.body
    assert '"main@1"' in entry.body
