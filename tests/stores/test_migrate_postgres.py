"""Migrations on PostgreSQL: the same rules as on SQLite, and beside running code; the same steps on both."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from farthing.stores import migrate_postgres
from farthing.stores.migrate import (
    DatabaseBusy,
    DatabaseNewer,
    EditedMigration,
    FailedMigration,
    LostMigration,
    Migration,
    MigrationError,
    NotOurs,
    PendingMigrations,
    TableBusy,
    WrongEncoding,
    check,
    discover,
    migrate,
    read,
    require_current,
)
from farthing.stores.postgres_sync import SyncConnection
from farthing.stores.schema import bring_up_to_date, schema_of
from tests.postgres import Cluster

NOW = 1_800_000_000_000_000
FIRST = ("0001_first.sql", "create table one (a bigint);")
SECOND = ("0002_second.sql", "create table two (b bigint); insert into two values (2);")
THIRD = ("0003_third.sql", "alter table one add column c bigint;")
DROP = ("0003_drop.sql", "-- farthing: post\ndrop table two;")


Files = Callable[..., tuple[Migration, ...]]


@pytest.fixture
def db(postgres_empty_url: str) -> Iterator[SyncConnection]:
    with SyncConnection(postgres_empty_url) as connection:
        yield connection


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The migrations of a folder that holds just these files."""

    def make(*named: tuple[str, str]) -> tuple[Migration, ...]:
        for old in tmp_path.iterdir():
            old.unlink()
        for name, sql in named:
            (tmp_path / name).write_text(sql, encoding="utf-8")
        return read(tmp_path.iterdir())

    return make


def tables(db: SyncConnection) -> set[str]:
    return {
        str(name) for (name,) in db.rows("select relname from pg_class where relkind = 'r' and relnamespace = 2200")
    }


def ids(db: SyncConnection) -> list[int]:
    return [number for (number,) in db.rows("select id from migration order by id")]


# Both databases


def test_both_databases_have_the_same_steps() -> None:
    steps = [[(m.id, m.name, m.phase) for m in discover(dialect)] for dialect in ("sqlite", "postgres")]
    assert steps[0] == steps[1]
    assert steps[0]


def test_both_databases_have_the_same_tables_and_columns(db: SyncConnection) -> None:
    file = apsw.Connection(":memory:")
    migrate(file, discover("sqlite"), NOW)
    migrate(db, discover("postgres"), NOW)
    of_sqlite = set(
        file.execute(
            "select m.name, c.name, c.'notnull' or c.pk > 0 from sqlite_schema m, pragma_table_info(m.name) c "
            "where m.type = 'table'"
        )
    )
    of_postgres = {
        (table, column, int(required))
        for table, column, required in db.rows(
            "select c.relname, a.attname, a.attnotnull from pg_class c join pg_attribute a on a.attrelid = c.oid "
            "where c.relkind = 'r' and c.relnamespace = 2200 and a.attnum > 0 and not a.attisdropped"
        )
    }
    # In which order entries were committed: on SQLite a number of their own says it, on PostgreSQL that of their batch.
    assert of_sqlite - of_postgres == {("entry", "position", 1)}
    assert of_postgres - of_sqlite == {("entry", "lane", 1), ("entry", "batch", 1)}


def test_both_databases_have_the_same_indexes(db: SyncConnection) -> None:
    file = apsw.Connection(":memory:")
    migrate(file, discover("sqlite"), NOW)
    migrate(db, discover("postgres"), NOW)
    of_sqlite = {
        str(name) for (name,) in file.execute("select name from sqlite_schema where type = 'index' and sql <> ''")
    }
    of_postgres = {str(name) for (name,) in db.rows("select indexname from pg_indexes where schemaname = 'public'")}
    made_by_keys = {name for name in of_postgres if re.search(r"_(pkey|key)$", name)}
    of_lanes = {"entry_lane", "entry_without_lane"}
    assert of_postgres - made_by_keys - of_lanes == of_sqlite - {"entry_id"}, "entry_id is the primary key there"


# Running


def test_an_empty_database_gets_everything_in_order(db: SyncConnection, files: Files) -> None:
    migrations = files(FIRST, SECOND, THIRD)
    steps: list[str] = []
    done = migrate(db, migrations, NOW, on_step=lambda migration: steps.append(migration.file))
    assert done == list(migrations)
    assert steps == [FIRST[0], SECOND[0], THIRD[0]]
    assert tables(db) == {"migration", "one", "two"}
    remembered = [(m.id, m.name, m.sha256, NOW) for m in migrations]
    assert db.rows("select id, name, sha256, applied_at from migration order by id") == remembered
    assert migrate(db, migrations, NOW) == []


def test_semicolons_in_texts_and_bodies_are_kept_whole(db: SyncConnection, files: Files) -> None:
    sql = """create table one (a text);
        create function f() returns text language plpgsql as $$ begin return 'a;b'; end $$;
        insert into one values ('it''s; \\n'), (f()); -- a comment; with a semicolon
    """
    migrate(db, files(("0001_first.sql", sql)), NOW)
    assert db.rows("select a from one") == [("it's; \\n",), ("a;b",)]


@pytest.mark.parametrize("sql", ["", "-- nothing to do any more\n"])
def test_an_empty_file_is_a_step_as_well(db: SyncConnection, files: Files, sql: str) -> None:
    migrate(db, files(FIRST, ("0002_second.sql", sql)), NOW)
    assert ids(db) == [1, 2]


def test_a_failing_file_leaves_nothing_behind_and_can_be_run_when_mended(db: SyncConnection, files: Files) -> None:
    broken = ("0002_second.sql", "create table two (b bigint); insert into nowhere values (1);")
    with pytest.raises(FailedMigration, match=r"0002_second\.sql.*nowhere"):
        migrate(db, files(FIRST, broken, THIRD), NOW)
    assert (tables(db), ids(db)) == ({"migration", "one"}, [1])
    assert len(migrate(db, files(FIRST, SECOND, THIRD), NOW)) == 2


def test_a_row_that_is_there_twice_is_a_failure_and_no_race(db: SyncConnection, files: Files) -> None:
    twice = ("0001_first.sql", "create table one (a bigint primary key); insert into one values (1), (1);")
    with pytest.raises(FailedMigration, match=r"0001_first\.sql.*duplicate key"):
        migrate(db, files(twice), NOW)
    assert tables(db) == set()


@pytest.mark.parametrize("escape", ["commit;", "rollback;", "begin;", "savepoint s;", "end;", "release s;"])
def test_a_file_cannot_leave_its_transaction(db: SyncConnection, files: Files, escape: str) -> None:
    sly = ("0002_second.sql", f"create table two (b bigint); {escape} create table three (c bigint);")
    with pytest.raises(FailedMigration):
        migrate(db, files(FIRST, sly), NOW)
    assert (tables(db), ids(db)) == ({"migration", "one"}, [1])


def test_files_for_later_wait_until_they_are_asked_for(db: SyncConnection, files: Files) -> None:
    migrations = files(FIRST, SECOND, DROP)
    assert [m.id for m in migrate(db, migrations, NOW, phases=("pre",))] == [1, 2]
    require_current(check(db, migrations))
    assert [m.id for m in migrate(db, migrations, NOW, phases=("post",))] == [3]
    assert tables(db) == {"migration", "one"}


# Refusing


def refused(db: SyncConnection, migrations: tuple[Migration, ...], kind: type[MigrationError], *parts: str) -> None:
    """Both checking and migrating refuse with this error, and change nothing."""
    before = tables(db)
    for attempt in (check, lambda db, migrations: migrate(db, migrations, NOW)):
        with pytest.raises(kind) as error:
            attempt(db, migrations)
        for part in parts:
            assert part in str(error.value)
    assert tables(db) == before


def test_an_older_database_is_not_served(db: SyncConnection, files: Files) -> None:
    migrate(db, files(FIRST), NOW)
    with pytest.raises(PendingMigrations, match=SECOND[0]):
        require_current(check(db, files(FIRST, SECOND)))


def test_a_file_changed_after_it_was_run_is_refused(db: SyncConnection, files: Files) -> None:
    migrate(db, files(FIRST, SECOND), NOW)
    refused(db, files(FIRST, (SECOND[0], SECOND[1] + " -- better")), EditedMigration, SECOND[0], "number 2")


def test_old_code_goes_on_beside_what_newer_code_has_added(db: SyncConnection, files: Files) -> None:
    migrate(db, files(FIRST, SECOND), NOW)
    require_current(check(db, files(FIRST)))
    assert migrate(db, files(FIRST), NOW) == []


def test_a_database_from_which_newer_code_took_something_away_is_refused(db: SyncConnection, files: Files) -> None:
    gone = (SECOND[0], "-- farthing: post\n" + SECOND[1])
    migrate(db, files(FIRST, gone), NOW)
    refused(db, files(FIRST), DatabaseNewer, gone[0], "number 1", "newer")


def test_a_history_with_a_hole_is_refused(db: SyncConnection, files: Files) -> None:
    migrate(db, files(FIRST, SECOND, THIRD), NOW)
    db.execute("delete from migration where id = 2")
    refused(db, files(FIRST, SECOND, THIRD), LostMigration, THIRD[0], "number 2")


@pytest.mark.parametrize(
    "made", ["table customer (id bigint)", "view customer as select 1", "table migration (a text)"]
)
def test_another_programs_database_is_not_touched(db: SyncConnection, files: Files, made: str) -> None:
    db.execute(f"create {made}")
    refused(db, files(FIRST), NotOurs, "another program")


def test_what_an_extension_brings_is_nobody_elses(db: SyncConnection, files: Files) -> None:
    db.execute("create table brought (a bigint); create extension amcheck; alter extension amcheck add table brought")
    assert len(migrate(db, files(FIRST), NOW)) == 1


def test_a_database_without_a_schema_of_ours_is_refused(db: SyncConnection, files: Files) -> None:
    db.execute("drop schema public")
    with pytest.raises(NotOurs, match="search path"):
        check(db, files(FIRST))


def test_a_schema_of_our_own_in_a_shared_database_will_do(
    db: SyncConnection, postgres_empty_url: str, files: Files
) -> None:
    db.execute("create table customer (id bigint); create schema ledger")
    with SyncConnection(f"{postgres_empty_url}&search_path=ledger") as ours:
        migrate(ours, files(FIRST), NOW)
        assert ids(ours) == [1]
    assert tables(db) == {"customer"}


def test_a_database_that_keeps_text_in_another_way_is_refused(
    postgres: Cluster, db: SyncConnection, files: Files
) -> None:
    ((name,),) = db.rows("select current_database() || '_latin'")
    db.execute(f"create database {name} encoding 'LATIN1' template template0")
    with SyncConnection(postgres.dsn_of(name)) as other:
        refused(other, files(FIRST), WrongEncoding, "LATIN1", "UTF8")
    db.execute(f"drop database {name}")


# Several runners, and code that runs meanwhile


def test_of_several_runners_one_works_and_the_others_find_nothing_to_do(postgres_empty_url: str, files: Files) -> None:
    migrations = files(FIRST, SECOND, THIRD)
    start = threading.Barrier(4)
    done: list[int] = []
    failures: list[BaseException] = []

    def run() -> None:
        with SyncConnection(postgres_empty_url) as db:
            start.wait(timeout=60)
            try:
                done.extend(migration.id for migration in migrate(db, migrations, NOW))
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(done) == [1, 2, 3]


def test_a_runner_that_takes_too_long_is_said_to_be_busy(
    db: SyncConnection, postgres_empty_url: str, files: Files
) -> None:
    with SyncConnection(postgres_empty_url) as other, other.transaction():
        other.rows("select pg_advisory_xact_lock($1)", (migrate_postgres.LOCK,))
        with pytest.raises(DatabaseBusy, match="0 s"):
            migrate(db, files(FIRST), NOW, wait_seconds=0)
    assert len(migrate(db, files(FIRST), NOW)) == 1


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate_postgres, "PATIENCE_MS", 20)
    monkeypatch.setattr(migrate_postgres, "PAUSE_SECONDS", 0.02)


@pytest.mark.usefixtures("impatient")
def test_a_table_that_is_in_use_is_tried_again_and_changed_when_it_is_free(
    db: SyncConnection, postgres_empty_url: str, files: Files
) -> None:
    migrate(db, files(FIRST, SECOND), NOW)
    tries: list[float] = []
    with SyncConnection(postgres_empty_url) as user:
        using = user.transaction()
        using.__enter__()
        user.rows("select * from one")

        def heard(_: Migration) -> None:
            tries.append(time.monotonic())
            if len(tries) == 3:
                using.__exit__(None, None, None)

        assert [m.id for m in migrate(db, files(FIRST, SECOND, THIRD), NOW, on_step=heard)] == [3]
    assert len(tries) == 3


@pytest.mark.usefixtures("impatient")
def test_a_table_that_stays_in_use_is_left_as_it_was_and_others_got_through(
    db: SyncConnection, postgres_empty_url: str, files: Files
) -> None:
    migrate(db, files(FIRST, SECOND), NOW)
    with SyncConnection(postgres_empty_url) as user, user.transaction():
        user.rows("select * from one")
        with pytest.raises(TableBusy, match=r"0003_third\.sql was given up after 0 s"):
            migrate(db, files(FIRST, SECOND, THIRD), NOW, wait_seconds=0)
        user.rows("insert into one values (1)")
    assert ids(db) == [1, 2]
    assert db.rows("select a from one") == [(1,)]


# Places


def test_an_address_is_brought_up_to_date_and_looked_at(postgres_empty_url: str) -> None:
    assert schema_of(postgres_empty_url).applied == ()
    ran = bring_up_to_date(postgres_empty_url)
    assert ran == list(discover("postgres"))
    assert schema_of(postgres_empty_url).pending == ()
    assert bring_up_to_date(postgres_empty_url) == []
