"""`issuers add|list|remove`: presets, keys, secrets from standard input alone, and errors that name the option."""

import pytest

from farthing.app import open_ledger
from farthing.stores.contract import result_of
from farthing.stores.issuers import Issuers
from tests.cli.command import URL, Cli

SECRET = "a secret of thirty-two bytes, 32"
BY_KEYS = ("--algorithm", "EdDSA", "--issuer", "https://sso.example/", "--audience", "credits")
URL_OF_KEYS = ("--jwks-url", "https://sso.example/keys")


def stored() -> list[tuple[str, str]]:
    with open_ledger(URL) as opened:
        return [(each.name, each.secret) for each in result_of(Issuers(opened.database).all())]


def test_a_secret_comes_from_standard_input_and_is_never_shown(ledger: Cli):
    made = ledger.ok("issuers", "add", "auth", "--algorithm", "HS256", "--secret-stdin", input=f"{SECRET}\n")
    assert (made["name"], made["algorithm"], made["workspace"], made["issuer"]) == ("auth", "HS256", "main", None)
    assert stored() == [("auth", SECRET)]
    shown = str(made) + ledger.told("issuers", "list") + str(ledger.ok("issuers", "list"))
    assert SECRET not in shown
    assert ledger.ok("issuers", "list")["data"] == [{name: made[name] for name in made if name != "workspace"}]


def test_a_preset_needs_a_domain_and_what_it_can_not_know(ledger: Cli):
    made = ledger.ok("issuers", "add", "--preset", "auth0", "--domain", "a.eu.auth0.com", "--audience", "credits")
    assert (made["name"], made["issuer"]) == ("auth0", "https://a.eu.auth0.com/")
    assert "a.eu.auth0.com" in ledger.told("issuers", "list")


def test_claims_stand_where_it_is_said(ledger: Cli):
    made = ledger.ok(
        "issuers", "add", "sso", *BY_KEYS, *URL_OF_KEYS, "--claim", "role=app.role", "--claim", "type="
    )  # fmt: skip
    assert (made["claims"]["role"], made["claims"]["type"], made["claims"]["email"]) == ("app.role", None, "email")


def test_an_issuer_is_removed_by_its_id(ledger: Cli):
    made = ledger.ok("issuers", "add", "sso", *BY_KEYS, *URL_OF_KEYS)
    assert ledger.fails("issuers", "remove", made["id"])[1] == "confirmation_needed"
    assert ledger.ok("issuers", "remove", made["id"], "--yes")["id"] == made["id"]
    assert ledger.fails("issuers", "remove", made["id"], "--yes")[:2] == (1, "issuer_not_found")
    assert stored() == []


def test_each_is_in_the_audit_log_with_who_did_it(ledger: Cli):
    made = ledger.ok("issuers", "add", "sso", *BY_KEYS, *URL_OF_KEYS)
    ledger.ok("issuers", "remove", made["id"], "--yes")
    with open_ledger(URL) as opened:
        records = result_of(opened.access.audit("main"))
    assert [(r.action, r.subject) for r in records[:2]] == [("issuer.remove", made["id"]), ("issuer.add", made["id"])]
    assert records[0].actor.startswith("cli:")
    assert records[1].detail["issuer"] == "https://sso.example/"


def test_a_secret_belongs_to_one_workspace(ledger: Cli):
    ledger.ok("workspace", "create", "shop")
    add = ("issuers", "add", "auth", "--algorithm", "HS256", "--secret-stdin", "--workspace")
    ledger.ok(*add, "shop", input=SECRET)
    code, told, message = ledger.fails(*add, "main", input=SECRET)
    assert (code, told) == (1, "issuer_exists")
    assert "another workspace" in message


WRONG = [
    (["auth"], "algorithm must be one of"),
    (["auth", "--algorithm", "none"], "algorithm must be one of"),
    (["auth", "--algorithm", "HS256"], "with --secret-stdin"),
    (["--preset", "okta", "--domain", "a.okta.com"], "preset must be one of auth0, clerk, supabase"),
    (["--preset", "auth0"], "domain must be the name of a host"),
    (["--preset", "auth0", "--domain", "https://a.auth0.com/"], "without https://"),
    (["--preset", "auth0", "--domain", "a.auth0.com"], "audience is missing"),
    ([*BY_KEYS], "jwks-url is missing"),
    ([*BY_KEYS, "--jwks-url", "http://sso.example/keys"], "jwks-url must begin with https://"),
    ([*BY_KEYS, *URL_OF_KEYS, "--claim", "role"], "--claim is such as role=app_metadata.role"),
    ([*BY_KEYS, *URL_OF_KEYS, "--claim", "rolle=x"], "claims has no 'rolle'"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_what_can_not_be_right_is_told_by_its_option(ledger: Cli, options: list[str], message: str):
    code, _, told = ledger.fails("issuers", "add", *options)
    assert code == 2
    assert message in told
    assert stored() == []


@pytest.mark.parametrize(
    ("secret", "message"), [("short", "at least 32 bytes, and has 5"), (b"\xff" * 40, "must be text")]
)
def test_a_secret_that_can_be_guessed_or_read_by_nobody_is_refused(ledger: Cli, secret: str | bytes, message: str):
    code, _, told = ledger.fails("issuers", "add", "a", "--algorithm", "HS256", "--secret-stdin", input=secret)
    assert (code, message in told) == (2, True), told
