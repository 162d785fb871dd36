"""What tests of partitions share: short time-outs, a server that has them, and a storm on the way to the database.

The storm: callers charge through two ledgers, one behind the proxy and one beside it, and ask again with the same key
until they are told, while the network makes holes, drops, delays and cuts, also exactly at a COMMIT. In the end each
key must be there exactly once, as it was told.
"""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from farthing import engine
from farthing.app import Ledger
from farthing.core.commands import GiveGrant, TakeCharge
from farthing.core.outcomes import Accepted
from farthing.core.records import Entry, Workspace, WorkspaceSettings
from farthing.doctor import examine
from farthing.stores import postgres_link
from farthing.stores.access import Act
from farthing.stores.contract import StoreError
from farthing.stores.postgres_sync import SyncConnection
from tests.proxy import Proxy

UNIT = 1_000_000
ACCOUNTS = ("alice", "bob", "carl")
PATIENCE_SECONDS = 60
"""Of callers: longer than any answer takes, however slow the machine is."""
QUICK = {
    "lock_timeout": "400ms",
    "statement_timeout": "800ms",
    "idle_in_transaction_session_timeout": "1s",
    "tcp_user_timeout": "1s",
}
SET = Callable[[Any, str, Any], None]


def make_quick(patch: SET = setattr, unknown_for: float = 3.0) -> None:
    """Time-outs about ten times shorter than in earnest, in the same order of length."""
    patch(postgres_link, "SETTINGS", {**postgres_link.SETTINGS, **QUICK})
    patch(postgres_link, "ANSWER_SECONDS", 1.0)
    patch(postgres_link, "CONNECT_SECONDS", 1.0)
    patch(engine, "UNKNOWN_FOR_SECONDS", unknown_for)


def make_patient(patch: SET = setattr, lock_timeout: str = "50s") -> None:
    """Time-outs so long that only a lock that a test holds can be the reason for one, however busy the machine is."""
    patient = {"lock_timeout": lock_timeout, "statement_timeout": "55s", "idle_in_transaction_session_timeout": "60s"}
    patch(postgres_link, "SETTINGS", {**postgres_link.SETTINGS, **patient})
    patch(postgres_link, "ANSWER_SECONDS", 60.0)


QUICK_FARTHING = [
    sys.executable, "-c", "from tests.partition import make_quick; make_quick(); from farthing.cli import main; main()",
]  # fmt: skip
"""The program with short time-outs, to be run in the repository's root."""


def fill(ledger: Ledger) -> None:
    """A workspace, and accounts with more than can be spent."""
    workspace = Workspace("main", "Main", "test", "credits", 6, 1, WorkspaceSettings())
    ledger.wait(ledger.access.create_workspace(workspace, Act("test", 1)))
    for account in ACCOUNTS:
        ledger.do(GiveGrant(workspace="main", account=account, amount=10_000_000 * UNIT))


@dataclass
class Storm:
    """Callers, and what they were told."""

    ledgers: Sequence[Ledger]
    seed: int
    told: dict[tuple[str, str], str] = field(default_factory=dict)
    """The entry by account and key."""
    failures: Counter[str] = field(default_factory=Counter)
    asked: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._broken: list[BaseException] = []

    def run(self, nemesis: Callable[[random.Random], str], seconds: float, callers: int = 8) -> Counter[str]:
        """Let the callers charge while the nemesis acts; what it did, and how often."""
        threads = [threading.Thread(target=self._call, args=(n,)) for n in range(callers)]
        for thread in threads:
            thread.start()
        did: Counter[str] = Counter()
        rng = random.Random(f"{self.seed}:nemesis")
        ends = time.monotonic() + seconds
        try:
            while time.monotonic() < ends and not self._broken:
                did[nemesis(rng)] += 1
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._broken:
            raise self._broken[0]
        return did

    def _call(self, caller: int) -> None:
        rng = random.Random(f"{self.seed}:{caller}")
        number = 0
        try:
            while not self._stop.is_set():
                number += 1
                self._charge(rng, rng.choice(ACCOUNTS), f"key-{caller}-{number}")
        except BaseException as error:  # told by the thread that waits for this one
            self._broken.append(error)

    def _charge(self, rng: random.Random, account: str, key: str) -> None:
        first = self._until_told(rng, account, key)
        self.told[account, key] = first.id
        if rng.random() < 0.2:
            again = self._until_told(rng, account, key)
            assert again == first, f"{key} was told as {first} and then as {again}"

    def _until_told(self, rng: random.Random, account: str, key: str) -> Entry:
        """Ask, any of the ledgers each time, until there is an answer."""
        while True:
            self.asked += 1
            command = TakeCharge(workspace="main", account=account, amount=UNIT, key=key)
            try:
                outcome = rng.choice(self.ledgers).do(command, timeout=PATIENCE_SECONDS)
            except StoreError as error:
                self.failures[str(error) if "no answer in time" in str(error) else error.code] += 1
                time.sleep(0.02 * rng.random())
            else:
                assert isinstance(outcome, Accepted), outcome
                assert outcome.entry is not None
                return outcome.entry

    def verify(self, url: str) -> None:
        """Each key is there once, as it was told; nothing else is. Doctor has nothing to say."""
        with SyncConnection(url) as db:
            found = db.rows("select account, key, id from entry where kind = 'charge'")
        by_key = {(account, key): id for account, key, id in found}
        assert len(found) == len(by_key), "a key was charged twice"
        assert by_key == self.told
        assert examine(url).findings == []
        assert not [what for what in self.failures if "no answer in time" in what], "the engine must give up by itself"


def network_trouble(proxy: Proxy, longest: float = 3.0) -> Callable[[random.Random], str]:
    """One failure of the network after another, up to so many seconds long, with calm between them."""

    def act(rng: random.Random) -> str:
        what = rng.choice(("hole", "hole up", "hole down", "cut", "slow", *AT_COMMIT))
        if what.startswith("hole") and what not in AT_COMMIT:
            proxy.hole(*HOLES[what])
        elif what == "cut":
            proxy.cut()
        elif what == "slow":
            proxy.delay(0.03 * rng.random())
        else:
            proxy.at_commit(what)
        # Now and then longer than all time-outs, mostly much shorter.
        time.sleep(longest * rng.random() ** 3)
        proxy.heal()
        proxy.delay(0)
        time.sleep(rng.uniform(0.05, 0.5))
        return what

    return act


AT_COMMIT: Sequence[Any] = ("cut before", "cut after", "hole before", "hole after")
HOLES: dict[str, Sequence[Any]] = {"hole": (), "hole up": ("up",), "hole down": ("down",)}
