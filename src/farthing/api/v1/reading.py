"""Reading: what is asked in a query, strictly; and pages, told the same way everywhere.

A parameter that the call does not have is refused and named, so is one that comes twice or makes no sense: a filter
that is silently ignored shows somebody what he did not ask for.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl

from msgspec import Struct

from farthing.core.commands import text_error
from farthing.stores.pages import Position

from ..endpoint import Request
from .cursors import CursorInvalid
from .desk import Desk
from .fields import read_time
from .parameters import parameter
from .problems import Fault, Wrong
from .wire import TIME

T = TypeVar("T")
W = TypeVar("W", bound=str)
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_PAGING: Final = ("limit", "cursor", "offset")


def not_found(thing: str) -> Fault:
    """There is none, or it belongs to another workspace: the same words for both."""
    return Fault(f"{thing}_not_found")


def named(request: Request, name: str, thing: str) -> str:
    """What stands in the path for a name. What can't be an id is the id of nothing, and never gets to a database."""
    text = request.parameters[name]
    if text_error(text):
        raise not_found(thing)
    return text


class Listed(Struct, Generic[T]):
    """A page of a listing."""

    data: list[T]
    has_more: bool
    next_cursor: str | None


class Params:
    """The query of a request; `check` refuses what is wrong with it, all at once."""

    def __init__(self, request: Request, *names: str) -> None:
        self._request = request
        self._names = names
        self._wrong: list[Wrong] = []
        self._given: dict[str, str] = {}
        for name, value in self._pairs():
            if name not in names:
                known = f"it has {', '.join(names)}" if names else "it has none"
                self.refuse(name[:100], f"is no parameter of this call; {known}")
            elif name in self._given:
                self.refuse(name, "must be given once; several values are separated by commas")
            else:
                self._given[name] = value

    def _pairs(self) -> list[tuple[str, str]]:
        text = self._request.scope.get("query_string", b"")
        try:
            return parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
        except ValueError:
            self.refuse("query", "must be at most 50 parameters, percent-encoded UTF-8")
            return []

    def refuse(self, name: str, detail: str) -> None:
        """Note what is wrong with a parameter."""
        self._wrong.append(Wrong(parameter=name, detail=detail))

    def check(self) -> None:
        """Refuse the request where something was wrong with it."""
        if self._wrong:
            raise Fault("invalid", self._wrong)

    def text(self, name: str) -> str | None:
        """Text of 1 to 255 bytes."""
        value = self._given.get(name)
        if value is not None and (wrong := text_error(value)):
            self.refuse(name, wrong)
        return value

    def needed(self, name: str) -> str:
        """The same, which must be there."""
        if name not in self._given:
            self.refuse(name, "is missing")
        return self.text(name) or ""

    def choice(self, name: str, options: Sequence[W], default: W) -> W:
        """One of some words."""
        value = self._given.get(name, default)
        for option in options:
            if value == option:
                return option
        self.refuse(name, f"must be one of {', '.join(options)}")
        return default

    def choices(self, name: str, options: Sequence[str]) -> list[str]:
        """Some of some words, separated by commas."""
        if name not in self._given:
            return []
        values = self._given[name].split(",")
        unknown = [value for value in values if value not in options]
        if unknown:
            shown = ", ".join(repr(value[:40]) for value in unknown[:3])
            self.refuse(name, f"has no {shown}; there are {', '.join(options)}")
        return sorted(set(values))

    def flag(self, name: str) -> bool | None:
        """`true` or `false`."""
        value = self._given.get(name)
        if value not in (None, "true", "false"):
            self.refuse(name, "must be true or false")
        return None if value is None else value == "true"

    def instant(self, name: str) -> int | None:
        """An RFC 3339 time."""
        value = self._given.get(name)
        if value is None:
            return None
        try:
            return read_time(value)
        except ValueError as error:
            self.refuse(name, str(error))
            return None

    def span(self) -> tuple[int | None, int | None]:
        """From `from` on and before `to`."""
        since, until = self.instant("from"), self.instant("to")
        if since is not None and until is not None and since > until:
            self.refuse("from", "must not be after to")
        return since, until

    def limit(self) -> int:
        """How many a page may hold."""
        text = self._given.get("limit", str(DEFAULT_LIMIT))
        limit = int(text) if _NUMBER.fullmatch(text) else 0
        if not 1 <= limit <= MAX_LIMIT:
            self.refuse("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
        return limit

    async def turn(self, desk: Desk, listing: str, **where: str) -> "Turn":
        """Which page is asked for; call it when all else was read."""
        filters = {name: value for name, value in self._given.items() if name not in _PAGING} | where
        turn = Turn(desk, listing, self._request.caller.workspace.id, filters, self.limit())
        self.check()
        if (cursor := self._given.get("cursor")) is not None:
            try:
                turn.after = await desk.cursors.read(cursor, listing, turn.workspace, filters)
            except CursorInvalid as error:
                raise Fault("cursor_invalid", [Wrong(parameter="cursor", detail=str(error))]) from error
        return turn


class Turn:
    """One page of a listing on its way."""

    def __init__(self, desk: Desk, listing: str, workspace: str, filters: dict[str, str], limit: int) -> None:
        self._desk = desk
        self._listing = listing
        self._filters = filters
        self.workspace = workspace
        self.limit = limit
        self.after: Position | None = None

    async def told(self, data: list[T], following: Position | None) -> Listed[T]:
        """The answer."""
        cursor = None
        if following is not None:
            cursor = await self._desk.cursors.write(self._listing, self.workspace, self._filters, following)
        return Listed(data, cursor is not None, cursor)


# For the documentation


PAGING: Final = (
    parameter(
        "limit", "How many to give at most.", type="integer", minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT
    ),
    parameter(
        "cursor",
        "Where to go on: `next_cursor` of the page before, with the same filters. It lives for 24 hours. A page may "
        "hold fewer than `limit` and still have more after it.",
        pattern="^[A-Za-z0-9_-]+$",
        maxLength=4_096,
    ),
)
FROM_TO: Final = (
    parameter("from", "From this time on (RFC 3339).", **TIME, example="2026-01-01T00:00:00Z"),
    parameter("to", "Before this time (RFC 3339).", **TIME, example="2026-02-01T00:00:00Z"),
)


def listed_example(*data: dict[str, Any]) -> dict[str, Any]:
    """A page as an example."""
    return {"data": list(data), "has_more": False, "next_cursor": None}
