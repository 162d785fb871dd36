"""Statistics of usage in the accounting dialect: exact at any moment, out of the sums of reports."""

import pytest

from farthing.api.accounting import stats
from farthing.api.endpoint import write_time
from farthing.core.commands import GiveGrant, TakeCharge
from farthing.core.usage import Metered, Priced, Usage
from farthing.jobs.folding import fold_all
from farthing.stores.rollups import Rollups
from farthing.stores.usage_reports import UsageReports
from farthing.timezones import calendar
from tests.api.accounting.people import somebody, told
from tests.support import UNIT

BOTH_DATABASES = True
DAY_US = 86_400_000_000
WRONG = (400, "Invalid date format for startDate or endDate")


def use(person, credits, service="chat", model="gpt-4"):
    body = {"service": service, "operation": "op", "credits": credits, "metadata": {"model": model}}
    return person.done("POST", "usage/record", body)


def fold(server):
    server.run(fold_all(Rollups(server.ledger.database), server.clock.now_us()))


@pytest.fixture
def busy(server, rich):
    """A user with two records on one day and one on the next; and the names of these days."""
    today = server.clock.now_us() // DAY_US * DAY_US
    server.clock.set(today + DAY_US - 60_000_000)
    use(rich, 0.1)
    use(rich, 0.2, "images", "")
    server.clock.advance(60)
    use(rich, 7, "chat", "claude")
    return rich, day(today), day(today + DAY_US)


def day(at):
    return write_time(at)[:10]


@pytest.mark.parametrize("folded", [False, True])
def test_stats_tell_by_service_by_day_and_by_model(server, busy, folded):
    user, first, second = busy
    if folded:
        fold(server)
    found = user.get("usage/stats")
    recent = found.pop("recentActivity")
    assert found == {
        "totalRecords": 3,
        "totalCredits": 7.3,
        "byService": {"chat": 7.1, "images": 0.2},
        "byDay": {first: 0.3, second: 7},
        "byModel": {"claude": 7, "gpt-4": 0.1},
    }
    assert [(each["credits"], each.get("model")) for each in recent] == [(7, "claude"), (0.2, None), (0.1, "gpt-4")]
    newest = {"id": server.entries(user.id)[0].id, "service": "chat", "operation": "op", "credits": 7}
    assert recent[0] == {**newest, "timestamp": f"{second}T00:00:00.000Z", "model": "claude"}


def test_an_end_that_is_a_date_includes_its_day_and_one_that_is_a_time_its_millisecond(busy):
    user, one, two = busy

    def total(**dates):
        query = "&".join(f"{name}={value}" for name, value in dates.items())
        found = user.get(f"usage/stats?{query}")
        assert len(found["recentActivity"]) == found["totalRecords"]
        return found["totalCredits"]

    assert total(endDate=one) == 0.3
    assert total(startDate=two) == 7
    assert total(startDate=one, endDate=two) == 7.3
    assert total(startDate=two, endDate=one) == 0
    assert total(startDate=f"{one}T23:59:00Z", endDate=f"{one}T23:59:00.000Z") == 0.3
    assert total(endDate=f"{one}T23:58:59.999Z") == 0
    assert total(endDate=f"{two}T00:00:00Z") == 7.3
    assert total(startDate=f"{two}T01:00:00%2B01:00") == 7
    assert total(startDate=f"{two}T01:00:00+01:00") == 7
    assert total(startDate=f"{two}T00:00:00.000001") == 0
    assert total(startDate="", endDate="") == 7.3


@pytest.mark.parametrize("name", ["startDate", "endDate"])
@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2026-02-30",
        "2026-13-01",
        "2026-1-1",
        "1767225600",
        "2026-01-01T25:00",
        "2026-01-01T",
        "%00",
        "0000-01-01",
    ],
)
def test_a_bad_date_is_refused(user, boss, admin, name, value):
    for who, path in ((user, "stats"), (boss, f"stats/{user.id}"), (admin, "system-stats")):
        assert told(who.send("GET", f"usage/{path}?{name}={value}")) == WRONG


def test_a_bare_deduct_and_a_held_credit_are_no_records(server, rich):
    rich.done("POST", "credits/deduct", {"credits": 5, "operation": "chat"})
    assert rich.get("usage/stats") == {
        "totalRecords": 0,
        "totalCredits": 0,
        "byService": {},
        "byDay": {},
        "byModel": {},
        "recentActivity": [],
    }


def test_usage_that_was_charged_in_another_way_counts_where_it_has_a_service_or_a_model(server, rich):
    def charge(amount, **words):
        metered = Metered(Usage(**words), Priced(amount=amount, exact="0"), given=True)
        server.do(TakeCharge(workspace="main", account=rich.id, amount=amount, usage=metered))

    charge(UNIT, model="m", provider="one")
    charge(2 * UNIT, model="m", provider="two")
    for _ in range(12):
        charge(1, product="p")
    charge(4 * UNIT, service="s")
    for _ in range(12):
        charge(1, product="p")
    found = rich.get("usage/stats")
    assert (found["totalRecords"], found["totalCredits"]) == (3, 7)
    assert (found["byService"], found["byModel"]) == ({"s": 4}, {"m": 3})
    assert [each["credits"] for each in found["recentActivity"]] == [4, 2, 1]


def test_the_newest_ten_are_told(server, rich):
    for number in range(12):
        use(rich, number)
    assert [each["credits"] for each in rich.get("usage/stats")["recentActivity"]] == list(range(11, 1, -1))


def test_stats_of_another_are_for_supervisors_by_id_name_or_address(busy, boss):
    used, _, _ = busy
    own = used.get("usage/stats")
    for name in (used.id, f"name-of-{used.id}", f"{used.id}@example.com"):
        assert boss.get(f"usage/stats/{name}") == own
    assert told(boss.send("GET", "usage/stats/nobody")) == (404, "User 'nobody' not found")


def test_users_and_supervisors_may_not_see_what_others_used(user, boss):
    assert told(user.send("GET", f"usage/stats/{boss.id}")) == (403, "Supervisor access required")
    assert told(user.send("GET", "usage/system-stats")) == (403, "Admin access required")
    assert told(boss.send("GET", "usage/system-stats")) == (403, "Admin access required")


@pytest.mark.parametrize("folded", [False, True])
def test_system_stats_tell_by_user_who_used_the_most_first(server, folded):
    admin, boss = (somebody(server, role, "other") for role in ("admin", "supervisor"))
    before = admin.get("usage/system-stats")
    users = [somebody(server, workspace="other") for _ in range(3)]
    for credits, person in enumerate(users, start=1):
        boss.allocate(person)
        use(person, credits, f"service-{person.id}")
    if folded:
        fold(server)
    found = admin.get("usage/system-stats")
    assert "recentActivity" not in found
    assert found["totalRecords"] - before["totalRecords"] == 3
    assert found["totalCredits"] - before["totalCredits"] == 6
    assert {name: found["byUser"][name] for name in (p.id for p in users)} == {
        person.id: credits for credits, person in enumerate(users, start=1)
    }
    in_order = list(found["byUser"].values())
    assert in_order == sorted(in_order, reverse=True)
    later = day(server.clock.now_us() + 2 * DAY_US)
    assert admin.get(f"usage/system-stats?startDate={later}")["byUser"] == {}


def test_of_very_many_users_those_are_told_who_used_the_most(server, monkeypatch):
    monkeypatch.setattr(stats, "MOST_USERS", 2)
    admin = somebody(server, "admin", "other")
    for number, credits in enumerate((300, 500, 400)):
        account = f"many-{number}-{server.count()}"
        server.do(GiveGrant(workspace="other", account=account, amount=1_000 * UNIT))
        metered = Metered(Usage(service="s"), Priced(amount=0, exact="0"), given=True, recorded=credits * UNIT)
        server.do(TakeCharge(workspace="other", account=account, amount=0, usage=metered))
        if number == 1:
            fold(server)
    assert list(admin.get("usage/system-stats")["byUser"].values()) == [500, 400]


def test_a_workspace_sees_nothing_of_another(server, busy):
    used, _, _ = busy
    boss, admin = somebody(server, "supervisor", "other"), somebody(server, "admin", "other")
    assert told(boss.send("GET", f"usage/stats/{used.id}"))[0] == 404
    assert used.id not in admin.get("usage/system-stats")["byUser"]


def test_recorded_and_charged_credits_are_counted_apart_for_reports(server, rich):
    metered = Metered(Usage(service="s", model="m"), Priced(amount=0, exact="0"), given=True, recorded=3 * UNIT)
    server.do(TakeCharge(workspace="main", account=rich.id, amount=0, usage=metered))
    use(rich, 4, "s", "m")
    assert rich.get("usage/stats")["byModel"] == {"m": 7}
    reports = UsageReports(server.ledger.database, calendar, server.clock.now_us)
    totals = server.run(reports.stats("main", rich.id)).totals
    assert (totals.charged, totals.revenue, totals.recorded) == (4 * UNIT, 4 * UNIT, 3 * UNIT)
