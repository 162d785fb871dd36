"""Agreement: whether what is stored is what the entries say; each problem with its law and a sentence.

Of the account's row all is compared for equality, but for two values. `hold_due_at` is only a lower bound: an
instant not after the first live hold's end, or any when none lives. The ends of a spend window (`day_until`,
`month_until`) lie ahead of it and hang on the time zone database of the day when they were written; its
beginnings and sums are compared.
"""

from collections.abc import Iterator

from msgspec import UNSET, Struct
from msgspec.structs import replace

from .records import Account, Grant, Window

_OF_THE_ROW = (
    *("number", "balance", "held", "debt", "earned", "spent", "lapsed", "written_off"),
    *("at", "head", "holds", "lapse_at", "settings"),
)


class Problem(Struct, frozen=True):
    """A law that is broken, and where."""

    law: int
    what: str
    """A sentence by itself, or the name of a value that is `found` and not `expected`."""
    expected: object = UNSET
    found: object = UNSET

    def __str__(self) -> str:
        if self.expected is UNSET:
            return self.what
        return f"{self.what} is {_show(self.found)}, and should be {_show(self.expected)}"


def _show(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()[:16] or "empty"
    return "nothing" if value is None else str(value)


def compare(row: Account, right: Account) -> Iterator[Problem]:
    """Where an account's row differs from what its entries say."""
    for name in _OF_THE_ROW:
        expected, found = getattr(right, name), getattr(row, name)
        if expected != found:
            yield Problem(5, f"{name} of the account's row", expected, found)
    yield from _compare_grants(row.grants, right.grants)
    if _past(row.window) != _past(right.window):
        yield Problem(5, "the spend window of the account's row", right.window, row.window)
    first_end = right.hold_due_at
    if first_end is not None and (row.hold_due_at is None or row.hold_due_at > first_end):
        yield Problem(6, "hold_due_at of the account's row", f"{first_end} or earlier", row.hold_due_at)


def _past(window: Window | None) -> Window | None:
    return window and replace(window, day_until=0, month_until=0)


def _compare_grants(found: list[Grant], expected: list[Grant]) -> Iterator[Problem]:
    """Live grants, one by one; then their order."""
    if found == expected:
        return
    stored = {g.id: g for g in found}
    for grant in expected:
        yield from differences(5, f"grant {grant.id} in the account's row", grant, stored.pop(grant.id, None))
    for grant_id in stored:
        yield Problem(5, f"grant {grant_id} in the account's row is not live by the entries")
    right, order = [g.id for g in expected], [g.id for g in found]
    if right != order and sorted(right) == sorted(order):
        yield Problem(5, "the burn order in the account's row", ", ".join(right), ", ".join(order))


def differences(law: int, name: str, expected: Struct, found: Struct | None) -> Iterator[Problem]:
    """Where a record differs from what the entries say, field by field."""
    if found is None:
        yield Problem(law, f"{name} is missing")
        return
    if expected == found:
        return
    for field in expected.__struct_fields__:
        right, stored = getattr(expected, field), getattr(found, field)
        if right != stored:
            yield Problem(law, f"{field} of {name}", right, stored)
