"""Credits in the accounting dialect: what somebody has, whether it is enough, and taking from it."""

from typing import Any, Final

from farthing.core.amounts import write_amount, write_number
from farthing.core.commands import TakeCharge, text_error
from farthing.core.records import Account, Entry
from farthing.core.refundable import read_body
from farthing.core.view import available

from ..endpoint import Caller, Parameter, Request, write_time
from ..v1.desk import Desk
from . import fields as read
from .calls import KEY, call, left_after, own_id, who
from .errors import INSUFFICIENT, fault
from .fields import Body
from .pricing import count_of, priced, usage_of
from .whom import find
from .wire import (
    Allocation,
    Balance,
    Calculated,
    CalculateRequest,
    Checked,
    CheckRequest,
    Deducted,
    DeductRequest,
    TotalBalance,
)

_check, _calculate = Body(CheckRequest, "required_credits"), Body(CalculateRequest, "tokens")
_deduct = Body(DeductRequest, "credits")

# What there is


async def show_own_balance(request: Request, desk: Desk) -> Balance:
    """What the caller has."""
    return _balance(await _account(request, desk, own_id(request)), request.caller.workspace.scale)


async def show_own_total(request: Request, desk: Desk) -> TotalBalance:
    """The same, in one number."""
    return TotalBalance(_total(await _account(request, desk, own_id(request)), request.caller.workspace.scale))


async def show_balance_of(request: Request, desk: Desk) -> Balance:
    """What somebody else has."""
    text = request.parameters["user"]
    known = await find(desk, request.caller.workspace.id, text)
    if known is None:
        raise fault("email_not_found" if "@" in text else "user_not_found")
    return _balance(await _account(request, desk, known.id), request.caller.workspace.scale)


async def check(request: Request, desk: Desk) -> Checked:
    """Whether the caller has enough."""
    scale = request.caller.workspace.scale
    required, _ = read.amount(_check.read(request).requiredCredits, scale, sentence="required_credits", zero=True)
    account = await _account(request, desk, own_id(request))
    enough = required <= (available(account) if account else 0)
    return Checked(enough, _total(account, scale), write_number(required, scale), "" if enough else INSUFFICIENT)


async def calculate(request: Request, desk: Desk) -> Calculated:
    """What some use of a model would cost."""
    body = _calculate.read(request)
    if type(body.modelId) is not str or text_error(body.modelId):
        raise fault("tokens")
    found = await priced(request, desk, usage_of(body.modelId, *_counts(body)))
    credits = write_number(found.amount, request.caller.workspace.scale)
    return Calculated(credits, credits)


def _counts(body: Any) -> tuple[int | None, int | None, int | None]:
    """Tokens in all; or, where that is told, those that went in and came out."""
    sent = (body.tokens, body.inputTokens, body.outputTokens)
    total, into, out = (None if value is None else count_of(value) for value in sent)
    wrong = any(count is None and value is not None for count, value in zip((total, into, out), sent, strict=True))
    if wrong or (total, into, out) == (None, None, None):
        raise fault("tokens")
    return (total, None, None) if into is None and out is None else (None, into or 0, out or 0)


async def _account(request: Request, desk: Desk, account_id: str) -> Account | None:
    """An account as it stands now; None where nothing was ever given to it."""
    return await desk.reports.account(request.caller.workspace.id, account_id, desk.now_us())


def _total(account: Account | None, scale: int) -> object:
    return write_number(available(account), scale) if account else 0


def _balance(account: Account | None, scale: int) -> Balance:
    # Grants with a scope are for what matches it, and count in no total; what sessions hold of a grant does not either.
    grants = [g for g in account.grants if not g.scope and g.remaining > g.held] if account else []
    grants.sort(key=lambda g: (g.expires_at is None, g.expires_at or 0, g.created_at))
    return Balance(
        _total(account, scale),
        [
            Allocation(
                g.id,
                write_number(g.remaining - g.held, scale),
                None if g.expires_at is None else write_time(g.expires_at),
                write_time(g.created_at),
            )
            for g in grants
        ],
    )


# Taking


def read_deduct(request: Request) -> TakeCharge:
    """A charge on the caller himself, whoever else the body may name."""
    body = _deduct.read(request)
    amount, asked = read.amount(body.credits, request.caller.workspace.scale, sentence="credits")
    return TakeCharge(
        account=own_id(request),
        key=read.key(body.idempotencyKey, request, "acc.deduct"),
        operation=read.operation(body.operation),
        asked=asked,
        amount=amount,
        **who(request),
    )


def write_deduct(entry: Entry, caller: Caller) -> Deducted:
    """What was taken, and what is left."""
    body, scale = read_body(entry), caller.workspace.scale
    message = f"Successfully deducted {write_amount(body.spent, scale)} credits."
    return Deducted(True, message, write_number(left_after(entry, body), scale))


# The table


_BALANCE: Final = {
    "totalCredits": 100.5,
    "activeAllocations": [
        {
            "id": "grt_0198c5f0a1b27c3d8e4f5a6b7c8d9000",
            "credits": 100.5,
            "expiresAt": "2026-02-01T12:00:00.000Z",
            "allocatedAt": "2026-01-01T12:00:00.000Z",
        }
    ],
}
USER: Final = Parameter(
    name="user",
    place="path",
    description="A user: id or e-mail.",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
    required=True,
    example="user_42",
)

ENDPOINTS: Final = (
    call(
        "getOwnBalance",
        method="GET",
        path="/api/credits/balance",
        summary="What the caller has",
        description="What can be spent, and the allocations it comes from, soonest expiry first.",
        request=None,
        answer=Balance,
        example={},
        answered=_BALANCE,
        act=show_own_balance,
    ),
    call(
        "getOwnTotalBalance",
        method="GET",
        path="/api/credits/total-balance",
        summary="What the caller has, in one number",
        description="What can be spent.",
        request=None,
        answer=TotalBalance,
        example={},
        answered={"totalCredits": 100.5},
        act=show_own_total,
    ),
    call(
        "getBalanceOf",
        "user_not_found",
        "email_not_found",
        method="GET",
        path="/api/credits/balance/{user}",
        summary="What somebody else has",
        description="What can be spent, and the allocations it comes from, soonest expiry first.",
        request=None,
        answer=Balance,
        example={},
        answered=_BALANCE,
        parameters=(USER,),
        act=show_balance_of,
    ),
    call(
        "checkCredits",
        "required_credits",
        path="/api/credits/check",
        summary="Whether the caller has enough",
        description="Too little is no error: `sufficient` says it.",
        request=CheckRequest,
        answer=Checked,
        example={"requiredCredits": 7.5},
        answered={"sufficient": True, "credits": 100.5, "requiredCredits": 7.5},
        act=check,
        only_reads=True,
    ),
    call(
        "calculateCredits",
        "tokens",
        path="/api/credits/calculate",
        summary="What some use of a model would cost",
        description="By the workspace's rate card: `tokens` in all, or what went in and came out.",
        request=CalculateRequest,
        answer=Calculated,
        example={"modelId": "gpt-4", "tokens": 1500},
        answered={"credits": 7.5, "requiredCredits": 7.5},
        act=calculate,
        only_reads=True,
    ),
    call(
        "deductOwnCredits",
        "credits",
        "insufficient",
        "key_used",
        path="/api/credits/deduct",
        summary="Charge the caller",
        description="Takes all or nothing. Repeating a key answers with the first answer and charges nothing; a "
        "refusal is not remembered: after a top-up the same key may succeed.",
        request=DeductRequest,
        answer=Deducted,
        example={"credits": 5, "operation": "chat", "idempotencyKey": "7f3a6c1e-0001"},
        answered={"success": True, "message": "Successfully deducted 5 credits.", "remainingBalance": 95.5},
        parameters=(KEY,),
        read=read_deduct,
        write=write_deduct,
        shared=True,
    ),
)
