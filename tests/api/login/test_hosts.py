"""Whose login service is meant: by the name of the host, else the only one."""

import pytest

from farthing.stores.acts import AccessError
from tests.api.login.visitors import PASSWORD, Visitor, make_user, told
from tests.api.serving import ME, Server, wait_for

UNCLEAR = (
    404,
    "Several workspaces have a login service, and none of them this host name: set login_host for each of them.",
)


def change(server, workspace, **changes):
    """Change settings, and wait until the server knows."""
    before = server.watch.generation
    server.run(server.ledger.access.change_settings(workspace, changes, ME))
    wait_for(lambda: server.watch.generation != before)


@pytest.fixture
def fresh(tmp_path):
    with Server(tmp_path) as server:
        yield server


@pytest.mark.parametrize("host", ["other.example.com", "OTHER.example.com:8080", "other.example.com."])
def test_a_host_name_says_which_workspace(server, host):
    user = make_user(server, workspace="other")
    assert Visitor(server, host).log_in(user.username).token
    assert told(Visitor(server).post("login", {"username": user.username, "password": PASSWORD}))[0] == 401


@pytest.mark.parametrize("host", ["elsewhere.example.com", "[::1]:80", "example.com", "other.example.com.evil.org"])
def test_a_host_name_of_nobody_is_told_what_to_set(server, host):
    for call in ("signup", "login", "forgot-password"):
        assert told(Visitor(server, host).post(call)) == UNCLEAR


def test_the_only_one_needs_no_host_name(fresh):
    visitor = Visitor(fresh, "any.example.com")
    assert told(visitor.post("login")) == UNCLEAR
    change(fresh, "other", login="off")
    assert told(visitor.post("login")) == (400, "Missing required fields")
    change(fresh, "main", login="off")
    assert told(visitor.post("login")) == (404, "The login service is off: no workspace has the setting login on.")


def test_a_workspace_can_not_take_the_host_name_of_another(fresh):
    visitor = Visitor(fresh, "one.example.com")
    change(fresh, "main", login_host="one.example.com")
    with pytest.raises(AccessError, match="login_host belongs to another workspace"):
        change(fresh, "other", login_host="one.example.com")
    assert told(visitor.post("login")) == (400, "Missing required fields")
    change(fresh, "main", login_host="")
    change(fresh, "other", login_host="one.example.com")
    change(fresh, "other", login_host="one.example.com", signup="closed")
    anna = {"username": "anna", "email": "anna@example.com", "password": PASSWORD}
    assert told(visitor.post("signup", anna))[0] == 403


def test_tokens_of_a_login_service_that_was_switched_off_are_not_taken(fresh):
    change(fresh, "main", login_host="127.0.0.1")
    visitor = Visitor(fresh).log_in(make_user(fresh).username)
    assert visitor.ask("GET", "/api/profile").status == 200
    change(fresh, "main", login="off")
    wait_for(lambda: visitor.ask("GET", "/api/profile").status == 401)
    change(fresh, "main", login="on")
    wait_for(lambda: visitor.ask("GET", "/api/profile").status == 200)
