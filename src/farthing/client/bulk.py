"""Bulk: many charges, cut into envelopes that are taken, and put together again; and many grants under one batch."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from .errors import ApiError, ServerError, UnknownOutcome
from .pricing_results import BulkResult
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
    unclear = isinstance(error, UnknownOutcome | ServerError)
    return Granted(
        account=account, status="unknown" if unclear else "failed" if error.retries else "refused", error=error
    )  # fmt: skip
