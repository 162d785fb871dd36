"""Twice: a call that a library's hook tells of, and that its client is metered for as well, is charged once.

Where the hook is told in the context in which the model is asked, and of the first piece of its answer, the same
question asked meanwhile is the hook's, as it was there first: it has the hold, and knows whose the call is. A client
below neither holds nor charges. What asks something else is charged: nothing is free by mistake.

Elsewhere both hold before anybody can know. Then the client has charged what came over the wire, and the hook gives its
hold back at the end, where it is known by then: it was told later where the client was asked, or the same was asked, or
the answer has the same id.
"""

import logging
from collections import deque
from contextvars import ContextVar
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from .call import ModelCall
    from .reading import Asked

_LOG: Final = logging.getLogger("farthing.llm")
_SEVERAL: Final = 1_000


class Making:
    """A hook's call, from when it is held for until its answer begins to come. It counts in the context in which it is
    made, and no longer than its hold lives: of some runs no end is told."""

    some: ClassVar[bool] = False
    """Whether there was ever one. Where no library has a hook, calls lose no time by it."""

    def __init__(self, call: "ModelCall", *, claims: bool = True) -> None:
        Making.some = True
        self.claims = claims
        """Whether the same question, asked meanwhile, is its own; else that is found when it is over."""
        self.charged = ""
        """The account of a client below it that has it charged; known when it is over."""
        self._asked: Asked | None = call.asked
        self._below: ModelCall | None = None
        self._since = monotonic()
        self._until = self._since + call.policy.hold_seconds
        _MAKING.set((*filter(_lasts, _MAKING.get()), self))

    @property
    def lasts(self) -> bool:
        """Whether its model may still be about to be asked."""
        return monotonic() < self._until

    def asks(self, asked: "Asked") -> bool:
        """Whether that is its question."""
        mine = self._asked
        return mine is not None and (asked.model, asked.texts) == (mine.model, mine.texts)

    def meets(self, call: "ModelCall") -> None:
        """A client is asked that charges; whether it is this very call."""
        if self.asks(call.asked):
            self._below = call

    def over(self) -> None:
        """Its model was asked, or is not going to be. Whoever reads the answer asks for things of his own."""
        if not self._until:
            return
        account, model, at = _ASKED.get()
        # Its question may have been put in other words; another model is another question.
        if self.claims and at >= self._since and self._asked is not None and model == self._asked.model:
            self.charged = account
        if self._below is not None and self._below.how != "refused":
            self.charged = self._below.terms.account
        self._until, self._asked, self._below = 0.0, None, None  # contexts live long


def _lasts(making: Making) -> bool:
    return making.lasts


_MAKING: Final[ContextVar[tuple[Making, ...]]] = ContextVar("farthing_making", default=())
_ASKED: Final[ContextVar[tuple[str, str, float]]] = ContextVar("farthing_asked", default=("", "", 0.0))
"""For whom a metered client was asked last, which model, and when."""


def is_a_hooks(asked: "Asked") -> bool:
    """Whether what is asked now, in this context, is charged by a hook above."""
    return Making.some and any(each.claims and each.lasts and each.asks(asked) for each in _MAKING.get())


def asked(call: "ModelCall") -> None:
    """A metered client is asked; hooks that are told of it only later find that here."""
    if Making.some and not call.terms.guest:
        _ASKED.set((call.terms.account, call.asked.model, monotonic()))
        for making in filter(_lasts, _MAKING.get()):
            making.meets(call)


_ENDED: Final[deque[tuple[str, str, int | None, float]]] = deque(maxlen=_SEVERAL)
"""The last answers that were charged: the id, the account, the tokens as the provider tells them, and when it was."""


def ended(call: "ModelCall") -> None:
    """A call is over, and is charged. May be found in the middle of anything: it takes no lock."""
    if Making.some and call.id and not call.terms.guest:
        _ENDED.append((call.id, call.terms.account, call.used.output_tokens, monotonic()))


def charged_below(call: "ModelCall", since: float, making: Making | None) -> bool:
    """Whether the account of a hook's call is charged for that very answer by a client since it was begun. Some servers
    give the same ids again and again: then the tokens tell answers apart."""
    tokens = call.used.output_tokens
    accounts = {
        account for id, account, told, at in list(_ENDED)
        if id == call.id and at >= since and (tokens is None or told is None or told == tokens)
    }  # fmt: skip
    if making is not None and making.charged:
        accounts.add(making.charged)
    if accounts:
        _tell()
    return call.terms.account in accounts


@cache
def _tell() -> None:
    # Once: it is so for each call of a program, or for none.
    _LOG.warning(
        "a model call was held for twice: by a hook of its library, and by its client, which is metered too. An account"
        " was charged for it once; two different ones, each. Use the one or the other"
    )  # fmt: skip
