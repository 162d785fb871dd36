"""Assigning: a person says whose a payment that waits is, and what for. It is credited under its own claim, so that
whoever says so twice, or at the same moment, gives once; and the audit log says who did, and why.
"""

from typing import Any, Final

from farthing.core.outcomes import Refusal
from farthing.core.purchases import Receipt
from farthing.core.records import Workspace
from farthing.core.waiting import can_be_assigned, offer_problem, sentence
from farthing.stores.acts import AccessError, Act, Once
from farthing.stores.directory import Directory
from farthing.stores.products import Products
from farthing.stores.purchases import Purchases

from .fulfilling import Fulfilling

_SHOWN: Final = ("account", "offer", "state", "reason", "credits", "entry")


class Assigning:
    """Assigns payments."""

    def __init__(
        self, fulfilling: Fulfilling, purchases: Purchases, products: Products, directory: Directory
    ) -> None:  # fmt: skip
        self._fulfilling = fulfilling
        self._purchases = purchases
        self._products = products
        self._directory = directory

    async def assign(
        self, workspace: Workspace, provider: str, payment: str, account: str, offer: str, act: Act, reason: str = "",
        once: Once | None = None,
    ) -> Receipt:  # fmt: skip
        """Credit a payment that waits; raises AccessError where that can't be. One that the account has is told as it
        is."""
        if (first := await self._purchases.assigned_before(workspace.id, once)) is not None:
            return first
        before = await self._waiting(workspace, provider, payment, account)
        if before.state == "credited":
            return await self._done_before(workspace, before, act, once)
        if wrong := offer_problem(before, offer, await self._products.catalogue(workspace.id), workspace):
            raise AccessError(f"offer {wrong}", field="offer")
        if once is not None and once.dry_run:
            after = await self._fulfilling.rehearse(workspace, provider, payment, account, offer)
        else:
            done = await self._fulfilling.assign(
                workspace, provider, payment, account, offer, act.actor, act.request_id
            )  # fmt: skip
            after = done.receipt if done else None
        assert after is not None, "receipts stay"
        _require_credited(after, account)
        if once is not None and once.dry_run:
            return after
        detail: dict[str, Any] = {"before": _shown(before), "after": _shown(after)}
        detail |= {"reason": reason} if reason else {}
        return await self._purchases.note_assigned(workspace.id, after, detail, act, once)

    async def _done_before(self, workspace: Workspace, receipt: Receipt, act: Act, once: Once | None) -> Receipt:
        """The account has it. It may be that whoever asked first was cut off before that was written down."""
        if once is None or once.dry_run:
            return receipt
        shown = _shown(receipt)
        return await self._purchases.note_assigned(workspace.id, receipt, {"before": shown, "after": shown}, act, once)

    async def _waiting(self, workspace: Workspace, provider: str, payment: str, account: str) -> Receipt:
        """The receipt of a payment that can be assigned, or that the account has."""
        kept = await self._purchases.receipt(workspace.id, provider, payment)
        claim = await self._directory.payment(workspace.id, provider, payment)
        if claim is not None and claim.account != account:
            raise AccessError(f"the payment {provider}:{payment} was credited to another account", "payment_claimed")
        if kept is None:
            if claim is None:
                raise AccessError(f"there is no payment {payment!r} of {provider}", "payment_not_found")
            raise AccessError("it was credited by hand: nothing of it is left to assign", "payment_not_assignable")
        receipt = kept.receipt
        if receipt.state == "waiting" and not can_be_assigned(receipt):
            raise AccessError(sentence(receipt).rstrip("."), "payment_not_assignable")
        return receipt


def _require_credited(receipt: Receipt, account: str) -> None:
    """Raise where the ledger would not have it, in the ledger's own word."""
    if receipt.state == "waiting":
        known = receipt.facts in {str(code) for code in Refusal}
        code = receipt.facts if known else "payment_not_assignable"
        raise AccessError(sentence(receipt).rstrip("."), code)
    if receipt.account != account:
        raise AccessError("the payment was credited to another account just now", "payment_claimed")


def _shown(receipt: Receipt) -> dict[str, Any]:
    """What the audit log says of it."""
    return {name: value for name in _SHOWN if (value := getattr(receipt, name))}
