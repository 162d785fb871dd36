"""Holds: credits set aside for work in progress; later released or extended, or settled (`settles`)."""

from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta
from msgspec.structs import replace

from farthing.core.amounts import write_amount
from farthing.core.commands import Extend, PlaceHold, Release
from farthing.core.records import Entry, OnExpiry
from farthing.core.refundable import read_body
from farthing.stores.reports import is_id

from ..endpoint import Caller, Endpoint, Request
from .charges import TOLD, attributes_of
from .fields import Form
from .parameters import in_path
from .problems import Fault, Wrong
from .usage import PRICE_CODES, PriceView, UsageField, UsageView, read_usage, read_words, reckon, used, words_of
from .usual import Found, Usual, UsualTaking
from .wire import (
    AccountId,
    Amount,
    AmountOrZero,
    Command,
    Credits,
    Done,
    Expiry,
    Model,
    Operation,
    Product,
    ServiceName,
    Time,
    done,
    write_time,
)

POLICIES: Final[tuple[OnExpiry, ...]] = get_args(OnExpiry)
DEFAULT_SECONDS: Final = 3_600
MAX_SECONDS: Final = 43_200 * 60

Policy = Annotated[
    OnExpiry,
    Meta(
        description="What happens at its end: `release` all of it, charge what was `metered` last, or charge `all`.",
    ),
]

Seconds = Annotated[int, Meta(ge=1, le=MAX_SECONDS, description="How long it lives; a workspace may allow less.")]


class HoldRequest(Command):
    """Credits to set aside."""

    account: AccountId
    amount: Annotated[
        Amount | None, Meta(description="What to set aside; left out where `usage` says what is expected to be used.")
    ] = None
    usage: UsageField | None = None
    operation: Operation | None = None
    service: ServiceName | None = None
    model: Model | None = None
    product: Product | None = None
    expires_in: Seconds | None = DEFAULT_SECONDS
    on_expiry: Policy | None = "release"


class ExtendRequest(Command):
    """What to change of a hold: at least one of the three."""

    expires_at: Expiry | None = None
    raise_by: Annotated[Amount | None, Meta(description="Credits to set aside besides.")] = None
    metered: Annotated[
        AmountOrZero | None,
        Meta(description="What was used so far, in all: never less than before, nor above what is held."),
    ] = None


class ReleaseRequest(Command):
    """A hold whose work was not done."""


class Hold(Done, kw_only=True):
    """A hold as it was placed."""

    id: str
    amount: Credits
    operation: str | None
    service: str | None
    model: str | None
    product: str | None
    state: Literal["live"]
    on_expiry: OnExpiry
    expires_at: Time
    usage: UsageView | None
    price: PriceView | None


class Extended(Done, kw_only=True):
    """What was changed of a hold; null is what stayed."""

    id: str
    raised_by: Credits
    expires_at: Time | None
    metered: Credits | None


class Released(Done, kw_only=True):
    """A hold that has ended without a charge."""

    id: str
    released: Credits
    state: Literal["released"]


# Reading


_hold, _extend, _release = Form(HoldRequest), Form(ExtendRequest), Form(ReleaseRequest)


class _UsualHold(UsualTaking):
    expires_in: Annotated[int, Meta(ge=1, le=MAX_SECONDS)] = DEFAULT_SECONDS
    on_expiry: OnExpiry = "release"


_usual = Usual(_UsualHold)


def read_hold(request: Request) -> PlaceHold:
    """A hold."""
    if (found := _usual.read(request)) is not None and found.taken["amount"]:
        return _usual_hold(found)
    fields = _hold.read(request)
    usage = read_usage(fields)
    words = read_words(fields, usage)
    plain = {
        "account": fields.text("account"),
        "ttl": fields.whole("expires_in", 1, MAX_SECONDS, DEFAULT_SECONDS) * 1_000_000,
        "on_expiry": fields.choice("on_expiry", POLICIES, "release"),
        **fields.said(),
    }
    reckoned = reckon(fields, usage, fields.amount_if("amount"), words)
    fields.check()
    if usage is not None and not reckoned.amount:
        nothing = Fault("invalid", [Wrong(pointer="/amount", detail="must be above zero")])
        reckoned = replace(reckoned, amount=1, fault=nothing)
    command = PlaceHold(
        amount=reckoned.amount,
        usage=None if usage is None else reckoned.metered,
        at=reckoned.at,
        operation=words["operation"],
        attributes=attributes_of(words),
        **plain,
    )
    return reckoned.takes(command)


def _usual_hold(found: Found[_UsualHold]) -> PlaceHold:
    body = found.body
    return PlaceHold(
        account=body.account,
        operation=found.usage.operation,
        attributes=attributes_of(words_of(found.usage)),
        ttl=body.expires_in * 1_000_000,
        on_expiry=body.on_expiry,
        **found.taken,
    )


def read_extend(request: Request) -> Extend:
    """An extend."""
    fields = _extend.read(request)
    command = Extend(
        account="",
        hold=hold_of(request),
        expires_at=fields.instant("expires_at"),
        raise_by=fields.amount_if("raise_by") or 0,
        metered=fields.amount_if("metered", zero=True),
        **fields.said(),
    )
    fields.check()
    return command


def read_release(request: Request) -> Release:
    """A release."""
    fields = _release.read(request)
    command = Release(account="", hold=hold_of(request), **fields.said())
    fields.check()
    return command


def hold_of(request: Request) -> str:
    """The hold that the path names. Whose it is, the store finds."""
    hold = request.parameters["id"]
    if not is_id("hold", hold):
        raise Fault("hold_not_found")
    return hold


# Writing


def write_hold(entry: Entry, caller: Caller) -> Hold:
    """What was set aside."""
    body, scale = read_body(entry), caller.workspace.scale
    terms = body.hold
    assert terms is not None, "what a hold's entry made"
    assert terms.expires_at is not None, "a new hold has an end"
    attributes = terms.attributes or {}
    return Hold(
        id=terms.id,
        amount=write_amount(terms.amount, scale),
        operation=entry.operation or None,
        service=attributes.get("service"),
        model=attributes.get("model"),
        product=attributes.get("product"),
        state="live",
        on_expiry=terms.on_expiry or "release",
        expires_at=write_time(terms.expires_at),
        **used(body),
        **done(entry, scale, body),
    )


def write_extend(entry: Entry, caller: Caller) -> Extended:
    """What was changed."""
    terms, scale = read_body(entry).hold, caller.workspace.scale
    assert terms is not None, "what an extend changed"
    return Extended(
        id=terms.id,
        raised_by=write_amount(terms.amount, scale),
        expires_at=None if terms.expires_at is None else write_time(terms.expires_at),
        metered=None if terms.metered is None else write_amount(terms.metered, scale),
        **done(entry, scale),
    )


def write_release(entry: Entry, caller: Caller) -> Released:
    """What is free again."""
    terms, scale = read_body(entry).hold, caller.workspace.scale
    assert terms is not None, "what a release ended"
    return Released(
        id=terms.id, released=write_amount(-terms.remaining, scale), state="released", **done(entry, scale)
    )  # fmt: skip


# The table


HOLD_ID: Final = "hold_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
IN_PATH: Final = (in_path("id", "The hold.", HOLD_ID),)
WHICH: Final = frozenset({"account_not_found", "hold_not_found", "hold_ended"})
TAKING: Final = frozenset({"frozen", "spend_limit", "insufficient_credits"})
PLACED: Final[dict[str, Any]] = {
    "id": HOLD_ID,
    "amount": "20",
    "operation": "image.generate",
    "service": None,
    "model": None,
    "product": None,
    "state": "live",
    "on_expiry": "metered",
    "expires_at": "2026-01-01T13:00:00.000000Z",
    "usage": None,
    "price": None,
    **TOLD,
}

ENDPOINTS: Final = (
    Endpoint(
        path="/v1/holds",
        operation_id="createHold",
        summary="Set credits aside for work in progress",
        description="Nothing else can take them, and they don't lapse, until the hold is settled or released, or its "
        "time is over.",
        scope="charge",
        own=True,
        request=HoldRequest,
        answer=Hold,
        example={
            "account": "user_42",
            "amount": "20",
            "operation": "image.generate",
            "expires_in": 3600,
            "on_expiry": "metered",
        },
        answered=PLACED,
        codes=TAKING | PRICE_CODES | {"account_not_found", "too_many_holds", "hold_too_long"},
        read=read_hold,
        write=write_hold,
        status=201,
        location="/v1/holds/{id}",
        keyed=True,
    ),
    Endpoint(
        path="/v1/holds/{id}/extend",
        operation_id="extendHold",
        summary="Move a hold's end, raise it, or report what was used",
        description="All in one step, or none of it.",
        scope="charge",
        own=True,
        request=ExtendRequest,
        answer=Extended,
        example={"expires_at": "2026-01-01T14:00:00Z", "raise_by": "5", "metered": "12.5"},
        answered={
            "id": HOLD_ID,
            "raised_by": "5",
            "expires_at": "2026-01-01T14:00:00.000000Z",
            "metered": "12.5",
            **TOLD,
        },
        codes=WHICH | TAKING | {"hold_too_long", "metered_invalid"},
        read=read_extend,
        write=write_extend,
        parameters=IN_PATH,
        keyed=True,
    ),
    Endpoint(
        path="/v1/holds/{id}/release",
        operation_id="releaseHold",
        summary="Free what a hold has set aside",
        description="Nothing is charged. A part whose grant has expired meanwhile lapses.",
        scope="charge",
        own=True,
        request=ReleaseRequest,
        answer=Released,
        example={"description": "The image could not be made"},
        answered={
            "id": HOLD_ID,
            "released": "20",
            "state": "released",
            **TOLD,
            "after": {"balance": "892.5", "scoped": "0", "held": "0", "debt": "0"},
            "description": "The image could not be made",
        },
        codes=WHICH,
        read=read_release,
        write=write_release,
        parameters=IN_PATH,
        keyed=True,
    ),
)
