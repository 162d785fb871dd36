"""The two sides of a copy: what is read of one database and written to another, whatever each of them is.

Which tables there are, their columns, keys and order, is asked of the databases: a table that a later migration makes
is copied without a word here. How each side does it is in `copying_sqlite.py` and `copying_postgres.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from .contract import StoreError
from .schema import Place, is_postgres

Row = tuple[Any, ...]


class CopyError(StoreError):
    """A copy that can't be made, or not finished."""

    code = "copy_failed"


class InUse(CopyError):
    """Somebody else has one of the two databases."""

    code = "in_use"


class Table(Struct, frozen=True):
    """A table of one side."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """Its primary key: what its rows are read in the order of."""
    refers: frozenset[str] = frozenset()
    """Tables whose rows have to be there before its own."""


class Side(Protocol):
    """One database of a copy, open."""

    def tables(self) -> dict[str, Table]:
        """All its tables by name."""

    def held(self, tables: Sequence[str], *, offline: bool) -> AbstractContextManager[None]:
        """Until it ends nobody writes to these tables; raises `InUse` where somebody serves them. `offline` says that
        who else is connected does not."""

    def reserved(self, *, offline: bool) -> AbstractContextManager[None]:
        """Nobody serves it, and as far as that can be kept from here nobody begins to until it ends."""

    def ask(self, name: str, *values: Any) -> list[Row]:
        """All rows of a statement of the slice `copying`."""

    def count(self, table: str) -> int:
        """How many rows a table has."""

    def has_rows(self, table: str) -> bool:
        """Whether a table has a row."""

    def stream(self, table: Table, after: Sequence[Any]) -> Iterator[Row]:
        """The rows behind that key (all, without one) in the order of the key, as they are asked for."""

    def transaction(self) -> AbstractContextManager[None]:
        """What is put within is on the disk when it ends."""

    def put(self, table: Table, rows: Sequence[Row]) -> None:
        """Append rows."""

    def go_on_numbering(self) -> None:
        """Numbers that the database itself gives out go on behind those that came with the rows."""

    def close(self) -> None:
        """Let go of it."""


def open_side(place: Place) -> Side:
    """One side of a copy."""
    if is_postgres(place):
        from .copying_postgres import PostgresSide

        return PostgresSide(str(place))
    from .copying_sqlite import SqliteSide

    return SqliteSide(Path(place))


def tables_from(columns: Iterable[Row], references: Iterable[Row]) -> dict[str, Table]:
    """Tables out of rows (table, column, place in the key or 0) and (table, the one it refers to)."""
    found: dict[str, list[tuple[str, int]]] = {}
    for table, column, place in columns:
        found.setdefault(table, []).append((column, place))
    refers: dict[str, set[str]] = {}
    for table, other in references:
        refers.setdefault(table, set()).add(other)
    return {
        name: Table(
            name,
            tuple(column for column, _ in listed),
            tuple(column for column, place in sorted(listed, key=lambda each: each[1]) if place),
            frozenset(refers.get(name, set()) - {name}),
        )
        for name, listed in found.items()
    }


def in_order(tables: dict[str, Table]) -> list[str]:
    """Their names, each after those that it refers to."""
    return list(TopologicalSorter({name: sorted(tables[name].refers) for name in sorted(tables)}).static_order())


def select(table: Table, mark: str, after: Sequence[Any]) -> str:
    """The statement that reads a table in the order of its key; `mark` is how a value is written, with its number."""
    key = names(table.key)
    marks = ", ".join(mark.format(n) for n in range(1, len(after) + 1))
    behind = f" where ({key}) > ({marks})" if after else ""
    return f"select {names(table.columns)} from {quoted(table.name)}{behind} order by {key}"


def quoted(name: str) -> str:
    """A name that may be a word of SQL."""
    return '"' + name.replace('"', '""') + '"'


def names(columns: Iterable[str]) -> str:
    """Columns in a statement."""
    return ", ".join(map(quoted, columns))
