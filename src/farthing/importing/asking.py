"""Asking: what a line of an import file asks of the ledger, as a command. Each has a key made of the file's source and
of what the other system calls it: imported again, it is there already."""

import re
from typing import Any, Final, TypeVar

from msgspec import UNSET, Struct, UnsetType

from farthing.core.commands import Command, CreateAccount, Import, SetAccount, Subscribe, check

from . import values as read
from .form import AccountLine, Amount, DebtLine, GrantLine, PaymentLine, SubscriptionLine, Wrong

SOURCE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
PREFIX: Final = "import:"
C = TypeVar("C", bound=Command)
Brings = GrantLine | DebtLine | PaymentLine
"""Lines that become an entry of kind `import`."""
_CALLED: Final = {"owed": "amount", "credited": "credits", "given_at": "granted_at", "claim": "payment", "key": "id"}
"""What the ledger's fields are called in a file."""


class Into(Struct, frozen=True):
    """Where it all goes."""

    workspace: str
    scale: int
    source: str
    actor: str
    now_us: int
    surveyed: bool = False
    """All lines are known to be right."""


def moves(line: Brings, into: Into) -> tuple[str, int]:
    """The key of the entry that a grant, a debt or a payment becomes, and what it moves."""
    if isinstance(line, GrantLine):
        return _key(into, f"grant:{line.id}"), read.amount(line.remaining, into.scale, "remaining")
    if isinstance(line, DebtLine):
        return _key(into, f"debt:{line.id}"), -read.amount(line.amount, into.scale, "amount")
    return _key(into, f"payment:{line.provider}:{line.object}"), 0


def bring(line: Brings, into: Into) -> Import:
    """That entry, as what is asked for."""
    if isinstance(line, GrantLine):
        return _grant(line, into)
    return _debt(line, into) if isinstance(line, DebtLine) else _payment(line, into)


def _grant(line: GrantLine, into: Into) -> Import:
    remaining = read.amount(line.remaining, into.scale, "remaining")
    granted = remaining if line.granted is None else read.amount(line.granted, into.scale, "granted")
    if not granted:
        raise Wrong("remaining", "is zero of nothing that was granted: leave the line out, or say what was granted")
    return _said(
        Import,
        line,
        into,
        f"grant:{_id(line.id)}",
        granted=granted,
        remaining=remaining,
        category=line.category,
        priority=line.priority,
        expires_at=read.instant_if(line.expires_at, "expires_at"),
        given_at=read.past(line.granted_at, "granted_at", into.now_us),
        scope=line.scope,
        source=line.source or {"system": into.source, "id": line.id},
        claim=None if line.payment is None else (line.payment.provider, line.payment.object),
        description=line.description,
        metadata=read.own_object(line.metadata),
    )


def _debt(line: DebtLine, into: Into) -> Import:
    owed = read.amount(line.amount, into.scale, "amount")
    if not owed or not line.reason.strip():
        raise Wrong("reason" if owed else "amount", "must not be empty" if owed else "must be above zero")
    metadata = read.own_object(line.metadata)
    return _said(Import, line, into, f"debt:{line.id}", owed=owed, description=line.reason, metadata=metadata)


def _payment(line: PaymentLine, into: Into) -> Import:
    return _said(
        Import,
        line,
        into,
        f"payment:{read.name(line.provider, 'provider')}:{read.name(line.object, 'object')}",
        credited=read.amount(line.credits, into.scale, "credits"),
        claim=(line.provider, line.object),
        description=line.description,
        metadata=read.own_object(line.metadata),
    )


def account(line: AccountLine, into: Into) -> tuple[CreateAccount, SetAccount | None]:
    """What opens an account, and what sets what the line says of it."""
    at = read.past(line.opened_at, "opened_at", into.now_us) or 0
    opening = CreateAccount(workspace=into.workspace, account=line.account, actor=into.actor, at=at)
    _check(opening)
    fields = {
        "allowance": _limit(line.allowance, into, "allowance"),
        "frozen": line.frozen,
        "spend_limit_day": _limit(line.spend_limit_day, into, "spend_limit_day"),
        "spend_limit_month": _limit(line.spend_limit_month, into, "spend_limit_month"),
        "timezone": line.timezone,
    }
    given = {name: value for name, value in fields.items() if value is not UNSET}
    return opening, _said(SetAccount, line, into, "account", **given) if given else None


def _limit(value: Amount | UnsetType, into: Into, field: str) -> int | UnsetType:
    return UNSET if isinstance(value, UnsetType) else read.amount(value, into.scale, field)


def subscription(line: SubscriptionLine, into: Into) -> Subscribe:
    """What has a subscription go on here."""
    return _said(
        Subscribe,
        line,
        into,
        "subscription",
        plan=line.plan,
        next_at=read.instant(line.next_at, "next_at"),
        expires_at=read.instant_if(line.expires_at, "expires_at"),
        billed_by=line.billed_by,
        renewed_at=read.past(line.renewed_at, "renewed_at", into.now_us),
    )


def _id(text: str) -> str:
    return read.name(text, "id")


def _said(kind: type[C], line: Any, into: Into, key: str, **fields: Any) -> C:
    command = kind(workspace=into.workspace, account=line.account, key=_key(into, key), actor=into.actor, **fields)
    if not into.surveyed:
        _check(command)
    return command


def _key(into: Into, rest: str) -> str:
    return f"{PREFIX}{into.source}:{rest}"


def _check(command: Command) -> None:
    if wrong := check(command):
        raise Wrong(_CALLED.get(wrong.field, wrong.field), wrong.message)
