"""View: the figures that people ask for, read off an account."""

from .burn import free
from .records import Account


def available(account: Account) -> int:
    """What a request without scope may take now; below zero after debt, a void or a lowered allowance."""
    scoped_free = free([g for g in account.grants if g.scope])
    return account.balance - account.held + account.settings.allowance - scoped_free


def unscoped_balance(account: Account) -> int:
    """Live unscoped grants less debt, held credits included: what the dialects call the balance."""
    return account.balance - sum(g.remaining for g in account.grants if g.scope)


def scoped(account: Account) -> list[tuple[tuple[str, ...], int]]:
    """Each scope and the free credits that only its requests may take."""
    sums: dict[tuple[str, ...], int] = {}
    for grant in account.grants:
        if grant.scope:
            sums[grant.scope] = sums.get(grant.scope, 0) + grant.remaining - grant.held
    return list(sums.items())


def next_expiration(account: Account) -> int | None:
    """When the next of its credits lapse."""
    return min((g.expires_at for g in account.grants if g.expires_at is not None), default=None)
