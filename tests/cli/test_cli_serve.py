"""`serve` and `demo` as programs: a first line, a clean end, and what stops them from starting."""

import json
import re
import shlex
import signal
import socket
import subprocess
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.cli.command import PROGRAM, Cli, Running, execute, program, until


def call(running: Running, path: str, key: str, **body: Any) -> dict[str, Any]:
    """A call of the CountWerk face; its data."""
    request = urllib.request.Request(
        f"{running.address}/api/credits/{path}",
        json.dumps(body).encode(),
        {"X-API-Key": key, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response, parse_float=Decimal)
    assert answer["success"]
    data: dict[str, Any] = answer["data"]
    return data


def get(running: Running, path: str) -> str:
    with urllib.request.urlopen(f"{running.address}{path}", timeout=60) as response:
        text: str = response.read().decode()
        return text


def deduct(running: Running, key: str, usage: str, amount: object = 1) -> dict[str, Any]:
    body = {"account_id": "alice", "operation": "chat.message", "amount": amount, "usage_event_id": usage}
    return call(running, "deduct", key, **body)


@pytest.fixture
def key(cli: Cli) -> str:
    """A ledger with 100 credits for alice, and its key."""
    made: str = cli.ok("init")["api_key"]
    cli.ok("grant", "alice", "100")
    return made


def test_serve_says_where_it_listens_and_ends_cleanly(key: str, tmp_path: Path):
    with program("serve", "--port", "0", folder=tmp_path) as serving:
        assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", serving.address)
        assert deduct(serving, key, "u1")["newBalance"] == 99
        assert get(serving, "/livez")
        assert json.loads(get(serving, "/readyz"))["status"] == "ready"
        assert "farthing_charges_total 1.0" in get(serving, "/metrics")
        assert "/api/credits/deduct" in get(serving, "/openapi.json")
        assert serving.stop() == (0, "", "")


@pytest.mark.parametrize("options", [["--engine", "thread"], ["--engine", "inline", "--max-batch", "1"]])
def test_serve_runs_either_engine(key: str, tmp_path: Path, options: list[str]):
    with program("serve", "--port", "0", *options, folder=tmp_path) as serving:
        assert deduct(serving, key, "u1")["newBalance"] == 99
        assert serving.stop(signal.SIGINT)[0] == 0


def test_serve_in_words_prints_one_line(key: str, tmp_path: Path):
    serving = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        assert re.fullmatch(r"listening on http://127\.0\.0\.1:[0-9]+\n", serving.stdout.readline())
        serving.terminate()
        assert serving.communicate(timeout=60) == ("", "")
        assert serving.returncode == 0
    finally:
        serving.kill()
        serving.wait()


def test_what_was_accepted_is_answered_before_the_end(key: str, tmp_path: Path, cli: Cli):
    """Callers hammer while SIGTERM arrives: whoever was told yes is in the ledger, and each was told at most once."""
    told: list[str] = []

    def charge_on(name: str, serving: Running) -> None:
        for number in range(10_000):
            try:
                told.append(deduct(serving, key, f"{name}-{number}", 0.001)["transactionId"])
            except (OSError, ValueError):
                return

    with (
        program("serve", "--port", "0", "--rate-limit", "0", folder=tmp_path) as serving,
        ThreadPoolExecutor(4) as pool,
    ):
        for name in "abcd":
            pool.submit(charge_on, name, serving)
        until(lambda: len(told) > 40)
        code, _, err = serving.stop()
    assert (code, err) == (0, "")
    entries = cli("ledger", "alice", "--all", "--json").out.splitlines()
    booked = [each["id"] for each in map(json.loads, entries) if each["kind"] == "charge"]
    assert set(told) <= set(booked)
    assert len(set(told)) == len(told)


def test_a_body_on_its_way_does_not_hold_up_the_end_for_ever(key: str, tmp_path: Path):
    with program("serve", "--port", "0", folder=tmp_path) as serving:
        port = int(serving.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(b"POST /api/credits/deduct HTTP/1.1\r\nhost: x\r\n")  # the head never ends
            until(lambda: get(serving, "/livez") != "")
            assert serving.stop()[0] == 0


# Beside a running server


def test_commands_work_beside_a_running_server(key: str, tmp_path: Path, cli: Cli):
    with program("serve", "--port", "0", "--rate-limit", "0", folder=tmp_path) as serving:
        stop = threading.Event()
        charged: list[int] = []

        def charge_on() -> None:
            while not stop.is_set():
                deduct(serving, key, f"u{len(charged)}", 0.001)
                charged.append(1)

        with ThreadPoolExecutor(1) as pool:
            going = pool.submit(charge_on)
            try:
                for number in range(5):
                    cli.ok("grant", "alice", "10", "--key", f"g{number}")
                report = cli.ok("doctor")
                copied = cli.ok("backup", "copy.db")
                assert cli.ok("rebuild", "alice", "--check")["differences"] == []
            finally:
                stop.set()
            going.result(60)
        assert (report["ok"], report["wrong_accounts"]) == (True, 0)
        assert copied["accounts"] == 1
        assert cli.ok("balance", "alice")["earned"] == "150"
        spent = call(serving, "balance", key, account_id="alice")["totalSpent"]
        assert spent == len(charged) * Decimal("0.001")
        assert serving.stop()[0] == 0
    assert cli.ok("doctor", "--db", "sqlite:///copy.db")["ok"]


def test_a_revoked_key_is_refused_by_a_running_server_within_a_second(key: str, tmp_path: Path, cli: Cli):
    made = cli.ok("keys", "create")
    with program("serve", "--port", "0", folder=tmp_path) as serving:
        deduct(serving, made["api_key"], "u1")
        cli.ok("keys", "revoke", made["id"], "--yes")

        def refused() -> bool:
            try:
                deduct(serving, made["api_key"], "u1")
            except HTTPError as error:
                return error.code == 401
            return False

        until(refused)
        deduct(serving, key, "u2")


def test_lapses_are_booked_by_the_sweeper(cli: Cli, tmp_path: Path):
    cli.ok("init")
    cli.ok("grant", "alice", "5", "--expires", "1s")
    with program("serve", "--port", "0", "--sweep-seconds", "0.2", folder=tmp_path):
        until(lambda: cli.ok("ledger", "alice")["data"][0]["kind"] == "lapse")
    assert cli.ok("ledger", "alice")["data"][0]["actor"] == "system:sweeper"


# What stops it from starting


def test_a_second_server_on_one_file_is_refused_unless_it_shares(key: str, tmp_path: Path, cli: Cli):
    with program("serve", "--port", "0", folder=tmp_path):
        code, name, sentence = cli.fails("serve", "--port", "0")
        assert (code, name) == (4, "locked")
        assert "--share" in sentence
    shared = ["serve", "--port", "0", "--share"]
    with program(*shared, folder=tmp_path) as one, program(*shared, folder=tmp_path) as two:
        assert deduct(one, key, "u1")["newBalance"] == 99
        assert deduct(two, key, "u2")["newBalance"] == 98
        assert deduct(two, key, "u1")["newBalance"] == 99


def test_a_port_in_use_is_said(key: str, cli: Cli):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, name, sentence = cli.fails("serve", "--port", port)
        assert (code, name) == (4, "port_in_use")
        assert f"port {port} is in use" in sentence


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1", "not an address"])
def test_an_address_of_another_machine_is_said(key: str, cli: Cli, host: str):
    assert cli.fails("serve", "--host", host, "--port", "0")[:2] == (4, "address_unavailable")


def test_settings_come_from_the_environment_and_options_win(key: str, tmp_path: Path):
    env = {"FARTHING_PORT": "1", "FARTHING_ACCESS_LOG": "true", "FARTHING_DATABASE_URL": "sqlite:///farthing.db"}
    with program("serve", "--port", "0", folder=tmp_path, **env) as serving:
        deduct(serving, key, "u1")
        _, _, err = serving.stop()
    (line,) = err.splitlines()
    assert json.loads(line)["path"] == "/api/credits/deduct"


def test_logs_are_json_lines_without_keys(key: str, tmp_path: Path):
    with program("serve", "--port", "0", "--access-log", folder=tmp_path) as serving:
        deduct(serving, key, "u1")
        with pytest.raises(HTTPError):
            get(serving, f"/look/{key}")
        port = int(serving.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.sendall(b"\x00\x01\x02 no http\r\n\r\n")
            assert b"HTTP/1.1 400" in rude.recv(1_000)
        _, _, err = serving.stop()
    lines = [json.loads(line) for line in err.splitlines()]
    assert len(lines) >= 3
    assert all({"at", "level", "event"} <= set(line) for line in lines)
    assert key not in err
    assert f"cs_live_...{key[-4:]}" in err


def test_a_connection_that_asks_nothing_is_ended(key: str, tmp_path: Path):
    with program("serve", "--port", "0", "--request-timeout", "0.4", folder=tmp_path) as serving:
        port = int(serving.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.settimeout(60)
            assert silent.recv(1_000).startswith(b"HTTP/1.1 408")


# Demo


def run_line(line: str) -> dict[str, Any]:
    """A line as it would be pasted."""
    assert shlex.split(line)[0] == "curl"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout, parse_float=Decimal)
    assert answer["success"], answer
    data: dict[str, Any] = answer["data"]
    return data


def test_the_lines_of_the_demo_work_when_pasted(tmp_path: Path):
    with program("demo", "--port", "0", folder=tmp_path) as demo:
        balance, deducted, reserved, confirmed, history = [run_line(line) for line in demo.first["curl"]]
        assert balance["balance"] > 900
        assert deducted["deductedAmount"] == Decimal("7.5")
        assert reserved["amount"] == 20
        assert confirmed["confirmed"] is True
        assert {each["type"] for each in history["transactions"]} >= {"charge", "settle"}
        assert demo.first["api_key"].startswith("cs_test_")
        assert demo.stop()[0] == 0
    assert (tmp_path / "demo-data" / "farthing.db").exists()


def test_the_demo_keeps_its_data_and_makes_a_new_key(tmp_path: Path):
    url = "sqlite:///demo-data/farthing.db"
    with program("demo", "--port", "0", folder=tmp_path) as first:
        old = first.first["api_key"]
        run_line(first.first["curl"][1])
    before = execute("balance", "alice", "--db", url, "--json", folder=tmp_path).json
    with program("demo", "--port", "0", folder=tmp_path) as second:
        assert second.first["api_key"] != old
        assert call(second, "balance", old, account_id="bob")["balance"] == 1
        after = execute("balance", "alice", "--db", url, "--json", folder=tmp_path).json
    assert (after["balance"], after["spent"]) == (before["balance"], before["spent"])
    assert (after["holds"], before["holds"]) == (2, 1)
    keys = execute("keys", "list", "--db", url, "--json", folder=tmp_path).json["data"]
    assert [each["state"] for each in keys] == ["live", "live"]


def test_the_demo_refills_what_was_spent(tmp_path: Path):
    url = "sqlite:///demo-data/farthing.db"
    with program("demo", "--port", "0", folder=tmp_path):
        pass
    left = execute("balance", "alice", "--db", url, "--json", folder=tmp_path).json["available"]
    assert execute("charge", "alice", left, "--db", url, folder=tmp_path).code == 0
    with program("demo", "--port", "0", folder=tmp_path) as again:
        assert run_line(again.first["curl"][1])["deductedAmount"] == Decimal("7.5")


def test_the_demo_puts_nothing_beside_data_in_earnest(key: str, cli: Cli):
    before = cli.ok("keys", "list")
    assert cli.fails("demo", "--db", "sqlite:///farthing.db")[:2] == (1, "not_a_demo")
    assert cli.ok("keys", "list") == before
    assert cli.fails("balance", "bob")[1] == "account_not_found"


def test_the_demo_does_not_take_the_database_of_the_environment(key: str, tmp_path: Path):
    with program("demo", "--port", "0", folder=tmp_path, FARTHING_DATABASE_URL="sqlite:///farthing.db") as demo:
        assert demo.first["database"] == "sqlite:///demo-data/farthing.db"


def test_the_demo_in_words_shows_key_and_lines(tmp_path: Path):
    demo = subprocess.Popen(
        [*PROGRAM, "demo", "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert demo.stdout is not None
        lines = []
        for line in demo.stdout:  # ends with the process as well, should it end too soon
            lines.append(line)
            if line == "Ctrl+C ends it; the data is kept.\n":
                break
        text = "".join(lines)
        assert text.count("\ncurl -s http://127.0.0.1:") == 5
        assert "cs_test_" in text
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=60)
        assert (demo.returncode, err) == (0, "farthing: made sample data in demo-data/farthing.db\n")
    finally:
        demo.kill()
        demo.wait()
