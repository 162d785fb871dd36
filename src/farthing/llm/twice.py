"""Twice: a call that a library's hook tells of, and whose client is metered as well, is charged by both. That is told
in the log, and no more: whichever of the two were left out for a reason that turns out wrong would be given away.
"""

import logging
from contextvars import ContextVar
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from .call import ModelCall

_LOG: Final = logging.getLogger("farthing.llm")


class Making:
    """A hook's call, from when it is held for until its answer comes, in the context in which it is made. Of some runs
    no end is told: it lasts no longer than its hold."""

    some: ClassVar[bool] = False
    """Whether there was ever one. Where no library has a hook, calls lose no time by it."""

    def __init__(self, call: "ModelCall") -> None:
        Making.some = True
        self._asked = call.asked
        self._until = monotonic() + call.policy.hold_seconds
        _MAKING.set((*(each for each in _MAKING.get() if each.lasts), self))

    @property
    def lasts(self) -> bool:
        """Whether its model may still be about to be asked."""
        return monotonic() < self._until

    def asks(self, call: "ModelCall") -> bool:
        """Whether a client is asked the same now."""
        return self.lasts and (call.asked.model, call.asked.texts) == (self._asked.model, self._asked.texts)

    def over(self) -> None:
        """Its model was asked, or is not going to be."""
        self._until = 0.0


_MAKING: Final[ContextVar[tuple[Making, ...]]] = ContextVar("farthing_making", default=())


def asked(call: "ModelCall") -> None:
    """A metered client is asked."""
    if Making.some and not call.terms.guest and any(making.asks(call) for making in _MAKING.get()):
        _tell()


@cache
def _tell() -> None:
    # Once: it is so for each call of a program, or for none.
    _LOG.warning(
        "a model call is charged twice: by a hook of its library, and by its client, which is metered too. Use the one"
        " or the other"
    )  # fmt: skip
