"""Files of a journal: under a lock, readable by their owner only; what was written is on the disk, or is not there."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

SUFFIX: Final = ".journal"
DAMAGED: Final = ".damaged"
_NEW: Final = ".new"
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC
# What macOS calls fsync leaves the data in the drive.
_FULL_SYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)


class LockedFile:
    """A file that this process has locked, and adds to. Used by one thread at a time."""

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self._number = number
        self.size = os.fstat(number).st_size

    def add(self, data: bytes, *, durable: bool) -> None:
        """Write at its end; with `durable`, to the disk. What fails half-way is taken back."""
        try:
            _write(self._number, data, self.size)
            if durable:
                sync(self._number)
        except OSError:
            # What can't be cut off now is written over by whoever comes next; it must not hide why.
            with suppress(OSError):
                os.ftruncate(self._number, self.size)
            raise
        self.size += len(data)

    def read(self) -> bytes:
        """All of it."""
        return self.path.read_bytes()

    def remove(self) -> None:
        """Delete it, and let go of it."""
        try:
            self.path.unlink()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of it; whoever comes may take it over."""
        os.close(self._number)


def new_file(folder: Path, data: bytes) -> LockedFile:
    """A file of this process's own that holds `data`, on the disk. It gets its name once it is locked, so that nobody
    ever takes it for one that was left behind."""
    while (file := _draft(folder)) is None:
        pass
    path = file.path.with_suffix(SUFFIX)
    try:
        file.add(data, durable=True)
        file.path.rename(path)
        sync_folder(folder)
    except BaseException:
        file.close()
        for each in (file.path, path):
            with suppress(OSError):
                each.unlink()
        raise
    file.path = path
    return file


def _draft(folder: Path) -> LockedFile | None:
    """An empty file that this process has locked; None where one who sweeps was faster than the lock."""
    path = folder / f"{time.time_ns():020d}-{os.getpid()}-{token_hex(4)}{_NEW}"
    number = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        if _is_there(path, number):
            return LockedFile(path, number)
    except BaseException:
        os.close(number)
        raise
    os.close(number)
    return None


def left_behind(folder: Path) -> Iterator[LockedFile]:
    """The files of processes that are gone, oldest first, each locked until it is closed or removed."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        file = locked(path)
        if file is not None:
            yield file


def locked(path: Path) -> LockedFile | None:
    """A file, where no living process has it."""
    try:
        number = os.open(path, _FLAGS)
    except (FileNotFoundError, PermissionError):  # another one was faster and is done with it, or it is somebody else's
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it may have deleted it just before.
        if _is_there(path, number):
            return LockedFile(path, number)
    except BlockingIOError:
        pass
    except BaseException:
        os.close(number)
        raise
    os.close(number)
    return None


def _is_there(path: Path, number: int) -> bool:
    """Whether the file of that name is the one that was opened."""
    try:
        return path.stat().st_ino == os.fstat(number).st_ino
    except FileNotFoundError:
        return False


def sweep(folder: Path) -> None:
    """Delete drafts that a kill has left."""
    for draft in folder.glob(f"*{_NEW}"):
        file = locked(draft)
        if file is not None:
            with suppress(FileNotFoundError):
                file.remove()


def put(path: Path, data: bytes) -> None:
    """Write a small file whole, or not at all, in the place of what was there."""
    draft = path.with_name(f"{path.name}.{token_hex(4)}.tmp")
    number = os.open(draft, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            _write(number, data, 0)
            sync(number)
        finally:
            os.close(number)
        draft.rename(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """A folder for nobody else, and its name on the disk."""
    if folder.is_dir():
        return
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
        sync_folder(missing.parent)


def sync_folder(folder: Path) -> None:
    """Have the names of its files on the disk."""
    number = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync(number)
    finally:
        os.close(number)


def sync(number: int) -> None:
    """Have what was written on the disk, and not in some buffer."""
    if _FULL_SYNC is None:
        os.fsync(number)
    else:
        fcntl.fcntl(number, _FULL_SYNC)


def _write(number: int, data: bytes, place: int) -> None:
    # On a disk that is nearly full a part is written, and only the rest fails.
    left = memoryview(data)
    while left:
        written = os.pwrite(number, left, place)
        left, place = left[written:], place + written
