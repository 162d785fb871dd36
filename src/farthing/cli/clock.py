"""The clock: `clock accept`, after it has jumped and is right."""

import time

import typer

from .opening import actor, opened
from .options import Db, Json, enter
from .output import Answer
from .setup import PANEL


def register(app: typer.Typer) -> None:
    """Enter the command."""
    group = typer.Typer(help="What to do after the machine's clock has jumped.")
    enter(group, "accept", "$ farthing clock accept")(accept)
    app.add_typer(group, name="clock", rich_help_panel=PANEL)


def accept(db: Db = None, as_json: Json = False) -> Answer:
    """Say that the clock is right as it is. A server whose clock jumped by more than a minute refuses charges until two
    looks ten seconds apart agree; this ends the wait within a second, on every server of the database."""
    from farthing.stores.access import Act

    now_us = time.time_ns() // 1000
    with opened(db) as ledger:
        ledger.wait(ledger.access.accept_clock(Act(actor(), now_us)))
    return Answer({"accepted": True}, "the clock is accepted; servers take it within a second")
