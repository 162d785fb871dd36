"""Plans: documents by name. Each change is an act: one transaction with its audit record."""

from typing import Final

import msgspec

from farthing.core.plans import KeptPlan, Plan

from .acts import AccessError, Act, Acts, Once
from .reports import Database, Execute, Row
from .statements import statements

MOST: Final = 1_000
"""Of a workspace."""
_encode = msgspec.json.Encoder().encode
_plan = msgspec.json.Decoder(Plan)


class Plans:
    """Reads and writes of what subscriptions give."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "plans")
        self._acts = Acts(db)

    async def get(self, workspace: str, plan: str) -> KeptPlan | None:
        """The plan of that id, archived or not."""
        rows = await self._db.rows(self._sql["plan"], (workspace, plan))
        return read_plan(rows[0]) if rows else None

    async def of(self, workspace: str) -> list[KeptPlan]:
        """All of a workspace, by rank, then by id."""
        found = [read_plan(row) for row in await self._db.rows(self._sql["plans"], (workspace,))]
        return sorted(found, key=lambda kept: (kept.plan.rank, kept.plan.id))

    async def put(self, workspace: str, plan: Plan, act: Act, once: Once | None = None) -> KeptPlan:
        """Make a plan, or change it: who has it gets what it says from the next renewal on, at the dates he has. One
        that was archived can be had again."""

        async def work(execute: Execute) -> KeptPlan:
            before = await self._before(execute, workspace, plan.id)
            if before is None and len(await execute(self._sql["plans"], (workspace,))) >= MOST:
                raise AccessError(f"a workspace has at most {MOST:,} plans", field="id")
            kept = KeptPlan(plan, before.created_at if before else act.at, act.at)
            document = _encode(plan).decode()
            await execute(self._sql["put_plan"], (workspace, plan.id, document, kept.created_at, act.at))
            await self._note(execute, workspace, "plan.put", act, before, kept, once)
            return kept

        return await self._acts.once(once, workspace, "plan.put", KeptPlan, work)

    async def archive(self, workspace: str, plan: str, act: Act, once: Once | None = None) -> KeptPlan:
        """Nobody can subscribe to it from now on; who has it goes on."""

        async def work(execute: Execute) -> KeptPlan:
            before = await self._before(execute, workspace, plan)
            if before is None:
                raise AccessError(f"there is no plan {plan!r}", "plan_not_found")
            kept = msgspec.structs.replace(before, updated_at=act.at, archived_at=before.archived_at or act.at)
            await execute(self._sql["archive_plan"], (kept.archived_at, act.at, workspace, plan))
            await self._note(execute, workspace, "plan.archive", act, before, kept, once)
            return kept

        return await self._acts.once(once, workspace, "plan.archive", KeptPlan, work)

    async def _before(self, execute: Execute, workspace: str, plan: str) -> KeptPlan | None:
        rows = await execute(self._sql["plan"], (workspace, plan))
        return read_plan(rows[0]) if rows else None

    async def _note(
        self, execute: Execute, workspace: str, action: str, act: Act, before: KeptPlan | None, after: KeptPlan,
        once: Once | None,
    ) -> None:  # fmt: skip
        detail = {"before": before and msgspec.to_builtins(before), "after": msgspec.to_builtins(after)}
        await self._acts.changed(execute, workspace, act, action, after.plan.id, detail, once, after)


def read_plan(row: Row) -> KeptPlan:
    """A plan from (document, created_at, updated_at, archived_at)."""
    document, created_at, updated_at, archived_at = row
    return KeptPlan(_plan.decode(document), created_at, updated_at, archived_at)
