"""Between the CountWerk wire and the ledger: `read_*` makes commands, `write_*` answers, `ask_*` asks the reports.

Fields are checked in the order of the contract's table, each first for being there, then for being right; the first
that fails names the code. A body without any field is `MISSING_REQUIRED_FIELDS`. `null` is the same as leaving out.

| endpoint | order of the checks |
| --- | --- |
| balance | account_id |
| deduct | account_id, operation, amount, usage_event_id (or the header Idempotency-Key), description, metadata |
| reserve | account_id, operation, amount, validityMinutes, description, the header Idempotency-Key |
| confirm-reservation | reservationId, actualAmount, description |
| cancel-reservation | reservationId, reason |
| add | account_id, amount, source, its productId, orderId, transactionId, description |
| transactions | account_id, limit, cursor |

Before them: credential, rate limit, scope, size and arrival of the body, content type, JSON. Answers are written from
the entry alone, so that a replay reads the same.
"""

from typing import Any, Final

from msgspec import UNSET, Raw, UnsetType

from farthing.core.amounts import write_number
from farthing.core.commands import MINUTE_US, GiveGrant, PlaceHold, Release, Settle, TakeCharge
from farthing.core.records import Account, Entry
from farthing.core.records import Body as Details
from farthing.core.refundable import read_body
from farthing.core.view import next_expiration, unscoped_balance
from farthing.stores.reports import Reports

from ..endpoint import Caller, Request, write_time
from . import fields as read
from .fields import Body
from .wire import (
    Added,
    AddRequest,
    Balance,
    BalanceRequest,
    Cancelled,
    CancelRequest,
    Confirmed,
    ConfirmRequest,
    Deducted,
    DeductRequest,
    Reserved,
    ReserveRequest,
    Transaction,
    Transactions,
    TransactionsRequest,
)

PROVIDER: Final = "digistore24"
"""Whose payment `source.transactionId` names."""

_balance, _deduct, _reserve, _confirm, _cancel, _add, _transactions = (
    Body(t)
    for t in (
        BalanceRequest,
        DeductRequest,
        ReserveRequest,
        ConfirmRequest,
        CancelRequest,
        AddRequest,
        TransactionsRequest,
    )
)


# Reading: from the wire to a command


def read_deduct(request: Request) -> TakeCharge:
    """A charge, keyed by its usage."""
    body, caller = _deduct.read(request), request.caller
    account = read.account(body.account_id, _deduct, request)
    operation = read.operation(body.operation)
    amount, asked = read.amount(body.amount, caller.workspace.scale)
    event = read.event(body.usage_event_id, request)
    return TakeCharge(
        workspace=caller.workspace.id,
        account=account,
        key="cw.deduct:" + event,
        actor=caller.actor,
        request_id=request.id.decode(),
        description=read.words(body.description),
        metadata=read.metadata(body.metadata),
        operation=operation,
        asked=asked,
        amount=amount,
    )


def read_reserve(request: Request) -> PlaceHold:
    """A hold; without the header Idempotency-Key a repeat is a new one."""
    body, caller = _reserve.read(request), request.caller
    account = read.account(body.account_id, _reserve, request)
    operation = read.operation(body.operation)
    amount, asked = read.amount(body.amount, caller.workspace.scale)
    minutes = read.minutes(body.validityMinutes)
    description = read.words(body.description)
    key = read.header_key(request)
    return PlaceHold(
        workspace=caller.workspace.id,
        account=account,
        key=None if key is None else "cw.reserve:" + key,
        actor=caller.actor,
        request_id=request.id.decode(),
        description=description,
        operation=operation,
        asked=asked,
        amount=amount,
        ttl=minutes * MINUTE_US,
    )


def read_confirm(request: Request) -> Settle:
    """A settle, keyed by its hold: confirming twice is confirming once."""
    body, caller = _confirm.read(request), request.caller
    hold = read.reservation(body.reservationId, _confirm, request)
    amount, asked = None, ""
    if body.actualAmount is not None:
        amount, asked = read.amount(body.actualAmount, caller.workspace.scale, "actualAmount", zero=True)
    return Settle(
        workspace=caller.workspace.id,
        account="",
        key="cw.confirm:" + hold,
        actor=caller.actor,
        request_id=request.id.decode(),
        description=read.words(body.description),
        asked=asked,
        hold=hold,
        amount=amount,
    )


def read_cancel(request: Request) -> Release:
    """A release, keyed by its hold."""
    body, caller = _cancel.read(request), request.caller
    hold = read.reservation(body.reservationId, _cancel, request)
    return Release(
        workspace=caller.workspace.id,
        account="",
        key="cw.cancel:" + hold,
        actor=caller.actor,
        request_id=request.id.decode(),
        description=read.words(body.reason, "reason"),
        hold=hold,
    )


def read_add(request: Request) -> GiveGrant:
    """A grant for a payment, which is claimed with it: whoever tells of the payment, it is credited once."""
    body, caller = _add.read(request), request.caller
    account = read.account(body.account_id, _add, request)
    amount, asked = read.amount(body.amount, caller.workspace.scale)
    source = read.source(body.source)
    payment = source["transactionId"]
    return GiveGrant(
        workspace=caller.workspace.id,
        account=account,
        key="cw.add:" + payment,
        actor=caller.actor,
        request_id=request.id.decode(),
        description=read.words(body.description),
        asked=asked,
        amount=amount,
        source=source,
        claim=(PROVIDER, payment),
    )


# Writing: from an entry to the wire


def _balance_after(entry: Entry, details: Details, scale: int) -> Any:
    return write_number(entry.balance - details.scoped, scale)


def _given(words: str | None) -> str | UnsetType:
    return UNSET if words is None else words


def write_deduct(entry: Entry, caller: Caller) -> Deducted:
    """What was charged."""
    details, scale = read_body(entry), caller.workspace.scale
    return Deducted(
        entry.id,
        _balance_after(entry, details, scale),
        write_number(details.spent, scale),
        entry.operation,
        _given(entry.description),
    )


def write_reserve(entry: Entry, caller: Caller) -> Reserved:
    """What was set aside."""
    hold = read_body(entry).hold
    assert hold is not None, "what a hold's entry made"
    assert hold.expires_at is not None, "a new hold has an end"
    amount = write_number(hold.amount, caller.workspace.scale)
    return Reserved(hold.id, entry.operation, amount, write_time(hold.expires_at), _given(entry.description))


def write_confirm(entry: Entry, caller: Caller) -> Confirmed:
    """What was taken."""
    details = read_body(entry)
    taken = write_number(details.spent, caller.workspace.scale)
    return Confirmed(details.ref, True, taken, _given(entry.description))


def write_cancel(entry: Entry, caller: Caller) -> Cancelled:
    """That nothing was taken."""
    return Cancelled(read_body(entry).ref, True, _given(entry.description))


def write_add(entry: Entry, caller: Caller) -> Added:
    """What was given."""
    details, scale = read_body(entry), caller.workspace.scale
    # What another system had credited may be spent by now, and have come without its grant.
    given = details.grants[0].amount if details.grants else details.credited
    return Added(entry.id, _balance_after(entry, details, scale), write_number(given, scale))


# Asking the reports


async def ask_balance(request: Request, reports: Reports, now_us: int) -> Balance:
    """What the account has; one that was never seen has nothing."""
    body, caller = _balance.read(request), request.caller
    account_id = read.account(body.account_id, _balance, request)
    account = await reports.account(caller.workspace.id, account_id, now_us)
    if account is None:
        return Balance(0, 0, 0, 0, 0, None)
    scale = caller.workspace.scale
    balance, reserved = unscoped_balance(account), _reserved(account)
    expires = next_expiration(account)
    return Balance(
        write_number(balance, scale),
        write_number(reserved, scale),
        write_number(balance - reserved, scale),
        write_number(account.earned, scale),
        write_number(account.spent, scale),
        None if expires is None else write_time(expires),
    )


def _reserved(account: Account) -> int:
    # `balance` leaves scoped grants out, so what is held of them must not be taken off it.
    return account.held - sum(g.held for g in account.grants if g.scope)


async def ask_transactions(request: Request, reports: Reports, now_us: int) -> Transactions:
    """A page of what moved the balance."""
    body, caller = _transactions.read(request), request.caller
    account = read.account(body.account_id, _transactions, request)
    limit = read.limit(body.limit)
    workspace, scale = caller.workspace.id, caller.workspace.scale
    before = read.cursor(body.cursor, workspace, account)
    # One more than asked for tells whether there is a page after this one.
    entries = await reports.entries(workspace, account, before=before, limit=limit + 1, moves_only=True)
    page = entries[:limit]
    more = read.write_cursor(workspace, account, page[-1].number) if len(entries) > limit else None
    return Transactions([_transaction(entry, scale) for entry in page], more)


def _transaction(e: Entry, scale: int) -> Transaction:
    return Transaction(
        e.id,
        e.kind,
        write_number(e.amount, scale),
        _balance_after(e, read_body(e), scale),
        e.operation or None,
        e.description,
        None if e.metadata is None else Raw(e.metadata.encode()),
        write_time(e.at),
    )
