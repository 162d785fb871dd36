"""Cancelled: a block whose task is cancelled at any moment leaves no hold behind, and what it has said is charged."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing.client import finishing
from tests.api.serving import Server
from tests.client.flaky import Flaky, hang, serve
from tests.postgres import TEMPLATE

STEPS, STEP_SECONDS = 30, 0.0003


@pytest.fixture(params=["sqlite", "postgres", "http"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """A ledger: its URL, and what else it takes to connect."""
    if request.param == "http":
        server: Server = request.getfixturevalue("server")
        return f"http://127.0.0.1:{server.port}", {"api_key": server.new_key("admin")}
    if request.param == "postgres":
        return request.getfixturevalue("databases").make(TEMPLATE), {}
    return f"sqlite:///{tmp_path}/credits.db", {}


async def cancelled_after(seconds: float, work: Any) -> bool:
    """Whether the work was cancelled, rather than done by then."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(seconds)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


def test_a_block_that_is_cancelled_at_any_moment_leaves_no_hold(
    where: tuple[str, dict[str, Any]], account: str
) -> None:
    async def block(client: farthing.AsyncClient) -> None:
        async with client.hold(account, 2) as held:
            held.used(1)

    async def main() -> None:
        async with farthing.aconnect(where[0], **where[1]) as client:
            await client.grant(account, 100)
            ended = [await cancelled_after(step * STEP_SECONDS, block(client)) for step in range(STEPS)]
            found = await client.accounts.get(account)
            assert found.holds == 0
            assert found.held == 0
            assert STEPS >= found.spent >= ended.count(False), "what was done is charged"

    asyncio.run(main())


def test_what_was_said_is_charged_when_the_end_of_its_block_is_cancelled(
    where: tuple[str, dict[str, Any]], account: str
) -> None:
    async def main() -> None:
        async with farthing.aconnect(where[0], **where[1]) as client:
            await client.grant(account, 100)
            held = client.hold(account, 20)
            await held.__aenter__()
            held.used(7)
            assert await cancelled_after(0, held.__aexit__(None, None, None))
            found = await client.accounts.get(account)
            assert found.balance == 93
            assert found.holds == 0

    asyncio.run(main())


def test_who_is_cancelled_does_not_wait_for_ever(server: Server, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing, "LONGEST_SECONDS", 0.05)
    key = server.new_key("admin")

    async def main(url: str) -> None:
        async with asyncio.timeout(20), farthing.aconnect(url, api_key=key, timeout=60) as client:
            await client.grant(account, 100)
            assert await cancelled_after(0.02, client.hold(account, 20).__aenter__())

    with Flaky([serve, hang], server.port) as flaky:
        asyncio.run(main(flaky.url))


def test_why_a_hold_could_not_be_settled_is_the_cause_of_the_cancellation(server: Server, account: str) -> None:
    key = server.new_key("admin")

    async def main() -> None:
        async with farthing.aconnect(f"http://127.0.0.1:{server.port}", api_key=key) as client:
            await client.grant(account, 100)
            held = client.hold(account, 20)
            await held.__aenter__()
            held.used(200, shortfall="refuse")
            task = asyncio.ensure_future(held.__aexit__(None, None, None))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert isinstance(caught.value.__cause__, farthing.InsufficientCredits)

    asyncio.run(main())


def test_a_hold_that_can_not_be_settled_says_that_it_was_not_ended(server: Server, account: str) -> None:
    with farthing.connect(f"http://127.0.0.1:{server.port}", api_key=server.new_key("admin")) as client:
        client.grant(account, 100)
        with pytest.raises(farthing.InsufficientCredits) as caught, client.hold(account, 20) as held:
            held.used(200, shortfall="refuse")
        assert caught.value.__notes__ == [f"and the hold {held.id} was not ended; it ends at {held.hold.expires_at}"]
        assert client.accounts.get(account).held == 20
