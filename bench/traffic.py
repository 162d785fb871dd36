"""Owns what the load generator sends: ids, accounts, bodies, and whole requests made from one template."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from random import Random

ATTEMPTS = 3
PICKS = 1 << 16
ACCOUNT_DIGITS = 7
DEDUCT_PATH = "/api/credits/deduct"
BULK_PATH = "/v1/charges/bulk"
PREFIX = "bench-"
METADATA_BYTES = 150


def metadata() -> str:
    """A JSON object of exactly 150 bytes, of the kind that an AI product sends along."""
    facts = {"model": "gpt-5-mini", "feature": "chat", "prompt_tokens": 1812, "completion_tokens": 377}
    bare = json.dumps(facts | {"trace": ""}, separators=(",", ":"))
    trace = ("4f9c1e7ab2d85036" * 8)[: METADATA_BYTES - len(bare)]
    return json.dumps(facts | {"trace": trace}, separators=(",", ":"))


def deduct_body() -> str:
    """The body template of a charge."""
    return (
        '{"account_id":"{account}","operation":"chat.completion","amount":1,'
        '"usage_event_id":"{id}","metadata":' + metadata() + "}"
    )


def bulk_item() -> str:
    """The template of one charge in a bulk of the native API; as large a charge as `deduct_body`."""
    return (
        '{"key":"{id}","account":"{account}","operation":"chat.completion","amount":"1","metadata":' + metadata() + "}"
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, to whom, and for how long."""

    urls: tuple[str, ...]
    key: str
    connections: int = 64
    seconds: float = 5.0
    requests: int = 0
    warmup: float = 1.0
    path: str = DEDUCT_PATH
    body: str = ""
    items: int = 0
    """How many charges are in a request: `body` is the template of one of them; 0: the request is a charge."""
    prefix: str = PREFIX
    accounts: int = 10_000
    pick: str = "uniform"
    ids: str = "ordered"
    replays: float = 0.0
    attempts: int = ATTEMPTS
    stop_when_lost: bool = False
    seed: int = 1


def account_name(prefix: str, number: int) -> str:
    """The id of the bench's account with this number; all have the same length."""
    return f"{prefix}{number:0{ACCOUNT_DIGITS}d}"


def id_maker(kind: str) -> Callable[[], bytes]:
    """Makes 32 hexadecimal digits each time: time first and then counted (as UUIDv7 does), or random.

    Never seeded: a run that made the keys of an earlier one again would measure replays.
    """
    random = Random()
    if kind == "random":
        return lambda: b"%032x" % random.getrandbits(128)
    tail = b"%012x" % random.getrandbits(48)
    count = 0

    def ordered() -> bytes:
        nonlocal count
        count += 1
        return b"%012x%08x%b" % (time.time_ns() // 1_000_000, count & 0xFFFFFFFF, tail)

    return ordered


def account_picker(plan: Plan, random: Random) -> Callable[[], bytes]:
    """Gives the account of the next request: any, always the first, few of them often, or each in turn."""
    if plan.pick == "hot":
        hot = account_name(plan.prefix, 0).encode()
        return lambda: hot
    if plan.pick == "zipf":
        weights = list(accumulate(1 / rank for rank in range(1, plan.accounts + 1)))
        ranks = random.choices(range(plan.accounts), cum_weights=weights, k=PICKS)
        names = [account_name(plan.prefix, rank).encode() for rank in ranks]
        return lambda: names[random.getrandbits(16)]
    form = plan.prefix.encode().replace(b"%", b"%%") + b"%%0%dd" % ACCOUNT_DIGITS
    if plan.pick == "each":
        turn = iter(range(sys.maxsize))
        return lambda: form % (next(turn) % plan.accounts)
    fraction, accounts = random.random, plan.accounts
    return lambda: form % int(fraction() * accounts)


def request_maker(plan: Plan, host: str, random: Random) -> Callable[[], bytes]:
    """Makes whole requests, headers and body, from one template filled in by a single formatting step."""
    each = plan.body or (bulk_item() if plan.items else deduct_body())
    body = '{"items":[' + ",".join([each] * plan.items) + "]}" if plan.items else each
    sample = body.replace("{account}", account_name(plan.prefix, 0)).replace("{id}", "0" * 32)
    head = (
        f"POST {plan.path} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {plan.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(sample.encode())}\r\n\r\n"
    )
    template = (head + body).encode().replace(b"%", b"%%")
    form = re.sub(rb"\{account\}|\{id\}", b"%b", template)
    marks = tuple(re.findall(rb"\{account\}|\{id\}", each.encode()))
    account, new_id = account_picker(plan, random), id_maker(plan.ids)
    if not plan.items and marks == (b"{account}",):
        return lambda: form % account()
    if not plan.items and marks == (b"{account}", b"{id}"):
        return lambda: form % (account(), new_id())

    def general() -> bytes:
        filled: list[bytes] = []
        for _ in range(plan.items or 1):
            values = {b"{account}": account(), b"{id}": new_id()}
            filled += [values[mark] for mark in marks]
        return form % tuple(filled)

    return general
