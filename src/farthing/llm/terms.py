"""Terms: whose a metered call is, by which policy, and what is to be said of it; by whom it was said."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal

from msgspec import Struct

from farthing.client.errors import FarthingError
from farthing.client.stand_ins import unreached

from .call import Terms
from .policy import Given, chosen


class Said(Struct, frozen=True, kw_only=True):
    """What is said of calls, by `meter`, or for some of them by `metering`; None leaves it to who said it first."""

    account: str | None = None
    policy: Given = None
    provider: str | None = None
    service: str | None = None
    operation: str | None = None
    product: str | None = None
    chat: str | None = None
    metadata: Mapping[str, Any] = {}


_SAID: Final[ContextVar[tuple[Said, ...]]] = ContextVar("farthing_metering", default=())


@contextmanager
def metering(
    *, account: str | None = None, policy: Given = None, provider: str | None = None, service: str | None = None,
    operation: str | None = None, product: str | None = None, chat: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[None]:  # fmt: skip
    """In this block, metered calls are for another account, by another policy, or have more to be said of them:

        with metering(account="bob", metadata={"chat": "c-1"}):
            api.chat.completions.create(...)

    It counts for what is asked in the block, in this thread or task; also where the answer is read later."""
    said = Said(
        account=account, policy=policy, provider=provider, service=service, operation=operation, product=product,
        chat=chat, metadata=metadata or {},
    )  # fmt: skip
    token = _SAID.set((*_SAID.get(), said))
    try:
        yield
    finally:
        _SAID.reset(token)


def terms_of(first: Said, document: str) -> Terms:
    """What counts for a call that is made now, in a workspace with that document of policies."""
    layers = (first, *_SAID.get())
    names = ("account", "provider", "service", "operation", "product", "chat")
    words = {name: value for each in layers for name in names if (value := getattr(each, name)) is not None}
    if not words.get("account"):
        raise ValueError("whose call is it? Give meter(..., account=...), or make it within `metering(account=...)`")
    policy = chosen(document, words.get("service", ""), *(each.policy for each in layers))
    metadata = {name: value for each in layers for name, value in each.metadata.items()}
    return Terms(policy=policy, metadata=metadata, **words)


def goes_on(
    policy: Literal["as_client", "go_on", "refuse"], bears: Callable[[FarthingError], bool]
) -> Callable[[FarthingError], bool]:
    """Whether a model is called though nothing could be set aside."""
    return {"as_client": bears, "go_on": unreached, "refuse": lambda error: False}[policy]
