"""Events: the one catalogue of what programs may be told, who asks for what, and what they are sent.

Some events are always recorded; most only where somebody asks for their type: an endpoint or a listener of the
workspace, as its `told` says. What each says is in `event_data`.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from . import event_data as data
from .records import Event

_WORKSPACE: Final = {"workspace": "main"}
_ACCOUNT: Final = {"workspace": "main", "account": "user_42"}
_PAYMENT: Final = _ACCOUNT | {
    "provider": "stripe", "payment": "pi_3QdYs2", "order": "cs_b1f0", "offer": "credits/pack-10", "amount": "10.00",
    "currency": "EUR",
}  # fmt: skip
_ENTRY: Final = "ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
_GRANT: Final = "grt_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
_HOLD: Final = "hold_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
_SUBSCRIPTION: Final = "sub_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"


class EventType(Struct, frozen=True, kw_only=True):
    """A type of event."""

    name: str
    """`noun.verb`."""
    summary: str
    data: type[Struct]
    """What it says; its fields are documented there."""
    example: Mapping[str, Any]
    always: bool = False
    """Recorded also where nobody asks for it."""
    direct: bool = False
    """Sent to the one endpoint that it is about, and to no other."""


def _type(name: str, of: type[Struct], example: Mapping[str, Any], *, always: bool = False) -> EventType:
    summary = (of.__doc__ or "").partition("\n\n")[0].replace("\n", " ").replace("    ", "")
    return EventType(name=name, summary=summary, data=of, example=example, always=always, direct=name == TEST)


TEST: Final = "webhook.test"
GRANT_CREATED: Final = "grant.created"
GRANT_EXPIRING: Final = "grant.expiring"
GRANT_LAPSED: Final = "grant.lapsed"
CHARGE_CREATED: Final = "charge.created"
CHARGE_REFUNDED: Final = "charge.refunded"
BALANCE_LOW: Final = "balance.low"
BALANCE_CRITICAL: Final = "balance.critical"
BALANCE_DEPLETED: Final = "balance.depleted"
HOLD_EXPIRED: Final = "hold.expired"
RENEWED: Final = "subscription.renewed"
RENEWAL_FAILED: Final = "subscription.renewal_failed"
SPEND_LIMIT_REACHED: Final = "spend_limit.reached"
JOURNAL_PARKED: Final = "journal.parked"
WEBHOOK_DISABLED: Final = "webhook.disabled"

_TOP_UP: Final = _ACCOUNT | {
    "attempt": "tup_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f", "provider": "stripe", "offer": "credits/pack-10", "quantity": 1,
    "credits": "10", "amount": "10.00", "currency": "EUR", "payment": "pi_3QdYs2", "reason": None, "message": None,
    "url": None,
}  # fmt: skip
_CROSSED: Final = {"held": "0", "debt": "0", "entry": _ENTRY}
_ALL: Final = (
    _type(
        GRANT_CREATED,
        data.GrantCreated,
        _ACCOUNT
        | {
            "grant": _GRANT, "amount": "10", "category": "paid", "expires_at": None, "scope": [], "entry": _ENTRY,
            "balance": "10",
        },
    ),
    _type(
        GRANT_EXPIRING,
        data.GrantExpiring,
        _ACCOUNT
        | {
            "grant": _GRANT, "remaining": "4.2", "category": "promotional",
            "expires_at": "2026-02-07T12:00:00.000000Z", "scope": [],
        },
    ),
    _type(
        GRANT_LAPSED,
        data.GrantLapsed,
        _ACCOUNT
        | {
            "grant": _GRANT, "amount": "4.2", "lapsed_at": "2026-02-07T12:00:00.000000Z", "entry": _ENTRY,
            "balance": "0",
        },
    ),
    _type(
        CHARGE_CREATED,
        data.ChargeCreated,
        _ACCOUNT
        | {
            "charge": _ENTRY, "kind": "charge", "hold": None, "amount": "0.25", "unpaid": "0",
            "operation": "chat.message", "balance": "9.75", "held": "0", "debt": "0",
        },
    ),
    _type(
        CHARGE_REFUNDED,
        data.ChargeRefunded,
        _ACCOUNT | {"charge": _ENTRY, "amount": "0.25", "entry": _ENTRY, "balance": "10", "debt": "0"},
    ),
    _type(BALANCE_LOW, data.BalanceLow, _ACCOUNT | {"balance": "0.95", "threshold": "1"} | _CROSSED),
    _type(BALANCE_CRITICAL, data.BalanceCritical, _ACCOUNT | {"balance": "0.08", "threshold": "0.1"} | _CROSSED),
    _type(BALANCE_DEPLETED, data.BalanceDepleted, _ACCOUNT | {"balance": "0"} | _CROSSED),
    _type(
        HOLD_EXPIRED,
        data.HoldExpired,
        _ACCOUNT
        | {
            "hold": _HOLD, "charged": "0", "operation": "image.render", "expired_at": "2026-01-31T12:00:00.000000Z",
            "entry": _ENTRY, "balance": "9.75",
        },
    ),
    _type(
        RENEWED,
        data.SubscriptionRenewed,
        _ACCOUNT
        | {
            "subscription": _SUBSCRIPTION, "plan": "pro", "credits": "100",
            "period_at": "2026-01-31T00:00:00.000000Z", "next_at": "2026-02-28T00:00:00.000000Z", "entry": _ENTRY,
            "balance": "109.75",
        },
    ),
    _type(
        RENEWAL_FAILED,
        data.RenewalFailed,
        _ACCOUNT
        | {
            "subscription": _SUBSCRIPTION, "plan": "pro", "period_at": "2026-01-31T00:00:00.000000Z",
            "error": "too_many_grants",
        },
        always=True,
    ),
    _type("payment.credited", data.PaymentCredited, _PAYMENT | {"credits": "10", "entry": _ENTRY}, always=True),
    _type(
        "payment.waiting",
        data.PaymentWaiting,
        _PAYMENT | {"account": None, "reason": "no_account", "facts": "nobody with this order is known"},
        always=True,
    ),
    _type("payment.refunded", data.PaymentRefunded, _PAYMENT | {"returned": "10.00", "credits": "10"}, always=True),
    _type("payment.refund_failed", data.PaymentRefundFailed, _PAYMENT | {"returned": "0", "credits": "0"}, always=True),
    _type("dispute.opened", data.DisputeOpened, _PAYMENT | {"dispute": "du_1QdZ"}, always=True),
    _type("dispute.closed", data.DisputeClosed, _PAYMENT | {"dispute": "du_1QdZ", "won": True}, always=True),
    _type("auto_top_up.done", data.AutoTopUpDone, _TOP_UP, always=True),
    _type(
        "auto_top_up.failed",
        data.AutoTopUpFailed,
        _TOP_UP
        | {
            "reason": "insufficient_funds", "message": "Your card has insufficient funds.",
            "retry_at": "2026-01-31T13:00:00.000000Z",
        },
        always=True,
    ),
    _type(
        "auto_top_up.paused",
        data.AutoTopUpPaused,
        _TOP_UP
        | {
            "reason": "authentication_required", "message": "This transaction requires authentication.",
            "url": "https://checkout.stripe.com/c/pay/cs_test_a1", "cause": "authentication_required",
        },
        always=True,
    ),
    _type(
        SPEND_LIMIT_REACHED,
        data.SpendLimitReached,
        _ACCOUNT
        | {
            "period": "day", "limit": "5", "left": "0.1", "required": "0.25", "until": "2026-02-01T00:00:00.000000Z",
        },
        always=True,
    ),
    _type(
        JOURNAL_PARKED,
        data.JournalParked,
        _ACCOUNT | {"call": "charge", "key": "msg_8812", "error": "insufficient_credits", "host": "bot-1"},
        always=True,
    ),
    _type(
        "jobs.failing",
        data.JobsFailing,
        _WORKSPACE
        | {
            "kind": "renewals", "done": 3, "failed": 1,
            "errors": [{"account": "user_42", "error": "too_many_grants"}],
        },
        always=True,
    ),
    _type(
        "jobs.parked",
        data.JobsParked,
        _ACCOUNT | {"kind": "renew", "attempts": 10, "error": "too_many_grants"},
        always=True,
    ),
    _type(
        WEBHOOK_DISABLED,
        data.WebhookDisabled,
        _WORKSPACE | {"endpoint": "whe_0198c5f0a1b27c3d8e4f5a6b7c8d9000", "reason": "failing"},
        always=True,
    ),
    _type(TEST, data.WebhookTest, _WORKSPACE | {"endpoint": "whe_0198c5f0a1b27c3d8e4f5a6b7c8d9000"}, always=True),
)  # fmt: skip
TYPES: Final[Mapping[str, EventType]] = {each.name: each for each in _ALL}
"""All types of events, in the order in which they are listed."""
_NOUNS: Final = frozenset(name.partition(".")[0] for name in TYPES)

# Who asks for what


def problem_of(filter: str) -> str | None:
    """Why that names no events: it may be the name of a type, all of a noun (`charge.*`), or all there are (`*`)."""
    if filter == "*" or filter in TYPES or (filter.endswith(".*") and filter[:-2] in _NOUNS):
        return None
    return f"must be a type of event such as {CHARGE_CREATED}, all of a noun such as charge.*, or *"


def no_type(name: str) -> str | None:
    """Why that is no type of event: who looks at what is recorded names one, and no filter."""
    return None if name in TYPES else f"must be one type of event, such as {CHARGE_CREATED}"


def matches(filter: str, type: str) -> bool:
    """Whether a type is one of those that a filter names."""
    return filter == "*" or filter == type or (filter.endswith(".*") and type.startswith(filter[:-1]))


def asks_for(filters: Iterable[str], type: str) -> bool:
    """Whether an endpoint with these filters is sent events of a type: none that go to the one that they are about."""
    return not (type in TYPES and TYPES[type].direct) and any(matches(each, type) for each in filters)


class Told:
    """Who is told of what in a workspace."""

    __slots__ = ("_asked", "_by_type")

    def __init__(self, asked: list[tuple[str, list[str], int]]) -> None:
        self._asked = asked
        self._by_type: dict[str, _Asking] = {}

    def endpoints(self, type: str, at: int) -> tuple[str, ...] | None:
        """The endpoints that are sent events of that type; none where only listeners ask, None where nobody does. What
        is sent to the one that it is about is asked for by nobody."""
        asking = self._by_type.get(type)
        if asking is None:
            asking = self._by_type[type] = self._asking(type)
        if asking.always is not None or not asking.listening or at >= asking.listening:
            return asking.always
        return ()

    def _asking(self, type: str) -> "_Asking":
        wanted = [(id, until) for id, filters, until in self._asked if asks_for(filters, type)]
        endpoints = tuple(id for id, _ in wanted if id)
        return _Asking(endpoints or None, max((until for id, until in wanted if not id), default=0))


class _Asking(NamedTuple):
    """Who asks for a type."""

    always: tuple[str, ...] | None
    """Endpoints; None: there are none."""
    listening: int
    """Until when somebody listens."""


NOBODY: Final = Told([])
_asked = msgspec.json.Decoder(list[tuple[str, list[str], int]])


@lru_cache(maxsize=1024)
def told_of(text: str) -> Told:
    """A workspace's `told`, read: of all endpoints and listeners the id (none of a listener), the filters, and until
    when it asks (0, of an endpoint: for ever)."""
    return Told(_asked.decode(text)) if text else NOBODY


# What they are sent

_encode: Final = msgspec.json.Encoder().encode
_WITH_ACCOUNT: Final = frozenset(each.name for each in _ALL if "account" in each.data.__struct_fields__)


def body_of(event: Event) -> bytes:
    """What an endpoint is sent of an event: the same bytes at every try."""
    return _encode(message_of(event))


def message_of(event: Event) -> dict[str, Any]:
    """The same as an object: type, timestamp, data."""
    said: dict[str, Any] = {"workspace": event.workspace}
    if event.account or event.type in _WITH_ACCOUNT:
        said["account"] = event.account or None
    return {"type": event.type, "timestamp": write_time(event.at), "data": said | event.data}


def example_of(type: EventType) -> dict[str, Any]:
    """What an endpoint might be sent of a type."""
    return {"type": type.name, "timestamp": "2026-01-31T12:00:00.000000Z", "data": dict(type.example)}


def write_time(at_us: int) -> str:
    """An instant as events tell it: RFC 3339, UTC, with microseconds."""
    seconds, rest = divmod(at_us, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    # Counted from the first of March of the year 0, in eras of 400 years, each year beginning in March: then a leap day
    # is a year's last, and the months before it have always the same lengths.
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    month += 3 if month < 10 else -9
    year += 400 * era + (month <= 2)
    return f"{year:04d}-{month:02d}-{day:02d}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
