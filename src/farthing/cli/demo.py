"""`demo`: a ledger with sample data, the service on it, and lines to paste. What `./dev run` starts."""

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .exits import Exit, Trouble
from .opening import Desk, actor, choose_workspace, named
from .options import Db, Json, enter
from .output import say, write_json
from .serve import Host, Port, run
from .setup import PANEL, new_workspace

if TYPE_CHECKING:
    from farthing.app import Ledger
    from farthing.core.commands import Command

WORKSPACE = "demo"
DEFAULT_URL = "sqlite:///demo-data/farthing.db"
MINUTE_US = 60_000_000
DAY_US = 24 * 60 * MINUTE_US
KEY_DAYS = 7
ACCOUNT = "alice"
ENOUGH = 100_000_000
"""100 credits, in smallest units."""


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(app, "demo", "$ farthing demo", "$ farthing demo --port 0 --db sqlite:////tmp/demo.db", panel=PANEL)(demo)


def demo(host: Host = None, port: Port = None, db: Db = None, as_json: Json = False) -> None:
    """Try it: make a ledger with sample data, serve it, and print curl lines that work when pasted.

    The data is in ./demo-data (or --db) and kept for the next run. A key's text is stored nowhere, only its hash, so
    each run makes a new one; it ends after 7 days, and those of earlier runs work until then.
    """
    from farthing.app import open_ledger
    from farthing.settings import read_settings

    # Not the variable: it may name a ledger in earnest, which is no place for sample data.
    settings = read_settings(database_url=db or DEFAULT_URL, host=host, port=port)
    backend = named(settings.database_url)
    backend.migrate()
    with open_ledger(settings.database_url) as ledger:
        desk = _prepare(ledger)
        _refill(desk)
        api_key, hold = _make_key(desk), _place_hold(desk)
    run(settings, lambda address: _introduce(address, api_key, hold, backend.address, as_json))


def _prepare(ledger: "Ledger") -> Desk:
    """The demo's workspace, made with its data where it is missing. Nothing is put beside other people's data."""
    from farthing.stores.access import Act

    names = [each.id for each in ledger.wait(ledger.reports.workspaces())]
    if names and WORKSPACE not in names:
        message = f"this database is no demo, it has the workspace {names[0]}; name another file with --db"
        raise Trouble("not_a_demo", message, Exit.NO, workspaces=names)
    if not names:
        now_us = time.time_ns() // 1000
        made = new_workspace(WORKSPACE, "Demo", "credits", None, True, now_us)
        ledger.wait(ledger.access.create_workspace(made, Act(actor(), now_us)))
    desk = Desk(ledger, choose_workspace(ledger, WORKSPACE))
    for command in _sample(desk.now_us()):
        # Each has a key of its own: a run that was cut short is made up for, and nothing is there twice.
        desk.do(command)
    if not names:
        say(f"made sample data in {ledger.backend.shown}")
    return desk


def _sample(now_us: int) -> "Sequence[Command]":
    """A few accounts with grants that expire, and charges."""
    from farthing.core.commands import GiveGrant, TakeCharge

    def give(account: str, credits: int, days: int | None, what: str, **more: Any) -> GiveGrant:
        ends = None if days is None else now_us + days * DAY_US
        return GiveGrant(
            workspace=WORKSPACE,
            account=account,
            amount=credits * 10**6,
            key=f"cli:demo-{account}-{what}",
            expires_at=ends,
            description=what,
            **more,
        )

    def take(account: str, micro: int, operation: str, number: int) -> TakeCharge:
        return TakeCharge(
            workspace=WORKSPACE,
            account=account,
            amount=micro,
            key=f"cli:demo-{account}-{number}",
            operation=operation,
            metadata=json.dumps({"model": "small", "tokens": 400 + 150 * number}),
        )

    return [
        give(ACCOUNT, 1_000, 365, "plan"),
        give(ACCOUNT, 50, 30, "welcome", category="promotional"),
        take(ACCOUNT, 7_500_000, "chat.message", 1),
        take(ACCOUNT, 12_250_000, "chat.message", 2),
        give("bob", 100, None, "top-up"),
        take("bob", 99_000_000, "image.large", 1),
        give("carol", 20, 7, "trial", category="promotional"),
        take("carol", 500_000, "speech.minute", 1),
    ]


def _refill(desk: Desk) -> None:
    """Enough for the lines to work, however often they have been pasted."""
    from farthing.core import view
    from farthing.core.commands import GiveGrant

    account = desk.ledger.wait(desk.ledger.reports.account(WORKSPACE, ACCOUNT, desk.now_us()))
    if account is None or view.available(account) < ENOUGH:
        desk.do(GiveGrant(workspace=WORKSPACE, account=ACCOUNT, amount=10 * ENOUGH, description="refill"))


def _make_key(desk: Desk) -> str:
    from farthing.identity.keys import make_key, new_key_id

    act, key = desk.act(), make_key(desk.workspace.mode)
    scopes = frozenset({"read", "charge", "grant"})
    id, ends = new_key_id(act.at), act.at + KEY_DAYS * DAY_US
    desk.ledger.wait(desk.ledger.access.create_key(WORKSPACE, id, key.hash, key.hint, "demo", scopes, act, ends))
    return key.text


def _place_hold(desk: Desk) -> str:
    """A hold that the line for confirming can name."""
    from farthing.core.commands import PlaceHold
    from farthing.core.refundable import read_body

    command = PlaceHold(
        workspace=WORKSPACE,
        account=ACCOUNT,
        amount=5_000_000,
        ttl=60 * MINUTE_US,
        operation="video.render",
        description="A hold to confirm",
    )
    entry = desk.do(command).entry
    assert entry is not None
    terms = read_body(entry).hold
    assert terms is not None, "a hold's entry has the hold"
    return terms.id


def curl_lines(address: str, api_key: str, hold: str) -> list[tuple[str, str]]:
    """What each line does, and the line."""
    usage = f"demo-{time.time_ns():x}"

    def line(call: str, **body: object) -> str:
        head = f"curl -s {address}/api/credits/{call} -H 'X-API-Key: {api_key}' -H 'Content-Type: application/json'"
        return f"{head} -d '{json.dumps(body)}'"

    deduct = line("deduct", account_id=ACCOUNT, operation="chat.message", amount=7.5, usage_event_id=usage)
    return [
        ("the balance", line("balance", account_id=ACCOUNT)),
        ("a charge; paste it twice: it is charged once", deduct),
        ("credits set aside", line("reserve", account_id=ACCOUNT, operation="video.render", amount=20)),
        ("an earlier hold of 5, settled for 3", line("confirm-reservation", reservationId=hold, actualAmount=3)),
        ("the history", line("transactions", account_id=ACCOUNT, limit=5)),
    ]


def _introduce(address: str, api_key: str, hold: str, url: str, as_json: bool) -> None:
    """What a visitor needs; the last thing before the service is all there is."""
    lines = curl_lines(address, api_key, hold)
    if as_json:
        data = {"listening": address, "api_key": api_key, "workspace": WORKSPACE, "database": url}
        write_json(data | {"curl": [line for _, line in lines]})
        return
    print(f"Farthing is listening on {address} (documentation: {address}/docs)")
    print(f"API key for this demo, good for {KEY_DAYS} days: {api_key}")
    print("\nPaste these:\n")
    for what, line in lines:
        print(f"# {what}\n{line}\n")
    print(f"And: {_program()} balance {ACCOUNT} --db {shlex.quote(url)}")
    print("Ctrl+C ends it; the data is kept.", flush=True)


def _program() -> str:
    """How this program is called from here, where it is not on the path."""
    called = Path(sys.argv[0])
    if called.name != "farthing" or shutil.which("farthing"):
        return "farthing"
    return shlex.quote(os.path.relpath(called))
