"""Sending, on both databases: each event at least once, in its time, and nobody held up by another."""

import asyncio
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from farthing.core.deliveries import DAY, HOUR, SECOND
from farthing.core.endpoints import SigningSecret, secret_of
from farthing.outbox import sender
from farthing.outbox.lanes import FIRST_AHEAD
from farthing.outbox.options import Options
from farthing.outbox.sender import TOLD_CHARACTERS
from tests.outbox.office import SECRET, SENDS, Office, eventually, on_both, on_one, play
from tests.outbox.receivers import OK, Got, receiving, says
from tests.support import START_US


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


def office_time() -> datetime:
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


@on_one
async def test_however_many_hang_there_is_room_for_who_does_not(office: Office):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sender, "HELD", 32)
        async with receiving() as hanging, receiving() as good:
            hanging.answer = hanging.hang
            for number in range(20):
                await office.endpoint(hanging.url(), f"whe_{number}", failing_since=START_US)
                await office.put(9, f"whe_{number}")
            sends = office.sender()
            sending = asyncio.create_task(sends.run())
            await eventually(lambda: len(hanging.got) >= 4)
            await office.endpoint(good.url(), "whe_good")
            await office.put(40, "whe_good")
            await eventually(lambda: len(good.got) == 40)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


@on_one
async def test_of_an_answer_little_is_kept(office: Office):
    async with receiving(says(500, b"x" * 5_000)) as receiver:
        await office.endpoint(receiver.url())
        await office.put(1)
        await office.send()
    assert (await office.tries())[0].detail == "x" * TOLD_CHARACTERS


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
        assert sorted(each.event for each in await office.taken()) == sorted(ids)
        office.clock.advance(us=SENDS.lease_us - 1)
        assert await office.send() == 0
        office.clock.advance(us=1)
        assert await office.send() == 3


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
