"""What doctor reads, and what a rebuild writes: plain statements on one connection, no judgement.

The statements are the same for every database; how they are carried out is in `doctor_sqlite.py` and
`doctor_postgres.py`. Reading goes beside a running server.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from farthing.core.checkpoint import Checkpoint
from farthing.core.draft import Digests
from farthing.core.ids import bucket_in
from farthing.core.records import Account, Audit, Charge, Entry, GrantTerms, Hold
from farthing.core.subscription import SubscriptionRow

from .doctor_sqlite import SqliteSource
from .rows import (
    account_row,
    audit_row,
    charge_row,
    grant_row,
    hold_row,
    read_checkpoint,
    read_grant,
    read_subscription,
    subscription_row,
)
from .schema import Place, is_postgres

Row = tuple[Any, ...]
PAGE: Final = 1_000
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError)
"""What reading raises where a stored text is not what it should be."""
_hold = msgspec.json.Decoder(Hold)
_charge = msgspec.json.Decoder(Charge)


class Line(Struct):
    """An entry, and what other tables have under its key and id."""

    entry: Entry
    key_number: int | None
    """The number that the table of keys has for its key."""
    has_charge: bool
    erased: Digests | None = None
    """Of texts that were erased."""


class Stored(Struct):
    """A record of a table: what its text says, and the columns beside it."""

    record: GrantTerms | Hold | Charge | SubscriptionRow
    columns: Row


class Source(Protocol):
    """A connection to read by. Each `snapshot` is one short read transaction, in which nothing moves."""

    def close(self) -> None:
        """Let go of it."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Until it ends nothing that is read moves."""

    def alone(self, workspace: str, account: str, bucket: int) -> AbstractContextManager[None]:
        """Until it ends nobody else writes the account; commits what is put meanwhile."""

    def rows(self, name: str, *values: Any) -> Iterator[Row]:
        """The rows of a statement of the slice `doctor`, as they are asked for."""

    def owners(self, table: str, after: tuple[str, str], limit: int) -> Iterator[Row]:
        """The next accounts that a table names, and whether each has a row."""

    def put(self, name: str, *values: Any) -> None:
        """Carry out a statement that writes."""

    def put_all(self, name: str, rows: Sequence[Row]) -> None:
        """Carry out a statement that writes many rows."""

    def undurable(self) -> Iterator[str]:
        """Settings under which what was told might not be on the disk."""

    def damage(self) -> Iterator[str]:
        """What the database finds wrong with its own pages and indexes."""

    def schema_differences(self) -> Iterator[str]:
        """What the schema lacks of what its migrations made."""


def open_source(place: Place, *, read_only: bool) -> Source:
    """Beside whoever is writing."""
    if is_postgres(place):
        from .doctor_postgres import PostgresSource

        return PostgresSource(str(place))
    return SqliteSource(Path(place), read_only=read_only)


class Reading:
    """The reads, each a stream."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.snapshot = source.snapshot
        self.undurable = source.undurable
        self.damage = source.damage
        self.schema_differences = source.schema_differences
        self.close = source.close
        self._rows = self.rows = source.rows

    @classmethod
    def open(cls, place: Place) -> "Reading":
        """Read a database that others may be writing."""
        return cls(open_source(place, read_only=True))

    def _row(self, name: str, *values: Any) -> Row | None:
        return next(self._rows(name, *values), None)

    # Whole tables

    def workspaces(self) -> set[str]:
        """All their ids."""
        return {row[0] for row in self._rows("workspaces")}

    def count_accounts(self) -> int:
        """How many accounts there are."""
        row = self._row("count_accounts")
        return int(row[0]) if row else 0

    def accounts(self, after: Row) -> Iterator[Row]:
        """A page of rows, of those that follow (workspace, id, bucket)."""
        return self._rows("accounts", *after, PAGE)

    def page(self, table: str, after: Row) -> Iterator[Row]:
        """A page of `keys`, `holds`, `charges`, `payments` or `usage`, each row joined with its entry; or of
        `sessions`, each with its hold."""
        return self._rows(table, *after, PAGE)

    def owners(self, table: str, after: tuple[str, str]) -> list[tuple[str, str, bool]]:
        """A page of accounts that rows of `entry`, `grants`, `subscription` or `job` name, and whether it has one."""
        return [(str(row[0]), str(row[1]), bool(row[2])) for row in self._source.owners(table, after, PAGE)]

    # One account

    def account(self, workspace: str, account: str, bucket: int) -> Row | None:
        """Its row, to be read with `read_account`."""
        return self._row("account", workspace, account, bucket)

    def entries(self, workspace: str, account: str, after: int, limit: int) -> Iterator[Line]:
        """Its entries after that number, in order."""
        for *columns, number, has_charge, is_erased, description, metadata in self._rows(
            "entries", workspace, account, after, limit
        ):
            erased = (description, metadata) if is_erased else None
            yield Line(Entry(*columns), number, bool(has_charge), erased)

    def checkpoint(self, workspace: str, account: str, bucket: int) -> Checkpoint | None:
        """What stands in the place of its archived entries."""
        row = self._row("checkpoint", workspace, account, bucket)
        return read_checkpoint(row) if row else None

    def entry(self, entry_id: str) -> Entry | None:
        """One entry by its id."""
        row = self._row("entry", entry_id, bucket_in(entry_id))
        return Entry(*row) if row else None

    def grants(self, workspace: str, account: str) -> Iterator[Stored]:
        """The history of its grants."""
        for *columns, terms, voided, gone, grant_id in self._rows("grants", workspace, account):
            yield Stored(read_grant((terms, voided, gone)), (grant_id, *columns))

    def grant(self, grant_id: str, bucket: int) -> Stored | None:
        """A grant's row."""
        row = self._row("grant", grant_id, bucket)
        if row is None:
            return None
        *columns, terms, voided, gone, id = row
        return Stored(read_grant((terms, voided, gone)), (id, *columns))

    def hold(self, hold_id: str, bucket: int) -> Stored | None:
        """A hold's row."""
        row = self._row("hold", hold_id, bucket)
        return Stored(_hold.decode(row[-1]), row[:-1]) if row else None

    def holds_of(self, workspace: str, account: str) -> Iterator[tuple[str, Stored]]:
        """All its holds, live or not, by their ids."""
        for *row, hold_id in self._rows("holds_of", workspace, account):
            yield hold_id, Stored(_hold.decode(row[-1]), tuple(row[:-1]))

    def charge(self, charge_id: str, bucket: int) -> Stored | None:
        """A charge's row."""
        row = self._row("charge", charge_id, bucket)
        return Stored(_charge.decode(row[-1]), row[:-1]) if row else None

    def charges_of(self, workspace: str, account: str) -> Iterator[str]:
        """Which of its entries have a row among the charges."""
        return (row[0] for row in self._rows("charges_of", workspace, account))

    def due(self, workspace: str, account: str, bucket: int) -> int | None:
        """When the table of jobs says that time does something to it."""
        row = self._row("due", workspace, account, bucket)
        return row[0] if row else None

    def subscription(self, workspace: str, account: str, bucket: int) -> Stored | None:
        """The row of its subscription."""
        row = self._row("subscription", workspace, account, bucket)
        if row is None:
            return None
        return Stored(SubscriptionRow(workspace, account, bucket, read_subscription(row[-1])), row[:-1])


def columns_of(record: GrantTerms | Hold | Charge | SubscriptionRow, bucket: int) -> Row:
    """The columns that a record must have beside its text, in the order in which they are read."""
    if isinstance(record, SubscriptionRow):
        return subscription_row(record)[3:-1]
    if isinstance(record, GrantTerms):
        return (record.id, bucket, record.amount, record.created_at, record.expires_at)
    return (hold_row(record) if isinstance(record, Hold) else charge_row(record))[1:-1]


class Repairing(Reading):
    """The writes of a rebuild, inside `alone`."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.alone = source.alone
        self._put = source.put
        self.put_all = source.put_all

    @classmethod
    def open(cls, place: Place) -> "Repairing":
        """Open for writing, beside a running server."""
        return cls(open_source(place, read_only=False))

    def put_account(self, account: Account, due: int | None) -> None:
        """Write its row and when time next does something to it."""
        self._put("put_account", *account_row(account))
        key = (account.workspace, account.id, account.bucket)
        if due is None:
            self._put("drop_due", *key)
        else:
            self._put("put_due", *key, due)

    def put(self, record: GrantTerms | Hold | Charge | SubscriptionRow, account: Account) -> None:
        """Write a record's row."""
        if isinstance(record, GrantTerms):
            self._put("put_grant", *grant_row(record, account), record.gone)
        elif isinstance(record, Hold):
            self._put("put_hold", *hold_row(record))
        elif isinstance(record, SubscriptionRow):
            self._put("put_subscription", *subscription_row(record))
        else:
            self._put("put_charge", *charge_row(record))

    def drop(self, table: str, record_id: str, bucket: int) -> None:
        """Take away a row of `grants`, `charge` or `subscription` that no entry explains."""
        self._put(f"drop_{table}", record_id, bucket)

    def put_key(self, entry: Entry) -> None:
        """Enter an entry's key."""
        self._put("put_key", entry.workspace, entry.key, entry.account, entry.bucket, entry.number)

    def audit(self, audit: Audit) -> None:
        """Say who did it."""
        self._put("put_audit", *audit_row(audit))
