"""Charging an earlier order at Digistore24 again: createBillingOnDemand. It knows no keys, so it is asked once, which
`..charging` sees to: where no answer comes, only the notification tells.
"""

from typing import Final

from ..charges import Charged, State, Wanted, failed, troubled
from ..links import Tools
from ..troubles import ProviderTrouble
from .links import price_plan
from .results import Billed
from .wanted import Charge, PaymentPlan

_STATES: Final[dict[str, State]] = {
    "completed": "succeeded",
    "pending": "pending",
    "uncertain": "pending",
    "refused": "declined",
}


async def charge(tools: Tools, wanted: Wanted) -> Charged:
    """Ask for the money; never a second time for the same order within a minute, nor eleven times a day: it refuses."""
    product = wanted.sold.sold_as.get("digistore24", "")
    if not product:
        return failed("product_not_sold", "Digistore24 does not sell this")
    if not wanted.order:
        return failed("no_order", "the account has no order at Digistore24 that could be charged again")
    try:
        async with tools.clients.digistore24(wanted.workspace) as (client, _):
            plan = price_plan(wanted.sold, {}) or PaymentPlan(number_of_installments=1)
            several = None if wanted.quantity == 1 else wanted.quantity
            asked = Charge(wanted.order, product, plan, wanted.reference, several)
            return _told(await client.create_billing_on_demand(asked))
    except ProviderTrouble as trouble:
        return troubled(trouble, asked=True)


def _told(billed: Billed) -> Charged:
    # What this version does not know may be money on its way.
    state = "failed" if billed.payment_status == "error" else _STATES.get(billed.payment_status, "pending")
    return Charged(
        state=state, payment=billed.created_purchase_id, url="" if state == "succeeded" else billed.pay_url,
        reason="" if state == "succeeded" else billed.payment_status, message=billed.payment_status_msg,
    )  # fmt: skip
