"""Habits: how long answers are, what their usage says, and what goes wrong; for all calls, or for some of them.

A call's own are, in this order: those in its header `x-fake` (JSON), the first special ones that fit it, those that
stand until they are changed. The first that there are count alone: they are not mixed.
"""

from random import Random
from typing import Literal

import msgspec
from msgspec import Struct

from farthing.fakes.web import Refusal

HEADER = "x-fake"
Point = int | Literal["content", "finish", "usage"]
Failure = Literal["", "server_error", "rate_limited", "overloaded", "bad_request", "html"]


class Habits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a call is to meet."""

    # What is answered, and what its usage says.
    answer_tokens: int | None = None
    """How long the answer is; without it from 12 to 40 tokens, by its prompt."""
    tokens_per_chunk: int = 1
    reasoning_tokens: int = 0
    """Tokens spent on reasoning, before the answer."""
    tool_rounds: int = 0
    """So many rounds of tool calls come before the answer, if there are tools: rounds are counted by the results that
    are in the prompt."""
    tool_calls: int = 1
    """Calls of a round."""
    refuse: bool = False
    """The model doesn't want to."""
    input_tokens: int | None = None
    """How many tokens the prompt is said to be; without it they are counted."""
    cached_tokens: int = 0
    """Of those, how many are said to have come from a cache."""
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    """Of those written to a cache, how many for long."""
    reports_model: str = ""
    """Which model is said to have answered, in place of the one that was asked for."""
    service_tier: str = ""
    """Which tier is said to have served it."""

    # How usage is told.
    usage: Literal["as_asked", "missing", "twice", "zero", "bare", "every_chunk"] = "as_asked"
    """missing: never; twice: it comes a second time; zero: all figures are zero, and so is the bill; bare: totals
    without details; every_chunk: with every chunk so far (chat completions, as some servers do)."""

    # What goes wrong. Chunks are those that carry something of the answer.
    fail: Failure = ""
    """An error in place of the answer; with `fail_after` inside it."""
    fail_after: Point | None = None
    """The error comes after so many chunks of a stream, after all content, after the finish, or after the usage."""
    retry_after: int | None = None
    """What an error says of when to come again, in seconds."""
    cut_after: Point | None = None
    """The connection ends there."""
    cut_share: float = 0
    """The share of streams that are cut after some chunk, drawn from the program's seed."""
    clean_cut: bool = False
    """The answer that is cut ends well-formed, as if that were all of it."""
    hold_after: int | None = None
    """The stream waits after so many chunks, until it is released or who asked has gone; an answer that isn't a
    stream waits before it begins."""
    background_polls: int = 0
    """How often an answer that is made in the background is told to be under way, before it is there."""
    first_seconds: float = 0
    """Before the answer begins."""
    chunk_seconds: float = 0
    """Before each chunk."""
    bill_cut: Literal["delivered", "whole", "input", "nothing"] = "delivered"
    """What is billed of a stream that ended early: what was written of it, all that it would have been, what was read,
    or nothing."""


class Special(Habits, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Habits for some calls only."""

    times: int = 1
    model: str = ""
    """Only of this model."""
    containing: str = ""
    """Only where the prompt has this text."""

    def fits(self, model: str, prompt: str) -> bool:
        """Whether a call is meant."""
        return self.model in ("", model) and self.containing in prompt


class Chooser:
    """Whose habits a call meets."""

    def __init__(self, random: Random) -> None:
        self.standing = Habits()
        self.special: list[Special] = []
        self._random = random

    def of(self, header: str, model: str, prompt: str) -> Habits:
        """Those of one call, with the chance of a cut already drawn."""
        found = self._found(header, model, prompt)
        if found.cut_share and found.cut_after is None and self._random.random() < found.cut_share:
            return msgspec.structs.replace(found, cut_after=self._random.randrange(12))
        return found

    def _found(self, header: str, model: str, prompt: str) -> Habits:
        if header:
            return read_habits(header)
        for place, special in enumerate(self.special):
            if special.fits(model, prompt):
                left = msgspec.structs.replace(special, times=special.times - 1)
                self.special[place : place + 1] = [left] if left.times > 0 else []
                return special
        return self.standing


def read_habits(text: str) -> Habits:
    """Those in a header."""
    try:
        return msgspec.json.decode(text, type=Habits)
    except msgspec.MsgspecError as error:
        raise Refusal(f"{HEADER}: {error}") from error
