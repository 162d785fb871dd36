"""Top-ups that nobody has to think of, step by step: when an account is looked at, what is bought, and what follows
from what the provider answers, tells, or does not. Pure; whoever calls it keeps the standing and the attempt, writes
them in one commit with the events, and asks the provider where a step says so.

One attempt at a time is under way for an account: it is put down before the provider is asked, and ends when the
provider refuses, when its notification has credited it, or when that has not come in time and the provider, asked how
the payment stands, has told or can't.
"""

from collections.abc import Callable
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from .amounts import write_amount
from .auto_top_up import AutoTopUp, is_wanting
from .catalogue import Provider, TopUp
from .events import write_time
from .top_up_attempts import Attempt, PauseReason, Reason, Standing
from .top_up_offers import Bought, Unbuyable, to_buy
from .top_up_pages import Closed, given_up, is_of_old, without_page

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 60 * MINUTE_US
ANSWER_US: Final = 2 * MINUTE_US
"""An answer comes within this, or its process has died."""
ASK_AGAIN_US: Final = 20 * HOUR_US
"""For so long the provider is asked again under the same key: Stripe keeps keys for a day."""
OVERDUE_US: Final = 24 * HOUR_US
"""A notification that has not come by then is not waited for any more: the provider is asked how the payment stands,
where it can be."""
SLOW_US: Final = 14 * 24 * HOUR_US
"""The same of a payment that the provider says takes its time: a debit."""
CAN_BE_ASKED: Final[tuple[Provider, ...]] = ("stripe",)
"""How a payment stands."""
TROUBLE_US: Final = 5 * MINUTE_US
"""When a provider is asked again that could not be; twice as long each time, an hour at most."""
PAGE_US: Final = 25 * HOUR_US
"""A page is over by itself after a day, by whatever clock."""
MOST_FAILURES: Final = 3
MOST_UNCONFIRMED: Final = 2
MOST_FINDS: Final = 24
"""So often, hour by hour, it is tried to find out how an overdue payment stands."""
DONE: Final = "auto_top_up.done"
FAILED: Final = "auto_top_up.failed"
PAUSED: Final = "auto_top_up.paused"


class Seen(Struct, frozen=True, kw_only=True):
    """What is known when a step is decided, all of one moment."""

    settings: AutoTopUp | None
    frozen: bool
    balance: int
    scale: int
    unit: str
    at: int
    day_until: int
    month_until: int
    decimals: int = 2
    """Of the workspace's unit, where that is money."""
    day: int = 0
    """Credits of attempts that were begun this day, and count."""
    month: int = 0
    standing: Standing = Standing()
    attempt: Attempt | None = None
    """The one that is under way."""
    pages: tuple[Attempt, ...] = ()
    """Those that the standing names for their pages."""

    @property
    def off(self) -> bool:
        """Nothing is asked, whatever the balance."""
        return self.settings is None or not self.settings.enabled or self.frozen


class Answer(Struct, frozen=True, kw_only=True):
    """What a provider has answered."""

    state: Literal["succeeded", "pending", "declined", "authentication_required", "failed"]
    payment: str = ""
    url: str = ""
    reason: str = ""
    message: str = ""
    again: bool = False
    """The same may go well later by itself."""
    page: str = ""


Told = tuple[str, dict[str, Any]]


class Step(Struct, frozen=True, kw_only=True):
    """What is to be written, and done then."""

    standing: Standing
    attempt: Attempt | None = None
    """As it is from now on."""
    due_at: int | None = None
    """When somebody has to look again; None: not before the account says so."""
    events: tuple[Told, ...] = ()
    ask: bool = False
    """Ask the provider for the attempt, once this is written."""
    find: bool = False
    """Ask it how the attempt stands."""
    close: tuple[Attempt, ...] = ()
    """Have it close their pages, before anything else."""
    why: str = ""
    """Why nothing is asked, as a code."""


# Looking


def look(seen: Seen, sold: TopUp | None, new_id: Callable[[], str]) -> Step:
    """What is to be done about an account now."""
    s = seen.standing
    if any(each.id == s.page and is_of_old(seen.settings, each) for each in seen.pages):
        s = given_up(s)
    if close := tuple(each for each in seen.pages if each.id in s.closing):
        return Step(standing=s, due_at=seen.at + ANSWER_US, close=close, why="page_open")
    if seen.attempt is not None:
        return _under_way(seen, seen.attempt)
    return _begin(seen, s, sold, new_id)


def _under_way(seen: Seen, attempt: Attempt) -> Step:
    s, at = seen.standing, seen.at
    if attempt.state == "waiting":
        return Step(standing=s, why="payment_waiting")
    if at >= attempt.overdue_at:
        return _find(seen, attempt) if attempt.provider in CAN_BE_ASKED else _overdue(seen, attempt)
    if attempt.state == "pending":
        return Step(standing=s, due_at=attempt.overdue_at, why="in_flight")
    if at < attempt.ask_at:
        return Step(standing=s, due_at=attempt.ask_at, why="in_flight")
    # Whoever asked has died, or was not answered. Asking again under the same key charges once, while that is known.
    if not seen.off and at < attempt.began_at + ASK_AGAIN_US:
        again = replace(attempt, tries=attempt.tries + 1, ask_at=at + ANSWER_US)
        return Step(standing=s, attempt=again, due_at=again.ask_at, ask=True)
    unknown = replace(attempt, state="pending", reason=attempt.reason or "unknown")
    return Step(standing=s, attempt=unknown, due_at=unknown.overdue_at, why="in_flight")


def _find(seen: Seen, attempt: Attempt) -> Step:
    """No notification has come: the provider knows whether the payment did. One asks at a time."""
    if seen.at < attempt.ask_at:
        return Step(standing=seen.standing, due_at=attempt.ask_at, why="in_flight")
    tries = 1 if attempt.ask_at < attempt.overdue_at else attempt.tries + 1
    asked = replace(attempt, ask_at=seen.at + ANSWER_US, tries=tries)
    return Step(standing=seen.standing, attempt=asked, due_at=asked.ask_at, find=True, why="in_flight")


def _overdue(seen: Seen, attempt: Attempt) -> Step:
    """No notification has come: perhaps none comes at all, and another payment would go the same way."""
    s = replace(seen.standing, attempt="", unconfirmed=seen.standing.unconfirmed + 1)
    ended = replace(attempt, state="unconfirmed", ended_at=seen.at)
    event = (FAILED, _facts(seen, ended) | {"reason": "unconfirmed", "retry_at": None})
    if s.unconfirmed >= MOST_UNCONFIRMED:
        return _paused(seen, s, ended, "unconfirmed", (event,))
    return Step(standing=s, attempt=ended, due_at=seen.at, events=(event,), why="unconfirmed")


def _begin(seen: Seen, s: Standing, sold: TopUp | None, new_id: Callable[[], str]) -> Step:
    settings = seen.settings
    if settings is None or not settings.enabled:
        return Step(standing=s, why="off")
    if seen.frozen or s.paused:
        return Step(standing=s, why="frozen" if seen.frozen else "paused")
    if not is_wanting(settings, seen.balance):
        return Step(standing=replace(s, held_back=None), why="enough")
    if s.retry_at > seen.at:
        return Step(standing=s, due_at=s.retry_at, why="cooling_down")
    bought = to_buy(
        settings, sold, settings.threshold - seen.balance, scale=seen.scale, unit=seen.unit, decimals=seen.decimals
    )  # fmt: skip
    if isinstance(bought, Unbuyable):
        none = Attempt(
            id="", account="", provider=settings.provider, offer=settings.offer, credits=0, began_at=seen.at,
            ask_at=0, overdue_at=0,
        )  # fmt: skip
        return replace(_failed(seen, s, none, bought.reason, bought.message), attempt=None)
    if cap := _cap(seen, settings, bought.credits):
        return _held_back(seen, s, settings, bought, cap)
    attempt = Attempt(
        id=new_id(), account="", provider=settings.provider, offer=settings.offer, quantity=bought.quantity,
        credits=bought.credits, price=bought.price, currency=bought.currency, order=settings.order,
        amount=settings.amount, began_at=seen.at, ask_at=seen.at + ANSWER_US, overdue_at=seen.at + OVERDUE_US,
    )  # fmt: skip
    standing = replace(s, attempt=attempt.id, held_back=None)
    return Step(standing=standing, attempt=attempt, due_at=attempt.ask_at, ask=True)


def _cap(seen: Seen, settings: AutoTopUp, credits: int) -> Reason | None:
    """Which cap one more purchase would break: the one that lasts longer, where it is both."""
    if settings.cap_month is not None and seen.month + credits > settings.cap_month:
        return "cap_month"
    if settings.cap_day is not None and seen.day + credits > settings.cap_day:
        return "cap_day"
    return None


def _held_back(seen: Seen, s: Standing, settings: AutoTopUp, bought: Bought, cap: Reason) -> Step:
    """It waits for the next day, or month; told once."""
    until = seen.month_until if cap == "cap_month" else seen.day_until
    said = {
        "attempt": None, "provider": settings.provider, "offer": settings.offer or None, "quantity": bought.quantity,
        "credits": write_amount(bought.credits, seen.scale), "amount": bought.price or None,
        "currency": bought.currency or None, "payment": None, "reason": cap, "message": _CAPS[cap], "url": None,
        "retry_at": write_time(until),
    }  # fmt: skip
    events = () if s.held_back == cap else ((FAILED, said),)
    return Step(standing=replace(s, held_back=cap), due_at=until, events=events, why=cap)


_CAPS: Final[dict[Reason, str]] = {
    "cap_day": "it would be more than may be bought in a day",
    "cap_month": "it would be more than may be bought in a month",
}


# What the provider answers


def answered(seen: Seen, id: str, answer: Answer) -> Step | None:
    """What follows from an answer; None where the attempt has ended meanwhile, by its notification."""
    attempt = seen.attempt
    if attempt is None or attempt.id != id or attempt.state not in ("asking", "pending"):
        return None
    if answer.state == "failed" and attempt.tries > 1:
        # It could not be asked once more; nobody knows what became of the first time.
        answer = Answer(state="pending", reason="unknown", message=answer.message)
    attempt = replace(
        attempt, payment=answer.payment or attempt.payment, reason=answer.reason, message=answer.message,
        url=answer.url, page=answer.page,
    )  # fmt: skip
    s = seen.standing
    if answer.state == "succeeded":
        return _pending(s, attempt)
    if answer.state == "pending":
        if answer.reason != "unknown":
            slow = attempt.provider not in CAN_BE_ASKED
            return _pending(s, replace(attempt, overdue_at=attempt.began_at + SLOW_US) if slow else attempt)
        wait = min(MINUTE_US << min(attempt.tries, 6), HOUR_US)
        unknown = replace(attempt, state="asking", ask_at=seen.at + wait)
        return Step(standing=s, attempt=unknown, due_at=unknown.ask_at)
    ended = replace(attempt, state=answer.state, ended_at=seen.at)
    s = replace(s, attempt="")
    if answer.again:
        s = replace(s, troubles=s.troubles + 1, retry_at=_later(seen.at, s.troubles))
        event = (FAILED, _facts(seen, ended) | {"retry_at": write_time(s.retry_at)})
        return Step(standing=s, attempt=ended, due_at=s.retry_at, events=(event,), why=ended.reason)
    return _ended(seen, s, ended)


def _later(at: int, troubles: int) -> int:
    """When a provider is asked again that could not be, after so many times before."""
    return at + min(TROUBLE_US << min(troubles, 6), HOUR_US)


def _ended(seen: Seen, s: Standing, ended: Attempt) -> Step:
    """Nothing was charged, and nothing will be."""
    if ended.state == "authentication_required":
        return _paused(seen, s, ended, "authentication_required", ())
    return _failed(seen, s, ended, ended.reason, ended.message)


def found_out(seen: Seen, id: str, told: Answer | None) -> Step | None:
    """What follows from how an overdue attempt stands, by its provider, which may know of none; what was paid has been
    credited by now. None where the attempt has ended meanwhile."""
    attempt, s, at = seen.attempt, seen.standing, seen.at
    if attempt is None or attempt.id != id or attempt.state not in ("asking", "pending"):
        return None
    if told is None or told.state == "succeeded":
        return _overdue(seen, attempt)
    attempt = replace(
        attempt, payment=told.payment or attempt.payment, reason=told.reason, message=told.message, url=told.url,
        page=told.page,
    )  # fmt: skip
    if told.state == "pending" and at < attempt.began_at + SLOW_US:
        return _pending(s, replace(attempt, overdue_at=min(at + OVERDUE_US, attempt.began_at + SLOW_US)))
    if told.state == "failed" and attempt.tries < MOST_FINDS:
        later = replace(attempt, ask_at=at + HOUR_US)
        return Step(standing=s, attempt=later, due_at=later.ask_at, why="in_flight")
    if told.state in ("pending", "failed"):
        return _overdue(seen, attempt)
    return _ended(seen, replace(s, attempt=""), replace(attempt, state=told.state, ended_at=at))


def _pending(s: Standing, attempt: Attempt) -> Step:
    pending = replace(attempt, state="pending")
    return Step(standing=s, attempt=pending, due_at=pending.overdue_at)


def _failed(seen: Seen, s: Standing, attempt: Attempt, reason: str, message: str) -> Step:
    """A refusal: the next try comes after a while, longer each time, until there were too many."""
    s = replace(s, attempt="", failures=s.failures + 1, troubles=0)
    ended = replace(attempt, reason=reason, message=message)
    minutes = seen.settings.cool_down_minutes if seen.settings else 60
    if s.failures >= MOST_FAILURES:
        event = (FAILED, _facts(seen, ended) | {"retry_at": None})
        return _paused(seen, s, ended, "failures", (event,))
    s = replace(s, retry_at=seen.at + (minutes * MINUTE_US << (s.failures - 1)))
    event = (FAILED, _facts(seen, ended) | {"retry_at": write_time(s.retry_at)})
    return Step(standing=s, attempt=ended, due_at=s.retry_at, events=(event,), why=reason)


def _paused(seen: Seen, s: Standing, attempt: Attempt, why: PauseReason, events: tuple[Told, ...]) -> Step:
    page = attempt.id if attempt.page else ""
    s = replace(given_up(s), paused=why, paused_at=seen.at, url=attempt.url, page=page, retry_at=0)
    event = (PAUSED, _facts(seen, attempt) | {"cause": why})
    # What was switched off meanwhile needs no page.
    due_at = seen.at if page and is_of_old(seen.settings, attempt) else None
    return Step(standing=s, attempt=attempt, due_at=due_at, events=(*events, event), why=why)


def closed(seen: Seen, id: str, told: Closed) -> Step | None:
    """What follows from closing an attempt's page; None where that is settled by now. What was paid there is under way
    again, until its notification credits it."""
    s, attempt = seen.standing, next((each for each in seen.pages if each.id == id), None)
    if attempt is None or id not in s.closing:
        return None
    if told.state == "open" and seen.at < (attempt.ended_at or attempt.began_at) + PAGE_US:
        later = _later(seen.at, s.troubles)
        return Step(standing=replace(s, troubles=s.troubles + 1), due_at=later, why="page_open")
    s = replace(without_page(s, id), troubles=0)
    attempt = replace(attempt, payment=told.payment or attempt.payment, url="", page="")
    if told.state != "paid" or s.attempt:
        return Step(standing=s, attempt=attempt, due_at=seen.at)
    if s.paused == attempt.state and not s.page:
        s = replace(s, paused=None, paused_at=None)
    paid = replace(attempt, reason="", message="", ended_at=None, overdue_at=seen.at + OVERDUE_US)
    return _pending(replace(s, attempt=id), paid)


# What the provider tells later


def confirmed(seen: Seen, attempt: Attempt, payment: str, credits: int) -> Step:
    """Its payment is credited, however late. What was thought of it meanwhile is taken back."""
    s, late = seen.standing, attempt.state == "unconfirmed"
    own = s.attempt == attempt.id
    unconfirmed = 0 if own else max(s.unconfirmed - late, 0)
    s = without_page(s, attempt.id)
    s = replace(s, attempt="" if own else s.attempt, failures=0, troubles=0, retry_at=0, unconfirmed=unconfirmed)
    # Who has paid on the page that he was sent to has said yes, and left what he paid with.
    asked_for = attempt.state if attempt.state == "authentication_required" else ""
    if s.paused in ("unconfirmed", "payment_waiting", asked_for) and unconfirmed < MOST_UNCONFIRMED:
        s = replace(given_up(s), paused=None, paused_at=None)
    done = replace(attempt, state="done", payment=payment, ended_at=seen.at, reason="", message="", url="", page="")
    said = _facts(seen, done) | {"credits": write_amount(credits, seen.scale)}
    return Step(standing=s, attempt=done, due_at=seen.at, events=((DONE, said),))


def stuck(seen: Seen, attempt: Attempt, payment: str, reason: str) -> Step:
    """Its payment came in, and waits for a person: to buy more would be the same again."""
    waits = replace(attempt, state="waiting", payment=payment, reason=reason, url="", page="")
    s, late = without_page(seen.standing, attempt.id), attempt.state == "unconfirmed"
    s = replace(s, unconfirmed=max(s.unconfirmed - late, 0))
    step = _paused(seen, replace(s, attempt=s.attempt or attempt.id), waits, "payment_waiting", ())
    return replace(step, due_at=seen.at)


def resumed(seen: Seen) -> Step:
    """Somebody says that it may go on: as if nothing had failed."""
    attempt, closing = seen.attempt, given_up(seen.standing).closing
    # Where the person has seen to a payment, it stays where it is.
    is_over = attempt is not None and attempt.state == "waiting"
    s = Standing(attempt="" if is_over else seen.standing.attempt, closing=closing)
    return Step(standing=s, due_at=seen.at)


def is_its_payment(attempt: Attempt, payment: str, order: str) -> bool:
    """Whether a payment that came without our key is an attempt's: by the provider's name of it."""
    return bool(attempt.payment) and attempt.payment in (payment, order)


def _facts(seen: Seen, a: Attempt) -> dict[str, Any]:
    return {
        "attempt": a.id or None, "provider": a.provider, "offer": a.offer or None, "quantity": a.quantity,
        "credits": write_amount(a.credits, seen.scale), "amount": a.price or None, "currency": a.currency or None,
        "payment": a.payment or None, "reason": a.reason or None, "message": a.message or None, "url": a.url or None,
    }  # fmt: skip
