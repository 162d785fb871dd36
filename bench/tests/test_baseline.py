"""The baseline keeps the promises that it is compared on; tried on a real PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from bench.baseline import setup, store
from bench.baseline.models import MICRO, AddRequest, DeductRequest
from bench.postgres import Cluster, cluster

Act = Callable[[asyncpg.Pool], Awaitable[Any]]


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with cluster() as running:
        setup.prepare(running.dsn, "acc-", 2, 10, 100)
        yield running


def on(database: Cluster, act: Act) -> Any:
    async def run() -> Any:
        async with asyncpg.create_pool(database.dsn, min_size=8, max_size=8) as pool:
            return await act(pool)

    result = asyncio.run(run())
    assert setup.problems(database.dsn) == []
    return result


def request(account: str, event: str, amount: str = "1") -> DeductRequest:
    body = {"account_id": account, "operation": "chat.x", "amount": amount, "usage_event_id": event}
    return DeductRequest.model_validate(body)


def purchase(account: str, transaction: str) -> AddRequest:
    source = {"productId": "p", "orderId": "o", "transactionId": transaction}
    return AddRequest.model_validate({"account_id": account, "amount": 5, "source": source})


def test_fifty_callers_with_one_key_are_one_charge(database):
    async def act(pool: asyncpg.Pool) -> list[Any]:
        return await asyncio.gather(*(store.deduct(pool, 1, request("acc-00", "one")) for _ in range(50)))

    answers = on(database, act)
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].newBalance == 99 * MICRO


def test_two_hundred_callers_of_one_on_a_hundred_credits_are_exactly_a_hundred(database):
    async def act(pool: asyncpg.Pool) -> list[Any]:
        calls = (store.deduct(pool, 1, request("acc-01", f"e{n}")) for n in range(200))
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = on(database, act)
    refused = [answer for answer in answers if isinstance(answer, store.Refused)]
    assert len(refused) == 100
    assert {refusal.code for refusal in refused} == {"INSUFFICIENT_CREDITS"}


def test_one_key_with_other_content_is_a_conflict(database):
    async def act(pool: asyncpg.Pool) -> None:
        await store.deduct(pool, 1, request("acc-02", "k", "1"))
        await store.deduct(pool, 1, request("acc-02", "k", "2"))

    with pytest.raises(store.Refused) as refused:
        on(database, act)
    assert refused.value.code == "IDEMPOTENCY_CONFLICT"


def test_a_lapsed_grant_does_not_pay_and_is_booked(database):
    async def act(pool: asyncpg.Pool) -> Any:
        await pool.execute(
            "update credit_grant set expires_at = clock_timestamp() - interval '1 s' where account_id = 'acc-03'"
        )
        await store.add(pool, 1, purchase("acc-03", "t"))
        return await store.deduct(pool, 1, request("acc-03", "after", "0.25"))

    assert on(database, act).newBalance == 4_750_000


def test_grants_burn_sooner_expiry_first_and_across(database):
    async def act(pool: asyncpg.Pool) -> list[int]:
        await store.add(pool, 1, purchase("acc-04", "t2"))
        await pool.execute(
            "update credit_grant set expires_at = clock_timestamp() + interval '1 day' "
            "where account_id = 'acc-04' and amount = 5000000"
        )
        await store.deduct(pool, 1, request("acc-04", "across", "8"))
        rows = await pool.fetch("select remaining from credit_grant where account_id = 'acc-04' order by amount")
        return [row["remaining"] for row in rows]

    assert on(database, act) == [0, 97 * MICRO]


def test_entries_are_never_changed(database):
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        on(database, lambda pool: pool.execute("update ledger_entry set amount = 1"))
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        on(database, lambda pool: pool.execute("delete from idempotency_key"))


def test_the_check_finds_a_balance_that_its_entries_do_not_explain(database):
    with cluster() as other:
        setup.prepare(other.dsn, "acc-", 2, 3, 100)
        other.sql("update account set balance = balance + 1 where account_id = 'acc-01'")
        assert len(setup.problems(other.dsn)) == 2
