"""The shelf: calls that were refused for good wait for a person to send them again or give them up. One file for each,
written whole, so that a program and the command line may both be at it.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from .files import DAMAGED, SUFFIX, LockedFile, left_behind, locked, make_folder, put, sync_folder
from .lines import Kept, Line, now_text, read_line, read_lines, to_line

_PARKED: Final = "parked"
_DROPPED: Final = "dropped"
_ENDING: Final = ".json"


class Contents(Struct):
    """All that is in a folder, as it stands now."""

    waiting: list[tuple[Kept, bool]]
    """Each with whether the process that keeps it lives."""
    parked: list[Kept]
    damaged: list[Path]
    """Files with something that can't be read, set aside."""


def park(folder: Path, kept: Kept, code: str, reason: str) -> Kept:
    """Put a call on the shelf with the refusal; on the disk when this returns."""
    make_folder(folder / _PARKED)
    parked = replace(kept, code=code, reason=reason, parked_at=now_text())
    put(_place(folder, parked), _whole(parked))
    return parked


def parked_in(folder: Path) -> list[Kept]:
    """What is on the shelf, the oldest first."""
    found = [_read(path) for path in (folder / _PARKED).glob(f"*{_ENDING}")]
    return sorted((each for each in found if each is not None), key=lambda each: (each.queued_at, each.key))


def count_parked(folder: Path) -> int:
    """How many are on the shelf."""
    return sum(1 for _ in (folder / _PARKED).glob(f"*{_ENDING}"))


def unpark(folder: Path, kept: Kept) -> None:
    """Take a call off the shelf: it is done."""
    with suppress(FileNotFoundError):  # somebody else was faster
        _place(folder, kept).unlink()
        sync_folder(folder / _PARKED)


def give_up(folder: Path, kept: Kept, by: str, reason: str) -> Kept:
    """Take a parked call off the shelf for good. It is kept aside, with who did it and why."""
    dropped = _set_down(folder, kept, by, reason)
    unpark(folder, kept)
    return dropped


def give_up_left(folder: Path, kept: Kept, by: str, reason: str) -> Kept | None:
    """The same for a call that waits in the file of a process that is gone; None where it is not there any more."""
    for file in left_behind(folder):
        try:
            if kept.id in read_lines(file.read()).waiting:
                dropped = _set_down(folder, kept, by, reason)
                file.add(to_line(Line(done=kept.id)), durable=True)
                return dropped
        finally:
            file.close()
    return None


def contents(folder: Path) -> Contents:
    """All that is in a folder; nothing is changed."""
    waiting = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        file = locked(path)
        alive = file is None
        waiting += [(kept, alive) for kept in _waiting(path, file)]
    return Contents(waiting, parked_in(folder), sorted((*folder.glob(f"*{DAMAGED}"), *_unread(folder))))


def _waiting(path: Path, file: LockedFile | None) -> list[Kept]:
    try:
        data = path.read_bytes() if file is None else file.read()
    except FileNotFoundError:  # all of it was done just now
        return []
    finally:
        if file is not None:
            file.close()
    return list(read_lines(data).waiting.values())


def _set_down(folder: Path, kept: Kept, by: str, reason: str) -> Kept:
    make_folder(folder / _DROPPED)
    dropped = replace(kept, dropped_at=now_text(), dropped_by=by, dropped_reason=reason)
    put(folder / _DROPPED / f"{kept.id}{_ENDING}", _whole(dropped))
    return dropped


def _place(folder: Path, kept: Kept) -> Path:
    return folder / _PARKED / f"{kept.id}{_ENDING}"


def _whole(kept: Kept) -> bytes:
    return to_line(Line(kept=kept))


def _read(path: Path) -> Kept | None:
    try:
        line = read_line(path.read_bytes().removesuffix(b"\n"))
    except FileNotFoundError:
        return None
    return None if line is None else line.kept


def _unread(folder: Path) -> list[Path]:
    return [path for path in (folder / _PARKED).glob(f"*{_ENDING}") if path.exists() and _read(path) is None]
