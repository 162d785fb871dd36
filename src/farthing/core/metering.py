"""Metering: how much is held before a model is called, and what a call costs that didn't end as it should. As data: a
workspace has a document of it, a service in it may have its own, and so may a call.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from .exact import plain

OnBreak = Literal["delivered", "provider", "input", "nothing"]
_Seconds = Annotated[int, Meta(ge=1, le=86_400)]
_Tokens = Annotated[int, Meta(ge=1, le=100_000_000)]
_DECIMAL = r"^[0-9]{1,12}(\.[0-9]{1,9})?$"


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, cache_hash=True):
    """How calls of models are held for and settled."""

    hold: Literal["estimate", "fixed", "nothing"] = "estimate"
    """What is set aside before a call: what it will probably cost, an amount, or nothing."""
    factor: Annotated[str, Meta(pattern=_DECIMAL)] = "1.25"
    """What the tokens of an estimate are multiplied by."""
    output_tokens: _Tokens = 500
    """Tokens of an answer of which nothing is known; what the call allows at most is never exceeded."""
    fixed: Annotated[str, Meta(pattern=_DECIMAL)] = "0"
    """The amount of a fixed hold."""
    extend: bool = True
    """Whether more is set aside while a stream goes on, and the hold lives longer."""
    hold_seconds: _Seconds = 900
    """How long a hold lives that isn't extended."""
    report_tokens: _Tokens = 250
    """The ledger is told of what was delivered so far each time so many tokens have come,"""
    report_seconds: _Seconds = 15
    """or so much time has passed."""
    on_expiry: Literal["release", "metered", "all"] = "metered"
    """What is charged of a hold that nobody ends, because the process is gone: nothing, what was reported, or all."""
    spent: Literal["go_on", "stop"] = "go_on"
    """What becomes of a stream that the account can't pay any more: it goes on, as debt, or ends with the refusal."""
    broken: OnBreak = "delivered"
    """What a stream costs that was cut, or that its reader has left: what went in and was delivered; the provider's
    figures, for which the rest is read (else as before); what went in; or nothing."""
    drain_seconds: _Seconds = 10
    """How long the rest is read for at most."""
    no_output: Literal["nothing", "charge"] = "nothing"
    """Whether such a stream costs something of which nothing at all was delivered."""
    error: Literal["charge", "nothing"] = "charge"
    """Whether an answer that fails on its way is charged like one that was cut. An error in place of an answer costs
    nothing."""
    lost: Literal["nothing", "input"] = "nothing"
    """What a call costs whose answer never came: the connection was lost, or it took too long."""
    unavailable: Literal["as_client", "go_on", "refuse"] = "as_client"
    """Whether a model is called where the ledger can't be asked for a hold; as the ledger's client does by its
    `on_unavailable`: with `raise` it isn't."""


class Metering(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workspace's document: its policy, and what is different for a service."""

    policy: dict[str, Any] = {}
    services: dict[str, dict[str, Any]] = {}


class PolicyError(ValueError):
    """A policy that can't be meant."""


def policy_of(*layers: Mapping[str, Any]) -> Policy:
    """The policy that layers come to; what comes later counts."""
    merged = {name: value for layer in layers for name, value in layer.items()}
    for name in ("factor", "fixed"):
        if isinstance(value := merged.get(name), int | Decimal) and not isinstance(value, bool):
            merged[name] = plain(Decimal(value))
    try:
        return msgspec.convert(merged, Policy)
    except msgspec.ValidationError as error:
        raise PolicyError(f"metering: {error}") from error


def layers_of(document: str, service: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """What a workspace's document says, and what it says of a service. Empty text says nothing."""
    if not document:
        return {}, {}
    try:
        found = msgspec.json.decode(document, type=Metering)
    except msgspec.MsgspecError as error:
        raise PolicyError(f"metering: {error}") from error
    return found.policy, found.services.get(service, {})


def check_metering(document: str) -> None:
    """Raise where a workspace's document is none, or a policy in it can't be meant."""
    common, _ = layers_of(document)
    policy_of(common)
    if document:
        for service in msgspec.json.decode(document, type=Metering).services.values():
            policy_of(common, service)
