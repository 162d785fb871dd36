"""Reports: `reports revenue`, `models`, `accounts` and `spend`: tables for people, JSON or CSV for programs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import Desk, at_desk
from .options import Db, In, Json, enter
from .output import Answer, columns, many
from .periods import (
    Csv,
    From,
    Model,
    Operation,
    Period,
    Provider,
    Service,
    Timezone,
    To,
    read_period,
    reports_of,
)
from .reading import write_time
from .usage import PANEL

if TYPE_CHECKING:
    from farthing.core.rollup import Sums
    from farthing.stores.usage_reports import By, Part, Point, Step
    from farthing.stores.usage_sums import Filters

GROUP = typer.Typer(help="Revenue, costs and margins: over time, by model, by account, by whatever they were for.")
TOP = 10

Steps = Annotated[Literal["day", "hour", "month"], typer.Option("--step", help="How long each line is.")]
Account = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only that of this account.")]
_FIGURES = ("revenue", "refunded", "cost", "margin", "margin_percent", "charges", "requests", "tokens")
_HEADINGS = {"margin_percent": "MARGIN %"}


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    enter(
        GROUP,
        "revenue",
        "$ farthing reports revenue --timezone Europe/Berlin",
        "$ farthing reports revenue --from 2026-01-01 --to 2026-12-31 --step month --csv > 2026.csv",
    )(revenue)
    enter(GROUP, "models", "$ farthing reports models --from 2026-11-01 --to 2026-11-30")(models)
    enter(GROUP, "accounts", "$ farthing reports accounts --limit 20 --json")(accounts)
    enter(
        GROUP,
        "spend",
        "$ farthing reports spend --by service",
        "$ farthing reports spend --by account --step month --from 2026-01-01 --limit 5",
    )(spend)
    app.add_typer(GROUP, name="reports", rich_help_panel=PANEL)


class _Asked:
    """What every report is asked, with the reports at hand."""

    def __init__(self, desk: Desk, period: Period, filters: "Filters") -> None:
        self.workspace = desk.workspace
        self.period = period
        self.filters = filters
        self.desk = desk
        self.reports = reports_of(desk)

    @property
    def span(self) -> tuple[str, int, int]:
        """Of which workspace, from when until when."""
        return self.workspace.id, self.period.start, self.period.end

    def figures(self, sums: "Sums") -> dict[str, Any]:
        """Sums as they are told."""
        from farthing.core.figures import booked

        return booked(sums, self.workspace.scale)

    def head(self, total: "Sums") -> dict[str, Any]:
        """What every report says first."""
        return {
            "workspace": self.workspace.id, "unit": self.workspace.unit, "from": write_time(self.period.start),
            "to": write_time(self.period.end), "timezone": self.period.timezone, "total": self.figures(total),
        }  # fmt: skip

    def at(self, point: "Point", step: "Step") -> dict[str, Any]:
        """When something was."""
        from farthing.timezones import write_period

        period = write_period(point.start, step, self.period.timezone)
        return {"period": period, "start": write_time(point.start), "end": write_time(point.end)}


def _asked(
    desk: Desk, since: str | None, until: str | None, timezone: str, filters: "Filters", as_csv: bool, as_json: bool
) -> _Asked:
    if as_csv and as_json:
        raise Trouble("usage", "say either --csv or --json", Exit.USAGE)
    return _Asked(desk, read_period(since, until, timezone, desk.now_us()), filters)


def _filters(account: str | None, **words: str | None) -> "Filters":
    from farthing.stores.usage_sums import Filters

    return Filters(account=account, **words)


def _answer(data: dict[str, Any], rows: list[dict[str, Any]], names: Sequence[str], as_csv: bool) -> Answer:
    """A report; its rows are what a table or CSV shows."""
    if as_csv:
        return Answer(data, _csv(rows, names))
    shown = [*names, *_FIGURES]
    table = [tuple(_HEADINGS.get(name, name.upper()) for name in shown)]
    table += [tuple(_cell(row, name) for name in shown) for row in rows]
    total = data["total"]
    table.append(("total", *("" for _ in names[1:]), *(_cell(total, name) for name in _FIGURES)))
    return Answer(data, columns(table, right=range(len(names), len(shown))), notes=_notes(data))


def _notes(data: dict[str, Any]) -> list[str]:
    uncosted = data["total"]["uncosted"]
    if not 0 < uncosted < data["total"]["requests"]:
        return []
    return [f"of {many(uncosted, 'request')} nobody knows what the provider asks: that counts as nothing"]


def _cell(row: dict[str, Any], name: str) -> str:
    return "-" if row[name] is None else str(row[name])


def _csv(rows: list[dict[str, Any]], names: Sequence[str]) -> str:
    from farthing.core.figures import booked
    from farthing.core.rollup import Sums
    from farthing.core.tables import Number, csv_rows

    figures = tuple(booked(Sums(), 0))
    told = [
        [*(str(row[n] or "") for n in names), *(Number("" if row[f] is None else row[f]) for f in figures)]
        for row in rows
    ]
    return csv_rows([[*names, *figures], *told]).removesuffix("\n")


# The reports


def revenue(
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    step: Steps = "day",
    account: Account = None,
    model: Model = None,
    provider: Provider = None,
    service: Service = None,
    operation: Operation = None,
    as_csv: Csv = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Revenue over time, less refunds, with costs and margin; by default of the last 30 days.

    Revenue, refunds and costs stand where they were booked, requests and tokens where they were used.
    """
    filters = _filters(account, service=service, operation=operation, provider=provider, model=model)
    with at_desk(db, workspace) as desk:
        asked = _asked(desk, since, until, timezone, filters, as_csv, as_json)
        points = _series(asked, asked.reports.revenue(*asked.span, step, timezone, filters))
    rows = [asked.at(point, step) | asked.figures(point.sums) for point in points]
    return _answer(asked.head(_total(points)) | {"step": step, "data": rows}, rows, ("period",), as_csv)


def models(
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    account: Account = None,
    provider: Provider = None,
    service: Service = None,
    operation: Operation = None,
    as_csv: Csv = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Revenue by model, most first; by default of the last 30 days."""
    filters = _filters(account, service=service, operation=operation, provider=provider)
    with at_desk(db, workspace) as desk:
        asked = _asked(desk, since, until, timezone, filters, as_csv, as_json)
        found = _read(asked, asked.reports.models(*asked.span, filters))
    rows = [_named(part, "model") | asked.figures(part.sums) for part in found]
    return _answer(asked.head(_total(found)) | {"data": rows}, rows, ("provider", "model"), as_csv)


def accounts(
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1_000, help="Accounts to show.")] = TOP,
    model: Model = None,
    provider: Provider = None,
    service: Service = None,
    operation: Operation = None,
    as_csv: Csv = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """The accounts with the most revenue; by default of the last 30 days. The total is that of all accounts."""
    filters = _filters(None, service=service, operation=operation, provider=provider, model=model)
    with at_desk(db, workspace) as desk:
        asked = _asked(desk, since, until, timezone, filters, as_csv, as_json)
        found = _read(asked, asked.reports.top_accounts(*asked.span, limit, filters))
        total = _total(_read(asked, asked.reports.models(*asked.span, filters)))
    rows = [_named(part, "account") | asked.figures(part.sums) for part in found]
    return _answer(asked.head(total) | {"data": rows}, rows, ("account",), as_csv)


def spend(
    by: Annotated[
        Literal["service", "operation", "provider", "model", "account"], typer.Option("--by", help="By what.")
    ] = "model",
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    step: Steps = "day",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=100, help="How many of them; the rest stand together.")
    ] = TOP,
    account: Account = None,
    model: Model = None,
    provider: Provider = None,
    service: Service = None,
    operation: Operation = None,
    as_csv: Csv = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Spending over time by service, operation, provider, model or account; by default of the last 30 days."""
    from farthing.stores.usage_tops import tops_of

    filters = _filters(account, service=service, operation=operation, provider=provider, model=model)
    with at_desk(db, workspace) as desk:
        asked = _asked(desk, since, until, timezone, filters, as_csv, as_json)
        points = _series(asked, asked.reports.spend(*asked.span, by, step, timezone, filters))
    tops, shares = tops_of(points, limit)
    told = [
        asked.at(share.point, step)
        | asked.figures(share.point.sums)
        | {"parts": [_named(p, by) | asked.figures(p.sums) for p in share.parts], "others": asked.figures(share.others)}
        for share in shares
    ]
    totals = [_named(part, by) | asked.figures(part.sums) for part in tops]
    data = asked.head(_total(points)) | {"by": by, "step": step, "totals": totals, "data": told}
    return _answer(data, _flat(told, by), ("period", by), as_csv)


def _flat(told: list[dict[str, Any]], by: "By") -> list[dict[str, Any]]:
    """A line for each part of each point, and one for the others where there are any."""
    rows = []
    for point in told:
        for part in point["parts"]:
            name = "/".join(filter(None, (part["provider"], part["model"]))) if by == "model" else part[by]
            rows.append(part | {"period": point["period"], by: name or "-"})
        if point["others"]["charges"] or point["others"]["requests"] or point["others"]["refunded"] != "0":
            rows.append(point["others"] | {"period": point["period"], by: "(others)"})
    return rows


def _named(part: "Part", by: str) -> dict[str, Any]:
    names = ("provider", "model") if by == "model" else (by,)
    return {name: getattr(part, name) or None for name in names}


def _total(parts: "Sequence[Part | Point]") -> "Sums":
    from farthing.core.figures import total_of

    return total_of(part.sums for part in parts)


def _series(asked: _Asked, reading: Any) -> "list[Point]":
    found: list[Point] = _read(asked, reading)
    return found


def _read(asked: _Asked, reading: Any) -> Any:
    from farthing.stores.usage_sums import ArchivedRange, ReportError

    try:
        return asked.desk.ledger.wait(reading)
    except ArchivedRange as error:
        raise usage(str(error)) from error
    except ReportError as error:
        raise invalid("step", f"is too short: {error}") from error
