"""Control of the stand-in, under /_fake: what calls are to meet, and the books that one compares with."""

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from farthing.fakes.web import Request, Response, Routes, json_of

from .books import Call
from .calls import Calls
from .habits import Habits, Special


class _Specials(Struct, forbid_unknown_fields=True):
    calls: list[Special]


class _Rules(Struct, forbid_unknown_fields=True):
    keys: list[str] | UnsetType = UNSET
    models: list[str] | UnsetType = UNSET


class Control:
    """What can be made to happen, and looked at."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def enter(self, routes: Routes) -> None:
        """Enter the routes."""
        for method, pattern, handler in (
            ("GET", "/_fake/books", self.books),
            ("GET", "/_fake/idle", self.idle),
            ("GET", "/_fake/state", self.state),
            ("POST", "/_fake/habits", self.habits),
            ("POST", "/_fake/next", self.next),
            ("POST", "/_fake/release", self.release),
            ("POST", "/_fake/rules", self.rules),
        ):
            routes.add(method, pattern, handler)

    async def books(self, request: Request) -> Response:
        """All calls, and what they come to by model; those after a number, of a model, or of a user."""
        query = request.query
        after = int(query.get("after", "0")) if query.get("after", "0").isdigit() else 0

        def chosen(call: Call) -> bool:
            told = {"model": call.plan.model, "user": call.plan.asked.user, "id": call.id}
            return all(told[name] == query[name] for name in told if name in query)

        return json_of(self._calls.books.shown(filter(chosen, self._calls.books.calls[after:])))

    async def idle(self, request: Request) -> Response:
        """Answered as soon as no call is under way."""
        await self._calls.books.idle.wait()
        return await self.state(request)

    async def state(self, request: Request) -> Response:
        """How many calls there were, which are under way, and which of those are held; the habits."""
        calls, chooser = self._calls.books.calls, self._calls.chooser
        return json_of(
            {
                "calls": len(calls),
                "under_way": [each.number for each in calls if not each.ended],
                "held": self._calls.gate.held,
                "habits": asdict(chooser.standing),
                "next": [asdict(each) for each in chooser.special],
            }
        )

    async def habits(self, request: Request) -> Response:
        """What calls meet from now on; what is not named is as at the beginning."""
        self._calls.chooser.standing = request.read(Habits)
        return json_of(asdict(self._calls.chooser.standing))

    async def next(self, request: Request) -> Response:
        """What the next calls meet, or the next of a model or with a text, one after the other; none: no such thing."""
        self._calls.chooser.special = request.read(_Specials).calls
        return json_of({"next": [asdict(each) for each in self._calls.chooser.special]})

    async def release(self, request: Request) -> Response:
        """Those that are held go on."""
        return json_of({"released": self._calls.gate.release()})

    async def rules(self, request: Request) -> Response:
        """Which keys are taken and which models there are; none: all."""
        asked = request.read(_Rules)
        if asked.keys is not msgspec.UNSET:
            self._calls.keys = set(asked.keys)
        if asked.models is not msgspec.UNSET:
            self._calls.models = tuple(asked.models)
        return json_of({"keys": sorted(self._calls.keys), "models": list(self._calls.models)})
