"""API keys at the door: from the text in a header to who asks, cached by hash, revocable at once.

What is cached hangs on a generation, the database's `config_version` as this process last read it: when it moves, all
is forgotten; while it is not known, nothing is remembered. Keys that nobody knows are remembered as well, apart, so
that a flood of wrong ones neither reaches the database twice nor drives the good ones out.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from typing import Final, TypeVar

from msgspec import Struct

from farthing.core.credentials import SCOPES, Credential
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.prices.book import PriceBook

from .endpoint import Caller, Headers, Stop, Trouble

V = TypeVar("V")
REMEMBERED: Final = 10_000
_PREFIX: Final = 8
_TEST_MODE: Final[Headers] = ((b"farthing-mode", b"test"),)
_ALL_SCOPES: Final = frozenset(SCOPES)
OPERATORS: Final = Workspace("", "", "live", "", 0, 0, WorkspaceSettings())
"""Stands where callers have their workspace: an operator has none, and no call that touches one lets him in."""


class _Known(Struct, frozen=True):
    hash: bytes
    caller: Caller
    ends_at: int | None
    ended: str


class KeyAuth:
    """Says who bears a key. `find` and `workspace` read the database; `generation` is what caches hang on, and the
    clock is asked only for keys that end."""

    def __init__(
        self,
        *,
        find: Callable[[bytes], Awaitable[Credential | None]],
        workspace: Callable[[str], Awaitable[Workspace | None]],
        generation: Callable[[], int | None],
        hash_key: Callable[[str], bytes],
        plausible: Callable[[str], bool],
        prices: Callable[[Workspace], Awaitable[PriceBook]],
        now_us: Callable[[], int],
        remembered: int = REMEMBERED,
    ) -> None:
        self._find = find
        self._workspace = workspace
        self._generation = generation
        self._hash_key = hash_key
        self._plausible = plausible
        self._prices = prices
        self._now_us = now_us
        self._remembered = remembered
        self._seen: int | None = None
        # Looked up by a part of the hash; the whole is compared in constant time.
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._unknown: OrderedDict[bytes, None] = OrderedDict()

    def known(self, text: str) -> Caller | None:
        """Who bears the key, where that is remembered and can't have changed."""
        generation = self._generation()
        if generation is None or generation != self._seen:
            return None
        mark = self._hash_key(text)
        known = self._known.get(mark[:_PREFIX])
        if known is None or known.ends_at is not None or not compare_digest(known.hash, mark):
            return None
        self._known.move_to_end(mark[:_PREFIX])
        return known.caller

    async def caller(self, text: str) -> Caller:
        """Who bears the key; stops a request whose key is unknown, expired or revoked."""
        generation = self._generation()
        if generation != self._seen or generation is None:
            self._forget(generation)
        mark = self._hash_key(text)
        known = self._known.get(mark[:_PREFIX])
        if known is not None and compare_digest(known.hash, mark):
            self._known.move_to_end(mark[:_PREFIX])
        else:
            known = await self._look_up(text, mark, generation)
        if known.ends_at is not None and self._now_us() >= known.ends_at:
            raise Stop(Trouble.CREDENTIAL_INVALID, f"This API key {known.ended}.")
        return known.caller

    def _forget(self, generation: int | None) -> None:
        self._known.clear()
        self._unknown.clear()
        self._seen = generation

    async def _look_up(self, text: str, mark: bytes, generation: int | None) -> _Known:
        if not self._plausible(text):
            raise Stop(Trouble.CREDENTIAL_INVALID, "This is no API key: it was cut, changed or made up.")
        if mark in self._unknown:
            raise _nobodys()
        credential = await self._find(mark)
        workspace = None if credential is None else await self._workspace_of(credential)
        prices = None if workspace is None or not workspace.id else await self._prices(workspace)
        # What was read while a change was on its way is used once and not remembered.
        keep = generation is not None and generation == self._generation() == self._seen
        if credential is None or workspace is None:
            if keep:
                _remember(self._unknown, mark, None, self._remembered)
            raise _nobodys()
        known = _known(mark, credential, workspace, prices)
        if keep:
            _remember(self._known, mark[:_PREFIX], known, self._remembered)
        return known

    async def _workspace_of(self, credential: Credential) -> Workspace | None:
        return await self._workspace(credential.workspace) if credential.workspace else OPERATORS


def _nobodys() -> Stop:
    return Stop(Trouble.CREDENTIAL_INVALID, "There is no such API key; it may have been deleted.")


def _known(mark: bytes, credential: Credential, workspace: Workspace, prices: PriceBook | None) -> _Known:
    caller = Caller(
        id=credential.key_id,
        actor=f"key:{credential.key_id}",
        workspace=workspace,
        scopes=_ALL_SCOPES if "admin" in credential.scopes else credential.scopes,
        quota=credential.rate_limit,
        headers=_TEST_MODE if credential.mode == "test" else (),
        prices=prices,
    )
    expires, revoked = credential.expires_at, credential.revoked_at
    if revoked is not None and (expires is None or revoked <= expires):
        return _Known(mark, caller, revoked, "was revoked")
    return _Known(mark, caller, expires, "has expired")


def _remember(cache: "OrderedDict[bytes, V]", name: bytes, value: V, most: int) -> None:
    if len(cache) >= most:
        cache.popitem(last=False)
    cache[name] = value
