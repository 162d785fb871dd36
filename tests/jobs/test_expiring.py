"""Grants that lapse soon are told of, each once; and so is a period that could not be given."""

import json
from typing import Any

from farthing.core.commands import DAY_US, GiveGrant, PlaceHold, TakeCharge
from farthing.core.records import Event
from farthing.jobs.expiring import Telling
from farthing.stores.access import Act
from farthing.stores.events import Events
from tests.jobs.subscribers import Club
from tests.jobs.test_items import full, renew
from tests.jobs.test_runner import story
from tests.support import START_US, UNIT, grant_id

ASKED = [["whe_1", ["grant.expiring"], 0]]


async def tell(club: Club, told: list[Any]) -> None:
    text = json.dumps(told) if told else ""

    async def work(execute: Any) -> None:
        await execute(f"update workspace set told = '{text}'")

    await club.ledger.database.write(work)


async def grant(club: Club, account: str, days: float | None, credits: int = 5, **more: Any) -> str:
    expires_at = None if days is None else START_US + round(days * DAY_US)
    command = GiveGrant(workspace="main", account=account, amount=credits * UNIT, expires_at=expires_at, **more)
    return grant_id(await club.accept(command))


async def run(club: Club, **options: Any) -> int:
    """How many were told of."""
    telling = Telling(club.ledger.database, club.ledger.reports, club.ledger.clock.now_us, **options)
    return (await telling.run()).done


async def told(club: Club, type: str = "grant.expiring") -> list[Event]:
    return (await Events(club.ledger.database).page("main", type=type, oldest_first=True)).items


@story
async def test_each_grant_with_credits_left_is_told_of_once_when_its_end_is_near(club):
    await club.begin()
    await tell(club, ASKED)
    near = await grant(club, "anna", 6.5, category="promotional", scope=("model:x",))
    later = await grant(club, "anna", 9)
    await grant(club, "anna", None)
    await grant(club, "bert", 6)
    await club.accept(TakeCharge(workspace="main", account="bert", amount=5 * UNIT))
    held = await grant(club, "carl", 6)
    await club.accept(PlaceHold(workspace="main", account="carl", amount=2 * UNIT, ttl=DAY_US // 2))
    assert await run(club, page=2) == 2  # of three accounts
    said = {event.data["grant"]: event.data for event in await told(club)}
    assert {id: data["remaining"] for id, data in said.items()} == {near: "5", held: "3"}
    assert said[near] == {
        "grant": near, "remaining": "5", "category": "promotional", "expires_at": "2026-01-07T12:00:00.000000Z",
        "scope": ["model:x"],
    }  # fmt: skip
    assert await run(club) == 0
    club.clock.advance(days=3)
    assert await run(club) == 1
    assert (await told(club))[-1].data["grant"] == later
    deliveries = await club.ledger.database.rows("select account from outbox order by account")
    assert [tuple(row) for row in deliveries] == [("anna",), ("anna",), ("carl",)]


@story
async def test_nothing_is_told_where_nobody_asks_nor_before_the_days_that_the_workspace_has_set(club):
    await club.begin()
    await club.ledger.access.change_settings("main", {"expiring_days": 2}, Act("test", START_US))
    await tell(club, [["whe_1", ["charge.*"], 0]])
    await grant(club, "anna", 1)
    await grant(club, "bert", 2.5)
    assert (await run(club), await told(club)) == (0, [])
    await tell(club, [["", ["grant.*"], START_US + 9 * DAY_US]])
    assert await run(club) == 1
    club.clock.advance(hours=13)
    assert await run(club) == 1
    assert [event.account for event in await told(club)] == ["anna", "bert"]
    assert await club.ledger.database.rows("select 1 from outbox") == []


@story
async def test_a_period_that_can_not_be_given_is_told_once_however_often_it_is_tried(club):
    await full(club, "anna", "bert")
    await tell(club, [["whe_1", ["subscription.*"], 0]])
    for _ in range(3):
        await renew(club)
        club.clock.advance(hours=7)
    events = await told(club, "subscription.renewal_failed")
    assert sorted(event.account for event in events) == ["anna", "bert"]
    s = await club.of("anna")
    (anna,) = (event.data for event in events if event.account == "anna")
    assert anna == {
        "subscription": s.id, "plan": "pro", "period_at": anna["period_at"], "error": "too_many_grants",
    }  # fmt: skip
    assert len(await club.ledger.database.rows("select 1 from outbox")) == 2
