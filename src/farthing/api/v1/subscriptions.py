"""Subscriptions: who has which plan. Buying a plan, claiming a period that is due, ending one; and lists."""

from typing import Annotated, Any, Final, get_args

from msgspec import Meta, Struct

from farthing.core.amounts import write_amount
from farthing.core.commands import ChangePlan, Renew, Resume, Subscribe, Unsubscribe
from farthing.core.outcomes import Accepted, Refusal, Refused
from farthing.core.records import Body, Entry
from farthing.core.refundable import read_body
from farthing.core.subscription import BilledBy, Subscription, renewal_key

from ..endpoint import Caller, Endpoint, Request
from .charges import GRANT_ID, TOLD
from .desk import Desk
from .fields import Fields, Form, account_of
from .parameters import in_path
from .wire import Act, Command, Credits, Done, Expiry, Time, done, text_of, write_time

_BILLERS: Final[tuple[BilledBy, ...]] = get_args(BilledBy)


class Payment(Struct, kw_only=True, forbid_unknown_fields=True):
    """A payment from outside; it is credited once, whatever the key."""

    provider: Annotated[str, text_of("Such as `stripe`.")]
    id: Annotated[str, text_of("The provider's own id of the payment.")]


Paid = Annotated[str, Meta(description="Until when it is paid (RFC 3339).")]


class SubscribeRequest(Command):
    """A plan to buy, or to change to."""

    plan: Annotated[str, text_of("The plan's id.")]
    expires_at: Expiry | None = None
    billed_by: Annotated[
        BilledBy | None, Meta(description="Whose payments renew it; `none`: it is renewed when due.")
    ] = "none"
    next_at: Annotated[Expiry | None, Meta(description="It runs elsewhere already: when its next period begins.")] = (
        None
    )
    payment: Payment | None = None


class RenewRequest(Act):
    """A period that is due; or one that a payment has paid, which may be early."""

    expires_at: Expiry | None = None
    payment: Payment | None = None


class UnsubscribeRequest(Command):
    """A subscription to end."""

    at_once: Annotated[bool | None, Meta(description="Now, and not with the time that is paid.")] = False


class ResumeRequest(Command):
    """A cancellation to take back."""


class ChangeRequest(Command):
    """A plan that is to come with the next renewal."""

    plan: Annotated[str, text_of("The plan's id; that of the present plan takes a change back.")]


class SubscriptionFields(Struct, kw_only=True):
    """A subscription's own dates."""

    id: str
    plan: str
    billed_by: BilledBy
    started_at: Time
    period_at: Annotated[Time | None, Meta(description="When the last period that was given began.")]
    next_at: Annotated[Time, Meta(description="When the next one begins: the anchor and so many periods.")]
    renewed_at: Time | None
    expires_at: Annotated[Time | None, Meta(description="Until when it is paid; null: it is not a matter of payment.")]
    canceled_at: Time | None
    ended_at: Time | None
    pending_plan: Annotated[str | None, Meta(description="The plan that comes with the next renewal; null: its own.")]


class SubscriptionChanged(Done, kw_only=True):
    """A subscription after an act."""

    subscription: SubscriptionFields
    given: Annotated[Credits, Meta(description="What the period gave.")]
    grant: Annotated[str | None, Meta(description="The grant that it made.")]
    written_off: Annotated[Credits, Meta(description="Of the plan before, or above the plan's cap.")]


def write_fields(s: Subscription) -> dict[str, Any]:
    """A subscription's own dates on the wire."""
    times = ("period_at", "renewed_at", "expires_at", "canceled_at", "ended_at")
    return {
        "id": s.id,
        "plan": s.plan,
        "billed_by": s.billed_by,
        "started_at": write_time(s.started_at),
        "next_at": write_time(s.next_at),
        **{name: None if (at := getattr(s, name)) is None else write_time(at) for name in times},
        "pending_plan": s.pending.plan if s.pending else None,
    }


# Reading


_subscribe, _renew, _unsubscribe = Form(SubscribeRequest), Form(RenewRequest), Form(UnsubscribeRequest)
_resume, _change = Form(ResumeRequest), Form(ChangeRequest)


def read_subscribe(request: Request) -> Subscribe:
    """A plan to buy."""
    fields = _subscribe.read(request)
    command = Subscribe(
        account=account_of(request),
        plan=fields.text("plan"),
        expires_at=fields.instant("expires_at"),
        billed_by=fields.choice("billed_by", _BILLERS, "none"),
        next_at=fields.instant("next_at"),
        claim=_payment(fields),
        **fields.said(),
    )
    fields.check()
    return command


def read_renew(request: Request) -> Renew:
    """A period to give; which one, `due_period` finds."""
    fields = _renew.read(request)
    command = Renew(
        account=account_of(request), subscription="", period_at=0, expires_at=fields.instant("expires_at"),
        claim=_payment(fields), **fields.said(),
    )  # fmt: skip
    fields.check()
    return command


def read_unsubscribe(request: Request) -> Unsubscribe:
    """A subscription to end."""
    fields = _unsubscribe.read(request)
    command = Unsubscribe(account=account_of(request), at_once=fields.flag("at_once"), **fields.said())
    fields.check()
    return command


def read_resume(request: Request) -> Resume:
    """A cancellation to take back."""
    fields = _resume.read(request)
    command = Resume(account=account_of(request), **fields.said())
    fields.check()
    return command


def read_change(request: Request) -> ChangePlan:
    """A plan for the next renewal."""
    fields = _change.read(request)
    command = ChangePlan(account=account_of(request), plan=fields.text("plan"), **fields.said())
    fields.check()
    return command


def _payment(fields: Fields) -> tuple[str, str] | None:
    wrong = len(fields.wrong)
    part = fields.part("payment", Payment)
    if part is None or len(fields.wrong) > wrong:  # none, or something else than an object
        return None
    found = (part.text("provider"), part.text("id"))
    fields.wrong += part.wrong
    return found


async def due_period(command: Renew, desk: Desk) -> str | Refused:
    """Which period is asked for. All who ask for one use its key, so that it is given once; who asks under a key of his
    own is known by what the entry keeps of it, and a repeat gets the first answer."""
    s = await desk.subscriptions.of(command.workspace, command.account)
    if s is None:
        known = await desk.reports.account(command.workspace, command.account, desk.now_us())
        missing = Refusal.SUBSCRIPTION_NOT_FOUND if known else Refusal.ACCOUNT_NOT_FOUND
        return Refused(missing, {"account": command.account})
    command.subscription, command.asked = s.id, command.key or ""
    if s.renewed_for is not None:
        _name_period(command, s.renewed_for)
        first = await desk.engine.ask(command, dry=True)
        if isinstance(first, Accepted) and first.entry and read_body(first.entry).asked == command.asked:
            return command.account
    _name_period(command, s.next_at)
    return command.account


def _name_period(command: Renew, period_at: int) -> None:
    command.period_at, command.key = period_at, renewal_key(command.subscription, period_at)


# Writing


def write_changed(entry: Entry, caller: Caller) -> SubscriptionChanged:
    """A subscription after an act."""
    body, scale = read_body(entry), caller.workspace.scale
    return SubscriptionChanged(
        subscription=SubscriptionFields(**write_fields(_after(body))),
        given=write_amount(body.earned, scale),
        grant=body.grants[0].id if body.grants else None,
        written_off=write_amount(body.written_off, scale),
        **done(entry, scale, body),
    )


def _after(body: Body) -> Subscription:
    assert body.subscription is not None, "an entry of this kind has it"
    return body.subscription


# The table


_ID: Final = "sub_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
FIELDS: Final[dict[str, Any]] = {
    "id": _ID, "plan": "professional", "billed_by": "none", "started_at": "2026-01-01T12:00:00.000000Z",
    "period_at": "2026-01-01T12:00:00.000000Z", "next_at": "2026-01-31T12:00:00.000000Z", "renewed_at": None,
    "expires_at": "2026-12-31T12:00:00.000000Z", "canceled_at": None, "ended_at": None,
    "pending_plan": None,
}  # fmt: skip
_CHANGED: Final[dict[str, Any]] = {
    **TOLD, "subscription": FIELDS, "given": "2000", "grant": GRANT_ID, "written_off": "0"
}  # fmt: skip
_NOTHING: Final = {"given": "0", "grant": None}
_LASTING: Final = frozenset(
    {"own_account", "account_not_found", "subscription_not_found", "subscription_ended", "subscription_expired"}
) | {"plan_not_found"}
SUBSCRIBER: Final = in_path("account", "The account's id.", "user_42")
_GIVES: Final = frozenset({"own_account", "too_many_grants", "balance_limit", "payment_claimed"})

ENDPOINTS: Final = (
    Endpoint(
        method="PUT",
        path="/v1/accounts/{account}/subscription",
        operation_id="subscribe",
        summary="Buy a plan, or change to it",
        description="Grant, plan and dates in one entry. Periods are counted from now; the first is given at once. "
        "Makes the account where there is none. With a `payment` it is done once for that payment, whatever the key.",
        scope="grant",
        request=SubscribeRequest,
        answer=SubscriptionChanged,
        example={"plan": "professional", "expires_at": "2026-12-31T12:00:00Z"},
        answered=_CHANGED,
        codes=_GIVES | {"plan_not_found", "plan_archived"},
        read=read_subscribe,
        write=write_changed,
        keyed=True,
        parameters=(SUBSCRIBER,),
    ),
    Endpoint(
        path="/v1/accounts/{account}/subscription/renew",
        operation_id="renewSubscription",
        summary="Give the period that is due",
        description="A period is given once, whoever asks: the job, the account's own user, an admin or a payment.",
        scope="grant",
        request=RenewRequest,
        answer=SubscriptionChanged,
        example={},
        answered={**_CHANGED, "subscription": {**FIELDS, "renewed_at": "2026-01-01T12:00:00.000000Z"}},
        codes=_GIVES
        | {"account_not_found", "subscription_not_found", "subscription_ended", "subscription_expired"}
        | {"subscription_changed", "plan_not_found", "not_due", "renewed_by_payment"},
        read=read_renew,
        owner=due_period,
        write=write_changed,
        keyed=True,
        parameters=(SUBSCRIBER,),
    ),
    Endpoint(
        method="DELETE",
        path="/v1/accounts/{account}/subscription",
        operation_id="unsubscribe",
        summary="End a subscription",
        description="With the time that is paid, or at once. Credits that it gave stay.",
        scope="grant",
        request=UnsubscribeRequest,
        answer=SubscriptionChanged,
        example={},
        answered={
            **_CHANGED,
            "subscription": {**FIELDS, "canceled_at": "2026-01-01T12:00:00.000000Z"},
            **_NOTHING,
        },
        codes=frozenset({"account_not_found", "subscription_not_found", "subscription_ended"}),
        read=read_unsubscribe,
        write=write_changed,
        keyed=True,
        parameters=(SUBSCRIBER,),
    ),
    Endpoint(
        path="/v1/accounts/{account}/subscription/resume",
        operation_id="resumeSubscription",
        summary="Take a cancellation back",
        description="While the time that is paid runs: it goes on as it was before.",
        scope="grant",
        request=ResumeRequest,
        answer=SubscriptionChanged,
        example={},
        answered={**_CHANGED, **_NOTHING},
        codes=_LASTING,
        read=read_resume,
        write=write_changed,
        keyed=True,
        parameters=(SUBSCRIBER,),
    ),
    Endpoint(
        path="/v1/accounts/{account}/subscription/change",
        operation_id="changeSubscription",
        summary="Change the plan with the next renewal",
        description="Until then nothing changes; then its periods are counted anew, from when the renewal was due. "
        "A plan that is not paid comes even where nothing is paid any more. The present plan takes a change back.",
        scope="grant",
        request=ChangeRequest,
        answer=SubscriptionChanged,
        example={"plan": "gift"},
        answered={**_CHANGED, **_NOTHING, "subscription": {**FIELDS, "pending_plan": "gift"}},
        codes=_LASTING | {"plan_archived"},
        read=read_change,
        write=write_changed,
        keyed=True,
        parameters=(SUBSCRIBER,),
    ),
)
