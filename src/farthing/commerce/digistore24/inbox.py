"""The inbox for Digistore24's notifications (IPN): signed with the passphrase of the connection, and nothing in them
tells when. What comes again is known by its words."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from farthing.core.catalogue import Provider
from farthing.core.facts import AnyFact
from farthing.core.providers import Digistore24Settings, ProviderSettings
from farthing.core.records import Workspace
from farthing.stores.providers import Providers

from ..inbox import NotOurs, NotTaken, Sent
from ..secrets import usable
from .facts import facts_of
from .notification import (
    ANSWER,
    MOST_BYTES,
    BadNotification,
    BadSignature,
    Event,
    Notification,
    notification_of,
    read_fields,
    signed_fields,
)

UNREADABLE: Final = "unreadable"
"""The kind of a message that is signed, and which this version can't read: a later one may."""


class Digistore24Inbox:
    """Takes in notifications."""

    provider: Provider = "digistore24"
    most_bytes = MOST_BYTES
    answer = ANSWER
    looks = True

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    async def opened(
        self, settings: ProviderSettings, workspace: Workspace, body: bytes, headers: Mapping[bytes, bytes], now_us: int
    ) -> Sent | None:  # fmt: skip
        """The notification, once its signature is found right; None for the test of a connection."""
        assert isinstance(settings, Digistore24Settings), "settings are of their provider"
        # The API key is not needed here, and may be anywhere.
        passphrase = usable(replace(settings, api_key=""), workspace.mode).passphrase
        try:
            found = signed_fields(body, passphrase)
        except BadNotification as error:
            raise NotTaken(400, str(error)) from error
        except BadSignature as error:
            raise NotTaken(403, str(error)) from error
        try:
            kind = notification_of(found).event
        except BadNotification:
            kind = UNREADABLE
        return None if kind == Event.CONNECTION_TEST else Sent(self.provider, kind, body)

    async def facts(self, workspace: Workspace, body: bytes, at: int) -> Sequence[AnyFact]:
        """What a notification says; it has to be of the merchant and about the products that the settings name."""
        told = notification_of(read_fields(body))
        kept = await self._providers.get(workspace.id, self.provider)
        if kept is not None:
            assert isinstance(kept.settings, Digistore24Settings), "settings are of their provider"
            require_ours(told, kept.settings)
        return facts_of(told, at)

    async def is_ours(self, workspace: Workspace, payment: str) -> bool:
        """Each message says by itself whose it is."""
        return True


def require_ours(told: Notification, settings: Digistore24Settings) -> None:
    """Refuse what another merchant sends who knows the passphrase, and what is about products that are not ours."""
    if settings.merchant_id and told.merchant_id != settings.merchant_id:
        raise NotOurs(f"it is of merchant {told.merchant_id or '?'}, and not of {settings.merchant_id}")
    if settings.product_ids and told.product_id and told.product_id not in settings.product_ids:
        raise NotOurs(f"product {told.product_id} is none of those in product_ids")
