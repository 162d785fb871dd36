"""History: what a row of usage says, wherever it is told: in a list, as JSON Lines, as CSV."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw

from .amounts import write_amount
from .exact import plain
from .figures import margin, write_cost
from .records import Entry, UsageRecord
from .refundable import read_body
from .tables import Number, csv_rows

COLUMNS: Final = (
    "id", "account", "at", "booked_at", "provider", "model", "model_sent", "service", "operation", "chat", "dimensions",
    "input_tokens", "output_tokens", "tokens", "amount", "cost", "margin", "unpriced", "card", "key", "description",
    "metadata",
)  # fmt: skip
_NUMBERS: Final = frozenset({"input_tokens", "output_tokens", "tokens", "amount", "cost", "margin"})
_encode = msgspec.json.Encoder().encode
_WriteTime = Callable[[int], str]


def row_facts(row: UsageRecord, entry: Entry, scale: int, write_time: _WriteTime) -> dict[str, Any]:
    """A usage by the names of `COLUMNS`; amounts are decimal text, metadata is raw JSON."""
    metered = read_body(entry).usage
    assert metered is not None, "usage rides with its charge"
    cost = row.cost
    return {
        "id": row.id,
        "account": row.account,
        "at": write_time(row.at),
        "booked_at": write_time(row.booked_at),
        "provider": row.provider or None,
        "model": row.model or None,
        "model_sent": metered.usage.model or None,
        "service": row.service or None,
        "operation": row.operation or None,
        "chat": row.chat or None,
        "dimensions": metered.usage.dimensions,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "tokens": row.tokens,
        "amount": write_amount(row.amount, scale),
        "cost": None if cost is None else write_cost(cost),
        "margin": None if cost is None else plain(margin(row.amount, cost, scale)),
        "unpriced": row.unpriced,
        "card": None if metered.given else metered.priced.card or None,
        "key": entry.key,
        "description": entry.description,
        "metadata": None if entry.metadata is None else Raw(entry.metadata.encode()),
    }


def as_lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """Rows as JSON, one on each line."""
    return b"".join([_encode(row) + b"\n" for row in rows])


def csv_header() -> bytes:
    """The first line of CSV."""
    return csv_rows([COLUMNS]).encode()


def as_csv(rows: Iterable[dict[str, Any]]) -> bytes:
    """Rows as lines of CSV; what is null is empty, and objects are JSON."""
    return csv_rows([[_cell(name, row[name]) for name in COLUMNS] for row in rows]).encode()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _NUMBERS:
        return Number(value)
    return value if isinstance(value, str) else _encode(value).decode()
