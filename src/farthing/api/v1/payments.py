"""Payments: the directory of what came from outside, each with whose it is. Read only: grants make the entries."""

from typing import Any, Final

from msgspec import Struct

from farthing.core.records import PaymentClaim

from ..endpoint import Endpoint, Request
from .desk import Desk
from .parameters import in_path, text_parameter
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import Time, write_time


class PaymentLine(Struct):
    """A payment that was credited."""

    provider: str
    payment: str
    """The provider's own id."""
    account: str
    entry: str
    """The entry that credited it."""
    created_at: Time


def write_payment(claim: PaymentClaim) -> PaymentLine:
    """A payment on the wire."""
    return PaymentLine(claim.provider, claim.object, claim.account, claim.entry, write_time(claim.at))


async def list_payments(request: Request, desk: Desk) -> Listed[PaymentLine]:
    """A page of the directory."""
    params = Params(request, "provider", "account", "limit", "cursor")
    provider, account = params.text("provider"), params.text("account")
    turn = await params.turn(desk, "payments")
    page = await desk.directory.payments(
        turn.workspace, provider=provider, account=account, before=turn.after, limit=turn.limit
    )
    return await turn.told([write_payment(claim) for claim in page.items], page.next)


async def show_payment(request: Request, desk: Desk) -> PaymentLine:
    """One payment."""
    Params(request).check()
    provider, payment = named(request, "provider", "payment"), named(request, "payment", "payment")
    claim = await desk.directory.payment(request.caller.workspace.id, provider, payment)
    if claim is None:
        raise not_found("payment")
    return write_payment(claim)


_EXAMPLE: Final[dict[str, Any]] = {
    "provider": "stripe", "payment": "pi_3P9xYz", "account": "user_42",
    "entry": "ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f", "created_at": "2026-01-01T12:00:00.000000Z",
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/payments",
        operation_id="listPayments",
        summary="Payments that were credited",
        description="Newest first; of one provider or one account only.",
        scope="read",
        request=None,
        answer=Listed[PaymentLine],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"cursor_invalid"}),
        act=list_payments,
        parameters=(
            text_parameter("provider", "Who took the money.", "stripe"),
            text_parameter("account", "Whose it is.", "user_42"),
            *PAGING,
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/payments/{provider}/{payment}",
        operation_id="showPayment",
        summary="One payment",
        description="By its provider and the provider's own id.",
        scope="read",
        request=None,
        answer=PaymentLine,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"payment_not_found"}),
        act=show_payment,
        parameters=(
            in_path("provider", "Who took the money.", "stripe"),
            in_path("payment", "The provider's own id.", "pi_3P9xYz"),
        ),
    ),
)
