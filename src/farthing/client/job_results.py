"""Results: jobs and events."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from .forms import Result, Written


class Job(Written, frozen=True, kw_only=True):
    """What is to be done for an account, or failed."""

    kind: str
    subject: str
    """The account."""
    state: str
    """`waiting`, `due`, `running`, `failed` or `parked`."""
    due_at: datetime
    """When it was due first."""
    next_at: datetime | None
    """When it is tried; None: it is parked, until `retry`."""
    attempts: int
    last_error: str | None
    last_run_at: datetime | None
    parked_at: datetime | None


class JobRun(Struct, frozen=True, kw_only=True):
    """What came of doing a job once."""

    kind: str
    """`lapses`, `renewals`, `rollups` and so on."""
    done: int
    failed: int
    error: str = ""
    """Why it was stopped."""
    skipped: bool = False
    """Another process has it; or it failed, and waits."""


class ParkedTold(Result, frozen=True, kw_only=True):
    """What came of telling that a call waits in a journal."""

    told: bool
    """False: it was told before."""


class Event(Result, frozen=True, kw_only=True):
    """Something that happened."""

    id: str
    type: str
    account: str | None
    created_at: datetime
    data: dict[str, Any]
