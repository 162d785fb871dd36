"""Key sets: the public keys that an issuer publishes under a URL (JWKS), fetched, remembered, rotated.

A set is read again after `FRESH_SECONDS`, and once a token names a key that it has not: at most every `AGAIN_SECONDS`,
whatever tokens come, and once for all who wait. While it can't be read, the last good one goes on working.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx2
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError
from msgspec import Struct

from farthing.core.people import Algorithm

from .tokens import KeysUnavailable

FRESH_SECONDS: Final = 600
"""So long a key works on that its issuer has withdrawn; providers let a set be cached for about as long."""
AGAIN_SECONDS: Final = 30
KEPT_SECONDS: Final = 24 * 3_600
"""How long a set works on that can't be read any more: a night, and longer than large providers were ever out. Nobody
should trust a key for days of which its issuer may have said long ago that it was stolen."""
FETCH_SECONDS: Final = 5.0
MOST_BYTES: Final = 256_000
LEAST_RSA_BITS: Final = 2_048
Fetch = Callable[[str], Awaitable[bytes]]
Keys = Mapping[Algorithm, list[tuple[str | None, Any]]]
_PUBLIC: Final[Mapping[Algorithm, tuple[str, tuple[str, ...], Callable[[Any], Any]]]] = {
    "RS256": ("RSA", (), RSAAlgorithm.from_jwk),
    "ES256": ("EC", ("P-256",), ECAlgorithm.from_jwk),
    "EdDSA": ("OKP", ("Ed25519", "Ed448"), OKPAlgorithm.from_jwk),
}
"""For each algorithm the kind of key, its curves, and who reads it."""
_PARAMETERS: Final = ("kty", "crv", "n", "e", "x", "y")
"""All that is read of a key: whatever else somebody publishes, it is never a secret one here."""


class BadKeySet(Exception):
    """What was fetched is no key set."""


# Reading a set


class _Document(Struct):
    keys: list[Any]


def read_keys(document: bytes) -> Keys:
    """The keys of a set that may verify tokens, for each algorithm; others are left out."""
    try:
        listed = msgspec.json.decode(document, type=_Document).keys
    except (ValueError, RecursionError):
        raise BadKeySet("it is no JSON Web Key Set") from None
    return {
        algorithm: [(_kid(each), key) for each in listed if (key := _public_key(each, algorithm)) is not None]
        for algorithm in _PUBLIC
    }


def _kid(jwk: dict[str, Any]) -> str | None:
    kid = jwk.get("kid")
    return kid if isinstance(kid, str) else None


def _public_key(jwk: object, algorithm: Algorithm) -> Any:
    """The key, where it fits the algorithm and is meant for signatures."""
    kind, curves, read = _PUBLIC[algorithm]
    if not isinstance(jwk, dict) or jwk.get("kty") != kind or (curves and jwk.get("crv") not in curves):
        return None
    operations = jwk.get("key_ops", ["verify"])
    verifies = isinstance(operations, list) and "verify" in operations
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm or not verifies:
        return None
    try:
        key = read({name: jwk[name] for name in _PARAMETERS if name in jwk})
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return None if isinstance(key, RSAPublicKey) and key.key_size < LEAST_RSA_BITS else key


# Fetching one


async def fetch(url: str) -> bytes:
    """A document from the network. A client for each: it is done every ten minutes, and nothing has to be closed."""
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    # To load the certificates takes long enough to hold up charges.
    context = await asyncio.to_thread(httpx2.create_ssl_context)
    async with (
        asyncio.timeout(FETCH_SECONDS),
        httpx2.AsyncClient(verify=context, follow_redirects=False, timeout=FETCH_SECONDS) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        if response.status_code != 200:
            raise BadKeySet(f"the server answered {response.status_code}")
        document = b""
        async for part in response.aiter_raw():
            document += part
            if len(document) > MOST_BYTES:
                raise BadKeySet(f"it has more than {MOST_BYTES:,} bytes")
        return document


class _Source(Struct):
    """A URL, and what is known of it."""

    keys: Keys = {}
    read_at: float = float("-inf")
    tried_at: float = float("-inf")
    failed: bool = False
    """The last try."""
    reading: asyncio.Task[None] | None = None


class KeySets:
    """The key sets of issuers, by their URLs; `tell` is told of a URL that can't be read, and why."""

    def __init__(
        self, fetch: Fetch = fetch, now: Callable[[], float] = time.monotonic,
        tell: Callable[[str, str], None] = lambda url, why: None,
    ) -> None:  # fmt: skip
        self._fetch = fetch
        self._now = now
        self._tell = tell
        self._sources: dict[str, _Source] = {}

    async def key(self, url: str, algorithm: Algorithm, kid: str | None, *, ask: bool = True) -> Any:
        """The key of that name; without a name the only one that fits. None where there is no such key. Without `ask`
        only what is known already counts."""
        source = self._sources.setdefault(url, _Source())
        found = self._known(source, algorithm, kid)
        if not ask or (found is not None and self._now() - source.read_at < FRESH_SECONDS):
            return found
        await self._read_again(url, source)
        found = self._known(source, algorithm, kid)
        if found is None and source.failed:
            # The key may be among those that could not be read: nobody is told that his token is bad.
            raise KeysUnavailable(AGAIN_SECONDS)
        return found

    def _known(self, source: _Source, algorithm: Algorithm, kid: str | None) -> Any:
        if self._now() - source.read_at >= KEPT_SECONDS:
            return None
        fitting = [key for name, key in source.keys.get(algorithm, ()) if kid is None or name == kid]
        return fitting[0] if len(fitting) == 1 else None

    async def _read_again(self, url: str, source: _Source) -> None:
        """Read the set, unless that was tried just now; whoever comes meanwhile waits for the same answer."""
        if source.reading is None:
            if self._now() - source.tried_at < AGAIN_SECONDS:
                return
            source.tried_at = self._now()
            source.reading = asyncio.get_running_loop().create_task(self._read(url, source))
        # A client that leaves does not end it for the others.
        await asyncio.shield(source.reading)

    async def _read(self, url: str, source: _Source) -> None:
        try:
            source.keys = read_keys(await self._fetch(url))
            source.read_at, source.failed = self._now(), False
        except (BadKeySet, httpx2.HTTPError, httpx2.InvalidURL, OSError, TimeoutError) as error:
            source.failed = True
            self._tell(url, str(error) or type(error).__name__)
        finally:
            source.reading = None
