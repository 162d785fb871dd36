"""What a simulation starts from: accounts and all that time acts on, a page at a time, each page as of one moment."""

from collections.abc import Sequence
from typing import Final

import msgspec

from farthing.core.plans import KeptPlan
from farthing.core.records import Account, Charge, Hold
from farthing.core.simulation import Subject

from .plans import Plans
from .reports import Database, Execute
from .rows import read_account, read_subscription
from .statements import statements

PAGE: Final = 500
# Above every id of an account: longer than the longest, of the last character there is.
_ABOVE_ALL: Final = "\U0010ffff" * 64
_hold = msgspec.json.Decoder(Hold)
_charge = msgspec.json.Decoder(Charge)


class Start:
    """Reads what there is; it writes nothing, and no page takes long."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "ahead")

    async def plans(self, workspace: str) -> dict[tuple[str, str], KeptPlan]:
        """All plans, by workspace and id."""
        return {(workspace, kept.plan.id): kept for kept in await Plans(self._db).of(workspace)}

    async def page(
        self, workspace: str, until: int, *, account: str = "", after: str | None = None, limit: int = PAGE
    ) -> list[Subject]:  # fmt: skip
        """Accounts of a workspace by their ids, or one; with the live holds that end by an instant."""
        # Ids hold no control characters: nothing lies between an id and the same with one behind it.
        first = account if after is None else f"{after}\x01"
        values = (workspace, first, account or _ABOVE_ALL, limit)

        async def work(execute: Execute) -> list[Subject]:
            accounts = [read_account(row) for row in await execute(self._sql["accounts"], values)]
            return await self._with_all(execute, accounts, until) if accounts else []

        return await self._db.read(work)

    async def _with_all(self, execute: Execute, accounts: Sequence[Account], until: int) -> list[Subject]:
        span = (accounts[0].workspace, accounts[0].id, accounts[-1].id)
        subscribed = {row[0]: row[1:] for row in await execute(self._sql["subscriptions"], span)}
        holds: dict[str, list[Hold]] = {}
        for (terms,) in await execute(self._sql["holds"], (*span, until)):
            hold = _hold.decode(terms)
            holds.setdefault(hold.account, []).append(hold)
        owing: dict[str, list[Charge]] = {}
        for (terms,) in await execute(self._sql["owing"], span):
            charge = _charge.decode(terms)
            owing.setdefault(charge.account, []).append(charge)
        subjects = []
        for a in accounts:
            retry_at, terms = subscribed.get(a.id, (0, None))
            s = None if terms is None else read_subscription(terms)
            subjects.append(Subject(a, s, retry_at, tuple(holds.get(a.id, ())), tuple(owing.get(a.id, ()))))
        return subjects
