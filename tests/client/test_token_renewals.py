"""Renewals of the token service: each row of the old contract, in process on both databases and over HTTP."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import farthing
from farthing.compat.tokens import AsyncTokens, Tokens
from tests.client.driving import Driver

SAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plans" / "token_bot.json"
DAYS = timedelta(days=1)


@pytest.fixture(scope="module", autouse=True)
def plans(client: Any) -> dict[str, Any]:
    """The sample's plans, by id; and one of each module's own, so that nobody else's users are due in it."""
    put = {}
    for given in msgspec.json.decode(SAMPLE.read_bytes())["plans"]:
        put[given["id"]] = client.plans.put(**given)
    return put


@pytest.fixture(scope="module")
def tokens(client: Any, plans: Any) -> Any:
    if isinstance(client, Driver):
        return Driver(client._runner, AsyncTokens(client._what))
    return Tokens(client)


def ago(days: int) -> datetime:
    return datetime.now(UTC) - days * DAYS


def due(client: Any, account: str, plan: str = "gift", days: int = 1, **terms: Any) -> Any:
    """An account whose next period began so many days ago."""
    return client.subscriptions.subscribe(account, plan, next_at=ago(days), **terms).subscription


def test_the_sample_has_the_tiers_of_the_platform(plans):
    facts = {(p.name, int(p.allowance), p.every, p.unit, p.price, p.currency) for p in plans.values()}
    assert facts == {
        ("Gift", 100, 30, "days", None, None),
        ("Professional", 2000, 30, "days", "1990", "RUB"),
        ("Business", 10000, 30, "days", "3490", "RUB"),
    }
    assert [p.id for p in sorted(plans.values(), key=lambda p: p.rank)] == ["gift", "professional", "business"]


def test_a_balance_has_tier_and_last_renewal(client, tokens, account):
    client.subscriptions.subscribe(account, "gift")
    found = tokens.get_balance(account)
    assert (found.tokens_balance, found.tier) == (100, "gift")
    assert abs(found.last_renewal_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_eligible_tells_why_not(client, tokens, account, rich):
    assert vars_of(tokens.eligible(f"not {account}")) == (False, "User not found", None)
    assert vars_of(tokens.eligible(rich)) == (False, "No subscription", None)
    s = client.subscriptions.subscribe(account, "gift").subscription
    told = tokens.eligible(account)
    assert vars_of(told) == (False, "Next renewal in 30 days", 30)
    assert told.next_renewal_date == s.next_at


def vars_of(told: Any) -> tuple[Any, ...]:
    return told.eligible, told.reason, told.days_until_renewal


def test_who_is_due_is_eligible_and_an_expired_tier_is_not(client, tokens, account):
    due(client, account, expires_at=datetime.now(UTC) + timedelta(seconds=0.5))
    assert vars_of(tokens.eligible(account)) == (True, None, 0)
    client.subscriptions.unsubscribe(account, at_once=True)
    assert vars_of(tokens.eligible(account)) == (False, "Subscription expired", None)
    assert tokens.renew_user(account).error == "Subscription expired"


def test_a_user_is_renewed_and_unused_tokens_stay(client, tokens, account):
    client.grant(account, 40)
    s = due(client, account)
    done = tokens.renew_user(account)
    assert (done.success, done.tier, done.tokens_added, done.previous_balance, done.new_balance) == (
        True, "gift", 100, 40, 140,
    )  # fmt: skip
    assert done.error is None
    entry = tokens.user_entries(account)[0]
    assert (entry.operation_type, entry.tokens_amount) == ("monthly_reset", 100)
    assert entry.metadata == {"tier": "gift", "renewalType": "manual"}
    # The next date is the last due date and a period, not the moment of renewing.
    assert client.subscriptions.get(account).next_at == s.next_at + 30 * DAYS
    again = tokens.renew_user(account)
    assert (again.success, again.new_balance, again.error) == (False, 140, "Next renewal in 29 days")


def test_a_failed_renewal_tells_the_balance_there_is(tokens, account, rich):
    done = tokens.renew_user(rich)
    assert (done.success, done.new_balance, done.error) == (False, 100, "No subscription")
    assert tokens.renew_user(f"not {account}").error == "User not found"


def test_a_claim_that_is_tried_again_gets_its_first_answer_and_another_is_refused(client, account):
    due(client, account)
    first, again = (client.subscriptions.renew(account, key="claim-1") for _ in range(2))
    assert (first.replayed, again.replayed, again.entry) == (False, True, first.entry)
    with pytest.raises(farthing.ApiError) as refused:
        client.subscriptions.renew(account, key="claim-2")
    assert (refused.value.code, getattr(refused.value, "days", None)) == ("not_due", 29)


def test_all_who_are_eligible_are_renewed_the_oldest_due_first(client, tokens, account):
    tier = f"tier of {account}"
    client.plans.put(tier, 7, every=30)
    names = [f"{account} {n}" for n in range(5)]
    for n, name in enumerate(names):
        due(client, name, tier, days=5 - n)
    assert tokens.users_due(tier) == names
    dry = tokens.renew_all_eligible(tier=tier, dry_run=True)
    assert (dry.total_processed, dry.successful, [r.user_id for r in dry.renewals]) == (5, 5, names)
    part = tokens.renew_all_eligible(tier=tier, limit=2)
    assert ([r.user_id for r in part.renewals], part.total_processed) == (names[:2], 2)
    rest = tokens.renew_all_eligible(tier=tier)
    assert (rest.total_processed, rest.successful, rest.failed, rest.skipped, rest.errors) == (3, 3, 0, 0, ())
    assert {(r.tokens_added, r.previous_balance, r.new_balance) for r in rest.renewals} == {(7, 0, 7)}
    assert tokens.users_due(tier) == []


def test_a_failure_ends_the_batch_unless_it_may_go_on(client, tokens, account):
    tier = f"tier of {account}"
    client.plans.put(tier, 7, every=30)
    names = [f"{account} {n}" for n in range(3)]
    for n, name in enumerate(names):
        due(client, name, tier, days=5 - n)
    client.grant(names[0], 1)
    client.grant(names[0], 1, priority=1)
    before = client.settings.get()
    client.settings.change(max_live_grants=2)
    stopped = tokens.renew_all_eligible(tier=tier, limit=1)
    assert [(e.user_id, e.error) for e in stopped.errors] == [
        (names[0], "This account has 2 live grants, as many as it may have.")
    ]
    going_on = tokens.renew_all_eligible(tier=tier, continue_on_error=True)
    client.settings.change(max_live_grants=before.max_live_grants)
    assert (going_on.total_processed, going_on.successful, going_on.failed) == (3, 2, 1)
    assert tokens.renew_all_eligible(tier=tier).successful == 1


def test_buying_a_tier_is_one_act_for_its_payment(client, tokens, account):
    bought = [
        client.subscriptions.subscribe(account, "professional", payment=("stripe", f"pi of {account}"), key=key)
        for key in ("one", "two", "two")
    ]
    assert [b.replayed for b in bought] == [False, True, True]
    assert {b.entry for b in bought} == {bought[0].entry}
    s = bought[0].subscription
    assert (s.plan, s.expires_at, tokens.get_balance(account).tokens_balance) == ("professional", s.next_at, 2000)
    upgraded = client.subscriptions.subscribe(account, "business")
    assert (upgraded.subscription.id, upgraded.given, upgraded.after.balance) == (s.id, 10000, 12000)
    assert [e.operation_type for e in tokens.user_entries(account)] == ["purchase", "purchase"]


def test_a_change_waits_for_the_renewal_and_a_cancellation_is_taken_back(client, account):
    s = due(client, account, "professional", days=0, expires_at=ago(-30))
    waiting = client.subscriptions.change(account, "gift").subscription
    assert (waiting.plan, waiting.pending_plan) == ("professional", "gift")
    assert client.subscriptions.unsubscribe(account, dry_run=True).subscription.canceled_at is not None
    assert client.subscriptions.resume(account).subscription == waiting
    renewed = client.subscriptions.renew(account)
    assert (renewed.given, renewed.subscription.plan, renewed.subscription.pending_plan) == (100, "gift", None)
    assert renewed.subscription.next_at == s.next_at + 30 * DAYS


def test_cron_says_daily_at_two(tokens):
    found = tokens.cron_expression
    assert (found() if callable(found) else found) == "0 2 * * *"


def test_callbacks_are_told_of_renewals(place):
    told: list[tuple[Any, ...]] = []
    changed: list[str] = []
    client = place.open(
        on_balance_change=changed.append,
        on_metrics=lambda **facts: told.append((facts["operation"], facts["account"], facts["success"])),
    )
    client.plans.put("for callbacks", 1, every=30)
    due(client, "called back", "for callbacks")
    client.subscriptions.renew_due(plan="for callbacks")
    client.subscriptions.unsubscribe("called back", at_once=True)
    client.close()
    assert told == [("subscribe", "called back", True), ("renew", "called back", True)]
    assert changed == ["called back", "called back"]
