"""`import`: what another system has, from a file of JSON lines into the books."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import Desk, actor, choose_workspace, database_url, existing
from .options import Db, In, Json, enter
from .output import Answer, columns, many, progress
from .refusals import sentence

if TYPE_CHECKING:
    from farthing.importing.asking import Into
    from farthing.importing.carrying import Carried, Ledger, Refusing
    from farthing.importing.files import Lines
    from farthing.importing.survey import Known, Survey

STDIN = "-"
DEFAULT_SOURCE = "import"
SHOWN = 20
"""Problems and refusals that people are shown; --json has the first fifty."""
BATCH = 512
"""Commands that share a commit, at most."""
GARBAGE_AFTER = 50_000
LANES = 2
"""On a server: while one batch is on its way, the next is decided."""
_WORDS = {"user_taken": "his name or his address is somebody else's here"}


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "import",
        "$ farthing import old.jsonl --dry-run",
        "$ farthing import old.jsonl --apply --json",
        "$ psql -XAt -f export.sql old | farthing import - --apply",
        panel="Moving in",
    )(import_file)


def import_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="One JSON object a line; - is standard input.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read it all, say what would be done and what is wrong; write nothing.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Do it, if nothing is wrong with the file.")] = False,
    source: Annotated[
        str, typer.Option("--source", metavar="NAME", help="The other system, where the file does not name it.")
    ] = DEFAULT_SOURCE,
    no_totals: Annotated[
        bool, typer.Option("--no-totals", help="Take a file without totals: nobody knows whether it was cut off.")
    ] = False,
    gentle: Annotated[
        bool, typer.Option("--gentle", help="Leave the ledger to a busy server for nine tenths of the time.")
    ] = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Bring accounts, credits, people, spent keys, payments and subscriptions of another system; each of them once.

    The whole file is read before anything is written. Interrupted, or run again, it goes on: what is there already is
    counted and left as it is. At the end the ledger is held against the file; exit code 0 means that it is all there.
    """
    if dry_run == apply:
        raise usage("say what is meant: --dry-run, or --apply")
    with _lines(file) as lines, _desk(db, workspace) as desk:
        return _Importing(desk, lines, file, dry_run, gentle).run(_read_source(source), needs_totals=not no_totals)


def _read_source(source: str) -> str:
    from farthing.importing.form import Wrong
    from farthing.importing.survey import require_source

    try:
        require_source(source)
    except Wrong as wrong:
        raise invalid("source", wrong.message) from wrong
    return source


@contextmanager
def _lines(file: str) -> "Iterator[Lines]":
    from farthing.importing.files import Changed, Lines

    try:
        opened = sys.stdin.buffer if file == STDIN else Path(file).open("rb")  # noqa: SIM115  # closed with the lines
    except OSError as error:
        raise usage(f"FILE can't be read: {error.strerror}: {file}") from error
    try:
        with Lines(opened) as lines:
            yield lines
    except Changed as error:
        raise Trouble("file_changed", f"{error}; run it again once it stays as it is", Exit.NO) from error


@contextmanager
def _desk(db: str | None, workspace: str | None) -> Iterator[Desk]:
    from farthing.app import open_ledger

    backend = existing(database_url(db))
    lanes = 1 if backend.dialect == "sqlite" else LANES
    with open_ledger(backend.url, max_batch=BATCH, lanes=lanes) as ledger, _little_garbage():
        yield Desk(ledger, choose_workspace(ledger, workspace))


@contextmanager
def _little_garbage() -> Iterator[None]:
    """What is there stays to the end, and what comes goes at once: nothing that has to be looked for often."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class _Importing:
    """One run of the command."""

    def __init__(self, desk: Desk, lines: "Lines", file: str, dry_run: bool, gentle: bool) -> None:
        self._desk = desk
        self._lines = lines
        self._file = file
        self._dry_run = dry_run
        self._gentle = gentle

    def run(self, source: str, *, needs_totals: bool) -> Answer:
        """All of it."""
        from farthing.importing.asking import Into
        from farthing.importing.survey import Surveyor
        from farthing.stores.scratch import Scratch

        w = self._desk.workspace
        into = Into(w.id, w.scale, source, actor(), self._desk.now_us())
        with closing(Scratch()) as scratch, progress("lines read") as told:
            surveyor = Surveyor(into, self._known(), scratch, needs_totals=needs_totals)
            survey = surveyor.read(self._lines, lambda done: told(done, None))
            if survey.problem_count:
                return self._answer(survey, None)
            carried = self._played(self._carry(survey, surveyor.into, scratch, told))
        return self._answer(survey, carried)

    def _known(self) -> "Known":
        from farthing.importing.survey import Known
        from farthing.stores.plans import Plans

        plans = self._desk.ledger.wait(Plans(self._desk.ledger.database).of(self._desk.workspace.id))
        return Known({kept.plan.id: kept for kept in plans}, self._desk.workspace.settings.max_live_grants)

    def _played(self, work: Any) -> Any:
        """The result of work that asks the engine for many things at a time: on the ledger's loop, or on one of its
        own."""
        if self._desk.ledger.backend.dialect == "sqlite":
            return asyncio.run(work)
        return self._desk.ledger.wait(work)

    async def _carry(self, survey: "Survey", into: "Into", scratch: Any, told: Any) -> "Carried":
        from farthing.importing.carrying import Carrier

        ledger = self._ledger()
        carrier = Carrier(
            ledger, into, survey, scratch, dry_run=self._dry_run, gentle=self._gentle, told=told
        )  # fmt: skip
        if self._dry_run:
            return await carrier.run(self._lines)
        about = {"file": self._file, "lines": survey.lines, "credits": self._desk.write(survey.credits)}
        await ledger.imports.note(into.workspace, ledger.act(), "import.begin", into.source, about)
        await carrier.run(self._lines)
        carried = await carrier.compare(self._lines)
        done = {
            "booked": self._desk.write(carried.booked), "refused": carried.refused_count,
            "written": {kind: count.written for kind, count in carried.counts.items()},
        }  # fmt: skip
        await ledger.imports.note(into.workspace, ledger.act(), "import.end", into.source, about | done)
        return carried

    def _ledger(self) -> "Ledger":
        from farthing.importing.carrying import Ledger
        from farthing.stores.imports import Imports
        from farthing.stores.plans import Plans
        from farthing.stores.prices import PriceStore

        desk = self._desk
        database = desk.ledger.database
        prices = PriceStore(database, desk.now_us)
        return Ledger(desk.ledger.engine, Imports(database), Plans(database), prices, desk.act)

    # What is said

    def _answer(self, survey: "Survey", carried: "Carried | None") -> Answer:
        """Facts for programs, sentences for people; `carried` None: the file was not right, nothing was done."""
        right = carried is not None and not (carried.refused_count or carried.missing_count)
        data = self._facts(survey, carried) | {"ok": right}
        text = self._text(survey, carried)
        return Answer(data, text, Exit.OK if right else Exit.NO)

    def _facts(self, survey: "Survey", carried: "Carried | None") -> dict[str, Any]:
        counts = {} if carried is None else carried.counts
        types = {kind: {name: getattr(c, name) for name in c.__struct_fields__} for kind, c in counts.items()}
        compared = carried is not None and not self._dry_run
        return {
            "workspace": self._desk.workspace.id, "source": survey.source, "dry_run": self._dry_run,
            "lines": survey.lines, "repeated": survey.repeated, "accounts": survey.accounts,
            "credits": self._desk.write(survey.credits), "lapsed": survey.lapsed, "types": types,
            "expected": self._desk.write(carried.expected) if carried and compared else None,
            "booked": self._desk.write(carried.booked) if carried and compared else None,
            "problem_count": survey.problem_count,
            "problems": [{"line": p.line, "field": p.field, "message": p.message} for p in survey.problems],
            "refused_count": carried.refused_count if carried else 0,
            "refused": [self._refusal(r) for r in carried.refused] if carried else [],
            "missing_count": carried.missing_count if carried else 0,
            "missing": carried.missing if carried else [],
        }  # fmt: skip

    def _refusal(self, r: "Refusing") -> dict[str, Any]:
        return {"line": r.line, "type": r.type, "name": r.name, "code": r.code, "message": self._why(r)}

    def _why(self, r: "Refusing") -> str:
        from farthing.core.outcomes import Refusal

        if r.code in list(Refusal):
            facts = {**r.facts, "unit": self._desk.workspace.unit}
            return sentence(Refusal(r.code), facts)
        return _WORDS.get(r.code) or str(r.facts.get("message", r.code))

    def _text(self, survey: "Survey", carried: "Carried | None") -> str:
        if carried is None:
            return "\n".join([*_problems(survey), "nothing was done"])
        rows = [("TYPE", "READ", "WOULD BE WRITTEN" if self._dry_run else "WRITTEN", "THERE", "REFUSED", "LEFT OUT")]
        for kind, c in carried.counts.items():
            rows.append((kind, *(f"{n:,}" for n in (c.read, c.written, c.there, c.refused, c.left_out))))  # type: ignore[arg-type]
        told = [columns(rows, right=(1, 2, 3, 4, 5))] if len(rows) > 1 else []
        told += [f"line {r.line}: {r.type} {r.name}: {self._why(r)}" for r in carried.refused[:SHOWN]]
        if carried.refused_count > SHOWN:
            told.append(f"and {carried.refused_count - SHOWN:,} more were refused")
        return "\n".join([*told, *self._sums(survey, carried)])

    def _sums(self, survey: "Survey", carried: "Carried") -> list[str]:
        unit, write = self._desk.workspace.unit, self._desk.write
        told = [f"{many(survey.lines, 'line')}, {survey.repeated:,} of them again what another says"]
        if survey.lapsed:
            told.append(f"{many(survey.lapsed, 'grant is', 'grants are')} over: entered, and lapsed at once")
        in_all = f"{write(survey.credits)} {unit} on {many(survey.accounts, 'account')}"
        if self._dry_run:
            return [*told, f"the file comes to {in_all}; nothing was written"]
        told.append(f"the file comes to {in_all}; of {write(carried.expected)} the ledger has {write(carried.booked)}")
        if carried.missing_count:
            lines = ", ".join(map(str, carried.missing[:SHOWN]))
            told.append(
                f"{many(carried.missing_count, 'line is', 'lines are')} not in the ledger as the file says: {lines}"
            )
        return told


def _problems(survey: "Survey") -> list[str]:
    told = [f"line {p.line}: {p.field} {p.message}" for p in survey.problems[:SHOWN]]
    more = survey.problem_count - len(told)
    return told + ([f"and {many(more, 'more problem')}"] if more else [])
