"""The caller's event loop goes on whatever a ledger in this process waits for: a locked file, a locked table, a client
that is opened or closed meanwhile. And a client with several loops.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

import farthing
from farthing.stores.postgres_sync import SyncConnection
from tests.api.serving import Server

TURNS = 20
"""So often the loop has to come round while something waits."""
RESCUE_SECONDS = 8.0
"""After which somebody else ends the waiting, so that a loop that is stuck fails the test and not the run."""
CARD = {"rules": [{"id": "page", "dimension": "pages", "price": "2"}]}
Act = Callable[[farthing.AsyncClient], Awaitable[object]]


class Lock:
    """Something that is held until the loop lets go of it; by somebody else only where the loop can't."""

    def __init__(self, let_go: Callable[[], object]) -> None:
        self._let_go = let_go
        self.by: str | None = None
        self._turn = threading.Lock()
        self._rescue = threading.Timer(RESCUE_SECONDS, self.release, ["somebody else"])
        self._rescue.start()

    def release(self, by: str) -> None:
        with self._turn:
            if self.by is None:
                self.by = by
                self._let_go()
        self._rescue.cancel()


async def while_held(lock: Lock, work: Awaitable[object]) -> None:
    """Work that has to wait for the lock, while the loop goes on and at last releases it."""
    task = asyncio.ensure_future(work)
    for _ in range(TURNS):
        await asyncio.sleep(0.005)
    assert not task.done(), "it did not wait for the lock, so that nothing was seen"
    lock.release("the loop")
    await task
    assert lock.by == "the loop"


# What waits

WRITES: dict[str, Act] = {
    "grant": lambda client: client.grant("alice", 5),
    "charge": lambda client: client.charge("alice", 5),
    "charges": lambda client: client.charge_many([{"account": "alice", "amount": 1}] * 3),
    "hold": lambda client: client.holds.create("alice", 5),
    "settings": lambda client: client.settings.change(hold_max_minutes=9),
    "card": lambda client: client.rate_cards.put(CARD, reason="The first"),
    "key": lambda client: client.keys.create(["read"]),
}


def held_file(path: Path) -> Lock:
    """Nobody else may write to the file."""
    other = apsw.Connection(str(path))
    other.execute("begin immediate")
    return Lock(lambda: other.execute("rollback"))


@contextmanager
def held_tables(url: str, *tables: str) -> Iterator[Lock]:
    """Nobody else may so much as read the tables."""
    with SyncConnection(url) as other:
        other.rows("begin")
        for table in tables:
            other.rows(f"lock table {table} in access exclusive mode")
        lock = Lock(lambda: other.rows("rollback"))
        try:
            yield lock
        finally:
            lock.release("the test")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with an account."""
    path = tmp_path / "credits.db"
    with farthing.connect(f"sqlite:///{path}") as client:
        client.grant("alice", 100)
    return path


@pytest.fixture
def database(postgres_url: str) -> str:
    """A database with an account."""
    with farthing.connect(postgres_url) as client:
        client.grant("alice", 100)
    return postgres_url


@pytest.mark.parametrize("name", WRITES)
def test_the_loop_goes_on_while_a_write_waits_for_the_file(path: Path, name: str) -> None:
    async def main() -> None:
        async with farthing.aconnect(f"sqlite:///{path}") as client:
            await while_held(held_file(path), WRITES[name](client))

    asyncio.run(main())


@pytest.mark.parametrize("name", WRITES)
def test_the_loop_goes_on_while_a_write_waits_for_a_table(database: str, name: str) -> None:
    async def main() -> None:
        async with farthing.aconnect(database) as client:
            with held_tables(database, "account", "workspace", "rate_card", "api_key") as lock:
                await while_held(lock, WRITES[name](client))

    asyncio.run(main())


@pytest.mark.parametrize("table", ["migration", "config", "workspace"])
def test_the_loop_goes_on_while_opening_waits_for_a_table(database: str, table: str) -> None:
    async def main() -> None:
        with held_tables(database, table) as lock:
            opening = asyncio.ensure_future(opened(database))
            await while_held(lock, opening)
        client = opening.result()
        assert (await client.balance("alice")).balance == 100
        await client.aclose()

    asyncio.run(main())


def test_the_loop_goes_on_while_a_new_ledger_waits_for_its_file(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    path.touch()

    async def main() -> None:
        opening = asyncio.ensure_future(opened(f"sqlite:///{path}"))
        await while_held(held_file(path), opening)
        await opening.result().aclose()

    asyncio.run(main())


async def opened(url: str) -> farthing.AsyncClient:
    return await farthing.aconnect(url)


def test_the_loop_goes_on_while_closing_waits_for_what_is_on_its_way(path: Path) -> None:
    async def main() -> None:
        client = await opened(f"sqlite:///{path}")
        lock = held_file(path)
        charging = asyncio.ensure_future(client.charge("alice", 5))
        await asyncio.sleep(0.01)
        await while_held(lock, client.aclose())
        assert (await charging).after.balance == 95

    asyncio.run(main())


# Several loops


@pytest.mark.parametrize("where", ["file", "server"])
def test_loops_in_several_threads_share_a_client(where: str, path: Path, server: Server) -> None:
    url, options = f"sqlite:///{path}", dict[str, Any]()
    if where == "server":
        url, options = f"http://127.0.0.1:{server.port}", {"api_key": server.new_key("admin")}

    async def begin() -> farthing.AsyncClient:
        client = await farthing.aconnect(url, **options)
        await client.grant("shared by loops", 100)
        return client

    async def work(client: farthing.AsyncClient) -> None:
        await asyncio.gather(*(client.charge("shared by loops", 1) for _ in range(10)))

    with asyncio.Runner() as home:
        client = home.run(begin())
        failed: list[BaseException] = []

        def elsewhere() -> None:
            try:
                asyncio.run(work(client))
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=elsewhere) for _ in range(4)]
        for thread in threads:
            thread.start()
        home.run(work(client))
        for thread in threads:
            thread.join(60)
        assert failed == []
        assert home.run(client.balance("shared by loops")).balance == 50
        home.run(client.aclose())
