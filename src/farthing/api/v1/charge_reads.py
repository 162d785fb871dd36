"""Charges, read: with what has become of them since."""

from typing import Annotated, Any, Final

from msgspec import Meta, Raw, Struct

from farthing.core.amounts import write_amount
from farthing.core.refundable import read_body, refundable
from farthing.stores.directory import Used

from ..endpoint import Endpoint, Request
from .account_settings import ACCOUNT
from .charges import ENTRY_ID, GRANT_ID
from .desk import Desk
from .parameters import in_path
from .reading import FROM_TO, PAGING, Listed, Params, listed_example, named, not_found
from .wire import Credits, OwnObject, Time, write_time


class Paid(Struct):
    """What one grant paid, and got back."""

    grant: str
    amount: Credits
    refunded: Credits


class ChargeView(Struct, kw_only=True):
    """A charge as it stands now."""

    id: str
    account: str
    amount: Annotated[Credits, Meta(description="What was taken.")]
    refunded: Credits
    refundable: Annotated[Credits, Meta(description="What can still be refunded.")]
    debt: Annotated[Credits, Meta(description="What no grant has paid yet.")]
    unpaid: Annotated[Credits, Meta(description="What shortfall `take` could not take.")]
    operation: str | None
    hold: Annotated[str | None, Meta(description="The hold that it settled.")]
    grants: list[Paid]
    description: str | None
    metadata: OwnObject
    created_at: Time


def write_used(used: Used, scale: int) -> ChargeView:
    """A charge on the wire."""
    entry, charge, body = used.entry, used.charge, read_body(used.entry)
    return ChargeView(
        id=entry.id,
        account=entry.account,
        amount=write_amount(charge.amount, scale),
        refunded=write_amount(charge.refunded, scale),
        refundable=write_amount(refundable(charge), scale),
        debt=write_amount(charge.debt, scale),
        unpaid=write_amount(body.unpaid, scale),
        operation=entry.operation or None,
        hold=body.ref or None,
        grants=[Paid(s.grant, write_amount(s.amount, scale), write_amount(s.refunded, scale)) for s in charge.slices],
        description=entry.description,
        metadata=None if entry.metadata is None else Raw(entry.metadata.encode()),
        created_at=write_time(entry.at),
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
    return await turn.told([write_used(used, scale) for used in page.items], page.next)


async def show_charge(request: Request, desk: Desk) -> ChargeView:
    """One charge."""
    Params(request).check()
    workspace = request.caller.workspace
    used = await desk.directory.charge(workspace.id, named(request, "id", "charge"))
    if used is None:
        raise not_found("charge")
    return write_used(used, workspace.scale)


_EXAMPLE: Final[dict[str, Any]] = {
    "id": ENTRY_ID, "account": "user_42", "amount": "7.5", "refunded": "2", "refundable": "5.5", "debt": "0",
    "unpaid": "0", "operation": "chat.message", "hold": None,
    "grants": [{"grant": GRANT_ID, "amount": "7.5", "refunded": "2"}], "description": None, "metadata": None,
    "created_at": "2026-01-01T12:00:00.000000Z",
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
        summary="One charge",
        description="With what has become of it since.",
        scope="read",
        request=None,
        answer=ChargeView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"charge_not_found"}),
        act=show_charge,
        parameters=(in_path("id", "The charge's id.", ENTRY_ID),),
    ),
)
