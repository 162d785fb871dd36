"""When the ledger can't be reached: what is queued is charged once it is back, each once and in its order; what is
refused then is parked; nothing else is let through. Over real HTTP, for both kinds of client.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from typing import Any

import apsw
import pytest

import farthing
from farthing.client.errors import ServerError, Unauthorized, Unusable
from farthing.client.journal import files, keeping
from farthing.compat.tokens import Tokens
from farthing.stores.contract import Unavailable as Down
from farthing.stores.events import Events
from tests.api.serving import Server, wait_for
from tests.client.driving import Kind, Place
from tests.client.flaky import Flaky, answer, drop, problem, serve, serve_and_drop
from tests.client.outages import Shop, hurry, kind, make_shop, said, shop
from tests.proxy import Proxy

__all__ = ["kind", "make_shop", "shop"]


def drained(client: Any) -> Any:
    """The journal once nothing waits in it."""
    wait_for(lambda: client.journal.stats().waiting == 0)
    return client.journal.stats()


class Metrics(list[Any]):
    """What `on_metrics` was told."""

    def __call__(self, **facts: Any) -> None:
        self.append((facts["operation"], facts["account"], facts["amount"], facts["success"]))


# Queued, and sent


def test_what_is_queued_is_charged_once_the_server_is_back(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account)
    shop.way.shut()
    charge = client.charge(account, 5, metadata={"big": 2**80, "half": 0.5}, description="Tea")
    assert (charge.status, charge.id, charge.amount, charge.account) == ("queued", "", 0, account)
    assert charge.after.balance.is_nan()
    assert client.journal.stats().waiting == 1
    assert shop.charges(account) == []
    shop.way.open()
    assert drained(client) == keeping.JournalStats(waiting=0, parked=0, queued=1, replayed=1, refused=0)
    (made,) = shop.charges(account)
    assert (made.amount, made.description, made.key) == (5, "Tea", f"v1:{charge.key}")
    assert made.metadata == {"big": 2**80, "half": 0.5}
    assert shop.files == []


def test_a_journal_is_for_its_owner_only_and_has_no_api_key(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.way.shut()
    client.charge(account, 5)
    (file,) = shop.files
    assert (file.stat().st_mode & 0o777, shop.journal.stat().st_mode & 0o777) == (0o600, 0o700)
    assert shop.key.encode() not in file.read_bytes()
    assert shop.key.partition("_")[2][:12].encode() not in file.read_bytes()


def test_usage_is_recorded_at_the_time_when_it_was_used_and_priced_by_it(shop: Shop, account: str) -> None:
    card = {"rules": [{"id": "page", "dimension": "pages", "price": "2"}]}
    shop.direct.rate_cards.put(card, reason="Pages")
    shop.funded(account)
    client = shop.open()
    wait_for(lambda: client.quote({"dimensions": {"pages": 1}}).amount == 2)
    given = datetime.now(UTC)
    shop.way.shut()
    before = datetime.now(UTC)
    client.charge(account, usage={"dimensions": {"pages": 3}})
    after = datetime.now(UTC)
    client.charge(account, usage={"dimensions": {"pages": 1}, "at": given})
    shop.way.open()
    drained(client)
    first, second = shop.charges(account)
    assert first.amount == 6
    assert before <= first.usage.at <= after
    assert second.usage.at == given


def test_what_is_not_there_by_then_is_owed(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account, 3)
    shop.way.shut()
    client.charge(account, 5, shortfall="refuse")
    shop.way.open()
    drained(client)
    assert (shop.direct.balance(account).balance, shop.direct.balance(account).debt) == (-2, 2)


@pytest.mark.parametrize("lost", [1, 4, 9])
def test_a_charge_whose_answers_were_lost_is_charged_once(
    server: Server, make_shop: Callable[[Kind], Shop], kind: Kind, account: str, lost: int
) -> None:
    shop = make_shop(kind)
    shop.funded(account)
    with Flaky([*[serve_and_drop] * lost, serve], server.port) as flaky:
        client = Place(kind, flaky.url, api_key=shop.key)
        try:
            opened = client.open(on_unavailable="queue", journal=shop.journal)
            charge = opened.charge(account, 5)
            assert charge.status == ("charged" if lost < 3 else "queued")
            drained(opened)
        finally:
            client.close()
    assert [made.amount for made in shop.charges(account)] == [5]


def test_of_an_account_all_are_sent_in_their_order(shop: Shop, account: str) -> None:
    client = shop.open()
    others = [shop.funded(f"{account}-{number}") for number in range(2)]
    shop.way.shut()
    for number in range(1, 6):
        for other in others:
            client.charge(other, number)
    shop.way.open()
    drained(client)
    for other in others:
        assert [made.amount for made in shop.charges(other)] == list(range(1, 6))


def test_one_that_never_comes_through_holds_up_its_account_only(
    server: Server, make_shop: Callable[[Kind], Shop], kind: Kind, account: str
) -> None:
    shop = make_shop(kind)
    fine = [shop.funded(f"{account}-{number}") for number in range(4)]
    down = True

    def step(exchange: Any) -> None:
        poisoned = b"poison" in exchange.body
        (drop if down or poisoned else serve)(exchange)

    with Flaky([step], server.port) as flaky:
        place = Place(kind, flaky.url, api_key=shop.key)
        try:
            client = place.open(on_unavailable="queue", journal=shop.journal, max_retries=0)
            for number in range(4):
                client.charge(f"{account}-poison-{number}", 1)
            for each in fine:
                client.charge(each, 5)
            down = False
            wait_for(lambda: client.journal.stats().waiting == 4)
        finally:
            place.close()
    assert [shop.direct.balance(each).balance for each in fine] == [95] * 4


def test_while_the_ledger_is_away_a_caller_waits_for_one_try_only(
    make_shop: Callable[[Kind], Shop], kind: Kind, account: str
) -> None:
    shop = make_shop(kind)
    with Flaky([drop]) as flaky:
        place = Place(kind, flaky.url, api_key=shop.key)
        try:
            client = place.open(on_unavailable="allow")
            client.charge(account, 1)
            assert len(flaky.seen) == 3
            client.charge(account, 1)
            assert len(flaky.seen) == 4
        finally:
            place.close()


def test_many_charges_are_queued_one_by_one(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account)
    shop.way.shut()
    items = [{"account": account, "amount": 2, "key": f"{account} one"}, {"account": account, "amount": 3}]
    assert [each.status for each in client.charge_many(items)] == ["queued", "queued"]
    shop.way.open()
    drained(client)
    assert [made.amount for made in shop.charges(account)] == [2, 3]
    again = shop.direct.charge(account, 2, key=f"{account} one")
    assert again.replayed is True


def test_of_many_those_are_queued_that_the_ledger_did_not_take(
    server: Server, make_shop: Callable[[Kind], Shop], kind: Kind, account: str
) -> None:
    shop = make_shop(kind)
    shop.funded(account)
    busy = b'{"results": [{"index": 0, "status": "failed", "problem": {"code": "busy", "status": 503, "detail": "x"}}]}'

    def step(exchange: Any) -> None:
        many = b"POST /v1/charges/bulk" in exchange.head
        (answer(200, busy, kind="application/json") if many else serve)(exchange)

    with Flaky([step], server.port) as flaky:
        place = Place(kind, flaky.url, api_key=shop.key)
        try:
            client = place.open(on_unavailable="queue", journal=shop.journal)
            (result,) = client.charge_many([{"account": account, "amount": 2}])
            assert (result.status, result.error, result.index) == ("queued", None, 0)
            drained(client)
        finally:
            place.close()
    assert [made.amount for made in shop.charges(account)] == [2]


def test_in_process_a_busy_database_is_queued_for_as_well(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    path = tmp_path / "credits.db"
    # Who waits for his answers as long as the machine takes.
    patient = Place(kind, f"sqlite:///{path}")
    place = Place(kind, patient.url, on_unavailable="queue", journal=tmp_path / "journal", timeout=0.2)
    try:
        direct = patient.open()
        direct.grant("alice", 100)
        client = place.open(max_retries=0)
        other = apsw.Connection(str(path))
        other.execute("begin immediate")
        assert client.charge("alice", 5).status == "queued"
        other.execute("rollback")
        drained(client)
        assert direct.balance("alice").balance == 95
    finally:
        place.close()
        patient.close()


def test_in_process_a_network_that_swallows_all_is_queued_for_as_well(
    kind: Kind, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    patient = Place(kind, postgres_url)
    with Proxy(postgres_url) as proxy:
        place = Place(kind, proxy.url, on_unavailable="queue", journal=tmp_path / "journal", timeout=1)
        try:
            direct = patient.open()
            direct.grant("alice", 100)
            client = place.open(max_retries=0)
            proxy.hole()
            assert client.charge("alice", 5).status == "queued"
            proxy.heal()
            drained(client)
            assert [made.amount for made in direct.charges.list("alice")] == [5]
        finally:
            place.close()
            patient.close()


# Holds


def test_a_block_whose_settle_is_queued_ends_well_and_is_settled_later(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account)
    with client.hold(account, 20) as held:
        held.used(5)
        shop.way.shut()
    assert held.settled.status == "queued"
    shop.way.open()
    drained(client)
    balance = shop.direct.balance(account)
    assert (balance.balance, balance.held) == (95, 0)


def test_of_a_hold_nothing_overtakes_what_is_queued(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account)
    hold = client.holds.create(account, 20)
    shop.way.shut()
    assert client.holds.settle(hold.id, 5, last=False).status == "queued"
    assert client.holds.settle(hold.id, 7).status == "queued"
    shop.way.open()
    assert drained(client).refused == 0
    assert shop.direct.balance(account).balance == 88
    assert shop.direct.holds.get(hold.id).state == "settled"


def test_a_block_does_not_free_a_hold_that_something_queued_needs(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account)
    with client.hold(account, 20) as held:
        shop.way.shut()
        assert held.settle(5, last=False).status == "queued"
    shop.way.open()
    drained(client)
    balance = shop.direct.balance(account)
    assert (balance.balance, balance.held) == (95, 15)
    with client.hold(account, 20) as held:
        shop.way.shut()
        held.settle(5, last=False)
        shop.way.open()
        drained(client)
    balance = shop.direct.balance(account)
    assert (balance.balance, balance.held) == (90, 15)


def test_a_settle_that_comes_after_the_end_of_its_hold_is_charged(
    make_shop: Callable[[Kind], Shop], account: str
) -> None:
    shop = make_shop("sync")
    client = shop.open()
    shop.funded(account)
    hold = client.holds.create(account, 20, expires_in=1)
    shop.way.shut()
    client.holds.settle(hold.id, 5)
    wait_for(lambda: shop.direct.holds.get(hold.id).state == "expired")
    shop.way.open()
    assert drained(client).refused == 0
    assert shop.direct.balance(account).balance == 95


# Refusals


def test_what_is_refused_later_is_parked_with_its_reason_and_the_others_go_on(shop: Shop, account: str) -> None:
    client = shop.open(on_metrics=(told := Metrics()))
    shop.funded(account)
    shop.direct.charge(account, 1, key=f"{account} used")
    shop.way.shut()
    client.charge(f"{account} nobody", 4)
    client.charge(account, 2, key=f"{account} used")
    client.charge(account, 3)
    shop.way.open()
    assert drained(client) == keeping.JournalStats(waiting=0, parked=2, queued=3, replayed=1, refused=2)
    parked = {each.code: each for each in client.journal.parked()}
    assert parked.keys() == {"account_not_found", "key_conflict"}
    assert "no such account" in parked["account_not_found"].reason
    assert shop.direct.balance(account).balance == 96
    queued = [("queue", f"{account} nobody", 4, True), ("queue", account, 2, True), ("queue", account, 3, True)]
    assert [each for each in told if each[0] == "queue"] == queued
    assert [each[3] for each in told if each[0] == "charge"] == [False] * 3
    assert sorted(each for each in told if each[0] in ("replay", "park")) == [
        ("park", account, 2, False), ("park", f"{account} nobody", 4, False), ("replay", account, 3, True)
    ]  # fmt: skip


def told_of(shop: Shop, account: str) -> list[Any]:
    return [each for each in shop.direct.events.list(type="journal.parked") if each.account == account]


def test_what_is_parked_is_told_as_an_event_once(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account)
    shop.direct.accounts.change_settings(account, frozen=True)
    shop.way.shut()
    client.charge(account, 5, key=f"{account} late")
    shop.way.open()
    drained(client)
    (parked,) = client.journal.parked()
    assert client.journal.retry(parked).code == "frozen"
    wait_for(lambda: told_of(shop, account))
    (event,) = told_of(shop, account)
    assert event.data == {"call": "charge", "key": f"{account} late", "error": "frozen", "host": gethostname()}
    again = shop.direct.events.parked(
        call="charge", key=f"{account} late", error="frozen", host="elsewhere", account=account
    )
    assert again.told is False


def test_what_can_not_be_told_yet_is_parked_once_it_is_told(
    shop: Shop, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, add = [0], Events.add

    async def add_if_there(self: Events, *args: Any) -> Any:
        tries[0] += 1
        if tries[0] <= 4:
            raise Down("away")
        return await add(self, *args)

    client = shop.open()
    shop.funded(account)
    shop.direct.accounts.change_settings(account, frozen=True)
    shop.way.shut()
    client.charge(account, 5, key=f"{account} late")
    monkeypatch.setattr(Events, "add", add_if_there)
    shop.way.open()
    assert drained(client).parked == 1
    assert tries[0] >= 5
    assert len(told_of(shop, account)) == 1


def test_what_is_parked_may_be_sent_again_once_its_reason_is_gone(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account)
    shop.direct.accounts.change_settings(account, frozen=True)
    shop.way.shut()
    client.charge(account, 5)
    shop.way.open()
    drained(client)
    (parked,) = client.journal.parked()
    assert client.journal.retry(parked).code == "frozen"
    shop.direct.accounts.change_settings(account, frozen=False)
    assert client.journal.retry(parked) is None
    assert client.journal.retry(parked) is None
    assert client.journal.parked() == []
    assert shop.direct.balance(account).balance == 95


@pytest.mark.parametrize(
    "step",
    [
        problem(401, "credential_invalid"),
        problem(403, "scope_missing"),
        problem(429, "rate_limit", retry_after="0"),
        answer(404, b"<html>", kind="text/html"),
        answer(502, b"<html>", kind="text/html"),
    ],
)
def test_what_says_nothing_of_the_charge_itself_parks_nothing(
    server: Server, make_shop: Callable[[Kind], Shop], kind: Kind, account: str, step: Any
) -> None:
    shop = make_shop(kind)
    shop.funded(account)
    with Flaky([*[drop] * 3, step, serve], server.port) as flaky:
        place = Place(kind, flaky.url, api_key=shop.key)
        try:
            client = place.open(on_unavailable="queue", journal=shop.journal)
            client.charge(account, 5)
            assert drained(client).refused == 0
        finally:
            place.close()
    assert shop.direct.balance(account).balance == 95


@pytest.mark.parametrize("policy", ["allow", "queue"])
def test_refusals_and_all_else_are_raised_as_ever(shop: Shop, account: str, policy: str) -> None:
    client = shop.open(on_unavailable=policy, journal=shop.journal if policy == "queue" else None)
    shop.funded(account, 3)
    hold = shop.direct.holds.create(account, 1)
    with pytest.raises(farthing.InsufficientCredits):
        client.charge(account, 5)
    with pytest.raises(farthing.AccountNotFound):
        client.charge(f"{account} nobody", 5)
    shop.way.shut()
    for ask in (
        lambda: client.grant(account, 5),
        lambda: client.balance(account),
        lambda: client.hold(account, 1).__enter__(),
        lambda: client.holds.release(hold.id),
        lambda: client.charge(account, 5, dry_run=True),
        lambda: client.holds.settle(hold.id, dry_run=True),
        lambda: client.charge_many([{"account": account, "amount": 1}], dry_run=True),
    ):
        with pytest.raises(farthing.Unavailable):
            ask()
    assert shop.files == []


def test_a_bug_of_the_server_is_no_outage(make_shop: Callable[[Kind], Shop], kind: Kind, account: str) -> None:
    shop = make_shop(kind)
    with Flaky([problem(500, "internal_error")]) as flaky:
        place = Place(kind, flaky.url, api_key=shop.key)
        try:
            with pytest.raises(ServerError):
                place.open(on_unavailable="allow").charge(account, 5)
        finally:
            place.close()


# Let through


def test_what_is_let_through_is_told_of_and_never_charged(
    shop: Shop, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = shop.open(on_unavailable="allow", journal=None, on_metrics=(told := Metrics()))
    shop.funded(account)
    hold = client.holds.create(account, 10)
    shop.way.shut()
    with caplog.at_level(logging.WARNING, "farthing.client"):
        charge = client.charge(account, 5)
    assert (charge.status, charge.amount, charge.grants) == ("allowed", 0, [])
    assert "let through and not charged" in caplog.text
    assert charge.key in caplog.text
    settled = client.holds.settle(hold.id, 5)
    assert (settled.status, settled.state, settled.id) == ("allowed", "allowed", hold.id)
    assert [each.status for each in client.charge_many([{"account": account, "amount": 1}])] == ["allowed"]
    shop.way.open()
    client.charge(account, 7)
    assert [made.amount for made in shop.charges(account)] == [7]
    assert [each for each in told if each[0] == "allow"] == [
        ("allow", account, 5, True), ("allow", None, 5, True), ("allow", account, 1, True)
    ]  # fmt: skip
    with pytest.raises(Unusable, match="no journal"):
        client.journal.stats()


def test_the_calls_of_a_token_service_go_on_as_well(make_shop: Callable[[Kind], Shop], account: str) -> None:
    shop = make_shop("sync")
    client = shop.open()
    shop.funded(account)
    shop.way.shut()
    result = Tokens(client).debit(account, 5, operation_type="chat")
    assert (result.success, result.error) == (True, "The ledger can't be reached; the debit was queued")
    shop.way.open()
    drained(client)
    assert shop.direct.balance(account).balance == 95


def test_a_charge_that_was_made_says_so(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account)
    assert client.charge(account, 5).status == "charged"
    with client.hold(account, 5) as held:
        held.used(1)
    assert held.settled.status == "charged"


# Opening and closing


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"on_unavailable": "wait"}, "one of raise, allow, queue"),
        ({"on_unavailable": "queue"}, "needs journal"),
        ({"journal": "here"}, "journal is for on_unavailable='queue'"),
        ({"on_unavailable": "allow", "journal": "here"}, "journal is for on_unavailable='queue'"),
        ({"on_unavailable": "queue", "journal": "/dev/null/journal"}, "journal: /dev/null/journal"),
    ],
)
def test_what_can_not_be_meant_is_refused_when_connecting(shop: Shop, options: dict[str, Any], why: str) -> None:
    with pytest.raises(farthing.ConnectError, match=why):
        shop.place.open(**options)


def test_what_is_not_sent_before_closing_is_sent_by_the_next_one(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account)
    shop.way.shut()
    key = client.charge(account, 5).key
    client.close()
    assert [line["kept"]["key"] for line in said(shop.files[0])] == [key]
    # The next one starts while the server is still away.
    following = shop.open()
    assert following.charge(account, 6).status == "queued"
    shop.way.open()
    wait_for(lambda: following.journal.stats().replayed == 2)
    assert sorted(made.amount for made in shop.charges(account)) == [5, 6]
    assert shop.files == []


def test_what_was_meant_for_another_ledger_is_left_alone(shop: Shop, account: str) -> None:
    shop.funded(account)
    client = shop.open()
    shop.way.shut()
    client.charge(account, 5)
    client.close()
    shop.way.open()
    elsewhere = shop.open(api_key=shop.server.new_key("admin", workspace="other"))
    assert elsewhere.journal.replay() == keeping.JournalStats(waiting=0, parked=0, queued=0, replayed=0, refused=0)
    elsewhere.close()
    assert len(shop.files) == 1
    rotated = shop.open(api_key=shop.server.new_key("admin"))
    assert rotated.journal.replay().replayed == 0
    rotated.journal.accept_any_key()
    assert rotated.journal.replay().replayed == 1
    assert shop.direct.balance(account).balance == 95


def test_a_client_that_names_its_workspace_finds_its_journal_after_its_key_was_rotated(
    shop: Shop, account: str
) -> None:
    shop.funded(account)
    client = shop.open(workspace="main")
    shop.way.shut()
    client.charge(account, 5)
    client.close()
    shop.way.open()
    rotated = shop.open(workspace="main", api_key=shop.server.new_key("admin"))
    wait_for(lambda: rotated.journal.stats().replayed == 1)
    assert shop.direct.balance(account).balance == 95


def test_a_program_may_start_while_the_server_is_away_and_name_its_workspace(shop: Shop, account: str) -> None:
    shop.funded(account)
    shop.way.shut()
    client = shop.open(workspace="main")
    assert client.charge(account, 5).status == "queued"
    shop.way.open()
    drained(client)
    assert shop.direct.balance(account).balance == 95
    shop.way.shut()
    with pytest.raises(farthing.Unavailable):
        shop.open(workspace="main", on_unavailable="raise", journal=None)


def test_nothing_is_sent_to_a_workspace_that_was_not_meant(shop: Shop, account: str) -> None:
    shop.funded(account)
    shop.way.shut()
    client = shop.open(workspace="other")
    client.charge(account, 5)
    shop.way.open()
    assert client.journal.replay().waiting == 1
    with pytest.raises(farthing.ConnectError, match="for the workspace 'main', not for 'other'"):
        client.charge(account, 5)
    assert shop.charges(account) == []


def test_a_revoked_key_keeps_what_waits(shop: Shop, account: str) -> None:
    client = shop.open(api_key="cs_live_nobody")
    with pytest.raises(Unauthorized):
        client.charge(account, 5)
    shop.way.shut()
    client.charge(account, 5)
    shop.way.open()
    stats = client.journal.replay()
    assert (stats.waiting, stats.parked) == (1, 0)


def test_a_loop_never_waits_for_the_journals_disk(
    make_shop: Callable[[Kind], Shop], account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, slow = make_shop("async"), threading.Event()
    monkeypatch.setattr(files, "sync", lambda number: slow.wait(10) or None)

    async def main() -> None:
        async with farthing.aconnect(
            shop.way.url, api_key=shop.key, on_unavailable="queue", journal=shop.journal, max_retries=0
        ) as client:
            shop.way.shut()
            charging = [asyncio.create_task(client.charge(account, 5)) for _ in range(3)]
            # Were it the loop that waits for the disk, nobody would be here to let it go on.
            await asyncio.sleep(0.2)
            assert not any(task.done() for task in charging)
            slow.set()
            assert [(await task).status for task in charging] == ["queued"] * 3

    shop.journal.mkdir()
    asyncio.run(main())
    assert len(said(shop.files[0])) == 3
