"""What a simulation foretells is what then happens: the real jobs, on both databases, while a fake clock goes on."""

from typing import Any

from farthing.core.commands import ChangePlan, GiveGrant, PlaceHold, SetAccount, TakeCharge, Unsubscribe
from farthing.core.records import Entry, OnExpiry
from farthing.core.simulation import Ahead, Event, World
from farthing.jobs.sweeper import Sweeper
from farthing.stores.ahead import Start
from farthing.stores.jobs import Jobs
from farthing.timezones import calendar, months_after
from tests.jobs.subscribers import ALL, Club, play
from tests.subscribing import DAY, plan
from tests.support import MAIN, UNIT

KINDS = {"renew": "renewal", "lapse": "lapse", "expire": "hold", "end": "end"}
PLANS = (
    plan("keeping"),
    plan("capped", rollover="cap", cap=120),
    plan("lapsing", every=7, rollover="lapse"),
    *(plan(f"from_{day}", every=1, unit="months", anchor_day=day) for day in (29, 30, 31)),
    plan("each", every=5, catch_up="each"),
    plan("once", every=5),
    plan("billed", paid=True, grace_days=3),
)
DAYS = 90


async def people(club: Club) -> None:
    """Accounts with all that time acts on."""

    async def give(account: str, **terms: Any) -> None:
        await club.accept(GiveGrant(workspace="main", account=account, amount=50 * UNIT, **terms))

    start = club.clock.now_us()
    for each in PLANS:
        await club.subscribe(each.id, each.id, billed_by="stripe" if each.id == "billed" else "none")
    await club.subscribe("expiring", "keeping", expires_at=start + 45 * DAY)
    await club.subscribe("canceled", "keeping")
    await club.accept(Unsubscribe(workspace="main", account="canceled"))
    await club.subscribe("changing", "keeping")
    await club.accept(ChangePlan(workspace="main", account="changing", plan="lapsing"))
    await club.subscribe("owing", "lapsing")
    await club.accept(TakeCharge(workspace="main", account="owing", amount=150 * UNIT, shortfall="debt"))
    await give("promoted", expires_at=start + 60 * DAY, category="promotional")
    await give("promoted")
    await give("idle")
    await club.accept(SetAccount(workspace="main", account="idle", allowance=UNIT))
    # Nobody renews for a while: what is overdue at the start comes at once.
    club.clock.advance(us=45 * DAY)
    await give("holding", expires_at=start + 55 * DAY)
    holds: list[tuple[int, OnExpiry]] = [(12, "release"), (14, "all")]
    for days, policy in holds:
        await club.accept(
            PlaceHold(workspace="main", account="holding", amount=20 * UNIT, ttl=days * DAY, on_expiry=policy)
        )
    club.clock.advance(us=6 * DAY)


async def foretell(club: Club) -> dict[str, list[Event]]:
    """By accounts, read in pages of four."""
    source, start = Start(club.ledger.database), club.clock.now_us()
    plans = await source.plans("main")
    world = World(workspace=MAIN, plans=plans, calendar=calendar, months_after=months_after)
    found: dict[str, list[Event]] = {}
    after: str | None = None
    while page := await source.page("main", start + DAYS * DAY, after=after, limit=4):
        for each in page:
            found[each.account.id] = list(Ahead(each, world, start).events(start + DAYS * DAY))
        after = page[-1].account.id
    return found


def foretold(events: list[Event]) -> list[tuple[Any, ...]]:
    return [(e.what, e.at, e.amount, e.balance) for e in events]


def happened(entries: list[Entry]) -> list[tuple[Any, ...]]:
    return [(KINDS[e.kind], e.at, e.amount, e.balance) for e in entries]


def test_what_is_foretold_for_ninety_days_is_what_the_jobs_then_do(club: Club):
    async def work(club: Club) -> None:
        await club.begin(*PLANS)
        await people(club)
        before = {name: await numbers(club, name) for name in await names(club)}
        start, accounts = club.clock.now_us(), await club.count("open")
        foreseen = await foretell(club)
        assert {name: await numbers(club, name) for name in before} == before, "nothing is written"
        assert accounts == len(foreseen)
        sweeper = Sweeper(club.ledger.engine, Jobs(club.ledger.database), club.ledger.clock.now_us)
        for day in range(DAYS + 1):
            club.clock.advance(us=DAY if day else 0)
            await sweeper.run()
            await club.renewals.run(ALL)
        for name, events in foreseen.items():
            entries = (await club.ledger.reports.entries("main", name, limit=1_000))[::-1]
            # What lapsed before the start was not booked yet, but is no news.
            found = [e for e in entries[before[name] :] if e.at >= start]
            assert happened(found) == foretold(events), name
        told = {name: [e.what for e in events] for name, events in foreseen.items()}
        assert told["idle"] == []
        assert told["billed"] == told["canceled"] == ["end"]
        assert told["expiring"] == ["end"], "it was over before anybody renewed it"
        assert len(told["each"]) > len(told["once"]) > 18
        assert told["holding"] == ["lapse", "hold", "hold"]

    play(club, work)


async def names(club: Club) -> list[str]:
    return [row[0] for row in await club.ledger.database.rows("select id from account")]


async def numbers(club: Club, name: str) -> int:
    """Of the last entry."""
    (row,) = await club.ledger.database.rows(f"select number from account where id = '{name}'")
    return int(row[0])


def test_one_account_is_read_alone_with_what_is_its_own(club: Club):
    async def work(club: Club) -> None:
        await club.begin(plan())
        await club.subscribe_many(3)
        await club.accept(GiveGrant(workspace="main", account="user_0000011", amount=UNIT))
        until = club.clock.now_us() + DAY
        source = Start(club.ledger.database)
        (one,) = await source.page("main", until, account="user_000001")
        assert one.account.id == "user_000001"
        assert one.subscription == await club.of("user_000001")
        assert await source.page("main", until, account="nobody") == []
        everybody = await source.page("main", until, limit=10)
        assert [s.account.id for s in everybody] == ["user_000000", "user_000001", "user_0000011", "user_000002"]
        assert await source.page("other", until) == []

    play(club, work)
