"""The API: who may call, idempotency keys, expanding, rate limits, and bad weather; then the route that answers."""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from farthing.fakes.web import Refusal, Request, Response, Routes, json_of

from . import catalogue, checkout, customers, invoices, payments, portal, reversals, subscriptions
from .calls import Call, Route, listed, page, retrieving
from .params import Json, Params, Refused, read_form
from .world import API_VERSION, DAY, NOBODY, World, seen

MOST_KEY: Final = 255
KEYS_LIVE_SECONDS: Final = DAY
INCLUDED: Final[Mapping[tuple[str, str], Any]] = {
    ("invoice", "payments"): invoices.payments_of,
    ("checkout.session", "line_items"): lambda _, session: checkout.lines_of(session),
    ("charge", "refunds"): lambda world, charge: listed(
        [each for each in world.all("refund") if each["charge"] == charge["id"]][::-1], "/v1/refunds"
    ),
}
"""What is told only where one asks for it."""


def _events(call: Call) -> Json:
    """GET /v1/events"""
    wanted = [*call.params.texts("types"), *filter(None, [call.params.text("type")])]
    return page(call, (each for each in call.world.all("event") if not wanted or each["type"] in wanted))


ROUTES: Final = (
    *customers.ROUTES,
    *catalogue.ROUTES,
    *checkout.ROUTES,
    *payments.ROUTES,
    *reversals.ROUTES,
    *subscriptions.ROUTES,
    *invoices.ROUTES,
    *portal.ROUTES,
    Route("GET", "/v1/events", _events, ("type", "types", "created", "limit", "starting_after", "ending_before")),
    retrieving("/v1/events/{id}", "event"),
)


@dataclass
class Weather:
    """What happens to calls."""

    mode: str = "fine"
    """fine; rate_limited (429); error (500); html (503, and no envelope); slow (answers after `seconds`, or when the
    weather changes); cut (the connection ends, nothing is done); lost_answer (it is done, then the connection ends)."""
    times: int | None = None
    """For so many calls; None is until further notice."""
    path: str = ""
    """Only calls of this path and below; empty is all."""
    seconds: float = 1.0

    def over(self, path: str) -> str:
        """What happens to a call of this path."""
        if self.mode == "fine" or not path.startswith(self.path) or self.times == 0:
            return "fine"
        if self.times is not None:
            self.times -= 1
        return self.mode


@dataclass
class Kept:
    """What became of a call that had an idempotency key."""

    asked: str
    path: str
    until: float
    status: int = 0
    body: Json | None = None
    """None: it still runs."""


@dataclass
class Access:
    """Who may call, and how often."""

    keys: set[str]
    """These may do everything."""
    restricted_keys: set[str] = field(default_factory=set)
    """These may look."""
    most_a_second: int = 0
    """0: as often as they like."""
    _recent: list[float] = field(default_factory=list)

    def limit(self, most_a_second: int) -> None:
        """From now on, so many."""
        self.most_a_second, self._recent = most_a_second, []

    def check(self, request: Request) -> None:
        """Refuse who may not."""
        key = _key_of(request.headers.get("authorization", ""))
        if not key:
            message = "You did not provide an API key. You need to provide your API key in the Authorization header."
            raise Refused(message, status=401)
        if key in self.restricted_keys:
            if request.method != "GET":
                message = f"The provided key '{_masked(key)}' does not have the required permissions for this endpoint."
                raise Refused(message, status=403)
        elif key not in self.keys:
            raise Refused(f"Invalid API Key provided: {_masked(key)}", status=401)
        self._count()

    def _count(self) -> None:
        now = time.monotonic()
        self._recent = [each for each in self._recent if each > now - 1] + [now]
        if self.most_a_second and len(self._recent) > self.most_a_second:
            raise rate_limited()


def rate_limited() -> Refused:
    """Too many calls."""
    message = "Request rate limit exceeded. Learn more about rate limits in the documentation."
    return Refused(message, status=429, code="rate_limit")


def _key_of(header: str) -> str:
    kind, _, rest = header.partition(" ")
    if kind.lower() != "basic":
        return rest if kind.lower() == "bearer" else ""
    try:
        return base64.b64decode(rest).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * 8}{key[-4:]}"


class Api:
    """The API on a world."""

    def __init__(self, world: World, access: Access) -> None:
        self.world = world
        self.access = access
        self.weather = Weather()
        self.waiting = 0
        """Calls that slow weather holds up now."""
        self._changed = asyncio.Event()
        self._kept: dict[str, Kept] = {}
        self._routes = Routes()
        for route in ROUTES:
            self._routes.add(route.method, route.path, _Bound(self, route).answer)

    def change(self, weather: Weather) -> None:
        """Another weather: who is held up goes on."""
        self.weather = weather
        self._changed.set()
        self._changed = asyncio.Event()

    async def _held_up(self, seconds: float) -> None:
        self.waiting += 1
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return
        finally:
            self.waiting -= 1

    async def answer(self, request: Request) -> Response:
        """What Stripe says."""
        request_id = self.world.new_id("req")
        headers = {"request-id": request_id, "stripe-version": request.headers.get("stripe-version", API_VERSION)}
        try:
            told = await self._answer(request, request_id)
        except Refused as refused:
            told = self._error(refused)
        except Refusal as refusal:
            message = f"Unrecognized request URL ({request.method}: {request.path}). {refusal}"
            told = self._error(Refused(message, status=404))
        return Response(told.body, told.status, told.type, {**headers, **told.headers}, told.broken)

    def _error(self, refused: Refused) -> Response:
        return json_of({"error": seen(refused.error)}, refused.status)

    async def _answer(self, request: Request, request_id: str) -> Response:
        mode = self.weather.over(request.path)
        if mode == "cut":
            return Response(broken=True)
        if mode == "html":
            return Response(b"<html><body><h1>503 Service Unavailable</h1></body></html>", 503, "text/html")
        if mode == "rate_limited":
            raise rate_limited()
        if mode == "error":
            raise Refused("An unknown error occurred", status=500, type="api_error")
        self.access.check(request)
        told = await self._once(request, request_id, self.weather.seconds if mode == "slow" else 0.0)
        return Response(told.body[:20], told.status, broken=True) if mode == "lost_answer" else told

    # Keys

    async def _once(self, request: Request, request_id: str, slow: float) -> Response:
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        asking = {"id": request_id, "idempotency_key": key}
        if key is None:
            if slow:
                await self._held_up(slow)
            return await self._carried_out(request, asking)
        if len(key) > MOST_KEY:
            raise Refused(f"Idempotency keys have at most {MOST_KEY} characters.")
        asked, kept = self._asked(request), self._find(key)
        if kept is not None:
            return _replayed(kept, key, asked, request.path)
        self._kept[key] = kept = Kept(asked, request.path, self.world.clock.exact() + KEYS_LIVE_SECONDS)
        try:
            if slow:
                await self._held_up(slow)
            return await self._remembered(request, asking, kept)
        finally:
            if kept.body is None:
                self._kept.pop(key, None)

    def _asked(self, request: Request) -> str:
        return urlencode(sorted(_flat(read_form(_text(request.body)))))

    def _find(self, key: str) -> Kept | None:
        kept = self._kept.get(key)
        return None if kept is None or kept.until < self.world.clock.exact() else kept

    async def _remembered(self, request: Request, asking: Json, kept: Kept) -> Response:
        """What was refused before anything was begun is forgotten, and what came of anything else is kept."""
        try:
            told = await self._carried_out(request, asking)
        except Refused as refused:
            if refused.status == 402:
                kept.status, kept.body = refused.status, {"error": seen(refused.error)}
            raise
        kept.status, kept.body = told.status, _json_of(told)
        return told

    async def _carried_out(self, request: Request, asking: Json) -> Response:
        # Nothing is waited for in here: nobody else's events get this request's name.
        self.world.base, self.world.asking = request.base, asking
        try:
            return await self._routes.answer(request)
        finally:
            self.world.asking = NOBODY


class _Bound:
    """A route of an API."""

    def __init__(self, api: Api, route: Route) -> None:
        self._api = api
        self._route = route

    async def answer(self, request: Request, **ids: str) -> Response:
        """Carry it out."""
        values = read_form(_text(request.body)) if request.method == "POST" else read_form(urlencode(request.query))
        params = Params(values)
        params.only((*self._route.takes, "expand"))
        call = Call(self._api.world, params, ids, request.path)
        told = self._route.act(call)
        return json_of(expanded(self._api.world, told, params.texts("expand")))


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refused("The body of the request is not UTF-8.") from None


def _json_of(told: Response) -> Json:
    found: Json = json.loads(told.body)
    return found


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for name, each in value.items() for pair in _flat(each, f"{path}[{name}]")]
    if isinstance(value, list):
        return [pair for place, each in enumerate(value) for pair in _flat(each, f"{path}[{place}]")]
    return [(path, str(value))]


def _replayed(kept: Kept, key: str, asked: str, path: str) -> Response:
    if kept.path != path or kept.asked != asked:
        what = "the same endpoint" if kept.path != path else "the same parameters"
        raise Refused(
            f"Keys for idempotent requests can only be used with {what} they were first used with. Try using a key "
            f"other than '{key}' if you meant to execute a different request.", type="idempotency_error",
        )  # fmt: skip
    if kept.body is None:
        raise Refused(
            "There is currently another in-progress request using this Idempotent Key.", status=409,
            type="idempotency_error", code="idempotency_key_in_use",
        )  # fmt: skip
    return json_of(kept.body, kept.status, {"idempotent-replayed": "true"})


# Expanding


def expanded(world: World, about: Json, paths: list[str]) -> Json:
    """What is answered: a copy, with the references that were asked for as whole objects."""
    told: Json = seen(about)
    for path in paths:
        _expand(world, told, path.split("."), path)
    return told


def _expand(world: World, told: Any, parts: list[str], path: str) -> None:
    if isinstance(told, list):
        for each in told:
            _expand(world, each, parts, path)
        return
    name, rest = parts[0], parts[1:]
    if (told.get("object"), name) in INCLUDED and name not in told:
        whole = world.find(told["object"], told["id"])
        told[name] = seen(INCLUDED[told["object"], name](world, whole))
    if name not in told:
        raise Refused(f"This property cannot be expanded ({path}).", param="expand")
    value = told[name]
    if isinstance(value, str):
        found = world.by_id(value)
        if found is None:
            raise Refused(f"This property cannot be expanded ({path}).", param="expand")
        value = told[name] = seen(found)
    if rest and value is not None:
        _expand(world, value, rest, path)
