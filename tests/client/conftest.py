"""Fixtures for the tests of the client: the same ones on a file, on PostgreSQL and over HTTP, for both kinds."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.api.serving import Server
from tests.client.driving import Place, serve
from tests.postgres import TEMPLATE

_numbers = count()
PLACES = [f"{kind}-{where}" for where in ("sqlite", "postgres", "http") for kind in ("sync", "async")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where the ledger is."""
    kind, where = request.param.split("-")
    if where == "http":
        server: Server = request.getfixturevalue("server")
        place = Place(kind, f"http://127.0.0.1:{server.port}", api_key=server.new_key("admin"))
    elif where == "postgres":
        place = Place(kind, request.getfixturevalue("databases").make(TEMPLATE, keep=True))
    else:
        place = Place(kind, f"sqlite:///{tmp_path_factory.mktemp('ledger')}/credits.db")
    yield place
    place.close()


@pytest.fixture(scope="module")
def client(place: Place) -> Any:
    """A client; all tests of a file share it, with accounts of their own."""
    return place.open()


@pytest.fixture
def account() -> str:
    """An account that no other test uses; nobody has made it."""
    return f"account/{next(_numbers)} & co."


@pytest.fixture
def rich(client: Any, account: str) -> str:
    """An account with 100 credits."""
    client.grant(account, 100)
    return account
