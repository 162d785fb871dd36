"""All inboxes, each a line."""

from farthing.stores.providers import Providers

from .clients import Clients
from .digistore24.inbox import Digistore24Inbox
from .inbox import Inbox
from .stripe.inbox import StripeInbox


def make_inboxes(providers: Providers, clients: Clients) -> dict[str, Inbox]:
    """One for each provider."""
    inboxes: tuple[Inbox, ...] = (
        Digistore24Inbox(providers),
        StripeInbox(clients),
    )
    return {inbox.provider: inbox for inbox in inboxes}
