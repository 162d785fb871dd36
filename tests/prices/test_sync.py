"""Syncs: what a source would change is seen before, suspicious prices wait, a repeat changes nothing."""

from decimal import Decimal
from typing import Any

import pytest

from farthing.core.modelprice import ModelPrice, Price
from farthing.prices import genai, litellm
from farthing.prices.catalogue import Dated, Listing, Source, read_listing
from farthing.prices.difference import Change, Item, Plan
from farthing.prices.sync import Done, SyncRefused, carry_out, let_in, plan_sync
from farthing.stores.prices import LEAD_US, AccessError, Act, PriceStore
from tests.stores.shop import Shop
from tests.support import START_US

DAY_US = 86_400_000_000


def listing(model: str, usd: str, cached: str | None = None, aliases: tuple[str, ...] = ()) -> Listing:
    """A model whose input and output cost the same."""
    found = [("input_tokens", usd), ("output_tokens", usd)]
    if cached is not None:
        found.append(("cache_read_tokens", cached))
    prices = tuple(Price(dimension=name, price=price, per=1_000_000) for name, price in found)
    return Listing(price=ModelPrice(provider="acme", model=model, prices=prices), aliases=aliases)


def source(*models: Listing | tuple[Listing, dict[int, Listing]], name: str = "test") -> Source:
    """Models, each with what begins later by its instant."""
    found = {}
    for each in models:
        now, later = each if isinstance(each, tuple) else (each, {})
        dated = (Dated(0, now), *(Dated(at, listing) for at, listing in later.items()))
        found[now.price.provider, now.price.model] = dated
    return Source(name, "1", found)


class Desk:
    """Plans and syncs on a store, at an instant."""

    def __init__(self, shop: Shop, store: PriceStore) -> None:
        self.shop, self.store, self.at = shop, store, START_US

    def plan(self, of: Source, **more: Any) -> Plan:
        return self.shop.wait(plan_sync(self.store, of, self.at, **more))

    def sync(self, of: Source, force: bool = False, **more: Any) -> Done:
        """And a minute passes."""
        done = self.shop.wait(carry_out(self.store, self.plan(of, **more), Act("tester", self.at), force=force))
        self.at += 60_000_000
        return done

    def usd(self, model: str, at: int | None = None) -> str | None:
        """What a million input tokens cost."""
        row = self.shop.wait(self.store.price_at("acme", model, self.at if at is None else at))
        return row and read_listing(row.document).price.prices[0].price

    def statuses(self, model: str) -> list[str]:
        return [row.status for row in self.shop.wait(self.store.history("acme", model)).items]


@pytest.fixture
def desk(shop: Shop, store: PriceStore) -> Desk:
    return Desk(shop, store)


def only(planned: Plan) -> Item:
    (item,) = planned.items
    return item


def test_a_first_sync_brings_every_model_with_its_history(desk, sample):
    read = genai.read_file(sample("genai.json"))
    planned = desk.plan(read)
    assert planned.counts == {"new": len(read.models)}
    assert planned.left == read.left_by_reason
    done = desk.sync(read)
    assert done == Done(sum(len(dated) for dated in read.models.values()), 0, 0, 0)
    before = desk.shop.wait(desk.store.price_at("openai", "o3", 20_249 * DAY_US - 1))
    after = desk.shop.wait(desk.store.price_at("openai", "o3", 20_249 * DAY_US))
    assert [read_listing(row.document).price.prices[0].price for row in (before, after)] == ["10", "2"]
    assert (after.source, after.source_version) == (genai.NAME, read.version)


def test_a_sync_that_is_repeated_changes_nothing(desk, sample):
    read = genai.read_file(sample("genai.json"))
    desk.sync(read)
    version = desk.shop.wait(desk.store.catalogue_version())
    planned = desk.plan(read)
    assert (planned.is_empty, planned.counts) == (True, {"unchanged": len(read.models)})
    assert desk.sync(read) == Done(0, 0, 0, 0)
    assert desk.shop.wait(desk.store.catalogue_version()) == version


def test_a_sync_that_is_repeated_at_once_changes_nothing(desk):
    desk.sync(source(listing("m", "1")))
    desk.sync(source(listing("m", "2")))
    desk.at -= 60_000_000 - 1_000_000
    assert desk.usd("m") == "1", "the new price has not begun yet"
    assert desk.plan(source(listing("m", "2"))).is_empty


def test_a_plan_writes_nothing(desk):
    desk.plan(source(listing("m", "1")))
    assert desk.shop.wait(desk.store.last_versions()) == {}
    assert desk.shop.wait(desk.store.catalogue_version()) == 0


def test_a_changed_price_is_shown_and_begins_a_moment_later(desk):
    desk.sync(source(listing("m", "2", "1")))
    changed = source(listing("m", "2.5", "1"))
    item = only(desk.plan(changed))
    assert (item.what, item.key) == ("changed", ("acme", "m"))
    assert [(c.dimension, c.old, c.new, c.percent) for c in item.changes] == [
        (name, Decimal(2), Decimal("2.5"), Decimal(25)) for name in ("input_tokens", "output_tokens")
    ]
    began = desk.at
    desk.sync(changed)
    assert desk.usd("m", began + LEAD_US - 1) == "2"
    assert desk.usd("m") == "2.5"


def test_a_dimension_that_comes_or_goes_is_shown(desk):
    desk.sync(source(listing("m", "2")))
    assert only(desk.plan(source(listing("m", "2", "1")))).changes == (
        Change("", "cache_read_tokens", 0, None, Decimal("1")),
    )
    desk.sync(source(listing("m", "2", "1")))
    assert only(desk.plan(source(listing("m", "2")))).changes == (
        Change("", "cache_read_tokens", 0, Decimal("1"), None),
    )


def test_other_names_of_a_model_are_no_other_price(desk):
    desk.sync(source(listing("m", "2")))
    renamed = source(listing("m", "2", aliases=("m-latest",)))
    item = only(desk.plan(renamed))
    assert (item.what, item.changes, len(item.writes)) == ("renamed", (), 1)
    desk.sync(renamed)
    assert desk.plan(renamed).is_empty


def test_a_suspicious_price_waits_while_the_old_one_stays(desk):
    desk.sync(source(listing("m", "2"), listing("n", "2")))
    jumped = source(listing("m", "200"), listing("n", "3"))
    item = next(item for item in desk.plan(jumped).items if item.key[1] == "m")
    assert (item.what, item.reasons[0].split(";")[0]) == (
        "quarantined", "input_tokens costs 100 times as much as before",
    )  # fmt: skip
    assert desk.sync(jumped) == Done(2, 1, 0, 0)
    assert (desk.usd("m"), desk.usd("n")) == ("2", "3")
    assert desk.statuses("m") == ["quarantined", "active"]


def test_a_price_that_waits_is_not_put_there_again_and_one_that_was_refused_stays_out(desk):
    desk.sync(source(listing("m", "2")))
    jumped = source(listing("m", "200"))
    desk.sync(jumped)
    assert (desk.plan(jumped).is_empty, only(desk.plan(jumped)).what) == (True, "waiting")
    desk.shop.wait(desk.store.refuse("acme", "m", 2, Act("tester", desk.at), "a slip"))
    desk.sync(jumped)
    assert desk.statuses("m") == ["refused", "active"]
    assert desk.usd("m") == "2"


def test_a_price_that_was_let_in_is_in_force_and_the_next_sync_agrees(desk):
    desk.sync(source(listing("m", "2")))
    jumped = source(listing("m", "200"))
    desk.sync(jumped)
    desk.shop.wait(let_in(desk.store, "acme", "m", 2, Act("tester", desk.at), "it is so"))
    desk.at += LEAD_US
    assert desk.usd("m") == "200"
    assert desk.plan(jumped).counts == {"unchanged": 1}


def test_a_price_that_can_not_be_charged_is_not_let_in(desk):
    sentinel = source(listing("router/auto", "-1"))
    assert desk.sync(sentinel) == Done(1, 1, 0, 0)
    assert desk.usd("router/auto") is None
    with pytest.raises(AccessError, match="can't be charged: /prices/0/price") as error:
        desk.shop.wait(let_in(desk.store, "acme", "router/auto", 1, Act("tester", desk.at), "why not"))
    assert error.value.code == "price_unusable"
    with pytest.raises(AccessError, match="no version 2"):
        desk.shop.wait(let_in(desk.store, "acme", "router/auto", 2, Act("tester", desk.at), ""))


def test_what_begins_later_is_written_ahead_and_withdrawn_when_it_is_not_said_any_more(desk):
    tomorrow = START_US + DAY_US
    announced = source((listing("m", "2"), {tomorrow: listing("m", "3")}))
    desk.sync(announced)
    assert (desk.usd("m"), desk.usd("m", tomorrow)) == ("2", "3")
    assert desk.plan(announced).is_empty
    moved = source((listing("m", "2"), {tomorrow + DAY_US: listing("m", "3")}))
    assert desk.sync(moved) == Done(1, 0, 1, 0)
    assert [desk.usd("m", tomorrow + n * DAY_US) for n in (0, 1)] == ["2", "3"]
    dearer = source((listing("m", "2"), {tomorrow + DAY_US: listing("m", "4")}))
    assert desk.sync(dearer) == Done(1, 0, 1, 0)
    assert desk.usd("m", tomorrow + DAY_US) == "4"
    assert desk.sync(source(listing("m", "2"))) == Done(0, 0, 1, 0)
    assert desk.usd("m", tomorrow + DAY_US) == "2"
    assert desk.plan(source(listing("m", "2"))).is_empty


def test_an_announced_price_that_is_suspicious_leaves_the_one_that_was_announced_before(desk):
    tomorrow = START_US + DAY_US
    desk.sync(source((listing("m", "2"), {tomorrow: listing("m", "3")})))
    assert desk.sync(source((listing("m", "2"), {tomorrow: listing("m", "300")}))) == Done(1, 1, 0, 0)
    assert desk.usd("m", tomorrow) == "3"


def test_a_past_price_of_a_known_model_is_not_changed(desk):
    desk.sync(source(listing("m", "2")))
    corrected = source((listing("m", "1"), {START_US - DAY_US: listing("m", "3")}))
    began = desk.at
    desk.sync(corrected)
    assert desk.usd("m", began) == "2"
    assert desk.usd("m") == "3"


def test_a_model_that_has_vanished_is_listed_and_keeps_its_price(desk):
    five = [listing(f"m{n}", "2") for n in range(5)]
    desk.sync(source(*five))
    planned = desk.plan(source(*five[1:]))
    assert (only(planned).what, only(planned).key, planned.refusal) == ("vanished", ("acme", "m0"), "")
    desk.sync(source(*five[1:]))
    assert desk.usd("m0") == "2"


def test_a_source_that_shrinks_by_more_than_a_fifth_is_refused_whole(desk):
    five = [listing(f"m{n}", "2") for n in range(5)]
    desk.sync(source(*five))
    shrunk = source(listing("m0", "3"), *five[1:3])
    planned = desk.plan(shrunk)
    assert planned.refusal == "2 of the 5 models that came from test are gone from it"
    with pytest.raises(SyncRefused, match="2 of the 5"):
        desk.sync(shrunk)
    assert desk.usd("m0", desk.at + LEAD_US) == "2"
    desk.sync(shrunk, force=True)
    assert desk.usd("m0") == "3"


def test_a_model_belongs_to_the_source_that_it_came_from(desk):
    desk.sync(source(listing("m", "2")))
    other = source(listing("m", "3"), listing("n", "3"), name="other")
    assert desk.plan(other).counts == {"other_source": 1, "new": 1}
    desk.sync(other)
    assert (desk.usd("m"), desk.usd("n")) == ("2", "3")
    assert desk.plan(source(listing("m", "2"))).counts == {"unchanged": 1}, "n is not missed by a source it is not of"
    desk.sync(other, take_over=True)
    assert desk.usd("m") == "3"
    assert desk.plan(source(listing("m", "2"))).counts == {"other_source": 1}


def test_a_sync_that_was_interrupted_is_finished_by_the_next(desk):
    models = source(*(listing(f"m{n:03}", "2") for n in range(250)))
    planned = desk.plan(models)

    def stop(done: int, total: int) -> None:
        if done:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        desk.shop.wait(carry_out(desk.store, planned, Act("tester", desk.at), progress=stop))
    assert len(desk.shop.wait(desk.store.last_versions())) == 100
    assert desk.plan(models).counts == {"unchanged": 100, "new": 150}
    # The old plan, once more: what is there is left out.
    again = desk.shop.wait(carry_out(desk.store, planned, Act("tester", desk.at)))
    assert again == Done(150, 0, 0, 100)


def test_progress_is_told_up_to_the_end(desk):
    heard: list[tuple[int, int]] = []
    planned = desk.plan(source(*(listing(f"m{n:03}", "2") for n in range(150))))
    desk.shop.wait(
        carry_out(desk.store, planned, Act("tester", desk.at), progress=lambda done, total: heard.append((done, total)))
    )
    assert heard == [(0, 150), (100, 150), (150, 150)]


def test_the_whole_of_genai_prices_is_imported(shop, store):
    read = genai.read_bundle()
    desk = Desk(shop, store)
    done = desk.sync(read)
    assert done.written == sum(len(dated) for dated in read.models.values())
    assert done.quarantined < len(read.models) // 20
    assert desk.plan(read).is_empty


def test_two_sources_live_side_by_side(desk, sample):
    desk.sync(genai.read_file(sample("genai.json")))
    counts = desk.plan(litellm.read_file(sample("litellm.json"))).counts
    assert counts["other_source"] == 1
    assert counts["new"] == len(litellm.read_file(sample("litellm.json")).models) - 1
