"""Burn order: which grant pays first. One total order, down to the last tie; grants are kept sorted by it."""

from bisect import insort
from collections.abc import Iterator
from functools import lru_cache

from .records import Grant

_NEVER = 1 << 62
_FIELDS = ("operation", "service", "model", "product")

Attributes = dict[str, str]


def order(grant: Grant) -> tuple[bool, int, int, bool, int, str]:
    """The key of the order: scoped first, priority, sooner expiry, promotional before paid, older, id."""
    expires = _NEVER if grant.expires_at is None else grant.expires_at
    return (not grant.scope, grant.priority, expires, grant.category == "paid", grant.created_at, grant.id)


def insert(grants: list[Grant], grant: Grant) -> None:
    """Put a grant in its place."""
    insort(grants, grant, key=order)


def eligible(grant: Grant, operation: str, attributes: Attributes) -> bool:
    """Whether the grant may pay for a request: it has no scope, or one of its patterns matches."""
    return not grant.scope or any(_matches(p, operation, attributes) for p in grant.scope)


def _matches(pattern: str, operation: str, attributes: Attributes) -> bool:
    field, glob = _split(pattern)
    value = operation if field == "operation" else attributes.get(field, "")
    if not value:
        return False
    return value.startswith(glob[:-1]) if glob.endswith("*") else value == glob


@lru_cache(maxsize=4096)
def _split(pattern: str) -> tuple[str, str]:
    # Model ids may contain ':', so only a known field before the first one counts; else it is an operation.
    field, colon, glob = pattern.partition(":")
    return (field, glob) if colon and field in _FIELDS else ("operation", pattern)


def free(grants: list[Grant]) -> int:
    """Credits in these grants that no hold pins."""
    return sum(g.remaining - g.held for g in grants)


def out_of_scope(grants: list[Grant], operation: str, attributes: Attributes) -> int:
    """Free credits that this request may not burn."""
    # Scoped grants stand first: without one at the head there is none.
    if not grants or not grants[0].scope:
        return 0
    return free([g for g in grants if not eligible(g, operation, attributes)])


def plan(grants: list[Grant], amount: int, operation: str, attributes: Attributes) -> Iterator[tuple[int, int]]:
    """Where the amount comes from: (position, credits) of free grants in burn order, until it or they run out."""
    for position, grant in enumerate(grants):
        if amount <= 0:
            return
        take = min(grant.remaining - grant.held, amount)
        if take > 0 and eligible(grant, operation, attributes):
            yield position, take
            amount -= take
