"""What users of the pricing and balance functions rely on, row by row, by the calls that take their place: in process
on both databases and over HTTP, synchronous and not. `docs/from-other-systems.md` has the names; the token service's
calls are in `test_tokens`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import farthing
from farthing.app import open_ledger
from farthing.client import errors
from farthing.core.modelprice import ModelPrice, Price
from farthing.prices.catalogue import Listing, write_listing
from farthing.stores.access import Act
from farthing.stores.prices import NewPrice, PriceStore
from tests.api.v1.reading import operators_key
from tests.client.driving import Place

D = Decimal
PER = 1_000
CARD: dict[str, Any] = {
    "rules": [
        {"id": f"{model} {dimension}", "dimension": dimension, "price": price, "per": PER, "match": {"model": model}}
        for model, prices in {"gpt-4o": ("0.0025", "0.01"), "gpt-4o-mini": ("0.00015", "0.0006")}.items()
        for dimension, price in zip(("input_tokens", "output_tokens"), prices, strict=True)
    ],
    "catalogue": {"rate": "1"},
}


@pytest.fixture(scope="module")
def money(place: Place, client: Any, request: pytest.FixtureRequest) -> Any:
    """A client whose workspace counts in dollars, with the prices of two models; of others the catalogue knows one."""
    name, options, url, operator = f"money-{place.kind}", dict[str, Any](), place.url, client
    if place.url.startswith("http"):
        server = request.getfixturevalue("server")
        url, operator = f"sqlite:///{server.path}", place.open(api_key=operators_key(server))
    operator.workspaces.create(name, unit="USD")
    if place.url.startswith("http"):
        options["api_key"] = operator.workspaces.first_key(name, ["admin"]).api_key
    else:
        options["workspace"] = name
    with open_ledger(url) as ledger:
        ledger.wait(PriceStore(ledger.database).add_prices([listed(f"large-{place.kind}")], "tests", "1", Act("t", 1)))
    made = place.open(**options)
    made.rate_cards.put(CARD, reason="What models cost")
    return made


def listed(model: str) -> NewPrice:
    """A model of the catalogue, at 3 dollars for a million tokens in."""
    prices = (Price(dimension="input_tokens", price="3", per=1_000_000),)
    document = write_listing(Listing(price=ModelPrice(provider="acme", model=model, prices=prices)))
    return NewPrice("acme", model, 0, 0, document, "")


@pytest.fixture
def user(money: Any, account: str) -> str:
    """Somebody with ten dollars."""
    money.grant(account, "10.00", category="promotional", key=f"welcome:{account}")
    return account


def used(chat: str = "chat-1", model: str = "gpt-4o", **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "model": model, "input_tokens": 1500, "output_tokens": 800, "chat": chat, **more}


# Balances


def test_a_welcome_is_given_once_whenever_and_whatever_there_is(money: Any, account: str) -> None:
    money.grant(account, 3)
    for _ in range(2):
        welcome = money.grant(account, "10.00", category="promotional", key=f"welcome:{account}")
        money.charge(account, 1)
    assert (welcome.replayed, money.balance(account).available) == (True, 11)


def test_nobody_has_nothing_and_that_is_told_apart_from_a_failure(money: Any, account: str) -> None:
    assert money.can_afford(account, 0).available == 0
    with pytest.raises(farthing.AccountNotFound):
        money.balance(account)


def test_enough_is_enough_to_the_last_billionth(money: Any, user: str) -> None:
    assert money.can_afford(user, 10)
    assert not money.can_afford(user, "10.000000001")
    money.charge(user, "9.99")
    assert money.can_afford(user, "0.01")
    money.charge(user, "0.000000001")
    assert money.can_afford(user, "0.01").deficit == D("0.000000001")


# Prices


def test_ones_own_price_wins_then_the_catalogues_and_else_there_is_none(money: Any, place: Place) -> None:
    own = {term.dimension: (term.price, term.per) for term in money.price("gpt-4o").terms}
    assert own == {"input_tokens": (D("0.0025"), PER), "output_tokens": (D("0.01"), PER)}
    (term,) = money.price(f"large-{place.kind}", provider="acme").terms
    assert (term.price * term.rate, term.per, term.source) == (3, 1_000_000, "catalogue")
    assert money.price("nobodys").terms == []


@pytest.mark.parametrize(
    ("model", "tokens", "parts", "total"),
    [
        ("gpt-4o", (1500, 800), ["0.00375", "0.008"], "0.01175"),
        ("gpt-4o-mini", (500, 500), ["0.000075", "0.0003"], "0.000375"),
    ],
)
def test_a_cost_is_exact_and_the_sum_of_its_parts(
    money: Any, model: str, tokens: tuple[int, int], parts: list[str], total: str
) -> None:
    quote = money.quote(model=model, input_tokens=tokens[0], output_tokens=tokens[1])
    assert [line.amount for line in quote.price.lines] == [D(part) for part in parts]
    assert quote.amount == sum(line.amount for line in quote.price.lines) == D(total)


def test_an_estimate_has_a_range_from_the_prompt_and_a_length(money: Any, user: str) -> None:
    messages = [{"role": "user", "content": "What is a farthing?"}]
    guess = money.estimate(messages, model="gpt-4o", account=user, expected=800)
    assert guess.low.amount <= guess.expected.amount <= guess.high.amount
    assert guess.expected.amount > D("0.008")
    assert guess.expected.affordable


def test_a_new_price_is_a_new_version_and_the_old_one_stays_with_who_when_and_why(money: Any) -> None:
    before = money.rate_cards.get()
    later = datetime.now(UTC) + timedelta(hours=1)
    prices = {"input_tokens": "0.002", "output_tokens": "0.008"}
    made = money.prices.set("gpt-4o", prices, per=PER, provider="openai", reason="New contract", effective_from=later)
    new, old = list(money.rate_cards.versions())[:2]
    assert (new.version, new.reason, new.effective_from) == (made.version, "New contract", later)
    assert (old.version, old.reason, bool(old.actor)) == (before.last_version, "What models cost", True)
    assert old.created_at <= new.created_at
    assert money.price("gpt-4o").terms[0].price == D("0.0025"), "until then"
    money.rate_cards.withdraw(made.version, reason="For the other tests")


# Usage and charges


def test_usage_and_charge_are_one_act_once_for_a_request(money: Any, user: str) -> None:
    first = money.charge(user, usage=used(), key=f"{user}-1")
    again = money.charge(user, usage=used(), key=f"{user}-1")
    assert (first.amount, again.id, again.replayed) == (D("0.01175"), first.id, True)
    assert [row.id for row in money.usage(user)] == [first.id]
    assert money.balance(user).available == D("9.98825")


def test_what_can_not_be_paid_leaves_neither_a_charge_nor_a_usage(money: Any, user: str) -> None:
    with pytest.raises(farthing.InsufficientCredits) as caught:
        money.charge(user, usage=used(input_tokens=50_000_000))
    assert caught.value.available == 10
    assert list(money.usage(user)) == []
    assert money.balance(user).available == 10
    # Work that was done is charged whatever there is, and seen as debt.
    assert money.charge(user, 11, usage=used(), shortfall="debt").debt == 1


def test_a_cost_may_be_a_billionth_and_of_a_usage_nothing(money: Any, user: str) -> None:
    assert money.charge(user, "0.000000001").after.balance == D("9.999999999")
    free = money.charge(user, 0, usage=used())
    assert (free.amount, free.after.balance) == (0, D("9.999999999"))
    assert [row.amount for row in money.usage(user)] == [0]
    # Half a cent was nothing once.
    assert money.charge(user, "0.005").amount == D("0.005")


def test_the_streaming_route_pays_for_what_was_used_and_never_more_than_is_held_goes_free(
    money: Any, user: str
) -> None:
    with money.hold(user, 5) as held:
        held.used(usage=used())
    assert held.settled.amount == D("0.01175")
    with money.hold(user, "9.98") as held:
        held.used(11)
    assert held.settled.debt == D("1.01175")
    with pytest.raises(farthing.InsufficientCredits):
        money.charge(user, "0.01")


def test_usage_is_read_newest_first_by_chat_oldest_first_and_by_days(money: Any, user: str) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for number, chat in enumerate(("a", "b", "a")):
        at = yesterday.replace(hour=number, minute=0) if chat == "a" else None
        money.charge(user, f"0.{number + 1}", usage=farthing.Usage(model="m", chat=chat, at=at))
    amounts = [row.amount for row in money.usage(user)]
    assert amounts == [D("0.2"), D("0.3"), D("0.1")]
    assert [row.amount for row in money.usage(user, limit=1, offset=1).first().data] == [D("0.3")]
    assert [row.amount for row in money.usage(user, chat="a", order="oldest")] == [D("0.1"), D("0.3")]
    day = yesterday.date()
    assert [row.amount for row in money.usage(user, since=day, until=day)] == [D("0.3"), D("0.1")]
    assert list(money.usage(user, until=day - timedelta(days=1))) == []


def test_statistics_of_nobody_are_zeros_and_those_of_a_user_by_provider_and_model(money: Any, user: str) -> None:
    empty = money.usage_stats(user)
    assert (empty.requests, empty.tokens, empty.charged, empty.average, empty.models) == (0, 0, 0, 0, [])
    for _ in range(2):
        money.charge(user, usage=used())
    money.charge(user, "0.5", usage={"provider": "meta", "model": "llama:3:70b", "input_tokens": 5})
    stats = money.usage_stats(user)
    assert (stats.requests, stats.input_tokens, stats.output_tokens, stats.tokens) == (3, 3005, 1600, 4605)
    assert stats.charged == D("0.5235")
    by_model = {(line.provider, line.model): (line.requests, line.tokens, line.charged) for line in stats.models}
    assert by_model["openai", "gpt-4o"] == (2, 4600, D("0.0235"))
    assert by_model["meta", "llama:3:70b"] == (1, 5, D("0.5"))


def test_statistics_do_not_stop_at_a_thousand(money: Any, user: str) -> None:
    items = [{"account": user, "amount": "0.001", "usage": {"model": "m", "input_tokens": 1}}] * 1_005
    assert {result.status for result in money.charge_many(items)} == {"charged"}
    assert (money.usage_stats(user).requests, money.usage_stats(user).charged) == (1_005, D("1.005"))


# Administration and reports


def test_what_admins_give_and_set_is_an_entry_with_actor_and_reason(money: Any, user: str) -> None:
    money.grant(user, 5, description="An apology")
    money.set_balance(user, 12, description="Agreed by phone")
    entries = list(money.entries(user))[:2]
    assert [(entry.amount, entry.description) for entry in entries] == [(-3, "Agreed by phone"), (5, "An apology")]
    assert all(entry.actor for entry in entries)
    assert money.balance(user).available == 12


def test_revenue_is_that_of_a_day_of_a_zone_and_reports_are_by_revenue(money: Any, account: str, user: str) -> None:
    other = f"{account} 2"
    money.grant(other, 10)
    of = {"operation": f"op {account[8:]}"}
    charge = money.charge(user, 2, usage=used(**of))
    money.charge(other, 3, usage=used(model="gpt-4o-mini", **of))
    money.refund(charge.id, "0.5")
    zone = "Pacific/Auckland"
    report = money.reports.revenue(timezone=zone, **of)
    assert report.total.revenue == D("4.5")
    (day,) = [each for each in report.data if each.revenue]
    # From midnight to midnight there.
    assert (day.end - day.start).total_seconds() in (82_800, 86_400, 90_000)
    assert day.period in (str(datetime.now(UTC).date()), str((datetime.now(UTC) + timedelta(hours=13)).date()))
    models = money.reports.models(**of).data
    assert [(line.provider, line.model, line.revenue) for line in models] == [
        ("openai", "gpt-4o-mini", 3), ("openai", "gpt-4o", D("1.5")),
    ]  # fmt: skip
    top = money.reports.accounts(limit=1, **of).data
    assert [(line.account, line.revenue) for line in top] == [(other, 3)]


# What must be impossible


def test_two_debits_at_once_of_10_from_100_leave_80(place: Place, money: Any, account: str) -> None:
    money.grant(account, 100)
    if place.kind == "sync":
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: money.charge(account, 10), range(2)))
    else:
        assert {each.status for each in money.charge_many([{"account": account, "amount": 10}] * 2)} == {"charged"}
    assert money.balance(account).available == 80


def test_a_refund_has_bounds(money: Any, user: str) -> None:
    charge = money.charge(user, 2)
    refunds: list[Callable[[], Any]] = [lambda: money.refund(charge.id, 3), lambda: money.refund_latest(user, 3)]
    for refund in refunds:
        with pytest.raises(errors.RefundTooLarge):
            refund()
    money.refund(charge.id)
    for refund in refunds:
        with pytest.raises(errors.RefundTooLarge):
            refund()
    assert money.balance(user).available == 10
