"""Stripe's own library, as far as we let it: it knows paths, versions, forms and retries; connections and errors are
ours. The only file that imports it as a whole, and itself imported with the first call.

- Connections are httpx2's, of one pool for all threads. Whatever breaks an exchange off is tried again: every POST has
  an idempotency key, which all its tries share.
- Nothing about this machine is told to Stripe: the library would make an identifier in the home directory and send it
  along, with what runs here and how long earlier calls took.
- Its log lines hold whole answers, and the names in searches: they are let through from WARNING on.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2
import stripe

from .errors import (
    AuthenticationRequired,
    BadRequest,
    CardDeclined,
    Forbidden,
    KeyConflict,
    KeyRefused,
    NotFound,
    RateLimited,
    StripeError,
    TemporaryError,
)

CONNECT_SECONDS: Final = 3.0
_TOLD: Final = frozenset({"authorization", "content-type", "idempotency-key", "stripe-account", "stripe-version"})
"""What of the library's headers is sent."""
_AGENT: Final = f"farthing stripe-python/{stripe.VERSION}"
_SECRETS: Final = re.compile(r"\b(?:sk|rk|pk|whsec)_[A-Za-z0-9_*]+|\b\w+_secret_\w+")
_LONGEST: Final = 500

Api = stripe.StripeClient
Call = Callable[[Api], stripe.StripeObject]


class Connections(stripe.HTTPClient):
    """The library's exchanges, on httpx2."""

    name = "httpx2"

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout)), follow_redirects=False
        )

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[Any, int, Mapping[str, str]]:
        """One exchange."""
        told = {name: value for name, value in (headers or {}).items() if name.lower() in _TOLD}
        try:
            answer = self._client.request(method, url, headers={**told, "user-agent": _AGENT}, content=post_data)
        except httpx2.InvalidURL as error:
            raise _broken_off(error, again=False) from None
        except httpx2.HTTPError as error:
            raise _broken_off(error, again=True) from None
        return answer.content, answer.status_code, answer.headers

    def close(self) -> None:
        """End all connections."""
        self._client.close()


def _broken_off(error: Exception, again: bool) -> stripe.APIConnectionError:
    made: stripe.APIConnectionError = stripe.APIConnectionError(  # type: ignore[no-untyped-call]
        str(error) or type(error).__name__, should_retry=again
    )
    return made


class Library:
    """An API key's calls."""

    def __init__(self, key: str, base: str, timeout: float, retries: int) -> None:
        _quieten()
        self._key = key
        self._connections = Connections(timeout)
        self._api = stripe.StripeClient(
            key, base_addresses={"api": base}, max_network_retries=retries, http_client=self._connections
        )

    def carry_out(self, call: Call) -> dict[str, Any]:
        """What Stripe answers, as plain data; or one of our errors."""
        try:
            return call(self._api).to_dict()
        except stripe.StripeError as error:
            # Without the library's own error behind it, which carries the whole answer.
            raise _error_of(error, self._key) from None

    def close(self) -> None:
        """End all connections."""
        self._connections.close()


def _quieten() -> None:
    log = logging.getLogger("stripe")
    if log.level == logging.NOTSET:
        log.setLevel(logging.WARNING)
    # Of the whole process, as the library has it: what hosts ours loses nothing by it.
    stripe.enable_telemetry = False


def _error_of(error: stripe.StripeError, key: str) -> StripeError:
    told = error.error
    if isinstance(error, stripe.CardError):
        return _card_error(error, key)
    status = error.http_status or 0
    kind = _kind_of(error, status)
    return kind(
        _without_secrets(_message_of(error, kind, status), key),
        status=status,
        provider_code=str(getattr(told, "code", None) or error.code or ""),
        parameter=str(getattr(told, "param", None) or ""),
        request_id=error.request_id or "",
        retry_after=_retry_after(error.headers),
        # Anything else has been refused before it was done. A conflict is an earlier try: one that still runs, or one
        # under the same key that looked different, and may have gone well.
        unknown=kind in (TemporaryError, KeyConflict),
    )


def _kind_of(error: stripe.StripeError, status: int) -> type[StripeError]:
    match error:
        case stripe.AuthenticationError():
            return KeyRefused
        case stripe.PermissionError():
            return Forbidden
        case stripe.RateLimitError():
            return RateLimited
        case stripe.IdempotencyError():
            return KeyConflict
        case stripe.InvalidRequestError():
            return NotFound if status == 404 else BadRequest
        case _:
            return _kind_by(status)


def _kind_by(status: int) -> type[StripeError]:
    # What the library had no class for, HTML for instance: the status says what it is.
    known = {401: KeyRefused, 403: Forbidden, 404: NotFound, 429: RateLimited}
    return known.get(status, TemporaryError if status >= 500 or status < 400 or status == 409 else BadRequest)


def _message_of(error: stripe.StripeError, kind: type[StripeError], status: int) -> str:
    if error.error is None and status:
        return f"no answer of its API, but status {status}"
    if status == 0 and kind is TemporaryError:
        return f"it can't be reached, or broke off: {error.user_message}"
    return error.user_message or f"status {status}"


def _card_error(error: stripe.CardError, key: str) -> CardDeclined:
    told = error.error
    decline = str(getattr(told, "decline_code", None) or "")
    intent = getattr(told, "payment_intent", None)
    kind = AuthenticationRequired if "authentication_required" in (error.code, decline) else CardDeclined
    return kind(
        _without_secrets(error.user_message or "the payment was refused", key),
        decline_code=decline,
        payment_intent=getattr(intent, "id", None),
        provider_code=error.code or "",
        parameter=error.param or "",
        request_id=error.request_id or "",
    )


def _without_secrets(message: str, key: str) -> str:
    """A text of somebody else's, short and without what must not be seen."""
    return _SECRETS.sub("...", message.replace(key, "..."))[:_LONGEST]


def _retry_after(headers: Mapping[str, str] | None) -> float | None:
    text = (headers or {}).get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None
