"""Errors: every way in which a call can fail, as a class; and the table from the API's codes to them.

A refusal has the code that it has in the ledger, over HTTP and on the command line. What carries amounts has them as
`Decimal`. Only what `retries` is sent again by the client itself, under the same key.

A little over 400 lines: a class for each way to fail, and the table of all codes.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final


class FarthingError(Exception):
    """What Farthing could not do. All errors of the library are of this class."""


class ConnectError(FarthingError):
    """A URL, an API key or an option by which nothing can be opened."""


class Unusable(FarthingError):
    """The client can't be used here, or no longer; nothing was done."""


class ClientClosed(Unusable):
    """The client was closed; connect again."""


class Forked(Unusable):
    """The client was opened before the process forked; connect again in the child."""


class WrongLoop(Unusable):
    """The client belongs to another event loop; connect in each."""


class NotHere(Unusable):
    """This is for a ledger in this process; a server does it by itself."""


class ApiError(FarthingError):
    """A call that failed."""

    retries: ClassVar[bool] = False
    """Whether the client sends it again by itself."""

    def __init__(
        self, detail: str, *, status: int = 0, code: str = "", request_id: str = "", key: str = "",
        retry_after: float | None = None, body: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.detail = detail
        """What went wrong, in a sentence."""
        self.status = status
        """The HTTP status; 0 where nothing answered."""
        self.code = code
        """What it is for programs; it never changes."""
        self.request_id = request_id
        self.key = key
        """The idempotency key of the call: the same one finds out, or tries again."""
        self.retry_after = retry_after
        """Seconds after which it may be tried again."""
        self.body: Mapping[str, Any] = body or {}
        """All that was answered."""

    def _amount(self, name: str) -> Decimal:
        return Decimal(self.body.get(name, "0"))


# What is asked for can't be


class Invalid(ApiError):
    """The call is not well-formed; `errors` says what is wrong, and where."""

    @property
    def errors(self) -> Sequence[Mapping[str, str]]:
        """Each with `detail`, and the `pointer`, `parameter` or `header` that it is about."""
        found: Sequence[Mapping[str, str]] = self.body.get("errors", ())
        return found


class NotPriced(Invalid):
    """The usage has no price."""


class UnknownModel(NotPriced):
    """Nothing has a price for the model."""


class UnknownOperation(NotPriced):
    """No rule of the rate card prices such a usage."""


class UnknownDimension(NotPriced):
    """No rule prices a dimension of the usage."""


class NoCard(NotPriced):
    """The workspace has no rate card, or had none at that time."""


class HoldTooLong(Invalid):
    """A hold may not live that long in this workspace."""


class TooLarge(Invalid):
    """The call has more than it may have; nothing was done."""


class Unauthorized(ApiError):
    """The API key is missing, unknown, expired or revoked."""


class Forbidden(ApiError):
    """It may not be done."""


class ScopeMissing(Forbidden):
    """The API key lacks a scope."""


class Frozen(Forbidden):
    """The account is frozen: nothing can be taken from it."""


# What there is


class NotFound(ApiError):
    """There is no such thing, or it belongs to another workspace."""


class AccountNotFound(NotFound):
    """There is no such account; or there was none yet, at the instant that was asked for."""

    @property
    def opened_at(self) -> str:
        """When it was opened, where that was later."""
        return str(self.body.get("opened_at", ""))


class GrantNotFound(NotFound):
    """There is no such grant."""


class ChargeNotFound(NotFound):
    """There is no such charge."""


class HoldNotFound(NotFound):
    """There is no such hold."""


class EntryNotFound(NotFound):
    """There is no such entry."""


class PlanNotFound(NotFound):
    """There is no such plan."""


class SubscriptionNotFound(NotFound):
    """The account has no subscription."""


class CardNotFound(NotFound):
    """There is no such rate card, or no such version of it."""


class ModelNotFound(NotFound):
    """The catalogue has no such model."""


# Credits


class InsufficientCredits(ApiError):
    """There is not enough."""

    @property
    def required(self) -> Decimal:
        """What it takes."""
        return self._amount("required")

    @property
    def available(self) -> Decimal:
        """What there is for it."""
        return self._amount("available")

    @property
    def deficit(self) -> Decimal:
        """What is missing."""
        return self._amount("deficit")


class SpendLimit(Forbidden):
    """It would go over what the account may spend in a day or a month."""

    @property
    def limit(self) -> Decimal:
        """What may be spent."""
        return self._amount("limit")

    @property
    def left(self) -> Decimal:
        """What of it is left."""
        return self._amount("left")

    @property
    def required(self) -> Decimal:
        """What it takes."""
        return self._amount("required")

    @property
    def period(self) -> str:
        """`day` or `month`."""
        return str(self.body.get("period", ""))


class Conflict(ApiError):
    """It does not go together with what there is."""


class KeyConflict(Conflict):
    """The idempotency key was used before for something else."""

    @property
    def differs(self) -> Sequence[str]:
        """In what."""
        found: Sequence[str] = self.body.get("differs", ())
        return found


class AccountExists(Conflict):
    """There is such an account already."""


class HoldEnded(Conflict):
    """The hold has ended."""

    @property
    def state(self) -> str:
        """How."""
        return str(self.body.get("state", ""))


class Archived(Conflict):
    """What is asked for lies before the entries that are still kept here."""

    @property
    def since(self) -> str:
        """From when on they are."""
        return str(self.body.get("since", ""))


class RefundTooLarge(Conflict):
    """More than can be given back."""

    @property
    def refundable(self) -> Decimal:
        """What can be."""
        return self._amount("refundable")


class TooMany(Conflict):
    """The account has as many live grants or holds as it may have."""


class SubscriptionEnded(Conflict):
    """The subscription has ended, or the time that was paid is over."""


class NotDue(Conflict):
    """It is not time to renew the subscription."""

    @property
    def days(self) -> int:
        """Until then."""
        return int(self.body.get("days", 0))

    @property
    def next_at(self) -> str:
        """When the next period begins."""
        return str(self.body.get("next_at", ""))


class PreconditionFailed(Conflict):
    """It is not what it was when it was read: read it again."""


# The machine


class RateLimited(ApiError):
    """Too many calls; nothing was done."""

    retries = True


class ServerError(ApiError):
    """Something went wrong inside; it has been logged there."""


class Unavailable(ApiError):
    """Nothing answers, or it can't be done now; nothing was done."""

    retries = True


class UnknownOutcome(ApiError):
    """It is not known whether this was done; the same key finds out."""

    retries = True


BY_CODE: Final[Mapping[str, type[ApiError]]] = {
    "invalid": Invalid,
    "malformed": Invalid,
    "idempotency_key_missing": Invalid,
    "cursor_invalid": Invalid,
    "unknown_model": UnknownModel,
    "unknown_operation": UnknownOperation,
    "unknown_dimension": UnknownDimension,
    "missing_dimension": NotPriced,
    "unknown_context": NotPriced,
    "amount_too_large": NotPriced,
    "amount_inexact": NotPriced,
    "no_card": NoCard,
    "hold_too_long": HoldTooLong,
    "metered_invalid": Invalid,
    "credential_missing": Unauthorized,
    "credential_invalid": Unauthorized,
    "insufficient_credits": InsufficientCredits,
    "scope_missing": ScopeMissing,
    "own_account": Forbidden,
    "frozen": Frozen,
    "spend_limit": SpendLimit,
    "not_found": NotFound,
    "account_not_found": AccountNotFound,
    "grant_not_found": GrantNotFound,
    "charge_not_found": ChargeNotFound,
    "hold_not_found": HoldNotFound,
    "entry_not_found": EntryNotFound,
    "payment_not_found": NotFound,
    "job_not_found": NotFound,
    "event_not_found": NotFound,
    "webhook_not_found": NotFound,
    "key_not_found": NotFound,
    "user_not_found": NotFound,
    "issuer_not_found": NotFound,
    "plan_not_found": PlanNotFound,
    "product_not_found": NotFound,
    "provider_not_found": NotFound,
    "order_not_found": NotFound,
    "offer_not_found": NotFound,
    "customer_not_found": NotFound,
    "payment_method_not_found": NotFound,
    "subscription_not_found": SubscriptionNotFound,
    "card_not_found": CardNotFound,
    "version_not_found": CardNotFound,
    "model_not_found": ModelNotFound,
    "workspace_not_found": NotFound,
    "method_not_allowed": Invalid,
    "too_slow": Invalid,
    "key_conflict": KeyConflict,
    "account_exists": AccountExists,
    "workspace_exists": Conflict,
    "key_exists": Conflict,
    "key_ended": Conflict,
    "issuer_exists": Conflict,
    "webhook_disabled": Conflict,
    "too_many_webhooks": Conflict,
    "archived": Archived,
    "payment_claimed": Conflict,
    "payment_not_assignable": Conflict,
    "provider_event_failed": Conflict,
    "provider_event_not_found": NotFound,
    "hold_ended": HoldEnded,
    "grant_ended": Conflict,
    "grant_archived": Conflict,
    "charge_archived": Conflict,
    "refund_too_large": RefundTooLarge,
    "too_many_grants": TooMany,
    "too_many_holds": TooMany,
    "plan_archived": Conflict,
    "subscription_ended": SubscriptionEnded,
    "subscription_expired": SubscriptionEnded,
    "subscription_changed": Conflict,
    "not_due": NotDue,
    "renewed_by_payment": Conflict,
    "order_claimed": Conflict,
    "offer_unavailable": Conflict,
    "provider_key_missing": Conflict,
    "provider_key_invalid": Conflict,
    "provider_key_forbidden": Conflict,
    "provider_refused": Conflict,
    "overlapping_versions": Conflict,
    "card_version_begun": Conflict,
    "card_is_profile": Conflict,
    "price_not_quarantined": Conflict,
    "price_unusable": Conflict,
    "balance_limit": Conflict,
    "precondition_failed": PreconditionFailed,
    "too_large": TooLarge,
    "media_type": Invalid,
    "rate_limit": RateLimited,
    "provider_rate_limited": RateLimited,
    "internal_error": ServerError,
    "unknown_outcome": UnknownOutcome,
    "queue_full": Unavailable,
    "busy": Unavailable,
    "raced": Unavailable,
    "unavailable": Unavailable,
    "provider_unavailable": Unavailable,
    "storage_full": Unavailable,
    "read_only": Unavailable,
    "not_a_database": Unavailable,
    "store_error": Unavailable,
    "shutting_down": Unavailable,
    "clock_jumped": Unavailable,
    "forked": Unavailable,
}
_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: Invalid, 401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 412: PreconditionFailed,
    413: TooLarge, 429: RateLimited, 500: ServerError, 503: Unavailable,
}  # fmt: skip


def class_of(code: str, status: int) -> type[ApiError]:
    """The class of an error; by its status where a newer server sends a code that is not known here."""
    return BY_CODE.get(code) or _BY_STATUS.get(status, ApiError)
