"""What tests share: a ledger on a real SQLite file, driven by hand, batch by batch, with a clock that stands still.

`Book.do` plays one command as a batch of one; `Book.batch` plays several as one batch. Nothing runs between the calls:
the engine's loop is a list of callbacks that the book itself empties.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, cast

import apsw
import msgspec

from farthing.app import Ledger
from farthing.clock import ClockGuard, FakeClock
from farthing.core.commands import Command
from farthing.core.context import Context
from farthing.core.credentials import Credential
from farthing.core.ids import bucket_of, make_id
from farthing.core.outcomes import Accepted, Outcome, Refused
from farthing.core.records import Account, Charge, Entry, Hold, Workspace, WorkspaceSettings
from farthing.core.refundable import charge_of
from farthing.core.usage import Metered, Priced, Usage
from farthing.engine import MAX_BATCH, MAX_QUEUE, Engine, Observer, Result
from farthing.stores import migrate, sqlite
from farthing.stores.contract import Store
from farthing.stores.rows import read_account
from farthing.timezones import calendar, months_after

UNIT = 10**6
"""One credit in smallest units, at the default scale."""
START_US = 1_767_225_600_000_000
"""2026-01-01 00:00 UTC, where the fake clock begins."""
MAIN = Workspace("main", "Main", "live", "credits", 6, START_US, WorkspaceSettings())


class ManualLoop:
    """Stands in for an event loop: keeps what it is asked to call until `run`."""

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self._calls.append((callback, args))

    def run(self) -> None:
        """Call all that waits, and what those calls add."""
        while self._calls:
            callback, args = self._calls.pop(0)
            callback(*args)


class SteadyIds:
    """Ids in the order in which they are made, the same in every run."""

    def __init__(self, made: int = 0) -> None:
        self.made = made

    def __call__(self, prefix: str, at: int, bucket: int) -> str:
        self.made += 1
        return make_id(prefix, at, 0, self.made, bucket)


@cache
def migrated() -> bytes:
    """A file that was migrated, without a workspace: made once in each process, since it is always the same."""
    with closing(sqlite.connect(":memory:", create=True)) as db:
        migrate.migrate(db, migrate.discover("sqlite"), START_US)
        return db.serialize("main")


def lay(path: Path) -> None:
    """Put a migrated file there, so that opening it finds nothing to do; its rights are those that the program gives.
    (The migrations themselves are proven in tests/stores.)"""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(migrated())


def new_database(path: Path | str, workspaces: Iterable[Workspace] = (MAIN,)) -> apsw.Connection:
    """A migrated database with workspaces, open."""
    if path == ":memory:":
        db = sqlite.connect(path, create=True)
        db.deserialize("main", migrated())
    else:
        lay(Path(path))
        db = sqlite.connect(path)
    for w in workspaces:
        add_workspace(db, w)
    return db


def add_workspace(db: apsw.Connection, w: Workspace) -> None:
    settings = msgspec.json.encode(w.settings).decode()
    db.execute(
        "insert into workspace (id, name, mode, unit, scale, created_at, settings) values (?, ?, ?, ?, ?, ?, ?)",
        (w.id, w.name, w.mode, w.unit, w.scale, w.created_at, settings),
    )


class Book:
    """A ledger that is driven by hand."""

    def __init__(
        self,
        path: Path | str = ":memory:",
        workspaces: Iterable[Workspace] = (MAIN,),
        *,
        clock: FakeClock | None = None,
        durable: bool = True,
        wrap: Callable[[Store], Store] = lambda store: store,
        observer: Observer | None = None,
        max_batch: int = MAX_BATCH,
        max_queue: int = MAX_QUEUE,
    ) -> None:
        self.path = path
        self.clock = clock or FakeClock(START_US)
        self._ids = SteadyIds()
        self._durable = durable
        self._wrap = wrap
        self._options: dict[str, Any] = {"observer": observer, "max_batch": max_batch, "max_queue": max_queue}
        self._options["months_after"] = months_after
        self._begin(new_database(path, workspaces))

    def _begin(self, db: apsw.Connection) -> None:
        if not self._durable:
            # For walks of many thousand steps, which prove rules and not disks.
            db.pragma("synchronous", "off")
        self.db = db
        self.loop = ManualLoop()
        self.guard = ClockGuard(self.clock)
        self.engine = Engine(self._wrap(sqlite.SqliteStore(db)), self.guard, calendar, **self._options)
        self.engine._ids = self._ids  # type: ignore[assignment]
        self.engine.start(cast(asyncio.AbstractEventLoop, self.loop))

    # Asking

    def batch(self, *commands: Command) -> list[Result]:
        """Submit all, then let the engine run: one batch, unless its rules split it."""
        results: dict[int, Result] = {}
        for position, command in enumerate(commands):
            self.engine.submit(command, lambda result, position=position: _once(results, position, result))  # type: ignore[misc]
        self.loop.run()
        return [results[position] for position in range(len(commands))]

    def do(self, command: Command) -> Outcome:
        """Play one command; a machine failure is raised."""
        (result,) = self.batch(command)
        if isinstance(result, Exception):
            raise result
        return result

    def play(self, commands: Iterable[Command]) -> list[Outcome]:
        """Play commands one after another, each as a batch of one."""
        return [self.do(command) for command in commands]

    def accept(self, command: Command) -> Entry:
        """Play a command that must be accepted; its entry."""
        return entry_of(self.do(command))

    def refuse(self, command: Command) -> Refused:
        """Play a command that must be refused."""
        outcome = self.do(command)
        assert isinstance(outcome, Refused), outcome
        return outcome

    def late(self, command: Command) -> list[Result]:
        """Submit a command without running; what comes of it is in the list once the loop has run."""
        told: list[Result] = []
        self.engine.submit(command, told.append)
        return told

    # Looking

    def account(self, account: str = "alice", workspace: str = "main") -> Account | None:
        """The account's row as it is stored."""
        row = self.db.execute(sqlite.SELECT_ACCOUNT, (workspace, account, bucket_of(workspace, account))).fetchone()
        return None if row is None else read_account(row)

    def row(self, account: str = "alice", workspace: str = "main") -> Account:
        """The row of an account that must be there."""
        found = self.account(account, workspace)
        assert found is not None
        return found

    def entries(self, account: str = "alice", workspace: str = "main", after: int = 0) -> list[Entry]:
        """The account's entries, oldest first."""
        where = "workspace = ? and account = ? and number > ? order by number"
        rows = self.db.execute(f"select {sqlite.ENTRY_COLUMNS} from entry where {where}", (workspace, account, after))
        return [Entry(*row) for row in rows]

    def charge(self, entry_id: str) -> Charge:
        """What became of a charge: its row, or what its entry says."""
        for (terms,) in self.db.execute("select terms from charge where id = ?", (entry_id,)):
            return msgspec.json.decode(terms, type=Charge)
        (row,) = self.db.execute(f"select {sqlite.ENTRY_COLUMNS} from entry where id = ?", (entry_id,))
        return charge_of(Entry(*row))

    def hold(self, hold_id: str) -> Hold:
        ((terms,),) = self.db.execute("select terms from hold where id = ?", (hold_id,))
        return msgspec.json.decode(terms, type=Hold)

    def count(self, table: str) -> int:
        ((rows,),) = self.db.execute(f"select count(*) from {table}")
        return cast(int, rows)

    # Living on

    def restart(self) -> None:
        """Close the engine and the file, then open the file again."""
        self.engine.close()
        self._begin(sqlite.connect(self.path))

    def close(self) -> None:
        self.engine.close()


def _once(results: dict[int, Result], position: int, result: Result) -> None:
    assert position not in results, "a command was answered twice"
    results[position] = result


def entry_of(outcome: Result) -> Entry:
    """The entry of a command that must have been accepted."""
    assert isinstance(outcome, Accepted), outcome
    assert outcome.entry is not None
    return outcome.entry


def grant_id(entry: Entry) -> str:
    """The grant that an entry made."""
    return "grt" + entry.id[3:]


def hold_id(entry: Entry) -> str:
    """The hold that an entry made."""
    return "hold" + entry.id[3:]


def is_live(credential: Credential, now_us: int) -> bool:
    """Whether a key may be used, by its row: at the very instant of its end it no longer may."""
    return all(end is None or now_us < end for end in (credential.expires_at, credential.revoked_at))


async def config_version(ledger: Ledger) -> int:
    """What every change of what processes cache raises."""
    ((version,),) = await ledger.database.rows("select value from config where name = 'version'")
    return int(version)


class WrappedStore:
    """A store around another; tests override what they want to break."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def suspends(self) -> bool:
        return self.store.suspends

    async def load(self, commands: Sequence[Command], context: Context, *, again: bool = False) -> None:
        await self.store.load(commands, context, again=again)

    async def save(self, outcomes: Sequence[Accepted]) -> None:
        await self.store.save(outcomes)

    async def commit(self) -> None:
        await self.store.commit()

    async def rollback(self) -> None:
        await self.store.rollback()

    async def close(self) -> None:
        await self.store.close()


USED = Metered(Usage(service="tests", dimensions={"requests": "1"}), Priced(amount=0, exact="0"), given=True)
"""A usage whose caller says himself what it comes to."""
