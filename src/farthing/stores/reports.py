"""Reports: reading for people. Nothing here takes a lock that a charge could wait for.

A lapse or the end of a hold counts from its instant on, also before it is booked: an account is read as a decision
would see it, by deciding a `Lapse` without saving it.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from farthing.core.commands import Lapse
from farthing.core.context import Calendar, Context
from farthing.core.decide import decide
from farthing.core.draft import due_at
from farthing.core.ids import bucket_in, bucket_of, make_id
from farthing.core.outcomes import Accepted
from farthing.core.records import Account, Entry, Hold, Workspace

from .rows import read_account, read_workspace
from .statements import statements

T = TypeVar("T")
Row = tuple[Any, ...]
Execute = Callable[..., Awaitable[list[Row]]]
Work = Callable[[Execute], Awaitable[T]]
"""What is done in one transaction, given a way to run statements in it."""
_hold = msgspec.json.Decoder(Hold)
_AFTER_ALL = 1 << 62
_ID = re.compile(r"[a-z]+_[0-9a-f]{32}")


class Database(Protocol):
    """Plain access to a database beside the engine."""

    dialect: str

    async def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement."""

    async def read(self, work: Work[T]) -> T:
        """Run `work(execute)`, which only reads: all that it sees is of one moment."""

    async def write(self, work: Work[T]) -> T:
        """Run `work(execute)` in one transaction that is on the disk when this returns. It may be run again from its
        start where another was faster."""

    async def close(self) -> None:
        """Let go of it."""


class Standing(Struct):
    """An account at an instant."""

    account: Account
    gone: dict[str, int] = {}
    """What has lapsed of each grant, or was written off, and is not booked yet."""
    holds: dict[str, Hold] = {}
    """Holds that have ended, as they are once that is booked."""
    entries: list[Entry] = []
    """What is not booked yet, as it will be; its ids are empty, and its hashes mean nothing."""


class Reports:
    """What people and faces read."""

    def __init__(self, db: Database, calendar: Calendar) -> None:
        self._db = db
        self._sql = statements(db.dialect, "reports")
        self._calendar = calendar

    @property
    def calendar(self) -> Calendar:
        """How days and months are counted."""
        return self._calendar

    async def _rows(self, name: str, *values: Any) -> list[Row]:
        return await self._db.rows(self._sql[name], values)

    async def workspace(self, workspace: str) -> Workspace | None:
        """One workspace."""
        rows = await self._rows("workspace", workspace)
        return read_workspace(rows[0]) if rows else None

    async def workspaces(self) -> list[Workspace]:
        """All workspaces, oldest first."""
        return [read_workspace(row) for row in await self._rows("workspaces")]

    async def account(self, workspace: str, account: str, at: int) -> Account | None:
        """The account as it stands at that instant (not before its last entry)."""
        found = await self.standing(workspace, account, at)
        return None if found is None else found.account

    async def standing(self, workspace: str, account: str, at: int) -> Standing | None:
        """The account as it stands at that instant, with what time did to it that is not booked yet."""
        owner = (workspace, account, bucket_of(workspace, account))
        rows = await self._rows("account", *owner)
        if not rows:
            return None
        found = read_account(rows[0])
        due = due_at(found)
        if due is None or due > at:
            return Standing(found)
        # Seldom: read again, with the holds that have ended, so that both are of one moment.
        rows = await self._rows("standing", at, at, *owner)
        holds = [_hold.decode(row[-1]) for row in rows if row[-1] is not None]
        return await self._as_of(read_account(rows[0][:-1]), holds, at)

    async def _as_of(self, account: Account, due: list[Hold], at: int) -> Standing:
        owner = (account.workspace, account.id)
        context = Context(_no_id, self._calendar)
        context.accounts[owner] = account
        if known := await self.workspace(account.workspace):
            known.told = ""  # nothing of this is kept, and nobody is told
            context.workspaces[account.workspace] = known
        context.holds = {h.id: h for h in due}
        context.due_holds[owner] = [h.id for h in due]
        outcome = decide(Lapse(workspace=account.workspace, account=account.id, id="ent_read", at=at), context)
        assert isinstance(outcome, Accepted)
        assert outcome.account is not None
        gone: dict[str, int] = {}
        for grant, amount in outcome.gone:
            gone[grant] = gone.get(grant, 0) + amount
        for entry in outcome.entries:
            entry.id = ""
        return Standing(outcome.account, gone, {h.id: h for h in outcome.holds}, outcome.entries)

    async def entries(
        self, workspace: str, account: str, *, before: int | None = None, limit: int = 50, moves_only: bool = False
    ) -> list[Entry]:  # fmt: skip
        """Entries of an account, newest first; `moves_only` those that changed the balance."""
        name = "moves" if moves_only else "entries"
        rows = await self._rows(name, workspace, account, _AFTER_ALL if before is None else before, limit)
        return [Entry(*row) for row in rows]

    async def entry(self, workspace: str, entry_id: str) -> Entry | None:
        """One entry by its id."""
        if not is_id("ent", entry_id):
            return None
        rows = await self._rows("entry", entry_id, bucket_in(entry_id), workspace)
        return Entry(*rows[0]) if rows else None

    async def hold(self, workspace: str, hold_id: str) -> Hold | None:
        """One hold by its id, live or not."""
        if not is_id("hold", hold_id):
            return None
        rows = await self._rows("hold", hold_id, bucket_in(hold_id), workspace)
        return _hold.decode(rows[0][0]) if rows else None

    async def holds(self, workspace: str, account: str) -> list[Hold]:
        """Live holds of an account, first end first."""
        return [_hold.decode(row[0]) for row in await self._rows("holds", workspace, account)]

    async def due(self, at: int, limit: int) -> list[tuple[str, str]]:
        """(workspace, account) for which time has something to do, longest overdue first."""
        return [(row[0], row[1]) for row in await self._rows("due", at, at, limit)]

    async def weaknesses(self) -> list[str]:
        """Settings of the database under which a power cut could take back what was answered."""
        return [str(row[0]) for row in await self._rows("weaknesses")]


def is_id(prefix: str, text: str) -> bool:
    """Whether a text has the form of our ids of that kind; anything else is not worth a look, and may hold characters
    that a database can't be asked for."""
    return text.startswith(f"{prefix}_") and _ID.fullmatch(text) is not None


def _no_id(prefix: str, at: int, bucket: int) -> str:
    # A reading keeps no entry; their ids are never seen.
    return make_id(prefix, at, 0, 0, bucket)
