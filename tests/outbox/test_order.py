"""The order of each account, on both databases, where an endpoint asks for it."""

import asyncio
from typing import Any

import pytest

from farthing.clock import FakeClock
from farthing.core.deliveries import LADDER, SECOND
from farthing.stores import outbox
from farthing.stores.acts import Act
from farthing.stores.outbox import MOST_BEHIND, Outbox, Taken
from farthing.stores.redelivering import Redelivering
from farthing.stores.reports import Execute
from farthing.stores.statements import statements
from tests.outbox.office import SENDS, Office, eventually, on_both, on_one, play
from tests.outbox.receivers import OK, Got, Receiver, receiving, says


@on_both
async def test_where_it_is_asked_for_the_order_of_each_account_is_kept(office: Office):
    """Also while one is tried again, and when it is given up; nobody else's account waits for it."""

    def answer(got: Got) -> bytes:
        return says(500) if got.data["n"] == 0 else OK

    async with receiving(answer) as receiver:
        await office.endpoint(receiver.url(), ordered=True)
        await office.put(12, account=lambda number: f"user_{number % 3}")
        sender = office.sender()
        await sender.run()
        told = [(got.data["account"], got.data["n"]) for got in receiver.got]
        # The first of user_0 is not taken, and holds up those behind it.
        assert [n for account, n in told if account == "user_0"] == [0]
        assert [n for account, n in told if account == "user_1"] == [1, 4, 7, 10]
        assert [n for account, n in told if account == "user_2"] == [2, 5, 8, 11]
        await office.put(1, account=lambda number: "user_0")  # it comes while others wait: n is 0 as well
        for wait in LADDER[1:-1]:
            office.clock.advance(us=wait)
            await sender.run()
        assert receiver.times()[receiver.ids()[0]] == 9
        assert [got.data["n"] for got in receiver.got if got.data["account"] == "user_0"] == [0] * 9
        office.clock.advance(us=LADDER[-1])
        await sender.run()
        # It is given up, and lets the next go; the last one is not taken either, and waits.
        assert [got.data["n"] for got in receiver.got if got.data["account"] == "user_0"][9:] == [0, 3, 6, 9, 0]
    assert await office.left() == 1


@on_both
async def test_lines_end_where_no_order_is_asked_for_any_more(office: Office):
    async with receiving(says(500)) as receiver:
        await office.endpoint(receiver.url(), ordered=True)
        await office.put(5, account=lambda _: "one")
        await office.send()
        assert len(receiver.got) == 1
        at = office.clock.now_us()
        await office.endpoints.update("main", "whe_a", {"ordered": False}, Act("test", at))
        await office.outbox.end_lines(at)
        receiver.answer = OK
        assert await office.send() == 4
        office.clock.advance(us=5 * SECOND)
        assert await office.send() == 1


def numbers(receiver: Receiver, account: str = "one") -> list[int]:
    """What came of an account, in its order."""
    return [got.data["n"] for got in receiver.got if got.data["account"] == account]


async def enable(office: Office) -> None:
    await office.endpoints.update("main", "whe_a", {"enabled": True}, Act("test", office.clock.now_us()))


@on_both
async def test_what_comes_next_in_a_line_is_sent_at_once(office: Office):
    """And not one for each transaction."""
    exchange, turns = Outbox.exchange, 0

    async def counted(*given: Any) -> list[Taken]:
        nonlocal turns
        turns += 1
        return await exchange(office.outbox, *given)

    async with receiving() as receiver:
        await office.endpoint(receiver.url(), ordered=True)
        await office.put(120, account=lambda _: "one")
        await office.put(8, account=lambda number: f"user_{number % 2}")
        office.outbox.exchange = counted  # type: ignore[assignment, method-assign]
        assert await office.send() == 128
    assert numbers(receiver) == list(range(120))
    assert (numbers(receiver, "user_0"), numbers(receiver, "user_1")) == ([0, 2, 4, 6], [1, 3, 5, 7])
    assert turns < 40
    assert [each.attempt for each in await office.tries()] == [1] * 128


@on_both
async def test_one_that_is_not_taken_holds_up_those_behind_it_wherever_it_stands(office: Office):
    async with receiving() as receiver:
        receiver.answer = lambda got: says(500) if got.data["n"] == 2 and receiver.times()[got.id] == 1 else OK
        await office.endpoint(receiver.url(), ordered=True)
        await office.put(6, account=lambda _: "one")
        sender = office.sender()
        await sender.run()
        assert numbers(receiver) == [0, 1, 2]
        assert [each.attempts for each in await office.outbox.waiting("main", "whe_a")] == [1, 0, 0, 0]
        office.clock.advance(us=5 * SECOND)
        await sender.run()
    assert numbers(receiver) == [0, 1, 2, 2, 3, 4, 5]
    assert await office.left() == 0


@on_both
async def test_a_line_in_the_hands_of_who_died_begins_where_it_began(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url(), ordered=True)
        ids = await office.put(MOST_BEHIND + 9, account=lambda _: "one")
        (first,) = await office.taken(99)
        assert [first.event, *(each.event for each in first.behind)] == ids[: MOST_BEHIND + 1]
        await office.put(1, account=lambda _: "one")
        assert await office.send() == 0, "nobody else is given any of it"
        office.clock.advance(us=SENDS.lease_us)
        assert await office.send() == MOST_BEHIND + 10
    assert receiver.ids()[: len(ids)] == ids


@on_one
async def test_who_is_to_end_in_the_middle_of_a_line_leaves_the_rest_in_its_order(office: Office):
    ends = False

    def answer(got: Got) -> bytes:
        nonlocal ends
        ends = len(receiver.got) > 1
        return OK

    async with receiving(answer) as receiver:
        await office.endpoint(receiver.url(), ordered=True)
        await office.put(30, account=lambda _: "one")
        await office.sender().run(lambda: ends)
        # Cut off, while one of them is on its way, it loses nothing, and sends that one again.
        receiver.answer, begun = receiver.hang, len(receiver.got)
        sending = asyncio.create_task(office.sender().run())
        await eventually(lambda: len(receiver.got) > begun)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        receiver.answer = OK
        await office.send()
    assert numbers(receiver) == [*range(begun + 1), *range(begun, 30)]


@on_both
async def test_a_line_is_kept_through_a_replay_and_while_its_webhook_is_disabled(office: Office):
    async with receiving() as receiver:
        receiver.answer = lambda got: says(410) if got.data["n"] == 3 else OK
        await office.endpoint(receiver.url(), ordered=True)
        ids = await office.put(8, account=lambda _: "one")
        await office.send()
        assert (numbers(receiver), (await office.found()).reason) == ([0, 1, 2, 3], "gone")
        receiver.answer, receiver.got = OK, []
        await enable(office)
        await Redelivering(office.ledger.database).one("main", "whe_a", ids[0], Act("test", office.clock.now_us()))
        await office.send()
    # What is sent again is behind the one that was its turn; the others keep their order.
    assert numbers(receiver) == [3, 0, 4, 5, 6, 7]


@on_both
async def test_two_senders_keep_the_order(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url(), ordered=True)
        await office.put(90, account=lambda number: f"user_{number % 3}")
        await asyncio.gather(office.sender().run(), office.sender().run())
    for account in range(3):
        assert numbers(receiver, f"user_{account}") == list(range(account, 90, 3))


@on_one
async def test_who_is_behind_the_long_line_of_another_is_sent_in_the_same_run(office: Office):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "LINED_UP", 5)
        async with receiving() as receiver:
            receiver.answer = lambda got: says(500) if got.data["account"] == "one" else OK
            await office.endpoint(receiver.url(), ordered=True)
            await office.put(40, account=lambda _: "one")
            office.clock.advance(us=1)
            await office.put(3, account=lambda _: "two")
            await office.send()
    assert (numbers(receiver), numbers(receiver, "two")) == ([0], [0, 1, 2])


LOOK_UPS: dict[str, tuple[Any, ...]] = {
    "fresh": ("main", "whe_a", 1, 500),
    "lines": (["one", "two"], "main", "whe_a"),
    "behind": ("main", "whe_a", ["one", "two"], 9),
    "events_since": ("main", "whe_a", "whe_a", "main", "evt_", 0, 1_000),
}


def test_on_postgres_what_is_looked_up_is_so_before_it_is_known_how_long_the_outbox_is(
    postgres_url: str, clock: FakeClock
):
    """Plans are made while the outbox is empty: those that sort or read all of it would be of use then."""

    async def told(office: Office) -> None:
        async def work(execute: Execute) -> None:
            sql = statements("postgres", "outbox")
            await execute(sql["look_ups"])
            for name, values in LOOK_UPS.items():
                plan = "\n".join(row[0] for row in await execute(f"explain {sql[name]}", values))
                assert not any(dear in plan for dear in ("Seq Scan", "Hash", "Materialize", "delivery_at")), plan
                assert name != "fresh" or "Sort" not in plan, plan

        await office.ledger.database.write(work)

    play(Office(postgres_url, clock), told)
