"""Fixtures for all tests: a fresh ledger on a SQLite file, its clock, and a way to play commands on it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from farthing.clock import FakeClock
from farthing.core.commands import Command
from farthing.core.outcomes import Outcome
from tests.support import START_US, Book


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
