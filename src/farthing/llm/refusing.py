"""Refusing: what a web application answers whose caller can't pay for a request, in one form for all reasons."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import Struct

from farthing.client.errors import (
    AccountNotFound,
    ApiError,
    FarthingError,
    Frozen,
    InsufficientCredits,
    SpendLimit,
)
from farthing.client.stand_ins import says_nothing_of_it

_RETRY_SECONDS: Final = 5
_POLICY_VIOLATION: Final = 1008
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a request is refused, as its caller is told."""

    status: int
    code: str
    error: str
    message: str
    account: str | None = None
    balance: Decimal | None = None
    """What the account can spend; None where that isn't what it is about."""
    retry_after: int | None = None

    def body(self, more: Mapping[str, Any]) -> bytes:
        """As JSON. The balance is a number, in all its digits."""
        told: dict[str, Any] = {"code": self.code, "error": self.error, "message": self.message}
        return _encode({**more, **told, **({} if self.balance is None else {"balance": self.balance})})


GUEST: Final = Refusal(
    status=401, code="LOGIN_REQUIRED", error="Login required", message="Please log in to continue"
)  # fmt: skip


def poor(account: str | None, available: Decimal) -> Refusal:
    """There is not enough to begin with."""
    return Refusal(
        status=402, code="INSUFFICIENT_BALANCE", error="Insufficient balance",
        message="Please add credits to continue", account=account, balance=available,
    )  # fmt: skip


def away(error: ApiError, account: str | None) -> Refusal:
    """The ledger can't be asked; of the balance nothing is said."""
    wait = _RETRY_SECONDS if error.retry_after is None else max(1, round(error.retry_after))
    return Refusal(
        status=503, code="LEDGER_UNAVAILABLE", error="Credits can't be checked",
        message="Please try again in a moment", account=account, retry_after=wait,
    )  # fmt: skip


def refusal_of(error: FarthingError, account: str | None) -> Refusal | None:
    """What an error of the ledger is for who has asked; None where it says nothing to him."""
    match error:
        case InsufficientCredits():
            return poor(account, error.available)
        case AccountNotFound():
            return poor(account, Decimal(0))
        case SpendLimit():
            message = f"What may be spent in a {error.period or 'day'} is spent"
            return Refusal(
                status=403, code="SPEND_LIMIT_REACHED", error="Spend limit reached", message=message, account=account
            )  # fmt: skip
        case Frozen():
            return Refusal(
                status=403, code="ACCOUNT_FROZEN", error="Account frozen", message="Please contact us to continue",
                account=account,
            )  # fmt: skip
        case ApiError() if says_nothing_of_it(error):
            return away(error, account)
        case _:
            return None


async def refuse(
    scope: MutableMapping[str, Any], send: Callable[[MutableMapping[str, Any]], Awaitable[None]], refusal: Refusal,
    more: Mapping[str, Any],
) -> None:  # fmt: skip
    """Answer a request by that; a websocket, too, where the server can, and else close it."""
    kind = "http"
    if scope["type"] == "websocket":
        kind = "websocket.http"
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.error})
            return
    body = refusal.body(more)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"cache-control", b"no-store"))
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    await send({"type": f"{kind}.response.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": body})
