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
    Mutation(
        name="a payment is credited by each message about it",
        law="9: money from outside counts once",
        file="src/farthing/core/decide.py",
        old="    if isinstance(c, CLAIMS) and c.claim and (claimed := _claimed(c, context)):\n",
        new="    if isinstance(c, CLAIMS) and not c.claim and (claimed := _claimed(c, context)):\n",
        tests=("tests/core/test_grants.py", "tests/commerce/test_fulfilling.py"),
    ),
    Mutation(
        name="somebody else's order is bought with",
        law="10: walls",
        file="src/farthing/commerce/selling.py",
        old='        if kept.order.account not in ("", account):\n',
        new='        if kept.order.account == "":\n',
        tests=("tests/commerce/test_purchase_links.py::test_an_order_of_another_account_is_not_changed",),
    ),
    Mutation(
        name="a payment that is on its way does not count for the cap",
        law="9: money from outside counts once",
        file="src/farthing/core/top_ups.py",
        old="seen.day + credits > settings.cap_day",
        new="credits > settings.cap_day",
        tests=("tests/core/test_top_ups.py",),
    ),
    Mutation(
        name="another payment is begun beside the one that is under way",
        law="9: money from outside counts once",
        file="src/farthing/core/top_ups.py",
        old="    if seen.attempt is not None:\n        return _under_way(seen, seen.attempt)\n    return _begin(",
        new="    return _begin(",
        tests=("tests/core/test_top_ups.py",),
    ),
    Mutation(
        name="a low balance is told by each charge below it",
        law="events: once",
        file="src/farthing/core/notices.py",
        old="    if was >= low > now:\n",
        new="    if low > now:\n",
        tests=("tests/core/test_notices.py",),
    ),
    Mutation(
        name="a name that leads to a private address is connected to",
        law="10: walls",
        file="src/farthing/outbox/guard.py",
        old="    good = [text for text in found if allow_private or _is_public_text(text)]\n",
        new="    good = list(found)\n",
        tests=("tests/outbox/test_guard.py",),
    ),
    Mutation(
        name="an estimate takes the place of what a provider has told",
        law="8: exact",
        file="src/farthing/llm/used.py",
        old="if n not in later.estimated or n not in reported}",
        new="if n not in self.counts or n in later.counts}",
        tests=("tests/llm/test_used.py",),
    ),
    Mutation(
        name="a stream that breaks off costs nothing",
        law="metering: nothing is given away",
        file="src/farthing/llm/evidence.py",
        old='    return whole, "delivered"\n',
        new='    return None, "nothing"\n',
        tests=("tests/llm/test_meter_trouble.py",),
    ),
    Mutation(
        name="a call with a key that was charged is made again",
        law="metering: a job that is run again is charged once",
        file="src/farthing/llm/call.py",
        old='            if before.state == "settled":\n',
        new='            if before.state == "nowhere":\n',
        tests=("tests/llm/test_keys.py",),
    ),
    Mutation(
        name="a model is asked before its hold is there",
        law="4: never below the floor",
        file="src/farthing/llm/sending.py",
        old="if isinstance(opening := _OPENING.get(), Opening):",
        new="if isinstance(opening := None, Opening):",
        tests=("tests/llm/test_sending.py",),
    ),
)
