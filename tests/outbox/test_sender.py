"""Sending, on both databases: each event at least once, in its time, and nobody held up by another."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from standardwebhooks.webhooks import Webhook

from farthing.core.deliveries import DAY, HOUR, LADDER, SECOND
from farthing.core.endpoints import SigningSecret, secret_of
from farthing.outbox.options import Options
from farthing.outbox.sender import FIRST_AHEAD
from farthing.stores.acts import Act
from tests.outbox.office import SECRET, SENDS, Office, eventually
from tests.outbox.receivers import OK, Got, receiving, says
from tests.support import START_US


def play(office: Office, story: Callable[[Office], Awaitable[None]]) -> None:
    """Tell a story on an open office."""

    async def told() -> None:
        await office.begin()
        try:
            await story(office)
        finally:
            await office.close()

    asyncio.run(told())


def on_both(story: Callable[[Office], Awaitable[None]]) -> Callable[[Office], None]:
    """Make a test of a story, on either database."""

    def test(office: Office) -> None:
        play(office, story)

    test.__doc__, test.__name__ = story.__doc__, story.__name__
    return test


def on_one(story: Callable[[Office], Awaitable[None]]) -> Callable[[Office], None]:
    """The same on SQLite alone: what it tells has nothing to do with the database."""

    def test(small: Office) -> None:
        play(small, story)

    test.__doc__, test.__name__ = story.__doc__, story.__name__
    return test


@on_both
async def test_each_event_is_sent_once_as_the_receivers_library_takes_it(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        ids = await office.put(150)
        assert await office.send() == 150
    assert sorted(receiver.ids()) == sorted(ids)
    assert (await office.left(), office.counted) == (0, {"delivered": 150})
    got = receiver.got[0]
    # Of the virtual clock's second, which the library would call too old.
    signed = Webhook(SECRET).sign(got.id, office_time(), got.body.decode())
    assert got.headers["webhook-signature"] == signed
    tries = await office.tries()
    assert {(each.attempt, each.outcome, each.status, each.type) for each in tries} == {
        (1, "delivered", 204, "charge.created")
    }


def office_time():
    from datetime import UTC, datetime

    return datetime.fromtimestamp(START_US / SECOND, UTC)


@on_one
async def test_while_a_secret_is_changed_both_sign(office: Office):
    new, day = secret_of(bytes(40)), 24 * HOUR
    async with receiving() as receiver:
        secrets = (SigningSecret(new), SigningSecret(SECRET, START_US + day))
        await office.endpoint(receiver.url(), secrets=secrets)
        await office.put(1)
        await office.send()
        office.clock.advance(us=day)
        await office.put(1)
        await office.send()
    first, second = (got.headers["webhook-signature"].split(" ") for got in receiver.got)
    assert (len(first), len(second)) == (2, 1)
    assert Webhook(SECRET).sign(receiver.got[0].id, office_time(), receiver.got[0].body.decode()) == first[1]


@on_both
async def test_what_is_not_taken_is_tried_again_in_its_time_the_same_bytes_under_the_same_id(office: Office):
    async with receiving(says(500, b"out of order")) as receiver:
        await office.endpoint(receiver.url())
        (id,) = await office.put(1)
        await office.send()
        assert await office.send() == 0, "nothing is due"
        office.clock.advance(us=5 * SECOND - 1)
        await office.send()
        assert len(receiver.got) == 1
        office.clock.advance(us=1)
        await office.send()
        receiver.answer = OK
        assert (await office.found()).failing_since == START_US
        office.clock.advance(us=300 * SECOND)
        assert await office.send() == 1
        assert (await office.found()).failing_since is None
    assert (receiver.ids(), len({got.body for got in receiver.got})) == ([id] * 3, 1)
    assert len({got.headers["webhook-timestamp"] for got in receiver.got}) == 3
    tries = [(each.attempt, each.outcome, each.status, each.detail) for each in await office.tries()]
    failed = ("failed", 500, "out of order")
    assert tries == [(1, *failed), (2, *failed), (3, "delivered", 204, "")]


@on_both
async def test_who_answers_500_for_a_week_is_tried_ten_times_and_disabled_after_five_days(office: Office):
    async with receiving(says(500)) as receiver:
        await office.endpoint(receiver.url())
        await office.endpoint(receiver.url("/told"), "whe_told", types=["webhook.disabled"])
        (first,) = await office.put(1)
        for wait in LADDER:
            office.clock.advance(us=wait)
            await office.send()
        assert receiver.ids() == [first] * 10
        assert [each.outcome for each in await office.tries()] == ["failed"] * 9 + ["given_up"]
        assert await office.left() == 0
        (second,) = await office.put(1)
        await office.send()
        assert (await office.found()).state == "enabled"
        office.clock.advance(us=2 * DAY)
        await office.send()
        found = await office.found()
        assert (found.state, found.reason, receiver.ids()[10:12]) == ("disabled", "failing", [second] * 2)
        receiver.answer = OK
        await office.put(1)
        await office.send()
    assert len([got for got in receiver.got if got.path == "/hook"]) == 12
    (told,) = [got for got in receiver.got if got.path == "/told"]
    assert told.data == {"workspace": "main", "endpoint": "whe_a", "reason": "failing"}
    assert await office.left() == 1, "what waits stays until somebody enables or removes the endpoint"


@on_both
async def test_who_says_that_it_is_gone_gets_nothing_more(office: Office):
    async with receiving(says(410)) as receiver:
        await office.endpoint(receiver.url())
        await office.put(1)
        await office.send()
        await office.put(3)
        await office.send()
    found = await office.found()
    assert (found.state, found.reason, len(receiver.got)) == ("disabled", "gone", 1)
    assert [event.data["reason"] for event in (await office.events.page("main", type="webhook.disabled")).items] == [
        "gone"
    ]
    assert (await office.tries())[0].outcome == "given_up"


@on_one
async def test_who_has_been_gone_may_be_enabled_again_and_gets_what_has_waited(office: Office):
    async with receiving(says(410)) as receiver:
        await office.endpoint(receiver.url())
        await office.put(FIRST_AHEAD + 2)
        await office.send()
        receiver.answer = OK
        at = office.clock.now_us()
        await office.endpoints.update("main", "whe_a", {"enabled": True}, Act("test", at))
        gone = len(receiver.got)
        assert await office.send() == FIRST_AHEAD + 2 - gone


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(small: Office, status: int):
    async def story(office: Office) -> None:
        async with receiving() as elsewhere, receiving(says(status, location=elsewhere.url())) as receiver:
            await office.endpoint(receiver.url())
            await office.put(1)
            assert await office.send() == 0
        assert elsewhere.got == []
        assert [(each.outcome, each.status) for each in await office.tries()] == [("failed", status)]

    play(small, story)


@on_one
async def test_who_asks_for_a_pause_is_left_alone_with_everything(office: Office):
    async with receiving(says(429, retry_after="600")) as receiver:
        await office.endpoint(receiver.url())
        sender = office.sender()
        await office.put(20)
        await sender.run()
        began = len(receiver.got)
        assert 0 < began <= FIRST_AHEAD
        receiver.answer = OK
        office.clock.advance(us=599 * SECOND)
        await sender.run()
        assert len(receiver.got) == began
        office.clock.advance(us=SECOND)
        await sender.run()
    assert sorted(receiver.times().values()) == [1] * (20 - began) + [2] * began


@on_one
async def test_an_address_that_has_come_to_lead_inside_is_a_failure(office: Office):
    async def inside(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    await office.endpoint("https://hooks.example.com/")
    await office.endpoint("http://127.0.0.1:9/", "whe_local")
    await office.put(1)
    await office.put(1, "whe_local")
    assert await office.send(Options(), resolve=inside) == 0
    assert (await office.tries())[0].detail == "hooks.example.com leads to no public address"
    assert (await office.tries("whe_local"))[0].detail == "the address must begin with https://"


@on_both
async def test_one_that_hangs_delays_nobody_elses(office: Office):
    async with receiving() as hanging, receiving() as good:
        hanging.answer = hanging.hang
        await office.endpoint(hanging.url(), "whe_hangs")
        await office.endpoint(good.url(), "whe_good")
        await office.put(300, "whe_hangs")
        ids = await office.put(300, "whe_good")
        sending = asyncio.create_task(office.sender().run())
        await eventually(lambda: len(good.got) == 300)
        assert sorted(good.ids()) == sorted(ids)
        await eventually(lambda: office.counted.get("delivered") == 300)
        assert not sending.done()
        assert hanging.at_once <= FIRST_AHEAD
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    # What was cut off is anybody's at once.
    assert (await office.left(), len(await office.tries("whe_hangs"))) == (300, 0)
    assert {each.due_at for each in await office.outbox.waiting("main", "whe_hangs", 300)} == {START_US}


@on_one
async def test_who_fails_gets_two_at_a_time_and_who_takes_them_sixteen(office: Office):
    seen: list[int] = []

    async def fail(got: Got) -> bytes:
        seen.append(failing.at_once)
        await asyncio.sleep(0.005)
        return says(500)

    async def take(got: Got) -> bytes:
        await asyncio.sleep(0.002)
        return OK

    async with receiving(fail) as failing, receiving(take) as good:
        await office.endpoint(failing.url(), "whe_fails")
        await office.endpoint(good.url(), "whe_good")
        await office.put(FIRST_AHEAD + 10, "whe_fails")
        await office.put(400, "whe_good")
        assert await office.send() == 400
        assert 2 < good.most_at_once <= 16
    assert len(seen) == FIRST_AHEAD + 10
    assert max(seen[:FIRST_AHEAD]) <= FIRST_AHEAD
    assert max(seen[FIRST_AHEAD:]) <= 2


@on_one
async def test_who_does_not_answer_in_time_has_not_taken_it(office: Office):
    async with receiving() as receiver:
        receiver.answer = receiver.hang
        await office.endpoint(receiver.url())
        await office.put(1)
        assert await office.send(Options(timeout_seconds=0.05, allow_private=True)) == 0
    (tried,) = await office.tries()
    assert (tried.outcome, tried.status, tried.detail) == ("failed", None, "no answer within 0.05 seconds")


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


@on_both
async def test_two_senders_side_by_side_send_nothing_twice(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        ids = await office.put(300)
        done = await asyncio.gather(office.sender().run(), office.sender().run())
    assert sorted(receiver.ids()) == sorted(ids)
    assert sum(sum(each.values()) for each in done) == 300


@on_both
async def test_what_a_process_had_taken_that_died_is_sent_by_another_after_the_lease(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        ids = await office.put(3)
        at = office.clock.now_us()
        from farthing.stores.outbox import Want

        taken = await office.outbox.exchange([], [], [Want(await office.found(), 10)], at, at + SENDS.lease_us)
        assert sorted(each.event for each in taken) == sorted(ids)
        office.clock.advance(us=SENDS.lease_us - 1)
        assert await office.send() == 0
        office.clock.advance(us=1)
        assert await office.send() == 3


@on_both
async def test_an_event_is_sent_again_when_somebody_says_so(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        (id,) = await office.put(1)
        await office.send()
        assert (await office.outbox.redeliver("main", "whe_a", id, office.clock.now_us())) is not None
        await office.send()
        receiver.answer = says(500)
        await office.outbox.redeliver("main", "whe_a", id, office.clock.now_us())
        await office.send()
        # It waits for another try: now, and the ladder begins anew.
        receiver.answer = OK
        await office.outbox.redeliver("main", "whe_a", id, office.clock.now_us())
        await office.send()
        assert await office.outbox.redeliver("main", "whe_a", "evt_" + "0" * 32, 0) is None
        assert await office.outbox.redeliver("main", "whe_a", "nonsense", 0) is None
    assert receiver.ids() == [id] * 4
    found = await office.outbox.tries_of("main", "whe_a", id)
    assert [(each.attempt, each.outcome) for each in found] == [
        (1, "delivered"), (2, "delivered"), (3, "failed"), (4, "delivered")
    ]  # fmt: skip


@on_both
async def test_all_that_was_not_delivered_since_then_is_sent_again(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        await office.put(1)
        office.clock.advance(us=HOUR)
        since = office.clock.now_us()
        await office.put(2)
        await office.send()
        receiver.answer = says(410)
        office.clock.advance(us=HOUR)
        lost = await office.put(1)
        await office.send()
        office.clock.advance(us=HOUR)
        lost += await office.put(2)  # they wait
        receiver.answer, receiver.got = OK, []
        at = office.clock.now_us()
        await office.endpoints.update("main", "whe_a", {"enabled": True}, Act("test", at))

        def asks(type: str) -> bool:
            return type.startswith("charge.")

        assert await office.outbox.redeliver_since("main", "whe_a", since, at, asks) == 1
        assert await office.outbox.redeliver_since("main", "whe_a", since, at, asks) == 0
        await office.send()
    assert sorted(receiver.ids()) == sorted(lost)


@on_both
async def test_tries_and_events_are_kept_for_as_long_as_is_said(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        await office.put(3)
        await office.send()
        office.clock.advance(us=30 * DAY)
        await office.put(2)
        await office.send()
    before = office.clock.now_us() - DAY
    assert await office.outbox.drop_tries(before, limit=2) == 2
    assert await office.outbox.drop_tries(before, limit=2) == 1
    assert await office.outbox.drop_tries(before, limit=2) == 0
    assert len(await office.tries()) == 2
    assert (await office.outbox.drop_events(before), await office.outbox.drop_events(before)) == (3, 0)
    assert len((await office.events.page("main")).items) == 2


@on_one
async def test_an_event_that_is_kept_no_longer_is_given_up(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        await office.put(1)
        office.clock.advance(us=DAY)
        await office.outbox.drop_events(office.clock.now_us())
        await office.send()
    assert (receiver.got, await office.left()) == ([], 0)
    assert [(each.outcome, each.detail) for each in await office.tries()] == [
        ("given_up", "the event is kept no longer")
    ]


@on_one
async def test_how_much_waits_and_since_when(office: Office):
    assert (await office.outbox.figures()).oldest_at is None
    await office.endpoint("http://127.0.0.1:9/")
    await office.put(2)
    figures = await office.outbox.figures()
    assert (figures.waiting, figures.oldest_at) == (2, START_US)


@on_one
async def test_who_is_to_end_sends_what_is_on_its_way_and_gives_the_rest_back(office: Office):
    ends = False

    def answer(got: Got) -> bytes:
        nonlocal ends
        ends = True
        return OK

    async with receiving(answer) as receiver:
        await office.endpoint(receiver.url())
        await office.put(200)
        done = sum((await office.sender().run(lambda: ends)).values())
    assert 0 < done == len(receiver.got) < 200
    assert await office.left() == 200 - done
    assert {each.due_at for each in await office.outbox.waiting("main", "whe_a", 200)} == {START_US}
