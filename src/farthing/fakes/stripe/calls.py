"""Calls of the API: what a handler is given, tables of them, and lists a page at a time."""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from .params import Json, Params, Refused, not_found
from .world import World

MOST: Final = 100
USUAL: Final = 10
PAGING: Final = ("limit", "starting_after", "ending_before")
_COMPARE: Final = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


@dataclass(frozen=True)
class Call:
    """One call of the API, by somebody who may make it."""

    world: World
    params: Params
    ids: dict[str, str]
    """What stands in its path."""
    path: str

    @property
    def id(self) -> str:
        """What it is about."""
        return self.ids["id"]


@dataclass(frozen=True)
class Route:
    """What answers calls of a path, and the parameters that it knows."""

    method: str
    path: str
    act: Callable[[Call], Json]
    takes: tuple[str, ...] = ()


def listing(path: str, kind: str, *fields: str, by_time: bool = True) -> Route:
    """All objects of a kind, newest first, narrowed down by fields that have to be as they are told."""

    def act(call: Call) -> Json:
        wanted = {name: call.params.text(name) for name in fields if name in call.params}
        found = (
            each for each in call.world.all(kind) if all(each.get(name) == value for name, value in wanted.items())
        )
        return page(call, found)

    return Route("GET", path, act, (*fields, *PAGING, *(("created",) if by_time else ())))


def page(call: Call, objects: Iterable[Json]) -> Json:
    """One page of objects that come oldest first."""
    found = [each for each in objects if _in_time(call.params, each)][::-1]
    limit = call.params.whole("limit") if "limit" in call.params else USUAL
    if limit is None or not 1 <= limit <= MOST:
        raise Refused(f"limit must be from 1 to {MOST}", param="limit", code="parameter_invalid_integer")
    ids = [each["id"] for each in found]
    begin, end = 0, len(found)
    if after := call.params.text("starting_after"):
        begin = _place(ids, after, "starting_after") + 1
        end = min(end, begin + limit)
    elif before := call.params.text("ending_before"):
        end = _place(ids, before, "ending_before")
        begin = max(0, end - limit)
        return listed(found[begin:end], call.path, begin > 0)
    return listed(found[begin : min(end, begin + limit)], call.path, begin + limit < len(found))


def listed(objects: list[Json], url: str, more: bool = False) -> Json:
    """Some objects as a list."""
    return {"object": "list", "data": objects, "has_more": more, "url": url}


def _place(ids: list[str], id: str, param: str) -> int:
    if id not in ids:
        raise not_found("object in this list", id, param)
    return ids.index(id)


def _in_time(params: Params, about: Json) -> bool:
    if "created" not in params:
        return True
    try:
        bounds = params.inner("created")
    except Refused:
        return bool(about["created"] == params.whole("created"))
    bounds.only(_COMPARE)
    return all(_COMPARE[name](about["created"], bounds.number(name)) for name in _COMPARE if name in bounds)


def retrieving(path: str, kind: str) -> Route:
    """One object, by its id."""
    return Route("GET", path, lambda call: call.world.find(kind, call.id))
