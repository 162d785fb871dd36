"""Through the archive: what is archived, verified from each account's first entry up to its checkpoint.

The files are read side by side, in the order of accounts and numbers, so that memory does not grow with them; where
there are very many, some at a time into one. What a killed run has left twice, in two files or in a file and the
ledger, is the same entry both times.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import Final

from msgspec import Struct

from farthing.core.agreement import compare, differences
from farthing.core.checkpoint import Checkpoint, Seal
from farthing.core.invariants import Books
from farthing.core.records import Entry
from farthing.core.refundable import CHARGES
from farthing.stores.doctor import open_source
from farthing.stores.retention import Retaining
from farthing.stores.schema import Place
from farthing.stores.shelf import Shelf
from farthing.timezones import calendar

from .archive import Archive, ArchiveError, Left, Line, Writer

AT_ONCE: Final = 100
"""Files that are open at a time: there is one for each run, and a process may not have thousands."""
_OTHER: Final = ": a file of another ledger, or written after the backup that this one was put back from"
KEYS: Final = 500
"""Whose kept answers are asked for at a time."""
Tell = Callable[[int, str, str, str], None]
"""Told a law, workspace, account and what is wrong."""
Owner = tuple[str, str]


def examine_archives(
    place: Place, paths: Iterable[Path], tell: Tell, on_progress: Callable[[str, int, int], None] = lambda *_: None
) -> int:
    """Verify archive files, and the ledger's checkpoints by them; how many entries were read."""
    with closing(Retaining(open_source(place, read_only=True))) as ledger:
        return _Through(ledger, tell, on_progress).run(list(paths))


class _Through:
    def __init__(self, ledger: Retaining, tell: Tell, on_progress: Callable[[str, int, int], None]) -> None:
        self._ledger = ledger
        self._tell = tell
        self._on_progress = on_progress
        self._entries = 0
        self._keyed: list[Entry] = []
        """Of the account at hand, whose kept answers are to be looked at."""

    def run(self, paths: list[Path]) -> int:
        """All accounts of which something is archived."""
        archives = [archive for path in paths if (archive := self._opened(path)) is not None]
        with tempfile.TemporaryDirectory(prefix="farthing-") as folder:
            self._walk(_all_lines(archives, Path(folder)))
        return self._entries

    def _walk(self, every: Iterator[Line | Left]) -> None:
        checkpoints = self._checkpoints()
        expected = next(checkpoints, None)
        for owner, lines in groupby(every, key=_owner_of):
            while expected is not None and expected[0] < owner:
                self._tell(5, *expected[0], "what is archived of it is in none of these files")
                expected = next(checkpoints, None)
            checkpoint = None
            if expected is not None and expected[0] == owner:
                checkpoint, expected = expected[1], next(checkpoints, None)
            self._account(owner, lines, checkpoint)
            self._on_progress("archived entries", self._entries, 0)
        while expected is not None:
            self._tell(5, *expected[0], "what is archived of it is in none of these files")
            expected = next(checkpoints, None)

    def _opened(self, path: Path) -> Archive | None:
        """A file that is whole; what it has is read once more afterwards."""
        try:
            archive = Archive(path)
            archive.verify()
        except (ArchiveError, OSError) as error:
            self._tell(5, "", "", str(error))
            return None
        return archive

    def _checkpoints(self) -> Iterator[tuple[Owner, Checkpoint]]:
        after = ("", "")
        while True:
            with self._ledger.snapshot():
                page = self._ledger.checkpoints(after)
            for workspace, account, _, _, checkpoint in page:
                yield (workspace, account), checkpoint
            if not page:
                return
            after = page[-1][:2]

    def _account(self, owner: Owner, lines: Iterable[Line | Left], checkpoint: Checkpoint | None) -> None:
        charges = Shelf(Entry)
        with closing(charges):
            books, astray = Books(*owner, calendar, charges.get), 0
            for line in lines:
                if checkpoint is None or _number_of(line) > checkpoint.number:
                    astray += isinstance(line, Line) and not self._is_in_ledger(line.entry)
                elif isinstance(line, Left):
                    self._compare(owner, books, line)
                elif line.entry.number == books.number and books.last is not None:
                    if line.entry.hash != books.last.hash:
                        self._tell(5, *owner, f"two files differ in entry {books.number}{_OTHER}")
                else:
                    self._entry(owner, books, line)
                    if line.entry.kind in CHARGES:
                        charges[line.entry.id] = line.entry
            self._check_answers(owner)
            if checkpoint is not None:
                self._judge(owner, books, checkpoint)
            if astray:
                self._tell(5, *owner, f"of its entries in the files the ledger has not {astray}{_OTHER}")

    def _is_in_ledger(self, entry: Entry) -> bool:
        """A killed run has written it, and it still stands there; or another run has archived it just now."""
        with self._ledger.snapshot():
            found = self._ledger.entry(entry.id)
            if found is not None:
                return found.hash == entry.hash
            checkpoint = self._ledger.checkpoint(entry.workspace, entry.account, entry.bucket)
        return checkpoint is not None and checkpoint.number >= entry.number and checkpoint.at >= entry.at

    def _entry(self, owner: Owner, books: Books, line: Line) -> None:
        self._entries += 1
        for problem in books.add(line.entry, line.erased):
            self._tell(problem.law, *owner, f"in the archive: {problem}")
        if line.entry.key is not None:
            self._keyed.append(line.entry)
            if len(self._keyed) >= KEYS:
                self._check_answers(owner)

    def _check_answers(self, owner: Owner) -> None:
        """What is kept for the keys of some entries."""
        entries, self._keyed = self._keyed, []
        with self._ledger.snapshot():
            found = self._ledger.kept_answers(*owner, [entry.key or "" for entry in entries]) if entries else {}
        for entry in entries:
            kept = found.get(entry.key or "")
            if kept is None:
                said = f"the answer of entry {entry.number}, which is archived, is not kept for its key"
                self._tell(3, *owner, said)
            elif _answer(kept) != _answer(entry):
                said = f"what is kept for the key of entry {entry.number} is not what the archive says"
                self._tell(3, *owner, said)

    def _compare(self, owner: Owner, books: Books, left: Left) -> None:
        """A state that a run has written among the entries; of what was written twice the first is looked at."""
        if not books.lost and left.closed.account.number == books.number:
            for problem in compare(left.closed.account, books.row()):
                self._tell(5, *owner, f"in the archive, after entry {books.number}: {problem}")

    def _judge(self, owner: Owner, books: Books, checkpoint: Checkpoint) -> None:
        if books.number < checkpoint.number:
            missing = f"{books.number + 1} to {checkpoint.number}"
            self._tell(5, *owner, f"entries {missing} are in none of these files: the last was {checkpoint.archive}")
            return
        if books.lost:
            return
        closed = checkpoint.closed
        for problem in compare(closed.account, books.row()):
            self._tell(5, *owner, f"its checkpoint: {problem}")
        for grant in closed.grants:
            self._carried(owner, 5, f"grant {grant.id}", books.grants.get(grant.id), grant)
        for hold in closed.holds:
            self._carried(owner, 6, f"hold {hold.id}", books.holds.get(hold.id), hold)
        if closed.subscription != books.subscription:
            self._tell(5, *owner, "its checkpoint has another subscription than its archived entries")
        kept = {grant.id for grant in closed.grants} | {hold.id for hold in closed.holds}
        grants = Seal().with_all(g for g in books.grants.values() if g.id not in kept)
        holds = Seal().with_all(h for h in books.holds.values() if h.id not in kept)
        if (grants, holds) != (closed.sealed_grants, closed.sealed_holds):
            self._tell(5, *owner, "its checkpoint has sealed other grants or holds than its archived entries made")

    def _carried(self, owner: Owner, law: int, name: str, right: Struct | None, found: Struct) -> None:
        if right is None:
            self._tell(law, *owner, f"its checkpoint has {name}, which no archived entry made")
        else:
            for problem in differences(law, f"{name} of its checkpoint", right, found):
                self._tell(law, *owner, str(problem))


def _answer(entry: Entry) -> tuple[object, ...]:
    return (entry.id, entry.number, entry.amount, entry.balance, entry.at, entry.body, entry.fingerprint)


def _all_lines(archives: list[Archive], folder: Path) -> Iterator[Line | Left]:
    """What files have, in the order of workspaces, accounts and numbers."""
    for workspace in sorted({archive.header.workspace for archive in archives}):
        yield from _side_by_side([each for each in archives if each.header.workspace == workspace], folder)


def _side_by_side(archives: list[Archive], folder: Path) -> Iterator[Line | Left]:
    while len(archives) > AT_ONCE:
        # So few at a time that each line is written again once or twice, not as often as there are files.
        writer = Writer(folder, archives[0].header, secrets.token_hex(8))
        for line in _merged(archives[:AT_ONCE]):
            writer.add(line)
        archives = [*archives[AT_ONCE:], Archive(writer.close())]
    return _merged(archives)


def _merged(archives: list[Archive]) -> Iterator[Line | Left]:
    return merge(*(archive.lines() for archive in archives), key=lambda line: (*_owner_of(line), _place_of(line)))


def _place_of(line: Line | Left) -> tuple[int, int]:
    return (_number_of(line), isinstance(line, Left))


def _number_of(line: Line | Left) -> int:
    return line.entry.number if isinstance(line, Line) else line.closed.account.number


def _owner_of(line: Line | Left) -> Owner:
    return (line.entry.workspace, line.entry.account) if isinstance(line, Line) else line.owner
