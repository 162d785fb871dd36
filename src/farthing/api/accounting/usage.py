"""Usage in the accounting dialect: what was used is recorded, and charged in the same commit.

A gateway that deducts first has its workspace's setting `usage_record_charges` off: then the entry takes nothing, and
keeps what was recorded.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from farthing.core.amounts import write_amount, write_number
from farthing.core.commands import TakeCharge, text_error
from farthing.core.records import Body, Entry
from farthing.core.refundable import read_body
from farthing.core.usage import Metered, Priced, Usage

from ..bodies import TEXT, Metadata, Sent, own_object
from ..endpoint import Caller, NotAtOnce, Request, write_time
from ..v1.desk import Desk
from . import fields
from .calls import KEY, call, carry_out, own_id, who
from .errors import fault
from .pricing import count_of
from .wire import Credits, CreditsOrZero, Key, Time

MAX_SERVICE: Final = 50
MAX_OPERATION: Final = 100
CHATS: Final = frozenset({"chat", "chat-streaming"})
"""Services whose operation is the model, where nothing else names it."""
_WRONG: Final = "usage_fields"
_MODEL: Final = ("model", "modelId", "model_id")
_INTO: Final = ("inputTokens", "input_tokens", "promptTokens", "prompt_tokens")
_OUT: Final = ("outputTokens", "output_tokens", "completionTokens", "completion_tokens")
_TOKENS: Final = ("tokens", "totalTokens", "total_tokens")


class RecordRequest(Struct):
    """What was used, and what it costs."""

    service: Annotated[
        str, Meta(min_length=1, max_length=MAX_SERVICE, pattern=TEXT, description="Which service was used.")
    ]
    operation: Annotated[
        str, Meta(min_length=1, max_length=MAX_OPERATION, pattern=TEXT, description="What was done with it.")
    ]
    credits: CreditsOrZero
    metadata: Metadata | None = None
    idempotencyKey: Key | None = None


class Recorded(Struct):
    """A usage as it was recorded."""

    id: str
    service: str
    operation: str
    credits: Credits
    timestamp: Time


# Reading


_record = fields.Body(RecordRequest, _WRONG)


def read_record(request: Request) -> TakeCharge:
    """A charge that says what for; where it takes nothing, the account may still have to be made."""
    command = _read(request)
    if not command.amount:
        raise NotAtOnce("what takes nothing is recorded for who has no account yet")
    return command


async def record(request: Request, desk: Desk) -> Recorded:
    """The same, in its own time."""
    command = _read(request)
    entry = await carry_out(command, request, desk, "insufficient" if command.amount else "")
    return write_record(entry, request.caller)


def _read(request: Request) -> TakeCharge:
    body, workspace = _record.read(request), request.caller.workspace
    service, operation = _name(body, "service", MAX_SERVICE), _name(body, "operation", MAX_OPERATION)
    amount, asked = fields.amount(body.credits, workspace.scale, sentence=_WRONG, zero=True)
    metadata = _metadata(body.metadata)
    usage = _usage(service, operation, metadata)
    taken = amount if workspace.settings.usage_record_charges else 0
    exact = write_amount(taken, workspace.scale)
    return TakeCharge(
        account=own_id(request),
        key=fields.key(body.idempotencyKey, request, "acc.usage"),
        metadata=metadata,
        operation=operation,
        # Always said: a repeat is the same act, whatever the setting is by then.
        asked=asked or write_amount(amount, workspace.scale),
        amount=taken,
        attributes={"service": service, "model": usage.model} if usage.model else {"service": service},
        usage=Metered(usage, Priced(amount=taken, exact=exact), given=True, recorded=amount - taken),
        **who(request),
    )


def _name(body: Any, field: str, most: int) -> str:
    value = getattr(body, field)
    if type(value) is not str or not 0 < len(value) <= most:
        raise fault(_WRONG)
    if wrong := text_error(value):
        raise fields.invalid(field, wrong)
    return value


def _metadata(value: Raw | None) -> str | None:
    try:
        return own_object(value)
    except ValueError as error:
        raise fields.invalid("metadata", str(error)) from None


# What metadata tells of models and tokens

_Told = msgspec.defstruct("_Told", [(name, Any, None) for name in (*_MODEL, "provider", *_INTO, *_OUT, *_TOKENS)])
_told = msgspec.json.Decoder(_Told, float_hook=Sent)


def _usage(service: str, operation: str, metadata: str | None) -> Usage:
    """What was used, as far as it can be told; what of it makes no sense is left out."""
    told = _read_told(metadata)
    model = _first_text(told, _MODEL) or (operation if service in CHATS else "")
    into, out, total = (_first_count(told, names) for names in (_INTO, _OUT, _TOKENS))
    if total is not None and total < (into or 0) + (out or 0):
        total = None
    counts = (("input_tokens", into), ("output_tokens", out), ("tokens", total))
    return Usage(
        service=service,
        operation=operation,
        model=model,
        provider=_first_text(told, ("provider",)),
        dimensions={name: str(count) for name, count in counts if count is not None},
    )


def _read_told(metadata: str | None) -> Any:
    if metadata is None:
        return None
    try:
        return _told.decode(metadata)
    except (msgspec.DecodeError, RecursionError):  # such as a number of absurd length
        return None


def _first_text(told: Any, names: tuple[str, ...]) -> str:
    for name in names if told is not None else ():
        value = getattr(told, name)
        if type(value) is str and not text_error(value):
            return value
    return ""


def _first_count(told: Any, names: tuple[str, ...]) -> int | None:
    for name in names if told is not None else ():
        value = getattr(told, name)
        if value is not None and (count := count_of(value)) is not None:
            return count
    return None


# Writing


def write_record(entry: Entry, caller: Caller) -> Recorded:
    """What was recorded, whether it was charged or not."""
    body = read_body(entry)
    assert body.usage is not None, "what records usage carries it"
    credits = write_number(credits_of(body), caller.workspace.scale)
    return Recorded(entry.id, body.usage.usage.service, entry.operation, credits, write_time(entry.at))


def credits_of(body: Body) -> int:
    """What a usage came to: what was charged for it, or recorded."""
    return body.spent + (body.usage.recorded if body.usage else 0)


# The table


ENTRY_ID: Final = "ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
RECORDED: Final[dict[str, Any]] = {
    "id": ENTRY_ID,
    "service": "chat",
    "operation": "gpt-4",
    "credits": 7.5,
    "timestamp": "2026-01-01T12:00:00.000Z",
}

ENDPOINTS: Final = (
    call(
        "recordUsage",
        _WRONG,
        "insufficient",
        "key_used",
        path="/api/usage/record",
        summary="Record a usage, and charge for it",
        description="Both in one step: without enough credits neither is done. Where the workspace's setting "
        "`usage_record_charges` is off, for callers who deduct first, it is recorded and nothing is taken. "
        "`metadata` is kept as it is; statistics read `model` (or `modelId`), `provider`, `inputTokens` (or "
        "`promptTokens`), `outputTokens` (or `completionTokens`) and `tokens` from it.",
        request=RecordRequest,
        answer=Recorded,
        example={
            "service": "chat",
            "operation": "gpt-4",
            "credits": 7.5,
            "metadata": {"model": "gpt-4", "tokens": 1500},
            "idempotencyKey": "chat-7f3a-0001",
        },
        answered=RECORDED,
        status=201,
        parameters=(KEY,),
        read=read_record,
        write=write_record,
        act=record,
    ),
)
