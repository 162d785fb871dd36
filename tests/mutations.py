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


MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        name="a charge is answered before it is on the disk",
        law="2: an answer means it is on disk",
        file="src/farthing/engine.py",
        old="                await store.commit()\n",
        new="                pass\n",
        tests=("tests/engine/test_callers.py::test_an_answer_comes_after_the_commit",),
    ),
    Mutation(
        name="after an unknown outcome nobody looks for what was written",
        law="3: once",
        file="src/farthing/engine.py",
        old="await self._try(batch, again=True)",
        new="await self._try(batch)",
        tests=(
            "tests/test_partition.py::test_a_connection_that_ends_at_the_commit_is_answered_by_what_became_of_it"
            "[cut after-without-charge]",
        ),
    ),
    Mutation(
        name="a key used for other content is taken for a repeat",
        law="3: once",
        file="src/farthing/core/decide.py",
        old="    if content_mark(c, context) != first.fingerprint:\n",
        new="    if content_mark(c, context) == b'':\n",
        tests=("tests/core/test_entries.py", "tests/core/test_refusals.py"),
    ),
    Mutation(
        name="a key is not looked up",
        law="3: once",
        file="src/farthing/stores/sqlite.py",
        old="            if c.key is not None and c.account:\n",
        new="            if c.key == '' and c.account:\n",
        tests=("tests/engine/test_callers.py",),
    ),
    Mutation(
        name="what holds have set aside can be charged",
        law="4: never below the floor",
        file="src/farthing/core/draft.py",
        old="        everything = a.balance - a.held + a.settings.allowance\n",
        new="        everything = a.balance + a.settings.allowance\n",
        tests=("tests/core/test_holds.py",),
    ),
    Mutation(
        name="a number is left out",
        law="5: the ledger explains everything",
        file="src/farthing/core/draft.py",
        old="        a.number += 1\n",
        new="        a.number += 2\n",
        tests=("tests/core/test_entries.py",),
    ),
    Mutation(
        name="pinned credits lapse while their hold lives",
        law="6: a live hold can be settled",
        file="src/farthing/core/accounts.py",
        old="            gone = grant.remaining - grant.held\n",
        new="            gone = grant.remaining\n",
        tests=("tests/core/test_holds.py",),
    ),
    Mutation(
        name="a refund gives back more than was taken",
        law="7: credits go back where they came from",
        file="src/farthing/core/refundable.py",
        old="    return charge.amount - charge.refunded - charge.forgiven\n",
        new="    return charge.amount - charge.forgiven\n",
        tests=("tests/core/test_refunds.py", "tests/core/test_charges.py"),
    ),
)
