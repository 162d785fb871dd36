"""Rate cards: `prices card list`, `show`, `check`, `put`, `history` and `withdraw`."""

from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .exits import Exit, Trouble, invalid, usage
from .metering import store_of
from .opening import Desk, at_desk
from .options import Db, In, Json, Yes, enter
from .output import Answer, columns, confirm
from .reading import read_instant, write_time

if TYPE_CHECKING:
    from farthing.core.ratecard import Card
    from farthing.stores.prices import CardFacts, CardVersion

T = TypeVar("T")
DEFAULT = "default"
MAX_REASON = 1_000

CardName = Annotated[str, typer.Argument(metavar="NAME", help="The card; usage is priced by `default`.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept for those who ask later.")]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="WHEN", help="When it begins: 1h, or a date. Default: as soon as it can."),
]
Version = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="The version's number.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The rate card: JSON, or a PriceCalc profile.")]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="Rate cards: how usage becomes credits, in versions that are never changed.")
    enter(group, "list", "$ farthing prices card list")(list_all)
    enter(
        group,
        "show",
        "$ farthing prices card show",
        "$ farthing prices card show default --version 3 > card.json",
    )(show)
    enter(group, "check", "$ farthing prices card check card.json")(check)
    enter(
        group,
        "put",
        "$ farthing prices card put default card.json --reason 'prices of 2027' --at 2027-01-01",
        "$ farthing prices card put draft card.json",
    )(put)
    enter(group, "history", "$ farthing prices card history default")(history)
    enter(group, "withdraw", "$ farthing prices card withdraw default 4 --reason 'entered by mistake' --yes")(withdraw)
    app.add_typer(group, name="card")


# What others use


def acted(desk: Desk, work: Coroutine[Any, Any, T], **instead: str) -> T:
    """The result of an act on prices; `instead` has other words for some of the reasons why it may not be done."""
    from farthing.stores.prices import AccessError

    try:
        return desk.ledger.wait(work)
    except AccessError as error:
        misread = error.code in ("invalid", "too_soon")
        field = _OPTIONS.get(error.field, error.field)
        message = instead.get(error.code) or _BEGINNINGS.get(error.code, "{error}").format(field=field, error=error)
        raise Trouble(error.code, message, Exit.USAGE if misread else Exit.NO, field=field) from error


_OPTIONS = {"effective_from": "at", "expected_version": "expected"}
"""What is called otherwise on the command line."""
_BEGINNINGS = {"too_soon": "{field} {error}", "overlapping_versions": "{field} is too early: {error}"}


def card_trouble(problems: list[tuple[str, str]], what: str) -> Trouble:
    """All that is wrong with a card."""
    told = "; ".join(f"{pointer.lstrip('/') or 'it'} {message}" for pointer, message in problems)
    where = [{"pointer": pointer, "message": message} for pointer, message in problems]
    return Trouble("invalid_card", f"{what}: {told}", Exit.USAGE, problems=where)


def read_card_file(file: Path, scale: int) -> tuple["Card", str]:
    """The card in a file and its text, once it is known to be right; all that is wrong with it is told at once."""
    from farthing.core.cardcheck import check_card
    from farthing.core.ratecard import CardError, read_card

    try:
        document = file.read_text()
        card = read_card(document)
        problems = check_card(card, scale)
    except OSError as error:
        raise usage(f"the card can't be read: {error.strerror}: {file}") from error
    except UnicodeDecodeError as error:
        raise usage(f"the card can't be read: {file} is no UTF-8 text") from error
    except CardError as error:
        problems = error.problems
    if problems:
        raise card_trouble(problems, f"the card {file} is not right")
    return card, document


def require_right(document: str, scale: int) -> None:
    """Refuse a card that is wrong, with all that is."""
    from farthing.core.cardcheck import check_card
    from farthing.core.ratecard import CardError, read_card

    try:
        problems = check_card(read_card(document), scale)
    except CardError as error:
        problems = error.problems
    if problems:
        raise card_trouble(problems, "the card would not be right")


def begins_at(text: str, now_us: int) -> int:
    """When a version is to begin."""
    return read_instant(text, now_us, "at")


def version_facts(facts: "CardFacts") -> dict[str, Any]:
    """A version of a card as programs read it."""
    return {
        "card": facts.card, "version": facts.version, "name": f"{facts.card}@{facts.version}",
        "effective_from": write_time(facts.effective_from), "hash": facts.hash,
        "created_at": write_time(facts.created_at), "actor": facts.actor, "reason": facts.reason,
        "withdrawn_at": write_time(facts.withdrawn_at),
    }  # fmt: skip


# Looking


def list_all(workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """All cards of a workspace, with the version in force and when the next one begins."""
    with at_desk(db, workspace) as desk:
        found = desk.ledger.wait(store_of(desk).cards(desk.workspace.id, desk.now_us()))
    facts = [
        {"card": c.card, "versions": c.versions, "in_force": c.in_force, "next_at": write_time(c.next_at)}
        for c in found
    ]
    rows = [("CARD", "VERSIONS", "IN FORCE", "NEXT FROM")]
    rows += [(f["card"], str(f["versions"]), str(f["in_force"] or "-"), f["next_at"] or "-") for f in facts]  # type: ignore[misc]
    return Answer({"workspace": desk.workspace.id, "data": facts}, columns(rows, right=(1, 2)))


def show(
    card: CardName = DEFAULT,
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", min=1, help="Default: the version in force.")
    ] = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """A card's document, ready to be changed and put back; with --json also whose it is and since when."""
    import json

    with at_desk(db, workspace) as desk:
        found = _version(desk, card, version)
    data = version_facts(found) | {"document": json.loads(found.document)}
    about = f"{found.name}, from {data['effective_from']} on, by {found.actor}: {found.reason or 'no reason given'}"
    return Answer(data, found.document, notes=() if as_json else (about,))


def _version(desk: Desk, card: str, version: int | None) -> "CardVersion":
    store = store_of(desk)
    if version is None:
        found = desk.ledger.wait(store.version_at(desk.workspace.id, card, desk.now_us()))
        message = f"no version of a card {card!r} is in force; `farthing prices card list` shows what there is"
    else:
        found = desk.ledger.wait(store.version(desk.workspace.id, card, version))
        message = f"there is no version {version} of a card {card!r}; `farthing prices card history` shows them"
    if found is None:
        raise Trouble("card_not_found", message, Exit.NO)
    return found


def history(card: CardName = DEFAULT, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """All versions of a card, newest first: who added each, when and why."""
    with at_desk(db, workspace) as desk:
        facts = [version_facts(each) for each in _versions(desk, card)]
    if not facts:
        raise Trouble("card_not_found", f"there is no card {card!r}", Exit.NO)
    rows = [("VERSION", "FROM", "ADDED", "BY", "WITHDRAWN", "WHY")]
    for each in facts:
        when = (each["effective_from"], each["created_at"])
        rows.append((str(each["version"]), *when, each["actor"], each["withdrawn_at"] or "-", each["reason"]))
    return Answer({"workspace": desk.workspace.id, "data": facts}, columns(rows, right=(0,)))


def _versions(desk: Desk, card: str) -> list["CardFacts"]:
    store, found, before = store_of(desk), [], None
    while True:
        page = desk.ledger.wait(store.versions(desk.workspace.id, card, before=before, limit=500))
        found += page.items
        before = page.next
        if before is None:
            return found


# Changing


def check(file: File, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Whether a card is right for the workspace; all that is wrong with it is told at once."""
    with at_desk(db, workspace) as desk:
        found, _ = read_card_file(file, desk.workspace.scale)
    rules = len(getattr(found, "rules", ())) or None
    data = {"ok": True, "workspace": desk.workspace.id, "file": str(file), "rules": rules}
    return Answer(data, f"{file} is right" + (f": {rules} rules" if rules else ""))


def put(
    card: CardName,
    file: File,
    at: At = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why. Default: from which file it came.")
    ] = None,
    expected: Annotated[
        int | None,
        typer.Option("--expected", metavar="N", min=0, help="Only where N is the card's last version; 0: it has none."),
    ] = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Add a version of a card; the first one makes it. Usage is priced by the card `default`, others can be tried.

    The first version begins at once, others 2 seconds ahead at the soonest, after all that are there.
    """
    with at_desk(db, workspace) as desk:
        _, document = read_card_file(file, desk.workspace.scale)
        act = desk.act()
        begins = None if at is None else begins_at(at, act.at)
        why = read_reason(reason or f"from {file.name}")
        work = store_of(desk).add_version(
            desk.workspace.id, card, document, begins, act, None, why, expected_version=expected
        )
        made = acted(desk, work)
    data = version_facts(made)
    return Answer(data, f"{data['name']} is in force from {data['effective_from']} on")


def read_reason(text: str) -> str:
    """Why something is done."""
    if not text.strip() or len(text) > MAX_REASON or "\0" in text:
        raise invalid("reason", f"must be 1 to {MAX_REASON:,} characters")
    return text


def withdraw(
    card: CardName,
    version: Version,
    reason: Reason = "",
    yes: Yes = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Take back a version that has not begun. It can't be brought back; what has begun stays."""
    with at_desk(db, workspace) as desk:
        confirm(f"Withdraw version {version} of the card {card} for good?", yes)
        work = store_of(desk).withdraw(desk.workspace.id, card, version, desk.act(), None, reason)
        done = acted(desk, work)
    data = version_facts(done)
    return Answer(data, f"{data['name']} is withdrawn")
