"""What is sold, and providers of payments, by the library: on a file, on PostgreSQL and over HTTP."""

from decimal import Decimal
from typing import Any

import pytest

import farthing

FAKE = "http://127.0.0.1:8790"
pytestmark = pytest.mark.parametrize(
    "place", ["sync-sqlite", "async-postgres", "sync-http"], indirect=True, scope="module"
)


def test_a_product_is_put_found_and_archived(client: Any, account: str):
    id = account.replace("/", "-")
    client.plans.put(id, 100, every=30)
    tier = {"id": "pro", "plan": id, "rank": 1, "price": "19.90", "currency": "EUR", "sold_as": {"stripe": id}}
    made = client.products.put(id, name="Bot", tiers=[tier], top_ups=[{"id": "pack", "credits": Decimal("7.5")}])
    assert (made.tiers[0].plan, made.tiers[0].sold_as, made.top_ups[0].credits) == (id, {"stripe": id}, Decimal("7.5"))
    assert client.products.get(id).tiers == made.tiers
    assert id in [product.id for product in client.products.list()]
    assert client.products.archive(id).archived_at is not None
    assert id not in [product.id for product in client.products.list()]
    assert id in [product.id for product in client.products.list(archived=True)]
    with pytest.raises(farthing.Invalid, match="names a plan that is not there"):
        client.products.put(id, tiers=[{**tier, "plan": "nothing"}])
    with pytest.raises(TypeError, match="credits"):
        client.products.put(id, top_ups=[{"id": "pack", "credits": 7.5}])
    with pytest.raises(farthing.NotFound):
        client.products.get(f"{id}-2")


def test_a_provider_is_set_and_its_secrets_never_come_back(client: Any):
    made = client.providers.put("stripe", api_key="sk_live_abcdefghijklmnop", webhook_secrets=["whsec_1"])
    assert (made.api_key.hint, made.api_key.reference, made.passphrase) == ("mnop", None, None)
    assert "abcdefgh" not in repr(made)
    added = client.providers.put("stripe", webhook_secrets=["whsec_2"], keep_webhook_secrets=True)
    assert len(added.webhook_secrets) == 2
    with pytest.raises(farthing.Invalid, match="given again"):
        client.providers.put("stripe", base_url=FAKE)
    assert client.providers.get("stripe").base_url is None
    assert [provider.id for provider in client.providers.list()] == ["stripe"]
    assert client.providers.remove("stripe").id == "stripe"
    with pytest.raises(farthing.NotFound):
        client.providers.get("stripe")


def test_a_reference_is_for_whoever_has_the_database_open(client: Any, place: Any):
    if place.url.startswith("http"):
        with pytest.raises(farthing.Invalid, match="providers set"):
            client.providers.put("digistore24", api_key="env:DS24_KEY")
    else:
        made = client.providers.put("digistore24", api_key="env:DS24_KEY", product_ids=["500001"])
        assert (made.api_key.reference, made.product_ids) == ("env:DS24_KEY", ["500001"])
        client.providers.remove("digistore24")
