"""Bodies: what the faces share about what a client sends, whatever their words for it are."""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct, defstruct
from msgspec.structs import fields

from farthing.core.amounts import AmountError, round_amount

from .endpoint import Request, Stop, Trouble

MAX_DEPTH: Final = 32
MAX_OBJECT: Final = 16_384
LONGEST_NUMBER: Final = 500
MOST_DIGITS: Final = 20
TEXT: Final = r"^[^\x00-\x1f\x7f-\x9f]+$"
"""Text without control characters, as a pattern for the documentation; so is the next."""
WORDS: Final = r"^[^\x00]*$"
_JSON: Final = b"application/json"
_strings = re.compile(rb'"(?:[^"\\]|\\.)*"')
_unprintable: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_field_of_error: Final = re.compile(r"at `\$\.(\w+)`")

Metadata = Annotated[
    dict[str, Any], Meta(description=f"An object of your own, at most {MAX_OBJECT:,} bytes and {MAX_DEPTH} deep.")
]


# Bodies of which each field has words of its own for what can be wrong with it


def lenient(documented: type[Struct]) -> type[Any]:
    """The same fields, each of which may be missing or of any type; an object the client made up stays text."""
    twins = ((f.name, Raw if f.type == Metadata | None else Any, None) for f in fields(documented))
    return defstruct(documented.__name__, twins)


class Empty(Exception):
    """There is no body."""


class TooLong(Exception):
    """A whole number of absurd length."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class Lenient:
    """Decodes one kind of body: its fields, each of which may be missing or of any type."""

    def __init__(self, documented: type[Struct]) -> None:
        self.none = lenient(documented)
        """What a body without any field is read as."""
        self._decode = msgspec.json.Decoder(self.none, float_hook=Sent).decode

    def fields(self, request: Request) -> Any:
        """The fields of the request's body; raises `Empty` or `TooLong`, or stops what is no JSON object at all."""
        check_media_type(request)
        try:
            return self._decode(request.body)
        except msgspec.ValidationError as error:
            # The twins take anything in a field, so it is either no object at all, or too long a number.
            if found := _field_of_error.search(str(error)):
                raise TooLong(found[1]) from None
            raise Stop(Trouble.MALFORMED, "The body must be a JSON object.") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not request.body.strip():
                raise Empty from None
            raise unreadable(error, request) from None


class Sent(str):
    """A JSON number with a fraction or an exponent, as it was sent."""

    __slots__ = ()


def whole_number(value: object) -> int | None:
    """A number that is whole, however it was written: to JSON 5 and 5.0 are the same. None for anything else."""
    if type(value) is int:
        return value
    if type(value) is not Sent or len(value) > LONGEST_NUMBER:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:  # an exponent beyond all bounds
        return None
    # The size is judged first: 1e999999999 must not become a number of a billion digits.
    return int(number) if number.adjusted() < MOST_DIGITS and number == number.to_integral_value() else None


def units(value: object, scale: int, *, zero: bool = False, negative: bool = False) -> tuple[int, str]:
    """An amount in smallest units, rounded half-even, and the text as it was sent where rounding changed it; zero only
    where it may be and was meant."""
    amount, exact = round_amount(_number(value), scale)
    if not amount and not exact:
        raise AmountError(f"is too small: with {scale} decimals it would be zero")
    if (amount < 0 and not negative) or (amount == 0 and not zero):
        raise AmountError("must not be negative" if zero else "must not be zero" if negative else "must be above zero")
    return amount, "" if exact else str(value)


def _number(value: object) -> int | Decimal:
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


def id_error(value: object, most: int) -> str | None:
    """Why a value can't be an id, which has no control characters."""
    if type(value) is not str:
        return "must be a text"
    if len(value.encode()) > most:
        return f"must have at most {most} bytes"
    if not value.isprintable() and _unprintable.search(value):
        return "must have no control characters"
    return None


def words_error(value: object, most: int) -> str | None:
    """Why a value can't be words for people."""
    if type(value) is not str:
        return "must be a text"
    if len(value) > most:
        return f"must have at most {most:,} characters"
    return "must not have the character NUL" if "\0" in value else None


def check_media_type(request: Request) -> None:
    """A body is JSON, and says so where it says anything."""
    content_type = request.headers.get(b"content-type")
    # What has no body needs no type; what has a body but names no type can only be JSON here.
    if content_type is None or content_type == _JSON or not request.body:
        return
    if content_type.partition(b";")[0].strip().lower() != _JSON:
        raise Stop(Trouble.MEDIA_TYPE, "Send the body as JSON, with the header Content-Type: application/json.")


def unreadable(error: Exception, request: Request) -> Stop:
    """Why a body that is not empty could not be decoded."""
    if b"content-encoding" in request.headers:
        return Stop(Trouble.MEDIA_TYPE, "Send the body as it is, without a Content-Encoding.")
    if isinstance(error, RecursionError):
        return Stop(Trouble.MALFORMED, "The body is nested too deeply.")
    return Stop(Trouble.MALFORMED, f"The body must be a JSON object: {error}.")


def object_error(text: bytes) -> str | None:
    """Why a JSON text can't be the client's own object."""
    if text[:1] != b"{":
        return "must be an object"
    if len(text) > MAX_OBJECT:
        return f"must have at most {MAX_OBJECT:,} bytes"
    # Nearly always there are fewer brackets in all than may be nested.
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        return f"must be at most {MAX_DEPTH} deep"
    return None


def own_object(value: Raw | None) -> str | None:
    """The client's own object, kept as the text it was sent as; `ValueError` says why it can't be one."""
    text = b"null" if value is None else bytes(value)
    if text == b"null":
        return None
    if wrong := object_error(text):
        raise ValueError(wrong)
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Stop(Trouble.MALFORMED, "The body must be JSON in UTF-8.") from None


def object_text(value: object) -> str | None:
    """The text of a JSON object that is kept as it was sent; None where there is none."""
    if not isinstance(value, Raw) or bytes(value)[:1] != b"{":
        return None
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise Stop(Trouble.MALFORMED, "The body must be JSON in UTF-8.") from None


def _depth(text: bytes) -> int:
    depth = deepest = 0
    for letter in _strings.sub(b"", text):
        if letter in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in b"}]":
            depth -= 1
    return deepest


def read_key(value: bytes, most: int) -> str | None:
    """The key in a header field, bare or in quotes: 1 to `most` printable ASCII characters. None where it is no key."""
    key = value.decode("latin-1")
    if not (key.isascii() and key.isprintable()) or key[:1] == " ":
        return None
    if key[:1] == '"':
        key = key[1:-1] if key[-1] == '"' else ""
    return key if 0 < len(key) <= most else None


def key_schema(most: int) -> dict[str, str]:
    """What `read_key` takes, for the documentation; a server drops the blanks around the value of a field."""
    return {"type": "string", "pattern": rf'^([!#-~]([ -~]{{0,{most - 2}}}[!-~])?|"[ -~]{{1,{most}}}")$'}
