"""Import: what another system had, entered into the books: what is left of a grant, what was owed, a payment that was
credited there.

Refusals, in order:
- import: too_many_grants, balance_limit

What was given and used up there is counted as earned and spent, so that totals go on as they were; no report counts it
as usage, and no spend limit knows of it. A grant whose date has passed is entered all the same, and lapses at once: the
books then say what became of it.
"""

from .commands import Import
from .draft import Draft
from .grants import no_room, owe, repay
from .outcomes import Refused
from .records import GrantTerms


def bring(c: Import, d: Draft) -> Refused | None:
    """Enter it, in one entry."""
    if refused := no_room(d, None, c.remaining > 0):
        return refused
    # After this point it must succeed.
    d.body.credited = c.credited
    if c.granted:
        _give(c, d)
    if c.owed:
        d.spend_before(c.owed)
        owe(c.id, c.kind, c.owed, d)
    return None


def _give(c: Import, d: Draft) -> None:
    given_at = d.at if c.given_at is None else min(c.given_at, d.at)
    terms = GrantTerms(
        "grt" + c.id[3:], c.granted, c.category, c.priority, c.expires_at, given_at, c.scope, c.source
    )  # fmt: skip
    d.earn(c.granted)
    d.give(terms)
    if used := c.granted - c.remaining:
        position = d.position(terms.id)
        assert position is not None, "a grant that was just given is in the row"
        d.restore(position, -used)
        d.spend_before(used)
    if c.expires_at is None or c.expires_at > d.at:
        repay(terms, c.remaining, d)
