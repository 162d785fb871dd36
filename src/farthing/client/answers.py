"""Answers: from what came back to a typed result, or to the error that it means. The same for every transport."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import fields as fields_of
from msgspec.structs import force_setattr

from .calls import Call
from .errors import ApiError, Unavailable, UnknownOutcome, class_of
from .forms import Result, Tagged, Written

T = TypeVar("T")
_OWN: Final = "~"
"""How the names begin of fields that the client fills in itself: no answer has such."""
_SHOWN: Final = 100
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]+)?")
_decode = msgspec.json.Decoder().decode


class Answer(Struct, frozen=True):
    """What came back."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    """Names in small letters."""
    cause: BaseException | None = None
    """What broke, where it broke in this process."""
    own: bool = False
    """It is of this very version, and says nothing that its types don't know."""


def read_answer(call: Call[T], answer: Answer) -> T:
    """The result of a call; raises the error that was answered."""
    if 200 <= answer.status < 300:
        return _result(call, answer)
    raise _error(call, answer) from answer.cause


def lost(call: Call[Any], detail: str, *, code: str = "no_answer", status: int = 0) -> ApiError:
    """The error for a call that was sent and of which nothing is known: whoever only reads has lost nothing."""
    if call.writes:
        return UnknownOutcome(
            f"{detail}. It is not known whether this was done; the same key finds out.",
            code=code, status=status, key=call.key,
        )  # fmt: skip
    return Unavailable(f"{detail}.", code=code, status=status)


def unsent(call: Call[Any], detail: str) -> ApiError:
    """The error for a call that never left."""
    return Unavailable(f"{detail}; nothing was done.", code="unreachable", key=call.key)


# Results


def _result(call: Call[T], answer: Answer) -> T:
    wanted: Any = call.answer
    try:
        if answer.own:
            result: T = _decoder(wanted)(answer.body)
            raw = None
        else:
            raw = _decode(answer.body)
            result = msgspec.convert(raw, call.answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise lost(call, _unreadable(answer, str(error)), code="bad_answer", status=answer.status) from error
    if raw is not None:
        _keep(result, raw)
    if isinstance(result, Tagged):
        force_setattr(result, "etag", answer.headers.get("etag", "").strip('"'))
    if isinstance(result, Written):
        force_setattr(result, "key", call.key)
        force_setattr(result, "replayed", answer.headers.get("idempotent-replayed") == "true")
    return result


@cache
def _decoder(of: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(of).decode


def _keep(result: Any, raw: Any) -> None:
    """Keep what a newer server says and these types don't know."""
    if isinstance(result, Result):
        known, nested = _form(type(result))
        if not raw.keys() <= known:
            force_setattr(result, "extra", {name: raw[name] for name in raw if name not in known})
        for name, attribute in nested:
            if (within := getattr(result, attribute)) is not None:
                _keep(within, raw.get(name))
    elif type(result) is list and result and isinstance(result[0], Result):
        for one, its in zip(result, raw, strict=True):
            _keep(one, its)


@cache
def _form(type: type[Struct]) -> tuple[frozenset[str], tuple[tuple[str, str], ...]]:
    """The names that a type knows, and those that may hold results themselves."""
    fields = [field for field in fields_of(type) if not field.encode_name.startswith(_OWN)]
    nested = tuple((f.encode_name, f.name) for f in fields if _may_nest(f.type))
    return frozenset(field.encode_name for field in fields), nested


def _may_nest(of: Any) -> bool:
    arguments = getattr(of, "__args__", ())
    return (
        isinstance(of, TypeVar) or (isinstance(of, type) and issubclass(of, Struct)) or any(map(_may_nest, arguments))
    )


# Errors


def error_of(problem: Mapping[str, Any], key: str = "", retry_after: float | None = None) -> ApiError:
    """The error that a problem document means."""
    code, status = str(problem["code"]), int(problem["status"])
    return class_of(code, status)(
        str(problem.get("detail", code)),
        status=status,
        code=code,
        request_id=str(problem.get("request_id", "")),
        key=key,
        retry_after=retry_after,
        body=problem,
    )


def _error(call: Call[Any], answer: Answer) -> ApiError:
    problem = _problem(answer)
    after = _retry_after(answer)
    if problem is not None:
        return error_of(problem, call.key, after)
    if answer.status >= 500:
        return lost(call, _unreadable(answer), code="bad_answer", status=answer.status)
    if 300 <= answer.status < 400:
        place = answer.headers.get("location", "")
        detail = f"The server sends elsewhere ({answer.status} to {place[:200]}): connect to that address"
    else:
        detail = _unreadable(answer)
    of = class_of("", answer.status)
    return of(f"{detail}.", status=answer.status, code="bad_answer", key=call.key, retry_after=after)


def _problem(answer: Answer) -> Mapping[str, Any] | None:
    """The problem document, where the answer is one of Farthing's."""
    try:
        found = _decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("code"), str) or type(found.get("status")) is not int:
        return None
    return found


def _retry_after(answer: Answer) -> float | None:
    """Seconds to wait; a date is counted by the clock of whoever sent it, since this machine's may be wrong."""
    text = answer.headers.get("retry-after", "")
    if not text or _SECONDS.fullmatch(text):
        return float(text) if text else None
    until, sent = _date(text), _date(answer.headers.get("date", ""))
    return None if until is None else max(0.0, (until - (sent or datetime.now(UTC))).total_seconds())


def _date(text: str) -> datetime | None:
    """A date as fields of HTTP have it."""
    from email.utils import parsedate_to_datetime

    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _unreadable(answer: Answer, why: str = "") -> str:
    """An answer that is none of Farthing's, for people."""
    text = " ".join(answer.body[: 10 * _SHOWN].decode("utf-8", "replace").split())
    kind = answer.headers.get("content-type", "").partition(";")[0] or "nothing that says what it is"
    shown = f", which begins {text[:_SHOWN]!r}" if text else ""
    reason = f" ({why})" if why else ""
    return f"What answered with status {answer.status} and {kind} is not Farthing, or was cut off{shown}{reason}"
