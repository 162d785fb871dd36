"""Payments: `payments list`, `show`, `unmatched`, `assign`, `retry`: what came in, and what a person does where
something does not fit; `payments reconcile`, `payments methods` and `payments charges`, with their like, stand in files
of their own.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .charges import charges, release
from .exits import Exit, Trouble, invalid
from .methods import forget, methods, prefer
from .opening import Desk, at_desk, played
from .options import Db, In, Json, enter
from .output import Answer, columns, pairs
from .products import PANEL
from .reading import write_time
from .reconcile import reconcile

if TYPE_CHECKING:
    from farthing.commerce.payments import Line, Payments
    from farthing.core.purchases import Receipt
    from farthing.stores.purchases import ProviderEvent

MOST = 1_000
ProviderName = Annotated[str, typer.Argument(metavar="PROVIDER", help="digistore24 or stripe.")]
PaymentId = Annotated[str, typer.Argument(metavar="PAYMENT", help="The provider's own id of it.")]
OfProvider = Annotated[str | None, typer.Option("--provider", metavar="NAME", help="Only those of this provider.")]
OfAccount = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only those of this account.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help="How many to show.")]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="What came in from outside, what waits for a person, and whether the books agree.")
    enter(group, "list", "$ farthing payments list --account alice", "$ farthing payments list --state waiting --json")(
        list_all
    )
    enter(group, "show", "$ farthing payments show stripe pi_3P9xYz")(show)
    enter(group, "unmatched", "$ farthing payments unmatched", "$ farthing payments unmatched --json")(unmatched)
    enter(
        group,
        "assign",
        "$ farthing payments assign digistore24 84721 alice --reason 'he wrote from his other address'",
        "$ farthing payments assign digistore24 84721 alice --offer assistant/pack-500",
    )(assign)
    enter(group, "retry", "$ farthing payments retry stripe evt_1PxAbc")(retry)
    enter(
        group,
        "reconcile",
        "$ farthing payments reconcile --provider digistore24 --from 2026-10-01 --to 2026-10-31",
        "$ farthing payments reconcile --provider stripe --json    (from a cron table, once a day)",
    )(reconcile)
    enter(group, "methods", "$ farthing payments methods alice")(methods)
    enter(group, "prefer", "$ farthing payments prefer alice pm_1PxAbc")(prefer)
    enter(group, "forget", "$ farthing payments forget alice pm_1PxAbc")(forget)
    enter(group, "charges", "$ farthing payments charges", "$ farthing payments charges --json")(charges)
    enter(group, "release", "$ farthing payments release top-up-4711 --reason 'Digistore24 lists none'")(release)
    app.add_typer(group, name="payments", rich_help_panel=PANEL)


def payments_of(desk: Desk) -> "Payments":
    """The payments of the ledger."""
    from farthing.commerce.payments import Payments
    from farthing.stores.directory import Directory
    from farthing.stores.purchases import Purchases

    database, reports = desk.ledger.database, desk.ledger.reports
    return Payments(Purchases(database), Directory(database, reports), reports)


# Looking


def list_all(
    provider: OfProvider = None,
    account: OfAccount = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Only those that are credited, or waiting.")
    ] = None,
    limit: Limit = 50,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Payments, the newest first."""
    if state not in (None, "credited", "waiting"):
        raise invalid("state", f"must be credited or waiting, not {state!r}")
    with at_desk(db, workspace) as desk:
        facts, more = _found(desk, provider, account, state, limit)
    return Answer({"workspace": desk.workspace.id, "data": facts, "has_more": more}, _table(facts))


def _found(
    desk: Desk, provider: str | None, account: str | None, state: str | None, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """Payments as programs read them, and whether there are more."""
    page = desk.ledger.wait(
        payments_of(desk).page(
            desk.workspace.id, provider=provider or "", account=account or "", state=state or "", limit=limit
        )
    )
    return [_facts(line, desk) for line in page.items], page.next is not None


def _facts(line: "Line", desk: Desk) -> dict[str, Any]:
    return line.facts(desk.workspace.scale) | {"created_at": write_time(line.at)}


_HEAD = ("TIME", "PROVIDER", "PAYMENT", "ACCOUNT", "MONEY", "BACK", "CREDITS", "STATE")


def _table(facts: list[dict[str, Any]]) -> str:
    return columns([_HEAD, *map(_row, facts)], right=(4, 5, 6))


def _row(f: dict[str, Any]) -> tuple[str, ...]:
    money = f"{f['amount']} {f['currency']}" if f["amount"] else "-"
    back = "all" if f["lost"] else f["refunded"] if f["refunded"] not in (None, "0") else "-"
    state = "disputed" if f["disputed"] else f"{f['state']}: {f['reason']}" if f["reason"] else f["state"]
    credits = "?" if f["credits"] is None else f["credits"]
    return (f["created_at"], f["provider"], f["payment"], f["account"] or "-", money, back, credits, state)


def show(
    provider: ProviderName, payment: PaymentId, workspace: In = None, db: Db = None, as_json: Json = False
) -> Answer:  # fmt: skip
    """One payment: what came in, what it gave, what went back, why it waits, and the messages that told of it."""
    with at_desk(db, workspace) as desk:
        line = desk.ledger.wait(payments_of(desk).get(desk.workspace.id, provider, payment))
        if line is None:
            raise _no_payment(provider, payment)
        facts = _facts(line, desk)
        messages = _messages(desk, provider, payment, line.at)
    text = "\n\n".join([_said(facts), *([_messages_text(messages)] if messages else [])])
    return Answer(facts | {"workspace": desk.workspace.id, "messages": messages}, text)


def _messages(desk: Desk, provider: str, payment: str, at: int) -> list[dict[str, Any]]:
    """What was sent about a payment: not long before it is said to have been made, or up to a month later."""
    from farthing.core.commands import DAY_US
    from farthing.stores.purchases import Purchases

    found = desk.ledger.wait(
        Purchases(desk.ledger.database).events_about(
            desk.workspace.id, provider, payment, at - DAY_US, at + 31 * DAY_US
        )
    )  # fmt: skip
    return [_event_facts(event) for event in found]


def _said(facts: dict[str, Any]) -> str:
    words = {True: "yes", False: ""}
    shown = {name: words[value] if isinstance(value, bool) else value for name, value in facts.items()}
    return pairs({name: str(value) for name, value in shown.items() if value not in (None, "")})


def _no_payment(provider: str, payment: str) -> Trouble:
    message = f"there is no payment {payment!r} of {provider}; `farthing payments list` shows them"
    return Trouble("payment_not_found", message, Exit.NO, provider=provider, payment=payment)


def unmatched(
    provider: OfProvider = None,
    limit: Limit = 50,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """What waits for a person: payments that were not credited, and messages that are about nothing that is known or
    could not be carried out. The exit code is 0 whether there are any or not."""
    from farthing.stores.purchases import Purchases

    with at_desk(db, workspace) as desk:
        facts, more = _found(desk, provider, None, "waiting", limit)
        events = desk.ledger.wait(
            Purchases(desk.ledger.database).events(
                desk.workspace.id, provider=provider or "", unmatched=True, limit=limit
            )
        )
        told = [_event_facts(event) for event in events.items]
    more = more or events.next is not None
    data = {"workspace": desk.workspace.id, "payments": facts, "events": told, "has_more": more}
    return Answer(data, _unmatched_text(facts, told))


def _event_facts(event: "ProviderEvent") -> dict[str, Any]:
    return {
        "provider": event.provider, "id": event.id, "type": event.kind, "outcome": event.outcome or None,
        "times": event.times, "received_at": write_time(event.received_at), "done_at": write_time(event.done_at),
    }  # fmt: skip


def _unmatched_text(facts: list[dict[str, Any]], events: list[dict[str, Any]]) -> str:
    parts = []
    if facts:
        parts.append(_table(facts))
        parts.append("\n".join(f"{f['provider']} {f['payment']}: {f['message']}" for f in facts))
    if events:
        parts.append(_messages_text(events))
    return "\n\n".join(parts) or "nothing waits for a person"


def _messages_text(events: list[dict[str, Any]]) -> str:
    rows = [("RECEIVED", "PROVIDER", "TYPE", "MESSAGE", "WHAT CAME OF IT")]
    rows += [(e["received_at"], e["provider"], e["type"], e["id"], e["outcome"] or "not tried yet") for e in events]
    return columns(rows)


# Doing


def assign(
    provider: ProviderName,
    payment: PaymentId,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Whose it is.")],
    offer: Annotated[
        str | None,
        typer.Option("--offer", metavar="OFFER", help="What it was for: PRODUCT/TIER. Default: what it was bought as."),
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; for the audit log.")] = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Say whose a payment is that waits: it is credited, once, and what was wrong with it is forgiven."""
    from farthing.commerce.payments import Line
    from farthing.core.commands import text_error
    from farthing.stores.acts import AccessError

    for name, text in (("account", account), ("offer", offer), ("reason", reason)):
        if text is not None and (wrong := text_error(text)):
            raise invalid(name, wrong)
    with at_desk(db, workspace) as desk:
        try:
            receipt = played(desk.ledger, _assigned(desk, provider, payment, account, offer or "", reason or ""))
        except AccessError as error:
            facts = {"field": error.field} if error.field else {}
            code = Exit.USAGE if error.field else Exit.NO
            raise Trouble(error.code, str(error), code, **facts) from error
        facts = _facts(Line(receipt), desk)
    told = f"{provider} {payment} is credited to {account}: {facts['credits']} {desk.workspace.unit}"
    return Answer(facts | {"workspace": desk.workspace.id}, told)


async def _assigned(desk: Desk, provider: str, payment: str, account: str, offer: str, reason: str) -> "Receipt":
    from farthing.commerce.assigning import Assigning
    from farthing.commerce.parts import commerce_on
    from farthing.stores.directory import Directory
    from farthing.stores.products import Products

    ledger = desk.ledger
    commerce = commerce_on(ledger.engine, ledger.database, ledger.reports, ledger.clock.now_us)
    directory = Directory(ledger.database, ledger.reports)
    assigning = Assigning(commerce.fulfilling, commerce.purchases, Products(ledger.database), directory)
    try:
        return await assigning.assign(desk.workspace, provider, payment, account, offer, desk.act(), reason)
    finally:
        await commerce.aclose()


def retry(
    provider: ProviderName,
    event: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="Its id: `payments show` and `payments unmatched` have it.")
    ],
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Have a provider's message tried again as if it came now: after the catalogue or the settings were put right."""
    with at_desk(db, workspace) as desk:
        outcome = played(desk.ledger, _retried(desk, provider, event))
    facts = {"workspace": desk.workspace.id, "provider": provider, "id": event, "outcome": outcome}
    return Answer(facts, outcome)


async def _retried(desk: Desk, provider: str, id: str) -> str:
    from farthing.commerce.parts import commerce_on
    from farthing.stores.contract import StoreError

    ledger, workspace = desk.ledger, desk.workspace
    commerce = commerce_on(ledger.engine, ledger.database, ledger.reports, ledger.clock.now_us)
    try:
        taken = await commerce.receiving.again(workspace, provider, id)
    except StoreError:
        raise
    except Exception as error:
        message = f"it failed again: {error}"
        raise Trouble("provider_event_failed", message, Exit.NO, provider=provider, id=id) from error
    finally:
        await commerce.aclose()
    if taken is None:
        message = f"{provider} has sent no message {id!r}; `farthing payments unmatched` shows those that wait"
        raise Trouble("provider_event_not_found", message, Exit.NO, provider=provider, id=id)
    return await commerce.purchases.note_retried(workspace.id, provider, id, taken.words, desk.act())
