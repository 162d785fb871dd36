"""Calls: what every endpoint of the login service has in common."""

from typing import Any, Final

from farthing.identity.permissions import FOR_ALL, LOGIN, scope_of

from ..endpoint import Endpoint

OPEN: Final = ""
"""The scope of a call that is for who has no token yet; everybody has it."""


def call(operation_id: str, **words: Any) -> Endpoint:
    """An endpoint whose least role stands in the table of permissions, or that it is for all."""
    scope = OPEN if operation_id in FOR_ALL else scope_of(LOGIN[operation_id])
    return Endpoint(operation_id=operation_id, scope=scope, own=True, codes=frozenset(), **words)
