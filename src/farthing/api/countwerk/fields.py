"""Reading the fields of a CountWerk request, one function for each kind: gives what the ledger takes, or raises the
`Fault` with the code that the contract has for it."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Any

from msgspec import Raw, Struct

from farthing.core.amounts import AmountError
from farthing.core.commands import text_error

from ..bodies import Empty, Lenient, TooLong, id_error, own_object, read_key, units, whole_number, words_error
from ..endpoint import Request
from .errors import Fault
from .wire import (
    DEFAULT_LIMIT,
    DEFAULT_MINUTES,
    MAX_DESCRIPTION,
    MAX_EVENT,
    MAX_LIMIT,
    MAX_MINUTES,
    OPERATION,
    required,
)

_operation = re.compile(OPERATION[1:-1])


class Body:
    """Decodes one kind of request: its fields, each of which may be missing or of any type."""

    def __init__(self, documented: type[Struct]) -> None:
        self._lenient = Lenient(documented)
        self._required = " and ".join(", ".join(required(documented)).rsplit(", ", 1))

    def read(self, request: Request) -> Any:
        """The fields of the request's body."""
        try:
            return self._lenient.fields(request)
        except Empty:
            raise self._empty() from None
        except TooLong as long:
            code = "INVALID_AMOUNT" if long.field in ("amount", "actualAmount") else "INVALID_INPUT"
            raise Fault(code, f"{long.field} is too large.") from None

    def missing(self, request: Request, code: str, name: str) -> Fault:
        """The first required field is missing: its own code, unless the body has no field at all."""
        if not request.body.strip(b" \t\r\n{}"):
            return self._empty()
        return Fault(code, f"{name} is missing.")

    def _empty(self) -> Fault:
        return Fault("MISSING_REQUIRED_FIELDS", f"The body is empty; it needs {self._required}.")


def account(value: Any, body: Body, request: Request) -> str:
    """Whose credits."""
    if value is None or value == "":
        raise body.missing(request, "MISSING_ACCOUNT_ID", "account_id")
    if type(value) is not str:
        raise Fault("INVALID_INPUT", "account_id must be a text.")
    if wrong := text_error(value):
        raise Fault("INVALID_INPUT", f"account_id {wrong}.")
    return value


def operation(value: Any) -> str:
    """What for."""
    if value is None or value == "":
        raise Fault("MISSING_OPERATION", "operation is missing.")
    if type(value) is not str or not _operation.fullmatch(value):
        raise Fault("INVALID_OPERATION", "operation must have 3 to 64 characters of a-z, 0-9, '.', '_' and '-'.")
    return value


def amount(value: Any, scale: int, name: str = "amount", *, zero: bool = False) -> tuple[int, str]:
    """The amount in smallest units, and the text as it was sent where rounding changed it."""
    if value is None:
        raise Fault("INVALID_AMOUNT", f"{name} is missing; it must be a number above zero.")
    try:
        return units(value, scale, zero=zero)
    except AmountError as error:
        raise Fault("INVALID_AMOUNT", f"{name} {error}.") from None


def event(value: Any, request: Request) -> str:
    """The key of a usage: of the body, or of the header where the body has none."""
    if value is None or value == "":
        key = header_key(request)
        if key is None:
            raise Fault("MISSING_USAGE_EVENT_ID", "usage_event_id is missing: a stable key, one for each usage.")
        return key
    if wrong := id_error(value, MAX_EVENT):
        raise Fault("INVALID_USAGE_EVENT_ID", f"usage_event_id {wrong}.")
    return str(value)


def header_key(request: Request) -> str | None:
    """The header Idempotency-Key, bare or quoted."""
    value = request.headers.get(b"idempotency-key")
    if value is None:
        return None
    key = read_key(value, MAX_EVENT)
    if key is None:
        raise Fault("INVALID_INPUT", f"Idempotency-Key must have 1 to {MAX_EVENT} printable characters.")
    return key


def reservation(value: Any, body: Body, request: Request) -> str:
    """Which reservation."""
    if value is None or value == "":
        raise body.missing(request, "MISSING_RESERVATION_ID", "reservationId")
    if wrong := id_error(value, MAX_EVENT):
        raise Fault("INVALID_INPUT", f"reservationId {wrong}.")
    return str(value)


def source(value: Any) -> dict[str, str]:
    """The purchase, all three ids of it."""
    if value is None:
        raise Fault("MISSING_SOURCE", "source is missing: an object with productId, orderId and transactionId.")
    if type(value) is not dict:
        raise Fault("INVALID_SOURCE", "source must be an object with productId, orderId and transactionId.")
    return {
        "productId": _source_id(value, "productId", "MISSING_PRODUCT_ID"),
        "orderId": _source_id(value, "orderId", "MISSING_ORDER_ID"),
        "transactionId": _source_id(value, "transactionId", "MISSING_TRANSACTION_ID"),
    }


def _source_id(source: dict[str, Any], name: str, missing: str) -> str:
    value = source.get(name)
    if value is None or value == "":
        raise Fault(missing, f"source.{name} is missing.")
    if wrong := id_error(value, MAX_EVENT):
        raise Fault("INVALID_SOURCE", f"source.{name} {wrong}.")
    return str(value)


def words(value: Any, name: str = "description") -> str | None:
    """Words for people."""
    if value is None:
        return None
    if wrong := words_error(value, MAX_DESCRIPTION):
        raise Fault("INVALID_INPUT", f"{name} {wrong}.")
    return str(value)


def metadata(value: Raw | None) -> str | None:
    """The client's own object, kept as the text it was sent as."""
    try:
        return own_object(value)
    except ValueError as error:
        raise Fault("INVALID_INPUT", f"metadata {error}.") from None


def minutes(value: Any) -> int:
    """How long a reservation lives."""
    return _whole(value, "validityMinutes", DEFAULT_MINUTES, MAX_MINUTES)


def limit(value: Any) -> int:
    """How many lines a page has."""
    return _whole(value, "limit", DEFAULT_LIMIT, MAX_LIMIT)


def _whole(value: Any, name: str, default: int, most: int) -> int:
    if value is None:
        return default
    number = whole_number(value)
    if number is None or not 1 <= number <= most:
        raise Fault("INVALID_INPUT", f"{name} must be a whole number from 1 to {most:,}.")
    return number


def cursor(value: Any, workspace: str, account_id: str) -> int | None:
    """The entry before which a page begins; a cursor of another account, or one made up, is refused."""
    if value is None or value == "":
        return None
    try:
        number = int.from_bytes(urlsafe_b64decode(value)[:8])
        good = write_cursor(workspace, account_id, number) == value
    except (ValueError, TypeError, OverflowError):
        good = False
    if not good:
        raise Fault("INVALID_INPUT", "cursor must be the nextCursor of the page before, for the same account.")
    return number


def write_cursor(workspace: str, account_id: str, number: int) -> str:
    """Where a page ended. The sum is no secret: it only keeps a cursor from being used where it says nothing."""
    place = number.to_bytes(8)
    whose = f"{workspace}\0{account_id}".encode()
    return urlsafe_b64encode(place + blake2b(place + whose, digest_size=7).digest()).decode()
