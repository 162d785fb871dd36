"""Quarantine: prices that a sync did not let in, for operators to look at. The catalogue belongs to the whole
deployment, so no key of a workspace decides about it.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from farthing.core.credentials import OPERATOR
from farthing.prices.catalogue import read_listing
from farthing.prices.sync import let_in
from farthing.stores.prices import AccessError

from ..endpoint import Endpoint, Reply, Request
from .administration import Asked, act_of, answer, once, told
from .card_changes import Reason, read_reason
from .desk import Desk
from .fields import Form
from .model_views import MODEL, PRICES, DimensionPrice, ModelLine, model_facts, write_prices
from .reading import PAGING, Listed, Params, listed_example
from .wire import text_of


class DecisionRequest(Asked):
    """What is to become of a price that waits."""

    provider: Annotated[str, text_of("Whose model it is.")]
    model: Annotated[str, text_of("The model.")]
    version: Annotated[int, Meta(ge=1, le=10**9, description="Of its price.")]
    reason: Reason


class WaitingLine(ModelLine, kw_only=True):
    """A price that waits for somebody to look at it."""

    current: Annotated[list[DimensionPrice], Meta(description="The prices in force, which it would replace.")]


# Reading


async def list_quarantine(request: Request, desk: Desk) -> Listed[WaitingLine]:
    """A page of the prices that wait."""
    turn = await Params(request, "limit", "cursor").turn(desk, "model-price-quarantine")
    page = await desk.prices.quarantined(after=turn.after, limit=turn.limit)
    now_us, lines = desk.now_us(), []
    for row in page.items:
        now = await desk.prices.price_at(row.provider, row.model, now_us)
        current = [] if now is None else write_prices(read_listing(now.document).price.prices)
        lines.append(WaitingLine(**model_facts(row), current=current))
    return await turn.told(lines, page.next)


# Deciding


_decision = Form(DecisionRequest)


async def activate(request: Request, desk: Desk) -> Reply:
    """Let a price in."""
    return await _decide(request, desk, "activate")


async def refuse(request: Request, desk: Desk) -> Reply:
    """Keep a price out."""
    return await _decide(request, desk, "refuse")


async def _decide(request: Request, desk: Desk, what: Literal["activate", "refuse"]) -> Reply:
    fields = _decision.read(request)
    provider, model, reason = fields.text("provider"), fields.text("model"), read_reason(fields)
    version = fields.whole("version", 1, 10**9, 0)
    if not version:
        fields.refuse("version", "is missing")
    under = once(fields, what=what, provider=provider, model=model, version=version, reason=reason)
    act = act_of(request, desk)
    try:
        if what == "activate":
            row = await let_in(desk.prices, provider, model, version, act, reason, under)
        else:
            row = await desk.prices.refuse(provider, model, version, act, reason, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, ModelLine(**model_facts(row)))


# The table


_DECISION: Final[dict[str, Any]] = {
    "provider": "openai", "model": "gpt-4o", "version": 2, "reason": "The vendor's page says so"
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/model-prices/quarantine",
        operation_id="listQuarantine",
        summary="Prices that wait for somebody to look at them",
        description="A sync lets in no price that is negative, missing, zero by accident or far from what it was: "
        "`reason` says which. For operators.",
        scope=OPERATOR,
        request=None,
        answer=Listed[WaitingLine],
        example={},
        answered=listed_example(
            {**MODEL, "status": "quarantined", "reason": "input_tokens is 10 times what it was", "current": PRICES}
        ),
        codes=frozenset({"cursor_invalid"}),
        act=list_quarantine,
        parameters=PAGING,
    ),
    Endpoint(
        path="/v1/model-prices/quarantine/activate",
        operation_id="activateModelPrice",
        summary="Let a price in",
        description="It begins within seconds, in every workspace that uses the catalogue. For operators.",
        scope=OPERATOR,
        request=DecisionRequest,
        answer=ModelLine,
        example=_DECISION,
        answered={**MODEL, "reason": "The vendor's page says so"},
        codes=frozenset({"version_not_found", "price_not_quarantined", "price_unusable"}),
        act=activate,
        keyed=True,
    ),
    Endpoint(
        path="/v1/model-prices/quarantine/refuse",
        operation_id="refuseModelPrice",
        summary="Keep a price out",
        description="For good: the same one does not come up again. For operators.",
        scope=OPERATOR,
        request=DecisionRequest,
        answer=ModelLine,
        example=_DECISION,
        answered={**MODEL, "status": "refused", "reason": "The vendor's page says so"},
        codes=frozenset({"version_not_found", "price_not_quarantined"}),
        act=refuse,
        keyed=True,
    ),
)
