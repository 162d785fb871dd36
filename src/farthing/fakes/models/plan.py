"""What one call is to be answered: its texts by token, how it finishes, and what its usage will say."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from .asked import Asked
from .habits import Habits
from .tokens import filled, pieces, words

Finish = Literal["stop", "length", "tools", "refusal"]
Kind = Literal["reasoning", "text", "tool"]
SHORTEST: Final = 12
LONGEST: Final = 40


@dataclass(frozen=True)
class Figures:
    """Counts of tokens: input has those from and to a cache, output those of reasoning."""

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True)
class Tool:
    """One call of a tool."""

    id: str
    name: str
    arguments: list[str]
    """By token."""


@dataclass(frozen=True)
class Chunk:
    """Some tokens that go out together."""

    kind: Kind
    place: int
    """Of the tool's call, where it is one."""
    text: str
    tokens: int


@dataclass(frozen=True)
class Plan:
    """An answer before it is given."""

    asked: Asked
    habits: Habits
    model: str
    reasoning: list[str]
    text: list[str]
    tools: list[Tool]
    finish: Finish

    @property
    def service_tier(self) -> str:
        """Which tier serves it."""
        asked = self.asked.service_tier
        return self.habits.service_tier or ("default" if asked in ("", "auto") else asked)

    @property
    def output_tokens(self) -> int:
        """All of it, with what was thought first."""
        return len(self.reasoning) + len(self.text) + sum(len(each.arguments) for each in self.tools)

    @property
    def hidden_tokens(self) -> int:
        """Reasoning that is not shown."""
        return 0 if self.asked.shows_reasoning else len(self.reasoning)

    def figures(self) -> Figures:
        """What its usage will say."""
        habits = self.habits
        if habits.usage == "zero":
            return Figures()
        return Figures(
            self.asked.input_tokens if habits.input_tokens is None else habits.input_tokens, habits.cached_tokens,
            habits.cache_write_tokens, habits.cache_write_1h_tokens, self.output_tokens, len(self.reasoning),
        )  # fmt: skip

    def shown_reasoning(self) -> Iterator[Chunk]:
        """What it thinks, where that is shown."""
        if self.asked.shows_reasoning:
            yield from self._chunks("reasoning", 0, self.reasoning)

    def shown_text(self) -> Iterator[Chunk]:
        """What it says."""
        yield from self._chunks("text", 0, self.text)

    def shown_tool(self, place: int) -> Iterator[Chunk]:
        """What it calls a tool with."""
        yield from self._chunks("tool", place, self.tools[place].arguments)

    def _chunks(self, kind: Kind, place: int, tokens: list[str]) -> Iterator[Chunk]:
        size = max(1, self.habits.tokens_per_chunk)
        for at in range(0, len(tokens), size):
            some = tokens[at : at + size]
            yield Chunk(kind, place, "".join(some), len(some))


def plan(asked: Asked, habits: Habits, name: str) -> Plan:
    """Decide on an answer; calls of tools get ids from a name."""
    left = asked.most if asked.most is not None else 1 << 30
    reasoning = words(asked.seed + 1, habits.reasoning_tokens)[:left]
    left -= len(reasoning)
    text, tools = _said(asked, habits, name)
    wanted = len(text) + sum(len(each.arguments) for each in tools)
    finish: Finish = "refusal" if habits.refuse else "tools" if tools else "stop"
    if wanted > left or len(reasoning) < habits.reasoning_tokens:
        finish, text, tools = "length", text[:left], _first(tools, left)
    return Plan(asked, habits, habits.reports_model or asked.model, reasoning, text, tools, finish)


def _said(asked: Asked, habits: Habits, name: str) -> tuple[list[str], list[Tool]]:
    if habits.refuse:
        return pieces(filled("I'm sorry, but I can't help with that.")), []
    if asked.tools and asked.results < habits.tool_rounds * habits.tool_calls:
        return [], [_tool(asked, name, place) for place in range(habits.tool_calls)]
    if habits.answer_tokens is not None:
        return words(asked.seed, habits.answer_tokens), []
    return words(asked.seed, SHORTEST + asked.seed % (LONGEST - SHORTEST + 1)), []


def _tool(asked: Asked, name: str, place: int) -> Tool:
    arguments = filled(json.dumps({"round": asked.results, "call": place}))
    return Tool(f"{name}_{place}", asked.tools[place % len(asked.tools)], pieces(arguments))


def _first(tools: list[Tool], tokens: int) -> list[Tool]:
    """Of calls of tools, so many tokens."""
    found = []
    for each in tools:
        if tokens > 0:
            found.append(Tool(each.id, each.name, each.arguments[:tokens]))
            tokens -= len(each.arguments)
    return found


def embedded(asked: Asked, habits: Habits) -> Plan:
    """Embeddings say nothing."""
    return Plan(asked, habits, habits.reports_model or asked.model, [], [], [], "stop")
