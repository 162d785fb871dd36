"""Used: what a command with usage adds to its decision: the bounds of its time, and the row by which it is found."""

from typing import Final

from .commands import Settle, TakeCharge
from .draft import Draft
from .outcomes import Refusal, Refused
from .records import UsageRecord
from .usage import Metered, Usage

HOUR_US: Final = 3_600_000_000
SECOND_US: Final = 1_000_000


def out_of_time(metered: Metered, d: Draft) -> Refused | None:
    """Refuse usage whose time is too long ago or too far ahead."""
    at = metered.usage.at
    if at is None:
        return None
    settings = d.context.workspaces[d.account.workspace].settings
    if at < d.at - settings.usage_late_hours * HOUR_US:
        message = f"must not be more than {settings.usage_late_hours} hours ago (setting usage_late_hours)"
    elif at > d.at + settings.usage_ahead_seconds * SECOND_US:
        message = f"must not be more than {settings.usage_ahead_seconds} seconds ahead (setting usage_ahead_seconds)"
    else:
        return None
    return Refused(Refusal.INVALID, {"field": "usage.at", "message": message})


def usage_record(c: TakeCharge | Settle, metered: Metered, operation: str, d: Draft) -> UsageRecord:
    """The row that rides in the commit, once what was taken stands on the body."""
    usage, priced, a = metered.usage, metered.priced, d.account
    into, out, total = tokens_of(usage)
    return UsageRecord(
        c.id, a.workspace, a.id, a.bucket, d.at if usage.at is None else usage.at, d.at, usage.service, operation,
        priced.provider or usage.provider, priced.model or usage.model, usage.chat, into, out, total, d.body.spent,
        priced.cost, priced.unpriced,
    )  # fmt: skip


def tokens_of(usage: Usage) -> tuple[int, int, int]:
    """Tokens in, out and in all."""
    counts = usage.dimensions
    into, out = int(counts.get("input_tokens", 0)), int(counts.get("output_tokens", 0))
    return into, out, int(counts.get("tokens", into + out))
