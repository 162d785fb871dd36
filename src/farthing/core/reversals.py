"""Reversals: what has gone back of a payment, put down on its receipt; and what of its credits is to be pinned, taken,
or given again. Pure.

What is taken of a grant is a total, so that the ledger may be told twice. What is given again is not: each time is put
down on the receipt, with its amount, before the ledger is asked, and whoever asks asks for the same.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from msgspec.structs import replace

from .commands import DAY_US, CloseDispute, Command, GiveGrant, OpenDispute, TakeBack
from .facts import DisputeClosed, Disputed, Refunded, RefundFailed
from .outcomes import Refusal
from .purchases import SUM, Again, Receipt, credits_returned, returned
from .records import Entry, GrantTerms, Workspace
from .refundable import read_body

ACTOR_PREFIX: Final = "payments:"
AnyReversal = Refunded | RefundFailed | Disputed | DisputeClosed


def noted(fact: AnyReversal, before: Receipt | None) -> Receipt | None:
    """The receipt, with what this fact says of it; made where its payment was not told yet."""
    if isinstance(fact, Refunded) and fact.aside and (before is None or not before.known):
        return before
    receipt = before or Receipt(provider=fact.provider, payment=fact.payment, order=fact.order, at=fact.at)
    match fact:
        case RefundFailed():
            return replace(receipt, failed={fact.refund: (fact.amount, fact.at)} | receipt.failed)
        case Disputed():
            return receipt if fact.dispute in receipt.closed else replace(receipt, dispute=fact.dispute)
        case DisputeClosed():
            closed = receipt.closed if fact.dispute in receipt.closed else (*receipt.closed, fact.dispute)
            still = "" if receipt.dispute == fact.dispute else receipt.dispute
            return _with_loss(fact, replace(receipt, dispute=still, closed=closed))
        case Refunded():
            return _with_refund(fact, receipt)


def _with_loss(fact: DisputeClosed, receipt: Receipt) -> Receipt:
    """A part may have been disputed; in another currency than was paid in nobody knows which, and all of it goes."""
    if fact.won:
        return receipt
    other = receipt.known and fact.currency.upper() != receipt.currency.upper()
    if not fact.amount or other or (receipt.known and Decimal(fact.amount) >= Decimal(receipt.amount)):
        return replace(receipt, lost=True)
    parts = {**receipt.lost_parts, fact.dispute: fact.amount}
    return replace(receipt, lost_parts=parts, told_in=_told_in(receipt, fact.dispute, fact.currency))


def _with_refund(fact: Refunded, receipt: Receipt) -> Receipt:
    if not fact.refund and fact.total is None:
        return replace(receipt, lost=True)
    told_in = _told_in(receipt, fact.refund or SUM, fact.currency)
    if fact.refund:
        return replace(receipt, returned={**receipt.returned, fact.refund: fact.amount}, told_in=told_in)
    assert fact.total is not None, "else all of it went back"
    total, before = Decimal(fact.total), Decimal(receipt.returned.get(SUM, "0"))
    if fact.at < receipt.summed_at:
        return receipt
    # It falls where a refund has failed, and not within the second in which providers tell the time.
    total = max(total, before) if fact.at == receipt.summed_at else total
    returned = {**receipt.returned, SUM: format(total, "f")}
    return replace(receipt, returned=returned, summed_at=fact.at, told_in=told_in)


def _told_in(receipt: Receipt, name: str, currency: str) -> dict[str, str]:
    """The currencies of what is told before its payment, with one more."""
    return receipt.told_in if receipt.known or not currency else {**receipt.told_in, name: currency.upper()}


def has_other_money(receipt: Receipt, currency: str) -> bool:
    """Whether something was told of a payment, before itself, in other money than it was paid in."""
    return any(each != currency.upper() for each in receipt.told_in.values())


def paid_in(receipt: Receipt) -> Receipt:
    """The receipt of a payment that is known by now. What had been told in other money counts as it does after it: of a
    refund nobody knows which part it is, and it moves nothing; of a dispute that was lost it is all."""
    r, name = receipt, receipt.currency.upper()
    if has_other_money(r, name):
        other = {each for each, currency in r.told_in.items() if currency != name}
        r = replace(
            r, returned={id: amount for id, amount in r.returned.items() if id not in other},
            summed_at=0 if SUM in other else r.summed_at, lost=r.lost or not other.isdisjoint(r.lost_parts),
            lost_parts={id: amount for id, amount in r.lost_parts.items() if id not in other},
        )  # fmt: skip
    # What is in other money is kept: its messages are read again, also by who comes after a crash.
    return replace(r, told_in={each: currency for each, currency in r.told_in.items() if currency != name})


def looked_over(receipt: Receipt, *, begun: bool = False) -> Receipt:
    """What follows for a receipt from itself alone; `begun` says that it may have been credited."""
    r = receipt
    if r.state == "waiting" and r.known and not begun:
        none_left = r.lost or (bool(r.returned or r.lost_parts) and returned(r) >= Decimal(r.amount))
        if none_left and r.reason != "not_paid":
            return replace(r, reason="not_paid", doubt=r.reason)
        return r if none_left or r.reason != "not_paid" else replace(r, reason=r.doubt, doubt=None)
    if r.asked and r.answered and not r.hold and r.asked in r.closed:
        r = replace(r, asked="", answered=False, pinned="")
    if r.dispute and not r.asked and r.state == "credited" and r.grant and not r.lost:
        r = replace(r, asked=r.dispute, answered=False, pinned=_newest(r))
    return _planned(r) if r.state == "credited" and r.grant else r


def _newest(receipt: Receipt) -> str:
    """The grant that has what is left of the payment, or most of it."""
    return next((each.grant for each in reversed(receipt.again) if each.grant), "")


def _planned(receipt: Receipt) -> Receipt:
    """How many credits are to be gone in the end, put down as what is to be taken or given again until then."""
    r = replace(receipt, wanted=max(receipt.wanted, receipt.taken))
    due = credits_returned(r) - (r.wanted - sum(each.credits - each.wanted for each in r.again))
    if due < 0:
        # Of a grant that was archived nothing was taken.
        known = r.facts != Refusal.GRANT_ARCHIVED
        at = max((at for _, at in r.failed.values()), default=r.at)
        return replace(r, again=(*r.again, Again(credits=-due, at=at))) if known else r
    again = list(r.again)
    for index in reversed(range(len(again))):
        part = min(due, again[index].credits - again[index].wanted)
        again[index] = replace(again[index], wanted=again[index].wanted + part)
        due -= part
    return replace(r, wanted=r.wanted + due, again=tuple(again))


# What the ledger is asked, and what it has answered


def due_back(receipt: Receipt, workspace: Workspace, terms: GrantTerms | None) -> Command | None:
    """What of a payment that was credited is to be pinned, given back, taken or given again; `terms` are its grant's,
    which credits that are given again have as well."""
    if not receipt.grant:
        return None
    r = _planned(receipt)
    who, pinned = who_of(r, workspace), r.pinned or r.grant
    if r.asked and not r.answered:
        return OpenDispute(**who, key=_pin_key(r), grant=pinned)
    if r.hold and r.asked in r.closed:
        # With the total in its key: it may have grown since another process asked the same.
        total = next(max(wanted, taken) for grant, wanted, taken, _ in _grants(r) if grant == pinned)
        return CloseDispute(**who, key=key_of(r, f"closed:{r.asked}:{total}"), hold=r.hold, grant=pinned, total=total)
    for grant, wanted, taken, mark in _grants(r):
        if wanted > taken:
            return TakeBack(**who, key=key_of(r, f"back:{mark}{wanted}"), grant=grant, total=wanted)
    # Only what is put down: another process may see more of it by now.
    open_ones = [index for index, each in enumerate(receipt.again) if not each.grant and not each.refused]
    return _give_again(r, open_ones[0], workspace, terms) if open_ones else None


def _grants(receipt: Receipt) -> Iterator[tuple[str, int, int, str]]:
    """Each grant of a payment with what is to be taken of it, what was, and what keys about it have."""
    yield receipt.grant, receipt.wanted, receipt.taken, ""
    for index, each in enumerate(receipt.again):
        if each.grant:
            yield each.grant, each.wanted, each.taken, f"{index}:"


def _give_again(r: Receipt, index: int, workspace: Workspace, terms: GrantTerms | None) -> Command:
    again, terms = r.again[index], terms or GrantTerms("", 0)
    expires_at = terms.expires_at
    if expires_at is not None:
        # What has lapsed meanwhile lives on for as long as what any other refund gives back.
        expires_at = max(expires_at, again.at + max(1, workspace.settings.refund_grace_days) * DAY_US)
    facts = {"provider": r.provider, "payment": r.payment, "order": r.order, "offer": r.offer}
    return GiveGrant(
        **who_of(r, workspace), key=_again_key(r, index), amount=again.credits, category=terms.category,
        priority=terms.priority, scope=terms.scope, expires_at=expires_at,
        source={name: text for name, text in facts.items() if text},
    )  # fmt: skip


def told_back(receipt: Receipt, command: Command, entry: Entry) -> Receipt:
    """The receipt once the ledger has done what it was asked; somebody else may have put that down before."""
    r = receipt
    if isinstance(command, GiveGrant):
        return _with_again(r, command, grant=read_body(entry).grants[0].id)
    if isinstance(command, TakeBack | CloseDispute):
        r = _taken(r, command)
        return given_back(r, command.hold) if isinstance(command, CloseDispute) else r
    if isinstance(command, OpenDispute) and command.key == _pin_key(r) and not r.answered:
        hold = read_body(entry).hold
        return replace(r, answered=True, hold=hold.id if hold else "")
    return r


def _taken(receipt: Receipt, command: TakeBack | CloseDispute) -> Receipt:
    if command.grant == receipt.grant:
        return replace(receipt, taken=max(receipt.taken, command.total))
    again = [
        replace(each, taken=max(each.taken, command.total)) if each.grant == command.grant else each
        for each in receipt.again
    ]
    return replace(receipt, again=tuple(again))


def given_back(receipt: Receipt, hold: str) -> Receipt:
    """The receipt once nothing is pinned any more, whoever has seen to that."""
    return replace(receipt, hold="", asked="", answered=False, pinned="") if receipt.hold == hold else receipt


def not_given(receipt: Receipt, command: GiveGrant, code: str) -> Receipt:
    """The ledger would not give credits again."""
    return _with_again(receipt, command, refused=code)


def too_late(receipt: Receipt, command: Command) -> Receipt:
    """The receipt of a payment whose grant is archived: money that goes back after years takes no credits along."""
    if isinstance(command, OpenDispute):
        return looked_over(replace(receipt, answered=True))
    assert isinstance(command, TakeBack | CloseDispute), "nothing else is about a grant"
    return replace(_taken(receipt, command), facts=str(Refusal.GRANT_ARCHIVED))


def _with_again(receipt: Receipt, command: GiveGrant, **done: str) -> Receipt:
    again = tuple(
        replace(each, **done) if command.key == _again_key(receipt, index) and not each.grant else each
        for index, each in enumerate(receipt.again)
    )
    return replace(receipt, again=again)


# Words of commands


def who_of(receipt: Receipt, workspace: Workspace) -> dict[str, Any]:
    """Whose a command for a payment is, and who asks."""
    return {"workspace": workspace.id, "account": receipt.account, "actor": ACTOR_PREFIX + receipt.provider}


def key_of(receipt: Receipt, act: str) -> str:
    """The key of something that is done once for a payment."""
    return f"pay:{receipt.provider}:{receipt.payment}:{act}"


def _pin_key(receipt: Receipt) -> str:
    return key_of(receipt, f"dispute:{receipt.asked}")


def _again_key(receipt: Receipt, index: int) -> str:
    return key_of(receipt, f"again:{index}")
