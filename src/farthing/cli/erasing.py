"""Erasing: `accounts erase` blanks the texts that an account's entries carry, in the ledger and in archive files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .care import archive_files
from .exits import Exit, Trouble, invalid
from .opening import Desk, at_desk
from .options import Account, Db, In, Json, Yes, enter
from .output import Answer, confirm, many

if TYPE_CHECKING:
    from farthing.stores.erasing import Erased


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="Accounts, and what is known of whom they belong to.")
    enter(
        group,
        "erase",
        "$ farthing accounts erase alice --reason 'asked for it on 2026-11-21' --dry-run",
        "$ farthing accounts erase alice --reason 'asked for it on 2026-11-21' --user --yes",
    )(erase)
    app.add_typer(group, name="accounts", rich_help_panel="Care")


def erase(
    account: Account,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stays in the audit log.")],
    user: Annotated[
        bool, typer.Option("--user", help="Also remove the person of that id: name, address, password, sessions.")
    ] = False,
    archive: Annotated[
        list[Path] | None,
        typer.Option(
            "--archive", metavar="PATH", help="Archive files, or folders of them. Default: where they are put."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    yes: Yes = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Blank descriptions and metadata of all entries of an account, for good; credits, books and keys stay.

    The account's id stays, and so do ids of orders, chats and operations: let them be names that only you can read.
    """
    from farthing.retention.archive import ArchiveError
    from farthing.retention.erasing import Numbers, erase_from
    from farthing.stores.acts import AccessError
    from farthing.stores.erasing import MAX_REASON, Erasing
    from farthing.stores.users import Users

    if not reason.strip() or len(reason) > MAX_REASON:
        raise invalid("reason", f"must say why, in at most {MAX_REASON:,} characters")
    if not dry_run:
        confirm(f"Erase all texts of {account}? Nobody can bring them back.", yes)
    with at_desk(db, workspace) as desk:
        database = desk.ledger.database
        erasing = Erasing(database, Users(database))
        if not dry_run:
            _buy_nothing_more(desk, account)
        try:
            told = desk.ledger.wait(
                erasing.erase(desk.workspace.id, account, desk.act(), reason, user=user, dry_run=dry_run)
            )
        except AccessError as error:
            raise Trouble(error.code, str(error), Exit.NO, account=account) from error
        files, seen = archive_files(archive) if archive else _own_files(desk.ledger.backend.place, dry_run), Numbers()
        try:
            found = erase_from(files, desk.workspace.id, account, dry_run=dry_run, seen=seen)
        except ArchiveError as error:
            raise Trouble("archive_damaged", f"{error}; the ledger itself is done", Exit.NO) from error
        chosen = desk.workspace.id
    left = _not_reached(told, seen.missing(told.last))
    return Answer(
        _facts(chosen, account, told, found, dry_run, not left),
        _in_words(account, told, found, dry_run),
        Exit.NO if left else Exit.OK,
        left,
    )


def _buy_nothing_more(desk: Desk, account: str) -> None:
    """Who is erased is not charged by himself any more."""
    from farthing.core.commands import SetAccount

    found = desk.ledger.wait(desk.ledger.reports.account(desk.workspace.id, account, desk.now_us()))
    if found is not None and found.settings.auto_top_up is not None:
        desk.do(SetAccount(workspace=desk.workspace.id, account=account, auto_top_up=None))


def _not_reached(told: "Erased", missing: list[tuple[int, int]]) -> list[str]:
    left = []
    if missing:
        ranges = ", ".join(f"{first:,} to {last:,}" for first, last in missing[:5])
        left.append(f"its entries {ranges} are archived, and in none of the files: say with --archive where they are")
    if told.open:
        left.append(
            f"{many(told.open, 'message')} of providers, still to be carried out, with their texts: erase again then"
        )
    return left


def _own_files(place: Any, dry_run: bool) -> list[Path]:
    from farthing.retention.archive import archives_in, sweep

    from .retention import folder_for

    folder = folder_for(place)
    if folder is None or not folder.is_dir():
        return []
    if not dry_run:
        sweep(folder)
    return archives_in(folder)


def _facts(
    workspace: str, account: str, told: "Erased", files: dict[Path, int], dry_run: bool, complete: bool
) -> dict[str, Any]:
    return {
        "workspace": workspace,
        "account": account,
        "entries": told.entries,
        "answers": told.answers,
        "messages": told.messages,
        "open": told.open,
        "acts": told.acts,
        "user": told.user,
        "archived": told.archived,
        "files": [{"file": str(path), "entries": count} for path, count in files.items()],
        "complete": complete,
        "dry_run": dry_run,
    }


def _in_words(account: str, told: "Erased", files: dict[Path, int], dry_run: bool) -> str:
    would = "would be" if dry_run else "are"
    texts = f"{many(told.entries, 'entry', 'entries')} and {many(told.answers, 'kept answer')}"
    lines = [f"{account}: the texts of {texts} {would} erased"]
    if told.messages:
        lines.append(f"{many(told.messages, 'message')} of payment providers, and orders with the buyer's address")
    if told.user:
        is_removed = "would be" if dry_run else "is"
        lines.append(f"the person of that id {is_removed} removed; no names in {many(told.acts, 'act')}")
    lines += [f"{many(count, 'entry', 'entries')} in {path}" for path, count in files.items()]
    return "\n".join(lines)
