"""Statement: an account's entries in a period between two balances, and what all of it says, wherever it is told.

Opening and the amounts of all entries come to the closing: the books prove themselves (`adds_up`).
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from .amounts import write_amount
from .records import Entry
from .refundable import read_body
from .tables import Number, csv_rows

COLUMNS: Final = (
    "line", "number", "at", "kind", "amount", "balance", "held", "debt", "operation", "description", "key", "ref", "id",
)  # fmt: skip
_AMOUNTS: Final = frozenset({"number", "amount", "balance", "held", "debt"})
_WriteTime = Callable[[int], str]
_Row = dict[str, Any]


class Sums(Struct, frozen=True):
    """What an account had at an edge of the period."""

    balance: int = 0
    held: int = 0
    debt: int = 0


class KindTotal(Struct):
    """All entries of a kind."""

    kind: str
    entries: int = 0
    amount: int = 0


class Statement(Struct, frozen=True, kw_only=True):
    """A period of an account."""

    workspace: str
    account: str
    start: int
    end: int
    """The first instant that is not included."""
    every: bool
    """All entries are lines of it, not only those that moved the balance."""
    first: int
    """The number of its first entry."""
    stop: int
    """One more than that of its last."""
    opening: Sums
    closing: Sums


def sums_after(entry: Entry) -> Sums:
    """What an account had after an entry."""
    return Sums(entry.balance, entry.held, entry.debt)


def adds_up(statement: Statement, totals: Iterable[KindTotal]) -> bool:
    """Whether opening and entries come to the closing."""
    return statement.opening.balance + sum(t.amount for t in totals) == statement.closing.balance


def write_sums(sums: Sums, scale: int) -> dict[str, str]:
    """An edge, as decimal text."""
    return {name: write_amount(getattr(sums, name), scale) for name in ("balance", "held", "debt")}


def write_totals(totals: Iterable[KindTotal], scale: int) -> list[_Row]:
    """Totals, as decimal text."""
    return [{"kind": t.kind, "entries": t.entries, "amount": write_amount(t.amount, scale)} for t in totals]


def line_facts(entry: Entry, scale: int, write_time: _WriteTime) -> _Row:
    """An entry by the names of `COLUMNS`; one that is not booked yet has no id."""
    return {
        "number": entry.number,
        "at": write_time(entry.at),
        "kind": entry.kind,
        "amount": write_amount(entry.amount, scale),
        "balance": write_amount(entry.balance, scale),
        "held": write_amount(entry.held, scale),
        "debt": write_amount(entry.debt, scale),
        "operation": entry.operation or None,
        "description": entry.description,
        "key": entry.key,
        "ref": read_body(entry).ref or None,
        "id": entry.id or None,
    }


# As CSV: a row for the opening, one for each entry, one for each kind, and the closing at its end


def csv_opening(at: str, opening: _Row) -> bytes:
    """The header, and the first row."""
    return csv_rows([COLUMNS, _cells("opening", {"at": at, **opening})]).encode()


def csv_lines(lines: Iterable[_Row]) -> bytes:
    """Rows of entries."""
    return csv_rows([_cells("entry", line) for line in lines]).encode()


def csv_closing(at: str, totals: Iterable[_Row], closing: _Row) -> bytes:
    """The last rows; a file that does not end with the closing is not whole."""
    rows = [_cells("total", {"kind": t["kind"], "amount": t["amount"]}) for t in totals]
    return csv_rows([*rows, _cells("closing", {"at": at, **closing})]).encode()


def _cells(line: str, row: _Row) -> list[str]:
    cells = [line]
    for name in COLUMNS[1:]:
        value = row.get(name)
        text = "" if value is None else str(value)
        cells.append(Number(text) if name in _AMOUNTS else text)
    return cells
