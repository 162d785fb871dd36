"""Archive files: JSON Lines, compressed, one file for each run and workspace, with all that the ledger lets go of.

The first line is a header, the last a trailer with counts and the SHA-256 of the lines between. Between them stand, by
account and number, entries (each with the row of its usage, and with the digests of texts that were erased), and
checkpoints: after some entries of an account the state in which these leave it. A file gets its name when it is whole
and on the disk, and was read back; one that lacks its trailer was cut off.
"""

import fcntl
import gzip
import os
import secrets
import time
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

import msgspec
from msgspec import Struct

from farthing.core.checkpoint import Closed
from farthing.core.draft import Digests
from farthing.core.records import Entry, UsageRecord

FORMAT: Final = 1
SUFFIX: Final = ".jsonl.gz"
_PART: Final = ".part"
_LEVEL: Final = 6
_ABANDONED_SECONDS: Final = 60
_MOST: Final = 64_000_000
"""Bytes that a line may have: of an account with as much live as it may have, a few millions."""


class ArchiveError(ValueError):
    """A file that is no whole archive; the message says why."""


class Header(Struct, tag_field="line", tag="archive"):
    """What a file is."""

    workspace: str
    run: str
    made_at: int
    before: int
    """All its entries are older."""
    format: int = FORMAT


class Line(Struct, tag_field="line", tag="entry", omit_defaults=True):
    """An entry, with what stood beside it."""

    entry: Entry
    usage: UsageRecord | None = None
    erased: Digests | None = None


class Left(Struct, tag_field="line", tag="checkpoint"):
    """How the entries before it leave their account."""

    since: int
    """The number of the first of them after the checkpoint before."""
    head: int
    """The number of the account's last entry when these were looked at."""
    used_until: int
    closed: Closed

    @property
    def owner(self) -> tuple[str, str]:
        """Workspace and account."""
        return (self.closed.account.workspace, self.closed.account.id)


class Trailer(Struct, tag_field="line", tag="end"):
    """What a whole file comes to."""

    accounts: int = 0
    entries: int = 0
    usage: int = 0
    sha256: str = ""


_Any = Header | Line | Left | Trailer
_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(_Any)


class Writer:
    """Writes one file; it has its name only after `close`."""

    def __init__(self, folder: Path, header: Header, name: str = "") -> None:
        _make_folder(folder)
        self.path = folder / (name or file_name(header))
        # Its own, whoever else may be writing a file of that name. Whose credits these are is nobody else's business.
        self._part = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}{_PART}")
        self._raw: IO[bytes] = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        fcntl.flock(self._raw, fcntl.LOCK_EX)
        # Without the time in its head the same lines make the same file.
        self._packed = gzip.GzipFile(fileobj=self._raw, mode="wb", compresslevel=_LEVEL, mtime=0, filename="")
        self._digest = sha256()
        self._told = Trailer()
        self._account = ""
        self._put(header)

    def add(self, line: Line | Left) -> None:
        """Write the next line."""
        if isinstance(line, Line):
            self._told.entries += 1
            self._told.usage += line.usage is not None
            self._told.accounts += line.entry.account != self._account
            self._account = line.entry.account
        self._put(line)

    def close(self) -> Path:
        """End the file: it is on the disk, was read back whole, and has its name when this returns."""
        self._told.sha256 = self._digest.hexdigest()
        self._put(self._told)
        self._packed.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        if Archive(self._part).verify() != self._told:
            raise ArchiveError(f"{self.path.name} can't be read back as it was written")
        os.replace(self._part, self.path)
        _sync_folder(self.path.parent)
        return self.path

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._part.unlink(missing_ok=True)
        with suppress(OSError):
            # What it still has to write goes nowhere; on a full disk that fails again.
            self._raw.close()

    def _put(self, line: _Any) -> None:
        data = _encode(line) + b"\n"
        if not isinstance(line, Trailer):
            self._digest.update(data)
        self._packed.write(data)


def _make_folder(folder: Path) -> None:
    """Make it, and have its name on the disk: a file that is there in a folder that is not is lost as well."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in missing:
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_name(header: Header) -> str:
    """A name with workspace and time; names follow each other as the runs did."""
    moment = datetime.fromtimestamp(header.made_at / 1_000_000, UTC)
    return f"{header.workspace}-{moment:%Y%m%dT%H%M%S}-{header.run}{SUFFIX}"


class Archive:
    """One file, read a line at a time. What is wrong with it is raised as `ArchiveError`, with its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        first = next(self._read(), None)
        if not isinstance(first, Header):
            raise ArchiveError(f"{path.name} is no archive of a ledger: it does not begin as one")
        if first.format != FORMAT:
            raise ArchiveError(f"{path.name} is an archive of form {first.format}, which this Farthing does not know")
        self.header = first

    def lines(self) -> Iterator[Line | Left]:
        """Entries and checkpoints; raises at the end where what was read is not what was written."""
        return (line for line in self._checked() if not isinstance(line, Trailer))

    def verify(self) -> Trailer:
        """Read all of it; what it comes to."""
        *_, told = deque(self._checked(), maxlen=1)
        assert isinstance(told, Trailer), "whatever ends without one raises"
        return told

    def _checked(self) -> Iterator[Line | Left | Trailer]:
        digest, told, account = sha256(), Trailer(), ""
        for line, data in self._read_with_data():
            if isinstance(line, Trailer):
                told.sha256 = digest.hexdigest()
                if told != line:
                    raise ArchiveError(f"{self.path.name} was changed: it is not what its last line says")
                yield told
                return
            digest.update(data)
            if isinstance(line, Line):
                told.entries += 1
                told.usage += line.usage is not None
                told.accounts += line.entry.account != account
                account = line.entry.account
            if not isinstance(line, Header):
                yield self._of_its_workspace(line)
        raise ArchiveError(f"{self.path.name} was cut off: its last line is missing")

    def _of_its_workspace(self, line: Line | Left) -> Line | Left:
        workspace = line.entry.workspace if isinstance(line, Line) else line.owner[0]
        if workspace != self.header.workspace:
            raise ArchiveError(f"{self.path.name} was changed: it has entries of another workspace than it says")
        return line

    def _read(self) -> Iterator[_Any]:
        return (line for line, _ in self._read_with_data())

    def _read_with_data(self) -> Iterator[tuple[_Any, bytes]]:
        try:
            with gzip.open(self.path, "rb") as lines:
                while data := lines.readline(_MOST):
                    yield _decoder.decode(data), data
        except (EOFError, gzip.BadGzipFile, msgspec.DecodeError, UnicodeDecodeError, zlib.error) as error:
            raise ArchiveError(f"{self.path.name} is cut off or damaged ({error})") from error


@contextmanager
def rewriting(folder: Path) -> Iterator[None]:
    """Whoever writes files of a folder anew does it alone: of two at once the later would bring back what the other has
    taken out. The operating system lets go of it, so that a kill does."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Take away what killed runs have left: files that never got their names, and that nobody is writing."""
    for part in folder.glob(f"*{_PART}"):
        # Whose it is may end it at this moment.
        with suppress(FileNotFoundError, BlockingIOError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between making and locking one there is an instant.
            if time.time() - os.fstat(file.fileno()).st_mtime > _ABANDONED_SECONDS:
                part.unlink()


def archives_in(folder: Path) -> list[Path]:
    """The archive files of a folder, as they were made."""
    return sorted(folder.glob(f"*{SUFFIX}"))
