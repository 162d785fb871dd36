"""Several processes behind one address, on PostgreSQL: real programs, real kills. Whoever was told yes was charged
once, and whoever was told nothing finds out by the same key."""

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Cli, Running, execute, program, until
from tests.cli.test_cli_serve import deduct, get

CALLERS = 6
ACCOUNTS = ("alice", "bob", "carol")


@pytest.fixture
def url(cli: Cli, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger on PostgreSQL, which the environment names."""
    monkeypatch.setenv("FARTHING_DATABASE_URL", postgres_url)
    return postgres_url


@pytest.fixture
def key(cli: Cli, url: str) -> str:
    """Its API key; alice, bob and carol have 1,000 credits each."""
    made: str = cli.ok("init")["api_key"]
    for account in ACCOUNTS:
        cli.ok("grant", account, "1000")
    return made


@contextmanager
def served(url: str, folder: Path, *words: str, workers: int = 2) -> Iterator[Running]:
    """`farthing serve` with several workers."""
    several = ("serve", "--port", "0", "--rate-limit", "0", "--workers", str(workers), "--db", url)
    with program(*several, *words, folder=folder) as serving:
        yield serving


def workers_of(serving: Running) -> list[int]:
    """The processes of the workers."""
    children = Path(f"/proc/{serving.process.pid}/task/{serving.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def log_of(err: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in err.splitlines()]


def events(err: str) -> Counter[str]:
    return Counter(line["event"] for line in log_of(err))


class Load:
    """Callers that charge one credit after another, each with its own key, again by that key until they are told."""

    def __init__(self, serving: Running, key: str) -> None:
        self._port = int(serving.address.rpartition(":")[2])
        self._headers = {"X-API-Key": key, "Content-Type": "application/json"}
        self._stop = threading.Event()
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(CALLERS)
        self._going: list[Future[None]] = []
        self.told: dict[str, str] = {}
        """The charge that each key was told of."""
        self.refused = 0
        """Connections that could not be made."""
        self.again = 0
        """Requests that had to be sent again."""

    def __enter__(self) -> "Load":
        self._going = [self._pool.submit(self._charge_on, number) for number in range(CALLERS)]
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each finish the charge that it is at; what went wrong with any of them is raised."""
        self._stop.set()
        for each in self._going:
            each.result(60)
        self._pool.shutdown()

    def give_up(self) -> None:
        """The server has ended: nobody is told any more."""
        self._over.set()
        self.stop()

    def goes_on(self, charges: int = 60) -> None:
        """Wait until so many more were told."""
        wanted = len(self.told) + charges
        until(lambda: len(self.told) >= wanted or any(each.done() for each in self._going))

    def _charge_on(self, caller: int) -> None:
        connection: http.client.HTTPConnection | None = None
        number = 0
        while not self._stop.is_set():
            name = f"{caller}-{number}"
            connection = self._charge(connection, name, ACCOUNTS[number % len(ACCOUNTS)])
            number += 1

    def _charge(
        self, connection: http.client.HTTPConnection | None, name: str, account: str
    ) -> http.client.HTTPConnection | None:
        body = json.dumps({"account_id": account, "operation": "chat", "amount": 0.001, "usage_event_id": name})
        for _ in range(200):
            if self._over.is_set():
                return None
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
                    connection.connect()
            except ConnectionRefusedError:
                self.refused += 1
                connection = None
                time.sleep(0.05)
                continue
            try:
                connection.request("POST", "/api/credits/deduct", body, self._headers)
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = None
            else:
                if response.status == 200:
                    self.told[name] = answer["data"]["transactionId"]
                    return None if response.will_close else connection
                assert response.status in (429, 500, 503), answer
            self.again += 1
            time.sleep(0.02)
        raise AssertionError(f"{name} was never told")


def booked(cli: Cli) -> dict[str, str]:
    """The charges of all accounts by their keys; none stands twice."""
    entries = [
        json.loads(line) for account in ACCOUNTS for line in cli("ledger", account, "--all", "--json").out.splitlines()
    ]
    charges = [(each["key"].rpartition(":")[2], each["id"]) for each in entries if each["kind"] == "charge"]
    assert len(charges) == len(dict(charges))
    return dict(charges)


def exact(cli: Cli, load: Load) -> None:
    """Each key that was told is booked, once, as the charge it was told of; and the books are right."""
    assert booked(cli) == load.told
    report = cli.ok("doctor")
    assert (report["ok"], report["wrong_accounts"]) == (True, 0)


# One address, several processes


def test_connections_go_to_each_in_turn_and_metrics_tell_of_all(url: str, key: str, tmp_path: Path):
    with served(url, tmp_path, workers=3) as serving:
        for number in range(6):
            deduct(serving, key, f"u{number}")
        told = get(serving, "/metrics").splitlines()
        for worker in range(3):
            assert f'farthing_charges_total{{worker="{worker}"}} 2.0' in told
            assert f'farthing_worker_up{{worker="{worker}"}} 1.0' in told
        assert all('{worker="' in line for line in told if not line.startswith("#"))
        code, _, err = serving.stop()
    assert (code, events(err)) == (0, {"worker starts": 3})


def test_a_key_that_is_revoked_is_refused_by_every_worker(url: str, key: str, tmp_path: Path, cli: Cli):
    made = cli.ok("keys", "create")
    with served(url, tmp_path) as serving:
        port = int(serving.address.rpartition(":")[2])
        # Two connections at a time are two workers.
        both = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(2)]

        def statuses() -> set[int]:
            found = set()
            for connection in both:
                headers = {"X-API-Key": made["api_key"], "Content-Type": "application/json"}
                connection.request("POST", "/api/credits/balance", b'{"account_id": "alice"}', headers)
                response = connection.getresponse()
                response.read()
                found.add(response.status)
            return found

        assert statuses() == {200}
        cli.ok("keys", "revoke", made["id"], "--yes")
        until(lambda: statuses() == {401})
        for connection in both:
            connection.close()


def test_lanes_of_each_worker_share_the_accounts(url: str, key: str, tmp_path: Path, cli: Cli):
    with served(url, tmp_path, "--lanes", "3") as serving:
        with Load(serving, key) as load:
            load.goes_on(200)
        assert serving.stop()[0] == 0
    assert load.again == 0
    exact(cli, load)


# Ends that were not planned


def test_a_killed_worker_loses_nobody_and_is_started_again(url: str, key: str, tmp_path: Path, cli: Cli):
    with served(url, tmp_path) as serving, Load(serving, key) as load:
        for _ in range(3):
            load.goes_on()
            before = workers_of(serving)
            os.kill(before[0], signal.SIGKILL)
            until(lambda: len(set(workers_of(serving)) - {before[0]}) == 2)  # noqa: B023
        load.goes_on()
        load.stop()
        code, _, err = serving.stop()
    assert code == 0
    assert load.refused == 0
    assert events(err)["worker has ended, and is started again"] == 3
    assert [each["signal"] for each in log_of(err) if each["level"] == "error"] == ["SIGKILL"] * 3
    exact(cli, load)


def test_workers_end_by_themselves_when_their_parent_is_killed(url: str, key: str, tmp_path: Path, cli: Cli):
    with served(url, tmp_path) as serving:
        workers = workers_of(serving)
        deduct(serving, key, "u1")
        serving.process.kill()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert cli.ok("balance", "alice")["spent"] == "1"


def test_a_worker_that_hangs_holds_up_no_metrics(url: str, key: str, tmp_path: Path):
    with served(url, tmp_path) as serving:
        port = int(serving.address.rpartition(":")[2])
        # The first connection is the first worker's; it stays there.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

        def ups() -> list[str]:
            connection.request("GET", "/metrics")
            told = connection.getresponse().read().decode().splitlines()
            return [line.rpartition(" ")[2] for line in told if line.startswith("farthing_worker_up{")]

        assert ups() == ["1.0", "1.0"]
        (other,) = [pid for pid in workers_of(serving) if not _serves(pid, connection)]
        os.kill(other, signal.SIGSTOP)
        told = ups()
        os.kill(other, signal.SIGCONT)
        assert sorted(told) == ["0.0", "1.0"]
        connection.close()
        assert serving.stop()[0] == 0


# Ends that were


def test_sigterm_ends_all_when_they_have_answered(url: str, key: str, tmp_path: Path, cli: Cli):
    with served(url, tmp_path) as serving, Load(serving, key) as load:
        load.goes_on()
        code, _, err = serving.stop()
        load.give_up()
    assert (code, events(err)) == (0, {"worker starts": 2})
    charges = booked(cli)
    assert load.told.items() <= charges.items()
    # Whoever was not told had not been carried out, but for those whose answer was on its way.
    assert len(charges) - len(load.told) <= CALLERS
    assert cli.ok("doctor")["ok"]


def test_a_rolling_restart_answers_everybody_and_refuses_no_connection(url: str, key: str, tmp_path: Path, cli: Cli):
    with served(url, tmp_path) as serving, Load(serving, key) as load:
        load.goes_on()
        before = workers_of(serving)
        serving.process.send_signal(signal.SIGHUP)
        until(lambda: not set(before) & set(workers_of(serving)))
        load.goes_on()
        load.stop()
        code, _, err = serving.stop()
    assert (code, load.refused) == (0, 0)
    assert events(err)["worker has ended"] == 2
    assert {each["exit"] for each in log_of(err) if each["event"] == "worker has ended"} == {0}
    exact(cli, load)


def test_a_restart_whose_new_worker_can_not_serve_changes_nothing(url: str, key: str, tmp_path: Path, cli: Cli):
    with served(url, tmp_path) as serving:
        before = workers_of(serving)
        _say(
            url, "insert into migration (id, name, sha256, applied_at, phase) values (900, 'tomorrow', 'x', 1, 'post')"
        )
        serving.process.send_signal(signal.SIGHUP)
        until(lambda: len(workers_of(serving)) == 3)
        until(lambda: workers_of(serving) == before)
        deduct(serving, key, "u1")
        _, _, err = serving.stop()
    assert "restart is given up: the new worker did not get ready" in events(err)
    assert any("newer Farthing" in str(each.get("error")) for each in log_of(err))


def test_a_request_that_is_half_there_does_not_hold_up_whoever_insists(url: str, key: str, tmp_path: Path):
    with served(url, tmp_path) as serving:
        port = int(serving.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(b"POST /api/credits/deduct HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
            until(lambda: get(serving, "/livez") != "")
            serving.process.send_signal(signal.SIGINT)
            until(lambda: _is_closed(port))
            assert serving.stop(signal.SIGINT)[0] == 0


# Several servers on one database


def test_two_servers_of_one_database_charge_a_key_once(url: str, key: str, tmp_path: Path, cli: Cli):
    with served(url, tmp_path, workers=1) as one, served(url, tmp_path, workers=1) as two:
        first = deduct(one, key, "u1")
        assert deduct(two, key, "u1")["transactionId"] == first["transactionId"]
        assert deduct(two, key, "u2")["newBalance"] == 998
        with Load(one, key) as load:
            load.goes_on()
            with Load(two, key) as other:
                other.goes_on()
        assert load.told.keys() & other.told.keys()
        assert [each.stop()[0] for each in (one, two)] == [0, 0]
    told = load.told | other.told
    # The same names were charged by both: whichever came second was told of the first's charge.
    assert all(load.told[name] == other.told[name] for name in load.told.keys() & other.told.keys())
    assert {name: id for name, id in booked(cli).items() if name in told} == told
    assert cli.ok("doctor")["ok"]


# What stops it from starting


def test_several_workers_on_a_file_are_refused_unless_they_share(cli: Cli, tmp_path: Path):
    key = cli.ok("init")["api_key"]
    cli.ok("grant", "alice", "1000")
    code, _, sentence = cli.fails("serve", "--workers", "2")
    assert (code, "one process is as fast" in sentence, "--share" in sentence) == (2, True, True)
    assert cli.fails("serve", "--lanes", "2", "--share")[0] == 2
    with served("sqlite:///farthing.db", tmp_path, "--share") as serving:
        assert [deduct(serving, key, name)["newBalance"] for name in "abb"] == [999, 998, 998]
        assert serving.stop()[0] == 0


def test_workers_that_do_not_start_end_the_server_with_the_reason(cli: Cli, tmp_path: Path):
    cli.ok("init")
    with program("serve", "--port", "0", folder=tmp_path):
        done = execute("serve", "--port", "0", "--workers", "2", "--share", folder=tmp_path)
    assert done.code == 4
    assert "A worker did not start" in done.err
    assert "Another `farthing serve` has this database" in done.err


@pytest.mark.parametrize("words", [["--workers", "0"], ["--workers", "1000"], ["--lanes", "0"], ["--lanes", "65"]])
def test_a_number_of_processes_that_makes_no_sense_is_refused(cli: Cli, url: str, words: list[str]):
    code, name, sentence = cli.fails("serve", *words)
    assert (code, name) == (2, "settings")
    assert words[0].removeprefix("--") in sentence


def test_a_database_that_may_forget_is_not_ready(url: str, key: str, tmp_path: Path):
    name = url.partition("@/")[2].partition("?")[0]
    _say(url, f'alter database "{name}" set synchronous_commit = off')
    for words, status in (([], 503), (["--allow-unsafe"], 200)):
        with served(url, tmp_path, *words) as serving:
            connection = http.client.HTTPConnection("127.0.0.1", int(serving.address.rpartition(":")[2]), timeout=60)
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            checks = json.loads(response.read())["checks"]
            connection.close()
            assert response.status == status
            assert checks["schema"] == "ok"
            assert ("synchronous_commit is off" in checks["database"]) == (status == 503)


def _serves(pid: int, connection: http.client.HTTPConnection) -> bool:
    """Whether a process has the other end of a connection: by the socket's number in the system's list."""
    ours, theirs = connection.sock.getsockname()[1], connection.sock.getpeername()[1]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = f":{theirs:04X}", f":{ours:04X}"
    (number,) = [row[9] for row in rows if (row[1][-5:], row[2][-5:]) == ends]
    links = Path(f"/proc/{pid}/fd").iterdir()
    return f"socket:[{number}]" in {os.readlink(link) for link in links}


def _say(url: str, statement: str) -> None:
    from farthing.stores.postgres_sync import SyncConnection

    with SyncConnection(url) as db:
        db.execute(statement)


def _is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False
