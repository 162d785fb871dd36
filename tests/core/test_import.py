"""Import: what another system had becomes entries of their own kind, which explain themselves like all others."""

from typing import Any

import pytest

from farthing.core import commands as ask
from farthing.core import decide
from farthing.core.commands import Import, check
from farthing.core.invariants import Books
from farthing.core.outcomes import Accepted, Refusal, Refused
from farthing.core.records import Entry, Workspace, WorkspaceSettings
from farthing.core.refundable import read_body
from farthing.core.rollup import COUNTED
from farthing.timezones import calendar
from tests.support import START_US, UNIT, Book, grant_id

DAY = 86_400_000_000


def bring(account: str = "alice", **fields: Any) -> Import:
    """What is brought; amounts in credits."""
    for name in ("granted", "remaining", "owed", "credited"):
        if name in fields:
            fields[name] *= UNIT
    return Import(workspace="main", account=account, **fields)


def totals(book: Book, account: str = "alice") -> tuple[int, ...]:
    """Balance, debt, earned, spent, lapsed, in credits."""
    a = book.row(account)
    return tuple(n // UNIT for n in (a.balance, a.debt, a.earned, a.spent, a.lapsed))


def explained(book: Book, account: str = "alice") -> None:
    """The entries say what the row says, and break no law."""
    books = Books("main", account, calendar, lambda id: next((e for e in book.entries(account) if e.id == id), None))
    assert [problem for entry in book.entries(account) for problem in books.add(entry)] == []
    row, right = book.row(account), books.row()
    assert (row.grants, row.balance, row.debt, row.earned, row.spent) == (
        right.grants, right.balance, right.debt, right.earned, right.spent
    )  # fmt: skip


def test_what_is_left_of_a_grant_is_one_entry_and_what_was_used_counts_as_spent(book: Book) -> None:
    terms: dict[str, Any] = {"category": "promotional", "priority": 7, "scope": ("model:x",), "source": {"order": "17"}}
    given, ends = START_US - 30 * DAY, START_US + 30 * DAY
    entry = book.accept(bring(granted=100, remaining=40, given_at=given, expires_at=ends, key="import:a:1", **terms))
    assert (entry.kind, entry.number, entry.amount) == ("import", 2, 40 * UNIT)
    assert totals(book) == (40, 0, 100, 60, 0)
    (grant,) = book.row().grants
    assert (grant.id, grant.remaining, grant.created_at, grant.expires_at) == (
        grant_id(entry), 40 * UNIT, given, ends
    )  # fmt: skip
    assert (grant.category, grant.priority, grant.scope) == ("promotional", 7, ("model:x",))
    explained(book)


def test_a_grant_that_was_used_up_is_history_and_no_line(book: Book) -> None:
    entry = book.accept(bring(granted=5, remaining=0))
    assert (totals(book), book.row().grants) == ((0, 0, 5, 5, 0), [])
    assert read_body(entry).grants[0].amount == 5 * UNIT
    explained(book)


def test_what_was_owed_is_debt_that_the_next_grant_repays(book: Book) -> None:
    book.accept(bring(owed=30, description="Below zero"))
    assert totals(book) == (-30, 30, 0, 30, 0)
    book.accept(ask.GiveGrant(workspace="main", account="alice", amount=100 * UNIT))
    assert totals(book) == (70, 0, 100, 30, 0)
    explained(book)


def test_what_is_left_of_a_grant_repays_debt_and_not_what_was_used_of_it(book: Book) -> None:
    book.accept(bring(owed=30))
    book.accept(bring(granted=100, remaining=20))
    assert totals(book) == (-10, 10, 100, 110, 0)
    explained(book)


def test_a_grant_that_is_over_repays_nothing_and_lapses_at_once(book: Book) -> None:
    book.accept(bring(owed=30))
    book.accept(bring(granted=100, remaining=20, expires_at=START_US))
    assert totals(book) == (-10, 30, 100, 110, 0)
    book.do(ask.Lapse(workspace="main", account="alice"))
    assert totals(book) == (-30, 30, 100, 110, 20)
    explained(book)


def test_no_spend_limit_knows_of_what_was_spent_elsewhere(book: Book) -> None:
    book.accept(bring(granted=100, remaining=10))
    book.accept(ask.SetAccount(workspace="main", account="alice", spend_limit_day=10 * UNIT))
    book.accept(ask.TakeCharge(workspace="main", account="alice", amount=10 * UNIT))
    explained(book)


def test_it_is_no_usage_and_no_revenue() -> None:
    assert "import" not in COUNTED


def test_imported_again_it_is_the_same_and_other_content_is_a_conflict(book: Book) -> None:
    fields: dict[str, Any] = {"granted": 100, "remaining": 40, "key": "import:a:1", "source": {"order": "17"}}
    first = book.accept(bring(**fields))
    again = book.do(bring(**fields, description="Other words are no other content"))
    assert isinstance(again, Accepted)
    assert (again.replayed, again.entry) == (True, first)
    for other in ({"remaining": 41}, {"granted": 101}, {"expires_at": START_US + 1}, {"source": {"order": "18"}}):
        assert book.refuse(bring(**fields | other)).code is Refusal.KEY_CONFLICT
    assert len(book.entries()) == 2


def test_a_payment_that_came_along_is_never_credited_again(book: Book) -> None:
    claim = ("stripe", "pi_1")
    entry = book.accept(bring(granted=50, remaining=20, claim=claim))
    other = book.accept(bring(credited=7, claim=("stripe", "pi_2")))
    for known, amount, payment in ((entry, 50, claim), (other, 7, ("stripe", "pi_2"))):
        again = book.do(ask.GiveGrant(workspace="main", account="alice", amount=amount * UNIT, claim=payment))
        assert isinstance(again, Accepted)
        assert (again.replayed, again.entry) == (True, known)
        taken = ask.GiveGrant(workspace="main", account="bob", amount=amount * UNIT, claim=payment)
        assert book.refuse(taken).code is Refusal.PAYMENT_CLAIMED
    assert totals(book) == (20, 0, 50, 30, 0)
    assert read_body(other).credited == 7 * UNIT
    explained(book)


def test_a_payment_that_was_credited_here_first_is_not_brought_again(book: Book) -> None:
    claim = ("stripe", "pi_1")
    first: Entry = book.accept(ask.GiveGrant(workspace="main", account="alice", amount=50 * UNIT, claim=claim))
    again = book.do(bring(granted=50, remaining=50, claim=claim, key="import:a:1"))
    assert isinstance(again, Accepted)
    assert (again.replayed, again.entry) == (True, first)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"granted": 1, "remaining": 2}, "remaining"),
        ({"granted": -1}, "granted"),
        ({"granted": 10**9, "remaining": 1}, "granted"),
        ({"granted": 1, "remaining": 1, "owed": 1}, "owed"),
        ({"granted": 1, "priority": 101}, "priority"),
        ({"granted": 1, "expires_at": -1}, "expires_at"),
        ({"granted": 1, "given_at": 1 << 60}, "given_at"),
        ({"granted": 1, "scope": ("",)}, "scope"),
        ({"granted": 1, "claim": ("stripe", "")}, "claim"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(fields: dict[str, Any], field: str) -> None:
    wrong = check(bring(**fields))
    assert wrong is not None
    assert wrong.field == field


def test_of_two_troubles_the_first_documented_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = WorkspaceSettings(max_live_grants=1)
    book = Book(workspaces=[Workspace("main", "Main", "live", "credits", 6, START_US, rules)])
    book.accept(bring(granted=1, remaining=1))
    monkeypatch.setattr(decide, "MAX_BALANCE", UNIT)
    told = []
    for remaining in (1, 0):
        outcome = book.do(bring(granted=1, remaining=remaining))
        assert isinstance(outcome, Refused)
        told.append(outcome.code)
    assert told == [Refusal.TOO_MANY_GRANTS, Refusal.BALANCE_LIMIT]
    monkeypatch.undo()
    book.accept(bring(granted=1, remaining=0))
    explained(book)
    book.close()
