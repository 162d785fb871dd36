"""Owns the rows about metering a model call: what it adds to the first token of a stream, and to each chunk."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from bench.ledgers import Ground, farthing_command, new_ledger, run_module
from bench.processes import free_port, running, wait_until_up
from bench.rounds import say, spread
from bench.row import Options, Row, diagnose, ground
from bench.services import Measurement
from bench.targets import Figure

SIDES = ("plain", "metered")


def metered(name: str, asynchronous: bool, options: Options) -> Row:
    """Streams by the vendor's client, metered on a ledger in its process and not, call by call in turns."""
    row, added = Row(name, {side: [] for side in SIDES}), []
    words = {"calls": options.streams, "asynchronous": int(asynchronous)}
    with ground(row, options, "sqlite") as where, stand_in(where) as models:
        for number in range(1, options.rounds + 1):
            with new_ledger(where) as ledger:
                found = json.loads(run_module(ledger, "bench.streaming", models=models, **words))
                diagnose(row, ledger, name)
            row.problems += found["problems"]
            added.append(found["added_p50_ms"])
            for side in SIDES:
                row.sides[side].append(Measurement(found[side]))
            say(f"{name}: round {number} of {options.rounds}: " + "; ".join(map(_told, SIDES, map(found.get, SIDES))))
    plain, ours = (row.sides[side] for side in SIDES)
    pairs = list(zip(ours, plain, strict=True))
    later = spread([over.figures["p99_ms"] - under.figures["p99_ms"] for over, under in pairs])
    chunk = spread([over.figures["chunk_us"] / under.figures["chunk_us"] for over, under in pairs])
    note = f"{options.streams} streams each"
    row.figures = [
        Figure(name, spread(added), note=note), Figure(f"{name}_p99", later, note=note),
        Figure(f"{name}_chunk", chunk, note=note),
    ]  # fmt: skip
    return row


def _told(side: str, figures: dict[str, float]) -> str:
    return (
        f"{side}: first token p50 {figures['p50_ms']:.2f} ms p99 {figures['p99_ms']:.2f} ms, "
        f"a chunk {figures['chunk_us']:.1f} us, the end {figures['end_ms']:.2f} ms"
    )


@contextlib.contextmanager
def stand_in(where: Ground) -> Iterator[str]:
    """A stand-in for the provider, in a process of its own; its address."""
    port, log = free_port(), where.folder / "models.log"
    with running([*farthing_command(), "fakes", "models", "--port", str(port)], log) as child:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(f"{url}/_fake/state", child, log)
        yield url
