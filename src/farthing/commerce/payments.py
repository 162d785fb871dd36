"""Payments as people look at them: by the receipt of what a provider has told; or by the claim of what was credited by
hand, of which nobody has told.
"""

from typing import Any

from msgspec import Struct

from farthing.core.amounts import write_amount
from farthing.core.exact import plain
from farthing.core.purchases import Receipt, returned, taken_back
from farthing.core.records import Entry, PaymentClaim
from farthing.core.refundable import read_body
from farthing.core.waiting import sentence
from farthing.stores.directory import Directory
from farthing.stores.pages import Page, Position, merged
from farthing.stores.purchases import Purchases
from farthing.stores.reports import Reports


class Line(Struct, frozen=True):
    """A payment."""

    receipt: Receipt | None = None
    claim: PaymentClaim | None = None
    entry: Entry | None = None
    """Of a claim; None where it is archived."""

    @property
    def place(self) -> Position:
        """Where it stands among all."""
        if self.receipt is not None:
            return self.receipt.at, self.receipt.provider, self.receipt.payment
        assert self.claim is not None, "one of them is there"
        return self.claim.at, self.claim.provider, self.claim.object

    @property
    def at(self) -> int:
        """When it was told of, or credited."""
        return int(self.place[0])

    def facts(self, scale: int) -> dict[str, Any]:
        """All about it but its time, as programs read it."""
        if self.receipt is not None:
            return _of_receipt(self.receipt, scale)
        assert self.claim is not None, "one of them is there"
        return _of_claim(self.claim, self.entry, scale)


class Payments:
    """Reads payments."""

    def __init__(self, purchases: Purchases, directory: Directory, reports: Reports) -> None:
        self._purchases = purchases
        self._directory = directory
        self._reports = reports

    async def page(
        self, workspace: str, *, provider: str = "", account: str = "", state: str = "", before: Position | None = None,
        limit: int = 50,
    ) -> Page[Line]:  # fmt: skip
        """Payments of a workspace, the newest first; of one provider, one account, in one state."""
        kept = await self._purchases.receipts(
            workspace, account=account, provider=provider, state=state, before=before, limit=limit
        )
        pages = [Page([Line(each.receipt) for each in kept.items], kept.next)]
        if state != "waiting":
            claims = await self._directory.payments(
                workspace, provider=provider or None, account=account or None, before=before, limit=limit
            )
            lines = [Line(claim=each) for each in claims.items if not await self._is_told(each)]
            pages.append(Page(lines, claims.next))
        page = merged(pages, limit, lambda line: line.place)
        return Page([await self._whole(line) for line in page.items], page.next)

    async def get(self, workspace: str, provider: str, payment: str) -> Line | None:
        """One payment."""
        kept = await self._purchases.receipt(workspace, provider, payment)
        if kept is not None:
            return Line(kept.receipt)
        claim = await self._directory.payment(workspace, provider, payment)
        return None if claim is None else await self._whole(Line(claim=claim))

    async def _is_told(self, claim: PaymentClaim) -> bool:
        return await self._purchases.receipt(claim.workspace, claim.provider, claim.object) is not None

    async def _whole(self, line: Line) -> Line:
        if line.claim is None:
            return line
        return Line(claim=line.claim, entry=await self._reports.entry(line.claim.workspace, line.claim.entry))


def _of_receipt(r: Receipt, scale: int) -> dict[str, Any]:
    return {
        "provider": r.provider, "payment": r.payment, "state": r.state, "account": r.account or None,
        "amount": r.amount or None, "currency": r.currency or None, "refunded": plain(returned(r)), "lost": r.lost,
        "disputed": bool(r.dispute), "credits": write_amount(r.credits, scale),
        "taken": write_amount(taken_back(r), scale),
        "reason": None if r.state == "credited" else r.reason, "message": sentence(r) or None, "order": r.order or None,
        "offer": r.offer or None, "quantity": r.quantity, "renewal": r.renewal, "test": r.test,
        "grant": r.grant or None, "entry": r.entry or None,
    }  # fmt: skip


def _of_claim(claim: PaymentClaim, entry: Entry | None, scale: int) -> dict[str, Any]:
    body = read_body(entry) if entry else None
    nothing = dict.fromkeys(("amount", "currency", "refunded", "reason", "message", "order", "offer"))
    return {
        **nothing, "provider": claim.provider, "payment": claim.object, "state": "credited", "account": claim.account,
        "lost": False, "disputed": False, "taken": "0", "quantity": 1, "renewal": False, "test": False,
        "credits": None if body is None else write_amount(body.earned or body.credited, scale),
        "grant": body.grants[0].id if body and body.grants else None, "entry": claim.entry,
    }  # fmt: skip
