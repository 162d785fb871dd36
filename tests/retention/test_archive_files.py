"""Archive files, whatever happens while they are written, written anew or looked through."""

import errno
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from farthing.app import open_ledger
from farthing.core.commands import DAY_US
from farthing.doctor import examine
from farthing.retention import archive as files
from farthing.retention import erasing, retiring, through
from farthing.retention.archive import Archive, ArchiveError, Header, Left, Line, Writer
from farthing.retention.erasing import Numbers, erase_from
from farthing.stores.access import Act
from farthing.stores.erasing import Erased, Erasing
from farthing.stores.users import Users
from tests.retention.aging import Aging, sound

SECRET = "Marjorie Daw"


def age(aging: Aging, *accounts: str) -> None:
    """Acts with texts, all of which are old, and one that stays."""
    for account in accounts:
        aging.shop.grant(account, 100, description=SECRET, key="g")
        aging.shop.charge(account, 1, description=SECRET)
    aging.wait_days(60)
    for account in accounts:
        aging.shop.charge(account, 1)


def erase(aging: Aging, account: str) -> Erased:
    database = aging.shop.ledger.database
    erasing = Erasing(database, Users(database))
    return aging.shop.wait(erasing.erase("main", account, Act("tester", aging.shop.now), "asked for"))


def findings(aging: Aging) -> str:
    return " | ".join(finding.sentence for finding in aging.doctor().findings)


# Writing


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_leaves_no_part_of_a_file_and_says_so(tmp_path: Path) -> None:
    writer = Writer(tmp_path, Header("main", "r", 1, 1))
    with full_disk(1):
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            writer.close()
        writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_made_is_on_the_disk_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "_sync_folder", synced.append)
    Writer(tmp_path / "a" / "b", Header("main", "r", 1, 1)).close()
    assert set(synced) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}


def test_what_cannot_be_read_back_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(tmp_path, Header("main", "r", 1, 1))
    sync = os.fsync

    def rot(handle: int) -> None:
        sync(handle)
        os.pwrite(handle, b"\0" * 8, 12)

    monkeypatch.setattr(os, "fsync", rot)
    with pytest.raises(ArchiveError):
        writer.close()
    assert not writer.path.exists()


# Erasing, meanwhile


def test_two_who_erase_from_one_file_at_once_both_do(local: Aging, monkeypatch: pytest.MonkeyPatch) -> None:
    age(local, "alice", "bob")
    local.retire()
    texts_in, meet = erasing._texts_in, threading.Barrier(2)

    def together(*args: object) -> int:
        found = texts_in(*args)  # type: ignore[arg-type]
        meet.wait(60)
        return found

    monkeypatch.setattr(erasing, "_texts_in", together)
    both = [threading.Thread(target=erase_from, args=(local.files, "main", who)) for who in ("alice", "bob")]
    for each in both:
        each.start()
    for each in both:
        each.join()
    (file,) = local.files
    assert not any(SECRET in str(line) for line in Archive(file).lines())
    assert sound(local.doctor())
    assert [path.name for path in local.folder.iterdir()] == [file.name]


def test_texts_that_are_erased_while_they_are_archived_don_t_come_back(
    aging: Aging, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(aging, "alice", "bob")
    let_go = retiring._Retiring._let_parts_go

    def meanwhile(self: retiring._Retiring, archive: Archive) -> None:
        erase(aging, "alice")
        let_go(self, archive)

    with monkeypatch.context() as meeting:
        meeting.setattr(retiring._Retiring, "_let_parts_go", meanwhile)
        done = aging.retire()
    assert (done.accounts, [account for account, _ in done.left]) == (1, ["alice"])
    lines = [line for file in aging.files for line in Archive(file).lines() if isinstance(line, Line)]
    assert {line.entry.account for line in lines if line.entry.description} == {"bob"}
    assert aging.retire().accounts == 1
    assert not [
        row for row in aging.rows("select account, answer from kept_key") if row[0] == "alice" and SECRET in row[1]
    ]
    assert sound(aging.doctor())


def test_entries_that_were_not_reached_are_named() -> None:
    numbers = Numbers()
    for number in (4, 5, 6, 1, 5, 9):
        numbers.add(number)
    assert numbers.missing(12) == [(2, 3), (7, 8), (10, 12)]
    assert numbers.missing(6) == [(2, 3)]
    assert Numbers().missing(0) == []


# Doctor


def test_any_number_of_files_is_looked_through_some_at_a_time(local: Aging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(through, "AT_ONCE", 2)
    for _ in range(5):
        age(local, "alice", "bob")
        local.retire()
    assert len(local.files) == 5
    merged, widths = through._merged, list[int]()

    def watched(archives: list[Archive]) -> Iterator[Line | Left]:
        widths.append(len(archives))
        return merged(archives)

    monkeypatch.setattr(through, "_merged", watched)
    report = examine(local.place, archives=local.files)
    assert sound(report)
    assert (report.archived, max(widths)) == (22, 2)


def test_files_that_a_ledger_from_a_backup_is_older_than_are_named(local: Aging, tmp_path: Path) -> None:
    age(local, "alice")
    backup, path = tmp_path / "backup.db", Path(str(local.place))
    with closing(apsw.Connection(str(path))) as db:
        db.execute("vacuum into ?", (str(backup),))
    local.shop.charge("alice", 2)
    local.wait_days(60)
    local.shop.charge("alice", 3)
    local.retire()
    (newer,) = local.files
    local.close()
    backup.replace(path)
    local.shop.ledger = open_ledger(f"sqlite:///{path}", clock=local.shop.clock)
    local.shop.charge("alice", 4)
    assert "of its entries in the files the ledger has not 1: a file of another" in findings(local)
    local.wait_days(60)
    local.shop.charge("alice", 5)
    assert local.retire().entries == 5
    assert "two files differ in entry 5" in findings(local)
    newer.rename(tmp_path / "moved-away.jsonl.gz")
    assert sound(local.doctor())


def test_a_file_of_an_account_that_the_ledger_lost_or_never_had_is_told(local: Aging, tmp_path: Path) -> None:
    other = Aging(f"sqlite:///{tmp_path}/other.db", local.folder)
    age(other, "carol")
    other.retire()
    other.close()
    age(local, "alice")
    local.retire()
    assert "of its entries in the files the ledger has not 3: " in findings(local)


def test_a_file_that_says_it_is_of_another_workspace_is_refused(local: Aging) -> None:
    age(local, "alice")
    local.retire()
    (file,) = local.files
    lines = list(Archive(file).lines())
    forged = Writer(local.folder, Header("other", "r", 1, DAY_US), "forged.jsonl.gz")
    for line in lines:
        forged.add(line)
    with pytest.raises(ArchiveError, match="another workspace"):
        forged.close()
    shutil.copy(file, local.folder / "again.jsonl.gz")
    assert sound(local.doctor())
