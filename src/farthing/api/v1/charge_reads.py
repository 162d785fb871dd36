"""Charges, read: with what has become of them since."""

from typing import Annotated, Any, Final

from msgspec import Meta, Raw, Struct
from msgspec.json import encode

from farthing.core.amounts import write_amount
from farthing.core.figures import rounded
from farthing.core.records import Category, Entry, GrantTerms, Slice
from farthing.core.refundable import read_body, refundable
from farthing.core.usage import Priced
from farthing.stores.directory import Used
from farthing.stores.hold_words import said_of_hold

from ..endpoint import Endpoint, Request
from .account_settings import ACCOUNT
from .charges import ENTRY_ID, GRANT_ID
from .desk import Desk
from .parameters import in_path
from .reading import FROM_TO, PAGING, Listed, Params, listed_example, named, not_found
from .usage import PRICED, PriceView, UsageView, used
from .wire import Credits, OwnObject, Time, write_time


class Paid(Struct):
    """What one grant paid, and got back."""

    grant: str
    amount: Credits
    refunded: Credits


class PaidFrom(Paid, kw_only=True):
    """The same, with the terms of the grant."""

    category: Category
    priority: int
    scope: list[str]
    expires_at: Time | None
    source: dict[str, str] | None
    created_at: Time


class CardInForce(Struct, kw_only=True):
    """The version of the rate card by which the usage was priced."""

    name: Annotated[str, Meta(description="`card@version`.")]
    effective_from: Time
    reason: Annotated[str | None, Meta(description="Why it was made.")]
    actor: Annotated[str, Meta(description="Who made it.")]
    created_at: Time


class GivenBack(Struct, kw_only=True):
    """A refund of the charge."""

    entry: str
    amount: Annotated[Credits, Meta(description="What of it came back of this charge.")]
    actor: str
    description: str | None
    created_at: Time


class ChargeFacts(Struct, kw_only=True):
    """What there is to say of a charge, listed or by itself."""

    id: str
    account: str
    amount: Annotated[Credits, Meta(description="What was taken.")]
    refunded: Credits
    refundable: Annotated[Credits, Meta(description="What can still be refunded.")]
    debt: Annotated[Credits, Meta(description="What no grant has paid yet.")]
    unpaid: Annotated[Credits, Meta(description="What shortfall `take` could not take.")]
    operation: str | None
    hold: Annotated[str | None, Meta(description="The hold that it settled.")]
    usage: Annotated[UsageView | None, Meta(description="What was used.")]
    price: Annotated[PriceView | None, Meta(description="How the usage came to its price.")]
    balance_before: Credits
    balance_after: Credits
    key: Annotated[str | None, Meta(description="That it was made under, with the prefix of the way it came.")]
    actor: str
    request_id: str
    description: str | None
    metadata: OwnObject
    created_at: Time


class ChargeView(ChargeFacts, kw_only=True):
    """A charge as it stands now."""

    grants: list[Paid]


class ChargeExplained(ChargeFacts, kw_only=True):
    """A charge with all that led to it, and what became of it."""

    rounded: Annotated[
        Credits | None, Meta(description="What rounding added to the exact price; below zero it took off. Once.")
    ]
    card: Annotated[CardInForce | None, Meta(description="Null: no card had a say, the caller gave the amount.")]
    grants: Annotated[list[PaidFrom], Meta(description="Who paid, in burn order; the rest is debt.")]
    refunds: Annotated[list[GivenBack], Meta(description="Oldest first.")]
    hold_metadata: Annotated[
        OwnObject, Meta(description="Where its hold has expired: what was said of that, up to the last report.")
    ]


def facts_of(found: Used, scale: int) -> dict[str, Any]:
    """The fields of `ChargeFacts`."""
    entry, charge, body = found.entry, found.charge, read_body(found.entry)
    return {
        "id": entry.id,
        "account": entry.account,
        "amount": write_amount(charge.amount, scale),
        "refunded": write_amount(charge.refunded, scale),
        "refundable": write_amount(refundable(charge), scale),
        "debt": write_amount(charge.debt, scale),
        "unpaid": write_amount(body.unpaid, scale),
        "operation": entry.operation or None,
        "hold": body.ref or None,
        **used(body),
        "balance_before": write_amount(entry.balance - entry.amount, scale),
        "balance_after": write_amount(entry.balance, scale),
        "key": entry.key,
        "actor": entry.actor,
        "request_id": entry.request_id,
        "description": entry.description,
        "metadata": None if entry.metadata is None else Raw(entry.metadata.encode()),
        "created_at": write_time(entry.at),
    }


def paid(part: Slice, scale: int) -> dict[str, Any]:
    """The fields of `Paid`."""
    return {
        "grant": part.grant,
        "amount": write_amount(part.amount, scale),
        "refunded": write_amount(part.refunded, scale),
    }


def write_found(found: Used, scale: int) -> ChargeView:
    """A charge on the wire."""
    return ChargeView(grants=[Paid(**paid(part, scale)) for part in found.charge.slices], **facts_of(found, scale))


async def explain(found: Used, desk: Desk, scale: int) -> ChargeExplained:
    """A charge and what stands behind it."""
    body, terms = read_body(found.entry), await desk.directory.terms(found)
    of_hold = await said_of_hold(desk.directory, found)
    priced = None if body.usage is None or body.usage.given else body.usage.priced
    return ChargeExplained(
        rounded=None if priced is None else rounded(priced),
        card=None if priced is None else await _card(priced, found, desk),
        grants=[_paid_from(part, terms[part.grant], scale) for part in found.charge.slices],
        refunds=[_given_back(entry, found, scale) async for entry in desk.directory.refunds(found)],
        hold_metadata=None if of_hold is None else Raw(encode(of_hold)),
        **facts_of(found, scale),
    )


def _paid_from(part: Slice, terms: GrantTerms, scale: int) -> PaidFrom:
    return PaidFrom(
        category=terms.category,
        priority=terms.priority,
        scope=list(terms.scope),
        expires_at=None if terms.expires_at is None else write_time(terms.expires_at),
        source=terms.source,
        created_at=write_time(terms.created_at),
        **paid(part, scale),
    )


def _given_back(entry: Entry, found: Used, scale: int) -> GivenBack:
    amount = sum(amount for charge, _, amount in read_body(entry).refunds if charge == found.entry.id)
    return GivenBack(
        entry=entry.id,
        amount=write_amount(amount, scale),
        actor=entry.actor,
        description=entry.description,
        created_at=write_time(entry.at),
    )


async def _card(priced: Priced, found: Used, desk: Desk) -> CardInForce | None:
    """The version that priced it; it may be that of a ledger from which this one was copied without its cards."""
    card, _, version = priced.card.rpartition("@")
    known = await desk.prices.version(found.entry.workspace, card, int(version)) if version.isdecimal() else None
    if known is None:
        return None
    return CardInForce(
        name=known.name,
        effective_from=write_time(known.effective_from),
        reason=known.reason or None,
        actor=known.actor,
        created_at=write_time(known.created_at),
    )


async def list_charges(request: Request, desk: Desk) -> Listed[ChargeView]:
    """A page of an account's charges."""
    params = Params(request, "from", "to", "limit", "cursor")
    account, (since, until) = named(request, "account", "account"), params.span()
    turn = await params.turn(desk, "charges", account=account)
    page = await desk.directory.charges(
        turn.workspace, account, since=since, until=until, before=turn.after, limit=turn.limit
    )
    if page is None:
        raise not_found("account")
    scale = request.caller.workspace.scale
    return await turn.told([write_found(found, scale) for found in page.items], page.next)


async def show_charge(request: Request, desk: Desk) -> ChargeExplained:
    """One charge, explained."""
    Params(request).check()
    workspace = request.caller.workspace
    found = await desk.directory.charge(workspace.id, named(request, "id", "charge"))
    if found is None:
        raise not_found("charge")
    return await explain(found, desk, workspace.scale)


_EXAMPLE: Final[dict[str, Any]] = {
    "id": ENTRY_ID, "account": "user_42", "amount": "7.5", "refunded": "2", "refundable": "5.5", "debt": "0",
    "unpaid": "0", "operation": "chat.message", "hold": None, **PRICED,
    "balance_before": "900", "balance_after": "892.5", "key": "v1:chat-7f3a-0001",
    "actor": "key:key_0198c5f0a1b27c3d8e4f5a6b7c8d9000", "request_id": "req_7d1f00000001", "description": None,
    "metadata": None, "created_at": "2026-01-01T12:00:00.000000Z",
    "grants": [{"grant": GRANT_ID, "amount": "7.5", "refunded": "2"}],
}  # fmt: skip
_EXPLAINED: Final[dict[str, Any]] = _EXAMPLE | {
    "rounded": "0",
    "card": {
        "name": "main@3", "effective_from": "2025-12-01T00:00:00.000000Z", "reason": "Prices of winter",
        "actor": "cli:ops", "created_at": "2025-11-20T09:30:00.000000Z",
    },
    "grants": [
        {
            "grant": GRANT_ID, "amount": "7.5", "refunded": "2", "category": "paid", "priority": 50, "scope": [],
            "expires_at": None, "source": None, "created_at": "2025-12-24T18:00:00.000000Z",
        },
    ],
    "refunds": [
        {
            "entry": "ent_0198c5f0ffff7c3d8e4f5a6b7c8d9e0f", "amount": "2",
            "actor": "key:key_0198c5f0a1b27c3d8e4f5a6b7c8d9000", "description": "The answer was cut off",
            "created_at": "2026-01-01T12:05:00.000000Z",
        },
    ],
    "hold_metadata": None,
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/charges",
        operation_id="listCharges",
        summary="An account's charges",
        description="Newest first, each with what was refunded of it. Settled holds are charges as well.",
        scope="read",
        request=None,
        answer=Listed[ChargeView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"account_not_found", "cursor_invalid"}),
        act=list_charges,
        parameters=(ACCOUNT, *FROM_TO, *PAGING),
    ),
    Endpoint(
        method="GET",
        path="/v1/charges/{id}",
        operation_id="showCharge",
        summary="One charge, explained",
        description="From what was used through rules, card version and rounding to the grants that paid it and the "
        "balance after it; and what has become of it since.",
        scope="read",
        request=None,
        answer=ChargeExplained,
        example={},
        answered=_EXPLAINED,
        codes=frozenset({"charge_not_found"}),
        act=show_charge,
        parameters=(in_path("id", "The charge's id.", ENTRY_ID),),
    ),
)
