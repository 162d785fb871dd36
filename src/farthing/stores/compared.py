"""Compared: what a provider has told of a range of time, put down while it is read beside our own books. It stands in a
temporary file of SQLite's own, so that a year of payments takes no more memory than a day.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import apsw
import msgspec

from farthing.core.reconcile import Back, Contest, Theirs

CACHE_KIB: Final = 16_384
_TABLES: Final = """
create table theirs (payment text primary key, at integer, document blob) without rowid;
create index theirs_at on theirs (at, payment);
create table back (id text primary key, at integer, payment text, document blob) without rowid;
create index back_at on back (at, id);
create index back_payment on back (payment);
create table contest (id text primary key, payment text, handle text, at integer, lost integer, open integer,
    amount text)
    without rowid;
create index contest_payment on contest (payment);
create table given (name text, grant_id text, primary key (name, grant_id)) without rowid;
begin
"""
_encode = msgspec.json.Encoder().encode
_theirs = msgspec.json.Decoder(Theirs)
_back = msgspec.json.Decoder(Back)


class Compared:
    """What is known of a provider's books so far."""

    def __init__(self) -> None:
        # No name: a temporary file, in memory as long as it is small.
        self._db = apsw.Connection("")
        self._db.execute(f"pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -{CACHE_KIB}")
        self._db.execute(_TABLES)

    def close(self) -> None:
        """Let go of it."""
        self._db.close()

    # Putting down

    def put(self, told: Theirs | Back | Contest) -> None:
        """Put down what the provider has told; told twice, the later counts."""
        if isinstance(told, Theirs):
            values: tuple[str | int | bytes, ...] = (told.payment, told.at, _encode(told))
            self._db.execute("insert or replace into theirs values (?, ?, ?)", values)
        elif isinstance(told, Back):
            values = (told.id, told.at, told.payment, _encode(told))
            self._db.execute("insert or replace into back values (?, ?, ?, ?)", values)
        else:
            values = (told.id, told.payment, told.handle, told.at, told.lost, told.open, str(told.amount))
            self._db.execute("insert or replace into contest values (?, ?, ?, ?, ?, ?, ?)", values)

    def give(self, name: str, grant: str) -> None:
        """Put down that a grant names something: a payment, perhaps."""
        self._db.execute("insert or ignore into given values (?, ?)", (name, grant))

    # Looking up

    def theirs(self, payment: str) -> Theirs | None:
        """A payment as the provider has it."""
        row = self._db.execute("select document from theirs where payment = ?", (payment,)).fetchone()
        return _theirs.decode(row[0]) if row else None

    def is_back(self, id: str) -> bool:
        """Whether the provider knows a refund."""
        return self._db.execute("select 1 from back where id = ?", (id,)).fetchone() is not None

    def back_since(self, payment: str, at: int) -> Decimal:
        """How much of a payment has gone back since then."""
        rows = self._db.execute("select document from back where payment = ? and at >= ?", (payment, at))
        return sum((_back.decode(row[0]).amount for row in rows), Decimal(0))

    def contest(self, payment: str) -> tuple[Decimal | None, bool]:
        """How much of a payment was lost by disputes, if any was, and whether one is open."""
        rows = list(self._db.execute("select lost, open, amount from contest where payment = ?", (payment,)))
        lost = [Decimal(str(amount)) for lost, _, amount in rows if lost]
        return sum(lost, Decimal(0)) if lost else None, any(open for _, open, _ in rows)

    def grants(self, name: str) -> list[str]:
        """The grants that name something."""
        return [row[0] for row in self._db.execute("select grant_id from given where name = ?", (name,))]

    # Walking

    def payments(self, since: int, until: int) -> Iterator[Theirs]:
        """Payments of a time, the oldest first."""
        rows = self._db.execute(
            "select document from theirs where at >= ? and at < ? order by at, payment", (since, until)
        )
        return (_theirs.decode(row[0]) for row in rows)

    def backs(self, since: int, until: int) -> Iterator[Back]:
        """Refunds of a time, the oldest first."""
        rows = self._db.execute("select document from back where at >= ? and at < ? order by at, id", (since, until))
        return (_back.decode(row[0]) for row in rows)

    def touched(self, since: int, until: int) -> Iterator[tuple[str, str]]:
        """Payments that something went back of, or that were disputed, at a time when they were not made: each with
        what the provider finds it by."""
        rows = self._db.execute(
            "select payment, max(handle) from ("
            " select payment, json_extract(document, '$.handle') as handle, at from back"
            " union all select payment, handle, at from contest) "
            "where at >= ? and at < ? and payment <> '' and handle <> '' "
            "and payment not in (select payment from theirs where at >= ? and at < ?) group by payment",
            (since, until, since, until),
        )
        return ((str(row[0]), str(row[1])) for row in rows)
