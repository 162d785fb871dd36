"""Opening, closing, and living beside others: threads, event loops, forks, other processes, and what is imported."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import httpx2
import pytest

import farthing
from farthing.client import errors
from farthing.client.inside.session import Session
from farthing.extras import EXTRA_OF
from farthing.stores import migrate
from farthing.stores.contract import StorageFull
from tests.api.serving import Server, wait_for
from tests.client.flaky import Flaky, drop
from tests.postgres import TEMPLATE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgres", "http"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """A ledger: its URL, and what else it takes to connect."""
    if request.param == "http":
        server: Server = request.getfixturevalue("server")
        return f"http://127.0.0.1:{server.port}", {"api_key": server.new_key("admin")}
    if request.param == "postgres":
        return request.getfixturevalue("databases").make(TEMPLATE), {}
    return f"sqlite:///{tmp_path}/credits.db", {}


@pytest.fixture
def client(where: tuple[str, dict[str, Any]]) -> Iterator[farthing.Client]:
    url, options = where
    with farthing.connect(url, **options) as client:
        yield client


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A file that is not there yet."""
    return f"sqlite:///{tmp_path}/credits.db"


# Opening


def test_a_file_is_made_at_first_use_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "credits.db"
    with farthing.connect(f"sqlite:///{path}", workspace="bot", unit="tokens", scale=0) as client:
        workspace = client.settings.get().workspace
        assert (workspace.id, workspace.unit, workspace.scale) == ("bot", "tokens", 0)
    assert path.stat().st_mode & 0o777 == 0o600
    with farthing.connect(f"sqlite:///{path}", create=False) as client:
        assert client.grant("alice", 5).amount == 5


def test_of_several_that_begin_at_once_one_makes_the_ledger(url: str) -> None:
    def begin(number: int) -> Any:
        with farthing.connect(url) as client:
            return client.grant("alice", 1, key=f"{number}").amount

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 8
    with farthing.connect(url) as client:
        assert client.balance("alice").balance == 8


@pytest.mark.parametrize(("seconds", "opens"), [(5, True), (3_600, False)])
def test_a_ledger_that_somebody_just_makes_is_finished_and_an_old_one_left_to_its_owner(
    url: str, tmp_path: Path, seconds: int, opens: bool
) -> None:
    made_at = time.time_ns() // 1000 - seconds * 1_000_000
    half = apsw.Connection(str(tmp_path / "credits.db"))
    migrate.migrate(half, migrate.discover("sqlite")[:1], made_at)
    half.close()
    if opens:
        with farthing.connect(url) as client:
            assert client.grant("alice", 5).amount == 5
    else:
        with pytest.raises(farthing.ConnectError, match="farthing migrate"):
            farthing.connect(url)


def test_tables_are_made_in_a_database_that_has_none(postgres_empty_url: str) -> None:
    with pytest.raises(farthing.ConnectError):
        farthing.connect(postgres_empty_url, create=False)
    with farthing.connect(postgres_empty_url, unit="USD") as client:
        assert client.settings.get().workspace.scale == 9
        assert client.grant("alice", "0.000000001").amount > 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"workspace": "other"}, "there is no workspace 'other'; there is main"),
        ({"unit": "USD"}, "counts in credits with 6 decimals"),
        ({"scale": 2}, "counts in credits with 6 decimals"),
        ({"timeout": 0}, "timeout must be above zero"),
        ({"timeout": "5"}, "timeout must be a number, not '5'"),
        ({"max_retries": None}, "max_retries must be a number"),
        ({"max_retries": -1}, "max_retries"),
        ({"actor": ""}, "actor"),
    ],
)
def test_what_can_not_be_meant_is_refused_when_connecting(url: str, options: dict[str, Any], why: str) -> None:
    farthing.connect(url).close()
    with pytest.raises(farthing.ConnectError, match=why):
        farthing.connect(url, **options)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (None, "not to None"),
        ("credits.db", "sqlite:///credits.db"),
        ("mysql://root:secret@host/x", "not to mysql:..."),
        ("sqlite://", "sqlite:///"),
        ("postgresql://host", "names no database"),
        ("postgresql://me@127.0.0.1:1/x", ""),
        ("https://", "names no host"),
        ("https://host?x=1", "no query"),
        ("http://host:port", "no address"),
        ("sqlite:////nowhere/at/all.db", ""),
    ],
)
def test_a_url_by_which_nothing_can_be_opened_says_why(url: Any, why: str) -> None:
    with pytest.raises(farthing.ConnectError) as caught:
        farthing.connect(url, api_key="cs_live_any", create=False)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_client_that_was_not_awaited_says_so(url: str) -> None:
    opening: Any = farthing.aconnect(url)
    with pytest.raises(AttributeError, match=r"no 'charge': await aconnect"):
        opening.charge("alice", 5)


def test_a_scale_that_is_no_number_is_refused(url: str) -> None:
    scale: Any = "2"
    with pytest.raises(farthing.ConnectError, match="scale must be a whole number from 0"):
        farthing.connect(url, scale=scale)


def test_a_server_needs_a_key(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    address = f"http://127.0.0.1:{server.port}"
    monkeypatch.delenv("FARTHING_API_KEY", raising=False)
    with pytest.raises(farthing.ConnectError, match="FARTHING_API_KEY"):
        farthing.connect(address)
    with pytest.raises(farthing.ConnectError, match="ASCII"):
        farthing.connect(address, api_key="cs_live_ü")
    monkeypatch.setenv("FARTHING_API_KEY", server.new_key("admin"))
    with pytest.raises(farthing.ConnectError, match="for the workspace 'main'"):
        farthing.connect(address, workspace="other")
    with farthing.connect(address, workspace="main") as client:
        client.grant("keyed", 1)
    with farthing.connect(address, api_key="cs_live_wrong") as client, pytest.raises(errors.Unauthorized):
        client.balance("keyed")
    with farthing.connect(address, api_key=server.new_key("read")) as client, pytest.raises(errors.ScopeMissing):
        client.charge("keyed", 1)


def test_several_workspaces_have_to_be_told_apart(server: Server) -> None:
    address = f"sqlite:///{server.path}"
    with pytest.raises(farthing.ConnectError, match=r"several workspaces; .*main, other"):
        farthing.connect(address)
    with farthing.connect(address, workspace="other") as client:
        assert client.settings.get().workspace.mode == "test"


def test_an_http_client_of_ones_own_is_used_and_stays_open(server: Server) -> None:
    address = f"http://127.0.0.1:{server.port}"
    with httpx2.Client(headers={"x-request-id": "mine"}, timeout=60) as own:
        client = farthing.connect(address, api_key=server.new_key(), http_client=own)
        with pytest.raises(farthing.AccountNotFound) as caught:
            client.balance("nobody")
        client.close()
        assert caught.value.request_id == "mine"
        assert own.get(f"{address}/livez").status_code == 200


# Closing


def test_a_closed_client_says_so_and_closing_twice_is_harmless(client: farthing.Client) -> None:
    client.grant("alice", 5)
    entries = client.entries("alice")
    client.close()
    client.close()
    for ask in (lambda: client.charge("alice", 1), lambda: list(entries)):
        with pytest.raises(farthing.ClientClosed):
            ask()


def test_closing_finishes_what_was_asked_and_refuses_the_rest(where: tuple[str, dict[str, Any]], account: str) -> None:
    client = farthing.connect(where[0], **where[1])
    client.grant(account, 1_000)
    made: list[str] = []

    def work(number: int) -> Exception:
        while True:
            try:
                client.balance(account)
                made.append(client.charge(account, 1, key=f"{account}-{number}-{len(made)}").id)
            except farthing.FarthingError as error:
                return error

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(work, number) for number in range(8)]
        wait_for(lambda: len(made) > 40)
        client.close()
        ends = [future.result(60) for future in asked]
    assert {type(error) for error in ends} == {farthing.ClientClosed}
    with farthing.connect(where[0], **where[1]) as again:
        assert again.balance(account).balance == 1_000 - len(made)


def test_a_call_whose_tries_are_ended_by_closing_says_what_is_known_of_it() -> None:
    with Flaky([drop]) as flaky, ThreadPoolExecutor(1) as pool:
        client = farthing.connect(flaky.url, api_key="cs_live_any", max_retries=9)
        charging = pool.submit(client.charge, "alice", 5, key="mine")
        wait_for(lambda: flaky.seen)
        client.close()
        error = charging.exception(20)
    assert isinstance(error, farthing.UnknownOutcome)
    assert error.key == "mine"


def test_what_is_closed_on_a_wrong_loop_can_still_be_closed_on_its_own(postgres_url: str) -> None:
    async def begin() -> farthing.AsyncClient:
        return await farthing.aconnect(postgres_url)

    with asyncio.Runner() as first:
        client = first.run(begin())
        with pytest.raises(farthing.WrongLoop):
            asyncio.run(client.aclose())
        first.run(client.aclose())
        first.run(client.aclose())


# Threads


def test_debits_in_parallel_take_each_credit_once(client: farthing.Client, account: str) -> None:
    client.grant(account, 95)

    def take(_: int) -> bool:
        try:
            client.charge(account, 10)
        except farthing.InsufficientCredits:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, range(16))) == 9
    assert client.balance(account).balance == 5


def test_threads_read_and_price_beside_one_another(client: farthing.Client, account: str) -> None:
    card = {"rules": [{"id": "page", "dimension": "pages", "price": "0.5"}]}
    client.rate_cards.put(card, reason="Pages")
    client.grant(account, 1_000)

    def work(number: int) -> bool:
        used = farthing.Usage(dimensions={"pages": 2})
        quote = client.quote(used, account=account)
        client.charge(account, usage=used)
        found = list(client.usage(account, limit=1 + number % 3))
        return quote.amount == 1 and len(found) > 0 and bool(client.can_afford(account, 1))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))
    assert client.usage_stats(account).charged == 40


def _can(work: Callable[[], Any]) -> bool:
    try:
        work()
    except farthing.NotPriced:
        return False
    return True


def test_the_synchronous_client_works_where_a_loop_runs(client: farthing.Client, account: str) -> None:
    async def within() -> Any:
        client.grant(account, 5)
        return client.charge_many([{"account": account, "amount": 1}, {"account": account, "amount": 2}])

    assert [each.status for each in asyncio.run(within())] == ["charged", "charged"]
    assert client.balance(account).balance == 2


# Event loops


def test_a_loop_never_waits_for_the_disk(url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with farthing.aconnect(url) as client:
            await client.grant("alice", 100)
            other = apsw.Connection(str(tmp_path / "credits.db"))
            other.execute("begin immediate")
            charging = asyncio.create_task(client.charge("alice", 5))
            # Were it the loop that waits for the lock, nothing here would go on before that is over.
            await asyncio.sleep(0.3)
            assert not charging.done()
            assert (await client.balance("alice")).balance == 100
            other.execute("rollback")
            assert (await charging).after.balance == 95

    asyncio.run(main())


def test_many_tasks_share_a_commit_and_take_each_credit_once(where: tuple[str, dict[str, Any]], account: str) -> None:
    async def main() -> int:
        async with farthing.aconnect(where[0], **where[1]) as client:
            await client.grant(account, 95)
            told = await asyncio.gather(*(client.charge(account, 10) for _ in range(20)), return_exceptions=True)
            assert (await client.balance(account)).balance == 5
            return sum(not isinstance(each, Exception) for each in told)

    assert asyncio.run(main()) == 9


def test_a_client_goes_from_loop_to_loop_or_says_that_it_can_not(
    where: tuple[str, dict[str, Any]], account: str
) -> None:
    async def begin() -> farthing.AsyncClient:
        client = await farthing.aconnect(where[0], **where[1])
        await client.grant(account, 5)
        return client

    async def go_on(client: farthing.AsyncClient) -> Any:
        return (await client.balance(account)).balance

    with asyncio.Runner() as first:
        client = first.run(begin())
        if where[0].startswith("postgresql"):
            with pytest.raises(farthing.WrongLoop):
                asyncio.run(go_on(client))
        else:
            assert asyncio.run(go_on(client)) == 5
        assert first.run(go_on(client)) == 5
        first.run(client.aclose())


def test_what_is_cancelled_is_done_once_or_not_at_all(where: tuple[str, dict[str, Any]], account: str) -> None:
    async def main() -> None:
        async with farthing.aconnect(where[0], **where[1]) as client:
            await client.grant(account, 100)
            task = asyncio.create_task(client.charge(account, 5, key=f"{account}-1"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client.charge(account, 5, key=f"{account}-1")
            assert (await client.balance(account)).balance == 95

    asyncio.run(main())


def test_a_block_that_is_cancelled_releases_its_hold(where: tuple[str, dict[str, Any]], account: str) -> None:
    async def main() -> None:
        async with farthing.aconnect(where[0], **where[1]) as client:
            await client.grant(account, 100)
            placed = asyncio.Event()

            async def work() -> None:
                async with client.hold(account, 20):
                    placed.set()
                    await asyncio.sleep(60)

            task = asyncio.create_task(work())
            await placed.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.balance(account)).held == 0

    asyncio.run(main())


# Forks


def in_child(work: Callable[[], object]) -> None:
    """Do something in a fork of this process; it must go well."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_fork_gets_a_clear_error_or_connections_of_its_own(
    client: farthing.Client, where: tuple[str, dict[str, Any]], account: str
) -> None:
    client.grant(account, 100)
    inside = not where[0].startswith("http")

    def child() -> None:
        if inside:
            for ask in (lambda: client.charge(account, 5), lambda: client.balance(account)):
                with pytest.raises(farthing.Forked):
                    ask()
            client.close()
            with farthing.connect(where[0], **where[1]) as own:
                own.charge(account, 5)
        else:
            for _ in range(3):
                client.charge(account, 5)
            client.close()

    in_child(child)
    client.charge(account, 5)
    assert client.balance(account).balance == (90 if inside else 80)


def test_an_http_client_of_ones_own_is_not_used_in_a_fork(server: Server) -> None:
    address, key = f"http://127.0.0.1:{server.port}", server.new_key()
    with httpx2.Client(timeout=60) as own, farthing.connect(address, api_key=key, http_client=own) as client:

        def child() -> None:
            with pytest.raises(farthing.Forked):
                client.balance("alice")

        in_child(child)


def test_parent_and_child_make_different_keys(client: farthing.Client) -> None:
    from farthing.client.values import new_key

    receiving, sending = os.pipe()
    in_child(lambda: os.write(sending, new_key()[-20:].encode()))
    assert os.read(receiving, 100).decode() != new_key()[-20:]
    os.close(receiving)
    os.close(sending)


# Other processes, and what breaks


def test_what_another_process_changes_is_seen_within_a_second(url: str) -> None:
    with farthing.connect(url) as one, farthing.connect(url) as other:
        one.grant("alice", 100)
        other.rate_cards.put({"rules": [{"id": "p", "dimension": "pages", "price": "2"}]}, reason="First")
        wait_for(lambda: _can(lambda: one.quote(farthing.Usage(dimensions={"pages": 2}))))
        assert one.charge("alice", usage=farthing.Usage(dimensions={"pages": 2})).amount == 4
        other.settings.change(hold_max_minutes=1)
        wait_for(lambda: _refused(lambda: one.hold("alice", 1, expires_in=3_600).__enter__()))


def _refused(work: Callable[[], Any]) -> bool:
    try:
        work()
    except errors.HoldTooLong:
        return True
    return False


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (StorageFull("the disk is full"), farthing.Unavailable),
        (ZeroDivisionError("a bug"), errors.ServerError),
    ],
)
def test_what_breaks_in_this_process_is_the_cause_of_its_error(
    url: str, monkeypatch: pytest.MonkeyPatch, broken: Exception, error: type[Exception]
) -> None:
    async def breaks(_: Any) -> Any:
        raise broken

    with farthing.connect(url, max_retries=0) as client:
        monkeypatch.setattr(Session, "_caller", breaks)
        with pytest.raises(error) as caught:
            client.balance("alice")
    assert caught.value.__cause__ is broken


# What is loaded


def run(program: str) -> str:
    """What a fresh Python says."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_to_import_farthing_loads_nothing_that_takes_time() -> None:
    said = run("import sys, farthing; print(sorted({'msgspec', 'httpx2', 'asyncio', 'apsw'} & sys.modules.keys()))")
    assert said == "[]\n"


def test_a_file_is_opened_without_the_packages_of_servers() -> None:
    unneeded = EXTRA_OF.keys() - {"apsw"} | {"httpx2"}
    said = run(f"import sys; from farthing.client.inside import transport; print({unneeded} & sys.modules.keys())")
    assert said == "set()\n"


def test_threads_of_a_ledger_end_with_its_client(url: str) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with farthing.connect(url) as client:
        client.grant("alice", 5)
        client.charge_many([{"account": "alice", "amount": 1}])
    assert {thread.name for thread in threading.enumerate()} - before == set()
