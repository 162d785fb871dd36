"""Owns what is done to Farthing's engine without HTTP: measuring charges in process, and filling a ledger.

Runs as its own process: python -m bench.inprocess charge|fill --help. Prints the same figures as the load generator.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import uvloop

from bench.load import NANO, milliseconds
from bench.traffic import PREFIX, account_name, id_maker, metadata
from farthing.app import Ledger, open_ledger
from farthing.core.commands import DAY_US, Command, GiveGrant, TakeCharge
from farthing.core.outcomes import Accepted
from farthing.core.usage import Line, Metered, Priced, Usage

MICRO = 1_000_000
CREDITS = 100_000_000
FILL_SEED = 7
BURST = 4096  # commands in flight while filling: more than one batch, less than the queue holds
OPERATION = "chat.completion"
PAST_US = 30 * DAY_US
MODELS = [(provider, f"{provider}-{size}") for provider in ("acme", "borealis", "cirrus") for size in range(4)]


class FillError(Exception):
    """A command of the filling was refused or failed."""


@dataclass(frozen=True, slots=True)
class Filling:
    """What is put into a ledger, and which part of it by this process: the accounts whose number leaves `part`."""

    workspace: str
    accounts: int
    entries: int
    ids: str
    usage: bool = False
    """Each charge carries what was used, at some time of the last thirty days."""
    part: int = 0
    parts: int = 1

    def grants(self) -> Iterator[Command]:
        """One grant for each account of this part."""
        for number in range(self.part, self.accounts, self.parts):
            account = account_name(PREFIX, number)
            yield GiveGrant(
                workspace=self.workspace,
                account=account,
                amount=CREDITS * MICRO,
                key=f"cw.add:{account}",
                actor="bench",
            )

    def charges(self) -> Iterator[Command]:
        """Charges of one credit, as the CountWerk face makes them, over accounts of this part drawn at random."""
        random = Random(FILL_SEED + self.part)
        new_id, words = id_maker(self.ids), metadata()
        accounts = len(range(self.part, self.accounts, self.parts))
        for _ in range(self.part, self.entries, self.parts):
            number = self.part + self.parts * int(random.random() * accounts)
            used = usage(random, time.time_ns() // 1000) if self.usage else None
            yield charge(self.workspace, account_name(PREFIX, number), new_id().decode(), words, used)


def charge(workspace: str, account: str, event: str, words: str, used: Metered | None = None) -> TakeCharge:
    """A charge of one credit."""
    return TakeCharge(
        workspace=workspace, account=account, amount=MICRO, key=f"cw.deduct:{event}", operation=OPERATION,
        metadata=words, actor="bench", usage=used,
    )  # fmt: skip


def usage(random: Random, now_us: int) -> Metered:
    """Tokens of one of some models."""
    provider, model = MODELS[int(random.random() * len(MODELS))]
    into, out = int(random.random() * 4000), int(random.random() * 1000)
    lines = tuple(
        Line("price", "0.5", name, str(count), "0.0025", 1000, f"{model}.{name}", "bench@1")
        for name, count in (("input_tokens", into), ("output_tokens", out))
    )
    return Metered(
        Usage(
            dimensions={"input_tokens": str(into), "output_tokens": str(out)}, provider=provider, model=model,
            service="chat", at=now_us - int(random.random() * PAST_US),
        ),
        Priced(amount=MICRO, exact="1", lines=lines, cost=into * 2500, card="bench@1", provider=provider, model=model),
    )  # fmt: skip


async def carry_out(ledger: Ledger, commands: Iterator[Command]) -> int:
    """Carry out commands, many in flight; every one must be accepted."""
    done = 0

    async def worker() -> None:
        nonlocal done
        for command in commands:
            outcome = await ledger.engine.ask(command)
            if not isinstance(outcome, Accepted):
                raise FillError(f"{command.kind} of {command.account}: {outcome}")
            done += 1
            if done % 200_000 == 0:
                print(f"filling: {done:,} commands", file=sys.stderr, flush=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(BURST):
            group.create_task(worker())
    return done


async def fill_ledger(url: str, filling: Filling) -> None:
    """Put funded accounts, and charges over them, into a ledger; through the engine, as callers would."""
    ledger = open_ledger(url, inline_on=asyncio.get_running_loop(), max_batch=1024)
    try:
        await carry_out(ledger, filling.grants())
        await carry_out(ledger, filling.charges())
    finally:
        await ledger.aclose()


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """So many callers, each charging and waiting for the disk, for so many seconds after a warm-up."""
    ledger = open_ledger(options.db)
    random = Random(options.seed)
    new_id, words = id_maker(options.ids), metadata()
    latencies, status = array("q"), Counter[str]()
    begin = time.perf_counter_ns() + int(options.warmup * NANO)
    end = begin + int(options.seconds * NANO)
    warm = 0

    async def caller() -> None:
        nonlocal warm
        while (sent := time.perf_counter_ns()) < end:
            account = account_name(PREFIX, int(random.random() * options.accounts))
            outcome = await ledger.engine.ask(charge(options.workspace, account, new_id().decode(), words))
            now = time.perf_counter_ns()
            # Named as the HTTP answers are, so that one table reads both.
            name = "200" if isinstance(outcome, Accepted) else type(outcome).__name__
            if now < begin:
                warm += 1
            elif now <= end:
                status[name] += 1
                latencies.append(now - sent)

    try:
        await asyncio.gather(*(caller() for _ in range(options.callers)))
    finally:
        ledger.close()
    ordered = sorted(latencies)
    return {
        "requests": len(ordered),
        "ok": status["200"],
        "ok_with_warmup": status["200"] + warm,
        "seconds": options.seconds,
        "rate": round(status["200"] / options.seconds, 1),
        "p50_ms": milliseconds(ordered, 0.5),
        "p99_ms": milliseconds(ordered, 0.99),
        "max_ms": milliseconds(ordered, 1.0),
        "status": dict(status),
    }


def main() -> None:
    """Measure or fill, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.inprocess", description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    fill, run = verbs.add_parser("fill"), verbs.add_parser("charge")
    for verb in (fill, run):
        verb.add_argument("--db", required=True)
        verb.add_argument("--workspace", required=True)
        verb.add_argument("--accounts", type=int, required=True)
        verb.add_argument("--ids", choices=("ordered", "random"), default="ordered")
    fill.add_argument("--entries", type=int, required=True)
    fill.add_argument("--usage", choices=("yes", "no"), default="no", help="whether charges say what was used")
    fill.add_argument("--part", type=int, default=0, help="which of the parts, counted from 0")
    fill.add_argument("--parts", type=int, default=1, help="processes that fill together")
    run.add_argument("--callers", type=int, required=True)
    run.add_argument("--seconds", type=float, required=True)
    run.add_argument("--warmup", type=float, default=1.0)
    run.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.verb == "fill":
        words = {name: getattr(options, name) for name in ("workspace", "accounts", "entries", "ids", "part", "parts")}
        uvloop.run(fill_ledger(options.db, Filling(**words, usage=options.usage == "yes")))
    else:
        print(json.dumps(asyncio.run(measure(options))))


if __name__ == "__main__":
    main()
