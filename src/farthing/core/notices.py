"""Notices: what a decision tells the world, and whom: the events that go into its commit, and for each endpoint that
asks for them a row of the outbox.

Called only where somebody in the workspace asks for anything. What is told is read off the entries, as they are kept.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from . import events
from .amounts import round_amount, write_amount
from .commands import TakeCharge
from .draft import Draft
from .events import told_of, write_time
from .outcomes import Accepted, Refused
from .records import Account, Delivery, Entry, Event, GrantTerms, Workspace
from .subscription import Subscription

Said = dict[str, Any]
"""What an event says."""


class _Facts(Struct):
    """What of an entry's body is told."""

    ref: str = ""
    earned: int = 0
    spent: int = 0
    lapsed: int = 0
    unpaid: int = 0
    grants: list[GrantTerms] = []
    gone: list[tuple[str, int]] = []
    refunds: list[tuple[str, str, int]] = []
    subscription: Subscription | None = None


_facts: Final = msgspec.json.Decoder(_Facts)


def tell(accepted: Accepted, d: Draft, workspace: Workspace) -> None:
    """Put beside a decision its events that somebody asks for, and their deliveries; of events that ride along from
    elsewhere the deliveries."""
    # Told of every charge, this is a quarter of what a decision costs: nothing is looked up that nobody wants.
    told, at, scale = told_of(workspace.told), d.context.now or d.command.at, workspace.scale
    for event in accepted.events:
        _deliver(event, told.endpoints(event.type, at), accepted, d.account.number)
    for entry in d.entries:
        for type in _BY_KIND.get(entry.kind, _ANY):
            if (endpoints := told.endpoints(type, at)) is not None:
                for said in _TELL[type](entry, scale, d):
                    _add(accepted, type, said, endpoints, d, at)
    if d.entries:
        before = d.context.accounts.get((d.account.workspace, d.account.id))
        was = before.balance if before is not None else 0
        for type, threshold in _crossed(was, d.account, workspace) if d.account.balance < was else ():
            if (endpoints := told.endpoints(type, at)) is not None:
                _add(accepted, type, _fallen(d.account, scale, d.entries[-1], threshold), endpoints, d, at)


def spend_limit_reached(refused: Refused, accepted: Accepted, d: Draft, workspace: Workspace) -> None:
    """Put beside what is kept of a refusal that a spend limit is in the way: told once for each of its periods."""
    facts, scale, window = refused.facts, workspace.scale, d.window()
    day = facts["period"] == "day"
    since, until = (window.day_from, window.day_until) if day else (window.month_from, window.month_until)
    said = {
        "period": facts["period"],
        "limit": write_amount(facts["limit"], scale),
        "left": write_amount(facts["left"], scale),
        "required": write_amount(facts["required"], scale),
        "until": write_time(until),
    }
    type, at = events.SPEND_LIMIT_REACHED, d.context.now or d.command.at
    once = f"{type}:{d.account.id}:{facts['period']}:{since}:{facts['limit']}"
    _add(accepted, type, said, told_of(workspace.told).endpoints(type, at), d, at, once)


def _add(
    accepted: Accepted, type: str, said: Said, endpoints: Sequence[str] | None, d: Draft, at: int, once: str = ""
) -> None:
    # Its time is that of the telling: who reads events in order of time must not find one before those that he has.
    a = d.account
    event = Event(d.context.new_id("evt", at, a.bucket), a.workspace, a.id, a.bucket, type, at, said, once)
    accepted.events.append(event)
    if endpoints:
        # Of a refusal's draft nothing else is kept: the account as it will stand is that of the outcome.
        assert accepted.account is not None, "somebody has decided on it"
        _deliver(event, endpoints, accepted, accepted.account.number)


def _deliver(event: Event, endpoints: Sequence[str] | None, accepted: Accepted, number: int) -> None:
    e = event
    for id in endpoints or ():
        accepted.deliveries.append(Delivery(e.workspace, id, e.bucket, e.at, e.id, e.account, number))


# What has happened


_ANY: Final = (events.GRANT_CREATED, events.GRANT_LAPSED)
_BY_KIND: Final = {
    "charge": (events.CHARGE_CREATED,),
    "settle": (events.CHARGE_CREATED, events.GRANT_LAPSED),
    "expire": (events.CHARGE_CREATED, events.HOLD_EXPIRED, events.GRANT_LAPSED),
    "refund": (events.CHARGE_REFUNDED, *_ANY),
    "renew": (events.RENEWED, *_ANY),
    "hold": (),
    "extend": (),
    "open": (),
    "settings": (),
    "refusal": (),
    # What another system had given is no news.
    "import": (events.GRANT_LAPSED,),
}
"""What an entry of a kind may tell; of all others `_ANY`."""


def _granted(entry: Entry, scale: int, d: Draft) -> list[Said]:
    balance = write_amount(entry.balance, scale)
    return [
        {
            "grant": g.id,
            "amount": write_amount(g.amount, scale),
            "category": g.category,
            "expires_at": None if g.expires_at is None else write_time(g.expires_at),
            "scope": list(g.scope),
            "entry": entry.id,
            "balance": balance,
        }
        for g in _facts.decode(entry.body).grants
    ]


def _lapsed(entry: Entry, scale: int, d: Draft) -> list[Said]:
    facts = _facts.decode(entry.body)
    if not facts.lapsed:
        return []
    before = d.context.accounts.get((d.account.workspace, d.account.id))
    # What a hold gives back of a voided grant goes as well, but is written off.
    voided = {g.id for g in before.grants if g.voided} if before else set()
    told = {"lapsed_at": write_time(entry.at), "entry": entry.id, "balance": write_amount(entry.balance, scale)}
    return [{"grant": id, "amount": write_amount(n, scale), **told} for id, n in facts.gone if id not in voided]


def _charged(entry: Entry, scale: int, d: Draft) -> list[Said]:
    if entry.kind == "charge":
        # The common one is told without reading what was written just now.
        hold, spent = None, -entry.amount
        unpaid = d.command.amount - spent if isinstance(d.command, TakeCharge) else 0
    else:
        facts = _facts.decode(entry.body)
        hold, spent, unpaid = facts.ref, facts.spent, facts.unpaid
        if not spent:
            return []
    return [
        {
            "charge": entry.id,
            "kind": entry.kind,
            "hold": hold,
            "amount": write_amount(spent, scale),
            "unpaid": write_amount(unpaid, scale),
            "operation": entry.operation or None,
            "balance": write_amount(entry.balance, scale),
            "held": write_amount(entry.held, scale),
            "debt": write_amount(entry.debt, scale),
        }
    ]


def _refunded(entry: Entry, scale: int, d: Draft) -> list[Said]:
    facts = _facts.decode(entry.body)
    return [
        {
            "charge": facts.ref or None,
            "amount": write_amount(sum(amount for _, _, amount in facts.refunds), scale),
            "entry": entry.id,
            "balance": write_amount(entry.balance, scale),
            "debt": write_amount(entry.debt, scale),
        }
    ]


def _expired(entry: Entry, scale: int, d: Draft) -> list[Said]:
    facts = _facts.decode(entry.body)
    return [
        {
            "hold": facts.ref,
            "charged": write_amount(facts.spent, scale),
            "operation": entry.operation or None,
            "expired_at": write_time(entry.at),
            "entry": entry.id,
            "balance": write_amount(entry.balance, scale),
        }
    ]


def _renewed(entry: Entry, scale: int, d: Draft) -> list[Said]:
    facts = _facts.decode(entry.body)
    s = facts.subscription
    assert s is not None, "the entry of a renewal tells the subscription"
    assert s.period_at is not None, "and the period that it gave"
    return [
        {
            "subscription": s.id,
            "plan": s.plan,
            "credits": write_amount(facts.earned, scale),
            "period_at": write_time(s.period_at),
            "next_at": write_time(s.next_at),
            "entry": entry.id,
            "balance": write_amount(entry.balance, scale),
        }
    ]


_TELL: Final = {
    events.GRANT_CREATED: _granted,
    events.GRANT_LAPSED: _lapsed,
    events.CHARGE_CREATED: _charged,
    events.CHARGE_REFUNDED: _refunded,
    events.HOLD_EXPIRED: _expired,
    events.RENEWED: _renewed,
}


# Balances


def _crossed(was: int, after: Account, workspace: Workspace) -> list[tuple[str, int | None]]:
    """The thresholds that a balance has fallen below, from what it was before the decision."""
    now = after.balance
    low, critical = thresholds(after, workspace)
    crossed: list[tuple[str, int | None]] = []
    if was >= low > now:
        crossed.append((events.BALANCE_LOW, low))
    if was >= critical > now:
        crossed.append((events.BALANCE_CRITICAL, critical))
    if was > 0 >= now:
        crossed.append((events.BALANCE_DEPLETED, None))
    return crossed


def _fallen(after: Account, scale: int, last: Entry, threshold: int | None) -> Said:
    sums = {name: write_amount(getattr(after, name), scale) for name in ("balance", "held", "debt")}
    below = {} if threshold is None else {"threshold": write_amount(threshold, scale)}
    return {**sums, **below, "entry": last.id}


def thresholds(account: Account, workspace: Workspace) -> tuple[int, int]:
    """Below which a balance is low, and critical: as the account says, else the workspace."""
    own, all = account.settings, workspace.settings
    low = own.balance_low if own.balance_low is not None else _units(all.balance_low, workspace.scale)
    critical = (
        own.balance_critical if own.balance_critical is not None else _units(all.balance_critical, workspace.scale)
    )
    return low, critical


@lru_cache(maxsize=256)
def _units(text: str, scale: int) -> int:
    # A workspace that counts in whole credits has no tenth of one: rounded, as any amount is that doesn't fit.
    return round_amount(text, scale)[0]
