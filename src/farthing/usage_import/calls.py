"""Calls: one use of a model as a file tells it, whatever the file's form, and the charge that it becomes."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from msgspec import Struct

from farthing.client.bodies import ChargeItem
from farthing.llm.used import Used

Left = Literal["no_usage", "no_model_call", "outer_span", "charged_before"]
"""Why something is rightly left out."""
LEFT: Final[dict[Left, str]] = {
    "no_usage": "of a model, but without counts of tokens",
    "no_model_call": "of something else than a model",
    "outer_span": "around spans that tell the same usage",
    "charged_before": "metered by Farthing when they were made",
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US: Final = 253_402_300_799_000_000


class Call(Struct, frozen=True, kw_only=True):
    """One use of a model."""

    place: str
    key: str
    account: str
    used: Used
    at: str | None = None
    """RFC 3339."""
    words: Mapping[str, str] = {}
    """Service, operation, chat and product, where they are known."""
    dimensions: Mapping[str, str] = {}
    """What is used beside tokens, such as `images`."""
    description: str | None = None
    metadata: Mapping[str, Any] = {}

    def charge(self, shortfall: str) -> ChargeItem:
        """What is charged for it."""
        usage = self.used.usage(at=self.at, **self.words)
        dimensions = {**usage.dimensions, **self.dimensions}
        words = {name: getattr(usage, name) for name in ("provider", "model", *self.words)}
        return ChargeItem(
            account=self.account, key=self.key, shortfall=shortfall, description=self.description,
            metadata=self.metadata or None,
            usage={**words, "dimensions": dimensions, "attributes": usage.attributes, "at": self.at},
        )  # fmt: skip


def instant(at_us: int) -> str | None:
    """RFC 3339 of microseconds; None where that is no time of ours."""
    if not 0 < at_us <= _LATEST_US:
        return None
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds")
