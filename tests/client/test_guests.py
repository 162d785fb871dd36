"""Guests: accounts that are never charged, of which the ledger hears nothing."""

from typing import Any

import pytest

import farthing
from farthing.client.guests import guests_of
from tests.client.driving import Place
from tests.client.flaky import Flaky, drop
from tests.client.test_tokens import service_on

GUEST = "anonymous"


@pytest.fixture(scope="module")
def hosting(place: Place) -> Any:
    """A client that has guests."""
    return place.open(guests=[GUEST, "crawler"])


def test_a_guest_is_never_charged_and_has_no_account(hosting: Any, client: Any) -> None:
    charge = hosting.charge(GUEST, 5, operation="chat", metadata={"a": 1}, key="once")
    assert (charge.status, charge.amount, charge.key, charge.account) == ("guest", 0, "once", GUEST)
    assert (charge.operation, charge.metadata, charge.after.balance) == ("chat", {"a": 1}, 0)
    assert hosting.charge(GUEST, usage={"dimensions": {"images": 3}}).status == "guest"
    with pytest.raises(farthing.AccountNotFound):
        client.balance(GUEST)
    with pytest.raises(farthing.AccountNotFound):
        client.charge(GUEST, 5, key="once")


def test_a_guest_can_afford_everything(hosting: Any) -> None:
    answer = hosting.can_afford(GUEST, 10**6)
    assert (bool(answer), answer.cost, answer.deficit) == (True, 0, 0)
    assert hosting.can_afford("crawler", model="of nobody", input_tokens=1).affordable


def test_the_hold_of_a_guest_sets_nothing_aside(hosting: Any, client: Any) -> None:
    with hosting.hold(GUEST, 20, expires_in=60) as held:
        held.used(7)
    assert (held.hold.status, held.settled.status, held.settled.amount) == ("guest", "guest", 0)
    with hosting.hold(GUEST, 20) as held:
        assert held.extend(raise_by=5).raised_by == 0
    assert held.settled is None
    with pytest.raises(farthing.AccountNotFound):
        client.accounts.get(GUEST)


def test_the_hold_of_a_guest_is_managed_by_hand(hosting: Any) -> None:
    hold = hosting.holds.create(GUEST, 20)
    assert hosting.holds.settle(hold.id, 5, last=False).state == "live"
    assert hosting.holds.extend(hold.id, metered=1).raised_by == 0
    assert hosting.holds.release(hold.id).account == GUEST


def test_of_many_charges_those_of_guests_are_left_out(hosting: Any, rich: str) -> None:
    items: Any = [{"account": each, "amount": 3} for each in (GUEST, rich, "crawler", rich, GUEST)]
    results = hosting.charge_many(items)
    assert [each.status for each in results] == ["guest", "charged", "guest", "charged", "guest"]
    assert [each.index for each in results] == list(range(5))
    assert [each.charge.amount for each in results] == [0, 3, 0, 3, 0]
    assert {each.charge.key == each.key for each in results} == {True}
    assert [each.status for each in hosting.charge_many(items[:1])] == ["guest"]
    assert hosting.balance(rich).balance == 94


def test_others_are_charged_as_ever_and_so_are_guests_by_a_client_that_has_none(
    hosting: Any, client: Any, rich: str, account: str
) -> None:
    assert hosting.charge(rich, 5).status == "charged"
    with hosting.hold(rich, 5) as held:
        assert held.hold.status == "placed"
    client.grant("crawler", 5)
    assert client.charge("crawler", 5).status == "charged"
    assert hosting.charge("crawler", 5).status == "guest"


def test_nothing_of_a_guest_is_sent_and_amounts_are_looked_at_all_the_same() -> None:
    with Flaky([drop]) as flaky, farthing.connect(flaky.url, api_key="cs_live_x", guests=iter([GUEST])) as client:
        assert client.charge(GUEST, 1).status == "guest"
        with client.hold(GUEST, 1) as held:
            held.used(1)
        amount: Any = 0.5
        with pytest.raises(TypeError, match="float"):
            client.charge(GUEST, amount)
        assert flaky.seen == []


def test_a_guest_of_a_token_service_has_nothing_and_is_never_refused(hosting: Any) -> None:
    tokens = service_on(hosting)
    result = tokens.debit(GUEST, 10, operation_type="chat")
    assert (result.success, result.new_balance, result.error) == (True, 0, None)
    assert tokens.get_balance(GUEST) is None


@pytest.mark.parametrize(("given", "why"), [(GUEST, "a list of accounts"), ([5], "not 5"), ([""], "not ''")])
def test_what_can_be_no_guest_is_refused_when_connecting(given: Any, why: str) -> None:
    with pytest.raises(farthing.ConnectError, match=why):
        guests_of(given)
