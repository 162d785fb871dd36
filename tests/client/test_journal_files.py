"""The journal's files: a line is whole or it is not there; what is told is on the disk; a lock says who lives."""

import errno
import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from farthing.client.bodies import item_body
from farthing.client.calls import ask, post
from farthing.client.journal import files, keeping, shelf
from farthing.client.journal.keeping import Journal
from farthing.client.journal.lines import Kept, Line, Target, kept_of, lines_of, read_lines, to_line
from farthing.client.pricing_results import BulkDone
from farthing.client.results import Charge, Settled

HERE = Target(ledger="https://credits.example.com", workspace="main")


def kept(number: int = 0, account: str = "alice", **more: Any) -> Kept:
    call = post(Charge, "/v1/charges", {"account": account, "amount": str(number), **more}, f"key-{number}")
    (made,) = kept_of(call, HERE, "it was away")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    opened = Journal(folder, HERE)
    yield opened
    opened.close()


def names(folder: Path, ending: str = files.SUFFIX) -> list[Path]:
    return sorted(folder.glob(f"*{ending}"))


def left(folder: Path, *calls: Kept) -> Path:
    """A file as a process leaves it that is gone."""
    files.make_folder(folder)
    files.new_file(folder, lines_of(calls)).close()
    return names(folder)[-1]


# Lines


def test_a_file_cut_at_any_byte_gives_all_lines_that_are_whole_and_nothing_else() -> None:
    calls = [kept(number, f"Zoë {number}", description="zwei\nZeilen") for number in range(3)]
    lines = [lines_of([each]) for each in calls]
    data = b"".join(lines)
    ends = [sum(map(len, lines[:number])) for number in range(4)]
    for size in range(len(data) + 1):
        found = read_lines(data[:size])
        whole = sum(size >= end for end in ends[1:])
        assert list(found.waiting.values()) == calls[:whole], size
        assert (found.cut, found.damaged) == (size not in ends, 0), size


def test_a_line_of_which_any_byte_is_another_is_not_believed() -> None:
    before, data, after = (lines_of([kept(number)]) for number in range(3))
    for place in range(len(data) - 1):
        broken = bytearray(data)
        broken[place] ^= 0x10
        found = read_lines(before + bytes(broken) + after)
        assert [each.key for each in found.waiting.values()] == ["key-0", "key-2"], place
        assert found.damaged >= 1


def test_a_line_of_a_version_that_says_more_is_not_half_understood() -> None:
    text = to_line(Line(kept=kept())).split(b" ", 2)[2].strip().replace(b'{"kept":{', b'{"kept":{"form":2,')
    found = read_lines(b"%08x %d %s\n" % (zlib.crc32(text), len(text), text))
    assert (found.waiting, found.damaged) == ({}, 1)


def test_what_is_sent_later_is_the_same_under_its_key_but_for_debt_and_time() -> None:
    body = {"account": "a", "usage": {"model": "m", "dimensions": {"input_tokens": "5"}}, "shortfall": "take"}
    (made,) = kept_of(post(Charge, "/v1/charges", body, "k"), HERE, "")
    facts = made.facts
    at = facts["usage"].pop("at")
    assert facts == body | {"shortfall": "debt"}
    assert at == made.queued_at
    assert (made.key, made.call().key, made.call().path) == ("k", "k", "/v1/charges")


def test_a_settle_is_sent_as_one_that_may_be_late_unless_its_caller_said_otherwise() -> None:
    calls = [
        post(Settled, "/v1/holds/{id}/settle", {"amount": "5", "late": late}, "k", id="h") for late in (None, "refuse")
    ]
    assert [kept_of(call, HERE, "")[0].facts["late"] for call in calls] == ["charge", "refuse"]


def test_numbers_go_through_as_they_were_written() -> None:
    metadata = {"big": 2**200, "tiny": 1e-300, "text": "\u2028"}
    assert kept(metadata=metadata).facts["metadata"]["text"] == "\u2028"
    assert str(2**200).encode() in bytes(kept(metadata=metadata).body)


def test_of_many_each_has_its_own_key() -> None:
    items = [item_body({"account": name, "amount": 1, "key": f"k-{name}"}) for name in "ab"]
    found = kept_of(ask(BulkDone, "/v1/charges/bulk", {"items": items}, writes=True), HERE, "")
    assert [(each.key, each.stream, each.template) for each in found] == [
        ("k-a", "a", "/v1/charges"), ("k-b", "b", "/v1/charges")
    ]  # fmt: skip
    assert "key" not in found[0].facts


# Writing


def test_what_the_system_takes_in_pieces_is_written_whole(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda number, data, place: write(number, data[:7], place))
    journal.keep([kept(1), kept(2)])
    assert [each.key for each in read_lines(names(folder)[0].read_bytes()).waiting.values()] == ["key-1", "key-2"]


@pytest.mark.parametrize("truncates", [True, False])
def test_a_disk_that_fills_in_the_middle_of_a_line_leaves_a_file_that_can_be_read_and_written_on(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch, truncates: bool
) -> None:
    journal.keep([kept(1)])
    write = os.pwrite

    def full(number: int, data: Any, place: int) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(number, data[: len(data) - 60], place)

    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        if not truncates:
            patch.setattr(os, "ftruncate", broken)
        with pytest.raises(OSError, match="No space left"):
            journal.keep([kept(2, description="x" * 500)])
    assert journal.waiting == 1
    (file,) = names(folder)
    found = read_lines(file.read_bytes())
    assert ([each.key for each in found.waiting.values()], found.cut) == (["key-1"], not truncates)
    journal.keep([kept(3)])
    assert [each.key for each in read_lines(file.read_bytes()).waiting.values()] == ["key-1", "key-3"]


def test_what_does_not_reach_the_disk_is_not_told_of_as_kept(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(number: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for first in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr(files, "sync", failing)
            with pytest.raises(OSError, match="Input/output"):
                journal.keep([kept(2)])
        if first:
            assert list(folder.iterdir()) == []
            journal.keep([kept(1)])
    assert [each.key for each in read_lines(names(folder)[0].read_bytes()).waiting.values()] == ["key-1"]


def test_file_and_folder_are_on_the_disk_before_the_caller_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = files.sync

    def watched(number: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{number}"))
        real(number)

    monkeypatch.setattr(files, "sync", watched)
    folder = tmp_path / "deep" / "journal"
    journal = Journal(folder, HERE)
    assert synced == [str(tmp_path), str(folder.parent)]
    journal.keep([kept(1)])
    file, synced_folder = synced[2:]
    assert (Path(file).suffix, synced_folder) == (".new", str(folder))
    journal.keep([kept(2)])
    assert synced[4:] == [str(names(folder)[0])]
    journal.close()


# Done with


def test_a_file_of_which_all_is_done_is_deleted(journal: Journal, folder: Path) -> None:
    for _ in range(2):
        journal.keep([kept(1), kept(2)])
        for _ in range(2):
            claimed = journal.claim(())
            assert claimed is not None
            journal.finish(claimed)
        assert list(folder.iterdir()) == []


def test_what_is_done_is_not_sent_again_by_the_next_process(journal: Journal, folder: Path) -> None:
    journal.keep([kept(1), kept(2), kept(3)])
    claimed = journal.claim(())
    assert claimed is not None
    journal.finish(claimed)
    journal.close()
    following = Journal(folder, HERE)
    assert following.adopt() == 2
    assert [each.key for each in iter(lambda: _next(following), None)] == ["key-2", "key-3"]
    following.close()


def _next(journal: Journal) -> Kept | None:
    claimed = journal.claim(())
    if claimed is not None:
        journal.finish(claimed)
    return claimed


def test_a_file_that_is_mostly_done_is_written_anew(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "ROLL_BYTES", 20_000)
    journal._roll_at = 20_000
    sizes = []
    for number in range(1, 500):
        journal.keep([kept(number)])
        if number > 5:
            _next(journal)
        (file,) = names(folder)
        sizes.append(file.stat().st_size)
    assert max(sizes) < 25_000
    assert [each.key for each in read_lines(file.read_bytes()).waiting.values()] == [
        f"key-{n}" for n in range(495, 500)
    ]


def test_nobody_sends_two_of_an_account_at_a_time(journal: Journal) -> None:
    journal.keep([kept(1), kept(2), kept(3, "ben")])
    first, other = journal.claim(()), journal.claim(())
    assert first is not None
    assert other is not None
    assert (first.key, other.key) == ("key-1", "key-3")
    assert journal.claim(()) is None
    journal.release(first)
    again = journal.claim({"ben"})
    assert again is not None
    assert again.key == "key-1"


# Taking over


def test_what_a_process_left_is_taken_over_once(journal: Journal, folder: Path) -> None:
    left(folder, kept(1), kept(2))
    other = Journal(folder, HERE)
    assert (journal.adopt(), other.adopt()) == (2, 0)
    assert [path.stat().st_size > 0 for path in names(folder)] == [True]
    other.close()


@pytest.mark.parametrize(("ledger", "told"), [("https://credits.example.com", 1), ("https://other.example.com", 0)])
def test_what_was_queued_under_another_key_is_left_alone_and_told_of_once(
    folder: Path, caplog: pytest.LogCaptureFixture, ledger: str, told: int
) -> None:
    left(folder, replace(kept(1), target=Target(ledger=ledger, credential="old")))
    rotated = Journal(folder, Target(ledger="https://credits.example.com", credential="new"))
    assert (rotated.adopt(), rotated.adopt()) == (0, 0)
    assert caplog.text.count("queued under another API key") == told
    rotated.accept_any_key()
    assert rotated.adopt() == told
    rotated.close()


def test_a_file_whose_last_line_was_cut_by_a_kill_is_taken_over_without_it(
    journal: Journal, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = left(folder, kept(1), kept(2))
    path.write_bytes(path.read_bytes()[:-3])
    assert journal.adopt() == 1
    assert "ends in the middle of a line" in caplog.text
    assert not path.exists()


def test_a_file_with_a_line_that_can_not_be_read_is_set_aside_and_the_rest_taken_over(
    journal: Journal, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = left(folder, kept(1), kept(2), kept(3))
    data = path.read_bytes().replace(b"key-2", b"key-9")
    path.write_bytes(data)
    assert journal.adopt() == 2
    (aside,) = names(folder, files.DAMAGED)
    assert aside.read_bytes() == data
    assert "can't be read" in caplog.text
    assert shelf.contents(folder).damaged == [aside]


def test_what_can_not_be_taken_over_yet_stays_as_it_is(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = left(folder, kept(1))

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        assert journal.adopt() == 0
    assert "can't be taken over yet" in caplog.text
    assert [kept for kept, alive in shelf.contents(folder).waiting if not alive] == [kept_of_file(path)]
    assert journal.adopt() == 1


def kept_of_file(path: Path) -> Kept:
    (found,) = read_lines(path.read_bytes()).waiting.values()
    return found


def test_drafts_of_a_process_that_was_killed_are_swept_away_and_those_of_others_not(
    journal: Journal, folder: Path
) -> None:
    (folder / "1-2-3.new").write_bytes(b"")
    mine = files.locked(folder / "1-2-3.new")
    assert mine is not None
    journal.adopt()
    assert names(folder, ".new") == [mine.path]
    mine.close()
    journal.adopt()
    assert names(folder, ".new") == []


# The shelf


def test_what_is_dropped_is_kept_aside_with_who_and_why(folder: Path) -> None:
    files.make_folder(folder)
    parked = shelf.park(folder, kept(1), "frozen", "The account is frozen.")
    shelf.give_up(folder, parked, "cli:me", "a test")
    assert shelf.parked_in(folder) == []
    (path,) = (folder / "dropped").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    found = kept_of_file(path)
    assert (found.dropped_by, found.dropped_reason, found.reason) == ("cli:me", "a test", "The account is frozen.")


def test_what_a_process_left_may_be_dropped_and_what_a_living_one_has_not(journal: Journal, folder: Path) -> None:
    left(folder, kept(1), kept(2))
    journal.keep([kept(3)])
    assert shelf.give_up_left(folder, kept(3), "me", "x") is None
    gone = next(each for each, alive in shelf.contents(folder).waiting if each.key == "key-1")
    assert shelf.give_up_left(folder, gone, "me", "x") is not None
    assert [(each.key, alive) for each, alive in shelf.contents(folder).waiting] == [("key-2", False), ("key-3", True)]


def test_a_shelf_on_a_full_disk_is_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.make_folder(folder)
    shelf.park(folder, kept(1), "frozen", "once")

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        shelf.park(folder, kept(1), "frozen", "twice")
    assert [each.reason for each in shelf.parked_in(folder)] == ["once"]
    assert len(list((folder / "parked").iterdir())) == 1


def test_a_line_is_written_as_it_is_read() -> None:
    assert read_lines(to_line(Line(kept=kept(1))) + to_line(Line(done=kept(1).id))).waiting == {}


def test_who_sweeps_before_a_new_file_is_locked_takes_nothing_from_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.make_folder(folder)
    lock = fcntl.flock
    swept: list[Path] = []

    def beaten(number: int, how: int) -> None:
        if not swept:
            swept.extend(names(folder, ".new"))
            swept[0].unlink()
        lock(number, how)

    monkeypatch.setattr(fcntl, "flock", beaten)
    made = files.new_file(folder, lines_of([kept()]))
    made.close()
    assert len(swept) == 1
    assert names(folder) == [made.path]
    assert len(read_lines(made.read()).waiting) == 1
