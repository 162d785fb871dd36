"""Bulk: many charges, cut into envelopes that are taken, and put together again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from .errors import ApiError
from .pricing_results import BulkResult

MOST: Final = 1_000
MOST_BYTES: Final = 1_900_000
"""What an envelope's items may have together; a little less than is taken."""


def slices(bodies: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The items in envelopes, in their order. An item that is too large by itself goes alone, and is refused."""
    part: list[dict[str, Any]] = []
    size = 0
    for body in bodies:
        length = len(msgspec.json.encode(body)) + 1
        if part and (len(part) == MOST or size + length > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(body)
        size += length
    if part:
        yield part


def numbered(
    results: Sequence[BulkResult], bodies: Sequence[Mapping[str, Any]], before: int,
    error_of: Callable[[Mapping[str, Any], str], ApiError],
) -> list[BulkResult]:  # fmt: skip
    """The results of an envelope, numbered on from those before, each with its key and its error."""
    told = []
    for result, body in zip(results, bodies, strict=True):
        error = None if result.problem is None else error_of(result.problem, body["key"])
        charge = result.charge and replace(result.charge, key=body["key"], replayed=result.replayed)
        told.append(replace(result, index=before + result.index, key=body["key"], charge=charge, error=error))
    return told
