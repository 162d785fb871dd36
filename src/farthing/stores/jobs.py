"""Jobs: the one table of what time brings: handed out to who works, put off where they fail, shown to people.

What stands is read and changed in one transaction, in turns with all other such writes. Items are also changed by the
commits of the engine: those are never waited for while others are in hand.
"""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farthing.core.ids import bucket_of
from farthing.core.jobs import CHANCES, ITEMS, RENEW, Job, State, back_off, gives_up, is_to_come

from .acts import AccessError, Act, Acts, Once
from .pages import Page, Position, cut, window_of
from .reports import Database, Execute, Row
from .statements import statements

When = Literal["due", "ready", "now"]
"""Which standing jobs are taken: those that are due; all but what failed and waits, or is parked; all."""
_FAILED: Final = ("failed", "parked")
ERROR_LENGTH: Final = 500


class Lease(Struct, frozen=True):
    """How a standing job is taken."""

    at: int
    until: int
    """By then it is done, or its process has died."""
    next_at: int
    """When others may take it as well; with `alone` they may not before it is given back."""
    alone: bool
    longest_us: int
    """Nobody puts it off for longer."""

    def is_due(self, job: Job) -> bool:
        """Whether its time has come."""
        return not is_to_come(job.due_at, self.at, self.longest_us)

    def is_taken(self, job: Job) -> bool:
        """Whether somebody has it, where one at a time does."""
        return self.alone and is_to_come(job.locked_until, self.at, self.until - self.at)


class Figures(Struct, frozen=True):
    """How the table stands."""

    parked: int
    oldest_due_at: int | None


class Jobs:
    """Reads and writes of the table."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "jobs")
        self._acts = Acts(db)

    # What stands

    async def stand(self, kinds: Iterable[str], at: int) -> None:
        """Make those that are missing; they are due."""
        names = sorted(kinds)
        if {job.kind for job in await self.standing(names)} == set(names):
            return

        async def work(execute: Execute) -> None:
            for kind in names:
                await execute(self._sql["stand"], (kind, bucket_of("", ""), at))

        await self._db.write(work)

    async def standing(self, kinds: Iterable[str]) -> list[Job]:
        """Those of these kinds that are there."""
        names: Any = sorted(kinds)
        if self._db.dialect == "sqlite":
            names = msgspec.json.encode(names).decode()
        return [read_job(row) for row in await self._db.rows(self._sql["standing"], (names,))]

    async def claim(self, kind: str, lease: Lease, when: When = "due") -> Job | None:
        """Take one, if it may be taken; the job as it is from now on."""

        async def work(execute: Execute) -> Job | None:
            job = await self._read(execute, kind)
            if job is None or lease.is_taken(job) or not _may(job, lease, when):
                return None
            taken = replace(
                job, due_at=lease.next_at, locked_until=lease.until, ran_at=lease.at,
                parked_at=None if when == "now" else job.parked_at,
            )  # fmt: skip
            await self._put(execute, taken)
            return taken

        return await self._db.write(work)

    async def keep(self, mine: Job, lease: Lease, outcome: str | None) -> Job | None:
        """Go on with one for longer; None where somebody else has it by now."""

        async def work(execute: Execute) -> Job | None:
            job = await self._read(execute, mine.kind)
            if job is None or job.locked_until != mine.locked_until:
                return None
            kept = replace(job, locked_until=lease.until, due_at=lease.next_at, outcome=outcome or job.outcome)
            if lease.alone:
                kept = replace(kept, ran_at=lease.at)
            await self._put(execute, kept)
            return kept

        return await self._db.write(work)

    async def done(self, mine: Job, due_at: int, outcome: str | None, *, alone: bool) -> None:
        """Give it back: it went well, and is due again then."""

        async def work(execute: Execute) -> None:
            job = await self._read(execute, mine.kind)
            if job is not None and not (alone and job.locked_until != mine.locked_until):
                cleared = replace(job, due_at=due_at, attempts=0, locked_until=0, last_error=None, parked_at=None)
                await self._put(execute, replace(cleared, outcome=outcome or job.outcome))

        await self._db.write(work)

    async def put_off(self, mine: Job, at: int, error: str, *, longest_us: int | None = None) -> Job | None:
        """Give it back: it failed, and is tried again later; or is parked, unless `longest_us` says that it is tried
        again after that at the latest, for ever. None where somebody else has it by now."""

        async def work(execute: Execute) -> Job | None:
            job = await self._read(execute, mine.kind)
            if job is None or job.locked_until not in (0, mine.locked_until):
                return None
            attempts = job.attempts + 1
            wait = back_off(attempts, secrets.randbelow(CHANCES))
            after = replace(
                job, due_at=at + (wait if longest_us is None else min(wait, longest_us)), attempts=attempts,
                locked_until=0, last_error=error[:ERROR_LENGTH], outcome="failed",
                parked_at=at if longest_us is None and gives_up(attempts) else None,
            )  # fmt: skip
            await self._put(execute, after)
            return after

        return await self._db.write(work)

    # Items

    async def take(self, kind: str, at: int, until: int, limit: int) -> list[Job]:
        """Some that are due, the longest overdue first: until then nobody else is given them."""

        async def work(execute: Execute) -> list[Row]:
            return await execute(self._sql["take"], (until, at, kind, at, at, limit))

        jobs = [read_job(row) for row in await self._db.write(work)]
        return sorted(jobs, key=lambda job: (job.due_at, job.workspace, job.subject))

    async def give_back(self, items: Sequence[Job]) -> None:
        """They were not done, and no fault of theirs: anybody may take them."""

        async def work(execute: Execute) -> None:
            for each in items:
                job = await self._read(execute, each.kind, each.workspace, each.subject, name="held")
                if job is not None and job.locked_until == each.locked_until:
                    await self._put(execute, replace(job, locked_until=0))

        if items:
            await self._db.write(work)

    async def fail(self, items: Sequence[Job], errors: Sequence[str], at: int) -> list[Job]:
        """They were tried and failed: they are tried again later, or parked. Those that are parked from now on."""

        async def work(execute: Execute) -> list[Job]:
            parked = []
            for each, error in zip(items, errors, strict=True):
                job = await self._read(execute, each.kind, each.workspace, each.subject, name="held")
                if job is None or job.locked_until != each.locked_until:
                    continue  # a command has changed it meanwhile: it is another one
                after = failed_again(job, error, at)
                await self._put(execute, after)
                parked += [after] if after.parked_at is not None else []
            return parked

        return await self._db.write(work)

    # For people

    async def page(
        self, workspace: str, *, kind: str = "", state: State | None = None, at: int, after: Position | None = None,
        limit: int = 50,
    ) -> Page[Job]:  # fmt: skip
        """Items of a workspace, by kind and subject."""
        kinds = [each for each in ITEMS if not kind or each == kind]
        start, subject = (str(after[0]), str(after[1])) if after else ("", "")
        behind = kinds.index(start) if start in kinds else 0
        window = window_of(limit, state is not None and state not in _FAILED)
        name = "failed_items" if state in _FAILED else "items"
        rows: list[Job] = []
        for each in kinds[behind:]:
            values = (each, workspace, subject if each == start else "", window - len(rows))
            rows += [read_job(row) for row in await self._db.rows(self._sql[name], values)]
            if len(rows) >= window:
                break
        return cut(
            rows, limit, window, lambda job: (job.kind, job.subject),
            lambda job: state is None or job.state(at) == state,
        )  # fmt: skip

    async def failing(self, limit: int) -> list[Job]:
        """Items of all workspaces that failed."""
        return [read_job(row) for row in await self._db.rows(self._sql["all_failed"], (limit,))]

    async def figures(self) -> Figures:
        """How the table stands."""
        ((parked,),) = await self._db.rows(self._sql["parked"])
        oldest = await self._db.rows(self._sql["oldest"])
        return Figures(int(parked), int(oldest[0][0]) if oldest else None)

    async def retry(self, kind: str, workspace: str, subject: str, act: Act, once: Once | None = None) -> Job:
        """Have one that failed, or is parked, tried again now, as if it never had."""

        async def work(execute: Execute) -> Job:
            job = await self._read(execute, kind, workspace, subject, name="held")
            if job is None:
                what = f"{kind} for {subject!r}" if workspace else kind
                raise AccessError(f"there is no job {what}", "job_not_found")
            after = replace(
                job, attempts=0, parked_at=None, locked_until=0, due_at=act.at if job.stands else job.due_at
            )  # fmt: skip
            await self._put(execute, after)
            if kind == RENEW:
                owner = (workspace, subject, bucket_of(workspace, subject))
                await execute(self._sql["free_renewal"], owner)
            detail = {"before": _standing(job), "after": _standing(after)}
            named = f"{kind}:{subject}" if workspace else kind
            await self._acts.changed(execute, workspace, act, "job.retry", named, detail, once, after)
            return after

        return await self._acts.once(once, workspace, "job.retry", Job, work)

    # Rows

    async def _read(
        self, execute: Execute, kind: str, workspace: str = "", subject: str = "", *, name: str = "job"
    ) -> Job | None:  # fmt: skip
        return await read_one(execute, self._sql[name], kind, workspace, subject)

    async def _put(self, execute: Execute, job: Job) -> None:
        await execute(self._sql["put"], job_row(job))


def _may(job: Job, lease: Lease, when: When) -> bool:
    if when == "now":
        return True
    return job.parked_at is None and (lease.is_due(job) or (when == "ready" and not job.attempts))


def failed_again(job: Job, error: str, at: int) -> Job:
    """An item after one more failure. One that was tried before its time, because somebody asked for it, loses nothing
    by that."""
    job = replace(job, last_error=error[:ERROR_LENGTH], ran_at=at, outcome="failed")
    early = job.attempts > 0 and job.locked_until > at and job.kind == RENEW
    if early or job.parked_at is not None:
        return job
    attempts = job.attempts + 1
    wait = back_off(attempts, secrets.randbelow(CHANCES))
    return replace(job, attempts=attempts, locked_until=at + wait, parked_at=at if gives_up(attempts) else None)


def _standing(job: Job) -> dict[str, Any]:
    return {"attempts": job.attempts, "parked": job.parked_at is not None, "last_error": job.last_error}


async def read_one(execute: Execute, sql: str, kind: str, workspace: str, subject: str) -> Job | None:
    """One job, by its name."""
    rows = await execute(sql, (kind, workspace, subject, bucket_of(workspace, subject)))
    return read_job(rows[0]) if rows else None


def read_job(row: Row) -> Job:
    """A job from its row."""
    kind, workspace, subject, due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome = row
    return Job(
        kind=kind, workspace=workspace, subject=subject, due_at=due_at, attempts=attempts, locked_until=locked_until,
        last_error=last_error, parked_at=parked_at, ran_at=ran_at, outcome=outcome,
    )  # fmt: skip


def job_row(j: Job) -> Row:
    """The columns of a job."""
    owner = (j.kind, j.workspace, j.subject, bucket_of(j.workspace, j.subject))
    return (j.due_at, j.attempts, j.locked_until, j.last_error, j.parked_at, j.ran_at, j.outcome, *owner)
