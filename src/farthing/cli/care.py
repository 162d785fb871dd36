"""Care of a ledger: `doctor`, `rebuild`, `backup`, `restore`; all but restore work beside a running server."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import actor, choose_workspace, current, database_url, existing_file, file_named, opened
from .options import Account, Db, In, Json, Yes, enter
from .output import Answer, clean, confirm, many, progress, say

if TYPE_CHECKING:
    from farthing.doctor import Finding, Report
    from farthing.rebuild import Rebuilt
    from farthing.stores.backup import Copied

PANEL = "Care"


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    enter(
        app,
        "doctor",
        "$ farthing doctor",
        "$ farthing doctor --deep --json",
        "$ farthing doctor --archive farthing.db.archive",
        panel=PANEL,
    )(doctor)
    enter(
        app, "rebuild", "$ farthing rebuild alice --check", "$ farthing rebuild alice --apply --yes --json", panel=PANEL
    )(rebuild)
    enter(app, "backup", "$ farthing backup backups/monday.db", "$ farthing backup latest.db --replace", panel=PANEL)(
        backup
    )
    enter(
        app,
        "restore",
        "$ farthing restore backups/monday.db",
        "$ farthing restore backups/monday.db --db sqlite:////srv/ledger.db --yes",
        panel=PANEL,
    )(restore)


# Doctor


def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also have the database check every page and index.")] = False,
    archive: Annotated[
        list[Path] | None,
        typer.Option(
            "--archive", metavar="PATH", help="Also read archived entries: a file, or a folder of them. Repeatable."
        ),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Check a live ledger: that every key stands once, every balance is what its entries say, no entry was changed.

    Names each account that is wrong, and why; exit code 1 if there is one. It only reads, in constant memory.
    """
    from farthing.doctor import examine

    place = current(database_url(db)).place
    # On a terminal they come after the progress bar, which they would tear.
    streaming = not as_json and not sys.stdout.isatty()

    def tell(finding: "Finding") -> None:
        if streaming:
            print(clean(_finding_text(finding)), flush=True)

    with progress("examined") as told:
        report = examine(
            place,
            deep=deep,
            archives=archive_files(archive or []),
            on_progress=lambda what, done, all: told(done, all or None, what),
            on_finding=tell,
        )
    lines = [] if streaming else [clean(_finding_text(each)) for each in report.findings]
    if not streaming and report.found > len(report.findings):
        lines.append(f"and {report.found - len(report.findings):,} more")
    text = "\n".join([*lines, _report_text(report)])
    return Answer(_report_facts(report), text, Exit.OK if report.healthy else Exit.NO)


def archive_files(paths: list[Path]) -> list[Path]:
    """The archive files that are named, and those of folders that are."""
    from farthing.retention.archive import archives_in

    found = [file for path in paths for file in (archives_in(path) if path.is_dir() else [path])]
    if paths and not found:
        raise usage(f"there is no archive file in {paths[0]}")
    return found


def _finding_text(finding: "Finding") -> str:
    where = f"{finding.workspace}/{finding.account}" if finding.account else "the database"
    return f"{where}: {finding.sentence} (law {finding.law})"


def _report_text(report: "Report") -> str:
    seen = f"{many(report.accounts, 'account')}, {many(report.entries, 'entry', 'entries')}, {many(report.keys, 'key')}"
    if report.archived:
        seen += f", {many(report.archived, 'archived entry', 'archived entries')}"
    if report.healthy:
        return f"all is well: {seen}"
    return (
        f"{many(report.found, 'finding')}, {many(report.wrong_accounts, 'account is', 'accounts are')} wrong, of {seen}"
    )


def _report_facts(report: "Report") -> dict[str, Any]:
    return {
        "ok": report.healthy,
        "accounts": report.accounts,
        "entries": report.entries,
        "archived": report.archived,
        "keys": report.keys,
        "payments": report.payments,
        "wrong_accounts": report.wrong_accounts,
        "found": report.found,
        "findings": [
            {"law": each.law, "workspace": each.workspace, "account": each.account, "sentence": each.sentence}
            for each in report.findings
        ],
        "seconds": round(report.seconds, 3),
    }


# Rebuild


def rebuild(
    account: Account,
    check: Annotated[bool, typer.Option("--check", help="Only say what differs; exit code 1 if something.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Write what differs, in one transaction, audited.")] = False,
    yes: Yes = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Make the rows of an account again from its entries, which are what is right; entries are never changed."""
    from farthing.core.commands import text_error
    from farthing.rebuild import NothingToRebuild
    from farthing.rebuild import rebuild as compare_and_write

    if check == apply:
        raise usage("say either --check or --apply")
    if wrong := text_error(account):
        raise invalid("account", wrong)
    place = current(database_url(db)).place
    with opened(db) as ledger:
        chosen = choose_workspace(ledger, workspace).id
    try:
        found = compare_and_write(place, chosen, account)
        if apply and found.differences and not found.broken:
            for each in found.differences:
                say(each)
            confirm(f"Write {many(len(found.differences), 'difference')} of {account}?", yes)
            now_us = time.time_ns() // 1000
            found = compare_and_write(place, chosen, account, apply=True, actor=actor(), at=now_us)
    except NothingToRebuild as error:
        raise Trouble("account_not_found", str(error), Exit.NO, account=account) from error
    return _rebuilt(found)


def _rebuilt(found: "Rebuilt") -> Answer:
    right = not (found.broken or found.lasting or (found.differences and not found.applied))
    data = {
        "ok": right,
        "workspace": found.workspace,
        "account": found.account,
        "entries": found.entries,
        "differences": found.differences,
        "lasting": found.lasting,
        "broken": found.broken,
        "applied": found.applied,
        "refused": found.refused or None,
    }
    entries = many(found.entries, "entry", "entries")
    lines = [clean(each) for each in (*found.broken, *found.lasting, *found.differences)]
    if found.broken:
        lines.append("entries themselves are wrong, and nothing says what would be right: restore a backup")
    elif found.applied:
        lines.append(f"{many(len(found.differences), 'difference was', 'differences were')} put right from {entries}")
    elif not lines:
        lines.append(f"nothing differs: what is stored agrees with {entries}")
    return Answer(data, "\n".join(lines), Exit.OK if right else Exit.NO)


# Backup and restore


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make.")],
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a file that is there.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Copy the ledger to a file, beside a running server; the copy is checked before it gets its name.

    The whole ledger is in the one file. API keys are in it as hashes only.
    """
    from farthing.stores.backup import backup as copy

    path = existing_file(database_url(db), "backup")
    with progress("pages copied") as told:
        made = copy(path, file, replace=replace, on_progress=told)
    return Answer(_copied_facts(made), f"{_copied_text(made)}, from {path}")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Keep the database that is replaced, under another name.")
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Restore it though doctor finds something wrong in it.")
    ] = False,
    yes: Yes = False,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Put a backup in the place of the database, which nobody may be using; doctor looks at it first.

    What was booked since the backup is not in it: keep the old database until you know what became of that.
    """
    from farthing.stores.backup import restore as put_back

    # Its folder under its real name: a lock file must not be taken twice by two names.
    target = file_named(database_url(db), "restore")
    target = target.parent.resolve() / target.name
    if target.exists():
        fate = "It is kept under another name." if keep else "It is deleted."
        confirm(f"Replace the database {target} by {file}? {fate}", yes)
    with progress("pages copied") as told:
        made = put_back(
            file, target, replace=target.exists(), keep=keep, force=force, examine=_wrong_in, on_progress=told
        )
    notes = [f"it is of an older Farthing: run `farthing migrate` ({', '.join(made.pending)})"] if made.pending else []
    kept = f"; the one before is kept as {made.aside}" if made.aside else ""
    data = _copied_facts(made) | {"aside": made.aside, "pending": made.pending}
    return Answer(data, f"{_copied_text(made)}, from {file}{kept}", notes=notes)


def _wrong_in(path: Path) -> list[str]:
    """What doctor says of a copy; one of an older schema can't be judged before it is migrated."""
    from farthing.doctor import examine
    from farthing.stores.schema import schema_of

    if schema_of(path).pending:
        return []
    return [_finding_text(each) for each in examine(path).findings]


def _copied_facts(made: "Copied") -> dict[str, Any]:
    return {
        "path": made.path,
        "bytes": made.size,
        "entries": made.entries,
        "accounts": made.accounts,
        "seconds": round(made.seconds, 3),
    }


def _copied_text(made: "Copied") -> str:
    entries = many(made.entries, "entry", "entries")
    return f"{made.path}: {entries} of {many(made.accounts, 'account')}, {made.size:,} bytes"
