"""Doctor on PostgreSQL: what only a server can have wrong, accounts read ahead, and rebuilding beside charges."""

import threading
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import farthing.doctor as doctor_module
from farthing.app import open_ledger
from farthing.core.commands import GiveGrant, TakeCharge
from farthing.core.ids import bucket_of
from farthing.doctor import Report, examine
from farthing.rebuild import rebuild
from farthing.stores import doctor_postgres
from farthing.stores.contract import Busy
from farthing.stores.doctor import Reading, Repairing
from farthing.stores.migrate import discover
from farthing.stores.postgres_sync import SyncConnection
from farthing.stores.schema import bring_up_to_date
from tests.postgres import GUARDED, SETTINGS, TEMPLATE, Cluster, Databases, cluster, copy_rows, pooler
from tests.random_ledger import WORKSPACES, Writer, empty_ledger, random_ledger


def sentences(report: Report, law: int | None = None) -> list[str]:
    return [f.sentence for f in report.findings if law in (None, f.law)]


def ask(url: str, *statements: str) -> None:
    with SyncConnection(url) as db:
        for statement in statements:
            db.execute(statement)


@pytest.fixture
def ledger(tmp_path: Path, databases: Databases) -> Callable[[int], tuple[Path, str]]:
    """A random ledger in a file, and the same on PostgreSQL."""

    def make(seed: int) -> tuple[Path, str]:
        path, url = tmp_path / f"{seed}.db", databases.make(TEMPLATE)
        random_ledger(path, seed, commands=250)
        copy_rows(path, url)
        return path, url

    return make


# The same findings as on SQLite


@pytest.mark.parametrize("seed", range(3))
def test_a_random_ledger_is_as_sound_and_as_long_as_in_its_file(ledger, seed, monkeypatch):
    path, url = ledger(seed)
    there, here = examine(path), examine(url, deep=True)
    assert sentences(here) == []
    assert (here.accounts, here.entries, here.keys) == (there.accounts, there.entries, there.keys)
    # So little is read ahead that every account crosses an edge of it.
    monkeypatch.setattr(doctor_postgres, "AHEAD", 2)
    monkeypatch.setattr(doctor_postgres, "ENTRIES_AHEAD", 30)
    monkeypatch.setattr(doctor_postgres, "GRANTS_AHEAD", 5)
    monkeypatch.setattr(doctor_module, "ENTRIES", 45)
    pieces = examine(url)
    assert sentences(pieces) == []
    assert (pieces.accounts, pieces.entries, pieces.keys) == (there.accounts, there.entries, there.keys)


def test_what_is_read_ahead_is_what_is_read_alone(ledger, monkeypatch):
    _, url = ledger(4)

    def read() -> list[Any]:
        reading = Reading.open(url)
        with reading.snapshot():
            rows = [
                (row, list(reading.entries(row[0], row[1], 0, 10_000)), list(reading.grants(*row[:2])))
                for row in reading.accounts(("", "", -1))
            ]
            due = [reading.due(*row[:3]) for row, *_ in rows]
        reading.close()
        return [*rows, *due]

    monkeypatch.setattr(doctor_postgres, "ENTRIES_AHEAD", 1_000)
    ahead = read()
    monkeypatch.setattr(doctor_postgres._Ahead, "find", lambda *_: None)
    assert ahead == read()
    assert len(ahead) == 12


def test_every_account_that_has_rows_is_walked_when_there_are_more_than_a_page(postgres_url, monkeypatch):
    monkeypatch.setattr("farthing.stores.doctor.PAGE", 7)
    names = [f"a{i:02}" for i in range(30)]
    with SyncConnection(postgres_url) as db:
        for name in names:
            insert = "insert into job (kind, workspace, subject, bucket, due_at) values ('account', 'w', $1, 1, 1)"
            db.rows(insert, (name,))
    report = examine(postgres_url)
    assert [f.account for f in report.findings] == names


# Law 2


def test_a_database_that_does_not_wait_for_the_disk_is_found(postgres_url):
    ask(postgres_url, f'alter database "{Databases.name_of(postgres_url)}" set synchronous_commit = off')
    assert sentences(examine(postgres_url), 2) == ["synchronous_commit is off, and should be on"]


def test_a_server_that_never_flushes_is_found():
    with cluster(settings={**SETTINGS, "fsync": "off", "full_page_writes": "off"}, database="careless") as careless:
        bring_up_to_date(careless.dsn)
        report = examine(careless.dsn)
    assert sentences(report, 2) == ["fsync is off, and should be on", "full_page_writes is off, and should be on"]


def test_a_deep_look_finds_an_index_that_does_not_fit_its_table(ledger):
    _, url = ledger(1)
    ready = "update pg_index set indisready = {} where indexrelid = 'hold_live'::regclass"
    ask(
        url,
        "create extension amcheck",
        ready.format("false"),
        "insert into hold select 'hold_' || repeat('0', 32), workspace, account, bucket, 'live', 1, 1, terms "
        "from hold limit 1",
        ready.format("true"),
    )
    assert not any("hold_live" in sentence for sentence in sentences(examine(url)))
    assert any("index hold_live: " in sentence for sentence in sentences(examine(url, deep=True), 2))


def test_damaged_pages_are_told_and_no_crash(tmp_path, postgres_cluster):
    server: Cluster = postgres_cluster
    server.sql("create database ledger")
    url = server.dsn_of("ledger")
    make_random(url, tmp_path)
    file = server.folder / "data" / server.sql("select pg_relation_filepath('entry')", "ledger")
    server.stop()
    with file.open("r+b") as pages:
        pages.write(b"\xff" * 8192)
    server.start()
    report = examine(url, deep=True)
    assert any("entry: the database is damaged" in sentence for sentence in sentences(report, 2))
    assert any("restore a backup" in sentence for sentence in sentences(report))


def make_random(url: str, folder: Path) -> None:
    bring_up_to_date(url)
    random_ledger(folder / "source.db", 3, commands=100)
    copy_rows(folder / "source.db", url)


# The schema

CHANGES = {
    "drop index charge_owing": "index charge_owing",
    "drop trigger entry_no_change on entry": "trigger entry_no_change",
    "alter table key disable trigger key_no_truncate": "trigger key_no_truncate",
    "alter table account alter debt drop not null": "column account.debt",
    "alter table account drop constraint account_debt_check": "constraint account_debt_check of account",
    "alter table entry alter kind type varchar(20)": "column entry.kind",
    'alter table entry alter account type text collate "default"': "column entry.account",
    "alter table audit alter position drop identity": "column audit.position",
    "alter table grants set unlogged": "table grants",
    "alter table job rename to work": "table job",
    "create or replace function farthing_refuse_change() returns trigger language plpgsql as "
    "'begin return new; end'": "function farthing_refuse_change",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_schema_lacks_is_named(postgres_url, change):
    reading = Reading.open(postgres_url)
    assert list(reading.schema_differences()) == []
    ask(postgres_url, change)
    assert f"{CHANGES[change]} is missing or was changed" in list(reading.schema_differences())
    reading.close()


def test_what_somebody_added_is_no_difference(postgres_url):
    ask(postgres_url, "create index mine on entry (operation)", "create view v as select 1", "create table t (a text)")
    assert sentences(examine(postgres_url)) == []


def test_comparing_the_schema_leaves_nothing_behind(postgres_url):
    examine(postgres_url)
    with SyncConnection(postgres_url) as db:
        assert db.rows("select nspname from pg_namespace where nspname like 'farthing%'") == []


def test_who_may_only_read_is_told_that_the_schema_was_not_compared(postgres, postgres_url):
    server: Cluster = postgres
    reader = f"{GUARDED}_reader"
    server.sql(f"create role {reader} login")
    ask(postgres_url, f"grant select on all tables in schema public to {reader}")
    report = examine(server.dsn_of(Databases.name_of(postgres_url), reader))
    ask(postgres_url, f"drop owned by {reader}", f"drop role {reader}")
    (sentence,) = sentences(report)
    assert "the schema was not compared" in sentence


# Beside a server


@pytest.fixture
def served(postgres_url: str) -> str:
    """A database with the workspaces of random ledgers."""
    insert = "insert into workspace values ($1, $1, 'live', 'credits', 6, 1, $2)"
    with SyncConnection(postgres_url) as db:
        for name, settings in WORKSPACES.items():
            db.rows(insert, (name, settings))
    return postgres_url


def test_doctor_finds_nothing_while_others_write(served, monkeypatch):
    monkeypatch.setattr(doctor_module, "ENTRIES", 40)
    stop = threading.Event()
    done = threading.Barrier(2)

    def write() -> None:
        with open_ledger(served) as ledger:
            number = 0
            while not stop.is_set():
                for workspace in WORKSPACES:
                    for account in ("a", "b", "c"):
                        number += 1
                        ledger.do(GiveGrant(workspace=workspace, account=account, amount=9, key=f"g{number}"))
                        ledger.do(TakeCharge(workspace=workspace, account=account, amount=2, key=f"c{number}"))
                if number == 12:
                    done.wait(60)

    thread = threading.Thread(target=write)
    thread.start()
    done.wait(60)
    try:
        reports = [examine(served) for _ in range(5)]
    finally:
        stop.set()
        thread.join()
    assert [sentences(report) for report in reports] == [[]] * 5
    assert reports[-1].entries > reports[0].entries


def test_a_rebuilt_account_can_be_charged_again(served):
    act: dict[str, Any] = {"workspace": "grace", "account": "alice"}
    with open_ledger(served) as ledger:
        ledger.do(GiveGrant(**act, amount=100, key="g"))
        ask(served, "update account set grants = '[]', balance = 0, number = 1 where id = 'alice'")
        assert rebuild(served, "grace", "alice", apply=True, actor="op").applied
        ledger.do(TakeCharge(**act, amount=60, key="c"))
    report = examine(served)
    assert (sentences(report), report.entries) == ([], 3)


def test_a_rebuild_waits_for_a_charge_and_says_when_that_takes_too_long(served, monkeypatch):
    monkeypatch.setattr(doctor_postgres, "LOCK_SECONDS", 0.05)
    with open_ledger(served) as ledger:
        ledger.do(GiveGrant(workspace="grace", account="alice", amount=100, key="g"))
    ask(served, "update account set earned = 1 where id = 'alice'")
    with SyncConnection(served) as charge, charge.transaction():
        charge.rows("select 1 from account where id = 'alice' for no key update")
        with pytest.raises(Busy):
            rebuild(served, "grace", "alice", apply=True)
    assert rebuild(served, "grace", "alice", apply=True).applied


def test_while_an_account_is_rebuilt_its_charges_wait_and_others_do_not(served):
    with open_ledger(served) as ledger:
        for account in ("alice", "bob"):
            ledger.do(GiveGrant(workspace="grace", account=account, amount=100))
    lock = "set lock_timeout = '20ms'; select 1 from account where id = '{}' for no key update"
    with closing(Repairing.open(served)) as repairing, SyncConnection(served) as charge:
        with repairing.alone("grace", "alice", bucket_of("grace", "alice")):
            charge.execute(lock.format("bob"))
            with pytest.raises(Busy):
                charge.execute(lock.format("alice"))
        charge.execute(lock.format("alice"))


def test_a_pooler_between_makes_no_difference(postgres, databases, tmp_path):
    path, url = tmp_path / "ledger.db", databases.make("template0")
    random_ledger(path, 7, commands=250)
    name = Databases.name_of(url)
    with pooler(postgres, name) as pooled:
        assert bring_up_to_date(pooled) == list(discover("postgres"))
        copy_rows(path, url)
        ask(url, "update account set balance = 999 where id = 'account 1' and workspace = 'grace'")
        assert rebuild(pooled, "grace", "account 1", apply=True).applied
        there, here = examine(path), examine(pooled, deep=True)
    assert sentences(here) == []
    assert (here.accounts, here.entries, here.keys) == (there.accounts, there.entries, there.keys)


def test_a_long_ledger_is_examined_in_little_memory(postgres_url, tmp_path):
    act: dict[str, Any] = {"workspace": "grace", "account": "alice"}
    writer = Writer(empty_ledger(tmp_path / "ledger.db"))
    writer.do(GiveGrant(**act, amount=10**9))
    text = '{"a":"' + "x" * 8_000 + '"}'
    writer.run([TakeCharge(**act, amount=3, key=f"c{i:06}", metadata=text) for i in range(2_500)], max_batch=256)
    copy_rows(tmp_path / "ledger.db", postgres_url)
    examine(postgres_url)  # what is loaded once is no part of it
    tracemalloc.start()
    report = examine(postgres_url)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (sentences(report), report.entries) == ([], 2_502)
    assert peak < 12_000_000
