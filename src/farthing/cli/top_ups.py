"""Automatic top-ups: `top-ups show`, `set`, `off`, `attempts`, `check`, `resume` and `paused`."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .exits import Exit, Trouble, invalid
from .opening import Desk, at_desk, played
from .options import Account, Db, Description, In, Json, Key, enter
from .output import Answer, columns, pairs
from .products import PANEL
from .reading import read_credits, read_key, write_time

if TYPE_CHECKING:
    from farthing.commerce.parts import Commerce
    from farthing.core.auto_top_up import AutoTopUp
    from farthing.core.records import Account as Row
    from farthing.core.top_up_attempts import Attempt, Standing

T = TypeVar("T")
MOST = 1_000
PAGE = 200


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="What is bought for accounts before they run dry.")
    enter(group, "show", "$ farthing top-ups show alice", "$ farthing top-ups show alice --json")(show)
    enter(
        group,
        "set",
        "$ farthing top-ups set alice --provider stripe --below 100 --offer assistant/pack-500 --cap-month 5000",
        "$ farthing top-ups set alice --provider stripe --below 1.00 --amount 10.00    (a workspace in USD)",
    )(put)
    enter(group, "off", "$ farthing top-ups off alice")(off)
    enter(group, "attempts", "$ farthing top-ups attempts alice", "$ farthing top-ups attempts alice --json")(attempts)
    enter(group, "check", "$ farthing top-ups check alice")(check)
    enter(group, "paused", "$ farthing top-ups paused", "$ farthing top-ups paused --json")(paused)
    enter(group, "resume", "$ farthing top-ups resume alice")(resume)
    app.add_typer(group, name="top-ups", rich_help_panel=PANEL)


def with_commerce(desk: Desk, work: "Callable[[Commerce], Awaitable[T]]") -> T:
    """What comes of work with all that sells, on a loop."""
    from farthing.commerce.parts import commerce_on

    async def done() -> T:
        ledger = desk.ledger
        commerce = commerce_on(ledger.engine, ledger.database, ledger.reports, desk.now_us)
        try:
            return await work(commerce)
        finally:
            await commerce.aclose()

    return played(desk.ledger, done())


def _row(desk: Desk, account: str) -> "Row":
    found = desk.ledger.wait(desk.ledger.reports.account(desk.workspace.id, account, desk.now_us()))
    if found is None:
        raise Trouble("account_not_found", f"there is no account {account!r}", Exit.NO, account=account)
    return found


def _settings(desk: Desk, a: "AutoTopUp | None") -> dict[str, Any] | None:
    if a is None:
        return None
    caps = {name: None if (cap := getattr(a, name)) is None else desk.write(cap) for name in ("cap_day", "cap_month")}
    return {
        "provider": a.provider, "threshold": desk.write(a.threshold), "offer": a.offer or None,
        "amount": desk.write(a.amount) if a.amount else None, **caps, "enabled": a.enabled, "order": a.order or None,
        "cool_down_minutes": a.cool_down_minutes,
    }  # fmt: skip


def _attempt(desk: Desk, a: "Attempt | None") -> dict[str, Any] | None:
    if a is None:
        return None
    texts = {name: getattr(a, name) or None for name in ("offer", "currency", "payment", "reason", "message", "url")}
    return {
        "id": a.id, "state": a.state, "provider": a.provider, "quantity": a.quantity, "credits": desk.write(a.credits),
        "amount": a.price or None, **texts, "created_at": write_time(a.began_at), "ended_at": write_time(a.ended_at),
    }  # fmt: skip


def _facts(desk: Desk, row: "Row", standing: "Standing", attempt: "Attempt | None") -> dict[str, Any]:
    from farthing.core.top_up_attempts import state_of

    settings, at = row.settings, desk.now_us()
    return {
        "account": row.id, "state": state_of(settings.auto_top_up, settings.frozen, standing, at),
        "settings": _settings(desk, settings.auto_top_up), "paused": standing.paused, "url": standing.url or None,
        "failures": standing.failures, "retry_at": write_time(standing.retry_at) if standing.retry_at > at else None,
        "attempt": _attempt(desk, attempt),
    }  # fmt: skip


def _told(facts: dict[str, Any]) -> str:
    """For people: what is set, and how it stands."""
    lines = {"account": facts["account"], "state": facts["state"]}
    lines |= {name: facts[name] for name in ("paused", "url", "retry_at") if facts[name]}
    lines |= {name: str(value) for name, value in (facts["settings"] or {}).items() if value is not None}
    if attempt := facts["attempt"]:
        lines["attempt"] = f"{attempt['id']} {attempt['state']}: {attempt['credits']} credits"
    return pairs(lines)


# Looking


def show(account: Account, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """What is set for an account, how it stands, and what is under way."""
    with at_desk(db, workspace) as desk:
        row = _row(desk, account)

        async def look(commerce: "Commerce") -> dict[str, Any]:
            standing = await commerce.top_ups.standing(desk.workspace.id, account)
            id = standing.attempt
            attempt = await commerce.top_ups.attempt(desk.workspace.id, account, id) if id else None
            return _facts(desk, row, standing, attempt)

        facts = with_commerce(desk, look)
    return Answer(facts, _told(facts))


def attempts(
    account: Account,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help="How many to show.")] = 50,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """What was tried for an account, the newest first."""
    with at_desk(db, workspace) as desk:
        _row(desk, account)
        page = with_commerce(desk, lambda c: c.top_ups.attempts(desk.workspace.id, account, limit=limit))
        facts = [told for each in page.items if (told := _attempt(desk, each)) is not None]
    rows = [("TIME", "STATE", "PROVIDER", "CREDITS", "MONEY", "REASON")]
    rows += [
        (f["created_at"], f["state"], f["provider"], f["credits"],
         f"{f['amount']} {f['currency']}" if f["amount"] else "-", f["reason"] or "-")
        for f in facts
    ]  # fmt: skip
    return Answer({"account": account, "data": facts, "has_more": page.next is not None}, columns(rows, right=(3, 4)))


def paused(workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Accounts whose automatic top-up waits for somebody."""
    with at_desk(db, workspace) as desk:

        async def listed(commerce: "Commerce") -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            after = None
            while len(found) < MOST:
                page = await commerce.top_ups.paused(desk.workspace.id, after, PAGE)
                found += [
                    {"account": account, "paused": s.paused, "url": s.url or None, "since": write_time(s.paused_at)}
                    for account, s in page.items
                ]
                after = page.next
                if after is None:
                    break
            return found

        facts = with_commerce(desk, listed)
    rows = [("ACCOUNT", "WHY", "SINCE", "URL")]
    rows += [(f["account"], f["paused"], f["since"], f["url"] or "-") for f in facts]
    return Answer({"workspace": desk.workspace.id, "data": facts}, columns(rows))


# Changing


def put(
    account: Account,
    provider: Annotated[str, typer.Option("--provider", metavar="PROVIDER", help="digistore24 or stripe.")],
    below: Annotated[str, typer.Option("--below", metavar="AMOUNT", help="A balance below it is topped up.")],
    offer: Annotated[
        str, typer.Option("--offer", metavar="OFFER", help="What is bought, product/top-up: as many as reach it.")
    ] = "",
    amount: Annotated[
        str | None, typer.Option("--amount", metavar="AMOUNT", help="In place of an offer, at Stripe: credits 1:1.")
    ] = None,
    cap_day: Annotated[str | None, typer.Option("--cap-day", metavar="AMOUNT", help="The most in a day.")] = None,
    cap_month: Annotated[str | None, typer.Option("--cap-month", metavar="AMOUNT", help="The most in a month.")] = None,
    order: Annotated[
        str, typer.Option("--order", metavar="ORDER", help="The order that Digistore24 charges again.")
    ] = "",
    cool_down: Annotated[
        int, typer.Option("--cool-down", metavar="MINUTES", min=1, help="After a failure; then twice as long.")
    ] = 60,
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it, and buy nothing.")] = False,
    key: Key = None,
    description: Description = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Have an account topped up when its balance falls below a threshold; as a whole. The credits come when the
    provider tells of the payment."""
    from farthing.core.auto_top_up import AutoTopUp, problems
    from farthing.core.catalogue import PROVIDERS
    from farthing.core.commands import SetAccount
    from farthing.core.top_up_offers import sale_problem
    from farthing.stores.products import Products

    chosen = next((each for each in PROVIDERS if each == provider), None)
    if chosen is None:
        raise invalid("provider", f"must be one of {', '.join(PROVIDERS)}")
    with at_desk(db, workspace) as desk:
        scale = desk.workspace.scale
        wanted = AutoTopUp(
            provider=chosen, threshold=read_credits(below, scale, "below"), offer=offer,
            amount=0 if amount is None else read_credits(amount, scale),
            cap_day=None if cap_day is None else read_credits(cap_day, scale, "cap-day"),
            cap_month=None if cap_month is None else read_credits(cap_month, scale, "cap-month"),
            order=order, cool_down_minutes=cool_down, enabled=not disabled,
        )  # fmt: skip
        kept = desk.ledger.wait(Products(desk.ledger.database).get(desk.workspace.id, offer.partition("/")[0]))
        problem = next(problems(wanted), None) or sale_problem(wanted, kept, desk.workspace.unit)
        if problem is not None and problem.code == "offer_not_found":
            raise Trouble(problem.code, f"the offer {problem.message}", Exit.NO)
        if problem is not None:
            raise invalid(_OPTIONS.get(problem.field, problem.field), problem.message)
        outcome = desk.do(
            SetAccount(
                workspace=desk.workspace.id, account=account, auto_top_up=wanted, key=read_key(key),
                description=description,
            )
        )  # fmt: skip
        facts = {"account": account, "settings": _settings(desk, wanted), "replayed": outcome.replayed}
    return Answer(facts, f"{account} is topped up below {below}, by {offer or amount}")


_OPTIONS = {"threshold": "below", "cap_day": "cap-day", "cap_month": "cap-month", "cool_down_minutes": "cool-down"}


def off(
    account: Account,
    key: Key = None,
    description: Description = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Buy nothing for an account by itself any more. What was asked for before may still be paid."""
    from farthing.core.commands import SetAccount

    with at_desk(db, workspace) as desk:
        outcome = desk.do(
            SetAccount(
                workspace=desk.workspace.id, account=account, auto_top_up=None, key=read_key(key),
                description=description,
            )
        )  # fmt: skip
    facts = {"account": account, "settings": None, "replayed": outcome.replayed}
    return Answer(facts, f"nothing is bought for {account} by itself any more")


def check(account: Account, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Look at an account now, as the job of a server does within seconds. Asking twice buys once."""
    with at_desk(db, workspace) as desk:
        row = _row(desk, account)
        looked = with_commerce(desk, lambda c: c.topping_up.look(desk.workspace, account))
        assert looked is not None, "accounts stay"
        facts = _facts(desk, row, looked.standing, looked.attempt)
        facts |= {"asked": looked.asked, "reason": looked.why or None}
    attempt = facts["attempt"]
    if looked.asked and attempt:
        told = f"asked {attempt['provider']} for {attempt['credits']} credits: {attempt['state']}"
    else:
        told = f"nothing was asked: {looked.why or facts['state']}"
    return Answer(facts, told)


def resume(account: Account, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Go on after a pause, as if nothing had failed."""
    with at_desk(db, workspace) as desk:
        row = _row(desk, account)
        standing = with_commerce(desk, lambda c: c.topping_up.resume(desk.workspace, account, desk.act()))
        assert standing is not None, "accounts stay"
        facts = _facts(desk, row, standing, None)
    return Answer(facts, f"{account} goes on: {facts['state']}")
