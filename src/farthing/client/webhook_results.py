"""Results: where events are sent, and what became of them."""

from datetime import datetime

from msgspec import Struct

from .forms import Result, Written


class SecretHint(Result, frozen=True, kw_only=True):
    """A secret that signs."""

    hint: str
    """Its last characters."""
    until: datetime | None
    """It signs until then; None: it is the current one."""


class WaitingEvent(Result, frozen=True, kw_only=True):
    """An event that is still to be sent."""

    event: str
    account: str | None
    attempts: int
    next_at: datetime | None
    """None: it waits for another one of its account."""


class Webhook(Written, frozen=True, kw_only=True):
    """Where events are sent."""

    id: str
    url: str
    types: list[str]
    description: str | None
    ordered: bool
    state: str
    """`enabled` or `disabled`."""
    reason: str | None
    """Why it is disabled: `user`, `failing` or `gone`."""
    failing_since: datetime | None
    secrets: list[SecretHint]
    created_at: datetime
    updated_at: datetime
    waiting: list[WaitingEvent] | None = None
    """Of one that was asked for by itself: what is still to be sent."""


class MadeWebhook(Webhook, frozen=True, kw_only=True):
    """The same with a new secret."""

    secret: str | None
    """What messages are signed with; it is shown this once."""

    def __repr__(self) -> str:
        # Results are written to logs.
        return Struct.__repr__(self).replace(self.secret, "whsec_...") if self.secret else Struct.__repr__(self)


class WebhookTest(Written, frozen=True, kw_only=True):
    """An event of a test that is on its way."""

    webhook: str
    event: str


class Delivery(Result, frozen=True, kw_only=True):
    """One try to deliver an event."""

    event: str
    type: str
    attempt: int
    at: datetime
    outcome: str
    """`delivered`; `failed`: it is tried again; `given_up`."""
    status: int | None
    detail: str | None
    millis: int


class Redelivered(Written, frozen=True, kw_only=True):
    """What is sent again."""

    webhook: str
    events: int
