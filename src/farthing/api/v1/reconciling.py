"""Reconciling: a provider's books beside the ledger's. It tells what differs, and repairs nothing."""

import asyncio
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from farthing.commerce.comparing import Comparing
from farthing.commerce.reconciling import Other, Reconciled
from farthing.commerce.selling import Unsellable
from farthing.commerce.troubles import ProviderTrouble
from farthing.core.amounts import write_amount
from farthing.core.catalogue import Provider
from farthing.core.reconcile import Finding, Kind, Sums

from ..endpoint import Endpoint, Request
from .buying import TROUBLES, fault_of
from .desk import Desk
from .parameters import parameter
from .payment_methods import OF_PROVIDER, read_provider
from .payments import Money
from .periods import FROM_TO, PERIOD, read_period
from .reading import Params
from .wire import Credits, Time, write_time

SECONDS: Final = 20.0
"""A request may take longer than that nowhere: a longer range has the command."""


class SumsView(Struct):
    """What the range comes to in one currency."""

    payments: Annotated[int, Meta(description="That the provider has.")]
    paid_there: Money
    paid_here: Money
    returned_there: Money
    returned_here: Money
    agree: bool
    credits: Annotated[Credits, Meta(description="That were given for them.")]
    taken: Annotated[Credits, Meta(description="That were taken back.")]


class FindingView(Struct):
    """Something that differs."""

    kind: Kind
    payment: str | None
    order: str | None
    account: str | None
    there: Annotated[str | None, Meta(description="What the provider says.")]
    here: str | None
    message: str
    grants: list[str]


class OtherView(Struct):
    """A payment there that is no business of this workspace's."""

    payment: str
    order: str | None
    at: Time
    amount: Money
    currency: str
    mark: Annotated[str | None, Meta(description="The workspace that it was made for; null: it bears no mark of ours.")]


class ReconciledView(Struct):
    """What came of it."""

    provider: Provider
    from_: Annotated[Time, Meta(description="Included.")] = field(name="from")
    to: Annotated[Time, Meta(description="Not included; what is younger than ten minutes may be on its way.")]
    agrees: bool
    payments: Annotated[int, Meta(description="That the provider has.")]
    receipts: Annotated[int, Meta(description="That were told of here.")]
    by_hand: Annotated[int, Meta(description="Credited by somebody, and not by a notification.")]
    others: Annotated[int, Meta(description="There, and no business of this workspace's.")]
    tests: int
    totals: Annotated[dict[str, SumsView], Meta(description="By currency.")]
    found: Annotated[dict[str, int], Meta(description="How many of each kind.")]
    findings: Annotated[list[FindingView], Meta(description="The first thousand.")]
    elsewhere: Annotated[
        list[OtherView],
        Meta(
            description="The first hundred of the others; none where there are other workspaces, whose they may be: "
            "`farthing payments reconcile` shows them."
        ),
    ]


async def reconcile(request: Request, desk: Desk) -> ReconciledView:
    """A provider's books beside our own."""
    params = Params(request, "provider", *PERIOD, "recent")
    wanted, recent, now = read_provider(params), params.flag("recent"), desk.now_us()
    period = read_period(params, now)
    params.check()
    commerce, workspace = desk.commerce, request.caller.workspace
    comparing = Comparing(commerce.clients, commerce.purchases, desk.directory, desk.reports)
    try:
        provider = await commerce.selling.provider(workspace, wanted)
        async with asyncio.timeout(SECONDS):
            done, findings = await comparing.compare(
                workspace, provider, period.start, period.end, now, recent=bool(recent)
            )
    except (ProviderTrouble, Unsellable) as error:
        raise fault_of(error) from error
    except TimeoutError:
        slow = "It takes too long: ask for a shorter range, or let `farthing payments reconcile` do it"
        raise fault_of(ProviderTrouble("unavailable", slow)) from None
    if len(await desk.reports.workspaces()) > 1:
        done.elsewhere = []  # whose they are has business with the same provider, and nobody else is told of that
    return write_reconciled(done, findings, workspace.scale)


def write_reconciled(done: Reconciled, findings: list[Finding], scale: int) -> ReconciledView:
    """What came of it, on the wire."""
    return ReconciledView(
        provider=done.provider, from_=write_time(done.since), to=write_time(done.until), agrees=done.agrees,
        payments=done.payments, receipts=done.receipts, by_hand=done.by_hand, others=done.others, tests=done.tests,
        totals={currency: _sums(sums, scale) for currency, sums in sorted(done.sums.items())},
        found=dict(sorted(done.findings.items())), findings=[_finding(each) for each in findings],
        elsewhere=[_other(each) for each in done.elsewhere],
    )  # fmt: skip


def _sums(sums: Sums, scale: int) -> SumsView:
    money = ("paid_there", "paid_here", "returned_there", "returned_here")
    texts = {name: format(getattr(sums, name), "f") for name in money}
    return SumsView(
        payments=sums.payments, **texts, agree=sums.agree, credits=write_amount(sums.credits, scale),
        taken=write_amount(sums.taken, scale),
    )  # fmt: skip


def _finding(f: Finding) -> FindingView:
    return FindingView(
        f.kind, f.payment or None, f.order or None, f.account or None, f.there or None, f.here or None, f.message,
        list(f.grants),
    )  # fmt: skip


def _other(o: Other) -> OtherView:
    return OtherView(
        o.payment, o.order or None, write_time(o.at), format(o.amount, "f"), o.currency, o.mark or None
    )  # fmt: skip


_EXAMPLE: Final[dict[str, Any]] = {
    "provider": "stripe", "from": "2026-01-01T00:00:00.000000Z", "to": "2026-02-01T00:00:00.000000Z", "agrees": False,
    "payments": 2, "receipts": 1, "by_hand": 0, "others": 0, "tests": 0,
    "totals": {
        "EUR": {
            "payments": 2, "paid_there": "18.00", "paid_here": "9.00", "returned_there": "0", "returned_here": "0",
            "agree": False, "credits": "500", "taken": "0",
        }
    },
    "found": {"missing_here": 1},
    "findings": [
        {
            "kind": "missing_here", "payment": "pi_3PxAbc", "order": None, "account": None, "there": "9.00 EUR",
            "here": "nothing", "message": "9.00 EUR was paid, and nothing is known of it here", "grants": [],
        }
    ],
    "elsewhere": [],
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/payments/reconcile",
        operation_id="reconcilePayments",
        summary="A provider's books beside the ledger's",
        description="The provider's own list of payments, refunds and disputes beside what is known here and what the "
        "ledger has, added up by currency, with all that differs. The last thirty days, if not said otherwise. It "
        "repairs nothing, neither here nor there.",
        scope="admin",
        request=None,
        answer=ReconciledView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset(TROUBLES.values()),
        act=reconcile,
        parameters=(
            OF_PROVIDER,
            *FROM_TO,
            parameter(
                "recent", "With what is younger than ten minutes, and may be on its way.", enum=["true", "false"],
                example="false",
            ),
        ),
    ),
)  # fmt: skip
