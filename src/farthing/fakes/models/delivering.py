"""Delivering: an answer goes out frame by frame, unless it is held, cut or fails on the way; the books follow.

What goes into the books goes there before the frame goes out: whoever has read a frame finds it there.
"""

import asyncio
from collections.abc import Iterable

from farthing.fakes.web import Line

from .books import Books, Call
from .frames import Frame, Stage
from .habits import Habits, Point


class Gate:
    """Where streams wait that are held."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self.held: list[int] = []
        """The numbers of calls that wait."""

    async def wait(self, call: Call, line: Line) -> None:
        """Until it is opened, or nobody waits for the answer any more."""
        self.held.append(call.number)
        waits = [asyncio.ensure_future(each.wait()) for each in (self._open, line.gone)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            self.held.remove(call.number)

    def release(self) -> list[int]:
        """Let all on that wait now."""
        self._open.set()
        self._open = asyncio.Event()
        return list(self.held)


class Delivery:
    """One answer on its way."""

    def __init__(self, call: Call, frames: Iterable[Frame], failure: bytes, gate: Gate, books: Books) -> None:
        self._call = call
        self._frames = frames
        self._failure = failure
        """What tells that it has failed."""
        self._habits: Habits = call.plan.habits
        self._gate = gate
        self._books = books
        self._held = False

    async def __call__(self, line: Line) -> None:
        """Write it."""
        try:
            await self._run(line)
        finally:
            if not self._call.ended:
                self._call.end("left")
            self._books.over()

    async def _run(self, line: Line) -> None:
        for frame in self._frames:
            await self._pace(frame, line)
            if line.gone.is_set():
                return self._call.end("left")
            if self._reached(self._habits.cut_after, frame):
                return await self._cut(frame, line)
            if self._habits.fail and self._reached(self._habits.fail_after, frame):
                self._call.end("failed")
                return await line.write(self._failure)
            self._call.note(frame)
            if frame.stage is Stage.END:
                self._call.end("finished")
            if frame.data:
                await line.write(frame.data)

    async def _pace(self, frame: Frame, line: Line) -> None:
        if self._habits.chunk_seconds and frame.tokens:
            await asyncio.sleep(self._habits.chunk_seconds)
        if not self._held and self._reached(self._habits.hold_after, frame):
            self._held = True
            await self._gate.wait(self._call, line)

    def _reached(self, point: Point | None, frame: Frame) -> bool:
        """Whether that is where it has come to, before a frame."""
        match point:
            case None:
                return False
            case int():
                return frame.stage >= Stage.FINISH or (frame.tokens > 0 and self._call.chunks >= point)
            case "content":
                return frame.stage >= Stage.FINISH
            case "finish":
                return frame.stage >= Stage.USAGE
            case "usage":
                return frame.stage is Stage.END

    async def _cut(self, frame: Frame, line: Line) -> None:
        self._call.end("cut")
        line.broken = not self._habits.clean_cut
        if not self._call.plan.asked.stream:
            await line.write(frame.data[: len(frame.data) // 2])
