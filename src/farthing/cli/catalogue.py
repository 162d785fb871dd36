"""The catalogue of model prices: `prices sync` and `prices search`; and how its prices are shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .exits import Exit, Trouble, usage
from .metering import Provider, books_of, store_of
from .opening import actor, at_desk, opened
from .options import Db, In, Json
from .output import Answer, columns, many, progress
from .reading import write_time

if TYPE_CHECKING:
    from farthing.core.modelprice import Price
    from farthing.prices.catalogue import Source
    from farthing.prices.difference import Item, Plan
    from farthing.prices.sync import Done
    from farthing.stores.prices import PriceRow

SHOWN = 20
"""Changes that a sync names without --verbose."""
PAGE = 50
_MAIN = ("input_tokens", "output_tokens", "cache_read_tokens")


def sync(
    source: Annotated[
        Literal["genai", "litellm", "models.dev"],
        typer.Option("--source", help="Whose prices; those of genai are at hand, the others come in a --file."),
    ] = "genai",
    file: Annotated[Path | None, typer.Option("--file", metavar="PATH", help="A file of that source's format.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go ahead though a good part of the catalogue is gone from the source.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Also models that came from another source; else they are left alone.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Name every change, and what was left out.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Bring the catalogue of model prices, one for all workspaces, up to what a source says.

    Prices that make no sense (negative, suddenly zero, far from what they were) are put in quarantine: nobody is
    charged by them before `farthing prices quarantine activate`. Nothing is fetched from the network.
    """
    from farthing.prices.sync import SyncRefused, carry_out, plan_sync
    from farthing.stores.prices import Act, PriceStore

    found = _read_source(source, file)
    with opened(db) as ledger:
        store, now_us = PriceStore(ledger.database, ledger.clock.now_us), ledger.clock.now_us()
        planned = ledger.wait(plan_sync(store, found, now_us, take_over=take_over))
        done = None
        if not dry_run:
            with progress("prices written") as told:
                try:
                    work = carry_out(store, planned, Act(actor(), now_us), force=force, progress=told)
                    done = ledger.wait(work)
                except SyncRefused as error:
                    message = f"nothing was written: {error}; --force goes ahead all the same"
                    raise Trouble("sync_refused", message, Exit.NO) from error
    data = _sync_facts(found, planned, done, dry_run)
    notes = [f"would be refused without --force: {planned.refusal}"] if dry_run and planned.refusal else []
    return Answer(data, _sync_text(data, found, verbose), notes=notes)


def _read_source(source: str, file: Path | None) -> "Source":
    """What a source says; a damaged file is told before the ledger is touched."""
    from farthing.prices import genai, litellm, modelsdev
    from farthing.prices.catalogue import BadCatalogue
    from farthing.prices.sync import read_source

    names = {"genai": genai.NAME, "litellm": litellm.NAME, "models.dev": modelsdev.NAME}
    if file is None and source != "genai":
        raise usage(f"prices of {source} come in a file: name it with --file")
    try:
        return genai.read_bundle() if file is None else read_source(file.read_bytes(), names[source])
    except BadCatalogue as error:
        raise Trouble("bad_catalogue", f"nothing was changed: {error}", Exit.NO) from error


def _sync_facts(found: "Source", planned: "Plan", done: "Done | None", dry_run: bool) -> dict[str, Any]:
    kinds = ("new", "changed", "renamed", "unchanged", "vanished", "quarantined", "waiting", "other_source")
    counts = {kind: planned.counts.get(kind, 0) for kind in kinds}
    written = None
    if done is not None:
        written = {name: getattr(done, name) for name in done.__struct_fields__}
    return {
        "source": found.name, "source_version": found.version, "providers": found.providers,
        "models": len(found.models), "counts": counts, "left_out": planned.left, "dry_run": dry_run,
        "written": written, "changes": [_item_facts(item) for item in planned.items if item.what != "other_source"],
    }  # fmt: skip


def _item_facts(item: "Item") -> dict[str, Any]:
    changes = [
        {
            "dimension": change.dimension,
            "terms": change.terms or None,
            "above": change.above,
            "old": _plain(change.old),
            "new": _plain(change.new),
            "percent": _plain(change.percent),
        }
        for change in item.changes
    ]
    return {"model": "/".join(item.key), "what": item.what, "reasons": list(item.reasons), "changes": changes}


def _plain(value: Any) -> str | None:
    from farthing.core.exact import plain

    return None if value is None else plain(value)


def _sync_text(data: dict[str, Any], found: "Source", verbose: bool) -> str:
    found_in = f"{many(data['models'], 'model')} of {many(data['providers'], 'provider')}"
    head = f"{data['source']} {data['source_version']}: {found_in}"
    counts = {name.replace("_", " "): f"{count:,}" for name, count in data["counts"].items() if count}
    counts |= {f"left out: {reason}": f"{count:,}" for reason, count in data["left_out"].items()}
    parts = [head, columns(list(counts.items()), right=(1,))]
    # New ones and those that are gone are many at times, and no surprise.
    told = [each for each in data["changes"] if verbose or each["what"] in ("changed", "quarantined", "waiting")]
    shown = told if verbose else told[:SHOWN]
    if shown:
        parts.append("\n".join(_change_text(each) for each in shown))
    if len(told) > len(shown):
        parts.append(f"and {len(told) - len(shown):,} more; --verbose names them all")
    if verbose and found.left:
        parts.append("\n".join(f"left out: {left.what}: {left.reason}" for left in found.left))
    if data["dry_run"]:
        parts.append("a dry run: nothing was written")
    else:
        parts.append(_written_text(data["written"]))
    return "\n\n".join(parts)


def _written_text(written: dict[str, int]) -> str:
    text = f"{many(written['written'], 'price')} written, {written['quarantined']:,} of them in quarantine"
    if written["withdrawn"]:
        text += f"; {written['withdrawn']:,} withdrawn that were to come"
    if written["overtaken"]:
        text += f"; {written['overtaken']:,} were changed by somebody else meanwhile: sync again"
    return text


def _change_text(item: dict[str, Any]) -> str:
    said = [
        f"{change['dimension']} {change['old'] or '-'} -> {change['new'] or '-'}"
        + (f" ({change['percent']} %)" if change["percent"] else "")
        for change in item["changes"]
    ]
    why = f" [{'; '.join(item['reasons'])}]" if item["reasons"] else ""
    return f"{item['what']}: {item['model']}: {', '.join(said)}{why}"


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A part of provider/model.")],
    provider: Provider = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=500, help="Models at most.")] = PAGE,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Models of the catalogue, with prices for a million tokens; `own` marks those that the card prices itself."""
    from farthing.core.pricing import Book
    from farthing.core.terms import names_model

    with at_desk(db, workspace) as desk:
        now_us = desk.now_us()
        page = desk.ledger.wait(store_of(desk).search(text, now_us, provider=provider or "", limit=limit))
        book = desk.ledger.wait(books_of(desk).book(desk.workspace)).at(now_us)
        own = {
            (row.provider, row.model)
            for row in page.items
            if isinstance(book, Book) and names_model(row.provider, row.model, book)
        }
    facts = [row_facts(row) | {"overridden": (row.provider, row.model) in own} for row in page.items]
    notes = ["there are more: say more of the name, or --limit"] if page.next else []
    if not facts:
        notes = [f"the catalogue has no model {text!r}; `farthing prices sync` fills it"]
    return Answer({"data": facts, "has_more": page.next is not None}, _models_text(facts), notes=notes)


def _models_text(facts: list[dict[str, Any]]) -> str:
    if not facts:
        return ""
    rows = [("MODEL", "INPUT", "OUTPUT", "CACHED", "CURRENCY", "SOURCE", "")]
    for each in facts:
        prices = {price["dimension"]: price for price in each["prices"]}
        shown = [_per_million(prices.get(name)) for name in _MAIN]
        name = f"{each['provider']}/{each['model']}"
        rows.append((name, *shown, each["currency"], each["source"], "own" if each["overridden"] else ""))
    return columns(rows, right=(1, 2, 3))


def _per_million(price: dict[str, Any] | None) -> str:
    from decimal import Decimal

    from farthing.core.exact import plain

    if price is None:
        return "-"
    first = price["price"] if price["price"] is not None else price["tiers"][0]["price"] + "+"
    if price["per"] == 1_000_000 or not first.replace(".", "").isdigit():
        return str(first)
    return plain(Decimal(first) * 1_000_000 / price["per"])


def price_json(price: "Price") -> dict[str, Any]:
    """A price of one dimension as programs read it."""
    return {
        "dimension": price.dimension,
        "price": price.price,
        "per": price.per,
        "tiers": [{"from": tier.from_, "price": tier.price} for tier in price.tiers],
        "tier_mode": price.tier_mode if price.tiers else None,
        "tier_by": (price.tier_by or price.dimension) if price.tiers else None,
    }


def row_facts(row: "PriceRow") -> dict[str, Any]:
    """A version of a model's price as programs read it."""
    from farthing.prices.catalogue import read_listing

    listing = read_listing(row.document)
    return {
        "provider": row.provider, "model": row.model, "version": row.version, "status": row.status,
        "effective_from": write_time(row.effective_from or None), "currency": listing.price.currency,
        "prices": [price_json(price) for price in listing.price.prices],
        "variants": [
            {"when": variant.when, "prices": [price_json(price) for price in variant.prices]}
            for variant in listing.price.variants
        ],
        "aliases": list(listing.aliases), "source": row.source, "source_version": row.source_version,
        "created_at": write_time(row.created_at), "actor": row.actor, "reason": row.reason,
    }  # fmt: skip
