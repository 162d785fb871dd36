"""Processes that are killed, that share a folder, that fork, that have no room left: what they queued is charged, and
charged once.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing.client.journal.lines import read_lines
from tests.api.serving import wait_for
from tests.client.driving import Kind
from tests.client.outages import Shop, kind, make_shop, said, shop
from tests.client.test_lifetimes import in_child

__all__ = ["kind", "make_shop", "shop"]
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import asyncio, itertools, json, os, sys, threading
import farthing
from farthing.client import background

background.FIRST_SECONDS = 0.02
options = json.loads(sys.argv[1])
most = options.pop("most")
asynchronous = options.pop("kind") == "async"


def tell(charge):
    # Whoever reads this has been told that it is kept.
    os.write(1, json.dumps([charge.status, charge.key]).encode() + b"\\n")


def facts(name, number):
    account = options["account"]
    return {"account": account, "amount": 1, "key": f"{account} {name} {number}", "metadata": {"a": "b" * 900}}


def work(client, name):
    for number in range(most):
        tell(client.charge(**facts(name, number)))


async def awork(client, name):
    for number in range(most):
        tell(await client.charge(**facts(name, number)))


async def main():
    given = {name: value for name, value in options.items() if name != "account"}
    async with farthing.aconnect(**given, on_unavailable="queue", max_retries=0) as client:
        await asyncio.gather(*(awork(client, name) for name in range(3)))
        await asyncio.sleep(60)


if asynchronous:
    asyncio.run(main())
else:
    given = {name: value for name, value in options.items() if name != "account"}
    client = farthing.connect(**given, on_unavailable="queue", max_retries=0)
    threads = [threading.Thread(target=work, args=(client, name)) for name in range(3)]
    for thread in threads:
        thread.start()
    threading.Event().wait(60)
"""


@contextmanager
def running(shop: Shop, kind: Kind, account: str, most: int) -> Iterator[subprocess.Popen[bytes]]:
    """A program that queues charges and tells of each; killed at the end at the latest."""
    options = {
        "url": shop.way.url, "api_key": shop.key, "journal": str(shop.journal), "account": account, "most": most,
        "kind": kind,
    }  # fmt: skip
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", PROGRAM, json.dumps(options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[bytes], number: int) -> list[str]:
    """The keys of the first so many charges that it was told are queued."""
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(number)]
    assert {status for status, _ in lines} == {"queued"}
    return [key for _, key in lines]


def delivered(client: Any) -> Any:
    wait_for(lambda: client.journal.stats().replayed and not client.journal.stats().waiting)
    return client.journal.stats()


# Killed


def test_what_a_killed_process_was_told_is_kept_is_charged_by_the_next_one_once(
    shop: Shop, kind: Kind, account: str
) -> None:
    shop.funded(account, 10_000)
    shop.way.shut()
    with running(shop, kind, account, 10_000) as process:
        keys = told(process, 30)
        # In the middle of its writing.
        os.kill(process.pid, signal.SIGKILL)
        assert process.stdout is not None
        keys += [
            json.loads(line)[1] for line in process.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")
        ]
    shop.way.open()
    client = shop.open()
    stats = delivered(client)
    made = [charge.key.removeprefix("v1:") for charge in shop.charges(account)]
    assert len(made) == len(set(made)) == stats.replayed
    assert set(keys) <= set(made)
    assert shop.direct.balance(account).balance == 10_000 - len(made)
    assert shop.files == []


def test_a_process_that_is_killed_while_it_sends_charges_nothing_twice(shop: Shop, kind: Kind, account: str) -> None:
    shop.funded(account, 1_000)
    shop.way.shut()
    with running(shop, kind, account, 10) as process:
        told(process, 30)
        shop.way.open()
        wait_for(lambda: len(shop.direct.charges.list(account).first().data) > 3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    client = shop.open()
    wait_for(lambda: client.journal.stats().waiting == 0 and not shop.files)
    assert len(shop.charges(account)) == 30
    assert shop.direct.balance(account).balance == 970


def test_the_file_of_a_process_that_lives_is_left_to_it(shop: Shop, kind: Kind, account: str) -> None:
    shop.funded(account)
    shop.way.shut()
    with running(shop, kind, account, 1) as process:
        told(process, 3)
        (file,) = shop.files
        client = shop.open()
        client.charge(account, 7)
        assert client.journal.replay().waiting == 1
        assert len(shop.files) == 2
        assert len(read_lines(file.read_bytes()).waiting) == 3
        process.kill()
        process.wait()
        assert client.journal.replay().waiting == 4
        shop.way.open()
        delivered(client)
    assert shop.direct.balance(account).balance == 90


# Forks


@pytest.fixture
def threads(make_shop: Callable[[Kind], Shop]) -> Shop:
    return make_shop("sync")


def test_a_fork_has_a_journal_of_its_own(threads: Shop, account: str) -> None:
    shop = threads
    shop.funded(account)
    client = shop.open(max_retries=0)
    shop.way.shut()
    client.charge(account, 1)

    def child() -> None:
        assert client.journal.stats().waiting == 0
        client.charge(account, 2)
        assert client.journal.stats().waiting == 1
        assert sorted(len(said(path)) for path in shop.files) == [1, 1]
        client.close()

    in_child(child)
    # What the child has left is taken over; what is the parent's was never let go of.
    assert client.journal.replay().waiting == 2
    shop.way.open()
    assert delivered(client).replayed == 2
    assert sorted(made.amount for made in shop.charges(account)) == [1, 2]


def test_a_child_that_lives_on_does_not_keep_its_parents_file(threads: Shop, account: str) -> None:
    shop = threads
    shop.funded(account)
    client = shop.open(max_retries=0)
    shop.way.shut()
    client.charge(account, 1)
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    try:
        client.close()
        following = shop.open()
        assert following.journal.replay().waiting == 1
    finally:
        os.close(writing)
        os.waitpid(pid, 0)


def test_a_child_sends_what_it_has_queued(threads: Shop, account: str) -> None:
    shop = threads
    shop.funded(account)
    client = shop.open(max_retries=0)
    shop.way.shut()

    def child() -> None:
        client.charge(account, 2)
        shop.way.open()
        wait_for(lambda: client.journal.stats().waiting == 0)
        assert client.journal.stats().replayed == 1

    in_child(child)
    assert shop.direct.balance(account).balance == 98


# No room


def test_without_room_the_failure_is_raised_and_what_was_queued_before_is_charged(shop: Shop, account: str) -> None:
    shop.funded(account)
    told: list[tuple[str, bool]] = []
    client = shop.open(on_metrics=lambda **facts: told.append((facts["operation"], facts["success"])))
    shop.way.shut()
    queued = client.charge(account, 1)
    (file,) = shop.files
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system writes what fits, and then refuses: as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 100, before[1]))
    try:
        with pytest.raises(farthing.Unavailable, match="nothing was done") as caught:
            client.charge(account, 2, description="x" * 500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert any("could not be queued" in note and str(shop.journal) in note for note in caught.value.__notes__)
    assert told[-1] == ("queue", False)
    assert [line["kept"]["key"] for line in said(file)] == [queued.key]
    assert client.charge(account, 4).status == "queued"
    shop.way.open()
    delivered(client)
    assert [made.amount for made in shop.charges(account)] == [1, 4]


def test_a_folder_that_is_gone_is_made_again(shop: Shop, account: str) -> None:
    client = shop.open()
    shop.funded(account)
    shop.journal.rmdir()
    shop.way.shut()
    assert client.charge(account, 1).status == "queued"
    shop.way.open()
    delivered(client)
