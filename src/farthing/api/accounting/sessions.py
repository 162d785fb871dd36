"""Streaming sessions of the accounting dialect: each is a hold, found by the name that its client gave it.

`initialize` holds the estimate and a fifth more, `finalize` and `abort` settle what was used and free the rest. How a
session ends is decided once: whichever of the two comes first, and whatever a later one says, both answer what was
taken then. An overrun takes what can be spent, the allowance included; the rest is told as `unpaid`. A session that
nobody ends frees its credits when its time is over, and is then told to be over; no tokens cost nothing.
"""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from farthing.core.amounts import MAX_AMOUNT, write_number
from farthing.core.commands import MINUTE_US, PlaceHold, Settle
from farthing.core.exact import half_even_ratio
from farthing.core.outcomes import Accepted, Refusal, Refused
from farthing.core.records import Entry, StreamSession
from farthing.core.refundable import read_body
from farthing.core.usage import Metered, Priced, Usage
from farthing.stores.stream_sessions import Session

from ..bodies import TEXT
from ..endpoint import Request, write_time
from ..v1.desk import Desk
from . import fields
from .calls import asked, call, own_id, who
from .errors import Fault, fault, tell
from .pricing import MOST_TOKENS, count_of, priced, usage_of
from .wire import Credits, Tokens

SERVICE: Final = "chat-streaming"
MAX_SESSION: Final = 100
SHARE: Final = (12, 10)
"""What is held of an estimate."""

SessionId = Annotated[str, Meta(min_length=1, max_length=MAX_SESSION, pattern=TEXT, description="Your name for it.")]


class InitializeRequest(Struct):
    """What is about to be streamed."""

    sessionId: SessionId
    modelId: Annotated[str, Meta(min_length=1, max_length=255, pattern=TEXT)]
    estimatedTokens: Annotated[Any, Meta(extra_json_schema={"type": "integer", "minimum": 1, "maximum": MOST_TOKENS})]


class FinalizeRequest(Struct):
    """What was streamed."""

    sessionId: SessionId
    actualTokens: Tokens
    success: Annotated[bool, Meta(description="False: it ended, and the session is told as failed.")] | None = True


class AbortRequest(Struct):
    """What was streamed before it broke off."""

    sessionId: SessionId
    tokensGenerated: Tokens | None = 0


Unpaid = Annotated[Credits, Meta(description="What the account could not pay; only there where it is above zero.")]


class Initialized(Struct):
    """A session that has begun."""

    sessionId: str
    allocatedCredits: Credits
    status: Annotated[str, Meta(extra_json_schema={"const": "active"})]


class Finalized(Struct):
    """A session that has ended: what was taken, and what was held and is free again."""

    sessionId: str
    actualCredits: Credits
    refund: Credits
    unpaid: Unpaid | UnsetType = UNSET


class Aborted(Struct):
    """The same of one that broke off."""

    sessionId: str
    partialCredits: Credits
    refund: Credits
    unpaid: Unpaid | UnsetType = UNSET


# Beginning


_initialize, _finalize, _abort = (
    fields.Body(kind) for kind in (InitializeRequest, FinalizeRequest, AbortRequest)
)  # fmt: skip


async def initialize(request: Request, desk: Desk) -> Initialized:
    """Hold the credits of an estimate."""
    body, caller, at = _initialize.read(request), request.caller, desk.now_us()
    name = _name(body.sessionId)
    usage = usage_of(
        fields.text(body.modelId, "modelId", "the model's id"), _tokens(body, "estimatedTokens", 1), service=SERVICE
    )
    known = await desk.streams.get(caller.workspace.id, own_id(request), name)
    price = await _price(request, desk, usage, at, began=known is not None)
    settings = caller.workspace.settings
    outcome = await asked(
        PlaceHold(
            account=own_id(request),
            key=f"acc.session:{name}",
            at=at,
            operation=usage.operation,
            amount=_allocated(price),
            ttl=min(settings.session_minutes, settings.hold_max_minutes) * MINUTE_US,
            attributes={"service": SERVICE, "model": usage.model},
            usage=Metered(usage, price),
            session=StreamSession(name, usage.model, price.amount),
            **who(request),
        ),
        desk,
    )
    if isinstance(outcome, Refused):
        raise _not_begun(outcome, request, name)
    hold = read_body(_entry(outcome)).hold
    assert hold is not None, "what a hold's entry made"
    return Initialized(name, write_number(hold.amount, caller.workspace.scale), "active")


def _allocated(price: Priced) -> int:
    """What is held: the smallest unit at least, for nothing can't be held."""
    amount = half_even_ratio(price.amount * SHARE[0], SHARE[1])
    if amount >= MAX_AMOUNT:
        raise fields.invalid("estimatedTokens", "come to more credits than can be held")
    return max(amount, 1)


def _not_begun(no: Refused, request: Request, name: str) -> Fault:
    if no.code in (Refusal.INSUFFICIENT_CREDITS, Refusal.ACCOUNT_NOT_FOUND):
        return fault("session_short")
    if no.code is Refusal.KEY_CONFLICT:
        return fault("session_differs", session=name)
    return tell(no, request.caller.workspace.scale)


# Ending


async def finalize(request: Request, desk: Desk) -> Finalized:
    """Take what was used, and free the rest."""
    body = _finalize.read(request)
    name, tokens = _name(body.sessionId), _tokens(body, "actualTokens", 0)
    if body.success is not None and type(body.success) is not bool:
        raise fields.invalid("success", "must be true or false")
    entry = await _end(request, desk, name, tokens, failed=body.success is False)
    return Finalized(name, *_ended(entry, request))


async def abort(request: Request, desk: Desk) -> Aborted:
    """Take what was used before it broke off."""
    body = _abort.read(request)
    name = _name(body.sessionId)
    tokens = 0 if body.tokensGenerated is None else _tokens(body, "tokensGenerated", 0)
    return Aborted(name, *_ended(await _end(request, desk, name, tokens, failed=True), request))


async def _end(request: Request, desk: Desk, name: str, tokens: int, *, failed: bool) -> Entry:
    """The entry with which a session ended, now or before."""
    workspace, at = request.caller.workspace.id, desk.now_us()
    session = await desk.streams.get(workspace, own_id(request), name)
    if session is None:
        raise fault("session_unknown")
    usage = usage_of(session.model, tokens, service=SERVICE)
    price = await _price(request, desk, usage, at, began=session.ended_at is not None)
    outcome = await asked(
        Settle(
            account=own_id(request),
            key=f"acc.session.end:{name}",
            at=at,
            hold=session.hold.id,
            amount=price.amount,
            shortfall="take",
            usage=Metered(usage, price),
            session=StreamSession(name, failed=failed),
            **who(request),
        ),
        desk,
    )
    if isinstance(outcome, Accepted):
        return _entry(outcome)
    if outcome.code is Refusal.KEY_CONFLICT and (first := await desk.reports.entry(workspace, outcome.facts["entry"])):
        return first
    if outcome.code is Refusal.HOLD_ENDED:
        raise _over(session, outcome.facts["state"])
    raise tell(outcome, request.caller.workspace.scale)


def _over(session: Session, state: str) -> Fault:
    """Nobody ended it in time, or somebody did something to the hold itself. The ledger says which: its time may have
    come since the session was read."""
    if state != "expired":
        return fault("session_taken", session=session.name)
    return fault("session_expired", session=session.name, at=write_time(session.hold.expires_at))


def _ended(entry: Entry, request: Request) -> tuple[Any, Any, Any]:
    """What was taken, what is free again, and what could not be taken."""
    body, scale = read_body(entry), request.caller.workspace.scale
    assert body.hold is not None, "what a settle changed"
    unpaid = write_number(body.unpaid, scale) if body.unpaid else UNSET
    return write_number(body.spent, scale), write_number(max(-body.hold.remaining - body.spent, 0), scale), unpaid


# What they share


async def _price(request: Request, desk: Desk, usage: Usage, at: int, *, began: bool) -> Priced:
    """What a usage costs. Where this is not the first time that it is asked for, the first answer stands, and has no
    need of a price: the model may have none any more."""
    if usage.dimensions["tokens"] == "0":
        return Priced(amount=0, exact="0")
    try:
        return await priced(request, desk, usage, at)
    except Fault:
        if not began:
            raise
        return Priced(amount=1, exact="1")


def _entry(outcome: Accepted) -> Entry:
    assert outcome.entry is not None, "what a face asks for writes an entry"
    return outcome.entry


def _name(value: Any) -> str:
    name = fields.text(value, "sessionId", "your own name for the session")
    if len(name) > MAX_SESSION:
        raise fields.invalid("sessionId", f"must have at most {MAX_SESSION} characters")
    return name


def _tokens(body: Any, field: str, least: int) -> int:
    count = count_of(getattr(body, field))
    if count is None or count < least:
        raise fields.invalid(field, f"must be a whole number of tokens, {'above zero' if least else 'zero or above'}")
    return count


# The table


_ID: Final = "chat-7f3a-0001"
_ONCE: Final = "Repeating it answers the same and does nothing again."

ENDPOINTS: Final = (
    call(
        "initializeSession",
        "session_short",
        "session_differs",
        path="/api/streaming-sessions/initialize",
        summary="Begin a streaming session",
        description="Holds the price of the estimate and a fifth more, until the session is finalized or aborted, or "
        f"its time is over (setting `session_minutes`). {_ONCE}",
        request=InitializeRequest,
        answer=Initialized,
        example={"sessionId": _ID, "modelId": "gpt-4", "estimatedTokens": 1000},
        answered={"sessionId": _ID, "allocatedCredits": 6, "status": "active"},
        status=201,
        act=initialize,
    ),
    call(
        "finalizeSession",
        "session_unknown",
        "session_expired",
        "session_taken",
        path="/api/streaming-sessions/finalize",
        summary="End a streaming session",
        description=f"Takes what was used and frees the rest of what was held. {_ONCE} So does it after `abort`.",
        request=FinalizeRequest,
        answer=Finalized,
        example={"sessionId": _ID, "actualTokens": 900, "success": True},
        answered={"sessionId": _ID, "actualCredits": 4.5, "refund": 1.5},
        act=finalize,
    ),
    call(
        "abortSession",
        "session_unknown",
        "session_expired",
        "session_taken",
        path="/api/streaming-sessions/abort",
        summary="Break off a streaming session",
        description=f"Takes what was used until then and frees the rest. {_ONCE} So does it after `finalize`.",
        request=AbortRequest,
        answer=Aborted,
        example={"sessionId": _ID, "tokensGenerated": 200},
        answered={"sessionId": _ID, "partialCredits": 1, "refund": 5},
        act=abort,
    ),
)
