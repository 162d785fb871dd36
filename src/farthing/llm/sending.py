"""Sending: a hold is waited for when the request is about to leave. Till then the vendor's library makes the request,
and the ledger's disk writes.

Both libraries have a method that they call with each request between making and sending it, and whose errors they pass
on as they are (`_prepare_request`, of the base client that is generated for both).
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import FunctionType
from typing import Any, Final

from .opening import AsyncOpening, Opening

_OPENING: Final[ContextVar[Opening | AsyncOpening | None]] = ContextVar("farthing_opening", default=None)
_PREPARE: Final = "_prepare_request"
_SENDING: Final = ("post", "request", "_request", "_attempt_request")
"""The methods on the way to a request, of which one calls it."""
_BASE: Final = "._base_client"
"""The module of both libraries that has them."""


def waits_to_send(made: Any, asynchronous: bool) -> bool:
    """Have a client wait for holds before it sends; whether it does. Where it is not sure that its own library asks,
    and in the same thread or task, a hold has to be placed before it is called at all."""
    prepare = getattr(made, _PREPARE, None)
    # What goes between a client's calls and its requests was made with the client, and asks that one. So does what
    # somebody has put in the place of its methods.
    if prepare is None or getattr(made, "_middleware", None) or not made.__dict__.keys().isdisjoint(_SENDING):
        return False
    methods = [method for name in _SENDING if (method := getattr(type(made), name, None)) is not None]
    if not all(map(_is_the_librarys, methods)) or not any(map(_prepares, methods)):
        return False
    made.__dict__[_PREPARE] = _ahold(prepare) if asynchronous else _hold(prepare)
    return True


def _is_the_librarys(method: Any) -> bool:
    return isinstance(method, FunctionType) and method.__globals__.get("__name__", "").endswith(_BASE)


def _prepares(method: FunctionType) -> bool:
    return _PREPARE in method.__code__.co_names


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


class waiting_for:
    """What is sent in this block waits for a hold."""

    def __init__(self, opening: Opening | AsyncOpening | None) -> None:
        self._opening = opening

    def __enter__(self) -> None:
        self._before = _OPENING.set(self._opening)
        try:
            if self._opening is not None:
                self._opening.decided()
        except BaseException:
            _OPENING.reset(self._before)
            raise

    def __exit__(self, *of: object) -> None:
        _OPENING.reset(self._before)
