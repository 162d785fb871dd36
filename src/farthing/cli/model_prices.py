"""Prices of models in a workspace: `prices init`, `prices show`, `prices set` and `prices unset`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import cards
from .cards import At, Reason, acted, begins_at, card_trouble, version_facts
from .catalogue import row_facts
from .exits import Exit, Trouble, invalid
from .metering import Provider, books_of, name_and_value, store_of
from .opening import Desk, at_desk
from .options import Db, In, Json
from .output import Answer, columns
from .reading import read_decimal, read_label

if TYPE_CHECKING:
    from farthing.core.terms import Term
    from farthing.prices.lookup import Looked
    from farthing.stores.prices import CardFacts

HISTORY = 10
MILLION = 1_000_000
DOLLAR = "USD"

Name = Annotated[str, typer.Argument(metavar="MODEL", help="The model's id, as callers send it.")]
Price = Annotated[
    list[str] | None,
    typer.Option("--price", metavar="NAME=PRICE", help="Of any dimension, such as cache_read_tokens=1. Repeatable."),
]


# The first card


def init(
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate", metavar="N", help="Units of the workspace for 1 USD. Default: 100; where it counts USD 1."
        ),
    ] = None,
    markup: Annotated[str, typer.Option("--markup", metavar="PERCENT", help="Added to what models cost.")] = "0",
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Make the workspace's first rate card: models cost what the catalogue says, in the workspace's unit.

    Its prices are in USD, as the catalogue's are. `farthing prices card show` has the document to go on from.
    """
    from farthing.prices.book import CARD

    with at_desk(db, workspace) as desk:
        usual = "1" if desk.workspace.unit == DOLLAR else "100"
        document = _first_card(read_decimal(rate or usual, "rate"), read_decimal(markup, "markup"))
        cards.require_right(document, desk.workspace.scale)
        store, act = store_of(desk), desk.act()
        work = store.add_version(desk.workspace.id, CARD, document, None, act, None, "The first card", 0)
        made = acted(desk, work, precondition_failed=f"the workspace has a rate card: farthing prices card show {CARD}")
        notes = [] if len(desk.ledger.wait(books_of(desk).catalogue())) else [_EMPTY]
    data = version_facts(made) | {"rate": rate or usual, "markup": markup}
    text = f"{made.card}@{made.version} prices usage by the catalogue: 1 USD is {data['rate']} {desk.workspace.unit}"
    return Answer(data, text + (f", plus {markup} %" if markup.strip("0.") else ""), notes=notes)


_EMPTY = "the catalogue is empty: `farthing prices sync` fills it"


def _first_card(rate: str, markup: str) -> str:
    from farthing.core.ratecard import CatalogueUse, Markup, RateCard
    from farthing.prices.cards import write_card

    extra = Markup(percent=markup)
    use = CatalogueUse(rate=rate, markup=extra)
    return write_card(RateCard(currency=DOLLAR, rate=rate, markup=extra, catalogue=use))


# Looking


def show(
    model: Name, provider: Provider = None, workspace: In = None, db: Db = None, as_json: Json = False
) -> Answer:  # fmt: skip
    """What a model's id is taken for, who prices it and at what; and all prices that it had in the catalogue."""
    from farthing.prices.lookup import look_up

    with at_desk(db, workspace) as desk:
        store, books = store_of(desk), books_of(desk)
        looked = desk.ledger.wait(look_up(books, store, desk.workspace, provider or "", model, desk.now_us()))
        key = looked.found.key
        past = [] if key is None else desk.ledger.wait(store.history(*key, limit=HISTORY)).items
        data = _looked_facts(looked, desk, model) | {"history": [row_facts(row) for row in past]}
    return Answer(data, _looked_text(data), Exit.OK if data["priced"] else Exit.NO)


def _looked_facts(looked: "Looked", desk: Desk, sent: str) -> dict[str, Any]:
    key, book = looked.found.key, looked.book
    return {
        "workspace": desk.workspace.id, "sent": sent, "provider": key[0] if key else None,
        "model": key[1] if key else None, "candidates": ["/".join(each) for each in looked.found.candidates],
        "priced": bool(looked.terms), "unknown_models": desk.workspace.settings.unknown_models,
        "card": None if book is None else book.reference, "terms": [_term_facts(term) for term in looked.terms],
        "catalogue": None if looked.row is None else row_facts(looked.row),
    }  # fmt: skip


def _term_facts(term: "Term") -> dict[str, Any]:
    from farthing.core.exact import plain

    tariff, several = term.tariff, len(term.tariff.steps) > 1
    return {
        "dimension": tariff.dimension, "price": None if several else tariff.steps[0].price, "per": tariff.per,
        "tiers": [{"from": plain(step.start), "price": step.price} for step in tariff.steps] if several else [],
        "tier_mode": ("whole" if tariff.whole else "graduated") if several else None,
        "tier_by": tariff.by if several else None, "source": term.origin, "reference": term.reference,
        "rule": tariff.rule or None, "currency": term.currency or None, "rate": term.rate,
    }  # fmt: skip


def _looked_text(data: dict[str, Any]) -> str:
    parts = [_meaning(data)]
    if data["terms"]:
        parts.append(_terms_table(data["terms"]))
    if data["history"]:
        parts.append(f"In the catalogue:\n{_history_table(data['history'])}")
    return "\n\n".join(parts)


def _terms_table(terms: list[dict[str, Any]]) -> str:
    rows = [("DIMENSION", "PRICE", "PER", "CURRENCY", "RATE", "BY")]
    for term in terms:
        by = " ".join(filter(None, (term["reference"], term["rule"])))
        rows.append((term["dimension"], asked(term), f"{term['per']:,}", term["currency"] or "", term["rate"], by))
    return columns(rows, right=(1, 2, 4))


def _history_table(history: list[dict[str, Any]]) -> str:
    rows = [("VERSION", "STATUS", "SINCE", "INPUT", "OUTPUT", "SOURCE", "WHY")]
    for row in history:
        prices = {price["dimension"]: asked(price) for price in row["prices"]}
        into, out = prices.get("input_tokens", "-"), prices.get("output_tokens", "-")
        since = row["effective_from"] or "ever"
        rows.append((str(row["version"]), row["status"], since, into, out, row["source"], row["reason"]))
    return columns(rows, right=(0, 3, 4))


def asked(price: dict[str, Any]) -> str:
    """A price, or its steps."""
    if price["price"] is not None:
        return str(price["price"])
    return ", ".join(f"{tier['price']} from {tier['from']}" for tier in price["tiers"])


def _meaning(data: dict[str, Any]) -> str:
    sent = data["sent"]
    if data["model"]:
        said = f"{sent} is {data['provider']}/{data['model']}"
    elif data["candidates"]:
        said = f"{sent} could be any of {', '.join(data['candidates'])}: say which with --provider"
    else:
        said = f"the catalogue has no model {sent}"
    if data["card"] is None:
        return f"{said}; the workspace has no rate card yet: farthing prices init"
    if data["priced"]:
        return f"{said}; priced by {' and '.join(dict.fromkeys(term['source'] for term in data['terms']))}"
    policy = {"unpriced": "recorded as unpriced"}.get(data["unknown_models"], "refused")
    return f"{said}; nothing has a price for it in {data['card']}: usage of it is {policy}"


# An own price


def change(
    model: Name,
    reason: Reason,
    input: Annotated[str | None, typer.Option("--input", metavar="PRICE", help="Of input_tokens.")] = None,
    output: Annotated[str | None, typer.Option("--output", metavar="PRICE", help="Of output_tokens.")] = None,
    price: Price = None,
    per: Annotated[int, typer.Option("--per", metavar="N", min=1, help="Units that a price is for.")] = MILLION,
    provider: Provider = None,
    currency: Annotated[
        str | None,
        typer.Option("--currency", metavar="CODE", help="Of the prices, such as USD. Default: that of the card."),
    ] = None,
    at: At = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Give a model a price of your own, which wins over the catalogue: a new version of the rate card.

    Prices are in the currency of the card (USD after `farthing prices init`, else the workspace's unit), before its
    markup. Dimensions that are not named keep the rules that they have.
    """
    from farthing.prices.catalogue import read_listing
    from farthing.prices.lookup import look_up
    from farthing.prices.overrides import Override, overridden

    wanted = Override(
        model=read_label(model, "model", 255), prices=_prices(input, output, price), per=per, provider=provider or "",
        currency=currency or "",
    )  # fmt: skip
    with at_desk(db, workspace) as desk:
        work = look_up(books_of(desk), store_of(desk), desk.workspace, wanted.provider, model, desk.now_us())
        looked = desk.ledger.wait(work)
        known = None if looked.row is None else read_listing(looked.row.document).price
        done = _add_changed(desk, lambda card: overridden(card, wanted, known), "the price can't be set", at, reason)
        notes = _aside(looked, wanted.model, wanted.prices, done.version)
    data = version_facts(done) | {"model": model, "provider": provider, "prices": wanted.prices, "per": per}
    told = ", ".join(f"{name} {price}" for name, price in wanted.prices.items())
    text = f"{done.card}@{done.version} from {data['effective_from']} on: {model}: {told} for {per:,}"
    return Answer(data, text, notes=notes)


def remove(
    model: Name,
    reason: Reason,
    provider: Provider = None,
    at: At = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Take a price of your own away: what else the card says of the model, or the catalogue, decides again.

    It is a new version of the rate card, without the rules that are for just this model (of this provider, if named).
    """
    from farthing.prices.cards import drop_model_price

    model, provider = read_label(model, "model", 255), provider or ""
    with at_desk(db, workspace) as desk:
        failed = "the price can't be taken away"
        done = _add_changed(desk, lambda card: drop_model_price(card, model, provider), failed, at, reason)
    data = version_facts(done) | {"model": model, "provider": provider or None}
    text = f"{done.card}@{done.version} from {data['effective_from']} on: {model} has no price of its own any more"
    return Answer(data, text)


def _add_changed(
    desk: Desk, change: Callable[[str | None], str], failed: str, at: str | None, reason: str
) -> "CardFacts":  # fmt: skip
    """The version that was added of the workspace's card: the last one with a change."""
    from farthing.core.ratecard import CardError
    from farthing.prices.book import CARD
    from farthing.prices.cards import NoSuchPrice
    from farthing.prices.lookup import current_document

    store, act, why = store_of(desk), desk.act(), cards.read_reason(reason)
    begins = None if at is None else begins_at(at, act.at)
    document, last = desk.ledger.wait(current_document(store, desk.workspace.id, CARD, act.at))
    try:
        made = change(document)
    except NoSuchPrice as error:
        raise Trouble("model_not_found", f"the model {error}", Exit.NO, field="model") from error
    except CardError as error:
        raise card_trouble(error.problems, failed) from error
    cards.require_right(made, desk.workspace.scale)
    return acted(desk, store.add_version(desk.workspace.id, CARD, made, begins, act, None, why, last))


def _prices(input: str | None, output: str | None, more: list[str] | None) -> dict[str, str]:
    given = [
        ("input_tokens", input),
        ("output_tokens", output),
        *(name_and_value("price", text) for text in more or []),
    ]
    found: dict[str, str] = {}
    for name, text in given:
        if text is None:
            continue
        if name in found:
            raise invalid(f"price {name}", "is given twice")
        found[name] = read_decimal(text, f"price of {name}")
    if not found:
        raise invalid("prices", "must be given: --input 2.5 --output 10, or --price NAME=PRICE")
    return found


def _aside(looked: "Looked", model: str, named: Mapping[str, str], version: int) -> list[str]:
    """What the operator may not have meant."""
    from farthing.core.usage import PARENTS

    notes = []
    key = looked.found.key
    if key is not None and key[1] != model:
        notes.append(f"the catalogue knows it as {'/'.join(key)}; only usage sent as {model!r} has this price")
    sold = {price["dimension"] for price in row_facts(looked.row)["prices"]} if looked.row else set()
    if folded := sorted((sold - set(named)) & set(PARENTS)):
        notes.append(f"{', '.join(folded)}: no price of their own here, so they cost what they are counted within")
    if version == 1:
        notes.append("this is the workspace's first card, and it does not use the catalogue: see farthing prices init")
    return notes
