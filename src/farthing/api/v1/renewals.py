"""Renewals: all that is due, by one call. The job of a server does the same by itself."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from farthing.core.amounts import write_amount
from farthing.core.renewal_run import NotRenewed, Renewal, RenewalRun, Wanted

from ..endpoint import Endpoint, Request
from .charges import ENTRY_ID
from .desk import Desk
from .fields import Form
from .problems import ERRORS
from .wire import Credits, DryRun, Time, text_of, write_time

MAX_RUN: Final = 1_000
DEFAULT_RUN: Final = 100


class RenewalsRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be renewed."""

    plan: Annotated[str, text_of("Only those of one plan.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_RUN, description="Accounts that are due, the oldest first.")] | None = (
        DEFAULT_RUN
    )
    continue_on_error: Annotated[bool | None, Meta(description="Go on after a failure.")] = False
    retry_failed: Annotated[
        bool | None, Meta(description="Try also those that failed and are to wait; not what is parked.")
    ] = True
    dry_run: DryRun | None = None


class RenewalView(Struct, kw_only=True):
    """A period that was given."""

    account: str
    subscription: str
    plan: str
    given: Credits
    balance_before: Credits
    balance: Credits
    period_at: Time
    next_at: Time
    entry: Annotated[str | None, Meta(description="The entry that it wrote; null in a dry run.")]


class RenewalError(Struct, kw_only=True):
    """An account that could not be renewed."""

    account: str
    code: str
    detail: str


class RenewalsDone(Struct, kw_only=True):
    """What came of it, counted by accounts."""

    processed: int
    successful: int
    failed: int
    skipped: Annotated[int, Meta(description="Somebody else was faster.")]
    ended: Annotated[int, Meta(description="Subscriptions whose paid time was over.")]
    renewals: list[RenewalView]
    errors: list[RenewalError]
    more: Annotated[bool, Meta(description="It stopped at its limit, or at a failure, before all was done.")]
    dry_run: bool | UnsetType = UNSET


_form = Form(RenewalsRequest)


async def renew_due(request: Request, desk: Desk) -> RenewalsDone:
    """Renew what is due."""
    fields, caller = _form.read(request), request.caller
    request.dry = fields.flag("dry_run")
    wanted = Wanted(
        workspace=caller.workspace.id,
        plan=fields.text_if("plan"),
        limit=fields.whole("limit", 1, MAX_RUN, DEFAULT_RUN),
        dry_run=request.dry,
        continue_on_error=fields.flag("continue_on_error"),
        failed=fields.flag_or("retry_failed", True),
        actor=caller.actor,
        role=caller.role,
        request_id=request.id.decode(),
    )
    fields.check()
    return write_run(await desk.renew(wanted), caller.workspace.scale, request.dry)


def write_run(run: RenewalRun, scale: int, dry_run: bool) -> RenewalsDone:
    """A run on the wire."""
    return RenewalsDone(
        processed=run.processed,
        successful=run.successful,
        failed=run.failed,
        skipped=run.skipped,
        ended=run.ended,
        renewals=[_renewal(each, scale) for each in run.renewals],
        errors=[RenewalError(account=e.account, code=e.code, detail=_detail(e)) for e in run.errors],
        more=run.more,
        dry_run=True if dry_run else UNSET,
    )


def _renewal(r: Renewal, scale: int) -> RenewalView:
    return RenewalView(
        account=r.account,
        subscription=r.subscription,
        plan=r.plan,
        given=write_amount(r.amount, scale),
        balance_before=write_amount(r.balance_before, scale),
        balance=write_amount(r.balance, scale),
        period_at=write_time(r.period_at),
        next_at=write_time(r.next_at),
        entry=r.entry or None,
    )


def _detail(error: NotRenewed) -> str:
    """Why, in the words of the same refusal elsewhere; of a broken machine just that."""
    no = next((no for refusal, no in ERRORS.items() if refusal == error.code), None)
    return no.sentence.format_map(error.facts) if no else "The machine failed; it will be tried again."


_EXAMPLE: Final[dict[str, Any]] = {
    "processed": 1, "successful": 1, "failed": 0, "skipped": 0, "ended": 0,
    "renewals": [{
        "account": "user_42", "subscription": "sub_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f", "plan": "professional",
        "given": "2000", "balance_before": "120", "balance": "2120", "period_at": "2026-01-31T12:00:00.000000Z",
        "next_at": "2026-03-02T12:00:00.000000Z", "entry": ENTRY_ID,
    }],
    "errors": [], "more": False,
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        path="/v1/renewals",
        operation_id="renewDue",
        summary="Renew all that is due",
        description="The oldest first. A server does this by itself; the call is for who wants to do it now, or to see "
        "what would be done. It needs no key: each period is given once, whoever asks and how often.",
        scope="grant",
        request=RenewalsRequest,
        answer=RenewalsDone,
        example={"limit": 100},
        answered=_EXAMPLE,
        codes=frozenset(),
        act=renew_due,
    ),
)
