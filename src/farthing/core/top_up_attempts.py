"""Automatic top-ups as they are kept: an attempt, and how an account's stands."""

from typing import Literal

from msgspec import Struct

from .auto_top_up import AutoTopUp
from .catalogue import Provider

AttemptState = Literal[
    "asking", "pending", "waiting", "done", "declined", "authentication_required", "failed", "unconfirmed"
]  # fmt: skip
"""How an attempt stands:

- asking: it is put down, and the provider is asked; whether it was is not known before it has answered
- pending: it has answered, or nobody knows what; its notification will tell
- waiting: the payment came in, and waits for a person
- done: it is credited
- declined, authentication_required, failed: nothing was charged
- unconfirmed: no notification came in time; one that comes late still counts
"""
PauseReason = Literal["failures", "authentication_required", "unconfirmed", "payment_waiting"]
Reason = Literal["cap_day", "cap_month"]
"""Why an account that is below its threshold is left so."""


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One purchase, or the try of it."""

    id: str
    """Also its key at the provider."""
    account: str
    provider: Provider
    offer: str = ""
    quantity: int = 1
    credits: int
    price: str = ""
    """In all, as decimal text; empty where only the provider knows."""
    currency: str = ""
    order: str = ""
    """Which earlier order is charged again."""
    state: AttemptState = "asking"
    began_at: int
    tries: int = 1
    ask_at: int
    """Nobody asks for it before."""
    overdue_at: int
    ended_at: int | None = None
    payment: str = ""
    """The provider's name of it."""
    reason: str = ""
    message: str = ""
    url: str = ""
    """Where the buyer can pay himself."""
    page: str = ""
    """The provider's name of that page, where it can be closed; empty once it is."""
    amount: int = 0
    """What was set in place of an offer."""


class Standing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an account's automatic top-up stands."""

    attempt: str = ""
    """The one that is under way."""
    failures: int = 0
    """In a row."""
    troubles: int = 0
    """How often in a row the provider could not be asked."""
    unconfirmed: int = 0
    """Attempts that no notification has told of."""
    retry_at: int = 0
    """Nothing is asked before."""
    held_back: Reason | None = None
    paused: PauseReason | None = None
    """Nothing is asked until somebody says so."""
    paused_at: int | None = None
    url: str = ""
    """Of a pause: where the buyer can pay, or say yes."""
    page: str = ""
    """The attempt whose page that is, where it can be closed."""
    closing: tuple[str, ...] = ()
    """Attempts whose pages are to be closed: who paid on one of them beside what follows would pay twice."""


State = Literal["off", "frozen", "paused", "in_flight", "cooling_down", "held_back", "ready"]


def state_of(settings: AutoTopUp | None, frozen: bool, standing: Standing, at: int) -> State:
    """How an account's automatic top-up stands, in a word."""
    if standing.attempt:
        return "in_flight"
    if settings is None or not settings.enabled:
        return "off"
    if frozen:
        return "frozen"
    if standing.paused:
        return "paused"
    if standing.retry_at > at:
        return "cooling_down"
    return "held_back" if standing.held_back else "ready"
