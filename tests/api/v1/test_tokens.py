"""Tokens of people on the native API: what each role may do on every endpoint there is, and how far a user reaches."""

import json
import re
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from farthing.api.endpoint import Endpoint
from farthing.api.v1.face import ENDPOINTS
from farthing.stores.issuers import Issuers
from tests.api.serving import ME, Answer, Server, wait_for
from tests.api.v1.client import Client, encoded, new_key, told
from tests.api.v1.reading import read, without_request
from tests.identity.signing import HS256, NOW, sign

LONG = NOW + 10 * 365 * 86_400
SECRETS = {"main": HS256.secret, "other": "the secret of the other workspace"}
"""In `other` users may charge."""

READS = {
    *("showAccount", "showBalance", "showStatement", "showSubscription", "listEntries", "createQuote"),
    *("createEstimate", "createLinks", "createCheckout"),
    *("showAutoTopUp", "listTopUpAttempts", "listPaymentMethods"),
}
CHARGES = {
    *("createPortal", "createCharge", "createHold", "extendHold", "releaseHold", "settleHold"),
    *("checkAutoTopUp", "preferPaymentMethod", "forgetPaymentMethod"),
}
BY_ID = {endpoint.operation_id: endpoint for endpoint in ENDPOINTS}
ROLES = {
    "user": READS,
    "charging user": READS | CHARGES,
    "supervisor": {name for name, endpoint in BY_ID.items() if endpoint.scope in ("read", "grant")},
    "admin": {name for name, endpoint in BY_ID.items() if endpoint.scope != "operator"},
}
"""What each may do; all else is refused."""
BODIES: dict[str, dict[str, Any]] = {
    "createCharge": {"amount": "1"},
    "createHold": {"amount": "1"},
    "createQuote": {"amount": "1"},
    "createEstimate": {"usage": {"model": "gpt-4o"}, "prompt": {"tokens": 5}},
    "createLinks": {"product": "bot"},
    "createCheckout": {"offer": "bot/pack"},
    "createPurchase": {"offer": "bot/pack"},
}
"""Of those that name the account in their body."""


class Person(Struct):
    """Speaks to the native API with a token."""

    server: Server
    id: str
    role: str = "user"
    workspace: str = "main"

    def send(self, method: str, path: str, body: Any = None, key: str = "") -> Answer:
        token = sign(SECRETS[self.workspace], sub=self.id, role=self.role, exp=LONG, email=None)
        fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if method != "GET":
            fields["Idempotency-Key"] = key or new_key()
        return self.server.send(method, path, None if method == "GET" else json.dumps(body or {}).encode(), fields)

    def call(self, operation: str, account: str = "", id: str = "nothing", body: Any = None) -> Answer:
        """One of the endpoints, for an account or for what has this id."""
        endpoint = BY_ID[operation]
        account = account or self.id
        if endpoint.request is not None and "account" in endpoint.request.__struct_fields__:
            body = {"account": account, **BODIES.get(operation, {}), **(body or {})}
        return self.send(endpoint.method, path_of(endpoint, account, id), body)


def path_of(endpoint: Endpoint, account: str, id: str) -> str:
    path = re.sub(r"{\w+}", id, endpoint.path.replace("{account}", encoded(account)))
    # A stream that nobody refuses would have no end.
    return f"{path}?type=nonsense" if endpoint.operation_id == "streamEvents" else path


def person(server: Server, role: str, account: str) -> Person:
    """Somebody whom no other test knows."""
    if role == "charging user":
        return Person(server, account, "user", "other")
    return Person(server, account, role)


@pytest.fixture(scope="module", autouse=True)
def trusted(server: Server) -> None:
    issuers = Issuers(server.ledger.database)
    for workspace, secret in SECRETS.items():
        server.run(issuers.add(replace(HS256, id=f"iss_{workspace}", workspace=workspace, secret=secret), ME))
    server.run(server.ledger.access.change_settings("other", {"users_may_charge": True}, ME))
    wait_for(lambda: person(server, "user", "somebody").call("createQuote").status == 200)
    wait_for(lambda: person(server, "charging user", "somebody").call("createCharge").status == 404)


@pytest.fixture
def other(server: Server) -> Client:
    """A server of the workspace where users may charge."""
    return Client(server, server.new_key("admin", "other"))


@pytest.fixture
def charging(server: Server, other: Client, account: str) -> Person:
    """A user who may charge, with 100 credits."""
    other.grant(account)
    return person(server, "charging user", account)


# Roles


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("operation", BY_ID)
def test_each_role_may_do_what_the_table_says_and_nothing_else(server: Server, account: str, role: str, operation: str):
    answer = person(server, role, account).call(operation)
    if operation in ROLES[role]:
        # Nobody but an admin gives to himself: that is no matter of his role's scopes.
        assert answer.status not in (401, 403) or answer.json["code"] == "own_account", answer.raw
    else:
        assert told(answer) == (403, "scope_missing")
        assert answer.json["detail"] == f"The role '{role.split()[-1]}' may not do this."


def test_a_role_in_the_body_changes_nothing(server: Server, account: str):
    user = person(server, "user", account)
    answer = user.send("POST", "/v1/grants", {"account": account, "amount": "5", "role": "admin"})
    assert told(answer) == (403, "scope_missing")


def test_a_token_reaches_its_own_workspace_alone(server: Server, client: Client, account: str):
    client.grant(account)
    stranger = Person(server, account, "admin", "other")
    assert told(stranger.call("showAccount")) == (404, "account_not_found")
    assert Person(server, account, "admin", "main").call("showAccount").json["balance"] == "100"


def test_what_people_do_is_written_down_under_their_names(server: Server, client: Client, account: str):
    client.grant(account)
    admin = person(server, "admin", f"admin-of-{account}")
    done = admin.call("adjustAccount", account, body={"amount": "5", "description": "Goodwill"})
    assert done.status == 200, done.raw
    line = read(client, f"accounts/{account}/entries")["data"][0]
    assert (line["actor"], line["description"]) == (f"user:{admin.id}", "Goodwill")
    ((actor, detail),) = server.sql(
        "select actor, detail from audit where subject = ? and action = 'account.adjust'", account
    )
    assert (actor, json.loads(detail)["role"]) == (f"user:{admin.id}", "admin")


def test_who_administers_is_in_the_log_with_his_role(server: Server, account: str):
    admin = person(server, "admin", account)
    made = admin.send("POST", "/v1/keys", {"scopes": ["read"]}).json
    ((actor, detail),) = server.sql("select actor, detail from audit where subject = ?", made["id"])
    assert (actor, json.loads(detail)["role"]) == (f"user:{admin.id}", "admin")


# A supervisor


def test_a_supervisor_gives_to_others_and_never_to_himself(server: Server, client: Client, account: str):
    boss = person(server, "supervisor", account)
    assert boss.call("createGrant", f"{account}-2", body={"amount": "5"}).status == 201
    for dry_run in (False, True):
        answer = boss.call("createGrant", body={"amount": "5", "dry_run": dry_run})
        assert told(answer) == (403, "own_account")
        assert answer.json["detail"] == "A supervisor can't give credits to his own account."
    for operation, body in (("changeSubscription", {"plan": "pro"}), ("resumeSubscription", {})):
        assert told(boss.call(operation, body=body)) == (403, "own_account")
    assert told(boss.call("showAccount")) == (404, "account_not_found"), "nothing was made"


def test_an_admin_may_give_to_himself(server: Server, account: str):
    assert person(server, "admin", account).call("createGrant", body={"amount": "5"}).status == 201


# A user


@pytest.mark.parametrize("operation", sorted(READS | CHARGES - {"extendHold", "releaseHold", "settleHold"}))
@pytest.mark.parametrize("there", [True, False])
def test_another_account_is_not_there_whether_it_is_or_not(
    server: Server, other: Client, account: str, operation: str, there: bool
):
    if there:
        other.grant(account)
    count = server.count()
    answer = person(server, "charging user", f"{account}-me").call(operation, account)
    assert told(answer) == (404, "account_not_found")
    assert without_request(answer) == NOT_THERE
    assert server.count() == count


def test_who_is_remembered_reaches_no_further(other: Client, charging: Person, account: str):
    """On the short way, which a charge of a known caller takes."""
    other.grant(f"{account}-2")
    assert charging.call("createCharge").status == 201
    answer = charging.call("createCharge", f"{account}-2")
    assert without_request(answer) == NOT_THERE
    boss = Person(charging.server, f"{account}-boss", "supervisor", "other")
    assert boss.call("createGrant", account, body={"amount": "5"}).status == 201
    assert told(boss.call("createGrant", body={"amount": "5"})) == (403, "own_account")


NOT_THERE = {
    "type": "/docs#problem-account_not_found", "title": "Account not found", "status": 404,
    "detail": "There is no such account.", "code": "account_not_found",
}  # fmt: skip


def test_a_user_reads_his_own_account(client: Client, server: Server, account: str):
    client.grant(account)
    user = person(server, "user", account)
    assert user.call("showAccount").json["available"] == "100"
    assert user.call("showBalance").json["available"] == "100"
    assert [line["kind"] for line in user.call("listEntries").json["data"]] == ["grant", "open"]
    assert user.call("createQuote", body={"amount": "5"}).json["affordable"] is True


def test_a_quote_needs_no_account(server: Server, account: str):
    answer = person(server, "user", account).send("POST", "/v1/quotes", {"amount": "5"})
    assert (answer.status, answer.json["account"]) == (200, None)


@pytest.mark.parametrize("name", ["a/b", "ä ö", "100%", "a.b", "..", "user:1"])
def test_an_own_account_may_have_any_name(server: Server, other: Client, name: str):
    other.grant(name)
    user = person(server, "charging user", name)
    assert user.call("showBalance").json["account"] == name
    assert user.call("createCharge").json["account"] == name


def test_a_user_charges_and_holds_on_his_own_account(charging: Person):
    charge = charging.call("createCharge", body={"amount": "5"})
    assert (charge.status, charge.json["after"]["balance"]) == (201, "95")
    hold = charging.call("createHold", body={"amount": "20"}).json["id"]
    assert charging.call("extendHold", id=hold, body={"raise_by": "5"}).json["after"]["held"] == "25"
    assert charging.call("settleHold", id=hold, body={"amount": "15"}).json["after"]["balance"] == "80"
    second = charging.call("createHold", body={"amount": "20"}).json["id"]
    assert charging.call("releaseHold", id=second).json["after"]["held"] == "0"


ON_HOLDS = {"extendHold": {"raise_by": "1"}, "releaseHold": {}, "settleHold": {"amount": "0"}}


@pytest.mark.parametrize("operation", ON_HOLDS)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_hold_that_is_not_his_is_not_there(
    server: Server, other: Client, charging: Person, operation: str, dry_run: bool
):
    """Neither that of another account, nor the one that a server has placed on his for work in progress."""
    body = {**ON_HOLDS[operation], "dry_run": dry_run}
    mine = charging.call("createHold", body={"amount": "1"}).json["id"]
    placed = other.hold(charging.id)["id"]
    stranger = person(server, "charging user", f"{charging.id}-stranger")
    missing = placed[:-32] + "0" * 32
    count = server.count()
    tries = [(stranger, mine), (stranger, placed), (charging, placed), (charging, missing)]
    answers = [who.call(operation, id=hold, body=body) for who, hold in tries]
    assert [told(answer) for answer in answers] == [(404, "hold_not_found")] * 4
    assert len({str(without_request(answer)) for answer in answers}) == 1
    assert server.count() == count


def test_what_somebody_held_as_an_admin_he_can_not_touch_as_a_user(other: Client, charging: Person, account: str):
    other.grant(f"{account}-2")
    admin = Person(charging.server, charging.id, "admin", "other")
    hold = admin.call("createHold", f"{account}-2").json["id"]
    assert told(charging.call("releaseHold", id=hold)) == (404, "hold_not_found")


def test_an_id_of_another_kind_is_no_hold_of_his(charging: Person):
    charge = charging.call("createCharge", body={"amount": "1"}).json["id"]
    assert told(charging.call("releaseHold", id=charge)) == (404, "hold_not_found")
    assert told(charging.call("releaseHold", id=charge.replace("ent", "hold"))) == (404, "hold_not_found")


def test_a_key_of_another_account_tells_nothing(server: Server, other: Client, charging: Person):
    """Also where the usage has no price, and the ledger is asked whether it had one when the key was new."""
    body = {"usage": {"model": "unheard-of"}}
    key = new_key()
    other.charge(charging.id, key=key)
    stranger = person(server, "charging user", f"{charging.id}-stranger")
    answer = stranger.send("POST", "/v1/charges", {"account": charging.id, **body}, key)
    assert without_request(answer) == NOT_THERE
    hold = other.hold(charging.id)["id"]
    answer = stranger.send("POST", f"/v1/holds/{hold}/settle", body, key)
    assert told(answer) == (404, "hold_not_found")


def test_what_a_workspace_does_not_let_its_users_do_they_stop_doing_at_once(server: Server, charging: Person):
    assert charging.call("createCharge").status == 201
    access = server.ledger.access
    try:
        server.run(access.change_settings("other", {"users_may_charge": False}, ME))
        wait_for(lambda: charging.call("createCharge").status == 403)
        assert charging.call("showBalance").status == 200
    finally:
        server.run(access.change_settings("other", {"users_may_charge": True}, ME))
        wait_for(lambda: charging.call("createCharge").status == 201)


def test_a_role_that_is_raised_or_lowered_counts_from_the_next_token_on(server: Server, account: str):
    assert Person(server, account, "supervisor").call("listAccounts").status == 200
    assert Person(server, account, "user").call("listAccounts").status == 403
