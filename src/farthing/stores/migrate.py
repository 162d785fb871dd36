"""The schema over time: numbered SQL files, each run once, in order, in a transaction of its own.

The files are `sql/<dialect>/NNNN_name.sql`, numbered 1, 2, 3 without a gap; other SQL files beside them are
none of this file's business. What was run is remembered with its hash in the table `migration`, and always
is a prefix of the files. A file whose first or second line is `-- farthing: post` takes something away that
old code still needs: it is run when the new code is everywhere, and the new code runs without it. The
others are `pre`: the new code needs them.

Finding and checking know no database; the SQLite runner is the last third.
"""

import re
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal

import apsw
from msgspec import Struct

Phase = Literal["pre", "post"]
PHASES: tuple[Phase, ...] = ("pre", "post")
APPLICATION_ID = int.from_bytes(b"FRTH")
"""In the header of a SQLite file: says whose it is."""

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


class Status(Struct, frozen=True):
    """Where a database stands. `pending` continues `applied`."""

    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]


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
    """This database is of a newer Farthing: it has {file}, this one ends at number {known}: upgrade it."""


class NotOurs(MigrationError):
    """This database is not Farthing's ({why}): nothing was changed; name another file."""


class PendingMigrations(MigrationError):
    """This database is older than this Farthing, {count} to run from {file} on: run `farthing migrate`."""


class FailedMigration(MigrationError):
    """{file} failed and left nothing behind: {error}"""


class DatabaseBusy(MigrationError):
    """Another process kept the database locked for {seconds} s: try again when it is done."""


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
    if applied and applied[-1].id > len(migrations):
        raise DatabaseNewer(id=applied[-1].id, file=applied[-1].file, known=len(migrations))
    for expected, (done, migration) in enumerate(zip(applied, migrations, strict=False), start=1):
        if done.id != expected:
            raise LostMigration(id=expected, file=migrations[done.id - 1].file)
        if done.sha256 != migration.sha256:
            raise EditedMigration(id=migration.id, file=migration.file)
    return Status(applied, migrations[len(applied) :])


def require_current(status: Status) -> None:
    """Raise unless the code may run on this database; a pending `post` by itself is no obstacle."""
    if any(migration.phase == "pre" for migration in status.pending):
        raise PendingMigrations(count=len(status.pending), file=status.pending[0].file)


def check(conn: apsw.Connection, migrations: tuple[Migration, ...]) -> Status:
    """Where a SQLite database stands; it is only read."""
    if not _is_ours(conn):
        return Status((), migrations)
    rows = conn.execute("select id, name, sha256, applied_at from migration order by id")
    return compare(tuple(Applied(*row) for row in rows), migrations)


def _is_ours(conn: apsw.Connection) -> bool:
    """False for an empty database; raise for somebody else's."""
    # One statement is one snapshot: another runner may be at work.
    query = """select (select application_id from pragma_application_id), count(*), total(name = 'migration')
               from sqlite_master where type in ('table', 'view')"""
    try:
        owner, tables, ours = conn.execute(query).get
    except apsw.NotADBError as error:
        raise NotOurs(why="it is no SQLite database") from error
    if owner not in (0, APPLICATION_ID):
        raise NotOurs(why=f"its application id is {owner:#x}")
    if tables and owner == 0:
        raise NotOurs(why=f"it has {tables} tables of another program")
    if owner and not ours:
        raise NotOurs(why="it has our application id, but no table of migrations")
    return bool(tables)


def migrate(
    conn: apsw.Connection,
    migrations: tuple[Migration, ...],
    now_us: int,
    *,
    phases: tuple[Phase, ...] = PHASES,
    on_step: Callable[[Migration], None] = lambda _: None,
    wait_seconds: int = 60,
) -> list[Migration]:
    """Run what is pending, up to the first file of another phase; return what was run.

    `on_step` hears of each file before it is run. Of several runners one works, and the others wait for it.
    """
    done: list[Migration] = []
    patience = conn.pragma("busy_timeout")
    conn.set_busy_timeout(wait_seconds * 1000)
    try:
        while _next(conn, migrations, phases) is not None:
            if migration := _step(conn, migrations, now_us, phases, on_step):
                done.append(migration)
    except apsw.BusyError as error:
        raise DatabaseBusy(seconds=wait_seconds) from error
    finally:
        conn.set_busy_timeout(patience)
    return done


def _next(conn: apsw.Connection, migrations: tuple[Migration, ...], phases: tuple[Phase, ...]) -> Migration | None:
    pending = check(conn, migrations).pending
    return pending[0] if pending and pending[0].phase in phases else None


def _step(
    conn: apsw.Connection,
    migrations: tuple[Migration, ...],
    now_us: int,
    phases: tuple[Phase, ...],
    on_step: Callable[[Migration], None],
) -> Migration | None:
    """Run one file in one transaction; None if another runner was faster."""
    conn.execute("begin immediate")
    try:
        migration = _next(conn, migrations, phases)
        if migration is not None:
            on_step(migration)
            _run(conn, migration, now_us)
        conn.execute("commit")
    except BaseException:
        if conn.in_transaction:  # a full disk has rolled back by itself
            conn.execute("rollback")
        raise
    return migration


def _run(conn: apsw.Connection, migration: Migration, now_us: int) -> None:
    """Run a file's statements and write down that they were run."""
    if migration.id == 1:
        conn.execute(
            f"pragma application_id = {APPLICATION_ID};"
            "create table migration (id integer primary key, name text not null, sha256 text not null,"
            " applied_at integer not null) strict"
        )
    authorizer, conn.authorizer = conn.authorizer, _keep_transaction
    try:
        conn.execute(migration.sql)
    except apsw.Error as error:
        raise FailedMigration(file=migration.file, id=migration.id, error=error) from error
    finally:
        conn.authorizer = authorizer
    record = (migration.id, migration.name, migration.sha256, now_us)
    conn.execute("insert into migration (id, name, sha256, applied_at) values (?, ?, ?, ?)", record)


def _keep_transaction(action: int, *_: object) -> int:
    """A file may not end or nest the transaction it is run in."""
    return apsw.SQLITE_DENY if action in (apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT) else apsw.SQLITE_OK
