"""Guests: accounts that are never charged. What would take or set aside credits of theirs is answered here, and never
sent; they have no balance, and nothing else about them is special. Pure.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

from .bulk import merged, part_of
from .calls import Call
from .errors import ConnectError
from .forms import After
from .pricing_results import Affordable, BulkDone, BulkResult
from .results import Charge, Extended, Hold, Released
from .stand_ins import BULK, CHARGES, SETTLES, done_nothing, facts_of, nothing_taken, settled

GUEST: Final = "guest"
HOLDS: Final = "/v1/holds"
_HOLD: Final = "guest:"
"""How the ids of their holds begin; whose it is stands behind it."""
_LIFE: Final = timedelta(hours=1)
_NOTHING: Final = Decimal(0)
_AFTER: Final = After(balance=_NOTHING, scoped=_NOTHING, held=_NOTHING, debt=_NOTHING)
FREE: Final = Affordable(affordable=True, cost=_NOTHING, available=_NOTHING, deficit=_NOTHING, refusal=None)
"""What a guest can afford: everything, since it costs him nothing."""


class Spared(Struct, frozen=True):
    """What a call gives back of which all, or some, is for guests."""

    result: Any
    rest: Call[Any] | None = None
    """Asks for those of many charges that are for others."""
    places: list[int] = []
    """Where those stand."""

    def merged(self, after: Any) -> Any:
        """All results, when these have come of the rest."""
        return merged(self.result, self.places, after)


class Guests(Struct, frozen=True):
    """The accounts that are guests."""

    accounts: frozenset[str] = frozenset()

    def spared(self, call: Call[Any]) -> Spared | None:
        """What is given back in place of an answer; None where the call is to be sent as it is."""
        if not self.accounts or not call.writes:
            return None
        if call.template == BULK:
            return self._some(call)
        if call.template in (CHARGES, HOLDS):
            facts = facts_of(call)
            return Spared(_begun(call, facts)) if facts["account"] in self.accounts else None
        held, _, account = call.names.get("id", "").partition(_HOLD)
        return Spared(_held(call, account)) if not held and account in self.accounts else None

    def _some(self, call: Call[Any]) -> Spared | None:
        items = facts_of(call)["items"]
        others = [place for place, item in enumerate(items) if item["account"] not in self.accounts]
        if len(others) == len(items):
            return None
        results = [
            BulkResult(index=place, status=GUEST, charge=_charge(item, item["key"])) for place, item in enumerate(items)
        ]
        return Spared(BulkDone(results=results), part_of(call, others) if others else None, others)


def guests_of(given: Iterable[str]) -> Guests:
    """The guests that `connect` is told of."""
    if isinstance(given, str):
        raise ConnectError(f"guests must be a list of accounts, such as [{given!r}]")
    accounts: list[Any] = list(given)
    for each in accounts:
        if not isinstance(each, str) or not each:
            raise ConnectError(f"guests must be ids of accounts, not {each!r}")
    return Guests(frozenset(accounts))


def _begun(call: Call[Any], facts: dict[str, Any]) -> Charge | Hold:
    if call.template == CHARGES:
        return _charge(facts, call.key)
    life = timedelta(seconds=facts["expires_in"]) if "expires_in" in facts else _LIFE
    return Hold(
        id=_HOLD + facts["account"], amount=_NOTHING, operation=facts.get("operation"), service=facts.get("service"),
        model=facts.get("model"), product=facts.get("product"), state="live", usage=None, price=None, status=GUEST,
        on_expiry=facts.get("on_expiry", "release"), expires_at=datetime.now(UTC) + life,
        **done_nothing(facts, call.key, _AFTER),
    )  # fmt: skip


def _charge(facts: dict[str, Any], key: str) -> Charge:
    return Charge(id="", **nothing_taken(facts, key, GUEST, _AFTER))


def _held(call: Call[Any], account: str) -> Any:
    """What comes of a hold that was never placed."""
    if call.template == SETTLES:
        return settled(call, GUEST, account, _AFTER)
    id, done = call.names["id"], done_nothing(facts_of(call) | {"account": account}, call.key, _AFTER)
    if call.template.endswith("extend"):
        return Extended(id=id, raised_by=_NOTHING, expires_at=None, metered=None, **done)
    return Released(id=id, released=_NOTHING, state="released", **done)
