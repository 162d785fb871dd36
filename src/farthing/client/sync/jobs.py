"""Nouns of time: jobs, and the events that tell what became of them.

Made from `aio/jobs.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Sequence

from ..calls import get, post
from ..forms import Page
from ..job_results import Event, Job, JobRun
from ..values import Instant, instant_text
from .door import Door
from .pages import Pages


class Jobs:
    """What is to be done for accounts when its time comes, and what of it failed."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(
        self, *, kind: str | None = None, state: str | None = None, limit: int | None = None
    ) -> Pages[Job]:  # fmt: skip
        """All of the workspace by kind and account; of one kind (`account`, `renew`), or in one state (`waiting`,
        `due`, `running`, `failed`, `parked`)."""
        query = {"kind": kind, "state": state, "limit": None if limit is None else str(limit)}
        return Pages(self._door, get(Page[Job], "/v1/jobs", query))

    def retry(
        self, kind: str, subject: str, *, dry_run: bool | None = None, key: str | None = None
    ) -> Job:  # fmt: skip
        """Have one that failed, or is parked, tried again now."""
        body = {"dry_run": dry_run}
        return self._door.ask(
            post(Job, "/v1/jobs/{kind}/{subject}/retry", body, key, kind=kind, subject=subject)
        )  # fmt: skip

    def run_due(self) -> Sequence[JobRun]:
        """Do what is due now, of all workspaces of the database: for a ledger in this process that no server and no
        worker looks after, and for tests with a clock of their own. A server does it by itself, and refuses."""
        return self._door.run_jobs()


class Events:
    """What happened."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(
        self, *, type: str | None = None, since: Instant | None = None, until: Instant | None = None,
        order: str | None = None, limit: int | None = None,
    ) -> Pages[Event]:  # fmt: skip
        """All of the workspace, newest first, or with `order="oldest"`; of one type, such as `jobs.failing`."""
        query = {
            "type": type, "from": instant_text(since, "since"), "to": instant_text(until, "until"), "order": order,
            "limit": None if limit is None else str(limit),
        }  # fmt: skip
        return Pages(self._door, get(Page[Event], "/v1/events", query))
