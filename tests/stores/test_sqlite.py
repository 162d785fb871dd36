"""The store on SQLite: the contract of all stores, and what is true of a file."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from farthing.backends import backend_of
from farthing.core.commands import GiveGrant, Lapse, TakeCharge
from farthing.core.outcomes import Accepted
from farthing.engine import Result
from farthing.stores import sqlite
from farthing.stores.contract import (
    Busy,
    NotADatabase,
    Raced,
    ReadOnly,
    StorageFull,
    Store,
    StoreError,
    Unavailable,
    Unknown,
    result_of,
)
from tests.stores.suite import ALICE, WORKSPACES, StoreSuite
from tests.support import UNIT, Book, entry_of, new_database


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def connect(path) -> Iterator[Callable[[], apsw.Connection]]:
    """Opens connections to one fresh database, and closes them in the end."""
    new_database(path, WORKSPACES).close()
    opened: list[apsw.Connection] = []

    def open_one() -> apsw.Connection:
        opened.append(sqlite.connect(path))
        return opened[-1]

    yield open_one
    for db in opened:
        db.close()


class TestSqliteStore(StoreSuite):
    """The contract."""

    @pytest.fixture
    def make_store(self, connect) -> Callable[[], Store]:
        return lambda: sqlite.SqliteStore(connect())

    @pytest.fixture
    def execute(self, connect) -> Callable[..., list[tuple[Any, ...]]]:
        return lambda sql, values=(): list(connect().execute(sql, values))


# How the file is opened


def test_every_connection_has_the_settings_that_the_promises_rest_on(connect):
    for db in (connect(), connect()):
        assert db.pragma("journal_mode") == "wal"
        assert db.pragma("synchronous") == 2, "FULL: the log is on the disk before a commit returns"
        assert db.pragma("foreign_keys") == 1
        assert db.pragma("busy_timeout") == 5_000


def test_sqlite_is_the_one_that_apsw_brings():
    """The one of Debian 12 has a bug that damages a log with two connections."""
    assert apsw.using_amalgamation
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51)


def test_the_log_is_folded_in_when_the_last_connection_closes(path, connect):
    book = Book(path.with_name("other.db"))
    book.accept(GiveGrant(**ALICE, amount=1))
    log = path.with_name("other.db-wal")
    assert log.stat().st_size > 0
    book.close()
    assert not log.exists()


def test_a_file_that_is_not_there_is_not_made_by_accident(path):
    with pytest.raises(Unavailable, match=r"ledger\.db can't be opened"):
        sqlite.connect(path)
    assert not path.exists()


def test_a_folder_is_no_database(tmp_path):
    with pytest.raises(StoreError):
        sqlite.connect(tmp_path)


def test_a_file_that_is_no_database_is_named_and_left_alone(path):
    text = b"Dear diary, " * 1000
    path.write_bytes(text)
    with pytest.raises(NotADatabase, match=r"ledger\.db is not a database"):
        sqlite.connect(path)
    assert path.read_bytes() == text


def test_a_damaged_database_is_told_as_one(path, connect):
    book = Book(path.with_name("damaged.db"))
    book.accept(GiveGrant(**ALICE, amount=1))
    book.close()
    damaged = path.with_name("damaged.db")
    content = bytearray(damaged.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    damaged.write_bytes(content)
    with pytest.raises(NotADatabase, match="damaged"):
        sqlite.SqliteStore(sqlite.connect(damaged)).load([Lapse(**ALICE)], None).send(None)  # type: ignore[arg-type]


# Locks


@pytest.fixture
def book(path) -> Iterator[Book]:
    book = Book(path)
    book.accept(GiveGrant(**ALICE, amount=100 * UNIT))
    yield book
    book.close()


def test_a_file_locked_by_another_connection_is_busy_and_nothing_is_done(path, book):
    other = sqlite.connect(path)
    other.execute("begin immediate")
    book.db.set_busy_timeout(20)
    began = time.monotonic()
    with pytest.raises(Busy) as busy:
        book.do(TakeCharge(**ALICE, amount=UNIT))
    assert time.monotonic() - began >= 0.02
    assert (busy.value.code, busy.value.retry_after) == ("busy", 1)
    other.execute("rollback")
    other.close()
    assert book.accept(TakeCharge(**ALICE, amount=UNIT)).balance == 99 * UNIT


HOLD_THE_LOCK = """
import sys, apsw
db = apsw.Connection(sys.argv[1])
db.execute("begin immediate")
print("locked", flush=True)
sys.stdin.readline()
db.execute("rollback")
print("free", flush=True)
"""


def test_a_file_locked_by_another_process_is_waited_for(path, book):
    """Busy while it is locked for longer than the time-out; carried out when it is let go within it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    book.db.set_busy_timeout(20)
    with pytest.raises(Busy):
        book.do(TakeCharge(**ALICE, amount=UNIT))
    book.db.set_busy_timeout(20_000)
    letting_go = threading.Timer(0.1, lambda: (holder.stdin.write("\n"), holder.stdin.flush()))  # type: ignore[union-attr]
    letting_go.start()
    assert book.accept(TakeCharge(**ALICE, amount=UNIT)).balance == 99 * UNIT
    letting_go.join()
    assert holder.wait(60) == 0
    holder.stdin.close()
    holder.stdout.close()


def test_who_writes_beside_an_engine_looks_for_his_turn_without_ever_resting_longer(
    path: Path, connect: Callable[[], apsw.Connection], monkeypatch: pytest.MonkeyPatch
):
    """SQLite by itself rests longer and longer, and misses the moments between the batches of a busy engine."""
    engine, beside = connect(), sqlite.SqliteDatabase(connect())
    now, each_takes, rests = 0.0, 0.0, list[float]()

    def rest(seconds: float) -> None:
        nonlocal now
        now += each_takes or seconds
        rests.append(seconds)
        if len(rests) == 40:
            engine.execute("commit")

    async def work(execute: Any) -> None:
        await execute("update workspace set told = ''")

    monkeypatch.setattr(sqlite, "time", SimpleNamespace(sleep=rest, monotonic=lambda: now))
    engine.execute("begin immediate")
    result_of(beside.write(work))
    assert rests == [0.0005] * 40
    engine.execute("begin immediate")
    for takes in (0.0, 0.02):  # the second beside a thread that computes, and lets nobody else
        each_takes, began = takes, now
        with pytest.raises(Busy):
            result_of(beside.write(work))
        assert now - began == pytest.approx(5, abs=0.03)


def test_the_lock_is_taken_before_the_first_look(path, book):
    """A second writer waits in `load`, not in `save`: what it read can't have changed when it writes."""
    first, second = sqlite.SqliteStore(sqlite.connect(path)), sqlite.SqliteStore(sqlite.connect(path))
    second._db.set_busy_timeout(20)
    suite = TestSqliteStore()
    suite.ids, suite.at = book._ids, book.clock.now_us()
    suite.load(first, Lapse(**ALICE))
    with pytest.raises(Busy):
        suite.load(second, Lapse(**ALICE))
    suite.run(first.rollback())
    suite.look(second, Lapse(**ALICE))
    suite.run(first.close())
    suite.run(second.close())


def test_readers_see_the_last_commit_while_a_batch_is_open(path, book):
    reader = sqlite.connect(path)
    book.db.execute("begin immediate")
    book.db.execute("update account set balance = 1")
    reader.set_busy_timeout(0)
    assert list(reader.execute("select balance from account")) == [(100 * UNIT,)]
    book.db.execute("rollback")
    reader.close()


# What the disk does


def test_a_full_disk_is_told_and_writing_goes_on_once_there_is_room(book):
    """The number of pages stands in for the size of the disk: at some charge it is full."""
    (pages,) = book.db.execute("pragma page_count").fetchone()
    book.db.execute(f"pragma max_page_count = {pages + 2}")
    acknowledged: list[str] = []
    big = '"' + "x" * 4_000 + '"'

    def charge() -> Result:
        (result,) = book.batch(TakeCharge(**ALICE, amount=UNIT, key=f"k{len(acknowledged)}", metadata=big))
        return result

    while isinstance(result := charge(), Accepted):
        acknowledged.append(entry_of(result).id)
    assert isinstance(result, StorageFull)
    assert result.retry_after == 5
    assert 0 < len(acknowledged) < 50
    assert [e.id for e in book.entries() if e.kind == "charge"] == acknowledged
    assert book.row().balance == (100 - len(acknowledged)) * UNIT
    book.db.execute("pragma max_page_count = 1000000")
    assert entry_of(charge()).balance == (99 - len(acknowledged)) * UNIT


def test_a_file_that_can_only_be_read_is_told_as_such(path, book):
    book.accept(TakeCharge(**ALICE, amount=UNIT, key="k"))
    db = sqlite.connect(path, read_only=True)
    suite = TestSqliteStore()
    suite.ids, suite.at = book._ids, book.clock.now_us()
    with pytest.raises(ReadOnly, match="can't be written to; nothing was done"):
        suite.play(sqlite.SqliteStore(db), TakeCharge(**ALICE, amount=UNIT))
    db.execute("rollback")
    assert list(db.execute("select count(*) from entry where kind = 'charge'")) == [(1,)], "reading still works"
    db.close()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (apsw.BusyError, Busy),
        (apsw.LockedError, Busy),
        (apsw.FullError, StorageFull),
        (apsw.ReadOnlyError, ReadOnly),
        (apsw.PermissionsError, ReadOnly),
        (apsw.NotADBError, NotADatabase),
        (apsw.CorruptError, NotADatabase),
        (apsw.CantOpenError, Unavailable),
        (apsw.IOError, Unavailable),
        (apsw.ConstraintError, Raced),
        (apsw.SQLError, StoreError),
    ],
)
def test_each_error_of_sqlite_means_something_to_the_caller(error, told):
    assert type(sqlite.translate(error("why"), "/home/alice/ledger.db")) is told
    assert "/home" not in str(sqlite.translate(error("why"), "/home/alice/ledger.db"))


class BrokenCommit:
    """A cursor whose commit fails."""

    def __init__(self, cursor: Any, error: apsw.Error) -> None:
        self._cursor, self._error = cursor, error

    def execute(self, sql: str, *values: Any) -> Any:
        if sql == "commit":
            raise self._error
        return self._cursor.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


@pytest.mark.parametrize(
    ("error", "told"),
    [(apsw.BusyError, Busy), (apsw.FullError, StorageFull), (apsw.IOError, Unknown), (apsw.CorruptError, Unknown)],
)
def test_a_commit_that_fails_is_unknown_unless_sqlite_says_that_nothing_was_done(connect, error, told):
    suite = TestSqliteStore()
    store = sqlite.SqliteStore(connect())
    suite.ids, suite.at = Book()._ids, WORKSPACES[0].created_at
    command = GiveGrant(**ALICE, amount=1)
    suite.run(store.save(suite.decide(suite.load(store, command), command)[1]))
    store._cursor = BrokenCommit(store._cursor, error("why"))  # type: ignore[assignment]
    with pytest.raises(told):
        suite.run(store.commit())
    suite.run(store.rollback())
    assert suite.look(store, Lapse(**ALICE)).accounts == {}


# Speed that does not fade


STATEMENTS = {
    name: sql
    for name, sql in vars(sqlite).items()
    if isinstance(sql, str) and name.startswith(("SELECT_", "UPSERT_", "INSERT_", "DELETE_", "ADD_"))
}


def test_all_statements_of_the_store_are_looked_at():
    assert len(STATEMENTS) >= 25
    assert {"SELECT_KEY", "SELECT_ACCOUNT", "SELECT_DUE_HOLDS", "SELECT_OWING", "SELECT_CHARGES"} <= STATEMENTS.keys()


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_looks_through_a_whole_table_or_sorts(connect, name):
    sql = STATEMENTS[name]
    plan = [row[3] for row in connect().execute("explain query plan " + sql, (None,) * sql.count("?"))]
    assert not [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step], plan
    assert name.startswith("INSERT_") or name.startswith("UPSERT_") or any(step.startswith("SEARCH") for step in plan)


# Forks and files


def test_a_new_database_is_its_owner_s_alone(tmp_path):
    made = tmp_path / "new" / "ledger.db"
    backend_of(f"sqlite:///{made}").migrate()
    assert os.stat(made).st_mode & 0o777 == 0o600


def test_columns_refuse_what_is_no_number(connect):
    """Tables are strict: an amount that became text is an error here, not a surprise later."""
    db = connect()
    with pytest.raises(apsw.ConstraintError):
        db.execute(
            "insert into charge (id, workspace, account, bucket, debt, terms) values ('c', 'main', 'a', 1, 'many', '')"
        )
