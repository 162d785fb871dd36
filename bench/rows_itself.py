"""Owns the rows that hold Farthing against itself, on either database: a hot account, replays, holds, growth."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from bench.ledgers import (
    ADD_BODY,
    ADD_PATH,
    BALANCE_PATH,
    RESERVE_BODY,
    RESERVE_PATH,
    Ground,
    Ledger,
    fill,
    fund,
    new_ledger,
)
from bench.rounds import interleave, ratios, say
from bench.row import Dialect, Options, Row, diagnose, examined, ground, served, turn
from bench.services import Measurement, Service, each
from bench.targets import Figure


def hot(name: str, dialect: Dialect, options: Options) -> Row:
    """One account that everybody charges, against accounts drawn at random."""
    row = Row(name)
    with ground(row, options, dialect) as where, examined(row, where) as (_, service):
        fund(service, options.accounts)
        where.settle()
        sides = {"uniform": turn(service, options), "hot": turn(service, options, pick="hot")}
        row.sides = interleave(name, sides, options.rounds)
    row.figures = [Figure(name, ratios(row.sides["hot"], row.sides["uniform"]))]
    return row


def replays(name: str, dialect: Dialect, options: Options) -> Row:
    """One request in ten repeats an earlier one and must get the first answer, byte for byte."""
    row = Row(name)
    with ground(row, options, dialect) as where, examined(row, where) as (_, service):
        fund(service, options.accounts)
        where.settle()
        sides = {"none": turn(service, options), "tenth": turn(service, options, replays=0.1)}
        row.sides = interleave(name, sides, options.rounds)
    row.figures = [Figure(name, ratios(row.sides["tenth"], row.sides["none"]))]
    row.facts["repeated"] = sum(t.figures["replays"] for t in row.sides["tenth"])
    return row


def holds(name: str, dialect: Dialect, options: Options) -> Row:
    """An account with 100 grants and 1,000 live holds, against one with one grant; each alone gets all charges."""
    row = Row(name)
    with ground(row, options, dialect) as where, examined(row, where) as (_, service):
        fund(service, 1, prefix="plain-")
        each(service, 100, ADD_PATH, ADD_BODY, accounts=1, prefix="laden-", pick="hot")
        each(service, 1000, RESERVE_PATH, RESERVE_BODY, accounts=1, prefix="laden-", pick="hot")
        where.settle()
        sides = {
            "one grant": turn(service, options, pick="hot", prefix="plain-", accounts=1),
            "100 grants, 1,000 holds": turn(service, options, pick="hot", prefix="laden-", accounts=1),
        }
        row.sides = interleave(name, sides, options.rounds)
        reserved = service.post(BALANCE_PATH, {"account_id": "laden-0000000"})["reservedBalance"]
        if reserved != 1000:
            row.problems.append(f"1,000 credits should still be held at the end, but {reserved} are")
    plain, laden = row.sides.values()
    row.figures = [Figure(name, ratios(laden, plain))]
    return row


def growth(name: str, dialect: Dialect, options: Options) -> Row:
    """A ledger that has grown, against one that has just begun; charges go to all of its accounts."""
    row = Row(name)
    entries, accounts = options.growth
    row.facts = {"entries": entries, "accounts": accounts}
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(ground(row, options, dialect))
        sides: dict[str, Callable[[], Measurement]] = {}
        for ids in ("ordered", "random"):
            for size, many, count in (("empty", 0, options.accounts), ("grown", entries, accounts)):
                side = f"{size}, {ids} keys"
                say(f"{name}: filling {side}: {count:,} accounts, {many:,} charges")
                _, service = stack.enter_context(filled(row, where, side, count, many, ids))
                sides[side] = turn(service, options, accounts=count, ids=ids)
        where.settle()
        row.sides = interleave(name, sides, options.rounds)
    size = f"{entries:,} entries, {accounts:,} accounts"
    for figure, ids in ((name, "ordered"), (f"{name}_random", "random")):
        grown, empty = row.sides[f"grown, {ids} keys"], row.sides[f"empty, {ids} keys"]
        row.figures.append(Figure(figure, ratios(grown, empty), note=size))
    return row


@contextlib.contextmanager
def filled(
    row: Row, where: Ground, name: str, accounts: int, entries: int, ids: str
) -> Iterator[tuple[Ledger, Service]]:  # fmt: skip
    """A ledger filled in process before it is served."""
    with new_ledger(where) as ledger:
        fill(ledger, accounts, entries, ids)
        if entries:
            row.facts[f"bytes an entry, {name}"] = ledger.size() // entries
        with served(row, ledger, name) as service:
            yield ledger, service
        diagnose(row, ledger, name)
