"""The books: every call, what was written of its answer, and what is billed for it; what a ledger is compared with.

`delivered` is what was written before the connection went, as far as the stand-in knows: where who asked has left,
some of it may never have reached him, and one chunk or another may have been written before that was noticed. Where
the stand-in itself cuts a stream, both sides know the same.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal

from .frames import Frame
from .plan import Figures, Plan

Ended = Literal["", "finished", "cut", "left", "failed", "refused"]
"""Under way; whole; cut by the stand-in; who asked has left; an error inside the stream; an error in place of it."""
FIGURES: Final = tuple(each.name for each in fields(Figures))


@dataclass
class Call:
    """One call."""

    number: int
    id: str
    """As the answer has it."""
    request_id: str
    """As the header of the answer has it."""
    plan: Plan
    status: int = 200
    chunks: int = 0
    """Written, of those that carry something of the answer."""
    tokens: int = 0
    """In them."""
    reasoning: int = 0
    """Of those, of reasoning."""
    usages: int = 0
    """How often its usage was told."""
    begun: bool = False
    ended: Ended = ""
    billed: Figures = field(default_factory=Figures)

    def note(self, frame: Frame) -> None:
        """A frame goes out."""
        self.begun = True
        self.chunks += frame.tokens > 0
        self.tokens += frame.tokens
        self.reasoning += frame.tokens if frame.reasoning else 0
        self.usages += frame.usage

    def end(self, ended: Ended) -> None:
        """It is over, and is billed."""
        self.ended = ended
        if ended == "finished":
            self.billed = self.plan.figures()
        elif ended != "refused":
            self.billed = self._billed_early()

    def _billed_early(self) -> Figures:
        """What is billed of an answer that ended early."""
        whole, how = self.plan.figures(), self.plan.habits.bill_cut
        if how == "nothing" or self.plan.habits.usage == "zero":
            return Figures()
        # What doesn't come as a stream is made as a whole, whoever is still there.
        if how == "whole" or (how == "delivered" and not self.plan.asked.stream):
            return whole
        hidden = self.plan.hidden_tokens if self.begun and how == "delivered" else 0
        shown, thought = (self.tokens, self.reasoning) if how == "delivered" else (0, 0)
        return replace(whole, output_tokens=hidden + shown, reasoning_tokens=hidden + thought)

    def shown(self) -> dict[str, Any]:
        """As the books have it."""
        asked = self.plan.asked
        return {
            "number": self.number,
            "id": self.id,
            "request_id": self.request_id,
            "api": asked.api,
            "model": self.plan.model,
            "asked_model": asked.model,
            "user": asked.user,
            "stream": asked.stream,
            "wants_usage": asked.wants_usage,
            "status": self.status,
            "ended": self.ended,
            "finish": self.plan.finish,
            "planned": asdict(self.plan.figures()),
            "delivered": {"chunks": self.chunks, "tokens": self.tokens, "reasoning_tokens": self.reasoning},
            "usages": self.usages,
            "billed": asdict(self.billed),
        }


class Books:
    """All calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.idle = asyncio.Event()
        self.idle.set()
        self._open = 0

    def begin(self, id: str, request_id: str, plan: Plan) -> Call:
        """Enter one."""
        call = Call(len(self.calls) + 1, id, request_id, plan)
        self.calls.append(call)
        self._open += 1
        self.idle.clear()
        return call

    def over(self) -> None:
        """One is over, with all that had to be written."""
        self._open -= 1
        if not self._open:
            self.idle.set()

    def shown(self, chosen: Iterable[Call]) -> dict[str, Any]:
        """Calls, and what they come to by model."""
        calls = list(chosen)
        models: dict[str, dict[str, Any]] = {}
        for each in calls:
            sums = models.setdefault(each.plan.model, {"calls": 0, "ended": {}, **dict.fromkeys(FIGURES, 0)})
            sums["calls"] += 1
            sums["ended"][each.ended or "under_way"] = sums["ended"].get(each.ended or "under_way", 0) + 1
            for name in FIGURES:
                sums[name] += getattr(each.billed, name)
        return {"calls": [each.shown() for each in calls], "models": models}
