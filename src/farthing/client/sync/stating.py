"""Statements, put together of their pages: each page goes on with what the first one had.

Made from `aio/stating.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from farthing.core.statement import csv_closing, csv_lines, csv_opening

from ..calls import Call, get
from ..statement_results import Statement
from ..values import Day, day_text, flag_text
from .door import Door

T = TypeVar("T")
PAGE: Final = "200"
"""As many lines as a page may have."""


def statement_call(
    answer: type[T], account: str, month: str | None, since: Day | None, until: Day | None, timezone: str | None,
    every: bool | None,
) -> Call[T]:  # fmt: skip
    """The call for its first page."""
    query = {
        "month": month, "from": day_text(since, "since"), "to": day_text(until, "until"), "timezone": timezone,
        "all": flag_text(every), "limit": PAGE,
    }  # fmt: skip
    return get(answer, "/v1/accounts/{account}/statement", query, account=account)


def stated(door: Door, call: Call[Statement]) -> Statement:
    """The whole statement."""
    page = whole = door.ask(call)
    while page.next_cursor is not None:
        page = door.ask(_next(call, page.next_cursor))
        whole.lines.extend(page.lines)
    return replace(whole, has_more=False, next_cursor=None)


def stated_as_csv(door: Door, call: Call[dict[str, Any]]) -> Iterator[bytes]:
    """The parts of its file."""
    page = first = door.ask(call)
    yield csv_opening(first["from"], first["opening"])
    while True:
        yield csv_lines(page["data"])
        if page["next_cursor"] is None:
            break
        page = door.ask(_next(call, page["next_cursor"]))
    yield csv_closing(first["as_of"], first["totals"], first["closing"])


def _next(call: Call[T], cursor: str) -> Call[T]:
    return replace(call, query=call.query | {"cursor": cursor})
