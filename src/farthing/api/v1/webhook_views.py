"""Words of webhooks: what is sent to make and change one, and what is shown of it."""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from farthing.core.endpoints import MOST_OVERLAP_SECONDS, MOST_TYPES, MOST_URL, OVERLAP_SECONDS
from farthing.stores.endpoints import ShownEndpoint

from .administration import Answered, Asked
from .wire import Description, Time, write_time

MOST_SHOWN: Final = 20
_WHSEC: Final = "^whsec_[A-Za-z0-9+/]{32,88}={0,2}$"
Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MOST_URL,
        pattern="^[!-~]+$",
        description="Where events are sent: `https://`, at a public address, on port 443 or one from 1024 on. Where "
        "the server allows private addresses, for tests, also `http://` and any port.",
    ),
]
Types = Annotated[
    list[Annotated[str, Meta(pattern=r"^(\*|[a-z_]+\.(\*|[a-z_]+))$")]],
    Meta(
        min_length=1,
        max_length=MOST_TYPES,
        description="What is sent: exact types, all of a noun (`charge.*`), or all there are (`*`).",
    ),
]
Secret = Annotated[
    str,
    Meta(
        pattern=_WHSEC,
        description="What messages are signed with, as Standard Webhooks has it: `whsec_` and the base64 of 24 to 64 "
        "bytes. Left out, one is made.",
        extra_json_schema={"writeOnly": True},
    ),
]
Ordered = Annotated[
    bool, Meta(description="Events of an account come one after the other: the next waits for the one before.")
]
Overlap = Annotated[int, Meta(ge=0, le=MOST_OVERLAP_SECONDS, description="How long the old secret signs as well.")]


class WebhookRequest(Asked):
    """An endpoint to be made."""

    url: Url
    types: Types
    description: Description | None = None
    ordered: Ordered | None = None
    secret: Secret | None = None


class WebhookChanges(Asked):
    """What is to become of an endpoint; what is left out stays."""

    url: Url | None = None
    types: Types | None = None
    description: Description | None = None
    ordered: Ordered | None = None
    enabled: Annotated[bool | None, Meta(description="Whether it is sent anything.")] = None


class RotateWebhookRequest(Asked):
    """A secret to be replaced."""

    secret: Secret | None = None
    overlap_seconds: Overlap | None = OVERLAP_SECONDS


class DeleteWebhookRequest(Asked):
    """An endpoint to be forgotten."""


class TestWebhookRequest(Asked):
    """An endpoint that is to be sent an event of a test."""


class SecretHint(Struct):
    """A secret that signs; never the secret itself."""

    hint: Annotated[str, Meta(description="Its last characters.")]
    until: Annotated[Time | None, Meta(description="It signs until then; null: it is the current one.")]


class WebhookView(Answered, kw_only=True):
    """An endpoint."""

    id: str
    url: str
    types: list[str]
    description: str | None
    ordered: bool
    state: Literal["enabled", "disabled"]
    reason: Annotated[
        Literal["user", "failing", "gone"] | None,
        Meta(
            description="Why it is disabled: somebody said so, nothing got through for five days, or it answered 410."
        ),
    ]
    failing_since: Annotated[Time | None, Meta(description="Since then nothing got through.")]
    secrets: list[SecretHint]
    created_at: Time
    updated_at: Time


class WaitingView(Struct):
    """An event that is still to be sent."""

    event: str
    account: str | None
    attempts: Annotated[int, Meta(description="So many tries were made.")]
    next_at: Annotated[Time | None, Meta(description="Null: it waits for another one of its account.")]


class WholeWebhookView(WebhookView, kw_only=True):
    """An endpoint, and what waits for it."""

    waiting: Annotated[list[WaitingView], Meta(description=f"The next {MOST_SHOWN} that are still to be sent.")]


class MadeWebhookView(WebhookView, kw_only=True):
    """An endpoint with a new secret."""

    secret: Annotated[
        str | None,
        Meta(description="What it is signed with: shown this once. Null in a repeat, and in a dry run."),
    ]


class TestView(Answered, kw_only=True):
    """An event that is on its way."""

    webhook: str
    event: Annotated[str, Meta(description="Its id, which the receiver is told as `webhook-id`.")]


def webhook_fields(e: ShownEndpoint, at: int) -> dict[str, Any]:
    """An endpoint on the wire."""
    secrets = [each for each in e.secrets if each["until"] is None or each["until"] > at]
    return {
        "id": e.id, "url": e.url, "types": list(e.types), "description": e.description or None, "ordered": e.ordered,
        "state": e.state, "reason": e.reason or None, "failing_since": time_if(e.failing_since),
        "secrets": [SecretHint(each["hint"], time_if(each["until"])) for each in secrets],
        "created_at": write_time(e.created_at), "updated_at": write_time(e.updated_at),
    }  # fmt: skip


def time_if(at: int | None) -> str | None:
    """An instant on the wire, where there is one."""
    return None if at is None else write_time(at)
