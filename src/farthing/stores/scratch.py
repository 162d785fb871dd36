"""Scratch: what has to be known of a file that is too long to be remembered: which names it used where, what it comes
to for each account. It stands in a temporary file of SQLite's own, which nobody else sees and which goes with it.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

import apsw
from msgspec import Struct

CACHE_KIB: Final = 65_536
_MARK_BYTES: Final = 16
_TABLES: Final = """
create table name (mark blob primary key, line integer, digest blob) without rowid;
create table account (
    id text primary key, lines integer, credits integer, live integer, told integer, line integer
) without rowid;
create table aside (line integer primary key);
begin
"""


class Use(Struct, frozen=True):
    """Where a name was used first, and whether for the same."""

    line: int
    same: bool


class Disagreement(Struct, frozen=True):
    """An account that does not come to what the file says."""

    line: int
    account: str
    told: int
    credits: int


class Scratch:
    """What is known of a file so far."""

    def __init__(self) -> None:
        # No name: a temporary file, in memory as long as it is small.
        self._db = apsw.Connection("")
        self._db.execute(f"pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -{CACHE_KIB}")
        self._db.execute(_TABLES)
        self._cursor = self._db.cursor()
        self._aside = 0

    def close(self) -> None:
        """Let go of it."""
        self._db.close()

    def use(self, kind: str, name: str, line: int, text: bytes) -> Use | None:
        """Note that a line is about a name; where an earlier one was, says which. Of both only digests are kept."""
        mark = blake2b(f"{kind}\0{name}".encode(errors="surrogatepass"), digest_size=_MARK_BYTES).digest()
        digest = blake2b(text, digest_size=_MARK_BYTES).digest()
        self._cursor.execute("insert into name values (?, ?, ?) on conflict do nothing", (mark, line, digest))
        if self._db.changes():
            return None
        ((first, known),) = self._cursor.execute("select line, digest from name where mark = ?", (mark,))
        return Use(first, known == digest)

    def add(self, account: str, credits: int, live: int) -> None:
        """Add to what an account comes to: credits, and how many grants live."""
        self._cursor.execute(
            "insert into account values (?, 1, ?, ?, null, null) on conflict do update "
            "set lines = lines + 1, credits = credits + excluded.credits, live = live + excluded.live",
            (account, credits, live),
        )

    def tell(self, account: str, credits: int, line: int) -> None:
        """Note what a line says that an account comes to."""
        self._cursor.execute(
            "insert into account values (?, 0, 0, 0, ?, ?) on conflict do update "
            "set told = excluded.told, line = excluded.line",
            (account, credits, line),
        )

    def accounts(self) -> int:
        """How many accounts something comes to."""
        ((found,),) = self._db.execute("select count(*) from account where lines > 0")
        return int(found)

    def disagreeing(self) -> Iterator[Disagreement]:
        """Accounts that come to something else than was told."""
        rows = self._db.execute(
            "select line, id, told, credits from account where told is not null and told <> credits order by line"
        )
        return (Disagreement(*row) for row in rows)

    def beyond(self, credits: int, live: int) -> Iterator[tuple[str, int]]:
        """Accounts that come to more than an account may, with the number of their live grants."""
        # A sum beyond what a column holds has become another kind of number, and is larger all the same.
        sql = "select id, live from account where abs(credits) >= ? or live > ? order by id"
        return ((str(row[0]), int(row[1])) for row in self._db.execute(sql, (credits, live)))

    def put_aside(self, line: int) -> None:
        """Note that a line is not to be taken."""
        self._cursor.execute("insert into aside values (?) on conflict do nothing", (line,))
        self._aside += 1

    def is_aside(self, line: int) -> bool:
        """Whether it is not."""
        if not self._aside:
            return False
        return self._cursor.execute("select 1 from aside where line = ?", (line,)).fetchone() is not None
