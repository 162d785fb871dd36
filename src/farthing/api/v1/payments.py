"""Payments: what came in from outside, what it was credited with and what went back; those that wait for a person, who
says whose they are. One that was credited by hand is known by its entry alone.
"""

from typing import Annotated, Any, Final, get_args

from msgspec import Meta

from farthing.commerce.assigning import Assigning
from farthing.commerce.payments import Line, Payments
from farthing.core.purchases import Reason, ReceiptState
from farthing.identity.permissions import may_give_to
from farthing.stores.access import AccessError

from ..endpoint import Endpoint, Parameter, Reply, Request
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Form
from .parameters import in_path, parameter, text_parameter
from .problems import CODES, Fault, Wrong
from .reading import PAGING, Listed, Params, Turn, listed_example, named, not_found
from .wire import AccountId, Credits, Time, text_of, write_time

STATES: Final[tuple[ReceiptState, ...]] = get_args(ReceiptState)
Money = Annotated[str, Meta(description="As decimal text, in the currency's main unit.")]


class AssignRequest(Asked, kw_only=True):
    """Whose a payment is."""

    account: AccountId
    offer: (
        Annotated[str, text_of("What it was for, `product/tier` or `product/top-up`; left out: what it was bought as.")]
        | None
    ) = None
    reason: Annotated[str, text_of("Why; it stays in the audit log.")] | None = None


class PaymentView(Answered, kw_only=True):
    """A payment."""

    provider: str
    payment: Annotated[str, Meta(description="The provider's own id.")]
    state: ReceiptState
    account: Annotated[str | None, Meta(description="Null: nobody knows whose it is.")]
    amount: Annotated[Money | None, Meta(description="Null: it was credited by hand, or only a refund of it is known.")]
    currency: str | None
    refunded: Annotated[Money | None, Meta(description="How much of it has gone back.")]
    lost: Annotated[bool, Meta(description="All of it: a dispute was lost, or it was refunded as a whole.")]
    disputed: Annotated[bool, Meta(description="A dispute of it is open, and what is left of its credits is pinned.")]
    credits: Annotated[Credits | None, Meta(description="That it gave; null: its entry is archived.")]
    taken: Annotated[Credits, Meta(description="That were taken back with the money.")]
    reason: Annotated[Reason | None, Meta(description="Why it waits.")]
    message: Annotated[str | None, Meta(description="The same in a sentence for people.")]
    order: str | None
    offer: Annotated[str | None, Meta(description="What it was for, `product/tier` or `product/top-up`.")]
    quantity: int
    renewal: bool
    test: bool
    grant: str | None
    entry: Annotated[str | None, Meta(description="The entry that credited it.")]
    created_at: Time


def write_payment(line: Line, scale: int) -> PaymentView:
    """A payment on the wire."""
    return PaymentView(**line.facts(scale), created_at=write_time(line.at))


# Reading


async def list_payments(request: Request, desk: Desk) -> Listed[PaymentView]:
    """A page of all."""
    params = Params(request, "provider", "account", "state", "limit", "cursor")
    provider, account = params.text("provider") or "", params.text("account") or ""
    states = params.choices("state", STATES)
    state = states[0] if len(states) == 1 else ""
    return await _page(request, desk, await params.turn(desk, "payments"), provider, account, state)


async def list_unmatched(request: Request, desk: Desk) -> Listed[PaymentView]:
    """A page of those that wait."""
    params = Params(request, "provider", "account", "limit", "cursor")
    provider, account = params.text("provider") or "", params.text("account") or ""
    return await _page(request, desk, await params.turn(desk, "unmatched"), provider, account, "waiting")


async def _page(
    request: Request, desk: Desk, turn: Turn, provider: str, account: str, state: str
) -> Listed[PaymentView]:  # fmt: skip
    page = await _payments(desk).page(
        turn.workspace, provider=provider, account=account, state=state, before=turn.after, limit=turn.limit
    )
    scale = request.caller.workspace.scale
    return await turn.told([write_payment(line, scale) for line in page.items], page.next)


def _payments(desk: Desk) -> Payments:
    return Payments(desk.commerce.purchases, desk.directory, desk.reports)


async def show_payment(request: Request, desk: Desk) -> PaymentView:
    """One payment."""
    Params(request).check()
    workspace = request.caller.workspace
    line = await _payments(desk).get(workspace.id, *_named(request))
    if line is None:
        raise not_found("payment")
    return write_payment(line, workspace.scale)


def _named(request: Request) -> tuple[str, str]:
    return named(request, "provider", "payment"), named(request, "payment", "payment")


# Writing


_assign = Form(AssignRequest)


async def assign_payment(request: Request, desk: Desk) -> Reply:
    """Say whose a payment is."""
    fields, (provider, payment) = _assign.read(request), _named(request)
    account, offer, reason = fields.text("account"), fields.text_if("offer"), fields.text_if("reason")
    under = once(fields, provider=provider, payment=payment, account=account, offer=offer, reason=reason)
    caller = request.caller
    if caller.person is not None and not may_give_to(caller.role, caller.person.id, account):
        raise Fault("own_account")
    commerce = desk.commerce
    assigning = Assigning(commerce.fulfilling, commerce.purchases, desk.products, desk.directory)
    try:
        receipt = await assigning.assign(
            caller.workspace, provider, payment, account, offer, act_of(request, desk), reason, under
        )
    except AccessError as error:
        raise _refused(error) from error
    return answer(under, write_payment(Line(receipt), caller.workspace.scale))


def _refused(error: AccessError) -> Fault:
    """Why it was not assigned: in the ledger's word, where it was the ledger that would not."""
    if error.field == "offer":
        return Fault("invalid", [Wrong(pointer="/offer", detail=str(error).removeprefix("offer "))])
    if error.code == "key_conflict" or error.code not in CODES:
        return told(error)
    text = str(error)
    return Fault(error.code, detail=text[:1].upper() + text[1:] + ".")


_EXAMPLE: Final[dict[str, Any]] = {
    "provider": "digistore24", "payment": "84721", "state": "credited", "account": "user_42", "amount": "9.00",
    "currency": "EUR", "refunded": "0", "lost": False, "disputed": False, "credits": "500", "taken": "0",
    "reason": None, "message": None, "order": "AB12CD34", "offer": "assistant/pack-500", "quantity": 1,
    "renewal": False, "test": False, "grant": "grt_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f",
    "entry": "ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f", "created_at": "2026-01-01T12:00:00.000000Z",
}  # fmt: skip
_WAITS: Final[dict[str, Any]] = {
    **_EXAMPLE, "state": "waiting", "account": None, "credits": "0", "reason": "no_account",
    "message": "Nobody knows whose it is: assign it to an account.", "grant": None, "entry": None,
}  # fmt: skip
_PROVIDER: Final[Parameter] = text_parameter("provider", "Who took the money.", "digistore24")
_ACCOUNT: Final[Parameter] = text_parameter("account", "Whose it is.", "user_42")
_ONE: Final = (
    in_path("provider", "Who took the money.", "digistore24"),
    in_path("payment", "The provider's own id.", "84721"),
)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/payments",
        operation_id="listPayments",
        summary="Payments",
        description="Newest first; of one provider, one account or in one state only.",
        scope="read",
        request=None,
        answer=Listed[PaymentView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"cursor_invalid"}),
        act=list_payments,
        parameters=(
            _PROVIDER,
            _ACCOUNT,
            parameter("state", "Those that are credited, or wait.", enum=list(STATES), example="credited"),
            *PAGING,
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/payments/unmatched",
        operation_id="listUnmatchedPayments",
        summary="Payments that wait for a person",
        description="What came in and was not credited, newest first, each with its reason. See also "
        "`/v1/provider-events?unmatched=true`: what was told, and is about nothing that is known.",
        scope="read",
        request=None,
        answer=Listed[PaymentView],
        example={},
        answered=listed_example(_WAITS),
        codes=frozenset({"cursor_invalid"}),
        act=list_unmatched,
        parameters=(_PROVIDER, _ACCOUNT, *PAGING),
    ),
    Endpoint(
        method="GET",
        path="/v1/payments/{provider}/{payment}",
        operation_id="showPayment",
        summary="One payment",
        description="By its provider and the provider's own id.",
        scope="read",
        request=None,
        answer=PaymentView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"payment_not_found"}),
        act=show_payment,
        parameters=_ONE,
    ),
    Endpoint(
        path="/v1/payments/{provider}/{payment}/assign",
        operation_id="assignPayment",
        summary="Say whose a payment is",
        description="One that waits is credited to the account, and what was wrong with it is forgiven. It is credited "
        "once, whoever says so how often. Where nothing in the catalogue is what was bought, the `offer` says it.",
        scope="grant",
        request=AssignRequest,
        answer=PaymentView,
        example={"account": "user_42", "offer": "assistant/pack-500", "reason": "He wrote from his other address"},
        answered=_EXAMPLE,
        codes=frozenset({"payment_not_found", "payment_not_assignable", "payment_claimed", "own_account"})
        | {"plan_not_found", "plan_archived", "too_many_grants", "balance_limit"},
        act=assign_payment,
        keyed=True,
        parameters=_ONE,
    ),
)
