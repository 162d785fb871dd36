"""What a failed exchange over HTTP means: what never left, and what nobody knows the fate of."""

from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from .answers import Answer, lost, unsent
from .calls import Call
from .errors import ApiError, ConnectError

CONNECT_SECONDS: Final = 3.0
MOST_CONNECTIONS: Final = 1_000
KEPT_CONNECTIONS: Final = 100
_NEVER_LEFT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


def base_of(url: str) -> str:
    """The address that paths are put behind."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        raise ConnectError(f"{url[:200]!r} is no address of a server: {error}") from error
    if not parts.hostname:
        raise ConnectError(f"{url[:200]!r} names no host: it is such as https://credits.example.com")
    if parts.query or parts.fragment:
        raise ConnectError("the address of a server has no query and no fragment")
    return url.rstrip("/").removesuffix("/v1")


def headers_of(api_key: str) -> dict[str, str]:
    """The fields that all calls have."""
    if not api_key.isascii() or not api_key.isprintable():
        raise ConnectError("an API key has printable ASCII characters only: was it copied whole?")
    return {"x-api-key": api_key, "accept": "application/json", "user-agent": "farthing-python"}


def options_of(timeout: float) -> dict[str, Any]:
    """How connections are made and kept."""
    return {
        "timeout": httpx2.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout)),
        "limits": httpx2.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=KEPT_CONNECTIONS),
    }


def answer_of(response: httpx2.Response) -> Answer:
    """What came back."""
    return Answer(response.status_code, response.content, response.headers)


def failed(call: Call[Any], error: Exception, base: str) -> ApiError:
    """The error for an exchange that failed on its way."""
    why = str(error) or type(error).__name__
    if isinstance(error, _NEVER_LEFT):
        return unsent(call, f"The server at {base} can't be reached ({why})")
    if isinstance(error, httpx2.TimeoutException):
        return lost(call, f"The server at {base} gave no answer in time")
    return lost(call, f"The server at {base} broke off ({why})")
