"""Metering: what was used, from the options of a command; its price, and how that is shown."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import Desk
from .output import columns
from .reading import read_credits, read_moment, write_time

if TYPE_CHECKING:
    from farthing.core.pricing import Book
    from farthing.core.usage import Line, Metered, Priced, Usage
    from farthing.prices.book import Books
    from farthing.stores.prices import PriceStore

T = TypeVar("T")
DEFAULT_OPERATION = "cli.charge"

Model = Annotated[str | None, typer.Option("--model", metavar="ID", help="The model, as its provider names it.")]
Provider = Annotated[str | None, typer.Option("--provider", metavar="NAME", help="Who runs it, such as openai.")]
InputTokens = Annotated[
    str | None, typer.Option("--input-tokens", metavar="N", help="Tokens in, those from a cache included.")
]
OutputTokens = Annotated[
    str | None, typer.Option("--output-tokens", metavar="N", help="Tokens out, those of reasoning included.")
]
Dimensions = Annotated[
    list[str] | None,
    typer.Option("--dimension", metavar="NAME=QTY", help="Anything else, such as cache_read_tokens=900. Repeatable."),
]
Attributes = Annotated[
    list[str] | None,
    typer.Option("--attribute", metavar="NAME=VALUE", help="What rules look at, such as service_tier=flex."),
]
Operation = Annotated[
    str, typer.Option("--operation", metavar="NAME", help="What it was used for, such as chat.message.")
]
Service = Annotated[str | None, typer.Option("--service", metavar="NAME", help="The service that was used.")]
Product = Annotated[str | None, typer.Option("--product", metavar="NAME", help="The product that used it.")]
Chat = Annotated[str | None, typer.Option("--chat", metavar="ID", help="The conversation or job it belongs to.")]
UsedAt = Annotated[
    str | None,
    typer.Option("--used-at", metavar="WHEN", help="When it was used, if not just now; prices of then apply."),
]

OtherCard = Annotated[
    str | None, typer.Option("--card", metavar="NAME", help="By another card, or a version such as draft@2.")
]


def read_usage(
    *,
    input_tokens: str | None,
    output_tokens: str | None,
    dimensions: list[str] | None,
    attributes: list[str] | None,
    used_at: str | None,
    **words: str | None,
) -> "Usage":
    """A usage from its options; whether its quantities make sense is the pricing's matter."""
    from farthing.core.commands import text_error
    from farthing.core.usage import Usage

    counted = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    found = {name: text for name, text in counted.items() if text is not None}
    for name, text in _pairs("dimension", dimensions):
        if name in found:
            raise invalid(f"dimension {name}", "is given twice")
        found[name] = text
    for name, word in words.items():
        if word is not None and (wrong := text_error(word)):
            raise invalid(name, wrong)
    return Usage(
        dimensions=found,
        attributes=dict(_pairs("attribute", attributes)),
        at=None if used_at is None else read_moment(used_at, "used_at"),
        **{name: word or "" for name, word in words.items()},
    )


def _pairs(option: str, given: list[str] | None) -> list[tuple[str, str]]:
    return [name_and_value(option, text) for text in given or []]


def name_and_value(option: str, text: str) -> tuple[str, str]:
    """The two parts of NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise usage(f"--{option} must be NAME=VALUE, not {text!r}")
    return name, value


# Pricing


def store_of(desk: Desk) -> "PriceStore":
    """Where prices are kept."""
    from farthing.stores.prices import PriceStore

    return PriceStore(desk.ledger.database, desk.ledger.clock.now_us)


def books_of(desk: Desk) -> "Books":
    """Price books of this process."""
    from farthing.prices.book import Books

    return Books(store_of(desk), desk.now_us)


def price_of(desk: Desk, used: "Usage", card: str = "", at: int | None = None) -> "Priced":
    """The price of a usage by the card that is in force at its time, or by another; `Trouble` where it has none."""
    from farthing.core.pricing import price

    return reckoned(desk, card, desk.now_us() if at is None else at, lambda book: price(used, book))


def reckoned(desk: Desk, card: str, at: int, how: "Callable[[Book], T | Any]") -> T:
    """What is reckoned with the prices of an instant."""
    from farthing.core.quantities import PriceRefusal
    from farthing.prices.lookup import reckon_by

    work: Coroutine[Any, Any, Any] = reckon_by(books_of(desk), store_of(desk), desk.workspace, card, at, how)
    found = desk.ledger.wait(work)
    if found is None:
        message = f"there is no rate card {card!r}; `farthing prices card list` shows them"
        raise Trouble("card_not_found", message, Exit.NO, card=card)
    if isinstance(found, PriceRefusal):
        raise _refused(found.code, found.field, found.message)
    answer: T = found
    return answer


_ADVICE = {
    "no_card": "the workspace has no rate card yet: `farthing prices init` makes one that uses the catalogue",
    "unknown_model": "; `farthing prices show MODEL` says what is known of it, `farthing prices set` gives it a price",
}


def _refused(code: str, field: str, message: str) -> Trouble:
    if code == "no_card":
        return Trouble(code, _ADVICE[code], Exit.NO)
    exit = Exit.USAGE if code == "usage_invalid" else Exit.NO
    return Trouble("invalid" if code == "usage_invalid" else code, message + _ADVICE.get(code, ""), exit, field=field)


@dataclass(frozen=True)
class Taken:
    """What a charge takes, with what was used."""

    amount: int
    metered: "Metered | None"
    at: int
    """When it was priced; 0 leaves it to the ledger."""


def taken(desk: Desk, amount: str | None, used: "Usage") -> Taken:
    """The amount that was given, or the price of the usage."""
    from farthing.core.quantities import form_problem
    from farthing.core.usage import Metered, Priced

    said = is_said(used)
    if amount is not None:
        given = read_credits(amount, desk.workspace.scale)
        if not said:
            return Taken(given, None, 0)
        if wrong := form_problem(used):
            raise _refused(wrong.code, wrong.field, wrong.message)
        return Taken(given, Metered(used, Priced(amount=given, exact=desk.write(given)), given=True), 0)
    if not said and used.operation == DEFAULT_OPERATION:
        raise usage("say an AMOUNT, or what was used: --model gpt-4o --input-tokens 1500 --output-tokens 800")
    now_us = desk.now_us()
    priced = price_of(desk, used, at=now_us if used.at is None else min(used.at, now_us))
    return Taken(priced.amount, Metered(used, priced), now_us)


def is_said(used: "Usage") -> bool:
    """Whether anything is said of a usage beside its operation."""
    words = (used.provider, used.model, used.service, used.product, used.chat)
    return bool(used.dimensions or used.attributes or any(words) or used.at is not None)


def attributes_of(used: "Usage") -> dict[str, str]:
    """What grants with a scope look at, beside the operation."""
    return {name: getattr(used, name) for name in ("service", "model", "product") if getattr(used, name)}


# Showing


def used_facts(metered: "Metered | None") -> dict[str, Any]:
    """What an entry says of usage and price."""
    if metered is None:
        return {"usage": None, "price": None}
    return {"usage": usage_facts(metered.usage), "price": None if metered.given else price_facts(metered.priced)}


def usage_facts(used: "Usage") -> dict[str, Any]:
    """A usage as programs read it."""
    words = ("provider", "model", "service", "operation", "product", "chat")
    return {
        **{name: getattr(used, name) or None for name in words},
        "dimensions": used.dimensions,
        "attributes": used.attributes,
        "at": write_time(used.at),
    }


def price_facts(priced: "Priced") -> dict[str, Any]:
    """A price as programs read it."""
    from farthing.core.amounts import write_amount
    from farthing.core.costs import COST_DECIMALS

    return {
        "exact": priced.exact,
        "card": priced.card or None,
        "provider": priced.provider or None,
        "model": priced.model or None,
        "cost": None if priced.cost is None else write_amount(priced.cost, COST_DECIMALS),
        "unpriced": priced.unpriced,
        "lines": [_line_facts(line) for line in priced.lines],
    }


def _line_facts(line: "Line") -> dict[str, Any]:
    facts = {name: getattr(line, name) or None for name in line.__struct_fields__}
    if line.kind != "price":
        facts["per"] = None
    if not line.currency:
        facts["rate"] = None
    return facts


def price_table(facts: dict[str, Any]) -> str:
    """The lines of a price for people."""
    rows = [("", "QUANTITY", "PRICE", "AMOUNT", "BY", ""), *(_row(line) for line in facts["lines"])]
    return columns(rows, right=(1, 2, 3)) if facts["lines"] else ""


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    by = " ".join(filter(None, (line["source"], line["rule"])))
    name = line["dimension"] or line["kind"]
    return name, line["quantity"] or "", _asked(line), line["amount"], by, line["note"] or ""


def _asked(line: dict[str, Any]) -> str:
    if not line["price"]:
        return ""
    per = f" / {line['per']:,}" if line["per"] != 1 else ""
    rate = f" x {line['rate']}" if line["rate"] else ""
    return f"{line['price']} {line['currency'] or ''}".strip() + per + rate
