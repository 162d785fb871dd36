"""Terms: whose a metered call is, by which policy, and what is to be said of it; by whom it was said."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from typing import Any, Final, Literal

from msgspec import Struct

from farthing.client.errors import FarthingError
from farthing.client.stand_ins import unreached

from .call import Terms
from .keys import Key, key_of
from .policy import Given, chosen
from .tab import Tab


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
    guest: bool = False
    """Nobody pays: nothing is set aside, and nothing charged."""
    tab: Tab | None = None
    key: Key | None = None


NOTHING_SAID: Final = Said()
_SAID: Final[ContextVar[tuple[Said, ...]]] = ContextVar("farthing_metering", default=())


@contextmanager
def metering(
    *, account: str | None = None, policy: Given = None, provider: str | None = None, service: str | None = None,
    operation: str | None = None, product: str | None = None, chat: str | None = None,
    metadata: Mapping[str, Any] | None = None, key: str | None = None,
) -> Iterator[None]:  # fmt: skip
    """In this block, metered calls are for another account, by another policy, or have more to be said of them:

        with metering(account="bob", metadata={"chat": "c-1"}):
            api.chat.completions.create(...)

    It counts for what is asked in the block, in this thread or task; also where the answer is read later. A generator
    should not `yield` in such a block: till it goes on, the block counts for whoever it has given something to.

    A `key` names the calls of the block, one after the other: a job that is run again in a block with the same key, by
    whichever process, is never charged twice for a call. What was charged is not asked again: that raises `HoldEnded`.
    """
    said = Said(
        account=account, policy=policy, provider=provider, service=service, operation=operation, product=product,
        chat=chat, metadata=metadata or {}, key=key_of(key),
    )  # fmt: skip
    with saying(said):
        yield


@contextmanager
def saying(said: Said) -> Iterator[None]:
    """The same, of all that can be said."""
    mine = copy(said)  # told from what another block says in the same words
    _SAID.set((*_SAID.get(), mine))
    try:
        yield
    finally:
        # A generator that stops within a block may end it after blocks that were begun later, or in another context.
        _SAID.set(tuple(each for each in _SAID.get() if each is not mine))


def is_guests(layers: tuple[Said, ...]) -> bool:
    """Whether a call is free: who names an account later has it charged."""
    last = next((each for each in reversed(layers) if each.guest or each.account is not None), None)
    return last is not None and last.guest


def terms_of(first: Said, document: str, last: Said = NOTHING_SAID) -> Terms:
    """What counts for a call that is made now, in a workspace with that document of policies: what was said of all
    calls at first, by the blocks around it then, and of the call itself at last."""
    layers = (first, *_SAID.get(), last)
    names = ("account", "provider", "service", "operation", "product", "chat")
    words = {name: value for each in layers for name in names if (value := getattr(each, name)) is not None}
    guest = is_guests(layers)
    if guest:
        words["account"] = ""
    elif not words.get("account"):
        raise ValueError("whose call is it? Give meter(..., account=...), or make it within `metering(account=...)`")
    policy = chosen(document, words.get("service", ""), *(each.policy for each in layers))
    metadata = {name: value for each in layers for name, value in each.metadata.items()}
    tab = next((each.tab for each in reversed(layers) if each.tab is not None), None)
    key = "" if guest else next((each.key.next() for each in reversed(layers) if each.key is not None), "")
    return Terms(policy=policy, metadata=metadata, guest=guest, tab=tab, key=key, **words)


def goes_on(
    policy: Literal["as_client", "go_on", "refuse"], bears: Callable[[FarthingError], bool]
) -> Callable[[FarthingError], bool]:
    """Whether a model is called though nothing could be set aside."""
    return {"as_client": bears, "go_on": unreached, "refuse": lambda error: False}[policy]
