"""Grants, read: with what remains of them now, and what became of the rest."""

from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta, Struct

from farthing.core.amounts import write_amount
from farthing.core.records import Category
from farthing.core.view import GrantState, GrantView

from ..endpoint import Endpoint, Request
from .account_settings import ACCOUNT
from .charges import GRANT_ID
from .desk import Desk
from .parameters import in_path, parameter
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import Credits, Time, write_time

Which = GrantState | Literal["all"]
ALL: Final[Which] = "all"
_STATES: Final[tuple[Which, ...]] = (*get_args(GrantState), ALL)


class GrantNow(Struct, kw_only=True):
    """A grant as it stands now."""

    id: str
    account: str
    state: Annotated[
        GrantState,
        Meta(
            description="`live`: something remains of it; `spent`: nothing does; `lapsed`: its time ran out on some of "
            "it; `voided`: it was taken back."
        ),
    ]
    amount: Annotated[Credits, Meta(description="As it was given.")]
    remaining: Credits
    held: Annotated[Credits, Meta(description="Of what remains, what holds have set aside.")]
    spent: Annotated[
        Credits,
        Meta(
            description="What charges took, less what came back; and what was put together with other periods' rests."
        ),
    ]
    gone: Annotated[Credits, Meta(description="What lapsed or was written off.")]
    category: Category
    priority: int
    expires_at: Time | None
    scope: list[str]
    source: dict[str, str] | None
    origin: Annotated[str | None, Meta(description="The grant that it stands in for: a refund came too late for it.")]
    created_at: Time


def write_grant_now(account: str, found: GrantView, scale: int) -> GrantNow:
    """A grant on the wire."""
    terms = found.terms
    return GrantNow(
        id=terms.id,
        account=account,
        state=found.state,
        amount=write_amount(terms.amount, scale),
        remaining=write_amount(found.remaining, scale),
        held=write_amount(found.held, scale),
        spent=write_amount(found.spent, scale),
        gone=write_amount(found.gone, scale),
        category=terms.category,
        priority=terms.priority,
        expires_at=None if terms.expires_at is None else write_time(terms.expires_at),
        scope=list(terms.scope),
        source=terms.source,
        origin=terms.origin or None,
        created_at=write_time(terms.created_at),
    )


async def list_grants(request: Request, desk: Desk) -> Listed[GrantNow]:
    """A page of an account's grants."""
    params = Params(request, "state", "limit", "cursor")
    account, state = named(request, "account", "account"), params.choice("state", _STATES, ALL)
    turn = await params.turn(desk, "grants", account=account)
    page = await desk.directory.grants(
        turn.workspace, account, desk.now_us(), state=state, before=turn.after, limit=turn.limit
    )
    if page is None:
        raise not_found("account")
    scale = request.caller.workspace.scale
    return await turn.told([write_grant_now(account, found, scale) for found in page.items], page.next)


async def show_grant(request: Request, desk: Desk) -> GrantNow:
    """One grant."""
    Params(request).check()
    workspace = request.caller.workspace
    found = await desk.directory.grant(workspace.id, named(request, "id", "grant"), desk.now_us())
    if found is None:
        raise not_found("grant")
    return write_grant_now(*found, workspace.scale)


_EXAMPLE: Final[dict[str, Any]] = {
    "id": GRANT_ID, "account": "user_42", "state": "live", "amount": "1000", "remaining": "895", "held": "20",
    "spent": "105", "gone": "0", "category": "paid", "priority": 50, "expires_at": "2026-12-31T00:00:00.000000Z",
    "scope": [], "source": {"order": "AB12"}, "origin": None, "created_at": "2026-01-01T12:00:00.000000Z",
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/grants",
        operation_id="listGrants",
        summary="An account's grants",
        description="Newest first.",
        scope="read",
        request=None,
        answer=Listed[GrantNow],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"account_not_found", "cursor_invalid"}),
        act=list_grants,
        parameters=(
            ACCOUNT,
            parameter("state", "Those in this state.", enum=list(_STATES), default=ALL),
            *PAGING,
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/grants/{id}",
        operation_id="showGrant",
        summary="One grant",
        description="With what remains of it now.",
        scope="read",
        request=None,
        answer=GrantNow,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"grant_not_found"}),
        act=show_grant,
        parameters=(in_path("id", "The grant's id.", GRANT_ID),),
    ),
)
