"""Owns the rows about moving in: grants imported a second, in how much memory, and what is left of charges then."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.commands import run_commands
from bench.ledgers import Ground, Ledger, farthing_command, fund, new_ledger
from bench.processes import REPO, end
from bench.rounds import interleave, ratios, spread
from bench.row import Dialect, Options, Row, diagnose, examined, ground, turn
from bench.rows_renewals import memory_figure
from bench.services import Measurement
from bench.targets import Figure

GRANTS_AN_ACCOUNT = 2
AHEAD = 3_000
"""Grants for each second of a turn: more than are imported beside a busy server."""
_files = itertools.count(1)


def write_file(folder: Path, grants: int) -> Path:
    """A file of grants of accounts that no other file has."""
    name = f"bench{next(_files)}"
    path, accounts = folder / f"{name}.jsonl", -(-grants // GRANTS_AN_ACCOUNT)
    with path.open("w") as file:
        file.write(f'{{"type": "header", "format": 1, "source": "{name}"}}\n')
        for number in range(grants):
            file.write(
                f'{{"type": "grant", "id": "g-{number}", "account": "{name}-{number % accounts:07}", "granted": "100", '
                '"remaining": "67.5", "expires_at": "2099-01-01T00:00:00Z", "granted_at": "2025-06-01T12:00:00Z"}\n'
            )
        credits = grants * 675
        totals = f'"credits": "{credits // 10}.{credits % 10}", "accounts": {accounts}, "grants": {grants}'
        file.write(f'{{"type": "totals", {totals}}}\n')
    return path


def importing(name: str, dialect: Dialect, options: Options) -> Row:
    """`farthing import --apply` of many grants, and of a tenth of them, on an empty and then a growing ledger."""
    row, many = Row(name), options.imports
    with ground(row, options, dialect) as where, new_ledger(where) as ledger:

        def side(grants: int) -> Callable[[], Measurement]:
            return lambda: bring(ledger, where, grants)

        row.sides = interleave(name, {"many": side(many), "a tenth": side(many // 10)}, options.rounds)
        diagnose(row, ledger, name)
    rates = spread([turn.rate for turn in row.sides["many"]])
    figure = memory_figure(f"{name}_memory", row.sides["many"], row.sides["a tenth"])
    row.figures = [Figure(name, rates, note=f"{many:,} grants"), figure]
    return row


def bring(ledger: Ledger, where: Ground, grants: int) -> Measurement:
    """Import a file, from the start of the process to its end: reading it twice, writing it, comparing it."""
    path = write_file(ledger.folder, grants)
    where.settle()
    ran = run_commands(["import", str(path), "--apply", "--db", ledger.url])
    path.unlink()
    return ran.measured(grants)


def beside(name: str, dialect: Dialect, options: Options) -> Row:
    """Charges while `farthing import --gentle` runs beside the server, against charges without."""
    row = Row(name)
    with ground(row, options, dialect) as where, contextlib.ExitStack() as stack:
        ledger, busy = stack.enter_context(examined(row, where))
        fund(busy, options.accounts)
        charge = turn(busy, options)
        where.settle()

        def charge_while_importing() -> Measurement:
            path = write_file(ledger.folder, int(options.seconds * AHEAD))
            words = ["import", str(path), "--apply", "--gentle", "--db", ledger.url]
            command = [*farthing_command(), *words]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPO) as child:
                measured = charge()
                ended = child.poll() is not None
                end(child)
            path.unlink()
            if not ended:
                return measured
            problem = "the import had ended before the charges did"
            return Measurement(measured.figures, measured.cpu_us, (*measured.problems, problem))

        row.sides = interleave(name, {"charges": charge, "importing": charge_while_importing}, options.rounds)
    row.figures = [Figure(name, ratios(row.sides["importing"], row.sides["charges"]), note="--gentle")]
    return row
