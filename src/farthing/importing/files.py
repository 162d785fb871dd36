"""Files: what is imported, line by line, more than once. What can be read just once is kept in a temporary file."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO

from .form import LONGEST_LINE

_BOM = b"\xef\xbb\xbf"


class Changed(Exception):
    """The file is another one than when it was looked at."""


class Lines:
    """The lines of a file that is open for reading, from the first on as often as it is asked."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file if _can_be_read_again(file) else _kept(file)
        self._state = self._look()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Each line that says something, with its number. One that is too long comes in parts, the first of which is
        too long."""
        self._file.seek(0)
        number = 0
        whole = True
        while text := self._file.readline(LONGEST_LINE + 1):
            number += whole
            whole = text.endswith(b"\n")
            text = text.removeprefix(_BOM) if number == 1 else text
            if text.strip():
                yield number, text
        if self._look() != self._state:
            raise Changed("the file was changed while it was read")

    def _look(self) -> tuple[int, int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_ino, found.st_size, found.st_mtime_ns

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


def _can_be_read_again(file: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # it is no file of the system's
        return False


def _kept(file: BinaryIO) -> BinaryIO:
    kept = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the lines
    shutil.copyfileobj(file, kept)
    kept.flush()
    return kept
