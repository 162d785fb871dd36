"""The inbox for Stripe's events: signed over the bytes as they came and the time at which they were sent, by each of
the secrets that the endpoint has."""

import asyncio
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from farthing.core.catalogue import Provider
from farthing.core.facts import AnyFact
from farthing.core.providers import ProviderSettings, StripeSettings
from farthing.core.records import Workspace

from ..clients import Clients
from ..inbox import NotTaken, Sent
from ..secrets import usable
from ..troubles import ProviderTrouble
from .errors import NotAnEvent
from .events import KINDS, MOST_BYTES, read_event, verify
from .facts import asks_for, facts_of, is_named
from .orders import WORKSPACE
from .whose import is_ours

SIGNATURE: Final = b"stripe-signature"
UNREADABLE: Final = "unreadable"
"""The kind of an event that is signed, and which this version can't read: a later one may."""


class _Label(msgspec.Struct):
    id: str
    type: str


class StripeInbox:
    """Takes in events."""

    provider: Provider = "stripe"
    most_bytes = MOST_BYTES
    answer = b"OK"
    looks = False

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._library: Any = None

    async def opened(
        self, settings: ProviderSettings, workspace: Workspace, body: bytes, headers: Mapping[bytes, bytes], now_us: int
    ) -> Sent | None:  # fmt: skip
        """The event, once its signature is found right; None for what Farthing has no use for."""
        assert isinstance(settings, StripeSettings), "settings are of their provider"
        # The API key is not needed here, and may be anywhere.
        secrets = usable(replace(settings, api_key=""), workspace.mode).webhook_secrets
        if self._library is None:
            # Long enough to hold up charges.
            self._library = await asyncio.to_thread(import_module, "stripe")
        try:
            verify(body, headers.get(SIGNATURE, b"").decode("latin-1"), secrets, now_us)
        except NotAnEvent as error:
            raise NotTaken(400, str(error)) from error
        try:
            label = msgspec.json.decode(body, type=_Label)
        except msgspec.MsgspecError:
            return Sent(self.provider, UNREADABLE, body)
        return Sent(self.provider, label.type, body, label.id) if label.type in KINDS else None

    async def facts(self, workspace: Workspace, body: bytes, at: int) -> Sequence[AnyFact]:
        """What an event says. That of an invoice does not tell what paid it, and has to be completed."""
        event = read_event(body)
        found = facts_of(event, event.created_us, workspace.id)
        invoice = asks_for(event)
        if not found or not invoice:
            return found
        async with self._clients.stripe(workspace) as (stripe, _):
            intents = (await stripe.invoice(invoice)).payment_intents
        return facts_of(event, event.created_us, workspace.id, intents)

    async def is_ours(self, workspace: Workspace, payment: str) -> bool:
        """Several workspaces may share an account of Stripe's, and other shops as well."""
        try:
            async with self._clients.stripe(workspace) as (stripe, _):
                told = (await stripe.payment(payment)).metadata
                return await is_ours(stripe, workspace.id, payment, told.get(WORKSPACE, ""), is_named(told))
        except ProviderTrouble as trouble:
            if trouble.passes:
                raise
            return True
