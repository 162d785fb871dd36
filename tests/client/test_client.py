"""The client: what every method does, the same in process on both databases and over HTTP, synchronous and not."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import farthing
from farthing.client import errors

D = Decimal


# Accounts and credits


def test_a_grant_makes_the_account_and_can_be_spent(client: Any, account: str) -> None:
    grant = client.grant(account, "12.5", category="promotional", source={"order": "AB"}, metadata={"n": 1})
    assert (grant.amount, grant.category, grant.source) == (D("12.5"), "promotional", {"order": "AB"})
    assert grant.metadata == {"n": 1}
    assert grant.account == account
    balance = client.balance(account)
    assert (balance.account, balance.balance, balance.available, balance.held) == (account, D("12.5"), D("12.5"), 0)
    charge = client.charge(account, 5, operation="chat")
    assert (charge.amount, charge.after.balance, charge.operation) == (5, D("7.5"), "chat")
    assert charge.grants[0].grant == grant.id
    assert charge.created_at.tzinfo is UTC


def test_amounts_may_be_decimals_ints_and_text(client: Any, rich: str) -> None:
    taken = [client.charge(rich, amount).amount for amount in (D("0.1"), 2, "0.000001", D("1E+1"))]
    assert taken == [D("0.1"), D(2), D("0.000001"), D(10)]


@pytest.mark.parametrize("amount", [0.1, 5.0, float("nan")])
def test_a_float_is_refused_before_anything_is_sent(client: Any, rich: str, amount: Any) -> None:
    for act in (client.charge, client.grant, client.adjust, client.refund_latest, client.set_balance, client.hold):
        with pytest.raises(TypeError, match="amount must be a Decimal, an int or text"):
            act(rich, amount)
    assert client.balance(rich).balance == 100


@pytest.mark.parametrize("amount", ["", "1e3", "five", " 5", "5 ", "--5", "1,5", "٣"])
def test_text_that_is_no_number_is_refused_before_anything_is_sent(client: Any, rich: str, amount: str) -> None:
    with pytest.raises(ValueError, match="amount must be decimal text"):
        client.charge(rich, amount)


@pytest.mark.parametrize("amount", ["0", "-5", "0.0000001", "1000000000000000"])
def test_an_amount_that_can_not_be_charged_says_where_it_stands(client: Any, rich: str, amount: str) -> None:
    with pytest.raises(farthing.Invalid) as caught:
        client.charge(rich, amount)
    assert [error["pointer"] for error in caught.value.errors] == ["/amount"]


def test_what_is_not_there_can_not_be_charged(client: Any, rich: str) -> None:
    with pytest.raises(farthing.InsufficientCredits) as caught:
        client.charge(rich, 105)
    error: Any = caught.value
    assert (error.required, error.available, error.deficit) == (105, 100, 5)
    assert (error.status, error.code) == (402, "insufficient_credits")
    assert error.key.startswith("key_")
    assert error.request_id.startswith("req_")
    assert client.charge(rich, 105, shortfall="debt").debt == 5
    assert client.balance(rich).debt == 5


def test_an_unknown_account_is_an_error_and_never_a_balance_of_zero(client: Any, account: str) -> None:
    for ask in (client.balance, client.accounts.get, lambda a: list(client.entries(a)), lambda a: client.charge(a, 1)):
        with pytest.raises(farthing.AccountNotFound):
            ask(account)
    assert not client.can_afford(account, 1)


def test_accounts_are_made_listed_and_set(client: Any, account: str) -> None:
    assert client.accounts.create(account).account == account
    with pytest.raises(errors.AccountExists):
        client.accounts.create(account)
    client.grant(account, 10)
    assert client.accounts.get(account).earned == 10
    assert [found.id for found in client.accounts.list(account)] == [account]
    settings = client.accounts.settings(account)
    changed = client.accounts.change_settings(account, frozen=True, spend_limit_day="5", if_match=settings.etag)
    assert (changed.settings.frozen, changed.settings.spend_limit_day) == (True, 5)
    with pytest.raises(farthing.Frozen):
        client.charge(account, 1)
    with pytest.raises(errors.PreconditionFailed):
        client.accounts.change_settings(account, frozen=False, if_match=settings.etag)
    client.accounts.change_settings(account, frozen=False, if_match=changed.etag)
    with pytest.raises(farthing.SpendLimit) as caught:
        client.charge(account, 6)
    assert caught.value.limit == caught.value.left == 5
    assert caught.value.period == "day"
    assert client.accounts.change_settings(account, spend_limit_day=None).settings.spend_limit_day is None


def test_a_balance_is_set_and_adjusted(client: Any, rich: str) -> None:
    assert client.adjust(rich, -30).after.balance == 70
    assert client.set_balance(rich, 100).amount == 30
    replaced = client.set_balance(rich, 5, mode="replace")
    assert (replaced.written_off, replaced.after.balance) == (100, 5)
    with pytest.raises(farthing.InsufficientCredits):
        client.adjust(rich, -6)
    assert client.adjust(rich, -6, force=True).owed == 1


def test_grants_have_an_end_a_scope_and_can_be_voided(client: Any, account: str) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    grant = client.grant(account, 10, expires_at=end, scope=["operation:image.*"], priority=3)
    assert (grant.expires_at, grant.scope, grant.priority) == (end, ["operation:image.*"], 3)
    assert client.balance(account).available == 0
    assert client.balance(account, operation="image.edit").available == 10
    assert client.grants.get(grant.id).remaining == 10
    assert [found.id for found in client.grants.list(account, state="live")] == [grant.id]
    assert client.grants.void(grant.id).written_off == 10
    with pytest.raises(farthing.InsufficientCredits):
        client.charge(account, 1, operation="image.edit")


# Keys


def test_the_same_key_does_nothing_twice(client: Any, rich: str) -> None:
    first = client.charge(rich, 5, key="message 1")
    again = client.charge(rich, 5, key="message 1")
    assert (first.replayed, again.replayed) == (False, True)
    assert (first.key, again.id) == ("message 1", first.id)
    with pytest.raises(farthing.KeyConflict) as caught:
        client.charge(rich, 6, key="message 1")
    assert caught.value.differs == ["amount"]
    assert client.balance(rich).balance == 95


@pytest.mark.parametrize("key", ['"quoted"', " blank ", "a", "~" * 255, '"'])
def test_a_key_is_kept_as_it_was_given(client: Any, rich: str, key: str) -> None:
    client.charge(rich, 5, key=key)
    assert next(iter(client.entries(rich))).key == f"v1:{key}"


@pytest.mark.parametrize("key", ["", "ü", "a\n", "x" * 256])
def test_a_key_that_no_header_can_carry_is_refused(client: Any, rich: str, key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        client.charge(rich, 5, key=key)


def test_each_act_has_a_key_of_its_own_and_they_are_ordered(client: Any, rich: str) -> None:
    keys = [client.charge(rich, 1).key for _ in range(3)]
    assert len(set(keys)) == 3
    assert [key[:16] for key in keys] == sorted(key[:16] for key in keys)


def test_a_dry_run_tells_and_keeps_nothing(client: Any, rich: str) -> None:
    told = client.charge(rich, 5, dry_run=True, key="dry")
    assert (told.dry_run, told.after.balance) == (True, 95)
    assert client.balance(rich).balance == 100
    assert client.charge(rich, 5, key="dry").replayed is False


# History


def test_entries_are_read_page_by_page_while_one_iterates(client: Any, rich: str) -> None:
    for number in range(1, 8):
        client.charge(rich, number)
    amounts = [entry.amount for entry in client.entries(rich, kinds="charge", limit=3)]
    assert amounts == [-7, -6, -5, -4, -3, -2, -1]
    oldest = client.entries(rich, kinds=["charge", "grant"], order="oldest", limit=3)
    assert [len(page.data) for page in oldest.pages()] == [3, 3, 2]
    assert oldest.first().data[0].kind == "grant"
    entry = next(iter(client.entries(rich)))
    assert client.entry(entry.id) == entry


def test_charges_are_explained_and_refunded_into_their_grants(client: Any, rich: str) -> None:
    charge = client.charge(rich, 10, description="An answer")
    refund = client.refund(charge.id, 4, description="It was cut off")
    assert (refund.amount, refund.charge, refund.returned[0].grant) == (4, charge.id, charge.grants[0].grant)
    told = client.charges.get(charge.id)
    assert (told.refunded, told.refundable, told.refunds[0].description) == (4, 6, "It was cut off")
    with pytest.raises(farthing.RefundTooLarge) as caught:
        client.refund(charge.id, 7)
    assert caught.value.refundable == 6
    assert client.refund_latest(rich, 6).returned[0].charge == charge.id
    assert [found.refunded for found in client.charges.list(rich)] == [10]
    with pytest.raises(errors.ChargeNotFound):
        client.refund("ent_nothing")


# Holds


def test_a_hold_is_settled_with_what_was_said(client: Any, rich: str) -> None:
    with client.hold(rich, 20, operation="image") as held:
        assert client.balance(rich).held == 20
        held.used(3)
        held.used("4.5")
    assert (held.settled.amount, held.settled.released, held.settled.operation) == (D("4.5"), D("15.5"), "image")
    assert (client.balance(rich).balance, client.balance(rich).held) == (D("95.5"), 0)


def test_a_hold_is_released_where_nothing_was_said(client: Any, rich: str) -> None:
    with client.hold(rich, 20) as held:
        pass
    assert held.settled is None
    assert client.holds.get(held.id).state == "released"
    assert client.balance(rich).available == 100


def cut_off(hold: Any) -> bool:
    """Work that uses 3 and then breaks; whether that came out."""
    try:
        with hold as held:
            held.used(3)
            raise LookupError
    except LookupError:
        return True
    return False


def test_a_hold_is_released_where_the_block_raises(client: Any, rich: str) -> None:
    assert cut_off(client.hold(rich, 20))
    assert client.balance(rich).available == 100


def test_a_hold_that_settles_on_an_error_charges_what_was_used(client: Any, rich: str) -> None:
    assert cut_off(client.hold(rich, 20, on_error="settle"))
    assert client.balance(rich).available == 97


def test_a_hold_may_be_settled_in_parts_and_the_rest_is_free(client: Any, rich: str) -> None:
    with client.hold(rich, 20) as held:
        assert held.settle(3, last=False).state == "live"
        assert held.settle(4, last=False).state == "live"
        held.extend(raise_by=10, metered=9)
    assert client.balance(rich).available == 93
    assert client.holds.get(held.id).amount == 30


def test_a_hold_settled_in_the_block_is_left_alone(client: Any, rich: str) -> None:
    with client.hold(rich, 20) as held:
        held.settle()
        held.used(1)
    assert client.balance(rich).available == 80


def test_work_that_used_more_than_was_held_is_charged_all_of_it(client: Any, rich: str) -> None:
    with client.hold(rich, 100) as held:
        held.used(130)
    assert held.settled.debt == 30


def test_a_hold_that_can_not_be_placed_runs_no_block(client: Any, rich: str) -> None:
    entered = []
    with pytest.raises(farthing.InsufficientCredits), client.hold(rich, 101):
        entered.append(True)
    assert not entered


def test_a_block_under_a_key_used_before_goes_on_or_is_not_run_again(client: Any, rich: str) -> None:
    first = client.holds.create(rich, 20, key="job 1")
    with client.hold(rich, 20, key="job 1") as held:
        assert held.id == first.id
        held.used(5)
    entered = []
    with pytest.raises(farthing.HoldEnded) as caught, client.hold(rich, 20, key="job 1"):
        entered.append(True)
    assert caught.value.state == "settled"
    assert not entered
    assert (client.balance(rich).balance, client.balance(rich).held) == (95, 0)


def test_a_hold_that_was_not_entered_says_so(client: Any, rich: str) -> None:
    held = client.hold(rich, 20)
    with pytest.raises(errors.Unusable, match="enter it"):
        held.settle(3)
    assert client.balance(rich).available == 100


def test_a_hold_is_managed_by_hand(client: Any, rich: str) -> None:
    hold = client.holds.create(rich, 20, expires_in=timedelta(minutes=5), on_expiry="metered")
    assert (hold.amount, hold.on_expiry, hold.state) == (20, "metered", "live")
    assert hold.expires_at - hold.created_at == timedelta(minutes=5)
    assert client.holds.extend(hold.id, metered=2).metered == 2
    assert [found.metered for found in client.holds.list(rich, state="live")] == [2]
    settled = client.holds.settle(hold.id, 15)
    assert (settled.amount, settled.released) == (15, 5)
    with pytest.raises(farthing.HoldEnded) as caught:
        client.holds.release(hold.id)
    assert caught.value.state == "settled"
    assert client.refund(settled.charge).amount == 15
    with pytest.raises(farthing.HoldNotFound):
        client.holds.get("hold_nothing")


# Many


def test_many_charges_each_have_their_own_result(client: Any, rich: str, account: str) -> None:
    results = client.charge_many(
        [
            {"account": rich, "amount": 5, "key": f"{rich}-1"},
            {"account": "nobody", "amount": 5},
            {"account": rich, "amount": "0.0000001"},
            {"account": rich, "amount": 5, "key": f"{rich}-1"},
        ]
    )
    assert [(each.index, each.status, each.replayed) for each in results] == [
        (0, "charged", False), (1, "refused", False), (2, "refused", False), (3, "charged", True),
    ]  # fmt: skip
    assert (results[0].charge.amount, results[0].charge.key) == (5, f"{rich}-1")
    assert isinstance(results[1].error, farthing.AccountNotFound)
    assert isinstance(results[2].error, farthing.Invalid)
    assert client.balance(rich).balance == 95


def test_more_charges_than_fit_an_envelope_are_sent_in_several(client: Any, account: str) -> None:
    client.grant(account, 2_000)
    results = client.charge_many([{"account": account, "amount": 1}] * 1_001)
    assert [each.index for each in results] == list(range(1_001))
    assert client.balance(account).balance == 999


@pytest.mark.parametrize("item", [{"amount": 5}, {"account": "a"}, {"account": "a", "amount": 5, "colour": "red"}])
def test_an_item_that_is_no_charge_is_refused_before_any_is_sent(client: Any, rich: str, item: Any) -> None:
    with pytest.raises(TypeError):
        client.charge_many([{"account": rich, "amount": 5}, item])
    assert client.balance(rich).balance == 100


# Usage and prices


CARD: dict[str, Any] = {
    "rules": [
        {"id": "in", "dimension": "input_tokens", "price": "2", "per": 1000, "match": {"model": "tiny"}},
        {"id": "out", "dimension": "output_tokens", "price": "5", "per": 1000, "match": {"model": "tiny"}},
        {"id": "image", "dimension": "images", "price": "10"},
    ],
}


@pytest.fixture(scope="module")
def priced(client: Any) -> Any:
    """A client whose workspace has a rate card."""
    try:
        client.rate_cards.get()
    except errors.CardNotFound:
        client.rate_cards.put(CARD, reason="The first")
    return client


def test_a_usage_is_priced_charged_and_kept(priced: Any, rich: str) -> None:
    charge = priced.charge(rich, model="tiny", provider="acme", input_tokens=1500, output_tokens=800, operation="chat")
    assert (charge.amount, charge.usage.model, charge.usage.dimensions) == (
        7, "tiny", {"input_tokens": 1500, "output_tokens": 800},
    )  # fmt: skip
    assert sum(line.amount for line in charge.price.lines) == 7
    images = farthing.Usage(operation="image", dimensions={"images": 2}, chat="c1")
    assert priced.charge(rich, usage=images).amount == 20
    assert priced.charge(rich, usage={"dimensions": {"images": "3"}}).amount == 30
    rows = list(priced.usage(rich, limit=2))
    assert [row.amount for row in rows] == [30, 20, 7]
    assert [row.chat for row in priced.usage(rich, chat="c1")] == ["c1"]
    stats = priced.usage_stats(rich)
    assert (stats.requests, stats.charged, stats.tokens) == (3, 57, 2300)
    assert {(m.provider, m.model): m.charged for m in stats.models}["acme", "tiny"] == 7


def test_a_usage_from_before_the_first_prices_says_so(priced: Any, rich: str) -> None:
    then = datetime.now(UTC) - timedelta(hours=40)
    used = farthing.Usage(model="tiny", input_tokens=5, at=then)
    with pytest.raises(farthing.NotPriced) as caught:
        priced.charge(rich, usage=used)
    assert caught.value.code == "no_card"
    assert priced.charge(rich, "0.5", usage=used).usage.at == then


def test_an_amount_beside_a_usage_is_what_it_costs(priced: Any, rich: str) -> None:
    charge = priced.charge(rich, "0.5", model="tiny", input_tokens=10)
    assert (charge.amount, charge.usage.model, charge.price) == (D("0.5"), "tiny", None)


@pytest.mark.parametrize(
    ("usage", "error"),
    [
        ({"model": "nobodys", "input_tokens": 5}, farthing.NotPriced),
        ({"usage": {"dimensions": {"pages": 5}}}, farthing.NotPriced),
        ({"model": "tiny", "input_tokens": -5}, farthing.Invalid),
    ],
)
def test_a_usage_without_a_price_says_why(priced: Any, rich: str, usage: Any, error: type[farthing.Invalid]) -> None:
    with pytest.raises(error) as caught:
        priced.charge(rich, **usage)
    assert caught.value.errors[0]["pointer"].startswith("/usage")
    assert priced.balance(rich).balance == 100


def test_holds_are_placed_and_settled_by_usage(priced: Any, rich: str) -> None:
    with priced.hold(rich, model="tiny", input_tokens=1500, output_tokens=2000) as held:
        assert held.hold.amount == 13
        held.used(model="tiny", input_tokens=1500, output_tokens=800)
    assert (held.settled.amount, held.settled.usage.model) == (7, "tiny")
    hold = priced.holds.create(rich, 20)
    assert priced.holds.settle(hold.id, model="tiny", input_tokens=1000).amount == 2


def test_what_can_be_afforded_is_told_before(priced: Any, rich: str) -> None:
    yes, no = priced.can_afford(rich, 100), priced.can_afford(rich, "100.5")
    assert (bool(yes), yes.available, yes.deficit, yes.refusal) == (True, 100, 0, None)
    assert (bool(no), no.cost, no.deficit, no.refusal) == (False, D("100.5"), D("0.5"), "insufficient_credits")
    assert priced.can_afford(rich, model="tiny", input_tokens=50_000)
    dear = priced.can_afford(rich, model="tiny", input_tokens=60_000)
    assert (bool(dear), dear.cost, dear.available, dear.deficit) == (False, 120, 100, 20)


def test_what_can_be_afforded_is_what_a_charge_would_take(client: Any, rich: str) -> None:
    client.accounts.change_settings(rich, spend_limit_day=5)
    limited = client.can_afford(rich, 6)
    assert (bool(limited), limited.available, limited.deficit, limited.refusal) == (False, 100, 0, "spend_limit")
    assert client.can_afford(rich, 5)
    client.accounts.change_settings(rich, frozen=True)
    for amount in (0, 5):
        assert client.can_afford(rich, amount).refusal == "frozen"
    with pytest.raises(farthing.Frozen):
        client.charge(rich, 5)


def test_what_can_be_afforded_is_asked_of_exact_amounts(client: Any, rich: str) -> None:
    for amount, error in ((0.5, TypeError), (True, TypeError), ("x", ValueError), (-1, ValueError)):
        with pytest.raises(error):
            client.can_afford(rich, amount)
    assert client.can_afford(rich, 0)


def test_quotes_and_estimates_tell_and_charge_nothing(priced: Any, rich: str) -> None:
    quote = priced.quote(account=rich, model="tiny", input_tokens=1500, output_tokens=800)
    assert (quote.amount, quote.affordable, quote.available) == (7, True, 100)
    guess = priced.estimate(1500, model="tiny", account=rich, expected=800, most=1000)
    assert (guess.prompt_tokens, guess.counted, guess.expected.amount, guess.high.amount) == (1500, True, 7, 8)
    assert priced.estimate("Write a haiku.", model="tiny").counted is False
    assert priced.estimate([{"role": "user", "content": "Hi"}], model="tiny").prompt_tokens > 0
    assert priced.balance(rich).balance == 100


def test_rate_cards_have_versions(priced: Any) -> None:
    card = priced.rate_cards.get()
    assert card.in_force.document == CARD
    later = datetime.now(UTC) + timedelta(days=9)
    added = priced.rate_cards.put(CARD, reason="Later", effective_from=later, if_match=card.etag)
    assert (added.version, added.effective_from) == (card.last_version + 1, later)
    with pytest.raises(errors.PreconditionFailed):
        priced.rate_cards.put(CARD, reason="Late", if_match=card.etag)
    assert priced.rate_cards.withdraw(added.version, reason="By mistake").withdrawn_at is not None
    assert next(line.version for line in priced.rate_cards.versions()) == added.version
    assert priced.rate_cards.version(1).document == CARD
    assert "default" in [line.card for line in priced.rate_cards.list()]
    with pytest.raises(farthing.Invalid) as caught:
        priced.rate_cards.put({"rules": [{"id": "x"}]}, reason="Wrong")
    assert caught.value.errors[0]["pointer"].startswith("/card")


def test_prices_of_models_are_resolved_and_set(priced: Any) -> None:
    found = priced.price("tiny")
    assert found.priced is True
    assert {term.dimension: term.price for term in found.terms}["input_tokens"] == 2
    assert priced.price("nobodys").catalogue is None
    assert list(priced.prices.list("tiny")) == []
    draft = priced.prices.set("small", {"input_tokens": "3"}, reason="Ours", dry_run=True)
    assert draft.dry_run is True
    with pytest.raises(errors.ModelNotFound):
        priced.prices.remove("small", reason="There is none")
    with pytest.raises(errors.ModelNotFound):
        list(priced.prices.history("acme", "tiny"))


def test_reports_add_up(priced: Any, rich: str) -> None:
    charge = priced.charge(rich, model="tiny", provider="acme", input_tokens=5_000)
    priced.refund(charge.id, 4)
    of = {"account": rich}
    report = priced.reports.revenue(step="day", **of)
    assert (report.total.revenue, report.total.refunded, len(report.data)) == (6, 4, 30)
    assert report.data[-1].revenue == 6
    today = report.data[-1].start.date()
    assert priced.reports.revenue(since=today, until=today, **of).total.revenue == 6
    assert [line.model for line in priced.reports.models(**of).data] == ["tiny"]
    assert rich in [line.account for line in priced.reports.accounts(limit=100).data]
    assert priced.reports.spend(by="provider", **of).totals[0].provider == "acme"
    with pytest.raises(farthing.Invalid) as caught:
        priced.reports.revenue(timezone="Mars/Base")
    assert caught.value.errors[0]["parameter"] == "timezone"


def test_settings_of_the_workspace_are_read_and_changed(client: Any) -> None:
    before = client.settings.get()
    assert (before.workspace.id, before.workspace.unit, before.workspace.scale) == ("main", "credits", 6)
    changed = client.settings.change(refund_grace_days=9, if_match=before.etag)
    assert changed.refund_grace_days == 9
    with pytest.raises(errors.PreconditionFailed):
        client.settings.change(refund_grace_days=8, if_match=before.etag)
    client.settings.change(refund_grace_days=before.refund_grace_days)


# Whatever is passed


@pytest.mark.parametrize("name", ["a/b", "..", ".", "%2F", "ü ö", "a?b#c", "{id}", "a\u200bb"])
def test_an_account_may_have_any_name(client: Any, name: str) -> None:
    name = f"{name}" if name in ("..", ".") else f"{name}{id(client)}"
    client.grant(name, 5)
    assert client.balance(name).account == name
    assert client.accounts.get(name).id == name


@pytest.mark.parametrize("name", ["a\0", "a" * 256, "a\n"])
def test_what_can_be_no_account_is_refused_by_the_ledger(client: Any, name: str) -> None:
    with pytest.raises(farthing.ApiError):
        client.balance(name)
    with pytest.raises(farthing.Invalid):
        client.grant(name, 5)


def test_an_empty_id_is_refused_before_anything_is_sent(client: Any) -> None:
    for ask in (client.balance, client.holds.get, client.charges.get):
        with pytest.raises(ValueError, match="must not be empty"):
            ask("")
        with pytest.raises(TypeError, match="must be text"):
            ask(5)


def test_a_time_without_a_zone_is_refused(client: Any, rich: str) -> None:
    with pytest.raises(ValueError, match="expires_at needs a time zone"):
        client.grant(rich, 5, expires_at=datetime(2030, 1, 1))


def test_text_for_people_and_metadata_come_back_as_they_were(client: Any, rich: str) -> None:
    metadata = {"ü": [1, {"deep": None}], "text": 'a "quoted" \u2028 line', "number": 1.5}
    charge = client.charge(rich, 1, description="Für 🍀", metadata=metadata)
    assert (charge.description, charge.metadata) == ("Für 🍀", metadata)


def test_a_body_that_is_too_large_is_refused(client: Any, rich: str) -> None:
    with pytest.raises(errors.TooLarge):
        client.charge(rich, 1, metadata={"text": "x" * 1_100_000})


# Several clients


def test_two_clients_of_one_ledger_see_the_same(place: Any, client: Any, rich: str) -> None:
    other = place.open()
    other.charge(rich, 40)
    with pytest.raises(farthing.InsufficientCredits) as caught:
        client.charge(rich, 61)
    assert caught.value.available == 60
    other.close()
    with pytest.raises(farthing.ClientClosed):
        other.balance(rich)
    other.close()
    assert client.balance(rich).balance == 60
