"""Explain: one charge on a page: what was used, each line of its price, rounding, who paid, balances, refunds since."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble
from .metering import price_table, store_of, used_facts
from .opening import Desk, at_desk
from .options import Db, In, Json, enter
from .output import Answer, clean, columns, pairs
from .reading import write_time
from .usage import PANEL

if TYPE_CHECKING:
    from farthing.core.records import Body, Entry, GrantTerms, Slice
    from farthing.core.usage import Priced
    from farthing.stores.directory import Directory, Used


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "explain",
        "$ farthing explain ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f",
        "$ farthing explain ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f --json",
        panel=PANEL,
    )(explain)


def explain(
    id: Annotated[str, typer.Argument(metavar="ID", help="The charge, or the settle of a hold: ent_...")],
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """How a charge came about: usage, rules, card version, rounding, grants that paid, balance; and refunds since."""
    from farthing.stores.directory import Directory

    with at_desk(db, workspace) as desk:
        directory = Directory(desk.ledger.database, desk.ledger.reports)
        found = desk.ledger.wait(directory.charge(desk.workspace.id, id))
        if found is None:
            raise _not_found(id, desk)
        data = _facts(found, directory, desk)
    return Answer(data, _page(data))


def _not_found(id: str, desk: Desk) -> Trouble:
    entry = desk.ledger.wait(desk.ledger.reports.entry(desk.workspace.id, id))
    message = f"there is no charge {id!r}; `farthing ledger ACCOUNT --json` shows their ids"
    if entry is not None:
        message = f"{id} is no charge, but an entry of the kind {entry.kind!r} of {entry.account}"
    return Trouble("charge_not_found", message, Exit.NO, id=id)


def _facts(found: "Used", directory: "Directory", desk: Desk) -> dict[str, Any]:
    import json

    from farthing.core.figures import rounded
    from farthing.core.refundable import read_body, refundable
    from farthing.stores.hold_words import said_of_hold

    entry, charge, body = found.entry, found.charge, read_body(found.entry)
    priced = None if body.usage is None or body.usage.given else body.usage.priced
    amounts = {
        "amount": charge.amount, "unpaid": body.unpaid, "debt": charge.debt, "refunded": charge.refunded,
        "refundable": refundable(charge), "balance_before": entry.balance - entry.amount,
        "balance_after": entry.balance,
    }  # fmt: skip
    return {
        "id": entry.id, "kind": entry.kind, "workspace": entry.workspace, "account": entry.account,
        "unit": desk.workspace.unit, "at": write_time(entry.at), "operation": entry.operation or None,
        **{name: desk.write(amount) for name, amount in amounts.items()},
        **used_facts(body.usage),
        "rounded": None if priced is None else rounded(priced),
        "card": None if priced is None else _card(priced, desk),
        "grants": _grants(found, directory, desk),
        "refunds": desk.ledger.wait(_refunds(found, directory, desk)),
        "hold": body.ref or None, "key": entry.key, "actor": entry.actor, "request_id": entry.request_id or None,
        "description": entry.description,
        "metadata": None if entry.metadata is None else json.loads(entry.metadata),
        "hold_metadata": desk.ledger.wait(said_of_hold(directory, found)),
    }  # fmt: skip


def _card(priced: "Priced", desk: Desk) -> dict[str, Any] | None:
    """The version that priced it; it may be that of a ledger from which this one was copied without its cards."""
    card, _, version = priced.card.rpartition("@")
    reading = store_of(desk).version(desk.workspace.id, card, int(version)) if version.isdecimal() else None
    known = None if reading is None else desk.ledger.wait(reading)
    if known is None:
        return None
    return {
        "name": known.name, "effective_from": write_time(known.effective_from), "reason": known.reason or None,
        "actor": known.actor,
    }  # fmt: skip


def _grants(found: "Used", directory: "Directory", desk: Desk) -> list[dict[str, Any]]:
    terms = desk.ledger.wait(directory.terms(found))
    return [_grant(part, terms[part.grant], desk) for part in found.charge.slices]


def _grant(part: "Slice", terms: "GrantTerms", desk: Desk) -> dict[str, Any]:
    return {
        "grant": part.grant, "amount": desk.write(part.amount), "refunded": desk.write(part.refunded),
        "category": terms.category, "priority": terms.priority, "scope": list(terms.scope),
        "expires_at": write_time(terms.expires_at), "created_at": write_time(terms.created_at),
        "source": terms.source,
    }  # fmt: skip


async def _refunds(found: "Used", directory: "Directory", desk: Desk) -> list[dict[str, Any]]:
    return [_refund(entry, found, desk) async for entry in directory.refunds(found)]


def _refund(entry: "Entry", found: "Used", desk: Desk) -> dict[str, Any]:
    from farthing.core.refundable import read_body

    body: Body = read_body(entry)
    amount = sum(amount for charge, _, amount in body.refunds if charge == found.entry.id)
    return {
        "entry": entry.id, "amount": desk.write(amount), "at": write_time(entry.at), "actor": entry.actor,
        "description": entry.description,
    }  # fmt: skip


# For people


def _page(data: dict[str, Any]) -> str:
    return "\n\n".join(filter(None, (_head(data), _used(data), _price(data), _paid(data), _back(data))))


def _head(data: dict[str, Any]) -> str:
    what = f" for {data['operation']}" if data["operation"] else ""
    title = clean(f"{data['amount']} {data['unit']} charged to {data['account']}{what}")
    lines = {"id": data["id"], "at": data["at"], "by": data["actor"], "key": data["key"] or "-"}
    more = {name: str(data[name]) for name in ("hold", "description", "metadata") if data[name] is not None}
    if data["hold_metadata"] is not None:
        more["its hold expired"] = str(data["hold_metadata"])
    return f"{title}\n{pairs(lines | more)}"


def _used(data: dict[str, Any]) -> str:
    usage = data["usage"]
    if usage is None:
        return "What was used was not said: the caller gave the amount."
    shown = {name: text for name, text in usage.items() if isinstance(text, str)}
    price = data["price"]
    if price and price["model"] and price["model"] != usage["model"]:
        shown["taken for"] = "/".join(filter(None, (price["provider"], price["model"])))
    return "Used\n" + pairs(shown | usage["dimensions"] | usage["attributes"])


def _price(data: dict[str, Any]) -> str:
    price, card = data["price"], data["card"]
    if price is None:
        return "The amount was given by the caller; no rate card had a say." if data["usage"] else ""
    if price["unpriced"]:
        return "Nobody knew a price of the model: recorded, and nothing charged."
    title = "Price"
    if card is not None:
        reason = f": {card['reason']}" if card["reason"] else ""
        title += f" by {card['name']}, in force from {card['effective_from']} on (by {card['actor']}{reason})"
    exact = f"exactly {price['exact']}"
    exact += f", rounded by {data['rounded']}" if data["rounded"] != "0" else ", nothing to round"
    cost = "not known" if price["cost"] is None else f"{price['cost']} {data['unit']}"
    return "\n".join(filter(None, (clean(title), price_table(price), exact, f"the provider asks: {cost}")))


def _paid(data: dict[str, Any]) -> str:
    rows = [("PAID BY", "AMOUNT", "GIVEN BACK", "CATEGORY", "PRIORITY", "EXPIRES", "SCOPE")]
    for each in data["grants"]:
        told = (each["category"], str(each["priority"]), each["expires_at"] or "never", " ".join(each["scope"]))
        rows.append((each["grant"], each["amount"], each["refunded"], *told))
    lines = [columns(rows, right=(1, 2, 4))] if data["grants"] else []
    if data["debt"] != "0":
        lines.append(f"no grant has paid {data['debt']} of it yet: that is debt")
    if data["unpaid"] != "0":
        lines.append(f"there was not enough for {data['unpaid']} more, which were not taken")
    lines.append(f"balance before {data['balance_before']}, after {data['balance_after']}")
    return "\n".join(lines)


def _back(data: dict[str, Any]) -> str:
    if not data["refunds"]:
        return ""
    rows = [("GIVEN BACK", "AT", "BY", "ENTRY", "WHY")]
    rows += [(r["amount"], r["at"], r["actor"], r["entry"], r["description"] or "") for r in data["refunds"]]
    left = f"refunded {data['refunded']} in all, {data['refundable']} can still be"
    return f"{columns(rows, right=(0,))}\n{left}"
