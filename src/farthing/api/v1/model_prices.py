"""Model prices: what the catalogue says that models cost, what of it holds in the workspace, and its own prices.

The catalogue is one for the whole deployment. A workspace's own price of a model is a rule of its rate card, and wins.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from farthing.core.exact import plain
from farthing.core.pricing import Book
from farthing.core.records import UnknownModels
from farthing.core.terms import Term, names_model
from farthing.prices.book import CARD
from farthing.prices.lookup import Looked, look_up

from ..endpoint import Endpoint, Parameter, Request
from .desk import Desk
from .model_views import MODEL, PRICES, DimensionPrice, ModelLine, Step, model_facts
from .parameters import text_parameter
from .reading import PAGING, Listed, Params, listed_example, not_found


class CatalogueLine(ModelLine, kw_only=True):
    """A model of the catalogue, as it concerns the workspace."""

    overridden: Annotated[bool, Meta(description="The workspace's rate card has rules of its own for it.")]


class TermView(DimensionPrice, kw_only=True):
    """A price that applies to a model in this workspace."""

    source: Annotated[
        Literal["card", "catalogue", "default"],
        Meta(description="Who says so: a rule of the card, the catalogue, or a default rule of the card."),
    ]
    reference: Annotated[str, Meta(description="The version of the card, or of the catalogue's price.")]
    rule: str | None
    currency: Annotated[str | None, Meta(description="Of the price; null: the workspace's unit.")]
    rate: Annotated[str, Meta(description="Units of the workspace for one of the currency.")]


class ResolvedView(Struct, kw_only=True):
    """What a model's name is taken for, and what it costs here."""

    sent: Annotated[str, Meta(description="The name, as it was sent.")]
    provider: str | None
    model: Annotated[str | None, Meta(description="The model of the catalogue; null: it has none of that name.")]
    candidates: Annotated[list[str], Meta(description="Where the name could mean several: which.")]
    priced: Annotated[bool, Meta(description="Whether usage of it has a price.")]
    unknown_models: Annotated[UnknownModels, Meta(description="The workspace's policy for what has none.")]
    card: str | None
    terms: Annotated[list[TermView], Meta(description="Before markups, which the card adds to the sum.")]
    catalogue: Annotated[ModelLine | None, Meta(description="What the catalogue has of it.")]


# Writing


def write_term(term: Term) -> TermView:
    """A price that applies, on the wire."""
    tariff, several = term.tariff, len(term.tariff.steps) > 1
    return TermView(
        dimension=tariff.dimension,
        price=None if several else tariff.steps[0].price,
        per=tariff.per,
        tiers=[Step(plain(step.start), step.price) for step in tariff.steps] if several else [],
        tier_mode=("whole" if tariff.whole else "graduated") if several else None,
        tier_by=tariff.by if several else None,
        source=term.origin,
        reference=term.reference,
        rule=tariff.rule or None,
        currency=term.currency or None,
        rate=term.rate,
    )


# Reading


async def _book(request: Request, desk: Desk) -> Book | None:
    """The prices of now; None where the workspace has no rate card yet."""
    found = (await desk.books.book(request.caller.workspace)).at(desk.now_us())
    return found if isinstance(found, Book) else None


async def list_models(request: Request, desk: Desk) -> Listed[CatalogueLine]:
    """A page of the catalogue."""
    params = Params(request, "query", "provider", "limit", "cursor")
    text, provider = params.text("query") or "", params.text("provider") or ""
    turn = await params.turn(desk, "model-prices")
    page = await desk.prices.search(text, desk.now_us(), provider=provider, after=turn.after, limit=turn.limit)
    book = await _book(request, desk)
    lines = [
        CatalogueLine(**model_facts(row), overridden=book is not None and names_model(row.provider, row.model, book))
        for row in page.items
    ]
    return await turn.told(lines, page.next)


async def resolve_model(request: Request, desk: Desk) -> ResolvedView:
    """What a model's name means, and costs here."""
    params = Params(request, "model", "provider")
    model, provider = params.needed("model"), params.text("provider") or ""
    params.check()
    workspace = request.caller.workspace
    looked = await look_up(desk.books, desk.prices, workspace, provider, model, desk.now_us())
    return _resolved(looked, model, workspace.settings.unknown_models)


def _resolved(looked: Looked, sent: str, policy: UnknownModels) -> ResolvedView:
    key, book = looked.found.key, looked.book
    return ResolvedView(
        sent=sent,
        provider=None if key is None else key[0],
        model=None if key is None else key[1],
        candidates=["/".join(candidate) for candidate in looked.found.candidates],
        priced=bool(looked.terms),
        unknown_models=policy,
        card=None if book is None else book.reference,
        terms=[write_term(term) for term in looked.terms],
        catalogue=None if looked.row is None else ModelLine(**model_facts(looked.row)),
    )


async def show_history(request: Request, desk: Desk) -> Listed[ModelLine]:
    """A page of a model's versions, newest first."""
    params = Params(request, "provider", "model", "limit", "cursor")
    provider, model = params.needed("provider"), params.needed("model")
    turn = await params.turn(desk, "model-price-history")
    page = await desk.prices.history(provider, model, before=turn.after, limit=turn.limit)
    if not page.items and turn.after is None:
        raise not_found("model")
    return await turn.told([ModelLine(**model_facts(row)) for row in page.items], page.next)


# The table


_TERM: Final[dict[str, Any]] = {
    "source": "catalogue", "reference": "catalogue:openai/gpt-4o@2", "rule": None, "currency": "USD", "rate": "100",
}  # fmt: skip


def _needed(name: str, description: str, example: str) -> Parameter:
    parameter = text_parameter(name, description, example)
    return Parameter(
        name=name, place="query", description=description, schema=parameter.schema, required=True, example=example
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/model-prices",
        operation_id="listModelPrices",
        summary="The catalogue of model prices",
        description="By provider and model: what is in force, as the source says it. `overridden` marks models for "
        "which the workspace's rate card has rules of its own.",
        scope="read",
        request=None,
        answer=Listed[CatalogueLine],
        example={},
        answered=listed_example({**MODEL, "overridden": False}),
        codes=frozenset({"cursor_invalid"}),
        act=list_models,
        parameters=(
            text_parameter("query", "Only models whose `provider/model` holds this.", "gpt-4o"),
            text_parameter("provider", "Only this provider's.", "openai"),
            *PAGING,
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/model-prices/resolve",
        operation_id="resolveModel",
        summary="What a model's name means and costs",
        description="Any id that a caller may send: with `:` and `/`, an alias, with the provider in front. Names that "
        "could mean several models are not guessed.",
        scope="read",
        request=None,
        answer=ResolvedView,
        example={},
        answered={
            "sent": "openai/gpt-4o",
            "provider": "openai",
            "model": "gpt-4o",
            "candidates": [],
            "priced": True,
            "unknown_models": "default",
            "card": f"{CARD}@3",
            "terms": [{**price, **_TERM} for price in PRICES],
            "catalogue": MODEL,
        },
        codes=frozenset(),
        act=resolve_model,
        parameters=(
            _needed("model", "The model's id, as it is sent.", "gpt-4o"),
            text_parameter("provider", "Who runs it, where that is known.", "openai"),
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/model-prices/history",
        operation_id="listModelPriceHistory",
        summary="All prices that a model had",
        description="Newest first, with source, who, when and why; those in quarantine and refused ones included.",
        scope="read",
        request=None,
        answer=Listed[ModelLine],
        example={},
        answered=listed_example(MODEL),
        codes=frozenset({"model_not_found", "cursor_invalid"}),
        act=show_history,
        parameters=(
            _needed("provider", "As the catalogue has it.", "openai"),
            _needed("model", "As the catalogue has it.", "gpt-4o"),
            *PAGING,
        ),
    ),
)
