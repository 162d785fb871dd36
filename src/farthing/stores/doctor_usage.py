"""What reports are read from, held against the entries: rows of usage, and the sums of what is folded.

Entries that count are read in the order of their accounts, a page in each short transaction. An account is judged in
the one in which its last entry is read: what is folded by then must be in its sums, and nothing else. Of entries that
were not folded yet when they were read, that is asked again. The sums of all accounts are held against those of each.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from farthing.core.commands import DAY_US
from farthing.core.ids import bucket_in, bucket_of
from farthing.core.rollup import QUARTER_US, Counted, Dims, Sums, Tally, read_counted, sums_of

from .doctor import UNREADABLE, Reading, Row
from .shelf import Shelf

Tell = Callable[[str, str, str], None]
"""Told workspace, account and what is wrong."""
Owner = tuple[str, str]
Slot = tuple[int, Dims]
PAGE: Final = 500
AT_HAND: Final = 500
"""Entries that wait in memory; an account's may all be waiting."""
_LAST: Final = ("\U0010ffff", "")


class _Waiting(Struct):
    """An entry that was not folded when it was read."""

    place: tuple[int, int, str]
    entry: Counted
    charges: dict[str, Dims]


class _Books:
    """What an account's entries add up to."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._waiting = Shelf(_Waiting, AT_HAND)
        self.readable = True

    def add(self, row: Row, lanes: dict[int, tuple[int, str]], charges: dict[str, Dims]) -> None:
        entry = _read(row)
        if is_folded(row[3:6], lanes):
            self.tally.add(entry, charges)
        else:
            named = {charge: charges[charge] for charge, _, _ in entry.refunds}
            self._waiting[row[5]] = _Waiting(row[3:6], entry, named)

    def sums(self, lanes: dict[int, tuple[int, str]]) -> dict[Slot, Sums]:
        """What must be in the account's sums now."""
        for each in self._waiting.values():
            if is_folded(each.place, lanes):
                self.tally.add(each.entry, each.charges)
        self._waiting.close()
        return {(slot, dims): sums for (_, _, slot, dims), sums in self.tally.quarters.items()}


def _since(at: int, sums: dict[Slot, Sums]) -> dict[Slot, Sums]:
    """The slots in which nothing is of archived entries, whose sums nothing here tells."""
    return {slot: each for slot, each in sums.items() if slot[0] > at}


def is_folded(place: tuple[int, int, str], lanes: dict[int, tuple[int, str]]) -> bool:
    """Whether an entry is in the sums; a lane that is not there was struck off when all of it was."""
    lane, batch, id = place
    if lane not in lanes:
        return True
    folded, entry = lanes[lane]
    return batch <= folded if lane else (batch, id) <= (folded, entry)


def _read(row: Row) -> Counted:
    return read_counted(row[0], row[1], row[6], row[7], row[8], row[9])


class UsageCheck:
    """One walk over what reports are read from."""

    def __init__(self, reading: Reading, tell: Tell) -> None:
        self._reading = reading
        self._tell = tell
        self._open: dict[Owner, _Books] = {}
        """Accounts whose entries are being read, in their order."""

    def run(self) -> None:
        """Everything, in turn."""
        try:
            self._entries()
        except UNREADABLE as error:
            self._tell("", "", f"an entry or its usage can't be read ({error}); no more of their sums was looked at")
        for workspace in sorted(self._reading.workspaces()):
            self._days(workspace)

    # Accounts

    def _entries(self) -> None:
        after: Row = ("", "", 0)
        judged: Owner = ("", "")
        while judged != _LAST:
            with self._reading.snapshot():
                lanes = {lane: (batch, entry) for lane, batch, entry in self._reading.rows("lanes")}
                rows = list(self._reading.rows("counted", *after, PAGE))
                self._add(rows, lanes)
                after = rows[-1][:3] if rows else after
                # Of the last one there may be more on the next page.
                until = _LAST if len(rows) < PAGE else self._last_but_one()
                if until is not None:
                    self._judge(judged, until, lanes)
                    judged = until

    def _last_but_one(self) -> Owner | None:
        owners = list(self._open)
        return owners[-2] if len(owners) > 1 else None

    def _add(self, rows: list[Row], lanes: dict[int, tuple[int, str]]) -> None:
        charges = self._charges(rows)
        for row in rows:
            books = self._open.setdefault(row[:2], _Books())
            try:
                books.add(row, lanes, charges)
                self._compare_usage(row)
            except (*UNREADABLE, ValueError, KeyError):
                # The walk over the entries themselves says what is wrong with it.
                books.readable = False

    def _charges(self, rows: list[Row]) -> dict[str, Dims]:
        """What the charges are about that these entries refund."""
        named: dict[str, Dims] = {}
        for row in rows:
            if row[6] == "refund":
                with suppress(*UNREADABLE):
                    named |= {charge: Dims() for charge, _, _ in _read(row).refunds}
        wanted = json.dumps([(charge, bucket_in(charge)) for charge in named if bucket_in(charge) is not None])
        for id, *columns in self._reading.rows("charges_named", wanted) if named else ():
            with suppress(*UNREADABLE):
                named[id] = read_counted(*columns).dims
        return named

    def _compare_usage(self, row: Row) -> None:
        """The row of an entry's usage."""
        workspace, account, number, id = *row[:3], row[5]
        entry, found = _read(row), row[10:]
        if not entry.has_usage:
            if found[0] is not None:
                self._tell(workspace, account, f"entry {number} carries no usage, but there is a row of it")
            return
        right = (
            id, workspace, account, bucket_of(workspace, account), entry.used_at, entry.at, *entry.dims, entry.chat,
            *entry.tokens, entry.spent, entry.cost, int(entry.unpriced),
        )  # fmt: skip
        if found[0] is None:
            self._tell(workspace, account, f"entry {number} carries usage, but there is no row of it")
        elif tuple(found) != right:
            self._tell(workspace, account, f"the row of the usage of entry {number} does not say what its entry does")

    def _judge(self, after: Owner, until: Owner, lanes: dict[int, tuple[int, str]]) -> None:
        """Hold the sums of all accounts up to one against what their entries add up to."""
        stored: dict[Owner, dict[Slot, Sums]] = {}
        for row in self._reading.rows("rollups_of_accounts", QUARTER_US, *after, *until):
            stored.setdefault(row[:2], {})[row[2], Dims(*row[3:7])] = sums_of(row[7:])
        archived = {row[:2]: row[2] for row in self._reading.rows("archived_until", *after, *until)}
        done = [owner for owner in self._open if owner <= until]
        for owner in sorted({*done, *stored}):
            books = self._open.pop(owner, None) or _Books()
            if books.readable:
                since = archived.get(owner, -1)
                right = _since(since, books.sums(lanes))
                self._compare(*owner, "its entries", right, _since(since, stored.get(owner, {})))

    def _compare(
        self, workspace: str, account: str, what: str, right: dict[Slot, Sums], found: dict[Slot, Sums]
    ) -> None:
        wrong = sorted(slot for slot in {*right, *found} if right.get(slot, Sums()) != found.get(slot, Sums()))
        if wrong:
            at, dims = wrong[0]
            where = f"{datetime.fromtimestamp(at / 1_000_000, UTC):%Y-%m-%d %H:%M}"
            about = " ".join(name for name in dims if name) or "nothing in particular"
            said = _difference(right.get(wrong[0], Sums()), found.get(wrong[0], Sums()))
            self._tell(workspace, account, f"sums differ from {what}, {len(wrong)} in all: {where} {about}: {said}")

    # All accounts together

    def _days(self, workspace: str) -> None:
        for day in self._days_of(workspace):
            accounts: dict[Slot, Sums] = {}
            quarters: dict[Slot, Sums] = {}
            stored: dict[Slot, Sums] = {}
            with self._reading.snapshot():
                spans = (QUARTER_US, DAY_US)
                for everybody, span, at, *columns in self._reading.rows(
                    "slots_of_day", workspace, *spans, day, day + DAY_US
                ):
                    into = accounts if not everybody else quarters if span == QUARTER_US else stored
                    into[at, Dims(*columns[:4])] = sums_of(columns[4:])
            self._compare(workspace, "", "those of the accounts", accounts, quarters)
            right: dict[Slot, Sums] = {}
            for (_, dims), sums in quarters.items():
                right.setdefault((day, dims), Sums()).add(sums)
            self._compare(workspace, "", "those of the quarters", right, stored)

    def _days_of(self, workspace: str) -> Iterator[int]:
        day = 0
        while True:
            asked = ((workspace, span, day) for span in (QUARTER_US, DAY_US))
            with self._reading.snapshot():
                (found,) = self._reading.rows("next_slot", *(value for each in asked for value in each))
            slots = [at for at in found if at is not None]
            if not slots:
                return
            first = min(slots)
            yield first - first % DAY_US
            day = first - first % DAY_US + DAY_US


def _difference(right: Sums, found: Sums) -> str:
    """The first sum that differs."""
    name = next(n for n in Sums.__struct_fields__ if getattr(right, n) != getattr(found, n))
    return f"{name} is {getattr(found, name):,} and should be {getattr(right, name):,}"
