"""Exporting: a listing of usage as the bytes of a file, a page at a time. Rows and form are those of the API's own
export, which is one long answer; made of pages, a page that is lost is asked for again.

Made from `aio/exporting.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal, get_args

from farthing.core.history import as_csv, as_lines, csv_header

from .pages import Pages

Format = Literal["csv", "jsonl"]
PAGE: Final = "200"
"""As many rows as a page may have."""


def exported(rows: Pages[dict[str, Any]], format: Format) -> Iterator[bytes]:
    """The parts of the file."""
    if format not in get_args(Format):
        raise ValueError(f"format must be 'csv' or 'jsonl', not {format!r}")
    return _parts(rows, format)


def _parts(rows: Pages[dict[str, Any]], format: Format) -> Iterator[bytes]:
    head, write = (csv_header(), as_csv) if format == "csv" else (b"", as_lines)
    for page in rows.pages():
        yield head + write(page.data)
        head = b""
