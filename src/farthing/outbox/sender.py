"""The sender: takes what is due from the outbox and posts it, so that no endpoint is held up by another.

Each endpoint is a lane: what was taken for it waits there, and so many are on their way at a time. One that fails gets
two at a time, and all that fail, or have not answered for two seconds, share half of the connections: the other half is
for those that answer. Of what is taken there is so much at most, for each lane and in all; the rest stays in the
outbox, whatever its length. What came of tries is written down together, in the transaction that takes what is next.
"""

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Callable
from secrets import randbelow
from typing import Final

from farthing.core.deliveries import CHANCES, Again, Answer, Delivered, Disable, GiveUp, outcome_of
from farthing.core.endpoints import WebhookEndpoint
from farthing.core.events import body_of
from farthing.stores.bell import OUTBOX
from farthing.stores.contract import StoreError
from farthing.stores.outbox import Outbox, Taken, Tried, Want

from .guard import Refused, Resolve, target_of
from .options import MICRO, Options
from .pauses import read_retry_after
from .posting import MakeContext, Posted, Poster
from .signing import headers_of, key_of

POLL_SECONDS: Final = 1.0
"""How often it looks for what other processes have put there."""
GATHER_SECONDS: Final = 0.02
"""While others are on their way: the results that come in that time are written together."""
GENTLE: Final = 4
"""For a time of writing, so much of rest, where nobody else can write meanwhile."""
TROUBLES: Final = 5
"""So often in a row the database may be away before the job is put off."""
SENDING: Final = 512
"""Requests on their way at a time, in all."""
HELD: Final = 4_096
"""Events in memory, in all."""
FIRST_AHEAD: Final = 4
MOST_AHEAD: Final = 1_024
"""Events in memory for one endpoint: at first, and of those that take them fast."""
FAILING_AT_ONCE: Final = 2
"""Requests on their way at a time to an endpoint whose last answer was none, or no good one."""
SLOW_SECONDS: Final = 2.0
"""Who has not answered for so long counts among those that fail, as long as there is nothing to be heard."""
TOLD_CHARACTERS: Final = 500
"""Of what an endpoint has answered, so much is kept in the log."""
Halted = Callable[[], bool]
Count = Callable[[str, int], None]
"""Is told what came of tries: `delivered`, `failed`, `given_up`, and how often."""


class _Lane:
    """What goes to one endpoint."""

    def __init__(self, endpoint: WebhookEndpoint) -> None:
        self.endpoint = endpoint
        self.waiting: deque[Taken] = deque()
        self.began: dict[asyncio.Task[None], float] = {}
        """What is on its way, and since when."""
        self.ahead = FIRST_AHEAD
        """So many are taken for it."""
        self.taken = 0
        """It took so many since something was last taken for it."""
        self.fails = endpoint.failing_since is not None
        self.ended = False
        """It is not to be sent anything more."""
        self.poster: Poster | Refused | None = None

    @property
    def held(self) -> int:
        """Events in memory."""
        return len(self.waiting) + len(self.began)

    def is_bad(self, now: float) -> bool:
        """It fails, or has not answered for long."""
        return self.fails or (bool(self.began) and now - next(iter(self.began.values())) > SLOW_SECONDS)

    def update(self, endpoint: WebhookEndpoint) -> None:
        """The endpoint as it is now."""
        if endpoint.url != self.endpoint.url:
            self.close()
            self.poster = None
        self.endpoint = endpoint

    def close(self) -> None:
        """End connections that are not in use."""
        if isinstance(self.poster, Poster):
            self.poster.close()


class Sender:
    """Sends what is due, for all workspaces. It belongs to one event loop."""

    def __init__(
        self, outbox: Outbox, now_us: Callable[[], int], options: Options, resolve: Resolve, context: MakeContext, *,
        news: asyncio.Event | None = None, on_tried: Count = lambda _result, _count: None,
        chance: Callable[[int], int] = randbelow,
    ) -> None:  # fmt: skip
        self._outbox = outbox
        self._now_us = now_us
        self._options = options
        self._resolve = resolve
        self._context = context
        self._on_tried = on_tried
        self._chance = chance
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._paused: dict[tuple[str, str], int] = {}
        """Until when endpoints want to be left alone."""
        self._sending = 0
        self._results: list[Tried] = []
        self._unsent: list[Taken] = []
        self._turn_seconds = 0.0
        self._hears = False
        self.news = news or asyncio.Event()
        """Set when something may be due, or has to be written down."""
        self._delivered: dict[str, int] = {}

    async def run(self, halted: Halted = lambda: False) -> dict[str, int]:
        """Send all that is due; how many were delivered, by workspace. Once it is `halted`, what is on its way."""
        self._delivered, troubles = {}, 0
        self._hear()
        try:
            while True:
                self.news.clear()
                last = halted()
                if last:
                    self._put_back()
                try:
                    await self._turn(take=not last)
                    troubles = 0
                except StoreError:
                    troubles += 1
                    if troubles >= TROUBLES or last:
                        raise
                self._start_all()
                if not (troubles or self._busy()):
                    return self._delivered
                await self._rest()
        finally:
            await self._end()

    def _hear(self) -> None:
        """Be woken by what this process commits, from now on; also while this does not run."""
        if self._hears:
            return
        self._hears, loop = True, asyncio.get_running_loop()

        def ear() -> None:
            if loop.is_closed():
                stop()
            elif not self.news.is_set():
                loop.call_soon_threadsafe(self.news.set)

        stop = OUTBOX.hear(ear)

    def _busy(self) -> bool:
        return bool(self._results or self._unsent or any(lane.held for lane in self._lanes.values()))

    async def _rest(self) -> None:
        """Until there is something to write down, or it is time to look."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.news.wait(), POLL_SECONDS)
        if self._sending:
            gentle = GENTLE if self._outbox.blocks_others else 0
            await asyncio.sleep(max(GATHER_SECONDS, self._turn_seconds * gentle))

    async def _end(self) -> None:
        """Leave nothing behind: what is cut off is anybody's at once."""
        tasks = [task for lane in self._lanes.values() for task in lane.began]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._put_back()
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()
        if self._results or self._unsent:
            with contextlib.suppress(StoreError):  # else it is due again by itself
                await asyncio.shield(self._turn(take=False))

    def _put_back(self) -> None:
        for lane in self._lanes.values():
            self._unsent += lane.waiting
            lane.waiting.clear()

    # Taking

    async def _turn(self, *, take: bool) -> None:
        """Write down what came of tries, and take what is next."""
        at, began = self._now_us(), time.monotonic()
        wants = self._wants(await self._due(at), at) if take else []
        results, self._results = self._results, []
        unsent, self._unsent = self._unsent, []
        if not (results or unsent or wants):
            return
        try:
            until = at + self._options.lease_us
            taken = await self._outbox.exchange(results, unsent, wants, at, until)
        except BaseException:
            self._results = results + self._results
            self._unsent = unsent + self._unsent
            raise
        finally:
            self._turn_seconds = time.monotonic() - began
        for each in taken:
            self._lanes[each.workspace, each.endpoint].waiting.append(each)
        for each_result in results:
            self._count(each_result)
        asked = {(want.endpoint.workspace, want.endpoint.id) for want in wants}
        for place in [p for p, lane in self._lanes.items() if not lane.held and p not in asked]:
            self._lanes.pop(place).close()

    async def _due(self, at: int) -> list[WebhookEndpoint]:
        """The endpoints that something is due for, or will be once the results are written: the next of a line."""
        due = await self._outbox.due(at)
        places = {(endpoint.workspace, endpoint.id) for endpoint in due}
        for place in dict.fromkeys((t.taken.workspace, t.taken.endpoint) for t in self._results if t.taken.lined):
            if place not in places and (lane := self._lanes.get(place)) is not None and not lane.ended:
                due.append(lane.endpoint)
        return due

    def _wants(self, due: list[WebhookEndpoint], at: int) -> list[Want]:
        """For whom there is room, and for how many; another one first each time."""
        free = HELD - sum(lane.held for lane in self._lanes.values())
        start = self._chance(len(due)) if due else 0
        self._paused = {place: until for place, until in self._paused.items() if until > at}
        wants = []
        for endpoint in due[start:] + due[:start]:
            place = (endpoint.workspace, endpoint.id)
            lane = self._lanes.get(place)
            if lane is None:
                lane = self._lanes[place] = _Lane(endpoint)
            lane.update(endpoint)
            lane.ahead = self._ahead(lane)
            room = min((FAILING_AT_ONCE if lane.fails else lane.ahead) - lane.held, free)
            if room > 0 and place not in self._paused:
                wants.append(Want(endpoint, room))
                free -= room
        return wants

    def _ahead(self, lane: _Lane) -> int:
        """For how many there is use in a lane: twice what it has taken since the last time, and what goes at a time."""
        taken, lane.taken = lane.taken, 0
        if lane.fails or not taken:
            # Slow, or new: what it has stays in the outbox, for others to take.
            return lane.ahead if lane.began and not lane.fails else FIRST_AHEAD
        return min(max(FIRST_AHEAD, 2 * taken) + self._options.at_once, MOST_AHEAD)

    def _count(self, tried: Tried) -> None:
        if isinstance(tried.outcome, Delivered):
            workspace = tried.taken.workspace
            self._delivered[workspace] = self._delivered.get(workspace, 0) + 1
            self._on_tried("delivered", 1)
        else:
            self._on_tried("failed" if isinstance(tried.outcome, Again) else "given_up", 1)

    # Sending

    def _start_all(self) -> None:
        lanes = [lane for lane in self._lanes.values() if lane.waiting]
        for lane in sorted(lanes, key=lambda lane: len(lane.began)):
            self._start(lane)

    def _start(self, lane: _Lane) -> None:
        """Send what waits in a lane, as far as there is room."""
        now = time.monotonic()
        while lane.waiting and len(lane.began) < (FAILING_AT_ONCE if lane.fails else self._options.at_once):
            if not self._room_for(lane, now):
                return
            taken = lane.waiting.popleft()
            at = self._now_us()
            # What has waited here for long may be somebody else's before this try would be over.
            too_late = taken.until - at < self._options.timeout_seconds * MICRO
            if too_late or at < self._paused.get((taken.workspace, taken.endpoint), 0):
                self._unsent.append(taken)
                self.news.set()
                continue
            self._sending += 1
            task = asyncio.create_task(self._send(lane, taken))
            lane.began[task] = now
            task.add_done_callback(lambda task: self._sent(lane, task))

    def _room_for(self, lane: _Lane, now: float) -> bool:
        if self._sending >= SENDING:
            return False
        if not lane.is_bad(now):
            return True
        return sum(len(each.began) for each in self._lanes.values() if each.is_bad(now)) < SENDING // 2

    def _sent(self, lane: _Lane, task: "asyncio.Task[None]") -> None:
        del lane.began[task]
        self._sending -= 1
        self.news.set()
        if not task.cancelled():
            self._start(lane)

    async def _send(self, lane: _Lane, taken: Taken) -> None:
        """One try, and what comes of it."""
        at = self._now_us()
        if taken.told is None:
            self._results.append(Tried(taken=taken, at=at, outcome=GiveUp(), detail="the event is kept no longer"))
            return
        try:
            posted = await self._posted(lane, taken, at)
        except asyncio.CancelledError:
            self._unsent.append(taken)
            raise
        except Exception as error:  # a bug in here must not hold up the lane: it is a try that failed
            why = f"{type(error).__name__}: {error}"
            posted = Posted(None, None, why, 0.0)
        ended = self._now_us()
        answer = Answer(posted.status, read_retry_after(posted.retry_after, ended))
        since = lane.endpoint.failing_since
        outcome = outcome_of(answer, taken.attempts + 1, ended, since, self._chance(CHANCES))
        lane.fails = not answer.taken
        lane.taken += answer.taken
        if isinstance(outcome, Again) and outcome.pause_until:
            self._paused[taken.workspace, taken.endpoint] = outcome.pause_until
        if isinstance(outcome, Disable):
            lane.ended = True
            self._unsent += lane.waiting
            lane.waiting.clear()
        self._results.append(
            Tried(
                taken=taken, at=at, outcome=outcome, status=answer.status, detail=posted.detail[:TOLD_CHARACTERS],
                millis=round(posted.seconds * 1_000),
            )
        )  # fmt: skip

    async def _posted(self, lane: _Lane, taken: Taken, at: int) -> Posted:
        if lane.poster is None:
            lane.poster = self._poster(lane.endpoint)
        if isinstance(lane.poster, Refused):
            return Posted(None, None, f"the address {lane.poster}", 0.0)
        assert taken.told is not None, "there is something to send"
        body = body_of(taken.told)
        keys = [key_of(secret) for secret in lane.endpoint.signing(at)]
        return await lane.poster.post(headers_of(taken.event, at // MICRO, body, keys), body)

    def _poster(self, endpoint: WebhookEndpoint) -> Poster | Refused:
        options = self._options
        try:
            target = target_of(endpoint.url, options.allow_private)
        except Refused as refused:
            return refused
        return Poster(
            target, self._resolve, self._context, allow_private=options.allow_private,
            timeout_seconds=options.timeout_seconds,
        )  # fmt: skip


def trusted() -> MakeContext:
    """Makes the context of TLS with the first connection that needs one, and keeps it."""
    made: list[ssl.SSLContext] = []

    def make() -> ssl.SSLContext:
        if not made:
            import httpx2

            made.append(httpx2.create_ssl_context())
        return made[0]

    return make
