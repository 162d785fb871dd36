"""Automatic top-ups as they are kept: how each account's stands, and its attempts. Every step is one transaction, in
turns with all other such writes: what it was decided on is what it is written on.

The item that has an account looked at is held first, and the account is read after that: a charge that brings it below
its threshold at the same moment is either seen, or puts its own item down when the step is done.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farthing.core.context import Calendar
from farthing.core.ids import bucket_of
from farthing.core.records import AccountSettings, Event, Workspace
from farthing.core.top_up_attempts import Attempt, Standing
from farthing.core.top_ups import Seen, Step

from .acts import Act, Acts, Once
from .events import Events
from .pages import LAST, Page, Position, cut
from .reports import Database, Execute
from .statements import statements

LOOKED_AT: Final = 20
"""Attempts of an account among which a payment is looked for, the newest first."""
RESUME: Final = "auto_top_up.resume"
NewId = Callable[[str, int, int], str]
_encode = msgspec.json.Encoder().encode
_standing = msgspec.json.Decoder(Standing)
_attempt = msgspec.json.Decoder(Attempt)
_settings = msgspec.json.Decoder(AccountSettings)
Decide = Callable[[Seen], Step | None]


class _Found(Struct, frozen=True):
    """What is known of an account, and whether there is an item for it: one that is put down meanwhile is of a charge
    that was not seen."""

    seen: Seen
    held: bool


class TopUps:
    """Reads and writes of them."""

    def __init__(self, db: Database, calendar: Calendar, new_id: NewId) -> None:
        self._db = db
        self._sql = statements(db.dialect, "top_ups")
        self._calendar = calendar
        self._new_id = new_id
        self._events = Events(db)
        self._acts = Acts(db)

    # Steps

    async def step(self, workspace: Workspace, account: str, at: int, decide: Decide) -> Step | None:
        """See how an account stands, decide, and write what was decided; None where there is no account, or nothing is
        to be written."""

        async def work(execute: Execute) -> Step | None:
            return await self.step_within(execute, workspace, account, at, decide)

        return await self._db.write(work)

    async def step_within(
        self, execute: Execute, workspace: Workspace, account: str, at: int, decide: Decide
    ) -> Step | None:  # fmt: skip
        """The same, in somebody's transaction."""
        found = await self._see(execute, workspace, account, at)
        step = None if found is None else decide(found.seen)
        if found is not None and step is not None:
            await self._write(execute, workspace.id, account, at, found, step)
        return step

    async def _see(self, execute: Execute, workspace: Workspace, account: str, at: int) -> "_Found | None":
        owner = (workspace.id, account, bucket_of(workspace.id, account))
        held = bool(await execute(self._sql["hold_due"], owner))
        rows = await execute(self._sql["account"], owner)
        if not rows:
            return None
        balance, settings = rows[0][0], _settings.decode(rows[0][1])
        day, day_until, month, month_until = self._calendar(at, settings.timezone)
        standing = await self._standing(execute, owner)
        named = {id: await self._attempt(execute, workspace.id, account, id) for id in _named(standing)}
        seen = Seen(
            settings=settings.auto_top_up, frozen=settings.frozen, balance=balance, scale=workspace.scale,
            unit=workspace.unit, at=at, day_until=day_until, month_until=month_until,
            day=await self._bought(execute, owner, day), month=await self._bought(execute, owner, month),
            standing=standing, attempt=named.get(standing.attempt),
            pages=tuple(each for id in _with_pages(standing) if (each := named[id]) is not None),
        )  # fmt: skip
        return _Found(seen, held)

    async def _bought(self, execute: Execute, owner: tuple[str, str, int], since: int) -> int:
        ((credits,),) = await execute(self._sql["bought"], (owner[0], owner[1], since))
        return int(credits)

    async def _standing(self, execute: Execute, owner: tuple[str, str, int]) -> Standing:
        rows = await execute(self._sql["standing"], owner)
        return _standing.decode(rows[0][0]) if rows else Standing()

    async def _attempt(self, execute: Execute, workspace: str, account: str, id: str) -> Attempt | None:
        rows = await execute(self._sql["attempt"], (workspace, id, bucket_of(workspace, account)))
        return _attempt.decode(rows[0][0]) if rows else None

    async def _write(
        self, execute: Execute, workspace: str, account: str, at: int, found: "_Found", step: Step
    ) -> None:  # fmt: skip
        bucket = bucket_of(workspace, account)
        owner = (workspace, account, bucket)
        if step.attempt is not None:
            a = replace(step.attempt, account=account)
            values = (*owner, a.id, a.state, a.credits, a.began_at, _encode(a).decode())
            await execute(self._sql["put_attempt"], values)
        if step.standing != found.seen.standing:
            document = _encode(step.standing).decode()
            await execute(self._sql["put_standing"], (*owner, step.standing.paused or "", document, at))
        if step.due_at is not None:
            await execute(self._sql["set_due"], (*owner, step.due_at))
        elif found.held:
            await execute(self._sql["drop_due"], owner)
        await self._events.write(
            execute,
            [
                Event(self._new_id("evt", at, bucket), workspace, account, bucket, type, at, data)
                for type, data in step.events
            ],
        )

    async def resume(
        self, workspace: Workspace, account: str, decide: Decide, act: Act, once: Once | None = None
    ) -> Standing | None:  # fmt: skip
        """Somebody says that it may go on; None where there is no such account."""

        async def work(execute: Execute) -> Standing | None:
            found = await self._see(execute, workspace, account, act.at)
            step = None if found is None else decide(found.seen)
            if found is None or step is None:
                return None
            await self._write(execute, workspace.id, account, act.at, found, step)
            seen = found.seen
            detail = {"before": seen.standing.paused, "after": None}
            await self._acts.changed(
                execute, workspace.id, act, RESUME, account, detail, once, msgspec.to_builtins(step.standing)
            )  # fmt: skip
            return step.standing

        return await self._acts.once(once, workspace.id, RESUME, Standing, work)

    # Looking

    async def standing(self, workspace: str, account: str) -> Standing:
        """How an account's stands."""
        rows = await self._db.rows(self._sql["standing"], (workspace, account, bucket_of(workspace, account)))
        return _standing.decode(rows[0][0]) if rows else Standing()

    async def attempt(self, workspace: str, account: str, id: str) -> Attempt | None:
        """One attempt."""
        return await self._attempt(self._db.rows, workspace, account, id)

    async def named(self, execute: Execute, workspace: str, account: str, id: str) -> Attempt | None:
        """One attempt, in somebody's transaction."""
        return await self._attempt(execute, workspace, account, id)

    async def latest(self, execute: Execute, workspace: str, account: str) -> Sequence[Attempt]:
        """The newest that are not done, in somebody's transaction."""
        rows = await execute(self._sql["latest"], (workspace, account, LOOKED_AT))
        return [_attempt.decode(row[0]) for row in rows]

    async def attempts(
        self, workspace: str, account: str, before: Position | None = None, limit: int = 50
    ) -> Page[Attempt]:  # fmt: skip
        """Attempts of an account, the newest first."""
        values: tuple[Any, ...] = (workspace, account, *(before or (LAST, "")), limit + 1)
        found = [_attempt.decode(row[0]) for row in await self._db.rows(self._sql["attempts"], values)]
        return cut(found, limit, limit + 1, lambda attempt: (attempt.began_at, attempt.id))

    async def paused(
        self, workspace: str, after: Position | None = None, limit: int = 50
    ) -> Page[tuple[str, Standing]]:  # fmt: skip
        """Accounts whose automatic top-up waits for somebody."""
        start = str(after[0]) if after else ""
        rows = await self._db.rows(self._sql["paused"], (workspace, start, limit + 1))
        found = [(str(account), _standing.decode(document)) for account, document in rows]
        return cut(found, limit, limit + 1, lambda each: (each[0],))


def _with_pages(s: Standing) -> tuple[str, ...]:
    """The attempts that a standing names for their pages."""
    return tuple(filter(None, (s.page, *s.closing)))


def _named(s: Standing) -> tuple[str, ...]:
    """All attempts that it names."""
    return tuple(filter(None, (s.attempt, *_with_pages(s))))
