"""What came of renewing all that was due: told by who renews, and shown by every face."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .jobs import Job, alarming

KEPT = 1_000
"""Of the renewals of a run, and of its errors, so many are named; all are counted."""
ACTOR = "system:renewals"


class Wanted(Struct, frozen=True, kw_only=True):
    """Which of a workspace's subscriptions are renewed, and how."""

    workspace: str
    plan: str = ""
    """Only those of one; empty: of any."""
    limit: int | None = None
    """At most so many accounts that are due."""
    dry_run: bool = False
    """Say what would come of it, and do nothing."""
    continue_on_error: bool = True
    """Else the first failure ends the run; what was on its way with it is still done."""
    failed: bool = True
    """Try also those that failed a short while ago."""
    wait: bool = False
    """Wait for what others have taken, until all is done."""
    actor: str = ACTOR
    role: str = ""
    request_id: str = ""


class Renewal(Struct, frozen=True):
    """A period that was given; or would be, in a dry run."""

    account: str
    subscription: str
    plan: str
    amount: int
    balance_before: int
    balance: int
    period_at: int
    next_at: int
    entry: str = ""
    """Empty in a dry run."""


class NotRenewed(Struct, frozen=True):
    """An account that could not be renewed, and why: a refusal, or the machine's failure."""

    account: str
    code: str
    facts: Mapping[str, Any] = {}


class RenewalRun(Struct):
    """A run, counted by accounts."""

    processed: int = 0
    successful: int = 0
    failed: int = 0
    skipped: int = 0
    """Somebody else was faster, or it is not due any more."""
    ended: int = 0
    """Subscriptions whose paid time was over."""
    renewals: list[Renewal] = []
    errors: list[NotRenewed] = []
    parked: list[Job] = []
    """Of those that failed, what is not tried again by itself."""
    more: bool = False
    """It stopped at its limit, or at a failure, before all was done."""

    @property
    def alarming(self) -> bool:
        """Failures are above a tenth of the successes."""
        return alarming(self.successful, self.failed)

    def add(self, result: "list[Renewal] | NotRenewed | None") -> None:
        """Count what came of an account: what it was given, why it failed, or that there was nothing to do."""
        self.processed += 1
        if result is None:
            self.skipped += 1
        elif isinstance(result, NotRenewed):
            self.failed += 1
            if len(self.errors) < KEPT:
                self.errors.append(result)
        else:
            self.successful += 1
            self.renewals += result[: max(KEPT - len(self.renewals), 0)]
