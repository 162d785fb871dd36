"""Jobs: what time brings to a workspace's accounts and is still to be done, and what of it failed."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

from msgspec import Meta

from farthing.core.jobs import ITEMS, STATES, Job, State
from farthing.stores.access import AccessError

from ..endpoint import Endpoint, Reply, Request
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Form
from .parameters import in_path, parameter
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import Time, write_time

W = TypeVar("W", bound=str)


class RetryRequest(Asked):
    """A job that is to be tried again."""


class JobView(Answered, kw_only=True):
    """A job."""

    kind: str
    subject: Annotated[str, Meta(description="The account.")]
    state: State
    due_at: Annotated[Time, Meta(description="When it was due first.")]
    next_at: Annotated[Time | None, Meta(description="When it is tried; null: it is parked, until `retry`.")]
    attempts: Annotated[int, Meta(description="How often in a row it failed.")]
    last_error: str | None
    last_run_at: Time | None
    parked_at: Time | None


def write_job(job: Job, at: int) -> JobView:
    """A job on the wire."""
    next_at = job.next_at
    return JobView(
        kind=job.kind,
        subject=job.subject,
        state=job.state(at),
        due_at=write_time(job.due_at),
        next_at=None if next_at is None else write_time(next_at),
        attempts=job.attempts,
        last_error=job.last_error,
        last_run_at=None if job.ran_at is None else write_time(job.ran_at),
        parked_at=None if job.parked_at is None else write_time(job.parked_at),
    )


async def list_jobs(request: Request, desk: Desk) -> Listed[JobView]:
    """A page of the workspace's own."""
    params = Params(request, "kind", "state", "limit", "cursor")
    kind = _one_of(params, "kind", ITEMS)
    state = _one_of(params, "state", STATES)
    turn, at = await params.turn(desk, "jobs"), desk.now_us()
    page = await desk.jobs.page(
        turn.workspace, kind=kind or "", state=state, at=at, after=turn.after, limit=turn.limit
    )  # fmt: skip
    return await turn.told([write_job(job, at) for job in page.items], page.next)


def _one_of(params: Params, name: str, words: Sequence[W]) -> W | None:
    """One of some words, or none."""
    text = params.text(name)
    found = next((word for word in words if word == text), None)
    if text and found is None:
        params.refuse(name, f"must be one of {', '.join(words)}")
    return found


_retry = Form(RetryRequest)


async def retry_job(request: Request, desk: Desk) -> Reply:
    """Have one tried again."""
    fields, kind = _retry.read(request), named(request, "kind", "job")
    subject = named(request, "subject", "job")
    if kind not in ITEMS:
        raise not_found("job")
    under, act = once(fields, kind=kind, subject=subject), act_of(request, desk)
    try:
        job = await desk.jobs.retry(kind, request.caller.workspace.id, subject, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, write_job(job, act.at))


_EXAMPLE: Final[dict[str, Any]] = {
    "kind": "renew", "subject": "user_42", "state": "failed", "due_at": "2026-01-31T12:00:00.000000Z",
    "next_at": "2026-01-31T12:04:30.000000Z", "attempts": 3, "last_error": "too_many_grants",
    "last_run_at": "2026-01-31T12:02:10.000000Z", "parked_at": None,
}  # fmt: skip
_STATES: Final = (
    "`waiting` for its time, `due`, `running`, `failed` and tried again by itself, or `parked`: failed too often, and "
    "waits for `retry`."
)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/jobs",
        operation_id="listJobs",
        summary="What is to be done for the workspace's accounts",
        description="By kind and subject: `account`, lapses and ends of holds; `renew`, renewals that failed. "
        + _STATES,
        scope="read",
        request=None,
        answer=Listed[JobView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"cursor_invalid"}),
        act=list_jobs,
        parameters=(
            parameter("kind", "Only those of one kind.", enum=list(ITEMS), example="renew"),
            parameter("state", "Only those in one state.", enum=list(STATES), example="parked"),
            *PAGING,
        ),
    ),
    Endpoint(
        path="/v1/jobs/{kind}/{subject}/retry",
        operation_id="retryJob",
        summary="Try a job again",
        description="One that failed, or is parked, is due now, as if it never had failed.",
        scope="admin",
        request=RetryRequest,
        answer=JobView,
        example={},
        answered={**_EXAMPLE, "state": "due", "attempts": 0, "next_at": "2026-01-31T12:00:00.000000Z"},
        codes=frozenset({"job_not_found"}),
        act=retry_job,
        keyed=True,
        parameters=(
            in_path("kind", "The job's kind.", "renew"),
            in_path("subject", "The account.", "user_42"),
        ),
    ),
)
