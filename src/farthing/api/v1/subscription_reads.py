"""Subscriptions, read: an account's own, and who has which plan; and whether they may be renewed now."""

from typing import Annotated, Any, Final

from msgspec import Meta

from farthing.core.periods import eligibility
from farthing.core.subscription import Subscription

from ..endpoint import Endpoint, Request
from .desk import Desk
from .parameters import parameter, text_parameter
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .subscriptions import FIELDS, SUBSCRIBER, SubscriptionFields, write_fields

_FLAG: Final = {"enum": ["true", "false"]}


class SubscriptionView(SubscriptionFields, kw_only=True):
    """An account's subscription as it stands."""

    account: str
    due: Annotated[bool, Meta(description="Its next period may be given now.")]
    reason: Annotated[
        str | None, Meta(description="Why not: `not_due`, `subscription_expired` or `subscription_ended`.")
    ]
    days: Annotated[int | None, Meta(description="Until it is due, begun ones included.")]


def write_subscription(account: str, s: Subscription, at: int) -> SubscriptionView:
    """A subscription as it stands at an instant."""
    told = eligibility(s, at)
    return SubscriptionView(
        **write_fields(s), account=account, due=told.eligible, reason=told.reason or None, days=told.days
    )


async def show_subscription(request: Request, desk: Desk) -> SubscriptionView:
    """An account's subscription."""
    Params(request).check()
    account, workspace = named(request, "account", "account"), request.caller.workspace.id
    s = await desk.subscriptions.of(workspace, account)
    if s is None:
        raise not_found("subscription" if await desk.reports.account(workspace, account, desk.now_us()) else "account")
    return write_subscription(account, s, desk.now_us())


async def list_subscriptions(request: Request, desk: Desk) -> Listed[SubscriptionView]:
    """A page of those of the workspace, or of those that are due."""
    params = Params(request, "due", "ended", "plan", "limit", "cursor")
    due, ended, plan = params.flag("due"), params.flag("ended"), params.text("plan") or ""
    turn, at = await params.turn(desk, "subscriptions"), desk.now_us()
    read = desk.subscriptions
    if due:
        page = await read.due(turn.workspace, at, plan=plan, after=turn.after, limit=turn.limit)
    else:
        page = await read.page(turn.workspace, plan=plan, ended=bool(ended), after=turn.after, limit=turn.limit)
    return await turn.told([write_subscription(s.account, s.subscription, at) for s in page.items], page.next)


_VIEW: Final[dict[str, Any]] = {**FIELDS, "account": "user_42", "due": False, "reason": "not_due", "days": 30}

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/subscription",
        operation_id="showSubscription",
        summary="An account's subscription",
        description="The one that it has, or the last that it had; and whether it may be renewed now.",
        scope="read",
        own=True,
        request=None,
        answer=SubscriptionView,
        example={},
        answered=_VIEW,
        codes=frozenset({"account_not_found", "subscription_not_found"}),
        act=show_subscription,
        parameters=(SUBSCRIBER,),
    ),
    Endpoint(
        method="GET",
        path="/v1/subscriptions",
        operation_id="listSubscriptions",
        summary="Who has which plan",
        description="By account; or those that are due, the oldest first. What a provider bills is never due.",
        scope="read",
        request=None,
        answer=Listed[SubscriptionView],
        example={},
        answered=listed_example(_VIEW),
        codes=frozenset({"cursor_invalid"}),
        act=list_subscriptions,
        parameters=(
            parameter("due", "Those whose next period has begun.", **_FLAG, example="true"),
            parameter("ended", "With those that have ended; such are never due.", **_FLAG, example="true"),
            text_parameter("plan", "Those of one plan.", "professional"),
            *PAGING,
        ),
    ),
)
