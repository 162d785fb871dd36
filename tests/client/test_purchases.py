"""Buying by the library: on a file, on PostgreSQL and over HTTP, at the stand-in for Stripe."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

import farthing
from farthing.fakes.stripe import Options, Remote, running

pytestmark = pytest.mark.parametrize(
    "place", ["sync-sqlite", "async-postgres", "sync-http"], indirect=True, scope="module"
)
KEY, BACK = "sk_live_fake", "https://shop.example/thanks"


@pytest.fixture(scope="module")
def fake() -> Iterator[Remote]:
    with running(Options(keys=(KEY,))) as served:
        yield served


@pytest.fixture
def shop(client: Any, fake: Remote) -> Any:
    """A client of a ledger that sells a top-up."""
    fields = {"currency": "eur", "unit_amount": "900", "product_data[name]": "Pack"}
    made = httpx2.post(f"{fake.url}/v1/prices", data=fields, headers={"authorization": f"Bearer {KEY}"})
    pack = {"id": "pack", "credits": 500, "price": "9.00", "currency": "EUR", "sold_as": {"stripe": made.json()["id"]}}
    client.products.put("bot", top_ups=[pack])
    client.providers.put("stripe", api_key=KEY, base_url=fake.url, success_url=BACK)
    return client


def test_links_and_checkouts_lead_to_the_providers_pages(shop: Any, fake: Remote, account: str):
    found = shop.purchases.links(account, "bot")
    assert (found.provider, found.tier, [link.offer for link in found.links]) == ("stripe", None, ["bot/pack"])
    url = shop.purchases.checkout(account, "bot/pack", cancel_url=BACK).url
    assert httpx2.get(url).status_code == 200
    assert shop.purchases.portal(account, return_url=BACK).url.startswith(fake.url)
    with pytest.raises(farthing.NotFound):
        shop.purchases.checkout(account, "bot/nothing")
    with pytest.raises(farthing.Invalid, match="success_url"):
        shop.purchases.checkout(account, "bot/pack", success_url="nowhere")


def test_what_was_bought_is_listed(shop: Any, account: str):
    assert list(shop.purchases.orders(account)) == []
    assert list(shop.purchases.orders(unclaimed=True)) == list(shop.purchases.orders()) == []
    with pytest.raises(farthing.NotFound):
        shop.purchases.order("stripe", "sub_nothing")
    with pytest.raises(farthing.NotFound):
        shop.purchases.claim("stripe", "sub_nothing", account)
