"""Endpoints: where events go, and what they are signed with. A listener is one without an address: somebody reads the
events themselves, for as long as its lease lasts.

The secret of an endpoint is `whsec_` and the base64 of 24 to 64 bytes, as Standard Webhooks has it. It is shown when it
is made, and never again.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

MOST_ENDPOINTS: Final = 50
"""Of a workspace."""
MOST_TYPES: Final = 50
MOST_URL: Final = 2_048
PREFIX: Final = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
NEW_BYTES: Final = 32
HINT: Final = 4
"""Characters of a secret that are shown."""
OVERLAP_SECONDS: Final = 86_400
"""How long a secret that was replaced signs beside the new one."""
MOST_OVERLAP_SECONDS: Final = 30 * 86_400
MOST_SECRETS: Final = 5
"""That sign at a time: the oldest give way."""
LEASE_US: Final = 120_000_000
"""How long a listener lives that nobody keeps up: longer than it takes him to come again, whose connection broke."""

State = Literal["enabled", "disabled"]
_encode = msgspec.json.Encoder().encode


class SigningSecret(Struct, frozen=True):
    """One secret of an endpoint."""

    text: str
    until: int | None = None
    """It signs until then; None: it is the one that is valid from now on."""

    def __repr__(self) -> str:
        return f"SigningSecret(...{self.text[-HINT:]}, until={self.until})"


class WebhookEndpoint(Struct, frozen=True, kw_only=True):
    """Who is told of events."""

    workspace: str
    id: str
    url: str
    """Empty: it is a listener."""
    types: tuple[str, ...]
    """Exact types, `noun.*`, or `*`."""
    description: str = ""
    ordered: bool = False
    """Events of an account are sent one after the other."""
    secrets: tuple[SigningSecret, ...] = ()
    """The current one first."""
    state: State = "enabled"
    reason: str = ""
    """Why it is disabled: `user`, `gone`, `failing`."""
    failing_since: int | None = None
    expires_at: int | None = None
    """When the lease of a listener ends."""
    created_at: int
    updated_at: int

    def signing(self, at: int) -> tuple[str, ...]:
        """The secrets that sign at that instant, the current one first."""
        return tuple(secret.text for secret in self.secrets if secret.until is None or secret.until > at)

    def shown(self) -> dict[str, Any]:
        """What records may keep of it: all but its secrets."""
        return {
            "id": self.id, "url": self.url, "types": list(self.types), "description": self.description,
            "ordered": self.ordered, "state": self.state, "reason": self.reason,
            "secrets": [{"hint": each.text[-HINT:], "until": each.until} for each in self.secrets],
        }  # fmt: skip


# Secrets


def secret_of(random: bytes) -> str:
    """The text of a secret."""
    return PREFIX + b64encode(random).decode()


def secret_problem(text: str) -> str | None:
    """Why a text can't be a secret; it is not in the words."""
    if not text.startswith(PREFIX):
        return f"must begin with {PREFIX}"
    try:
        size = len(b64decode(text.removeprefix(PREFIX).encode(errors="replace"), validate=True))
    except ValueError:
        return f"must be {PREFIX} and the base64 of {LEAST_BYTES} to {MOST_BYTES} bytes, copied whole"
    if not LEAST_BYTES <= size <= MOST_BYTES:
        return f"must be the base64 of {LEAST_BYTES} to {MOST_BYTES} bytes, not of {size}"
    return None


def fingerprint(secret: str) -> str:
    """What tells another secret from the same again. Records keep it for ever, so it is far too short for trying out
    what a secret may have been; empty where none was given."""
    return sha256(secret.encode()).hexdigest()[:4] if secret else ""


def rotated(endpoint: WebhookEndpoint, text: str, at: int, overlap_us: int) -> WebhookEndpoint:
    """The endpoint with a new secret; the one before signs on until the overlap is over."""
    until = at + overlap_us
    kept = [
        replace(secret, until=until if secret.until is None else min(secret.until, until))
        for secret in endpoint.secrets
        if secret.text != text and (secret.until is None or secret.until > at)
    ]
    rest = tuple(secret for secret in kept if secret.until is None or secret.until > at)
    return replace(endpoint, secrets=(SigningSecret(text), *rest)[:MOST_SECRETS], updated_at=at)


# Who is told of what, as the workspace keeps it


def told_text(endpoints: Iterable[WebhookEndpoint], at: int) -> str:
    """The document `workspace.told`: id, filters and end of each that is to be told; empty where nobody is."""
    told = [
        (each.id if each.url else "", each.types, each.expires_at or 0)
        for each in endpoints
        if (each.state == "enabled" if each.url else (each.expires_at or 0) > at)
    ]
    return _encode(told).decode() if told else ""
