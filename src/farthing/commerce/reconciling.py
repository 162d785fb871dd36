"""Reconciling: a provider's books beside our own, payment by payment, for a range of time. It tells what differs, and
repairs nothing. What the provider tells is put down in a temporary file first, so that a long range takes no memory.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.catalogue import Provider
from farthing.core.purchases import SUM, Receipt, taken_back
from farthing.core.reconcile import (
    Back,
    Finding,
    Kind,
    Ours,
    Sums,
    Theirs,
    compare,
    compare_back,
    compare_named,
    compare_unknown,
    gone_here,
    gone_there,
)
from farthing.core.records import Workspace
from farthing.core.refundable import read_body
from farthing.stores.compared import Compared
from farthing.stores.directory import Directory
from farthing.stores.purchases import Purchases
from farthing.stores.reports import Reports

from .books import Books

DAY_US: Final = 86_400_000_000
MARGIN_US: Final = DAY_US
"""So much more is asked for on both sides: clocks differ, and some providers' times have no zone."""
LATELY_US: Final = 600_000_000
"""What is younger may be on its way."""
PAGE: Final = 500
MOST_SHOWN: Final = 1_000
MOST_OTHERS: Final = 100


class Other(Struct, frozen=True):
    """A payment of the provider's that is no business of this workspace's."""

    payment: str
    order: str
    at: int
    amount: Decimal
    currency: str
    mark: str
    """The workspace that it was made for; empty: it bears no mark of ours."""


class Reconciled(Struct):
    """What came of it."""

    provider: Provider
    since: int
    until: int
    payments: int = 0
    """That the provider has in the range."""
    receipts: int = 0
    """That there are here in the range."""
    others: int = 0
    """Payments of the provider's that are no business of this workspace's."""
    elsewhere: list[Other] = []
    """The first of those."""
    tests: int = 0
    """Payments that nobody has paid."""
    by_hand: int = 0
    """Credited by somebody, and not by a notification."""
    findings: dict[Kind, int] = {}
    """How many of each kind."""
    sums: dict[str, Sums] = {}
    """By currency."""

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.findings


class Reconciling:
    """One comparison."""

    def __init__(
        self, workspace: Workspace, books: Books, purchases: Purchases, directory: Directory, reports: Reports,
        found: Callable[[Finding], None],
    ) -> None:  # fmt: skip
        self._workspace = workspace
        self._books = books
        self._purchases = purchases
        self._directory = directory
        self._reports = reports
        self._found = found
        self._compared = Compared()
        self._done: Reconciled

    async def run(self, since: int, until: int, now: int, lately: int = LATELY_US) -> Reconciled:
        """Compare payments of [since, until), and what went back in that time. What is younger than `lately` is left
        out."""
        self._done = Reconciled(self._books.provider, since, max(since, min(until, now - lately)))
        try:
            await self._ask(now)
            await self._named(now)
            await self._payments()
            await self._earlier()
            await self._backs()
            await self._receipts()
        finally:
            self._compared.close()
        return self._done

    # Putting down

    async def _ask(self, now: int) -> None:
        done = self._done
        async for told in self._books.told(done.since - MARGIN_US, min(done.until + MARGIN_US, now + MARGIN_US)):
            self._compared.put(told)

    async def _named(self, now: int) -> None:
        """Put down which grants name what: one that somebody gave by hand says of which payment it is, or does not."""
        after = ""
        while page := await self._purchases.grants_made(
            self._workspace.id, self._done.since - MARGIN_US, now + MARGIN_US, after, PAGE
        ):
            for grant in page:
                if grant.source and not grant.origin and not grant.voided:
                    for name in set(grant.source.values()):
                        self._compared.give(name, grant.id)
            after = page[-1].id

    # Comparing

    async def _payments(self) -> None:
        """All that the provider has in the range."""
        for theirs in self._compared.payments(self._done.since, self._done.until):
            await self._one(self._told(theirs))

    async def _earlier(self) -> None:
        """What went back, or was disputed, of payments that are not of the range."""
        for payment, handle in self._compared.touched(self._done.since, self._done.until):
            theirs = await self._books.look(handle)
            if theirs is not None and not self._done.since <= theirs.at < self._done.until:
                assert theirs.payment == payment, "a charge has one payment"
                await self._one(self._told(theirs), counted=False)

    def _told(self, theirs: Theirs) -> Theirs:
        """A payment with what is known of its disputes."""
        lost, disputed = self._compared.contest(theirs.payment)
        if lost is None and not disputed:
            return theirs
        return replace(theirs, lost=lost is not None, lost_amount=lost, disputed=disputed)

    async def _one(self, theirs: Theirs, counted: bool = True) -> None:
        if theirs.test and self._workspace.mode == "live":
            self._done.tests += counted
            return
        ours = await self._ours(theirs.payment)
        missing = not ours.known and ours.claim is None
        if missing and not await self._books.is_ours(self._workspace.id, theirs):
            if counted:
                self._other(theirs)
            return
        if counted:
            self._count(theirs, ours)
        lately = self._compared.back_since(theirs.payment, self._done.until)
        for finding in compare(self._books.provider, theirs, ours, lately):
            self._tell(finding)
        if ours.receipt is not None and theirs.refunded is None:
            self._names(ours.receipt)

    def _names(self, receipt: Receipt) -> None:
        """Refunds that have names of their own."""
        unknown = [id for id in receipt.returned if id != SUM and not self._compared.is_back(id)]
        for finding in compare_named(self._books.provider, receipt, unknown):
            self._tell(finding)

    async def _ours(self, payment: str) -> Ours:
        """All that is known here of a payment."""
        kept = await self._purchases.receipt(self._workspace.id, self._books.provider, payment)
        claim = await self._directory.payment(self._workspace.id, self._books.provider, payment)
        entry = await self._reports.entry(self._workspace.id, claim.entry) if claim else None
        body = read_body(entry) if entry else None
        grants = dict.fromkeys(each.id for each in body.grants[:1]) if body else {}
        grants |= dict.fromkeys(self._compared.grants(payment))
        for each in kept.receipt.again if kept else ():
            grants.pop(each.grant, None)  # a refund had failed
        return Ours(
            receipt=kept.receipt if kept else None, claim=claim, earned=body.earned if body else None,
            grants=tuple(grants),
        )  # fmt: skip

    async def _backs(self) -> None:
        """Refunds that have names of their own."""
        provider = self._books.provider
        for back in self._compared.backs(self._done.since, self._done.until):
            if not back.order:
                continue
            kept = await self._purchases.receipts_of_order(self._workspace.id, provider, back.order)
            receipts = [each.receipt for each in kept]
            if not receipts and not await self._is_ours(back):
                continue
            if any(each.test for each in receipts) and self._workspace.mode == "live":
                continue
            finding = compare_back(provider, back, receipts)
            sums = self._sums(back.currency)
            sums.returned_there += back.amount
            sums.returned_here += back.amount if finding is None else Decimal(0)
            if finding is not None:
                self._tell(finding)

    async def _is_ours(self, back: Back) -> bool:
        theirs = Theirs(payment="", order=back.order, at=back.at, amount=back.amount, currency=back.currency)
        return await self._books.is_ours(self._workspace.id, theirs)

    async def _receipts(self) -> None:
        """What is known here, and the provider has not told of."""
        after: tuple[int, str] = (-1, "")
        while page := await self._purchases.receipts_between(
            self._workspace.id, self._books.provider, self._done.since, self._done.until, after, PAGE
        ):
            for receipt in page:
                self._done.receipts += 1
                if receipt.known and self._compared.theirs(receipt.payment) is None:
                    await self._unlisted(receipt)
            after = (page[-1].at, page[-1].payment)

    async def _unlisted(self, receipt: Receipt) -> None:
        """It may be of another time than it was told, or nothing that is listed: a bill of nothing, for instance."""
        if receipt.test and self._workspace.mode == "live":
            return
        theirs = await self._books.find(receipt)
        if theirs is None:
            self._tell(compare_unknown(self._books.provider, receipt))
        elif self._done.since <= theirs.at < self._done.until:
            await self._one(theirs)

    # Counting

    def _other(self, t: Theirs) -> None:
        self._done.others += 1
        if len(self._done.elsewhere) < MOST_OTHERS:
            self._done.elsewhere.append(Other(t.payment, t.order, t.at, t.amount, t.currency, t.mark))

    def _count(self, theirs: Theirs, ours: Ours) -> None:
        done, receipt, sums = self._done, ours.receipt, self._sums(theirs.currency)
        done.payments += 1
        sums.payments += 1
        sums.paid_there += theirs.amount
        by_hand = not ours.known and ours.claim is not None
        done.by_hand += by_hand
        if by_hand:
            sums.paid_here += theirs.amount
            sums.credits += ours.earned or 0
        if receipt is not None and receipt.known:
            sums = self._sums(receipt.currency.upper())
            sums.paid_here += Decimal(receipt.amount)
            sums.credits += receipt.credits
            sums.taken += taken_back(receipt)
        if theirs.refunded is not None:
            self._sums(theirs.currency).returned_there += gone_there(theirs)
            if receipt is not None and receipt.known:
                sums.returned_here += gone_here(receipt)

    def _sums(self, currency: str) -> Sums:
        return self._done.sums.setdefault(currency, Sums())

    def _tell(self, finding: Finding) -> None:
        self._done.findings[finding.kind] = self._done.findings.get(finding.kind, 0) + 1
        self._found(finding)
