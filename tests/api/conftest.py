"""Fixtures for the tests of the HTTP faces: one server for all tests of a file, which use accounts of their own."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.api.serving import Server

_numbers = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def account() -> str:
    """An account that no other test uses; nobody has made it."""
    return f"account-{next(_numbers)}"


@pytest.fixture
def funded(server: Server, account: str) -> str:
    """An account with 100 credits."""
    server.add(account, 100)
    return account
