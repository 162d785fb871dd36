"""The schema over time: numbered SQL files, each run once, in order, in a transaction of its own.

The files are `sql/<dialect>/NNNN_name.sql`, numbered 1, 2, 3 without a gap, with the same numbers and names for every
database; other SQL files beside them are none of this file's business. What was run is remembered with its hash in the
table `migration`, and always is a prefix of the files. A file whose first or second line is `-- farthing: post` takes
something away that old code still needs: it is run when the new code is everywhere, and the new code runs without it.
The others are `pre`: the new code needs them, and the old code goes on beside them.

Finding and comparing know no database; what does is beside it, in `migrate_sqlite.py` and `migrate_postgres.py`.
"""

import re
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Literal, TypeAlias

import apsw
from msgspec import Struct

if TYPE_CHECKING:
    from .postgres_sync import SyncConnection

Phase = Literal["pre", "post"]
PHASES: tuple[Phase, ...] = ("pre", "post")
WAIT_SECONDS = 60
"""How long a runner waits for others before it gives up."""
APPLIED = "select * from migration order by id"
"""What was run on a database; its rows are those of `Applied`."""

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_MARKER = re.compile(r"--\s*farthing:\s*(.*?)\s*")


class _Numbered(Struct, frozen=True):
    id: int
    name: str
    sha256: str

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.id:04}_{self.name}.sql"


class Migration(_Numbered, frozen=True):
    """One file."""

    sql: str
    phase: Phase


class Applied(_Numbered, frozen=True):
    """One file that was run, as the database remembers it."""

    applied_at: int
    phase: Phase = "pre"
    """Not remembered by the first version, which had nothing else."""


class Status(Struct, frozen=True):
    """Where a database stands. `pending` continues `applied`."""

    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]
    copying: bool = False
    """A copy into it was begun, and is not complete."""


class MigrationError(Exception):
    """The schema is not what this program needs. The docstring of each kind is its message."""

    def __init__(self, **facts: object) -> None:
        sentence = " ".join((type(self).__doc__ or type(self).__name__).split())
        super().__init__(sentence.format(**facts))
        self.facts = facts


class MisnamedMigration(MigrationError):
    """{file} is no name for a migration: it takes four digits and small letters, as in 0002_add_lanes.sql."""


class UnknownPhase(MigrationError):
    """{file} says "farthing: {phase}" at its top; only "pre" and "post" are known."""


class DuplicateMigration(MigrationError):
    """{file} and {other} both have number {id}: give the newer one the next free number."""


class MissingMigration(MigrationError):
    """Number {id} is missing before {file}: migrations are numbered 1, 2, 3 without a gap."""


class EditedMigration(MigrationError):
    """{file} was changed after it had been run on this database: put number {id} back and make a new one."""


class LostMigration(MigrationError):
    """{file} was run on this database, but number {id} before it was not: restore a backup."""


class DatabaseNewer(MigrationError):
    """{file} of a newer Farthing took away what this one needs, which ends at number {known}: upgrade it."""


class NotOurs(MigrationError):
    """This database is not Farthing's ({why}): nothing was changed; name another."""


class PendingMigrations(MigrationError):
    """This database is older than this Farthing, {count} to run from {file} on: run `farthing migrate`."""


class UnfinishedCopy(MigrationError):
    """A copy into this database is not complete: run the same `farthing copy` again, or empty it."""


class FailedMigration(MigrationError):
    """{file} failed and left nothing behind: {error}"""


class DatabaseBusy(MigrationError):
    """Another process kept the database locked for {seconds} s: try again when it is done."""


class TableBusy(MigrationError):
    """{file} was given up after {seconds} s and left nothing behind: others kept its tables locked; try again later."""


class WrongEncoding(MigrationError):
    """This database keeps text as {encoding}, Farthing needs UTF8: create another with `encoding 'UTF8'`."""


def discover(dialect: str) -> tuple[Migration, ...]:
    """The migrations that this installation carries."""
    folder = resources.files(__package__) / "sql" / dialect
    return read(folder.iterdir())


def read(files: Iterable[Traversable]) -> tuple[Migration, ...]:
    """The migrations among `files`, in order, their numbers checked."""
    found = [_parse(file.name, file.read_bytes()) for file in files if _is_numbered(file.name)]
    found.sort(key=lambda migration: (migration.id, migration.name))
    for expected, migration in enumerate(found, start=1):
        if migration.id < expected:
            raise DuplicateMigration(id=migration.id, file=migration.file, other=found[expected - 2].file)
        if migration.id > expected:
            raise MissingMigration(id=expected, file=migration.file)
    return tuple(found)


def _is_numbered(name: str) -> bool:
    return name[:1].isdigit() and name.endswith(".sql")


def _parse(name: str, content: bytes) -> Migration:
    parts = _FILE.fullmatch(name)
    if parts is None:
        raise MisnamedMigration(file=name)
    # A checkout with other line ends is the same file.
    content = content.replace(b"\r\n", b"\n")
    sql = content.decode()
    return Migration(int(parts[1]), parts[2], sha256(content).hexdigest(), sql, _phase(name, sql))


def _phase(name: str, sql: str) -> Phase:
    for line in sql.split("\n", 2)[:2]:
        if marker := _MARKER.fullmatch(line):
            for phase in PHASES:
                if marker[1] == phase:
                    return phase
            raise UnknownPhase(file=name, phase=marker[1])
    return "pre"


def compare(applied: tuple[Applied, ...], migrations: tuple[Migration, ...]) -> Status:
    """Hold what a database remembers (in order) against the files."""
    # What newer code has added does not hurt; what it has taken away does.
    for done in applied[len(migrations) :]:
        if done.phase == "post":
            raise DatabaseNewer(id=done.id, file=done.file, known=len(migrations))
    for expected, (done, migration) in enumerate(zip(applied, migrations, strict=False), start=1):
        if done.id != expected:
            raise LostMigration(id=expected, file=migrations[done.id - 1].file)
        if done.sha256 != migration.sha256:
            raise EditedMigration(id=migration.id, file=migration.file)
    return Status(applied, migrations[len(applied) :])


def require_current(status: Status) -> None:
    """Raise unless the code may run on this database; a pending `post` by itself is no obstacle."""
    if status.copying:
        raise UnfinishedCopy
    if any(migration.phase == "pre" for migration in status.pending):
        raise PendingMigrations(count=len(status.pending), file=status.pending[0].file)


def next_of(status: Status, phases: tuple[Phase, ...]) -> Migration | None:
    """The next to run; None when there is none, or when it is for another time."""
    return status.pending[0] if status.pending and status.pending[0].phase in phases else None


Connection: TypeAlias = "apsw.Connection | SyncConnection"
"""Open on a SQLite file, or on a PostgreSQL database."""


def check(db: "Connection", migrations: tuple[Migration, ...]) -> Status:
    """Where a database stands; it is only read."""
    if isinstance(db, apsw.Connection):
        from . import migrate_sqlite

        return migrate_sqlite.check(db, migrations)
    from . import migrate_postgres

    return migrate_postgres.check(db, migrations)


def migrate(
    db: "Connection",
    migrations: tuple[Migration, ...],
    now_us: int,
    *,
    phases: tuple[Phase, ...] = PHASES,
    on_step: Callable[[Migration], None] = lambda _: None,
    wait_seconds: int = WAIT_SECONDS,
) -> list[Migration]:
    """Run what is pending, up to the first file of another phase; return what was run.

    `on_step` hears of each file before it is run (again, where it has to be tried again). Of several runners one works,
    and the others wait for it.
    """
    if isinstance(db, apsw.Connection):
        from . import migrate_sqlite

        return migrate_sqlite.migrate(db, migrations, now_us, phases, on_step, wait_seconds)
    from . import migrate_postgres

    return migrate_postgres.migrate(db, migrations, now_us, phases, on_step, wait_seconds)
