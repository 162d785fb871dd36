"""What can go wrong with Digistore24, each under the code that the CountWerk contract has for it.

Which of the errors an answer is, is decided here as well: logical errors come with status 200 as well as with 4xx.
"""

from typing import ClassVar, Final

UNKNOWN_ERROR: Final = 0
NOT_CONNECTED: Final = 1
BAD_KEY: Final = 2
BAD_PARAMETERS: Final = 3
NOT_FOUND: Final = 4
OWN_TROUBLE: Final = (5, 6, 7)
"""A bad answer, a broken connection, a bad status: what its own parts have with one another."""
DENIED: Final = 8
BAD_CALL: Final = 9


class Digistore24Error(Exception):
    """A call that did not go well. Its text never has the API key in it."""

    code: ClassVar[str]
    status: ClassVar[int]
    passes: ClassVar[bool] = False
    """Whether the same call may go well later."""

    def __init__(
        self, function: str, message: str, *, provider_code: int | None = None, retry_after: float | None = None,
        unknown: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(f"Digistore24, {function}: {message}")
        self.function = function
        self.message = message
        self.provider_code = provider_code
        self.retry_after = retry_after
        self.unknown = unknown
        """Whether the call may have been carried out all the same."""


class KeyRequired(Digistore24Error):
    """No API key is set."""

    code = "DS24_KEY_REQUIRED"
    status = 409


class KeyInvalid(Digistore24Error):
    """Digistore24 does not know the API key."""

    code = "DS24_KEY_INVALID"
    status = 409


class KeyForbidden(Digistore24Error):
    """The API key may not do that."""

    code = "DS24_KEY_FORBIDDEN"
    status = 403


class BadRequest(Digistore24Error):
    """Digistore24 refuses the call."""

    code = "DS24_BAD_REQUEST"
    status = 400


class NotFound(BadRequest):
    """Digistore24 does not know what the call names."""


class RateLimited(Digistore24Error):
    """Digistore24 has had enough calls for now."""

    code = "DS24_RATE_LIMITED"
    status = 429
    passes = True


class TemporaryError(Digistore24Error):
    """Digistore24 can't be reached, or answers nothing of use."""

    code = "DS24_TEMPORARY_ERROR"
    status = 503
    passes = True


_BY_CODE: Final[dict[int, type[Digistore24Error]]] = {
    NOT_CONNECTED: KeyInvalid,
    BAD_KEY: KeyInvalid,
    BAD_PARAMETERS: BadRequest,
    NOT_FOUND: NotFound,
    **dict.fromkeys(OWN_TROUBLE, TemporaryError),
    DENIED: KeyForbidden,
    BAD_CALL: BadRequest,
}
_BY_STATUS: Final[dict[int, type[Digistore24Error]]] = {401: KeyInvalid, 403: KeyForbidden, 429: RateLimited}


def kind_of(status: int, code: int | None) -> type[Digistore24Error]:
    """Which error it is, by the HTTP status and the code of the envelope; None where there is no envelope.

    A status that says it all comes first. An orderly refusal without a reason is a refusal; what is no answer of this
    API at all is an outage.
    """
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500 or code is None:
        return TemporaryError
    return _BY_CODE.get(code, BadRequest)
