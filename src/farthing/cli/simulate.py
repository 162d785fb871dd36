"""Simulate: what renewals, lapses and ends of holds will come to, in the days ahead; a dry run that writes nothing."""

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, invalid
from .opening import Desk, at_desk
from .options import Db, In, Json, enter
from .output import Answer, columns, many, progress
from .periods import Csv, Timezone, read_last, require_zone
from .plans import PANEL
from .reading import write_time

if TYPE_CHECKING:
    from farthing.core.simulation import Event, Subject, Tally

DAY_US = 86_400_000_000
MOST_DAYS = 3_660
_COLUMNS = (
    "at", "account", "event", "plan", "amount", "balance", "given", "lapsed", "written_off", "taken", "reason",
)  # fmt: skip
_NUMBERS = frozenset({"amount", "balance", "given", "lapsed", "written_off", "taken"})
_SHOWN = ("at", "account", "event", "amount", "balance", "plan", "reason")
_WIDE = {"at": -27, "account": -16, "event": -8, "amount": 14, "balance": 14, "plan": -16, "reason": -6}
"""At least so wide, so that lines stand below each other though none knows the next; below zero: to the left."""
_TALLIED = ("renewals", "given", "lapsed", "written_off", "ended", "holds", "taken", "failed")


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "simulate",
        "$ farthing simulate --days 90",
        "$ farthing simulate --until 2027-12-31 --plan professional --csv",
        "$ farthing simulate --days 365 --account alice --each",
        panel=PANEL,
    )(simulate)


def simulate(
    days: Annotated[
        int | None, typer.Option("--days", metavar="N", min=1, max=MOST_DAYS, help="So many days. Default: 90.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="WHEN", help="In place of --days: this day, it included, or an RFC 3339 time."),
    ] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")] = None,
    plan: Annotated[str | None, typer.Option("--plan", metavar="PLAN", help="Only who has this plan.")] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Each event on a line, account by account; with --json an object each.")
    ] = False,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=0, max=1_000, help="Name so many accounts, by balance at the end.")
    ] = 0,
    timezone: Timezone = "UTC",
    as_csv: Csv = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer | None:
    """Foretell renewals, lapses, ends of subscriptions and of holds, per month and in all. Nothing is written.

    It is decided as the jobs will decide it, one after another, from how things stand now. What people do is not
    foreseen: no usage, no purchase, and no payment, so that what a provider bills ends when its paid time is over.
    A renewal that will fail is counted once, by its reason. What is overdue is renewed at the start, as its plan says.
    """
    _check(as_csv, as_json, each, top)
    with at_desk(db, workspace) as desk:
        start = desk.now_us()
        end = _end(days, until, start, timezone)
        ahead = _Ahead(desk, start, end, timezone, top)
        if each:
            for event in ahead.events(account, plan):
                ahead.write(event, as_json, as_csv)
            return None
        for _ in ahead.events(account, plan):
            pass  # they are counted on the way
        data = ahead.facts()
    return Answer(data, _csv(data) if as_csv else _text(data))


def _check(as_csv: bool, as_json: bool, each: bool, top: int) -> None:
    if as_csv and as_json:
        raise Trouble("usage", "say either --csv or --json", Exit.USAGE)
    if each and top:
        raise Trouble("usage", "--top goes with the sums, not with --each", Exit.USAGE)


def _end(days: int | None, until: str | None, start: int, zone: str) -> int:
    require_zone(zone)
    if until is None:
        return start + (days or 90) * DAY_US
    if days is not None:
        raise Trouble("usage", "say either --days or --until", Exit.USAGE)
    end = read_last(until, "until", zone)
    if not start < end <= start + MOST_DAYS * DAY_US:
        raise invalid("until", f"must be in the future, and within {MOST_DAYS:,} days")
    return end


class _Ahead:
    """A simulation on its way."""

    def __init__(self, desk: Desk, start: int, end: int, timezone: str, top: int) -> None:
        from msgspec.structs import replace

        from farthing.core.simulation import Foretold, World
        from farthing.stores.ahead import Start
        from farthing.timezones import calendar, months_after

        self._desk = desk
        self._start, self._end, self._timezone = start, end, timezone
        self._source = Start(desk.ledger.database)
        self._world = World(
            workspace=replace(desk.workspace, told=""),  # nobody is told of what is foretold
            plans=desk.ledger.wait(self._source.plans(desk.workspace.id)), calendar=calendar, months_after=months_after,
        )  # fmt: skip
        self._foretold: Foretold = Foretold(calendar, timezone, top)
        self._headed = False

    def events(self, account: str | None, plan: str | None) -> Iterator["Event"]:
        """All events, account by account, each in order of time; they are counted as they are given."""
        with progress("accounts looked at") as told:
            for page in self._pages(account, plan):
                for subject in page:
                    if plan is None or (subject.subscription is not None and subject.subscription.plan == plan):
                        yield from self._follow(subject)
                told(self._foretold.accounts, None)

    def _pages(self, account: str | None, plan: str | None) -> Iterator[list["Subject"]]:
        workspace, ledger, after = self._desk.workspace.id, self._desk.ledger, None
        if account is not None:
            _require(account, self._desk)
        if plan is not None and (workspace, plan) not in self._world.plans:
            raise Trouble("plan_not_found", f"there is no plan {plan!r}", Exit.NO, plan=plan)
        while page := ledger.wait(self._source.page(workspace, self._end, account=account or "", after=after)):
            yield page
            if account is not None:
                return
            after = page[-1].account.id

    def _follow(self, subject: "Subject") -> Iterator["Event"]:
        from farthing.core.simulation import Ahead

        ahead = Ahead(subject, self._world, self._start)
        before = ahead.account.balance
        for event in ahead.events(self._end):
            self._foretold.add(event)
            yield event
        self._foretold.add_account(before, ahead.account)

    # Telling

    def write(self, event: "Event", as_json: bool, as_csv: bool) -> None:
        """An event on a line of its own."""
        row = _event_facts(event, self._desk)
        if not self._headed and not as_json:
            print(_csv_rows([_COLUMNS]) if as_csv else _line({name: name.upper() for name in _SHOWN}))
        self._headed = True
        text = json.dumps(row) if as_json else _csv_rows([_csv_cells(row)]) if as_csv else _line(row)
        print(text, flush=sys.stdout.isatty())

    def facts(self) -> dict[str, Any]:
        """The sums as programs read them."""
        from farthing.timezones import write_period

        found, desk = self._foretold, self._desk
        months = [
            {"month": write_period(month, "month", self._timezone), **_tally(found.months[month], desk)}
            for month in sorted(found.months)
        ]
        return {
            "workspace": desk.workspace.id, "unit": desk.workspace.unit, "from": write_time(self._start),
            "to": write_time(self._end), "timezone": self._timezone, "accounts": found.accounts,
            "balance_before": desk.write(found.before), "balance_after": desk.write(found.after),
            "total": _tally(found.total, desk), "months": months,
            "top": [{"account": id, "balance": desk.write(balance)} for id, balance in found.largest],
        }  # fmt: skip


def _require(account: str, desk: Desk) -> None:
    from .credits import require_account

    require_account(account, desk)


def _event_facts(e: "Event", desk: Desk) -> dict[str, Any]:
    amounts = ("amount", "balance", "given", "lapsed", "written_off", "taken")
    return {
        "at": write_time(e.at), "account": e.account, "event": e.what, "plan": e.plan or None,
        **{name: desk.write(getattr(e, name)) for name in amounts}, "reason": e.code or None,
    }  # fmt: skip


def _tally(t: "Tally", desk: Desk) -> dict[str, Any]:
    amounts = {name: desk.write(getattr(t, name)) for name in ("given", "lapsed", "written_off", "taken")}
    counts = {name: getattr(t, name) for name in ("renewals", "ended", "holds", "failed")}
    both = counts | amounts
    return {name: both[name] for name in _TALLIED} | {"failures": t.refused}


# For people, and for spreadsheets


def _line(row: dict[str, Any]) -> str:
    from .output import clean

    cells = []
    for name in _SHOWN:
        text, width = clean("-" if row[name] is None else str(row[name])), _WIDE[name]
        cells.append(text.ljust(-width) if width < 0 else text.rjust(width))
    return "  ".join(cells).rstrip()


def _text(data: dict[str, Any]) -> str:
    rows = [("MONTH", *(name.replace("_", " ").upper() for name in _TALLIED))]
    rows += [_cells(month["month"], month) for month in data["months"]]
    rows.append(_cells("total", data["total"]))
    parts = [columns(rows, right=range(1, len(rows[0])))]
    parts.append(
        f"{many(data['accounts'], 'account')}: {data['balance_before']} {data['unit']} at {data['from']}, "
        f"{data['balance_after']} at {data['to']}"
    )
    failures = data["total"]["failures"]
    if failures:
        parts.append(columns([("FAILURE", "RENEWALS"), *((c, str(n)) for c, n in failures.items())], right=(1,)))
    if data["top"]:
        parts.append(
            columns([("ACCOUNT", "BALANCE"), *((a["account"], a["balance"]) for a in data["top"])], right=(1,))
        )
    return "\n\n".join(parts)


def _cells(name: str, tally: dict[str, Any]) -> tuple[str, ...]:
    return (name, *(str(tally[each]) for each in _TALLIED))


def _csv(data: dict[str, Any]) -> str:
    from farthing.core.tables import Number

    rows = [[month["month"], *(Number(month[name]) for name in _TALLIED)] for month in data["months"]]
    return _csv_rows([("month", *_TALLIED), *rows])


def _csv_cells(row: dict[str, Any]) -> list[str]:
    from farthing.core.tables import Number

    return [Number(row[name]) if name in _NUMBERS else row[name] or "" for name in _COLUMNS]


def _csv_rows(rows: list[Any]) -> str:
    from farthing.core.tables import csv_rows

    return csv_rows(rows).removesuffix("\n")
