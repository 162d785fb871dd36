"""Tables: rows as CSV (RFC 4180), safe to be opened in a spreadsheet.

A spreadsheet takes a text that begins with one of `=`, `+`, `-`, `@`, a tab or a line break for a formula, and carries
it out. Such a text gets an apostrophe before it; one that begins with an apostrophe gets one as well, so that to take
one away gives back what was there. Numbers of ours are no texts, and stay as they are.
"""

from collections.abc import Iterable, Sequence
from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")
"""The full-width forms count as well: some spreadsheets read them the same."""
_QUOTED: Final = frozenset('",\r\n')


class Number(str):
    """Text of a number of our own making: never taken for a formula."""

    __slots__ = ()


def csv_rows(rows: Iterable[Sequence[str]]) -> str:
    """Lines of CSV, each ended by CR LF."""
    return "".join([",".join(map(_cell, row)) + "\r\n" for row in rows])


def _cell(text: str) -> str:
    if not isinstance(text, Number) and text.startswith(_FORMULA):
        text = f"'{text}"
    if _QUOTED.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'
