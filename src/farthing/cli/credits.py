"""Credits: `grant`, `charge`, `balance`, `ledger`. Answers to grant and charge are read off the entry alone, so that
a replay says the same."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import metering
from .exits import Exit, Trouble
from .opening import Desk, at_desk
from .options import Account, Db, Description, In, Json, Key, Metadata, enter
from .output import Answer, columns, pairs, progress, write_json
from .reading import KEY_PREFIX, read_credits, read_instant, read_key, read_metadata, write_time

if TYPE_CHECKING:
    from farthing.core.outcomes import Accepted
    from farthing.core.records import Account as AccountRecord
    from farthing.core.records import Entry

PANEL = "Credits"
PAGE = 500

Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="Decimal text above zero, such as 7.5.")]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    enter(
        app,
        "grant",
        "$ farthing grant alice 100 --expires 30d",
        "$ farthing grant alice 20 --category promotional --key welcome-alice --json",
        panel=PANEL,
    )(grant)
    enter(
        app,
        "charge",
        "$ farthing charge alice 7.5 --operation chat.message --key call-4711",
        "$ farthing charge alice --model gpt-4o --input-tokens 1500 --output-tokens 800 --key call-4712",
        """$ farthing charge alice 0.25 --operation image.small --metadata '{"model": "small"}' --json""",
        panel=PANEL,
    )(charge)
    enter(
        app,
        "balance",
        "$ farthing balance alice",
        "$ farthing balance alice --at 2026-10-31T22:00:00Z --json",
        panel=PANEL,
    )(balance)
    enter(
        app,
        "ledger",
        "$ farthing ledger alice --limit 20",
        "$ farthing ledger alice --all --json > alice.jsonl",
        panel=PANEL,
    )(ledger)


def grant(
    account: Account,
    amount: Amount,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="When it ends: 30d, 12h, 45m, or a date. Default: never."),
    ] = None,
    key: Key = None,
    category: Annotated[
        Literal["paid", "promotional"], typer.Option("--category", help="Promotional credits burn before paid ones.")
    ] = "paid",
    priority: Annotated[int, typer.Option("--priority", metavar="0..100", help="The lower burns first.")] = 50,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="PATTERN", help="Only for matching charges: 'operation:image.*'. Repeatable."),
    ] = None,
    description: Description = None,
    metadata: Metadata = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Give credits to an account; the first grant makes the account.

    With --key it can be repeated safely: the same key and content give the first answer again.
    """
    from farthing.core.commands import GiveGrant

    stored, details = read_key(key), read_metadata(metadata)
    with at_desk(db, workspace) as desk:
        ends = None if expires is None else read_instant(expires, desk.now_us())
        command = GiveGrant(
            workspace=desk.workspace.id,
            account=account,
            amount=read_credits(amount, desk.workspace.scale),
            key=stored,
            category=category,
            priority=priority,
            expires_at=ends,
            scope=tuple(scope or ()),
            description=description,
            metadata=details,
        )
        return _granted(desk.do(command), desk)


def _granted(done: "Accepted", desk: Desk) -> Answer:
    from farthing.core.refundable import read_body

    entry = _entry_of(done)
    terms = read_body(entry).grants[0]
    data = _moved(done, desk) | {
        "grant": terms.id, "amount": desk.write(terms.amount), "category": terms.category,
        "priority": terms.priority, "scope": list(terms.scope), "expires_at": write_time(terms.expires_at),
    }  # fmt: skip
    until = f" until {data['expires_at']}" if terms.expires_at else ""
    text = f"{data['amount']} {desk.workspace.unit} granted to {entry.account}{until}"
    return Answer(data, f"{text}; its balance is {data['balance']}{_again(done)}")


def charge(
    account: Account,
    amount: Annotated[
        str | None,
        typer.Argument(metavar="[AMOUNT]", help="Decimal text above zero, such as 7.5. Default: the usage is priced."),
    ] = None,
    model: metering.Model = None,
    provider: metering.Provider = None,
    input_tokens: metering.InputTokens = None,
    output_tokens: metering.OutputTokens = None,
    dimension: metering.Dimensions = None,
    attribute: metering.Attributes = None,
    operation: metering.Operation = metering.DEFAULT_OPERATION,
    service: metering.Service = None,
    product: metering.Product = None,
    chat: metering.Chat = None,
    used_at: metering.UsedAt = None,
    key: Key = None,
    description: Description = None,
    metadata: Metadata = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Take credits from an account, an amount or what a usage costs; refused (exit code 1) when there are not enough.

    With --key it can be repeated safely: the same key and content give the first answer again and take nothing. What
    was used is recorded, also beside an amount.
    """
    from farthing.core.commands import TakeCharge

    stored, details = read_key(key), read_metadata(metadata)
    used = metering.read_usage(
        input_tokens=input_tokens, output_tokens=output_tokens, dimensions=dimension, attributes=attribute,
        used_at=used_at, model=model, provider=provider, operation=operation, service=service, product=product,
        chat=chat,
    )  # fmt: skip
    with at_desk(db, workspace) as desk:
        taken = metering.taken(desk, amount, used)
        command = TakeCharge(
            workspace=desk.workspace.id,
            account=account,
            amount=taken.amount,
            usage=taken.metered,
            at=taken.at,
            key=stored,
            operation=operation,
            attributes=metering.attributes_of(used),
            description=description,
            metadata=details,
        )
        return _charged(desk.do(command), desk)


def _charged(done: "Accepted", desk: Desk) -> Answer:
    from farthing.core.refundable import charge_of, read_body

    entry = _entry_of(done)
    taken, metered = charge_of(entry), read_body(entry).usage
    data = _moved(done, desk) | {
        "amount": desk.write(taken.amount), "operation": entry.operation, "description": entry.description,
        "grants": [{"grant": part.grant, "amount": desk.write(part.amount)} for part in taken.slices],
        **metering.used_facts(metered),
    }  # fmt: skip
    text = f"{data['amount']} {desk.workspace.unit} charged to {entry.account} for {entry.operation}"
    if metered is not None and metered.priced.unpriced:
        text += " (nobody knows a price of the model: recorded as unpriced)"
    text += f"; its balance is {data['balance']}{_again(done)}"
    table = metering.price_table(data["price"]) if data["price"] else ""
    return Answer(data, f"{text}\n\n{table}" if table else text)


def _entry_of(done: "Accepted") -> "Entry":
    assert done.entry is not None, "a grant and a charge always write an entry"
    return done.entry


def _moved(done: "Accepted", desk: Desk) -> dict[str, Any]:
    """What every entry that moves credits says."""
    entry = _entry_of(done)
    return {
        "workspace": entry.workspace, "account": entry.account, "entry": entry.id, "number": entry.number,
        "unit": desk.workspace.unit, "balance": desk.write(entry.balance), "held": desk.write(entry.held),
        "debt": desk.write(entry.debt), "at": write_time(entry.at),
        "key": None if entry.key is None else entry.key.removeprefix(KEY_PREFIX), "replayed": done.replayed,
    }  # fmt: skip


def _again(done: "Accepted") -> str:
    return " (a replay: this key was carried out before, and nothing more was done)" if done.replayed else ""


def balance(
    account: Account,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="As it stood then: a date, or an RFC 3339 time.")
    ] = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """What an account has, holds, owes and may spend now, and its grants in the order in which they burn.

    Credits that have lapsed don't count, also before that is booked. `available` is what a charge without scope may
    take. With --at, all that the books tell of a past instant: totals, holds and a freeze are not told.
    """
    with at_desk(db, workspace) as desk:
        if at is not None:
            from .statement import balance_at

            return balance_at(account, at, desk)
        found = require_account(account, desk)
        data = account_facts(found, desk)
    return Answer(data, account_text(data))


def require_account(account: str, desk: Desk) -> "AccountRecord":
    """The account as it stands now."""
    from farthing.core.commands import text_error
    from farthing.core.outcomes import Refusal

    from .exits import invalid
    from .refusals import sentence

    if wrong := text_error(account):
        raise invalid("account", wrong)
    reading = desk.ledger.reports.account(desk.workspace.id, account, desk.now_us())
    found: AccountRecord | None = desk.ledger.wait(reading)
    if found is None:
        code = Refusal.ACCOUNT_NOT_FOUND
        raise Trouble(str(code), sentence(code, {"account": account}), Exit.NO, account=account)
    return found


def account_facts(found: "AccountRecord", desk: Desk) -> dict[str, Any]:
    """An account as programs read it."""
    from farthing.core import view

    amounts = {
        "balance": found.balance, "available": view.available(found), "held": found.held, "debt": found.debt,
        "earned": found.earned, "spent": found.spent, "lapsed": found.lapsed, "written_off": found.written_off,
        "unscoped_balance": view.unscoped_balance(found), "allowance": found.settings.allowance,
    }  # fmt: skip
    grants = [
        {
            "id": each.id, "remaining": desk.write(each.remaining), "held": desk.write(each.held),
            "category": each.category, "priority": each.priority, "scope": list(each.scope),
            "expires_at": write_time(each.expires_at), "created_at": write_time(each.created_at),
        }
        for each in found.grants
    ]  # fmt: skip
    return {
        "workspace": found.workspace,
        "account": found.id,
        "unit": desk.workspace.unit,
        **{name: desk.write(amount) for name, amount in amounts.items()},
        "scoped": [{"scope": list(s), "available": desk.write(a)} for s, a in view.scoped(found)],
        "holds": found.holds,
        "frozen": found.settings.frozen,
        "next_expiration": write_time(view.next_expiration(found)),
        "grants": grants,
        "entries": found.number,
    }


def account_text(data: dict[str, Any]) -> str:
    """An account for people: of its sums, those that are told."""
    shown = ("at", "balance", "available", "held", "debt", "earned", "spent", "lapsed", "written_off")
    told = {name: data[name] for name in shown if name in data}
    lines = pairs({"account": data["account"], "unit": data["unit"], **told})
    if data.get("frozen"):
        lines += "\nfrozen: nothing can be charged"
    if not data["grants"]:
        return lines
    rows = [("GRANT", "LEFT", "HELD", "PRIORITY", "EXPIRES", "CATEGORY", "SCOPE")]
    for each in data["grants"]:
        amounts = (each["remaining"], each["held"], str(each["priority"]))
        rows.append((each["id"], *amounts, each["expires_at"] or "never", each["category"], " ".join(each["scope"])))
    return f"{lines}\n\n{columns(rows, right=(1, 2, 3))}"


# History


def ledger(
    account: Account,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=PAGE, help=f"Entries of a page, at most {PAGE}.")
    ] = 50,
    cursor: Annotated[
        int | None, typer.Option("--cursor", metavar="N", min=1, help="Go on before this entry number: `next_cursor`.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All entries; with --json one JSON object a line.")] = False,
    moves: Annotated[bool, typer.Option("--moves", help="Only entries that changed the balance.")] = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer | None:
    """An account's entries, newest first: what happened, and balance, held and debt after it."""
    with at_desk(db, workspace) as desk:
        found = require_account(account, desk)
        if every:
            _stream(found, desk, cursor, moves, as_json)
            return None
        page = _page(account, desk, cursor, limit + 1, moves)
    more = len(page) > limit
    facts = [entry_facts(entry, desk) for entry in page[:limit]]
    data = {
        "workspace": desk.workspace.id, "account": account, "unit": desk.workspace.unit, "data": facts,
        "has_more": more, "next_cursor": str(facts[-1]["number"]) if more else None,
    }  # fmt: skip
    notes = [f"there are more: --cursor {data['next_cursor']}, or --all"] if more and not as_json else []
    return Answer(data, _entries_text(facts), notes=notes)


def _page(account: str, desk: Desk, before: int | None, limit: int, moves: bool) -> "list[Entry]":
    read = desk.ledger.reports.entries(desk.workspace.id, account, before=before, limit=limit, moves_only=moves)
    entries: list[Entry] = desk.ledger.wait(read)
    return entries


def _stream(found: "AccountRecord", desk: Desk, cursor: int | None, moves: bool, as_json: bool) -> None:
    """All entries, page by page, so that a long history takes no memory."""
    import sys

    first = found.number if cursor is None else min(cursor - 1, found.number)
    before: int | None = first + 1
    with progress("entries written") as told:
        while page := _page(found.id, desk, before, PAGE, moves):
            facts = [entry_facts(entry, desk) for entry in page]
            if as_json:
                for each in facts:
                    write_json(each)
            else:
                print(_entries_text(facts, heading=before == first + 1))
            before = page[-1].number
            if not sys.stdout.isatty():
                told(first + 1 - before, first)


def entry_facts(entry: "Entry", desk: Desk) -> dict[str, Any]:
    """An entry as programs read it."""
    import json

    from farthing.core.refundable import read_body

    body = read_body(entry)
    slices = [
        {"grant": grant, "amount": desk.write(amount), "held": desk.write(held)} for grant, amount, held in body.slices
    ]
    return {
        "number": entry.number, "id": entry.id, "kind": entry.kind, "at": write_time(entry.at),
        "amount": desk.write(entry.amount), "balance": desk.write(entry.balance), "held": desk.write(entry.held),
        "debt": desk.write(entry.debt), "operation": entry.operation, "description": entry.description,
        "metadata": None if entry.metadata is None else json.loads(entry.metadata), "key": entry.key,
        "actor": entry.actor, "request_id": entry.request_id, "ref": body.ref, "slices": slices,
        "grants": [each.id for each in body.grants], "hold": body.hold.id if body.hold else None,
        "hash": entry.hash.hex(),
    }  # fmt: skip


def _entries_text(facts: list[dict[str, Any]], heading: bool = True) -> str:
    rows = [("NUMBER", "TIME", "KIND", "AMOUNT", "BALANCE", "HELD", "DEBT", "WHAT")] if heading else []
    for each in facts:
        what = " ".join(filter(None, (each["operation"], each["description"])))
        # At least this wide, so that the pages of a stream stand below each other.
        at, kind = each["at"].ljust(27), each["kind"].ljust(8)
        amounts = (each[name].rjust(12) for name in ("amount", "balance", "held", "debt"))
        rows.append((str(each["number"]).rjust(6), at, kind, *amounts, what))
    return columns(rows, right=(0, 3, 4, 5, 6))
