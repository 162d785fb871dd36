"""The long forms of the random tests: `./dev soak [FORM ...] [--seed N] [--steps N] ...`; without a form, all of them.

The seed is printed first, so that a failure can be met again. To add a form, write a function that takes the options
and the seed, tells its progress by `say`, and raises when something is wrong; give it `@long_form`.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.hammer import hammer
from tests.model.walk import Walk

Run = Callable[[argparse.Namespace, int], None]


@dataclass(frozen=True)
class LongForm:
    """One long test."""

    name: str
    what: str
    run: Run
    options: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Its numbers: name -> default, and what it is."""


LONG_FORMS: dict[str, LongForm] = {}


def long_form(name: str, what: str, **options: tuple[int, str]) -> Callable[[Run], Run]:
    """Register a long form with the numbers it takes."""

    def add(run: Run) -> Run:
        LONG_FORMS[name] = LongForm(name, what, run, options)
        return run

    return add


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


@long_form(
    "model",
    "the ledger against a plain model, step by step",
    steps=(500_000, "steps to take"),
    walk=(-1, "take only this walk of the seed, telling each step"),
)
def walk_with_the_model(options: argparse.Namespace, seed: int) -> None:
    """Many walks of different lengths; each has a seed of its own, made from the first and its number."""
    met: Counter[str] = Counter()
    if options.walk >= 0:
        one_walk(seed, options.walk, met, aloud=True)
        return
    number, told = 0, time.monotonic()
    while met["steps"] < options.steps:
        one_walk(seed, number, met)
        number += 1
        if time.monotonic() - told > 10:
            told = time.monotonic()
            say(f"model: {met['steps']:,} steps, {met['commands']:,} commands in {number:,} walks")
    for what, count in sorted(met.items()):
        say(f"model: {count:>9,} {what}")


def one_walk(seed: int, number: int, met: Counter[str], aloud: bool = False) -> None:
    """One walk on a ledger of its own; on failure it says how to take it again, and what happened last."""
    rng = random.Random(f"{seed}:{number}")
    last: deque[str] = deque(maxlen=8)
    note = say if aloud else last.append
    with tempfile.TemporaryDirectory() as folder:
        walk = Walk(Path(folder) / "ledger.db", note)
        try:
            # Mostly short ones; long ones have many holds, charges and keys.
            for _ in range(rng.choice((50, 200, 200, 200, 200, 1_000))):
                walk.step(rng.randbytes(96))
            walk.finish()
        except BaseException:
            say("\n".join(last))
            say(f"model: failed in step {walk.met['steps']}; again: ./dev soak model --seed {seed} --walk {number}")
            raise
        finally:
            met.update(walk.met)
            walk.close()


@long_form(
    "hammer",
    "processes charging while the server is killed",
    kills=(300, "times to kill the server"),
    workers=(3, "processes that charge"),
)
def hammer_for_long(options: argparse.Namespace, seed: int) -> None:
    """The hammer with many kills."""
    with tempfile.TemporaryDirectory() as folder:
        result = hammer(Path(folder), kills=options.kills, seed=seed, workers=options.workers, say=say)
    say(f"hammer: {result}")


def main(words: list[str]) -> int:
    """Run the forms that are named, one after another."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument(
        "forms", nargs="*", metavar="FORM", help="; ".join(f"{f.name}: {f.what}" for f in LONG_FORMS.values())
    )
    parser.add_argument("--seed", type=int, help="a number that makes the same choices again")
    for form in LONG_FORMS.values():
        for name, (default, what) in form.options.items():
            parser.add_argument(f"--{name}", type=int, default=default, help=f"{form.name}: {what} ({default})")
    options = parser.parse_args(words)
    if unknown := [name for name in options.forms if name not in LONG_FORMS]:
        parser.error(f"no such form: {', '.join(unknown)}; there are {', '.join(LONG_FORMS)}")
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    for name in options.forms or LONG_FORMS:
        began = time.monotonic()
        LONG_FORMS[name].run(options, seed)
        print(f"{name}: ok after {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
