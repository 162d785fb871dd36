"""Listening: events as they come, for who reads them himself: over HTTP, in this process, on a terminal.

As long as anybody here listens to a workspace, a listener of this process keeps a lease there that has the types
recorded, and one reader follows its events for all of them. Ids are ordered by time and commits are not: the reader
looks again and again at the last seconds, now and then at the last minute, and tells what it has not told yet. Who goes
on where he was gets that minute once more, under the same ids, so that nothing is left out.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from msgspec import Struct

from farthing.core.endpoints import LEASE_US
from farthing.core.events import matches
from farthing.core.ids import made_at
from farthing.core.records import Event
from farthing.stores.contract import StoreError
from farthing.stores.endpoints import Endpoints
from farthing.stores.events import Events

POLL_SECONDS: Final = 0.25
BEAT_SECONDS: Final = 15.0
"""How long a listener is told nothing before he is told that there is nothing."""
OVERLAP_US: Final = 60_000_000
"""A commit may come so late after the time of its events: its database was locked, its machine stood still."""
RECENT_US: Final = 3_000_000
FAR_EVERY: Final = 8
"""Most commits are in time: all of the overlap is looked at each so many times."""
MOST_WAITING: Final = 1_000
"""Events that may wait for a listener who has not taken what came before; who is slower is cut off, and may go on where
he was."""
MOST_LISTENERS: Final = 100
"""Of a workspace, in one process."""
PAGE: Final = 500
IDS: Final = 5_000
ALL: Final = ("*",)


class TooManyListeners(Exception):
    """As many listen to this workspace in this process as may."""


class Wish(Struct, frozen=True, kw_only=True):
    """What somebody wants to hear."""

    types: tuple[str, ...] = ALL
    account: str | None = None
    since: int | None = None
    """From that instant on, rather than from now on."""
    after: str | None = None
    """The position behind which to go on."""

    def has(self, event: Event) -> bool:
        """Whether that is something for him."""
        if self.account not in (None, event.account):
            return False
        return any(matches(each, event.type) for each in self.types)


class Heard(NamedTuple):
    """What is told at a time: some events, or none for a sign of life; and where to go on."""

    events: list[Event]
    position: str


def position_at(at: int) -> str:
    """Where the events of that instant begin."""
    return f"evt_{max(at, 0) // 1000:012x}{0:020x}"


def is_position(text: str) -> bool:
    """Whether one can go on there: it is the id of an event, or like one."""
    return text.startswith("evt_") and made_at(text) is not None


class Listening:
    """All who listen in this process, on one event loop."""

    def __init__(
        self, events: Events, endpoints: Endpoints, now_us: Callable[[], int], *,
        poll_seconds: float = POLL_SECONDS, beat_seconds: float = BEAT_SECONDS,
    ) -> None:  # fmt: skip
        self._events = events
        self._endpoints = endpoints
        self._now_us = now_us
        self._poll_seconds = poll_seconds
        self._beat_seconds = beat_seconds
        self._readers: dict[str, _Reader] = {}
        self._closed = False

    async def follow(self, workspace: str, wish: Wish) -> AsyncGenerator[Heard, None]:
        """Events as they come. The first that is told are none: from then on nothing is missed. It ends when the
        process does, and where the listener was too slow."""
        if self._closed:
            return
        reader = self._readers.get(workspace)
        if reader is None:
            reader = _Reader(workspace, self._events, self._endpoints, self._now_us, self._poll_seconds)
            self._readers[workspace] = reader
        listener = _Listener(wish)
        await reader.join(listener)
        try:
            start = self._start(wish)
            yield Heard([], wish.after or start or reader.position)
            if start is not None:
                async for heard in self._past(reader, listener, start):
                    yield heard
            while (heard_now := await listener.next(self._beat_seconds)) is not None:
                yield Heard(heard_now, heard_now[-1].id if heard_now else reader.position)
        finally:
            await reader.leave(listener)

    def _start(self, wish: Wish) -> str | None:
        """Where what was before begins, if it is wanted."""
        if wish.after is not None:
            return position_at((made_at(wish.after) or 0) - OVERLAP_US)
        return None if wish.since is None else position_at(wish.since)

    async def _past(self, reader: "_Reader", listener: "_Listener", start: str) -> AsyncGenerator[Heard, None]:
        """What happened since; then the listener hears what comes, and what came meanwhile is looked for once more."""
        told: set[str] = set()
        after, edge, full = start, "", True
        while full:
            late = position_at(self._now_us() - OVERLAP_US)
            found = await self._page(reader.workspace, after, listener.wish)
            full = len(found) == PAGE
            if not edge and (not full or found[-1].id > late):
                edge = late  # behind it something may be committed that was passed by
            news = [event for event in found if self._is_due(event, listener.wish)]
            if edge:
                told.update(event.id for event in found if event.id > edge)
            if news:
                yield Heard(news, news[-1].id)
            after = found[-1].id if found else after
        await reader.attach(listener)
        after, full = max(start, edge), True
        while full:
            found = await self._page(reader.workspace, after, listener.wish)
            full = len(found) == PAGE
            news = [event for event in found if event.id not in told and self._is_due(event, listener.wish)]
            told.update(event.id for event in found)
            if news:
                yield Heard(news, news[-1].id)
            after = found[-1].id if found else after
        listener.known = told

    def _is_due(self, event: Event, wish: Wish) -> bool:
        return wish.has(event) and (wish.since is None or event.at >= wish.since)

    async def _page(self, workspace: str, start: str, wish: Wish) -> list[Event]:
        one = wish.types[0] if len(wish.types) == 1 and "*" not in wish.types[0] else None
        page = await self._events.page(workspace, type=one, oldest_first=True, after=(start,), limit=PAGE)
        return page.items

    async def aclose(self) -> None:
        """Let all who listen come to their end."""
        self._closed = True
        for reader in self._readers.values():
            await reader.close()


class _Listener:
    """One who listens: what waits for him."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.hears = wish.after is None and wish.since is None
        """Whether what comes is kept for him: while he is told what was, it is not."""
        self.known: set[str] = set()
        """What he was told of what was."""
        self._waiting: deque[Event] = deque()
        self._called = asyncio.Event()
        self._ended = False

    def tell(self, events: Iterable[Event]) -> None:
        """Keep for him what he wants; of one who is far behind all is let go of."""
        if self._ended or not self.hears:
            return
        news = [event for event in events if self.wish.has(event)]
        # What comes all at once is no fault of his.
        if self._waiting and len(self._waiting) + len(news) > MOST_WAITING:
            self.end()
            self._waiting.clear()
        elif news:
            self._waiting.extend(news)
            self._called.set()

    def end(self) -> None:
        """Nothing comes any more."""
        self._ended = True
        self._called.set()

    async def next(self, seconds: float) -> list[Event] | None:
        """What waits for him; nothing after that time; None at the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._called.wait()
        self._called.clear()
        news = [event for event in self._waiting if event.id not in self.known]
        self._waiting.clear()
        if self._ended:
            self._called.set()  # who asks again is told at once
            return news or None
        return news


class _Reader:
    """Follows the events of one workspace, for all who listen to it here."""

    def __init__(
        self, workspace: str, events: Events, endpoints: Endpoints, now_us: Callable[[], int], poll_seconds: float
    ) -> None:  # fmt: skip
        self.workspace = workspace
        self._events = events
        self._endpoints = endpoints
        self._now_us = now_us
        self._poll_seconds = poll_seconds
        self._id = f"lis_{secrets.token_hex(16)}"
        self._listeners: set[_Listener] = set()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._lease: tuple[tuple[str, ...], int] | None = None
        """What it asks for, and until when."""
        self._looked_at: int | None = None
        self._far_at = 0
        """When all of the overlap was looked at."""
        self._looks = 0
        self._seen: set[str] = set()
        self._closed = False

    @property
    def position(self) -> str:
        """Up to here all was told, but for what is committed late."""
        return position_at(self._looked_at or self._now_us())

    async def join(self, listener: _Listener) -> None:
        """Have somebody hear what is committed from now on."""
        if len(self._listeners) >= MOST_LISTENERS:
            raise TooManyListeners(f"{MOST_LISTENERS} listen to this workspace here already")
        hears, listener.hears = listener.hears, False
        self._listeners.add(listener)
        try:
            async with self._turn:
                await self._keep_up()
                if self._task is None:
                    self._looked_at, self._far_at, self._looks = None, self._now_us(), 0
                await self._look()  # what was there before is nothing new
                listener.hears = hears
                if self._task is None:
                    self._task = asyncio.create_task(self._watch())
        except BaseException:
            await self.leave(listener)
            raise

    async def attach(self, listener: _Listener) -> None:
        """Have somebody hear from now on who has read what was, and reads once more what came meanwhile."""
        async with self._turn:
            await self._look()
            listener.hears = True

    async def leave(self, listener: _Listener) -> None:
        """Somebody goes. After the last one the lease is kept for its time: who has lost his connection comes again,
        and what happens meanwhile is recorded."""
        self._listeners.discard(listener)
        if self._listeners or self._closed:
            return
        async with self._turn:
            if not self._listeners and self._lease is not None:
                with suppress(StoreError):
                    await self._renew(self._lease[0])

    async def close(self) -> None:
        """Let all come to their end. The lease is kept for its time: they come again, to another process or to the next
        one, and what happens meanwhile is recorded."""
        self._closed = True
        async with self._turn:
            if self._task is not None:
                self._task.cancel()
                self._task = None
            if self._listeners and self._lease is not None:
                with suppress(StoreError):
                    await self._renew(self._lease[0])
            for listener in self._listeners:
                listener.end()

    async def _let_go(self) -> None:
        self._task, self._lease, self._seen = None, None, set()
        with suppress(StoreError):  # then it ends by itself
            await self._endpoints.leave(self.workspace, self._id, self._now_us())

    async def _watch(self) -> None:
        try:
            while self._task is asyncio.current_task():
                await asyncio.sleep(self._poll_seconds)
                async with self._turn:
                    # While the database is away nothing is told; afterwards it is looked at from where it was left.
                    with suppress(StoreError):
                        await self._go_on()
        except Exception:
            self._task = self._lease = None  # who comes next begins anew
            for listener in self._listeners:
                listener.end()
            raise

    async def _go_on(self) -> None:
        if self._listeners:
            await self._keep_up()
            await self._look()
        elif self._lease is not None and self._lease[1] <= self._now_us():
            await self._let_go()

    async def _keep_up(self) -> None:
        """See to it that what is listened for is recorded, for a while to come."""
        types = tuple(sorted({type for listener in self._listeners for type in listener.wish.types}))
        now = self._now_us()
        if self._lease is None or self._lease[0] != types or self._lease[1] - now < LEASE_US // 2:
            await self._renew(types)

    async def _renew(self, types: tuple[str, ...]) -> None:
        now = self._now_us()
        await self._endpoints.listen(self.workspace, self._id, types, now)
        self._lease = types, now + LEASE_US

    async def _look(self) -> None:
        """Tell what is new."""
        now = self._now_us()
        last = now if self._looked_at is None else min(self._looked_at, now)
        far = self._looks % FAR_EVERY == 0 or now - last > RECENT_US
        start = position_at(min(self._far_at, last) - OVERLAP_US if far else last - RECENT_US)
        ids = await self._ids(start)
        unseen = [id for id in ids if id not in self._seen]
        if unseen and self._looked_at is not None and any(listener.hears for listener in self._listeners):
            news = await self._those(set(unseen), start, ids)
            for listener in self._listeners:
                listener.tell(news)
        if far:
            self._seen, self._far_at = set(ids), now
        else:
            self._seen.update(unseen)
        self._looked_at, self._looks = now, self._looks + 1

    async def _ids(self, start: str) -> list[str]:
        found: list[str] = []
        while True:
            page = await self._events.ids(self.workspace, found[-1] if found else start, IDS)
            found += page
            if len(page) < IDS:
                return found
            await asyncio.sleep(0)

    async def _those(self, unseen: set[str], start: str, ids: list[str]) -> list[Event]:
        """The events of these ids, oldest first; nearly always they are the last of all."""
        first = next(place for place, id in enumerate(ids) if id in unseen)
        after = ids[first - 1] if first else start
        found: list[Event] = []
        while True:
            page = await self._events.page(self.workspace, oldest_first=True, after=(after,), limit=PAGE)
            found += [event for event in page.items if event.id in unseen]
            if len(page.items) < PAGE:
                return found
            after = page.items[-1].id
            await asyncio.sleep(0)
