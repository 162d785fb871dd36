"""The contract between the engine and a store: five verbs, and the ways in which they can fail.

A store is driven by one batch at a time. `load` begins a transaction, locks the accounts that the commands name and
reads what the commands need; `save` writes what was decided; `commit` makes it durable before it returns. The verbs
are coroutines because a database over a network needs it; a store on a local file never suspends in them, and
`result_of` runs them without an event loop.
"""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeVar

from farthing.core.commands import Command
from farthing.core.context import AccountKey, Context
from farthing.core.outcomes import Accepted

T = TypeVar("T")


class StoreError(Exception):
    """Something is wrong with the database."""

    code = "store_error"
    retry_after: int | None = None


class Busy(StoreError):
    """The database is locked by another process; nothing was done."""

    code = "busy"
    retry_after = 1


class Unavailable(StoreError):
    """The database can't be written to right now; nothing was done."""

    code = "unavailable"
    retry_after = 5


class StorageFull(Unavailable):
    """The disk is full; nothing was done. Writing goes on by itself once there is room again."""

    code = "storage_full"


class ReadOnly(Unavailable):
    """The database file can't be written to: check its permissions and those of its folder."""

    code = "read_only"


class NotADatabase(StoreError):
    """The file is not a Farthing database."""

    code = "not_a_database"


class Raced(StoreError):
    """Another process wrote the same key or number first; nothing was done, and trying again finds it."""

    code = "raced"


class Overtaken(Exception):
    """Another process has written some of the accounts first, all others are committed; told to the engine only, which
    decides theirs anew."""

    def __init__(self, accounts: frozenset[AccountKey]) -> None:
        super().__init__(f"{len(accounts)} accounts were written by another process first")
        self.accounts = accounts


class Unknown(StoreError):
    """It is not known whether the commit reached the disk; the same key finds out."""

    code = "unknown_outcome"


class Store(Protocol):
    """What the engine needs of a database."""

    @property
    def suspends(self) -> bool:
        """Whether its verbs wait for a network: then the engine runs it as a task of an event loop."""

    async def load(self, commands: Sequence[Command], context: Context, *, again: bool = False) -> None:
        """Begin, lock, read: fill the context with what the commands name; `again` after an unknown outcome: also with
        what they have written already."""

    async def save(self, outcomes: Sequence[Accepted]) -> None:
        """Write entries, snapshots and the records that ride along."""

    async def commit(self) -> None:
        """Make it durable; raises `Unknown` when that can't be told, `Overtaken` when it is, but for some accounts."""

    async def rollback(self) -> None:
        """Undo the batch."""

    async def close(self) -> None:
        """Let go of the database."""


def result_of(work: Awaitable[T]) -> T:
    """The result of a coroutine that never suspends."""
    coroutine: Any = work
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("what suspends needs an event loop: await it there")
