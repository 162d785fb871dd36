"""Periods: from when until when a report goes, in days of a time zone or in instants; and for whose usage it is."""

import re
from typing import Any, Final

from msgspec import Struct

from farthing.stores.usage_history import Sought
from farthing.stores.usage_sums import ArchivedRange, Filters, ReportError
from farthing.timezones import USUAL_DAYS, day_named, is_date, is_zone, last_days

from ..endpoint import Parameter
from .fields import read_time
from .parameters import parameter, text_parameter
from .problems import Fault, Wrong
from .reading import Params
from .wire import TIME

MAX_OFFSET: Final = 10_000
WORDS: Final = ("service", "operation", "provider", "model")
PERIOD: Final = ("from", "to", "timezone")
_DAY: Final = {"format": "date", "pattern": "^(197[1-9]|19[89][0-9]|[2-8][0-9]{3})-"}
_NUMBER: Final = re.compile(r"[0-9]{1,5}")


class Period(Struct, frozen=True):
    """[start, end), and the zone whose days count."""

    start: int
    end: int
    timezone: str


def read_period(params: Params, now_us: int) -> Period:
    """The period that is asked for; of what is left out, the last thirty days, today included."""
    start, end, zone = _bounds(params)
    start, end = last_days(start, end, now_us, zone)
    _check_order(params, start, end)
    return Period(start, max(start, end), zone)


def read_bounds(params: Params) -> tuple[int | None, int | None, str]:
    """The same, with what is left out left open."""
    start, end, zone = _bounds(params)
    _check_order(params, start, end)
    return start, end, zone


def _bounds(params: Params) -> tuple[int | None, int | None, str]:
    zone = params.text("timezone") or "UTC"
    if not is_zone(zone):
        params.refuse("timezone", "must be an IANA time zone such as Europe/Berlin")
        zone = "UTC"
    return _moment(params, "from", zone, 0), _moment(params, "to", zone, 1), zone


def _check_order(params: Params, start: int | None, end: int | None) -> None:
    if start is not None and end is not None and start > end:
        params.refuse("from", "must not be after to")


def _moment(params: Params, name: str, zone: str, edge: int) -> int | None:
    """An instant, or the beginning (0) or end (1) of a day."""
    text = params.text(name)
    if text is None:
        return None
    try:
        return day_named(text, zone)[edge] if is_date(text) else read_time(text)
    except ValueError as error:
        wrong = str(error)
        if is_date(text) and not wrong.startswith("must"):
            wrong = "must be a date that exists"
        elif wrong.startswith("must be an RFC 3339"):
            wrong = "must be a date such as 2026-01-31, or an RFC 3339 time such as 2026-01-31T12:00:00Z"
        params.refuse(name, wrong)
        return None


def read_filters(params: Params, account: str | None = None) -> Filters:
    """What a report is confined to."""
    return Filters(account, *(params.text(name) for name in WORDS))


def read_sought(params: Params, account: str | None = None) -> Sought:
    """Which usage is looked for."""
    start, end, _ = read_bounds(params)
    return Sought(
        account=params.text("account") if account is None else account,
        chat=params.text("chat"),
        unpriced=params.flag("unpriced"),
        start=start,
        end=end,
        **{name: params.text(name) for name in WORDS},
    )


def read_whole(params: Params, name: str, least: int, most: int, default: int) -> int:
    """A whole number."""
    text = params.text(name)
    number = default if text is None else int(text) if _NUMBER.fullmatch(text) else -1
    if not least <= number <= most:
        params.refuse(name, f"must be a whole number from {least:,} to {most:,}")
        return default
    return number


def read_offset(params: Params) -> int:
    """How many rows to skip."""
    offset = read_whole(params, "offset", 0, MAX_OFFSET, 0)
    if offset and params.text("cursor"):
        params.refuse("offset", "can't be given with a cursor, which says itself where to go on")
    return offset


# For the documentation


def _either(name: str, description: str, example: str) -> Parameter:
    own: dict[str, Any] = {"anyOf": [{"type": "string", **_DAY}, {"type": "string", **TIME}]}
    return Parameter(name=name, place="query", description=description, schema=own, example=example)


FROM_TO: Final = (
    _either("from", "From this time on: a day (from its beginning) or an RFC 3339 time.", "2026-11-01"),
    _either("to", "Until this time: a day (it is included), or before an RFC 3339 time.", "2026-11-30"),
    Parameter(
        name="timezone",
        place="query",
        description="In which days, hours and months begin.",
        schema={"type": "string", "description": "The IANA zone of the days.", "default": "UTC"},
        example="Europe/Berlin",
    ),
)
USUALLY: Final = f"By default the last {USUAL_DAYS} days, today included."
CONFINED: Final = (
    text_parameter("service", "Only that of this service.", "chat"),
    text_parameter("operation", "Only that of this operation.", "chat.message"),
    text_parameter("provider", "Only that of this provider.", "openai"),
    text_parameter("model", "Only that of this model, by the name that it was taken for.", "gpt-4o"),
)
ACCOUNT_ONLY: Final = text_parameter("account", "Only that of this account.", "user_42")
SOUGHT: Final = (
    text_parameter("chat", "Only that of this conversation.", "7f3a"),
    *CONFINED,
    parameter("unpriced", "Only what nobody knew a price for, or only the rest.", type="boolean"),
)
OFFSET: Final = parameter(
    "offset",
    "Rows to skip, for those who page by number. A cursor is quicker, and sees each row once while others are added.",
    type="integer",
    minimum=0,
    maximum=MAX_OFFSET,
    default=0,
)


def no_report(error: ReportError) -> Fault:
    """Why a report can't be made."""
    if isinstance(error, ArchivedRange):
        return Fault("invalid", [Wrong(parameter="from", detail=str(error))])
    return Fault("invalid", [Wrong(parameter="step", detail=f"is too short: {error}")])
