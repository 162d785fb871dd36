"""`farthing webhooks` and `farthing listen`: where events are sent, and a first look at them."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from farthing.cli.listen import line_of
from farthing.client.answers import Answer, read_answer
from farthing.client.calls import get
from farthing.client.job_results import Event
from farthing.core.endpoints import secret_of, secret_problem
from tests.api.serving import Server
from tests.cli.command import PROGRAM, Cli
from tests.client.driving import serve

URL = "https://app.example.com/farthing"
SECRET = secret_of(b"s" * 32)


def make(cli: Cli, *more: str) -> dict[str, Any]:
    return cli.ok("webhooks", "create", URL, "--type", "charge.*", *more)


def test_a_webhook_from_its_making_to_its_end(funded: Cli):
    made = make(funded, "--ordered", "--description", "ours")
    id = made["id"]
    assert secret_problem(made["secret"]) is None
    assert (made["types"], made["ordered"], made["state"]) == (["charge.*"], True, "enabled")
    assert funded.ok("webhooks", "list")["data"] == [{n: v for n, v in made.items() if n != "secret"}]
    funded.ok("charge", "alice", "5")
    event = funded.ok("webhooks", "test", id)["event"]
    shown = funded.ok("webhooks", "show", id)
    assert {each["account"] for each in shown["waiting"]} == {"alice", None}
    assert event in {each["event"] for each in shown["waiting"]}
    assert funded.ok("webhooks", "deliveries", id) == {"data": []}
    assert funded.ok("webhooks", "redeliver", id, event) == {"webhook": id, "events": 1}
    assert funded.ok("webhooks", "redeliver", id, "--since", "2020-01-01")["events"] == 0
    off = funded.ok("webhooks", "update", id, "--disable", "--type", "*", "--unordered", "--description", "")
    assert (off["state"], off["types"], off["ordered"], off["description"]) == ("disabled", ["*"], False, None)
    assert funded("webhooks", "test", id).code == 1
    assert funded.ok("webhooks", "delete", id, "--yes")["id"] == id
    assert funded("webhooks", "show", id).code == 1


def test_people_read_the_same(funded: Cli):
    text = funded.told("webhooks", "create", URL, "-t", "charge.*")
    (secret,) = re.findall(r"^whsec_\S+$", text, re.MULTILINE)
    id = text.split()[0]
    funded.ok("charge", "alice", "5")
    shown = funded.told("webhooks", "show", id)
    assert URL in shown
    assert "WAITING" in shown
    for told in (shown, funded.told("webhooks", "list")):
        assert secret not in told
    assert "nothing was sent yet" in funded.told("webhooks", "deliveries", id)


def test_a_secret_of_ones_own_comes_through_standard_input(ledger: Cli):
    assert ledger.ok("webhooks", "create", URL, "-t", "*", "--secret-stdin", input=f"{SECRET}\n")["secret"] == SECRET
    (hook,) = ledger.ok("webhooks", "list")["data"]
    rotated = ledger.ok("webhooks", "rotate", hook["id"], "--overlap-seconds", "60")
    assert rotated["secret"] != SECRET
    assert [each["until"] is None for each in rotated["secrets"]] == [True, False]
    done = ledger("webhooks", "rotate", hook["id"], "--secret-stdin", input="whsec_short")
    assert (done.code, "secret must be" in done.err, "short" in done.err) == (2, True, False)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("create", URL), "--type"),
        (("create", URL, "-t", "charges"), "type 0 must be a type of event"),
        (("create", "http://localhost:3000/", "-t", "*"), "--allow-private"),
        (("update", "whe_1"), "say what to change"),
        (("update", "whe_1", "--url", "ftp://x"), "url must begin with"),
        (("redeliver", "whe_1"), "--since"),
        (("redeliver", "whe_1", "evt_1", "--since", "1h"), "--since"),
        (("deliveries", "whe_1", "--outcome", "lost"), "outcome must be one of"),
        (("rotate", "whe_1", "--overlap-seconds", "-5"), "overlap-seconds"),
    ],
)
def test_what_can_not_be_understood_says_why(ledger: Cli, words: tuple[str, ...], why: str):
    done = ledger("webhooks", *words)
    assert done.code == 2
    assert why in done.err


def test_a_private_address_is_for_who_asks_for_it(ledger: Cli):
    made = ledger.ok("webhooks", "create", "http://localhost:3000/", "-t", "*", "--allow-private")
    assert made["url"] == "http://localhost:3000/"


@pytest.mark.parametrize(
    "words", [("show",), ("update", "--enable"), ("rotate",), ("test",), ("deliveries",), ("redeliver", "--since=1h"),
              ("delete", "--yes")]
)  # fmt: skip
def test_what_is_not_there_is_said_to_be(ledger: Cli, words: tuple[str, ...]):
    done = ledger("webhooks", words[0], "whe_1", *words[1:], "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "webhook_not_found")


# Listening


class Listener:
    """`farthing listen`, as a program of its own."""

    def __init__(self, *words: str, **environment: str) -> None:
        self._program = subprocess.Popen(
            [*PROGRAM, "listen", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | environment,
        )  # fmt: skip
        assert self._program.stderr is not None
        assert "listening" in self._program.stderr.readline()

    def line(self) -> str:
        assert self._program.stdout is not None
        return self._program.stdout.readline()

    def interrupt(self) -> tuple[int, str]:
        """How it ends by Ctrl+C, and what it had still to say."""
        self._program.send_signal(signal.SIGINT)
        try:
            out, err = self._program.communicate(timeout=60)
        finally:
            self._program.kill()
        return self._program.returncode, out + err


def test_events_are_printed_as_they_come_until_ctrl_c(funded: Cli):
    listener = Listener("--type", "charge.*", "--account", "alice", "--json")
    funded.ok("charge", "alice", "5")
    event = json.loads(listener.line())
    assert (event["type"], event["account"], event["data"]["amount"]) == ("charge.created", "alice", "5")
    assert listener.interrupt() == (0, "")
    assert funded.ok("events", "--type", "charge.created")["data"][0]["id"] == event["id"]


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with serve(tmp_path) as server:
        yield server


def test_of_a_server_too(cli: Cli, server: Server):
    listener = Listener(
        "--since", "10m", FARTHING_URL=f"http://127.0.0.1:{server.port}", FARTHING_API_KEY=server.new_key("read")
    )
    server.add("alice", 7)
    line = listener.line()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}  grant\.created +alice +grant=\S+ amount=7 .*\n", line)
    assert listener.interrupt() == (0, "")


def test_what_can_not_be_listened_to_is_told(ledger: Cli):
    done = ledger("listen", "--type", "nothing.*")
    assert (done.code, "type of event" in done.err) == (2, True)
    assert ledger("listen", "--since", "soon").code == 2
    assert ledger("listen", "--url", "http://127.0.0.1:9").code == 3, "there is no key"
    assert ledger("listen", "--db", "sqlite:///none.db").code == 3


def test_a_line_has_colours_where_there_is_a_terminal_and_never_a_command_to_it():
    text = b'{"id":"evt_1","type":"balance.depleted","account":"a\\u001b[2J","created_at":"2026-01-31T12:00:00Z",'
    call = get(Event, "/v1/events")
    event = read_answer(call, Answer(200, text + b'"data":{"balance":"-1","x":null,"y":[1]}}'))
    plain, coloured = line_of(event), line_of(event, coloured=True)
    assert plain.startswith("12:00:00.000  balance.depleted ")
    assert plain.endswith("balance=-1 y=[1]")
    assert "\x1b" not in plain
    assert "\x1b[31mbalance.depleted" in coloured
    assert "\x1b[2J" not in coloured
