"""Quarantine: `prices quarantine list`, `activate` and `refuse`, for prices that a sync did not let in."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .cards import Reason, read_reason
from .catalogue import price_json, row_facts
from .exits import Exit, Trouble, invalid
from .model_prices import asked
from .opening import actor, opened
from .options import Db, Json, enter
from .output import Answer, columns
from .reading import write_time

if TYPE_CHECKING:
    from farthing.app import Ledger
    from farthing.stores.prices import PriceRow, PriceStore

PAGE = 200

Which = Annotated[str, typer.Argument(metavar="PROVIDER/MODEL", help="As `farthing prices quarantine list` shows it.")]
Version = Annotated[
    int | None, typer.Option("--version", metavar="N", min=1, help="Of its price, where several wait.")
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="Prices that a sync did not believe: nobody is charged by them until they are let in.")
    enter(group, "list", "$ farthing prices quarantine list")(list_all)
    enter(
        group, "activate", "$ farthing prices quarantine activate openai/gpt-4o --reason 'so says the vendor'"
    )(activate)  # fmt: skip
    enter(group, "refuse", "$ farthing prices quarantine refuse openai/gpt-4o --reason 'a typing error'")(refuse)
    app.add_typer(group, name="quarantine")


def list_all(db: Db = None, as_json: Json = False) -> Answer:
    """All prices that wait, why, and what they would replace."""
    with opened(db) as ledger:
        facts = [_facts(ledger, row) for row in _waiting(ledger)]
    if not facts:
        return Answer({"data": []}, "nothing is in quarantine")
    rows = [("MODEL", "VERSION", "INPUT", "OUTPUT", "NOW", "WHY")]
    for each in facts:
        new, now = ({p["dimension"]: asked(p) for p in each[name]} for name in ("prices", "current"))
        ends = ("input_tokens", "output_tokens")
        shown, current = ([prices.get(end, "-") for end in ends] for prices in (new, now))
        rows.append(
            (f"{each['provider']}/{each['model']}", str(each["version"]), *shown, " ".join(current), each["reason"])
        )  # fmt: skip
    return Answer({"data": facts}, columns(rows, right=(1, 2, 3)))


def _waiting(ledger: "Ledger") -> list["PriceRow"]:
    store, found, after = _store(ledger), [], None
    while True:
        page = ledger.wait(store.quarantined(after=after, limit=PAGE))
        found += page.items
        after = page.next
        if after is None:
            return found


def _store(ledger: "Ledger") -> "PriceStore":
    from farthing.stores.prices import PriceStore

    return PriceStore(ledger.database, ledger.clock.now_us)


def _facts(ledger: "Ledger", row: "PriceRow") -> dict[str, Any]:
    from farthing.prices.catalogue import read_listing

    now = ledger.wait(_store(ledger).price_at(row.provider, row.model, ledger.clock.now_us()))
    current = [] if now is None else [price_json(price) for price in read_listing(now.document).price.prices]
    return row_facts(row) | {"current": current}


def activate(model: Which, reason: Reason, version: Version = None, db: Db = None, as_json: Json = False) -> Answer:
    """Let a price in: it begins within seconds, in all workspaces that use the catalogue."""
    return _decide("activate", model, reason, version, db)


def refuse(model: Which, reason: Reason, version: Version = None, db: Db = None, as_json: Json = False) -> Answer:
    """Keep a price out for good: the same one does not come up again."""
    return _decide("refuse", model, reason, version, db)


def _decide(
    what: Literal["activate", "refuse"], model: str, reason: str, version: int | None, db: str | None
) -> Answer:  # fmt: skip
    from farthing.prices.sync import let_in
    from farthing.stores.prices import AccessError, Act

    why = read_reason(reason)
    with opened(db) as ledger:
        row, store, act = _one(ledger, model, version), _store(ledger), Act(actor(), ledger.clock.now_us())
        named = (row.provider, row.model, row.version)
        work = store.refuse(*named, act, why) if what == "refuse" else let_in(store, *named, act, why)
        try:
            done = ledger.wait(work)
        except AccessError as error:
            raise Trouble(error.code, str(error), Exit.NO) from error
    text = f"version {done.version} of {done.provider}/{done.model} "
    text += "is refused" if what == "refuse" else f"is let in, from {write_time(done.effective_from)} on"
    return Answer(row_facts(done), text)


def _one(ledger: "Ledger", model: str, version: int | None) -> "PriceRow":
    """The price that is meant: it waits."""
    name = tuple(model.partition("/")[::2])
    found = [row for row in _waiting(ledger) if (row.provider, row.model) == name]
    if version is not None:
        found = [row for row in found if row.version == version]
    if not found:
        message = f"no such price of {model!r} is in quarantine; `farthing prices quarantine list` shows them"
        raise Trouble("price_not_quarantined", message, Exit.NO)
    if len(found) > 1:
        raise invalid("version", f"must be said: {', '.join(str(row.version) for row in found)} wait")
    return found[0]
