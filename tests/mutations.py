"""The laws that `./dev mutate` breaks on purpose: a small change of source each, and the tests that see it.

A mutation is the smallest slip that a tired person could make in the one place that keeps a law: a forgotten
addition, a comparison turned round, a commit answered too early. Its tests are those that guard the law and
no more: a whole suite that turns red for some other reason would prove nothing. For example:

    Mutation(
        name="a hold is not counted",
        law="4: never below the floor",
        file="src/farthing/core/...",
        old="the exact text, which stands once in that file",
        new="what a slip would have made of it",
        tests=("tests/core/test_floor.py::test_what_is_held_can_not_be_charged",),
    )
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """One law broken in one place."""

    name: str
    law: str
    """Number and name of the law."""
    file: str
    """The file that changes, from the repository's root."""
    old: str
    """The text that goes; it stands exactly once in the file."""
    new: str
    """The text that comes in its place."""
    tests: tuple[str, ...]
    """What pytest runs: files or tests, from the repository's root."""


MUTATIONS: tuple[Mutation, ...] = ()
