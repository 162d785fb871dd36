"""The long forms of the random tests: `./dev soak [FORM ...] [--seed N] [--steps N] ...`; without a form, all of them.

The seed is printed first, so that a failure can be met again. To add a form, write a function that takes the options
and the seed, tells its progress by `say`, and raises when something is wrong; give it `@long_form`.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farthing.app import open_ledger
from farthing.backends import backend_of
from farthing.core.catalogue import Provider
from farthing.fakes.models import Remote
from tests.api import fuzz
from tests.commerce.orders import storm as sell
from tests.conftest import make_template
from tests.hammer import FARTHING, hammer, postgres_anvil
from tests.jobs.storm import storm
from tests.llm import apart
from tests.llm.streams import storm as stream
from tests.model.twin import MakeBook
from tests.model.walk import Walk, on_both, on_sqlite
from tests.outbox import javascript
from tests.outbox.storm import storm as post
from tests.partition import Storm, fill, make_quick, network_trouble
from tests.postgres import TEMPLATE, Databases, cluster
from tests.proxy import Proxy
from tests.test_stampede import STAMPEDES, four_servers

Run = Callable[[argparse.Namespace, int], None]


@dataclass(frozen=True)
class LongForm:
    """One long test."""

    name: str
    what: str
    run: Run
    options: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Its numbers: name -> default, and what it is."""


LONG_FORMS: dict[str, LongForm] = {}


def long_form(name: str, what: str, **options: tuple[int, str]) -> Callable[[Run], Run]:
    """Register a long form with the numbers it takes."""

    def add(run: Run) -> Run:
        LONG_FORMS[name] = LongForm(name, what, run, options)
        return run

    return add


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


@long_form(
    "model",
    "the ledger against a plain model, step by step",
    steps=(500_000, "steps to take"),
    walk=(-1, "take only this walk of the seed, telling each step"),
)
def walk_with_the_model(options: argparse.Namespace, seed: int) -> None:
    """Many walks of different lengths; each has a seed of its own, made from the first and its number."""
    met: Counter[str] = Counter()
    if options.walk >= 0:
        one_walk(seed, options.walk, met, aloud=True)
        return
    number, told = 0, time.monotonic()
    while met["steps"] < options.steps:
        one_walk(seed, number, met)
        number += 1
        if time.monotonic() - told > 10:
            told = time.monotonic()
            say(f"model: {met['steps']:,} steps, {met['commands']:,} commands in {number:,} walks")
    for what, count in sorted(met.items()):
        say(f"model: {count:>9,} {what}")


def one_walk(
    seed: int, number: int, met: Counter[str], aloud: bool = False, make_book: Callable[[Path], MakeBook] = on_sqlite
) -> None:  # fmt: skip
    """One walk on a ledger of its own; on failure it says how to take it again, and what happened last."""
    rng = random.Random(f"{seed}:{number}")
    last: deque[str] = deque(maxlen=8)
    note = say if aloud else last.append
    with tempfile.TemporaryDirectory() as folder:
        walk = Walk(make_book(Path(folder) / "ledger.db"), note)
        try:
            # Mostly short ones; long ones have many holds, charges and keys.
            for _ in range(rng.choice((50, 200, 200, 200, 200, 1_000))):
                walk.step(rng.randbytes(96))
            walk.finish()
        except BaseException:
            say("\n".join(last))
            say(f"model: failed in step {walk.met['steps']}; again: ./dev soak model --seed {seed} --walk {number}")
            raise
        finally:
            met.update(walk.met)
            walk.close()


@long_form("model-on-both", "the same, with SQLite and PostgreSQL side by side", both=(100_000, "steps to take"))
def walk_on_both(options: argparse.Namespace, seed: int) -> None:
    """Walks on a file and on a database, compared with the model and with each other, down to the last row."""
    met: Counter[str] = Counter()
    number, told = 0, time.monotonic()
    with postgres_databases() as databases:

        def both(path: Path) -> MakeBook:
            return on_both(path, databases.make(TEMPLATE))

        while met["steps"] < options.both:
            one_walk(seed, number, met, make_book=both)
            number += 1
            if time.monotonic() - told > 10:
                told = time.monotonic()
                say(f"model-on-both: {met['steps']:,} steps in {number:,} walks")
    say(f"model-on-both: {met['commands']:,} commands, {met['rows that are the same on both']:,} rows are the same")


@contextmanager
def postgres_databases() -> Iterator[Databases]:
    """A cluster of its own, with a template."""
    with cluster() as made:
        make_template(made)
        databases = Databases(made)
        yield databases
        databases.close()


@long_form(
    "hammer",
    "processes charging while the server is killed",
    kills=(300, "times to kill the server"),
    callers=(3, "processes that charge"),
)
def hammer_for_long(options: argparse.Namespace, seed: int) -> None:
    """The hammer with many kills."""
    with tempfile.TemporaryDirectory() as folder:
        result = hammer(Path(folder), kills=options.kills, seed=seed, callers=options.callers, say=say)
    say(f"hammer: {result}")


@long_form(
    "hammer-postgres",
    "the same on PostgreSQL: servers and the database are killed, then workers of one server",
    blows=(100, "times to kill something, of servers and then of workers"),
    processes=(4, "servers, and then workers of one server"),
)
def hammer_on_postgres_for_long(options: argparse.Namespace, seed: int) -> None:
    """The hammer on servers of their own ports, and on one with workers."""
    several: dict[str, Any] = {"processes": options.processes}
    one: dict[str, Any] = {"options": ("--workers", str(options.processes))}
    for how in (several, one):
        with tempfile.TemporaryDirectory() as folder, postgres_anvil() as anvil:
            result = hammer(Path(folder), kills=options.blows, seed=seed, anvil=anvil, say=say, **how)
        say(f"hammer-postgres: {how}: {result}")


@long_form("stampede", "many clients want the same of four servers at once", rounds=(200, "times for each stampede"))
def stampede_for_long(options: argparse.Namespace, seed: int) -> None:
    """Each stampede again and again, on new accounts; which clients come first is up to the machine."""
    with postgres_databases() as databases, four_servers(databases.make(TEMPLATE)) as herd:
        for number in range(options.rounds):
            for act in STAMPEDES:
                act(herd, f"{act.__name__}-{number}")
        say(f"stampede: {options.rounds} rounds of {len(STAMPEDES)}")


@long_form("partition", "a storm on the way to PostgreSQL, which is killed as well", seconds=(300, "how long it lasts"))
def partition_for_long(options: argparse.Namespace, seed: int) -> None:
    """Holes, cuts and delays, also exactly at a COMMIT; now and then another database server at the same address."""
    make_quick()
    with cluster(database="storm") as made:
        backend_of(made.dsn).migrate()
        with open_ledger(made.dsn) as direct, Proxy(made.dsn) as proxy:
            fill(direct)
            trouble = network_trouble(proxy)

            def nemesis(rng: random.Random) -> str:
                if rng.random() < 0.9:
                    return trouble(rng)
                made.restart("immediate")
                return "restart"

            with open_ledger(proxy.url) as ledger:
                storm = Storm((ledger, direct), seed)
                did = storm.run(nemesis, options.seconds)
            storm.verify(made.dsn)
        say(f"partition: {len(storm.told):,} keys told, {storm.asked:,} times asked; {dict(did)}; {storm.failures}")


@long_form(
    "document",
    "requests made from the OpenAPI documents, by schemathesis",
    examples=(200, "examples for each operation"),
)
def fuzz_the_document(options: argparse.Namespace, seed: int) -> None:
    """Every operation of every face, each on a ledger of its own."""
    for operation in fuzz.OPERATIONS:
        with tempfile.TemporaryDirectory() as folder, fuzz.served(Path(folder)) as server:
            found = fuzz.Fuzz(server, operation).run(options.examples, seed)
        say(f"document: {operation}: {len(found)} found")
        if found:
            raise AssertionError("\n\n".join(found))


@long_form(
    "renewals",
    "`farthing renew` side by side, killed again and again: on PostgreSQL, and a fifth of it on SQLite",
    due=(100_000, "accounts to renew"),
    killed=(20, "times to kill a process that renews"),
)
def renew_for_long(options: argparse.Namespace, seed: int) -> None:
    """Each period once, whoever is killed."""
    rng = random.Random(seed)
    with cluster(database="storm") as made:
        told = storm(made.dsn, options.due, options.killed, 2, rng, say)
    say(f"renewals: on PostgreSQL: {told}")
    with tempfile.TemporaryDirectory() as folder:
        told = storm(f"sqlite:///{folder}/storm.db", options.due // 5, options.killed, 2, rng, say)
    say(f"renewals: on SQLite: {told}")


@long_form(
    "orders",
    "orders at either provider of payments while the server is killed, on both databases",
    orders=(1_000, "orders at each"),
    ends=(10, "times to kill the server"),
)
def sell_for_long(options: argparse.Namespace, seed: int) -> None:
    """The ledger equals the provider's books, whoever is killed."""
    rng = random.Random(seed)
    providers: tuple[Provider, ...] = ("digistore24", "stripe")
    for provider in providers:
        with tempfile.TemporaryDirectory() as folder:
            told = sell(f"sqlite:///{folder}/orders.db", provider, options.orders, options.ends, rng, say)
        say(f"orders: {provider} on SQLite: {told}")
        with cluster(database="orders") as made:
            told = sell(made.dsn, provider, options.orders, options.ends, rng, say)
        say(f"orders: {provider} on PostgreSQL: {told}")


@long_form(
    "streams",
    "metered streams at once, a third of them cut",
    streams=(1_000, "streams to begin at once"),
    storms=(9, "times to do so, in one process"),
)
def stream_for_long(options: argparse.Namespace, seed: int) -> None:
    """The ledger equals the books of the provider of models, to the unit; and the memory stays what it was."""
    with tempfile.TemporaryDirectory() as folder, models_beside(seed) as remote:
        remote.be_patient(600)
        ended = asyncio.run(stream(Path(folder), remote, options.streams, seed, say, options.storms))
    say(f"streams: {dict(ended)}, all charged as they were billed")


@contextmanager
def models_beside(seed: int) -> Iterator[Remote]:
    """A stand-in for models in a process of its own, whose books take no memory of this one."""
    words = ["fakes", "models", "--port", "0", "--seed", str(seed), "--json"]
    with subprocess.Popen([*FARTHING, *words], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            remote = Remote(json.loads(program.stdout.readline())["listening"])
            yield remote
            remote.close()
        finally:
            program.terminate()


@long_form(
    "webhooks",
    "workers that send events, side by side, killed again and again, on both databases",
    events=(20_000, "events to send"),
    slain=(100, "times to kill a worker"),
)
def post_for_long(options: argparse.Namespace, seed: int) -> None:
    """Each event at least once, whoever is killed."""
    rng = random.Random(seed)
    how: dict[str, Any] = {"leaves": 0.01, "words": [*FARTHING, "worker"]}
    with tempfile.TemporaryDirectory() as folder:
        told = post(f"sqlite:///{folder}/post.db", options.events, options.slain, 2, rng, say, **how)
    say(f"webhooks: on SQLite: {told}")
    with cluster(database="post") as made:
        told = post(made.dsn, options.events, options.slain, 2, rng, say, **how)
    say(f"webhooks: on PostgreSQL: {told}")
    with cluster(database="post") as made:
        told = post(made.dsn, options.events, options.slain, 2, rng, say, accounts=50, **how)
    say(f"webhooks: on PostgreSQL, each account in its order: {told}")


@long_form(
    "webhooks-js",
    "what we sign, verified by the JavaScript library of Standard Webhooks and by the lines of our page about webhooks "
    "(needs node and npm, which gets it)",
    messages=(1_000, "messages to verify"),
)
def verify_in_javascript(options: argparse.Namespace, seed: int) -> None:
    """Bodies and secrets by chance; what was changed on its way must not be taken."""
    with tempfile.TemporaryDirectory() as folder:
        told = javascript.verify(Path(folder), options.messages, random.Random(seed))
    say(f"webhooks-js: {told}")


@long_form("litellm", "our callback with LiteLLM, in an environment of its own (which pip makes)")
def try_litellm(options: argparse.Namespace, seed: int) -> None:
    """It holds OpenAI's library below what all other tests need."""
    with tempfile.TemporaryDirectory() as folder:
        say(f"litellm: {apart.trial(Path(folder))}")


def main(words: list[str]) -> int:
    """Run the forms that are named, one after another."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument(
        "forms", nargs="*", metavar="FORM", help="; ".join(f"{f.name}: {f.what}" for f in LONG_FORMS.values())
    )
    parser.add_argument("--seed", type=int, help="a number that makes the same choices again")
    for form in LONG_FORMS.values():
        for name, (default, what) in form.options.items():
            parser.add_argument(f"--{name}", type=int, default=default, help=f"{form.name}: {what} ({default})")
    options = parser.parse_args(words)
    if unknown := [name for name in options.forms if name not in LONG_FORMS]:
        parser.error(f"no such form: {', '.join(unknown)}; there are {', '.join(LONG_FORMS)}")
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    for name in options.forms or LONG_FORMS:
        began = time.monotonic()
        LONG_FORMS[name].run(options, seed)
        print(f"{name}: ok after {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
