"""Purchases: a top-up that is bought for an account while nobody is at the screen, with what it has paid with before.
Nothing here moves credits: the provider's notification of the payment does. The key makes it one charge, for ever.
"""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from farthing.commerce.charges import Charged, State
from farthing.commerce.selling import Unsellable
from farthing.commerce.troubles import ProviderTrouble
from farthing.core.catalogue import Provider
from farthing.core.commands import text_error
from farthing.stores.access import AccessError

from ..endpoint import Endpoint, Request
from .administration import told
from .buying import ProviderName, fault_of, provider_of, reason_of
from .desk import Desk
from .fields import PREFIX, Form, idempotency_key
from .problems import Fault
from .wire import AccountId, text_of

ChargedOrder = Annotated[
    str, text_of("Which earlier order Digistore24 is to charge again; without it the account's own is found.")
]


class PurchaseRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """For whom, and what."""

    account: AccountId
    offer: Annotated[str, text_of("What is bought: `product/top-up`.")]
    provider: ProviderName | None = None
    order: ChargedOrder | None = None


class PurchaseView(Struct, kw_only=True):
    """What came of it, as far as that is known."""

    account: str
    offer: str
    provider: Provider
    state: Annotated[
        State,
        Meta(
            description="`succeeded`: the money is on its way, and the credits come with the provider's word of it. "
            "`pending`: that will be decided, or told, later; the same key tells. `declined`: who keeps the buyer's "
            "money has said no. `authentication_required`: the buyer has to say yes, at `url`. `failed`: nothing was "
            "charged."
        ),
    ]
    payment: Annotated[str | None, Meta(description="The provider's own id of what was begun.")]
    url: Annotated[str | None, Meta(description="Where the buyer can pay himself.")]
    reason: Annotated[str | None, Meta(description="Why it did not succeed, as a code.")]
    message: str | None
    again: Annotated[bool, Meta(description="Whether the same key may go well later: nothing was charged as yet.")]


_purchase = Form(PurchaseRequest)


async def create_purchase(request: Request, desk: Desk) -> PurchaseView:
    """Charge an account for a top-up, once under this key."""
    fields = _purchase.read(request)
    account, offer, order = fields.text("account"), fields.text("offer"), fields.text_if("order")
    wanted = provider_of(fields)
    key = PREFIX + idempotency_key(request)
    if wrong := text_error(account):
        fields.refuse("account", wrong)
    fields.check()
    workspace, commerce = request.caller.workspace, desk.commerce
    try:
        provider = await commerce.selling.provider(workspace, wanted)
        charged = await commerce.charging.charge(workspace, account, offer, provider, key, order=order)
    except (ProviderTrouble, Unsellable) as error:
        raise fault_of(error) from error
    except AccessError as error:
        raise told(error) from error
    if charged.reason == "offer_not_found":
        raise Fault("offer_not_found", detail=f"There is no top-up {offer!r}.")
    return write_purchase(charged, account, offer, provider)


def write_purchase(charged: Charged, account: str, offer: str, provider: Provider) -> PurchaseView:
    """What came of it, on the wire."""
    return PurchaseView(
        account=account, offer=offer, provider=provider, state=charged.state, payment=charged.payment or None,
        url=charged.url or None, reason=reason_of(charged.reason) or None, message=charged.message or None,
        again=charged.again,
    )  # fmt: skip


_EXAMPLE: Final[dict[str, Any]] = {
    "account": "user_42", "offer": "assistant/pack-500", "provider": "stripe", "state": "succeeded",
    "payment": "pi_3PxAbc", "url": None, "reason": None, "message": None, "again": False,
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        path="/v1/purchases",
        operation_id="createPurchase",
        summary="Buy a top-up for an account, without the buyer",
        description="The account is charged with what it has paid with before and left there for that (`keep_method` "
        "of a checkout): at Stripe a payment method, at Digistore24 an order that can be charged again. The "
        "price is that of the catalogue. It is asked for once under its key, whatever becomes of the "
        "answer: the same key again tells what is known by then, and a purchase of which nobody knows stays "
        "`pending` until the provider tells of the payment, or Stripe, asked for it after a day, says how "
        "it stands. Only one that surely was not begun (`failed`, no `payment`) is tried again. The credits "
        "come when the provider tells of the payment.",
        scope="grant",
        request=PurchaseRequest,
        answer=PurchaseView,
        example={"account": "user_42", "offer": "assistant/pack-500", "provider": "stripe"},
        answered=_EXAMPLE,
        codes=frozenset({"offer_not_found", "provider_key_missing"}),
        act=create_purchase,
        keyed=True,
    ),
)
