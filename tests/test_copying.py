"""Copying a ledger: every direction, exact to the byte, killed and resumed, refused where it would lose something."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from farthing import copying
from farthing.app import open_ledger
from farthing.copying import NOT_COPIED, SchemasDiffer, SourceChanged, TargetNotEmpty, copy
from farthing.doctor import examine
from farthing.stores import migrate, sqlite
from farthing.stores.contract import Busy, Unavailable
from farthing.stores.copying import CopyError, InUse
from farthing.stores.lockfile import LockFile
from farthing.stores.migrate import UnfinishedCopy
from farthing.stores.postgres_sync import SyncConnection
from farthing.stores.schema import Place, bring_up_to_date, is_postgres
from tests.cli.command import Cli
from tests.postgres import OWNER, TEMPLATE, Databases
from tests.random_ledger import empty_ledger, random_ledger

OWN = {("entry", "position"), ("entry", "lane"), ("entry", "batch")}
"""In which order entries were committed, which each kind of database says in its own way."""
Make = Callable[[str], Place]


def rows_of(place: Place) -> dict[str, list[str]]:
    """Every row of every table, exactly, without what only one kind of database has."""
    found = {}
    if is_postgres(place):
        with SyncConnection(str(place)) as server:
            for (table,) in server.rows("select tablename from pg_tables where schemaname = 'public'"):
                listed = "select attname from pg_attribute where attrelid = $1::regclass::oid and attnum > 0"
                columns = [name for (name,) in server.rows(listed, (table,)) if (table, name) not in OWN]
                found[table] = [repr(row) for row in server.rows(f"select {', '.join(columns)} from {table}")]
    else:
        file = sqlite.connect(str(place), read_only=True)
        for (table,) in file.execute("select name from sqlite_schema where type = 'table'").fetchall():
            described = file.execute(f"pragma table_info({table})")
            columns = [row[1] for row in described if (table, row[1]) not in OWN]
            found[table] = [repr(row) for row in file.execute(f"select {', '.join(columns)} from {table}")]
        file.close()
    for table in NOT_COPIED - {"config"}:
        del found[table]
    return {table: sorted(rows) for table, rows in found.items()}


def ask(place: Place, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement."""
    if is_postgres(place):
        with SyncConnection(str(place)) as server:
            return server.rows(sql, values)
    file = sqlite.connect(str(place))
    try:
        return list(file.execute(sql, values))
    finally:
        file.close()


def is_unfinished(place: Place) -> bool:
    return ask(place, "select count(*) from config where name = 'copying'") == [(1,)]


def findings(place: Place) -> list[str]:
    return [each.sentence for each in examine(place).findings]


@pytest.fixture
def empty(tmp_path: Path, databases: Databases) -> Make:
    """Makes a database that has its schema and nothing else."""

    def make(dialect: str) -> Place:
        if dialect == "postgres":
            return databases.make(TEMPLATE)
        path = tmp_path / f"empty-{len(list(tmp_path.iterdir()))}.db"
        path.touch()
        bring_up_to_date(path)
        return path

    return make


@pytest.fixture
def full(tmp_path: Path, empty: Make) -> Make:
    """Makes a database with a random ledger."""

    def make(dialect: str) -> Place:
        path = tmp_path / "source.db"
        random_ledger(path, 7, commands=250)
        db = sqlite.connect(path)
        db.execute("insert into config values ('cursor_secret', 'a secret')")
        db.execute("update config set value = '41' where name = 'version'")
        db.execute("insert into api_key values ('key_1', 'grace', x'00ff', '…', 'Schlüssel', 'admin', 1, null, 2)")
        db.close()
        if dialect == "sqlite":
            return path
        url = empty(dialect)
        copy(path, url)
        return url

    return make


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PAGE_ROWS", 25)


DIALECTS = ["sqlite", "postgres"]


# It arrives


@pytest.mark.parametrize("target", DIALECTS)
@pytest.mark.parametrize("source", DIALECTS)
def test_every_row_arrives_as_it_was_in_any_direction(source, target, full, empty, small_pages):
    here, there = full(source), empty(target)
    before = rows_of(here)
    copied = copy(here, there, examine=findings)
    assert copied.complete
    assert (copied.differences, copied.findings, copied.resumed) == ([], [], False)
    assert rows_of(there) == rows_of(here) == before
    assert sum(copied.rows.values()) == sum(map(len, before.values())) - len(before["config"])


def test_a_round_trip_gives_the_same_rows(full, empty):
    here, away, back = full("sqlite"), empty("postgres"), empty("sqlite")
    copy(here, away)
    copy(away, back)
    assert rows_of(back) == rows_of(here)


@pytest.mark.parametrize("target", DIALECTS)
@pytest.mark.parametrize("source", DIALECTS)
def test_the_largest_numbers_and_any_text_or_bytes_are_exact(source, target, empty):
    here, there = empty(source), empty(target)
    most, least = 10**18 - 1, -(10**18) + 1
    words = "\x01\t\r\n\"'\\ 🧿 für é \U0010ffff"
    account = [words, words, 4095, most, least, most, most, most, most, most, most, most, bytes(range(256)), most]
    marks = ", ".join(f"${n}" for n in range(1, 20)) if is_postgres(here) else ", ".join("?" * 19)
    for name in ("one", "two"):
        row = (name, *account[1:], None, most, words, "", "{}")
        ask(here, f"insert into account values ({marks})", *row)
        ask(here, f"insert into account values ({marks})", name, "\x7f" * 300, *row[2:])
    copied = copy(here, there)
    assert copied.complete
    assert rows_of(there) == rows_of(here)
    assert copied.totals["one"].sums["balance"] == 2 * least
    assert copied.totals["two"].sums["earned"] == 2 * most


def test_numbers_that_the_database_gives_out_go_on_behind_those_that_came(full, empty):
    here, there = full("sqlite"), empty("postgres")
    copy(here, there)
    ((last,),) = ask(here, "select max(position) from audit")
    made = "insert into audit (workspace, at, actor, request_id, action, subject, entry, detail)"
    assert ask(there, f"{made} values ('grace', 1, '', '', '', '', '', '{{}}') returning position") == [(last + 1,)]


def test_a_table_of_a_later_migration_is_copied_after_the_one_it_refers_to(full, empty):
    here, there = full("sqlite"), empty("postgres")
    ask(here, "create table a_later (bucket integer, id text primary key, workspace text references workspace) strict")
    ask(there, "create table a_later (bucket bigint, id text primary key, workspace text references workspace)")
    ask(here, "insert into a_later values (1, 'x', 'grace'), (2, 'y', 'lapse')")
    copied = copy(here, there)
    assert copied.complete
    assert ask(there, "select * from a_later order by id") == [(1, "x", "grace"), (2, "y", "lapse")]


def test_tables_of_other_programs_are_left_out_by_name(full, empty):
    here, there = full("sqlite"), empty("sqlite")
    ask(here, "create table litestream (id integer primary key)")
    assert copy(here, there).left_out == ["litestream"]


def test_a_page_ends_before_it_is_large_and_no_row_is_read_ahead(monkeypatch):
    monkeypatch.setattr(copying, "PAGE_ROWS", 10)
    monkeypatch.setattr(copying, "PAGE_BYTES", 1_000)
    read = []

    def rows() -> Iterator[tuple[Any, ...]]:
        for n in range(100):
            read.append(n)
            yield n, "x" * (500 if n >= 50 else 1), b"y"

    sizes = []
    for page in copying._pages(rows()):
        sizes.append(len(page))
        assert len(read) == sum(sizes)
    assert sizes == [10] * 5 + [2] * 25


# Killed and resumed

CHILD = """
import os, signal, sys
from farthing import copying
from farthing.stores.schema import is_postgres

source, target, where, count = *sys.argv[1:4], int(sys.argv[4])
copying.PAGE_ROWS = 25

def die(*_):
    global count
    count -= 1
    if count <= 0:
        os.kill(os.getpid(), signal.SIGKILL)

opened = copying.open_side
def open_side(place):
    side = opened(place)
    if str(place) == target and where != "examine":
        done = getattr(side, where)
        def and_die(*values):
            result = done(*values)
            if where != "ask" or values[0] == "set_config":
                die()
            return result
        setattr(side, where, and_die)
    return side
copying.open_side = open_side
copying.copy(source, target, examine=die)
"""
PLACES = [("put", 1), ("put", 12), ("ask", 2), ("go_on_numbering", 1), ("examine", 1)]
"""Where it is killed: with a page put and not committed, with the config half put, before its commit, at the end."""


@pytest.mark.parametrize(("source", "target"), [("sqlite", "postgres"), ("postgres", "sqlite")])
def test_killed_at_any_point_it_goes_on_where_it_was(source, target, full, empty):
    here, there = full(source), empty(target)
    kept = []
    for where, count in PLACES:
        child = subprocess.run([sys.executable, "-c", CHILD, str(here), str(there), where, str(count)], timeout=60)
        assert child.returncode == -signal.SIGKILL
        kept.append(len(rows_of(there)["entry"]))
        # What the first had put was not committed: then there is not even a marker of a page.
        assert is_unfinished(there)
    assert kept == sorted(kept)
    assert 0 in kept
    assert kept[-1] == len(rows_of(here)["entry"])
    copied = copy(here, there, examine=findings)
    assert copied.complete
    assert copied.resumed
    assert rows_of(there) == rows_of(here)
    assert not is_unfinished(there)


@pytest.mark.parametrize("target", DIALECTS)
def test_stopped_after_each_page_no_row_comes_twice_and_none_is_missing(target, full, empty, small_pages):
    here, there = full("sqlite"), empty(target)

    class Stop(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        seen.append(done)
        # The first word of a run is of counting; the second comes with its first page, if there is one.
        if len(seen) == 2 and what != "counting the target":
            raise Stop

    pages = 0
    while True:
        seen: list[int] = []
        try:
            copied = copy(here, there, on_progress=stop)
            break
        except Stop:
            pages += 1
    assert pages > 20
    assert copied.complete
    assert rows_of(there) == rows_of(here)


@pytest.mark.parametrize(("source", "target"), [("sqlite", "postgres"), ("postgres", "sqlite")])
def test_a_connection_that_breaks_ends_a_run_in_words_and_the_next_goes_on(source, target, full, empty, small_pages):
    here, there = full(source), empty(target)
    server = str(here if source == "postgres" else there)

    def cut(what: str, done: int, total: int) -> None:
        if 100 <= done < 125:
            ask(server, "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
                f"and datname = '{Databases.name_of(server)}'")  # fmt: skip

    with pytest.raises(Unavailable, match="nothing was done"):
        copy(here, there, on_progress=cut)
    copied = copy(here, there, examine=findings)
    assert (copied.complete, copied.resumed) == (True, True)
    assert rows_of(there) == rows_of(here)


def test_a_source_that_was_written_to_between_two_runs_is_refused(full, empty, small_pages):
    here, there = full("sqlite"), empty("sqlite")

    def fail(what: str, done: int, total: int) -> None:
        if done > 100:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        copy(here, there, on_progress=fail)
    ask(here, "update account set balance = balance + 1 where id = 'account 1'")
    with pytest.raises(SourceChanged, match="written to since"):
        copy(here, there)
    assert is_unfinished(there)


def test_of_two_copies_into_one_target_one_goes_on(full, empty, small_pages):
    here, there = full("sqlite"), empty("postgres")

    def another(what: str, done: int, total: int) -> None:
        if 100 <= done < 125:
            # What another run does when it has put the same page.
            ask(there, "update config set value = replace(value, 'done', 'done') || ' ' where name = 'copying'")

    with pytest.raises(InUse, match="another copy"):
        copy(here, there, on_progress=another, offline=True)
    assert copy(here, there).complete
    assert rows_of(there) == rows_of(here)


# Refused


@pytest.mark.parametrize("target", DIALECTS)
def test_a_target_with_data_of_its_own_is_refused_and_stays_as_it_is(target, full, empty):
    here, there = full("sqlite"), empty(target)
    ask(there, "insert into workspace values ('mine', 'Mine', 'live', 'credits', 6, 1, '{}', '')")
    before = rows_of(there)
    with pytest.raises(TargetNotEmpty, match=r"data of its own \(workspace\)"):
        copy(here, there)
    assert rows_of(there) == before
    done = empty(target)
    copy(here, done)
    with pytest.raises(TargetNotEmpty):
        copy(here, done)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sides_of_different_migrations_are_refused_with_what_to_do(dialect, tmp_path, full, empty, databases):
    older: Place = databases.make("template0") if dialect == "postgres" else tmp_path / "older.db"
    first = migrate.discover(dialect)[:1]
    if is_postgres(older):
        with SyncConnection(str(older)) as server:
            migrate.migrate(server, first, 1)
    else:
        file = sqlite.connect(str(older), create=True)
        migrate.migrate(file, first, 1)
        file.close()
    with pytest.raises(SchemasDiffer, match=r"the target lacks 0002_\w+.sql: run `farthing migrate`"):
        copy(full("sqlite"), older)
    with pytest.raises(SchemasDiffer, match=r"the source lacks 0002_\w+.sql: run `farthing migrate`"):
        copy(older, empty("sqlite"))


def test_a_source_that_newer_code_has_changed_is_left_to_that(full, empty):
    here = full("sqlite")
    ask(here, "insert into migration select max(id) + 1, 'later', 'x', 1, 'pre' from migration")
    with pytest.raises(SchemasDiffer, match=r"the target lacks \d{4}_later.sql, which is of a newer Farthing"):
        copy(here, empty("sqlite"))


def test_a_column_or_table_that_one_side_lacks_is_named(full, empty):
    here, there = full("sqlite"), empty("sqlite")
    ask(there, "alter table hold add column late text")
    with pytest.raises(SchemasDiffer, match="only one side has the column late of hold"):
        copy(here, there)
    other = empty("sqlite")
    ask(other, "create table notes (id integer primary key)")
    with pytest.raises(SchemasDiffer, match="the target has a table notes"):
        copy(here, other)


def test_a_served_file_is_refused_on_both_sides(full, empty, tmp_path):
    here, there = full("sqlite"), empty("sqlite")
    for place in (here, there):
        link = tmp_path / "link.db"
        link.unlink(missing_ok=True)
        link.symlink_to(place)
        lock = LockFile(place)
        for source, target in ((here, there), (link if place == here else here, link if place == there else there)):
            with pytest.raises(InUse, match="farthing serve"):
                copy(source, target)
        lock.release()
    assert copy(here, there).complete


def test_a_file_that_somebody_is_writing_is_refused_after_a_while(full, empty, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    here = full("sqlite")
    writer = apsw.Connection(str(here))
    writer.execute("begin immediate")
    with pytest.raises(Busy):
        copy(here, empty("sqlite"))
    writer.close()


def test_a_server_database_that_others_use_is_refused_unless_they_are_said_not_to_write(full, empty, monkeypatch):
    monkeypatch.setattr("farthing.stores.copying_postgres.LEAVING_SECONDS", 0.2)
    here, there = full("postgres"), empty("postgres")
    for place in (here, there):
        with SyncConnection(str(place)) as other:
            other.rows("select 1")
            with pytest.raises(InUse, match=r"1 other connections use .* --offline"):
                copy(here, there)
    with SyncConnection(str(here)) as other:
        other.rows("select 1")
        assert copy(here, there, offline=True).complete


def test_nobody_writes_to_a_source_while_it_is_copied(full, empty, monkeypatch):
    here, there = full("postgres"), empty("sqlite")
    told = []

    def write(what: str, done: int, total: int) -> None:
        with SyncConnection(str(here)) as other, other.transaction():
            assert other.rows("select count(*) from entry")[0][0] > 0
            other.execute("set local lock_timeout = '20ms'")
            other.execute("update job set attempts = attempts + 1")

    def examined(place: Place) -> list[str]:
        # The source is free again while doctor looks at the target.
        write("", 0, 0)
        told.append(place)
        return []

    with pytest.raises(Busy, match="lock timeout"):
        copy(here, there, on_progress=write)
    assert copy(here, there, examine=examined).complete
    assert told == [there]


def test_a_source_that_is_being_written_to_is_refused_in_words(full, empty, monkeypatch):
    monkeypatch.setattr("farthing.stores.copying_postgres._PATIENT", "set local lock_timeout = '100ms'")
    here = full("postgres")
    with SyncConnection(str(here)) as other, other.transaction():
        other.execute("update job set attempts = attempts + 1")
        with pytest.raises(InUse, match="being written to"):
            copy(here, empty("sqlite"), offline=True)


def test_the_same_database_twice_and_an_unfinished_source_are_refused(full, empty, tmp_path):
    here, there = full("sqlite"), empty("sqlite")
    link = tmp_path / "again.db"
    link.symlink_to(here)
    with pytest.raises(CopyError, match="the same database"):
        copy(here, link)
    ask(there, "insert into config values ('copying', '{}')")
    with pytest.raises(CopyError, match="itself a copy"):
        copy(there, empty("sqlite"))
    nothing = tmp_path / "nothing.db"
    nothing.touch()
    with pytest.raises(CopyError, match="it has no ledger"):
        copy(nothing, there)


def test_a_text_that_the_target_can_not_keep_is_named(full, empty):
    here, there = full("sqlite"), empty("postgres")
    ask(here, "update hold set terms = ? where id = (select max(id) from hold)", "a\0b")
    ((id, bucket),) = ask(here, "select id, bucket from hold order by id desc limit 1")
    with pytest.raises(CopyError, match=rf"a text in hold \('{id}', .*NUL"):
        copy(here, there)
    assert bucket >= 0


# Compared


@pytest.mark.parametrize("target", DIALECTS)
def test_what_is_missing_or_changed_in_the_target_is_told_and_it_stays_unfinished(target, full, empty):
    here, there = full("sqlite"), empty(target)

    def lose(what: str, done: int, total: int) -> None:
        if what == "counting the target":
            ask(there, "update account set balance = balance - 1 where workspace = 'lapse' and id = 'account 1'")
            ask(there, "delete from job")

    copied = copy(here, there, on_progress=lose, offline=True, examine=findings)
    assert [each.partition(":")[0] for each in copied.differences] == [
        f"job has {len(rows_of(here)['job'])} rows in the source and 0 in the target",
        "workspace lapse",
    ]
    assert copied.findings is None
    assert not copied.complete
    assert is_unfinished(there)


def test_what_doctor_finds_keeps_the_target_closed_until_somebody_says_otherwise(full, empty):
    here, there = full("sqlite"), empty("sqlite")
    ask(here, "update hold set remaining = remaining + 1 where id = (select max(id) from hold)")
    copied = copy(here, there, examine=findings)
    assert copied.differences == []
    assert len(copied.findings or []) == 1
    assert is_unfinished(there)
    assert copy(here, there).complete
    assert not is_unfinished(there)


@pytest.mark.parametrize("target", DIALECTS)
def test_until_it_is_complete_nothing_opens_the_target(target, full, empty, small_pages, cli):
    here, there = full("sqlite"), empty(target)

    def fail(what: str, done: int, total: int) -> None:
        if done > 100:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        copy(here, there, on_progress=fail)
    url = str(there) if is_postgres(there) else f"sqlite:///{there}"
    with pytest.raises(UnfinishedCopy, match="run the same `farthing copy` again"):
        open_ledger(url)
    for words in (["serve", "--port", "0"], ["balance", "account 1", "-w", "grace"], ["doctor"]):
        assert cli.fails(*words, "--db", url)[:2] == (3, "copy_unfinished")
    assert copy(here, there).complete
    with open_ledger(url) as ledger:
        assert len(ledger.wait(ledger.reports.workspaces())) == 2


# The command


def test_the_command_makes_the_target_and_tells_what_both_sides_have(cli, full, tmp_path, postgres_empty_url):
    here = f"sqlite:///{full('sqlite')}"
    told = cli.ok("copy", "--from", here, "--to", postgres_empty_url)
    assert (told["ok"], told["resumed"], told["doctor"]) == (True, False, {"ok": True, "findings": []})
    assert told["workspaces"]["grace"]["accounts"] == 3
    assert told["workspaces"]["grace"]["balance"].startswith("0.")
    text = cli.told("copy", "--from", postgres_empty_url, "--to", f"sqlite:///{tmp_path}/new.db")
    assert "both sides have the same totals, and doctor found nothing" in text
    assert rows_of(tmp_path / "new.db") == rows_of(tmp_path / "source.db")
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600


def test_the_command_refuses_with_codes(cli, full, empty, tmp_path):
    here, there = f"sqlite:///{full('sqlite')}", f"sqlite:///{tmp_path}/there.db"
    assert cli.fails("copy", "--from", "sqlite:///none.db", "--to", there)[:2] == (3, "database_missing")
    assert not (tmp_path / "there.db").exists()
    cli.ok("copy", "--from", here, "--to", there, "--no-doctor")
    assert cli.fails("copy", "--from", here, "--to", there)[:2] == (1, "target_exists")
    lock = LockFile(tmp_path / "source.db")
    assert cli.fails("copy", "--from", here, "--to", f"sqlite:///{empty('sqlite')}")[:2] == (4, "in_use")
    lock.release()
    assert cli.fails("copy", "--from", here, "--to", "mysql://x/y")[0] == 2


def test_the_command_ends_with_1_where_the_copy_is_not_what_it_should_be(cli, full, tmp_path):
    here, there = full("sqlite"), f"sqlite:///{tmp_path}/there.db"
    ask(here, "update hold set remaining = remaining + 1 where id = (select max(id) from hold)")
    done = cli("copy", "--from", f"sqlite:///{here}", "--to", there, "--json")
    assert done.code == 1
    assert (done.json["ok"], done.json["doctor"]["ok"], len(done.json["doctor"]["findings"])) == (False, False, 1)
    text = cli("copy", "--from", f"sqlite:///{here}", "--to", there)
    assert text.code == 1
    assert "--no-doctor" in text.out
    assert cli.ok("copy", "--from", f"sqlite:///{here}", "--to", there, "--no-doctor")["resumed"] is True


def test_progress_has_rows_rate_and_what_is_left_and_no_password(cli, full, empty, small_pages, monkeypatch):
    here = full("sqlite")
    secret = str(empty("postgres")).replace(f"{OWNER}@", f"{OWNER}:geheim@")
    monkeypatch.setattr("farthing.cli.copying.EVERY_SECONDS", 0.0)
    monkeypatch.setattr("farthing.cli.output.PROGRESS_EVERY_SECONDS", 0.0)
    done = cli("copy", "--from", f"sqlite:///{here}", "--to", secret)
    assert done.code == 0, done
    assert " rows/s, " in done.err
    assert " s left: " in done.err
    refused = cli("copy", "--from", f"sqlite:///{here}", "--to", secret, "--json")
    assert refused.code == 1
    assert "geheim" not in done.out + done.err + refused.out + refused.err


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`farthing` in this test's folder."""
    monkeypatch.chdir(tmp_path)
    return Cli(capsys, monkeypatch)


def test_an_empty_ledger_can_be_copied(tmp_path, empty):
    here, there = empty_ledger(tmp_path / "bare.db"), empty("postgres")
    assert copy(here, there, examine=findings).complete
    assert rows_of(there) == rows_of(here)
