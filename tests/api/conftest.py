"""Fixtures for the tests of the HTTP faces: one server for all tests of a file, which use accounts of their own.

A file whose tests are to be run on both databases says so: `BOTH_DATABASES = True`.
"""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.api.serving import Server
from tests.postgres import TEMPLATE

_numbers = count()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Twice, where the file asks for it: on SQLite and on PostgreSQL."""
    if getattr(metafunc.module, "BOTH_DATABASES", False) and "server" in metafunc.fixturenames:
        metafunc.parametrize("server", ["sqlite", "postgres"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    postgres = getattr(request, "param", "sqlite") == "postgres"
    url = request.getfixturevalue("databases").make(TEMPLATE, keep=True) if postgres else ""
    with Server(tmp_path_factory.mktemp("served"), url=url) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def fresh_url(request: pytest.FixtureRequest) -> str:
    """Where a test that needs a server of its own puts the ledger: in its folder (empty), or on PostgreSQL."""
    return request.getfixturevalue("databases").make(TEMPLATE) if request.param == "postgres" else ""


@pytest.fixture
def account() -> str:
    """An account that no other test uses; nobody has made it."""
    return f"account-{next(_numbers)}"


@pytest.fixture
def funded(server: Server, account: str) -> str:
    """An account with 100 credits."""
    server.add(account, 100)
    return account
