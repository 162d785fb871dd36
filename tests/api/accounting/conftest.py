"""Fixtures for the tests of the accounting dialect: people of each role, whom no other test knows."""

import pytest

from tests.api.accounting.people import Person, somebody, trust
from tests.api.serving import Server


@pytest.fixture(scope="module", autouse=True)
def trusted(server: Server) -> None:
    """Tokens of two auth services are taken."""
    trust(server)


@pytest.fixture
def user(server: Server) -> Person:
    return somebody(server)


@pytest.fixture
def boss(server: Server) -> Person:
    """A supervisor."""
    return somebody(server, "supervisor")


@pytest.fixture
def admin(server: Server) -> Person:
    return somebody(server, "admin")


@pytest.fixture
def rich(user: Person, boss: Person) -> Person:
    """A user with 100 credits for 30 days."""
    boss.allocate(user)
    return user
