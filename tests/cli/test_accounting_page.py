"""The page about the accounting service does what it says: its commands, its card, and each exchange."""

import http.client
import json
import re
import time
from pathlib import Path
from typing import Any

import jwt

from farthing.api.accounting.fields import DEFAULT_DAYS
from farthing.api.accounting.sessions import SHARE
from farthing.core.people import ROLES
from farthing.core.records import WorkspaceSettings
from tests.cli.command import Cli, program
from tests.exchanges import Exchange, alike, exchanges

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "accounting.md").read_text()
COMMANDS = re.findall(r"^farthing (.*)$", "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)), re.MULTILINE)
SECRET = "a secret that is long enough for HS256"


def token(by: str) -> str:
    """What somebody signs in with, such as `anna, a user`."""
    name, _, role = by.replace(", an ", ", a ").partition(", a ")
    assert role in ROLES
    now = int(time.time())
    claims = {"sub": name, "username": name, "email": f"{name}@example.com", "role": role, "type": "access"}
    return jwt.encode({**claims, "iat": now, "exp": now + 900}, SECRET, algorithm="HS256")


def ask(address: str, exchange: Exchange) -> tuple[int, Any]:
    """What a server answers."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    try:
        headers = {"Authorization": f"Bearer {token(exchange.by)}", "Content-Type": "application/json"}
        connection.request(exchange.method, exchange.path, exchange.body or None, headers)
        answer = connection.getresponse()
        return answer.status, json.load(answer)
    finally:
        connection.close()


def test_all_that_it_shows_happens(ledger: Cli):
    (card,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    Path("rates.json").write_text(card)
    for line in COMMANDS:
        if "usage_record_charges" not in line:  # which is for others than those of the exchanges
            ledger.ok(*line.partition(" < ")[0].split(), input=SECRET)
    with program("serve", "--port", "0", folder=Path.cwd()) as served:
        shown = list(exchanges(PAGE))
        for each in shown:
            status, found = ask(served.address, each)
            assert status == each.status, (each, found)
            assert alike(each.shown, found), (each, found)
    assert len(shown) > 10


def test_a_workspace_whose_gateway_deducts_first_can_say_so(ledger: Cli):
    (line,) = [line for line in COMMANDS if "usage_record_charges" in line]
    ledger.ok(*line.split())
    assert ledger.ok("settings", "get", "usage_record_charges")["value"] is False


def test_its_figures_are_those_of_the_code():
    text = " ".join(PAGE.split())
    assert f"Credits last {DEFAULT_DAYS} days" in text
    assert f"after {WorkspaceSettings().session_minutes} minutes" in text
    assert SHARE[0] * 5 == SHARE[1] * 6, "the estimate and a fifth more"
    assert all(f"| `{role}`" in PAGE for role in ROLES)
