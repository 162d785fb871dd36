"""Expiring: grants with credits left whose end is near, found by the rows that say when time will act on accounts."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from farthing.core.records import Account

from .reports import Database
from .rows import read_account
from .statements import statements

Place = tuple[int, str]
"""When time acts on an account, and the account."""
FROM_THE_START: Final[Place] = (0, "")


class Ending(Struct, frozen=True):
    """An account some of whose credits lapse soon, and its place among those."""

    place: Place
    account: Account


class Expiring:
    """Reads them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "expiring")

    async def accounts(self, workspace: str, until: int, after: Place, limit: int) -> list[Ending]:
        """The next accounts of a workspace that have credits which lapse by then, the soonest first. Those with no
        free credits in such a grant may be among them."""
        rows = await self._db.rows(self._sql["accounts"], (workspace, until, *after, until, limit))
        return [Ending((row[0], row[1]), read_account(tuple(row[2:]))) for row in rows]

    async def told(self, workspace: str, once: Iterable[str]) -> set[str]:
        """Which of these were told."""
        names: Any = list(once)
        if self._db.dialect == "sqlite":
            names = msgspec.json.encode(names).decode()
        return {row[0] for row in await self._db.rows(self._sql["told"], (workspace, names))}
