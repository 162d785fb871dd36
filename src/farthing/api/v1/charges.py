"""Charges and refunds: credits taken for a usage, and given back where they came from."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, get_args

from msgspec import Meta, Struct

from farthing.core.amounts import write_amount
from farthing.core.commands import Refund, Shortfall, TakeCharge
from farthing.core.outcomes import Refusal, Refused
from farthing.core.records import Body, Entry
from farthing.core.refundable import CHARGES, charge_of, read_body

from ..endpoint import Caller, Endpoint, Request
from .desk import Desk
from .fields import Fields, Form
from .parameters import in_path
from .usage import (
    PRICE_CODES,
    PRICED,
    PriceView,
    UsageField,
    UsageView,
    read_usage,
    read_words,
    reckon,
    used,
    words_of,
)
from .usual import Usual, UsualTaking
from .wire import (
    AccountId,
    Amount,
    AmountOrZero,
    Command,
    Credits,
    Done,
    Model,
    Operation,
    Product,
    ServiceName,
    done,
)

SHORTFALLS: Final[tuple[Shortfall, ...]] = get_args(Shortfall)
TakeWhat = Annotated[
    Shortfall,
    Meta(
        description="What to do when there is not enough: `refuse`; `take` what there is (the answer says `unpaid`); "
        "`debt`: take all of it, also what is not there, for work that was done already."
    ),
]


AMOUNT_OR_USAGE: Final = (
    "What to take. Left out where `usage` is given, which is then priced; given beside it, it is what the usage costs, "
    "and may be zero."
)


class ChargeRequest(Command):
    """Credits to take."""

    account: AccountId
    amount: Annotated[AmountOrZero | None, Meta(description=AMOUNT_OR_USAGE)] = None
    usage: UsageField | None = None
    operation: Operation | None = None
    service: ServiceName | None = None
    model: Model | None = None
    product: Product | None = None
    shortfall: TakeWhat | None = "refuse"


class RefundRequest(Command):
    """What to give back of a charge."""

    amount: Annotated[Amount | None, Meta(description="All that is left of the charge when it is left out.")] = None


class AccountRefundRequest(Command):
    """What to give back of an account's latest charges."""

    account: AccountId
    amount: Amount


class Part(Struct):
    """What one grant paid."""

    grant: str
    amount: Credits


class Charge(Done, kw_only=True):
    """A charge as it was made."""

    id: str
    amount: Annotated[Credits, Meta(description="What was taken.")]
    unpaid: Annotated[Credits, Meta(description="What shortfall `take` could not take.")]
    operation: str | None
    grants: Annotated[list[Part], Meta(description="What each grant paid, in burn order; the rest is debt.")]
    debt: Annotated[Credits, Meta(description="What no grant paid.")]
    usage: UsageView | None
    price: Annotated[PriceView | None, Meta(description="How the usage came to its price; null where it was given.")]


class Return(Struct):
    """What came back of one charge, to one grant."""

    charge: str
    grant: Annotated[str | None, Meta(description="The grant that had paid; null where unpaid debt was lowered.")]
    amount: Credits


class RefundDone(Done, kw_only=True):
    """A refund."""

    id: str
    charge: Annotated[str | None, Meta(description="The charge that was named.")]
    amount: Credits
    returned: list[Return]


# Reading


_charge, _refund, _account_refund = Form(ChargeRequest), Form(RefundRequest), Form(AccountRefundRequest)


class _UsualCharge(UsualTaking):
    shortfall: Shortfall = "refuse"


_usual = Usual(_UsualCharge)


def read_charge(request: Request) -> TakeCharge:
    """A charge."""
    if (found := _usual.read(request)) is None:
        return read_charge_of(_charge.read(request))
    return TakeCharge(
        account=found.body.account,
        operation=found.usage.operation,
        attributes=attributes_of(words_of(found.usage)),
        shortfall=found.body.shortfall,
        **found.taken,
    )


def read_charge_of(fields: Fields, key: str | None = None) -> TakeCharge:
    """A charge from its fields, checked."""
    usage = read_usage(fields)
    words = read_words(fields, usage)
    account = fields.text("account")
    shortfall = fields.choice("shortfall", SHORTFALLS, "refuse")
    said = fields.said(key)
    reckoned = reckon(fields, usage, fields.amount_if("amount", zero=usage is not None), words)
    fields.check()
    command = TakeCharge(
        account=account,
        amount=reckoned.amount,
        usage=reckoned.metered,
        at=reckoned.at,
        operation=words["operation"],
        attributes=attributes_of(words),
        shortfall=shortfall,
        **said,
    )
    return reckoned.takes(command)


def attributes_of(words: Mapping[str, str]) -> dict[str, str]:
    """What grants with a scope look at, beside the operation."""
    return {name: words[name] for name in ("service", "model", "product") if words[name]}


def read_refund(request: Request) -> Refund:
    """A refund of a charge; `owner_of_charge` finds whose it is."""
    fields = _refund.read(request)
    command = Refund(account="", charge=request.parameters["id"], amount=fields.amount_if("amount"), **fields.said())
    fields.check()
    return command


def read_account_refund(request: Request) -> Refund:
    """A refund of whatever an account was charged last."""
    fields = _account_refund.read(request)
    command = Refund(account=fields.text("account"), amount=fields.amount(), **fields.said())
    fields.check()
    return command


async def owner_of_charge(command: Refund, desk: Desk) -> str | Refused:
    """Whose charge it is."""
    assert command.charge is not None, "the path names it"
    entry = await desk.reports.entry(command.workspace, command.charge)
    if entry is not None and entry.kind in CHARGES:
        return entry.account
    if entry is not None or not await desk.directory.is_archived(command.workspace, command.charge):
        return Refused(Refusal.CHARGE_NOT_FOUND)
    # What was asked for before has its answer still; the key says whose it was.
    owners = await desk.directory.owners_of_key(command.workspace, command.key or "", command.charge)
    return owners[0] if len(owners) == 1 else Refused(Refusal.CHARGE_ARCHIVED)


# Writing


def write_charge(entry: Entry, caller: Caller) -> Charge:
    """What was taken."""
    body, scale = read_body(entry), caller.workspace.scale
    return Charge(id=entry.id, **taken(entry, scale, body), **done(entry, scale, body))


def taken(entry: Entry, scale: int, body: Body) -> dict[str, Any]:
    """What an entry took, and from where."""
    if body.debts or body.gone:
        charge = charge_of(entry, body)
        slices, debt = [(s.grant, s.amount) for s in charge.slices], charge.debt
    else:  # as nearly always: then what left the grants is what was taken
        slices, debt = [(grant, -change) for grant, change, _ in body.slices if change < 0], 0
    return {
        "amount": write_amount(body.spent, scale),
        "unpaid": write_amount(body.unpaid, scale),
        "operation": entry.operation or None,
        "grants": [Part(grant, write_amount(amount, scale)) for grant, amount in slices],
        "debt": write_amount(debt, scale),
        **used(body),
    }


def write_refund(entry: Entry, caller: Caller) -> RefundDone:
    """What was given back."""
    body, scale = read_body(entry), caller.workspace.scale
    returned = [Return(charge, grant or None, write_amount(amount, scale)) for charge, grant, amount in body.refunds]
    return RefundDone(
        id=entry.id,
        charge=body.ref or None,
        amount=write_amount(-body.spent, scale),
        returned=returned,
        **done(entry, scale, body),
    )


# The table


ENTRY_ID: Final = "ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
GRANT_ID: Final = "grt_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
TOLD: Final[dict[str, Any]] = {
    "account": "user_42",
    "entry": ENTRY_ID,
    "after": {"balance": "892.5", "scoped": "0", "held": "20", "debt": "0"},
    "description": None,
    "metadata": None,
    "created_at": "2026-01-01T12:00:00.000000Z",
}
CHARGE_EXAMPLE: Final[dict[str, Any]] = {
    "account": "user_42",
    "usage": {
        "provider": "openai",
        "model": "gpt-4o",
        "operation": "chat.message",
        "dimensions": {"input_tokens": 1500, "output_tokens": 800},
    },
    "metadata": {"chat": "7f3a"},
}
CHARGED: Final[dict[str, Any]] = {
    "id": ENTRY_ID,
    "amount": "7.5",
    "unpaid": "0",
    "operation": "chat.message",
    "grants": [{"grant": GRANT_ID, "amount": "7.5"}],
    "debt": "0",
    **PRICED,
    **TOLD,
    "metadata": {"chat": "7f3a"},
}
CHARGE_CODES: Final = frozenset(
    {"account_not_found", "insufficient_credits", "frozen", "spend_limit", "balance_limit", *PRICE_CODES}
)
_REFUND_CODES: Final = frozenset(
    {"account_not_found", "charge_archived", "charge_not_found", "refund_too_large", "balance_limit"}
)


ENDPOINTS: Final = (
    Endpoint(
        path="/v1/charges",
        operation_id="createCharge",
        summary="Charge credits for a usage",
        description="Grants burn in their order; those whose scope matches operation, service, model or product come "
        "first. A refusal is not remembered: after a top-up the same key may succeed, unless `final` was true.",
        scope="charge",
        own=True,
        request=ChargeRequest,
        answer=Charge,
        example=CHARGE_EXAMPLE,
        answered=CHARGED,
        codes=CHARGE_CODES,
        read=read_charge,
        write=write_charge,
        status=201,
        location="/v1/charges/{id}",
        keyed=True,
    ),
    Endpoint(
        path="/v1/charges/{id}/refund",
        operation_id="refundCharge",
        summary="Give a charge back",
        description="Into the grants that paid it, in all never more than it took. What a grant paid that has lapsed "
        "meanwhile follows the workspace's rule: a new grant for some days, or nothing.",
        scope="charge",
        request=RefundRequest,
        answer=RefundDone,
        example={"amount": "2.5", "description": "The answer was cut off"},
        answered={
            "id": ENTRY_ID,
            "charge": "ent_0198c5efffff7c3d8e4f5a6b7c8d9e0f",
            "amount": "2.5",
            "returned": [
                {"charge": "ent_0198c5efffff7c3d8e4f5a6b7c8d9e0f", "grant": GRANT_ID, "amount": "2.5"},
            ],
            **TOLD,
            "description": "The answer was cut off",
        },
        codes=_REFUND_CODES,
        read=read_refund,
        owner=owner_of_charge,
        write=write_refund,
        status=201,
        location="/v1/entries/{id}",
        parameters=(in_path("id", "The charge (or the settle of a hold).", ENTRY_ID),),
        keyed=True,
    ),
    Endpoint(
        path="/v1/refunds",
        operation_id="createRefund",
        summary="Give an account's latest charges back",
        description="Without a charge's id: newest first, those that were not given back yet. More than they hold is "
        "refused, with what is refundable; goodwill is a grant.",
        scope="charge",
        request=AccountRefundRequest,
        answer=RefundDone,
        example={"account": "user_42", "amount": "2.5"},
        answered={
            "id": ENTRY_ID,
            "charge": None,
            "amount": "2.5",
            "returned": [
                {"charge": "ent_0198c5efffff7c3d8e4f5a6b7c8d9e0f", "grant": GRANT_ID, "amount": "2.5"},
            ],
            **TOLD,
        },
        codes=_REFUND_CODES - {"charge_archived", "charge_not_found"},
        read=read_account_refund,
        write=write_refund,
        status=201,
        location="/v1/entries/{id}",
        keyed=True,
    ),
)
