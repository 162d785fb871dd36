"""A post office on SQLite, and on PostgreSQL."""

from pathlib import Path

import pytest

from farthing.clock import FakeClock
from tests.outbox.office import Office


@pytest.fixture(params=["sqlite", "postgres"])
def office(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Office:
    """Not opened yet: each test opens it on its own event loop."""
    if request.param == "sqlite":
        return Office(f"sqlite:///{tmp_path / 'office.db'}", clock)
    return Office(request.getfixturevalue("postgres_url"), clock)


@pytest.fixture
def small(tmp_path: Path, clock: FakeClock) -> Office:
    """One on SQLite, for what has nothing to do with the database."""
    return Office(f"sqlite:///{tmp_path / 'office.db'}", clock)
