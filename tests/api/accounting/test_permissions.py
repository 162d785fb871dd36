"""Who may do what in the accounting dialect and at the login service: every call with every role, made from the tables
themselves."""

import re
from typing import Any

import pytest

from farthing.api.accounting.face import ENDPOINTS
from farthing.api.endpoint import Endpoint
from farthing.api.login.calls import call
from farthing.api.login.face import ENDPOINTS as LOGIN_ENDPOINTS
from farthing.core.people import ROLES, Role
from farthing.identity.permissions import ACCOUNTING, FOR_ALL, LOGIN, rank
from tests.api.accounting.people import Person, somebody, told
from tests.api.serving import Answer, Server

CALLS = {endpoint.operation_id: endpoint for endpoint in ENDPOINTS}
LOGIN_CALLS = {e.operation_id: e for e in LOGIN_ENDPOINTS if e.scope.startswith("role:")}
RAISED = {"role": "admin", "roles": ["admin"], "sub": "admin", "scope": "admin", "actor": "user:admin"}
"""What no call has a field for."""
TOO_LOW = {"supervisor": "Supervisor access required", "admin": "Admin access required"}


def ask(endpoint: Endpoint, asker: Person, about: Person, **more: Any) -> Answer:
    """A call that works, about somebody."""
    body = dict(endpoint.example) | more
    body |= {"userId": about.id} if "userId" in body else {}
    body |= {"email": f"{about.id}@example.com"} if "email" in body else {}
    path = re.sub(r"\{\w+\}", about.id, endpoint.path).removeprefix("/api/")
    return asker.send(endpoint.method, path, None if endpoint.request is None else body)


@pytest.fixture(scope="module")
def people(server: Server, trusted: None) -> dict[str, Person]:
    """One of each role, all of whom have something, and somebody whom they ask about."""
    admin = somebody(server, "admin")
    found = {"admin": admin, "supervisor": somebody(server, "supervisor"), "user": somebody(server)}
    found["other"] = somebody(server)
    for person in found.values():
        admin.allocate(person, 1000)
    return found


def state(server: Server) -> list[Any]:
    """All that a call could change."""
    return [server.sql(f"select count(*) from {table}") for table in ("entry", "audit", "users", "usage", "hold")]


def test_every_call_of_the_table_is_there_and_every_call_stands_in_the_table():
    assert CALLS.keys() == ACCOUNTING.keys()
    assert LOGIN_CALLS.keys() == LOGIN.keys()
    assert {e.operation_id for e in LOGIN_ENDPOINTS} - LOGIN_CALLS.keys() == FOR_ALL


def test_a_call_that_stands_in_no_table_can_not_be_made():
    with pytest.raises(KeyError):
        call("forgottenCall")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", ACCOUNTING)
def test_a_role_may_do_what_the_table_says(server: Server, people: dict[str, Person], name: str, role: Role):
    before, least = state(server), ACCOUNTING[name]
    answer = ask(CALLS[name], people[role], people["other"], **RAISED)
    if rank(role) >= rank(least):
        assert answer.status not in (401, 403), answer.raw
        return
    assert told(answer) == (403, TOO_LOW[least])
    assert state(server) == before


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", LOGIN)
def test_a_role_may_do_at_the_login_service_what_the_table_says(server: Server, name: str, role: Role):
    person, about, least = somebody(server, role), somebody(server), LOGIN[name]
    before = state(server)
    answer = ask(LOGIN_CALLS[name], person, about)
    if rank(role) >= rank(least):
        assert answer.status not in (401, 403), answer.raw
        return
    assert answer.status == 403
    assert answer.json["error"] == TOO_LOW[least]
    assert state(server) == before


@pytest.mark.parametrize("name", ACCOUNTING)
def test_nothing_of_another_workspace_is_seen_or_moved(server: Server, people: dict[str, Person], name: str):
    other = people["other"]
    before = server.entries(other.id)
    stranger = somebody(server, "admin", "other")
    answer = ask(CALLS[name], stranger, other)
    if answer.status == 404:
        told(answer)
    else:
        assert other.id not in answer.raw.decode()
        assert f"name-of-{other.id}" not in answer.raw.decode()
    assert server.entries(other.id) == before
    assert server.entries(other.id, "other") == []


@pytest.mark.parametrize("name", ACCOUNTING)
def test_without_a_token_or_with_an_api_key_in_its_place_nothing_is_done(
    server: Server, people: dict[str, Person], name: str
):
    endpoint, before = CALLS[name], state(server)
    path = re.sub(r"\{\w+\}", people["other"].id, endpoint.path)
    for headers in ({}, {"Authorization": f"Bearer {server.key}"}):
        answer = server.send(endpoint.method, path, b"{}", headers)
        assert answer.status == 401
        assert answer.message
    assert state(server) == before


def test_a_role_counts_as_the_newest_token_says(server: Server):
    person = somebody(server)
    assert told(person.send("GET", "credits/allocations/all")) == (403, "Supervisor access required")
    person.role = "supervisor"
    assert person.send("GET", "credits/allocations/all").status == 200
    person.role = "user"
    assert person.send("GET", "credits/allocations/all").status == 403


@pytest.mark.parametrize("role", ["enduser", "root", "", "Admin", "ADMIN"])
def test_any_other_role_is_that_of_a_user(server: Server, role: str):
    person = somebody(server, seen=False)
    person.role = role
    assert person.total == 0
    assert told(person.send("GET", "credits/allocations/all")) == (403, "Supervisor access required")
