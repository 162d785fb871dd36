"""A ledger that ages, on each database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from farthing.stores.doctor_postgres import PostgresSource
from tests.retention.aging import Aging


@pytest.fixture(params=["sqlite", "postgres"])
def aging(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aging]:
    """A fresh one on each database."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        # Laying all migrations anew takes longer than all else that doctor does to a few accounts.
        monkeypatch.setattr(PostgresSource, "schema_differences", lambda _: iter(()))
    made = Aging(url, tmp_path / "archive")
    yield made
    made.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Aging]:
    """One on a file, for what is the same on every database."""
    made = Aging(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "archive")
    yield made
    made.close()
