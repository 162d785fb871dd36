"""Erasing from archive files: an account's texts go, and their digests take their place, so that the chain still holds.

A file that has such texts is written anew beside itself, and takes its own place when it is whole and on the disk. In a
folder one does this at a time.
"""

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from farthing.core.draft import digest

from .archive import Archive, Line, Writer, rewriting


class Numbers:
    """Entries that were seen, as ranges of their numbers."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def add(self, number: int) -> None:
        """One more; mostly the one after the last."""
        if self._ranges and self._ranges[-1][1] == number - 1:
            self._ranges[-1] = (self._ranges[-1][0], number)
        else:
            self._ranges.append((number, number))

    def missing(self, last: int) -> list[tuple[int, int]]:
        """Which up to the last were not."""
        gaps, expected = [], 1
        for first, end in sorted(self._ranges):
            if expected < first <= last:
                gaps.append((expected, first - 1))
            expected = max(expected, end + 1)
        return [*gaps, (expected, last)] if expected <= last else gaps


def erase_from(
    paths: Iterable[Path], workspace: str, account: str, *, dry_run: bool = False, seen: Numbers | None = None
) -> dict[Path, int]:  # fmt: skip
    """Erase an account's texts from these files; of each that had some, how many entries. `seen` is told which of its
    entries are in any of them."""
    found: dict[Path, int] = {}
    for path in paths:
        count = _texts_in(path, workspace, account, seen)
        if count and not dry_run:
            with rewriting(path.parent):
                _rewrite(path, account)
        if count:
            found[path] = count
    return found


def _texts_in(path: Path, workspace: str, account: str, seen: Numbers | None) -> int:
    archive, count = Archive(path), 0
    if archive.header.workspace != workspace:
        return 0
    for line in archive.lines():
        if isinstance(line, Line) and line.entry.account == account:
            count += _has_text(line, account)
            if seen is not None:
                seen.add(line.entry.number)
    return count


def _has_text(line: Line, account: str) -> bool:
    entry = line.entry
    return entry.account == account and (entry.description is not None or entry.metadata is not None)


def _rewrite(path: Path, account: str) -> None:
    archive = Archive(path)
    writer = Writer(path.parent, archive.header, path.name)
    try:
        for line in archive.lines():
            writer.add(_erased(line) if isinstance(line, Line) and _has_text(line, account) else line)
        writer.close()
    except BaseException:
        writer.abandon()
        raise


def _erased(line: Line) -> Line:
    entry = line.entry
    known = line.erased or (None, None)
    digests = (digest(entry.description) or known[0], digest(entry.metadata) or known[1])
    return Line(replace(entry, description=None, metadata=None), line.usage, digests)
