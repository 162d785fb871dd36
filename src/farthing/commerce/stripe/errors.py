"""What can go wrong with Stripe. No text has a key or a secret in it, and nothing hangs on the library's own errors:
those carry whole bodies, with the client secrets of payments.
"""

from typing import ClassVar


class StripeError(Exception):
    """A call that did not go well."""

    code: ClassVar[str]
    """What it is for programs; it never changes."""
    passes: ClassVar[bool] = False
    """Whether the same call, under the same key, may go well later."""

    def __init__(
        self, message: str, *, status: int = 0, provider_code: str = "", parameter: str = "", request_id: str = "",
        retry_after: float | None = None, unknown: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(f"Stripe: {message}")
        self.message = message
        self.status = status
        """The HTTP status; 0 where nothing answered."""
        self.provider_code = provider_code
        """Stripe's own code."""
        self.parameter = parameter
        """Which parameter it is about."""
        self.request_id = request_id
        self.retry_after = retry_after
        self.unknown = unknown
        """Whether the call may have been carried out all the same: the same key finds out."""


class KeyRefused(StripeError):
    """Stripe does not know the API key."""

    code = "stripe_key_refused"


class Forbidden(StripeError):
    """The API key may not do that: a restricted key lacks a permission."""

    code = "stripe_forbidden"


class RateLimited(StripeError):
    """Stripe has had enough calls for now; nothing was done."""

    code = "stripe_rate_limited"
    passes = True


class TemporaryError(StripeError):
    """Stripe can't be reached, or answers nothing of use."""

    code = "stripe_temporary_error"
    passes = True


class BadRequest(StripeError):
    """Stripe refuses the call."""

    code = "stripe_bad_request"


class NotFound(BadRequest):
    """Stripe does not know what the call names."""

    code = "stripe_not_found"


class KeyConflict(BadRequest):
    """The idempotency key was used for another call."""

    code = "stripe_key_conflict"


class CardDeclined(StripeError):
    """The customer's bank, or Stripe for it, has refused the payment."""

    code = "stripe_card_declined"

    def __init__(
        self, message: str, *, decline_code: str = "", payment_intent: str | None = None, **facts: str
    ) -> None:
        super().__init__(message, status=402, **facts)  # type: ignore[arg-type]
        self.decline_code = decline_code
        """Why, in Stripe's words: insufficient_funds, lost_card."""
        self.payment_intent = payment_intent


class AuthenticationRequired(CardDeclined):
    """The customer's bank wants to hear from the customer first."""

    code = "stripe_authentication_required"


class NotAnEvent(Exception):
    """What came in is no event of Stripe's for us: answered with 400."""

    code: ClassVar[str] = "stripe_bad_event"


class BadSignature(NotAnEvent):
    """It is not signed, or not by who has our secret, or was signed too long ago."""

    code = "stripe_bad_signature"
