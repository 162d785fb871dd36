"""Jobs: `worker` does what time brings, `jobs list` shows it, `jobs retry` and `jobs run` hurry it, `events` tells what
became of it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .exits import Exit, Trouble, invalid
from .opening import actor, at_desk, choose_workspace, current, database_url, opened, played
from .options import Db, In, Json, enter
from .output import Answer, columns, write_json
from .periods import From, Timezone, To, read_bounds
from .reading import write_time
from .serve import ArchiveDir, FoldSeconds, RenewSeconds, SweepSeconds
from .setup import PANEL

if TYPE_CHECKING:
    from farthing.app import Ledger
    from farthing.core.jobs import Job
    from farthing.core.records import Event
    from farthing.jobs.runner import Ran
    from farthing.stores.pages import Position

MOST = 1_000
KindName = Annotated[str, typer.Argument(metavar="KIND", help="Such as renewals; `farthing jobs list` shows them.")]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    enter(
        app, "worker", "$ farthing worker", "$ farthing worker --once --json    (from a cron table)", panel=PANEL
    )(worker)  # fmt: skip
    group = typer.Typer(help="What time brings: lapses, renewals, the sums of reports; and what of it failed.")
    enter(group, "list", "$ farthing jobs list", "$ farthing jobs list --state parked --json")(list_all)
    enter(group, "retry", "$ farthing jobs retry renew alice", "$ farthing jobs retry renewals")(retry)
    enter(group, "run", "$ farthing jobs run renewals")(run)
    app.add_typer(group, name="jobs", rich_help_panel=PANEL)
    enter(
        app,
        "events",
        "$ farthing events",
        "$ farthing events --type jobs.failing --from 2026-11-01 --json",
        panel=PANEL,
    )(events)


# Doing


def worker(
    once: Annotated[bool, typer.Option("--once", help="Do all that is due, and end.")] = False,
    sweep_seconds: SweepSeconds = None,
    renew_seconds: RenewSeconds = None,
    fold_seconds: FoldSeconds = None,
    archive_dir: ArchiveDir = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option("--log-level", help="The least level that is logged. Default: info."),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer | None:
    """Do the jobs without serving HTTP, until SIGTERM, which lets what is in hand be done.

    Servers started with --no-jobs leave them to it. Any number of workers and servers share the work. Logs are JSON
    lines on standard error. With --once the exit code says whether something failed.
    """
    from farthing.settings import read_settings
    from farthing.working import work, work_once

    settings = read_settings(
        database_url=database_url(db), sweep_seconds=sweep_seconds, renew_seconds=renew_seconds,
        fold_seconds=fold_seconds, archive_dir=archive_dir, log_level=log_level,
    )  # fmt: skip
    address = current(settings.database_url).address
    if once:
        return _told(work_once(settings))
    work(settings, lambda: _working(address, as_json))
    return None


def _working(address: str, as_json: bool) -> None:
    if as_json:
        write_json({"working": address})
    else:
        print(f"working on {address}", flush=True)


def run(kind: KindName, db: Db = None, as_json: Json = False) -> Answer:
    """Do a job that stands now, whether it is due or not; one that is parked as well."""
    from farthing.jobs.kinds import KINDS

    if kind not in KINDS:
        raise invalid("kind", f"must be one of {', '.join(KINDS)}, not {kind!r}")
    with opened(db) as ledger:
        told = played(ledger, _run(ledger, kind))
    if told[0].skipped:
        raise Trouble("job_running", f"another process is doing {kind}", Exit.UNAVAILABLE, kind=kind)
    return _told(told)


async def _run(ledger: "Ledger", kind: str) -> "list[Ran]":
    """The runner is made on the loop that it runs on."""
    from farthing.desks import Unwatched, runner_on
    from farthing.settings import read_settings

    return await runner_on(ledger, read_settings(), Unwatched()).once([kind], "now")


def _told(runs: "Sequence[Ran]") -> Answer:
    facts = [
        {"kind": r.kind, "done": r.done, "failed": r.failed, "error": r.error or None, "skipped": r.skipped}
        for r in runs
    ]
    rows = [("JOB", "DONE", "FAILED", ""), *((r.kind, f"{r.done:,}", f"{r.failed:,}", _word(r)) for r in runs)]
    failed = any(r.failed or r.error for r in runs)
    return Answer({"jobs": facts, "failed": failed}, columns(rows), Exit.NO if failed else Exit.OK)


def _word(ran: "Ran") -> str:
    return "skipped: another process has it, or it failed and waits" if ran.skipped else ran.error


# Looking


def list_all(
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only those of one kind.")] = None,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help="Only those that are waiting, due, running, failed or parked."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help="Items to show.")] = 50,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """The jobs that stand, and what failed for accounts; with --kind account or renew, --state or --workspace that of
    one workspace."""
    from farthing.core.jobs import ITEMS, STATES
    from farthing.jobs.kinds import KINDS

    if state not in (None, *STATES):
        raise invalid("state", f"must be one of {', '.join(STATES)}, not {state!r}")
    if kind not in (None, *KINDS, *ITEMS):
        raise invalid("kind", f"must be one of {', '.join((*KINDS, *ITEMS))}, not {kind!r}")
    with opened(db) as ledger:
        now = ledger.clock.now_us()
        chosen = choose_workspace(ledger, workspace).id if workspace or state or kind in ITEMS else None
        found = ledger.wait(_standing(ledger, kind)) if kind not in ITEMS else []
        jobs = [job for job in found if state is None or job.state(now) == state]
        if kind not in KINDS:
            jobs += ledger.wait(_items(ledger, chosen, kind or "", state, limit))
    facts = [_facts(job, now) for job in jobs]
    heads = ("JOB", "OF", "STATE", "NEXT", "FAILED", "LAST RUN", "")
    rows = [heads, *(_row(job, told) for job, told in zip(jobs, facts, strict=True))]
    return Answer({"data": facts}, columns(rows))


async def _standing(ledger: "Ledger", kind: str | None) -> "list[Job]":
    from farthing.jobs.kinds import KINDS
    from farthing.stores.jobs import Jobs

    return await Jobs(ledger.database).standing([each for each in KINDS if kind in (None, each)])


async def _items(ledger: "Ledger", workspace: str | None, kind: str, state: Any, limit: int) -> "list[Job]":
    """Those of a workspace; without one, those of all that failed."""
    from farthing.stores.jobs import Jobs

    jobs = Jobs(ledger.database)
    if workspace is None:
        return await jobs.failing(limit)
    found: list[Job] = []
    after: Position | None = None
    while len(found) < limit:
        page = await jobs.page(
            workspace, kind=kind, state=state, at=ledger.clock.now_us(), after=after, limit=limit - len(found)
        )  # fmt: skip
        found, after = found + page.items, page.next
        if after is None:
            break
    return found


def _facts(job: "Job", at: int) -> dict[str, Any]:
    return {
        "kind": job.kind, "workspace": job.workspace or None, "subject": job.subject or None, "state": job.state(at),
        "due_at": write_time(job.due_at), "next_at": write_time(job.next_at), "attempts": job.attempts,
        "last_error": job.last_error, "last_run_at": write_time(job.ran_at), "outcome": job.outcome,
        "parked_at": write_time(job.parked_at),
    }  # fmt: skip


def _row(job: "Job", facts: dict[str, Any]) -> tuple[str, ...]:
    of = f"{job.workspace}/{job.subject}" if job.workspace else ""
    said = job.last_error if job.attempts else job.outcome
    return (
        job.kind, of, facts["state"], facts["next_at"] or "until retry", str(job.attempts or ""),
        facts["last_run_at"] or "", said or "",
    )  # fmt: skip


def retry(
    kind: KindName,
    subject: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT]", help="Of an item, such as renew: whose it is.")
    ] = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Have a job that failed, or is parked, tried again now, as if it never had."""
    from farthing.core.jobs import ITEMS
    from farthing.stores.access import AccessError, Act
    from farthing.stores.jobs import Jobs

    if (kind in ITEMS) != (subject is not None):
        raise invalid(
            "account",
            f"must be named: {kind} is a job of an account"
            if subject is None
            else f"must be left out: {kind} is of none",
        )
    with opened(db) as ledger:
        of = choose_workspace(ledger, workspace).id if subject else ""
        act = Act(actor(), ledger.clock.now_us())
        try:
            job = ledger.wait(Jobs(ledger.database).retry(kind, of, subject or "", act))
        except AccessError as error:
            raise Trouble(error.code, str(error), Exit.NO) from error
    return Answer(_facts(job, act.at), f"{kind}{f' of {subject}' if subject else ''} is tried again now")


def events(
    type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only those of one type, such as jobs.failing.")
    ] = None,
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help="Events to show.")] = 50,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """What happened in a workspace, and in the database as a whole, newest first."""
    from farthing.core.events import no_type
    from farthing.stores.events import Events

    if type is not None and (why := no_type(type)) is not None:
        raise invalid("type", why)
    start, end = read_bounds(since, until, timezone)
    with at_desk(db, workspace) as desk:
        store = Events(desk.ledger.database)
        pages = [
            desk.ledger.wait(store.page(of, type=type, since=start, until=end, limit=limit))
            for of in (desk.workspace.id, "")
        ]
    found = sorted((event for page in pages for event in page.items), key=lambda event: event.id, reverse=True)[:limit]
    rows = [("TIME", "WHAT", "ACCOUNT", ""), *map(_event_row, found)]
    return Answer({"workspace": desk.workspace.id, "data": [_event_facts(event) for event in found]}, columns(rows))


def _event_facts(event: "Event") -> dict[str, Any]:
    return {
        "id": event.id, "workspace": event.workspace or None, "type": event.type, "account": event.account or None,
        "created_at": write_time(event.at), "data": event.data,
    }  # fmt: skip


def _event_row(event: "Event") -> tuple[str, ...]:
    told = ", ".join(f"{name} {value}" for name, value in event.data.items() if isinstance(value, str | int))
    return (write_time(event.at) or "", event.type, event.account, told)
