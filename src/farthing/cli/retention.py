"""Retention: `retention run`, `status`, `verify`, `show`: old entries move to archive files, which can be looked at."""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .exits import Exit, Trouble, usage
from .opening import choose_workspace, current, database_url, opened
from .options import Db, In, Json, Yes, enter
from .output import Answer, clean, columns, confirm, many, pairs, progress, write_json
from .reading import read_moment, write_time

if TYPE_CHECKING:
    from farthing.retention.archive import Archive, Line
    from farthing.retention.retiring import Done

PANEL = "Care"
SHOWN: Final = 50
File = Annotated[Path, typer.Argument(metavar="FILE", help="An archive file.")]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="Old entries, which move to archive files.")
    enter(
        group,
        "run",
        "$ farthing retention run --dry-run",
        "$ farthing retention run --workspace shop --before 2025-01-01 --yes",
    )(run)
    enter(group, "status", "$ farthing retention status", "$ farthing retention status --json")(status)
    enter(group, "verify", "$ farthing retention verify farthing.db.archive/*")(verify)
    enter(
        group,
        "show",
        "$ farthing retention show farthing.db.archive/main-20261121T030000-9f2c41d0.jsonl.gz --account alice",
    )(show)
    app.add_typer(group, name="retention", rich_help_panel=PANEL)


def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be archived.")] = False,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="WHEN", help="All older entries, instead of what the workspace has set."),
    ] = None,
    yes: Yes = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Archive the entries that are older than `retention_days` of their workspace, beside a running server.

    The file comes first, checkpoints take the place of what is in it. Ended early it loses nothing: run it again.
    """
    from farthing.retention.retiring import NoFolder, Wanted, retire_all

    backend, limit = current(database_url(db)), None if before is None else read_moment(before, "before")
    with opened(db) as ledger:
        now = ledger.clock.now_us()
        named = choose_workspace(ledger, workspace).id if workspace or before else None
    if limit is not None and limit > now:
        raise usage("--before must not be in the future")
    if limit is not None and not dry_run:
        confirm(f"Archive all entries of {named} before {write_time(limit)}?", yes)
    began = time.monotonic()
    with progress("archived") as told:
        try:
            found = retire_all(
                backend.place,
                Wanted(folder_for(backend.place), now, named, limit, dry_run),
                lambda what, entries: told(entries, None, what),
            )
        except NoFolder as error:
            raise Trouble("archive_dir_missing", str(error), Exit.USAGE) from error
    data = {"dry_run": dry_run, "data": [_done(each) for each in found], "seconds": round(time.monotonic() - began, 3)}
    return Answer(data, "\n".join(map(_in_words, found)) or "no workspace has set retention_days: nothing is archived")


def folder_for(place: Any) -> Path | None:
    """Where the archive files of a database go."""
    from farthing.retention.retiring import folder_of
    from farthing.settings import read_settings

    return folder_of(place, read_settings().archive_dir)


def _done(done: "Done") -> dict[str, Any]:
    return {
        "workspace": done.workspace,
        "before": write_time(done.before),
        "accounts": done.accounts,
        "entries": done.entries,
        "messages": done.messages,
        "file": done.file or None,
        "left": [{"account": account, "reason": why} for account, why in done.left],
        "left_in_all": done.skipped,
    }


def _in_words(done: "Done") -> str:
    where = f", in {done.file}" if done.file else ""
    more = f"; {many(done.messages, 'message')} of providers without what they said" if done.messages else ""
    lines = [
        f"{done.workspace}: {many(done.entries, 'entry', 'entries')} of {many(done.accounts, 'account')}{where}{more}"
    ]
    lines += [clean(f"  left for now: {account}: {why}") for account, why in done.left[:10]]
    return "\n".join([*lines, *([f"  and {done.skipped - 10:,} more"] if done.skipped > 10 else [])])


def status(db: Db = None, as_json: Json = False) -> Answer:
    """How long each workspace keeps its entries, what is archived of it, and where the files are."""
    from contextlib import closing

    from farthing.retention.archive import archives_in
    from farthing.stores.doctor import open_source
    from farthing.stores.retention import Retaining

    place = current(database_url(db)).place
    folder = folder_for(place)
    with closing(Retaining(open_source(place, read_only=True))) as ledger, ledger.snapshot():
        days, totals = ledger.days(), {each.workspace: each for each in ledger.totals()}
    files = archives_in(folder) if folder and folder.is_dir() else []
    told: list[dict[str, Any]] = []
    for workspace, kept in days.items():
        found = totals.get(workspace)
        told.append(
            {
                "workspace": workspace,
                "retention_days": kept,
                "accounts": found.accounts if found else 0,
                "entries": found.entries if found else 0,
                "until": write_time(found.until) if found else None,
                "last_run": write_time(found.made_at) if found else None,
            }
        )
    size = sum(file.stat().st_size for file in files)
    data = {"folder": str(folder) if folder else None, "files": len(files), "bytes": size, "data": told}
    rows: list[tuple[str, ...]] = [("WORKSPACE", "DAYS", "ACCOUNTS", "ENTRIES", "UNTIL", "LAST RUN")]
    rows += [
        (
            str(each["workspace"]), str(each["retention_days"] or "all"), f"{each['accounts']:,}",
            f"{each['entries']:,}",
            each["until"] or "-", each["last_run"] or "-",
        )
        for each in told
    ]  # fmt: skip
    where = (
        f"{many(len(files), 'archive file')}, {size:,} bytes, in {folder}"
        if folder
        else "FARTHING_ARCHIVE_DIR is not set"
    )
    return Answer(data, f"{columns(rows, right=(1, 2, 3))}\n{where}")


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Archive files.")], as_json: Json = False
) -> Answer:
    """Whether archive files are whole and as they were written; `doctor --archive` checks what they say."""
    from farthing.retention.archive import ArchiveError

    told, wrong = [], 0
    for file in files:
        facts: dict[str, Any] = {"file": str(file), "ok": True}
        try:
            archive = _archive(file)
            found = archive.verify()
            facts |= _head(archive) | {"entries": found.entries, "accounts": found.accounts, "sha256": found.sha256}
        except ArchiveError as error:
            wrong += 1
            facts |= {"ok": False, "error": str(error)}
        told.append(facts)
    lines = [
        f"{each['file']}: {many(each['entries'], 'entry', 'entries')} of {many(each['accounts'], 'account')}"
        if each["ok"]
        else clean(f"{each['file']}: {each['error']}")
        for each in told
    ]
    return Answer({"ok": not wrong, "data": told}, "\n".join(lines), Exit.NO if wrong else Exit.OK)


def show(
    file: File,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this one's entries.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Entries to show.")] = SHOWN,
    as_json: Json = False,
) -> Answer | None:
    """The entries in an archive file; with --json one on each line."""
    from farthing.retention.archive import ArchiveError

    try:
        archive = _archive(file)
        lines = islice(_lines(archive, account), limit)
        if as_json:
            for line in lines:
                write_json(_facts(line))
            return None
        rows: list[tuple[str, ...]] = [("NUMBER", "TIME", "ACCOUNT", "KIND", "AMOUNT", "BALANCE", "KEY")]
        rows += [_row(line) for line in lines]
    except ArchiveError as error:
        raise Trouble("archive_damaged", str(error), Exit.NO) from error
    head = {name: str(value) for name, value in _head(archive).items()}
    return Answer({}, f"{pairs(head)}\namounts are smallest units\n\n{columns(rows, right=(0, 4, 5))}")


def _archive(file: Path) -> "Archive":
    from farthing.retention.archive import Archive

    return Archive(file)


def _lines(archive: "Archive", account: str | None) -> "Iterator[Line]":
    from farthing.retention.archive import Line

    found = (line for line in archive.lines() if isinstance(line, Line))
    return (line for line in found if account in (None, line.entry.account))


def _head(archive: "Archive") -> dict[str, Any]:
    header = archive.header
    return {
        "workspace": header.workspace,
        "made_at": write_time(header.made_at),
        "before": write_time(header.before),
    }


def _facts(line: "Line") -> dict[str, Any]:
    import msgspec

    facts: dict[str, Any] = msgspec.to_builtins(line)
    return facts


def _row(line: "Line") -> tuple[str, ...]:
    e = line.entry
    return (
        str(e.number), write_time(e.at) or "", e.account, e.kind, f"{e.amount:,}", f"{e.balance:,}", e.key or ""
    )  # fmt: skip
