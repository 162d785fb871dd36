"""Terms: whose a metered call is, by which policy, and what is to be said of it; by whom it was said."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct

from farthing.client.errors import FarthingError
from farthing.client.stand_ins import unreached
from farthing.core.metering import Policy

from .keys import Key, key_of
from .policy import Given, chosen
from .tab import Tab

_WORDS: Final = ("account", "provider", "service", "operation", "product", "chat")


NO_METADATA: Final[Mapping[str, Any]] = MappingProxyType({})


class Said(Struct, frozen=True, kw_only=True, dict=True):
    """What is said of calls, by `meter`, or for some of them by `metering`; None leaves it to who said it first."""

    account: str | None = None
    policy: Given = None
    provider: str | None = None
    service: str | None = None
    operation: str | None = None
    product: str | None = None
    chat: str | None = None
    metadata: Mapping[str, Any] = NO_METADATA
    guest: bool = False
    """Nobody pays: nothing is set aside, and nothing charged."""
    tab: Tab | None = None
    key: Key | None = None

    @cached_property
    def words(self) -> Mapping[str, str]:
        """What is said of each call in the same words. Kept: one `Said` is of many calls."""
        return {name: value for name in _WORDS if (value := getattr(self, name)) is not None}

    @cached_property
    def terms(self) -> "dict[str, Terms]":
        """What counts for a call of which nothing else is said, by the document of policies."""
        return {}

    @cached_property
    def is_lasting(self) -> bool:
        """Whether it says the same of each call: nobody can change it."""
        return (
            self.key is None
            and self.metadata is NO_METADATA
            and (self.policy is None or isinstance(self.policy, Policy))
        )


NOTHING_SAID: Final = Said()
_SAID: Final[ContextVar[tuple[Said, ...]]] = ContextVar("farthing_metering", default=())


class Terms(Struct, frozen=True, kw_only=True):
    """Whose call it is, and what is to be said of it."""

    account: str
    policy: Policy
    provider: str = ""
    """Who answers, where that isn't whom the library was made for."""
    service: str | None = None
    operation: str | None = None
    product: str | None = None
    chat: str | None = None
    metadata: Mapping[str, Any] = {}
    key: str = ""
    """Its name: by that it is charged once, however often it is made."""
    guest: bool = False
    """Nobody pays for it."""
    tab: Tab | None = None
    """On which it is put; then its answer does not wait for its settlement."""


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
        chat=chat, metadata=metadata or NO_METADATA, key=key_of(key),
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


def terms_of(first: Said, document: str, last: Said = NOTHING_SAID) -> Terms:
    """What counts for a call that is made now, in a workspace with that document of policies: what was said of all
    calls at first, by the blocks around it then, and of the call itself at last."""
    around = _SAID.get()
    if around or last is not NOTHING_SAID or not first.is_lasting:
        return _terms((first, *around, last), document)
    # As nearly always, while somebody waits for a first token.
    if (found := first.terms.get(document)) is None:
        found = _terms((first,), document)
        first.terms.clear()  # of the documents there were, one counts
        first.terms[document] = found
    return found


def _terms(layers: tuple[Said, ...], document: str) -> Terms:
    words: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    guest, tab, key = False, None, None
    for each in layers:
        words |= each.words
        metadata |= each.metadata
        if each.guest or each.account is not None:  # who names an account later has the call charged
            guest = each.guest
        tab = tab if each.tab is None else each.tab
        key = key if each.key is None else each.key
    if guest:
        words["account"] = ""
    elif not words.get("account"):
        raise ValueError("whose call is it? Give meter(..., account=...), or make it within `metering(account=...)`")
    policy = chosen(document, words.get("service", ""), *[each.policy for each in layers])
    number = "" if guest or key is None else key.next()
    return Terms(policy=policy, metadata=metadata, guest=guest, tab=tab, key=number, **words)


def goes_on(
    policy: Literal["as_client", "go_on", "refuse"], bears: Callable[[FarthingError], bool]
) -> Callable[[FarthingError], bool]:
    """Whether a model is called though nothing could be set aside."""
    return bears if policy == "as_client" else unreached if policy == "go_on" else _never


def _never(error: FarthingError) -> bool:
    return False
