"""Prices of one's own: a workspace's price of a model is set, and taken away again, as rules of its rate card.

Each change is a version of the card, made from the one that is there last; where somebody else adds a version in
between, it is made again from that.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

from msgspec import Meta

from farthing.core.exact import MAX_PRICE_DECIMALS, decimal_problem
from farthing.core.quantities import DIMENSION, DIMENSION_FORM, MAX_DIMENSIONS
from farthing.core.ratecard import CardError
from farthing.prices.book import CARD
from farthing.prices.cards import NoSuchPrice, drop_model_price
from farthing.prices.catalogue import read_listing
from farthing.prices.lookup import current_document, look_up
from farthing.prices.overrides import Override, overridden
from farthing.stores.prices import AccessError, Once

from ..endpoint import Endpoint, Reply, Request
from .administration import Asked, act_of, once, told
from .card_changes import Begins, Reason, added, card_problems, read_reason
from .desk import Desk
from .fields import Fields, Form
from .model_views import PER
from .problems import Fault, Wrong
from .rate_cards import FACTS, VersionFacts
from .wire import text_of

MAX_PER: Final = 10**12
_TRIES: Final = 3

Amount = Annotated[str, Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,18})?$", description="Decimal text, never negative.")]
Prices = Annotated[
    dict[str, Amount],
    Meta(
        min_length=1,
        max_length=MAX_DIMENSIONS,
        description="By dimension, such as `input_tokens`, `output_tokens`, `cache_read_tokens`.",
        extra_json_schema={"propertyNames": {"pattern": f"^{DIMENSION.pattern}$"}},
    ),
]


class OverrideRequest(Asked):
    """A price of the workspace's own."""

    model: Annotated[str, text_of("The model, as callers send it or as the catalogue has it.")]
    prices: Prices
    reason: Reason
    provider: Annotated[str, text_of("Only for this provider's; left out: whoever runs it.")] | None = None
    per: Annotated[int, Meta(ge=1, le=MAX_PER, description="Units that a price is for.")] | None = PER
    currency: (
        Annotated[
            str, text_of("Of the prices: `USD`, where the card says what one comes to; left out: that of the card.")
        ]
        | None
    ) = None
    effective_from: Begins | None = None


class RemoveRequest(Asked):
    """A price of the workspace's own that is to be taken away."""

    model: Annotated[str, text_of("The model, as the price was set for it.")]
    reason: Reason
    provider: Annotated[str, text_of("The provider, if the price was set for that one's only.")] | None = None
    effective_from: Begins | None = None


# Setting


_override, _remove = Form(OverrideRequest), Form(RemoveRequest)


async def set_price(request: Request, desk: Desk) -> Reply:
    """Give a model a price of the workspace's own."""
    fields = _override.read(request)
    wanted, begins, reason = _wanted(fields), fields.instant("effective_from"), read_reason(fields)
    asked = {"model": wanted.model, "provider": wanted.provider, "prices": dict(wanted.prices), "per": wanted.per}
    under = once(fields, **asked, currency=wanted.currency, effective_from=begins, reason=reason)
    workspace = request.caller.workspace
    looked = await look_up(desk.books, desk.prices, workspace, wanted.provider, wanted.model, desk.now_us())
    known = None if looked.row is None else read_listing(looked.row.document).price

    def change(document: str | None) -> str:
        return overridden(document, wanted, known)

    return await _change_card(request, desk, change, "/prices", begins, reason, under)


async def remove_price(request: Request, desk: Desk) -> Reply:
    """Take the workspace's own price of a model away."""
    fields = _remove.read(request)
    model, provider = fields.text("model"), fields.text_if("provider")
    begins, reason = fields.instant("effective_from"), read_reason(fields)
    under = once(fields, model=model, provider=provider, effective_from=begins, reason=reason, removed=True)

    def change(document: str | None) -> str:
        return drop_model_price(document, model, provider)

    return await _change_card(request, desk, change, "/model", begins, reason, under)


async def _change_card(
    request: Request, desk: Desk, change: Callable[[str | None], str], about: str, begins: int | None, reason: str,
    under: Once,
) -> Reply:  # fmt: skip
    """Add the card as it is after a change; `about` is the field that is wrong where the card would be."""
    workspace, act = request.caller.workspace, act_of(request, desk)
    try:
        # A repeat finds a card that has changed already.
        if first := await desk.prices.added_before(workspace.id, under):
            return added(under, first)
        for attempt in range(_TRIES):
            document, last = await current_document(desk.prices, workspace.id, CARD, act.at)
            changed = _changed(document, change, workspace.scale, about)
            try:
                made = await desk.prices.add_version(workspace.id, CARD, changed, begins, act, under, reason, last)
            except AccessError as error:
                # Somebody else changed the card in between: begin anew from what it is now.
                if error.code != "precondition_failed" or attempt == _TRIES - 1:
                    raise
            else:
                return added(under, made)
    except AccessError as error:
        raise told(error) from error
    raise AssertionError("the last try answers or raises")


def _changed(document: str | None, change: Callable[[str | None], str], scale: int, about: str) -> str:
    """The card after the change, which has to be right."""
    try:
        changed = change(document)
    except NoSuchPrice as error:
        raise Fault("model_not_found", [Wrong(pointer="/model", detail=str(error))]) from error
    except CardError as error:
        if any(pointer == "/profile" for pointer, _ in error.problems):
            raise Fault("card_is_profile") from error
        raise Fault("invalid", [Wrong(pointer=pointer, detail=why) for pointer, why in error.problems]) from error
    problems = [f"{w.pointer} {w.detail}" for w in card_problems(changed, scale, "")]
    if problems:
        raise Fault("invalid", [Wrong(pointer=about, detail=f"would make the card wrong: {'; '.join(problems)}")])
    return changed


def _wanted(fields: Fields) -> Override:
    prices = fields.names("prices", MAX_DIMENSIONS) or {}
    if not prices:
        fields.refuse("prices", "must have a price by dimension, such as 2.5 for input_tokens")
    for name, price in prices.items():
        if not DIMENSION.fullmatch(name):
            fields.refuse("prices", f"is no name of a dimension: {DIMENSION_FORM}", name[:64])
        elif wrong := decimal_problem(price, MAX_PRICE_DECIMALS):
            fields.refuse("prices", wrong, name)
    return Override(
        model=fields.text("model"),
        prices=prices,
        per=fields.whole("per", 1, MAX_PER, PER),
        provider=fields.text_if("provider"),
        currency=fields.text_if("currency"),
    )


# The table


_VERSION_ADDED: Final[dict[str, Any]] = {**FACTS, "version": 4, "name": f"{CARD}@4", "reason": "Our contract of 2026"}
_CODES: Final = frozenset({"overlapping_versions", "precondition_failed", "card_is_profile"})

ENDPOINTS: Final = (
    Endpoint(
        path="/v1/model-prices",
        operation_id="setModelPrice",
        summary="Give a model a price of your own",
        description=f"Adds a version of the rate card `{CARD}` with these prices as rules of the model, which win over "
        "the catalogue; dimensions that are left out keep the rules that they have. The card adds its markup.",
        scope="admin",
        request=OverrideRequest,
        answer=VersionFacts,
        example={
            "model": "gpt-4o",
            "prices": {"input_tokens": "2.5", "output_tokens": "10"},
            "reason": "Our contract of 2026",
        },
        answered=_VERSION_ADDED,
        codes=_CODES,
        act=set_price,
        status=201,
        keyed=True,
    ),
    Endpoint(
        path="/v1/model-prices/remove",
        operation_id="removeModelPrice",
        summary="Take a price of your own away",
        description=f"Adds a version of the rate card `{CARD}` without the rules that are for just this model: what "
        "else the card says of it, or the catalogue, decides again.",
        scope="admin",
        request=RemoveRequest,
        answer=VersionFacts,
        example={"model": "gpt-4o", "reason": "The contract has ended"},
        answered={**_VERSION_ADDED, "reason": "The contract has ended"},
        codes=_CODES | {"model_not_found"},
        act=remove_price,
        status=201,
        keyed=True,
    ),
)
