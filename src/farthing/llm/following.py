"""Following: an answer on its way through, read event by event without being changed.

The body of the response is followed where the vendor's library takes it from, so all ways of the library to give it to
its caller are the same: iteration, helpers, raw and streaming responses. An event is counted when it is taken: of what
has come from the network and that nobody has read, nothing is.

It is over 400 lines because what is done for threads and for event loops is the same, and is read side by side.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from functools import cache, partial
from time import monotonic
from typing import Any, Final

import msgspec

from .call import Ended, ModelCall
from .framing import Frames, Framing, framing_of
from .reading import Reader
from .settling import AsyncSettler, Job, Settler

_LOG: Final = logging.getLogger("farthing.llm")
_DONE: Final = b"[DONE]"


class Watch:
    """What an answer says, told to its call; in events or as a whole."""

    def __init__(self, call: ModelCall, reader: Reader, *, streams: bool | None = None) -> None:
        self.call = call
        self.reader = reader
        self.streams = call.asked.stream if streams is None else streams
        self.done = False
        """The stream has said that it ends."""
        self.known = False
        """All of an answer that is no stream was read."""
        self._frames: Framing = Frames()
        self._headers: Mapping[str, str] | None = None
        """What a response says of how its events are framed, until that has to be known."""
        self._whole: list[bytes] = []

    def framed(self, response: Any) -> None:
        """A response says how its events are put into bytes."""
        if self.streams:
            self._headers = response.headers

    def parts(self, data: bytes) -> Iterable[bytes]:
        """What of it goes on to the caller, for whom each is counted when it is asked for here: he has it then."""
        if not self.streams:
            self._whole.append(data)
            return (data,)
        # Most reads bring one event, and one that only has more text: it need not be looked for. What is JSON from
        # its `data:` on is one event.
        if not self._frames.rest and data.endswith(b"\n\n") and (seen := self.reader.usual(data)) is not None:
            self.call.see(seen)
            return (data,)
        if self._headers is not None:
            self._frames, self._headers = framing_of(self._headers.get("content-type", "")), None
        return filter(self._shown, self._frames.feed(data))

    def _shown(self, event: bytes) -> bool:
        if (seen := self.reader.usual(event)) is not None:
            self.call.see(seen)
            return True
        try:
            data = self._frames.payload(event)
            if data.startswith(_DONE):
                self.done = True
                return True
            seen = self.reader.event(msgspec.json.decode(data)) if data else None
        except Exception:  # whatever can't be read is passed on as it is
            _LOG.exception("an event of a model's answer can't be read")
            return True
        if seen is None:
            return True
        self.call.see(seen)
        return not (seen.only_usage and self.call.asked.hides_usage)

    def ended(self) -> Ended:
        """How it has ended, when nothing more comes."""
        if not self.streams:
            self.answered(b"".join(self._whole))
            return "finished"
        # An end that nobody has told may be a connection that was cut.
        return "finished" if self.whole or self.call.finish else "cut"

    def worth_reading_on(self) -> bool:
        """Whether the rest is read though nobody wants it: by the policy, or because nothing is to come but the usage,
        as where a reader goes when he has heard why the answer ends."""
        call, broken = self.call, self.call.policy.broken
        only_usage = bool(call.finish) and not call.used.known
        return not self.whole and (broken == "provider" or (broken == "delivered" and only_usage))

    @property
    def whole(self) -> bool:
        """Whether all that matters has come, though there may be more."""
        return self.done or self.call.over

    def answered(self, body: bytes) -> None:
        """All of an answer that is no stream."""
        self._read(partial(msgspec.json.decode, body))

    def read(self, answer: Any) -> None:
        """The same, as an object of the vendor's library."""
        self._read(lambda: answer)

    def _read(self, answer: Callable[[], Any]) -> None:
        if self.known or self.call.how:
            return
        self.known = True
        try:
            self.call.see(self.reader.answered(answer()))
        except Exception:  # as above
            _LOG.exception("a model's answer can't be read")

    @property
    def rest(self) -> bytes:
        """What came last, and never became whole."""
        return self._frames.rest


def tick(call: ModelCall, settler: Settler, report: Job | None) -> Job | None:
    """A piece is about to be passed on: tell the ledger where that is due, and wait for it where the piece is not
    covered. Returns the last report."""
    while True:
        if call.ticks(monotonic()):
            report = settler.report(call)
            call.reports = report.done.is_set
        if report is None or not call.waits:
            return report
        report.done.wait()


async def atick(
    call: ModelCall, settler: AsyncSettler, report: asyncio.Task[None] | None
) -> asyncio.Task[None] | None:  # fmt: skip
    """The same on an event loop."""
    while True:
        if call.ticks(monotonic()):
            report = settler.report(call)
            call.reports = report.done
        if report is None or not call.waits:
            return report
        await asyncio.wait([report])


class Follow:
    """An answer that a thread reads."""

    def __init__(self, watch: Watch, settler: Settler) -> None:
        self._watch, self._settler = watch, settler
        self._call = watch.call
        self._source: Generator[bytes, None, None] | None = None
        self._drains = False
        self._report: Job | None = None
        self.pulling = False
        """What comes is being waited for: then a response that closes itself has ended."""

    def read(self, source: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
        """The body, on its way through."""
        self._source, call = source, self._call
        try:
            while True:
                self.pulling = True
                data = next(source, None)
                self.pulling = False
                if data is None:
                    break
                for part in self._watch.parts(data):
                    if call.due(monotonic()):
                        self._report = tick(call, self._settler, self._report)
                    yield part
            if self._watch.rest:
                yield self._watch.rest
        except GeneratorExit:
            raise
        except BaseException as error:
            self.pulling = False
            self.end(_broken(error), error)
            raise
        self.end(self._watch.ended())

    def end(self, how: Ended, error: BaseException | None = None, *, wait: bool = True) -> None:
        """It is over; the caller waits a little for its settlement."""
        if self._call.end(how, error):
            self._settler.settle(self._call, wait=wait)
        elif self._call.stays:
            self._settler.waiting.keep(self._call)
            return
        # The body has the response, which has this: in a ring, all of it would be let go of only when garbage is
        # collected.
        self._source = None

    def drains(self, close: Callable[[], None]) -> bool:
        """Whether the rest is read now by somebody else, who closes the response then."""
        call = self._call
        if self._drains:  # whoever leaves may close it more than once
            return True
        if self._source is None or call.how or not self._watch.worth_reading_on():
            return False
        self._drains = True
        self._settler.beside(partial(self._drain, self._source, close))
        return True

    def _drain(self, source: Generator[bytes, None, None], close: Callable[[], None]) -> None:
        alarm = threading.Timer(self._call.policy.drain_seconds, close)
        alarm.daemon = True
        alarm.start()
        try:
            for data in source:
                for _ in self._watch.parts(data):
                    pass
        except Exception as error:  # what has come until then counts
            self._call.note("drained", str(error) or type(error).__name__)
        finally:
            alarm.cancel()
            close()
            self.end("finished" if self._watch.whole else "left", wait=False)

    def closed(self) -> None:
        """Its reader is done with it."""
        if self._watch.whole:
            self.end("finished")
        else:
            self.end("left", wait=False)

    def dropped(self) -> None:
        """Nobody has it any more."""
        if self._call.end("finished" if self._watch.whole else "left"):
            self._settler.settle_from_anywhere(self._call)
        elif self._call.stays:
            self._settler.waiting.keep(self._call)


class AsyncFollow:
    """An answer that a task reads."""

    def __init__(self, watch: Watch, settler: AsyncSettler) -> None:
        self._watch, self._settler = watch, settler
        self._call = watch.call
        self._source: AsyncGenerator[bytes, None] | None = None
        self._drains = False
        self._next: asyncio.Future[bytes | None] | None = None
        self._report: asyncio.Task[None] | None = None
        self.pulling = False

    async def read(self, source: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The body, on its way through."""
        self._source, call = source, self._call
        kept = call.policy.broken == "provider"
        try:
            while True:
                self.pulling = True
                try:
                    data = await (self._kept(source) if kept else anext(source, None))
                finally:
                    self.pulling = False
                if data is None:
                    break
                for part in self._watch.parts(data):
                    if call.due(monotonic()):
                        self._report = await atick(call, self._settler, self._report)
                    yield part
            if self._watch.rest:
                yield self._watch.rest
        except GeneratorExit:
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._next is not None:
                raise  # closing it has the rest read
            how = _broken(error)
            await self.end(how, error, wait=how != "left")
            raise
        await self.end(self._watch.ended())

    async def _kept(self, source: AsyncGenerator[bytes, None]) -> bytes | None:
        # Cancelling its reader shall not end what may be wanted to the end.
        self._next = asyncio.ensure_future(_next_of(source))
        data = await asyncio.shield(self._next)
        self._next = None
        return data

    async def end(self, how: Ended, error: BaseException | None = None, *, wait: bool = True) -> None:
        """It is over; the caller waits a little for its settlement."""
        ended = self._call.end(how, error)
        if not ended and self._call.stays:
            self._settler.waiting.keep(self._call)
            return
        self._source = None  # as above
        if not ended:
            return
        if wait:
            await self._settler.settled(self._call)
        else:
            self._settler.settle(self._call)

    def drains(self, close: Callable[[], Awaitable[None]]) -> bool:
        """Whether the rest is read now by somebody else, who closes the response then."""
        call = self._call
        if self._drains:  # whoever leaves may close it more than once
            return True
        if self._source is None or call.how or not self._watch.worth_reading_on():
            return False
        self._drains = True
        self._settler.spawn(self._drain(self._source, close))
        return True

    async def _drain(self, source: AsyncGenerator[bytes, None], close: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(self._call.policy.drain_seconds):
                data = await (self._next or _next_of(source))
                while data is not None:
                    for _ in self._watch.parts(data):
                        pass
                    data = await anext(source, None)
        except Exception as error:  # what has come until then counts
            self._call.note("drained", str(error) or type(error).__name__)
        finally:
            await close()
            # Waited for: where the loop ends, it waits for this.
            await self.end("finished" if self._watch.whole else "left")

    async def closed(self) -> None:
        """Its reader is done with it."""
        whole = self._watch.whole
        await self.end("finished" if whole else "left", wait=whole)

    def dropped(self) -> None:
        """Nobody has it any more."""
        if self._call.end("finished" if self._watch.whole else "left"):
            self._settler.settle_from_anywhere(self._call)
        elif self._call.stays:
            self._settler.waiting.keep(self._call)


async def _next_of(source: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(source, None)


def _broken(error: BaseException) -> Ended:
    return "cut" if isinstance(error, Exception) else "left"


def follow(response: Any, watch: Watch, settler: Settler) -> None:
    """Have the body of a response followed."""
    settler.ready()
    watch.framed(response)
    response.farthing = Follow(watch, settler)
    response.__class__ = _followed(type(response))  # type: ignore[arg-type]


def afollow(response: Any, watch: Watch, settler: AsyncSettler) -> None:
    """The same on an event loop."""
    watch.framed(response)
    response.farthing = AsyncFollow(watch, settler)
    response.__class__ = _afollowed(type(response))  # type: ignore[arg-type]


@cache
def _followed(kind: Any) -> Any:
    # A class of its own, rather than methods on the instance, which would keep it alive.
    class Followed(kind):  # type: ignore[misc]
        farthing: Follow

        def iter_bytes(self, chunk_size: int | None = None) -> Generator[bytes, None, None]:
            body: Generator[bytes, None, None] = super().iter_bytes(chunk_size)
            return body if hasattr(self, "_content") else self.farthing.read(body)

        def close(self) -> None:
            if self.farthing.pulling:
                super().close()
            elif not self.farthing.drains(super().close):
                super().close()
                self.farthing.closed()

        def __del__(self) -> None:
            self.farthing.dropped()

    return _named(Followed, kind)


@cache
def _afollowed(kind: Any) -> Any:
    class Followed(kind):  # type: ignore[misc]
        farthing: AsyncFollow

        def aiter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
            body: AsyncGenerator[bytes, None] = super().aiter_bytes(chunk_size)
            return body if hasattr(self, "_content") else self.farthing.read(body)

        async def aclose(self) -> None:
            if self.farthing.pulling:
                await super().aclose()
            elif not self.farthing.drains(super().aclose):
                await super().aclose()
                await self.farthing.closed()

        def __del__(self) -> None:
            self.farthing.dropped()

    return _named(Followed, kind)


def _named(made: Any, kind: Any) -> Any:
    made.__name__, made.__qualname__, made.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return made
