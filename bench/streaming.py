"""Owns what is measured of a metered stream, beside the same stream by the vendor's client alone: how long the first
token takes, each chunk after it, and the end. Both take turns, call by call, on a stand-in for the provider.

Runs as its own process: python -m bench.streaming --db URL --workspace ID --models URL --calls N [--asynchronous 1].
The ledger is in this process. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from statistics import fmean, median
from typing import Any, Final, NamedTuple

import httpx2
import openai

import farthing
from farthing.fakes.models import HEADER
from farthing.llm import asettled, meter, settled

WARMUP = 20
CHUNKS = 64
ACCOUNT: Final = "bench"
ONE: Final = {
    "rules": [
        {"id": "in", "dimension": "input_tokens", "price": "1"},
        {"id": "out", "dimension": "output_tokens", "price": "10"},
    ]
}
MILLI = 1_000_000
MICRO = 1_000


class Taken(NamedTuple):
    """Nanoseconds of one stream."""

    first: int
    chunk: float
    """Each chunk of the answer behind the first one."""
    end: int
    """From the last chunk until the client says that it is over."""


def asked() -> dict[str, Any]:
    """What every call asks: a prompt as a chat has it, and an answer of so many chunks."""
    prompt = [{"role": "user", "content": "Tell me of the farthing, and of what could be had for it. " * 20}]
    return {
        "model": "gpt-bench", "messages": prompt, "stream": True, "stream_options": {"include_usage": True},
        "extra_headers": {HEADER: json.dumps({"answer_tokens": CHUNKS})},
    }  # fmt: skip


def stream(api: openai.OpenAI) -> Taken:
    """One stream, by a thread."""
    began = time.perf_counter_ns()
    chunks: Iterator[Any] = iter(api.chat.completions.create(**asked()))
    next(chunks)
    first = time.perf_counter_ns()
    for _ in range(CHUNKS - 1):
        next(chunks)
    last = time.perf_counter_ns()
    for _ in chunks:
        pass
    return Taken(first - began, (last - first) / (CHUNKS - 1), time.perf_counter_ns() - last)


async def astream(api: openai.AsyncOpenAI) -> Taken:
    """One stream, on an event loop."""
    began = time.perf_counter_ns()
    chunks: AsyncIterator[Any] = aiter(await api.chat.completions.create(**asked()))
    await anext(chunks)
    first = time.perf_counter_ns()
    for _ in range(CHUNKS - 1):
        await anext(chunks)
    last = time.perf_counter_ns()
    async for _ in chunks:
        pass
    return Taken(first - began, (last - first) / (CHUNKS - 1), time.perf_counter_ns() - last)


def by_threads(options: argparse.Namespace) -> tuple[list[Taken], list[Taken], list[Any]]:
    """Turns of both sides, and the charges."""
    with (
        farthing.connect(options.db, workspace=options.workspace) as ledger,
        httpx2.Client() as http,
        openai.OpenAI(base_url=f"{options.models}/v1", api_key="k", max_retries=0, http_client=http) as plain,
    ):
        metered = meter(plain, ledger=ledger, account=prepared(ledger))
        taken = [(stream(plain), stream(metered)) for _ in range(WARMUP + options.calls)]
        assert settled(ledger)
        charges = list(ledger.charges.list(ACCOUNT))
    return [each[0] for each in taken[WARMUP:]], [each[1] for each in taken[WARMUP:]], charges


async def by_tasks(options: argparse.Namespace) -> tuple[list[Taken], list[Taken], list[Any]]:
    """The same on an event loop."""
    with farthing.connect(options.db, workspace=options.workspace) as ledger:
        prepared(ledger)
    async with (
        farthing.aconnect(options.db, workspace=options.workspace) as alike,
        httpx2.AsyncClient() as http,
        openai.AsyncOpenAI(base_url=f"{options.models}/v1", api_key="k", max_retries=0, http_client=http) as plain,
    ):
        metered = meter(plain, ledger=alike, account=ACCOUNT)
        taken = [(await astream(plain), await astream(metered)) for _ in range(WARMUP + options.calls)]
        assert await asettled(alike)
        charges = [charge async for charge in alike.charges.list(ACCOUNT)]
    return [each[0] for each in taken[WARMUP:]], [each[1] for each in taken[WARMUP:]], charges


def prepared(ledger: farthing.Client) -> str:
    """An account that can pay; its name."""
    ledger.rate_cards.put(ONE, reason="Prices of the bench")
    ledger.grant(ACCOUNT, 100_000_000)
    return ACCOUNT


def problems(charges: list[Any], options: argparse.Namespace, before: int) -> list[str]:
    """Every metered stream was charged once, and what the stand-in's books say."""
    with urllib.request.urlopen(f"{options.models}/_fake/books?after={before}", timeout=60) as answer:
        books = {call["id"]: call["billed"] for call in json.load(answer)["calls"]}
    found = []
    if len(charges) != WARMUP + options.calls:
        found.append(f"{len(charges)} of {WARMUP + options.calls} streams were charged")
    for charge in charges:
        billed = books[charge.metadata["metering"]["answer"]]
        if charge.amount != billed["input_tokens"] + 10 * billed["output_tokens"]:
            found.append(f"{charge.id} is {charge.amount}, and was billed as {billed}")
    return found[:3]


def at(values: list[float], share: float) -> float:
    """The value that this share of them stays below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def side(taken: list[Taken]) -> dict[str, Any]:
    """Figures of one side; its rate is that of first tokens, one after the other."""
    firsts = [each.first / MILLI for each in taken]
    return {
        "rate": 1000 / fmean(firsts), "mean_ms": fmean(firsts), "p50_ms": at(firsts, 0.5), "p99_ms": at(firsts, 0.99),
        "max_ms": max(firsts), "chunk_us": median(each.chunk for each in taken) / MICRO,
        "end_ms": median(each.end for each in taken) / MILLI,
    }  # fmt: skip


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.streaming", description=(__doc__ or "").splitlines()[0])
    for name in ("db", "workspace", "models"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--asynchronous", type=int, default=0)
    options = parser.parse_args()
    with urllib.request.urlopen(f"{options.models}/_fake/state", timeout=60) as answer:
        before = json.load(answer)["calls"]
    plain, metered, charges = asyncio.run(by_tasks(options)) if options.asynchronous else by_threads(options)
    added = [(over.first - under.first) / MILLI for over, under in zip(metered, plain, strict=True)]
    figures = {
        "plain": side(plain), "metered": side(metered), "added_p50_ms": at(added, 0.5),
        "problems": problems(charges, options, before),
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
