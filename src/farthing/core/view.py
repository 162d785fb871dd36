"""View: the figures that people ask for, read off an account."""

from hashlib import sha256
from typing import Final, Literal

import msgspec
from msgspec import Struct

from .burn import Attributes, free, out_of_scope
from .records import Account, AccountSettings, GrantTerms, WorkspaceSettings

GrantState = Literal["live", "spent", "lapsed", "voided"]
ENTRY_KINDS: Final = (
    *("open", "settings", "grant", "void", "charge", "hold", "extend", "settle", "release", "refund", "adjust", "set"),
    *("subscribe", "renew", "unsubscribe", "resume", "change", "end", "import"),
    *("clawback", "dispute", "close", "lapse", "expire", "refusal"),
)
"""What an entry may be: the kinds of the commands, and what time or a refusal has put down."""


def available(account: Account) -> int:
    """What a request without scope may take now; below zero after debt, a void or a lowered allowance."""
    scoped_free = free([g for g in account.grants if g.scope])
    return account.balance - account.held + account.settings.allowance - scoped_free


def available_to(account: Account, operation: str, attributes: Attributes) -> int:
    """What a request of this kind may take now, out of grants with a scope that it matches too."""
    everything = account.balance - account.held + account.settings.allowance
    return everything - out_of_scope(account.grants, operation, attributes)


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


class GrantView(Struct, frozen=True):
    """A grant with what has become of it."""

    terms: GrantTerms
    remaining: int
    held: int
    """Of what remains, what holds have set aside."""
    gone: int
    """What lapsed or was written off."""
    state: GrantState

    @property
    def spent(self) -> int:
        """What charges took of it, less what came back; and what was put together with the rests of other periods."""
        return self.terms.amount - self.gone - self.remaining


def view_grant(terms: GrantTerms, account: Account, unbooked: int, at: int) -> GrantView:
    """A grant of the history beside its line in the account's row; `unbooked` has gone and is not in the history yet.

    What is empty was spent, unless its time ran out on some of it. A line that holds have set aside lives on."""
    line = next((g for g in account.grants if g.id == terms.id), None)
    remaining, held = (line.remaining, line.held) if line else (0, 0)
    gone = terms.gone + unbooked
    over = terms.expires_at is not None and terms.expires_at <= at
    state: GrantState = "voided" if terms.voided else "live" if remaining else "lapsed" if over and gone else "spent"
    return GrantView(terms, remaining, held, gone, state)


def etag(settings: AccountSettings | WorkspaceSettings) -> str:
    """What stands for this very state of settings: another state has another."""
    return sha256(msgspec.json.encode(settings)).hexdigest()[:32]
