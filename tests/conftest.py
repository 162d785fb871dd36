"""Fixtures for all tests: a fresh ledger on a SQLite file, its clock, a way to play commands on it; PostgreSQL."""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from farthing.clock import FakeClock
from farthing.core.commands import Command
from farthing.core.outcomes import Outcome
from farthing.stores import migrate
from tests.memory import put_files_in_memory
from tests.postgres import TEMPLATE, Cluster, Databases, Shared, cluster
from tests.support import START_US, Book

# How long it takes to make an example up, and to try it, is the machine's affair.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

_run: list[Shared] = []
"""The run that this process began: empty in a worker, which belongs to another's."""


def pytest_configure(config: pytest.Config) -> None:
    """Say through the environment whose run this is, and where its files are best put; a cluster is brought up only
    when a test asks for it."""
    if not hasattr(config, "workerinput"):
        compile_once()
        let_ctrl_c_through()
        put_files_in_memory()
        _run.append(Shared.begin())


def compile_once() -> None:
    """Let the workers, and the programs that tests start, keep what they compile: each would do it again for nearly
    a second where the shell says PYTHONDONTWRITEBYTECODE."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def let_ctrl_c_through() -> None:
    """Whoever runs the tests in the background may have taken Ctrl+C from them, and so from all that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """End what the run has brought up."""
    while _run:
        _run.pop().end()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until a test moves it."""
    return FakeClock(START_US)


@pytest.fixture
def book(tmp_path: Path, clock: FakeClock) -> Iterator[Book]:
    """A fresh ledger in a file of its own, with the workspace `main`."""
    book = Book(tmp_path / "ledger.db", clock=clock)
    yield book
    book.close()


@pytest.fixture
def play(book: Book) -> Callable[[Iterable[Command]], list[Outcome]]:
    """Plays commands on the book, each as a batch of one."""
    return book.play


# PostgreSQL


@pytest.fixture(scope="session")
def postgres() -> Cluster:
    """The cluster that all tests of a run share: make databases in it, but never stop it."""
    return Shared.join().get(make_template)


def make_template(postgres: Cluster) -> None:
    """Make the migrated database that every fresh one is a copy of."""
    from farthing.stores.postgres_sync import SyncConnection

    postgres.sql(f"create database {TEMPLATE}")
    db = SyncConnection(postgres.dsn_of(TEMPLATE))
    migrate.migrate(db, migrate.discover("postgres"), START_US)
    db.close()


@pytest.fixture(scope="session")
def databases(postgres: Cluster) -> Iterator[Databases]:
    """Makes databases in the shared cluster."""
    made = Databases(postgres)
    yield made
    made.close()


@pytest.fixture
def postgres_url(databases: Databases) -> str:
    """A fresh database of PostgreSQL, migrated, without a workspace."""
    return databases.make(TEMPLATE)


@pytest.fixture
def postgres_empty_url(databases: Databases) -> str:
    """A fresh database of PostgreSQL in which nothing is."""
    return databases.make("template0")


@pytest.fixture
def postgres_cluster() -> Iterator[Cluster]:
    """A cluster for one test alone, over TCP too: to be killed, stopped and started."""
    with cluster(tcp=True) as made:
        yield made
