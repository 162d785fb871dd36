"""Allocations in the accounting dialect: giving credits to users, setting and correcting what they have, listing it.

Each is an administrative act: one entry, with its audit record in the same commit. Notes are the entry's description.
"""

from typing import Any, Final

from farthing.core.amounts import write_amount, write_number
from farthing.core.commands import DAY_US, Adjust, GiveGrant, SetBalance
from farthing.core.records import Entry
from farthing.core.refundable import read_body
from farthing.stores.directory import Allocated as Given

from ..endpoint import Parameter, Request, write_time
from ..v1.cursors import CursorInvalid
from ..v1.desk import Desk
from . import fields as read
from .calls import KEY, call, carry_out, left_after, who
from .fields import Body
from .whom import Known, by_email, check_gift, needed
from .wire import (
    Adjusted,
    AdjustRequest,
    AllocateByEmailRequest,
    Allocated,
    AllocatedByEmail,
    AllocateRequest,
    AllocationLine,
    Allocations,
    Removed,
    RemoveRequest,
    SetRequest,
    SetTo,
    UserAccount,
)

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
_LISTING: Final = "allocations"
_allocate, _by_email = Body(AllocateRequest), Body(AllocateByEmailRequest)
_set, _remove, _adjust = Body(SetRequest), Body(RemoveRequest), Body(AdjustRequest)
_USER: Final = "the id, username or e-mail of a user"


# Giving


async def allocate(request: Request, desk: Desk) -> Allocated:
    """Give credits to a user, who may be named in three ways."""
    body = _allocate.read(request)
    named = read.text(body.userId, "userId", _USER)
    gift = _gift(body, request, desk)
    entry = await _give(gift, await needed(request, desk, named), request, desk)
    return Allocated(*_given(entry, request))


async def allocate_by_email(request: Request, desk: Desk) -> AllocatedByEmail:
    """Give credits to whoever has an address."""
    body = _by_email.read(request)
    email = read.text(body.email, "email", "the address of a user")
    gift = _gift(body, request, desk)
    known = await by_email(request, desk, email)
    id, user, *rest = _given(await _give(gift, known, request, desk), request)
    return AllocatedByEmail(id, user, known.email or email, *rest)


def _gift(body: Any, request: Request, desk: Desk) -> GiveGrant:
    """The grant that a body asks for; its account is still to be found."""
    amount, asked = read.amount(body.credits, request.caller.workspace.scale)
    return GiveGrant(
        account="",
        amount=amount,
        asked=asked,
        expires_at=_expiry(body, desk),
        **_said(body, request, "acc.allocate"),
    )


def _expiry(body: Any, desk: Desk) -> int:
    return desk.now_us() + read.days(body.expiryDays) * DAY_US


def _said(body: Any, request: Request, prefix: str) -> dict[str, Any]:
    """What all of these say: who, why, under which key."""
    return {
        "description": read.notes(body.notes), "key": read.key(body.idempotencyKey, request, prefix), **who(request)
    }  # fmt: skip


async def _give(gift: GiveGrant, known: Known, request: Request, desk: Desk) -> Entry:
    check_gift(request, known)
    gift.account = known.id
    return await carry_out(gift, request, desk)


def _given(entry: Entry, request: Request) -> tuple[str, str, Any, Any, str | None]:
    """Id, user, total, remaining and end of the grant that an entry made."""
    body, scale = read_body(entry), request.caller.workspace.scale
    terms = body.grants[0]
    repaid = sum(amount for _, grant, amount in body.repaid if grant == terms.id)
    total, left = write_number(terms.amount, scale), write_number(terms.amount - repaid, scale)
    return terms.id, entry.account, total, left, _time(terms.expires_at)


def _time(at: int | None) -> str | None:
    return None if at is None else write_time(at)


# Setting and correcting


async def set_credits(request: Request, desk: Desk) -> SetTo:
    """Write off what is there, and give the new amount, in one entry."""
    body, scale = _set.read(request), request.caller.workspace.scale
    named = read.text(body.userId, "userId", _USER)
    amount, asked = read.amount(body.credits, scale, zero=True)
    command = SetBalance(
        account="",
        amount=amount,
        asked=asked,
        mode="replace",
        expires_at=_expiry(body, desk),
        **_said(body, request, "acc.set"),
    )
    known = await needed(request, desk, named)
    check_gift(request, known)
    command.account = known.id
    entry = await carry_out(command, request, desk)
    message = f"Credits set to {write_amount(amount, scale)} for user {known.username}"
    return SetTo(known.id, *_before_and_after(entry, scale), message)


async def remove(request: Request, desk: Desk) -> Removed:
    """Take credits away, soonest expiry first; more than there is changes nothing."""
    body, scale = _remove.read(request), request.caller.workspace.scale
    named = read.text(body.userId, "userId", _USER)
    amount, asked = read.amount(body.credits, scale)
    command = Adjust(account="", amount=-amount, asked=asked, **_said(body, request, "acc.remove"))
    known = await needed(request, desk, named)
    command.account = known.id
    entry = await carry_out(command, request, desk, short="remove_too_large")
    message = f"Removed {write_amount(amount, scale)} credits from user {known.username}"
    return Removed(known.id, *_before_and_after(entry, scale), write_number(amount, scale), message)


async def adjust(request: Request, desk: Desk) -> Adjusted:
    """Give, or take away."""
    body, scale = _adjust.read(request), request.caller.workspace.scale
    named = read.text(body.userId, "userId", _USER)
    amount, asked = read.amount(body.adjustment, scale, "adjustment", negative=True)
    ends = _expiry(body, desk)
    command = Adjust(
        account="",
        amount=amount,
        asked=asked,
        expires_at=ends if amount > 0 else None,
        **_said(body, request, "acc.adjust"),
    )
    known = await needed(request, desk, named)
    if amount > 0:
        check_gift(request, known)
    command.account = known.id
    entry = await carry_out(command, request, desk, short="" if amount > 0 else "adjust_too_low")
    message = f"Adjusted credits by {write_amount(amount, scale)} for user {known.username}"
    return Adjusted(known.id, *_before_and_after(entry, scale), write_number(amount, scale), message)


def _before_and_after(entry: Entry, scale: int) -> tuple[Any, Any]:
    """What could be spent before an entry and after it. None of these touches what is held or has a scope."""
    after = left_after(entry, read_body(entry))
    return write_number(after - entry.amount, scale), write_number(after, scale)


# Listing


async def list_all(request: Request, desk: Desk) -> Allocations:
    """A page of the grants of all users."""
    workspace, params = request.caller.workspace, read.query(request)
    limit = read.whole(params.get("limit"), "limit", DEFAULT_LIMIT, MAX_LIMIT)
    before = None
    if cursor := params.get("cursor"):
        try:
            before = await desk.cursors.read(cursor, _LISTING, workspace.id, {})
        except CursorInvalid as error:
            raise read.invalid("cursor", f"can't be used. {error}") from error
    page = await desk.directory.allocations(workspace.id, desk.now_us(), before=before, limit=limit)
    following = page.next and await desk.cursors.write(_LISTING, workspace.id, {}, page.next)
    return Allocations([_line(given, workspace.scale) for given in page.items], following or None)


def _line(g: Given, scale: int) -> AllocationLine:
    return AllocationLine(
        id=g.id,
        userId=g.account,
        totalCredits=write_number(g.amount, scale),
        remainingCredits=write_number(g.free, scale),
        # A user by his id; a key or a program by its whole name.
        allocatedBy=None if g.actor is None else g.actor.removeprefix("user:"),
        allocatedAt=write_time(g.created_at),
        expiresAt=_time(g.expires_at),
        notes=g.description,
        UserAccount=UserAccount(g.username or g.account, g.email or None),
    )


# The table


_ID: Final = "grt_0198c5f0a1b27c3d8e4f5a6b7c8d9000"
_ENDS: Final = "2026-01-31T12:00:00.000Z"
_GIVEN: Final[dict[str, Any]] = {
    "id": _ID, "userId": "user_42", "totalCredits": 100.5, "remainingCredits": 100.5, "expiresAt": _ENDS
}  # fmt: skip
_PAGING: Final = (
    Parameter(
        name="limit",
        place="query",
        description="How many to give at most.",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    Parameter(
        name="cursor",
        place="query",
        description="`nextCursor` of the page before; it lives for 24 hours.",
        schema={"type": "string", "pattern": "^[A-Za-z0-9_-]*$", "maxLength": 4_096},
    ),
)

ENDPOINTS: Final = (
    call(
        "allocateCredits",
        "invalid",
        "own_grant",
        "user_unknown",
        "key_used",
        path="/api/credits/allocate",
        summary="Give credits to a user",
        description="They lapse after `expiryDays`, and first repay what the user owes.",
        request=AllocateRequest,
        answer=Allocated,
        example={"userId": "user_42", "credits": 100.5, "expiryDays": 30, "notes": "Welcome"},
        answered=_GIVEN,
        status=201,
        parameters=(KEY,),
        act=allocate,
    ),
    call(
        "allocateCreditsByEmail",
        "invalid",
        "email_unknown",
        "key_used",
        path="/api/credits/allocate-by-email",
        summary="Give credits to whoever has an e-mail address",
        description="As `allocate` does; the user has to be known.",
        request=AllocateByEmailRequest,
        answer=AllocatedByEmail,
        example={"email": "anna@example.com", "credits": 100.5, "expiryDays": 30},
        answered={**_GIVEN, "email": "anna@example.com"},
        status=201,
        parameters=(KEY,),
        act=allocate_by_email,
    ),
    call(
        "setCredits",
        "invalid",
        "own_grant",
        "user_unknown",
        "key_used",
        method="POST",
        path="/api/credits/set",
        summary="Set what a user can spend",
        description="Writes off what is there and gives the new amount, in one entry. What open sessions hold is not "
        "touched.",
        request=SetRequest,
        answer=SetTo,
        example={"userId": "user_42", "credits": 500, "notes": "A new contract"},
        answered={
            "userId": "user_42",
            "previousCredits": 70,
            "newCredits": 500,
            "message": "Credits set to 500 for user anna",
        },
        parameters=(KEY,),
        act=set_credits,
    ),
    call(
        "removeCredits",
        "invalid",
        "remove_too_large",
        "user_unknown",
        "key_used",
        method="DELETE",
        path="/api/credits/remove",
        summary="Take credits away from a user",
        description="Those that lapse soonest first; exactly to zero is allowed, more than there is changes nothing.",
        request=RemoveRequest,
        answer=Removed,
        example={"userId": "user_42", "credits": 100, "notes": "Given by mistake"},
        answered={
            "userId": "user_42",
            "previousCredits": 500,
            "newCredits": 400,
            "removedCredits": 100,
            "message": "Removed 100 credits from user anna",
        },
        parameters=(KEY,),
        act=remove,
    ),
    call(
        "adjustCredits",
        "invalid",
        "adjust_too_low",
        "own_grant",
        "user_unknown",
        "key_used",
        method="PUT",
        path="/api/credits/adjust",
        summary="Correct what a user has by a difference",
        description="Above zero it is given, below it is taken away; below zero in all it changes nothing.",
        request=AdjustRequest,
        answer=Adjusted,
        example={"userId": "user_42", "adjustment": -50, "notes": "Corrected"},
        answered={
            "userId": "user_42",
            "previousCredits": 400,
            "newCredits": 350,
            "adjustment": -50,
            "message": "Adjusted credits by -50 for user anna",
        },
        parameters=(KEY,),
        act=adjust,
    ),
    call(
        "listAllocations",
        "invalid",
        method="GET",
        path="/api/credits/allocations/all",
        summary="What was given to all users",
        description="Newest first, also what is spent or has lapsed.",
        request=None,
        answer=Allocations,
        example={},
        answered={
            "allocations": [
                {
                    **_GIVEN,
                    "allocatedBy": "user_1",
                    "allocatedAt": "2026-01-01T12:00:00.000Z",
                    "notes": "Welcome",
                    "UserAccount": {"username": "anna", "email": "anna@example.com"},
                }
            ],
            "nextCursor": None,
        },
        parameters=_PAGING,
        act=list_all,
    ),
)
