"""Trust: whose tokens are taken here, and whom they stand for."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from farthing.core.people import Issuer, User
from farthing.stores.issuers import Issuers
from farthing.stores.users import Users

from .jwks import KeySets
from .tokens import Verified, verify

Own = Callable[[], Awaitable[Sequence[Issuer]]]
SignedIn = Callable[[Verified], Awaitable[User | None]]


async def _none() -> Sequence[Issuer]:
    return ()


async def _nobody(verified: Verified) -> User | None:
    return None


class Trust:
    """Verifies tokens by what workspaces have set, and keeps the records of people up to them. What it has read of
    issuers hangs on `generation`. The login service of this ledger gives the issuers that are its `own`, and says who
    is `signed_in` with one of its tokens."""

    def __init__(
        self, issuers: Issuers, users: Users, *, generation: Callable[[], int | None], now_us: Callable[[], int],
        key_sets: KeySets | None = None, own: Own = _none, signed_in: SignedIn = _nobody,
    ) -> None:  # fmt: skip
        self._issuers = issuers
        self._users = users
        self._generation = generation
        self._now_us = now_us
        self._key_sets = key_sets or KeySets()
        self._own = own
        self._signed_in = signed_in
        self._seen: int | None = None
        self._known: list[Issuer] = []

    async def verified(self, text: str) -> Verified:
        """What a token says, once it is sure who signed it."""
        return await verify(text, await self._all(), self._key_of, self._now_us())

    async def person(self, verified: Verified) -> User | None:
        """Who it stands for now; None where the session has ended, or the user is gone."""
        if verified.issuer.own:
            return await self._signed_in(verified)
        return await self._users.follow(verified.issuer.workspace, verified.person, self._now_us())

    async def _all(self) -> list[Issuer]:
        generation = self._generation()
        if generation is not None and generation == self._seen:
            return self._known
        known = [*await self._issuers.all(), *await self._own()]
        # What was read while a change was on its way is used once and not remembered.
        if generation is not None and generation == self._generation():
            self._known, self._seen = known, generation
        return known

    async def _key_of(self, issuer: Issuer, kid: str | None, ask: bool) -> Any:
        if issuer.algorithm == "HS256":
            return issuer.secret.encode()
        return await self._key_sets.key(issuer.jwks_url, issuer.algorithm, kid, ask=ask)
