"""Owns what a row is: what it was asked for, what came of it, and the ground that its ledgers stand on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.ledgers import Ground, Ledger, new_ledger, serving
from bench.postgres import cluster
from bench.rounds import say, side_summary
from bench.services import Measurement, Service, load, stop
from bench.targets import Figure

ACCOUNTS = 10_000
Dialect = Literal["sqlite", "postgres"]


@dataclass(frozen=True, slots=True)
class Options:
    """How long and how large: what the command line settled."""

    folder: Path
    rounds: int = 5
    seconds: float = 5.0
    quick: bool = False
    full: bool = False

    @property
    def accounts(self) -> int:
        """How many accounts the charges go to, unless the row is about that."""
        return ACCOUNTS // 10 if self.quick else ACCOUNTS

    @property
    def growth(self) -> tuple[int, int]:
        """Entries and accounts of the grown ledger."""
        if self.full:
            return 5_000_000, 1_000_000
        return (10_000, 2_000) if self.quick else (500_000, 100_000)

    @property
    def usage(self) -> tuple[int, int]:
        """Records and accounts of the ledger that reports are made on."""
        if self.full:
            return 5_000_000, 100_000
        return (10_000, 1_000) if self.quick else (500_000, 10_000)

    @property
    def renewals(self) -> int:
        """Accounts that are due."""
        return 100_000 if self.full else 1_000 if self.quick else 20_000

    @property
    def events(self) -> int:
        """Events that are sent."""
        return 50_000 if self.full else 500 if self.quick else 10_000

    @property
    def streams(self) -> int:
        """Streams of each side, in a round."""
        return 30 if self.quick else 300

    @property
    def imports(self) -> int:
        """Grants of a file that is imported."""
        return 1_000_000 if self.full else 2_000 if self.quick else 100_000

    @property
    def memory_charges(self) -> int:
        """How many charges the memory row makes."""
        return 20_000 if self.quick else 1_000_000


@dataclass(slots=True)
class Row:
    """What came of a row."""

    name: str
    sides: dict[str, list[Measurement]] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def blame(self) -> Row:
        """Every problem of the row, on every one of its figures: none of them counts then."""
        found = [problem for turns in self.sides.values() for turn in turns for problem in turn.problems]
        self.problems = list(dict.fromkeys(self.problems + found))
        for figure in self.figures:
            figure.problems.extend(self.problems)
        return self

    def as_json(self) -> dict[str, Any]:
        """The row for the JSON file."""
        return {
            "row": self.name,
            "figures": [
                {
                    "name": figure.name,
                    "what": figure.target.what,
                    "against": figure.target.against,
                    "value": figure.value.median,
                    "min": figure.value.low,
                    "max": figure.value.high,
                    "unit": figure.target.unit,
                    "at_least": figure.target.least,
                    "aim": figure.target.aim,
                    "verdict": figure.verdict,
                    "note": figure.note,
                }
                for figure in self.figures
            ],
            "problems": self.problems,
            "facts": self.facts,
            "sides": {name: side_summary(turns) for name, turns in self.sides.items() if turns},
        }


@contextlib.contextmanager
def ground(row: Row, options: Options, dialect: Dialect) -> Iterator[Ground]:
    """Where the row's ledgers are made: files, or databases of a cluster that is gone afterwards."""
    if dialect == "sqlite":
        yield Ground(options.folder)
        return
    with cluster(options.folder) as made:
        row.facts["postgresql"] = made.version
        yield Ground(options.folder, made)


@contextlib.contextmanager
def examined(row: Row, where: Ground, name: str = "farthing", **how: Any) -> Iterator[tuple[Ledger, Service]]:
    """A fresh ledger being served; ends with the server's exit code and doctor, both noted in the row."""
    with new_ledger(where) as ledger:
        with served(row, ledger, name, **how) as service:
            yield ledger, service
        diagnose(row, ledger, name)


@contextlib.contextmanager
def served(row: Row, ledger: Ledger, name: str = "farthing", **how: Any) -> Iterator[Service]:
    """A server on this ledger; ends with its exit code, noted in the row."""
    with serving(ledger, name, **how) as service:
        yield service
        row.problems += stop(service)


def diagnose(row: Row, ledger: Ledger, name: str) -> None:
    """Doctor's word, noted in the row."""
    say(f"{row.name}: doctor looks at {name}")
    row.problems += ledger.doctor()


def turn(service: Service, options: Options, **plan: Any) -> Callable[[], Measurement]:
    """A side's measurement, to be made once per round."""
    defaults: dict[str, Any] = {
        "seconds": options.seconds,
        "warmup": min(1.0, options.seconds / 3),
        "connections": 64,
        "accounts": options.accounts,
    }
    return lambda: load(service, **(defaults | plan))
