"""Listen: `farthing listen` prints events as they come, of a database or of a server: a developer's first look."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asking import Url, client_of
from .options import Db, In, Json, enter
from .output import clean, say, write_json
from .reading import read_duration, read_instant
from .setup import PANEL

if TYPE_CHECKING:
    from farthing.client import Client
    from farthing.client.job_results import Event

_DIM, _BOLD, _PLAIN = "\033[2m", "\033[1m", "\033[0m"
_COLOURS = {"charge": "36", "grant": "32", "balance": "33", "payment": "32", "auto_top_up": "32"}
_ALARMS = ("failed", "failing", "parked", "disabled", "depleted", "opened", "paused", "reached")
_TYPE_WIDTH, _ACCOUNT_WIDTH = 28, 16


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "listen",
        "$ farthing listen",
        "$ farthing listen --type 'balance.*' --type grant.lapsed --account alice --json",
        "$ farthing listen --url https://credits.example.com --since 10m",
        panel=PANEL,
    )(listen)


def listen(
    types: Annotated[
        list[str] | None,
        typer.Option("--type", "-t", metavar="TYPE", help="Only these: a type, `noun.*` or `*`; repeatable."),
    ] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="ACCOUNT", help="Only those about one.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="Begin so long ago (10m), or at a time, rather than now."),
    ] = None,
    url: Url = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Print events as they come, until Ctrl+C: of the database, or of a server with --url.

    Types that nobody else asks for are recorded for as long as this listens.
    """
    with client_of(url, workspace, db) as client:
        _print_all(client, types, account, _since(since), as_json)


def _since(text: str | None) -> str | None:
    if text is None:
        return None
    import time
    from datetime import UTC, datetime

    now = time.time_ns() // 1000
    at = now - read_duration(text, "since") if text[-1:] in "smhdw" else read_instant(text, now, "since")
    return datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(timespec="microseconds")


def _print_all(
    client: "Client", types: list[str] | None, account: str | None, since: str | None, as_json: bool
) -> None:  # fmt: skip
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    try:
        with client.events.listen(types, account=account, since=since) as listening:
            say("listening; Ctrl+C ends")
            for event in listening:
                if as_json:
                    write_json(facts_of(event))
                else:
                    print(line_of(event, coloured), flush=True)
    except KeyboardInterrupt:
        return


def facts_of(event: "Event") -> dict[str, Any]:
    """An event as programs read it."""
    created_at = event.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {
        "id": event.id, "type": event.type, "account": event.account, "created_at": created_at,
        "data": event.data,
    }  # fmt: skip


def line_of(event: "Event", coloured: bool = False) -> str:
    """An event on a line: when, what, about whom, and what it says."""
    at = event.created_at.strftime("%H:%M:%S.%f")[:12]
    said = " ".join(f"{name}={_said(value)}" for name, value in event.data.items() if value not in (None, "", []))
    type, account = event.type.ljust(_TYPE_WIDTH), clean(event.account or "-").ljust(_ACCOUNT_WIDTH)
    if not coloured:
        return f"{at}  {type}  {account}  {clean(said)}"
    alarm = event.type.rpartition(".")[2] in _ALARMS
    colour = "31" if alarm else _COLOURS.get(event.type.partition(".")[0], "34")
    return f"{_DIM}{at}{_PLAIN}  \033[{colour}m{type}{_PLAIN}  {_BOLD}{account}{_PLAIN}  {clean(said)}"


def _said(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
