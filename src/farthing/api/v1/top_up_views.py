"""Automatic top-ups on the wire: what is asked, and what is told."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from farthing.core.amounts import write_amount
from farthing.core.auto_top_up import MOST_COOL_DOWN, AutoTopUp
from farthing.core.catalogue import Provider
from farthing.core.records import Account
from farthing.core.top_up_attempts import Attempt, AttemptState, PauseReason, Standing, State, state_of

from .administration import Answered, Asked
from .wire import AmountOrZero, Command, Credits, Done, Time, text_of, write_time

_CAPS: Final = ("cap_day", "cap_month")
Threshold = Annotated[AmountOrZero, Meta(description="A balance below it is topped up.")]
OfferName = Annotated[
    str, text_of("What is bought, `product/top-up`: as many of it as reach the threshold, in one payment.")
]
Amount = Annotated[
    AmountOrZero,
    Meta(description="In place of an offer, at Stripe: credits for money, one for one; or the gap, if that is more."),
]
Cap = Annotated[AmountOrZero | None, Meta(description="The most that is bought in it; null is no limit, 0 is nothing.")]
OrderName = Annotated[
    str, text_of("At Digistore24: the earlier order that is charged again; else the one that is billed, or the newest.")
]
CoolDown = Annotated[
    int, Meta(ge=1, le=MOST_COOL_DOWN, description="After a failure; after the second twice as long, then it pauses.")
]


class AutoTopUpRequest(Command, kw_only=True):
    """An automatic top-up as it is to be, as a whole."""

    provider: Provider
    threshold: Threshold
    offer: OfferName | None = None
    amount: Amount | None = None
    cap_day: Cap = None
    cap_month: Cap = None
    enabled: Annotated[bool | None, Meta(description="Off: nothing is asked for, also for what is under way.")] = True
    order: OrderName | None = None
    cool_down_minutes: CoolDown | None = 60


class RemoveAutoTopUpRequest(Command):
    """An automatic top-up that is to be none any more."""


class ResumeAutoTopUpRequest(Asked):
    """A pause that is over."""


class CheckRequest(Struct, forbid_unknown_fields=True):
    """Nothing to say."""


class AutoTopUpSettings(Struct, kw_only=True):
    """What is set."""

    provider: Provider
    threshold: Credits
    offer: str | None
    amount: Credits | None
    cap_day: Credits | None
    cap_month: Credits | None
    enabled: bool
    order: str | None
    cool_down_minutes: int


class TopUpAttempt(Struct, kw_only=True):
    """One purchase, or the try of it."""

    id: str
    state: Annotated[
        AttemptState,
        Meta(
            description="`asking` and `pending` until the notification of the payment comes; `waiting`: the payment "
            "came in and waits for a person; `unconfirmed`: no notification came in a day, and one that does still "
            "counts; of `declined`, `authentication_required` and `failed` nothing was charged."
        ),
    ]
    provider: Provider
    offer: str | None
    quantity: int
    credits: Credits
    amount: Annotated[str | None, Meta(description="What it costs in all; null: the provider's own price.")]
    currency: str | None
    payment: Annotated[str | None, Meta(description="The provider's own id of it.")]
    reason: Annotated[str | None, Meta(description="Why not, as a code: ours, or the provider's.")]
    message: str | None
    url: Annotated[str | None, Meta(description="Where the customer can pay himself.")]
    created_at: Time
    ended_at: Time | None


class AutoTopUpView(Struct, kw_only=True):
    """How an automatic top-up stands."""

    account: str
    state: Annotated[
        State,
        Meta(
            description="`held_back`: one of its caps has been reached; `cooling_down`: after a failure, until "
            "`retry_at`; `paused`: until somebody resumes it."
        ),
    ]
    settings: AutoTopUpSettings | None
    paused: Annotated[PauseReason | None, Meta(description="Why it waits for somebody.")]
    url: Annotated[str | None, Meta(description="Where the customer can pay, or say yes.")]
    failures: Annotated[int, Meta(description="In a row.")]
    retry_at: Time | None
    attempt: Annotated[TopUpAttempt | None, Meta(description="The one that is under way.")]


class AutoTopUpChecked(AutoTopUpView, kw_only=True):
    """How it stands after a look at the account."""

    asked: Annotated[bool, Meta(description="The provider was asked for money just now; `attempt` is what came of it.")]
    reason: Annotated[str | None, Meta(description="Why it was not, as a code; such as `enough` or `in_flight`.")]


class AutoTopUpChanged(Done, kw_only=True):
    """An automatic top-up that was changed."""

    auto_top_up: AutoTopUpSettings | None


class PausedTopUp(Struct, kw_only=True):
    """An automatic top-up that waits for somebody."""

    account: str
    paused: Annotated[PauseReason, Meta(description="Why.")]
    paused_at: Time
    url: Annotated[str | None, Meta(description="Where the customer can pay, or say yes.")]


class AutoTopUpResumed(Answered, kw_only=True):
    """A pause that is over."""

    account: str
    state: State


def write_settings(a: AutoTopUp | None, scale: int) -> AutoTopUpSettings | None:
    """Settings on the wire."""
    if a is None:
        return None
    caps = {name: None if (cap := getattr(a, name)) is None else write_amount(cap, scale) for name in _CAPS}
    return AutoTopUpSettings(
        provider=a.provider, threshold=write_amount(a.threshold, scale), offer=a.offer or None,
        amount=write_amount(a.amount, scale) if a.amount else None, enabled=a.enabled, order=a.order or None,
        cool_down_minutes=a.cool_down_minutes, **caps,
    )  # fmt: skip


def write_attempt(a: Attempt, scale: int) -> TopUpAttempt:
    """An attempt on the wire."""
    return TopUpAttempt(
        id=a.id, state=a.state, provider=a.provider, offer=a.offer or None, quantity=a.quantity,
        credits=write_amount(a.credits, scale), amount=a.price or None, currency=a.currency or None,
        payment=a.payment or None, reason=a.reason or None, message=a.message or None, url=a.url or None,
        created_at=write_time(a.began_at), ended_at=None if a.ended_at is None else write_time(a.ended_at),
    )  # fmt: skip


def write_standing(
    account: Account, standing: Standing, attempt: Attempt | None, at: int, scale: int
) -> dict[str, Any]:  # fmt: skip
    """How it stands, on the wire."""
    settings = account.settings
    return {
        "account": account.id, "state": state_of(settings.auto_top_up, settings.frozen, standing, at),
        "settings": write_settings(settings.auto_top_up, scale), "paused": standing.paused,
        "url": standing.url or None, "failures": standing.failures,
        "retry_at": write_time(standing.retry_at) if standing.retry_at > at else None,
        "attempt": None if attempt is None else write_attempt(attempt, scale),
    }  # fmt: skip


def write_paused(account: str, standing: Standing) -> PausedTopUp:
    """One that waits, on the wire."""
    assert standing.paused is not None, "others are not listed"
    assert standing.paused_at is not None, "it is put down with the reason"
    return PausedTopUp(
        account=account, paused=standing.paused, paused_at=write_time(standing.paused_at), url=standing.url or None
    )
