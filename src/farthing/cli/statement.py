"""Statements: `statement`, an account's period between two balances; and what `balance --at` tells of an instant."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, invalid
from .opening import Desk, at_desk
from .options import Account, Db, In, Json, enter
from .output import Answer, clean, columns, progress
from .periods import Csv, From, Timezone, To, read_bounds
from .reading import read_moment, write_time

if TYPE_CHECKING:
    from farthing.core.statement import Statement
    from farthing.stores.account_statements import AccountStatements
    from farthing.stores.past import Archived, Past

PANEL = "Credits"
PAGE = 500
_SHOWN = ("number", "at", "kind", "amount", "balance", "held", "debt", "operation", "description")
_WIDE = {"number": 7, "at": -27, "kind": -10, "amount": 14, "balance": 14, "held": 8, "debt": 8, "operation": -16}
"""At least so wide, so that pages stand below each other; below zero: to the left."""

_NOT_OF_THEN = frozenset({"earned", "spent", "lapsed", "written_off", "holds", "frozen"})
"""What an account's entries don't tell of an instant between them."""


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "statement",
        "$ farthing statement alice --month 2026-10 --timezone Europe/Berlin",
        "$ farthing statement alice --from 2026-01-01 --to 2026-12-31 --csv > alice.csv",
        panel=PANEL,
    )(statement)


def statement(
    account: Account,
    since: From = None,
    until: To = None,
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="A month of the time zone.")] = None,
    timezone: Timezone = "UTC",
    every: Annotated[bool, typer.Option("--all", help="With entries that left the balance as it was.")] = False,
    as_csv: Csv = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """An account's statement: opening balance, the entries that moved it, totals by kind, closing balance.

    By default of this month. Opening and entries always come to the closing; it is looked at before anything is
    written. What lapsed counts from its instant on, also where it is not booked yet. However long the period is, it is
    written page by page.
    """
    if as_csv and as_json:
        raise Trouble("usage", "say either --csv or --json", Exit.USAGE)
    with at_desk(db, workspace) as desk:
        told = _begin(desk, account, _period(since, until, month, timezone, desk.now_us()), timezone, every)
        (_write_json if as_json else _write_csv if as_csv else _write_text)(told)


def _period(since: str | None, until: str | None, month: str | None, zone: str, now_us: int) -> tuple[int, int]:
    """From when until when: until when is left out, until today's end; from when, from the beginning."""
    from farthing.timezones import calendar, month_named

    start, end = read_bounds(since, until, zone)
    if month is not None:
        if start is not None or end is not None:
            raise Trouble("usage", "say either --month, or --from and --to", Exit.USAGE)
        try:
            start, end = month_named(month, zone)
        except ValueError as error:
            raise invalid("month", f"must be a month such as 2026-11, not {month!r}") from error
    elif start is None and end is None:
        start, end = calendar(now_us, zone)[2:]
    end = calendar(now_us, zone)[1] if end is None else end
    if (start or 0) > now_us:
        raise invalid("from" if month is None else "month", "must not be in the future")
    return start or 0, end


@dataclass(frozen=True)
class _Told:
    """A statement that was begun, and what it says beside its lines."""

    statement: "Statement"
    head: dict[str, Any]
    totals: list[dict[str, Any]]
    read: "AccountStatements"
    now_us: int
    desk: Desk

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        """Its lines."""
        from farthing.core.statement import line_facts

        s, after, scale = self.statement, 0, self.desk.workspace.scale
        with progress("entries written") as told:
            while True:
                page = self.desk.ledger.wait(self.read.lines(s, self.now_us, after=after, limit=PAGE))
                yield [line_facts(entry, scale, lambda at: str(write_time(at))) for entry in page.items]
                if page.next is None:
                    return
                after = int(page.next[0])
                if not sys.stdout.isatty():
                    told(after - s.first + 1, s.stop - s.first)


def _begin(desk: Desk, account: str, period: tuple[int, int], timezone: str, every: bool) -> _Told:
    from farthing.core.statement import write_sums, write_totals
    from farthing.stores.account_statements import AccountStatements
    from farthing.stores.directory import Directory
    from farthing.stores.past import Archived

    from .credits import require_account

    require_account(account, desk)
    now_us, scale = desk.now_us(), desk.workspace.scale
    directory = Directory(desk.ledger.database, desk.ledger.reports)
    read = AccountStatements(desk.ledger.database, desk.ledger.reports, directory, _past(desk))
    try:
        s = desk.ledger.wait(read.begin(desk.workspace.id, account, *period, now_us, every=every))
    except Archived as error:
        raise _archived(error) from error
    assert s is not None, "accounts are never deleted"
    totals = write_totals(desk.ledger.wait(read.totals(s, now_us)), scale)
    head = {
        "workspace": desk.workspace.id, "account": account, "unit": desk.workspace.unit, "from": write_time(s.start),
        "to": write_time(s.end), "timezone": timezone, "complete": s.end <= now_us,
        "as_of": write_time(min(s.end, now_us)), "opening": write_sums(s.opening, scale),
        "closing": write_sums(s.closing, scale),
    }  # fmt: skip
    return _Told(s, head, totals, read, now_us, desk)


# Forms


def _write_json(told: _Told) -> None:
    """One object, written while its lines are read."""
    head = json.dumps({**told.head, "totals": told.totals})
    print(f'{head[:-1]}, "data": [', end="")
    between = ""
    for page in told.pages():
        print("".join(f"{', ' if n else between}{json.dumps(line)}" for n, line in enumerate(page)), end="")
        between = ", " if page or between else ""
    print("]}", flush=True)


def _write_csv(told: _Told) -> None:
    from farthing.core.statement import csv_closing, csv_lines, csv_opening

    out = sys.stdout.buffer
    sys.stdout.flush()
    out.write(csv_opening(told.head["from"], told.head["opening"]))
    for page in told.pages():
        out.write(csv_lines(page))
    out.write(csv_closing(told.head["as_of"], told.totals, told.head["closing"]))
    out.flush()


def _write_text(told: _Told) -> None:
    head = told.head
    until = head["to"] if head["complete"] else f"now ({head['as_of']})"
    print(clean(f"{head['account']}, in {head['unit']}, from {head['from']} until {until}"))
    print(_line({name: name.upper() for name in _SHOWN}))
    print(_line({"at": head["from"], "kind": "opening", **head["opening"]}))
    for page in told.pages():
        for line in page:
            print(_line(line))
    print(_line({"at": head["as_of"], "kind": "closing", **head["closing"]}))
    rows = [("KIND", "ENTRIES", "AMOUNT"), *((t["kind"], str(t["entries"]), t["amount"]) for t in told.totals)]
    print(f"\n{columns(rows, right=(1, 2))}", flush=True)


def _line(row: dict[str, Any]) -> str:
    cells = []
    for name in _SHOWN:
        value, width = row.get(name), _WIDE.get(name, 0)
        text = "" if value is None else clean(str(value))
        cells.append(text.ljust(-width) if width < 0 else text.rjust(width))
    return "  ".join(cells).rstrip()


# At an instant


def balance_at(account: str, text: str, desk: Desk) -> Answer:
    """What an account had at an instant."""
    from farthing.stores.past import Archived, NotOpenYet

    from .credits import account_facts, account_text, require_account

    require_account(account, desk)
    at = read_moment(text, "at")
    if at > desk.now_us():
        raise invalid("at", "must not be in the future: `farthing simulate` tells what is to come")
    try:
        found = desk.ledger.wait(_past(desk).account(desk.workspace.id, account, at))
    except NotOpenYet as error:
        opened_at = write_time(error.opened_at)
        message = f"there was no account {account!r} yet: it was opened at {opened_at}"
        raise Trouble("account_not_found", message, Exit.NO, account=account, opened_at=opened_at) from error
    except Archived as error:
        raise _archived(error) from error
    assert found is not None, "accounts are never deleted"
    told = {name: fact for name, fact in account_facts(found, desk).items() if name not in _NOT_OF_THEN}
    data = {**told, "at": write_time(at)}
    return Answer(data, account_text(data))


def _past(desk: Desk) -> "Past":
    from farthing.stores.directory import Directory
    from farthing.stores.past import Past

    database, reports = desk.ledger.database, desk.ledger.reports
    return Past(database, reports, Directory(database, reports))


def _archived(error: "Archived") -> Trouble:
    since = write_time(error.since)
    return Trouble("archived", f"what was before {since} is archived: ask for what was since", Exit.NO, since=since)
