"""Pages: how a listing is cut into them.

A page goes on where the one before ended, by the keys of its last row, never by counting: rows that are added meanwhile
neither repeat nor hide others. Where a filter has no index of its own only so many rows are looked at for a page; it
may then hold fewer than asked for, and still say that there is more.
"""

from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

Position = tuple[int | str, ...]
"""Where a page ended: the keys of its last row."""

WINDOW: Final = 1_000
"""Rows that a filter without an index looks at for one page."""
LAST: Final = 1 << 62
"""Above all times, numbers and positions."""


class Page(NamedTuple, Generic[T]):
    """Some rows of a listing; `next` is where to go on, None at the end."""

    items: list[T]
    next: Position | None


def window_of(limit: int, filtered: bool) -> int:
    """How many rows to ask for: one more than the page holds says whether there are more."""
    return max(WINDOW, limit + 1) if filtered else limit + 1


def cut(
    rows: Sequence[T], limit: int, window: int, position: Callable[[T], Position],
    keep: Callable[[T], bool] = lambda _: True,
) -> Page[T]:  # fmt: skip
    """As many of the rows as a page may have, and where the next one begins; `window` rows were asked for."""
    chosen: list[T] = []
    for row in rows:
        if keep(row):
            if len(chosen) == limit:
                return Page(chosen, position(chosen[-1]))
            chosen.append(row)
    return Page(chosen, position(rows[-1]) if len(rows) == window else None)


def merged(pages: Sequence[Page[T]], limit: int, position: Callable[[T], Position]) -> Page[T]:
    """One page of several that run down side by side. Behind where the first of them ends, others may have more."""
    edges = [page.next for page in pages if page.next is not None]
    edge = max(edges, default=None)
    items = sorted((item for page in pages for item in page.items), key=position, reverse=True)
    chosen = [item for item in items if edge is None or position(item) >= edge]
    return Page(chosen[:limit], position(chosen[limit - 1])) if len(chosen) > limit else Page(chosen, edge)
