"""Reading the fields of a request in the accounting dialect, one function for each kind: gives what the ledger takes,
or raises the `Fault` that says what is wrong.

`null` is the same as leaving out. What a call has no field for is ignored, whatever it is called.
"""

from typing import Any, Final
from urllib.parse import parse_qsl

from msgspec import Struct

from farthing.core.amounts import AmountError
from farthing.core.commands import text_error

from ..bodies import Empty, Lenient, TooLong, id_error, read_key, units, whole_number, words_error
from ..endpoint import Request
from .errors import Fault, fault

MAX_KEY: Final = 255
MAX_NOTES: Final = 1_000
DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 36_500
"""A hundred years: what is meant to live longer needs no end, and what is far above was a slip."""
_KEY_HEADER: Final = b"idempotency-key"


class Body:
    """Decodes one kind of body: its fields, each of which may be missing or of any type. `sentence` is the contract's
    own for a body that is empty, or has a number of absurd length."""

    def __init__(self, documented: type[Struct], sentence: str = "") -> None:
        self._lenient = Lenient(documented)
        self._sentence = sentence

    def read(self, request: Request) -> Any:
        """The fields of the request's body; of no body at all, none."""
        try:
            return self._lenient.fields(request)
        except Empty:
            return self._lenient.none()
        except TooLong as long:
            raise self._fault(long.field, "is too large") from None

    def _fault(self, field: str, message: str) -> Fault:
        return fault(self._sentence) if self._sentence else invalid(field, message)


def invalid(field: str, message: str) -> Fault:
    """What is wrong with a field."""
    return fault("invalid", field=field, message=message)


def amount(
    value: Any, scale: int, field: str = "credits", sentence: str = "", *, zero: bool = False, negative: bool = False
) -> tuple[int, str]:
    """An amount in smallest units, and the text as it was sent where rounding changed it."""
    try:
        if value is None:
            raise AmountError("is missing: a number, such as 7.5")
        return units(value, scale, zero=zero, negative=negative)
    except AmountError as error:
        raise (fault(sentence) if sentence else invalid(field, str(error))) from None


def days(value: Any) -> int:
    """After how many days what is given lapses."""
    if value is None:
        return DEFAULT_DAYS
    number = whole_number(value)
    if number is None or not 1 <= number <= MAX_DAYS:
        raise invalid("expiryDays", f"must be a whole number from 1 to {MAX_DAYS:,}")
    return number


def notes(value: Any) -> str | None:
    """Words for people, which are kept in the ledger."""
    if value is None:
        return None
    if wrong := words_error(value, MAX_NOTES):
        raise invalid("notes", wrong)
    return str(value)


def text(value: Any, field: str, what: str) -> str:
    """A text that has to be there: an id, a name."""
    if value is None or value == "":
        raise invalid(field, f"is missing: {what}")
    if type(value) is not str:
        raise invalid(field, "must be a text")
    if wrong := text_error(value):
        raise invalid(field, wrong)
    return value


def operation(value: Any) -> str:
    """What the credits are for; empty where that is not said."""
    return "" if value is None or value == "" else text(value, "operation", "")


def key(value: Any, request: Request, prefix: str) -> str | None:
    """The caller's key with the prefix of its kind: of the body, or of the header where the body has none. Without one
    a repeat is a new act."""
    header = request.headers.get(_KEY_HEADER)
    found = None if header is None else read_key(header, MAX_KEY)
    if header is not None and found is None:
        raise invalid("Idempotency-Key", f"must have 1 to {MAX_KEY} printable characters")
    if value is not None and value != "":
        if wrong := id_error(value, MAX_KEY):
            raise invalid("idempotencyKey", wrong)
        found = value
    return None if found is None else f"{prefix}:{found}"


def query(request: Request) -> dict[str, str]:
    """The parameters of a request; of one that comes twice the last counts."""
    sent = request.scope.get("query_string", b"")
    try:
        return dict(parse_qsl(sent.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50))
    except ValueError:
        raise invalid("query", "must be at most 50 parameters, percent-encoded UTF-8") from None


def whole(value: str | None, field: str, default: int, most: int) -> int:
    """A parameter that is a whole number from 1 on."""
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 10 and 1 <= int(value) <= most):
        raise invalid(field, f"must be a whole number from 1 to {most:,}")
    return int(value)
