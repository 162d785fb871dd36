"""Owns the load: a closed loop of keep-alive HTTP/1.1 connections that is as fast as Python allows.

Runs as its own process (`python -m bench.load --help`) and prints one JSON object. Each connection sends a
request, waits for the whole answer and sends the next. Answers other than 200 are counted by status; a
request whose connection was lost, or that got 429 or 5xx, is sent again as the Node client does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import resource
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from bench.traffic import ATTEMPTS, Plan, request_maker

FIRST_WAIT_SECONDS = 0.2
GRACE_SECONDS = 10.0
REMEMBERED = 4096
CHARGED = b'"status":"charged"'
"""What the answer to a bulk has for each item that went well."""
NANO = 1_000_000_000

clock = time.perf_counter_ns


class LoadError(Exception):
    """The server speaks a kind of HTTP that the generator does not read."""


class Run:
    """One run: its counters, its clock, and the requests that may be repeated."""

    def __init__(self, plan: Plan, make: Callable[[], bytes], random: Random) -> None:
        self.plan = plan
        self.finished = asyncio.Event()
        self.failure: str | None = None
        self.latencies = array("q")
        self.status: Counter[str] = Counter()
        self.warmup_status: Counter[str] = Counter()
        self.answered_ok = 0
        self.retries = self.lost = self.unanswered = self.gave_up = 0
        self.replays = self.replays_differ = 0
        self.open = self.sent = 0
        self.last_at = 0
        self.stopped = False
        self._make = make
        self._random = random
        self._past: deque[tuple[bytes, bytes]] = deque(maxlen=REMEMBERED)
        self.begin_at = clock() + int(plan.warmup * NANO)
        self.end_at = self.begin_at + int(plan.seconds * NANO) if not plan.requests else sys.maxsize
        self.cpu_at_begin = 0.0

    def fail(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A bug or an unreadable answer ends the run at once: figures of half a run would mislead."""
        self.failure = self.failure or repr(context.get("exception") or context["message"])
        self.finished.set()

    def next_request(self, now: int) -> tuple[bytes, bytes] | None:
        """What to send now, with the answer it must get if it is a repetition; nothing when the run is over."""
        plan = self.plan
        if now >= self.end_at or self.stopped or (plan.requests and self.sent >= plan.requests):
            return None
        self.sent += 1
        if plan.replays and self._past and self._random.random() < plan.replays:
            return self._past[self._random.randrange(len(self._past))]
        return self._make(), b""

    def done(self, request: bytes, expected: bytes, status: bytes, answer: bytes, began: int, now: int) -> None:
        """Book one finished call."""
        if status == b"200":
            self.answered_ok += 1
            if self.plan.replays:
                self._compare(request, expected, answer)
        name = status.decode("latin-1")
        if self.plan.items and status == b"200" and answer.count(CHARGED) != self.plan.items:
            name = "200, not all of them charged"
        if now < self.begin_at:
            self.warmup_status[name] += 1
            return
        if not self.cpu_at_begin:
            self.cpu_at_begin = time.process_time()
        if now <= self.end_at:
            self.status[name] += 1
            self.last_at = now
            if name == "200":
                self.latencies.append(now - began)

    def _compare(self, request: bytes, expected: bytes, answer: bytes) -> None:
        """A repetition must get the first answer, byte for byte but for the timestamp."""
        told = re.sub(rb'"timestamp" ?: ?"[^"]*"', b"", answer)
        if not expected:
            self._past.append((request, told))
            return
        self.replays += 1
        self.replays_differ += told != expected


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on its way."""

    __slots__ = (
        "_attempt", "_began", "_buffer", "_expected", "_host", "_port", "_request", "_run", "_transport",
    )  # fmt: skip

    def __init__(self, run: Run, host: str, port: int) -> None:
        self._run, self._host, self._port = run, host, port
        self._transport: asyncio.Transport | None = None
        self._request = self._expected = self._buffer = b""
        self._attempt = self._began = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request, or again the one that the last connection lost."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        if self._request:
            self._transport.write(self._request)
        else:
            self._send_next(clock())

    def data_received(self, data: bytes) -> None:
        """Wait for the whole answer, book it, go on."""
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        head = data[:end].lower()
        at = head.find(b"content-length:")
        if at < 0:
            raise LoadError("an answer has no content-length: nobody can tell where it ends")
        stop = head.find(b"\r\n", at)
        missing = end + 4 + int(head[at + 15 : stop if stop > 0 else end]) - len(data)
        if missing > 0:
            self._buffer = data
            return
        if missing < 0:
            raise LoadError("an answer is longer than its content-length")
        self._buffer = b""
        self._answered(data[9:12], data[end + 4 :], clock())

    def _answered(self, status: bytes, body: bytes, now: int) -> None:
        run = self._run
        if (status == b"429" or status >= b"500") and self._attempt + 1 < run.plan.attempts:
            run.status["retried_" + status.decode("latin-1")] += 1
            self._again()
            return
        run.done(self._request, self._expected, status, body, self._began, now)
        self._send_next(now)

    def _send_next(self, now: int) -> None:
        following = self._run.next_request(now)
        if following is None:
            self._request = b""
            self._close()
            return
        self._request, self._expected = following
        self._attempt, self._began = 0, now
        assert self._transport is not None
        self._transport.write(self._request)

    def _again(self) -> None:
        """Send the same request once more after 200 ms, 400 ms and so on."""
        self._run.retries += 1
        wait = FIRST_WAIT_SECONDS * 2**self._attempt
        self._attempt += 1
        asyncio.get_running_loop().call_later(wait, self._resend)

    def _resend(self) -> None:
        if self._transport is None:
            asyncio.get_running_loop().create_task(self.connect())
        else:
            self._transport.write(self._request)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._retire()

    def _retire(self) -> None:
        self._run.open -= 1
        if self._run.open == 0:
            self._run.finished.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that ends with a request on its way is counted, and the request sent again."""
        self._transport, self._buffer = None, b""
        if not self._request:
            return
        run = self._run
        run.lost += 1
        if run.plan.stop_when_lost:
            run.stopped = True
        if run.plan.stop_when_lost or self._attempt + 1 >= run.plan.attempts:
            self._give_up()
        else:
            self._again()

    def _give_up(self) -> None:
        self._run.unanswered += 1
        self._request = b""
        self._retire()

    async def connect(self) -> None:
        """Open the connection; one that cannot be opened counts like one that was lost."""
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, self._host, self._port)
        except OSError:
            if self._request:
                self.connection_lost(None)
            else:
                self._run.gave_up += 1
                self._retire()


async def drive(plan: Plan) -> dict[str, Any]:
    """Carry out the plan and give the figures."""
    random = Random(plan.seed)
    targets = [urlsplit(url) for url in plan.urls]
    run = Run(plan, request_maker(plan, targets[0].netloc, random), random)
    gc.freeze()
    gc.disable()  # nothing here makes cycles; a collection would be counted as latency of the server
    asyncio.get_running_loop().set_exception_handler(run.fail)
    run.open = plan.connections
    for number in range(plan.connections):
        target = targets[number % len(targets)]
        await Connection(run, target.hostname or "127.0.0.1", target.port or 80).connect()
    limit = None if plan.requests else plan.warmup + plan.seconds + GRACE_SECONDS
    hanging = 0
    try:
        await asyncio.wait_for(run.finished.wait(), limit)
    except TimeoutError:
        hanging = run.open
    if run.failure:
        raise SystemExit(f"the load generator failed: {run.failure}")
    return summary(run, hanging)


def percentile(ordered: Sequence[int], share: float) -> int:
    """The smallest value that at least this share of the values does not exceed."""
    rank = -int(-share * len(ordered) // 1)
    return ordered[max(rank, 1) - 1]


def summary(run: Run, hanging: int) -> dict[str, Any]:
    """The figures of a run; the rate counts charges whose answer was 200, and nothing else."""
    plan = run.plan
    charges = plan.items or 1
    span = (run.last_at - run.begin_at if plan.requests else run.end_at - run.begin_at) / NANO
    if run.stopped:
        span = (run.last_at - run.begin_at) / NANO
    ordered = sorted(run.latencies)
    ok = len(ordered)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "requests": sum(count for name, count in run.status.items() if not name.startswith("retried_")),
        "ok": ok,
        "ok_with_warmup": run.answered_ok,
        "seconds": round(span, 4),
        "charges_per_request": charges,
        "rate": round(ok * charges / span, 1) if span > 0 else 0.0,
        "p50_ms": milliseconds(ordered, 0.5),
        "p99_ms": milliseconds(ordered, 0.99),
        "max_ms": milliseconds(ordered, 1.0),
        "status": dict(run.status),
        "warmup_status": dict(run.warmup_status),
        "retries": run.retries,
        "connections_lost": run.lost,
        "never_connected": run.gave_up,
        "unanswered": run.unanswered + hanging,
        "replays": run.replays,
        "replays_differ": run.replays_differ,
        "generator_cpu_share": round((time.process_time() - run.cpu_at_begin) / span, 3) if span > 0 else 0.0,
        "generator_rss_mb": usage.ru_maxrss // 1024,
    }


def milliseconds(ordered: Sequence[int], share: float) -> float | None:
    """A percentile of the latencies in milliseconds; none when nothing succeeded."""
    return round(percentile(ordered, share) / 1e6, 3) if ordered else None


def parse(arguments: Sequence[str] | None = None) -> Plan:
    """A plan from command line arguments."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=(__doc__ or "").splitlines()[0])
    defaults = Plan((), "")
    parser.add_argument("--url", action="append", required=True, help="several: connections take turns")
    parser.add_argument("--key", required=True, help="sent as X-API-Key")
    parser.add_argument("--connections", type=int, default=defaults.connections)
    parser.add_argument("--seconds", type=float, default=defaults.seconds)
    parser.add_argument("--requests", type=int, default=0, help="stop after so many instead of by time")
    parser.add_argument("--warmup", type=float, default=defaults.warmup, help="seconds that do not count")
    parser.add_argument("--path", default=defaults.path)
    parser.add_argument("--body", default="", help="template with {account} and {id}; default: a deduct")
    parser.add_argument("--items", type=int, default=0, help="charges in a bulk; the body is the template of one")
    parser.add_argument("--prefix", default=defaults.prefix, help="what account ids begin with")
    parser.add_argument("--accounts", type=int, default=defaults.accounts)
    parser.add_argument("--pick", choices=("uniform", "hot", "zipf", "each"), default=defaults.pick)
    parser.add_argument("--ids", choices=("ordered", "random"), default=defaults.ids)
    parser.add_argument("--replays", type=float, default=0.0, help="share of requests that repeat an earlier one")
    parser.add_argument("--attempts", type=int, default=ATTEMPTS)
    parser.add_argument("--stop-when-lost", action="store_true", help="end when the server goes away")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    options = vars(parser.parse_args(arguments))
    options["urls"] = tuple(options.pop("url"))
    if options["requests"]:
        options["warmup"] = 0.0
    return Plan(**options)


def main() -> None:
    """Run the plan from the command line and print its figures."""
    print(json.dumps(uvloop.run(drive(parse()))))


if __name__ == "__main__":
    main()
