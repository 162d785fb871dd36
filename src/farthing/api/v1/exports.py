"""Export: all usage of a time as CSV or JSON Lines, streamed: a page is read and sent, and forgotten.

It goes by the time of use, oldest first. Each page is what there is when it is read; what is added meanwhile at the end
comes along. An answer that breaks off in the middle breaks its connection: what ended well is whole.
"""

from collections.abc import AsyncGenerator
from typing import Final, Literal

from farthing.core.history import as_csv, as_lines, csv_header, row_facts
from farthing.stores.usage_history import Sought

from ..endpoint import Endpoint, Headers, Reply, Request
from .desk import Desk
from .parameters import parameter
from .periods import ACCOUNT_ONLY, FROM_TO, PERIOD, SOUGHT, WORDS, read_sought
from .reading import Params
from .usage_reads import ROW, UsageRow
from .wire import write_time

Format = Literal["csv", "jsonl"]
FORMATS: Final[tuple[Format, ...]] = ("csv", "jsonl")
PAGE: Final = 500
_TYPES: Final[dict[Format, bytes]] = {"csv": b"text/csv; charset=utf-8; header=present", "jsonl": b"application/jsonl"}


async def export_usage(request: Request, desk: Desk) -> Reply:
    """All usage of a time."""
    params = Params(request, *PERIOD, "format", "account", "chat", *WORDS, "unpriced")
    format, sought = params.choice("format", FORMATS, "csv"), read_sought(params)
    params.check()
    name: Headers = ((b"content-disposition", b'attachment; filename="usage.%b"' % format.encode()),)
    return Reply(200, b"", headers=name, content_type=_TYPES[format], parts=_parts(request, desk, sought, format))


async def _parts(request: Request, desk: Desk, sought: Sought, format: Format) -> AsyncGenerator[bytes, None]:
    workspace, after = request.caller.workspace, None
    head, write = (csv_header(), as_csv) if format == "csv" else (b"", as_lines)
    while True:
        page = await desk.history.page(workspace.id, sought, oldest_first=True, after=after, limit=PAGE)
        part = head + write(row_facts(each.usage, each.entry, workspace.scale, write_time) for each in page.items)
        if part:
            yield part
        head, after = b"", page.next
        if after is None:
            return


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/usage/export",
        operation_id="exportUsage",
        summary="All usage of a time",
        description="Streamed, oldest first: the rows of the list of usage, as CSV with a header (RFC 4180), or as "
        "JSON Lines. In CSV a text that begins with `=`, `+`, `-`, `@`, a tab, a line break or an apostrophe has an "
        "apostrophe put before it, so that no spreadsheet takes it for a formula; JSON Lines has it as it is. "
        "An answer that ends without its last chunk was broken off, and is not whole.",
        scope="read",
        request=None,
        answer=UsageRow,
        example={},
        answered=ROW,
        codes=frozenset(),
        act=export_usage,
        parameters=(
            parameter("format", "Of the answer.", enum=list(FORMATS), default="csv"),
            *FROM_TO,
            ACCOUNT_ONLY,
            *SOUGHT,
        ),
        texts={
            "text/csv": (csv_header() + as_csv([ROW])).decode(),
            "application/jsonl": as_lines([ROW]).decode(),
        },
    ),
)
