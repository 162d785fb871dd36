"""Issuers as they are set up: by presets, by keys, by a secret; and what can't be right."""

from typing import Any

import pytest

from farthing.core.people import Issuer
from farthing.identity.presets import PRESETS, BadIssuer, Wanted, issuer_of, url_problem

BY_KEYS = {
    "algorithm": "RS256", "issuer": "https://sso.example/", "audience": "credits", "jwks_url": "https://sso.example/keys",
}  # fmt: skip
BY_SECRET = {"algorithm": "HS256", "secret": "s" * 32}


def made(**wanted: Any) -> Issuer:
    return issuer_of(Wanted(**wanted), "main", 1_000_000)


def wrong(**wanted: Any) -> dict[str, str]:
    with pytest.raises(BadIssuer) as caught:
        made(**wanted)
    return dict(caught.value.problems)


def test_auth0_needs_a_domain_and_an_audience():
    issuer = made(preset="auth0", domain="shop.eu.auth0.com", audience="https://credits.shop.example")
    assert (issuer.algorithm, issuer.issuer) == ("RS256", "https://shop.eu.auth0.com/")
    assert issuer.jwks_url == "https://shop.eu.auth0.com/.well-known/jwks.json"
    assert (issuer.name, issuer.audience, issuer.claims.type) == ("auth0", "https://credits.shop.example", "")


def test_clerk_says_who_asked_instead_of_for_whom():
    issuer = made(preset="clerk", domain="clerk.shop.example", audience="https://shop.example")
    assert (issuer.issuer, issuer.claims.audience) == ("https://clerk.shop.example", "azp")


def test_supabase_has_its_role_where_users_can_not_write():
    issuer = made(preset="supabase", domain="abc.supabase.co")
    assert (issuer.algorithm, issuer.issuer) == ("ES256", "https://abc.supabase.co/auth/v1")
    assert issuer.jwks_url == "https://abc.supabase.co/auth/v1/.well-known/jwks.json"
    assert (issuer.audience, issuer.claims.role) == ("authenticated", "app_metadata.role")


def test_an_older_project_shares_a_secret():
    issuer = made(preset="supabase", domain="abc.supabase.co", **BY_SECRET)
    assert (issuer.algorithm, issuer.jwks_url, issuer.audience) == ("HS256", "", "authenticated")


def test_what_is_said_goes_before_the_preset():
    issuer = made(
        preset="auth0", domain="a.auth0.com", audience="x", name="login", claims={"role": "https://x.example/role"}
    )
    assert (issuer.name, issuer.claims.role, issuer.claims.username) == ("login", "https://x.example/role", "nickname")


def test_without_a_preset_the_claims_are_those_of_the_contract():
    assert made(**BY_SECRET).claims == made(**BY_KEYS).claims
    assert made(**BY_KEYS, claims={"type": ""}).claims.type == ""


def test_the_examples_of_the_presets_are_domains_that_are_taken():
    for name, preset in PRESETS.items():
        assert made(preset=name, domain=preset.domain, audience="x").issuer.startswith(f"https://{preset.domain}")


@pytest.mark.parametrize(
    "domain", ["", "https://a.auth0.com", "a.auth0.com/", "a", "a b.com", "-a.com", "a.com\n", "é.com"]
)
def test_a_domain_is_the_name_of_a_host(domain: str):
    assert "shop.eu.auth0.com" in wrong(preset="auth0", domain=domain, audience="x")["domain"]


WRONG = [
    ({}, "algorithm", "HS256"),
    ({"preset": "okta", "domain": "a.okta.com"}, "preset", "auth0"),
    ({"algorithm": "none"}, "algorithm", "must be one of"),
    ({"algorithm": "hs256", "secret": "s" * 32}, "algorithm", "must be one of"),
    ({**BY_KEYS, "algorithm": "RS512"}, "algorithm", "must be one of"),
    ({**BY_SECRET, "domain": "a.auth0.com"}, "domain", "with a preset only"),
    ({**BY_SECRET, "secret": ""}, "secret", "is missing"),
    ({**BY_SECRET, "secret": "s" * 31}, "secret", "at least 32 bytes, and has 31"),
    ({**BY_SECRET, "secret": "s" * 256}, "secret", "at most 255 bytes"),
    ({**BY_SECRET, "secret": "s" * 40 + "\0"}, "secret", "control characters"),
    ({**BY_SECRET, "jwks_url": "https://sso.example/keys"}, "jwks_url", "does not go with HS256"),
    ({**BY_KEYS, "secret": "s" * 32}, "secret", "does not go with RS256"),
    ({**BY_KEYS, "issuer": ""}, "issuer", "is missing"),
    ({**BY_KEYS, "audience": ""}, "audience", "is missing"),
    ({**BY_KEYS, "jwks_url": ""}, "jwks_url", "is missing"),
    ({**BY_KEYS, "jwks_url": "http://sso.example/keys"}, "jwks_url", "https://"),
    ({**BY_KEYS, "name": "n" * 256}, "name", "at most 255 bytes"),
    ({**BY_KEYS, "claims": {"rolle": "x"}}, "claims", "role"),
    ({**BY_KEYS, "claims": {"role": "x\n"}}, "claims", "control characters"),
    # By these a workspace could take the tokens that are meant for another.
    ({**BY_KEYS, "claims": {"audience": "iss"}}, "claims", "must have as audience one of aud, azp"),
    ({**BY_SECRET, "claims": {"audience": "role"}}, "claims", "must have as audience one of aud, azp"),
    ({**BY_KEYS, "claims": {"audience": ""}}, "claims", "must have as audience one of aud, azp"),
]


@pytest.mark.parametrize(("wanted", "field", "why"), WRONG)
def test_what_can_not_be_right_is_refused_by_its_field(wanted: dict[str, Any], field: str, why: str):
    assert why in wrong(**wanted)[field]


def test_a_secret_is_counted_in_bytes():
    assert made(algorithm="HS256", secret="é" * 16).secret
    assert wrong(algorithm="HS256", secret="é" * 15)


@pytest.mark.parametrize(
    "url",
    ["https://a.example/k", "https://a.example:8443/k", "http://localhost:9/k", "http://127.0.0.1/k", "http://[::1]/k"],
)
def test_keys_come_by_https_or_from_this_machine(url: str):
    assert url_problem(url) is None


@pytest.mark.parametrize(
    "url",
    ["http://a.example/k", "http://localhost.a.example/k", "ftp://a.example/k", "file:///etc/passwd", "a.example", "https://",
     "https://u:p@a.example/k", "https://a.example:x/k", "https://[::1/k", "https://a example/k", "//a.example/k", "https:///k"],
)  # fmt: skip
def test_keys_come_from_nowhere_else(url: str):
    assert url_problem(url)
