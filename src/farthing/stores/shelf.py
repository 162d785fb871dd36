"""A shelf: a mapping of any size in little memory. What was used last is at hand, the rest in a temporary file."""

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from functools import cache
from typing import Final, Generic, TypeVar

import apsw
import msgspec

T = TypeVar("T", bound=msgspec.Struct)
AT_HAND: Final = 4096
_PAGE: Final = 1000
_pack = msgspec.msgpack.Encoder().encode


@cache
def _decoder(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    return msgspec.msgpack.Decoder(kind)


class Shelf(MutableMapping[str, T], Generic[T]):
    """Records by their ids. Nobody but its owner sees the file, and it goes with the shelf."""

    def __init__(self, kind: type[T], at_hand: int = AT_HAND) -> None:
        self._kind = kind
        self._at_hand = at_hand
        self._near: OrderedDict[str, T] = OrderedDict()
        self._far: apsw.Connection | None = None
        self._count = 0

    def __getitem__(self, key: str) -> T:
        if key in self._near:
            self._near.move_to_end(key)
            return self._near[key]
        value = self._fetch(key)
        if value is None:
            raise KeyError(key)
        self._put(key, value)
        return value

    def __setitem__(self, key: str, value: T) -> None:
        if key not in self._near and self._fetch(key) is None:
            self._count += 1
        self._put(key, value)

    def __delitem__(self, key: str) -> None:
        self[key]
        del self._near[key]
        if self._far is not None:
            self._far.execute("delete from shelf where id = ?", (key,))
        self._count -= 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        """By id where there is a file, which may be read and written meanwhile."""
        if self._far is None:
            yield from list(self._near)
            return
        self._store(len(self._near))
        after = ""
        while page := self._ids(after):
            yield from page
            after = page[-1]

    def close(self) -> None:
        """Let go of the file."""
        if self._far is not None:
            self._far.close()
            self._far = None

    def _ids(self, after: str) -> list[str]:
        assert self._far is not None, "asked where there is a file"
        rows = self._far.execute("select id from shelf where id > ? order by id limit ?", (after, _PAGE))
        return [str(row[0]) for row in rows]

    def _fetch(self, key: str) -> T | None:
        if self._far is None:
            return None
        row = self._far.execute("select value from shelf where id = ?", (key,)).fetchone()
        return _decoder(self._kind).decode(row[0]) if row else None

    def _put(self, key: str, value: T) -> None:
        self._near[key] = value
        self._near.move_to_end(key)
        if len(self._near) > self._at_hand:
            # Half of them at once: one by one would cost a statement each.
            self._store(self._at_hand // 2 + 1)

    def _store(self, count: int) -> None:
        """Put the ones that were not used for longest into the file."""
        if self._far is None:
            # No name: SQLite's own temporary file, in memory as long as it is small.
            self._far = apsw.Connection("")
            self._far.execute("pragma journal_mode = off; pragma synchronous = off")
            self._far.execute("create table shelf (id text primary key, value blob) without rowid; begin")
        gone = [self._near.popitem(last=False) for _ in range(min(count, len(self._near)))]
        self._far.executemany("insert or replace into shelf values (?, ?)", ((k, _pack(v)) for k, v in gone))
