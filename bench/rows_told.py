"""Owns the row about telling: charges whose commits write an event and a row of the outbox, against charges that nobody
asks about. Nobody sends what is written: that is a row of its own.
"""

from __future__ import annotations

import contextlib
from typing import Final

import apsw

from bench.ledgers import Ledger, fund
from bench.rounds import interleave, ratios
from bench.row import Dialect, Options, Row, examined, ground, turn
from bench.targets import Figure

SENT_BY_NOBODY: Final = {"FARTHING_WEBHOOK_SECONDS": "0"}
ASKED: Final = 'update workspace set told = \'[["whe_bench",["charge.*"],0]]\''
COUNTED: Final = "select (select count(*) from event where type = 'charge.created') - (select count(*) from outbox)"


def told(name: str, dialect: Dialect, options: Options) -> Row:
    """One endpoint that asks for charges, against none."""
    row = Row(name)
    with ground(row, options, dialect) as where, contextlib.ExitStack() as stack:
        ledger, asked = stack.enter_context(examined(row, where, "told", environment=SENT_BY_NOBODY))
        _, plain = stack.enter_context(examined(row, where, "untold", environment=SENT_BY_NOBODY))
        for service in (asked, plain):
            fund(service, options.accounts)
        _sql(ledger, ASKED)
        where.settle()
        row.sides = interleave(name, {"untold": turn(plain, options), "told": turn(asked, options)}, options.rounds)
        row.problems += _problems(ledger)
    row.figures = [Figure(name, ratios(row.sides["told"], row.sides["untold"]))]
    return row


def _problems(ledger: Ledger) -> list[str]:
    """Every charge was told, and its event is to be sent."""
    charges, told = (int(_sql(ledger, f"select count(*) from {what}")) for what in (
        "entry where kind = 'charge'", "event where type = 'charge.created'"
    ))  # fmt: skip
    problems = [] if charges == told > 0 else [f"{told} of {charges} charges were told"]
    return problems if _sql(ledger, COUNTED) == "0" else [*problems, "an event is not to be sent"]


def _sql(ledger: Ledger, statement: str) -> str:
    """Run a statement on the ledger's database; its first value."""
    if ledger.cluster is not None:
        return str(ledger.cluster.sql(statement, ledger.database)).strip()
    db = apsw.Connection(ledger.url.removeprefix("sqlite:///"))
    try:
        db.set_busy_timeout(30_000)
        found = db.execute(statement).fetchall()
        return str(found[0][0]) if found else ""
    finally:
        db.close()
