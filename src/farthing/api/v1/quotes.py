"""Quotes: what a usage would cost, and whether the account could pay for it. Nothing is charged, nothing is kept.

A quote is the price that the same usage would be charged for at that instant. An estimate is for a call that is still
to be made: its prompt is counted, or roughly counted from text, and its answer guessed.
"""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from farthing.core.amounts import write_amount
from farthing.core.commands import TakeCharge
from farthing.core.estimate import (
    RECENT_US,
    CompletionFrom,
    Estimate,
    Expected,
    estimate,
    expected_of,
)
from farthing.core.foresee import foresee
from farthing.core.outcomes import Refusal, Refused
from farthing.core.pricing import Book, meant_by, price
from farthing.core.quantities import PriceRefusal, form_problem
from farthing.core.records import Account
from farthing.core.usage import Metered, Priced, Usage
from farthing.core.view import available_to
from farthing.prices.book import CARD
from farthing.prices.lookup import reckon_by
from farthing.timezones import calendar

from ..endpoint import Endpoint, Request
from .charges import attributes_of
from .desk import Desk
from .fields import Fields, Form
from .problems import Fault, Wrong
from .prompts import CompletionBody, PromptBody, read_completion, read_prompt
from .reach import require_own
from .usage import (
    PRICE_CODES,
    PRICED,
    PriceView,
    UsageField,
    UsageView,
    read_usage,
    read_words,
    refused_price,
    write_price,
    write_usage,
)
from .wire import AccountId, AmountOrZero, Credits, Model, Operation, Product, ServiceName, Time, text_of, write_time

CardName = Annotated[
    str,
    text_of(f"By another rate card than `{CARD}`: its name, or a version of it such as `draft@2`."),
]


class _About(Struct, kw_only=True, forbid_unknown_fields=True):
    """What stands beside a usage."""

    account: AccountId | None = None
    card: CardName | None = None
    operation: Operation | None = None
    service: ServiceName | None = None
    model: Model | None = None
    product: Product | None = None


class QuoteRequest(_About, kw_only=True, forbid_unknown_fields=True):
    """A usage to be priced, or an amount that is known."""

    usage: UsageField | None = None
    amount: Annotated[
        AmountOrZero | None,
        Meta(description="Where it is known what a charge would take: only whether the account could pay is told."),
    ] = None


class EstimateRequest(_About, kw_only=True, forbid_unknown_fields=True):
    """A call that is to be made. What else it uses than tokens stands in `usage`, with the model."""

    usage: UsageField
    prompt: PromptBody
    completion: CompletionBody | None = None


class Afforded(Struct, kw_only=True):
    """What an amount means for an account."""

    amount: Annotated[Credits, Meta(description="What a charge for it would take.")]
    affordable: Annotated[bool | None, Meta(description="Whether that charge would be accepted; null: no account.")]
    refusal: Annotated[str | None, Meta(description="Why it would not, such as `insufficient_credits`, `frozen`.")]
    deficit: Annotated[Credits | None, Meta(description="What is missing.")]


class Quote(Afforded, kw_only=True):
    """The price of a usage, or of an amount who could pay it."""

    account: str | None
    available: Annotated[
        Credits | None,
        Meta(description="What this usage could burn, grants whose scope it matches included; null: no account."),
    ]
    priced_at: Time
    usage: UsageView | None
    price: Annotated[PriceView | None, Meta(description="How it came to its price; null where the amount was given.")]


class Guess(Afforded, kw_only=True):
    """One end of a range, or what is expected."""

    completion_tokens: int
    price: PriceView


class EstimateView(Struct, kw_only=True):
    """What a call will probably cost."""

    account: str | None
    available: Credits | None
    priced_at: Time
    prompt_tokens: int
    counted: Annotated[bool, Meta(description="False: the prompt was counted roughly, from its text.")]
    completion_from: Annotated[
        CompletionFrom,
        Meta(
            description="Who says what to expect: `given` by you; `history`, the mean of this model's answers in the "
            "workspace over the last 30 days, where there were at least 20; else `default`, 500 tokens."
        ),
    ]
    low: Guess
    expected: Guess
    high: Guess


# Reading


class _Asked(Struct):
    """What a quote is for, read."""

    usage: Usage
    words: dict[str, str]
    account: str
    card: str


_NOTHING: Final = Usage()
_quote, _estimate = Form(QuoteRequest), Form(EstimateRequest)


def _read(fields: Fields, amount: int | None = None, missing: str = "say what is used") -> _Asked:
    usage = read_usage(fields)
    if usage is None and amount is None:
        fields.refuse("usage", f"is missing: {missing}")
    words, account = read_words(fields, usage), fields.text_if("account")
    if account:
        require_own(fields.request.caller, account)
    return _Asked(replace(usage or Usage(), **words), words, account, fields.text_if("card"))


async def quote(request: Request, desk: Desk) -> Quote:
    """Price a usage, or take the amount that is given."""
    fields = _quote.read(request)
    amount = fields.amount_if("amount", zero=True)
    asked = _read(fields, amount, "give an amount, or what was used")
    fields.check()
    now_us, scale = desk.now_us(), request.caller.workspace.scale
    at = now_us if asked.usage.at is None else asked.usage.at
    if amount is not None:
        priced = _as_given(asked.usage, amount, scale)
    else:
        priced = _found(await _reckon(request, desk, asked, at, lambda book: price(asked.usage, book)), asked.usage)
    account = await _account(request, desk, asked, now_us)
    return Quote(
        **_afforded(request, asked, priced, account, now_us),
        account=asked.account or None,
        available=_available(asked, account, scale),
        priced_at=write_time(now_us),
        usage=None if amount is not None and asked.usage == _NOTHING else write_usage(asked.usage),
        price=None if amount is not None else write_price(priced),
    )


def _as_given(usage: Usage, amount: int, scale: int) -> Priced:
    """The price that the caller knows; what he says of the usage has to be well-formed, as in a charge."""
    if usage != _NOTHING and (wrong := form_problem(usage)):
        raise refused_price(wrong, "/usage")
    return Priced(amount=amount, exact=write_amount(amount, scale))


async def guess(request: Request, desk: Desk) -> EstimateView:
    """Estimate a call."""
    fields = _estimate.read(request)
    asked, (prompt, counted), completion = _read(fields), read_prompt(fields), read_completion(fields)
    fields.check()
    now_us = desk.now_us()
    at = now_us if asked.usage.at is None else asked.usage.at
    usual = await _expected(request, desk, asked, at, completion[0])

    def reckon(book: Book) -> Estimate | PriceRefusal:
        return estimate(asked.usage, book, prompt, *completion, usual.tokens)

    found: Estimate = _found(await _reckon(request, desk, asked, at, reckon), asked.usage)
    account, scale = await _account(request, desk, asked, now_us), request.caller.workspace.scale

    def told(priced: Priced, tokens: int) -> Guess:
        afforded = _afforded(request, asked, priced, account, now_us)
        return Guess(**afforded, completion_tokens=tokens, price=write_price(priced))

    return EstimateView(
        account=asked.account or None,
        available=_available(asked, account, scale),
        priced_at=write_time(now_us),
        prompt_tokens=prompt,
        counted=counted,
        completion_from=usual.source,
        low=told(found.low, found.tokens[0]),
        expected=told(found.expected, found.tokens[1]),
        high=told(found.high, found.tokens[2]),
    )


async def _expected(request: Request, desk: Desk, asked: _Asked, at: int, given: int | None) -> Expected:
    """How long the answer will probably be: as the caller says, else as this model's answers were of late."""
    if given is not None:
        return Expected(given, "given")
    meant = await _reckon(request, desk, asked, at, lambda book: meant_by(asked.usage, book))
    provider, model = _found(meant, asked.usage)
    if not model:
        return expected_of(0, 0)
    since = desk.now_us() - RECENT_US
    return expected_of(*await desk.usage.answers(request.caller.workspace.id, provider or None, model, since))


async def _reckon(request: Request, desk: Desk, asked: _Asked, at: int, how: Any) -> Any:
    return await reckon_by(desk.books, desk.prices, request.caller.workspace, asked.card, at, how)


def _found(found: Any, usage: Usage) -> Any:
    """What was reckoned, where there was something to reckon with."""
    if found is None:
        raise Fault("card_not_found", [Wrong(pointer="/card", detail="is no rate card of this workspace")])
    if isinstance(found, PriceRefusal) and found.field == "completion_tokens":
        raise Fault("invalid", [Wrong(pointer="/completion", detail=found.message.removeprefix("completion_tokens "))])
    if isinstance(found, PriceRefusal):
        raise refused_price(form_problem(usage) or found, "/usage")
    return found


# Who could pay for it


async def _account(request: Request, desk: Desk, asked: _Asked, now_us: int) -> Account | None:
    if not asked.account:
        return None
    return await desk.reports.account(request.caller.workspace.id, asked.account, now_us)


def _available(asked: _Asked, account: Account | None, scale: int) -> str | None:
    """What the usage could burn; an account that nobody has made has nothing."""
    if not asked.account:
        return None
    return write_amount(_burnable(asked, account), scale)


def _burnable(asked: _Asked, account: Account | None) -> int:
    words = asked.words
    return 0 if account is None else available_to(account, words["operation"], attributes_of(words))


def _afforded(
    request: Request, asked: _Asked, priced: Priced, account: Account | None, now_us: int
) -> dict[str, Any]:  # fmt: skip
    """What a charge of this amount would come to, decided as it would be."""
    workspace = request.caller.workspace
    amount = write_amount(priced.amount, workspace.scale)
    if not asked.account:
        return {"amount": amount, "affordable": None, "refusal": None, "deficit": None}
    charge = TakeCharge(
        workspace=workspace.id,
        account=asked.account,
        amount=priced.amount,
        # An amount alone is taken without one; only of a usage may nothing be taken.
        usage=None if asked.usage == _NOTHING and priced.amount else Metered(asked.usage, priced),
        operation=asked.words["operation"],
        attributes=attributes_of(asked.words),
        at=now_us,
    )
    outcome = foresee(charge, account, workspace, calendar)
    if isinstance(outcome, Refused) and outcome.code is Refusal.INVALID:
        wrong = Wrong(pointer=f"/{outcome.facts['field'].replace('.', '/')}", detail=outcome.facts["message"])
        raise Fault("invalid", [wrong])
    refused = isinstance(outcome, Refused)
    missing = max(priced.amount - _burnable(asked, account), 0) if refused else 0
    return {
        "amount": amount,
        "affordable": not refused,
        "refusal": str(outcome.code) if isinstance(outcome, Refused) else None,
        "deficit": write_amount(missing, workspace.scale),
    }


# The table


_USAGE: Final[dict[str, Any]] = {
    "provider": "openai", "model": "gpt-4o", "operation": "chat.message",
}  # fmt: skip
_AFFORDED: Final[dict[str, Any]] = {"amount": "7.5", "affordable": True, "refusal": None, "deficit": "0"}
_CODES: Final = frozenset({*PRICE_CODES, "card_not_found", "malformed", "too_large", "media_type", "too_slow"})
_GUESS: Final[dict[str, Any]] = {**_AFFORDED, "completion_tokens": 800, "price": PRICED["price"]}

ENDPOINTS: Final = (
    Endpoint(
        path="/v1/quotes",
        operation_id="createQuote",
        summary="Price a usage without charging it",
        description="The same body as a charge, with `usage` or an `amount`. With an account also whether it could pay "
        "for it now, with what its grants of a matching scope have, its spend limits and a freeze; an account that "
        "there is not has nothing.",
        scope="read",
        request=QuoteRequest,
        answer=Quote,
        example={
            "account": "user_42",
            "usage": {**_USAGE, "dimensions": {"input_tokens": 1500, "output_tokens": 800}},
        },
        answered={
            **_AFFORDED,
            "account": "user_42",
            "available": "892.5",
            "priced_at": "2026-01-01T12:00:00.000000Z",
            **PRICED,
        },
        codes=_CODES,
        act=quote,
        own=True,
        only_reads=True,
    ),
    Endpoint(
        path="/v1/quotes/estimate",
        operation_id="createEstimate",
        summary="Estimate a call before it is made",
        description="Tokens of the prompt as you count them, or roughly from its text; and an answer as short, as "
        "expected and as long as you think, or as long as this model's answers were of late. A hold of `high` has "
        "room for the call.",
        scope="read",
        request=EstimateRequest,
        answer=EstimateView,
        example={
            "account": "user_42",
            "usage": _USAGE,
            "prompt": {"messages": [{"role": "user", "content": "Write a haiku about ledgers."}]},
            "completion": {"expected": 800, "max": 1200},
        },
        answered={
            "account": "user_42",
            "available": "892.5",
            "priced_at": "2026-01-01T12:00:00.000000Z",
            "prompt_tokens": 1500,
            "counted": False,
            "completion_from": "given",
            "low": _GUESS,
            "expected": _GUESS,
            "high": _GUESS,
        },
        codes=_CODES,
        act=guess,
        own=True,
        only_reads=True,
    ),
)
