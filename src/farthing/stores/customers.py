"""Customers: as whom a provider of payments knows an account, one for each."""

from .reports import Database, Execute
from .statements import statements


class Customers:
    """Reads and writes of who is whom."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "customers")

    async def get(self, workspace: str, provider: str, account: str) -> str:
        """The provider's own id of an account; empty where it knows none."""
        rows = await self._db.rows(self._sql["customer"], (workspace, provider, account))
        return str(rows[0][0]) if rows else ""

    async def known_since(self, workspace: str, provider: str, account: str) -> int | None:
        """Since when an account goes by the id that `get` tells; it may have had another before."""
        rows = await self._db.rows(self._sql["known_since"], (workspace, provider, account))
        return int(rows[0][0]) if rows else None

    async def add(self, workspace: str, provider: str, account: str, id: str, at: int) -> str:
        """Remember one; the one that counts, which somebody else may have added before."""

        async def work(execute: Execute) -> str:
            await execute(self._sql["add_customer"], (workspace, provider, account, id, at))
            ((first,),) = await execute(self._sql["customer"], (workspace, provider, account))
            return str(first)

        return await self._db.write(work)

    async def forget(self, workspace: str, provider: str, account: str, id: str) -> None:
        """The provider knows this one no more."""

        async def work(execute: Execute) -> None:
            await execute(self._sql["forget_customer"], (workspace, provider, account, id))

        await self._db.write(work)
