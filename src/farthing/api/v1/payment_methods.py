"""Payment methods: what an account has left with a provider to be charged again, and which of them is."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

from msgspec import Meta

from farthing.commerce.methods import Kept
from farthing.commerce.selling import Unsellable
from farthing.commerce.troubles import ProviderTrouble
from farthing.core.catalogue import PROVIDERS, Provider
from farthing.stores.access import AccessError, Once

from ..endpoint import Endpoint, Reply, Request
from .account_settings import account_named
from .administration import Answered, Asked, act_of, answer, once, told
from .buying import TROUBLES, ProviderName, fault_of, provider_of
from .desk import Desk
from .fields import Form
from .parameters import in_path, parameter
from .reading import Listed, Params, listed_example, named

T = TypeVar("T")


class MethodRequest(Asked, kw_only=True):
    """Which provider keeps it."""

    provider: ProviderName | None = None


class PaymentMethodView(Answered, kw_only=True):
    """Something that can be charged again."""

    id: Annotated[str, Meta(description="The provider's own id.")]
    type: Annotated[str, Meta(description="In the provider's word: `card`, `sepa_debit`.")]
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    charged: Annotated[bool, Meta(description="It is what a purchase without the buyer takes.")]


class MethodForgotten(Answered, kw_only=True):
    """One that is not there any more."""

    account: str
    id: str


def write_method(kept: Kept) -> PaymentMethodView:
    """A payment method on the wire."""
    return PaymentMethodView(
        id=kept.id, type=kept.type, brand=kept.brand or None, last4=kept.last4 or None, exp_month=kept.exp_month,
        exp_year=kept.exp_year, charged=kept.charged,
    )  # fmt: skip


_form = Form(MethodRequest)


def read_provider(params: Params) -> str:
    """The provider that is named; empty where none is."""
    found = params.choices("provider", PROVIDERS)
    if len(found) > 1:
        params.refuse("provider", "must be one")
    return "".join(found[:1])


async def list_methods(request: Request, desk: Desk) -> Listed[PaymentMethodView]:
    """What an account has left."""
    params = Params(request, "provider")
    wanted = read_provider(params)
    params.check()
    account, workspace = (await account_named(request, desk)).id, request.caller.workspace

    async def work(provider: Provider) -> list[Kept]:
        return await desk.commerce.methods.of(workspace, account, provider)

    return Listed([write_method(each) for each in await _asked(request, desk, wanted, work)], False, None)


async def prefer_method(request: Request, desk: Desk) -> Reply:
    """Have one charged from now on."""
    under, kept = await _change(request, desk, desk.commerce.methods.prefer)
    return answer(under, write_method(kept))


async def forget_method(request: Request, desk: Desk) -> Reply:
    """Have one never charged again."""
    under, kept = await _change(request, desk, desk.commerce.methods.forget)
    return answer(under, MethodForgotten(account=named(request, "account", "account"), id=kept.id))


async def _change(request: Request, desk: Desk, do: Callable[..., Awaitable[Kept]]) -> tuple[Once, Kept]:
    """Do something with one, once under the request's key; as it was."""
    fields = _form.read(request)
    wanted, id = provider_of(fields), named(request, "method", "payment_method")
    account, workspace, act = (await account_named(request, desk)).id, request.caller.workspace, act_of(request, desk)
    under = once(fields, account=account, method=id, provider=wanted)

    async def work(provider: Provider) -> Kept:
        return await do(workspace, account, provider, id, act, under)

    try:
        return under, await _asked(request, desk, wanted, work)
    except AccessError as error:
        raise told(error) from error


async def _asked(request: Request, desk: Desk, wanted: str, work: Callable[[Provider], Awaitable[T]]) -> T:
    try:
        return await work(await desk.commerce.selling.provider(request.caller.workspace, wanted))
    except (ProviderTrouble, Unsellable) as error:
        raise fault_of(error) from error


_EXAMPLE: Final[dict[str, Any]] = {
    "id": "pm_1PxAbc", "type": "card", "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2040,
    "charged": True,
}  # fmt: skip
_CODES: Final = frozenset({*TROUBLES.values(), "account_not_found"})
OF_PROVIDER: Final = parameter(
    "provider", "It may be left out where the workspace has one only.", enum=list(PROVIDERS), example="stripe"
)
_ACCOUNT: Final = in_path("account", "Whose.", "user_42")
_ONE: Final = (_ACCOUNT, in_path("method", "The provider's own id of it.", "pm_1PxAbc"))

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/payment-methods",
        operation_id="listPaymentMethods",
        summary="What an account can be charged by",
        description="What its buyer has left with the provider (`keep_method` of a checkout, or a subscription), "
        "newest first. Digistore24 keeps them to itself, and charges an order again.",
        scope="read",
        request=None,
        answer=Listed[PaymentMethodView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=_CODES,
        act=list_methods,
        own=True,
        parameters=(
            _ACCOUNT,
            OF_PROVIDER,
        ),
    ),
    Endpoint(
        path="/v1/accounts/{account}/payment-methods/{method}/prefer",
        operation_id="preferPaymentMethod",
        summary="Have a payment method charged from now on",
        description="It is what purchases without the buyer take, and subscriptions that name no other.",
        scope="charge",
        request=MethodRequest,
        answer=PaymentMethodView,
        example={"provider": "stripe"},
        answered=_EXAMPLE,
        codes=_CODES | {"payment_method_not_found"},
        act=prefer_method,
        own=True,
        keyed=True,
        parameters=_ONE,
    ),
    Endpoint(
        path="/v1/accounts/{account}/payment-methods/{method}/forget",
        operation_id="forgetPaymentMethod",
        summary="Have a payment method never charged again",
        description="The provider lets go of it. A subscription that was paid by it is not ended by that.",
        scope="charge",
        request=MethodRequest,
        answer=MethodForgotten,
        example={"provider": "stripe"},
        answered={"account": "user_42", "id": "pm_1PxAbc"},
        codes=_CODES | {"payment_method_not_found"},
        act=forget_method,
        own=True,
        keyed=True,
        parameters=_ONE,
    ),
)  # fmt: skip
