"""Farthing: an exact, durable credit ledger for AI products.

    import farthing

    with farthing.connect("sqlite:///credits.db") as client:
        client.grant("alice", 100)
        client.charge("alice", "2.5", operation="chat")

`connect` and `aconnect` open a ledger in this process or behind a server; what can go wrong is a `FarthingError`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farthing.client import AsyncClient, ChargeItem, Client, Usage, aconnect, connect
    from farthing.client.errors import (
        AccountNotFound,
        ApiError,
        ClientClosed,
        ConnectError,
        FarthingError,
        Forked,
        Frozen,
        HoldEnded,
        HoldNotFound,
        InsufficientCredits,
        Invalid,
        KeyConflict,
        NotFound,
        NotHere,
        NotPriced,
        RateLimited,
        RefundTooLarge,
        SpendLimit,
        Unavailable,
        UnknownModel,
        UnknownOutcome,
        WrongLoop,
    )
    from farthing.clock import VirtualClock
    from farthing.formats import format_cost, format_tokens

__all__ = [
    "AccountNotFound",
    "ApiError",
    "AsyncClient",
    "ChargeItem",
    "Client",
    "ClientClosed",
    "ConnectError",
    "FarthingError",
    "Forked",
    "Frozen",
    "HoldEnded",
    "HoldNotFound",
    "InsufficientCredits",
    "Invalid",
    "KeyConflict",
    "NotFound",
    "NotHere",
    "NotPriced",
    "RateLimited",
    "RefundTooLarge",
    "SpendLimit",
    "Unavailable",
    "UnknownModel",
    "UnknownOutcome",
    "Usage",
    "VirtualClock",
    "WrongLoop",
    "aconnect",
    "connect",
    "format_cost",
    "format_tokens",
]


def __getattr__(name: str) -> Any:
    """What is loaded once it is asked for: all of the above, and `__version__`, whose lookup costs a command 40 ms."""
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from farthing import client, clock, formats
    from farthing.client import errors

    found = next(getattr(each, name) for each in (client, errors, formats, clock) if hasattr(each, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("farthing")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"
