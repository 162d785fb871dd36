"""The functions of the API, by name; who may call them, and how an answer is wrapped."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from farthing.fakes.web import Refusal, Response

from . import account, buying, orders, upgrades
from .calls import BAD_CALL, BAD_KEY, BAD_PARAMETERS, DENIED, NOT_FOUND, Api, ApiError, Call, Function
from .clock import text_of
from .forms import parse
from .model import WRITABLE

_ROOMS: Final = (account, buying, orders, upgrades)
READS: Final[dict[str, Function]] = {name: each for room in _ROOMS for name, each in room.READS.items()}
WRITES: Final[dict[str, Function]] = {name: each for room in _ROOMS for name, each in room.WRITES.items()}
STATUS_OF: Final = {BAD_KEY: 401, BAD_PARAMETERS: 400, NOT_FOUND: 404, DENIED: 403, BAD_CALL: 400}
"""Where errors come with a status of their own."""
API_VERSION: Final = "1.2"
# Amounts are numbers where the documentation has them so; by their digits, all the same.
_JSON: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass
class Weather:
    """What happens to calls before anybody looks at them."""

    mode: str = "fine"
    """fine; down (503); html (200, and no envelope); rate_limited (429, to come again after
    `seconds`); error (an envelope with `code`); slow (answers
    after `seconds`); cut (the connection ends, nothing is done); lost_answer (it is done, then the connection ends)."""
    times: int | None = None
    """For so many calls; None is until further notice."""
    function: str = ""
    """Only this one; empty is all."""
    code: int = 0
    message: str = "An unknown error."
    status: int = 200
    seconds: float = 1.0

    def over(self, function: str) -> str:
        """What happens to a call of this function."""
        if self.mode == "fine" or self.function not in ("", function) or self.times == 0:
            return "fine"
        if self.times is not None:
            self.times -= 1
        return self.mode


async def answer(api: Api, name: str, body: bytes, key_text: str, base: str) -> Response:
    """What a function answers, in its envelope."""
    began = time.monotonic()
    try:
        return envelope(began, "success", data=await _carried_out(api, name, body, key_text, base))
    except ApiError as error:
        status = error.status or (STATUS_OF[error.code] if api.rules.http_errors else 200)
        headers = {"retry-after": "60"} if status == 429 else {}
        return envelope(began, "error", status, headers, message=str(error), code=error.code)


async def _carried_out(api: Api, name: str, body: bytes, key_text: str, base: str) -> Any:
    function = READS.get(name) or WRITES.get(name)
    if function is None:
        raise ApiError(BAD_CALL, f"There is no function {name}.")
    key = api.state.keys.get(key_text)
    if key is None:
        raise ApiError(BAD_KEY, "The API key is invalid." if key_text else "There is no API key.")
    if name in WRITES and key.permission != WRITABLE:
        raise ApiError(DENIED, f"The API key {key.id} is read-only: {name} takes full access.")
    try:
        return await function(api, Call(parse(body), key, base))
    except (ValueError, Refusal) as error:
        raise ApiError(BAD_PARAMETERS, f"Bad parameters: {error}.") from error


def envelope(
    began: float, result: str, status: int = 200, headers: dict[str, str] | None = None, **rest: Any
) -> Response:  # fmt: skip
    """An answer as all are."""
    told = {
        "api_version": API_VERSION,
        "current_time": text_of(datetime.now(UTC)),
        "runtime_seconds": round(time.monotonic() - began, 4),
        "result": result,
        **rest,
    }
    return Response(_JSON.encode(told), status, headers=headers or {})


def stormy(weather: Weather, mode: str) -> Response | None:
    """What is answered in place of the function; None where it is carried out."""
    if mode == "down":
        return Response(b"Service Unavailable", 503, "text/plain")
    if mode == "html":
        return Response(b"<!doctype html><title>Maintenance</title><h1>We are back soon</h1>", 200, "text/html")
    if mode == "rate_limited":
        return envelope(
            time.monotonic(),
            "error",
            429,
            {"retry-after": str(int(weather.seconds))},
            message="Too many calls.",
            code=BAD_CALL,
        )
    if mode == "error":
        return envelope(time.monotonic(), "error", weather.status, message=weather.message, code=weather.code)
    return Response(broken=True) if mode == "cut" else None
