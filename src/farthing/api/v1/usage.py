"""Usage on the wire: reading what was used, pricing it, and telling how its price came about."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from farthing.core.amounts import write_amount
from farthing.core.commands import Command
from farthing.core.exact import MAX_QUANTITY_DECIMALS, MAX_WHOLE_DIGITS, plain
from farthing.core.outcomes import Outcome, Refusal, Refused
from farthing.core.quantities import (
    DIMENSION,
    MAX_ATTRIBUTES,
    MAX_DIMENSIONS,
    PriceRefusal,
    form_problem,
    read_quantities,
    usage_problem,
)
from farthing.core.records import Body
from farthing.core.usage import Metered, Priced, Usage
from farthing.prices.book import Books, NeedsPast

from ..bodies import Sent
from ..endpoint import Caller, NotAtOnce, Request
from .fields import Fields
from .problems import Fault, Wrong
from .wire import Credits, Expiry, Operation, Product, ServiceName, Time, text_of, write_time

T = TypeVar("T")
C = TypeVar("C", bound=Command)
WORDS: Final = ("operation", "service", "model", "product")
"""What may stand beside a usage as well as in it."""
COST_SCALE: Final = 9
PRICE_CODES: Final = frozenset(
    {
        "unknown_model",
        "unknown_operation",
        "unknown_dimension",
        "missing_dimension",
        "unknown_context",
        "amount_too_large",
        "amount_inexact",
        "no_card",
    }
)
"""Why a usage may have no price."""
_LONGEST: Final = 60
_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")

Provider = Annotated[str, text_of("Who runs the model, such as `openai`.")]
ModelId = Annotated[str, text_of("The model's id as the provider names it.")]
Chat = Annotated[str, text_of("The conversation or job that it belongs to.")]
Quantity = (
    Annotated[float, Meta(ge=0, lt=10**MAX_WHOLE_DIGITS, description="A number, read exactly as it is written.")]
    | Annotated[str, Meta(pattern=rf"^[0-9]{{1,{MAX_WHOLE_DIGITS}}}(\.[0-9]{{1,{MAX_QUANTITY_DECIMALS}}})?$")]
)
"""A float for the documentation alone: what is sent is never read as one."""
Dimensions = Annotated[
    dict[str, Quantity],
    Meta(
        max_length=MAX_DIMENSIONS,
        extra_json_schema={"propertyNames": {"pattern": f"^{DIMENSION.pattern}$"}},
        description="Quantities by dimension, such as `input_tokens`, `output_tokens`, `cache_read_tokens`, `images`. "
        "Counts of tokens are inclusive: input has those from a cache, output those of reasoning.",
    ),
]
Attributes = Annotated[
    dict[str, str],
    Meta(max_length=MAX_ATTRIBUTES, description="Whatever else the rate card looks at, such as `service_tier`."),
]


class UsageBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """What was used."""

    provider: Provider | None = None
    model: ModelId | None = None
    service: ServiceName | None = None
    operation: Operation | None = None
    product: Product | None = None
    chat: Chat | None = None
    dimensions: Dimensions | None = None
    attributes: Attributes | None = None
    at: Annotated[Expiry | None, Meta(description="When it was used, if not just now; prices of then apply.")] = None


UsageField = Annotated[
    UsageBody, Meta(description="What was used, in place of an amount: the rate card in force prices it.")
]


class UsageView(Struct, kw_only=True):
    """What was used, as it was sent."""

    provider: str | None
    model: str | None
    service: str | None
    operation: str | None
    product: str | None
    chat: str | None
    dimensions: dict[str, str]
    attributes: dict[str, str]
    at: Time | None


class LineView(Struct, kw_only=True):
    """A line of a price."""

    kind: Literal["price", "markup", "minimum", "rounding"]
    amount: Annotated[Credits, Meta(description="What the line comes to; the lines add up to the amount.")]
    dimension: str | None
    quantity: str | None
    price: Annotated[str | None, Meta(description="For `per` of the dimension, in `currency`.")]
    per: int | None
    currency: Annotated[str | None, Meta(description="Null: the workspace's unit.")]
    rate: Annotated[str | None, Meta(description="Units of the workspace for one of the currency.")]
    rule: str | None
    source: Annotated[str | None, Meta(description="The version of the card or of the catalogue's price.")]
    note: str | None


class PriceView(Struct, kw_only=True):
    """How a usage came to its price."""

    exact: Annotated[Credits, Meta(description="Before rounding.")]
    card: Annotated[str | None, Meta(description="The version of the rate card, `name@version`.")]
    provider: str | None
    model: Annotated[str | None, Meta(description="What the model's id was taken for.")]
    cost: Annotated[Credits | None, Meta(description="What the provider asks for it, where that is known.")]
    unpriced: Annotated[bool, Meta(description="Nobody knew a price: recorded, and nothing charged.")]
    lines: list[LineView]


_LINE: Final[dict[str, Any]] = {
    "kind": "price", "per": 1000, "currency": None, "rate": None, "source": "default@3", "note": None,
}  # fmt: skip
PRICED: Final[dict[str, Any]] = {
    "usage": {
        "provider": "openai", "model": "gpt-4o", "service": None, "operation": "chat.message", "product": None,
        "chat": None, "dimensions": {"input_tokens": "1500", "output_tokens": "800"}, "attributes": {}, "at": None,
    },
    "price": {
        "exact": "7.5", "card": "default@3", "provider": "openai", "model": "gpt-4o", "cost": "1.175",
        "unpriced": False, "lines": [
            {**_LINE, "amount": "3", "dimension": "input_tokens", "quantity": "1500", "price": "2", "rule": "i"},
            {**_LINE, "amount": "4.5", "dimension": "output_tokens", "quantity": "800", "price": "5.625", "rule": "o"},
        ],
    },
}  # fmt: skip
"""An example of what `used` says."""


# Reading


def read_words(fields: Fields, usage: Usage | None) -> dict[str, str]:
    """Operation, service, model and product: as they stand beside the usage, or in it."""
    found = {}
    for name in WORDS:
        beside, within = fields.text_if(name), "" if usage is None else getattr(usage, name)
        if beside and within and beside != within:
            fields.refuse(name, f"differs from usage.{name}")
        found[name] = beside or within
    return found


def read_usage(fields: Fields) -> Usage | None:
    """The usage, where there is one."""
    part = fields.part("usage", UsageBody)
    if part is None:
        return None
    usage = Usage(
        dimensions=_dimensions(part),
        attributes=part.names("attributes", MAX_ATTRIBUTES) or {},
        chat=part.text_if("chat"),
        provider=part.text_if("provider"),
        at=part.instant("at"),
        operation=part.text_if("operation"),
        service=part.text_if("service"),
        model=part.text_if("model"),
        product=part.text_if("product"),
    )
    fields.wrong += part.wrong
    return usage


def _dimensions(part: Fields) -> dict[str, str]:
    value = part.values.dimensions
    if not part.given("dimensions") or value is None:
        return {}
    if type(value) is not dict or len(value) > MAX_DIMENSIONS:
        part.refuse("dimensions", f"must be an object of at most {MAX_DIMENSIONS} quantities")
        return {}
    found = {}
    for name, quantity in value.items():
        text = decimal_text(quantity)
        if text is None:
            part.refuse("dimensions", 'must be a number, or decimal text such as "12.5"', name[:64])
        else:
            found[str(name)] = text
    return found


def decimal_text(quantity: object) -> str | None:
    """Decimal text without exponent, so that 5, 5.0 and "5" are the same; None of what is no quantity."""
    if type(quantity) is str and quantity.isdecimal() and quantity.isascii() and quantity[0] != "0":
        return quantity if len(quantity) <= _LONGEST else None  # as nearly always; all that follows says the same
    if type(quantity) is int:
        return str(quantity) if abs(quantity) < 10**_LONGEST else None
    if type(quantity) not in (str, Sent) or len(str(quantity)) > _LONGEST:
        return None
    # Only a JSON number may have an exponent.
    if type(quantity) is str and not _DECIMAL.fullmatch(quantity):
        return None
    number = Decimal(str(quantity))
    return plain(number) if abs(number.adjusted()) < _LONGEST else None


def words_of(usage: Usage) -> dict[str, str]:
    """Those that stand in the usage."""
    return {name: getattr(usage, name) for name in WORDS}


class Reckoned(Struct):
    """What a request takes, and when it arrived."""

    amount: int
    metered: Metered | None = None
    at: int = 0
    """The arrival by which it was priced; 0 leaves it to the engine."""
    fault: Fault | None = None
    """Why it has no price."""

    def takes(self, command: C) -> C:
        """The command that takes this."""
        if self.fault is not None:
            raise NoPrice(self.fault, command)
        return command


class NoPrice(NotAtOnce):
    """What a command takes has no price now. It may have had one when it was sent for the first time: whoever catches
    this looks whether its key was used, as `command` does in a dry run, before he says so."""

    def __init__(self, fault: Fault, command: Command) -> None:
        super().__init__(fault.code)
        self.fault = fault
        self.command = command


def reckon(fields: Fields, usage: Usage | None, amount: int | None, words: Mapping[str, str]) -> Reckoned:
    """What is to be taken: the amount that was given, or the price of the usage."""
    if usage is None and (amount is None or not (words["service"] or words["model"] or words["product"])):
        if amount is None:
            fields.refuse("amount", "is missing: give an amount, or what was used")
        return Reckoned(amount or 0)
    if fields.wrong:
        return Reckoned(0)
    usage = _complete(usage or Usage(), words)
    caller = fields.request.caller
    if amount is not None:
        if wrong := form_problem(usage):
            raise refused_price(wrong, fields.pointer("usage"))
        exact = write_amount(amount, caller.workspace.scale)
        return Reckoned(amount, Metered(usage, Priced(amount=amount, exact=exact), given=True))
    priced, at = price(caller, usage)
    if isinstance(priced, PriceRefusal):
        # What is wrong with the usage itself comes before what nobody has a price for.
        fault = refused_price(form_problem(usage) or priced, fields.pointer("usage"))
        if isinstance(read_quantities(usage, any_name=True), PriceRefusal) or usage_problem(usage):
            raise fault  # by no card would it have had a price
        return Reckoned(1, Metered(usage, Priced(amount=1, exact="1")), at, fault)
    return Reckoned(priced.amount, Metered(usage, priced), at)


def used_before(outcome: Outcome | Exception) -> bool:
    """Whether a command's key was used before, for the same or for something else."""
    if isinstance(outcome, Exception):
        return False
    return outcome.replayed or (isinstance(outcome, Refused) and outcome.code is Refusal.KEY_CONFLICT)


def _complete(usage: Usage, words: Mapping[str, str]) -> Usage:
    return Usage(
        dimensions=usage.dimensions, provider=usage.provider, chat=usage.chat, attributes=usage.attributes, at=usage.at,
        **words,
    )  # fmt: skip


def price(caller: Caller, usage: Usage) -> tuple[Priced | PriceRefusal, int]:
    """What a usage comes to by the prices of its time, if it is late, else by those of now; and when it was priced."""
    assert caller.prices is not None, "who may charge has a workspace, and that has prices"
    at = caller.prices.now_us()
    # A clock that goes ahead reaches no price before its instant.
    return caller.prices.price(usage, at if usage.at is None else min(usage.at, at)), at


async def with_prices(work: Callable[[], T], request: Request, books: Books) -> T:
    """Do what prices usage; where the usage is older than the prices that are held, those are fetched and it is done
    again."""
    while True:
        try:
            return work()
        except NeedsPast as need:
            book = request.caller.prices
            assert book is not None, "it has been asked for a price"
            request.caller = replace(request.caller, prices=await books.reach(book, need))


def refused_price(refusal: PriceRefusal, pointer: str) -> Fault:
    """Why a usage has no price, in the words of the API."""
    where = f"{pointer}/{refusal.field.replace('.', '/', 1)}" if refusal.field else pointer
    if refusal.code == "usage_invalid":
        return Fault("invalid", [Wrong(pointer=where, detail=refusal.message.removeprefix(f"{refusal.field} "))])
    return Fault(refusal.code, [Wrong(pointer=where, detail=refusal.message)], f"{refusal.message.rstrip('.')}.")


# Writing


def used(body: Body) -> dict[str, Any]:
    """What an entry says of usage and price."""
    metered = body.usage
    if metered is None:
        return {"usage": None, "price": None}
    return {"usage": write_usage(metered.usage), "price": None if metered.given else write_price(metered.priced)}


def write_usage(u: Usage) -> UsageView:
    """A usage on the wire."""
    return UsageView(
        provider=u.provider or None,
        model=u.model or None,
        service=u.service or None,
        operation=u.operation or None,
        product=u.product or None,
        chat=u.chat or None,
        dimensions=u.dimensions,
        attributes=u.attributes,
        at=None if u.at is None else write_time(u.at),
    )


def write_price(p: Priced) -> PriceView:
    """A price on the wire."""
    lines = [
        LineView(
            kind=line.kind,
            amount=line.amount,
            dimension=line.dimension or None,
            quantity=line.quantity or None,
            price=line.price or None,
            per=line.per if line.price else None,
            currency=line.currency or None,
            rate=line.rate if line.currency else None,
            rule=line.rule or None,
            source=line.source or None,
            note=line.note or None,
        )
        for line in p.lines
    ]
    return PriceView(
        exact=p.exact,
        card=p.card or None,
        provider=p.provider or None,
        model=p.model or None,
        cost=None if p.cost is None else write_amount(p.cost, COST_SCALE),
        unpriced=p.unpriced,
        lines=lines,
    )
