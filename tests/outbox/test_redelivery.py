"""Events that are sent again because somebody says so, on both databases."""

import pytest

from farthing.core.deliveries import HOUR
from farthing.core.ids import bucket_in
from farthing.outbox.endpoints import event_of_test
from farthing.stores import redelivering
from farthing.stores.acts import AccessError, Act
from farthing.stores.redelivering import Redelivered, Redelivering
from farthing.stores.reports import Execute
from farthing.stores.statements import statements
from tests.outbox.office import Office, on_both, on_one
from tests.outbox.receivers import OK, receiving, says
from tests.support import START_US


async def again(office: Office, event: str) -> None:
    """Somebody says so."""
    act = Act("test", office.clock.now_us())
    assert await Redelivering(office.ledger.database).one("main", "whe_a", event, act) == Redelivered("whe_a", 1)


@on_both
async def test_an_event_is_sent_again_when_somebody_says_so(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url())
        (id,) = await office.put(1)
        await office.send()
        await again(office, id)
        await office.send()
        receiver.answer = says(500)
        await again(office, id)
        await office.send()
        # It waits for another try: now, and the ladder begins anew.
        receiver.answer = OK
        await again(office, id)
        await office.send()
        for nothing in ("evt_" + "0" * 32, "nonsense"):
            with pytest.raises(AccessError, match="there is no event"):
                await again(office, nothing)
    assert receiver.ids() == [id] * 4
    assert sorted((each.attempt, each.outcome) for each in await office.tries()) == [
        (1, "delivered"), (2, "delivered"), (3, "failed"), (4, "delivered")
    ]  # fmt: skip


@on_both
async def test_all_that_was_not_delivered_since_then_is_sent_again(office: Office):
    async with receiving() as receiver:
        await office.endpoint(receiver.url(), types=["charge.*"])
        await office.put(1)
        office.clock.advance(us=HOUR)
        since = office.clock.now_us()
        await office.put(2)
        await office.send()
        receiver.got = []
        lost = await office.put(1, "whe_other")  # nobody told this one
        lost += await office.put(2)  # they wait
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(redelivering, "PAGE", 2)
            for count in (1, 0):
                act = Act("test", office.clock.now_us())
                done = await Redelivering(office.ledger.database).since("main", "whe_a", since, act)
                assert done == Redelivered("whe_a", count)
        await office.send()
    assert sorted(receiver.ids()) == sorted(lost)


@on_one
async def test_nobody_is_sent_the_tests_of_another(office: Office):
    for id in ("whe_a", "whe_b"):
        await office.endpoint("http://127.0.0.1:9/", id, types=["*"])
        await office.endpoints.test(event_of_test("main", id, START_US), id, Act("test", START_US))
    await office.endpoints.remove("main", "whe_b", Act("test", START_US))
    await office.endpoint("http://127.0.0.1:9/", "whe_b", types=["*"])
    assert await Redelivering(office.ledger.database).since("main", "whe_b", 0, Act("test", START_US)) == Redelivered(
        "whe_b", 0
    )


@on_both
async def test_what_is_put_there_twice_at_the_same_instant_is_there_once(office: Office):
    await office.endpoint("http://127.0.0.1:9/")
    (id,) = await office.put(1)
    found = await office.outbox.waiting("main", "whe_a")

    async def put(execute: Execute) -> None:
        for _ in range(2):
            values = ("main", "whe_a", bucket_in(id), START_US, id, "user_0")
            await execute(statements(office.ledger.database.dialect, "outbox")["put"], values)

    await office.ledger.database.write(put)
    assert await office.outbox.waiting("main", "whe_a") == found
