"""A club of subscribers on SQLite, and on PostgreSQL."""

from pathlib import Path

import pytest

from farthing.clock import FakeClock
from tests.jobs.subscribers import Club


@pytest.fixture(params=["sqlite", "postgres"])
def club(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Club:
    """Not opened yet: each test opens it on its own event loop."""
    if request.param == "sqlite":
        return Club(f"sqlite:///{tmp_path / 'club.db'}", clock)
    return Club(request.getfixturevalue("postgres_url"), clock)
