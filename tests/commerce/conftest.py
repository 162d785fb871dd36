"""A shop on SQLite, and on PostgreSQL."""

from pathlib import Path

import pytest

from farthing.clock import FakeClock
from tests.commerce.shop import Shop


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Shop:
    """Not opened yet: each test opens it on its own event loop."""
    if request.param == "sqlite":
        return Shop(f"sqlite:///{tmp_path / 'shop.db'}", clock)
    return Shop(request.getfixturevalue("postgres_url"), clock)
