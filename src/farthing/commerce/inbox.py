"""Inboxes: one for each provider, which knows its messages. Whether they are its own, and what they say; a new provider
is a file with one, and a line in `inboxes.py`.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Protocol

from msgspec import Struct

from farthing.core.catalogue import Provider
from farthing.core.facts import AnyFact
from farthing.core.providers import ProviderSettings
from farthing.core.records import Workspace


class Sent(Struct, frozen=True):
    """A message of a provider, whose signature was found right."""

    provider: str
    kind: str
    body: bytes
    id: str = ""
    """The provider's own name of it; without one the same words are the same message."""

    @property
    def name(self) -> str:
        """What it is kept under."""
        return self.id or sha256(self.body).hexdigest()


class NotTaken(Exception):
    """A request that is no message of the provider's, as far as it can show; nothing of it is kept."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotOurs(Exception):
    """A message that is right in itself, and about nothing that this workspace could do. It is kept, and says why."""


class Inbox(Protocol):
    """Knows the messages of a provider."""

    @property
    def provider(self) -> Provider:
        """Whose they are."""

    @property
    def most_bytes(self) -> int:
        """No message of it is longer."""

    @property
    def answer(self) -> bytes:
        """What is answered when all is done; the status is 200."""

    @property
    def looks(self) -> bool:
        """Whether it looks by GET whether somebody is there, before it sends anything."""

    async def opened(
        self, settings: ProviderSettings, workspace: Workspace, body: bytes, headers: Mapping[bytes, bytes], now_us: int
    ) -> Sent | None:
        """The message of a request; None where it is a mere test, or nothing of ours by its kind alone. Raises
        `NotTaken` where it is not signed as it should be, and `SecretError` where that can't be told."""

    async def facts(self, workspace: Workspace, body: bytes, at: int) -> Sequence[AnyFact]:
        """What a message says that came at that instant, and was kept. It may have to ask the provider for the rest;
        raises `NotOurs`."""

    async def is_ours(self, workspace: Workspace, payment: str) -> bool:
        """Whether a payment that is not known here may be the workspace's; one that nobody can tell of may be."""
