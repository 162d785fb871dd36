"""Stripe's books: charges that went well, each with what was refunded of it until now; refunds and disputes lead to
charges of an earlier time. An invoice that nothing was to be paid for is no charge, and is looked up by its id.
"""

from collections.abc import AsyncIterator
from decimal import Decimal

from farthing.core.catalogue import Provider
from farthing.core.purchases import Receipt
from farthing.core.reconcile import Back, Contest, Theirs

from .client import Stripe
from .currencies import from_minor, read_currency
from .errors import NotFound
from .facts import NEVER_THERE, is_named
from .objects import Charge, Dispute, Refund
from .orders import WORKSPACE
from .whose import is_ours


class StripeBooks:
    """Asks by a client."""

    provider: Provider = "stripe"

    def __init__(self, client: Stripe, now_us: int) -> None:
        self._client = client
        self._now_us = now_us

    async def told(self, since: int, until: int) -> AsyncIterator[Theirs | Back | Contest]:
        """Charges of the time; refunds and disputes from then on."""
        end = max(until, self._now_us + 1_000_000)
        async for charge in self._client.charges(since, until):
            if _went_well(charge):
                yield _theirs(charge)
        async for refund in self._client.refunds(since, end):
            if refund.status not in NEVER_THERE:
                yield _back(refund)
        async for dispute in self._client.disputes(since, end):
            # Of an inquiry no money has moved.
            if not dispute.status.startswith("warning_"):
                yield _contest(dispute)

    async def look(self, handle: str) -> Theirs | None:
        """A charge by its id."""
        try:
            charge = await self._client.charge(handle)
        except NotFound:
            return None
        return _theirs(charge) if _went_well(charge) else None

    async def find(self, receipt: Receipt) -> Theirs | None:
        """The charge of a payment intent; or an invoice or a checkout that stands for itself."""
        try:
            if receipt.payment.startswith("in_"):
                invoice = await self._client.invoice(receipt.payment)
                paid, currency = invoice.amount_paid_minor, invoice.currency
                return _free(receipt.payment, invoice.created_us, paid, currency, not invoice.livemode)
            if receipt.payment.startswith("cs_"):
                session = await self._client.session(receipt.payment)
                paid, currency = session.amount_total_minor or 0, session.currency or receipt.currency
                return _free(receipt.payment, session.created_us, paid, currency, not session.livemode)
            intent = await self._client.payment(receipt.payment)
        except NotFound:
            return None
        return await self.look(intent.latest_charge) if intent.latest_charge else None

    async def is_ours(self, workspace: str, theirs: Theirs) -> bool:
        """By the marks that our checkouts leave."""
        return await is_ours(self._client, workspace, theirs.payment, theirs.mark, theirs.named)


def _went_well(charge: Charge) -> bool:
    return charge.paid and charge.status == "succeeded"


def _theirs(charge: Charge) -> Theirs:
    return Theirs(
        payment=charge.payment_intent or charge.id, at=charge.created_us,
        amount=_money(charge.amount_minor, charge.currency), currency=read_currency(charge.currency),
        refunded=_money(charge.amount_refunded_minor, charge.currency), test=not charge.livemode,
        mark=charge.metadata.get(WORKSPACE, ""), named=is_named(charge.metadata),
    )  # fmt: skip


def _free(payment: str, at: int, minor: int, currency: str, test: bool) -> Theirs:
    amount = _money(minor, currency)
    return Theirs(
        payment=payment, at=at, amount=amount, currency=read_currency(currency), refunded=Decimal(0), test=test
    )


def _back(refund: Refund) -> Back:
    return Back(
        id=refund.id, at=refund.created_us, amount=_money(refund.amount_minor, refund.currency),
        currency=read_currency(refund.currency), payment=refund.payment_intent or refund.charge or "",
        handle=refund.charge or "",
    )  # fmt: skip


def _contest(dispute: Dispute) -> Contest:
    return Contest(
        id=dispute.id, payment=dispute.payment_intent or dispute.charge, handle=dispute.charge, at=dispute.created_us,
        amount=_money(dispute.amount_minor, dispute.currency), lost=dispute.status == "lost",
        open=dispute.status not in ("won", "lost"),
    )  # fmt: skip


def _money(minor: int, currency: str) -> Decimal:
    return Decimal(from_minor(minor, currency))
