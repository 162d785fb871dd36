"""Checkpoint: where an account's books go on whose first entries are archived, and what of these is sealed.

A checkpoint carries what later entries can still change, or have changed: the account's row, live grants and holds,
charges that are owed, the subscription; and for two years each grant that was paid for, whose payment may still go
back. What nothing changes any more (spent grants, holds that have ended) keeps its row and is sealed: counted, and
summed up as a number that any change of a row changes. So a checkpoint stays as small as the account is, however long
its history.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from .records import Account, Charge, GrantTerms, Hold
from .subscription import Subscription

TAKEN_BACK_US: Final = 730 * 24 * 3_600_000_000
"""How long after a grant was paid for its payment may go back."""
BOUGHT_WITH: Final = "payment"
"""A name in the source of what was bought, whatever it counts as."""
_MODULUS: Final = 1 << 256
_json = msgspec.json.Encoder()
Sealable = GrantTerms | Hold


class Seal(Struct, frozen=True, array_like=True):
    """So many records, in no order, that nothing changes any more."""

    count: int = 0
    total: str = "0"
    """The sum of their digests, as hexadecimal digits."""

    def with_all(self, records: Iterable[Sealable]) -> "Seal":
        """The seal of these as well."""
        count, total = self.count, int(self.total, 16)
        for record in records:
            count += 1
            total = (total + _digest(record)) % _MODULUS
        return Seal(count, f"{total:x}")


def _digest(record: Sealable) -> int:
    return int.from_bytes(sha256(_json.encode(record)).digest())


class Closed(Struct, frozen=True):
    """An account as its archived entries left it."""

    account: Account
    entry: str
    """The id of the last of them."""
    grants: list[GrantTerms]
    """Those that are live, those that may be taken back, and those that entries which are not archived give back to."""
    holds: list[Hold]
    """Live ones, and those that were settled after their end by an entry that is not archived."""
    charges: list[Charge]
    """Those that are owed, and those that are given back by entries that are not archived."""
    staying: list[str]
    """Charges of which the latter is so: reports look at their entries, which stay as long as that."""
    subscription: Subscription | None
    sealed_grants: Seal
    sealed_holds: Seal

    @property
    def size(self) -> int:
        """How many records it carries."""
        return len(self.grants) + len(self.holds) + len(self.charges) + len(self.staying)


class Checkpoint(Struct, frozen=True):
    """What stands in the place of archived entries."""

    closed: Closed
    used_until: int
    """No archived entry, and no usage of one, is later than this."""
    archive: str
    """The file with the last of them."""
    made_at: int

    @property
    def number(self) -> int:
        """Of the last entry that is archived."""
        return self.closed.account.number

    @property
    def at(self) -> int:
        """When that was; all that are left are later."""
        return self.closed.account.at


class Before(NamedTuple):
    """What a decision has to know of archived entries."""

    at: int
    """When the last of them was."""
    grants: frozenset[str]
    """Those that something can still be done about."""
    holds: frozenset[str]
    """Those that lived on."""


def before(checkpoint: Checkpoint) -> Before:
    """A checkpoint as decisions see it."""
    closed = checkpoint.closed
    return Before(
        checkpoint.at,
        frozenset(g.id for g in closed.grants),
        frozenset(h.id for h in closed.holds if h.state == "live"),
    )


_closed = msgspec.json.Decoder(Closed)


def write_closed(closed: Closed) -> str:
    """The text in which it is stored."""
    return _json.encode(closed).decode()


def read_closed(text: str) -> Closed:
    """An account's state out of its text."""
    return _closed.decode(text)
