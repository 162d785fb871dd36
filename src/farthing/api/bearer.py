"""Bearer tokens at the door: from the text in a header to who asks, cached by hash until the token ends.

What is cached hangs on what the database calls its versions: of what is set (issuers, workspaces, prices), and of
people and their sessions. When one of them moves, all is forgotten; while they are not known, nothing is remembered.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from msgspec import Struct

from farthing.core.people import Person, User
from farthing.core.records import Workspace
from farthing.identity.permissions import scopes
from farthing.identity.tokens import MOST_BYTES, KeysUnavailable, NotTaken, TokenProblem, Verified
from farthing.prices.book import PriceBook

from .endpoint import Caller, Headers, Stop, Trouble

REMEMBERED: Final = 10_000
_PREFIX: Final = 8
_TEST_MODE: Final[Headers] = ((b"farthing-mode", b"test"),)
MISSING: Final = "Authentication token required"
UNAVAILABLE: Final = "The keys of the token's issuer can't be read now; nothing was done"
Generation = tuple[int, int] | None


class _Known(Struct, frozen=True):
    hash: bytes
    caller: Caller
    ends_at: int


class TokenAuth:
    """Says who bears a token. `verify` looks at its signature and claims, `person` at the records of people: they give
    who it is now, or None where the session has ended."""

    def __init__(
        self,
        *,
        verify: Callable[[str], Awaitable[Verified]],
        person: Callable[[Verified], Awaitable[User | None]],
        workspace: Callable[[str], Awaitable[Workspace | None]],
        prices: Callable[[Workspace], Awaitable[PriceBook]],
        generation: Callable[[], Generation],
        now_us: Callable[[], int],
        remembered: int = REMEMBERED,
    ) -> None:
        self._verify = verify
        self._person = person
        self._workspace = workspace
        self._prices = prices
        self._generation = generation
        self._now_us = now_us
        self._remembered = remembered
        self._seen: Generation = None
        self._changes = 0
        """Of this process's own, which `_seen` may not show yet."""
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def known(self, text: str) -> Caller | None:
        """Who bears the token, where that is remembered and can't have changed."""
        generation = self._generation()
        if generation is None or generation != self._seen:
            return None
        mark = sha256(text.encode()).digest()
        known = self._known.get(mark[:_PREFIX])
        if known is None or not compare_digest(known.hash, mark) or self._now_us() >= known.ends_at:
            return None
        self._known.move_to_end(mark[:_PREFIX])
        return known.caller

    def forget(self) -> None:
        """People or their sessions were changed by this process: it must not go on with what it had."""
        self._known.clear()
        self._seen = None
        self._changes += 1

    async def caller(self, text: str) -> Caller:
        """Who bears the token; stops a request whose token is not taken."""
        if known := self.known(text):
            return known
        generation = self._generation()
        if generation != self._seen or generation is None:
            self._known.clear()
            self._seen = generation
        changes = self._changes
        verified = await self._verified(text)
        workspace = await self._workspace(verified.issuer.workspace)
        user = None if workspace is None else await self._person(verified)
        if workspace is None or user is None:
            raise _refused(TokenProblem.INVALID)
        caller = _caller(verified, user, workspace, await self._prices(workspace))
        # What was read while a change was on its way is used once and not remembered.
        if generation is not None and generation == self._generation() == self._seen and changes == self._changes:
            self._remember(text, caller, verified.ends_at)
        return caller

    async def _verified(self, text: str) -> Verified:
        if len(text) > MOST_BYTES:
            raise _refused(TokenProblem.INVALID)
        try:
            return await self._verify(text)
        except NotTaken as no:
            raise _refused(no.problem) from None
        except KeysUnavailable as error:
            wait = (b"retry-after", b"%d" % error.retry_after)
            raise Stop(Trouble.UNAVAILABLE, UNAVAILABLE, (wait,)) from None

    def _remember(self, text: str, caller: Caller, ends_at: int) -> None:
        mark = sha256(text.encode()).digest()
        if len(self._known) >= self._remembered:
            self._known.popitem(last=False)
        self._known[mark[:_PREFIX]] = _Known(mark, caller, ends_at)


def _refused(problem: TokenProblem) -> Stop:
    return Stop(Trouble.CREDENTIAL_INVALID, problem.value)


def _caller(verified: Verified, user: User, workspace: Workspace, prices: PriceBook) -> Caller:
    person = Person(
        id=user.id, username=user.username, email=user.email, role=user.role, session=verified.person.session
    )  # fmt: skip
    return Caller(
        id=f"user:{workspace.id}:{user.id}",
        actor=f"user:{user.id}",
        workspace=workspace,
        scopes=scopes(user.role, users_may_charge=workspace.settings.users_may_charge),
        quota=workspace.settings.rate_limit or None,
        headers=_TEST_MODE if workspace.mode == "test" else (),
        prices=prices,
        person=person,
        bound=user.id if user.role == "user" else None,
    )


def bearer_of(header: bytes) -> str:
    """The token in a header field `Authorization`; stops a request that has none."""
    scheme, _, token = header.partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise Stop(Trouble.CREDENTIAL_MISSING, MISSING)
    return token.strip().decode("latin-1")
