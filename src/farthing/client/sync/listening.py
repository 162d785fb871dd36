"""Listening: events as they come, over as many connections as it takes, nothing twice and nothing left out.

Made from `aio/listening.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from time import sleep
from types import TracebackType

from ..calls import Call
from ..errors import ApiError
from ..event_stream import EventReader
from ..job_results import Event
from .door import Door


class Listening:
    """Events as they come: iterate over it, for as long as you like. It listens from the first step on; entered as a
    block, from the beginning of the block."""

    def __init__(self, door: Door, call: Call[Event]) -> None:
        self._heard = heard(door, call)
        self._begun = False

    def begin(self) -> None:
        """Listen from now on: what cannot be listened to is told here."""
        if not self._begun:
            self._begun = True
            next(self._heard, None)

    def close(self) -> None:
        """Listen no more."""
        self._heard.close()

    def __enter__(self) -> "Listening":
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        self.close()

    def heard(self) -> Generator[Event | None, None, None]:
        """Events, and None for each sign of life."""
        return self._heard

    def __iter__(self) -> Iterator[Event]:
        self.begin()
        for event in self._heard:
            if event is not None:
                yield event


def heard(door: Door, call: Call[Event]) -> Generator[Event | None, None, None]:
    """Events, and None for each sign of life; the first is one. It ends with the client."""
    reader = EventReader(call, door.retries)
    while True:
        failed: ApiError | None = None
        try:
            with closing(door.stream(reader.call())) as parts:
                for part in parts:
                    yield None
                    yield from reader.read(part)
        except ApiError as error:
            failed = error
        if door.closed:
            return
        wait = reader.wait(failed)
        if wait is None:
            assert failed is not None, "a stream that ended is taken up again"
            raise failed
        sleep(wait)
