"""The blocking connection to PostgreSQL: transactions, streams, where it may be used, and what its errors say."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from farthing.stores.contract import (
    Busy,
    NotADatabase,
    Raced,
    ReadOnly,
    StorageFull,
    StoreError,
    Unavailable,
    Unknown,
)
from farthing.stores.postgres_errors import shown, translate
from farthing.stores.postgres_sync import SyncConnection
from tests.postgres import GUARDED, RUN, Cluster, Databases, is_alive, pooler

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def db(postgres_empty_url: str) -> Iterator[SyncConnection]:
    with SyncConnection(postgres_empty_url) as connection:
        connection.execute("create table t (a bigint primary key)")
        yield connection


# Asking


def test_rows_are_plain_tuples(db: SyncConnection) -> None:
    assert db.rows("select $1::bigint, $2::text, null, $3::bytea", (5, "ä", b"\0x")) == [(5, "ä", None, b"\0x")]


def test_a_script_of_several_statements_tells_the_tag_of_the_last(db: SyncConnection) -> None:
    assert db.execute("insert into t values (1); update t set a = 2; delete from t") == "DELETE 1"


def test_a_transaction_commits_when_its_block_ends_well_and_else_never_happened(db: SyncConnection) -> None:
    with db.transaction():
        db.rows("insert into t values (1)")
    with pytest.raises(ZeroDivisionError), db.transaction():
        raise ZeroDivisionError(db.rows("insert into t values (2)"))
    assert db.rows("select a from t") == [(1,)]


def test_a_snapshot_does_not_see_what_comes_later(db: SyncConnection, postgres_empty_url: str) -> None:
    with db.transaction("repeatable_read", read_only=True), SyncConnection(postgres_empty_url) as other:
        assert db.rows("select count(*) from t") == [(0,)]
        other.rows("insert into t values (1)")
        assert db.rows("select count(*) from t") == [(0,)]
    assert db.rows("select count(*) from t") == [(1,)]


def test_an_error_that_the_block_swallows_is_not_taken_for_a_commit(db: SyncConnection) -> None:
    def swallow() -> None:
        with db.transaction():
            db.rows("insert into t values (1)")
            with contextlib.suppress(StoreError):
                db.rows("select nonsense")

    with pytest.raises(StoreError, match="a statement of the transaction failed; nothing was done"):
        swallow()
    assert db.rows("select a from t") == []


def test_a_stream_gives_its_rows_beside_other_statements(db: SyncConnection) -> None:
    with db.transaction():
        seen = []
        for (number,) in db.stream("select * from generate_series(1, $1::int)", (25,), page=10):
            seen.append(number)
            db.rows("insert into t values ($1)", (number,))
    assert seen == list(range(1, 26))
    assert db.rows("select count(*) from t") == [(25,)]


def test_a_stream_that_is_left_early_is_no_hindrance(db: SyncConnection) -> None:
    with db.transaction():
        assert next(db.stream("select * from generate_series(1, 1000)", page=10)) == (1,)
        assert db.rows("select 2") == [(2,)]
    assert db.rows("select 3") == [(3,)]


# Where it may be used


def test_it_works_in_a_thread_that_runs_an_event_loop(postgres_empty_url: str) -> None:
    async def inside() -> list[tuple[object, ...]]:
        with SyncConnection(postgres_empty_url) as db, db.transaction():
            return [*db.rows("select 1"), *db.stream("select 2")]

    assert asyncio.run(inside()) == [(1,), (2,)]


def test_it_works_in_threads_beside_a_running_loop(postgres_empty_url: str) -> None:
    def ask(number: int) -> int:
        with SyncConnection(postgres_empty_url) as db:
            return int(db.rows("select $1::int", (number,))[0][0])

    async def beside() -> list[int]:
        return await asyncio.gather(*(asyncio.to_thread(ask, number) for number in range(4)))

    assert asyncio.run(beside()) == [0, 1, 2, 3]


def test_it_can_be_closed_twice(postgres_empty_url: str) -> None:
    db = SyncConnection(postgres_empty_url)
    db.close()
    db.close()


def test_an_interrupted_statement_is_stopped_on_the_server_as_well(
    db: SyncConnection, postgres_empty_url: str
) -> None:  # fmt: skip
    # Whoever started the tests in the background has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt() -> None:
        asleep = "select 1 from pg_stat_activity where query = 'select pg_sleep(30)' and state = 'active'"
        with SyncConnection(postgres_empty_url) as other:
            while not other.rows(asleep):
                time.sleep(0.02)
        # Who asked waits for the answer once he listens: sooner, a library that he is in might keep the signal back.
        while sys._current_frames()[asking].f_code.co_name != "select":
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    asking = threading.get_ident()
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            db.rows("select pg_sleep(30)")
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert db.rows("select 1") == [(1,)]


def test_behind_a_pooler_many_share_few_connections_and_none_hears_anothers_answer(
    postgres: Cluster, postgres_empty_url: str
) -> None:
    def ask(address: str, number: int) -> None:
        with SyncConnection(address) as db:
            for question in range(60):
                kind = "int" if (number + question) % 2 else "bigint"
                assert db.rows(f"select $1::{kind} + {number}", (question,)) == [(question + number,)]

    with pooler(postgres, Databases.name_of(postgres_empty_url), size=2) as address:
        with ThreadPoolExecutor(4) as threads:
            done = [threads.submit(ask, address, number) for number in range(4)]
        for each in done:
            each.result()


# What goes wrong


def test_a_key_that_is_there_already_was_a_race(db: SyncConnection) -> None:
    db.rows("insert into t values (1)")
    with pytest.raises(Raced, match=r"another write came first.*t_pkey"):
        db.rows("insert into t values (1)")


def test_a_lock_that_is_not_to_be_had_is_busy(db: SyncConnection, postgres_empty_url: str) -> None:
    with SyncConnection(postgres_empty_url) as other, other.transaction():
        other.execute("lock table t")
        with pytest.raises(Busy):
            db.execute("set lock_timeout = '20ms'; insert into t values (1)")


def test_a_statement_that_takes_too_long_is_busy(db: SyncConnection) -> None:
    with pytest.raises(Busy):
        db.execute("set statement_timeout = '20ms'; select pg_sleep(10)")


def test_an_answer_that_does_not_come_in_time_is_unavailable(postgres_empty_url: str) -> None:
    slow = "did not answer in time"
    with SyncConnection(postgres_empty_url, answer_seconds=0.1) as db, pytest.raises(Unavailable, match=slow):
        db.rows("select pg_sleep(10)")


def test_what_takes_no_writes_is_read_only(db: SyncConnection) -> None:
    with pytest.raises(ReadOnly, match="primary"), db.transaction(read_only=True):
        db.rows("insert into t values (1)")


def test_a_backend_that_was_ended_is_unavailable(db: SyncConnection, postgres_empty_url: str) -> None:
    ((pid,),) = db.rows("select pg_backend_pid()")
    with SyncConnection(postgres_empty_url) as other:
        other.rows("select pg_terminate_backend($1)", (pid,))
    with pytest.raises(Unavailable):
        db.rows("select 1")
    with pytest.raises(Unavailable), db.transaction():
        db.rows("select 1")


def test_a_commit_whose_answer_is_lost_is_unknown(db: SyncConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(*_: object) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr("asyncpg.transaction.Transaction.commit", lost)
    with pytest.raises(Unknown, match="while committing"), db.transaction():
        db.rows("insert into t values (1)")


def test_a_server_that_is_down_or_unknown_is_unavailable(postgres_cluster: Cluster) -> None:
    with SyncConnection(postgres_cluster.tcp_dsn()) as db:
        postgres_cluster.stop("immediate")
        with pytest.raises(Unavailable):
            db.rows("select 1")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1.*can't be reached"):
        SyncConnection(postgres_cluster.tcp_dsn())
    postgres_cluster.start()
    postgres_cluster.kill()
    postgres_cluster.start()
    assert postgres_cluster.sql("select 1") == "1"


def test_too_many_connections_are_unavailable(postgres: Cluster, postgres_empty_url: str) -> None:
    name = Databases.name_of(postgres_empty_url)
    postgres.sql(f'create role lonely login connection limit 0; grant all on database "{name}" to lonely')
    with pytest.raises(Unavailable, match="too many connections"):
        SyncConnection(postgres.dsn_of(name, "lonely"))
    postgres.sql(f'revoke all on database "{name}" from lonely; drop role lonely')


def test_a_wrong_password_names_who_and_where_and_not_the_password(postgres: Cluster, postgres_empty_url: str) -> None:
    name = Databases.name_of(postgres_empty_url)
    postgres.sql(
        f"do $$ begin create role {GUARDED} login password 'right';"
        " exception when duplicate_object or unique_violation then null; end $$"
    )
    host = f"{name}?host={postgres.folder}&port={postgres.port}"
    with SyncConnection(f"postgresql://{GUARDED}:right@/{host}") as db:
        assert db.shown == f"postgresql://{GUARDED}:***@/{host}"
    with pytest.raises(StoreError) as error:
        SyncConnection(f"postgresql://{GUARDED}:geheim@/{host}")
    for part in (GUARDED, name, str(postgres.folder), "password authentication failed"):
        assert part in str(error.value)
    assert "geheim" not in str(error.value)


def test_a_database_that_is_not_there_is_named(postgres: Cluster) -> None:
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        SyncConnection(postgres.dsn_of("nowhere"))


@pytest.mark.parametrize("address", ["ge/he?im@host/x", "geheim@host:ab/x", "ge@heim@host:1x/x", "geheim@host:1:2:3/x"])
def test_an_address_that_cannot_be_read_does_not_show_its_password(address: str) -> None:
    with pytest.raises(StoreError) as error:
        SyncConnection(f"postgresql://user:{address}")
    assert "heim" not in str(error.value)
    assert "ge/" not in str(error.value)


CODES = {
    "23505": Raced,
    "40001": Raced,
    "40P01": Raced,
    "55P03": Busy,
    "57014": Busy,
    "53100": StorageFull,
    "25006": ReadOnly,
    "53300": Unavailable,
    "53200": Unavailable,
    "57P01": Unavailable,
    "57P02": Unavailable,
    "57P03": Unavailable,
    "08006": Unavailable,
    "58030": Unavailable,
    "XX001": NotADatabase,
    "28P01": StoreError,
    "3D000": StoreError,
    "42P01": StoreError,
    "XX000": StoreError,
}


@pytest.mark.parametrize("code", CODES)
def test_each_complaint_of_the_server_has_its_kind(code: str) -> None:
    error = asyncpg.PostgresError.new({"C": code, "M": "something", "S": "ERROR"})
    assert error.sqlstate == code
    assert type(translate(error)) is CODES[code]
    assert "something" in str(translate(error)) or code in ("53100", "25006")


def test_a_duplicate_that_is_reported_as_an_internal_error_was_a_race() -> None:
    said = 'duplicate key value violates unique constraint "key_pkey_102008"'
    assert type(translate(asyncpg.PostgresError.new({"C": "XX000", "M": said, "S": "ERROR"}))) is Raced


@pytest.mark.parametrize("error", [OSError("no route"), asyncpg.InterfaceError("connection is closed"), TimeoutError()])
def test_a_network_that_fails_is_unavailable_and_names_the_place(error: Exception) -> None:
    told = translate(error, "postgresql://app:geheim@db.example/ledger")
    assert type(told) is Unavailable
    assert "postgresql://app:***@db.example/ledger" in str(told)


def test_an_error_of_the_house_stays_what_it_is() -> None:
    error = Busy("by whom?")
    assert translate(error) is error


@pytest.mark.parametrize(
    ("dsn", "seen"),
    [
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("postgresql://user:pw@host:5432/db", "postgresql://user:***@host:5432/db"),
        ("postgres://user:p:w@h1:1,h2:2/db", "postgres://user:***@h1:1,h2:2/db"),
        ("postgresql://user:p@w@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user:p/w@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user:p?w@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user:p#w@host/db", "postgresql://user:***@host/db"),
        ("postgresql:///db?host=/run&password=pw", "postgresql:///db?host=/run&password=***"),
        ("postgresql:///db?pass%77ord=pw&sslPassword=pw", "postgresql:///db?pass%77ord=***&sslPassword=***"),
        ("user=u password=pw@x", "***"),
    ],
)
def test_an_address_is_shown_without_its_password(dsn: str, seen: str) -> None:
    assert shown(dsn) == seen


# The cluster of the tests


def test_the_cluster_of_a_run_ends_when_its_runner_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from tests.postgres import Shared; run = Shared.begin();"
        "print(run.get(lambda cluster: None).folder, run._place, flush=True); time.sleep(60)"
    )
    environment = {name: value for name, value in os.environ.items() if name != RUN}
    runner = subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert runner.stdout is not None
    folder, place = (Path(each) for each in runner.stdout.readline().split())
    pid = int((folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
    assert is_alive(pid)
    runner.kill()
    runner.wait()
    runner.stdout.close()
    deadline = time.monotonic() + 60
    while (folder.exists() or place.exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()
    assert not place.exists()
    assert not is_alive(pid)
