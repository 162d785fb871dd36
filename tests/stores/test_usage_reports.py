"""Usage listed and exported, and the steps of series, the same on both databases."""

from itertools import pairwise
from typing import Any

import pytest

from farthing.core.commands import DAY_US, MINUTE_US, Refund
from farthing.core.usage import Metered, Priced, Usage
from farthing.jobs.folding import fold_all
from farthing.stores.rollups import Rollups
from farthing.stores.usage_reports import Step, UsageReports
from farthing.stores.usage_sums import Filters, ReportError
from farthing.timezones import calendar
from tests.stores.shop import Shop
from tests.support import START_US

HOUR_US = 60 * MINUTE_US


@pytest.fixture
def reports(shop: Shop) -> UsageReports:
    return UsageReports(shop.ledger.database, calendar, lambda: shop.now)


def use(shop: Shop, account: str, at: int | None = None, **words: Any) -> str:
    metered = Metered(Usage(dimensions={"requests": "1"}, at=at, **words), Priced(amount=1, exact="0.000001"))
    return shop.charge(account, 1, usage=metered, operation=words.get("operation", ""), description="said").id


def filled(shop: Shop, account: str, count: int = 7) -> list[str]:
    """Uses of an account by the time of use, oldest first; three of them at the same instant."""
    shop.grant(account, 1000)
    times = [shop.now - minutes * MINUTE_US for minutes in (50, 40, 40, 40, 30, 20, 10)]
    made = [(at, use(shop, account, at, chat="c" if number % 2 else "")) for number, at in enumerate(reversed(times))]
    return [id for _, id in sorted(made)]


# Rows


def test_the_size_of_an_export_is_known_before(shop: Shop, reports: UsageReports, account: str):
    made = filled(shop, account)
    assert shop.wait(reports.size("main", filters=Filters(account))) == len(made)
    assert shop.wait(reports.size("main", START_US - 40 * DAY_US, START_US - 40 * DAY_US, Filters(account))) == 0


# Steps


def lengths(reports: UsageReports, start: int, days: int, step: Step, zone: str) -> list[float]:
    steps = reports.steps(start, start + days * DAY_US, step, zone)
    return [(end - begin) / HOUR_US for begin, end in steps]


def test_days_have_23_or_25_hours_where_clocks_change(reports: UsageReports):
    march = 1_774_652_400_000_000  # 2026-03-28 00:00 in Berlin
    assert lengths(reports, march, 3, "day", "Europe/Berlin") == [24, 23, 24, 1]
    assert len(lengths(reports, march + DAY_US, 1, "hour", "Europe/Berlin")) == 24
    october = 1_792_792_800_000_000  # 2026-10-24 00:00 in Berlin
    assert lengths(reports, october, 3, "day", "Europe/Berlin") == [24, 25, 23]


def test_steps_are_cut_off_where_the_range_is_and_leave_nothing_out(reports: UsageReports):
    start, end = START_US + 7, START_US + 3 * DAY_US - 1
    for step in ("quarter", "hour", "day", "month"):
        steps = reports.steps(start, end, step, "Asia/Kathmandu")
        assert steps[0][0] == start
        assert steps[-1][1] == end
        assert all(before[1] == after[0] for before, after in pairwise(steps))


def test_months_are_those_of_the_zone(reports: UsageReports):
    steps = reports.steps(START_US, START_US + 59 * DAY_US, "month", "Pacific/Auckland")
    assert [(end - start) // DAY_US for start, end in steps] == [30, 28, 0]


def test_a_series_has_an_end(reports: UsageReports):
    with pytest.raises(ReportError, match="10,000"):
        reports.steps(0, START_US, "quarter", "UTC")


def test_a_zone_that_does_not_exist_is_named(shop: Shop, reports: UsageReports):
    with pytest.raises(LookupError, match="Mars"):
        shop.wait(reports.revenue("main", START_US, START_US + 1, "day", "Mars/Base"))


def test_an_empty_range_and_an_unknown_account_have_zeros(shop: Shop, reports: UsageReports):
    assert shop.wait(reports.revenue("main", START_US, START_US)) == []
    stats = shop.wait(reports.stats("main", "nobody-at-all"))
    assert (stats.totals.requests, stats.models, stats.days) == (0, [], [])


def test_days_of_no_whole_quarters_are_exact_as_well(shop: Shop, account: str):
    """Zones of long ago had offsets of odd seconds; any calendar will do."""
    odd, length = 433_000_001, 100 * MINUTE_US + 11

    def strange(at: int, _: str) -> tuple[int, int, int, int]:
        start = (at - odd) // length * length + odd
        return start, start + length, start, start + length

    shop.grant(account, 100)
    times = sorted(shop.now - 5 * n * MINUTE_US - n for n in range(90))
    for at in times:
        use(shop, account, at)
    reports = UsageReports(shop.ledger.database, strange, lambda: shop.now)
    start, end = shop.now - 7 * HOUR_US, shop.now + 1
    points: Any = shop.wait(reports.revenue("main", start, end, "day", "", Filters(account)))
    right = [sum(point.start <= at < point.end for at in times) for point in points]
    assert [point.sums.requests for point in points] == right
    assert max(right) > 15


def test_the_first_are_told_also_where_the_former_first_have_just_fallen_behind(shop: Shop, reports: UsageReports):
    """What is not folded moves accounts down past others that only the sums know."""
    charges = {}
    for name, amount in (("top-a", 900), ("top-b", 800), ("top-c", 700), ("top-d", 600), ("top-e", 500)):
        shop.grant(name, 1000)
        charges[name] = shop.charge(name, amount + 100, operation="top").id
    shop.wait(fold_all(Rollups(shop.ledger.database), shop.now))
    for name in ("top-a", "top-b"):
        shop.do(Refund(workspace="main", account=name, charge=charges[name]))
    shop.charge("top-e", 350, operation="top")
    top = shop.wait(reports.top_accounts("main", limit=2, filters=Filters(operation="top")))
    assert [(part.account, part.sums.revenue) for part in top] == [("top-e", 950), ("top-c", 800)]


# Answers of a model


def test_answers_of_a_model_are_counted_by_day_as_far_as_they_are_folded(shop: Shop, reports: UsageReports):
    account = "who-asks"
    shop.grant(account, 1000)

    def answer(model: str, tokens: str, at: int | None = None, provider: str = "north") -> None:
        used = Usage(provider=provider, model=model, dimensions={"output_tokens": tokens}, at=at)
        shop.charge(account, 1, usage=Metered(used, Priced(amount=1, exact="0.000001")))

    for tokens in ("100", "300", "999999999"):
        answer("talker", tokens)
    answer("talker", "7", provider="south")
    answer("talker", "5", at=shop.now - 3 * DAY_US)
    answer("other", "11")
    assert shop.wait(reports.answers("main", "north", "talker", 0)) == (0, 0)
    shop.wait(fold_all(Rollups(shop.ledger.database), shop.now))
    lately = shop.now - 2 * DAY_US
    assert shop.wait(reports.answers("main", "north", "talker", lately)) == (3, 1_000_000_399)
    assert shop.wait(reports.answers("main", "north", "talker", 0)) == (4, 1_000_000_404)
    assert shop.wait(reports.answers("main", None, "talker", lately)) == (4, 1_000_000_406)
    assert shop.wait(reports.answers("other", "north", "talker", 0)) == (0, 0)
    assert shop.wait(reports.answers("main", "north", "nobody", 0)) == (0, 0)
