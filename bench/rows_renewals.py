"""Owns the rows about renewals: how many a second and in how much memory, by one process and by two side by side, and
what is left of charges while they run.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

from bench.commands import run_commands
from bench.ledgers import Ground, Ledger, fund, new_ledger, run_module
from bench.rounds import interleave, ratios, spread
from bench.row import Dialect, Options, Row, diagnose, examined, ground, turn
from bench.services import Measurement
from bench.targets import Figure

OFTEN = {"FARTHING_RENEW_SECONDS": "1"}
BESIDE = 1_000
"""Accounts that come due in each second of a turn: more than a server renews beside its charges."""
_plans = itertools.count(1)


def renewals(name: str, dialect: Dialect, options: Options) -> Row:
    """`farthing renew` over accounts that are due: many, a tenth of them, and many by two processes side by side."""
    row, many = Row(name), options.renewals
    with ground(row, options, dialect) as where, new_ledger(where) as ledger:

        def side(due: int, processes: int = 1) -> Callable[[], Measurement]:
            return lambda: renew(ledger, where, due, processes)

        sides = {"one process": side(many), "a tenth": side(many // 10), "two processes": side(many, 2)}
        row.sides = interleave(name, sides, options.rounds)
        diagnose(row, ledger, name)
    one, tenth, two = row.sides.values()
    rates, note = spread([turn.rate for turn in one]), f"{many:,} accounts"
    row.figures = [
        Figure(name, rates, note=note),
        memory_figure(f"{name}_memory", one, tenth),
        Figure(f"{name}_two", ratios(two, one), note=note),
    ]
    return row


def memory_figure(name: str, many: list[Measurement], tenth: list[Measurement]) -> Figure:
    """The most memory for many against that for a tenth of them, round by round."""
    peaks = [turn.figures["peak_mb"] for turn in many]
    growth = [most / turn.figures["peak_mb"] for most, turn in zip(peaks, tenth, strict=True)]
    return Figure(name, spread(growth), note=f"{max(peaks):.0f} MB")


def renew(ledger: Ledger, where: Ground, due: int, processes: int) -> Measurement:
    """Have accounts come due, and renew them; from the start of the first process to the end of the last."""
    plan = f"plan{next(_plans)}"
    run_module(ledger, "bench.renewing", plan=plan, due=due)
    where.settle()
    ran = run_commands(*[["renew", "--db", ledger.url, "--plan", plan]] * processes)
    shares = [told.get("successful", 0) for told in ran.told]
    measured = ran.measured(due, shares=shares)
    if sum(shares) == due:
        return measured
    return Measurement(measured.figures, measured.cpu_us, (*ran.problems, f"{sum(shares)} of {due} were renewed"))


def beside(name: str, dialect: Dialect, options: Options) -> Row:
    """A server that has accounts to renew all the time, against one that has none; both are charged as usual."""
    row = Row(name)
    renewed: list[int] = []
    with ground(row, options, dialect) as where, contextlib.ExitStack() as stack:
        ledger, busy = stack.enter_context(examined(row, where, "renewing", environment=OFTEN))
        _, idle = stack.enter_context(examined(row, where, "nothing due", environment=OFTEN))
        for service in (busy, idle):
            fund(service, options.accounts)
        charge = turn(busy, options)

        def charge_while_renewing() -> Measurement:
            before = _fill_ahead(ledger, options)
            measured = charge()
            renewed.append(_fill_ahead(ledger, options, due=1) - before)
            return measured

        where.settle()
        sides = {"nothing due": turn(idle, options), "renewing": charge_while_renewing}
        row.sides = interleave(name, sides, options.rounds)
    row.facts["renewed"] = renewed
    if not all(renewed):
        row.problems.append("a turn in which nothing was renewed beside the charges")
    note = f"{spread(renewed).median / options.seconds:,.0f} renewed a second"
    row.figures = [Figure(name, ratios(row.sides["renewing"], row.sides["nothing due"]), note=note)]
    return row


def _fill_ahead(ledger: Ledger, options: Options, due: int = 0) -> int:
    """Have accounts come due throughout the turn that follows; how many were renewed so far."""
    seconds = options.seconds + 3
    words = {"plan": f"plan{next(_plans)}", "due": due or int(seconds * BESIDE), "ahead": seconds}
    return int(run_module(ledger, "bench.renewing", **words))
