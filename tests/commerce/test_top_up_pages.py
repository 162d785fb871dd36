"""Pages that a top-up's buyer was sent to, at the stand-in for Stripe: once nobody shall pay on one it is closed, and
who was faster has paid once.
"""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import stripe as library

from farthing.core.auto_top_up import AutoTopUp
from farthing.core.top_up_attempts import Standing
from tests.commerce.bazaar import bazaar
from tests.commerce.test_topping_up import ALWAYS_ASKS, BELOW, Corner
from tests.postgres import TEMPLATE
from tests.support import UNIT


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    postgres = request.param == "postgres"
    url = request.getfixturevalue("databases").make(TEMPLATE, keep=True) if postgres else ""
    with bazaar(tmp_path_factory.mktemp("pages"), url) as found:
        yield Corner(found)


@pytest.fixture
def corner(opened: Corner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Corner]:
    monkeypatch.setattr(library.HTTPClient, "INITIAL_DELAY", 0.01)
    yield opened
    opened.shop.restore()
    opened.server.run(opened.ledger.database.rows("delete from job where kind = 'top_up'"))


def sent_to_a_page(corner: Corner) -> tuple[str, str]:
    """An account whose buyer was sent to a page, and the page."""
    account = corner.account("stripe", ALWAYS_ASKS)
    corner.spend(account)
    corner.run()
    return account, corner.standing(account).url.rpartition("/")[2]


def resume(corner: Corner, account: str) -> None:
    assert corner.shop.v1.made(f"accounts/{account}/auto-top-up/resume") == {"account": account, "state": "ready"}


def status(corner: Corner, page: str) -> str:
    found = corner.shop.pay.get("state", kind="checkout.session")["data"]
    (mine,) = [str(each["status"]) for each in found if each["id"] == page]
    return mine


def unreachable(corner: Corner) -> None:
    """Nobody can close a page."""
    weather: dict[str, Any] = {"mode": "error", "path": "/v1/checkout/sessions"}
    assert httpx2.post(f"{corner.shop.pay.url}/_fake/weather", json=weather, timeout=60).status_code == 200


def test_who_goes_on_can_not_be_paid_for_on_the_page_of_before_as_well(corner: Corner):
    account, page = sent_to_a_page(corner)
    corner.later(minutes=1)
    resume(corner, account)
    corner.new_card(account, "pm_card_visa")
    assert (corner.run().done, status(corner, page)) == (1, "expired")
    with pytest.raises(ValueError, match="This checkout is expired"):
        corner.shop.pay.post(f"checkouts/{page}/pay")
    corner.shop.pay.post("events/send")
    assert (corner.balance(account), corner.charged(account)) == (1040, 1)
    assert corner.states(account) == ["authentication_required", "done"]
    assert (corner.attempts(account)[0].url, corner.standing(account)) == ("", Standing())


def test_while_the_page_can_not_be_closed_nothing_else_is_bought_and_it_is_tried_again(corner: Corner):
    account, page = sent_to_a_page(corner)
    corner.new_card(account, "pm_card_visa")
    unreachable(corner)
    resume(corner, account)
    assert (corner.run().done, corner.look(account).why, status(corner, page)) == (0, "page_open", "open")
    corner.shop.restore()
    assert corner.run().done == 0, "it is not due yet"
    corner.later(hours=1)
    assert (corner.run().done, status(corner, page)) == (1, "expired")
    corner.shop.pay.post("events/send")
    assert (corner.balance(account), corner.charged(account)) == (1040, 1)


def test_what_was_paid_on_the_page_before_it_was_closed_is_credited_and_nothing_is_bought_beside_it(corner: Corner):
    account, page = sent_to_a_page(corner)
    corner.hold_back("stripe")
    corner.shop.pay.post(f"checkouts/{page}/pay")
    resume(corner, account)
    assert (corner.run().done, corner.states(account)) == (0, ["pending"])
    assert (corner.look(account).why, corner.charged(account)) == ("in_flight", 0)
    corner.hold_back("stripe", False)
    assert (corner.balance(account), corner.states(account), corner.standing(account)) == (1040, ["done"], Standing())
    assert corner.told(account) == ["done", "paused"]
    lost, page = sent_to_a_page(corner)
    corner.hold_back("stripe")
    corner.shop.pay.post(f"checkouts/{page}/pay")
    resume(corner, lost)
    corner.run()
    corner.later(hours=24)
    corner.run()
    assert (corner.balance(lost), corner.states(lost)) == (1040, ["done"]), "Stripe is asked, as of any payment"
    corner.hold_back("stripe", False)
    assert corner.balance(lost) == 1040


@pytest.mark.parametrize("way", ["off", "another", "erased"])
def test_what_is_not_to_be_bought_any_more_can_not_be_bought_on_the_page(corner: Corner, way: str):
    account, page = sent_to_a_page(corner)
    if way == "erased":
        corner.shop.v1.made(f"accounts/{account}/erase", {"reason": "asked for it"})
    else:
        other = AutoTopUp(provider="stripe", threshold=BELOW * UNIT, offer="bot/small")
        corner.set(account, None if way == "off" else other)
    assert (corner.run().done, status(corner, page), corner.standing(account).url) == (0, "expired", "")
    assert (corner.balance(account), corner.standing(account).paused) == (40, "authentication_required")
    assert corner.run().done == 0
    if way == "another":
        resume(corner, account)
        corner.run()
        assert corner.standing(account).url, "there is one for what is set now"
