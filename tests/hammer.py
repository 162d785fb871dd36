"""The hammer: processes charge, hold, settle, refund and buy with repeated keys while the server is killed at random.

`python -m tests.hammer [--kills N] [--seed S] [--workers W]`. Each worker writes down what it is about to ask and what
was acknowledged, before it goes on. In the end every acknowledged command must be in the ledger once, with the answer
that was given, none may be there twice, and nothing that nobody asked for; then doctor looks at the whole.

A SIGKILL does not test a power cut (the page cache survives it); that rests on synchronous=FULL, which doctor checks.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import apsw

ACCOUNTS = [f"hammer-{n}" for n in range(12)]
FARTHING = [sys.executable, "-c", "from farthing.cli import main; main()"]
UNIT = 1_000_000


class Failed(AssertionError):
    """What the ledger and its callers disagree on."""


# Workers


class Journal:
    """What a worker asked and what it was told, on disk before it goes on."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, **line: Any) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Caller:
    """An HTTP client that asks again, with the same key, until it has an answer."""

    def __init__(self, port: int, api_key: str, rng: random.Random) -> None:
        self._port, self._rng = port, rng
        self._headers = {"X-API-Key": api_key, "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def call(self, path: str, body: dict[str, Any], key: str | None = None) -> tuple[int, dict[str, Any]]:
        headers = {**self._headers, **({"Idempotency-Key": key} if key else {})}
        while True:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
                self._connection.request("POST", f"/api/credits/{path}", json.dumps(body), headers)
                response = self._connection.getresponse()
                answer = json.loads(response.read())
                if response.status < 500 and response.status != 429:
                    return response.status, answer
            except (OSError, http.client.HTTPException, ValueError):
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
            time.sleep(0.01 + 0.05 * self._rng.random())


def http_worker(name: str, seed: str, port: int, api_key: str, folder: str, stop: Any) -> None:
    """Charges, holds, confirms, cancels and buys over HTTP, repeating keys on purpose."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rng = random.Random(seed)
    journal = Journal(Path(folder) / f"{name}.jsonl")
    caller = Caller(port, api_key, rng)
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
    """Charges and refunds in a process of its own on the same file; is killed and started again."""
    from farthing.app import open_ledger
    from farthing.core.commands import Refund, TakeCharge
    from farthing.core.outcomes import Accepted
    from farthing.stores.contract import StoreError

    rng = random.Random(seed)
    journal = Journal(Path(folder) / f"{name}.jsonl")
    number = 0
    with open_ledger(url) as ledger:

        def do(command: Any, key: str) -> Any:
            journal.note(asked=key, account=command.account)
            while True:
                try:
                    outcome = ledger.do(command)
                    break
                except StoreError:
                    time.sleep(0.05)
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


def expect(right: bool, sentence: str) -> None:
    if not right:
        raise Failed(sentence)


# The server and its killer


class Server:
    """`farthing serve` on a port that stays the same when it is killed and started again."""

    def __init__(self, url: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._command = [
            *FARTHING,
            "serve",
            "--db",
            url,
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--rate-limit",
            "0",
        ]
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=self.log, stderr=self.log)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            expect(self.process.poll() is None, f"the server did not start: {self.words()}")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
                connection.request("GET", "/livez")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.02)
        raise Failed(f"the server did not answer in time: {self.words()}")

    def words(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-2000:]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        expect(self.process.wait(30) == 0, f"SIGTERM ended the server with {self.process.returncode}: {self.words()}")


def run_farthing(*words: str) -> dict[str, Any]:
    """Run a command with --json; its answer."""
    done = subprocess.run([*FARTHING, *words, "--json"], capture_output=True, text=True, timeout=600)
    expect(done.returncode == 0, f"farthing {' '.join(words)}: exit {done.returncode}: {done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def hammer(folder: Path, *, kills: int, seed: int, workers: int = 3, say: Any = lambda text: None) -> dict[str, Any]:
    """Run it; returns what was done. Raises `Failed` when the ledger and its callers disagree."""
    rng = random.Random(seed)
    url = f"sqlite:///{folder / 'hammer.db'}"
    api_key = run_farthing("init", "--db", url)["api_key"]
    for account in ACCOUNTS:
        run_farthing("grant", account, "500", "--db", url, "--key", f"start-{account}")
    server = Server(url)
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    callers = [
        spawn.Process(target=http_worker, args=(f"w{n}", f"{seed}-{n}", server.port, api_key, str(folder), stop))
        for n in range(workers)
    ]
    for process in callers:
        process.start()
    embedded = 0
    refunder = spawn.Process(target=refund_worker, args=("r0", f"{seed}-r0", url, str(folder)))
    refunder.start()
    try:
        for n in range(kills):
            time.sleep(rng.uniform(0.2, 1.2))
            server.kill()
            if rng.random() < 0.4:
                refunder.kill()
                refunder.join()
                embedded += 1
                args = (f"r{embedded}", f"{seed}-r{embedded}", url, str(folder))
                refunder = spawn.Process(target=refund_worker, args=args)
                refunder.start()
            server.start()
            say(f"kill {n + 1} of {kills}")
            broken = [p for p in callers if p.exitcode not in (None, 0)]
            expect(not broken, "a worker found something wrong; its words are above")
        time.sleep(0.5)
    finally:
        stop.set()
        refunder.kill()
        for process in callers:
            process.join(60)
        ended = [p.exitcode for p in callers]
    expect(all(code == 0 for code in ended), f"workers ended with {ended}; their words are above")
    server.stop()
    told = verify(folder)
    doctor = run_farthing("doctor", "--db", url)
    return {**told, "kills": kills, "killed_embedded": embedded, "seed": seed, "doctor": doctor}


def verify(folder: Path) -> dict[str, Any]:
    """Hold what the workers wrote down against the ledger."""
    asked: set[tuple[str, str]] = set()
    told: dict[tuple[str, str], dict[str, Any]] = {}
    for path in folder.glob("*.jsonl"):
        for text in path.read_text().splitlines():
            line = json.loads(text)
            if "asked" in line:
                asked.add((line["account"], line["asked"]))
            else:
                told[line["account"], line["told"]] = line
    db = apsw.Connection(str(folder / "hammer.db"), flags=apsw.SQLITE_OPEN_READONLY)
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for account, key, entry, amount in db.execute("select account, key, id, amount from entry where key is not null"):
        expect((account, key) not in found, f"{key} of {account} is there twice")
        found[account, key] = (entry, amount)
    for place, line in told.items():
        expect(place in found, f"{place} was acknowledged and is not there")
        entry, amount = found[place]
        expect(line["entry"] in (None, entry), f"{place} was told as {line['entry']} and is {entry}")
        expect(line["amount"] == amount, f"{place} was told as {line['amount']} and is {amount}")
    nobody = [p for p in found if p not in asked and not p[1].startswith("cli:start-")]
    expect(not nobody, f"nobody asked for {nobody[:5]}")
    for account, balance, total in db.execute(
        "select a.id, a.balance, (select sum(e.amount) from entry e "
        "where e.workspace = a.workspace and e.account = a.id) from account a"
    ):
        expect(balance == total, f"{account} has {balance}, its entries add up to {total}")
    db.close()
    return {"asked": len(asked), "acknowledged": len(told), "entries": len(found)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev hammer", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--workers", type=int, default=3)
    given = parser.parse_args()
    print(f"seed {given.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        result = hammer(
            Path(folder), kills=given.kills, seed=given.seed, workers=given.workers,
            say=lambda text: print(text, file=sys.stderr),
        )  # fmt: skip
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
