"""Evidence: what a call is held for and charged, what comes closest to it where that has no price, and why it is so."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec.structs import replace

from .policy import shown
from .used import Used

if TYPE_CHECKING:
    from .call import ModelCall

Basis = Literal["provider", "estimate", "delivered", "input", "nothing"]
"""By whose figures a call is charged."""
NOTHING_USED: Final = Used()
_TOKENS: Final = ("input_tokens", "output_tokens")


def usage_of(call: "ModelCall", dimensions: dict[str, str], used: Used = NOTHING_USED) -> dict[str, Any]:
    """A usage of so much, as the ledger is told of it."""
    # As `usage_body` has it, but at once: a hold is put together while somebody waits for a first token.
    terms = call.terms
    found = {
        "provider": terms.provider or used.provider or None, "service": terms.service, "operation": terms.operation,
        "product": terms.product, "chat": terms.chat, "model": used.model or call.asked.model or None,
        "dimensions": dimensions, "attributes": dict(used.attributes) or None,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def expected(call: "ModelCall") -> dict[str, Any]:
    """What is known before, for who finds a hold that nobody has ended."""
    asked, policy = call.asked, call.policy
    facts = {"model_asked": asked.model, "estimated_input_tokens": asked.input_tokens}
    return {**call.terms.metadata, "metering": facts | {"policy": shown(policy), "on_expiry": policy.on_expiry}}


def to_charge(call: "ModelCall") -> tuple[Used | None, Basis]:
    """What is charged, and by whose figures; None: nothing is."""
    used, policy, how = call.used, call.policy, call.how
    if call.terms.guest:
        return None, "nothing"
    whole = used.filled(input_tokens=call.asked.input_tokens, output_tokens=call.delivered)
    if how == "finished" or (used.known and call.over and how != "refused"):
        return whole, "provider" if used.known else "estimate"
    if how == "refused" or (how == "lost" and policy.lost == "nothing"):
        return None, "nothing"
    if (how == "failed" and policy.error == "nothing") or policy.broken == "nothing":
        return None, "nothing"
    silent = not call.delivered and not used.output_tokens
    if how != "lost" and silent and policy.no_output == "nothing":
        return None, "nothing"
    if how == "lost" or policy.broken == "input":
        return _input_only(call), "input"
    return whole, "delivered"


def _input_only(call: "ModelCall") -> Used:
    counts = call.used.counts.items()
    into = {name: count for name, count in counts if name.startswith(("input_", "cache_"))}
    return replace(call.used, counts=into).filled(input_tokens=call.asked.input_tokens, output_tokens=0)


def ways(used: Used, model_asked: str) -> list[tuple[Used, dict[str, Any]]]:
    """What is charged; and if that has no price, what comes closest to it: a charge is never lost for that."""
    found: list[tuple[Used, dict[str, Any]]] = [(used, {})]
    plain = replace(used, attributes={})
    if used.attributes:
        found.append((plain, {"unpriced": dict(used.attributes)}))
    asked_for = replace(plain, model=model_asked)
    if used.model and used.model != model_asked:
        found.append((asked_for, {"unpriced": {"model": used.model, **used.attributes}}))
    tokens = {name: count for name, count in used.dimensions().items() if name in _TOKENS}
    bare = replace(asked_for, counts=tokens, without_cache=False)
    if used.dimensions() != tokens:
        found.append((bare, {"unpriced": {"dimensions": used.dimensions()}}))
    return found


def evidence(call: "ModelCall", basis: Basis, notes: Mapping[str, Any] = {}) -> dict[str, Any]:
    """What was used and why it is charged so, as metadata."""
    used = call.used.filled(input_tokens=call.asked.input_tokens, output_tokens=call.delivered)
    facts: dict[str, Any] = {
        "ended": call.how, "charged_by": basis, "sources": used.sources(), "policy": shown(call.policy),
        "model_asked": call.asked.model, "finish": call.finish, "answer": call.id, "error": call.error,
        "delivered_tokens": call.delivered, "estimated_input_tokens": call.asked.input_tokens,
        "doubtful": list(call.used.doubtful), "others": dict(call.used.others), "uncounted": call.asked.uncounted,
        "pending": call.pending, "key": call.terms.key, **call.notes, **notes,
    }  # fmt: skip
    told = {name: fact for name, fact in facts.items() if fact not in ("", False, [], {}, None) or type(fact) is int}
    return {**call.terms.metadata, "metering": told}
