"""Metering model calls: credits are held before a model is asked, and what was used is charged after, whatever becomes
of the answer, of who asked for it, or of the ledger.

Nothing of this is loaded by `import farthing`. A vendor is one file, which says where usage stands in his answers; it
imports nothing of his library.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asgi import MeteredApp
    from .block import AsyncMetered, Metered, metered
    from .policy import Policy
    from .refusing import Refusal
    from .settling import asettled, settled
    from .tab import Tab
    from .terms import metering
    from .used import Used
    from .wrapping import meter

__all__ = [
    "AsyncMetered", "Metered", "MeteredApp", "Policy", "Refusal", "Tab", "Used", "asettled", "meter", "metered",
    "metering", "settled",
]  # fmt: skip
_HOMES = {
    "AsyncMetered": "block", "Metered": "block", "metered": "block", "meter": "wrapping", "metering": "terms",
    "Policy": "policy", "Used": "used", "settled": "settling", "asettled": "settling", "MeteredApp": "asgi",
    "Refusal": "refusing", "Tab": "tab",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    # A reader of usage alone needs neither a client nor wrapt.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from farthing.extras import missing

    try:
        home = import_module(f".{_HOMES[name]}", __name__)
    except ImportError as error:
        if (sentence := missing(error)) is None:
            raise
        raise ImportError(sentence, name=error.name) from error
    return getattr(home, name)
