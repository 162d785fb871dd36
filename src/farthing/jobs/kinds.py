"""All kinds of jobs, each a line."""

from collections.abc import Callable
from typing import Final

from . import expiring, folding, payments, renewals, sweeper, top_ups, webhooks
from .kind import Kind, Tools


def _retention(tools: Tools) -> Kind:
    # Loaded here: it brings all that examines a ledger along.
    from .retention import kind_of

    return kind_of(tools.place, tools.archives, tools.now_us, tools.every["retention"])


KINDS: Final[dict[str, Callable[[Tools], Kind]]] = {
    "lapses": sweeper.kind,
    "renewals": renewals.kind,
    "payments": payments.kind,
    "top_ups": top_ups.kind,
    "expiring": expiring.kind,
    "webhooks": webhooks.kind,
    "rollups": folding.kind,
    "retention": _retention,
}


def make_kinds(tools: Tools) -> tuple[Kind, ...]:
    """All of them."""
    return tuple(make(tools) for make in KINDS.values())
