"""Calls: what every endpoint of the login service has in common."""

from typing import Any, Final

from farthing.identity.permissions import LOGIN, scope_of

from ..endpoint import Endpoint

OPEN: Final = ""
"""The scope of a call that is for who has no token yet; everybody has it."""


def call(operation_id: str, **words: Any) -> Endpoint:
    """An endpoint whose least role stands in the table of permissions; those that do not are open to all."""
    role = LOGIN.get(operation_id)
    scope = OPEN if role is None else scope_of(role)
    return Endpoint(operation_id=operation_id, scope=scope, own=True, codes=frozenset(), **words)
