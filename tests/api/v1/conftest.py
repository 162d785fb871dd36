"""Fixtures for the tests of the native API."""

import pytest

from tests.api.serving import Server
from tests.api.v1.client import Client


@pytest.fixture
def client(server: Server) -> Client:
    """A client that may do everything."""
    return Client(server, server.new_key("admin"))


@pytest.fixture
def rich(client: Client, account: str) -> str:
    """An account with 100 credits, made through the native API."""
    client.grant(account)
    return account
