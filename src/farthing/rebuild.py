"""Rebuild: makes the rows of an account again from its entries, where they differ.

What the entries say is right: the rows are derived. So the account's row, those of its grants, holds and charges,
keys that are missing and the due date are put right; the entries themselves never. Where one of those is wrong
(edited, missing, not to be followed) nothing is written, because nothing says what would be right.
"""

from contextlib import closing

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.draft import due_at
from farthing.core.ids import bucket_of
from farthing.core.records import Account, Audit, Charge, Entry, GrantTerms, Hold
from farthing.core.subscription import SubscriptionRow
from farthing.stores.books import Disagreement, Replay
from farthing.stores.doctor import Reading, Repairing
from farthing.stores.schema import Place
from farthing.timezones import calendar

from .doctor import ENTRIES

AUDITED = 100
"""How many differences the audit record names; it counts them all."""


class NothingToRebuild(LookupError):
    """There is no such account: it has no entries."""


class RebuildFailed(RuntimeError):
    """A bug: what was written does not agree with the entries either. Nothing was kept."""


class Rebuilt(Struct):
    """What a rebuild found, and what it did."""

    workspace: str
    account: str
    entries: int
    differences: list[str]
    """Of the rows, before anything was written."""
    lasting: list[str]
    """What no rebuild can put right: a key that was used twice."""
    broken: list[str]
    """What is wrong with the entries themselves."""
    applied: bool = False
    refused: str = ""
    """Why nothing was written, though it was asked for and there are differences."""


def rebuild(
    place: Place,
    workspace: str,
    account: str,
    *,
    apply: bool = False,
    actor: str = "",
    request_id: str = "",
    at: int = 0,
) -> Rebuilt:
    """Compare an account's rows with its entries; `apply` writes what differs, in one transaction with its audit
    record. Works beside a running server: what is long is read before anybody has to wait."""
    opened = Repairing.open(place) if apply else Reading.open(place)
    bucket = bucket_of(workspace, account)
    with closing(opened) as reading, closing(Replay(reading, workspace, account, calendar)) as replay:
        broken: list[str] = []
        done = False
        while not done:
            with reading.snapshot():
                done = replay.read(ENTRIES, lambda problem: broken.append(str(problem)))
        with reading.alone(workspace, account, bucket) if isinstance(reading, Repairing) else reading.snapshot():
            while not replay.read(ENTRIES, lambda problem: broken.append(str(problem))):
                pass
            if not (replay.entries or replay.archived):
                raise NothingToRebuild(f"there is no account {account!r} in workspace {workspace!r}")
            found = [*replay.keys, *replay.disagreements(replay.row())]
            broken += [str(problem) for d in found if d.table == "entry" for problem in d.problems]
            told = Rebuilt(
                workspace,
                account,
                replay.entries,
                _sentences(found, lasting=False),
                _sentences(found, lasting=True),
                broken,
            )
            if isinstance(reading, Repairing):
                act = Audit(workspace, at, actor, request_id, "account.rebuild", account)
                _apply(reading, replay, found, told, act)
        return told


def _sentences(found: list[Disagreement], *, lasting: bool) -> list[str]:
    return [str(problem) for d in found if d.lasting == lasting and d.table != "entry" for problem in d.problems]


def _apply(repairing: Repairing, replay: Replay, found: list[Disagreement], told: Rebuilt, act: Audit) -> None:
    wrong = [d for d in found if not d.lasting]
    if told.broken:
        told.refused = "entries themselves are wrong, and nothing says what would be right: restore a backup"
    if told.broken or not wrong:
        return
    row = replay.books.row()
    for disagreement in wrong:
        _put(repairing, disagreement, row)
    repairing.put_account(row, due_at(row))
    repairing.audit(replace(act, detail={"differences": told.differences[:AUDITED], "count": len(told.differences)}))
    left = [d for d in replay.disagreements(replay.row()) if not d.lasting]
    if left:
        raise RebuildFailed(f"the rows would still differ, so nothing was written: {_sentences(left, lasting=False)}")
    told.applied = True


def _put(repairing: Repairing, d: Disagreement, row: Account) -> None:
    if isinstance(d.right, GrantTerms | Hold | Charge | SubscriptionRow):
        repairing.put(d.right, row)
    elif isinstance(d.right, Entry):
        repairing.put_key(d.right)
    elif d.right is None:
        repairing.drop(d.table, d.id, row.bucket)
