"""Keeping: the journal of a process for one ledger. What waits in it, in the order in which it is to be sent; for any
number of threads.
"""

import asyncio
import logging
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final
from weakref import WeakSet

from msgspec import Struct
from msgspec.structs import replace

from . import shelf
from .files import DAMAGED, LockedFile, left_behind, make_folder, new_file, sweep
from .lines import ANY, Kept, Line, Target, lines_of, read_lines, to_line

ROLL_BYTES: Final = 1 << 20
"""A file that is longer, and of which most is done, is written anew."""
_LOG: Final = logging.getLogger("farthing.client")


class JournalStats(Struct, frozen=True, kw_only=True):
    """Where the journal stands."""

    waiting: int
    """Queued here and not delivered yet."""
    parked: int
    """Refused for good, in the folder: `farthing journal list` shows them."""
    queued: int
    """By this client, since it was opened."""
    replayed: int
    refused: int


class Journal:
    """The journal of a process; made once for each client."""

    def __init__(self, folder: Path, target: Target) -> None:
        self.folder = folder
        self.target = target
        self.adopts = target
        make_folder(folder)
        self._begin()
        _JOURNALS.add(self)

    def _begin(self) -> None:
        # Memory has a lock of its own, which nobody keeps while he waits for the disk: event loops take it. Whoever
        # needs both takes that of the disk first.
        self._turn = threading.Lock()
        self._disk = threading.Lock()
        self._adopting = threading.Lock()
        self._file: LockedFile | None = None
        self._closed = False
        self._streams: OrderedDict[str, deque[Kept]] = OrderedDict()
        self._ids: set[str] = set()
        self._sent: set[str] = set()
        self._told: set[Path] = set()
        self._roll_at = ROLL_BYTES
        self._queued = self._replayed = self._refused = 0

    # Writing

    def keep(self, kept: Sequence[Kept]) -> None:
        """Take calls in; they are on the disk when this returns. Raises OSError where they can't be: then none is."""
        with self._disk:
            self._write(lines_of(kept))
            self._remember(kept)
            self._queued += len(kept)
            if self._closed:
                # Nobody is there to send it: the next process shall find it.
                self._let_go()

    def _write(self, data: bytes) -> None:
        if self._file is None:
            make_folder(self.folder)
            self._file = new_file(self.folder, data)
        else:
            self._file.add(data, durable=True)

    def _remember(self, kept: Iterable[Kept]) -> None:
        with self._turn:
            for each in kept:
                if each.id not in self._ids:
                    self._ids.add(each.id)
                    self._streams.setdefault(each.stream, deque()).append(each)

    # Sending

    def waits(self, stream: str) -> bool:
        """Whether something of an account or a hold waits here."""
        return stream in self._streams

    @property
    def waiting(self) -> int:
        """How many wait here."""
        return len(self._ids)

    def claim(self, without: Collection[str]) -> Kept | None:
        """The next call to send, which nobody else sends meanwhile: of an account one at a time, in its order. It has
        to be released, finished or parked."""
        with self._turn:
            for stream, waiting in self._streams.items():
                if stream not in self._sent and stream not in without:
                    self._sent.add(stream)
                    return waiting[0]
            return None

    def release(self, kept: Kept) -> None:
        """It could not be delivered yet. Its account comes last from now on, so that it can't hold up the others."""
        with self._turn:
            self._sent.discard(kept.stream)
            if kept.stream in self._streams:
                self._streams.move_to_end(kept.stream)

    def finish(self, kept: Kept) -> None:
        """It was delivered."""
        self._replayed += 1
        self._forget(kept)

    def park(self, kept: Kept, code: str, reason: str) -> None:
        """It was refused for good: put it on the shelf."""
        shelf.park(self.folder, kept, code, reason)
        self._refused += 1
        self._forget(kept)

    def _forget(self, kept: Kept) -> None:
        with self._turn:
            self._sent.discard(kept.stream)
            if kept.id not in self._ids:  # closed meanwhile: the next one sends it again, and its key makes it once
                return
            self._ids.remove(kept.id)
            stream = self._streams[kept.stream]
            stream.popleft()
            if not stream:
                del self._streams[kept.stream]
        try:
            with self._disk:
                self._note_done(kept)
        except OSError as error:  # then, too, it may be sent again
            _LOG.warning("the journal in %s can't be written: %s", self.folder, error)

    def _note_done(self, kept: Kept) -> None:
        if self._file is None:
            return
        # What is in the file and not in memory is done: both change together, under the lock of the disk.
        if not self._ids:
            self._remove_file()
            return
        self._file.add(to_line(Line(done=kept.id)), durable=False)
        if self._file.size > self._roll_at:
            self._roll(self._file)

    def _remove_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.remove()
        self._roll_at = ROLL_BYTES

    def _roll(self, old: LockedFile) -> None:
        """Write what still waits into a new file, where most of the old one is done."""
        with self._turn:
            left = lines_of(each for stream in self._streams.values() for each in stream)
        self._roll_at = max(ROLL_BYTES, 2 * len(left))
        if old.size > self._roll_at:
            self._file = new_file(self.folder, left)
            old.remove()

    # Taking over

    def adopt(self) -> int:
        """Take over what processes have left that are gone; how many calls."""
        # Whoever comes second finds what the first one has taken over, rather than a file that is locked.
        with self._adopting:
            sweep(self.folder)
            return sum(self._adopt(file) for file in left_behind(self.folder))

    def _adopt(self, file: LockedFile) -> int:
        try:
            found = read_lines(file.read())
            kept = list(found.waiting.values())
            if not all(self.adopts.takes(each.target) for each in kept):
                file.close()
                self._tell_of_other_key(file.path, kept)
                return 0
            if kept:
                with self._disk:
                    self._write(lines_of(kept))
                    self._remember(kept)
        except OSError as error:  # it stays as it is, and is there for the next one
            file.close()
            _LOG.warning("what waits in %s can't be taken over yet: %s", file.path, error)
            return 0
        _put_away(file, found.damaged, found.cut)
        return len(kept)

    def _tell_of_other_key(self, path: Path, kept: list[Kept]) -> None:
        """Of what is for another ledger its own programs take care; what is for this one may have nobody any more."""
        any_key = replace(self.target, credential=ANY)
        if path not in self._told and all(any_key.takes(each.target) for each in kept):
            self._told.add(path)
            _LOG.warning(
                "%d calls in %s were queued under another API key and are left alone; `farthing journal retry "
                "--any-key` sends them, and so does accept_any_key()", len(kept), path
            )  # fmt: skip

    def accept_any_key(self) -> None:
        """Take over also what was queued under another API key."""
        self.adopts = replace(self.target, credential=ANY)

    # Looking

    def stats(self) -> JournalStats:
        """Where it stands."""
        parked = shelf.count_parked(self.folder)
        return JournalStats(
            waiting=self.waiting, parked=parked, queued=self._queued, replayed=self._replayed, refused=self._refused
        )  # fmt: skip

    def parked(self) -> list[Kept]:
        """What lies on the shelf for this ledger."""
        return [each for each in shelf.parked_in(self.folder) if self.adopts.takes(each.target)]

    def unpark(self, kept: Kept) -> None:
        """It was delivered after all."""
        shelf.unpark(self.folder, kept)

    def park_again(self, kept: Kept, code: str, reason: str) -> None:
        """It was refused once more."""
        shelf.park(self.folder, kept, code, reason)

    # Ending

    def close(self) -> None:
        """Let go of the file; what waits in it is sent by the next process."""
        with self._disk:
            self._closed = True
            self._let_go()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
        with self._turn:
            self._streams.clear()
            self._ids.clear()

    def for_loops(self) -> "AsyncJournal":
        """The same for event loops."""
        return AsyncJournal(self)

    def after_fork(self) -> None:
        """In a child: file and lock are the parent's. Closed here, so that they end with the parent."""
        file = self._file
        self._begin()
        if file is not None:
            file.close()


class AsyncJournal:
    """The same for event loops, which never wait for the disk."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.folder = journal.folder
        self.target = journal.target
        self.waits = journal.waits
        self.claim = journal.claim
        self.release = journal.release
        self.accept_any_key = journal.accept_any_key

    @property
    def waiting(self) -> int:
        """How many wait here."""
        return self._journal.waiting

    async def keep(self, kept: Sequence[Kept]) -> None:
        """Take calls in."""
        # What was begun is finished, also where the caller is cancelled meanwhile.
        await asyncio.to_thread(self._journal.keep, kept)

    async def finish(self, kept: Kept) -> None:
        """It was delivered."""
        await asyncio.to_thread(self._journal.finish, kept)

    async def park(self, kept: Kept, code: str, reason: str) -> None:
        """It was refused for good."""
        await asyncio.to_thread(self._journal.park, kept, code, reason)

    async def adopt(self) -> int:
        """Take over what others have left."""
        return await asyncio.to_thread(self._journal.adopt)

    async def stats(self) -> JournalStats:
        """Where it stands."""
        return await asyncio.to_thread(self._journal.stats)

    async def parked(self) -> list[Kept]:
        """What lies on the shelf for this ledger."""
        return await asyncio.to_thread(self._journal.parked)

    async def unpark(self, kept: Kept) -> None:
        """It was delivered after all."""
        await asyncio.to_thread(self._journal.unpark, kept)

    async def park_again(self, kept: Kept, code: str, reason: str) -> None:
        """It was refused once more."""
        await asyncio.to_thread(self._journal.park_again, kept, code, reason)

    async def aclose(self) -> None:
        """Let go of the file."""
        await asyncio.to_thread(self._journal.close)


def _put_away(file: LockedFile, damaged: int, cut: bool) -> None:
    """Delete a file that was taken over; one with something that can't be read is set aside for a person."""
    if cut:
        _LOG.warning("%s ends in the middle of a line: its process ended before anybody was told of it", file.path)
    if not damaged:
        file.remove()
        return
    aside = file.path.with_suffix(DAMAGED)
    file.path.rename(aside)
    file.close()
    _LOG.error("%d lines of the journal can't be read; the file is kept as %s", damaged, aside)


_JOURNALS: Final[WeakSet[Journal]] = WeakSet()


def _after_fork() -> None:
    for journal in list(_JOURNALS):
        journal.after_fork()


os.register_at_fork(after_in_child=_after_fork)
