"""Migrations: found and numbered, run once in a transaction each, refused where they do not fit."""

import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from farthing.stores.migrate import (
    DatabaseBusy,
    DatabaseNewer,
    DuplicateMigration,
    EditedMigration,
    FailedMigration,
    LostMigration,
    Migration,
    MigrationError,
    MisnamedMigration,
    MissingMigration,
    NotOurs,
    PendingMigrations,
    UnknownPhase,
    check,
    discover,
    migrate,
    read,
    require_current,
)
from farthing.stores.migrate_sqlite import APPLICATION_ID

NOW = 1_800_000_000_000_000
FIRST = ("0001_first.sql", "create table one (a integer) strict;")
SECOND = ("0002_second.sql", "create table two (b integer) strict; insert into two values (2);")
THIRD = ("0003_third.sql", "alter table one add column c integer;")
DROP = ("0003_drop.sql", "-- farthing: post\ndrop table two;")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sql"
    folder.mkdir()
    return folder


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def conn(database: Path) -> Iterator[apsw.Connection]:
    conn = opened(database)
    yield conn
    conn.close()


def opened(database: Path) -> apsw.Connection:
    """A connection that by itself does not wait for locks."""
    conn = apsw.Connection(str(database))
    conn.set_busy_timeout(5000)
    conn.pragma("journal_mode", "wal")
    conn.set_busy_timeout(0)
    return conn


def files(folder: Path, *named: tuple[str, str]) -> tuple[Migration, ...]:
    """The migrations of a folder that holds just these files."""
    for old in folder.iterdir():
        old.unlink()
    for name, sql in named:
        (folder / name).write_text(sql, encoding="utf-8", newline="")
    return read(folder.iterdir())


def tables(conn: apsw.Connection) -> set[str]:
    return {name for (name,) in conn.execute("select name from sqlite_master where type = 'table'")}


def ids(conn: apsw.Connection) -> list[int]:
    return [number for (number,) in conn.execute("select id from migration order by id")]


# Finding and numbering


def test_files_are_read_in_the_order_of_their_numbers(folder: Path) -> None:
    found = files(folder, SECOND, FIRST)
    assert [(migration.id, migration.name, migration.phase) for migration in found] == [
        (1, "first", "pre"),
        (2, "second", "pre"),
    ]
    assert [migration.file for migration in found] == ["0001_first.sql", "0002_second.sql"]
    assert found[0].sql == FIRST[1]


def test_files_without_a_number_are_none_of_its_business(folder: Path) -> None:
    found = files(folder, FIRST, ("usage.sql", "select 1"), ("README.md", "words"), ("_notes.sql", ""))
    assert [migration.id for migration in found] == [1]


@pytest.mark.parametrize("name", ["1_short.sql", "00001_long.sql", "0001-dash.sql", "0001_Big.sql", "0001_.sql"])
def test_a_number_with_a_wrong_name_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(MisnamedMigration, match=name):
        files(folder, (name, "select 1"))


def test_two_files_with_one_number_are_refused_by_name(folder: Path) -> None:
    with pytest.raises(DuplicateMigration) as refused:
        files(folder, FIRST, SECOND, ("0002_rival.sql", "select 1"))
    for part in ("0002_second.sql", "0002_rival.sql", "number 2"):
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("named", "missing", "before"), [([FIRST, THIRD], 2, "0003_third.sql"), ([SECOND], 1, SECOND[0])]
)
def test_a_gap_in_the_numbers_is_refused_by_name(
    folder: Path, named: list[tuple[str, str]], missing: int, before: str
) -> None:
    with pytest.raises(MissingMigration, match=f"Number {missing} is missing before {before}"):
        files(folder, *named)


def test_line_ends_do_not_change_the_hash(folder: Path) -> None:
    unix = files(folder, ("0001_first.sql", "-- one\ncreate table one (a);\n"))
    windows = files(folder, ("0001_first.sql", "-- one\r\ncreate table one (a);\r\n"))
    assert unix == windows


def test_anything_else_changes_the_hash(folder: Path) -> None:
    one = files(folder, ("0001_first.sql", "create table one (a);"))
    two = files(folder, ("0001_first.sql", "create table one  (a);"))
    assert one[0].sha256 != two[0].sha256


@pytest.mark.parametrize(
    ("sql", "phase"),
    [
        ("-- farthing: post\nselect 1", "post"),
        ("--farthing:post\r\nselect 1", "post"),
        ("-- Drops what is no longer read.\n-- farthing: post\nselect 1", "post"),
        ("-- farthing: pre\nselect 1", "pre"),
        ("-- one\n-- two\n-- farthing: post\nselect 1", "pre"),
        ("-- one\n-- two\n-- farthing: post", "pre"),
        ("select '-- farthing: post'", "pre"),
        ("", "pre"),
    ],
)
def test_a_marker_on_the_first_two_lines_says_when_a_file_is_run(folder: Path, sql: str, phase: str) -> None:
    assert files(folder, ("0001_first.sql", sql))[0].phase == phase


def test_an_unknown_marker_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(UnknownPhase, match=r"0001_first\.sql.*later"):
        files(folder, ("0001_first.sql", "-- farthing: later\nselect 1"))


def test_the_migrations_of_this_installation_are_found_and_run(conn: apsw.Connection) -> None:
    migrations = discover("sqlite")
    assert migrations
    assert migrate(conn, migrations, NOW) == list(migrations)
    assert check(conn, migrations).pending == ()
    assert conn.execute("pragma integrity_check").get == "ok"


# Running


def test_an_empty_database_gets_everything_in_order(folder: Path, conn: apsw.Connection) -> None:
    migrations = files(folder, FIRST, SECOND, THIRD)
    steps: list[str] = []
    done = migrate(conn, migrations, NOW, on_step=lambda migration: steps.append(migration.file))
    assert done == list(migrations)
    assert steps == [FIRST[0], SECOND[0], THIRD[0]]
    assert tables(conn) == {"migration", "one", "two"}
    assert conn.pragma("application_id") == APPLICATION_ID
    assert conn.execute("select id, name, sha256, applied_at from migration").fetchall() == [
        (migration.id, migration.name, migration.sha256, NOW) for migration in migrations
    ]


def test_what_was_run_is_not_run_again(folder: Path, conn: apsw.Connection) -> None:
    migrate(conn, files(folder, FIRST), NOW)
    migrations = files(folder, FIRST, SECOND)
    assert [migration.id for migration in migrate(conn, migrations, NOW + 5)] == [2]
    assert migrate(conn, migrations, NOW + 9) == []
    assert [done.applied_at for done in check(conn, migrations).applied] == [NOW, NOW + 5]


def test_triggers_and_semicolons_in_texts_are_kept_whole(folder: Path, conn: apsw.Connection) -> None:
    sql = """create table one (a text);
        create trigger guard before delete on one begin
            insert into one values ('a;b'); select raise(abort, 'kept; for ever');
        end;
        insert into one values ('x;y'); -- a comment; with a semicolon
    """
    migrate(conn, files(folder, ("0001_first.sql", sql)), NOW)
    assert conn.execute("select a from one").get == "x;y"
    with pytest.raises(apsw.ConstraintError, match="kept; for ever"):
        conn.execute("delete from one")


@pytest.mark.parametrize("sql", ["", "-- nothing to do any more\n"])
def test_an_empty_file_is_a_step_as_well(folder: Path, conn: apsw.Connection, sql: str) -> None:
    migrate(conn, files(folder, FIRST, ("0002_second.sql", sql)), NOW)
    assert ids(conn) == [1, 2]


def test_a_failing_file_leaves_nothing_behind_and_can_be_run_when_mended(folder: Path, conn: apsw.Connection) -> None:
    broken = (
        "0002_second.sql",
        "create table two (b); insert into two values (1); insert into nowhere values (1);",
    )
    with pytest.raises(FailedMigration, match=r"0002_second\.sql.*nowhere"):
        migrate(conn, files(folder, FIRST, broken, THIRD), NOW)
    assert not conn.in_transaction
    assert tables(conn) == {"migration", "one"}
    assert ids(conn) == [1]
    assert len(migrate(conn, files(folder, FIRST, SECOND, THIRD), NOW)) == 2


def test_a_failing_first_file_leaves_an_empty_database(folder: Path, conn: apsw.Connection) -> None:
    with pytest.raises(FailedMigration):
        migrate(conn, files(folder, ("0001_first.sql", "create table one (a); nonsense;")), NOW)
    assert tables(conn) == set()
    assert conn.pragma("application_id") == 0
    assert len(migrate(conn, files(folder, FIRST), NOW)) == 1


@pytest.mark.parametrize("escape", ["commit;", "rollback;", "begin;", "savepoint s;", "end;", "release s;"])
def test_a_file_cannot_leave_its_transaction(folder: Path, conn: apsw.Connection, escape: str) -> None:
    sly = ("0002_second.sql", f"create table two (b); {escape} create table three (c);")
    with pytest.raises(FailedMigration):
        migrate(conn, files(folder, FIRST, sly), NOW)
    assert tables(conn) == {"migration", "one"}
    conn.execute("begin; commit")


def test_a_listener_that_fails_stops_before_its_step(folder: Path, conn: apsw.Connection) -> None:
    def stop(migration: Migration) -> None:
        if migration.id == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(conn, files(folder, FIRST, SECOND), NOW, on_step=stop)
    assert not conn.in_transaction
    assert ids(conn) == [1]


def test_a_database_that_cannot_be_written_is_still_found_current(
    folder: Path, conn: apsw.Connection, database: Path
) -> None:
    migrations = files(folder, FIRST)
    migrate(conn, migrations, NOW)
    reader = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    assert migrate(reader, migrations, NOW) == []
    reader.close()


def test_the_connection_is_given_back_as_it_was(folder: Path, conn: apsw.Connection) -> None:
    def allow_all(*_: object) -> int:
        return apsw.SQLITE_OK

    conn.set_busy_timeout(1234)
    conn.authorizer = allow_all
    migrate(conn, files(folder, FIRST), NOW)
    assert conn.pragma("busy_timeout") == 1234
    assert conn.authorizer is allow_all


# Phases


def test_files_for_later_wait_until_they_are_asked_for(folder: Path, conn: apsw.Connection) -> None:
    migrations = files(folder, FIRST, SECOND, DROP)
    assert [migration.id for migration in migrate(conn, migrations, NOW, phases=("pre",))] == [1, 2]
    status = check(conn, migrations)
    assert [migration.id for migration in status.pending] == [3]
    require_current(status)
    assert [migration.id for migration in migrate(conn, migrations, NOW, phases=("post",))] == [3]
    assert tables(conn) == {"migration", "one"}


def test_a_phase_never_overtakes_another(folder: Path, conn: apsw.Connection) -> None:
    migrations = files(folder, FIRST, SECOND, DROP, ("0004_fourth.sql", "create table four (d)"))
    migrate(conn, migrations, NOW, phases=("pre",))
    assert ids(conn) == [1, 2]
    with pytest.raises(PendingMigrations, match=r"2 to run from 0003_drop\.sql on"):
        require_current(check(conn, migrations))
    migrate(conn, migrations, NOW)
    assert ids(conn) == [1, 2, 3, 4]


# Checking


def test_an_empty_database_is_one_with_everything_to_do(folder: Path, conn: apsw.Connection) -> None:
    migrations = files(folder, FIRST, SECOND)
    status = check(conn, migrations)
    assert (status.applied, status.pending) == ((), migrations)
    assert tables(conn) == set()
    with pytest.raises(PendingMigrations, match="farthing migrate"):
        require_current(status)


def test_an_older_database_is_not_served(folder: Path, conn: apsw.Connection) -> None:
    migrate(conn, files(folder, FIRST), NOW)
    status = check(conn, files(folder, FIRST, SECOND))
    assert [done.file for done in status.applied] == [FIRST[0]]
    with pytest.raises(PendingMigrations, match=SECOND[0]):
        require_current(status)


def test_a_current_database_is_served(folder: Path, conn: apsw.Connection) -> None:
    migrations = files(folder, FIRST, SECOND)
    migrate(conn, migrations, NOW)
    require_current(check(conn, migrations))


def refused(conn: apsw.Connection, migrations: tuple[Migration, ...], kind: type[MigrationError], *parts: str) -> None:
    """Both checking and migrating refuse with this error, and change nothing."""
    before = tables(conn)
    for attempt in (check, lambda conn, migrations: migrate(conn, migrations, NOW)):
        with pytest.raises(kind) as error:
            attempt(conn, migrations)
        for part in parts:
            assert part in str(error.value)
    assert tables(conn) == before
    assert not conn.in_transaction


def test_a_file_changed_after_it_was_run_is_refused(folder: Path, conn: apsw.Connection) -> None:
    migrate(conn, files(folder, FIRST, SECOND), NOW)
    edited = (SECOND[0], SECOND[1] + " -- better")
    refused(conn, files(folder, FIRST, edited, THIRD), EditedMigration, SECOND[0], "number 2")


def test_a_renamed_file_with_the_same_content_is_the_same(folder: Path, conn: apsw.Connection) -> None:
    migrate(conn, files(folder, FIRST), NOW)
    renamed = ("0001_ledger.sql", FIRST[1])
    assert check(conn, files(folder, renamed)).pending == ()


def test_old_code_goes_on_beside_what_newer_code_has_added(folder: Path, conn: apsw.Connection) -> None:
    migrate(conn, files(folder, FIRST, SECOND), NOW)
    old = files(folder, FIRST)
    assert check(conn, old).pending == ()
    require_current(check(conn, old))
    assert migrate(conn, old, NOW) == []


def test_a_database_from_which_newer_code_took_something_away_is_refused(folder: Path, conn: apsw.Connection) -> None:
    gone = ("0003_gone.sql", "-- farthing: post\n" + THIRD[1])
    migrate(conn, files(folder, FIRST, SECOND, gone), NOW)
    refused(conn, files(folder, FIRST), DatabaseNewer, gone[0], "number 1", "newer")


def test_the_first_versions_table_of_migrations_is_read_and_grows(folder: Path, conn: apsw.Connection) -> None:
    migrate(conn, files(folder, FIRST), NOW)
    conn.execute("alter table migration drop column phase")
    assert [m.id for m in check(conn, files(folder, FIRST)).applied] == [1]
    assert [m.id for m in migrate(conn, files(folder, FIRST, SECOND), NOW)] == [2]
    assert [m.phase for m in check(conn, files(folder, FIRST, SECOND)).applied] == ["pre", "pre"]


def test_a_history_with_a_hole_is_refused(folder: Path, conn: apsw.Connection) -> None:
    migrations = files(folder, FIRST, SECOND, THIRD)
    migrate(conn, migrations, NOW)
    conn.execute("delete from migration where id = 2")
    refused(conn, migrations, LostMigration, THIRD[0], "number 2")


def test_another_programs_tables_are_not_touched(folder: Path, conn: apsw.Connection) -> None:
    conn.execute("create table customer (id)")
    refused(conn, files(folder, FIRST), NotOurs, "tables of another program")


def test_another_programs_table_of_migrations_is_not_taken_for_ours(folder: Path, conn: apsw.Connection) -> None:
    conn.execute("create table migration (id, name, sha256, applied_at)")
    refused(conn, files(folder, FIRST), NotOurs, "another program")


def test_another_programs_application_id_is_respected(folder: Path, conn: apsw.Connection) -> None:
    conn.pragma("application_id", 0x1234)
    refused(conn, files(folder, FIRST), NotOurs, "0x1234")


def test_our_application_id_without_our_table_is_refused(folder: Path, conn: apsw.Connection) -> None:
    migrations = files(folder, FIRST)
    migrate(conn, migrations, NOW)
    conn.execute("drop table migration")
    refused(conn, migrations, NotOurs, "no table of migrations")


def test_a_file_that_is_no_database_is_refused(folder: Path, database: Path) -> None:
    database.write_bytes(b"Dear diary, today I had no credits left. " * 100)
    conn = apsw.Connection(str(database))
    with pytest.raises(NotOurs, match="no SQLite database"):
        check(conn, files(folder, FIRST))
    conn.close()


# Several runners


def test_of_several_runners_one_works_and_the_others_find_nothing_to_do(folder: Path, database: Path) -> None:
    migrations = files(folder, FIRST, SECOND, THIRD)
    start = threading.Barrier(4)
    done: list[int] = []
    failures: list[BaseException] = []

    def run() -> None:
        conn = opened(database)
        try:
            start.wait(timeout=60)
            done.extend(migration.id for migration in migrate(conn, migrations, NOW))
        except BaseException as error:
            failures.append(error)
        finally:
            conn.close()

    opened(database).close()
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(done) == [1, 2, 3]


def test_a_second_runner_waits_for_the_first_and_then_has_nothing_to_do(
    folder: Path, conn: apsw.Connection, database: Path
) -> None:
    migrations = files(folder, FIRST)
    second: list[list[Migration]] = []

    def follow() -> None:
        other = opened(database)
        second.append(migrate(other, migrations, NOW))
        other.close()

    follower = threading.Thread(target=follow)

    def begin_second(_: Migration) -> None:
        follower.start()
        follower.join(0.1)
        assert follower.is_alive()

    assert len(migrate(conn, migrations, NOW, on_step=begin_second)) == 1
    follower.join()
    assert second == [[]]


def test_a_database_that_stays_locked_is_said_to_be_busy(folder: Path, conn: apsw.Connection, database: Path) -> None:
    other = opened(database)
    other.execute("begin immediate")
    with pytest.raises(DatabaseBusy, match="0 s"):
        migrate(conn, files(folder, FIRST), NOW, wait_seconds=0)
    other.execute("rollback")
    other.close()
    assert len(migrate(conn, files(folder, FIRST), NOW)) == 1
