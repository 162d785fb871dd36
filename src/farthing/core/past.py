"""Past: what grants had left after an earlier entry, worked out from the bodies of the entries on either side of it.

From the account's row the later entries are taken back, newest first; or the earlier ones are added up from the first
on. Both come to the same, and what comes of it is held against the balance that the entry itself tells.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from . import burn
from .draft import first_lapse
from .records import Account, Entry, Grant, GrantTerms
from .refundable import read_body


class _Given(Struct):
    id: str
    amount: int


class _Moves(Struct):
    """Of a body, what moves grants: all else is not even read."""

    slices: list[tuple[str, int, int]] = []
    grants: list[_Given] = []
    voided: list[str] = []


_moves = msgspec.json.Decoder(_Moves)


class Movements:
    """What is left and held of each grant, entry by entry in one direction of time."""

    def __init__(self, grants: list[Grant], *, back: bool) -> None:
        """From these grants on, or back."""
        self.back = back
        self.left: dict[str, tuple[int, int]] = {g.id: (g.remaining, g.held) for g in grants}
        self.voided: dict[str, bool] = {g.id: g.voided for g in grants}
        """Whether a grant was voided by then, where that is known."""

    def add(self, body: str) -> None:
        """Go on by the next entry."""
        moves = _moves.decode(body)
        for given in moves.grants:
            self.left[given.id] = (given.amount, 0)
        for grant, remaining, held in moves.slices:
            self._move(grant, remaining, held)
        for grant in moves.voided:
            self.voided[grant] = True

    def take_back(self, body: str) -> None:
        """Go back by the last entry."""
        moves = _moves.decode(body)
        for grant, remaining, held in moves.slices:
            self._move(grant, -remaining, -held)
        for given in moves.grants:
            self.left.pop(given.id, None)
        for grant in moves.voided:
            self.voided[grant] = False

    def _move(self, grant: str, remaining: int, held: int) -> None:
        before = self.left.get(grant, (0, 0))
        after = (before[0] + remaining, before[1] + held)
        if after == (0, 0):
            self.left.pop(grant, None)
        else:
            self.left[grant] = after


def explains(entry: Entry, movements: Movements) -> bool:
    """Whether the grants come to the balance after an entry."""
    return sum(remaining for remaining, _ in movements.left.values()) - entry.debt == entry.balance


def account_after(entry: Entry, now: Account, movements: Movements, terms: Mapping[str, GrantTerms]) -> Account:
    """An account as it stood after an entry: sums, grants, overdraft allowance. Other settings are those of now, and
    totals, live holds and spend windows are left out."""
    grants = [_line(id, movements, terms[id]) for id in movements.left]
    grants.sort(key=burn.order)
    allowance = read_body(entry).beyond - sum(g.held for g in grants if g.scope)
    return Account(
        entry.workspace, entry.account, entry.bucket, entry.number, entry.balance, entry.held, entry.debt, at=entry.at,
        head=entry.hash, lapse_at=first_lapse(grants), grants=grants,
        settings=replace(now.settings, allowance=allowance),
    )  # fmt: skip


def _line(id: str, movements: Movements, t: GrantTerms) -> Grant:
    remaining, held = movements.left[id]
    # Nothing that was looked at tells it: going back, it was as it is; going on, it was not.
    voided = movements.voided.get(id, movements.back and t.voided)
    return Grant(id, remaining, held, t.category, t.priority, t.expires_at, t.created_at, t.scope, voided)
