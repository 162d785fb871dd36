"""Providers of payments over the native API: set by admins, and no secret ever comes back."""

import json
from typing import Any

import pytest

from farthing.stores.providers import Providers
from tests.api.serving import Answer, Server
from tests.api.v1.client import Client, new_key, places, told
from tests.api.v1.reading import ask, operators_key, read
from tests.api.v1.test_subscriptions import delete, put

KEY = "sk_live_never_to_be_seen_again_x7Qk"
SIGNING = "whsec_never_to_be_seen_either_9aBc"
DATES = {"created_at": "2026-01-01T00:00:00.000000Z", "updated_at": "2026-01-01T00:00:00.000000Z"}
NOT_SET = dict.fromkeys(("api_key", "base_url", "success_url", "cancel_url", "return_url"))


@pytest.fixture
def admin(client: Client) -> Client:
    """An admin of a workspace that speaks with nobody yet."""
    for each in read(client, "providers")["data"]:
        assert delete(client, f"providers/{each['id']}").status == 200
    return client


def kept(server: Server, provider: str = "stripe") -> Any:
    """The settings as they are kept."""
    found = server.run(Providers(server.ledger.database).get("main", provider))
    assert found is not None
    return found.settings


def test_a_provider_is_set_shown_listed_and_removed(admin: Client, server: Server):
    answer = put(admin, "providers/stripe", {"api_key": KEY, "webhook_secrets": [SIGNING]})
    shown = {
        **NOT_SET, **DATES, "id": "stripe", "api_key": {"reference": None, "hint": "x7Qk"},
        "webhook_secrets": [{"reference": None, "hint": "9aBc"}],
    }  # fmt: skip
    assert answer.json == read(admin, "providers/stripe") == shown
    assert read(admin, "providers")["data"] == [shown]
    assert (kept(server).api_key, kept(server).webhook_secrets) == (KEY, (SIGNING,))
    gone = delete(admin, "providers/stripe")
    assert (gone.status, gone.json) == (200, shown)
    assert (
        told(ask(admin, "providers/stripe")) == told(delete(admin, "providers/stripe")) == (404, "provider_not_found")
    )
    assert (
        told(ask(admin, "providers/paypal")) == told(put(admin, "providers/paypal", {})) == (404, "provider_not_found")
    )


def test_digistore24_has_fields_of_its_own(admin: Client):
    body = {
        "merchant_id": "77", "product_ids": ["500001"], "ipn_domain_id": "credits",
        "thankyou_url": "https://app.example.com/thanks",
    }  # fmt: skip
    made = put(admin, "providers/digistore24", {**body, "api_key": "1-secret", "passphrase": "words of ours"}).json
    assert made == made | body | {"passphrase": {"reference": None, "hint": None}, "fallback_url": None}
    assert "success_url" not in made
    assert "webhook_secrets" not in made


def test_secrets_stay_where_they_are_left_out_and_all_else_is_as_it_is_sent(admin: Client, server: Server):
    put(admin, "providers/stripe", {"api_key": KEY, "webhook_secrets": [SIGNING], "success_url": "https://a.example/"})
    made = put(admin, "providers/stripe", {"cancel_url": "https://a.example/no", "api_key": None}).json
    assert (made["success_url"], made["cancel_url"], made["api_key"]["hint"]) == (None, "https://a.example/no", "x7Qk")
    put(admin, "providers/stripe", {"webhook_secrets": ["whsec_new"], "keep_webhook_secrets": True})
    assert kept(server).webhook_secrets == (SIGNING, "whsec_new")
    put(admin, "providers/stripe", {"webhook_secrets": []})
    assert (kept(server).api_key, kept(server).webhook_secrets) == (KEY, ())


@pytest.mark.parametrize(
    ("provider", "body", "where"),
    [
        ("stripe", {"api_key": "sk_test_hidden"}, ["/api_key"]),
        ("stripe", {"api_key": "pk_live_hidden", "success_url": "x"}, ["/api_key", "/success_url"]),
        ("stripe", {"api_key": 5}, ["/api_key"]),
        ("stripe", {"webhook_secrets": ["whsec_a", "hidden"]}, ["/webhook_secrets/1"]),
        ("stripe", {"webhook_secrets": "whsec_a"}, ["/webhook_secrets"]),
        ("stripe", {"webhook_secrets": [f"whsec_{n}" for n in range(6)]}, ["/webhook_secrets"]),
        ("stripe", {"passphrase": "hidden"}, ["/passphrase"]),
        ("stripe", {"base_url": "http://inside.example/"}, ["/base_url"]),
        ("stripe", {"color": "red"}, ["/color"]),
        (
            "digistore24",
            {"webhook_secrets": ["hidden"], "keep_webhook_secrets": True},
            ["/keep_webhook_secrets", "/webhook_secrets"],
        ),
        ("digistore24", {"product_ids": ["x"]}, ["/product_ids/0"]),
        ("digistore24", {"thankyou_url": "http://app.example.com"}, ["/thankyou_url"]),
        ("digistore24", {"passphrase": "x" * 64}, ["/passphrase"]),
    ],
)
def test_settings_that_can_not_be_right_are_refused_by_their_field(
    admin: Client, provider: str, body: Any, where: list[str]
):
    answer = put(admin, f"providers/{provider}", body)
    assert told(answer) == (400, "invalid")
    assert sorted(places(answer)) == where
    assert b"hidden" not in answer.raw
    assert told(ask(admin, f"providers/{provider}")) == (404, "provider_not_found")


@pytest.mark.parametrize("reference", ["env:FARTHING_DATABASE_URL", "file:/etc/passwd"])
def test_references_are_not_set_over_http(admin: Client, reference: str):
    body = {"api_key": reference, "webhook_secrets": [SIGNING, reference]}
    answer = put(admin, "providers/stripe", body)
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/api_key", "/webhook_secrets/1"])
    assert "farthing providers set" in answer.json["detail"]


def test_a_key_is_not_sent_to_another_address_unless_it_is_given_again(admin: Client, server: Server):
    put(admin, "providers/stripe", {"api_key": KEY})
    answer = put(admin, "providers/stripe", {"base_url": "https://elsewhere.example"})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/api_key"])
    assert kept(server).base_url == ""
    assert put(admin, "providers/stripe", {"base_url": "https://fake.example", "api_key": "sk_test_fake"}).status == 200


def test_keys_are_those_of_the_workspaces_mode(client: Client):
    other = client.with_key("admin", "other")
    answer = put(other, "providers/stripe", {"api_key": KEY})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/api_key"])
    assert "sk_live_..." in answer.json["detail"]
    assert put(other, "providers/stripe", {"api_key": "sk_test_1", "success_url": "http://localhost/"}).status == 200
    assert delete(other, "providers/stripe").status == 200


def test_one_workspace_does_not_see_the_providers_of_another(admin: Client):
    put(admin, "providers/stripe", {"api_key": KEY})
    other = admin.with_key("admin", "other")
    assert told(ask(other, "providers/stripe")) == (404, "provider_not_found")
    assert told(delete(other, "providers/stripe")) == (404, "provider_not_found")


@pytest.mark.parametrize("scopes", ["read", "read,charge,grant"])
def test_only_admins_see_or_change_providers(admin: Client, scopes: str):
    for answer in _all_calls(admin.with_key(scopes)):
        assert told(answer) == (403, "scope_missing")


def _all_calls(client: Client) -> list[Answer]:
    return [
        ask(client, "providers"), ask(client, "providers/stripe"), put(client, "providers/stripe", {}),
        delete(client, "providers/stripe"),
    ]  # fmt: skip


def test_the_same_request_sets_and_removes_once_and_other_secrets_are_another_request(admin: Client, server: Server):
    key, body = new_key(), {"api_key": KEY}
    first = put(admin, "providers/stripe", body, key=key)
    put(admin, "providers/stripe", {"api_key": "sk_live_newer"})
    again = put(admin, "providers/stripe", body, key=key)
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")
    assert kept(server).api_key == "sk_live_newer"
    for changed in ({"api_key": KEY + "x"}, {**body, "success_url": "https://a.example"}, {}):
        assert told(put(admin, "providers/stripe", changed, key=key)) == (409, "key_conflict")
    assert told(put(admin, "providers/digistore24", body, key=key)) == (409, "key_conflict")
    key, ids = new_key(), {"product_ids": ["1", "2"]}
    first, again = (put(admin, "providers/digistore24", ids, key=key) for _ in range(2))
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")


def test_a_dry_run_sets_and_removes_nothing(admin: Client):
    assert put(admin, "providers/stripe", {"api_key": KEY, "dry_run": True}).json["dry_run"] is True
    assert told(ask(admin, "providers/stripe")) == (404, "provider_not_found")
    put(admin, "providers/stripe", {"api_key": KEY})
    assert delete(admin, "providers/stripe", {"dry_run": True}).json["dry_run"] is True
    assert ask(admin, "providers/stripe").status == 200


def test_no_record_no_log_and_no_refusal_has_a_secret(admin: Client, server: Server):
    secrets = {"api_key": KEY, "webhook_secrets": [SIGNING]}
    put(admin, "providers/stripe", secrets)
    put(admin, "providers/stripe", {**secrets, "base_url": "nowhere"})
    put(admin, "providers/stripe", {**secrets, "keep_webhook_secrets": 5})
    delete(admin, "providers/stripe")
    put(admin, "providers/digistore24", {"passphrase": "words never to be seen", "api_key": "12-never-to-be-seen"})
    records = server.sql("select action, detail from audit where action like 'provider.%' order by position")
    assert {action for action, _ in records} == {"provider.put", "provider.remove"}
    told_of = json.dumps([str(records), read(admin, "audit"), read(admin, "providers"), server.log.getvalue()])
    assert "never" not in told_of
    assert "x7Qk" in told_of


def test_the_audit_log_says_what_was_changed(admin: Client):
    put(admin, "providers/stripe", {"api_key": KEY})
    put(admin, "providers/stripe", {"success_url": "https://a.example/"})
    newest = read(admin, "audit", action="provider.put")["data"][0]
    hint = {"reference": None, "hint": "x7Qk"}
    assert (newest["subject"], newest["before"]) == ("stripe", {"api_key": hint})
    assert newest["after"] == {"api_key": hint, "success_url": "https://a.example/"}


def test_an_operator_belongs_to_no_workspace_and_has_no_providers(admin: Client, server: Server):
    operator = Client(server, operators_key(server))
    assert {told(answer)[0] for answer in _all_calls(operator)} == {403}
