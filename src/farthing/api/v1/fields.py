"""Reading the fields of a request, strictly: what is unknown, missing or wrong is refused, all of it at once.

`Form` decodes a body into its fields; `Fields` turns each into what the ledger takes, or notes what is wrong with it
and goes on with a stand-in. `check` then refuses the request, before a stand-in gets anywhere.
"""

import re
from calendar import timegm
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Raw, Struct, defstruct
from msgspec.structs import fields as fields_of

from farthing.core.amounts import AmountError, read_amount
from farthing.core.commands import MAX_TIME_US, is_unicode, text_error

from ..bodies import Sent, check_media_type, object_error, read_key, unreadable, whole_number
from ..endpoint import Request, Stop, Trouble
from .problems import Fault, Wrong
from .wire import MAX_AMOUNT_TEXT, MAX_DESCRIPTION, MAX_KEY, MAX_TEXT

T = TypeVar("T", bound=str)
PREFIX: Final = "v1:"
MAX_NAMED: Final = 20
"""How many unknown parameters are named."""
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_KEY_HELP: Final = f"must have 1 to {MAX_KEY} printable ASCII characters, bare or in quotes"
_decode_any = msgspec.json.Decoder(float_hook=Sent).decode
_decode_parts = msgspec.json.Decoder(dict[str, Raw]).decode
_MISSING: Final = object()


@cache
def _names_of(documented: type[Struct]) -> tuple[str, ...]:
    # Finding them out evaluates annotations: dear, where it is done for each request.
    return tuple(f.encode_name for f in fields_of(documented))


@cache
def _twin_of(documented: type[Struct]) -> tuple[frozenset[str], type[Any]]:
    """The names of its fields, and a type with the same ones, each of which may be anything or missing."""
    names = _names_of(documented)
    return frozenset(names), defstruct(documented.__name__, [(name, Any, UNSET) for name in names], kw_only=True)


class Form:
    """One kind of body. Its type says which fields there are; each may be anything until it is read. Those that are
    `raw` stay the text that was sent."""

    def __init__(self, documented: type[Struct], *raw: str) -> None:
        self._names = _names_of(documented)
        self._raw = {"metadata", "items", *raw}
        twins = [(name, Raw if name in self._raw else Any, UNSET) for name in self._names]
        twin = defstruct(documented.__name__, twins, forbid_unknown_fields=True)
        self._decode = msgspec.json.Decoder(twin, float_hook=Sent).decode

    def read(self, request: Request) -> "Fields":
        """The fields of the request's body; one that is missing is an object without fields."""
        check_media_type(request)
        body = request.body
        found = self.read_part(body if body.strip() else b"{}", request)
        if request.scope.get("query_string"):
            found.refuse_query()
        return found

    def read_part(self, text: bytes | Raw, request: Request, at: str = "") -> "Fields":
        """The fields of an object, which stands at this pointer of the body."""
        found = Fields(request, at)
        try:
            try:
                found.values = self._decode(text)
            except msgspec.ValidationError:
                self._take_apart(text, found)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unreadable(error, request) from None
        return found

    def _take_apart(self, text: bytes | Raw, found: "Fields") -> None:
        """Field by field, where not all is as it should be: to find every fault."""
        try:
            parts = _decode_parts(text)
        except msgspec.ValidationError:
            raise Stop(Trouble.MALFORMED, "The body must be a JSON object.") from None
        values: dict[str, Any] = {}
        for name, raw in parts.items():
            if name not in self._names:
                found.refuse(name[:100], f"is no field of this call; it has {', '.join(self._names)}")
                continue
            try:
                values[name] = raw if name in self._raw else _decode_any(raw)
            except msgspec.ValidationError:
                found.refuse(name, "is too large")
        found.values = _Values(values)


class _Values:
    """Fields that were taken apart, in the place of a twin."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        return UNSET


class Fields:
    """The fields of one object."""

    __slots__ = ("_at", "request", "values", "wrong")

    def __init__(self, request: Request, at: str = "") -> None:
        self.request = request
        self.values: Any = None
        self.wrong: list[Wrong] = []
        self._at = at

    def refuse(self, name: str, detail: str, *within: str) -> None:
        """Note what is wrong with a field, or with something within it; once for each."""
        pointer = self._at + "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in (name, *within))
        if all(w.pointer != pointer for w in self.wrong):
            self.wrong.append(Wrong(pointer=pointer, detail=detail))

    def pointer(self, name: str) -> str:
        """Where a field stands in the body."""
        return f"{self._at}/{name}"

    def part(self, name: str, documented: type[Struct]) -> "Fields | None":
        """The fields of an object within; what is wrong with them is noted there."""
        value = self._get(name)
        if value is None:
            return None
        part = Fields(self.request, self.pointer(name))
        part.values = _Values({})
        if type(value) is not dict:
            self.refuse(name, "must be an object")
            return part
        known, twin = _twin_of(documented)
        if not value.keys() <= known:
            for other in value.keys() - known:
                part.refuse(other[:100], f"is no field of it; it has {', '.join(_names_of(documented))}")
            value = {key: value[key] for key in known if key in value}
        part.values = twin(**value)
        return part

    def refuse_query(self) -> None:
        """A write has no parameters: who says `?dry_run=true` must not be charged in earnest."""
        query = self.request.scope["query_string"].decode("latin-1")
        for name in list(dict(parse_qsl(query, keep_blank_values=True)))[:MAX_NAMED]:
            self.wrong.append(Wrong(parameter=name[:100], detail="is no parameter of this call; it takes a body"))

    def check(self) -> None:
        """Refuse the request where something was wrong with it."""
        if self.wrong:
            raise Fault("invalid", self.wrong)

    def _get(self, name: str, *, required: bool = False) -> Any:
        value = getattr(self.values, name)
        if value is UNSET or value is None:
            if required:
                self.refuse(name, "is missing")
            return None
        return value

    def given(self, name: str) -> bool:
        """Whether the field was sent, be it as null."""
        return getattr(self.values, name) is not UNSET

    # Kinds of fields

    def text(self, name: str) -> str:
        """A text of 1 to 255 bytes, which must be there."""
        return self.text_if(name, required=True)

    def text_if(self, name: str, *, required: bool = False) -> str:
        """The same where it is there, else empty."""
        value = getattr(self.values, name)
        if value is UNSET or value is None:
            if required:
                self.refuse(name, "is missing")
            return ""
        if type(value) is str and 0 < len(value) <= 63 and value.isprintable():
            return value  # as nearly always; `text_error` would say the same
        wrong = "must be a text" if type(value) is not str else text_error(value)
        if wrong:
            self.refuse(name, wrong)
            return ""
        return str(value)

    def amount(self, name: str = "amount", *, zero: bool = False, signed: bool = False) -> int:
        """An amount, which must be there: decimal text, never rounded."""
        found = self.amount_if(name, zero=zero, signed=signed)
        if found is None:
            self._get(name, required=True)
        return found or 0

    def amount_if(self, name: str, *, zero: bool = False, signed: bool = False) -> int | None:
        """The same where it is there."""
        value = getattr(self.values, name)
        if value is UNSET or value is None:
            return None
        if type(value) is not str:
            self.refuse(name, 'must be a decimal number as text, such as "7.5"')
            return 0
        if len(value) > MAX_AMOUNT_TEXT:
            self.refuse(name, f"must have at most {MAX_AMOUNT_TEXT} characters")
            return 0
        try:
            amount = read_amount(value, self.request.caller.workspace.scale)
        except AmountError as error:
            self.refuse(name, str(error))
            return 0
        if not amount and not zero:
            self.refuse(name, "must not be zero" if signed else "must be above zero")
        elif amount < 0 and not signed:
            self.refuse(name, "must not be negative" if zero else "must be above zero")
        return amount

    def instant(self, name: str) -> int | None:
        """An RFC 3339 time."""
        value = self._get(name)
        if value is None:
            return None
        try:
            return read_time(value)
        except ValueError as error:
            self.refuse(name, str(error))
            return None

    def whole(self, name: str, least: int, most: int, default: int) -> int:
        """A whole number."""
        value = self._get(name)
        if value is None:
            return default
        number = whole_number(value)
        if number is None or not least <= number <= most:
            self.refuse(name, f"must be a whole number from {least:,} to {most:,}")
            return default
        return number

    def flag(self, name: str) -> bool:
        """True or false; false when it is left out."""
        return self.flag_or(name, False)

    def flag_or(self, name: str, default: bool) -> bool:
        """True or false."""
        value = getattr(self.values, name)
        if value is UNSET or value is None:
            return default
        if type(value) is not bool:
            self.refuse(name, "must be true or false")
            return default
        return value

    def choice(self, name: str, options: tuple[T, ...], default: T | None = None) -> T:
        """One of some words; the default, where there is one, when it is left out."""
        value = getattr(self.values, name)
        if value is UNSET or value is None:
            if default is None:
                self.refuse(name, "is missing")
            return default or options[0]
        for option in options:
            if value == option and type(value) is str:
                return option
        self.refuse(name, f"must be one of {', '.join(options)}")
        return options[0]

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """A list of texts, each of 1 to 255 bytes."""
        value = self._get(name)
        if value is None:
            return ()
        if type(value) is not list or len(value) > most:
            self.refuse(name, f"must be a list of at most {most} texts")
            return ()
        for position, text in enumerate(value):
            if wrong := "must be a text" if type(text) is not str else text_error(text):
                pointer = f"{self._at}/{name}/{position}"
                self.wrong.append(Wrong(pointer=pointer, detail=wrong))
        return tuple(map(str, value))

    def names(self, name: str, most: int) -> dict[str, str] | None:
        """An object of texts."""
        value = self._get(name)
        if value is None:
            return None
        if type(value) is not dict or len(value) > most:
            self.refuse(name, f"must be an object of at most {most} texts")
            return None
        for key, text in value.items():
            if text_error(key) or type(text) is not str or text_error(text):
                self.refuse(name, f"must have names and texts of 1 to {MAX_TEXT} bytes without control characters")
                return None
        return dict(value)

    def words(self, name: str = "description") -> str | None:
        """Words for people."""
        value = getattr(self.values, name)
        if value is UNSET or value is None:
            return None
        if type(value) is not str:
            self.refuse(name, "must be a text")
        elif len(value) > MAX_DESCRIPTION:
            self.refuse(name, f"must have at most {MAX_DESCRIPTION:,} characters")
        elif "\0" in value or not is_unicode(value):
            self.refuse(name, "must be valid Unicode text without the character NUL")
        else:
            return str(value)
        return None

    def object(self, name: str = "metadata") -> str | None:
        """An object of the client's own, kept as the text that it was sent as."""
        value = getattr(self.values, name)
        if value is UNSET or (text := bytes(value)) == b"null":
            return None
        if wrong := object_error(text):
            self.refuse(name, wrong)
            return None
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise Stop(Trouble.MALFORMED, "The body must be JSON in UTF-8.") from None

    # What all commands have

    def said(self, key: str | None = None) -> dict[str, Any]:
        """The fields that every command has; its key is the header's unless it is given."""
        if key is None:
            self.request.dry = self.flag("dry_run")
            key = idempotency_key(self.request)
        description, metadata = self.words(), self.object()
        final = hasattr(self.values, "final") and self.flag("final")
        return command_of(self.request, key, description, metadata, final)


def command_of(
    request: Request, key: str, description: str | None, metadata: str | None, final: bool = False
) -> dict[str, Any]:
    """The fields that every command has."""
    caller = request.caller
    return {
        "workspace": caller.workspace.id,
        "key": PREFIX + key,
        "actor": caller.actor,
        "role": caller.role,
        "request_id": request.id.decode(),
        "description": description,
        "metadata": metadata,
        "final": final,
    }


def idempotency_key(request: Request) -> str:
    """The header Idempotency-Key, which every write has to have; bare or in quotes."""
    value = request.headers.get(b"idempotency-key")
    if not value:
        raise Fault("idempotency_key_missing", [Wrong(header="Idempotency-Key", detail="is missing")])
    key = read_key(value, MAX_KEY)
    if key is None:
        raise Fault("invalid", [Wrong(header="Idempotency-Key", detail=_KEY_HELP)])
    return key


def account_of(request: Request) -> str:
    """The account that the path names."""
    account = request.parameters["account"]
    if wrong := text_error(account):
        raise Fault("invalid", [Wrong(parameter="account", detail=wrong)])
    return account


def read_time(value: object) -> int:
    """Microseconds of an RFC 3339 time; what is finer is cut off."""
    found = _TIME.fullmatch(value) if type(value) is str else None
    if found is None:
        raise ValueError("must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
    day, clock, fraction, sign, hours, minutes = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("must be a date and a time of day that exist") from None
    offset = 0 if sign is None else (int(hours) * 60 + int(minutes)) * (60 if sign == "+" else -60)
    at = (timegm(moment.utctimetuple()) - offset) * 1_000_000 + int((fraction or "").ljust(6, "0")[:6])
    if not 0 < at < MAX_TIME_US:
        raise ValueError("must be after 1970 and before the year 10000")
    return at
