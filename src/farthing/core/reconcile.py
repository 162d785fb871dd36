"""Reconciling: a payment as the provider has it, beside what is known of it here, and what of that differs. Pure.

The provider's own time says in which range a payment is, so that ranges that follow one another leave none out.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

from .catalogue import Provider
from .exact import plain
from .purchases import SUM, Receipt, credits_returned, refunded, returned, taken_back
from .records import PaymentClaim
from .waiting import NEVER, sentence

Kind = Literal[
    "missing_here", "unknown_there", "other_amount", "other_refund", "other_dispute", "other_credits",
    "credited_twice", "waiting",
]  # fmt: skip
KINDS: Final[Mapping[Kind, str]] = {
    "missing_here": "the provider has it, and nothing was told of it here",
    "unknown_there": "it is known here, and the provider has no such thing",
    "other_amount": "another amount, or another currency",
    "other_refund": "what has gone back differs",
    "other_dispute": "whether it is disputed, or was lost, differs",
    "other_credits": "the ledger has something else than the payment says",
    "credited_twice": "more than one grant was given for it",
    "waiting": "it is known, and was not credited",
}


class Theirs(Struct, frozen=True, kw_only=True):
    """A payment as the provider has it now."""

    payment: str
    order: str = ""
    at: int
    amount: Decimal
    currency: str
    refunded: Decimal | None = None
    """How much of it has gone back; None where the provider does not say of which payment a refund is."""
    lost: bool = False
    """A dispute of it was lost."""
    lost_amount: Decimal | None = None
    """How much was lost so; None is all of it."""
    disputed: bool = False
    """One of it is open."""
    test: bool = False
    mark: str = ""
    """The workspace that it was made for, where it says so."""
    named: bool = False
    """It says whose it is, in the way of a shop that did without Farthing."""


class Back(Struct, frozen=True, kw_only=True):
    """Money that has gone back, as the provider has it."""

    id: str
    at: int
    amount: Decimal
    currency: str
    order: str = ""
    payment: str = ""
    handle: str = ""
    """By what the provider finds the payment."""


class Contest(Struct, frozen=True, kw_only=True):
    """A dispute, as the provider has it."""

    id: str
    payment: str
    handle: str
    at: int
    amount: Decimal
    lost: bool = False
    open: bool = False


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that differs."""

    kind: Kind
    provider: Provider
    payment: str
    order: str = ""
    account: str = ""
    there: str = ""
    """What the provider says, in a few words."""
    here: str = ""
    message: str
    """What differs, in a sentence; it may say what helps as well."""
    assignable: bool = False
    grants: tuple[str, ...] = ()


class Sums(Struct):
    """What a range comes to in one currency."""

    payments: int = 0
    """That the provider has."""
    paid_there: Decimal = Decimal(0)
    paid_here: Decimal = Decimal(0)
    returned_there: Decimal = Decimal(0)
    returned_here: Decimal = Decimal(0)
    credits: int = 0
    """That were given for them, in smallest units."""
    taken: int = 0
    """That were taken back."""

    @property
    def agree(self) -> bool:
        """Whether both have the same money."""
        return self.paid_there == self.paid_here and self.returned_there == self.returned_here


class Ours(Struct, frozen=True, kw_only=True):
    """What is known here of a payment."""

    receipt: Receipt | None = None
    claim: PaymentClaim | None = None
    """Of the directory: the entry that credited it."""
    earned: int | None = None
    """What that entry gave; None where it is archived, or there is none."""
    grants: tuple[str, ...] = ()
    """Grants that were given for it, or that name it."""

    @property
    def known(self) -> bool:
        """Whether its money is known here, and not only that some went back."""
        return self.receipt is not None and self.receipt.known


def gone_there(theirs: Theirs) -> Decimal:
    """How much of a payment is not there any more, as the provider has it."""
    refunded = theirs.refunded or Decimal(0)
    if not theirs.lost:
        return refunded
    return theirs.amount if theirs.lost_amount is None else min(theirs.amount, refunded + theirs.lost_amount)


def gone_here(receipt: Receipt) -> Decimal:
    """And as it is known here."""
    return Decimal(receipt.amount) if receipt.lost and receipt.known else returned(receipt)


def compare(provider: Provider, theirs: Theirs, ours: Ours, lately: Decimal = Decimal(0)) -> Iterator[Finding]:
    """All that differs about a payment that the provider has; of what went back, so much may be on its way still."""
    about = _About(provider, theirs.payment, theirs.order, ours)
    if not ours.known:
        yield from _unknown(about, theirs, lately)
    else:
        assert ours.receipt is not None, "what is known has a receipt"
        yield from _money(about, theirs, ours.receipt, lately)
        yield from _credit(about, ours.receipt)
    yield from _twice(about)


def compare_unknown(provider: Provider, receipt: Receipt) -> Finding:
    """A payment that the provider has not."""
    about = _About(provider, receipt.payment, receipt.order, Ours(receipt=receipt))
    money = f"{receipt.amount} {receipt.currency}"
    return about.finding("unknown_there", f"{money} is known here, and the provider has no such payment", here=money)


def compare_back(provider: Provider, back: Back, receipts: Sequence[Receipt]) -> Finding | None:
    """A refund that has a name of its own, beside the receipts of its order."""
    known = [receipt for receipt in receipts if back.id in receipt.returned]
    told = sum((Decimal(receipt.returned[back.id]) for receipt in known), Decimal(0))
    if (known and told == back.amount) or any(receipt.lost or SUM in receipt.returned for receipt in receipts):
        return None
    receipt = known[0] if known else receipts[0] if len(receipts) == 1 else None
    about = _About(provider, receipt.payment if receipt else "", back.order, Ours(receipt=receipt))
    there = f"refund {back.id} of {_money_text(back.amount, back.currency)}"
    here = f"{plain(told)} {back.currency}" if known else "nothing"
    return about.finding("other_refund", f"{there} is {here} here", there=there, here=here)


def compare_named(provider: Provider, receipt: Receipt, unknown: Sequence[str]) -> Iterator[Finding]:
    """Refunds of a receipt that the provider does not know."""
    about = _About(provider, receipt.payment, receipt.order, Ours(receipt=receipt))
    for name in unknown:
        here = f"refund {name} of {receipt.returned[name]} {receipt.currency}"
        yield about.finding("other_refund", f"{here} is not known to the provider", there="nothing", here=here)


class _About(Struct, frozen=True):
    """What a finding is about."""

    provider: Provider
    payment: str
    order: str
    ours: Ours

    def finding(self, kind: Kind, message: str, there: str = "", here: str = "", assignable: bool = False) -> Finding:
        receipt, claim = self.ours.receipt, self.ours.claim
        account = (receipt.account if receipt else "") or (claim.account if claim else "")
        order = self.order or (receipt.order if receipt else "")
        return Finding(
            kind=kind, provider=self.provider, payment=self.payment, order=order, account=account, there=there,
            here=here, message=message, assignable=assignable, grants=self.ours.grants,
        )  # fmt: skip


def _unknown(about: _About, theirs: Theirs, lately: Decimal) -> Iterator[Finding]:
    """Nobody has told of it here; it may have been credited by hand all the same."""
    money, gone = _money_text(theirs.amount, theirs.currency), gone_there(theirs)
    if about.ours.claim is None:
        message = f"{money} was paid, and nothing is known of it here"
        yield about.finding("missing_here", message, there=money, here="nothing")
    elif gone > lately:
        back = _money_text(gone, theirs.currency)
        message = f"it was credited by hand, without a notification: that {back} went back has taken nothing"
        yield about.finding("other_refund", message, there=back, here="nothing")


def _money(about: _About, theirs: Theirs, receipt: Receipt, lately: Decimal) -> Iterator[Finding]:
    there, here = _money_text(theirs.amount, theirs.currency), f"{receipt.amount} {receipt.currency}"
    if Decimal(receipt.amount) != theirs.amount or receipt.currency.upper() != theirs.currency.upper():
        yield about.finding("other_amount", f"the provider has {there}, here it is {here}", there, here)
        return
    if theirs.refunded is None:
        return
    lost = receipt.lost or bool(receipt.lost_parts)
    if lost != theirs.lost or bool(receipt.dispute) != theirs.disputed:
        there, here = _dispute_text(theirs.lost, theirs.disputed), _dispute_text(lost, bool(receipt.dispute))
        yield about.finding("other_dispute", f"the provider has {there}, here is {here}", there, here)
    elif not (theirs.refunded - lately <= refunded(receipt) <= theirs.refunded):
        there = _money_text(theirs.refunded, theirs.currency)
        here = _money_text(refunded(receipt), receipt.currency)
        yield about.finding("other_refund", f"{there} went back, here it is {here}", there, here)


def _credit(about: _About, receipt: Receipt) -> Iterator[Finding]:
    """Whether the ledger has what the receipt says."""
    claim, earned = about.ours.claim, about.ours.earned
    if receipt.state == "waiting":
        if claim is not None:
            by_hand = (
                f"it waits, and was credited by hand to {claim.account}: assign it to that account, so that what goes"
            )
            yield about.finding("waiting", f"{by_hand} back is taken back", assignable=True)
        elif receipt.reason not in NEVER:
            yield about.finding("waiting", sentence(receipt), assignable=True)
    elif claim is None or (claim.entry, claim.account) != (receipt.entry, receipt.account):
        here = f"{claim.entry} of {claim.account}" if claim else "none"
        message = f"the payment says entry {receipt.entry} of {receipt.account}; in the ledger it is {here}"
        yield about.finding("other_credits", message)
    elif earned is not None and earned != receipt.credits:
        yield about.finding("other_credits", "its entry gave another number of credits than the payment says")
    elif receipt.grant and not receipt.asked and taken_back(receipt) < credits_returned(receipt):
        yield about.finding("other_credits", "money of it went back, and its credits have not all been taken back yet")
    elif refused := [each.refused for each in receipt.again if each.refused]:
        message = f"a refund of it failed, and the ledger would not give its credits again: {refused[-1]}"
        yield about.finding("other_credits", message)


def _twice(about: _About) -> Iterator[Finding]:
    if len(about.ours.grants) > 1:
        message = f"{len(about.ours.grants)} grants were given for it: {', '.join(about.ours.grants)}"
        yield about.finding("credited_twice", message)


def _money_text(amount: Decimal, currency: str) -> str:
    return f"{format(amount, 'f')} {currency.upper()}"


def _dispute_text(lost: bool, disputed: bool) -> str:
    return "a dispute that was lost" if lost else "an open dispute" if disputed else "no dispute"
