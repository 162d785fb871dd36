"""Moving: `copy` brings a whole ledger into another database, and proves that it is there."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble
from .opening import existing, named
from .options import Json, enter
from .output import Answer, Progress, clean, many, pairs, progress

if TYPE_CHECKING:
    from farthing.backends import Backend
    from farthing.copying import Copied, Workspace
    from farthing.copying import Progress as Told

PANEL = "Care"
EVERY_SECONDS = 1.0
FINDINGS = 20
"""How many of doctor's findings are told."""
_EXITS = {
    "target_exists": Exit.NO,
    "source_changed": Exit.NO,
    "copy_failed": Exit.NO,
    "schemas_differ": Exit.DATABASE,
    "in_use": Exit.UNAVAILABLE,
}

From = Annotated[str, typer.Option("--from", metavar="URL", help="The ledger that there is.")]
To = Annotated[str, typer.Option("--to", metavar="URL", help="The database that is to have it: new, or without data.")]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", help="Whoever else is connected to a PostgreSQL database of the two does not write (a monitor)."
    ),
]
Doctor = Annotated[
    bool, typer.Option("--doctor/--no-doctor", help="Have doctor look at the copy before it may be used.")
]


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "copy",
        "$ farthing copy --from sqlite:///farthing.db --to postgresql://farthing@localhost/farthing",
        "$ farthing copy --from postgresql://farthing@localhost/farthing --to sqlite:////srv/ledger.db --json",
        panel=PANEL,
    )(copy)


def copy(source: From, target: To, offline: Offline = False, doctor: Doctor = True, as_json: Json = False) -> Answer:
    """Copy a whole ledger into another database, in any direction, and compare: rows, totals, then doctor.

    Nobody may write meanwhile: stop `serve` first. A SQLite file that is served is refused, and so is a PostgreSQL
    database while anybody else is connected (see --offline); the source is locked against writing, and left as it is.
    Killed or failed, it goes on where it was when the same command is run again. Until it is complete nothing opens
    the target.
    """
    from farthing.copying import copy as move
    from farthing.stores.copying import CopyError

    here, there = existing(source), named(target)
    _make(here, there)
    try:
        with progress("rows copied") as told:
            made = move(
                here.place, there.place, offline=offline, examine=_findings if doctor else None, on_progress=_rate(told)
            )
    except CopyError as error:
        raise Trouble(error.code, str(error), _EXITS[error.code]) from error
    return _answer(made, here.address, there.address)


def _make(here: "Backend", there: "Backend") -> None:
    """A schema where there is none, once it is known that there is something to copy."""
    status = here.schema()
    if status.applied and not status.pending and not (there.exists() and there.schema().applied):
        there.migrate()


def _findings(place: Any) -> list[str]:
    from farthing.doctor import examine

    report = examine(place)
    told = [f"{each.workspace}/{each.account}: {each.sentence}" for each in report.findings[:FINDINGS]]
    return told + ([f"and {report.found - FINDINGS:,} more"] if report.found > FINDINGS else [])


def _rate(told: Progress) -> "Told":
    """Progress with the rows a second of this run, and the time that is left at that rate."""
    began, first, last = time.monotonic(), -1, 0.0

    def tell(what: str, done: int, total: int) -> None:
        nonlocal first, last
        now = time.monotonic()
        first = done if first < 0 and total else first
        if now - last < EVERY_SECONDS and done != total:
            return
        last = now
        rate = int((done - first) / (now - began)) if first >= 0 and now > began else 0
        left = f", {(total - done) // rate:,} s left" if rate else ""
        told(done, total or None, f"{what}, {rate:,} rows/s{left}" if total else what)

    return tell


def _answer(made: "Copied", source: str, target: str) -> Answer:
    data = {
        "ok": made.complete,
        "from": source,
        "to": target,
        "resumed": made.resumed,
        "rows": made.rows,
        "workspaces": {name: _totals(each) for name, each in made.totals.items()},
        "left_out": made.left_out,
        "differences": made.differences,
        "doctor": None if made.findings is None else {"ok": not made.findings, "findings": made.findings},
        "seconds": round(made.seconds, 3),
    }
    notes = [f"left out, since they are not Farthing's: {', '.join(made.left_out)}"] if made.left_out else []
    return Answer(data, _text(made, target), Exit.OK if made.complete else Exit.NO, notes)


def _totals(workspace: "Workspace") -> dict[str, Any]:
    from farthing.core.amounts import write_amount

    counts = {"accounts": workspace.accounts, "entries": workspace.entries, "keys": workspace.keys}
    return counts | {name: write_amount(amount, workspace.scale) for name, amount in workspace.sums.items()}


def _text(made: "Copied", target: str) -> str:
    wrong = [clean(each) for each in (*made.differences, *(made.findings or ()))]
    if made.differences:
        return "\n".join([*wrong, "the two sides differ: the target can't be used; empty it and copy anew"])
    if wrong:
        said = "the copy is what the source is, and doctor finds this wrong: look at the source with `farthing doctor`"
        return "\n".join([*wrong, f"{said}. The target can't be used until a run with --no-doctor says that it may"])
    counts = {
        name: f"{many(each.accounts, 'account')}, {many(each.entries, 'entry', 'entries')}"
        for name, each in made.totals.items()
    }
    looked = "and doctor found nothing" if made.findings is not None else "doctor has not looked"
    rows = many(sum(made.rows.values()), "row is", "rows are")
    return f"{pairs(counts)}\n{rows} in {target}: both sides have the same totals, {looked}".lstrip()
