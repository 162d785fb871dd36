"""Owns the arithmetic of a comparison: interleaved turns, medians with their spread, ratios pair by pair."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.services import Measurement

LATENCIES = ("mean", "p50", "p99")  # what a side knows of them: pgbench tells the mean only


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def interleave(row: str, sides: Mapping[str, Callable[[], Measurement]], rounds: int) -> dict[str, list[Measurement]]:
    """A B A B ...: each side once per round, so that a drift of the machine meets all sides alike."""
    taken: dict[str, list[Measurement]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        for name, measure in sides.items():
            turn = measure()
            taken[name].append(turn)
            figures = turn.figures
            say(
                f"{row}: round {number} of {rounds}: {name}: {turn.rate:,.0f}/s"
                + "".join(f" {about} {figures[about + '_ms']} ms" for about in LATENCIES if figures.get(about + "_ms"))
                + "".join(f"; {problem}" for problem in turn.problems)
            )
    return taken


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and what it lies between."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median, smallest and largest of the rounds."""
    return Spread(median(values), min(values), max(values))


def ratios(upper: Sequence[Measurement], lower: Sequence[Measurement]) -> Spread:
    """Rate against rate, each round with its own neighbour."""
    return spread([over.rate / under.rate if under.rate else 0.0 for over, under in zip(upper, lower, strict=True)])


def side_summary(turns: Sequence[Measurement]) -> dict[str, Any]:
    """One side of a row for the JSON: rates and latencies with spread, CPU per charge, every turn's figures."""
    summary: dict[str, Any] = {
        "rate": _rounded(spread([turn.rate for turn in turns])),
        "cpu_us_per_call": {who: median(turn.cpu_us[who] for turn in turns) for who in turns[0].cpu_us},
    }
    for name in ("p50_ms", "p99_ms", "max_ms"):
        known = [turn.figures[name] for turn in turns if turn.figures[name] is not None]
        if known:
            summary[name] = _rounded(spread(known))
    summary["turns"] = [turn.figures for turn in turns]
    return summary


def _rounded(values: Spread) -> dict[str, float]:
    return {"median": round(values.median, 3), "min": round(values.low, 3), "max": round(values.high, 3)}
