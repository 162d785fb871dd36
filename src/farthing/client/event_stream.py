"""The stream of events, as it is read: from parts of server-sent events to events, each once, whatever the connection
did; and when to connect again. Pure, but for the dice.

After a break the ledger tells those of the last minute once more, since commits are not ordered by time: what was told
is known by its id, and what happened before anybody listened by the first position.
"""

from collections.abc import Mapping
from random import random
from typing import Final

from msgspec.structs import replace

from farthing.core.ids import made_at

from .answers import Answer, read_answer
from .calls import Call
from .errors import ApiError
from .job_results import Event
from .retries import Retries

REMEMBERED_US: Final = 120_000_000
"""For how long before the last event what was told is remembered: longer than anything is told again."""
FORGOTTEN_AT: Final = 2_000
"""So many are remembered whatever their time."""
FIRST_SECONDS: Final = 0.25
LONGEST_SECONDS: Final = 30.0
QUIET_SECONDS: Final = 45.0
"""After so long without a sign of life the connection is dead: there is one every 15 s."""
EVENT_STREAM: Final = "text/event-stream"


class EventReader:
    """Reads one stream, over as many connections as it takes."""

    def __init__(self, call: Call[Event], retries: Retries) -> None:
        self._call = call
        self._retries = retries
        self._rest = b""
        self._position = self._first = ""
        self._resumed = False
        self._told: set[str] = set()
        self._forget_at = FORGOTTEN_AT
        self._failures = 0

    def call(self) -> Call[Event]:
        """What to ask for: the first time what was asked for, and then to go on."""
        self._rest = b""
        if not self._position:
            return self._call
        self._resumed = True
        query = {name: value for name, value in self._call.query.items() if name != "from"}
        return replace(self._call, query=query | {"after": self._position})

    def read(self, part: bytes) -> list[Event]:
        """The events that a part completes and that were not told."""
        self._failures = 0
        *blocks, self._rest = (self._rest + part).split(b"\n\n")
        return [event for block in blocks if (event := self._event(block)) is not None]

    def _event(self, block: bytes) -> Event | None:
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line[1:])
        if b"id" in fields:
            self._position = max(self._position, fields[b"id"].decode())
            self._first = self._first or self._position
        if b"data" not in fields:
            return None
        event = read_answer(self._call, Answer(200, fields[b"data"]))
        if event.id in self._told or (self._resumed and event.id < self._first):
            return None
        self._told.add(event.id)
        if len(self._told) > self._forget_at:
            self._forget()
        return event

    def _forget(self) -> None:
        """Forget what is not told again; not before there is twice as much, however fast it comes."""
        edge = (made_at(self._position) or 0) - REMEMBERED_US
        self._told = {id for id in self._told if (made_at(id) or 0) >= edge}
        self._forget_at = max(FORGOTTEN_AT, 2 * len(self._told))

    def wait(self, error: ApiError | None) -> float | None:
        """Seconds until the next connection; None where it would be no use. Who has listened goes on for ever."""
        self._failures += 1
        if error is not None and not self._position:
            return self._retries.wait(error, self._failures)
        if error is not None and not error.retries:
            return None
        after = (error.retry_after if error is not None else None) or 0.0
        doubled: float = FIRST_SECONDS * 2 ** min(self._failures - 1, 16)
        return max(min(doubled, LONGEST_SECONDS), after) * (0.75 + 0.25 * random())  # noqa: S311


def is_stream(headers: Mapping[str, str]) -> bool:
    """Whether that is what was asked for."""
    return headers.get("content-type", "").startswith(EVENT_STREAM)
