"""Backtest: `prices backtest`, past usage priced with a draft of a rate card. Nothing is written."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cards import read_card_file
from .exits import Exit, Trouble
from .metering import store_of
from .opening import Desk, at_desk
from .options import Db, In, Json, enter
from .output import Answer, Progress, columns, many, progress
from .periods import From, Period, Timezone, To, read_period
from .reading import write_time

if TYPE_CHECKING:
    from farthing.core.ratecard import Card
    from farthing.prices.backtest import Backtest, Compared, OfAccount, Price, Refused, Result, Side
    from farthing.prices.book import Catalogue

PAGE = 500
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def register(group: typer.Typer) -> None:
    """Enter the command."""
    enter(
        group,
        "backtest",
        "$ farthing prices backtest draft.json --from 2026-10-01 --to 2026-10-31",
        "$ farthing prices backtest draft@2 --from 2026-10-01 --top 20 --json",
    )(backtest)


def backtest(
    card: Annotated[
        str, typer.Argument(metavar="CARD", help="A file; or a stored card, `draft` (its latest) or `draft@2`.")
    ],
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    top: Annotated[int, typer.Option("--top", metavar="N", min=0, max=1_000, help="Accounts to name.")] = 10,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """What past usage would have come to with a draft of a rate card: revenue, costs, who pays more, who runs dry.

    The usage that was booked in that time (by default the last 30 days) is priced as of the time of its use, as if the
    draft had been in force; a model that the catalogue did not know then has the price of today. Amounts that callers
    gave themselves stay as they were, so do charges without usage, and refunds are left out. Usage that the draft
    refuses to price is told apart and counts on neither side.

    Who would have run dry: from the balance after each charge is taken what the draft would have taken in addition
    until then, from --from on. Where that falls below zero at some moment, and the balance was not below zero itself,
    the account would have had too little. Top-ups and lapses are taken as they were.
    """
    from farthing.prices.backtest import Backtest

    with at_desk(db, workspace) as desk:
        period = read_period(since, until, timezone, desk.now_us())
        draft, name = _draft(card, desk)
        test = Backtest(_pricing(draft, name, desk))
        _add_all(test, period, desk)
        data = _facts(test.result(top), name, period, desk)
    return Answer(data, _text(data))


# Reading


def _draft(card: str, desk: Desk) -> tuple["Card", str]:
    """The draft and what it is called: a file where there is one of that name, else a stored card."""
    from farthing.core.ratecard import read_card
    from farthing.prices.lookup import current_document

    if Path(card).is_file():
        return read_card_file(Path(card), desk.workspace.scale)[0], card
    store, workspace = store_of(desk), desk.workspace.id
    name, _, number = card.partition("@")
    if number:
        version = desk.ledger.wait(store.version(workspace, name, int(number))) if _NUMBER.fullmatch(number) else None
        document = None if version is None else version.document
    else:
        document, _ = desk.ledger.wait(current_document(store, workspace, name, desk.now_us()))
    if document is None:
        message = f"there is neither a file nor a rate card {card!r}; `farthing prices card list` shows the cards"
        raise Trouble("card_not_found", message, Exit.NO, card=card)
    return read_card(document), card


def _pricing(draft: "Card", name: str, desk: Desk) -> "Price":
    """Prices by the draft, and by all that the catalogue has ever said."""
    from farthing.core.pricing import Book, price
    from farthing.core.rules import ModelTariffs, compile_card
    from farthing.core.usage import Usage

    compiled, catalogue = compile_card(draft), desk.ledger.wait(_catalogue(desk))
    now_us, workspace = desk.now_us(), desk.workspace

    def price_at(used: Usage, at: int) -> Any:
        def find(provider: str, model: str) -> ModelTariffs | None:
            return catalogue.tariffs(at, provider, model) or catalogue.tariffs(now_us, provider, model)

        return price(
            used,
            Book(
                card=compiled,
                reference=name,
                scale=workspace.scale,
                unknown_models=workspace.settings.unknown_models,
                find_model=find,
                candidates=catalogue.candidates,
            ),
        )

    return price_at


async def _catalogue(desk: Desk) -> "Catalogue":
    from farthing.prices.book import Catalogue

    store = store_of(desk)
    return Catalogue(await store.catalogue_version(), 0, [row async for row in store.catalogue(0)])


def _add_all(test: "Backtest", period: Period, desk: Desk) -> None:
    """All charges of a time, page by page."""
    from farthing.stores.usage_history import UsageHistory

    history, span = UsageHistory(desk.ledger.database), (desk.workspace.id, period.start, period.end)

    async def add(told: Progress) -> None:
        total, done = await history.booked_size(*span), 0
        async for page in history.booked(*span, PAGE):
            for each in page:
                test.add(*each)
            done += len(page)
            told(done, total)

    with progress("charges priced") as told:
        desk.ledger.wait(add(told))


# Telling


def _facts(result: "Result", name: str, period: Period, desk: Desk) -> dict[str, Any]:
    return {
        "workspace": desk.workspace.id, "unit": desk.workspace.unit, "card": name, "from": write_time(period.start),
        "to": write_time(period.end), "given": result.given, **_compared(result.total, desk),
        "models": [
            {"provider": each.provider or None, "model": each.model or None, **_compared(each.compared, desk)}
            for each in result.models
        ],
        "accounts": {
            "all": result.accounts, "more": result.more, "less": result.less,
            "same": result.accounts - result.more - result.less,
            "most_more": [_account(each, desk) for each in result.most_more],
            "most_less": [_account(each, desk) for each in result.most_less],
        },
        "dry": {"accounts": result.dry, "driest": [_dry(each, desk) for each in result.driest]},
        "refused": [_refused(each, desk) for each in result.refused],
    }  # fmt: skip


def _compared(compared: "Compared", desk: Desk) -> dict[str, Any]:
    return {
        "usages": compared.usages,
        "then": _side(compared.then, desk),
        "now": _side(compared.now, desk),
        "difference": desk.write(compared.difference),
    }


def _side(side: "Side", desk: Desk) -> dict[str, Any]:
    from farthing.core.figures import profit

    return {
        "revenue": desk.write(side.revenue), **profit(side.revenue, side.cost, desk.workspace.scale),
        "uncosted": side.uncosted, "unpriced": side.unpriced,
    }  # fmt: skip


def _account(each: "OfAccount", desk: Desk) -> dict[str, Any]:
    return {
        "account": each.account,
        "then": desk.write(each.then),
        "now": desk.write(each.now),
        "difference": desk.write(each.difference),
    }


def _dry(each: "OfAccount", desk: Desk) -> dict[str, Any]:
    return _account(each, desk) | {
        "at": write_time(each.dry_at),
        "charge": each.dry_charge,
        "short": desk.write(each.short),
    }


def _refused(each: "Refused", desk: Desk) -> dict[str, Any]:
    examples = [
        {"charge": e.charge, "account": e.account, "model": e.model or None, "message": e.message}
        for e in each.examples
    ]
    return {"code": each.code, "usages": each.usages, "then": desk.write(each.then), "examples": examples}


def _text(data: dict[str, Any]) -> str:
    head = f"{many(data['usages'], 'usage')} with {data['card']}, in {data['unit']}"
    if data["given"]:
        head += f" ({data['given']:,} of them with amounts that were given, which stay)"
    parts = [head, _sides(data), _models(data), _accounts(data), _drying(data), _refusals(data)]
    return "\n\n".join(filter(None, parts))


_SIDES = ("revenue", "cost", "margin", "margin_percent", "uncosted", "unpriced")


def _sides(data: dict[str, Any]) -> str:
    rows = [("", "THEN", "NOW")]
    for name in _SIDES:
        then, now = ("-" if data[side][name] is None else str(data[side][name]) for side in ("then", "now"))
        rows.append((name.replace("_", " "), then, now))
    return f"{columns(rows, right=(1, 2))}\ndifference of revenue: {data['difference']}"


def _models(data: dict[str, Any]) -> str:
    rows = [("MODEL", "USAGES", "REVENUE THEN", "NOW", "DIFFERENCE", "MARGIN THEN", "NOW")]
    for each in data["models"]:
        name = "/".join(filter(None, (each["provider"], each["model"]))) or "-"
        then, now = each["then"], each["now"]
        figures = (then["revenue"], now["revenue"], each["difference"], then["margin"], now["margin"])
        rows.append((name, str(each["usages"]), *figures))
    return columns(rows, right=range(1, 7)) if data["models"] else ""


def _accounts(data: dict[str, Any]) -> str:
    accounts = data["accounts"]
    if not accounts["all"]:
        return ""
    told = f"of {many(accounts['all'], 'account')} {accounts['more']:,} would have paid more, {accounts['less']:,} less"
    rows = [("ACCOUNT", "THEN", "NOW", "DIFFERENCE")]
    rows += [
        (each["account"], each["then"], each["now"], each["difference"])
        for each in (*accounts["most_more"], *accounts["most_less"])
    ]
    return f"{told}\n{columns(rows, right=(1, 2, 3))}" if len(rows) > 1 else told


def _drying(data: dict[str, Any]) -> str:
    dry = data["dry"]
    if not dry["accounts"]:
        return "no account would have run dry" if data["usages"] else ""
    rows = [("ACCOUNT", "FIRST AT", "SHORT BY", "CHARGE")]
    rows += [(each["account"], each["at"], each["short"], each["charge"]) for each in dry["driest"]]
    table = f"\n{columns(rows, right=(2,))}" if dry["driest"] else ""
    return f"{many(dry['accounts'], 'account')} would have run dry{table}"


def _refusals(data: dict[str, Any]) -> str:
    if not data["refused"]:
        return ""
    lines = ["the draft refuses"]
    for each in data["refused"]:
        lines.append(f"  {each['code']}: {many(each['usages'], 'usage')}, for which {each['then']} was charged")
        lines += [f"    {e['charge']} of {e['account']}: {e['message']}" for e in each["examples"]]
    return "\n".join(lines)
