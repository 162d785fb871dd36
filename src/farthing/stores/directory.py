"""Directory: listings of a workspace in pages, and single things by their ids. Each is served by an index.

What time has done and nobody has booked yet counts, as it would in a decision.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from farthing.core.checkpoint import Checkpoint
from farthing.core.ids import bucket_in, bucket_of, made_at
from farthing.core.records import Account, AccountSettings, Charge, Entry, GrantTerms, Hold, PaymentClaim
from farthing.core.refundable import CHARGES, charge_of, read_body
from farthing.core.view import GrantState, GrantView, view_grant

from .contract import Busy
from .pages import LAST, WINDOW, Page, Position, cut, window_of
from .reports import Database, Reports, Row, Standing, is_id
from .rows import read_account, read_checkpoint, read_grant
from .statements import statements

ENTRY_WINDOW: Final = 10_000
"""Entries that are looked at for one page; those of other kinds the database itself leaves out."""
_TRIES: Final = 10
# Above every id of an account: longer than the longest, of the last character there is.
_ABOVE_ALL: Final = "\U0010ffff" * 64
_json = msgspec.json.Encoder().encode
_hold = msgspec.json.Decoder(Hold)
_charge = msgspec.json.Decoder(Charge)
_settings = msgspec.json.Decoder(AccountSettings)


class Used(Struct, frozen=True):
    """A charge: its entry, and what has become of it."""

    entry: Entry
    charge: Charge


class Allocated(Struct, frozen=True):
    """A grant, whose it is and who gave it."""

    id: str
    account: str
    amount: int
    created_at: int
    expires_at: int | None
    free: int
    """What can be spent of it now."""
    actor: str | None
    """Of the entry that made it; None where an entry of something else did, a refund."""
    description: str | None
    username: str | None
    """Of the user whose account it is, where there is such a record."""
    email: str | None


class Directory:
    """Listings and single things; nothing of another workspace is ever found."""

    def __init__(self, db: Database, reports: Reports) -> None:
        self._db = db
        self._reports = reports
        self._sql = statements(db.dialect, "directory")

    async def _rows(self, name: str, *values: Any) -> list[Row]:
        return await self._db.rows(self._sql[name], values)

    # Accounts

    async def accounts(
        self, workspace: str, at: int, *, prefix: str = "", frozen: bool | None = None, in_debt: bool | None = None,
        after: Position | None = None, limit: int = 50,
    ) -> Page[Account]:  # fmt: skip
        """Accounts in the order of their ids (as bytes), as they stand at that instant."""

        def keep(row: Row) -> bool:
            frozen_as_asked = frozen is None or _settings.decode(row[2]).frozen == frozen
            return frozen_as_asked and (in_debt is None or (row[1] > 0) == in_debt)

        # Ids hold no control characters: nothing lies between an id and the same with one behind it.
        start = f"{after[0]}\x01" if after else prefix
        window = window_of(limit, frozen is not None or in_debt is not None)
        marks = await self._rows("account_marks", workspace, start, prefix + _ABOVE_ALL, window)
        chosen, following = cut(marks, limit, window, lambda row: (row[0],), keep)
        return Page(await self._known(workspace, [row[0] for row in chosen], at), following)

    async def _known(self, workspace: str, ids: list[str], at: int) -> list[Account]:
        """The accounts of some ids, in the order of these, as they stand at that instant."""
        rows = await self._rows("accounts", workspace, _json(ids).decode()) if ids else []
        known = sorted((read_account(row) for row in rows), key=lambda account: account.id)
        return [await self._as_of(account, at) for account in known]

    async def _as_of(self, account: Account, at: int) -> Account:
        """The account with what time has done, where that is not booked yet."""
        if min(account.lapse_at or LAST, account.hold_due_at or LAST) > at:
            return account
        found = await self._reports.account(account.workspace, account.id, at)
        assert found is not None, "accounts are never deleted"
        return found

    # Entries and charges

    async def entries(
        self, workspace: str, account: str, *, kinds: Sequence[str] = (), since: int | None = None,
        until: int | None = None, oldest_first: bool = False, after: Position | None = None, limit: int = 50,
    ) -> Page[Entry] | None:  # fmt: skip
        """Entries of some kinds, from `since` on and before `until`; None where there is no such account."""
        bounds = await self.numbers(workspace, account, since, until)
        if bounds is None:
            return None
        first, end = _go_on(bounds, after, oldest_first)
        low, high = _look_at(first, end, ENTRY_WINDOW if kinds else LAST, oldest_first)
        named = f",{','.join(kinds)}," if kinds else ""
        name = "entries_up" if oldest_first else "entries_down"
        rows = await self._rows(name, workspace, account, low, high, named, named, limit + 1)
        following = _following([row[3] for row in rows], limit, (first, end), (low, high), oldest_first)
        return Page([Entry(*row) for row in rows[:limit]], following)

    async def charges(
        self, workspace: str, account: str, *, since: int | None = None, until: int | None = None,
        before: Position | None = None, limit: int = 50,
    ) -> Page[Used] | None:  # fmt: skip
        """Charges and settles, newest first; None where there is no such account."""
        bounds = await self.numbers(workspace, account, since, until)
        if bounds is None:
            return None
        first, end = _go_on(bounds, before, False)
        low, high = _look_at(first, end, ENTRY_WINDOW, False)
        rows = await self._rows("charges", workspace, account, low, high, limit + 1)
        following = _following([row[3] for row in rows], limit, (first, end), (low, high), False)
        return Page([used for row in rows[:limit] if (used := _used(row))], following)

    async def charge(self, workspace: str, charge_id: str) -> Used | None:
        """One charge by its id."""
        if not is_id("ent", charge_id):
            return None
        rows = await self._rows("charge", charge_id, bucket_in(charge_id), workspace)
        return _used(rows[0]) if rows else None

    async def is_archived(self, workspace: str, entry_id: str) -> bool:
        """Whether an entry of that id, which is not here, may be archived: whose it was nothing here tells."""
        at = made_at(entry_id)
        return at is not None and bool(await self._rows("archived", workspace, bucket_in(entry_id), at))

    async def owners_of_key(self, workspace: str, key: str, entry_id: str) -> list[str]:
        """The accounts in the bucket of an entry that have used a key."""
        return [row[0] for row in await self._rows("owners_of_key", workspace, key, bucket_in(entry_id))]

    async def checkpoint(self, workspace: str, account: str) -> Checkpoint | None:
        """What stands in the place of an account's archived entries; entries that are here follow its number."""
        rows = await self._rows("checkpoint", workspace, account, bucket_of(workspace, account))
        return read_checkpoint(rows[0]) if rows else None

    async def refunds(self, used: Used) -> AsyncIterator[Entry]:
        """The refunds of a charge, oldest first; looked for as long as there must be more."""
        left, after = used.charge.refunded, used.entry.number
        while left > 0 and (page := await self._refunds_after(used.entry, after)):
            for entry in page.items:
                left -= sum(amount for charge, _, amount in read_body(entry).refunds if charge == used.entry.id)
                yield entry
            if page.next is None:
                return
            after = int(page.next[0])

    async def _refunds_after(self, charge: Entry, number: int) -> Page[Entry] | None:
        """Some of those that name a charge."""
        owner = (charge.workspace, charge.account)
        page = await self.entries(*owner, kinds=("refund",), oldest_first=True, after=(number,), limit=WINDOW)
        if page is None:
            return None
        return Page([e for e in page.items if any(c == charge.id for c, _, _ in read_body(e).refunds)], page.next)

    async def numbers(
        self, workspace: str, account: str, since: int | None, until: int | None
    ) -> tuple[int, int] | None:
        """The entries of that time: the first one's number, and one more than the last one's."""
        rows = await self._rows("head", workspace, account, bucket_of(workspace, account))
        if not rows:
            return None
        # What is archived and still here, because something else looks at it, is no part of the history any more.
        end, begin = rows[0][0] + 1, rows[0][1] + 1
        first = begin if since is None else max(begin, await self._number_at(workspace, account, since, end))
        return first, end if until is None else await self._number_at(workspace, account, until, end)

    async def _number_at(self, workspace: str, account: str, at: int, end: int) -> int:
        """The first entry of that instant or later: an account's time never goes back, so halving finds it."""
        low, high = 1, end
        while low < high:
            middle = (low + high) // 2
            rows = await self._rows("entry_at", workspace, account, middle, bucket_of(workspace, account))
            if rows and rows[0][0] >= at:
                high = middle
            else:
                low = middle + 1
        return low

    # Grants

    async def grants(
        self, workspace: str, account: str, at: int, *, state: GrantState | Literal["all"] = "all",
        before: Position | None = None, limit: int = 50,
    ) -> Page[GrantView] | None:  # fmt: skip
        """Grants, newest first, as they stand at that instant; None where there is no such account."""
        standing = await self._reports.standing(workspace, account, at)
        if standing is None:
            return None
        start = before or (LAST, "")
        if state == "live":
            return await self._live_grants(standing.account, at, start, limit)
        window = window_of(limit, state != "all")
        views = await self._views(workspace, at, lambda: self._rows("grants", workspace, account, *start, window))
        return cut(views, limit, window, _made, lambda view: state in ("all", view.state))

    async def allocations(
        self, workspace: str, at: int, *, before: Position | None = None, limit: int = 50
    ) -> Page[Allocated]:  # fmt: skip
        """The grants of all accounts, newest first, with what can be spent of each at that instant."""
        rows = await self._rows("allocations", workspace, *(before or (LAST, "")), limit + 1)
        accounts = await self._known(workspace, sorted({row[1] for row in rows}), at)
        free = {grant.id: grant.remaining - grant.held for account in accounts for grant in account.grants}
        known = [Allocated(*(*row[:5], free.get(row[0], 0), *row[5:])) for row in rows]
        return cut(known, limit, limit + 1, lambda grant: (grant.created_at, grant.id))

    async def terms(self, used: Used) -> dict[str, GrantTerms]:
        """The terms of the grants that paid a charge, by their ids."""
        return await self.terms_of(used.entry.bucket, [part.grant for part in used.charge.slices])

    async def terms_of(self, bucket: int, grants: Sequence[str]) -> dict[str, GrantTerms]:
        """The terms of grants that an account's row or entries name, by their ids."""
        rows = await self._rows("grants_by_id", bucket, _json(list(grants)).decode()) if grants else []
        return {terms.id: terms for row in rows for terms in (read_grant(row[1:]),)}

    async def _live_grants(self, account: Account, at: int, start: Position, limit: int) -> Page[GrantView]:
        """Those of the account's row; nothing else has to be looked at."""
        known = sorted((g.created_at, g.id) for g in account.grants if not g.voided)
        later = [mark for mark in reversed(known) if mark < start][: limit + 1]
        names = _json([id for _, id in later[:limit]]).decode()
        views = await self._views(account.workspace, at, lambda: self._rows("grants_by_id", account.bucket, names))
        views.sort(key=_made, reverse=True)
        following = later[limit - 1] if len(later) > limit else None
        return Page([view for view in views if view.state == "live"], following)

    async def grant(self, workspace: str, grant_id: str, at: int) -> tuple[str, GrantView] | None:
        """One grant by its id, with whose it is."""
        if not is_id("grt", grant_id):
            return None

        async def fetch() -> list[Row]:
            return await self._rows("grant", grant_id, bucket_in(grant_id), workspace)

        rows = await fetch()
        return (rows[0][0], (await self._views(workspace, at, fetch))[0]) if rows else None

    async def _views(self, workspace: str, at: int, fetch: Callable[[], Awaitable[list[Row]]]) -> list[GrantView]:
        """Grants of one account's history beside its row. What is gone only ever grows: where it is the same before
        and after the row was read, it is what the row was written with."""
        for _ in range(_TRIES):
            rows = await fetch()
            if not rows:
                return []
            standing = await self._reports.standing(workspace, rows[0][0], at)
            assert standing is not None, "a grant has an account"
            if [row[2:] for row in await fetch()] == [row[2:] for row in rows]:
                return [_view(row, standing, at) for row in rows]
        raise Busy("the account's grants change too fast to be read; nothing was done")

    # Holds

    async def holds(
        self, workspace: str, account: str, at: int, *, state: Literal["live", "ended", "all"] = "all",
        before: Position | None = None, limit: int = 50,
    ) -> Page[Hold] | None:  # fmt: skip
        """Holds, newest first, as they stand at that instant; None where there is no such account."""
        if not await self._rows("head", workspace, account, bucket_of(workspace, account)):
            return None
        start = str(before[0]) if before else "hold~"
        window = window_of(limit, state == "ended")
        if state == "live":
            rows = await self._rows("live_holds", workspace, account, at, start, window)
        else:
            rows = await self._rows("holds", workspace, account, start, window)
        known = [_hold.decode(row[0]) for row in rows]
        holds, following = cut(known, limit, window, lambda h: (h.id,), lambda h: state != "ended" or _is_over(h, at))
        return Page(await self._booked(holds, at), following)

    async def hold(self, workspace: str, hold_id: str, at: int) -> Hold | None:
        """One hold by its id, as it stands at that instant."""
        hold = await self._reports.hold(workspace, hold_id)
        return None if hold is None else (await self._booked([hold], at))[0]

    async def _booked(self, holds: list[Hold], at: int) -> list[Hold]:
        """Holds of one account, those whose end has come as they are once that is booked."""
        late = [h for h in holds if h.state == "live" and _is_over(h, at)]
        if not late:
            return holds
        standing = await self._reports.standing(late[0].workspace, late[0].account, at)
        ended = dict(standing.holds) if standing else {}
        for hold in late:
            if hold.id not in ended and (again := await self._reports.hold(hold.workspace, hold.id)):
                ended[hold.id] = again  # it was booked just now
        return [ended.get(h.id, h) for h in holds]

    # Payments

    async def payments(
        self, workspace: str, *, provider: str | None = None, account: str | None = None,
        before: Position | None = None, limit: int = 50,
    ) -> Page[PaymentClaim]:  # fmt: skip
        """Payments of the directory, newest first."""
        window = window_of(limit, provider is not None)
        start = before or (LAST, "", "")
        if account is None:
            rows = await self._rows("payments", workspace, start[0], *start, window)
        else:
            rows = await self._rows("payments_of", workspace, account, start[0], *start, window)
        known = [_payment(row) for row in rows]
        return cut(known, limit, window, _paid, lambda p: provider is None or p.provider == provider)

    async def payment(self, workspace: str, provider: str, object: str) -> PaymentClaim | None:
        """One payment by its provider's id."""
        rows = await self._rows("payment", workspace, provider, object)
        return _payment(rows[0]) if rows else None


def _go_on(bounds: tuple[int, int], after: Position | None, oldest_first: bool) -> tuple[int, int]:
    """The numbers that are left after a page."""
    if after is None:
        return bounds
    number = int(after[0])
    return (max(bounds[0], number + 1), bounds[1]) if oldest_first else (bounds[0], min(bounds[1], number))


def _look_at(first: int, end: int, window: int, oldest_first: bool) -> tuple[int, int]:
    """The numbers that are looked at for one page."""
    return (first, min(end, first + window)) if oldest_first else (max(first, end - window), end)


def _following(
    numbers: list[int], limit: int, left: tuple[int, int], seen: tuple[int, int], oldest_first: bool
) -> Position | None:
    """Where to go on: after the last row of the page, or after the last that was looked at."""
    if len(numbers) > limit:
        return (numbers[limit - 1],)
    if oldest_first:
        return (seen[1] - 1,) if seen[1] < left[1] else None
    return (seen[0],) if seen[0] > left[0] else None


def _used(row: Row) -> Used | None:
    """A charge from its entry and, where something became of it, its own row; None for an expiry that took nothing."""
    entry = Entry(*row[:-1])
    charge = charge_of(entry) if row[-1] is None else _charge.decode(row[-1])
    assert entry.kind in CHARGES
    return Used(entry, charge) if charge.amount or entry.kind != "expire" else None


def _view(row: Row, standing: Standing, at: int) -> GrantView:
    terms = read_grant(row[1:])
    return view_grant(terms, standing.account, standing.gone.get(terms.id, 0), at)


def _made(view: GrantView) -> Position:
    return view.terms.created_at, view.terms.id


def _is_over(hold: Hold, at: int) -> bool:
    return hold.state != "live" or hold.expires_at <= at


def _payment(row: Row) -> PaymentClaim:
    return PaymentClaim(*row)


def _paid(p: PaymentClaim) -> Position:
    return p.at, p.provider, p.object
