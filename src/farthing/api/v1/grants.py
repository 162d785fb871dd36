"""Grants: credits given, and taken back."""

from typing import Annotated, Any, Final, get_args

from msgspec import Meta

from farthing.core.amounts import write_amount
from farthing.core.commands import GiveGrant, Void
from farthing.core.outcomes import Refusal, Refused
from farthing.core.records import Category, Entry
from farthing.core.refundable import read_body

from ..bodies import TEXT
from ..endpoint import Caller, Endpoint, Request
from .charges import ENTRY_ID, GRANT_ID, TOLD
from .desk import Desk
from .fields import Form
from .parameters import in_path
from .wire import (
    MAX_PATTERNS,
    MAX_TEXT,
    AccountId,
    Amount,
    Command,
    Credits,
    Done,
    Expiry,
    Time,
    done,
    text_of,
    write_time,
)

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
MAX_SOURCE: Final = 20
DEFAULT_PRIORITY: Final = 50

Sort = Annotated[Category, Meta(description="Of grants that are equal otherwise, promotional ones burn first.")]
Priority = Annotated[int, Meta(ge=0, le=100, description="The lower burns first.")]
Pattern = Annotated[str, text_of("Without control characters.")]
Scope = Annotated[
    list[Pattern],
    Meta(
        max_length=MAX_PATTERNS,
        description="Only for charges that match one of these patterns, such as `operation:image.*` or `model:gpt-4o`.",
    ),
]
Source = Annotated[
    dict[str, Pattern],
    Meta(
        max_length=MAX_SOURCE,
        description="Where the credits come from, in your own names.",
        extra_json_schema={"propertyNames": {"minLength": 1, "maxLength": MAX_TEXT, "pattern": TEXT}},
    ),
]


class GrantRequest(Command):
    """Credits to give."""

    account: AccountId
    amount: Amount
    category: Sort | None = "paid"
    priority: Priority | None = DEFAULT_PRIORITY
    expires_at: Expiry | None = None
    scope: Scope | None = None
    source: Source | None = None
    must_exist: Annotated[bool | None, Meta(description="Do not make the account where there is none.")] = False


class VoidRequest(Command):
    """A grant to take back."""


class Grant(Done, kw_only=True):
    """A grant as it was given."""

    id: str
    amount: Credits
    category: Category
    priority: int
    expires_at: Time | None
    scope: list[str]
    source: dict[str, str] | None
    repaid: Annotated[Credits, Meta(description="What of it went to repay debt at once.")]


class Voided(Done, kw_only=True):
    """What was taken back."""

    id: str
    written_off: Annotated[Credits, Meta(description="What was free or spent; a part in holds follows when they end.")]
    owed: Annotated[Credits, Meta(description="What had been spent, and is debt now.")]


# Reading


_grant, _void = Form(GrantRequest), Form(VoidRequest)


def read_grant(request: Request) -> GiveGrant:
    """A grant."""
    fields = _grant.read(request)
    command = GiveGrant(
        account=fields.text("account"),
        amount=fields.amount(),
        category=fields.choice("category", CATEGORIES, "paid"),
        priority=fields.whole("priority", 0, 100, DEFAULT_PRIORITY),
        expires_at=fields.instant("expires_at"),
        scope=fields.texts("scope", MAX_PATTERNS),
        source=fields.names("source", MAX_SOURCE),
        must_exist=fields.flag("must_exist"),
        **fields.said(),
    )
    fields.check()
    return command


def read_void(request: Request) -> Void:
    """A void; `owner_of_grant` finds whose it is."""
    fields = _void.read(request)
    command = Void(account="", grant=request.parameters["id"], **fields.said())
    fields.check()
    return command


async def owner_of_grant(command: Void, desk: Desk) -> str | Refused:
    """Whose grant it is."""
    found = await desk.directory.grant(command.workspace, command.grant, desk.now_us())
    return Refused(Refusal.GRANT_NOT_FOUND) if found is None else found[0]


# Writing


def write_grant(entry: Entry, caller: Caller) -> Grant:
    """What was given."""
    body, scale = read_body(entry), caller.workspace.scale
    terms = body.grants[0]
    return Grant(
        id=terms.id,
        amount=write_amount(terms.amount, scale),
        category=terms.category,
        priority=terms.priority,
        expires_at=None if terms.expires_at is None else write_time(terms.expires_at),
        scope=list(terms.scope),
        source=terms.source,
        repaid=write_amount(sum(amount for _, _, amount in body.repaid), scale),
        **done(entry, scale, body),
    )


def write_void(entry: Entry, caller: Caller) -> Voided:
    """What was taken back."""
    body, scale = read_body(entry), caller.workspace.scale
    return Voided(
        id=body.ref,
        written_off=write_amount(body.written_off, scale),
        owed=write_amount(sum(amount for _, amount in body.debts), scale),
        **done(entry, scale, body),
    )


# The table


_GIVEN: Final[dict[str, Any]] = {
    "id": GRANT_ID,
    "amount": "900",
    "category": "paid",
    "priority": 50,
    "expires_at": "2027-01-01T00:00:00.000000Z",
    "scope": [],
    "source": {"order": "AB12CD34"},
    "repaid": "0",
    **TOLD,
}

ENDPOINTS: Final = (
    Endpoint(
        path="/v1/grants",
        operation_id="createGrant",
        summary="Give credits",
        description="Makes the account where there is none, unless it `must_exist`. A grant without scope first "
        "repays debt, oldest first.",
        scope="grant",
        request=GrantRequest,
        answer=Grant,
        example={
            "account": "user_42",
            "amount": "900",
            "expires_at": "2027-01-01T00:00:00Z",
            "source": {"order": "AB12CD34"},
        },
        answered=_GIVEN,
        codes=frozenset({"account_not_found", "own_account", "too_many_grants", "balance_limit", "payment_claimed"}),
        read=read_grant,
        write=write_grant,
        status=201,
        location="/v1/grants/{id}",
        keyed=True,
    ),
    Endpoint(
        path="/v1/grants/{id}/void",
        operation_id="voidGrant",
        summary="Take a grant back",
        description="What is free of it goes at once, what holds have set aside when they end, and what was spent "
        "becomes debt. Other grants are not touched.",
        scope="grant",
        request=VoidRequest,
        answer=Voided,
        example={"description": "The payment was charged back"},
        answered={
            "id": GRANT_ID,
            "written_off": "900",
            "owed": "7.5",
            **TOLD,
            "entry": ENTRY_ID,
            "after": {"balance": "-7.5", "scoped": "0", "held": "0", "debt": "7.5"},
            "description": "The payment was charged back",
        },
        codes=frozenset({"account_not_found", "grant_not_found", "grant_archived", "grant_ended", "balance_limit"}),
        read=read_void,
        owner=owner_of_grant,
        write=write_void,
        parameters=(in_path("id", "The grant.", GRANT_ID),),
        keyed=True,
    ),
)
