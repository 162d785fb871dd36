"""Connections to a server: kept and shared, and replaced where the server has let go of them."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import farthing
from tests.api.serving import Server
from tests.client.outages import Way


@pytest.fixture
def way(server: Server) -> Iterator[Way]:
    way = Way(server.port)
    yield way
    way.shut()


def connections(way: Way) -> int:
    """How many were made so far; each has two ends."""
    return len(way._ends) // 2


def test_calls_one_after_the_other_take_one_connection(way: Way, server: Server) -> None:
    with farthing.connect(way.url, api_key=server.new_key("admin")) as client:
        client.grant("pooled", 100)
        for _ in range(5):
            client.charge("pooled", 1)
            client.can_afford("pooled", 1)
        assert connections(way) == 1


def test_threads_have_as_many_connections_as_there_are_calls_at_a_time(way: Way, server: Server) -> None:
    with farthing.connect(way.url, api_key=server.new_key("admin")) as client, ThreadPoolExecutor(8) as pool:
        client.grant("threaded", 1_000)
        list(pool.map(lambda _: client.charge("threaded", 1), range(100)))
        assert 1 <= connections(way) <= 8
        assert client.balance("threaded").balance == 900


def test_tasks_share_the_connections_of_their_loop(way: Way, server: Server) -> None:
    key = server.new_key("admin")

    async def main() -> None:
        async with farthing.aconnect(way.url, api_key=key) as client:
            await client.grant("tasks", 1_000)
            made = []
            for _ in range(3):
                await asyncio.gather(*(client.charge("tasks", 1) for _ in range(40)))
                made.append(connections(way))
            assert made == [made[0]] * 3
            assert made[0] <= 41

    asyncio.run(main())


def test_a_connection_that_the_server_has_ended_costs_no_call(way: Way, server: Server) -> None:
    with farthing.connect(way.url, api_key=server.new_key("admin"), max_retries=0) as client:
        client.grant("restarted", 100)
        for left in (99, 98, 97):
            way.shut()
            way.open()
            assert client.charge("restarted", 1).after.balance == left
