"""Copying: moves a whole ledger from one database to another, whichever they are, and proves that it arrived.

A page of rows and the marker that says how far the copy is are one transaction of the target: a copy that was killed
goes on behind its last page. The marker is a row of the target's `config`; as long as it is there the target is no
ledger, and nothing may open it. It goes only when both sides agree: rows of each table, and per workspace the sums of
all accounts; and when who was asked to examine the target found nothing.

The source is locked against writing meanwhile, and only read.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from farthing.stores.copying import CopyError, InUse, Row, Side, Table, in_order, open_side
from farthing.stores.migrate import Status
from farthing.stores.schema import Place, is_postgres, schema_of

PAGE_ROWS = 5_000
PAGE_BYTES = 4_000_000
"""A page ends at whichever comes first."""
NOT_COPIED: Final = frozenset({"config", "migration", "retiring", "rollup", "lane"})
"""`config` is put in place at the end; which migrations were run is for each side itself to know; what reports are read
from is folded again out of the entries, unless some of these are archived."""
OWN_COLUMNS: Final = {"entry": frozenset({"lane", "batch"})}
"""How PostgreSQL's own writers number their commits; what is copied has none."""
SUMS: Final = ("balance", "held", "debt", "earned", "spent", "lapsed", "written_off")

Progress = Callable[[str, int, int], None]
"""What is done now, rows that are copied, rows in all (0: not known yet)."""
Examine = Callable[[Place], Sequence[str]]
"""Looks at the target and says what is wrong with it."""


class TargetNotEmpty(CopyError):
    """The target has data that no copy brought there."""

    code = "target_exists"


class SourceChanged(CopyError):
    """What was copied before is not what is there now."""

    code = "source_changed"


class SchemasDiffer(CopyError):
    """The two sides don't have the same tables."""

    code = "schemas_differ"


class Workspace(Struct):
    """What a workspace comes to; sums are smallest units."""

    scale: int = 0
    accounts: int = 0
    entries: int = 0
    keys: int = 0
    sums: dict[str, int] = {}


class Totals(Struct):
    """What a side has."""

    rows: dict[str, int]
    workspaces: dict[str, Workspace]
    config: dict[str, str]


class Marker(Struct, frozen=True):
    """How far a copy is."""

    source: str
    """What the source came to when it was begun, as a hash."""
    done: dict[str, int] = {}
    """Rows of each table."""
    table: str = ""
    """The one that is being copied."""
    after: tuple[int | str, ...] = ()
    """The key of its last row that was."""


class Planned(Struct, frozen=True):
    """A table as it is copied."""

    name: str
    read: Table
    """Of the source, in the order of its key."""
    written: Table
    skip: int
    """How many columns are read for the order alone."""

    def key_of(self, row: Row) -> tuple[int | str, ...]:
        """Where a row stands in the order."""
        return tuple(row[self.read.columns.index(column)] for column in self.read.key)


class Copied(Struct):
    """What became of a copy."""

    resumed: bool
    """Whether an earlier run had begun it."""
    rows: dict[str, int]
    """Of each table, in all."""
    totals: dict[str, Workspace]
    left_out: list[str]
    """Tables of the source that are not Farthing's."""
    differences: list[str]
    """What the two sides don't agree in."""
    findings: list[str] | None
    """What is wrong with the target; None where nobody looked."""
    seconds: float = 0

    @property
    def complete(self) -> bool:
        """The target is a ledger now."""
        return not self.differences and not self.findings


def copy(
    source: Place,
    target: Place,
    *,
    offline: bool = False,
    examine: Examine | None = None,
    on_progress: Progress = lambda *_: None,
) -> Copied:
    """Copy a ledger into a database that has just its schema, or go on with a copy that was begun. `offline` says that
    whoever else is connected to a PostgreSQL database of the two does not write."""
    began = time.monotonic()
    _require_apart(source, target)
    _require_same_migrations(_ledger(source), schema_of(target))
    with closing(open_side(source)) as here, closing(open_side(target)) as there, there.reserved(offline=offline):
        sums = here.has_rows("checkpoint")
        if sums:
            _require_folded(here)
        plan, left_out = _plan(here.tables(), there.tables(), NOT_COPIED - {"rollup"} if sums else NOT_COPIED)
        with here.held(["config", *(table.name for table in plan)], offline=offline):
            copying = _Copying(here, there, plan, on_progress)
            copied = copying.run()
            if sums:
                copying.call_folded()
        copied.left_out = left_out
        if examine is not None and not copied.differences:
            copied.findings = list(examine(target))
        if copied.complete:
            copying.finish()
    copied.seconds = time.monotonic() - began
    return copied


# Before anything is copied


def _require_apart(source: Place, target: Place) -> None:
    files = [Path(place) for place in (source, target) if not is_postgres(place)]
    same = len(files) == 2 and files[0].exists() and files[1].exists() and files[0].samefile(files[1])
    if same or source == target:
        raise CopyError("the source and the target are the same database")


def _ledger(source: Place) -> Status:
    """The source's migrations; there must be some."""
    status = schema_of(source)
    if not status.applied:
        raise CopyError("the source is empty: it has no ledger")
    return status


def _require_same_migrations(source: Status, target: Status) -> None:
    """Both sides have run all migrations there are, and so have the same tables."""
    for side, status in (("source", source), ("target", target)):
        if status.pending:
            raise SchemasDiffer(f"the {side} lacks {status.pending[0].file}: run `farthing migrate` on it first")
    # Newer code may have been at work on one of them.
    for side, one, other in (("source", target, source), ("target", source, target)):
        if newer := one.applied[len(other.applied) :]:
            raise SchemasDiffer(f"the {side} lacks {newer[0].file}, which is of a newer Farthing: copy with that one")


def _require_folded(source: Side) -> None:
    """Sums of what is archived can't be made again: they are copied, and then they have to be complete."""
    if source.ask("unfolded"):
        raise CopyError(
            "some entries are not in the sums of reports yet, which can't be made again where entries are archived: "
            "run `farthing worker --once` on the source first"
        )


def _plan(
    source: dict[str, Table], target: dict[str, Table], left_out: frozenset[str]
) -> tuple[list[Planned], list[str]]:
    """The tables in the order in which they are copied, with the columns that both sides have; and what is left out."""
    plan = []
    for name in in_order(target):
        if name in left_out:
            continue
        if name not in source:
            raise SchemasDiffer(f"the target has a table {name}, which the source lacks: take a target of its own")
        plan.append(_shared(source[name], target[name]))
    return plan, sorted(source.keys() - target.keys())


def _shared(source: Table, target: Table) -> Planned:
    """The columns that both have. A primary key that one side alone has is a row number of its own: the source's is
    read, for the order, and not written; the target gives its own."""
    own = OWN_COLUMNS.get(source.name, frozenset())
    for one, other in ((source, target), (target, source)):
        missing = set(one.columns) - set(other.columns) - own
        if missing and missing != set(one.key):
            raise SchemasDiffer(f"only one side has the column {min(missing)} of {source.name}")
    shared = tuple(column for column in source.columns if column in target.columns and column not in own)
    numbered = () if set(source.key) <= set(shared) else source.key
    read = Table(source.name, (*numbered, *shared), source.key)
    return Planned(source.name, read, Table(source.name, shared, target.key), len(numbered))


# The copy itself


class _Copying:
    """One run of a copy."""

    def __init__(self, source: Side, target: Side, plan: Sequence[Planned], on_progress: Progress) -> None:
        self._source = source
        self._target = target
        self._plan = plan
        self._on_progress = on_progress
        self._stored = ""
        """The marker as the target has it, in its own words: who changes it must know them."""
        self._all = 0

    def run(self) -> Copied:
        """Copy what is missing, then hold both sides against each other."""
        self._on_progress("counting the source", 0, 0)
        expected = self._totals(self._source)
        self._all = sum(expected.rows.values())
        marker, resumed = self._begin(expected)
        for table in self._not_done(marker):
            marker = self._copy(table, marker)
        self._put_config(expected)
        self._on_progress("counting the target", self._all, self._all)
        found = self._totals(self._target)
        return Copied(resumed, found.rows, found.workspaces, [], list(_differences(expected, found)), None)

    def call_folded(self) -> None:
        """All entries that were copied are in the sums that were copied."""
        with self._target.transaction():
            self._target.ask("call_folded")

    def finish(self) -> None:
        """The target is a ledger from now on."""
        with self._target.transaction():
            self._require_ours(self._target.ask("end", self._stored))

    # The marker

    def _begin(self, expected: Totals) -> tuple[Marker, bool]:
        """The marker of an earlier run, or a new one in a target without data."""
        if self._source.ask("marker"):
            raise CopyError("the source is itself a copy that was not finished")
        digest = _digest(expected)
        with self._target.transaction():
            for (text,) in self._target.ask("marker"):
                marker = msgspec.json.decode(text, type=Marker)
                if marker.source != digest:
                    raise SourceChanged(
                        "the source was written to since this copy was begun, or is another one: "
                        "begin anew with an empty target"
                    )
                self._stored = text
                return marker, True
            full = [table.name for table in self._plan if self._target.has_rows(table.name)]
            if full:
                raise TargetNotEmpty(f"the target has data of its own ({', '.join(full)}): nothing was changed")
            marker = Marker(digest)
            self._stored = _write(marker)
            self._target.ask("begin", self._stored)
        return marker, False

    def _move(self, marker: Marker) -> None:
        """Put the marker on; in the transaction of what it tells of."""
        text = _write(marker)
        self._require_ours(self._target.ask("move", text, self._stored))
        self._stored = text

    def _require_ours(self, moved: list[Row]) -> None:
        if not moved:
            raise InUse("another copy is at work on this target: let it end, then look again")

    # Rows

    def _not_done(self, marker: Marker) -> list[Planned]:
        """The tables that are left, the one that was begun first."""
        names = [table.name for table in self._plan]
        return list(self._plan[names.index(marker.table) if marker.table else 0 :])

    def _copy(self, table: Planned, marker: Marker) -> Marker:
        """Copy a table, page by page, behind the key that the marker names."""
        after = marker.after if marker.table == table.name else ()
        for page in _pages(self._source.stream(table.read, after)):
            done = marker.done | {table.name: marker.done.get(table.name, 0) + len(page)}
            marker = Marker(marker.source, done, table.name, table.key_of(page[-1]))
            with self._target.transaction():
                self._target.put(table.written, [row[table.skip :] for row in page] if table.skip else page)
                self._move(marker)
            self._on_progress(table.name, sum(done.values()), self._all)
        return marker

    def _put_config(self, expected: Totals) -> None:
        """What processes watch, as the source has it; a migration has put its own there."""
        with self._target.transaction():
            self._target.ask("clear_config")
            for name, value in expected.config.items():
                self._target.ask("set_config", name, value)
            self._target.go_on_numbering()
            self._require_ours(self._target.ask("move", self._stored, self._stored))

    # Both sides held against each other

    def _totals(self, side: Side) -> Totals:
        found: dict[str, Workspace] = {}
        for workspace, scale in side.ask("scales"):
            found[workspace] = Workspace(scale)
        for workspace, accounts, *halves in side.ask("accounts"):
            each = found.setdefault(workspace, Workspace())
            each.accounts = accounts
            each.sums = dict(zip(SUMS, map(_whole, halves[::2], halves[1::2]), strict=True))
        for workspace, entries in side.ask("entries"):
            found.setdefault(workspace, Workspace()).entries = entries
        for workspace, keys in side.ask("keys"):
            found.setdefault(workspace, Workspace()).keys = keys
        rows = {table.name: side.count(table.name) for table in self._plan}
        return Totals(rows, dict(sorted(found.items())), dict(side.ask("config")))


def _whole(high: Any, low: Any) -> int:
    return (int(high) << 32) + int(low)


def _differences(source: Totals, target: Totals) -> Iterator[str]:
    for table, rows in source.rows.items():
        if target.rows[table] != rows:
            yield f"{table} has {rows:,} rows in the source and {target.rows[table]:,} in the target"
    for name in sorted(source.workspaces.keys() | target.workspaces.keys()):
        one, other = source.workspaces.get(name), target.workspaces.get(name)
        if one != other:
            yield f"workspace {name}: the source comes to {_in_words(one)}, the target to {_in_words(other)}"
    if source.config != target.config:
        yield "the table config is not the same"


def _in_words(totals: Workspace | None) -> str:
    return "nothing" if totals is None else msgspec.json.encode(totals).decode()


def _digest(totals: Totals) -> str:
    return sha256(msgspec.json.encode(totals, order="sorted")).hexdigest()


def _write(marker: Marker) -> str:
    return msgspec.json.encode(marker).decode()


def _pages(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows in pages that memory has room for."""
    page: list[Row] = []
    size = 0
    for row in rows:
        page.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(page) >= PAGE_ROWS or size >= PAGE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page
