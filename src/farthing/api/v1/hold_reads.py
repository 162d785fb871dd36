"""Holds, read: as they stand now; one whose end has come is shown as its policy ends it."""

from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta, Struct

from farthing.core.amounts import write_amount
from farthing.core.records import Hold, HoldState, OnExpiry

from ..endpoint import Endpoint, Request
from .account_settings import ACCOUNT
from .charges import GRANT_ID, Part
from .desk import Desk
from .parameters import in_path, parameter
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import Credits, Time, write_time

Which = Literal["live", "ended", "all"]
_STATES: Final[tuple[Which, ...]] = get_args(Which)


class HoldNow(Struct, kw_only=True):
    """A hold as it stands now."""

    id: str
    account: str
    state: HoldState
    amount: Annotated[Credits, Meta(description="Set aside in all, raises included.")]
    remaining: Annotated[Credits, Meta(description="Still set aside.")]
    settled: Annotated[Credits, Meta(description="Taken so far.")]
    metered: Annotated[Credits, Meta(description="What was last reported as used, in all.")]
    on_expiry: OnExpiry
    operation: str | None
    service: str | None
    model: str | None
    product: str | None
    grants: Annotated[list[Part], Meta(description="What of each grant it sets aside; the rest is on the allowance.")]
    expires_at: Time
    created_at: Time


def write_hold_now(hold: Hold, scale: int) -> HoldNow:
    """A hold on the wire."""
    return HoldNow(
        id=hold.id,
        account=hold.account,
        state=hold.state,
        amount=write_amount(hold.amount, scale),
        remaining=write_amount(hold.remaining, scale),
        settled=write_amount(hold.settled, scale),
        metered=write_amount(hold.metered, scale),
        on_expiry=hold.on_expiry,
        operation=hold.operation or None,
        service=hold.attributes.get("service"),
        model=hold.attributes.get("model"),
        product=hold.attributes.get("product"),
        grants=[Part(grant, write_amount(amount, scale)) for grant, amount in hold.slices],
        expires_at=write_time(hold.expires_at),
        created_at=write_time(hold.created_at),
    )


async def list_holds(request: Request, desk: Desk) -> Listed[HoldNow]:
    """A page of an account's holds."""
    params = Params(request, "state", "limit", "cursor")
    account, state = named(request, "account", "account"), params.choice("state", _STATES, "all")
    turn = await params.turn(desk, "holds", account=account)
    page = await desk.directory.holds(
        turn.workspace, account, desk.now_us(), state=state, before=turn.after, limit=turn.limit
    )
    if page is None:
        raise not_found("account")
    scale = request.caller.workspace.scale
    return await turn.told([write_hold_now(hold, scale) for hold in page.items], page.next)


async def show_hold(request: Request, desk: Desk) -> HoldNow:
    """One hold."""
    Params(request).check()
    workspace = request.caller.workspace
    hold = await desk.directory.hold(workspace.id, named(request, "id", "hold"), desk.now_us())
    if hold is None:
        raise not_found("hold")
    return write_hold_now(hold, workspace.scale)


_HOLD_ID: Final = "hold_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
_EXAMPLE: Final[dict[str, Any]] = {
    "id": _HOLD_ID, "account": "user_42", "state": "live", "amount": "20", "remaining": "20", "settled": "0",
    "metered": "0", "on_expiry": "release", "operation": "image.generate", "service": None, "model": "dall-e-3",
    "product": None, "grants": [{"grant": GRANT_ID, "amount": "20"}], "expires_at": "2026-01-01T12:30:00.000000Z",
    "created_at": "2026-01-01T12:00:00.000000Z",
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/holds",
        operation_id="listHolds",
        summary="An account's holds",
        description="Newest first; the live ones, the ended ones, or all.",
        scope="read",
        request=None,
        answer=Listed[HoldNow],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"account_not_found", "cursor_invalid"}),
        act=list_holds,
        parameters=(ACCOUNT, parameter("state", "Those in this state.", enum=list(_STATES), default="all"), *PAGING),
    ),
    Endpoint(
        method="GET",
        path="/v1/holds/{id}",
        operation_id="showHold",
        summary="One hold",
        description="Live or ended.",
        scope="read",
        request=None,
        answer=HoldNow,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"hold_not_found"}),
        act=show_hold,
        parameters=(in_path("id", "The hold's id.", _HOLD_ID),),
    ),
)
