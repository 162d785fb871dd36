"""CSV: RFC 4180, and nothing in it that a spreadsheet would carry out."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.tables import Number, csv_rows


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("plain", "plain"),
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ("two\nlines", '"two\nlines"'),
        ("cr\rhere", '"cr\rhere"'),
        ("", ""),
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-cmd", "'-cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", '"\'\r=1"'),
        ("\n=1", '"\'\n=1"'),
        ("\uff1d1", "'\uff1d1"),
        ('=HYPERLINK("http://x","y")', '"\'=HYPERLINK(""http://x"",""y"")"'),
        ("'quoted", "''quoted"),
        ("a=b", "a=b"),
        (Number("-5"), "-5"),
    ],
)
def test_a_cell_is_quoted_and_guarded(cell: str, told: str):
    assert csv_rows([[cell]]) == f"{told}\r\n"


def test_rows_end_with_cr_lf():
    assert csv_rows([["a", "b"], ["1", "2"]]) == "a,b\r\n1,2\r\n"
    assert csv_rows([]) == ""


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5))
def test_what_was_written_is_read_back(rows: list[list[str]]):
    read = list(csv.reader(io.StringIO(csv_rows(rows), newline="")))
    assert [[cell.removeprefix("'") if cell.startswith("'") else cell for cell in row] for row in read] == rows
