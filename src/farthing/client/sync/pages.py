"""Pages: listings that are read a page at a time while one iterates over what is in them.

Made from `aio/pages.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

from msgspec.structs import replace

from ..calls import Call
from ..forms import Page
from .door import Door

T = TypeVar("T")


class Pages(Generic[T]):
    """A listing. Iterate over its items; `pages()` gives them a page at a time, and `first()` just one page."""

    def __init__(self, door: Door, call: Call[Page[T]]) -> None:
        self._door = door
        self._call = call

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.data

    def pages(self) -> Iterator[Page[T]]:
        """One page after the other."""
        call = self._call
        while True:
            page = self._door.ask(call)
            yield page
            if page.next_cursor is None:
                return
            # A cursor says itself where to go on.
            query = {name: value for name, value in call.query.items() if name != "offset"}
            call = replace(call, query=query | {"cursor": page.next_cursor})

    def first(self) -> Page[T]:
        """The first page alone."""
        return self._door.ask(self._call)
