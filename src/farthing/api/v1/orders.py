"""Orders: what accounts have bought, each with its payments; and whose one is that nobody knew the account of."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from farthing.core.amounts import write_amount
from farthing.core.catalogue import PROVIDERS, Provider
from farthing.core.purchases import Order, OrderState, Reason, Receipt, ReceiptState, taken_back
from farthing.identity.permissions import may_give_to
from farthing.stores.access import AccessError

from ..endpoint import Caller, Endpoint, Reply, Request
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Form
from .parameters import in_path, parameter, text_parameter
from .problems import Fault
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import AccountId, Credits, Time, write_time


class ClaimRequest(Asked):
    """Whose an order is."""

    account: AccountId


class OrderLine(Answered, kw_only=True):
    """Something that was bought."""

    provider: Provider
    id: Annotated[str, Meta(description="The provider's own.")]
    account: Annotated[str | None, Meta(description="Null while nobody knows whose it is.")]
    offer: Annotated[str | None, Meta(description="Null where the catalogue has no such thing.")]
    product: Annotated[str | None, Meta(description="The provider's own id of what was bought.")]
    state: OrderState
    bought_at: Time
    test: bool


class ReceiptView(Struct, kw_only=True):
    """A payment of an order."""

    payment: str
    amount: Annotated[str | None, Meta(description="As decimal text; null while only its refund is known.")]
    currency: str | None
    at: Time
    state: ReceiptState
    reason: Annotated[Reason | None, Meta(description="Why it waits for a person.")]
    credits: Annotated[Credits, Meta(description="What it was credited with.")]
    taken: Annotated[Credits, Meta(description="How much of that was taken back.")]
    entry: str | None


class OrderView(OrderLine, kw_only=True):
    """Something that was bought, with its payments."""

    payments: list[ReceiptView]


def _line(order: Order) -> dict[str, Any]:
    return {
        "provider": order.provider,
        "id": order.id,
        "account": order.account or None,
        "offer": order.offer or None,
        "product": order.product or None,
        "state": order.state,
        "bought_at": write_time(order.bought_at),
        "test": order.test,
    }


def _receipt(receipt: Receipt, scale: int) -> ReceiptView:
    return ReceiptView(
        payment=receipt.payment, amount=receipt.amount or None, currency=receipt.currency or None,
        at=write_time(receipt.at), state=receipt.state, reason=receipt.reason,
        credits=write_amount(receipt.credits, scale), taken=write_amount(taken_back(receipt), scale),
        entry=receipt.entry or None,
    )  # fmt: skip


async def list_orders(request: Request, desk: Desk) -> Listed[OrderLine]:
    """A page of what was bought."""
    params = Params(request, "account", "unclaimed", "limit", "cursor")
    account, unclaimed = params.text("account"), params.flag("unclaimed")
    if unclaimed and account is not None:
        params.refuse("account", "can't be given with unclaimed")
    turn = await params.turn(desk, "orders")
    whose = "" if unclaimed else account
    page = await desk.commerce.purchases.orders(turn.workspace, whose, turn.after, turn.limit)
    return await turn.told([OrderLine(**_line(kept.order)) for kept in page.items], page.next)


async def show_order(request: Request, desk: Desk) -> OrderView:
    """One order."""
    Params(request).check()
    provider, id = _names(request)
    kept = await desk.commerce.purchases.order(request.caller.workspace.id, provider, id)
    if kept is None:
        raise not_found("order")
    return await _view(request, desk, kept.order)


async def _view(request: Request, desk: Desk, order: Order) -> OrderView:
    workspace = request.caller.workspace
    found = await desk.commerce.purchases.receipts_of_order(workspace.id, order.provider, order.id)
    payments = [_receipt(kept.receipt, workspace.scale) for kept in found]
    return OrderView(**_line(order), payments=payments)


def _names(request: Request) -> tuple[Provider, str]:
    for provider in PROVIDERS:
        if request.parameters["provider"] == provider:
            return provider, named(request, "order", "order")
    raise not_found("order")


_claim = Form(ClaimRequest)


async def claim_order(request: Request, desk: Desk) -> Reply:
    """Say whose an order is; its payments that waited for that are credited."""
    fields, (provider, id) = _claim.read(request), _names(request)
    account = fields.text("account")
    under, act = once(fields, provider=provider, order=id, account=account), act_of(request, desk)
    _require_other(request.caller, account)
    workspace, commerce = request.caller.workspace, desk.commerce
    try:
        order = await commerce.purchases.claim(workspace.id, provider, id, account, act, under)
    except AccessError as error:
        raise told(error) from error
    if not under.dry_run:
        # A repeat goes on where the first try was cut off: it credits nothing twice.
        await commerce.fulfilling.claim_order(workspace, provider, id, account, act.actor, act.request_id)
    return answer(under, await _view(request, desk, order))


def _require_other(caller: Caller, account: str) -> None:
    """A supervisor may not give to himself."""
    if caller.person is not None and not may_give_to(caller.role, caller.person.id, account):
        raise Fault("own_account")


_EXAMPLE: Final[Mapping[str, Any]] = {
    "provider": "digistore24", "id": "AB12CD34", "account": "user_42", "offer": "assistant/pack-500",
    "product": "500011", "state": "open", "bought_at": "2026-01-01T12:00:00.000000Z", "test": False,
}  # fmt: skip
_SHOWN: Final[dict[str, Any]] = {
    **_EXAMPLE,
    "payments": [
        {
            "payment": "987654321", "amount": "9.00", "currency": "EUR", "at": "2026-01-01T12:00:00.000000Z",
            "state": "credited", "reason": None, "credits": "500", "taken": "0",
            "entry": "ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f",
        }
    ],
}  # fmt: skip
_PATH: Final = (
    in_path("provider", "Who took the money.", "digistore24", f"({'|'.join(PROVIDERS)})"),
    in_path("order", "The provider's own id.", "AB12CD34"),
)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/orders",
        operation_id="listOrders",
        summary="What was bought",
        description="Newest first; by one account, or what nobody knows the account of. A subscription is one order, "
        "which all its payments have.",
        scope="read",
        request=None,
        answer=Listed[OrderLine],
        example={},
        answered=listed_example(dict(_EXAMPLE)),
        codes=frozenset({"cursor_invalid"}),
        act=list_orders,
        parameters=(
            text_parameter("account", "Whose.", "user_42"),
            parameter("unclaimed", "Those that nobody knows the account of.", enum=["true", "false"]),
            *PAGING,
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/orders/{provider}/{order}",
        operation_id="showOrder",
        summary="One order",
        description="With its payments, the oldest first.",
        scope="read",
        request=None,
        answer=OrderView,
        example={},
        answered=_SHOWN,
        codes=frozenset({"order_not_found"}),
        act=show_order,
        parameters=_PATH,
    ),
    Endpoint(
        path="/v1/orders/{provider}/{order}/claim",
        operation_id="claimOrder",
        summary="Say whose an order is",
        description="One that nobody knew the account of. Its payments that waited for that are credited; later ones "
        "are credited by themselves. An order that has an account keeps it.",
        scope="grant",
        request=ClaimRequest,
        answer=OrderView,
        example={"account": "user_42"},
        answered=_SHOWN,
        codes=frozenset({"order_not_found", "order_claimed", "own_account"}),
        act=claim_order,
        keyed=True,
        parameters=_PATH,
    ),
)
