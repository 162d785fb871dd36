"""Cursors: where a listing goes on, as a text that a client keeps and sends back.

A cursor is bound to its workspace, its listing and its filters, and lives for a day. It is signed with a secret of the
ledger, so that nobody makes one up and every process of the ledger takes those of the others.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from farthing.stores.pages import Position

NAME: Final = "cursor_secret"
LIVES_SECONDS: Final = 24 * 3_600
_MAC_BYTES: Final = 16
_LONGEST: Final = 4_096
_ALPHABET: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_encode = msgspec.json.Encoder().encode

FindSecret = Callable[[str, str], Awaitable[str]]
"""Given a name and a new secret, the one that the ledger keeps under this name."""


class CursorInvalid(ValueError):
    """A cursor that can't be used here; the message says why."""


class _Content(NamedTuple):
    made_at: int
    """In seconds."""
    listing: str
    workspace: str
    filters: str
    position: list[int | str]


_decode = msgspec.json.Decoder(_Content).decode


class Cursors:
    """Writes and reads cursors."""

    def __init__(self, find_secret: FindSecret, now_us: Callable[[], int]) -> None:
        self._find_secret = find_secret
        self._now_us = now_us
        self._secret: bytes | None = None

    async def write(self, listing: str, workspace: str, filters: Mapping[str, Any], position: Position) -> str:
        """A cursor that goes on behind this position."""
        made_at = self._now_us() // 1_000_000
        content = _encode(_Content(made_at, listing, _mark(workspace), _mark(filters), list(position)))
        return urlsafe_b64encode(await self._sign(content) + content).rstrip(b"=").decode()

    async def read(self, text: str, listing: str, workspace: str, filters: Mapping[str, Any]) -> Position:
        """The position that a cursor holds, or `CursorInvalid`."""
        raw = _bytes_of(text)
        mac, content = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, await self._sign(content)):
            raise CursorInvalid("This is no cursor of this ledger: it was cut, changed or made up.")
        found = _decode(content)
        if found.listing != listing:
            raise CursorInvalid(f"This cursor is one of another listing ({found.listing}).")
        if found.workspace != _mark(workspace):
            raise CursorInvalid("This cursor is one of another workspace.")
        if found.filters != _mark(filters):
            raise CursorInvalid("This cursor was given for other filters; go on with the same, or begin anew.")
        if self._now_us() // 1_000_000 - found.made_at >= LIVES_SECONDS:
            raise CursorInvalid("This cursor is more than 24 hours old; begin anew.")
        return tuple(found.position)

    async def _sign(self, content: bytes) -> bytes:
        if self._secret is None:
            self._secret = bytes.fromhex(await self._find_secret(NAME, secrets.token_hex(32)))
        return hmac.digest(self._secret, content, "sha256")[:_MAC_BYTES]


def _bytes_of(text: str) -> bytes:
    raw = text.encode(errors="replace")
    # One text for each content: what decodes to the same in another spelling is not ours.
    if len(raw) > _LONGEST or not _ALPHABET.issuperset(raw) or len(raw) % 4 == 1:
        return b""
    return urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))


def _mark(value: Any) -> str:
    """What stands for a workspace or for filters, whatever their order."""
    return blake2b(msgspec.json.encode(value, order="sorted"), digest_size=9).hexdigest()
