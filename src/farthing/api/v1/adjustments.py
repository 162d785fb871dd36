"""Adjustments: an administrator corrects a balance, by a difference or to a value."""

from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta

from farthing.core.amounts import write_amount
from farthing.core.commands import Adjust, SetBalance
from farthing.core.records import Entry
from farthing.core.refundable import read_body

from ..endpoint import Caller, Endpoint, Request
from .charges import ENTRY_ID, GRANT_ID, TOLD
from .fields import Form, account_of
from .grants import CATEGORIES, Sort
from .parameters import in_path
from .wire import AmountOrZero, Command, Credits, Difference, Done, Expiry, done

Mode = Literal["replace", "difference"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)


class AdjustRequest(Command):
    """A difference."""

    amount: Difference
    category: Sort | None = "promotional"
    expires_at: Annotated[Expiry | None, Meta(description="Of the grant that is made, where credits are given.")] = None
    force: Annotated[bool | None, Meta(description="Take also what is not there, as debt.")] = False


class SetRequest(Command):
    """What can be spent from now on."""

    amount: AmountOrZero
    mode: Annotated[
        Mode,
        Meta(
            description="`replace`: write off all free credits and give this amount as one new grant. `difference`: "
            "give or take the difference; other grants keep their dates."
        ),
    ]
    category: Sort | None = "promotional"
    expires_at: Annotated[Expiry | None, Meta(description="Of the grant that is made, where credits are given.")] = None


class Adjusted(Done, kw_only=True):
    """What was corrected."""

    id: str
    amount: Annotated[Credits, Meta(description="The change of the balance.")]
    grant: Annotated[str | None, Meta(description="The grant that was made, where credits were given.")]
    written_off: Annotated[Credits, Meta(description="What was taken; below zero where debt was forgiven.")]
    owed: Annotated[Credits, Meta(description="The change of the debt.")]


_adjust, _set = Form(AdjustRequest), Form(SetRequest)


def read_adjust(request: Request) -> Adjust:
    """A difference."""
    account, fields = account_of(request), _adjust.read(request)
    command = Adjust(
        account=account,
        amount=fields.amount(signed=True),
        category=fields.choice("category", CATEGORIES, "promotional"),
        expires_at=fields.instant("expires_at"),
        force=fields.flag("force"),
        **fields.said(),
    )
    fields.check()
    return command


def read_set(request: Request) -> SetBalance:
    """A value."""
    account, fields = account_of(request), _set.read(request)
    command = SetBalance(
        account=account,
        amount=fields.amount(zero=True),
        mode=fields.choice("mode", MODES),
        category=fields.choice("category", CATEGORIES, "promotional"),
        expires_at=fields.instant("expires_at"),
        **fields.said(),
    )
    fields.check()
    return command


def write_adjusted(entry: Entry, caller: Caller) -> Adjusted:
    """What was corrected."""
    body, scale = read_body(entry), caller.workspace.scale
    return Adjusted(
        id=entry.id,
        amount=write_amount(entry.amount, scale),
        grant=body.grants[0].id if body.grants else None,
        written_off=write_amount(body.written_off, scale),
        owed=write_amount(sum(amount for _, amount in body.debts), scale),
        **done(entry, scale, body),
    )


_IN_PATH: Final = (in_path("account", "The account's id, percent-encoded.", "user_42"),)
_ADJUSTED: Final[dict[str, Any]] = {
    "id": ENTRY_ID,
    "amount": "50",
    "grant": GRANT_ID,
    "written_off": "0",
    "owed": "0",
    **TOLD,
    "description": "Goodwill",
}

ENDPOINTS: Final = (
    Endpoint(
        path="/v1/accounts/{account}/adjust",
        operation_id="adjustAccount",
        summary="Correct a balance by a difference",
        description="Above zero it is given as a grant, below it is written off in burn order.",
        scope="admin",
        request=AdjustRequest,
        answer=Adjusted,
        example={"amount": "50", "description": "Goodwill"},
        answered=_ADJUSTED,
        codes=frozenset({"account_not_found", "insufficient_credits", "too_many_grants", "balance_limit"}),
        read=read_adjust,
        write=write_adjusted,
        parameters=_IN_PATH,
        keyed=True,
    ),
    Endpoint(
        path="/v1/accounts/{account}/set",
        operation_id="setBalance",
        summary="Set what an account can spend",
        description="Of its grants without scope, and without its overdraft allowance.",
        scope="admin",
        request=SetRequest,
        answer=Adjusted,
        example={"amount": "100", "mode": "difference"},
        answered=_ADJUSTED | {"description": None},
        codes=frozenset({"account_not_found", "insufficient_credits", "too_many_grants", "balance_limit"}),
        read=read_set,
        write=write_adjusted,
        parameters=_IN_PATH,
        keyed=True,
    ),
)
