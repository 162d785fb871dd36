"""Pages: listings that are read a page at a time while one iterates over what is in them."""

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from msgspec.structs import replace

from ..calls import Call
from ..forms import Page
from .door import AsyncDoor

T = TypeVar("T")


class AsyncPages(Generic[T]):
    """A listing. Iterate over its items; `pages()` gives them a page at a time, and `first()` just one page."""

    def __init__(self, door: AsyncDoor, call: Call[Page[T]]) -> None:
        self._door = door
        self._call = call

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page.data:
                yield item

    async def pages(self) -> AsyncIterator[Page[T]]:
        """One page after the other."""
        call = self._call
        while True:
            page = await self._door.ask(call)
            yield page
            if page.next_cursor is None:
                return
            # A cursor says itself where to go on.
            query = {name: value for name, value in call.query.items() if name != "offset"}
            call = replace(call, query=query | {"cursor": page.next_cursor})

    async def first(self) -> Page[T]:
        """The first page alone."""
        return await self._door.ask(self._call)
