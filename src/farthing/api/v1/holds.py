"""Holds: credits set aside for work in progress; later settled, released or extended."""

from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta

from farthing.core.amounts import write_amount
from farthing.core.commands import Extend, PlaceHold, Release, Settle
from farthing.core.records import Entry, OnExpiry
from farthing.core.refundable import read_body
from farthing.stores.reports import is_id

from ..endpoint import Caller, Endpoint, Request
from .charges import ENTRY_ID, GRANT_ID, SHORTFALLS, TOLD, Part, TakeWhat, read_attributes, taken
from .fields import Form
from .parameters import in_path
from .problems import Fault
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
Late = Literal["refuse", "charge"]
LATES: Final[tuple[Late, ...]] = get_args(Late)
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
    amount: Amount
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


class SettleRequest(Command):
    """What the work cost."""

    amount: Annotated[AmountOrZero | None, Meta(description="All that is left of the hold when it is left out.")] = None
    last: Annotated[bool | None, Meta(description="False: more is to come, and the rest stays set aside.")] = True
    shortfall: TakeWhat | None = "refuse"
    late: Annotated[
        Late | None,
        Meta(
            description="When the hold has expired: `refuse`, or `charge` what expiry did not take, as debt if need be."
        ),
    ] = "refuse"


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


class Extended(Done, kw_only=True):
    """What was changed of a hold; null is what stayed."""

    id: str
    raised_by: Credits
    expires_at: Time | None
    metered: Credits | None


class Settled(Done, kw_only=True):
    """What was taken. It is a charge, and can be refunded by its entry's id."""

    id: Annotated[str, Meta(description="The hold.")]
    charge: Annotated[str, Meta(description="The charge, for refunds.")]
    state: Annotated[Literal["live", "settled"], Meta(description="Of the hold; `live` after a settle not the `last`.")]
    amount: Annotated[Credits, Meta(description="What was taken.")]
    unpaid: Annotated[Credits, Meta(description="What shortfall `take` could not take.")]
    released: Annotated[Credits, Meta(description="What was set aside and is free again.")]
    operation: str | None
    grants: list[Part]
    debt: Annotated[Credits, Meta(description="What no grant paid.")]


class Released(Done, kw_only=True):
    """A hold that has ended without a charge."""

    id: str
    released: Credits
    state: Literal["released"]


# Reading


_hold, _extend, _settle, _release = Form(HoldRequest), Form(ExtendRequest), Form(SettleRequest), Form(ReleaseRequest)


def read_hold(request: Request) -> PlaceHold:
    """A hold."""
    fields = _hold.read(request)
    command = PlaceHold(
        account=fields.text("account"),
        amount=fields.amount(),
        ttl=fields.whole("expires_in", 1, MAX_SECONDS, DEFAULT_SECONDS) * 1_000_000,
        on_expiry=fields.choice("on_expiry", POLICIES, "release"),
        operation=fields.text_if("operation"),
        attributes=read_attributes(fields),
        **fields.said(),
    )
    fields.check()
    return command


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


def read_settle(request: Request) -> Settle:
    """A settle."""
    fields = _settle.read(request)
    command = Settle(
        account="",
        hold=hold_of(request),
        amount=fields.amount_if("amount", zero=True),
        last=fields.flag_or("last", True),
        shortfall=fields.choice("shortfall", SHORTFALLS, "refuse"),
        late=fields.choice("late", LATES, "refuse"),
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
    terms, scale = read_body(entry).hold, caller.workspace.scale
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
        **done(entry, scale),
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


def write_settle(entry: Entry, caller: Caller) -> Settled:
    """What was taken, and what is free again."""
    body, scale = read_body(entry), caller.workspace.scale
    assert body.hold is not None, "what a settle changed"
    return Settled(
        id=body.hold.id,
        charge=entry.id,
        state="live" if body.hold.state == "live" else "settled",
        released=write_amount(max(-body.hold.remaining - body.spent, 0), scale),
        **taken(entry, scale, body),
        **done(entry, scale, body),
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
_IN_PATH: Final = (in_path("id", "The hold.", HOLD_ID),)
_WHICH: Final = frozenset({"account_not_found", "hold_not_found", "hold_ended"})
_TAKING: Final = frozenset({"frozen", "spend_limit", "insufficient_credits"})
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
        codes=_TAKING | {"account_not_found", "too_many_holds", "hold_too_long"},
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
        codes=_WHICH | _TAKING | {"hold_too_long", "metered_invalid"},
        read=read_extend,
        write=write_extend,
        parameters=_IN_PATH,
        keyed=True,
    ),
    Endpoint(
        path="/v1/holds/{id}/settle",
        operation_id="settleHold",
        summary="Charge what the work cost",
        description="Less than was set aside frees the rest; more takes the excess from what is available, by "
        "`shortfall`. With `last: false` the hold lives on and more settles may follow.",
        scope="charge",
        request=SettleRequest,
        answer=Settled,
        example={"amount": "17.5"},
        answered={
            "id": HOLD_ID,
            "charge": ENTRY_ID,
            "state": "settled",
            "amount": "17.5",
            "unpaid": "0",
            "released": "2.5",
            "operation": "image.generate",
            "grants": [{"grant": GRANT_ID, "amount": "17.5"}],
            "debt": "0",
            **TOLD,
            "after": {"balance": "875", "scoped": "0", "held": "0", "debt": "0"},
        },
        codes=_WHICH | _TAKING | {"balance_limit"},
        read=read_settle,
        write=write_settle,
        parameters=_IN_PATH,
        keyed=True,
    ),
    Endpoint(
        path="/v1/holds/{id}/release",
        operation_id="releaseHold",
        summary="Free what a hold has set aside",
        description="Nothing is charged. A part whose grant has expired meanwhile lapses.",
        scope="charge",
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
        codes=_WHICH,
        read=read_release,
        write=write_release,
        parameters=_IN_PATH,
        keyed=True,
    ),
)
