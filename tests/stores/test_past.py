"""Accounts as they stood, and statements: what the entries say when they are replayed, on both databases."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from farthing.app import Ledger, open_ledger
from farthing.clock import FakeClock
from farthing.core import past as core
from farthing.core.commands import GiveGrant, Lapse
from farthing.core.invariants import Books
from farthing.core.records import Account, Entry
from farthing.core.statement import KindTotal, Sums
from farthing.core.view import available
from farthing.jobs.folding import fold_all
from farthing.retention.retiring import Wanted, retire_all
from farthing.stores import past as reading
from farthing.stores import sqlite
from farthing.stores.account_statements import AccountStatements
from farthing.stores.contract import Busy
from farthing.stores.directory import Directory
from farthing.stores.past import Archived, NotOpenYet, Past, Unexplained
from farthing.stores.rollups import Rollups
from farthing.timezones import calendar
from tests.postgres import TEMPLATE, Databases, copy_rows
from tests.random_ledger import WORKSPACES, random_ledger, raw
from tests.support import new_database

LATE = 4_000_000_000_000_000
ACCOUNTS = [(workspace, f"account {n}") for workspace in WORKSPACES for n in range(3)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_ledger(tmp_path_factory.mktemp("past") / "ledger.db", seed=11, commands=420).path


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, written: Path) -> Iterator[Ledger]:
    """The same random ledger on each database."""
    url = f"sqlite:///{written}"
    if request.param == "postgres":
        databases: Databases = request.getfixturevalue("databases")
        url = databases.make(TEMPLATE, keep=True)
        copy_rows(written, url)
    with open_ledger(url) as ledger:
        yield ledger


def readers(ledger: Ledger) -> tuple[Past, AccountStatements]:
    directory = Directory(ledger.database, ledger.reports)
    past = Past(ledger.database, ledger.reports, directory)
    return past, AccountStatements(ledger.database, ledger.reports, directory, past)


def entries_of(ledger: Ledger, owner: tuple[str, str]) -> list[Entry]:
    """Oldest first."""
    return ledger.wait(ledger.reports.entries(*owner, limit=10_000))[::-1]


def replayed(entries: list[Entry]) -> Iterator[tuple[int, Account]]:
    """Each instant at which something happened, and the account after all of that."""
    known = {entry.id: entry for entry in entries}
    books = Books(entries[0].workspace, entries[0].account, calendar, known.get)
    for entry, following in pairwise([*entries, None]):
        assert entry is not None
        assert books.add(entry) == []
        if following is None or following.at > entry.at:
            yield entry.at, books.row()


def figures(a: Account) -> Any:
    return a.number, a.at, a.balance, a.held, a.debt, a.settings.allowance, a.lapse_at, a.grants, available(a)


def test_an_account_at_each_instant_of_its_life_is_what_its_entries_say(ledger: Ledger, monkeypatch: Any):
    monkeypatch.setattr(reading, "PAGE", 7)
    ways: list[bool] = []
    made = core.Movements.__init__

    def watched(self: Any, grants: Any, *, back: bool) -> None:
        ways.append(back)
        made(self, grants, back=back)

    monkeypatch.setattr(core.Movements, "__init__", watched)
    past, _ = readers(ledger)
    looked_at = 0
    for owner in ACCOUNTS:
        for at, right in replayed(entries_of(ledger, owner)):
            found = ledger.wait(past.account(*owner, at))
            assert found is not None
            assert figures(found) == figures(right), (owner, at)
            looked_at += 1
    assert looked_at > 150
    assert {True, False} <= set(ways), "from both ends"


def test_between_two_entries_it_is_what_the_first_of_them_left(ledger: Ledger):
    past, _ = readers(ledger)
    for owner in ACCOUNTS[:2]:
        states = list(replayed(entries_of(ledger, owner)))
        for (at, right), (following, _) in pairwise(states[::5]):
            if following > at + 1:
                found = ledger.wait(past.account(*owner, following - 1))
                before = [state for instant, state in states if instant < following][-1]
                assert found is not None
                assert figures(found) == figures(before)
                assert right.number <= before.number


def test_before_it_was_opened_there_is_no_account_and_nobody_else_is_asked(ledger: Ledger):
    past, _ = readers(ledger)
    opened = entries_of(ledger, ACCOUNTS[0])[0].at
    with pytest.raises(NotOpenYet) as error:
        ledger.wait(past.account(*ACCOUNTS[0], opened - 1))
    assert error.value.opened_at == opened
    assert ledger.wait(past.account(*ACCOUNTS[0], opened)) is not None
    assert ledger.wait(past.account("grace", "nobody", opened)) is None


def test_lapses_count_from_their_instant_on_before_they_are_booked_and_after(ledger: Ledger):
    past, statements = readers(ledger)
    for owner in ACCOUNTS:
        row = ledger.wait(ledger.reports.account(*owner, 0))
        assert row is not None
        if row.lapse_at is None:
            continue
        now = row.lapse_at + 1
        lapsed = ledger.wait(ledger.reports.account(*owner, now))
        before, after = (ledger.wait(past.account(*owner, at)) for at in (row.lapse_at - 1, row.lapse_at))
        assert lapsed is not None
        assert before is not None
        assert after is not None
        assert before.balance > after.balance == lapsed.balance
        s = ledger.wait(statements.begin(*owner, row.lapse_at, now, now))
        assert s is not None
        (line,) = ledger.wait(statements.lines(s, now)).items
        assert (line.kind, line.id, line.at, line.number) == ("lapse", "", row.lapse_at, row.number + 1)
        assert s.opening.balance + line.amount == s.closing.balance == after.balance
        assert ledger.wait(statements.totals(s, now)) == [KindTotal("lapse", 1, line.amount)]
        return
    raise AssertionError("no account of the random ledger has anything left that lapses")


@pytest.mark.parametrize("every", [False, True])
def test_statements_of_consecutive_periods_have_each_entry_once_and_go_on_where_the_last_ended(
    ledger: Ledger, every: bool
):
    _, statements = readers(ledger)
    for owner in ACCOUNTS[:3]:
        entries = entries_of(ledger, owner)
        edges = sorted({0, *(entry.at for entry in entries[::9]), entries[-1].at + 1})
        told: list[Entry] = []
        closing = 0
        for start, end in pairwise(edges):
            s = ledger.wait(statements.begin(*owner, start, end, entries[-1].at, every=every))
            assert s is not None
            lines = list(paged(ledger, statements, s))
            assert all(start <= line.at < end for line in lines)
            assert s.opening.balance == closing
            assert s.opening.balance + sum(line.amount for line in lines) == s.closing.balance
            totals = ledger.wait(statements.totals(s, entries[-1].at))
            assert sum(t.entries for t in totals) == len(lines)
            told, closing = told + lines, s.closing.balance
        assert [e.id for e in told] == [e.id for e in entries if every or e.amount]
        assert closing == entries[-1].balance


@pytest.mark.parametrize("before", [True, False])
def test_what_is_booked_while_a_statement_is_read_is_a_line_of_it_once(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, before: bool
):
    new_database(tmp_path / "read.db").close()
    with open_ledger(f"sqlite:///{tmp_path / 'read.db'}", clock=clock) as ledger:
        ends = clock.now_us() + 1_000_000
        ledger.engine.do(GiveGrant(workspace="main", account="anna", amount=5, expires_at=ends))
        clock.advance(2)
        now = clock.now_us()
        _, statements = readers(ledger)
        standing = ledger.reports.standing

        async def meanwhile(*values: Any) -> Any:
            found = None if before else await standing(*values)
            ledger.engine.do(Lapse(workspace="main", account="anna"))
            return await standing(*values) if before else found

        s = ledger.wait(statements.begin("main", "anna", 0, now, now))
        assert s is not None
        monkeypatch.setattr(ledger.reports, "standing", meanwhile)
        lines = ledger.wait(statements.lines(s, now)).items
        assert [(line.number, line.kind, line.amount) for line in lines] == [(2, "grant", 5), (3, "lapse", -5)]
        totals = ledger.wait(statements.totals(s, now))
        assert totals == [KindTotal("grant", 1, 5), KindTotal("lapse", 1, -5)]


def test_what_is_archived_while_it_is_read_is_no_statement_without_it(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    past, statements = readers(ledger)
    owner = ACCOUNTS[0]
    s = ledger.wait(statements.begin(*owner, 0, LATE, LATE))
    assert s is not None

    async def archived(*_: str) -> Account:
        return Account(*owner, 0, 7)

    monkeypatch.setattr(past, "archived", archived)
    monkeypatch.setattr(statements, "_past", past)
    for reading_it in (statements.lines(s, LATE, after=4), statements.totals(s, LATE)):
        with pytest.raises(Busy, match="archived while"):
            ledger.wait(reading_it)
    assert ledger.wait(statements.lines(s, LATE, after=7)).items[0].number > 7


def paged(ledger: Ledger, statements: AccountStatements, s: Any) -> Iterator[Entry]:
    after = 0
    while True:
        page = ledger.wait(statements.lines(s, LATE, after=after, limit=4))
        yield from page.items
        if page.next is None:
            return
        after = int(page.next[0])


def copied(written: Path, path: Path) -> None:
    sqlite.connect(written).execute("vacuum into ?", (str(path),))


def test_what_is_archived_is_refused_by_name_and_what_came_since_is_told_as_before(written: Path, tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'archived.db'}"
    copied(written, tmp_path / "archived.db")
    with open_ledger(url) as ledger:
        # Only what reports have summed up is archived.
        ledger.wait(fold_all(Rollups(ledger.database), LATE))
        entries = {owner: entries_of(ledger, owner) for owner in ACCOUNTS}
        middle = sorted(e.at for each in entries.values() for e in each)[300]
        wanted = Wanted(tmp_path / "archive", LATE, before=middle, gentle=0)
        assert sum(done.entries for done in retire_all(ledger.backend.place, wanted)) > 50
        past, statements = readers(ledger)
        for owner, all_of_it in entries.items():
            checkpoint = ledger.wait(Directory(ledger.database, ledger.reports).checkpoint(*owner))
            assert checkpoint is not None
            for at, right in replayed(all_of_it):
                if at < checkpoint.at:
                    with pytest.raises(Archived) as error:
                        ledger.wait(past.account(*owner, at))
                    assert error.value.since == checkpoint.at
                else:
                    found = ledger.wait(past.account(*owner, at))
                    assert found is not None
                    assert figures(found) == figures(right)
            with pytest.raises(Archived) as error:
                ledger.wait(statements.begin(*owner, checkpoint.at, LATE, LATE))
            since, last = error.value.since, all_of_it[-1].at
            s = ledger.wait(statements.begin(*owner, since, last + 1, last))
            assert s is not None
            assert s.opening == Sums(*(getattr(checkpoint.closed.account, n) for n in ("balance", "held", "debt")))
            assert ledger.wait(statements.totals(s, last)) is not None
            assert s.closing.balance == all_of_it[-1].balance


def test_books_that_do_not_add_up_make_no_balance_and_no_statement(written: Path, tmp_path: Path):
    path = tmp_path / "edited.db"
    copied(written, path)
    owner = ACCOUNTS[0]
    edited = raw(path)
    ((number, at),) = edited.execute(
        "select number, at from entry where workspace = ? and account = ? and amount < 0 and number > 5 limit 1", owner
    )
    where = "where workspace = ? and account = ? and number = ?"
    edited.execute(f"update entry set balance = balance + 1, amount = amount + 2 {where}", (*owner, number))
    edited.close()
    with open_ledger(f"sqlite:///{path}") as ledger:
        past, statements = readers(ledger)
        with pytest.raises(Unexplained, match="don't come to the balance"):
            ledger.wait(past.account(*owner, at))
        s = ledger.wait(statements.begin(*owner, 0, LATE, LATE))
        assert s is not None
        with pytest.raises(Unexplained, match="from opening to closing"):
            ledger.wait(statements.totals(s, LATE))
