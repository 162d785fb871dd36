"""References: whose a purchase is, in the few letters that travel with it to a provider and back.

An account's own id goes along as it is where it fits, so that a link that a merchant writes by hand can carry it; a
longer one is remembered under a short name.
"""

from collections.abc import Callable
from secrets import token_hex
from typing import Final

from farthing.stores.purchases import Purchases

MOST: Final = 63
"""Letters that Digistore24 has room for."""
PREFIX: Final = "co_"


def is_short(reference: str) -> bool:
    """Whether it is a short name that was given out here, as far as it shows."""
    return reference.startswith(PREFIX)


class References:
    """Gives out references, and finds whose they are."""

    def __init__(self, purchases: Purchases, now_us: Callable[[], int]) -> None:
        self._purchases = purchases
        self._now_us = now_us

    async def to(self, workspace: str, account: str) -> str:
        """What to send along for an account."""
        if len(account) <= MOST and account.isascii() and not is_short(account):
            return account
        return await self.new(workspace, account)

    async def new(self, workspace: str, account: str) -> str:
        """One that no purchase has had before."""
        id = PREFIX + token_hex(16)
        await self._purchases.add_checkout(workspace, id, account, self._now_us())
        return id

    async def account_of(self, workspace: str, reference: str) -> str:
        """Whose it is; empty where it is a short name that nobody has given out."""
        return await self._purchases.checkout(workspace, reference) if is_short(reference) else reference
