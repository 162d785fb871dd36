"""Stampedes on PostgreSQL: many clients want the same thing of two and of four processes at the same moment.

Whatever they want there is once: one charge of a key, one account, one grant of a payment, one end of a hold; and never
more credits are spent than there are. The long form: ./dev soak stampede.
"""

import http.client
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import pytest

from farthing.app import Ledger, open_ledger
from farthing.core.commands import (
    Command,
    Extend,
    GiveGrant,
    Lapse,
    PlaceHold,
    Refund,
    Release,
    Settle,
    TakeCharge,
)
from farthing.core.outcomes import Outcome
from farthing.core.records import Entry
from farthing.doctor import examine
from tests.hammer import Server, run_farthing, serving
from tests.postgres import TEMPLATE, Databases
from tests.support import UNIT, entry_of, hold_id

CLIENTS = 64
Told = tuple[int, dict[str, Any]]
_numbers = itertools.count()


@dataclass
class Herd:
    """Clients of several servers of one ledger."""

    url: str
    api_key: str
    servers: list[Server]
    ledger: Ledger

    def run(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[Told]:
        """All calls at once, each on a connection of its own, to the servers in turn; their answers in order."""
        return at_once([partial(self._call, n, *call) for n, call in enumerate(calls)])

    def _call(self, number: int, path: str, body: dict[str, Any]) -> Callable[[], Told]:
        port = self.servers[number % len(self.servers)].port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        headers = {"X-API-Key": self.api_key, "Content-Type": "application/json"}

        def ask() -> Told:
            connection.request("POST", f"/api/credits/{path}", json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            connection.close()
            return response.status, answer

        return ask

    def grant(self, account: str, credits: int) -> None:
        self.ledger.do(GiveGrant(workspace="main", account=account, amount=credits * UNIT))

    def entries(self, account: str) -> list[Entry]:
        """Oldest first."""
        return self.ledger.wait(self.ledger.reports.entries("main", account, limit=1_000))[::-1]

    def kinds(self, account: str) -> Counter[str]:
        return Counter(entry.kind for entry in self.entries(account))


def at_once(prepare: Sequence[Callable[[], Callable[[], Any]]]) -> list[Any]:
    """Prepare in threads; when all are prepared, do it at the same moment."""
    told: dict[int, Any] = {}
    gate = threading.Barrier(len(prepare))

    def run(number: int) -> None:
        act = prepare[number]()
        gate.wait(60)
        told[number] = act()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(prepare))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [told[number] for number in range(len(prepare))]


@pytest.fixture(scope="module")
def four(databases: Databases) -> Iterator[Herd]:
    """Four servers."""
    with four_servers(databases.make(TEMPLATE, keep=True)) as herd:
        yield herd


@contextmanager
def four_servers(url: str) -> Iterator[Herd]:
    """Of one ledger, which is sound in the end."""
    api_key = run_farthing("init", "--db", url)["api_key"]
    with serving(url, 4) as servers, open_ledger(url) as ledger:
        yield Herd(url, api_key, servers, ledger)
    assert examine(url).findings == []


@pytest.fixture(params=[2, 4], ids=["2 processes", "4 processes"])
def herd(four: Herd, request: pytest.FixtureRequest) -> Herd:
    return Herd(four.url, four.api_key, four.servers[: request.param], four.ledger)


@pytest.fixture
def account() -> str:
    return f"account-{next(_numbers)}"


def charge(account: str, event: str, amount: int = 1) -> tuple[str, dict[str, Any]]:
    body = {"account_id": account, "operation": "stampede", "amount": amount, "usage_event_id": event}
    return "deduct", body


def payment(account: str, transaction: str) -> tuple[str, dict[str, Any]]:
    source = {"productId": "p", "orderId": f"o-{transaction}", "transactionId": transaction}
    return "add", {"account_id": account, "amount": 3, "source": source}


def test_one_key_is_charged_once_and_all_are_told_the_same(herd: Herd, account: str):
    herd.grant(account, 100)
    told = herd.run([charge(account, f"once-{account}", amount=7)] * CLIENTS)
    assert {status for status, _ in told} == {200}
    assert all(answer["data"] == told[0][1]["data"] for _, answer in told)
    assert told[0][1]["data"]["newBalance"] == 93
    assert herd.kinds(account)["charge"] == 1


def test_one_key_for_two_amounts_is_charged_once_and_the_other_is_a_conflict(herd: Herd, account: str):
    herd.grant(account, 100)
    told = herd.run([charge(account, f"two-{account}", amount=1 + n % 2) for n in range(CLIENTS)])
    statuses = Counter(status for status, _ in told)
    assert statuses == {200: CLIENTS // 2, 409: CLIENTS // 2}
    assert herd.kinds(account)["charge"] == 1


def test_a_new_account_that_all_pay_into_is_opened_once_and_gets_every_payment(herd: Herd, account: str):
    told = herd.run([payment(account, f"{account}-{n}") for n in range(CLIENTS)])
    assert {status for status, _ in told} == {200}
    assert herd.kinds(account) == {"open": 1, "grant": CLIENTS}
    assert herd.entries(account)[-1].balance == 3 * CLIENTS * UNIT


def test_one_payment_is_credited_once_and_all_are_told_the_same(herd: Herd, account: str):
    told = herd.run([payment(account, f"one-{account}")] * CLIENTS)
    assert {status for status, _ in told} == {200}
    assert all(answer["data"] == told[0][1]["data"] for _, answer in told)
    assert herd.kinds(account) == {"open": 1, "grant": 1}


def test_one_payment_that_many_accounts_claim_is_credited_to_one(herd: Herd, account: str):
    accounts = [f"{account}-{n}" for n in range(CLIENTS)]
    told = herd.run([payment(name, f"many-{account}") for name in accounts])
    statuses = Counter(status for status, _ in told)
    assert statuses[200] == 1
    assert set(statuses) <= {200, 409}
    assert sum(herd.kinds(name)["grant"] for name in accounts) == 1


def test_the_last_credits_are_spent_once_and_never_below_zero(herd: Herd, account: str):
    herd.grant(account, 50)
    told = herd.run([charge(account, f"last-{account}-{n}") for n in range(200)])
    assert Counter(status for status, _ in told) == {200: 50, 402: 150}
    balances = [entry.balance for entry in herd.entries(account)]
    assert balances == [0, *(n * UNIT for n in range(50, -1, -1))]


def test_a_hold_that_many_confirm_and_cancel_ends_once(herd: Herd, account: str):
    herd.grant(account, 100)
    reserve = {"account_id": account, "operation": "stampede", "amount": 10, "validityMinutes": 5}
    [(status, held)] = herd.run([("reserve", reserve)])
    assert status == 200
    named = {"reservationId": held["data"]["reservationId"]}
    told = herd.run(
        [("confirm-reservation", {**named, "actualAmount": 4}), ("cancel-reservation", named)] * (CLIENTS // 2)
    )
    kinds = herd.kinds(account)
    assert kinds["settle"] + kinds["release"] == 1
    confirmed, cancelled = ({status for status, _ in told[n::2]} for n in (0, 1))
    # Those who wanted what has come to pass are all told so; the others are all refused.
    winners, losers = (confirmed, cancelled) if kinds["settle"] else (cancelled, confirmed)
    assert winners == {200}
    assert 200 not in losers
    last = herd.entries(account)[-1]
    assert (last.balance, last.held) == ((96 if kinds["settle"] else 100) * UNIT, 0)


def test_holds_that_end_while_they_are_settled_released_and_extended_end_once(four: Herd, account: str):
    """Four ledgers race against each other and against the moment at which the holds expire."""
    four.grant(account, 10_000)
    rng = random.Random(20261121)
    with ExitStack() as held:
        ledgers = [held.enter_context(open_ledger(four.url)) for _ in range(4)]
        for _ in range(12):
            placed = PlaceHold(workspace="main", account=account, amount=10 * UNIT, ttl=40_000, on_expiry="all")
            hold = hold_id(entry_of(ledgers[0].do(placed)))
            at_once([partial(later, rng, ledger, account, hold) for ledger in ledgers])
        time.sleep(0.05)
        ledgers[0].do(Lapse(workspace="main", account=account))
    entries = four.entries(account)
    ends = [entry for entry in entries if entry.kind in ("settle", "release", "expire")]
    assert len(ends) == 12
    assert {entry.amount for entry in ends} <= {0, -4 * UNIT, -10 * UNIT}
    last = entries[-1]
    assert (last.balance, last.held, last.debt) == (10_000 * UNIT + sum(e.amount for e in ends), 0, 0)


def test_one_refund_that_four_ledgers_are_asked_for_is_made_once_and_all_are_told_the_same(four: Herd, account: str):
    four.grant(account, 100)
    with ExitStack() as held:
        ledgers = [held.enter_context(open_ledger(four.url)) for _ in range(4)]
        for n in range(10):
            taken = entry_of(ledgers[0].do(TakeCharge(workspace="main", account=account, amount=5 * UNIT)))
            refund = Refund(workspace="main", account=account, charge=taken.id, key=f"refund-{n}")
            told = at_once([partial(same, ledger, refund) for ledger in ledgers * 4])
            assert {entry_of(outcome).id for outcome in told} == {entry_of(told[0]).id}
    assert four.kinds(account)["refund"] == 10
    assert four.entries(account)[-1].balance == 100 * UNIT


def same(ledger: Ledger, command: Command) -> Callable[[], Outcome]:
    """A command that others ask for as well."""
    own = msgspec.structs.replace(command)
    return lambda: ledger.do(own)


def later(rng: random.Random, ledger: Ledger, account: str, hold: str) -> Callable[[], Outcome]:
    """Something to be done to a hold about when it expires."""
    who: dict[str, Any] = {"workspace": "main", "account": account}
    command: Command = rng.choice(
        (
            Settle(**who, hold=hold, amount=4 * UNIT),
            Release(**who, hold=hold),
            Extend(**who, hold=hold, metered=UNIT),
            Lapse(**who),
        )
    )
    wait = rng.uniform(0, 0.06)

    def act() -> Outcome:
        time.sleep(wait)
        return ledger.do(command)

    return act


STAMPEDES: tuple[Callable[[Herd, str], None], ...] = (
    test_one_key_is_charged_once_and_all_are_told_the_same,
    test_one_key_for_two_amounts_is_charged_once_and_the_other_is_a_conflict,
    test_a_new_account_that_all_pay_into_is_opened_once_and_gets_every_payment,
    test_one_payment_is_credited_once_and_all_are_told_the_same,
    test_one_payment_that_many_accounts_claim_is_credited_to_one,
    test_the_last_credits_are_spent_once_and_never_below_zero,
    test_a_hold_that_many_confirm_and_cancel_ends_once,
    test_holds_that_end_while_they_are_settled_released_and_extended_end_once,
    test_one_refund_that_four_ledgers_are_asked_for_is_made_once_and_all_are_told_the_same,
)
"""All of them, for the long form."""
