"""Rollup: what an entry adds to the sums that reports are read from, and of which slots a range of time is made.

Two axes of time. What was used (requests, tokens, what was charged for them, what the provider asks) stands where it
was used; what was booked (revenue, refunds) where its entry stands. A refund is negative revenue on its own day, under
the service, operation, provider and model of its charge. One function counts for folding, for the tail that is not
folded yet and for the edges of a range: `count`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from .commands import DAY_US, MAX_TIME_US, MINUTE_US
from .exact import subtract
from .refundable import CHARGES
from .usage import Usage
from .used import tokens_of

QUARTER_US: Final = 15 * MINUTE_US
"""The finest slot, for each account and for all of them; every zone of today begins its hours and days with one."""
COUNTED: Final = frozenset({*CHARGES, "refund"})
"""Kinds of entries that count."""
HALF: Final = 10**9
"""Sums are stored in two halves, high * HALF + low, so that adding them up can't overflow a 64-bit column."""
ALL: Final = ""
"""Stands for all accounts together."""


class Dims(NamedTuple):
    """What a sum is about."""

    service: str = ""
    operation: str = ""
    provider: str = ""
    model: str = ""


class Sums(Struct, gc=False):
    """What was used and what was booked."""

    requests: int = 0
    unpriced: int = 0
    """Requests for which nobody knew a price."""
    uncosted: int = 0
    """Requests of which nobody knows what the provider asks."""
    bookings: int = 0
    """Charges, by the time of their booking."""
    input_tokens: int = 0
    output_tokens: int = 0
    tokens: int = 0
    charged: int = 0
    cost: int = 0
    """What providers ask for what was used, in billionths of the unit."""
    revenue: int = 0
    """What was charged less what was refunded, by the time of booking."""
    refunded: int = 0
    booked_cost: int = 0
    """What providers ask for what was booked, in billionths of the unit."""
    recorded: int = 0
    """What was recorded of credits that something else had taken, by the time of booking."""

    def add(self, o: "Sums", sign: int = 1) -> None:
        """Add another's sums, or take them off."""
        # Spelled out: a loop over the names costs five times as much, for each entry that is folded.
        self.requests += sign * o.requests
        self.unpriced += sign * o.unpriced
        self.uncosted += sign * o.uncosted
        self.bookings += sign * o.bookings
        self.input_tokens += sign * o.input_tokens
        self.output_tokens += sign * o.output_tokens
        self.tokens += sign * o.tokens
        self.charged += sign * o.charged
        self.cost += sign * o.cost
        self.revenue += sign * o.revenue
        self.refunded += sign * o.refunded
        self.booked_cost += sign * o.booked_cost
        self.recorded += sign * o.recorded

    @property
    def taken_or_recorded(self) -> int:
        """What was used was worth so many credits, whoever took them."""
        return self.charged + self.recorded

    def margin(self, scale: int) -> Decimal:
        """What is left of the revenue after what providers ask, in the unit of a workspace with that scale."""
        return subtract(Decimal(self.revenue).scaleb(-scale), Decimal(self.booked_cost).scaleb(-9))


NAMES: Final = Sums.__struct_fields__
COUNTS: Final = NAMES[:4]
"""Kept in a column each."""
AMOUNTS: Final = NAMES[4:]
"""Kept in two halves."""
COLUMNS: Final = (*COUNTS, *(f"{name}_{half}" for name in AMOUNTS for half in ("high", "low")))


def columns_of(sums: Sums) -> tuple[int, ...]:
    """Sums as they are stored."""
    s = sums
    return (
        s.requests, s.unpriced, s.uncosted, s.bookings, *divmod(s.input_tokens, HALF), *divmod(s.output_tokens, HALF),
        *divmod(s.tokens, HALF), *divmod(s.charged, HALF), *divmod(s.cost, HALF), *divmod(s.revenue, HALF),
        *divmod(s.refunded, HALF), *divmod(s.booked_cost, HALF), *divmod(s.recorded, HALF),
    )  # fmt: skip


def sums_of(columns: Iterable[int]) -> Sums:
    """Sums from their columns, or from columns added up."""
    values = [int(value) for value in columns]
    few = len(COUNTS)
    highs, lows = values[few::2], values[few + 1 :: 2]
    return Sums(*values[:few], *(high * HALF + low for high, low in zip(highs, lows, strict=True)))


# Entries


class _Priced(Struct):
    cost: int | None = None
    provider: str = ""
    model: str = ""
    unpriced: bool = False


class _Metered(Struct):
    usage: Usage
    priced: _Priced
    recorded: int = 0


class _Body(Struct):
    spent: int = 0
    refunds: list[tuple[str, str, int]] = []
    usage: _Metered | None = None


_body = msgspec.json.Decoder(_Body)


class Counted(Struct, gc=False):
    """What of an entry counts."""

    workspace: str
    account: str
    kind: str
    at: int
    used_at: int
    dims: Dims
    spent: int
    cost: int | None = None
    unpriced: bool = False
    tokens: tuple[int, int, int] = (0, 0, 0)
    """In, out and in all."""
    has_usage: bool = False
    chat: str = ""
    refunds: list[tuple[str, str, int]] = []
    """Charge, grant, credits."""
    recorded: int = 0


def read_counted(workspace: str, account: str, kind: str, at: int, operation: str, body: str | bytes) -> Counted:
    """What of an entry counts, from those of its columns."""
    told = _body.decode(body)
    if told.usage is None:
        dims = Dims("", operation, "", "")
        return Counted(workspace, account, kind, at, at, dims, told.spent, refunds=told.refunds)
    usage, priced = told.usage.usage, told.usage.priced
    dims = Dims(usage.service, operation, priced.provider or usage.provider, priced.model or usage.model)
    used_at = at if usage.at is None else usage.at
    return Counted(
        workspace, account, kind, at, used_at, dims, told.spent, priced.cost, priced.unpriced, tokens_of(usage), True,
        usage.chat, recorded=told.usage.recorded,
    )  # fmt: skip


SumsAt = Callable[[Counted, int, Dims], Sums | None]
"""The sums that an entry's part of an instant belongs to; None where nobody asks for them."""


def count(e: Counted, charges: Mapping[str, Dims], sums_at: SumsAt, *, used: bool = True) -> None:
    """Add an entry to the sums it belongs to. `charges` has what the charges are about that a refund names; `used` also
    counts it where it was used, and not only where it was booked."""
    if e.kind == "refund":
        for charge, _, amount in e.refunds:
            if sums := sums_at(e, e.at, charges[charge]):
                sums.revenue -= amount
                sums.refunded += amount
        return
    if e.kind == "expire" and not e.spent:
        return
    if used and (sums := sums_at(e, e.used_at, e.dims)):
        _count_used(e, sums)
    if sums := sums_at(e, e.at, e.dims):
        sums.bookings += 1
        sums.revenue += e.spent
        sums.booked_cost += e.cost or 0
        sums.recorded += e.recorded


def _count_used(e: Counted, sums: Sums) -> None:
    sums.requests += 1
    sums.charged += e.spent
    if e.cost is None:
        sums.uncosted += 1
    else:
        sums.cost += e.cost
    if e.has_usage:
        sums.unpriced += e.unpriced
        into, out, total = e.tokens
        sums.input_tokens += into
        sums.output_tokens += out
        sums.tokens += total


Place = tuple[str, str, int, int, Dims]
"""Workspace, account, span, slot, what it is about."""


class Tally:
    """Entries added up in slots, to be added to what is stored."""

    def __init__(self) -> None:
        self.quarters: dict[tuple[str, str, int, Dims], Sums] = {}
        """By workspace, account and slot of a quarter."""

    def add(self, e: Counted, charges: Mapping[str, Dims]) -> None:
        """Count an entry."""
        count(e, charges, self._sums_at)

    def _sums_at(self, e: Counted, at: int, dims: Dims) -> Sums:
        place = (e.workspace, e.account, at - at % QUARTER_US, dims)
        found = self.quarters.get(place)
        if found is None:
            found = self.quarters[place] = Sums()
        return found

    def rows(self) -> dict[Place, Sums]:
        """The sums of each account's quarters, and of all accounts' quarters and days."""
        rows: dict[Place, Sums] = {}
        quarters: dict[Place, Sums] = defaultdict(Sums)
        days: dict[Place, Sums] = defaultdict(Sums)
        for (workspace, account, slot, dims), sums in self.quarters.items():
            rows[workspace, account, QUARTER_US, slot, dims] = sums
            quarters[workspace, ALL, QUARTER_US, slot, dims].add(sums)
        for (workspace, _, _, slot, dims), sums in quarters.items():
            days[workspace, ALL, DAY_US, slot - slot % DAY_US, dims].add(sums)
        return rows | quarters | days


# Ranges of time


class Scan(NamedTuple):
    """A part of a range that no slot has: its entries are added, or taken off again."""

    start: int
    end: int
    sign: int


class Cover(NamedTuple):
    """What a range of time is made of: whole days and whole quarters, and the rest."""

    days: list[tuple[int, int]]
    quarters: list[tuple[int, int]]
    scans: list[Scan]

    def has(self, at: int) -> bool:
        """Whether an instant is in one of its slots."""
        return any(start <= at < end for start, end in (*self.days, *self.quarters))


def cover(start: int, end: int, now: int, *, days: bool) -> Cover:
    """What [start, end) is made of. At an edge the shorter part of its quarter is scanned, with little to be expected
    after `now`. `days`: whether there are sums of days."""
    if start >= end:
        return Cover([], [], [])
    first, last = _up(start, QUARTER_US), _down(end, QUARTER_US)
    if first > last:
        return Cover([], [], [Scan(start, end, 1)])
    scans: list[Scan] = []
    if start < first:
        if _length(first - QUARTER_US, start, now) < _length(start, first, now):
            first -= QUARTER_US
            scans.append(Scan(first, start, -1))
        else:
            scans.append(Scan(start, first, 1))
    if last < end:
        if _length(end, last + QUARTER_US, now) < _length(last, end, now):
            last += QUARTER_US
            scans.append(Scan(end, last, -1))
        else:
            scans.append(Scan(last, end, 1))
    return Cover(*_slots(first, last, days), scans)


def _slots(first: int, last: int, days: bool) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """A range that begins and ends with a quarter, as days and quarters."""
    day, night = _up(first, DAY_US), _down(last, DAY_US)
    if not days or day >= night:
        return [], [(first, last)] if first < last else []
    return [(day, night)], [(a, b) for a, b in ((first, day), (night, last)) if a < b]


def _up(at: int, span: int) -> int:
    return -(-at // span) * span


def _down(at: int, span: int) -> int:
    return at - at % span


def _length(start: int, end: int, now: int) -> int:
    return max(min(end, now) - start, 0)


END_OF_TIME: Final = _up(MAX_TIME_US, DAY_US)
