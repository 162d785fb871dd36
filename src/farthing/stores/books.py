"""One account's books as a database has them: its entries replayed, and the rows that disagree with them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.agreement import Problem, compare, differences
from farthing.core.checkpoint import Seal
from farthing.core.context import Calendar
from farthing.core.draft import due_at
from farthing.core.ids import bucket_of
from farthing.core.invariants import Books
from farthing.core.records import Account, Charge, Entry, GrantTerms, Hold
from farthing.core.subscription import SubscriptionRow

from .doctor import UNREADABLE, Reading, Row, Stored, columns_of
from .rows import read_account
from .shelf import Shelf

NUMBER: Final = 3
HEAD: Final = 12
"""Where the row of an account has them."""
Right = Account | GrantTerms | Hold | Charge | SubscriptionRow | Entry


class Disagreement(Struct):
    """A row that is not what the entries say."""

    table: str
    id: str
    right: Right | None
    """What it must be (for a key: the entry that has it); None where there must be no row."""
    problems: list[Problem]
    lasting: bool = False
    """Nothing that the entries say can put it right."""


class Replay:
    """One account, replayed in memory that does not grow with it."""

    def __init__(self, reading: Reading, workspace: str, account: str, calendar: Calendar) -> None:
        self._reading = reading
        self._owner = (workspace, account)
        self._bucket = bucket_of(workspace, account)
        self._charge_rows = 0
        self._grants, self._holds, self._charges = Shelf(GrantTerms), Shelf(Hold), Shelf(Charge)
        self.entries = 0
        """That were replayed here."""
        self.archived = 0
        """The number of the last that is archived: its books go on from there."""
        self.keys: list[Disagreement] = []
        """Entries whose key the table of keys does not have, or has for another."""
        self.books = Books(
            workspace,
            account,
            calendar,
            reading.entry,
            grants=self._grants,
            holds=self._holds,
            charges=self._charges,
        )

    def close(self) -> None:
        """Let go of what was put on a disk."""
        for shelf in (self._grants, self._holds, self._charges):
            shelf.close()

    def read(self, limit: int, tell: Callable[[Problem], None]) -> bool:
        """Replay the next entries, telling what is wrong with them; whether these were the last."""
        count = 0
        self._go_on_from_checkpoint()
        for line in self._reading.entries(*self._owner, self.books.number, limit):
            count += 1
            self._charge_rows += line.has_charge
            for problem in self.books.add(line.entry, line.erased):
                tell(problem)
            if line.entry.key is not None and line.key_number != line.entry.number:
                self.keys.append(_key_disagreement(line.entry, line.key_number))
        self.entries += count
        return count < limit

    def _go_on_from_checkpoint(self) -> None:
        """Entries that are archived are not here; they may have gone since the last ones were read."""
        checkpoint = self._reading.checkpoint(*self._owner, self._bucket)
        if checkpoint is not None and checkpoint.number > self.books.number:
            self.books.go_on(checkpoint.closed)
            self._charge_rows, self.keys = len(checkpoint.closed.charges), []
            self.archived = checkpoint.number

    def row(self) -> Row | None:
        """The account's row as it stands."""
        return self._reading.account(*self._owner, self._bucket)

    def disagreements(self, row: Row | None) -> Iterator[Disagreement]:
        """Where the rows of this snapshot differ from the entries; to be asked when the last was read."""
        if missing := self._missing_end(row):
            yield missing
            return
        yield from self._account(row)
        if not self.books.lost:
            yield from self._history()
            yield from self._named("hold", 6, self._holds, self._reading.hold)
            yield from self._sealed_holds()
            yield from self._named("charge", 7, self._charges, self._reading.charge)
            yield from self._unexplained_charges()
            yield from self._subscription()

    def _missing_end(self, row: Row | None) -> Disagreement | None:
        """The row tells of entries after the last one. (With the last one's hash just its number is wrong.)"""
        last = self.books.last
        if row is None or last is None or row[NUMBER] <= last.number or row[HEAD] == last.hash:
            return None
        what = f"entries {last.number + 1} to {row[NUMBER]} are missing: its row tells of them"
        return Disagreement("entry", last.id, None, [Problem(5, what)], lasting=True)

    def _account(self, row: Row | None) -> Iterator[Disagreement]:
        right = self.books.row()
        if row is None:
            problems = [Problem(5, "its row is missing")]
        else:
            try:
                problems = self._compare(read_account(row), right)
            except UNREADABLE as error:
                problems = [Problem(5, f"its row can't be read ({error})")]
        if problems:
            yield Disagreement("account", right.id, right, problems)

    def _compare(self, found: Account, right: Account) -> list[Problem]:
        last = self.books.last
        if self.books.lost and last is not None:
            # After an entry that can't be followed only what the last one tells is known.
            right = replace(
                found,
                number=last.number,
                at=last.at,
                head=last.hash,
                balance=last.balance,
                held=last.held,
                debt=last.debt,
            )
        problems = list(compare(found, right))
        due, planned = due_at(found), self._reading.due(*self._owner, self._bucket)
        if due is not None and (planned is None or planned > due):
            problems.append(Problem(6, "when the table of jobs has time act on the account", due, planned))
        return problems

    def _history(self) -> Iterator[Disagreement]:
        """Grants: all that the table has of this account, then those that it lacks."""
        seen, sealed = 0, Seal()
        for stored in self._reading.grants(*self._owner):
            grant_id = str(stored.columns[0])
            right = self._grants.get(grant_id)
            seen += right is not None
            if right is None and self.archived and isinstance(stored.record, GrantTerms):
                sealed = sealed.with_all([stored.record])
                right = stored.record  # its columns are looked at here
            yield from self._row("grants", grant_id, 5, right, stored)
        yield from self._seal("grants", 5, self.books.sealed_grants, sealed)
        if seen < len(self._grants):
            there = {stored.columns[0] for stored in self._reading.grants(*self._owner)}
            for grant_id, terms in self._grants.items():
                if grant_id not in there:
                    yield from self._row("grants", grant_id, 5, terms, None)

    def _named(
        self,
        table: str,
        law: int,
        records: Mapping[str, Hold] | Mapping[str, Charge],
        find: Callable[[str, int], Stored | None],
    ) -> Iterator[Disagreement]:
        for record_id, right in records.items():
            yield from self._row(table, record_id, law, right, find(record_id, self._bucket))

    def _sealed_holds(self) -> Iterator[Disagreement]:
        if not self.archived:
            return
        sealed = Seal()
        for hold_id, stored in self._reading.holds_of(*self._owner):
            if hold_id not in self._holds and isinstance(stored.record, Hold):
                sealed = sealed.with_all([stored.record])
                yield from self._row("hold", hold_id, 6, stored.record, stored)
        yield from self._seal("holds", 6, self.books.sealed_holds, sealed)

    def _seal(self, table: str, law: int, right: Seal, found: Seal) -> Iterator[Disagreement]:
        """Rows of archived entries, all together: which of them was changed only the archive says."""
        if right.count != found.count:
            problem = Problem(law, f"the number of {table} of its archived entries", right.count, found.count)
        elif right != found:
            problem = Problem(law, f"a row was changed among the {found.count} {table} of its archived entries")
        else:
            return
        yield Disagreement("archive", table, None, [problem], lasting=True)

    def _unexplained_charges(self) -> Iterator[Disagreement]:
        if self._charge_rows == len(self._charges):
            return
        for charge_id in self._reading.charges_of(*self._owner):
            if charge_id not in self._charges:
                problem = Problem(7, f"charge {charge_id} has a row that no entry explains")
                yield Disagreement("charge", charge_id, None, [problem])

    def _subscription(self) -> Iterator[Disagreement]:
        told, stored = self.books.subscription, self._reading.subscription(*self._owner, self._bucket)
        right = SubscriptionRow(*self._owner, self._bucket, told) if told else None
        if right is not None or stored is not None:
            id = told.id if told else str(stored.columns[0]) if stored else ""
            yield from self._row("subscription", id, 5, right, stored)

    def _row(
        self,
        table: str,
        record_id: str,
        law: int,
        right: GrantTerms | Hold | Charge | SubscriptionRow | None,
        stored: Stored | None,
    ) -> Iterator[Disagreement]:
        name = f"{'grant' if table == 'grants' else table} {record_id}"
        if right is None:
            problems = [Problem(law, f"{name} has a row that no entry explains")]
        elif stored is None:
            problems = [Problem(law, f"{name} has no row")]
        else:
            problems = list(differences(law, name, right, stored.record))
            columns = columns_of(right, self._bucket)
            if stored.columns != columns:
                problems.append(Problem(law, f"the columns of {name}", columns, stored.columns))
        if problems:
            yield Disagreement(table, record_id, right, problems)


def _key_disagreement(entry: Entry, number: int | None) -> Disagreement:
    key = entry.key or ""
    if number is None:
        what = f"entry {entry.number}: its key {key!r} is not in the table of keys: a repeat would charge again"
    else:
        what = f"entry {entry.number}: its key {key!r} stands for entry {number}: it was used twice"
    return Disagreement("key", key, entry, [Problem(3, what)], lasting=number is not None)
