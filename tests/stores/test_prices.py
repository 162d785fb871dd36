"""Versions of cards and of model prices: numbered, never changed, written ahead of their time, on both databases."""

from itertools import count
from typing import Any

import pytest

from farthing.stores.prices import LEAD_US, AccessError, Act, NewPrice, Once, PriceRow, PriceStore
from tests.stores.shop import Shop
from tests.support import START_US

_numbers = count()
HOUR_US = 3_600_000_000
DOCUMENT = '{"rules": []}'


@pytest.fixture
def store(shop: Shop) -> PriceStore:
    return PriceStore(shop.ledger.database)


@pytest.fixture
def card() -> str:
    """A card that no other test has."""
    return f"card-{next(_numbers)}"


@pytest.fixture
def model() -> str:
    """A model that no other test has."""
    return f"vendor/model-{next(_numbers)}:1"


def act(at: int = START_US) -> Act:
    return Act("tester", at)


def once(key: str, **more: Any) -> Once:
    return Once(f"v1:{key}", {"key": key}, **more)


def add(shop: Shop, store: PriceStore, card: str, effective_from: int | None = None, at: int = START_US, **more: Any):
    return shop.wait(store.add_version("main", card, DOCUMENT, effective_from, act(at), **more))


def failing(shop: Shop, work: Any) -> AccessError:
    with pytest.raises(AccessError) as error:
        shop.wait(work)
    return error.value


# Cards


def test_versions_are_numbered_and_the_first_may_begin_at_once(shop, store, card):
    first = add(shop, store, card, reason="to begin with")
    assert (first.version, first.effective_from, first.actor, first.reason) == (1, START_US, "tester", "to begin with")
    second = add(shop, store, card)
    assert (second.version, second.effective_from) == (2, START_US + LEAD_US)
    third = add(shop, store, card, START_US + HOUR_US)
    assert (third.version, third.effective_from) == (3, START_US + HOUR_US)
    assert [v.version for v in shop.wait(store.versions("main", card)).items] == [3, 2, 1]
    assert shop.wait(store.version("main", card, 1)).document == DOCUMENT


@pytest.mark.parametrize(
    ("effective_from", "code"),
    [(START_US + LEAD_US - 1, "too_soon"), (0, "too_soon"), (START_US + HOUR_US, "overlapping_versions")],
)
def test_a_version_begins_ahead_of_now_and_after_those_before_it(shop, store, card, effective_from, code):
    add(shop, store, card)
    add(shop, store, card, START_US + HOUR_US)
    error = failing(shop, store.add_version("main", card, DOCUMENT, effective_from, act()))
    assert (error.code, error.field) == (code, "effective_from")
    assert len(shop.wait(store.versions("main", card)).items) == 2


def test_a_version_that_overlaps_names_the_one_that_is_in_its_way(shop, store, card):
    add(shop, store, card)
    add(shop, store, card, START_US + HOUR_US)
    error = failing(shop, store.add_version("main", card, DOCUMENT, None, act()))
    assert "version 2 begins at that time or later" in str(error)


def test_the_first_version_does_not_begin_in_the_past(shop, store, card):
    error = failing(shop, store.add_version("main", card, DOCUMENT, START_US - 1, act()))
    assert (error.code, str(error)) == ("too_soon", "must not be in the past")


def test_a_version_is_withdrawn_only_before_it_begins(shop, store, card):
    add(shop, store, card)
    add(shop, store, card, START_US + HOUR_US)
    begun = failing(shop, store.withdraw("main", card, 2, act(START_US + HOUR_US)))
    assert begun.code == "card_version_begun"
    taken = shop.wait(store.withdraw("main", card, 2, act(START_US + 1)))
    assert taken.withdrawn_at == START_US + 1
    assert shop.wait(store.withdraw("main", card, 2, act(START_US + 9))) == taken
    # Its place in time is free again, its number is not.
    assert add(shop, store, card, START_US + HOUR_US - 5).version == 3
    assert failing(shop, store.withdraw("main", card, 9, act())).code == "version_not_found"


def test_what_is_in_force_is_told_for_any_instant(shop, store, card):
    add(shop, store, card)
    add(shop, store, card, START_US + HOUR_US)
    add(shop, store, card, START_US + 2 * HOUR_US)
    shop.wait(store.withdraw("main", card, 3, act()))
    add(shop, store, card, START_US + 3 * HOUR_US)

    def at(instant: int) -> int | None:
        found = shop.wait(store.version_at("main", card, instant))
        return found and found.version

    instants = (-1, 0, HOUR_US - 1, HOUR_US, 2 * HOUR_US, 3 * HOUR_US)
    assert [at(START_US + instant) for instant in instants] == [None, 1, 1, 2, 2, 4]
    later = [v.name for v in shop.wait(store.timeline("main", START_US + HOUR_US)) if v.card == card]
    assert later == [f"{card}@2", f"{card}@4"]
    (summary,) = [c for c in shop.wait(store.cards("main", START_US + HOUR_US)) if c.card == card]
    assert (summary.versions, summary.in_force, summary.next_at) == (4, 2, START_US + 3 * HOUR_US)
    assert card not in [c.card for c in shop.wait(store.cards("other", START_US))]


def test_versions_are_listed_in_pages(shop, store, card):
    for hour in range(5):
        add(shop, store, card, START_US + hour * HOUR_US)
    page = shop.wait(store.versions("main", card, limit=3))
    rest = shop.wait(store.versions("main", card, limit=3, before=page.next))
    assert ([v.version for v in page.items], [v.version for v in rest.items]) == ([5, 4, 3], [2, 1])
    assert rest.next is None


def test_a_version_is_added_once_under_its_key(shop, store, card):
    first = add(shop, store, card, once=once(card))
    again = once(card)
    assert add(shop, store, card, once=again) == first
    assert again.replayed
    assert add(shop, store, card, once=once(card + "-dry", dry_run=True)).version == 2
    assert len(shop.wait(store.versions("main", card)).items) == 1


def test_a_version_is_added_only_where_the_card_is_still_what_was_read(shop, store, card):
    add(shop, store, card, expected_version=0)
    late = failing(shop, store.add_version("main", card, DOCUMENT, None, act(), expected_version=0))
    assert (late.code, late.field) == ("precondition_failed", "expected_version")
    assert add(shop, store, card, expected_version=1).version == 2


def test_each_change_of_a_card_is_audited_with_its_reason(shop, store, card):
    add(shop, store, card, reason="spring prices")
    add(shop, store, card, START_US + HOUR_US)
    shop.wait(store.withdraw("main", card, 2, act(), reason="typo"))
    records = shop.wait(shop.ledger.access.audit_page("main", subject=card)).items
    withdrawn, second, first = records
    assert [(r.action, r.reason) for r in records] == [
        ("card.withdraw", "typo"), ("card.add", None), ("card.add", "spring prices"),
    ]  # fmt: skip
    assert (withdrawn.detail, withdrawn.before) == ({"version": 2}, {"withdrawn_at": None})
    assert withdrawn.after["withdrawn_at"] > 0
    assert (second.before, second.after["version"]) == ({"version": 1}, 2)
    assert (first.before, first.after["version"]) == (None, 1)


@pytest.mark.parametrize("name", ["", "Big", "a b", "-a", "a" * 65, "ä"])
def test_a_card_needs_a_name_that_fits_everywhere(shop, store, name):
    error = failing(shop, store.add_version("main", name, DOCUMENT, None, act()))
    assert error.field == "card"


def test_a_document_that_is_too_long_is_refused(shop, store, card):
    error = failing(shop, store.add_version("main", card, " " * 1_000_001, None, act()))
    assert error.field == "document"


@pytest.mark.parametrize(
    "statement",
    [
        "update rate_card set document = 'x' where card = ?",
        "update rate_card set effective_from = 1 where card = ?",
        "delete from rate_card where card = ?",
    ],
)
def test_a_version_can_not_be_changed_in_the_database_either(shop, store, card, statement):
    add(shop, store, card)

    async def work(execute: Any) -> None:
        await execute(statement, (card,))

    with pytest.raises(Exception, match=r"never (changed|deleted)"):
        shop.wait(shop.ledger.database.write(work))


# The catalogue


def price(model: str, after: int = 0, effective_from: int | None = 0, document: str = "{}", why: str = "") -> NewPrice:
    return NewPrice("acme", model, after, effective_from, document, why)


def put(shop: Shop, store: PriceStore, *prices: NewPrice, at: int = START_US) -> list[NewPrice]:
    return shop.wait(store.add_prices(prices, "a source", "7", act(at)))


def rows(shop: Shop, found: Any) -> list[PriceRow]:
    async def work() -> list[PriceRow]:
        return [row async for row in found]

    return [row for row in shop.wait(work()) if row.provider == "acme"]


def of(model: str, found: list[PriceRow]) -> list[int]:
    return [row.version for row in found if row.model == model]


def test_prices_are_numbered_by_model_and_begin_when_they_are_told_to(shop, store, model):
    put(shop, store, price(model), price(model, 1, None), price(model, 2, START_US + HOUR_US))
    found = shop.wait(store.history("acme", model)).items
    assert [(r.version, r.effective_from, r.status, r.source, r.source_version) for r in found] == [
        (3, START_US + HOUR_US, "active", "a source", "7"),
        (2, START_US + LEAD_US, "active", "a source", "7"),
        (1, 0, "active", "a source", "7"),
    ]
    assert shop.wait(store.price_at("acme", model, START_US)).version == 1
    assert shop.wait(store.price_at("acme", model, START_US + LEAD_US)).version == 2
    assert of(model, rows(shop, store.catalogue(START_US + LEAD_US))) == [2, 3]
    assert shop.wait(store.last_versions())["acme", model] == 3


def test_a_price_that_somebody_was_faster_with_is_left_out(shop, store, model):
    version = shop.wait(store.catalogue_version())
    assert put(shop, store, price(model)) == [price(model)]
    assert shop.wait(store.catalogue_version()) == version + 1
    assert put(shop, store, price(model), price(model, 3)) == []
    assert shop.wait(store.catalogue_version()) == version + 1, "nothing was written, so nothing changed"


def test_a_price_in_quarantine_is_not_in_force_until_it_is_activated(shop, store, model):
    put(shop, store, price(model), price(model, 1, None, '{"n": 2}', "costs nothing"))
    assert of(model, rows(shop, store.catalogue(START_US + HOUR_US))) == [1]
    (waiting,) = [r for r in shop.wait(store.quarantined(limit=500)).items if r.model == model]
    assert (waiting.version, waiting.reason) == (2, "costs nothing")
    version, later = shop.wait(store.catalogue_version()), START_US + HOUR_US
    row = shop.wait(store.activate("acme", model, 2, act(later), "it does", once(f"a-{model}")))
    assert (row.status, row.effective_from, row.reason) == ("active", later + LEAD_US, "it does")
    assert shop.wait(store.price_at("acme", model, later)).version == 1
    assert shop.wait(store.price_at("acme", model, later + LEAD_US)).version == 2
    assert shop.wait(store.catalogue_version()) == version + 1
    again = once(f"a-{model}")
    assert shop.wait(store.activate("acme", model, 2, act(later), "it does", again)) == row
    assert again.replayed
    assert failing(shop, store.activate("acme", model, 2, act(later), "")).code == "price_not_quarantined"


def test_a_price_that_was_refused_stays_out(shop, store, model):
    put(shop, store, price(model, why="jumped"))
    row = shop.wait(store.refuse("acme", model, 1, act(), "a slip"))
    assert (row.status, row.reason) == ("refused", "a slip")
    assert of(model, rows(shop, store.catalogue(START_US))) == []
    assert of(model, rows(shop, store.with_status("refused"))) == [1]
    assert failing(shop, store.refuse("acme", model, 1, act(), "")).code == "price_not_quarantined"
    assert failing(shop, store.refuse("acme", model, 2, act(), "")).code == "version_not_found"
    (record,) = shop.wait(shop.ledger.access.audit_page("", subject=f"acme/{model}")).items
    assert (record.action, record.reason) == ("prices.refuse", "a slip")


def test_a_price_that_has_begun_is_not_withdrawn(shop, store, model):
    put(shop, store, price(model), price(model, 1, START_US + HOUR_US))
    assert shop.wait(store.withdraw_prices([("acme", model, 1), ("acme", model, 2)], "moved", act())) == 1
    assert of(model, rows(shop, store.catalogue(START_US))) == [1]
    assert shop.wait(store.price("acme", model, 2)).status == "withdrawn"
    assert shop.wait(store.price_at("acme", model, START_US + 2 * HOUR_US)).version == 1


def test_prices_that_had_to_wait_begin_when_every_process_can_know_them(shop, card, model):
    waited = START_US + 5 * LEAD_US
    slow = PriceStore(shop.ledger.database, lambda: waited)
    put(shop, slow, price(model), price(model, 1, None), price(model, 2, START_US + LEAD_US), price(model, 3, HOUR_US))
    found = shop.wait(slow.history("acme", model)).items
    assert [r.effective_from for r in found] == [HOUR_US, waited + LEAD_US, waited + LEAD_US, 0]


def test_what_begins_before_every_process_knows_is_not_withdrawn_any_more(shop, store, card, model):
    add(shop, store, card)
    put(shop, store, price(model), price(model, 1, START_US + HOUR_US))
    begins = add(shop, store, card, START_US + HOUR_US).effective_from
    late = act(begins - LEAD_US + 1)
    assert failing(shop, store.withdraw("main", card, 2, late)).code == "card_version_begun"
    assert shop.wait(store.withdraw_prices([("acme", model, 2)], "moved", late)) == 0
    waiting = PriceStore(shop.ledger.database, lambda: begins)
    assert failing(shop, waiting.withdraw("main", card, 2, act())).code == "card_version_begun"
    assert shop.wait(waiting.withdraw_prices([("acme", model, 2)], "moved", act())) == 0
    in_time = act(begins - LEAD_US)
    assert shop.wait(store.withdraw("main", card, 2, in_time)).withdrawn_at == in_time.at
    assert shop.wait(store.withdraw_prices([("acme", model, 2)], "moved", in_time)) == 1


def test_models_are_found_by_a_part_of_their_names(shop, store, model):
    others = [f"{model}-100%", f"{model}-1000", f"{model}_x"]
    put(shop, store, price(model), *(price(other) for other in others), price(model, 1, START_US + HOUR_US))

    def search(text: str, **more: Any) -> list[str]:
        return [row.model for row in shop.wait(store.search(text, START_US, **more)).items]

    assert search(model.upper()) == [model, *others]
    assert search(f"{model}-100%") == [f"{model}-100%"], "a character that SQL would take for a wildcard"
    assert search(f"{model}_") == [f"{model}_x"]
    assert search(f"acme/{model}-", provider="acme") == others[:2]
    assert search(model, provider="nobody") == []
    first = shop.wait(store.search(model, START_US, limit=3))
    assert [r.model for r in first.items] == [model, *others[:2]]
    assert [r.model for r in shop.wait(store.search(model, START_US, limit=3, after=first.next)).items] == others[2:]


def test_a_catalogue_of_many_pages_is_read_whole(shop, store, model):
    names = [f"{model}-{number:04}" for number in range(1_203)]
    for start in range(0, len(names), 300):
        put(shop, store, *(price(name) for name in names[start : start + 300]))
    found = [row.model for row in rows(shop, store.catalogue(START_US)) if row.model.startswith(f"{model}-")]
    assert found == names
    assert {("acme", name) for name in names} <= shop.wait(store.last_versions()).keys()


@pytest.mark.parametrize(
    "statement",
    ["update model_price set document = 'x' where model = ?", "delete from model_price where model = ?",
     "update model_price set effective_from = 1 where model = ?"],
)  # fmt: skip
def test_a_price_can_not_be_changed_in_the_database_either(shop, store, model, statement):
    put(shop, store, price(model))

    async def work(execute: Any) -> None:
        await execute(statement, (model,))

    with pytest.raises(Exception, match=r"never (changed|deleted)"):
        shop.wait(shop.ledger.database.write(work))


def test_acts_of_the_catalogue_belong_to_no_workspace(shop, store, model):
    put(shop, store, price(model), price(model, 1, why="jumped"), at=START_US + 9 * HOUR_US)
    newest = shop.wait(shop.ledger.access.audit("", limit=1))[0]
    assert (newest.action, newest.subject, newest.actor) == ("prices.sync", "a source", "tester")
    assert newest.detail == {"source_version": "7", "added": 2, "quarantined": 1}
