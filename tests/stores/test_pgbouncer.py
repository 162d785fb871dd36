"""Behind PgBouncer in transaction mode, where each transaction may have another of the server's connections."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from farthing.app import open_ledger
from farthing.copying import copy
from farthing.core.commands import GiveGrant, PlaceHold, Refund, Settle, TakeCharge
from farthing.core.outcomes import Accepted, Refusal, Refused
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.doctor import examine
from farthing.stores.access import Act
from farthing.stores.postgres_database import PostgresDatabase
from farthing.stores.postgres_sync import SyncConnection
from farthing.stores.schema import Place, bring_up_to_date, schema_of
from tests.postgres import OWNER, Cluster, Databases, PostgresTrouble, _as_user, tail
from tests.random_ledger import random_ledger

UNIT = 1_000_000
POOL = 3
"""Connections to the server: fewer than there are clients."""
READY_SECONDS = 60
CONFIG = """
[databases]
* = host={server} port={server_port}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
logfile = {folder}/log
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 200
server_reset_query =
"""


def find_pgbouncer() -> str:
    """Debian's program; as root its package is installed when it is missing."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    if shutil.which("pgbouncer", path=path) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", "pgbouncer"]):
            subprocess.run(["apt-get", *step], env=environment, check=False, stdout=subprocess.DEVNULL)
    found = shutil.which("pgbouncer", path=path)
    if found is None:
        raise PostgresTrouble(
            "PgBouncer is needed, and it is not on this machine: install it (on Debian: apt-get install pgbouncer)"
        )
    return found


@pytest.fixture(scope="module")
def bouncer(postgres: Cluster) -> Iterator[Path]:
    """PgBouncer before the shared cluster, on a socket in a folder of its own."""
    program = find_pgbouncer()
    folder = Path(mkdtemp(prefix="pgb-"))
    config = folder / "config"
    config.write_text(
        CONFIG.format(server=postgres.folder, server_port=postgres.port, port=6432, folder=folder, pool=POOL)
    )
    (folder / "users").write_text(f'"{OWNER}" ""\n')
    if postgres.user is not None:
        for path in (folder, config, folder / "users"):
            os.chown(path, postgres.user.pw_uid, postgres.user.pw_gid)
    running = subprocess.Popen(
        [program, "-q", str(config)], cwd=folder, start_new_session=True, **_as_user(postgres.user)
    )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not (folder / ".s.PGSQL.6432").exists():
            assert running.poll() is None, tail(folder / "log")
            assert time.monotonic() < deadline, tail(folder / "log")
            time.sleep(0.02)
        yield folder
    finally:
        running.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(READY_SECONDS)
        running.kill()
        running.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pooled_url(bouncer: Path, databases: Databases) -> str:
    """An empty database, through the pooler."""
    name = Databases.name_of(databases.make("template0"))
    return f"postgresql://{OWNER}@/{name}?host={bouncer}&port=6432"


@pytest.fixture
def ledger(pooled_url: str) -> str:
    """A ledger with 100 credits for alice."""
    with open_ledger(pooled_url, create=True) as ledger:
        workspace = Workspace("main", "Main", "test", "credits", 6, 1, WorkspaceSettings())
        ledger.wait(ledger.access.create_workspace(workspace, Act("test", 1)))
        ledger.do(GiveGrant(workspace="main", account="alice", amount=100 * UNIT))
    return pooled_url


def findings(place: Place) -> list[str]:
    return [each.sentence for each in examine(place).findings]


def balance(url: str, account: str = "alice") -> int:
    with open_ledger(url) as ledger:
        found = ledger.wait(ledger.reports.account("main", account, ledger.clock.now_us()))
    assert found is not None
    return found.balance


def test_clients_share_the_few_connections_of_the_pooler(pooled_url):
    with contextlib.ExitStack() as held:
        clients = [held.enter_context(SyncConnection(pooled_url)) for _ in range(2 * POOL)]
        assert len({client.rows("select pg_backend_pid()")[0] for client in clients}) <= POOL
        with clients[0].transaction():
            taken = clients[0].rows("select pg_backend_pid()")
            assert clients[1].rows("select pg_backend_pid()") != taken


def test_the_schema_is_made_and_read_through_it(pooled_url):
    assert len(bring_up_to_date(pooled_url)) == len(schema_of(pooled_url).applied)
    assert schema_of(pooled_url).pending == ()


def test_every_kind_of_write_and_its_repeat_give_one_answer(ledger):
    def once(command: Any) -> Accepted:
        first, second = opened.do(command()), opened.do(command())
        assert isinstance(first, Accepted)
        assert isinstance(second, Accepted)
        assert first.entry is not None
        assert second.entry is not None
        assert first.entry.id == second.entry.id
        return first

    to: dict[str, Any] = {"workspace": "main", "account": "alice"}
    with open_ledger(ledger) as opened:
        charge = once(lambda: TakeCharge(**to, amount=10 * UNIT, key="c")).entry
        hold = once(lambda: PlaceHold(**to, amount=20 * UNIT, ttl=60 * UNIT, key="h")).entry
        assert charge is not None
        assert hold is not None
        once(lambda: Settle(**to, hold="hold" + hold.id[3:], amount=5 * UNIT, key="s"))
        once(lambda: Refund(**to, charge=charge.id, amount=4 * UNIT, key="r"))
        refused = opened.do(TakeCharge(**to, amount=1_000 * UNIT))
        assert isinstance(refused, Refused)
        assert refused.code == Refusal.INSUFFICIENT_CREDITS
    assert balance(ledger) == 89 * UNIT
    assert examine(ledger).healthy


def test_more_clients_than_connections_spend_exactly_what_is_there(ledger):
    """Eight ledgers, three connections: 160 charges of 1 on 100, half of their keys twice."""

    async def client(number: int) -> list[str]:
        opened = open_ledger(ledger, inline_on=asyncio.get_running_loop())
        try:
            asked = [
                TakeCharge(workspace="main", account="alice", amount=UNIT, key=f"key {i + 20 * (number // 2)}")
                for i in range(20)
            ]
            outcomes = await asyncio.gather(*(opened.engine.ask(each) for each in asked))
        finally:
            await opened.aclose()
        return [each.entry.id for each in outcomes if isinstance(each, Accepted) and each.entry]

    async def all_clients() -> list[list[str]]:
        return await asyncio.gather(*(client(number) for number in range(8)))

    told = asyncio.run(all_clients())
    assert sum(map(len, told)) == 160
    assert len({id for each in told for id in each}) == 80
    assert told[0] == told[1]
    assert balance(ledger) == 20 * UNIT
    assert examine(ledger).healthy


def test_time_outs_are_set_within_each_transaction_and_not_left_to_others(ledger):
    setting = "select current_setting('idle_in_transaction_session_timeout')"

    async def work(execute: Any) -> Any:
        return await execute(setting)

    with open_ledger(ledger) as opened:
        assert opened.wait(opened.database.write(work)) == [("10s",)]
        with SyncConnection(ledger) as other:
            assert [other.rows(setting) for _ in range(2 * POOL)] == [[("0",)]] * 2 * POOL


def test_many_readers_beside_one_another_each_get_their_own_answer(ledger):
    """A statement is prepared and carried out on the same connection, whoever asks in between."""

    async def reader(number: int) -> None:
        database = PostgresDatabase(ledger, 2)
        for i in range(60):
            found = await database.rows("select cast(? as bigint), cast(? as text)", (number, f"{i}"))
            assert found == [(number, f"{i}")]
            assert await database.rows(f"select {number} + {i % 3}") == [(number + i % 3,)]
        await database.close()

    async def all_readers() -> None:
        await asyncio.gather(*(reader(number) for number in range(8)))

    asyncio.run(all_readers())


def test_what_processes_watch_is_seen_to_change_through_it(ledger):
    with open_ledger(ledger) as opened:
        config = opened.backend.config(opened.clock.follows)
        before = int(config.read()["version"])
        second = Workspace("two", "Two", "live", "credits", 6, 1, WorkspaceSettings())
        opened.wait(opened.access.create_workspace(second, Act("test", 2)))
        assert int(config.read()["version"]) == before + 1
        config.close()


def test_a_ledger_is_copied_through_it(tmp_path, pooled_url):
    random_ledger(tmp_path / "source.db", 3, commands=200)
    bring_up_to_date(pooled_url)
    # The pooler keeps connections to the server, which are told apart from a server's by nobody.
    copied = copy(tmp_path / "source.db", pooled_url, offline=True, examine=findings)
    assert copied.complete
