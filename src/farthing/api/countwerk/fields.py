"""Reading the fields of a CountWerk request, one function for each kind: gives what the ledger takes, or raises the
`Fault` with the code that the contract has for it."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw

from farthing.core.amounts import AmountError, round_amount
from farthing.core.commands import text_error

from ..bodies import LONGEST_NUMBER, Sent, check_media_type, object_error, read_key, unreadable, whole_number
from ..endpoint import Request, Stop, Trouble
from .errors import Fault
from .wire import (
    DEFAULT_LIMIT,
    DEFAULT_MINUTES,
    MAX_DESCRIPTION,
    MAX_EVENT,
    MAX_LIMIT,
    MAX_MINUTES,
    OPERATION,
)

_operation = re.compile(OPERATION[1:-1])
_unprintable = re.compile("[\x00-\x1f\x7f-\x9f]")
_field_of_error = re.compile(r"at `\$\.(\w+)`")


class Body:
    """Decodes one kind of request: its fields, each of which may be missing or of any type."""

    def __init__(self, twin: type[Any], required: tuple[str, ...]) -> None:
        self._decode = msgspec.json.Decoder(twin, float_hook=Sent).decode
        self._required = " and ".join(", ".join(required).rsplit(", ", 1))

    def read(self, request: Request) -> Any:
        """The fields of the request's body."""
        check_media_type(request)
        try:
            return self._decode(request.body)
        except msgspec.ValidationError as error:
            raise _wrong_shape(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not request.body.strip():
                raise self._empty() from None
            raise unreadable(error, request) from None

    def missing(self, request: Request, code: str, name: str) -> Fault:
        """The first required field is missing: its own code, unless the body has no field at all."""
        if not request.body.strip(b" \t\r\n{}"):
            return self._empty()
        return Fault(code, f"{name} is missing.")

    def _empty(self) -> Fault:
        return Fault("MISSING_REQUIRED_FIELDS", f"The body is empty; it needs {self._required}.")


def _wrong_shape(error: msgspec.ValidationError) -> Exception:
    """The twins take anything in a field, so it is either no object at all, or a whole number of absurd length."""
    found = _field_of_error.search(str(error))
    if found is None:
        return Stop(Trouble.MALFORMED, "The body must be a JSON object.")
    name = found[1]
    code = "INVALID_AMOUNT" if name in ("amount", "actualAmount") else "INVALID_INPUT"
    return Fault(code, f"{name} is too large.")


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
        units, exact = round_amount(_number(value), scale)
    except AmountError as error:
        raise Fault("INVALID_AMOUNT", f"{name} {error}.") from None
    if units < 0 or (units == 0 and not (zero and exact)):
        if exact:
            raise Fault("INVALID_AMOUNT", f"{name} must {'not be negative' if zero else 'be above zero'}.")
        raise Fault("INVALID_AMOUNT", f"{name} is too small: with {scale} decimals it would be zero.")
    return units, "" if exact else str(value)


def _number(value: Any) -> int | Decimal:
    if type(value) is int:
        return value
    if type(value) is not Sent:
        raise AmountError("must be a number, such as 7.5")
    if len(value) > LONGEST_NUMBER:
        raise AmountError("has too many digits")
    try:
        return Decimal(value)
    except InvalidOperation:
        raise AmountError("has an exponent that no amount has") from None


def event(value: Any, request: Request) -> str:
    """The key of a usage: of the body, or of the header where the body has none."""
    if value is None or value == "":
        key = header_key(request)
        if key is None:
            raise Fault("MISSING_USAGE_EVENT_ID", "usage_event_id is missing: a stable key, one for each usage.")
        return key
    wrong = "must be a text" if type(value) is not str else _id_error(value)
    if wrong:
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
    wrong = "must be a text" if type(value) is not str else _id_error(value)
    if wrong:
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
    wrong = "must be a text" if type(value) is not str else _id_error(value)
    if wrong:
        raise Fault("INVALID_SOURCE", f"source.{name} {wrong}.")
    return str(value)


def _id_error(value: str) -> str | None:
    if len(value.encode()) > MAX_EVENT:
        return f"must have at most {MAX_EVENT} bytes"
    if not value.isprintable() and _unprintable.search(value):
        return "must have no control characters"
    return None


def words(value: Any, name: str = "description") -> str | None:
    """Words for people."""
    if value is None:
        return None
    if type(value) is not str:
        raise Fault("INVALID_INPUT", f"{name} must be a text.")
    if len(value) > MAX_DESCRIPTION:
        raise Fault("INVALID_INPUT", f"{name} must have at most {MAX_DESCRIPTION:,} characters.")
    if "\0" in value:
        raise Fault("INVALID_INPUT", f"{name} must not have the character NUL.")
    return value


def metadata(value: Raw | None) -> str | None:
    """The client's own object, kept as the text it was sent as."""
    if value is None:
        return None
    text = bytes(value)
    if text == b"null":
        return None
    if wrong := object_error(text):
        raise Fault("INVALID_INPUT", f"metadata {wrong}.")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Stop(Trouble.MALFORMED, "The body must be JSON in UTF-8.") from None


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
