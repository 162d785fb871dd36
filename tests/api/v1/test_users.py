"""Users as the admins of a workspace read them with the native API."""

from tests.api.login.visitors import make_user
from tests.api.v1.client import told
from tests.api.v1.reading import ask, read, whole

BOTH_DATABASES = True


def test_a_user_is_shown_with_where_he_signs_in(server, client):
    for password, signs_in in (("", "elsewhere"), ("-", "not_yet"), ("$argon2id$hash", "here")):
        user = make_user(server, "supervisor", password=password)
        assert read(client, f"users/{user.id}") == {
            "id": user.id,
            "username": user.username,
            "email": user.email,
            "role": "supervisor",
            "verified": True,
            "signs_in": signs_in,
            "created_at": "2026-01-01T00:00:00.000000Z",
            "updated_at": "2026-01-01T00:00:00.000000Z",
        }


def test_users_are_listed_page_by_page_and_no_hash_is_among_it(server, client):
    made = {make_user(server).id for _ in range(3)}
    found = whole(client, "users", limit=2)
    assert made <= {user["id"] for user in found}
    assert len(found) == len({user["id"] for user in found})
    assert "argon2" not in str(found)


def test_a_user_of_another_workspace_is_not_there(server, client):
    stranger = make_user(server, workspace="other")
    assert told(ask(client, f"users/{stranger.id}")) == (404, "user_not_found")
    assert stranger.id not in {user["id"] for user in whole(client, "users")}
    assert told(ask(client, "users/usr_nobody")) == (404, "user_not_found")


def test_users_are_for_admins(server, client):
    user = make_user(server)
    for scopes in ("read", "charge,grant"):
        other = client.with_key(scopes)
        assert told(ask(other, "users")) == (403, "scope_missing")
        assert told(ask(other, f"users/{user.id}")) == (403, "scope_missing")
