"""Settles: what the work of a hold cost is charged."""

from typing import Annotated, Final, Literal, get_args

from msgspec import Meta

from farthing.core.amounts import write_amount
from farthing.core.commands import Settle, Shortfall
from farthing.core.records import Entry
from farthing.core.refundable import read_body
from farthing.stores.reports import is_id

from ..endpoint import Caller, Endpoint, Request
from .charges import ENTRY_ID, GRANT_ID, SHORTFALLS, TOLD, Part, TakeWhat, taken
from .fields import Form
from .holds import HOLD_ID, IN_PATH, TAKING, WHICH, hold_of
from .usage import PRICE_CODES, PriceView, UsageField, UsageView, read_usage, reckon, words_of
from .usual import Usual, UsualBody
from .wire import AmountOrZero, Command, Credits, Done, done

Late = Literal["refuse", "charge"]
LATES: Final[tuple[Late, ...]] = get_args(Late)


class SettleRequest(Command):
    """What the work cost."""

    amount: Annotated[
        AmountOrZero | None,
        Meta(description="Left out: the price of the `usage`; where there is none, all that is left of the hold."),
    ] = None
    usage: UsageField | None = None
    last: Annotated[bool | None, Meta(description="False: more is to come, and the rest stays set aside.")] = True
    shortfall: TakeWhat | None = "refuse"
    late: Annotated[
        Late | None,
        Meta(
            description="When the hold has expired: `refuse`, or `charge` what expiry did not take, as debt if need be."
        ),
    ] = "refuse"


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
    usage: UsageView | None
    price: Annotated[PriceView | None, Meta(description="How the usage came to its price; null where it was given.")]


# Reading


_settle = Form(SettleRequest)


class _UsualSettle(UsualBody):
    last: bool = True
    shortfall: Shortfall = "refuse"
    late: Late = "refuse"


_usual = Usual(_UsualSettle)


def read_settle(request: Request) -> Settle:
    """A settle."""
    if is_id("hold", request.parameters["id"]) and (found := _usual.read(request)) is not None:
        body = found.body
        return Settle(
            account="",
            hold=request.parameters["id"],
            last=body.last,
            shortfall=body.shortfall,
            late=body.late,
            **found.taken,
        )
    fields = _settle.read(request)
    usage = read_usage(fields)
    plain = {
        "hold": hold_of(request),
        "last": fields.flag_or("last", True),
        "shortfall": fields.choice("shortfall", SHORTFALLS, "refuse"),
        "late": fields.choice("late", LATES, "refuse"),
        **fields.said(),
    }
    amount = fields.amount_if("amount", zero=True)
    reckoned = None if usage is None else reckon(fields, usage, amount, words_of(usage))
    fields.check()
    if reckoned is None:
        return Settle(account="", amount=amount, **plain)
    return reckoned.takes(Settle(account="", amount=reckoned.amount, usage=reckoned.metered, at=reckoned.at, **plain))


# Writing


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


# The table


ENDPOINTS: Final = (
    Endpoint(
        path="/v1/holds/{id}/settle",
        operation_id="settleHold",
        summary="Charge what the work cost",
        description="Less than was set aside frees the rest; more takes the excess from what is available, by "
        "`shortfall`. With `last: false` the hold lives on and more settles may follow.",
        scope="charge",
        own=True,
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
            "usage": None,
            "price": None,
            **TOLD,
            "after": {"balance": "875", "scoped": "0", "held": "0", "debt": "0"},
        },
        codes=WHICH | TAKING | PRICE_CODES | {"balance_limit"},
        read=read_settle,
        write=write_settle,
        parameters=IN_PATH,
        keyed=True,
    ),
)
