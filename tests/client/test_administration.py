"""What the client does for those who run a ledger: keys, workspaces, payments, the audit log, exports, quarantine."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

import farthing
from farthing.app import Ledger, open_ledger
from farthing.client import errors
from farthing.client.aio.exporting import PAGE
from farthing.core.commands import GiveGrant
from farthing.core.modelprice import ModelPrice as Model
from farthing.core.modelprice import Price
from farthing.prices.catalogue import Listing, write_listing
from farthing.stores.access import Act
from farthing.stores.prices import NewPrice, PriceStore
from tests.api.serving import Server
from tests.api.v1.reading import operators_key
from tests.client.driving import Place

Behind: TypeAlias = Callable[[Callable[[Ledger], object]], None]
PAGES = {"rules": [{"id": "page", "dimension": "pages", "price": "2"}]}


@pytest.fixture(scope="module")
def operator(place: Place, client: Any, request: pytest.FixtureRequest) -> Any:
    """A client that may do what concerns the whole deployment: in process it is any."""
    if not place.url.startswith("http"):
        return client
    return place.open(api_key=operators_key(request.getfixturevalue("server")))


@pytest.fixture
def behind(place: Place, request: pytest.FixtureRequest) -> Behind:
    """Does something to the ledger for which the API has no call."""
    url = place.url
    if url.startswith("http"):
        url = f"sqlite:///{request.getfixturevalue('server').path}"

    def act(work: Callable[[Ledger], object]) -> None:
        with open_ledger(url) as ledger:
            work(ledger)

    return act


# Keys and workspaces


def test_a_key_is_shown_once_rotated_and_revoked(client: Any, account: str) -> None:
    made = client.keys.create(["read", "charge"], name="chat", key=f"{account}-key")
    assert made.api_key.startswith("cs_live_")
    assert (made.name, set(made.scopes), made.state, made.hint) == (
        "chat", {"read", "charge"}, "live", made.api_key[-4:]
    )  # fmt: skip
    again = client.keys.create(["read", "charge"], name="chat", key=f"{account}-key")
    assert (again.id, again.api_key, again.replayed) == (made.id, None, True)
    assert client.keys.get(made.id).name == "chat"
    assert made.id in [key.id for key in client.keys.list()]
    rotated = client.keys.rotate(made.id, overlap=timedelta(hours=1))
    assert (rotated.replaces, rotated.old_key_ends_at - rotated.created_at) == (made.id, timedelta(hours=1))
    assert client.keys.revoke(rotated.id).state == "revoked"
    with pytest.raises(errors.NotFound):
        client.keys.revoke("key_nothing")
    with pytest.raises(farthing.Invalid):
        client.keys.create(["everything"])
    assert client.keys.create(["read"], dry_run=True).api_key is None


def test_issuers_of_tokens_are_added_and_removed(client: Any, place: Place) -> None:
    secret = f"a secret of {place.kind} clients that is long enough"
    made = client.issuers.add(name="chat", algorithm="HS256", secret=secret, claims={"username": "nick"})
    assert (made.name, made.algorithm, made.claims["username"]) == ("chat", "HS256", "nick")
    assert made.id in [issuer.id for issuer in client.issuers.list()]
    assert client.issuers.remove(made.id).id == made.id
    assert made.id not in [issuer.id for issuer in client.issuers.list()]
    with pytest.raises(errors.NotFound):
        client.issuers.remove(made.id)
    with pytest.raises(farthing.Invalid):
        client.issuers.add(algorithm="HS256", secret="short")


def test_users_are_listed_and_shown(client: Any) -> None:
    assert list(client.users.list()) == []
    with pytest.raises(errors.NotFound) as caught:
        client.users.get("usr_nobody")
    assert caught.value.code == "user_not_found"


def test_what_is_made_in_process_is_a_key_for_the_server(server: Server) -> None:
    with farthing.connect(f"sqlite:///{server.path}", workspace="main") as inside:
        inside.grant("keeper", 5)
        key = inside.keys.create(["read"]).api_key
    with farthing.connect(f"http://127.0.0.1:{server.port}", api_key=key) as outside:
        assert outside.balance("keeper").balance == 5


def test_workspaces_are_made_with_their_first_key(operator: Any, place: Place) -> None:
    # Synchronous and asynchronous clients of one server make one each.
    name = f"shop-{place.kind}"
    made = operator.workspaces.create(name, name="The shop", unit="USD")
    assert (made.id, made.name, made.unit, made.scale, made.mode) == (name, "The shop", "USD", 9, "live")
    with pytest.raises(errors.Conflict):
        operator.workspaces.create(name)
    assert operator.workspaces.get(name).created_at == made.created_at
    assert name in [workspace.id for workspace in operator.workspaces.list()]
    assert operator.workspaces.first_key(name, ["admin"]).scopes == ["admin"]
    with pytest.raises(errors.Conflict):
        operator.workspaces.first_key(name, ["admin"])
    if place.url.startswith("http"):
        with pytest.raises(errors.ScopeMissing):
            place.open().workspaces.create("another")


# Payments and the audit log


def test_payments_are_found_by_the_provider_and_its_own_id(client: Any, account: str, behind: Behind) -> None:
    payment = f"pi/{account}"
    behind(lambda ledger: ledger.do(GiveGrant(workspace="main", account=account, amount=1, claim=("stripe", payment))))
    found = client.payments.get("stripe", payment)
    entries = list(client.entries(account, kinds="grant"))
    assert (found.account, [found.entry], found.provider) == (account, [entry.id for entry in entries], "stripe")
    assert [each.payment for each in client.payments.list(account=account)] == [payment]
    with pytest.raises(errors.NotFound):
        client.payments.get("paypal", payment)


def test_acts_are_in_the_audit_log(client: Any) -> None:
    made = client.keys.create(["read"], name="for the log")
    (record,) = client.audit(subject=made.id)
    assert (record.action, record.entry, record.created_at) == ("key.create", None, made.created_at)
    assert next(iter(client.audit(actor=record.actor, action="key.create", limit=1))).id == record.id
    assert list(client.audit(until="2020-01-01T00:00:00Z")) == []


# Usage


def test_usage_is_exported_as_the_api_exports_it(client: Any, rich: str, place: Place, request: Any) -> None:
    for number in range(3):
        used = {"provider": "acme", "model": "=tiny", "input_tokens": number, "operation": 'say "a,b"'}
        client.charge(rich, f"0.{number + 1}", usage=used, metadata={"n": [number], "ü": None})
    lines = b"".join(client.export_usage("jsonl", account=rich)).splitlines()
    assert [json.loads(line)["amount"] for line in lines] == ["0.1", "0.2", "0.3"]
    csv = b"".join(client.export_usage(account=rich)).decode()
    assert csv.startswith("id,account,at,")
    assert csv.count("\r\n") == 4
    assert "'=tiny" in csv
    assert b"".join(client.export_usage(account=rich, until="2020-01-01")).decode() == csv[: csv.index("\r\n") + 2]
    with pytest.raises(ValueError, match="'csv' or 'jsonl'"):
        client.export_usage("xml")
    if place.url.startswith("http"):
        server: Server = request.getfixturevalue("server")
        for format in ("csv", "jsonl"):
            raw = server.send("GET", f"/v1/usage/export?format={format}", headers={"X-API-Key": server.new_key("read")})
            assert b"".join(client.export_usage(format)) == raw.raw


def test_an_export_has_as_many_pages_as_it_takes(client: Any, account: str) -> None:
    client.grant(account, 1_000)
    many = int(PAGE) + 5
    client.charge_many([{"account": account, "amount": 1, "usage": {"dimensions": {"pages": 1}}}] * many)
    parts = list(client.export_usage("jsonl", account=account))
    assert [part.count(b"\n") for part in parts] == [int(PAGE), 5]


# Prices that wait


def quarantined(model: str) -> NewPrice:
    """A price that a sync doesn't trust."""
    prices = (Price(dimension="input_tokens", price="5", per=1_000_000),)
    document = write_listing(Listing(price=Model(provider="acme", model=model, prices=prices)))
    return NewPrice("acme", model, 0, 0, document, "far from what it was")


def test_a_price_that_waits_is_let_in_or_kept_out(operator: Any, client: Any, place: Place, behind: Behind) -> None:
    good, bad = f"good-{place.kind}", f"bad-{place.kind}"
    new = [quarantined(good), quarantined(bad)]
    behind(lambda ledger: ledger.wait(PriceStore(ledger.database).add_prices(new, "tests", "1", Act("test", 1))))
    waiting = {line.model: line for line in operator.prices.quarantine()}
    assert (waiting[good].reason, waiting[good].status, waiting[good].current) == (
        "far from what it was", "quarantined", []
    )  # fmt: skip
    let_in = operator.prices.let_in("acme", good, 1, reason="Seen on the vendor's page", key=f"let in {good}")
    assert (let_in.status, let_in.replayed) == ("active", False)
    assert operator.prices.let_in("acme", good, 1, reason="Seen on the vendor's page", key=f"let in {good}").replayed
    assert operator.prices.keep_out("acme", bad, 1, reason="A typing error").status == "refused"
    assert not {good, bad} & {line.model for line in operator.prices.quarantine()}
    assert [price.status for price in client.prices.history("acme", good)] == ["active"]


# One's own changes


def test_what_one_has_changed_is_in_force_in_the_next_call(place: Place, account: str, operator: Any) -> None:
    name = f"fresh-{place.kind}"
    first = operator.workspaces.create(name)
    key = operator.workspaces.first_key(name, ["admin"]).api_key
    options = {"api_key": key} if place.url.startswith("http") else {"workspace": first.id}
    client = place.open(**options)
    client.grant(account, 50)
    for _ in range(2):  # what the session remembers is from before the change
        with pytest.raises(errors.NoCard):
            client.quote({"dimensions": {"pages": 1}})
    client.rate_cards.put(PAGES, reason="The first")
    assert client.charge(account, usage={"dimensions": {"pages": 2}}).amount == 4
    client.settings.change(hold_max_minutes=1)
    with pytest.raises(errors.HoldTooLong):
        client.holds.create(account, 1, expires_in=600)
    client.settings.change(hold_max_minutes=60)
    assert client.holds.create(account, 1, expires_in=600).state == "live"
