"""Usage: `usage list`, `usage stats` and `usage export`: what was used, row by row, summed up, and all of it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from . import usage_files
from .credits import require_account
from .exits import Exit, Trouble, usage
from .opening import Desk, at_desk
from .options import Db, In, Json, enter
from .output import Answer, columns, many, pairs, progress
from .periods import Chat, From, Model, Operation, Provider, Service, Timezone, To, read_bounds, reports_of
from .reading import write_time

if TYPE_CHECKING:
    from farthing.core.rollup import Sums
    from farthing.stores.usage_history import Sought

PANEL = "Reports"
PAGE = 500
MAX_OFFSET = 10_000
GROUP = typer.Typer(help="What was used: listed, summed up, exported.")

Who = Annotated[str | None, typer.Argument(metavar="[ACCOUNT]", help="Only this account's.")]
Unpriced = Annotated[
    bool | None, typer.Option("--unpriced/--priced", help="Only what nobody knew a price for, or only the rest.")
]
Format = Literal["csv", "jsonl", "table"]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    enter(
        GROUP,
        "list",
        "$ farthing usage list alice --limit 20",
        "$ farthing usage list --chat 7f3a --from 2026-11-01 --to 2026-11-30 --timezone Europe/Berlin",
    )(list_usage)
    enter(GROUP, "stats", "$ farthing usage stats alice --from 2026-11-01", "$ farthing usage stats --json")(stats)
    enter(
        GROUP,
        "export",
        "$ farthing usage export --from 2026-11-01 --to 2026-11-30 --out november.csv",
        "$ farthing usage export alice --format jsonl > alice.jsonl",
    )(export)
    usage_files.register(GROUP)
    app.add_typer(GROUP, name="usage", rich_help_panel=PANEL)


# Rows


def list_usage(
    account: Who = None,
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    chat: Chat = None,
    model: Model = None,
    provider: Provider = None,
    service: Service = None,
    operation: Operation = None,
    unpriced: Unpriced = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="Oldest first.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=PAGE, help="Rows to show.")] = 50,
    offset: Annotated[int, typer.Option("--offset", metavar="N", min=0, max=MAX_OFFSET, help="Rows to skip.")] = 0,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """What was used, newest first by the time of use: quantities, what was charged, cost and margin."""
    from farthing.stores.usage_history import UsageHistory

    with at_desk(db, workspace) as desk:
        words = {"chat": chat, "model": model, "provider": provider, "service": service, "operation": operation}
        sought = _sought(desk, account, since, until, timezone, unpriced, words)
        read = UsageHistory(desk.ledger.database).page(
            desk.workspace.id, sought, oldest_first=oldest, skip=offset, limit=limit
        )
        page = desk.ledger.wait(read)
        rows = [_facts(each, desk) for each in page.items]
    more = page.next is not None
    data = {
        "workspace": desk.workspace.id, "unit": desk.workspace.unit, "data": [_parsed(row) for row in rows],
        "has_more": more,
    }  # fmt: skip
    notes = [f"there are more: --offset {offset + len(rows)}, or `farthing usage export`"] if more else []
    return Answer(data, _table(rows), notes=[] if as_json else notes)


def _sought(
    desk: Desk, account: str | None, since: str | None, until: str | None, timezone: str, unpriced: bool | None,
    words: dict[str, str | None],
) -> "Sought":  # fmt: skip
    """Which usage is looked for; an account that is named has to be there."""
    from farthing.stores.usage_history import Sought

    start, end = read_bounds(since, until, timezone)
    if account is not None:
        require_account(account, desk)
    return Sought(account=account, unpriced=unpriced, start=start, end=end, **words)


def _facts(used: Any, desk: Desk) -> dict[str, Any]:
    from farthing.core.history import row_facts

    return row_facts(used.usage, used.entry, desk.workspace.scale, lambda at: str(write_time(at)))


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its metadata read."""
    import json

    return row | {"metadata": None if row["metadata"] is None else json.loads(bytes(row["metadata"]))}


_SHOWN = ("at", "account", "model", "operation", "input_tokens", "output_tokens", "amount", "cost", "margin", "id")

_WIDE = {"at": -27, "account": -16, "model": -24, "operation": -14, "amount": 12, "cost": 12, "margin": 12}
"""At least so wide, so that the pages of an export stand below each other; below zero: to the left."""


def _table(rows: list[dict[str, Any]], heading: bool = True) -> str:
    table = [tuple(name.replace("_", " ").upper() for name in _SHOWN)] if heading else []
    table += [tuple(_wide(_shown(name, row), _WIDE.get(name, len(name))) for name in _SHOWN) for row in rows]
    return columns(table, right=(4, 5, 6, 7, 8))


def _wide(text: str, width: int) -> str:
    return text.ljust(-width) if width < 0 else text.rjust(width)


def _shown(name: str, row: dict[str, Any]) -> str:
    if name == "amount" and row["unpriced"]:
        return "unpriced"
    if name == "model" and row["provider"]:
        return f"{row['provider']}/{row['model'] or ''}"
    return "-" if row[name] is None else str(row[name])


# Sums


def stats(
    account: Who = None,
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    model: Model = None,
    provider: Provider = None,
    service: Service = None,
    operation: Operation = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Usage in all, and by model, service, operation and day; of all time unless a range is given."""
    from farthing.core import figures
    from farthing.stores.usage_sums import ArchivedRange, Filters
    from farthing.stores.usage_tops import used_only
    from farthing.timezones import write_period

    start, end = read_bounds(since, until, timezone)
    with at_desk(db, workspace) as desk:
        if account is not None:
            require_account(account, desk)
        filters, scale = Filters(account, service, operation, provider, model), desk.workspace.scale
        reading = reports_of(desk).stats(desk.workspace.id, account, start, end, timezone, filters)
        try:
            found = desk.ledger.wait(reading)
        except ArchivedRange as error:
            raise usage(str(error)) from error

    def told(sums: "Sums", **names: str) -> dict[str, Any]:
        return {name: text or None for name, text in names.items()} | figures.used(sums, scale)

    data = {
        "workspace": desk.workspace.id, "account": account, "unit": desk.workspace.unit, "timezone": timezone,
        **figures.used(found.totals, scale), "average": figures.average(found.totals, scale),
        "models": [told(part.sums, provider=part.provider, model=part.model) for part in used_only(found.models)],
        "services": [told(part.sums, service=part.service) for part in used_only(found.services)],
        "operations": [told(part.sums, operation=part.operation) for part in used_only(found.operations)],
        "days": [told(day.sums, day=write_period(day.start, "day", timezone)) for day in used_only(found.days)],
    }  # fmt: skip
    return Answer(data, _stats_text(data))


_TOTALS = ("requests", "input_tokens", "output_tokens", "tokens", "unpriced", "charged", "average", "cost", "margin")


def _stats_text(data: dict[str, Any]) -> str:
    parts = [pairs({name.replace("_", " "): str(data[name]) for name in _TOTALS})]
    for title, names in (
        ("MODEL", ("provider", "model")), ("SERVICE", ("service",)), ("OPERATION", ("operation",)), ("DAY", ("day",)),
    ):  # fmt: skip
        rows = data[f"{title.lower()}s"]
        if rows:
            parts.append(_sums_table(title, names, rows))
    return "\n\n".join(parts)


def _sums_table(title: str, names: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    shown = ("requests", "tokens", "charged", "cost", "margin")
    table = [(title, *(name.upper() for name in shown))]
    for row in rows:
        name = "/".join(row[each] or "" for each in names).strip("/")
        table.append((name or "-", *(str(row[each]) for each in shown)))
    return columns(table, right=(1, 2, 3, 4, 5))


# Everything


def export(
    account: Who = None,
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    chat: Chat = None,
    model: Model = None,
    provider: Provider = None,
    service: Service = None,
    operation: Operation = None,
    unpriced: Unpriced = None,
    format: Annotated[Format, typer.Option("--format", help="Of what is written.")] = "csv",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to; it must not be there yet. Default: here.")
    ] = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer | None:
    """All usage of a time, oldest first, written page by page; with --out the file appears once it is complete.

    In CSV a text that a spreadsheet could take for a formula (it begins with = + - @, a tab, a line break, or an
    apostrophe) gets an apostrophe before it; JSON Lines has it as it is. --json tells of the file that was written.
    """
    if as_json and out is None:
        raise Trouble("usage", "--json tells of a file: say --out FILE, or --format jsonl for the rows", Exit.USAGE)
    with at_desk(db, workspace) as desk:
        words = {"chat": chat, "model": model, "provider": provider, "service": service, "operation": operation}
        sought = _sought(desk, account, since, until, timezone, unpriced, words)
        with _target(out) as file:
            written = _write_all(desk, sought, _writer(format), file)
    if out is None:
        return None
    return Answer({"path": str(out), "format": format, "rows": written}, f"{out}: {many(written, 'row')}")


@contextmanager
def _target(out: Path | None) -> Iterator[BinaryIO]:
    """Where an export goes: standard output, or a file that gets its name once it is complete."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if out.exists():
        raise Trouble("target_exists", f"{out} is there already; say another --out", Exit.NO, path=str(out))
    unfinished = out.with_name(f"{out.name}.part")
    try:
        with unfinished.open("xb") as file:
            yield file
        unfinished.rename(out)
    except FileExistsError as error:
        message = f"{unfinished} is there: another export is writing it, or one was cut off; delete it first"
        raise Trouble("target_exists", message, Exit.NO, path=str(unfinished)) from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


_Writer = Callable[[list[dict[str, Any]], bool], bytes]


def _writer(format: Format) -> _Writer:
    """Writes rows; the first ones with a header, where there is one."""
    from farthing.core.history import as_csv, as_lines, csv_header

    if format == "jsonl":
        return lambda rows, first: as_lines(rows)
    if format == "csv":
        return lambda rows, first: (csv_header() if first else b"") + as_csv(rows)
    return lambda rows, first: (_table(rows, first) + "\n").encode() if rows or first else b""


def _write_all(desk: Desk, sought: "Sought", write: _Writer, file: BinaryIO) -> int:
    from farthing.stores.usage_history import UsageHistory

    history, workspace = UsageHistory(desk.ledger.database), desk.workspace.id
    total = desk.ledger.wait(_size(desk, sought))
    written, after, first = 0, None, True
    with progress("rows written") as told:
        while True:
            page = desk.ledger.wait(history.page(workspace, sought, oldest_first=True, after=after, limit=PAGE))
            file.write(write([_facts(each, desk) for each in page.items], first))
            written, after, first = written + len(page.items), page.next, False
            if file is not sys.stdout.buffer or not sys.stdout.isatty():
                told(written, total)
            if after is None:
                return written


async def _size(desk: Desk, sought: "Sought") -> int | None:
    """How many rows there are; not known for what no sum is confined to."""
    from farthing.stores.usage_reports import UsageReports
    from farthing.stores.usage_sums import Filters
    from farthing.timezones import calendar

    if sought.chat is not None or sought.unpriced is not None:
        return None
    filters = Filters(sought.account, sought.service, sought.operation, sought.provider, sought.model)
    reports = UsageReports(desk.ledger.database, calendar, desk.now_us)
    return await reports.size(desk.workspace.id, sought.start, sought.end, filters)
