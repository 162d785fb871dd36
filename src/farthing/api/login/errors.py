"""How the login service says no: a status and a sentence; total tables of its refusals, broken machines, troubles."""

from collections.abc import Mapping
from typing import Final

from farthing.identity.refusals import Refused
from farthing.stores.contract import StoreError

from ..endpoint import Headers, Trouble

RETRY_AFTER: Final = 5


class Fault(Exception):
    """What is wrong with a request: the status, the contract's sentence, and where it helps a longer one. `register`:
    of a user who signs in elsewhere, told in the words of the accounting dialect."""

    def __init__(
        self, error: str, status: int = 400, details: str = "", headers: Headers = (), *, register: bool = False
    ) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.details = details
        self.headers = headers
        self.register = register


MISSING_FIELDS: Final = "Missing required fields"
INVALID_ROLE: Final = "Invalid role"

ERRORS: Final[Mapping[str, tuple[int, str]]] = {
    "signup_closed": (403, "Signing up is closed here: an admin makes users"),
    "registration_failed": (400, "Registration failed"),
    "username_taken": (400, "Username already exists"),
    "email_taken": (400, "Email already exists"),
    "verification_failed": (400, "Email verification failed"),
    "invalid_credentials": (401, "Invalid credentials"),
    "not_verified": (401, "Email not verified"),
    "invalid_refresh": (401, "Invalid refresh token"),
    "reset_failed": (400, "Invalid or expired reset token"),
    "wrong_password": (400, "Current password is incorrect"),
    "profile_username_taken": (400, "Username already taken"),
    "profile_email_taken": (400, "Email already taken"),
    "elsewhere": (400, "This profile follows the service that you sign in with: change it there"),
    "user_not_found": (404, "User not found"),
    "profile_user_not_found": (404, "User not found"),
    "admin_restricted": (403, "Creating admin users is restricted"),
    "own_account": (400, "Cannot delete your own account"),
    "other_admin": (403, "Cannot delete another admin user"),
    "user_exists": (400, "User already exists"),
    "register_user_exists": (409, "There is a user with this sub already"),
    "register_username_taken": (409, "The username belongs to another user"),
    "register_email_taken": (409, "The email belongs to another user"),
}
"""Each refusal; that of `invalid` is the sentence that came with it."""

FAILURES: Final[Mapping[str, int]] = {
    "queue_full": 503,
    "busy": 503,
    "raced": 503,
    "unavailable": 503,
    "storage_full": 503,
    "read_only": 503,
    "not_a_database": 503,
    "store_error": 503,
    "shutting_down": 503,
    "clock_jumped": 503,
    "forked": 503,
    "internal_error": 500,
    "unknown_outcome": 500,
}
"""The status of a broken machine, by the code of its exception."""

TROUBLES: Final[Mapping[Trouble, int]] = {
    Trouble.CREDENTIAL_MISSING: 401,
    Trouble.CREDENTIAL_INVALID: 401,
    Trouble.SCOPE_MISSING: 403,
    Trouble.RATE_LIMIT: 429,
    Trouble.NOT_FOUND: 404,
    Trouble.METHOD: 405,
    Trouble.MEDIA_TYPE: 415,
    Trouble.TOO_LARGE: 413,
    Trouble.TOO_SLOW: 408,
    Trouble.MALFORMED: 400,
    Trouble.UNKNOWN: 500,
    Trouble.UNAVAILABLE: 503,
    Trouble.BUG: 500,
}
"""The status of what goes wrong around an endpoint."""


def tell(refused: Refused) -> Fault:
    """A refusal in this face's words."""
    register = refused.code.startswith("register_")
    if refused.code == "invalid":
        return Fault(refused.detail[:1].upper() + refused.detail[1:])
    status, error = ERRORS[refused.code]
    return Fault(error, status, refused.detail, register=register)


def tell_failure(error: StoreError) -> Fault:
    """A broken machine."""
    status = FAILURES[error.code]
    sentence = " ".join((type(error).__doc__ or StoreError.__doc__ or "").split())
    wait = b"%d" % (error.retry_after or RETRY_AFTER)
    return Fault(sentence, status, headers=((b"retry-after", wait),) if status != 500 else ())
