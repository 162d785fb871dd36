"""Doctor finds nothing on sound ledgers, and names each account that somebody has tampered with, and the law."""

import shutil
import threading
import tracemalloc
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

import farthing.doctor as doctor_module
from farthing.core.commands import (
    GiveGrant,
    PlaceHold,
    Refund,
    Settle,
    TakeCharge,
)
from farthing.core.records import GrantTerms
from farthing.doctor import Finding, Report, examine
from farthing.rebuild import NothingToRebuild, rebuild
from farthing.stores import migrate, sqlite
from farthing.stores.contract import StoreError
from farthing.stores.doctor import Reading
from farthing.stores.postgres_sync import SyncConnection
from farthing.stores.schema import Place
from farthing.stores.shelf import Shelf
from tests.postgres import TEMPLATE, Databases, copy_rows
from tests.random_ledger import SECOND, Writer, empty_ledger, random_ledger, raw

OWNER: dict[str, Any] = {"workspace": "grace", "account": "alice"}
ONE_OF_SIX: dict[str, Any] = {"workspace": "grace", "account": "account 1"}
OTHER: dict[str, Any] = {"workspace": "grace", "account": "bob"}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two accounts: alice with grants, a charge, a refund and a live hold; bob with debt. All keyed, one claimed."""
    writer = Writer(empty_ledger(tmp_path_factory.mktemp("sound") / "ledger.db"))
    later = writer.clock.now_us() + 86_400 * SECOND
    writer.do(GiveGrant(**OWNER, amount=100, expires_at=later, key="g1", claim=("stripe", "pi_1")))
    writer.do(GiveGrant(**OWNER, amount=50, scope=("image.*",), key="g2"))
    charge = writer.do(TakeCharge(**OWNER, amount=40, key="c1", operation="chat"))
    assert charge.entry is not None
    writer.do(Refund(**OWNER, charge=charge.entry.id, amount=10, key="r1"))
    hold = writer.do(PlaceHold(**OWNER, amount=20, ttl=60 * SECOND, key="h1"))
    assert hold.entry is not None
    writer.do(Settle(**OWNER, hold="hold" + hold.entry.id[3:], amount=5, key="s1"))
    writer.do(PlaceHold(**OWNER, amount=15, ttl=600 * SECOND, key="h2"))
    writer.do(GiveGrant(**OTHER, amount=10, key="g3"))
    writer.do(TakeCharge(**OTHER, amount=25, shortfall="debt", key="c2"))
    return writer.path


@pytest.fixture
def file(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with."""
    sqlite.connect(sound).close()  # folds the log in
    return Path(shutil.copy(sound, tmp_path / "ledger.db"))


@pytest.fixture(scope="module")
def sound_template(sound: Path, databases: Databases) -> str:
    """The same on PostgreSQL."""
    url = databases.make(TEMPLATE, keep=True)
    copy_rows(sound, url)
    return databases.name_of(url)


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Place:
    """The ledger, on each database."""
    if request.param == "sqlite":
        return cast(Path, request.getfixturevalue("file"))
    databases: Databases = request.getfixturevalue("databases")
    return databases.make(request.getfixturevalue("sound_template"))


def asked(place: Place, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a statement on either database."""
    if isinstance(place, str):
        with SyncConnection(place) as server:
            return server.rows(sql)
    return apsw.Connection(str(place)).execute(sql).fetchall()


def told(report: Report) -> list[tuple[int, str, str]]:
    return [(f.law, f.account, f.sentence) for f in report.findings]


# Sound ledgers


@pytest.mark.parametrize("seed", range(12))
def test_a_ledger_of_random_commands_is_sound(tmp_path, seed):
    random_ledger(tmp_path / "ledger.db", seed, commands=250)
    report = examine(tmp_path / "ledger.db", deep=True)
    assert told(report) == []
    assert report.healthy
    assert report.accounts == 6
    assert report.entries > 100
    assert report.keys > 20


@pytest.mark.parametrize("seed", range(3))
def test_a_rebuild_of_a_sound_account_finds_nothing_to_do(tmp_path, seed):
    path = tmp_path / "ledger.db"
    random_ledger(path, seed, commands=150)
    for workspace, account in apsw.Connection(str(path)).execute("select workspace, id from account").fetchall():
        done = rebuild(path, str(workspace), str(account), apply=True)
        assert (done.differences, done.lasting, done.broken, done.applied) == ([], [], [], False)


def test_the_fixture_is_sound_and_counted(ledger):
    report = examine(ledger)
    assert told(report) == []
    assert (report.accounts, report.entries, report.keys, report.payments) == (2, 11, 9, 1)


def test_an_empty_ledger_is_sound(tmp_path):
    report = examine(empty_ledger(tmp_path / "ledger.db"), deep=True)
    assert (report.healthy, report.accounts) == (True, 0)


# Tampering: (the law, the account, what the sentence says, the statement)

ALICE = "workspace = 'grace' and account = 'alice'"
ALICES_ROW = "workspace = 'grace' and id = 'alice'"
SESSION = "workspace, account, bucket, session, hold, model, estimated, started_at"
TAMPERING = {
    "an edited amount": (
        5,
        "alice",
        "entry 4: its amount is -1",
        f"update entry set amount = -1 where {ALICE} and number = 4",
    ),
    "an edited balance": (
        5,
        "alice",
        "entry 4: its balance is 7",
        f"update entry set balance = 7 where {ALICE} and number = 4",
    ),
    "an edited actor": (5, "alice", "entry 4: its hash", f"update entry set actor = 'x' where {ALICE} and number = 4"),
    "an edited description": (
        5,
        "alice",
        "entry 4: its hash",
        f"update entry set description = 'x' where {ALICE} and number = 4",
    ),
    "an edited body": (
        5,
        "alice",
        "entry 4: ",
        f"update entry set body = replace(body, '-40', '-30') where {ALICE} and number = 4",
    ),
    "a swapped hash": (
        5,
        "alice",
        "entry 4: its hash",
        f"update entry set hash = (select hash from entry where {ALICE} and number = 1) where {ALICE} and number = 4",
    ),
    "a deleted entry": (
        5,
        "alice",
        "entry 5: entries 4 to 4 are missing",
        f"delete from entry where {ALICE} and number = 4",
    ),
    "a deleted last entry": (
        5,
        "alice",
        "entries 8 to 8 are missing: its row tells of them",
        f"delete from entry where {ALICE} and number = 8",
    ),
    "a changed time": (5, "alice", "its time", f"update entry set at = at - 1000000000 where {ALICE} and number = 4"),
    "a body that is no JSON": (
        5,
        "alice",
        "its body can't be read",
        f"update entry set body = '{{' where {ALICE} and number = 4",
    ),
    "text that is no text": (
        5,
        "alice",
        "an entry after 3 can't be read",
        f"update entry set body = cast(x'ff' as text) where {ALICE} and number = 4",
    ),
    "a row's balance": (
        5,
        "alice",
        "balance of the account's row is 999",
        f"update account set balance = 999 where {ALICES_ROW}",
    ),
    "a row's held": (5, "alice", "held of the account's row is 1,", f"update account set held = 1 where {ALICES_ROW}"),
    "a row's debt": (5, "bob", "debt of the account's row is 0,", "update account set debt = 0 where id = 'bob'"),
    "a row's head": (
        5,
        "alice",
        "head of the account's row",
        f"update account set head = (select hash from entry where {ALICE} and number = 1) where {ALICES_ROW}",
    ),
    "a row's number": (
        5,
        "alice",
        "number of the account's row is 3",
        f"update account set number = 3 where {ALICES_ROW}",
    ),
    "a row's number that is too high": (
        5,
        "alice",
        "number of the account's row is 99",
        f"update account set number = 99 where {ALICES_ROW}",
    ),
    "a row's totals": (
        5,
        "alice",
        "spent of the account's row",
        f"update account set spent = spent + 1 where {ALICES_ROW}",
    ),
    "a row's count of holds": (
        5,
        "alice",
        "holds of the account's row is 0",
        f"update account set holds = 0 where {ALICES_ROW}",
    ),
    "a row's spend window": (
        5,
        "alice",
        "the spend window",
        f"update account set spending = 'null' where {ALICES_ROW}",
    ),
    "a row's settings": (
        5,
        "alice",
        "settings of the account's row",
        f"update account set settings = '[500,false,null,null,\"UTC\"]' where {ALICES_ROW}",
    ),
    "a row's lapse": (
        5,
        "alice",
        "lapse_at of the account's row is nothing",
        f"update account set lapse_at = null where {ALICES_ROW}",
    ),
    "a hold that never ends": (
        6,
        "alice",
        "hold_due_at of the account's row",
        f"update account set hold_due_at = null where {ALICES_ROW}",
    ),
    "a grant's remaining": (
        5,
        "alice",
        "in the account's row is 64, and should be 65",
        f"update account set grants = replace(grants, ',65,15,', ',64,15,') where {ALICES_ROW}",
    ),
    "a pin that is gone": (
        5,
        "alice",
        "in the account's row is 0, and should be 15",
        f"update account set grants = replace(grants, ',65,15,', ',65,0,') where {ALICES_ROW}",
    ),
    "a row that can't be read": (
        5,
        "alice",
        "its row can't be read",
        f"update account set grants = '[' where {ALICES_ROW}",
    ),
    "a row that is gone": (5, "alice", "it has entries, but no row", f"delete from account where {ALICES_ROW}"),
    "a row in the wrong bucket": (
        5,
        "alice",
        "its row is in bucket 7",
        f"update account set bucket = 7 where {ALICES_ROW}",
    ),
    "a workspace that is gone": (
        5,
        "alice",
        "its workspace does not exist",
        "delete from workspace where id = 'grace'",
    ),
    "a grant of the history that is gone": (
        5,
        "alice",
        "has no row",
        f"delete from grants where {ALICE} and amount = 50",
    ),
    "a grant of the history that nobody gave": (
        5,
        "alice",
        "grant grt_x has a row that no entry explains",
        "insert into grants values ('grt_x', 'grace', 'alice', 1, 5, 1, null, 0, 0, '{\"id\":\"grt_x\",\"amount\":5}')",
    ),
    "a grant that was voided by hand": (
        5,
        "alice",
        "voided of grant",
        f"update grants set voided = 1 where {ALICE} and amount = 50",
    ),
    "a grant of which more is gone": (
        5,
        "alice",
        "gone of grant",
        f"update grants set gone = 3 where {ALICE} and amount = 50",
    ),
    "a grant whose column differs": (
        5,
        "alice",
        "the columns of grant",
        f"update grants set amount = 51 where {ALICE} and amount = 50",
    ),
    "a grant of nobody": (
        5,
        "carol",
        "it has grants in the history, but no row",
        "insert into grants values ('grt_x', 'grace', 'carol', 1, 5, 1, null, 0, 0, '{\"id\":\"grt_x\",\"amount\":5}')",
    ),
    "a hold that sets aside less": (
        6,
        "alice",
        "remaining of hold",
        "update hold set terms = replace(terms, '\"remaining\":15', '\"remaining\":14') where state = 'live'",
    ),
    "a hold whose column differs": (
        6,
        "alice",
        "the columns of hold",
        "update hold set remaining = 3 where state = 'live'",
    ),
    "a hold that was settled by hand": (
        6,
        "alice",
        "the columns of hold",
        "update hold set state = 'settled' where state = 'live'",
    ),
    "a hold that is gone": (6, "alice", "has no row", "delete from hold where state = 'live'"),
    "a hold that can't be read": (5, "alice", "can't be read", "update hold set terms = '[' where state = 'live'"),
    "a hold that nobody placed": (
        6,
        "alice",
        "has a row, but no entry placed it",
        f"insert into hold select 'hold_{'0' * 32}', workspace, account, bucket, state, expires_at, "
        "remaining, terms from hold where state = 'live'",
    ),
    "a refund above the charge": (
        7,
        "alice",
        "refunded of charge",
        "update charge set terms = replace(terms, '\"refunded\":10', '\"refunded\":90') where account = 'alice'",
    ),
    "a refund that was forgotten": (7, "alice", "has no row", "delete from charge where account = 'alice'"),
    "a debt that was forgotten": (
        7,
        "bob",
        "the columns of charge",
        "update charge set debt = 0 where account = 'bob'",
    ),
    "a charge row that nothing explains": (
        7,
        "alice",
        "has a row that no entry explains",
        "insert into charge select e.id, e.workspace, e.account, e.bucket, 0, '{}' from entry e "
        f"where {ALICE} and kind = 'settle'",
    ),
    "a charge row of no entry": (
        7,
        "alice",
        "has a row, but there is no such entry",
        f"insert into charge select 'ent_{'0' * 32}', workspace, account, bucket, 0, terms from charge where debt = 0",
    ),
    "a missing key": (3, "alice", "its key 'c1' is not in the table of keys", "delete from key where key = 'c1'"),
    "a key for another entry": (
        3,
        "alice",
        "its key 'c1' stands for entry 5",
        "update key set number = 5 where key = 'c1'",
    ),
    "a key that was used twice": (
        3,
        "alice",
        "entry 5: its key 'c1' stands for entry 4: it was used twice",
        f"update entry set key = 'c1' where {ALICE} and number = 5",
    ),
    "a key of no entry": (
        3,
        "alice",
        "the key 'zzz' stands for entry 99, which does not have it",
        "insert into key select workspace, 'zzz', account, bucket, 99 from key where key = 'c1'",
    ),
    "a claim of no entry": (9, "alice", "that does not exist", "update payment set entry = 'ent_gone'"),
    "a claim for another account": (9, "bob", "of account 'alice' in 'grace'", "update payment set account = 'bob'"),
    "a session of no hold": (
        6,
        "carol",
        "session 's' has a hold that does not exist",
        f"insert into stream_session ({SESSION}) values ('grace', 'carol', 1, 's', 'hold_gone', 'gpt-4', 5, 1)",
    ),
    "a session with the hold of another account": (
        6,
        "bob",
        "session 's' has a hold of account 'alice' in 'grace'",
        f"insert into stream_session ({SESSION}) "
        f"select workspace, 'bob', bucket, 's', id, 'gpt-4', 5, 1 from hold where {ALICE} limit 1",
    ),
    "a session that has ended without its hold": (
        6,
        "alice",
        "session 's' has ended, but its hold lives",
        f"insert into stream_session ({SESSION}, ended_at) "
        f"select workspace, account, bucket, 's', id, 'gpt-4', 5, 1, 2 from hold where {ALICE} and state = 'live'",
    ),
    "a time that nobody plans": (6, "alice", "the table of jobs", "delete from job where subject = 'alice'"),
    "a time that is planned too late": (
        6,
        "alice",
        "the table of jobs",
        "update job set due_at = due_at + 1 where subject = 'alice'",
    ),
    "a plan for nobody": (
        5,
        "carol",
        "time is to act on it, but it has no row",
        "insert into job (kind, workspace, subject, bucket, due_at) values ('account', 'grace', 'carol', 1, 1)",
    ),
}


SQLITE_ONLY = ("text that is no text",)
"""What PostgreSQL itself refuses to keep."""


def tamper(place: Place, statement: str) -> None:
    """Change something behind Farthing's back, and leave no other trace."""
    if isinstance(place, str):
        tamper_on_server(place, statement)
    else:
        tamper_in_file(place, statement)


def tamper_on_server(url: str, statement: str) -> None:
    with SyncConnection(url) as db:
        # As a replica it fires no trigger and checks no reference.
        db.execute("set session_replication_role = replica")
        assert int(db.execute(statement).split()[-1]) > 0, "the statement found nothing to change"


def tamper_in_file(path: Path, statement: str) -> None:
    db = raw(path)
    before = db.execute("select count(*) from sqlite_schema").get
    changes = db.total_changes()
    db.execute(statement)
    assert db.total_changes() > changes, "the statement found nothing to change"
    assert db.execute("select count(*) from sqlite_schema").get == before
    restore_triggers(db)
    db.close()


def restore_triggers(db: apsw.Connection) -> None:
    model = sqlite.connect(":memory:", create=True)
    migrate.migrate(model, migrate.discover("sqlite"), 1)
    for (sql,) in model.execute("select sql from sqlite_schema where type = 'trigger'").fetchall():
        db.execute(str(sql))


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_and_the_account_is_named(ledger, name):
    if name in SQLITE_ONLY and isinstance(ledger, str):
        with pytest.raises(StoreError, match="invalid byte sequence"):
            asked(ledger, "select convert_from('\\xff'::bytea, 'UTF8')")
        return
    law, account, sentence, statement = TAMPERING[name]
    tamper(ledger, statement)
    report = examine(ledger)
    assert not report.healthy
    assert any((law, account) == (f[0], f[1]) and sentence in f[2] for f in told(report)), told(report)
    assert {f[1] for f in told(report)} <= {"alice", "bob", "carol"}
    assert report.wrong_accounts >= 1


def test_a_wrong_account_does_not_make_others_wrong(ledger):
    tamper(ledger, "update account set balance = 1 where id = 'alice'")
    report = examine(ledger)
    assert told(report) == [(5, "alice", "balance of the account's row is 1, and should be 115")]
    assert (report.found, report.wrong_accounts) == (1, 1)


def test_each_finding_is_told_as_it_is_found(ledger):
    tamper(ledger, "update account set balance = 1, debt = 9 where id = 'alice'")
    heard: list[Finding] = []
    report = examine(ledger, on_finding=heard.append)
    assert heard == report.findings
    assert len(heard) == 2


def test_many_findings_of_one_account_are_counted_not_listed(tmp_path):
    path = empty_ledger(tmp_path / "ledger.db")
    writer = Writer(path)
    writer.do(GiveGrant(**OWNER, amount=1_000))
    writer.run([TakeCharge(**OWNER, amount=1, key=f"k{i}") for i in range(50)])
    tamper(path, "delete from key")
    report = examine(path)
    assert len(report.findings) == doctor_module.FINDINGS_OF_ONE + 1
    assert report.findings[-1].sentence == "and 30 more"


# The file


def test_a_journal_that_is_not_the_log_is_found(file):
    db = apsw.Connection(str(file))
    db.pragma("journal_mode", "delete")
    db.close()
    assert told(examine(file)) == [(2, "", "journal_mode is delete, and should be wal")]


def test_a_connection_that_does_not_wait_for_the_disk_is_found(file, monkeypatch):
    connect = sqlite.connect

    def careless(*args, **named):
        db = connect(*args, **named)
        db.pragma("synchronous", "off")
        return db

    monkeypatch.setattr(sqlite, "connect", careless)
    assert told(examine(file)) == [(2, "", "synchronous is 0, and should be 2 (full)")]


def test_a_file_that_does_not_say_whose_it_is_is_found(file):
    db = apsw.Connection(str(file))
    db.pragma("application_id", 5)
    db.close()
    assert (2, "", "application_id is 0x5, and should be 0x46525448") in told(examine(file))


def test_a_trigger_that_was_dropped_is_found(file):
    raw(file).close()
    sentences = [sentence for law, _, sentence in told(examine(file)) if law == 5]
    assert "trigger entry_no_update is missing or was changed" in sentences
    assert len(sentences) == 16


def test_an_index_that_was_dropped_is_found(file):
    db = apsw.Connection(str(file))
    db.execute("drop index charge_owing")
    db.close()
    assert told(examine(file)) == [(5, "", "index charge_owing is missing or was changed")]


def test_a_file_with_damaged_pages_is_told_and_not_a_crash(file):
    db = apsw.Connection(str(file))
    db.execute("pragma wal_checkpoint(truncate)")
    root, size = db.execute(
        "select rootpage, (select page_size from pragma_page_size) from sqlite_schema where name = 'entry'"
    ).get
    db.close()
    with open(file, "r+b") as pages:
        pages.seek((root - 1) * size)
        pages.write(b"\xff" * size)
    report = examine(file, deep=True)
    assert {law for law, _, _ in told(report)} >= {2}
    assert any("restore a backup" in sentence for _, _, sentence in told(report))


def test_a_deep_look_finds_an_index_that_does_not_fit_its_table(file):
    db = apsw.Connection(str(file))
    db.execute("pragma writable_schema = on")
    sql = db.execute("select sql from sqlite_schema where name = 'hold_live'").get
    db.execute("update sqlite_schema set sql = replace(sql, '''live''', '''settled''') where name = 'hold_live'")
    db.close()
    db = apsw.Connection(str(file))
    db.execute("reindex hold_live; pragma writable_schema = on")
    db.execute("update sqlite_schema set sql = ? where name = 'hold_live'", (sql,))
    db.close()
    assert told(examine(file)) == []
    assert any(law == 2 and "hold_live" in sentence for law, _, sentence in told(examine(file, deep=True)))


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to be looked at by somebody" * 20)
    with pytest.raises(StoreError):
        examine(tmp_path / "x.db")


def test_what_a_killed_server_left_behind_can_be_examined(file, tmp_path):
    # A copy of the file with its log and without its index: as after a kill.
    db = sqlite.connect(file)
    db.execute("insert into config values ('x', 'y')")
    copy = tmp_path / "copy.db"
    for ending in ("", "-wal"):
        copy.with_name("copy.db" + ending).write_bytes(file.with_name(file.name + ending).read_bytes())
    db.close()
    assert examine(copy).healthy
    assert apsw.Connection(str(copy)).execute("select value from config where name = 'x'").get == "y"


# Beside a server


def test_doctor_finds_nothing_while_others_write(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor_module, "ENTRIES", 40)
    path = tmp_path / "ledger.db"
    writer = random_ledger(path, 1, commands=200)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            batch = [
                GiveGrant(workspace=w, account=f"account {i}", amount=9, key=f"live {number} {w} {i}")
                for w in ("grace", "lapse")
                for i in range(3)
            ]
            writer.clock.advance(us=1)
            writer.run([*batch, TakeCharge(**ONE_OF_SIX, amount=1, shortfall="debt")], max_batch=8)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        reports = [examine(path) for _ in range(15)]
    finally:
        stop.set()
        thread.join()
    assert [told(r) for r in reports] == [[]] * 15
    assert reports[-1].entries > reports[0].entries


def test_an_account_too_long_for_one_transaction_is_read_on_in_the_next(tmp_path, monkeypatch):
    path = tmp_path / "ledger.db"
    random_ledger(path, 5, commands=400)
    whole = examine(path)
    monkeypatch.setattr(doctor_module, "ENTRIES", 7)
    pieces = examine(path)
    assert told(pieces) == []
    assert (pieces.accounts, pieces.entries) == (whole.accounts, whole.entries)
    tamper(path, "update entry set balance = balance + 1 where number = 15 and account = 'account 1'")
    assert {f.account for f in examine(path).findings} == {"account 1"}


def test_progress_says_how_far_it_is(ledger):
    heard: list[tuple[str, int, int]] = []
    examine(ledger, on_progress=lambda *what: heard.append(what))
    assert ("accounts", 2, 2) in heard
    assert [name for name, _, _ in heard][-1] == "payments"


def test_a_long_account_is_examined_in_little_memory(tmp_path, monkeypatch):
    path = empty_ledger(tmp_path / "ledger.db")
    writer = Writer(path)
    writer.do(GiveGrant(**OWNER, amount=10**9))

    def commands():
        for i in range(4_000):
            yield TakeCharge(**OWNER, amount=3, key=f"c{i:06}", metadata='{"a":"' + "x" * 200 + '"}')
            hold = PlaceHold(**OWNER, amount=5, ttl=600 * SECOND)
            yield hold
            yield Settle(**OWNER, hold="hold" + hold.id[3:], amount=1)
            yield GiveGrant(**OWNER, amount=1, priority=0)
            yield TakeCharge(**OWNER, amount=1)

    writer.run(commands(), max_batch=256)
    monkeypatch.setattr("farthing.stores.shelf.Shelf.__init__.__defaults__", (256,))
    tracemalloc.start()
    report = examine(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert told(report) == []
    assert report.entries == 20_002
    assert peak < 4_000_000


# Rebuild

REPAIRABLE = (
    "a row's balance",
    "a row's held",
    "a row's head",
    "a row's number",
    "a row's number that is too high",
    "a row's totals",
    "a row's count of holds",
    "a row's spend window",
    "a row's settings",
    "a row's lapse",
    "a hold that never ends",
    "a grant's remaining",
    "a pin that is gone",
    "a row that can't be read",
    "a row that is gone",
    "a grant of the history that is gone",
    "a grant that was voided by hand",
    "a grant of which more is gone",
    "a grant whose column differs",
    "a hold that sets aside less",
    "a hold whose column differs",
    "a hold that was settled by hand",
    "a hold that is gone",
    "a refund above the charge",
    "a refund that was forgotten",
    "a charge row that nothing explains",
    "a missing key",
    "a time that nobody plans",
    "a time that is planned too late",
)


@pytest.mark.parametrize("name", REPAIRABLE)
def test_what_is_derived_is_rebuilt(ledger, name):
    tamper(ledger, TAMPERING[name][3])
    shown = rebuild(ledger, "grace", "alice")
    assert shown.differences
    assert not shown.applied
    assert not examine(ledger).healthy
    done = rebuild(ledger, "grace", "alice", apply=True, actor="op", request_id="r", at=5)
    assert (done.applied, done.refused, done.differences) == (True, "", shown.differences)
    assert told(examine(ledger)) == []
    audit = "select workspace, at, actor, request_id, action, subject from audit order by position desc"
    assert asked(ledger, audit)[0] == ("grace", 5, "op", "r", "account.rebuild", "alice")
    assert rebuild(ledger, "grace", "alice", apply=True).differences == []


@pytest.mark.parametrize(
    "name", ["an edited amount", "a deleted entry", "a deleted last entry", "a swapped hash", "a body that is no JSON"]
)
def test_nothing_is_written_where_entries_themselves_are_wrong(ledger, name):
    tamper(ledger, TAMPERING[name][3])
    tamper(ledger, "update account set balance = 1 where id = 'alice'")
    done = rebuild(ledger, "grace", "alice", apply=True)
    assert not done.applied
    assert asked(ledger, "select balance from account where id = 'alice'") == [(1,)]


def test_a_refused_rebuild_says_why(ledger):
    tamper(ledger, TAMPERING["an edited amount"][3])
    done = rebuild(ledger, "grace", "alice", apply=True)
    assert done.broken
    assert done.refused == "entries themselves are wrong, and nothing says what would be right: restore a backup"


def test_a_row_that_is_gone_is_made_again(ledger):
    tamper(ledger, TAMPERING["a row that is gone"][3])
    assert rebuild(ledger, "grace", "alice").differences == ["its row is missing"]


def test_a_key_that_was_used_twice_stays_wrong_and_is_told(ledger):
    tamper(ledger, "update key set number = 5 where key = 'c1'")
    done = rebuild(ledger, "grace", "alice", apply=True)
    assert done.differences == []
    assert done.lasting == ["entry 4: its key 'c1' stands for entry 5: it was used twice"]
    assert not done.applied


def test_a_rebuilt_account_can_be_charged_again(file):
    tamper(file, "update account set grants = '[]', balance = 0, held = 0, holds = 0, number = 1 where id = 'alice'")
    rebuild(file, "grace", "alice", apply=True)
    writer = Writer(file)
    writer.do(TakeCharge(**OWNER, amount=50, key="after"))
    assert told(examine(file)) == []


def test_an_account_without_entries_can_not_be_rebuilt(ledger):
    with pytest.raises(NothingToRebuild, match="there is no account 'carol' in workspace 'grace'"):
        rebuild(ledger, "grace", "carol", apply=True)


# Shelves


def test_a_shelf_holds_more_than_it_has_at_hand():
    shelf: Shelf[GrantTerms] = Shelf(GrantTerms, at_hand=10)
    for i in range(2_500):
        shelf[f"g{i % 1_250:05}"] = GrantTerms(f"g{i % 1_250:05}", i)
    assert len(shelf) == 1_250
    assert list(shelf) == [f"g{i:05}" for i in range(1_250)]
    assert {key: terms.amount for key, terms in shelf.items()} == {f"g{i:05}": i + 1_250 for i in range(1_250)}
    assert shelf.get("g00000") == GrantTerms("g00000", 1_250)
    assert shelf.get("none") is None
    del shelf["g00000"]
    assert "g00000" not in shelf
    assert len(shelf) == 1_249
    shelf.close()


def test_reading_leaves_no_transaction_open(ledger):
    reading = Reading.open(ledger)
    with reading.snapshot():
        assert next(reading.accounts(("", "", -1)))[1] == "alice"
    with reading.snapshot():
        assert reading.count_accounts() == 2
    reading.close()
