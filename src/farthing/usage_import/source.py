"""Source: a file of JSON, as a stream of records with their places: JSON lines, or one document as a whole.

Files may be read more than once. A document (JSON over many lines) is kept in memory while it is read; lines are not.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct

LONGEST: Final = 64 * 1024 * 1024
"""Bytes that a line or a document may have."""
_TOO_MUCH: Final = 2**63
_BOM: Final = b"\xef\xbb\xbf"
_SPACE: Final = re.compile(r"\s*")
_Place = str


class Problem(Struct, frozen=True):
    """What can't be read, or was not taken: where it stands, and why."""

    place: str
    reason: str
    key: str = ""
    code: str = "invalid"


class Wrong(ValueError):
    """What stands in a record can't be right."""


class NotThatFile(ValueError):
    """The file as a whole is not what it is taken for."""


class Source:
    """The records of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def records(self) -> Iterator[tuple[_Place, Any]]:
        """Each JSON value with its place; a line that is none comes as a `Problem`."""
        with self._path.open("rb") as file:
            if _is_document(file):
                yield from _parts("document", _document(file))
                return
            for number, line in _lines(file):
                yield f"line {number}", _value(line, f"line {number}")


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line that says something, with its number; of one that is too long, its beginning."""
    file.seek(0)
    number, whole = 0, True
    while text := file.readline(LONGEST + 1):
        begins, whole = whole, text.endswith(b"\n")
        number += begins
        text = text.removeprefix(_BOM) if number == 1 else text
        if begins and text.strip():
            yield number, text


def _is_document(file: BinaryIO) -> bool:
    """Whether the first line by itself is no JSON, or a list: then all of it together may be."""
    for _, line in _lines(file):
        return line.lstrip()[:1] == b"[" or isinstance(_value(line, ""), Problem)
    return False


def _document(file: BinaryIO) -> Any:
    file.seek(0)
    text = file.read(LONGEST + 1)
    text = text.removeprefix(_BOM)
    value = _value(text, "the file")
    if not isinstance(value, Problem):
        return value
    # Where the first line is broken, the others may be right.
    if any(isinstance(_value(line, ""), dict) for number, line in _lines(file) if number > 1):
        return [_value(line, f"line {number}") for number, line in _lines(file)]
    return _one_after_another(text) or value


def _one_after_another(raw: bytes) -> list[Any]:
    """Documents that follow one another, each on many lines, as a console exporter prints them; none where something
    else stands there."""
    decoder, found, at = json.JSONDecoder(), [], 0
    try:
        whole = raw.decode()
        while at < len(whole):
            value, at = decoder.raw_decode(whole, at)
            found.append(value)
            at = _behind_space(whole, at)
    except (ValueError, RecursionError):
        return []
    return found


def _behind_space(whole: str, at: int) -> int:
    found = _SPACE.match(whole, at)
    return at if found is None else found.end()


def _parts(place: str, value: Any) -> Iterator[tuple[_Place, Any]]:
    if not isinstance(value, list):
        yield place, value
        return
    for number, part in enumerate(value, 1):
        yield (part.place if isinstance(part, Problem) else f"record {number}"), part


def _value(text: bytes, place: str) -> Any:
    if len(text) > LONGEST:
        return Problem(place, f"has more than {LONGEST:,} bytes")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Problem(place, f"is no JSON: {error}")


# Values


def count(value: Any, name: str) -> int:
    """A whole number from zero up; text of digits will do, as many exports have them."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
        return count(int(value), name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < _TOO_MUCH
        or value != int(value)
    ):
        raise Wrong(f"{name} must be a whole number from zero up, not {value!r:.60}")
    return int(value)


def text(value: Any, name: str) -> str:
    """A text; a number will do for an id."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Wrong(f"{name} must be text, not {value!r:.60}")
