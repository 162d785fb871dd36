"""Bulk: many charges, cut into envelopes that are taken, and put together again; and many grants under one batch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .answers import error_of
from .calls import Call
from .errors import ApiError, ServerError, UnknownOutcome
from .pricing_results import BulkDone, BulkResult
from .results import Granted
from .values import Amount, amount_text, id_text, key_text

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


class Rest(Struct, frozen=True):
    """Those of many charges that may still succeed: nothing was done, or nobody knows."""

    call: Call[Any]
    """That asks for them alone, as they were."""
    places: list[int]
    error: ApiError
    """Why the first of them was not made."""

    def merged(self, before: Any, after: Any) -> Any:
        """All results, when these have come of the rest."""
        return merged(before, self.places, after)


def rest_of(call: Call[Any], result: Any) -> Rest | None:
    """What is to be asked for again of an envelope; None where there is nothing, or where it is none."""
    if not isinstance(result, BulkDone):
        return None
    failed = [(each.index, error_of(each.problem)) for each in result.results if each.problem is not None]
    again = [(place, error) for place, error in failed if error.retries]
    if not again:
        return None
    places = [place for place, _ in again]
    return Rest(part_of(call, places), places, again[0][1])


def part_of(call: Call[Any], places: Sequence[int]) -> Call[Any]:
    """The call that asks for some of the items alone, as they were."""
    body = msgspec.json.decode(call.body)
    return replace(call, body=msgspec.json.encode(body | {"items": [body["items"][place] for place in places]}))


def merged(before: Any, places: Sequence[int], after: Any) -> Any:
    """All results of an envelope, when others have come of some of its places."""
    results = list(before.results)
    for place, result in zip(places, after.results, strict=True):
        results[place] = replace(result, index=place)
    return replace(before, results=results)


def not_charged(bodies: Sequence[Mapping[str, Any]], error: ApiError) -> BulkDone:
    """What came of an envelope that failed as a whole."""
    status = status_of(error)
    return BulkDone(results=[BulkResult(index=index, status=status, error=error) for index, _ in enumerate(bodies)])


def numbered(results: Sequence[BulkResult], bodies: Sequence[Mapping[str, Any]], before: int) -> list[BulkResult]:
    """The results of an envelope, numbered on from those before, each with its key and its error."""
    told = []
    for result, body in zip(results, bodies, strict=True):
        error = result.error if result.problem is None else error_of(result.problem, body["key"])
        charge = result.charge and replace(result.charge, key=body["key"], replayed=result.replayed)
        told.append(replace(result, index=before + result.index, key=body["key"], charge=charge, error=error))
    return told


# Grants


def batch_of(
    accounts: Iterable[str] | Mapping[str, Amount], amount: Amount | None, batch: str
) -> list[tuple[str, str, str]]:
    """Each account with its amount and its key: the same batch gives an account the same key again."""
    if isinstance(accounts, str):
        raise TypeError("accounts must be a list of accounts, or a mapping from accounts to amounts")
    if not batch:
        raise ValueError("batch must not be empty")
    if isinstance(accounts, Mapping) and amount is None:
        given = list(accounts.items())
    elif amount is not None and not isinstance(accounts, Mapping):
        given = [(account, amount) for account in accounts]
    else:
        raise TypeError("give one amount for a list of accounts, or a mapping from accounts to amounts")
    return [
        (id_text(account, "account"), amount_text(each, f"amount of {account}"), batch_key(batch, account))
        for account, each in given
    ]


def batch_key(batch: str, account: str) -> str:
    """The key of an account's grant. Accounts may be longer than a key, and have letters that it can't."""
    return key_text(f"{batch}:{sha256(account.encode()).hexdigest()[:32]}")


def not_granted(account: str, error: ApiError) -> Granted:
    """What came of a grant that failed."""
    return Granted(account=account, status=status_of(error), error=error)


def status_of(error: ApiError) -> str:
    """What an error means for what was asked for: `unknown`, `failed` (nothing was done, and it may go later) or
    `refused`."""
    if isinstance(error, UnknownOutcome | ServerError):
        return "unknown"
    return "failed" if error.retries else "refused"
