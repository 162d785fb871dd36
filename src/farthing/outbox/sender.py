"""The sender: takes what is due from the outbox and posts it, so that no endpoint is held up by another.

Each endpoint is a lane: what was taken for it waits there, and so many are on their way at a time. One that fails gets
two at a time, and all that fail, or have not answered for two seconds, share half of the connections: the other half is
for those that answer. Of what is taken there is so much at most, for each lane and in all; the rest stays in the
outbox, whatever its length. What came of tries is written down together, in the transaction that takes what is next.
Where an endpoint wants the order of an account, what comes next in a line is sent as soon as the one before it has
left, and all that came of it is written down at its end: until then the first of it keeps the line for this process.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from functools import partial
from secrets import randbelow
from typing import Final

from farthing.core.deliveries import CHANCES, Again, Answer, Delivered, Disable, GiveUp, outcome_of
from farthing.core.endpoints import WebhookEndpoint
from farthing.core.events import body_of
from farthing.stores.bell import OUTBOX
from farthing.stores.contract import StoreError
from farthing.stores.outbox import Outbox, Taken, Tried, Want

from .guard import Refused, Resolve, target_of
from .lanes import FIRST_AHEAD, Lane
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
MOST_AHEAD: Final = 1_024
"""Events in memory for one endpoint that takes them fast."""
FAILING_AT_ONCE: Final = 2
"""Requests on their way at a time to an endpoint whose last answer was none, or no good one."""
TOLD_CHARACTERS: Final = 500
"""Of what an endpoint has answered, so much is kept in the log."""
Halted = Callable[[], bool]
Count = Callable[[str, int], None]
"""Is told what came of tries: `delivered`, `failed`, `given_up`, and how often."""


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
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._paused: dict[tuple[str, str], int] = {}
        """Until when endpoints want to be left alone."""
        self._sending = 0
        self._results: list[Tried] = []
        self._unsent: list[Taken] = []
        self._turn_seconds = 0.0
        self._last = False
        """Nothing more is to be begun."""
        self._lining = False
        """What is due stands behind others in its lines, as far as was seen: there may be more."""
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
                self._last = halted()
                if self._last:
                    self._put_back()
                try:
                    await self._turn(take=not self._last)
                    troubles = 0
                except StoreError:
                    troubles += 1
                    if troubles >= TROUBLES or self._last:
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
        return bool(self._lining or self._results or self._unsent or any(lane.held for lane in self._lanes.values()))

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
            self._unsent += lane.emptied()

    # Taking

    async def _turn(self, *, take: bool) -> None:
        """Write down what came of tries, and take what is next."""
        at, began = self._now_us(), time.monotonic()
        wants = self._wants(await self._due(at), at) if take else []
        results, self._results = self._results, []
        unsent, self._unsent = self._unsent, []
        self._lining = False
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
            self._lanes[each.workspace, each.endpoint].add(each)
        if not taken and any(want.endpoint.ordered for want in wants):
            self._lining = True
            self.news.set()
        for each_result in results:
            self._count(each_result)
            place = (each_result.taken.workspace, each_result.taken.endpoint)
            if isinstance(each_result.outcome, Disable) and place in self._lanes:
                self._lanes[place].ended = False  # from now on it is the database that says whether it is
        needed = {(want.endpoint.workspace, want.endpoint.id) for want in wants}
        needed |= {(each.taken.workspace, each.taken.endpoint) for each in self._results}
        for place in [p for p, lane in self._lanes.items() if not lane.held and p not in needed]:
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
        """For whom there is room, and for how many; another one first each time. Those that fail have half of it."""
        now = time.monotonic()
        bad_ones = [lane for lane in self._lanes.values() if lane.is_bad(now)]
        if sum(lane.held for lane in bad_ones) > HELD // 2:
            self._unsent += [taken for lane in bad_ones for taken in lane.emptied()]
        free = HELD - sum(lane.held for lane in self._lanes.values())
        free_of_bad = HELD // 2 - sum(lane.held for lane in bad_ones)
        start = self._chance(len(due)) if due else 0
        self._paused = {place: until for place, until in self._paused.items() if until > at}
        wants = []
        for endpoint in due[start:] + due[:start]:
            place = (endpoint.workspace, endpoint.id)
            lane = self._lanes.get(place)
            if lane is None:
                lane = self._lanes[place] = Lane(endpoint)
            lane.update(endpoint)
            lane.ahead = self._ahead(lane)
            bad = lane.is_bad(now)
            room = min((FAILING_AT_ONCE if lane.fails else lane.ahead) - lane.held, free, free_of_bad if bad else free)
            if room > 0 and not lane.ended and place not in self._paused:
                wants.append(Want(endpoint, room))
                free -= room
                free_of_bad -= room if bad else 0
        return wants

    def _ahead(self, lane: Lane) -> int:
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
            self._on_tried("given_up" if isinstance(tried.outcome, GiveUp) else "failed", 1)

    # Sending

    def _start_all(self) -> None:
        lanes = [lane for lane in self._lanes.values() if lane.waiting]
        for lane in sorted(lanes, key=lambda lane: len(lane.began)):
            self._start(lane)

    def _start(self, lane: Lane) -> None:
        """Send what waits in a lane, as far as there is room."""
        now = time.monotonic()
        while lane.waiting and len(lane.began) < (FAILING_AT_ONCE if lane.fails else self._options.at_once):
            if not self._room_for(lane, now):
                return
            taken = lane.waiting.popleft()
            if not self._in_time(taken):
                lane.held -= 1 + len(taken.behind)
                self._unsent.append(taken)
                self.news.set()
                continue
            self._sending += 1
            task = asyncio.create_task(self._send(lane, taken))
            lane.began[task] = now
            task.add_done_callback(partial(self._sent, lane, taken))

    def _in_time(self, taken: Taken) -> bool:
        """What has waited here for long may be somebody else's before a try would be over; and some want a pause."""
        at = self._now_us()
        too_late = taken.until - at < self._options.timeout_seconds * MICRO
        return not too_late and at >= self._paused.get((taken.workspace, taken.endpoint), 0)

    def _room_for(self, lane: Lane, now: float) -> bool:
        if self._sending >= SENDING:
            return False
        if not lane.is_bad(now):
            return True
        return sum(len(each.began) for each in self._lanes.values() if each.is_bad(now)) < SENDING // 2

    def _sent(self, lane: Lane, taken: Taken, task: "asyncio.Task[None]") -> None:
        del lane.began[task]
        lane.held -= 1 + len(taken.behind)
        self._sending -= 1
        self.news.set()
        if not task.cancelled():
            self._start(lane)

    async def _send(self, lane: Lane, first: Taken) -> None:
        """A try, and as long as they leave what comes next in its line."""
        tried: list[Tried] = []
        try:
            for taken in (first, *first.behind):
                if taken is not first and (self._last or lane.ended or not self._in_time(first)):
                    return
                tried.append(await self._tried(lane, taken))
                if isinstance(tried[-1].outcome, Again | Disable):
                    return
        except asyncio.CancelledError:
            if not tried:
                self._unsent.append(first)
            raise
        finally:
            self._results += tried

    async def _tried(self, lane: Lane, taken: Taken) -> Tried:
        """One try, and what comes of it."""
        at = self._now_us()
        if taken.told is None:
            return Tried(taken=taken, at=at, outcome=GiveUp(), detail="the event is kept no longer")
        try:
            posted = await self._posted(lane, taken, at)
        except Exception as error:  # a bug in here must not hold up the lane: it is a try that failed
            why = f"{type(error).__name__}: {error}"
            posted = Posted(None, None, why, 0.0)
        ended = self._now_us()
        answer = Answer(posted.status, read_retry_after(posted.retry_after, ended))
        outcome = outcome_of(answer, taken.attempts + 1, ended, lane.failing_since, self._chance(CHANCES))
        lane.fails = not answer.taken
        lane.taken += answer.taken
        if answer.taken:
            lane.took_at = ended
        if isinstance(outcome, Again) and outcome.pause_until:
            self._paused[taken.workspace, taken.endpoint] = outcome.pause_until
        if isinstance(outcome, Disable):
            lane.ended = True
            self._unsent += lane.emptied()
        return Tried(
            taken=taken, at=at, outcome=outcome, status=answer.status, detail=posted.detail[:TOLD_CHARACTERS],
            millis=round(posted.seconds * 1_000),
        )  # fmt: skip

    async def _posted(self, lane: Lane, taken: Taken, at: int) -> Posted:
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
