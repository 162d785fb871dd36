"""Sending: a hold is waited for when the request is about to leave. Till then the vendor's library makes the request,
and the ledger's disk writes.

Both libraries have a method that they call with each request between making and sending it, and whose errors they pass
on as they are (`_prepare_request`, of the base client that is generated for both).
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import unwrap
from typing import Any, Final

from .opening import AsyncOpening, Opening

_OPENING: Final[ContextVar[Opening | AsyncOpening | None]] = ContextVar("farthing_opening", default=None)
_PREPARE: Final = "_prepare_request"
_SENDING: Final = ("_attempt_request", "request")
"""The methods that may be what calls it."""


def waits_to_send(made: Any, asynchronous: bool) -> bool:
    """Have a client wait for holds before it sends; whether it does. Where it is not sure that the library asks, a hold
    has to be placed before it is called at all."""
    prepare = getattr(made, _PREPARE, None)
    # What goes between a client's calls and its requests was made with the client, and asks that one.
    if prepare is None or getattr(made, "_middleware", None) or not any(map(_prepares, _methods(made))):
        return False
    made.__dict__[_PREPARE] = _ahold(prepare) if asynchronous else _hold(prepare)
    return True


def _methods(made: Any) -> Iterator[Any]:
    return (getattr(type(made), name, None) for name in _SENDING)


def _prepares(method: Any) -> bool:
    code = getattr(unwrap(method), "__code__", None) if callable(method) else None
    return code is not None and _PREPARE in code.co_names


def _hold(prepare: Callable[[Any], None]) -> Callable[[Any], None]:
    def prepared(request: Any) -> None:
        prepare(request)
        if isinstance(opening := _OPENING.get(), Opening):
            opening.let_go()

    return prepared


def _ahold(prepare: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    async def prepared(request: Any) -> None:
        await prepare(request)
        if isinstance(opening := _OPENING.get(), AsyncOpening):
            await opening.let_go()

    return prepared


@contextmanager
def waiting_for(opening: Opening | AsyncOpening | None) -> Iterator[None]:
    """What is sent in this block waits for a hold."""
    before = _OPENING.set(opening)
    if opening is not None:
        opening.decided()
    try:
        yield
    finally:
        _OPENING.reset(before)
