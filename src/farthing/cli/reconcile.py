"""Reconcile: `payments reconcile` asks a provider for its own list and says what of it differs from the ledger. It
repairs nothing: it says what a person can do.
"""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .exits import Exit, Trouble, invalid
from .opening import Desk, at_desk, played
from .options import Db, In, Json
from .output import Answer, columns, many
from .periods import From, Timezone, To, read_period
from .reading import write_time

if TYPE_CHECKING:
    from farthing.commerce.reconciling import Other, Reconciled
    from farthing.core.catalogue import Provider
    from farthing.core.reconcile import Finding, Kind, Sums

HELP: Final = {
    "missing_here": "have the provider send its notification again (in its own back office), or retry one that failed: "
    "farthing payments unmatched",
    "unknown_there": "look at it in the provider's back office; credits that nobody paid: POST /v1/grants/GRANT/void",
    "other_amount": "look at it in the provider's back office; put right by POST /v1/accounts/ACCOUNT/adjust",
    "other_refund": "have the provider send the refund's notification again; else POST /v1/accounts/ACCOUNT/adjust",
    "other_dispute": "have the provider send the dispute's notification again",
    "other_credits": "look at farthing ledger ACCOUNT, and run farthing doctor",
    "credited_twice": "take back the one that nobody paid for: POST /v1/grants/GRANT/void",
    "waiting": "farthing payments assign {provider} PAYMENT ACCOUNT",
}
NOTES: Final = {
    "digistore24": "times of Digistore24 name no zone and are read as those of Europe/Berlin: what was paid in the "
    "first or last hours of the range may belong to the one beside it",
}


def reconcile(
    named: Annotated[str, typer.Option("--provider", metavar="NAME", help="digistore24 or stripe.")],
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    recent: Annotated[
        bool, typer.Option("--recent", help="With what is younger than ten minutes, and may be on its way.")
    ] = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Compare what a provider says was paid and went back with the ledger. Default: the last thirty days.

    The exit code is 1 where something differs. Nothing is changed, neither here nor there.
    """
    from farthing.core.catalogue import PROVIDERS

    provider = next((each for each in PROVIDERS if each == named), None)
    if provider is None:
        raise invalid("provider", f"must be one of {', '.join(PROVIDERS)}, not {named!r}")
    with at_desk(db, workspace) as desk:
        period = read_period(since, until, timezone, desk.now_us())
        done, findings = played(desk.ledger, _compared(desk, provider, period.start, period.end, recent))
        facts = _facts(desk, done, findings)
    exit = Exit.OK if done.agrees else Exit.NO
    notes = [NOTES[provider]] if provider in NOTES else []
    return Answer(facts, _text(facts), exit, notes)


async def _compared(
    desk: Desk, provider: "Provider", since: int, until: int, recent: bool
) -> "tuple[Reconciled, list[Finding]]":
    from farthing.commerce.clients import Clients
    from farthing.commerce.comparing import Comparing
    from farthing.commerce.troubles import ProviderTrouble
    from farthing.stores.directory import Directory
    from farthing.stores.providers import Providers
    from farthing.stores.purchases import Purchases

    ledger, now = desk.ledger, desk.now_us()
    clients = Clients(Providers(ledger.database))
    directory = Directory(ledger.database, ledger.reports)
    comparing = Comparing(clients, Purchases(ledger.database), directory, ledger.reports)
    try:
        return await comparing.compare(desk.workspace, provider, since, until, now, recent=recent)
    except ProviderTrouble as trouble:
        code = Exit.UNAVAILABLE if trouble.passes else Exit.NO
        raise Trouble(f"provider_{trouble.kind}", f"nothing was compared: {trouble}", code) from trouble
    finally:
        await clients.aclose()


def _facts(desk: Desk, done: "Reconciled", findings: "list[Finding]") -> dict[str, Any]:
    return {
        "workspace": desk.workspace.id, "provider": done.provider, "from": write_time(done.since),
        "to": write_time(done.until), "agrees": done.agrees, "payments": done.payments, "receipts": done.receipts,
        "by_hand": done.by_hand, "others": done.others, "tests": done.tests,
        "totals": {currency: _sums(sums, desk) for currency, sums in sorted(done.sums.items())},
        "found": dict(sorted(done.findings.items())), "findings": [_finding(each) for each in findings],
        "elsewhere": [_other(each) for each in done.elsewhere],
    }  # fmt: skip


def _sums(sums: "Sums", desk: Desk) -> dict[str, Any]:
    money = ("paid_there", "paid_here", "returned_there", "returned_here")
    texts = {name: format(getattr(sums, name), "f") for name in money}
    return {
        "payments": sums.payments, **texts, "agree": sums.agree, "credits": desk.write(sums.credits),
        "taken": desk.write(sums.taken),
    }  # fmt: skip


def _finding(f: "Finding") -> dict[str, Any]:
    return {
        "kind": f.kind, "payment": f.payment or None, "order": f.order or None, "account": f.account or None,
        "there": f.there or None, "here": f.here or None, "message": f.message, "grants": list(f.grants),
        "help": _help(f.kind, f.provider),
    }  # fmt: skip


def _other(o: "Other") -> dict[str, Any]:
    return {
        "payment": o.payment, "order": o.order or None, "at": write_time(o.at), "amount": format(o.amount, "f"),
        "currency": o.currency, "mark": o.mark or None,
    }  # fmt: skip


def _help(kind: "Kind", provider: str) -> str:
    return HELP[kind].format(provider=provider)


def _text(facts: dict[str, Any]) -> str:
    head = (
        f"{facts['provider']} from {facts['from']} to {facts['to']}: {many(facts['payments'], 'payment')} there, "
        f"{facts['receipts']} told of here"
    )
    aside = {"by_hand": "credited by hand", "others": "of others", "tests": "for tests"}
    more = [f"{facts[name]} {words}" for name, words in aside.items() if facts[name]]
    parts = [", ".join([head, *more])]
    if facts["totals"]:
        rows = [("CURRENCY", "PAID THERE", "PAID HERE", "BACK THERE", "BACK HERE", "CREDITS", "TAKEN")]
        rows += [
            (c, t["paid_there"], t["paid_here"], t["returned_there"], t["returned_here"], t["credits"], t["taken"])
            for c, t in facts["totals"].items()
        ]
        parts.append(columns(rows, right=range(1, 7)))
    parts.append(_differences(facts) if facts["found"] else "nothing differs")
    if facts["elsewhere"]:
        parts.append(_elsewhere(facts))
    return "\n\n".join(parts)


def _differences(facts: dict[str, Any]) -> str:
    shown = facts["findings"]
    rows = [("WHAT", "PAYMENT", "ORDER", "ACCOUNT", "")]
    rows += [(f["kind"], f["payment"] or "-", f["order"] or "-", f["account"] or "-", f["message"]) for f in shown]
    count = sum(facts["found"].values())
    told = [columns(rows)]
    if count > len(shown):
        told.append(f"and {count - len(shown):,} more")
    told.append("What helps:")
    told += [f"- {kind}: {_help(kind, facts['provider'])}" for kind in facts["found"]]
    return "\n".join(told)


def _elsewhere(facts: dict[str, Any]) -> str:
    """What is of others, so that one can see that it is."""
    rows = [("OF OTHERS", "AT", "PAID", "MADE FOR")]
    rows += [
        (o["payment"], o["at"], f"{o['amount']} {o['currency']}", o["mark"] or "nothing of ours")
        for o in facts["elsewhere"]
    ]
    more = facts["others"] - len(facts["elsewhere"])
    return "\n".join([columns(rows), *([f"and {more:,} more"] if more else [])])
