"""Fixtures of the tests of stores: one ledger on each database for all tests of a file; these use own accounts."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.postgres import TEMPLATE
from tests.stores.shop import Shop

_numbers = count()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('directory') / 'ledger.db'}"
    else:
        url = request.getfixturevalue("databases").make(TEMPLATE, keep=True)
    shop = Shop(url)
    yield shop
    shop.ledger.close()


@pytest.fixture
def account() -> str:
    """An account that no other test uses."""
    return f"account-{next(_numbers)}"
