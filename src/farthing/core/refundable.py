"""What a charge is, read from its entry: how much, which grants paid it, what can still be refunded."""

from typing import Final

import msgspec

from .records import Body, Charge, Entry, Slice

CHARGES: Final = frozenset({"charge", "settle", "expire"})
"""Kinds of entries that take credits for a usage, and can be refunded."""

_body = msgspec.json.Decoder(Body)


def read_body(entry: Entry) -> Body:
    """The details of an entry."""
    return _body.decode(entry.body)


def charge_of(entry: Entry, body: Body | None = None) -> Charge:
    """The charge as its entry says, before anything became of it; of an entry whose body was read, that goes along."""
    body = body or read_body(entry)
    debt = sum(amount for charge, amount in body.debts if charge == entry.id)
    # A settle may also give back pinned credits that lapse or are written off at once: those were not spent.
    gone: dict[str, int] = {}
    for grant, amount in body.gone:
        gone[grant] = gone.get(grant, 0) + amount
    spent = ((grant, -remaining - gone.get(grant, 0)) for grant, remaining, _ in body.slices)
    slices = tuple(Slice(grant, amount) for grant, amount in spent if amount > 0)
    return Charge(
        entry.id, entry.kind, entry.workspace, entry.account, entry.bucket, entry.at, body.spent, 0, debt, 0, slices
    )  # fmt: skip


def refundable(charge: Charge) -> int:
    """What can still be refunded of a charge."""
    return charge.amount - charge.refunded - charge.forgiven
