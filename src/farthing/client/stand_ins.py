"""Stand-ins: what a charge or a settle gives back that the ledger could not be asked for, and that was let through.

Nothing of it was taken yet, so its amount is 0; what the account has is not known, so those amounts are NaN, which is
shown as that and is never taken for a number.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from .calls import Call
from .errors import ApiError, ScopeMissing, Unauthorized, Unavailable, UnknownOutcome
from .forms import After
from .pricing_results import BulkDone, BulkResult
from .results import Charge, Settled

CHARGES: Final = "/v1/charges"
SETTLES: Final = "/v1/holds/{id}/settle"
BULK: Final = "/v1/charges/bulk"
_NOTHING: Final = Decimal(0)
_UNKNOWN: Final = Decimal("NaN")
_AFTER: Final = After(balance=_UNKNOWN, scoped=_UNKNOWN, held=_UNKNOWN, debt=_UNKNOWN)


def covered(call: Call[Any]) -> bool:
    """Whether a call may be let through: what it is for was done already, or is to be allowed."""
    return call.template in (CHARGES, SETTLES, BULK) and not facts_of(call).get("dry_run")


def unreached(error: BaseException) -> bool:
    """Whether an error says that the ledger could not be asked, or was not heard."""
    return isinstance(error, ApiError) and isinstance(error, Unavailable | UnknownOutcome)


def says_nothing_of_it(error: ApiError) -> bool:
    """Whether an error would have met any other call as well: of the machine, of a proxy, of the API key."""
    return error.retries or error.code == "bad_answer" or isinstance(error, Unauthorized | ScopeMissing)


def facts_of(call: Call[Any]) -> dict[str, Any]:
    """What the body of a call says."""
    found: dict[str, Any] = msgspec.json.decode(call.body)
    return found


def stand_in(call: Call[Any], status: str) -> Any:
    """What the call gives back."""
    facts = facts_of(call)
    if call.template == BULK:
        return BulkDone(results=[BulkResult(index=index, status=status) for index, _ in enumerate(facts["items"])])
    if call.template == CHARGES:
        return Charge(id="", **nothing_taken(facts, call.key, status))
    return settled(call, status)


def settled(call: Call[Any], status: str, account: str = "", after: After = _AFTER) -> Settled:
    """What a settle gives back by which nothing was taken."""
    facts = facts_of(call)
    state = "live" if facts.get("last") is False else status
    taken = nothing_taken(facts | {"account": account}, call.key, status, after)
    return Settled(id=call.names["id"], charge="", state=state, released=_NOTHING, **taken)


def nothing_taken(facts: dict[str, Any], key: str, status: str, after: After = _AFTER) -> dict[str, Any]:
    """What charges and settles have in common by which nothing was taken."""
    return done_nothing(facts, key, after) | {
        "amount": _NOTHING, "unpaid": _NOTHING, "operation": facts.get("operation"), "grants": [], "debt": _NOTHING,
        "usage": None, "price": None, "status": status,
    }  # fmt: skip


def done_nothing(facts: dict[str, Any], key: str, after: After) -> dict[str, Any]:
    """What all commands have in common."""
    return {
        "account": facts["account"], "entry": "", "after": after,
        "description": facts.get("description"), "metadata": facts.get("metadata"), "created_at": datetime.now(UTC),
        "key": key, "dry_run": bool(facts.get("dry_run")),
    }  # fmt: skip
