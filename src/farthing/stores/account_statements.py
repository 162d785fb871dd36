"""Statements of accounts: a period's edges, its lines a page at a time, its totals by kind.

What time has done and nobody has booked yet counts, as everywhere: it is told with the numbers that it will have, so
that a statement says the same before and after it is booked.
"""

from typing import Final

from farthing.core.records import Account, Entry
from farthing.core.statement import KindTotal, Statement, Sums, adds_up, sums_after

from .contract import Busy
from .directory import ENTRY_WINDOW, Directory
from .pages import Page, Position
from .past import JUST_ARCHIVED, Archived, Past, Unexplained
from .reports import Database, Reports
from .statements import statements

_SUMMED: Final = 5_000
"""Entries that are summed up at a time: of so many a database can add up the amounts, however large they are."""


class AccountStatements:
    """Reads statements."""

    def __init__(self, db: Database, reports: Reports, directory: Directory, past: Past) -> None:
        self._db = db
        self._reports = reports
        self._directory = directory
        self._past = past
        self._sql = statements(db.dialect, "account_statements")

    async def begin(
        self, workspace: str, account: str, start: int, end: int, now: int, *, every: bool = False,
        stop: int | None = None,
    ) -> Statement | None:  # fmt: skip
        """The edges of a period, up to now; None where there is no such account. `stop` is that of a statement which
        was begun before, and goes on with what it had then."""
        base = await self._past.archived(workspace, account)
        if base.number and start <= base.at:
            raise Archived(base.at + 1)
        books = await self._books(workspace, account, min(end - 1, now))
        bounds = await self._directory.numbers(workspace, account, start, end)
        if books is None or bounds is None:
            return None
        first, last = books.between(bounds, start)
        stop = last if stop is None else stop
        opening, closing = await self._sums(books, base, first - 1), await self._sums(books, base, stop - 1)
        return Statement(
            workspace=workspace, account=account, start=start, end=end, every=every, first=first, stop=stop,
            opening=opening, closing=closing,
        )  # fmt: skip

    async def lines(self, s: Statement, now: int, *, after: int = 0, limit: int = 200) -> Page[Entry]:
        """Its entries, oldest first, after a number; those that are not booked yet have no id."""
        low = max(s.first, after + 1)
        high = min(s.stop, low + ENTRY_WINDOW)
        booked, unbooked = await self._unbooked(s, low, now)
        values = (s.workspace, s.account, low, min(high, booked + 1), int(s.every), limit + 1)
        found = [Entry(*row) for row in await self._db.rows(self._sql["lines"], values)]
        await self._require(s, low)
        found += [entry for entry in unbooked if entry.number < high]
        following: Position | None = (high - 1,) if high < s.stop else None
        if len(found) > limit:
            following = (found[limit - 1].number,)
        return Page(found[:limit], following)

    async def totals(self, s: Statement, now: int) -> list[KindTotal]:
        """What its lines come to, by kind. That they lead from the opening to the closing is looked at here."""
        totals: dict[str, KindTotal] = {}
        booked, unbooked = await self._unbooked(s, s.first, now)
        stop = min(s.stop, booked + 1)
        for low in range(s.first, stop, _SUMMED):
            values = (s.workspace, s.account, low, min(stop, low + _SUMMED), int(s.every))
            for kind, entries, amount in await self._db.rows(self._sql["totals"], values):
                _add(totals, kind, entries, amount)
        for entry in unbooked:
            _add(totals, entry.kind, 1, entry.amount)
        await self._require(s, s.first)
        found = [totals[kind] for kind in sorted(totals)]
        if not adds_up(s, found):
            raise Unexplained(f"the entries of {s.workspace}/{s.account} don't lead from opening to closing balance")
        return found

    async def _books(self, workspace: str, account: str, at: int) -> "_Books | None":
        standing = await self._reports.standing(workspace, account, max(at, 0))
        return None if standing is None else _Books(workspace, account, standing.account.number, standing.entries)

    async def _unbooked(self, s: Statement, low: int, now: int) -> tuple[int, list[Entry]]:
        """How far the account's entries are booked, and the statement's lines from there on. It is looked at before
        entries are read, and none are read from there on: what is booked meanwhile is told once all the same."""
        books = await self._books(s.workspace, s.account, min(s.end - 1, now))
        assert books is not None, "accounts are never deleted"
        entries = [e for e in books.unbooked if low <= e.number < s.stop and (s.every or e.amount)]
        return books.booked, entries

    async def _require(self, s: Statement, low: int) -> None:
        """That entries which have just been read were all there."""
        base = await self._past.archived(s.workspace, s.account)
        if base.number >= low:
            raise Busy(JUST_ARCHIVED)

    async def _sums(self, books: "_Books", base: Account, number: int) -> Sums:
        """What the account had after its entry of that number; `base` is where those begin that are kept here."""
        if number == base.number:
            return Sums(base.balance, base.held, base.debt)
        entry = books.will_be(number) or await self._past.entry(books.workspace, books.account, number)
        if entry is None:
            raise Busy(JUST_ARCHIVED)
        return sums_after(entry)


class _Books:
    """How far an account's entries go: those that are booked, and those that will be."""

    def __init__(self, workspace: str, account: str, number: int, unbooked: list[Entry]) -> None:
        self.workspace = workspace
        self.account = account
        self.unbooked = unbooked
        self.booked = number - len(unbooked)

    def between(self, bounds: tuple[int, int], start: int) -> tuple[int, int]:
        """The numbers of a period, given those of it that are booked by now: others may have come meanwhile."""
        first, stop = (min(number, self.booked + 1) for number in bounds)
        if first > self.booked:
            first += sum(entry.at < start for entry in self.unbooked)
        if stop > self.booked:
            stop += len(self.unbooked)
        return first, max(first, stop)

    def will_be(self, number: int) -> Entry | None:
        """An entry that is not booked yet."""
        return self.unbooked[number - self.booked - 1] if number > self.booked else None


def _add(totals: dict[str, KindTotal], kind: str, entries: int, amount: int) -> None:
    total = totals.setdefault(kind, KindTotal(kind))
    total.entries += entries
    total.amount += amount
