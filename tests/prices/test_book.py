"""Price books: versions begin by the clock alone, the past is fetched when it is asked for, changes are seen."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from farthing.core.modelprice import ModelPrice, Price
from farthing.core.quantities import PriceRefusal
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.core.usage import Priced, Usage
from farthing.prices.book import Books, NeedsPast
from farthing.prices.catalogue import Listing, write_listing
from farthing.stores.prices import LEAD_US, Act, NewPrice, PriceStore
from tests.stores.shop import Shop
from tests.support import START_US

DAY_US = 86_400_000_000
USAGE = Usage(provider="acme", model="m", dimensions={"input_tokens": "1000000"})


def card(usd: str | None = None, rate: str = "100") -> str:
    """A card that sells what the catalogue has at a rate, or a million input tokens at a price."""
    rules = [{"id": "in", "dimension": "input_tokens", "price": usd, "per": 1_000_000}] if usd else []
    return msgspec.json.encode({"rules": rules, "catalogue": {"rate": rate}}).decode()


def document(usd: str, model: str = "m", aliases: tuple[str, ...] = ()) -> str:
    prices = (Price(dimension="input_tokens", price=usd, per=1_000_000),)
    return write_listing(Listing(price=ModelPrice(provider="acme", model=model, prices=prices), aliases=aliases))


class Counted(PriceStore):
    """A store that counts how often it is read."""

    reads = 0

    async def _rows(self, name: str, *values: Any) -> Any:
        self.reads += 1
        return await super()._rows(name, *values)


class Desk:
    """Books of a process, whose clock and generation the test sets."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.store = Counted(shop.ledger.database)
        self.now = START_US
        self.generation: int | None = 1
        self.books = Books(self.store, lambda: self.now, lambda: self.generation)
        self.workspace = Workspace("main", "main", "live", "credits", 6, START_US, WorkspaceSettings())

    def add_card(self, document: str, effective_from: int | None = None, at: int | None = None) -> None:
        now = self.now if at is None else at
        self.shop.wait(self.store.add_version("main", "default", document, effective_from, Act("tester", now)))
        self._changed()

    def add_price(self, usd: str, after: int = 0, effective_from: int = 0, **more: Any) -> None:
        new = NewPrice("acme", "m", after, effective_from, document(usd, **more))
        self.shop.wait(self.store.add_prices([new], "test", "1", Act("tester", self.now)))
        self._changed()

    def _changed(self) -> None:
        if self.generation is not None:
            self.generation += 1

    def price(self, usage: Usage = USAGE, at: int | None = None) -> Priced | PriceRefusal:
        return self.shop.wait(self.books.price(self.workspace, usage, self.now if at is None else at))

    def credits(self, usage: Usage = USAGE, at: int | None = None) -> tuple[int, str]:
        """What it costs in whole credits, by which version of the card."""
        found = self.price(usage, at)
        assert isinstance(found, Priced), found
        assert found.amount % 1_000_000 == 0
        return found.amount // 1_000_000, found.card


@pytest.fixture
def desk(shop: Shop) -> Desk:
    return Desk(shop)


def test_a_model_is_priced_by_the_catalogue_through_the_card(desk):
    desk.add_card(card())
    desk.add_price("2", aliases=("m-latest",))
    assert desk.credits() == (200, "default@1")
    found = desk.price(Usage(provider="acme", model="m-latest", dimensions={"input_tokens": "1000000"}))
    assert isinstance(found, Priced)
    assert (found.model, found.lines[0].source) == ("m", "catalogue:acme/m@1")


def test_an_operators_price_wins_over_the_catalogue(desk):
    desk.add_card(card("7"))
    desk.add_price("2")
    assert desk.credits() == (7, "default@1")


def test_without_a_card_nothing_is_priced(desk):
    desk.add_price("2")
    found = desk.price()
    assert isinstance(found, PriceRefusal)
    assert found.code == "no_card"


def test_a_version_that_was_held_ahead_begins_by_the_clock_alone(desk):
    desk.add_card(card())
    desk.add_price("2")
    desk.add_card(card("7"), START_US + DAY_US)
    book = desk.shop.wait(desk.books.book(desk.workspace))
    reads = desk.store.reads
    priced = [book.price(USAGE, START_US + DAY_US + n) for n in (-1, 0)]
    assert [found.card for found in priced if isinstance(found, Priced)] == ["default@1", "default@2"]
    assert desk.store.reads == reads


def test_a_price_of_the_catalogue_that_was_held_ahead_begins_by_the_clock_alone(desk):
    desk.add_card(card())
    desk.add_price("2")
    desk.add_price("3", 1, START_US + DAY_US)
    assert [desk.credits(at=START_US + DAY_US + n)[0] for n in (-1, 0)] == [200, 300]


def test_a_book_is_read_once_until_something_changes(desk):
    desk.add_card(card())
    desk.add_price("2")
    desk.price()
    reads = desk.store.reads
    desk.price()
    assert desk.store.reads == reads
    desk.add_card(card("7"), START_US + LEAD_US)
    assert desk.credits(at=START_US + LEAD_US) == (7, "default@2")


def test_the_catalogue_is_read_again_only_when_it_has_changed(desk):
    desk.add_card(card())
    desk.add_price("2")
    desk.price()
    held = desk.shop.wait(desk.books.catalogue())
    desk.add_card(card(), START_US + DAY_US)
    desk.price()
    assert desk.shop.wait(desk.books.catalogue()) is held
    desk.add_price("3", 1, START_US + LEAD_US)
    assert desk.credits(at=START_US + LEAD_US) == (300, "default@1")
    assert desk.shop.wait(desk.books.catalogue()) is not held


def test_workspaces_share_one_catalogue_and_equal_cards(desk):
    desk.add_card(card())
    other = Workspace("other", "other", "live", "credits", 2, START_US, WorkspaceSettings())
    desk.shop.wait(desk.store.add_version("other", "default", card(), None, Act("tester", START_US)))
    first, second = (desk.shop.wait(desk.books.book(w)) for w in (desk.workspace, other))
    assert first.catalogue is second.catalogue
    assert [first.at(START_US).scale, second.at(START_US).scale] == [6, 2]
    assert first.at(START_US).card is second.at(START_US).card


def test_while_the_generation_is_not_known_books_are_not_kept(desk):
    desk.generation = None
    desk.add_card(card("7"))
    assert desk.credits() == (7, "default@1")
    desk.add_card(card("8"), START_US + LEAD_US)
    assert desk.credits(at=START_US + LEAD_US) == (8, "default@2")


def test_changed_settings_of_a_workspace_make_another_book(desk):
    desk.add_card(card())
    assert isinstance(desk.price(), PriceRefusal)
    settings = WorkspaceSettings(unknown_models="unpriced")
    desk.workspace = Workspace("main", "main", "live", "credits", 6, START_US, settings)
    found = desk.price()
    assert isinstance(found, Priced)
    assert found.unpriced


def test_late_usage_is_priced_by_the_card_of_its_time(desk):
    desk.add_card(card("7"))
    desk.add_card(card("8"), START_US + DAY_US)
    desk.now = START_US + 30 * DAY_US
    book = desk.shop.wait(desk.books.book(desk.workspace))
    with pytest.raises(NeedsPast):
        book.price(USAGE, START_US)
    assert desk.credits(at=START_US) == (7, "default@1")
    assert desk.credits(at=START_US + DAY_US) == (8, "default@2")
    reads = desk.store.reads
    assert desk.credits(at=START_US) == (7, "default@1")
    assert desk.store.reads == reads, "what was fetched once is held"
    early = desk.price(at=START_US - 1)
    assert isinstance(early, PriceRefusal)
    assert early.code == "no_card"


def test_late_usage_is_priced_by_the_catalogue_of_its_time(desk):
    desk.add_card(card(), at=START_US - 40 * DAY_US)
    desk.add_price("2", effective_from=START_US - 40 * DAY_US)
    desk.add_price("3", 1, START_US - 20 * DAY_US)
    desk.add_price("4", 2, START_US - 10 * DAY_US)
    before = [desk.credits(at=START_US - days * DAY_US)[0] for days in (0, 10, 11, 20, 21)]
    assert before == [400, 400, 300, 300, 200]
    unknown = desk.price(at=START_US - 40 * DAY_US - 1)
    assert isinstance(unknown, PriceRefusal)


def test_usage_of_a_moment_ago_needs_nothing_to_be_fetched(desk):
    desk.add_card(card(), at=START_US - 40 * DAY_US)
    desk.add_price("2", effective_from=START_US - 40 * DAY_US)
    desk.add_price("3", 1, START_US - 3_600_000_000)
    book = desk.shop.wait(desk.books.book(desk.workspace))
    price: Callable[[int], Any] = lambda at: book.price(USAGE, at)  # noqa: E731
    assert [price(START_US - hours * 3_600_000_000).amount // 1_000_000 for hours in (0, 1, 2, 23)] == [
        300, 300, 200, 200,
    ]  # fmt: skip
