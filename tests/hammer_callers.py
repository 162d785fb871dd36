"""The callers of the hammer: processes that charge, hold, settle, refund and buy, each with a journal.

A caller writes down what it is about to ask, and what it was told, before it goes on; it asks again with the same key
until it has an answer, each time of whichever server comes next.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ACCOUNTS = [f"hammer-{n}" for n in range(12)]
UNIT = 1_000_000


class Failed(AssertionError):
    """What the ledger and its callers disagree on."""


class Journal:
    """What a worker asked and what it was told, on disk before it goes on."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, **line: Any) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Caller:
    """An HTTP client that asks again, with the same key, until it has an answer: of one server after another."""

    def __init__(self, ports: Sequence[int], api_key: str, rng: random.Random) -> None:
        self._ports, self._rng = ports, rng
        self._headers = {"X-API-Key": api_key, "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def call(self, path: str, body: dict[str, Any], key: str | None = None) -> tuple[int, dict[str, Any]]:
        """Ask until there is an answer."""
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                status, answer = self.once(path, body, key)
                if status < 500 and status != 429:
                    if self._rng.random() < 0.1:  # the next call, and the repeat of this one, may go elsewhere
                        self.let_go()
                    return status, answer
            time.sleep(0.01 + 0.05 * self._rng.random())

    def once(self, path: str, body: dict[str, Any], key: str | None = None) -> tuple[int, dict[str, Any]]:
        """Ask once, and take the answer, whatever it is."""
        headers = {**self._headers, **({"Idempotency-Key": key} if key else {})}
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._rng.choice(self._ports), timeout=60)
            self._connection.request("POST", f"/api/credits/{path}", json.dumps(body), headers)
            response = self._connection.getresponse()
            return response.status, json.loads(response.read())
        except BaseException:
            self.let_go()
            raise

    def let_go(self) -> None:
        """The next call is made on a new connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def http_worker(name: str, seed: str, ports: Sequence[int], api_key: str, folder: str, stop: Any) -> None:
    """Charges, holds, confirms, cancels and buys over HTTP, repeating keys on purpose."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rng = random.Random(seed)
    journal = Journal(Path(folder) / f"{name}.jsonl")
    caller = Caller(ports, api_key, rng)
    acts = [charge] * 6 + [hold] * 3 + [buy]
    number = 0
    while not stop.is_set():
        number += 1
        rng.choice(acts)(f"{name}-{number}", rng, caller, journal)


def charge(name: str, rng: random.Random, caller: Caller, journal: Journal) -> None:
    account, amount = rng.choice(ACCOUNTS), rng.randint(1, 9)
    body = {"account_id": account, "operation": "hammer.charge", "amount": amount, "usage_event_id": name}
    key = f"cw.deduct:{name}"
    journal.note(asked=key, account=account)
    status, answer = caller.call("deduct", body)
    if status == 402:
        return
    expect(status == 200, f"deduct {name}: {status} {answer}")
    journal.note(told=key, account=account, entry=answer["data"]["transactionId"], amount=-amount * UNIT)
    if rng.random() < 0.3:
        again, second = caller.call("deduct", body)
        same = again == 200 and second["data"] == answer["data"]
        expect(same, f"repeat of {name}: {second} is not {answer}")
    if rng.random() < 0.05:
        status, answer = caller.call("deduct", {**body, "amount": amount + 1})
        expect((status, answer["code"]) == (409, "IDEMPOTENCY_CONFLICT"), f"other amount for {name}: {answer}")


def hold(name: str, rng: random.Random, caller: Caller, journal: Journal) -> None:
    account, amount = rng.choice(ACCOUNTS), rng.randint(2, 20)
    body = {"account_id": account, "operation": "hammer.hold", "amount": amount, "validityMinutes": 30}
    journal.note(asked=f"cw.reserve:{name}", account=account)
    status, answer = caller.call("reserve", body, key=name)
    if status == 402:
        return
    expect(status == 200, f"reserve {name}: {status} {answer}")
    reservation = answer["data"]["reservationId"]
    journal.note(told=f"cw.reserve:{name}", account=account, entry="ent" + reservation[4:], amount=0)
    if rng.random() < 0.3:
        repeated = caller.call("reserve", body, key=name)[1]
        expect(repeated["data"] == answer["data"], f"repeat of reserve {name}: {repeated}")
    end(rng.random(), reservation, account, amount, rng, caller, journal)


def end(
    way: float, reservation: str, account: str, amount: int, rng: random.Random, caller: Caller, journal: Journal
) -> None:  # fmt: skip
    """Confirm a hold for less, as much or more; or cancel it; or leave it open."""
    if way < 0.6:
        actual = rng.randint(1, amount + 5)
        body: dict[str, Any] = {"reservationId": reservation, "actualAmount": actual}
        path, key, change = "confirm-reservation", f"cw.confirm:{reservation}", -actual * UNIT
    elif way < 0.85:
        body, path, key, change = {"reservationId": reservation}, "cancel-reservation", f"cw.cancel:{reservation}", 0
    else:
        return
    journal.note(asked=key, account=account)
    for _ in range(rng.choice((1, 1, 2))):
        status, answer = caller.call(path, body)
        if status == 402 and path == "confirm-reservation":
            return
        expect(status == 200, f"{path} {reservation}: {status} {answer}")
    journal.note(told=key, account=account, entry=None, amount=change)


def buy(name: str, rng: random.Random, caller: Caller, journal: Journal) -> None:
    account, amount = rng.choice(ACCOUNTS), rng.randint(20, 60)
    source = {"productId": "p1", "orderId": f"o-{name}", "transactionId": f"t-{name}"}
    key = f"cw.add:t-{name}"
    journal.note(asked=key, account=account)
    for _ in range(rng.choice((1, 1, 3))):
        status, answer = caller.call("add", {"account_id": account, "amount": amount, "source": source})
        expect(status == 200, f"add {name}: {status} {answer}")
    journal.note(told=key, account=account, entry=answer["data"]["transactionId"], amount=amount * UNIT)


def refund_worker(name: str, seed: str, url: str, folder: str) -> None:
    """Charges and refunds in a process of its own on the same database; is killed and started again."""
    from farthing.app import open_ledger
    from farthing.core.commands import Refund, TakeCharge
    from farthing.core.outcomes import Accepted

    rng = random.Random(seed)
    journal = Journal(Path(folder) / f"{name}.jsonl")
    number = 0
    with patiently(lambda: open_ledger(url)) as ledger:

        def do(command: Any, key: str) -> Any:
            journal.note(asked=key, account=command.account)
            outcome = patiently(lambda: ledger.do(command))
            if isinstance(outcome, Accepted) and outcome.entry is not None:
                e = outcome.entry
                journal.note(told=key, account=e.account, entry=e.id, amount=e.amount)
                return e
            return None

        while True:
            number += 1
            account, key = rng.choice(ACCOUNTS), f"v1:{name}-{number}"
            taken = do(TakeCharge(workspace="main", account=account, amount=5 * UNIT, key=key), key)
            if taken is None:
                continue
            for part in range(rng.choice((1, 2))):
                refund_key = f"{key}-refund-{part}"
                # Twice under one key: the second must find the first.
                for _ in range(rng.choice((1, 2))):
                    amount = 2 * UNIT
                    command = Refund(workspace="main", account=account, charge=taken.id, amount=amount, key=refund_key)
                    do(command, refund_key)
            time.sleep(0.02 * rng.random())


def patiently(act: Callable[[], T]) -> T:
    """Do it again until the database lets us: it may be away."""
    from farthing.stores.contract import StoreError

    while True:
        try:
            return act()
        except StoreError:
            time.sleep(0.05)


def expect(right: bool, sentence: str) -> None:
    if not right:
        raise Failed(sentence)
