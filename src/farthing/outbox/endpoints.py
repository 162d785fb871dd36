"""Endpoints as somebody asks for them: what can be wrong with one, and how one is made. For the API and the command
line alike.
"""

import secrets
from collections.abc import Iterator, Sequence

from farthing.core.endpoints import (
    MOST_TYPES,
    NEW_BYTES,
    SigningSecret,
    WebhookEndpoint,
    secret_of,
    secret_problem,
)
from farthing.core.events import TEST, problem_of
from farthing.core.ids import NONCE_BITS, bucket_of, make_id
from farthing.core.records import Event

from . import guard

Problem = tuple[str, str]
"""The field, and what is wrong with it."""


def problems_of(
    *, url: str | None = None, types: Sequence[str] | None = None, secret: str | None = None,
    allow_private: bool = False,
) -> Iterator[Problem]:  # fmt: skip
    """All that is wrong with what is given."""
    if url is not None and (wrong := guard.problem_of(url, allow_private)):
        yield "url", wrong
    if types is not None:
        yield from _types_problems(types)
    if secret is not None and (wrong := secret_problem(secret)):
        yield "secret", wrong


def _types_problems(types: Sequence[str]) -> Iterator[Problem]:
    if not 1 <= len(types) <= MOST_TYPES:
        yield "types", f"must be 1 to {MOST_TYPES} types of events, such as balance.*"
    for place, each in enumerate(types):
        if wrong := problem_of(each):
            yield f"types/{place}", wrong


def new_secret() -> str:
    """A secret of our own making."""
    return secret_of(secrets.token_bytes(NEW_BYTES))


def new_endpoint(
    workspace: str, url: str, types: Sequence[str], secret: str, at: int, *, description: str = "",
    ordered: bool = False,
) -> WebhookEndpoint:  # fmt: skip
    """An endpoint that was found to be right."""
    return WebhookEndpoint(
        workspace=workspace, id=_new_id("whe", at, 0), url=url, types=distinct(types), description=description,
        ordered=ordered, secrets=(SigningSecret(secret),), created_at=at, updated_at=at,
    )  # fmt: skip


def distinct(types: Sequence[str]) -> tuple[str, ...]:
    """Each type once, in their order."""
    return tuple(dict.fromkeys(types))


def event_of_test(workspace: str, endpoint: str, at: int) -> Event:
    """An event that goes to one endpoint alone, to see whether it hears."""
    bucket = bucket_of(workspace, "")
    return Event(_new_id("evt", at, bucket), workspace, "", bucket, TEST, at, {"endpoint": endpoint})


def _new_id(prefix: str, at: int, bucket: int) -> str:
    return make_id(prefix, at, secrets.randbits(28), secrets.randbits(NONCE_BITS), bucket)
