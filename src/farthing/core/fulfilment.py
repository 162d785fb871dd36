"""Fulfilment: facts are put down on the rows of order and payment (`note`); these say what the ledger is to be asked
(`due`), until it has answered (`told`) and nothing is left. Pure; whoever calls it keeps the rows and asks.

All of it may be told twice, at the same moment and in any order: a payment is credited once by its claim, what goes
back is a total, what is pinned has a key by its dispute, and what comes before its payment waits on the receipt.
"""

from decimal import Decimal
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from .amounts import AmountError, read_amount
from .catalogue import Catalogue, Offer, Tier, TopUp, read_price
from .commands import DAY_US, Command, GiveGrant, Renew, Resume, Subscribe, Unsubscribe
from .facts import (
    AnyFact,
    Canceled,
    DisputeClosed,
    Disputed,
    Ended,
    Missed,
    Paid,
    Refunded,
    RefundFailed,
    Resumed,
)
from .purchases import Order, OrderState, Reason, Receipt, share
from .records import Entry, GrantTerms, Workspace
from .refundable import read_body
from .reversals import ACTOR_PREFIX, due_back, looked_over, noted, paid_in, told_back, who_of
from .subscription import Subscription, renewal_key, seen_mark

_LACKING: Final = ("no_account", "unknown_product")
"""Reasons that another message about the same payment may cure, which knows more of it."""


class Known(Struct, frozen=True):
    """What is known when a fact comes in."""

    workspace: Workspace
    catalogue: Catalogue
    order: Order | None = None
    receipt: Receipt | None = None
    came_of: Order | None = None
    """The order that this one came of."""
    subscription: Subscription | None = None
    """The account's own."""
    terms: GrantTerms | None = None
    """Of the receipt's grant, where credits of it are to be given again."""


class Noted(Struct, frozen=True):
    """What a fact changes of what is known; and what it asks of the ledger by itself, where no payment does."""

    order: Order | None = None
    receipt: Receipt | None = None
    replaced: str = ""
    """An order that this one took the place of."""
    command: Command | None = None


def note(fact: AnyFact, known: Known) -> Noted:
    """A fact put down. Told twice, or late, it is the same as once and in time."""
    match fact:
        case Paid():
            return _paid(fact, known)
        case Refunded() | RefundFailed() | Disputed() | DisputeClosed():
            before, after = known.receipt, noted(fact, known.receipt)
            # The ledger may have been asked for its credits: they are given, and then taken.
            begun = before is not None and before.state == "waiting" and before.known and before.reason is None
            return Noted(known.order, looked_over(after, begun=begun) if after else None)
        case Missed():
            return Noted(known.order)
        case Canceled() | Resumed() | Ended():
            return _standing(fact, known)


def assigned(receipt: Receipt, order: Order | None, offer: str, account: str) -> Noted:
    """A payment that waited, and that a person says whose it is, and what for: what was wrong with it is forgiven."""
    if order is not None:
        order = replace(order, account=account, offer=offer or order.offer)
    return Noted(order, looked_over(replace(receipt, account=account, offer=offer or receipt.offer, reason=None)))


def due(known: Known) -> Command | None:
    """What the ledger is to be asked next for a payment; None when all is done that can be."""
    receipt = known.receipt
    if receipt is None or (receipt.state == "waiting" and (receipt.reason or not receipt.known)):
        return None
    if receipt.state == "waiting":
        return _credit(receipt, known)
    return due_back(receipt, known.workspace, known.terms)


def told(receipt: Receipt, command: Command, entry: Entry) -> Receipt:
    """The receipt once the ledger has done what it was asked; somebody else may have put that down before."""
    if not is_credit(command):
        return looked_over(told_back(receipt, command, entry))
    if receipt.state == "credited":
        return receipt
    body = read_body(entry)
    grant = body.grants[0].id if body.grants else ""
    return looked_over(replace(receipt, state="credited", credits=body.earned, grant=grant, entry=entry.id))


def is_credit(command: Command) -> bool:
    """Whether it is that of the payment itself."""
    return isinstance(command, GiveGrant | Subscribe | Renew) and command.claim is not None


def refused(receipt: Receipt, code: str) -> Receipt:
    """A payment that the ledger would not take waits for a person."""
    return receipt if receipt.state == "credited" else replace(receipt, reason="refused", facts=code)


# Money in


def _paid(fact: Paid, known: Known) -> Noted:
    before = known.receipt
    if before is not None and before.known and before.reason not in _LACKING:
        return Noted(known.order, before)
    if not fact.account and known.came_of is not None:
        # An upgrade that is taken on the provider's own page brings no words of ours along.
        fact = replace(fact, account=known.came_of.account)
    offer = _offer(fact, known)
    order = _order(fact, offer, known.order)
    account = (order.account if order else "") or fact.account or (before.account if before else "")
    receipt = replace(
        before or Receipt(provider=fact.provider, payment=fact.payment, at=fact.at),
        order=fact.order, group=fact.group, item=fact.item, charge=fact.charge, account=account,
        offer=offer.name if offer else "", amount=fact.amount, currency=fact.currency, quantity=fact.quantity,
        part=fact.part, parts=fact.parts, at=fact.at, renewal=fact.renewal, paid_until=fact.paid_until, test=fact.test,
        reason=_doubt(fact, offer, account, known),
    )  # fmt: skip
    if before is None or not before.known:
        receipt = paid_in(receipt)
    return Noted(order, looked_over(receipt), fact.replaces)


def _offer(fact: Paid, known: Known) -> Offer | None:
    """What was bought: by the provider's name of it, by ours, or what the order was for. The provider's goes first: a
    tier may have been changed there since it was bought."""
    named = known.catalogue.sold_as(fact.provider, fact.product) if fact.product else None
    sold = named or (known.catalogue.named(fact.offer) if fact.offer else None)
    if sold is None and not (fact.offer or fact.product) and known.order is not None:
        return known.catalogue.named(known.order.offer)
    return sold


def _order(fact: Paid, offer: Offer | None, before: Order | None) -> Order | None:
    if not fact.order:
        return None
    if before is None:
        return Order(
            provider=fact.provider, id=fact.order, account=fact.account, offer=offer.name if offer else "",
            product=fact.product, came_of=fact.came_of, bought_at=fact.at, paid_at=fact.at, buyer=fact.buyer,
            test=fact.test,
        )  # fmt: skip
    # Whose it is was settled when it was first known: what a later message says does not move it. Of several things
    # that were bought at once the tier names the order, since its renewals come under it.
    newest = isinstance(offer.sold, Tier) and fact.at >= before.paid_at if offer else False
    named = offer.name if offer is not None and (newest or not before.offer) else before.offer
    paid_at = max(before.paid_at, fact.at)
    order = replace(before, account=before.account or fact.account, offer=named, paid_at=paid_at)
    # What is paid again after its end goes on, as its subscription does; what was paid before it is no news.
    is_back = order.state == "ended" and fact.at > order.standing_at
    return replace(order, state="open", standing_at=fact.at) if is_back else order


def _doubt(fact: Paid, offer: Offer | None, account: str, known: Known) -> Reason | None:
    """Why this payment is not credited by itself."""
    workspace = known.workspace
    if fact.test and workspace.mode == "live":
        return "test_mode"
    if offer is None:
        if fact.offer or fact.product or fact.currency.upper() != workspace.unit.upper():
            return "unknown_product"
    elif wrong := _other_tier(fact, offer, known) or _other_price(fact, offer, known.order):
        return wrong
    # A trial costs nothing at first; credits never do.
    if Decimal(fact.amount) <= 0 and not (offer is not None and isinstance(offer.sold, Tier)):
        return "other_amount"
    return None if account else "no_account"


def _other_tier(fact: Paid, offer: Offer, known: Known) -> Reason | None:
    """Whether it would bring the order back to a tier that it has left; or is of no other, and begins no period."""
    had = known.catalogue.named(known.order.offer) if known.order is not None else None
    if known.order is None or had is None or not (isinstance(had.sold, Tier) and isinstance(offer.sold, Tier)):
        return None
    if had.name == offer.name:
        return "other_amount" if fact.within else None
    return "overtaken" if fact.at < known.order.paid_at else None


def _other_price(fact: Paid, offer: Offer, order: Order | None) -> Reason | None:
    """Whether it is less than the catalogue asks for. What renews is what was agreed on when it was bought; of what
    takes another order's place, or another tier's, less is paid, by what is left of that, and what is offered to who
    has it has a price of its own there."""
    price = read_price(offer.sold.price) if offer.sold.price else None
    if price is None:
        return None
    if fact.currency.upper() != offer.sold.currency:
        return "other_currency"
    whole = not (fact.renewal or fact.came_of or fact.replaces or (fact.change and order is not None))
    return "other_amount" if whole and Decimal(fact.amount) * fact.parts < price * fact.quantity else None


def _credit(receipt: Receipt, known: Known) -> Command | None:
    offer = known.catalogue.named(receipt.offer) if receipt.offer else None
    if offer is not None and isinstance(offer.sold, Tier):
        return _plan_command(receipt, offer.sold, known)
    return _grant_command(receipt, offer, known.workspace)


def _grant_command(receipt: Receipt, offer: Offer | None, workspace: Workspace) -> Command | None:
    """Credits for money; without an offer one for one, where the money is what the workspace counts."""
    if offer is None:
        try:
            amount = read_amount(receipt.amount, workspace.scale)
        except AmountError:
            return None
        top_up = TopUp(id="", credits=amount)
    else:
        assert isinstance(offer.sold, TopUp), "a tier gives its plan"
        top_up = offer.sold
        amount = _part(top_up.credits * receipt.quantity, receipt)
    if amount <= 0:
        return None
    return GiveGrant(
        **who_of(receipt, workspace), amount=amount, category=top_up.category,
        priority=top_up.priority, claim=(receipt.provider, receipt.payment), source=_source(receipt, offer),
        expires_at=None if top_up.expires_days is None else receipt.at + top_up.expires_days * DAY_US,
    )  # fmt: skip


def _part(credits: int, receipt: Receipt) -> int:
    """What one of several installments gives: with the last of them all is given, to the unit."""
    whole = Decimal(receipt.parts)
    return share(credits, Decimal(receipt.part), whole) - share(credits, Decimal(receipt.part - 1), whole)


def _plan_command(receipt: Receipt, tier: Tier, known: Known) -> Command:
    """The next period of a subscription that runs by this order, else its beginning; also where the order was moved to
    another tier at the provider, and that one is what was paid."""
    s, claim = known.subscription, (receipt.provider, receipt.payment)
    if s is not None and _goes_on(s, receipt.order, tier.plan):
        return Renew(
            **who_of(receipt, known.workspace), key=renewal_key(s.id, s.next_at), subscription=s.id,
            period_at=s.next_at, expires_at=receipt.paid_until, claim=claim,
        )  # fmt: skip
    return Subscribe(
        **who_of(receipt, known.workspace), plan=tier.plan, billed_by=receipt.provider,
        expires_at=receipt.paid_until, claim=claim, order=receipt.order, seen=seen_mark(s),
    )  # fmt: skip


def _goes_on(s: Subscription, order: str, plan: str) -> bool:
    coming = s.pending.plan if s.pending else s.plan
    return s.ended_at is None and bool(order) and s.order == order and coming == plan


# Subscriptions


def _standing(fact: Canceled | Resumed | Ended, known: Known) -> Noted:
    """An order that goes on, or does not. Only the one by which the account has its tier moves its subscription."""
    order = known.order
    if order is None or order.state == "replaced" or fact.at < order.standing_at:
        return Noted(order)
    state: OrderState = "canceled" if isinstance(fact, Canceled) else "open" if isinstance(fact, Resumed) else "ended"
    changed = replace(order, state=state, standing_at=fact.at)
    s = known.subscription
    if s is None or s.ended_at is not None or s.order != order.id or not order.account:
        return Noted(changed)
    who = _of_order(order, known.workspace)
    key = f"pay:{order.provider}:{order.id}:{type(fact).__name__.lower()}:{fact.at}"
    if isinstance(fact, Resumed):
        command: Command | None = Resume(**who, key=key) if s.canceled_at is not None else None
    else:
        command = Unsubscribe(**who, key=key, at_once=isinstance(fact, Ended))
    return Noted(changed, command=command)


# Words of commands


def _of_order(order: Order, workspace: Workspace) -> dict[str, Any]:
    return {"workspace": workspace.id, "account": order.account, "actor": ACTOR_PREFIX + order.provider}


def _source(receipt: Receipt, offer: Offer | None) -> dict[str, str]:
    facts = {"provider": receipt.provider, "payment": receipt.payment, "order": receipt.order}
    if offer is not None:
        facts["offer"] = offer.name
    return {name: text for name, text in facts.items() if text}
