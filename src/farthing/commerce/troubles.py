"""Troubles: what goes wrong with a provider of payments, whichever it is. Each face has its own code for each kind."""

from typing import Final, Literal

from .digistore24 import errors as digistore24
from .stripe import errors as stripe

Kind = Literal["key_missing", "key_invalid", "key_forbidden", "rate_limited", "unavailable", "refused"]
GRAVEST: Final[tuple[Kind, ...]] = (
    "key_missing", "key_invalid", "key_forbidden", "rate_limited", "unavailable", "refused"
)  # fmt: skip
"""Of several at once the first of these is told:

- key_missing: the workspace has no API key there, or the secret can't be read
- key_invalid, key_forbidden: the provider does not know it, or it may not do that
- rate_limited: there were too many calls
- unavailable: the provider can't be reached, or answers nothing of use
- refused: the provider does not take the request
"""
MOST: Final = 300
"""Characters of what a provider says that are handed on."""


class ProviderTrouble(Exception):
    """A provider could not be asked, or said no. The message has no secret in it."""

    def __init__(self, kind: Kind, message: str, *, retry_after: float | None = None, unknown: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after
        self.unknown = unknown
        """Whether it may have been done all the same."""

    @property
    def passes(self) -> bool:
        """Whether the same may go well later."""
        return self.kind in ("rate_limited", "unavailable")


_DIGISTORE24: Final[dict[type[digistore24.Digistore24Error], Kind]] = {
    digistore24.KeyRequired: "key_missing",
    digistore24.KeyInvalid: "key_invalid",
    digistore24.KeyForbidden: "key_forbidden",
    digistore24.RateLimited: "rate_limited",
    digistore24.TemporaryError: "unavailable",
}
_STRIPE: Final[dict[type[stripe.StripeError], Kind]] = {
    stripe.KeyRefused: "key_invalid",
    stripe.Forbidden: "key_forbidden",
    stripe.RateLimited: "rate_limited",
    stripe.TemporaryError: "unavailable",
}


def trouble_of(error: digistore24.Digistore24Error | stripe.StripeError) -> ProviderTrouble:
    """A provider's own error, in the words of all."""
    if isinstance(error, digistore24.Digistore24Error):
        kind = _DIGISTORE24.get(type(error), "refused")
    else:
        kind = _STRIPE.get(type(error), "refused")
    return ProviderTrouble(kind, _plain(str(error)), retry_after=error.retry_after, unknown=error.unknown)


def gravest(troubles: list[ProviderTrouble]) -> ProviderTrouble:
    """The one of several that is told."""
    return min(troubles, key=lambda trouble: GRAVEST.index(trouble.kind))


def _plain(text: str) -> str:
    """What a provider says, on one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:MOST].strip()
