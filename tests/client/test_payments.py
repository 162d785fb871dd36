"""Payments by the library: on a file, on PostgreSQL and over HTTP."""

from decimal import Decimal
from typing import Any

import pytest

import farthing
from farthing.client import errors

pytestmark = pytest.mark.parametrize(
    "place", ["sync-sqlite", "async-postgres", "sync-http"], indirect=True, scope="module"
)


def test_a_payment_that_was_credited_by_hand_is_found_and_has_nothing_to_assign(client: Any, account: str):
    client.plans.put(account, 100, every=30)
    client.subscriptions.subscribe(account, account, payment=("acme", f"p/{account}"))
    found = client.payments.get("acme", f"p/{account}")
    assert (found.state, found.account, found.credits, found.amount) == ("credited", account, Decimal(100), None)
    assert [each.payment for each in client.payments.list(account=account)] == [f"p/{account}"]
    assert list(client.payments.list(account=account, state="waiting", limit=1)) == []
    assert list(client.payments.unmatched(account=account, provider="stripe")) == []
    with pytest.raises(errors.Conflict, match="by hand"):
        client.payments.assign("acme", f"p/{account}", account, reason="to see")
    with pytest.raises(errors.Conflict, match="another account"):
        client.payments.assign("acme", f"p/{account}", "mallory", offer="x/y", dry_run=True)
    with pytest.raises(farthing.NotFound):
        client.payments.assign("acme", f"q/{account}", account)


def test_what_nobody_has_sent_is_not_there(client: Any):
    assert list(client.payments.events(provider="stripe", unmatched=True, limit=5)) == []
    with pytest.raises(farthing.NotFound):
        client.payments.event("stripe", "evt_1")
    with pytest.raises(farthing.NotFound):
        client.payments.retry("stripe", "evt_1")
