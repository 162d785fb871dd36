"""Books: what a provider says that has been paid and has gone back, asked of the provider itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from farthing.core.catalogue import Provider
from farthing.core.purchases import Receipt
from farthing.core.reconcile import Back, Contest, Theirs
from farthing.core.records import Workspace

from .clients import Clients


class Books(Protocol):
    """A provider's books."""

    @property
    def provider(self) -> Provider:
        """Whose they are."""

    def told(self, since: int, until: int) -> AsyncIterator[Theirs | Back | Contest]:
        """Payments of a time; and what has gone back and was disputed from then on until now, of whatever payment."""

    async def look(self, handle: str) -> Theirs | None:
        """A payment by what a refund or a dispute names it."""

    async def find(self, receipt: Receipt) -> Theirs | None:
        """The payment of a receipt, whenever it was made; None where the provider has none."""

    async def is_ours(self, workspace: str, theirs: Theirs) -> bool:
        """Whether a payment of which nothing is known here is any business of this workspace's, as far as the provider
        knows."""


@asynccontextmanager
async def open_books(
    clients: Clients, workspace: Workspace, provider: str, now_us: int
) -> AsyncIterator[Books]:  # fmt: skip
    """The books of a provider that the workspace speaks with; what goes wrong meanwhile is a `ProviderTrouble`."""
    if provider == "stripe":
        from .stripe.books import StripeBooks

        async with clients.stripe(workspace) as (stripe, _):
            yield StripeBooks(stripe, now_us)
    else:
        from .digistore24.books import Digistore24Books

        async with clients.digistore24(workspace) as (digistore24, settings):
            yield Digistore24Books(digistore24, now_us, settings.product_ids)
