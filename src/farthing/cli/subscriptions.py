"""Subscriptions: `subscribe`, `unsubscribe`, `subscriptions list`, `show`, `change` and `resume`, and `renew`, which
gives what is due.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble
from .opening import Desk, actor, at_desk, played
from .options import Account, Db, Description, In, Json, Key, Yes, enter
from .output import Answer, columns, confirm, pairs, progress
from .plans import PANEL, PlanId
from .reading import read_instant, read_key, write_time
from .refusals import sentence

if TYPE_CHECKING:
    from farthing.core.outcomes import Accepted
    from farthing.core.renewal_run import NotRenewed, Renewal, RenewalRun
    from farthing.core.subscription import Subscription
    from farthing.stores.subscriptions import Subscriptions

PAGE = 500
SHOWN = 20
"""Renewals and errors that people are shown; --json has up to a thousand of each."""
OfPlan = Annotated[str, typer.Option("--plan", metavar="PLAN", help="Only those of one plan.")]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many, the oldest due first.")
]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    enter(
        app,
        "subscribe",
        "$ farthing subscribe alice professional",
        "$ farthing subscribe alice professional --expires 365d --key order-4711",
        panel=PANEL,
    )(subscribe)
    enter(app, "unsubscribe", "$ farthing unsubscribe alice", "$ farthing unsubscribe alice --now --yes", panel=PANEL)(
        unsubscribe
    )
    enter(
        app,
        "renew",
        "$ farthing renew --dry-run --json",
        "$ farthing renew --plan professional --limit 1000",
        panel=PANEL,
    )(renew)
    group = typer.Typer(help="Who has which plan.")
    enter(group, "list", "$ farthing subscriptions list", "$ farthing subscriptions list --due --json")(list_all)
    enter(group, "show", "$ farthing subscriptions show alice")(show)
    enter(group, "change", "$ farthing subscriptions change alice gift")(change)
    enter(group, "resume", "$ farthing subscriptions resume alice")(resume)
    app.add_typer(group, name="subscriptions", rich_help_panel=PANEL)


def _subscriptions(desk: Desk) -> "Subscriptions":
    from farthing.stores.subscriptions import Subscriptions

    return Subscriptions(desk.ledger.database)


def facts_of(account: str, s: "Subscription", now_us: int) -> dict[str, Any]:
    """A subscription as programs read it."""
    from farthing.core.periods import eligibility

    times = ("started_at", "period_at", "next_at", "renewed_at", "expires_at", "canceled_at", "ended_at")
    told = eligibility(s, now_us)
    return {
        "account": account, "id": s.id, "plan": s.plan, "billed_by": s.billed_by, "due": told.eligible,
        "reason": told.reason or None, "days": told.days,
        **{name: write_time(getattr(s, name)) for name in times},
        "pending_plan": s.pending.plan if s.pending else None,
    }  # fmt: skip


def _changed(outcome: "Accepted", desk: Desk) -> dict[str, Any]:
    from farthing.core.refundable import read_body

    entry = outcome.entry
    assert entry is not None, "an act on a subscription writes an entry"
    body = read_body(entry)
    assert body.subscription is not None, "which tells the subscription"
    return facts_of(entry.account, body.subscription, entry.at) | {
        "given": desk.write(body.earned), "written_off": desk.write(body.written_off),
        "balance": desk.write(entry.balance), "entry": entry.id, "replayed": outcome.replayed,
    }  # fmt: skip


# Acts


def subscribe(
    account: Account,
    plan: PlanId,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="WHEN", help="Until when it is paid: 30d, or a date.")
    ] = None,
    key: Key = None,
    description: Description = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Subscribe an account to a plan, or change its plan: periods are counted from now, and the first is given."""
    from farthing.core.commands import Subscribe

    with at_desk(db, workspace) as desk:
        until = None if expires is None else read_instant(expires, desk.now_us())
        command = Subscribe(
            workspace=desk.workspace.id, account=account, plan=plan, expires_at=until, key=read_key(key),
            description=description,
        )  # fmt: skip
        facts = _changed(desk.do(command), desk)
    return Answer(facts, f"{account} has {plan}: {facts['given']} given, the next period begins {facts['next_at']}")


def unsubscribe(
    account: Account,
    now: Annotated[bool, typer.Option("--now", help="At once, and not with the time that is paid.")] = False,
    yes: Yes = False,
    key: Key = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """End an account's subscription. Credits that it gave stay."""
    from farthing.core.commands import Unsubscribe

    with at_desk(db, workspace) as desk:
        confirm(f"End the subscription of {account}?", yes or not now)
        command = Unsubscribe(workspace=desk.workspace.id, account=account, at_once=now, key=read_key(key))
        facts = _changed(desk.do(command), desk)
    ends = "has ended" if now else f"ends {facts['expires_at']}"
    return Answer(facts, f"the subscription of {account} {ends}")


def change(
    account: Account, plan: PlanId, key: Key = None, workspace: In = None, db: Db = None, as_json: Json = False
) -> Answer:
    """Change an account's plan with its next renewal; naming its own plan takes that back."""
    from farthing.core.commands import ChangePlan

    with at_desk(db, workspace) as desk:
        command = ChangePlan(workspace=desk.workspace.id, account=account, plan=plan, key=read_key(key))
        facts = _changed(desk.do(command), desk)
    comes = f"has {plan} from {facts['next_at']} on" if facts["pending_plan"] else f"stays with {plan}"
    return Answer(facts, f"{account} {comes}")


def resume(account: Account, key: Key = None, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Take a cancellation back, while the time that is paid runs."""
    from farthing.core.commands import Resume

    with at_desk(db, workspace) as desk:
        facts = _changed(desk.do(Resume(workspace=desk.workspace.id, account=account, key=read_key(key))), desk)
    return Answer(facts, f"the subscription of {account} goes on; its next period begins {facts['next_at']}")


# Looking


def list_all(
    due: Annotated[bool, typer.Option("--due", help="Those whose next period has begun, the oldest first.")] = False,
    ended: Annotated[bool, typer.Option("--ended", help="With those that have ended.")] = False,
    plan: OfPlan = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = PAGE,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Who has which plan."""
    with at_desk(db, workspace) as desk:
        read, now_us = _subscriptions(desk), desk.now_us()
        page = desk.ledger.wait(
            read.due(desk.workspace.id, now_us, plan=plan, limit=limit)
            if due
            else read.page(desk.workspace.id, plan=plan, ended=ended, limit=limit)
        )
        facts = [facts_of(s.account, s.subscription, now_us) for s in page.items]
    rows = [("ACCOUNT", "PLAN", "NEXT", "EXPIRES")]
    rows += [(f["account"], f["plan"], f["next_at"], f["expires_at"] or "-") for f in facts]
    notes = ["there are more; --limit shows them"] if page.next is not None else []
    return Answer({"workspace": desk.workspace.id, "data": facts}, columns(rows), notes=notes)


def show(account: Account, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """An account's subscription, and whether it may be renewed now."""
    with at_desk(db, workspace) as desk:
        found = desk.ledger.wait(_subscriptions(desk).of(desk.workspace.id, account))
        if found is None:
            raise Trouble("subscription_not_found", f"the account {account} has no subscription", Exit.NO)
        facts = facts_of(account, found, desk.now_us())
    return Answer(facts, pairs({name: str(value) for name, value in facts.items() if value is not None}))


# Renewing


def renew(
    plan: OfPlan = "",
    limit: Limit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    stop: Annotated[bool, typer.Option("--stop-on-error", help="Let the first failure end it.")] = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Renew all subscriptions that are due, the oldest first. A server does this by itself.

    Each period is given once, whoever runs beside it; where it was interrupted, run it again.
    """
    from farthing.core.renewal_run import Wanted
    from farthing.jobs.renewals import Renewals

    with at_desk(db, workspace) as desk, progress("renewed") as told:
        subscriptions = _subscriptions(desk)
        total = desk.ledger.wait(subscriptions.count_due(desk.workspace.id, desk.now_us(), plan))
        wanted = Wanted(
            workspace=desk.workspace.id, plan=plan, limit=limit, dry_run=dry_run, continue_on_error=not stop, wait=True,
            actor=actor(),
        )  # fmt: skip
        renewals = Renewals(desk.ledger.engine, subscriptions, desk.now_us)
        most = total if limit is None else min(limit, total)
        run = played(desk.ledger, renewals.run(wanted, lambda run: told(run.processed, max(most, run.processed))))
        facts = _run_facts(run, desk) | {"dry_run": dry_run}
    return Answer(facts, _run_text(run, desk, dry_run), Exit.NO if run.failed else Exit.OK)


def _run_facts(run: "RenewalRun", desk: Desk) -> dict[str, Any]:
    counts = {name: getattr(run, name) for name in ("processed", "successful", "failed", "skipped", "ended", "more")}
    renewals = [_renewal_facts(each, desk) for each in run.renewals]
    errors = [{"account": e.account, "code": e.code, "message": _why(e, desk)} for e in run.errors]
    return {"workspace": desk.workspace.id, **counts, "renewals": renewals, "errors": errors}


def _renewal_facts(r: "Renewal", desk: Desk) -> dict[str, Any]:
    return {
        "account": r.account, "subscription": r.subscription, "plan": r.plan, "given": desk.write(r.amount),
        "balance_before": desk.write(r.balance_before), "balance": desk.write(r.balance),
        "period_at": write_time(r.period_at), "next_at": write_time(r.next_at), "entry": r.entry or None,
    }  # fmt: skip


def _why(error: "NotRenewed", desk: Desk) -> str:
    from farthing.core.outcomes import Refusal

    if error.code in list(Refusal):
        return sentence(Refusal(error.code), {**error.facts, "unit": desk.workspace.unit})
    return f"the ledger failed ({error.code}); it will be tried again"


def _run_text(run: "RenewalRun", desk: Desk, dry_run: bool) -> str:
    would = "would be renewed" if dry_run else "renewed"
    lines = [f"{run.successful:,} {would}, {run.failed:,} failed, {run.skipped:,} skipped, {run.ended:,} ended"]
    lines += [f"{e.account}: {_why(e, desk)}" for e in run.errors[:SHOWN]]
    return "\n".join(lines + ([f"and {run.failed - SHOWN:,} more failed"] if run.failed > SHOWN else []))
