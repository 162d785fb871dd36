"""Errors, in the words of either vendor: in place of an answer, and inside a stream."""

from collections.abc import Mapping
from typing import Any, Final

from farthing.fakes.web import Response, html_of, json_of

from .asked import Api, Refused
from .frames import data_event, named_event
from .habits import Habits

_ANTHROPIC: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_OPENAI: Final[Mapping[int, str]] = {429: "rate_limit_exceeded"}
_FAILURES: Final[Mapping[str, tuple[int, str, str]]] = {
    "server_error": (500, "The server had an error while processing your request. Sorry about that!", "server_error"),
    "rate_limited": (429, "Rate limit reached for requests", "rate_limit_exceeded"),
    "overloaded": (503, "The engine is currently overloaded, please try again later", "server_is_overloaded"),
    "bad_request": (400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
}
PAGE: Final = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def failure_of(habits: Habits, api: Api) -> Refused:
    """What a call that fails is told."""
    status, message, code = _FAILURES.get(habits.fail, _FAILURES["server_error"])
    if api == "messages" and status == 503:
        status = 529
    return Refused(message, status, code=code, retry_after=habits.retry_after)


def body_of(refused: Refused, api: str, request_id: str) -> dict[str, Any]:
    """The error as the body of an answer."""
    if api == "messages":
        kind = refused.type or _ANTHROPIC.get(refused.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": str(refused)}, "request_id": request_id}
    usual = "server_error" if refused.status >= 500 else _OPENAI.get(refused.status, "invalid_request_error")
    return {
        "error": {
            "message": str(refused),
            "type": refused.type or usual,
            "param": refused.param or None,
            "code": refused.code or None,
        }
    }


def answer_of(refused: Refused, api: str, request_id: str, page: bool = False) -> Response:
    """The error in place of an answer; or a page, as what stands before a provider gives."""
    if page:
        return html_of(PAGE, 502)
    headers = id_header(api, request_id)
    if refused.retry_after is not None:
        headers["retry-after"] = str(refused.retry_after)
    return json_of(body_of(refused, api, request_id), refused.status, headers)


def id_header(api: str, request_id: str) -> dict[str, str]:
    """By which header an answer says which one it is."""
    return {"request-id" if api == "messages" else "x-request-id": request_id}


def in_stream(refused: Refused, api: Api, request_id: str) -> bytes:
    """The error inside a stream of chat completions or messages."""
    body = body_of(refused, api, request_id)
    return named_event("error", body) if api == "messages" else data_event(body)
