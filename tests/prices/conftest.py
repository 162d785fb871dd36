"""Fixtures of the tests of prices: a ledger on each database for all tests of a file, and sample catalogue files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farthing.stores.prices import PriceStore
from tests.postgres import TEMPLATE
from tests.stores.shop import Shop

DATA = Path(__file__).with_name("data")


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """A ledger whose catalogue is empty."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        url = request.getfixturevalue("databases").make(TEMPLATE)
    shop = Shop(url)
    yield shop
    shop.ledger.close()


@pytest.fixture
def store(shop: Shop) -> PriceStore:
    return PriceStore(shop.ledger.database)


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    """The bytes of a sample file."""
    return lambda name: (DATA / name).read_bytes()
