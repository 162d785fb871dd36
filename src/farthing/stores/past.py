"""Past: an account as it stood at an instant.

Balance, held and debt stand on the last entry by then, which is found by halving, since an account's time never goes
back. What its grants had left stands nowhere but in the entries: they are read from the nearer end, from the account's
row backwards, or on from the first entry, or from what stands in the place of those that are archived.
"""

from typing import Final

from farthing.core.ids import bucket_of
from farthing.core.past import Movements, account_after, explains
from farthing.core.records import Account, Entry

from .contract import Busy, StoreError
from .directory import Directory
from .reports import Database, Reports
from .statements import statements

PAGE: Final = 2_000
JUST_ARCHIVED: Final = "the account's entries were archived while they were read; nothing was done"


class NotOpenYet(Exception):
    """There was no such account by then."""

    def __init__(self, opened_at: int) -> None:
        super().__init__("the account was opened later")
        self.opened_at = opened_at


class Archived(Exception):
    """What is asked for lies before the entries that are still kept here."""

    def __init__(self, since: int) -> None:
        super().__init__("these entries were archived")
        self.since = since
        """From this instant on they are."""


class Unexplained(StoreError):
    """The entries don't come to the balance that they tell: `farthing doctor` finds out more."""


class Past:
    """Reads how accounts stood."""

    def __init__(self, db: Database, reports: Reports, directory: Directory) -> None:
        self._db = db
        self._reports = reports
        self._directory = directory
        self._sql = statements(db.dialect, "past")

    async def account(self, workspace: str, account: str, at: int) -> Account | None:
        """The account at an instant that is not to come, with all that lapsed by then; None where there is none."""
        now = await self._reports.account(workspace, account, at)
        if now is None or now.at <= at:
            return now
        base = await self.archived(workspace, account)
        if base.number and at < base.at:
            raise Archived(base.at)
        bounds = await self._directory.numbers(workspace, account, None, at + 1)
        assert bounds is not None, "accounts are never deleted"
        number = bounds[1] - 1
        if number == base.number and number:
            return base
        entry = await self.entry(workspace, account, max(number, 1))
        if entry is None:
            raise Busy(JUST_ARCHIVED)
        if number == 0:
            raise NotOpenYet(entry.at)
        return await self._after(entry, base, now)

    async def archived(self, workspace: str, account: str) -> Account:
        """The account as the last of its archived entries left it; without any, one without a line."""
        found = await self._directory.checkpoint(workspace, account)
        return Account(workspace, account, bucket_of(workspace, account)) if found is None else found.closed.account

    async def entry(self, workspace: str, account: str, number: int) -> Entry | None:
        """An account's entry of that number."""
        values = (workspace, account, number, bucket_of(workspace, account))
        rows = await self._db.rows(self._sql["numbered"], values)
        return Entry(*rows[0]) if rows else None

    async def _after(self, entry: Entry, base: Account, now: Account) -> Account:
        movements = await self._movements(entry, base, now)
        if not explains(entry, movements):
            who = f"{entry.workspace}/{entry.account}"
            raise Unexplained(f"the entries of {who} don't come to the balance of number {entry.number}")
        terms = await self._directory.terms_of(entry.bucket, list(movements.left))
        return account_after(entry, now, movements, terms)

    async def _movements(self, entry: Entry, base: Account, now: Account) -> Movements:
        """What was left of its grants after an entry, from the nearer end."""
        if entry.balance + entry.debt == 0:
            return Movements([], back=False)
        if now.number - entry.number <= entry.number - base.number:
            movements = Movements(now.grants, back=True)
            for stop in range(now.number + 1, entry.number + 1, -PAGE):
                for body in reversed(await self._bodies(entry, max(stop - PAGE, entry.number + 1), stop)):
                    movements.take_back(body)
        else:
            movements = Movements(base.grants, back=False)
            for start in range(base.number + 1, entry.number + 1, PAGE):
                for body in await self._bodies(entry, start, min(start + PAGE, entry.number + 1)):
                    movements.add(body)
        return movements

    async def _bodies(self, entry: Entry, start: int, stop: int) -> list[str]:
        rows = await self._db.rows(self._sql["bodies"], (entry.workspace, entry.account, start, stop))
        if len(rows) != stop - start:
            raise Busy(JUST_ARCHIVED)
        return [row[0] for row in rows]
