"""Buying: what an account may buy of a product and where, a checkout for one offer, and the portal where a customer
manages what he has. Nothing here moves credits: the provider's notification of the payment does.
"""

import re
from collections.abc import Mapping
from math import ceil
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct

from farthing.commerce.links import Buyer, Link
from farthing.commerce.selling import Offered, Unsellable
from farthing.commerce.troubles import Kind, ProviderTrouble
from farthing.core.catalogue import PROVIDERS, Provider

from ..endpoint import Endpoint, Headers, Request
from .desk import Desk
from .fields import Fields, Form, account_of
from .parameters import in_path
from .problems import Fault, Wrong
from .reach import require_own
from .wire import AccountId, text_of

TROUBLES: Final[Mapping[Kind, str]] = {
    "key_missing": "provider_key_missing",
    "key_invalid": "provider_key_invalid",
    "key_forbidden": "provider_key_forbidden",
    "rate_limited": "provider_rate_limited",
    "unavailable": "provider_unavailable",
    "refused": "provider_refused",
}
"""What trouble with a provider is called here."""
_REASONS: Final[Mapping[str, str]] = {str(kind): code for kind, code in TROUBLES.items()}
_FIELDS: Final[Mapping[str, str]] = {
    "provider_needed": "provider",
    "missing_return_url": "return_url",
    "order_of_another": "account",
    "methods_unknown": "provider",
}
"""The field that is wrong, by why nothing can be offered; all else has a code of its own."""

_ADDRESS: Final = re.compile("https?://[!-~]+")
_RETRY_AFTER: Final = 5

ProviderName = Annotated[
    str,
    Meta(
        description="The provider; it may be left out where the workspace has one only.",
        extra_json_schema={"enum": list(PROVIDERS)},
    ),
]
Address = Annotated[str, Meta(pattern="^https?://[!-~]+$", max_length=255)]
Email = Annotated[str, text_of("Of the buyer, filled in for him.")]


class _Buying(Struct, kw_only=True, forbid_unknown_fields=True):
    account: AccountId
    provider: ProviderName | None = None
    email: Email | None = None
    success_url: Annotated[Address | None, Meta(description="Where he comes to when he has paid.")] = None
    cancel_url: Annotated[Address | None, Meta(description="Where he comes to when he has not.")] = None
    keep_method: Annotated[
        bool | None, Meta(description="What he pays with may be charged again without him, for automatic top-ups.")
    ] = None


class LinksRequest(_Buying, kw_only=True):
    """For whom, and what of."""

    product: Annotated[str, text_of("The product's id.")]


class CheckoutRequest(_Buying, kw_only=True):
    """For whom, and what."""

    offer: Annotated[str, text_of("What is bought: `product/tier` or `product/top-up`.")]


class PortalRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where the customer comes from."""

    return_url: Annotated[Address | None, Meta(description="Where he comes back to.")] = None


class LinkView(Struct, kw_only=True):
    """Something to buy, and where."""

    type: Annotated[str, Meta(extra_json_schema={"enum": ["upgrade", "downgrade", "topup", "manage"]})]
    offer: Annotated[str | None, Meta(description="Our name of it; null of what is none.")]
    label: str
    description: str | None
    enabled: bool
    disabled_reason: Annotated[str | None, Meta(description="Why it can't be bought, as a code.")]
    url: Annotated[str | None, Meta(description="Made by the provider for this account; never keep it.")]
    mode: Annotated[str, Meta(extra_json_schema={"enum": ["create_buy_url", "ds_upgrade_url", "checkout", "portal"]})]
    effective: Annotated[
        str,
        Meta(
            description="When a change of tier counts.",
            extra_json_schema={"enum": ["immediate", "end_of_period", "unknown"]},
        ),
    ]
    to_product: Annotated[str | None, Meta(description="The provider's own id of what is bought.")]
    from_product: Annotated[str | None, Meta(description="The same of the present tier.")]


class LinksView(Struct, kw_only=True):
    """What an account may buy: upgrades and downgrades by rank, then top-ups, the most credits first."""

    account: str
    product: str
    provider: Provider
    tier: Annotated[str | None, Meta(description="The present one.")]
    order: Annotated[str | None, Meta(description="By which it is billed.")]
    links: list[LinkView]


class CheckoutView(Struct, kw_only=True):
    """Where an offer is bought."""

    account: str
    offer: str
    provider: Provider
    url: str


class PortalView(Struct, kw_only=True):
    """Where a customer manages what he has."""

    account: str
    url: str


_links, _checkout, _portal = Form(LinksRequest), Form(CheckoutRequest), Form(PortalRequest)


async def create_links(request: Request, desk: Desk) -> LinksView:
    """All that an account may buy of a product."""
    fields = _links.read(request)
    account, product, buyer, wanted = (
        fields.text("account"),
        fields.text("product"),
        _buyer(fields),
        provider_of(fields),
    )
    _check(fields, request, account)
    workspace, selling = request.caller.workspace, desk.commerce.selling
    try:
        provider = await selling.provider(workspace, wanted)
        offered = await selling.links(workspace, account, product, provider, buyer=buyer)
        if offered.trouble is not None:
            raise offered.trouble
    except (ProviderTrouble, Unsellable) as error:
        raise fault_of(error) from error
    return write_links(offered, account)


async def create_checkout(request: Request, desk: Desk) -> CheckoutView:
    """Where one offer is bought."""
    fields = _checkout.read(request)
    account, offer, buyer, wanted = fields.text("account"), fields.text("offer"), _buyer(fields), provider_of(fields)
    _check(fields, request, account)
    workspace, selling = request.caller.workspace, desk.commerce.selling
    try:
        provider = await selling.provider(workspace, wanted)
        link = await selling.checkout(workspace, account, offer, provider, buyer=buyer)
    except (ProviderTrouble, Unsellable) as error:
        raise fault_of(error) from error
    return CheckoutView(account=account, offer=offer, provider=provider, url=link.url)


async def create_portal(request: Request, desk: Desk) -> PortalView:
    """Where a customer of Stripe's manages what he has."""
    fields, account = _portal.read(request), account_of(request)
    back = _address(fields, "return_url")
    fields.check()
    try:
        url = await desk.commerce.selling.portal(request.caller.workspace, account, back)
    except (ProviderTrouble, Unsellable) as error:
        raise fault_of(error) from error
    return PortalView(account=account, url=url)


def _check(fields: Fields, request: Request, account: str) -> None:
    fields.check()
    require_own(request.caller, account)


def provider_of(fields: Fields) -> str:
    """The provider that is named; empty where none is."""
    return "" if fields.values.provider in (None, UNSET) else fields.choice("provider", PROVIDERS)


def _buyer(fields: Fields) -> Buyer:
    return Buyer(
        email=fields.text_if("email"),
        success_url=_address(fields, "success_url"),
        cancel_url=_address(fields, "cancel_url"),
        keep_method=fields.flag("keep_method"),
    )


def _address(fields: Fields, name: str) -> str:
    text = fields.text_if(name)
    if text and not _ADDRESS.fullmatch(text):
        fields.refuse(name, "must be a URL such as https://app.example.com/thanks")
    return text


def fault_of(error: ProviderTrouble | Unsellable) -> Fault:
    """Why nothing can be bought."""
    detail = f"{str(error).rstrip('.')}."
    if isinstance(error, ProviderTrouble):
        headers: Headers = ()
        if error.passes:
            headers = ((b"retry-after", b"%d" % ceil(error.retry_after or _RETRY_AFTER)),)
        return Fault(TROUBLES[error.kind], detail=detail, headers=headers)
    if error.code in _FIELDS:
        return Fault("invalid", [Wrong(pointer=f"/{_FIELDS[error.code]}", detail=str(error))])
    if error.reason:
        return Fault(error.code, detail=detail, reason=reason_of(error.reason))
    return Fault(error.code, detail=detail)


def reason_of(disabled: str) -> str:
    """What a reason of our own is called here: one that is a trouble with the provider has a name of its own."""
    return _REASONS.get(disabled, disabled)


def write_links(offered: Offered, account: str) -> LinksView:
    """What is offered, on the wire."""
    have = offered.have
    return LinksView(
        account=account, product=offered.product, provider=offered.provider, tier=have.tier.id if have.tier else None,
        order=have.order or None, links=[_view(link) for link in offered.links],
    )  # fmt: skip


def _view(link: Link) -> LinkView:
    return LinkView(
        type=link.type, offer=link.offer or None, label=link.label, description=link.description or None,
        enabled=not link.disabled, disabled_reason=reason_of(link.disabled) or None, url=link.url or None,
        mode=link.mode, effective=link.effective, to_product=link.to_product or None,
        from_product=link.from_product or None,
    )  # fmt: skip


_CODES: Final = frozenset(TROUBLES.values())
_EXAMPLE: Final[dict[str, Any]] = {
    "account": "user_42", "product": "assistant", "provider": "stripe", "tier": None, "order": None,
    "links": [
        {
            "type": "topup", "offer": "assistant/pack-500", "label": "500 credits", "description": "9.00 EUR",
            "enabled": True, "disabled_reason": None, "url": "https://checkout.stripe.com/c/pay/cs_test_a1",
            "mode": "checkout", "effective": "immediate", "to_product": "price_pack_500", "from_product": None,
        }
    ],
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        path="/v1/purchase-links",
        operation_id="createLinks",
        summary="What an account may buy, and where",
        description="Upgrades by rank, then downgrades by rank, then top-ups, the most credits first; at Stripe also a "
        "link to the customer portal (`manage`), where a subscription is changed. Each link is made by the provider "
        "for this account, and lives for a day. What can't be bought is disabled, and says why.",
        scope="read",
        request=LinksRequest,
        answer=LinksView,
        example={"account": "user_42", "product": "assistant", "provider": "stripe"},
        answered=_EXAMPLE,
        codes=_CODES | {"product_not_found"},
        act=create_links,
        own=True,
        only_reads=True,
    ),
    Endpoint(
        path="/v1/checkouts",
        operation_id="createCheckout",
        summary="Where an offer is bought",
        description="A page of the provider's, made for this account: a checkout of Stripe, or a link of Digistore24. "
        "Each is one of its own: two that are paid are two purchases. The credits come when the provider tells of the "
        "payment, whether or not the buyer comes back.",
        scope="read",
        request=CheckoutRequest,
        answer=CheckoutView,
        example={"account": "user_42", "offer": "assistant/pack-500", "provider": "stripe"},
        answered={
            "account": "user_42", "offer": "assistant/pack-500", "provider": "stripe",
            "url": "https://checkout.stripe.com/c/pay/cs_test_a1",
        },
        codes=_CODES | {"offer_not_found", "offer_unavailable"},
        act=create_checkout,
        own=True,
        only_reads=True,
    ),
    Endpoint(
        path="/v1/accounts/{account}/portal",
        operation_id="createPortal",
        summary="Where a customer manages what he has",
        description="Stripe's customer portal: bills, cards, and subscriptions to be changed or ended. The link works "
        "for some minutes.",
        scope="charge",
        request=PortalRequest,
        answer=PortalView,
        example={"return_url": "https://app.example.com/account"},
        answered={"account": "user_42", "url": "https://billing.stripe.com/p/session/test_a1"},
        codes=_CODES | {"customer_not_found"},
        act=create_portal,
        own=True,
        only_reads=True,
        parameters=(in_path("account", "Whose.", "user_42"),),
    ),
)  # fmt: skip
