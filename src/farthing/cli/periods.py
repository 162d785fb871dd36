"""Periods: options of commands that look back: from when until when, in which zone's days, and at which usage."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import invalid
from .opening import Desk
from .output import progress, say
from .reading import read_moment

if TYPE_CHECKING:
    from farthing.stores.usage_reports import UsageReports

From = Annotated[
    str | None, typer.Option("--from", metavar="WHEN", help="From this day or RFC 3339 time on, such as 2026-11-01.")
]
To = Annotated[
    str | None, typer.Option("--to", metavar="WHEN", help="Until this day, it included; or before an RFC 3339 time.")
]
Timezone = Annotated[
    str, typer.Option("--timezone", metavar="ZONE", help="In which days begin, such as Europe/Berlin.")
]
Model = Annotated[str | None, typer.Option("--model", metavar="ID", help="Only that of this model.")]
Provider = Annotated[str | None, typer.Option("--provider", metavar="NAME", help="Only that of this provider.")]
Service = Annotated[str | None, typer.Option("--service", metavar="NAME", help="Only that of this service.")]
Operation = Annotated[str | None, typer.Option("--operation", metavar="NAME", help="Only that of this operation.")]
Chat = Annotated[str | None, typer.Option("--chat", metavar="ID", help="Only that of this conversation.")]
Csv = Annotated[bool, typer.Option("--csv", help="As CSV.")]


_LATELY_US = 10_000_000


@dataclass(frozen=True)
class Period:
    """[start, end), and the zone whose days count."""

    start: int
    end: int
    timezone: str


def read_period(since: str | None, until: str | None, zone: str, now_us: int) -> Period:
    """The period that is asked for; of what is left out, the last thirty days, today included."""
    from farthing.timezones import last_days

    start, end = last_days(*_edges(since, until, zone), now_us, zone)
    if start > end:
        raise invalid("from", "must not be after --to")
    return Period(start, end, zone)


def read_bounds(since: str | None, until: str | None, zone: str) -> tuple[int | None, int | None]:
    """The same, with what is left out left open."""
    start, end = _edges(since, until, zone)
    if start is not None and end is not None and start > end:
        raise invalid("from", "must not be after --to")
    return start, end


def read_last(text: str, field: str, zone: str) -> int:
    """The last instant of a day, or the one that is named."""
    from farthing.timezones import is_date

    require_zone(zone)
    at = _moment(text, field, zone, 1)
    assert at is not None, "a text names an instant"
    return at - 1 if is_date(text) else at


def require_zone(zone: str) -> None:
    """That there is such a time zone."""
    from farthing.timezones import is_zone

    if not is_zone(zone):
        raise invalid("timezone", f"must be an IANA time zone such as Europe/Berlin, not {zone!r}")


def _edges(since: str | None, until: str | None, zone: str) -> tuple[int | None, int | None]:
    require_zone(zone)
    return _moment(since, "from", zone, 0), _moment(until, "to", zone, 1)


def _moment(text: str | None, field: str, zone: str, edge: int) -> int | None:
    """An instant, or the beginning (0) or end (1) of a day."""
    from farthing.timezones import day_named, is_date

    if text is None:
        return None
    if not is_date(text):
        return read_moment(text, field)
    try:
        return day_named(text, zone)[edge]
    except ValueError as error:
        raise invalid(field, f"is no date: {text!r} ({error})") from error


def reports_of(desk: Desk) -> "UsageReports":
    """The reports of a ledger, with its sums brought up to date as far as that can be done here."""
    from farthing.jobs.folding import fold
    from farthing.stores.contract import StoreError
    from farthing.stores.rollups import Rollups
    from farthing.stores.usage_reports import UsageReports
    from farthing.timezones import calendar

    rollups, folded = Rollups(desk.ledger.database), 0
    # Where somebody serves, he does it.
    leave: int | None = desk.now_us() - _LATELY_US
    try:
        with progress("entries summed up") as told:
            while part := desk.ledger.wait(fold(rollups, desk.now_us(), leave_since_us=leave)):
                folded, leave = folded + part.entries, None
                told(folded, None)
                if not part.more:
                    break
    except StoreError as error:
        # Reports are exact without: what is not summed up is read one by one.
        say(f"the sums could not be brought up to date, which only makes this slower: {error}")
    return UsageReports(desk.ledger.database, calendar, desk.now_us)
