"""Issuers over the native API: whose tokens a workspace takes, set by its admins."""

import json
from typing import Any

import pytest

from tests.api.serving import Answer, Server, wait_for
from tests.api.v1.client import Client, new_key, told
from tests.api.v1.reading import read
from tests.identity.signing import NOW, sign

BOTH_DATABASES = True
LONG = NOW + 10 * 365 * 86_400
SECRET = "a secret that two workspaces want"


@pytest.fixture
def other(server: Server) -> Client:
    """An admin of another workspace."""
    return Client(server, server.new_key("admin", "other"))


BY_KEYS = {
    "algorithm": "RS256", "issuer": "https://sso.example/", "audience": "credits", "jwks_url": "https://sso.example/keys",
}  # fmt: skip


def test_an_issuer_is_added_shown_and_removed(client: Client, server: Server, account: str):
    secret = f"a long enough secret for {account}...."
    made = client.made("issuers", {"name": "auth", "algorithm": "HS256", "secret": secret}, 201)
    assert secret not in json.dumps(made)
    user = sign(secret, sub=account, role="admin", exp=LONG)
    headers = {"Authorization": f"Bearer {user}"}
    wait_for(lambda: server.send("GET", "/v1/settings", headers=headers).status == 200)
    assert made["id"] in [each["id"] for each in read(client, "issuers")["data"]]
    assert secret not in json.dumps(read(client, "issuers"))
    gone = delete(client, made["id"])
    assert (gone.status, gone.json["id"]) == (200, made["id"])
    wait_for(lambda: server.send("GET", "/v1/settings", headers=headers).status == 401)
    assert told(delete(client, made["id"])) == (404, "issuer_not_found")


def delete(client: Client, id: str, key: str = "", body: Any = None) -> Answer:
    fields = {"X-API-Key": client.api_key, "Idempotency-Key": key or new_key()}
    return client.server.send("DELETE", f"/v1/issuers/{id}", json.dumps(body).encode() if body else None, fields)


def test_the_same_request_adds_and_removes_once(client: Client, account: str):
    body = {"algorithm": "HS256", "secret": f"the secret that was set for {account}.."}
    first, again = (client.post("issuers", body, key=f"add-{account}") for _ in range(2))
    assert (first.status, again.raw, again.headers["idempotent-replayed"]) == (201, first.raw, "true")
    changed = client.post("issuers", {**body, "secret": "x" * 32}, key=f"add-{account}")
    assert told(changed) == (409, "key_conflict")
    first, again = (delete(client, first.json["id"], f"remove-{account}") for _ in range(2))
    assert (first.status, again.raw, again.headers["idempotent-replayed"]) == (200, first.raw, "true")


def test_no_record_of_an_act_has_a_secret(client: Client, server: Server, account: str):
    secret = f"this must never be in a record {account}"
    made = client.made("issuers", {"algorithm": "HS256", "secret": secret}, 201)
    delete(client, made["id"])
    records = server.sql("select action, detail from audit where subject = ? order by position", made["id"])
    assert [action for action, _ in records] == ["issuer.add", "issuer.remove"]
    assert secret not in str(records)
    assert secret not in server.log.getvalue()


def test_a_dry_run_adds_and_removes_nothing(client: Client, account: str):
    body = {"algorithm": "HS256", "secret": f"a secret that is only tried {account}...."}
    assert client.post("issuers", {**body, "dry_run": True}).json["dry_run"] is True
    made = client.made("issuers", body, 201)
    assert delete(client, made["id"], body={"dry_run": True}).json["dry_run"] is True
    assert delete(client, made["id"]).status == 200


def test_one_secret_and_one_audience_are_for_one_workspace(client: Client, other: Client):
    body = {"algorithm": "HS256", "secret": SECRET}
    client.made("issuers", body, 201)
    for who, words in ((client, "This workspace"), (other, "Another workspace")):
        answer = who.post("issuers", body)
        assert told(answer) == (409, "issuer_exists")
        assert answer.json["detail"] == f"{words} takes tokens with this secret already."
    made = client.made("issuers", BY_KEYS, 201)
    assert other.refused("issuers", BY_KEYS) == (409, "issuer_exists")
    assert told(delete(other, made["id"])) == (404, "issuer_not_found")
    second = other.made("issuers", {**BY_KEYS, "audience": "another"}, 201)
    assert (delete(client, made["id"]).status, delete(other, second["id"]).status) == (200, 200)


def test_a_workspace_takes_tokens_of_so_many_issuers(other: Client):
    made: list[str] = []
    while (answer := other.post("issuers", {**BY_KEYS, "audience": f"audience-{len(made)}"})).status == 201:
        made.append(answer.json["id"])
    assert told(answer) == (409, "issuer_exists")
    assert "20 issuers" in answer.json["detail"]
    assert [delete(other, id).status for id in made] == [200] * 20


WRONG = [
    ({}, ["/algorithm"]),
    ({"algorithm": "none"}, ["/algorithm"]),
    ({"algorithm": "HS256"}, ["/secret"]),
    ({"algorithm": "HS256", "secret": "short"}, ["/secret"]),
    ({"algorithm": "HS256", "secret": 5}, ["/secret"]),
    ({"preset": "auth0"}, ["/domain"]),
    ({"preset": "auth0", "domain": "a.auth0.com"}, ["/audience"]),
    ({**BY_KEYS, "jwks_url": "http://sso.example/"}, ["/jwks_url"]),
    ({**BY_KEYS, "claims": {"rolle": "x"}}, ["/claims/rolle"]),
    ({**BY_KEYS, "claims": {"role": ""}}, ["/claims/role"]),
    ({**BY_KEYS, "claims": []}, ["/claims"]),
    ({**BY_KEYS, "jku": "https://x.example"}, ["/jku"]),
]


@pytest.mark.parametrize(("body", "where"), WRONG)
def test_an_issuer_that_can_not_be_right_is_refused_by_its_field(client: Client, body: Any, where: list[str]):
    answer = client.post("issuers", body)
    assert told(answer) == (400, "invalid")
    assert set(where) <= {error["pointer"] for error in answer.json["errors"]}


def test_a_claim_that_the_tokens_do_not_have_is_null(client: Client):
    made = client.made("issuers", {**BY_KEYS, "audience": "null", "claims": {"type": None, "role": "a.b"}}, 201)
    assert (made["claims"]["type"], made["claims"]["role"], made["claims"]["email"]) == (None, "a.b", "email")
    assert delete(client, made["id"]).status == 200
