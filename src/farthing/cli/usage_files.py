"""Files of usage: `usage import` charges what spans and JSON lines tell of, `usage reconcile` holds a provider's own
export against the ledger.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .asking import Url, client_of, trouble_of
from .exits import Exit, Trouble, invalid, usage
from .options import Db, In, Json, enter
from .output import Answer, columns, many, progress, say

if TYPE_CHECKING:
    from farthing.usage_import.charging import Imported
    from farthing.usage_import.drift import Compared, Figures
    from farthing.usage_import.exports import Export
    from farthing.usage_import.reconciling import Span
    from farthing.usage_import.source import Problem

STDIN = "-"
SHOWN = 50
"""Differences that people are shown; --json has all."""

File = Annotated[str, typer.Argument(metavar="FILE", help="The file; - is standard input.")]


def register(group: typer.Typer) -> None:
    """Enter the commands among those of usage."""
    enter(
        group,
        "import",
        "$ farthing usage import spans.jsonl --dry-run",
        "$ farthing usage import spans.jsonl --account-attribute tenant.id --service chat",
        "$ farthing usage import usage.jsonl --format jsonl --url https://credits.example.com --json",
    )(import_file)
    enter(
        group,
        "reconcile",
        "$ farthing usage reconcile completions_usage_2026-11.csv",
        "$ farthing usage reconcile messages.json --from 2026-11-01 --to 2026-11-30 --tolerance 0.5 --json",
        "$ farthing usage reconcile bill.csv --provider mistral",
    )(reconcile)


@contextmanager
def _path(file: str) -> Iterator[Path]:
    """A file that can be read more than once."""
    if file == STDIN:
        with tempfile.NamedTemporaryFile() as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
            kept.flush()
            yield Path(kept.name)
        return
    path = Path(file)
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise usage(f"FILE can't be read: {error.strerror}: {file}") from error
    yield path


# Importing


def import_file(
    file: File,
    format: Annotated[
        Literal["otel", "jsonl", "auto"], typer.Option("--format", help="What is in it; auto looks at the beginning.")
    ] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be charged; write nothing.")] = False,
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="The service of it all. Default: as the file says.")
    ] = None,
    account_attribute: Annotated[
        str, typer.Option("--account-attribute", metavar="NAME", help="What says whose a span is, or a line.")
    ] = "user.id",
    shortfall: Annotated[
        Literal["debt", "take", "refuse"],
        typer.Option("--shortfall", help="What becomes of usage that the account can't pay for any more."),
    ] = "debt",
    url: Url = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Charge what OpenTelemetry spans or JSON lines tell of, each of them once, at the time and the prices of its use.

    Interrupted, or run again, it goes on: what was charged is known by its key, that of the span or the line's id. What
    fails is told with its place and goes later, once what is wrong is put right; the exit code is then 1.
    """
    from farthing.usage_import.charging import Stopped, Wanted, import_usage
    from farthing.usage_import.source import Source

    wanted = Wanted(
        form=None if format == "auto" else format, account_attribute=account_attribute, service=service or "",
        shortfall=shortfall, dry_run=dry_run,
    )  # fmt: skip
    failed: list[Problem] = []

    def failing(problem: "Problem") -> None:
        failed.append(problem)
        if not as_json:
            say(f"{problem.place}: {problem.reason}")

    with _path(file) as path, client_of(url, workspace, db) as client, progress("read") as told:
        unit = client.settings.get().workspace.unit
        try:
            done = import_usage(client, Source(path), wanted, failing=failing, told=lambda read: told(read, None))
        except Stopped as stopped:
            trouble = trouble_of(stopped.error)
            message = f"{trouble.message} ({stopped.done.charged:,} were charged before; run again, it goes on)"
            raise Trouble(trouble.code, message, trouble.exit, charged=stopped.done.charged) from stopped
    return Answer(_imported(done, failed, unit, dry_run), _told(done, unit, dry_run), Exit.NO if failed else Exit.OK)


def _imported(done: "Imported", failed: "list[Problem]", unit: str, dry_run: bool) -> dict[str, Any]:
    return {
        "format": done.form, "dry_run": dry_run, "read": done.read, "charged": done.charged, "there": done.there,
        "unpriced": done.unpriced, "amount": format(done.amount, "f"), "unit": unit,
        "left_out": dict(sorted(done.left_out.items())), "failed_count": done.failed,
        "failed": [{"place": p.place, "key": p.key or None, "code": p.code, "message": p.reason} for p in failed],
    }  # fmt: skip


def _told(done: "Imported", unit: str, dry_run: bool) -> str:
    from farthing.usage_import.calls import LEFT

    read = many(done.read, "span" if done.form == "otel" else "line")
    would = "would be charged" if dry_run else "charged"
    told = [f"{read}: {done.charged:,} {would}, {done.amount:f} {unit}"]
    if done.unpriced:
        told.append(f"{done.unpriced:,} of them without a price: recorded, and nothing taken")
    if done.there:
        told.append(f"{done.there:,} charged before")
    told += [f"{number:,} {LEFT[left]}: left out" for left, number in sorted(done.left_out.items())]
    if done.failed:
        told.append(f"{done.failed:,} failed; put right what was said of them, and run it again")
    return "\n".join(told)


# Reconciling


def reconcile(
    file: File,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="From this UTC day on. Default: the file's first.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Until this UTC day, included. Default: the file's last.")
    ] = None,
    tolerance: Annotated[
        str, typer.Option("--tolerance", metavar="PERCENT", help="What may differ, of what the provider says.")
    ] = "0",
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help="Whose usage it is, where the file does not say.")
    ] = None,
    url: Url = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Compare a provider's usage export with the ledger, by model and UTC day: tokens, and cost where both say it.

    Takes what the usage APIs of OpenAI and Anthropic answer (grouped by model), the CSV files of their consoles, and
    CSV or JSON lines with day, model, input_tokens and output_tokens. Nothing is changed; the exit code is 1 where
    something differs.
    """
    from farthing.usage_import.exports import read_export
    from farthing.usage_import.reconciling import reconcile, span_of
    from farthing.usage_import.source import NotThatFile

    allowed = _percent(tolerance)
    first, last = _day(since, "from"), _day(until, "to")
    with _path(file) as path:
        try:
            export = read_export(path)
            span = span_of(export, first, last)
        except NotThatFile as error:
            raise invalid("FILE", f"can't be taken: {error}") from error
    if export.problems:
        listed = "; ".join(f"{p.place}: {p.reason}" for p in export.problems[:5])
        more = f"; and {len(export.problems) - 5:,} more" if len(export.problems) > 5 else ""
        raise invalid("FILE", f"can't be compared as long as rows of it can't be read: {listed}{more}")
    if span is None or span.first > span.last:
        raise invalid("FILE", "speaks of no day that is to be compared")
    with client_of(url, workspace, db) as client, progress("days") as told:
        done = reconcile(client, export, span, provider=provider or "", tolerance=allowed, told=told)
    return Answer(_facts(done, export, span), _text(done, span), Exit.OK if done.agrees else Exit.NO, _notes(export))


def _percent(text: str) -> Decimal:
    try:
        percent = Decimal(text)
    except InvalidOperation:
        percent = Decimal(-1)
    if not 0 <= percent <= 100:
        raise invalid("tolerance", f"must be a percentage from 0 to 100, not {text!r}")
    return percent


def _day(text: str | None, field: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise invalid(field, f"must be a day such as 2026-11-01, not {text!r}") from error


def _facts(done: "Compared", export: "Export", span: "Span") -> dict[str, Any]:
    return {
        "format": export.kind, "complete": export.complete, "from": span.first.isoformat(),
        "to": span.last.isoformat(), "agrees": done.agrees, "rows": len(export.rows), "others": export.others,
        "models": [
            {"provider": t.provider or None, "model": t.model, "there": _side(t.there), "here": _side(t.here),
             "drift": _drift(t.there, t.here), "found": t.found}
            for t in done.totals
        ],
        "findings": [
            {"kind": f.kind, "day": f.day.isoformat(), "provider": f.provider or None, "model": f.model,
             "there": _side(f.there), "here": _side(f.here), "drift": _drift(f.there, f.here)}
            for f in done.findings
        ],
    }  # fmt: skip


def _side(f: "Figures") -> dict[str, Any]:
    cost = None if f.cost is None else format(f.cost, "f")
    return {"requests": f.requests, "input_tokens": f.input_tokens, "output_tokens": f.output_tokens, "cost": cost}


def _drift(there: "Figures", here: "Figures") -> dict[str, Any]:
    """What the ledger has more, or less."""
    cost = None if there.cost is None or here.cost is None else format(here.cost - there.cost, "f")
    return {
        "input_tokens": here.input_tokens - there.input_tokens,
        "output_tokens": here.output_tokens - there.output_tokens, "cost": cost,
    }  # fmt: skip


_HEAD = ("IN THERE", "IN HERE", "OUT THERE", "OUT HERE", "COST THERE", "COST HERE")


def _text(done: "Compared", span: "Span") -> str:
    parts = [f"UTC days from {span.first} to {span.last}"]
    if done.totals:
        rows: list[tuple[str, ...]] = [("MODEL", *_HEAD, "DAYS THAT DIFFER")]
        rows += [
            (_name(t.provider, t.model), *_cells(t.there, t.here), _days(t.found)) for t in done.totals
        ]  # fmt: skip
        parts.append(columns(rows, right=range(1, 7)))
    if done.findings:
        found: list[tuple[str, ...]] = [("DAY", "WHAT", "MODEL", *_HEAD)]
        found += [
            (f.day.isoformat(), f.kind, _name(f.provider, f.model), *_cells(f.there, f.here))
            for f in done.findings[:SHOWN]
        ]
        parts.append(columns(found, right=range(3, 9)))
        if len(done.findings) > SHOWN:
            parts.append(f"and {len(done.findings) - SHOWN:,} more")
    else:
        parts.append("nothing differs")
    return "\n\n".join(parts)


def _name(provider: str, model: str) -> str:
    return f"{provider}/{model}" if provider else model


def _cells(there: "Figures", here: "Figures") -> tuple[str, ...]:
    def cost(f: "Figures") -> str:
        return "-" if f.cost is None else format(f.cost, "f")

    return (
        f"{there.input_tokens:,}", f"{here.input_tokens:,}", f"{there.output_tokens:,}", f"{here.output_tokens:,}",
        cost(there), cost(here),
    )  # fmt: skip


def _days(found: "dict[Any, int]") -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(found.items())) or "-"


def _notes(export: "Export") -> list[str]:
    notes = []
    if not export.complete:
        notes.append("the file says that there are more pages: it is not all of the export")
    if export.others:
        notes.append(
            f"{many(export.others, 'row has', 'rows have')} no tokens (images, speech), and nothing to compare"
        )
    return notes
