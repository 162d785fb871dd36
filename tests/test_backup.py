"""A backup is a whole, checked copy made beside writers; a restore never loses the database that it replaces."""

import fcntl
import os
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from farthing.core.commands import GiveGrant, TakeCharge
from farthing.doctor import examine
from farthing.stores import backup as backup_module
from farthing.stores import migrate, sqlite
from farthing.stores.backup import BackupError, InUse, NotRestorable, TargetExists, backup, restore
from farthing.stores.contract import StoreError
from tests.random_ledger import Writer, empty_ledger, random_ledger, raw

OWNER: dict[str, Any] = {"workspace": "grace", "account": "alice"}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    writer = Writer(empty_ledger(tmp_path / "ledger.db"))
    writer.do(GiveGrant(**OWNER, amount=100))
    writer.run([TakeCharge(**OWNER, amount=1, key=f"k{i}") for i in range(20)])
    return writer.path


def balance(path: Path) -> object:
    db = apsw.Connection(str(path))
    with closing(db):
        return db.execute("select balance from account where id = 'alice'").get


def charge(path: Path, amount: int) -> None:
    Writer(path).do(TakeCharge(**OWNER, amount=amount))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Backup


def test_a_backup_is_a_whole_ledger_in_one_file(ledger, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    made = backup(ledger, folder / "monday.db")
    assert (made.entries, made.accounts) == (22, 1)
    assert made.size == (folder / "monday.db").stat().st_size
    assert names(folder) == {"monday.db"}
    assert examine(folder / "monday.db", deep=True).healthy


def test_a_backup_has_what_only_the_log_has(ledger, tmp_path):
    with closing(sqlite.connect(ledger)):
        charge(ledger, 5)
        assert ledger.with_name("ledger.db-wal").stat().st_size > 0
        backup(ledger, tmp_path / "copy.db")
    assert balance(tmp_path / "copy.db") == 75


def test_a_backup_beside_a_writer_is_one_moment_and_passes_doctor(tmp_path, monkeypatch):
    path = tmp_path / "ledger.db"
    writer = random_ledger(path, 3, commands=300)
    before = examine(path).entries
    monkeypatch.setattr(backup_module, "PAGES_AT_ONCE", 1)
    steps: list[int] = []

    def write_on(done: int, pages: int) -> None:
        steps.append(done)
        writer.run([GiveGrant(**OWNER, amount=1, key=f"k{done}")])

    made = backup(path, tmp_path / "copy.db", on_progress=write_on)
    # A copy that a commit made begin anew would copy its first pages again, and never end beside a busy server.
    assert steps == list(range(1, len(steps) + 1))
    assert examine(path).entries == before + len(steps) + 1
    report = examine(tmp_path / "copy.db", deep=True)
    assert report.findings == []
    assert report.entries == made.entries == before


def test_progress_ends_with_all_pages(ledger, tmp_path):
    steps: list[tuple[int, int]] = []
    backup(ledger, tmp_path / "copy.db", on_progress=lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1] > 10


def test_a_file_that_is_there_is_replaced_only_when_told(ledger, tmp_path):
    target = tmp_path / "copy.db"
    target.write_bytes(b"precious")
    with pytest.raises(TargetExists, match=r"there is a file .* already"):
        backup(ledger, target)
    assert target.read_bytes() == b"precious"
    backup(ledger, target, replace=True)
    assert balance(target) == 80
    assert examine(target).healthy
    charge(ledger, 30)
    backup(ledger, target, replace=True)
    assert balance(target) == 50


def test_a_database_is_not_backed_up_over_itself(ledger, tmp_path):
    (tmp_path / "link.db").symlink_to(ledger)
    with pytest.raises(BackupError, match="is the database itself"):
        backup(ledger, tmp_path / "link.db", replace=True)


def test_a_database_in_use_is_no_place_for_a_backup(ledger, tmp_path):
    other = empty_ledger(tmp_path / "other.db")
    with closing(sqlite.connect(other)) as db:
        db.execute("insert into config values ('a', 'b')")
        with pytest.raises(InUse, match=r"another process has other\.db open"):
            backup(ledger, other, replace=True)


@pytest.mark.parametrize(("target", "says"), [("none/copy.db", "there is no folder"), (".", "is a folder")])
def test_a_target_that_can_not_be_is_named(ledger, tmp_path, target, says):
    with pytest.raises(BackupError, match=says):
        backup(ledger, tmp_path / target)


def test_what_is_no_ledger_is_not_backed_up(tmp_path):
    (tmp_path / "text.db").write_bytes(b"just text, and enough of it to be looked at" * 30)
    with pytest.raises(StoreError, match="not a database"):
        backup(tmp_path / "text.db", tmp_path / "copy.db")
    other = apsw.Connection(str(tmp_path / "other.db"))
    other.execute("create table mine (a)")
    other.close()
    with pytest.raises(NotRestorable, match="not Farthing's"):
        backup(tmp_path / "other.db", tmp_path / "copy.db")
    with pytest.raises(StoreError, match="can't be opened"):
        backup(tmp_path / "none.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_copy_that_fails_leaves_nothing_behind(ledger, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(ledger, folder / "copy.db", on_progress=interrupt)
    assert names(folder) == set()


@pytest.mark.parametrize(
    ("page_of", "says"),
    [
        ("entry_time", "is not a database, or it is damaged"),
        ("audit", "the copy is damaged, and so must be what it was"),
    ],
)
def test_a_damaged_database_makes_no_backup(ledger, tmp_path, page_of, says):
    with closing(apsw.Connection(str(ledger))) as db:
        db.execute("pragma wal_checkpoint(truncate)")
        sql = "select rootpage, (select page_size from pragma_page_size) from sqlite_schema where name = ?"
        root, size = db.execute(sql, (page_of,)).get
    with open(ledger, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\x0a" + b"\xff" * 200)
    with pytest.raises(StoreError, match=says):
        backup(ledger, tmp_path / "copy.db")
    assert not any("copy" in name for name in names(tmp_path))


def test_a_copy_that_lacks_an_entry_is_no_backup(ledger, tmp_path, monkeypatch):
    copy_pages = backup_module._copy_pages

    def losing(source: apsw.Connection, target: Path, on_progress: backup_module.Progress) -> None:
        copy_pages(source, target, on_progress)
        db = raw(target)
        db.execute("delete from entry where number = 7")
        db.close()

    monkeypatch.setattr(backup_module, "_copy_pages", losing)
    with pytest.raises(BackupError, match="the copy and its source differ: of entries 21, not"):
        backup(ledger, tmp_path / "copy.db")
    assert not any("copy" in name for name in names(tmp_path))


def test_a_backup_may_be_read_by_whom_the_database_may_be_read(ledger, tmp_path):
    ledger.chmod(0o640)
    backup(ledger, tmp_path / "copy.db")
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o640


# Restore


@pytest.fixture
def saved(ledger: Path, tmp_path: Path) -> Path:
    """A backup at 80 credits; the ledger has gone on to 30."""
    (tmp_path / "backups").mkdir()
    backup(ledger, tmp_path / "backups" / "saved.db")
    charge(ledger, 50)
    return tmp_path / "backups" / "saved.db"


def test_a_restored_ledger_is_sound_and_can_be_charged(ledger, saved):
    done = restore(saved, ledger, replace=True)
    assert (done.entries, done.accounts, done.pending) == (22, 1, [])
    assert balance(ledger) == 80
    charge(ledger, 10)
    assert balance(ledger) == 70
    assert examine(ledger, deep=True).healthy


def test_the_replaced_database_is_kept_whole_beside_it(ledger, saved, tmp_path):
    before = (ledger.stat().st_mode, ledger.stat().st_uid)
    done = restore(saved, ledger, replace=True)
    aside = tmp_path / "ledger.db.before-restore"
    assert done.aside == str(aside)
    assert balance(aside) == 30
    assert examine(aside, deep=True).healthy
    assert (ledger.stat().st_mode, ledger.stat().st_uid) == before


def test_what_an_earlier_restore_kept_is_kept_too(ledger, saved, tmp_path):
    restore(saved, ledger, replace=True)
    charge(ledger, 1)
    assert restore(saved, ledger, replace=True).aside == str(tmp_path / "ledger.db.before-restore-2")
    assert balance(tmp_path / "ledger.db.before-restore") == 30
    assert balance(tmp_path / "ledger.db.before-restore-2") == 79


def test_the_replaced_database_goes_when_told(ledger, saved, tmp_path):
    assert restore(saved, ledger, replace=True, keep=False).aside is None
    assert not any("before-restore" in name for name in names(tmp_path))


def test_a_restore_to_a_new_place_needs_no_permission(saved, tmp_path):
    (tmp_path / "new").mkdir()
    done = restore(saved, tmp_path / "new" / "ledger.db")
    assert done.aside is None
    assert balance(tmp_path / "new" / "ledger.db") == 80


def test_a_database_that_is_there_is_replaced_only_when_told(ledger, saved):
    with pytest.raises(TargetExists, match="there is a database"):
        restore(saved, ledger)
    assert balance(ledger) == 30


def test_a_log_that_was_left_behind_is_not_read_into_the_restored_database(ledger, saved, tmp_path):
    db = sqlite.connect(ledger)
    db.execute("insert into config values ('old', 'log')")
    log = ledger.with_name("ledger.db-wal").read_bytes()
    db.close()
    ledger.unlink()
    ledger.with_name("ledger.db-wal").write_bytes(log)
    restore(saved, ledger)
    assert balance(ledger) == 80
    assert apsw.Connection(str(ledger)).execute("select * from config where name = 'old'").fetchall() == []
    assert "ledger.db.before-restore-wal" in names(tmp_path)


def test_a_damaged_database_can_be_replaced_and_is_kept(ledger, saved, tmp_path):
    ledger.write_bytes(b"rubbish " * 1000)
    restore(saved, ledger, replace=True)
    assert balance(ledger) == 80
    assert (tmp_path / "ledger.db.before-restore").read_bytes() == b"rubbish " * 1000


def test_a_restore_is_refused_while_a_serve_holds_the_lock(ledger, saved):
    lock = os.open(ledger.with_name("ledger.db.lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_SH)
    try:
        with pytest.raises(InUse, match=r"a `farthing serve` has ledger.db; stop it first"):
            restore(saved, ledger, replace=True)
    finally:
        os.close(lock)
    assert balance(ledger) == 30
    restore(saved, ledger, replace=True)


def test_a_restore_is_refused_while_another_process_has_the_file_open(ledger, saved):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from farthing.stores import sqlite; db = sqlite.connect(sys.argv[1]); "
            "db.execute('select 1 from config').fetchall(); print('open', flush=True); sys.stdin.read()",
            str(ledger),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    with pytest.raises(InUse, match=r"another process has ledger.db open; stop it first"):
        restore(saved, ledger, replace=True)
    holder.communicate()
    assert balance(ledger) == 30
    restore(saved, ledger, replace=True)
    assert balance(ledger) == 80


def test_a_serve_can_not_begin_during_a_restore(ledger, saved):
    tried = []

    def serve(*_: int) -> None:
        lock = os.open(ledger.with_name("ledger.db.lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tried.append("refused")
        finally:
            os.close(lock)

    restore(saved, ledger, replace=True, on_progress=serve)
    assert set(tried) == {"refused"}


def test_a_folder_that_is_not_there_is_named(saved, tmp_path):
    with pytest.raises(BackupError, match="there is no folder"):
        restore(saved, tmp_path / "none" / "ledger.db")


def test_what_is_no_backup_is_refused_and_nothing_changes(ledger, tmp_path):
    wrong = tmp_path / "wrong.db"
    for content, says in ((b"rubbish " * 1000, "no SQLite database"), (b"", "is empty")):
        wrong.write_bytes(content)
        with pytest.raises(NotRestorable, match=says):
            restore(wrong, ledger, replace=True)
    with pytest.raises(NotRestorable, match="there is no file"):
        restore(tmp_path / "none.db", ledger, replace=True)
    assert balance(ledger) == 80
    assert not any("before-restore" in name or "growing" in name for name in names(tmp_path))


def test_a_database_is_no_backup_of_itself(ledger):
    with pytest.raises(BackupError, match="is the database itself"):
        restore(ledger, ledger, replace=True)


def test_a_backup_of_a_newer_farthing_is_refused(ledger, saved):
    db = apsw.Connection(str(saved))
    db.execute("insert into migration values (9999, 'future', 'x', 1, 'post')")
    db.close()
    with pytest.raises(NotRestorable, match="newer Farthing"):
        restore(saved, ledger, replace=True)
    assert balance(ledger) == 30


def test_a_backup_of_an_older_farthing_is_restored_and_says_what_it_lacks(ledger, saved, monkeypatch):
    files = migrate.discover("sqlite")
    later = migrate.Migration(len(files) + 1, "later", "select 1", "x", "pre")
    monkeypatch.setattr(migrate, "discover", lambda _: (*files, later))
    done = restore(saved, ledger, replace=True)
    assert done.pending == [later.file]


def sentences(path: Path) -> list[str]:
    return [finding.sentence for finding in examine(path).findings]


def test_a_backup_that_doctor_finds_wrong_is_restored_only_by_force(ledger, saved, tmp_path):
    db = raw(saved)
    db.execute("update account set balance = 999")
    db.close()
    with pytest.raises(NotRestorable, match=r"the backup itself is wrong: .* and [0-9]+ more"):
        restore(saved, ledger, replace=True, examine=sentences)
    assert balance(ledger) == 30
    restore(saved, ledger, replace=True, examine=sentences, force=True)
    assert balance(ledger) == 999
    assert not any("growing" in name for name in names(tmp_path))


def test_a_backup_is_restored_from_a_folder_that_can_not_be_written_to(ledger, saved):
    saved.chmod(0o400)
    saved.parent.chmod(0o500)
    try:
        restore(saved, ledger, replace=True)
    finally:
        saved.parent.chmod(0o700)
    assert names(saved.parent) == {"saved.db"}
    assert balance(ledger) == 80


def test_a_copy_of_a_running_database_with_its_log_is_restored_whole(ledger, tmp_path):
    db = sqlite.connect(ledger)
    charge(ledger, 7)
    (tmp_path / "hot").mkdir()
    for ending in ("", "-wal"):
        content = ledger.with_name("ledger.db" + ending).read_bytes()
        (tmp_path / "hot" / f"copy.db{ending}").write_bytes(content)
    db.close()
    restore(tmp_path / "hot" / "copy.db", tmp_path / "new.db")
    assert balance(tmp_path / "new.db") == 73


def test_a_link_stays_a_link(ledger, saved, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(ledger)
    restore(saved, link, replace=True)
    assert link.is_symlink()
    assert balance(ledger) == 80
