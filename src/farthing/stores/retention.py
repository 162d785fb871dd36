"""What retention reads of a ledger, and the one transaction in which entries go and a checkpoint takes their place."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from farthing.core.checkpoint import Checkpoint, write_closed
from farthing.core.draft import Digests
from farthing.core.ids import bucket_of
from farthing.core.records import Charge, Entry, KeptKey, UsageRecord, WorkspaceSettings

from .doctor import Repairing
from .doctor_usage import is_folded
from .rows import kept_key_row, read_checkpoint, read_kept_key, read_usage, write_answer

PAGE = 200
_ENTRY_COLUMNS = 21
_charge = msgspec.json.Decoder(Charge)
_settings = msgspec.json.Decoder(WorkspaceSettings)
Lanes = dict[int, tuple[int, str]]


class Aging(Struct):
    """An entry that may be archived, with what other tables have under its id."""

    entry: Entry
    erased: Digests | None
    charge: Charge | None
    """What became of it, where it is a charge."""
    usage: UsageRecord | None
    may_go: bool
    """It is in the sums that reports are read from, and nothing else needs its row."""


class Totals(Struct):
    """What of a workspace is archived."""

    workspace: str
    accounts: int
    entries: int
    until: int
    """When the last of them was."""
    made_at: int


class Retaining(Repairing):
    """The reads and writes of retention; what is written stands inside `alone`."""

    def days(self) -> dict[str, int]:
        """How long each workspace keeps its entries; 0: for ever."""
        return {row[0]: _settings.decode(row[1]).retention_days for row in self.rows("retention_of")}

    def aging_accounts(self, workspace: str, after: str) -> list[tuple[str, int, int, int | None]]:
        """A page of accounts: id, bucket, number of the last entry, time of the first that is not archived."""
        return [(row[0], row[1], row[2], row[3]) for row in self.rows("aging_accounts", workspace, after, PAGE)]

    def lanes(self) -> Lanes:
        """How far entries are in the sums."""
        return {lane: (batch, entry) for lane, batch, entry in self.rows("lanes")}

    def aging(self, workspace: str, account: str, after: int, limit: int, lanes: Lanes) -> list[Aging]:
        """Its entries after that number, in order."""
        return [_aging(row, lanes) for row in self.rows("aging", workspace, account, after, limit)]

    def later_acts(self, workspace: str, account: str, after: int) -> Iterator[Entry]:
        """Entries that may be about earlier ones."""
        return (Entry(*row) for row in self.rows("later_acts", workspace, account, after))

    def erased(self, ids: Iterable[str], bucket: int) -> dict[str, Digests]:
        """Digests of texts that were erased, by the ids of their entries."""
        return {id: (description, metadata) for id, description, metadata in self._of("erased_of", ids, bucket)}

    def _of(self, name: str, ids: Iterable[str], bucket: int) -> Iterable[tuple[Any, ...]]:
        wanted = json.dumps(list(ids))
        return () if wanted == "[]" else self.rows(name, wanted, bucket)

    def checkpoints(self, after: tuple[str, str]) -> list[tuple[str, str, int, int, Checkpoint]]:
        """A page of checkpoints: workspace, account, bucket, number, and what it says."""
        found = self.rows("checkpoints", *after, PAGE)
        return [(row[0], row[1], row[2], row[3], read_checkpoint(row[4:])) for row in found]

    def totals(self) -> list[Totals]:
        """What is archived of each workspace."""
        return [Totals(row[0], row[1], int(row[2]), row[3], row[4]) for row in self.rows("checkpoint_totals")]

    def kept_answers(self, workspace: str, account: str, keys: list[str]) -> dict[str, Entry]:
        """What is kept of archived entries for their keys."""
        rows = self.rows("kept_keys", json.dumps(keys), workspace, account, bucket_of(workspace, account))
        kept = [read_kept_key(row) for row in rows]
        return {entry.key: entry for entry in kept if entry.key is not None}

    # Writing

    def allow(self) -> None:
        """From here on, in this transaction alone, entries may go."""
        for _ in self.rows("retire"):
            pass

    def forbid(self) -> None:
        """That is over; to be said before the transaction is."""
        for _ in self.rows("retired"):
            pass

    def keep_keys(self, entries: Iterable[Entry]) -> None:
        """Keep what the first answers of their keys are told from."""
        rows = [_kept(entry) for entry in entries if entry.key is not None and entry.fingerprint is not None]
        self.put_all("keep_keys", rows)

    def keep_payments(self, entries: Sequence[Entry]) -> None:
        """The same for payments that they credited."""
        known = {entry.id: entry for entry in entries}
        first, last = entries[0], entries[-1]
        payments = list(self.rows("payments_between", first.workspace, first.account, first.at, last.at))
        for provider, payment, id in payments:
            if id in known:
                self._put("keep_payment", write_answer(known[id]), first.workspace, provider, payment)

    def drop_rows(self, table: str, ids: Iterable[str], bucket: int) -> None:
        """Take away rows of `usage`, `erased`, `entries` or `charges`, by the ids of their entries."""
        for _ in self._of(f"drop_{table}", ids, bucket):
            pass

    def old_messages(self, workspace: str, before: int) -> int:
        """How many messages of providers are done, older, and still have what they said."""
        ((count,),) = self.rows("old_messages", workspace, before)
        return int(count)

    def forget_messages(self, workspace: str, before: int) -> int:
        """Let go of what some of them said; how many those were. What was about nothing that is known stays: somebody
        may still say what it is."""
        with self.alone(workspace, "", 0):
            return len(list(self.rows("forget_messages", workspace, workspace, before, PAGE)))

    def put_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Put it in the place of the one before."""
        closed = checkpoint.closed
        a = closed.account
        self._put(
            "put_checkpoint", a.workspace, a.id, a.bucket, a.number, closed.entry, a.at, checkpoint.used_until, a.head,
            checkpoint.archive, checkpoint.made_at, write_closed(closed),
        )  # fmt: skip


def _aging(row: tuple[object, ...], lanes: Lanes) -> Aging:
    entry = Entry(*row[:_ENTRY_COLUMNS])  # type: ignore[arg-type]
    is_erased, description, metadata, charge, lane, batch, is_last, *usage = row[_ENTRY_COLUMNS:]
    return Aging(
        entry,
        (description, metadata) if is_erased else None,  # type: ignore[arg-type]
        None if charge is None else _charge.decode(charge),  # type: ignore[arg-type]
        None if usage[0] is None else read_usage(tuple(usage)),
        not is_last and is_folded((lane, batch, entry.id), lanes),  # type: ignore[arg-type]
    )


def _kept(entry: Entry) -> tuple[object, ...]:
    assert entry.key is not None
    assert entry.fingerprint is not None
    kept = KeptKey(entry.workspace, entry.key, entry.account, entry.bucket, entry.fingerprint, entry)
    return kept_key_row(kept, entry.number)
