"""Events that come with no command: written with their deliveries, or not at all."""

import json
from itertools import count
from typing import Any

import pytest

from farthing.core.ids import bucket_of
from farthing.core.records import Event
from farthing.stores.events import Events
from farthing.stores.outbox import Outbox
from tests.stores.shop import Shop

_numbers = count()


def event(shop: Shop, type: str = "jobs.parked", account: str = "", **more: Any) -> Event:
    id = f"evt_{shop.now // 1000:012x}7{next(_numbers):019x}"
    workspace = more.pop("workspace", "main")
    return Event(id, workspace, account, bucket_of(workspace, account), type, shop.now, {"kind": "x"}, **more)


def tell(shop: Shop, *told: list[Any]) -> None:
    text = json.dumps(told) if told else ""
    shop.wait(shop.ledger.database.write(lambda execute: execute(_said(text), ())))


def _said(text: str) -> str:
    return f"update workspace set told = '{text}' where id = 'main'"


def add(shop: Shop, *events: Event, to: str | None = None) -> list[Event]:
    found: list[Event] = shop.wait(Events(shop.ledger.database).add(events, to))
    return found


def outbox(shop: Shop, *events: Event) -> list[tuple[Any, ...]]:
    """Of these events: endpoint, number, position of the event."""
    rows = shop.wait(shop.ledger.database.rows("select event, endpoint, number, due_at, attempts from outbox"))
    ids = [each.id for each in events]
    assert all((due_at, attempts) == (shop.now, 0) for event, _, _, due_at, attempts in rows if event in ids)
    return sorted((endpoint, number, ids.index(id)) for id, endpoint, number, _, _ in rows if id in ids)


def written(shop: Shop, *events: Event) -> list[str]:
    rows = {row[0] for row in shop.wait(shop.ledger.database.rows("select id from event"))}
    return [each.type for each in events if each.id in rows]


def test_an_event_goes_to_whoever_asks_for_its_type_behind_what_its_account_has_so_far(shop: Shop, account: str):
    tell(shop, ["whe_1", ["jobs.*"], 0], ["whe_2", ["*"], 0], ["whe_3", ["charge.*"], 0], ["", ["*"], 1 << 60])
    last = shop.grant(account)
    about, of_nobody = event(shop, account=account), event(shop)
    assert add(shop, about, of_nobody) == [about, of_nobody]
    assert outbox(shop, about, of_nobody) == [
        ("whe_1", 0, 1), ("whe_1", last.number, 0), ("whe_2", 0, 1), ("whe_2", last.number, 0),
    ]  # fmt: skip
    tell(shop)


def test_what_nobody_asks_for_is_written_only_where_it_is_recorded_for_its_own_sake(shop: Shop):
    events = event(shop), event(shop, "grant.expiring"), event(shop, "of.a.later.version")
    add(shop, *events)
    assert written(shop, *events) == ["jobs.parked", "of.a.later.version"]
    tell(shop, ["", ["grant.*"], shop.now + 1])
    listened = event(shop, "grant.expiring")
    add(shop, listened)
    assert (written(shop, listened), outbox(shop, *events, listened)) == (["grant.expiring"], [])
    tell(shop)


def test_what_is_told_once_is_told_once_in_its_workspace(shop: Shop, account: str):
    tell(shop, ["whe_1", ["*"], 0])
    same = [event(shop, account=account, once=f"end:{account}") for _ in range(3)]
    other = event(shop, account=account, once=f"another:{account}")
    elsewhere = event(shop, account=account, once=f"end:{account}", workspace="other")
    assert add(shop, *same[:2], other, elsewhere) == [same[0], other, elsewhere]
    assert add(shop, same[2]) == []
    assert outbox(shop, *same, other, elsewhere) == [("whe_1", 0, 0), ("whe_1", 0, 3)]
    tell(shop)


def test_what_is_told_once_is_not_forgotten_before_its_reason_is_over(shop: Shop, account: str):
    same = [event(shop, "jobs.parked", account=account, once=f"month:{account}") for _ in range(3)]
    plain, days = event(shop, "jobs.parked"), 86_400_000_000
    assert add(shop, same[0], plain) == [same[0], plain]
    shop.wait(Outbox(shop.ledger.database).drop_events(shop.now + days))
    assert written(shop, same[0], plain) == ["jobs.parked"]
    assert add(shop, same[1]) == []
    shop.wait(Outbox(shop.ledger.database).drop_events(shop.now + 63 * days))
    assert add(shop, same[2]) == [same[2]]


def test_an_event_for_one_endpoint_goes_to_no_other(shop: Shop):
    tell(shop, ["whe_1", ["*"], 0])
    test, plain = event(shop, "webhook.test"), event(shop)
    add(shop, test, to="whe_9")
    add(shop, plain, to="whe_9")
    assert outbox(shop, test, plain) == [("whe_9", 0, 0), ("whe_9", 0, 1)]
    tell(shop)


def test_events_are_in_the_transaction_of_whoever_writes_them(shop: Shop):
    tell(shop, ["whe_1", ["*"], 0])
    lost = event(shop)

    async def work(execute: Any) -> None:
        await Events(shop.ledger.database).write(execute, [lost])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        shop.wait(shop.ledger.database.write(work))
    assert (written(shop, lost), outbox(shop, lost)) == ([], [])
    tell(shop)
