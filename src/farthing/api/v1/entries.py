"""Entries: an account's history, and one line of it. Every kind is listed; a filter chooses some."""

from typing import Any, Final

from msgspec import Raw, Struct

from farthing.core.amounts import write_amount
from farthing.core.records import Body, Entry
from farthing.core.refundable import read_body
from farthing.core.view import ENTRY_KINDS

from ..endpoint import Endpoint, Parameter, Request
from .desk import Desk
from .parameters import in_path, parameter
from .reading import FROM_TO, PAGING, Listed, Params, listed_example, named, not_found
from .wire import Credits, OwnObject, Time, write_time

NEWEST: Final = "newest"
_ORDERS: Final = (NEWEST, "oldest")


class GrantSlice(Struct):
    """What an entry did to one grant."""

    grant: str
    amount: Credits
    """Change of its remaining credits."""
    held: Credits
    """Change of what is held in it."""


class EntrySubscription(Struct):
    """A subscription as an entry left it."""

    id: str
    plan: str
    period_at: Time | None
    next_at: Time
    pending_plan: str | None
    """The plan that comes with the next renewal."""


class EntryLine(Struct):
    """One line of the ledger."""

    id: str
    account: str
    number: int
    """1, 2, 3 without a gap."""
    kind: str
    amount: Credits
    """Change of the balance."""
    balance: Credits
    """After it; live grants less debt, what is held included."""
    held: Credits
    debt: Credits
    created_at: Time
    operation: str | None
    description: str | None
    metadata: OwnObject
    key: str | None
    """The idempotency key that it was done under; its beginning says by which way it came: `v1:` for this API."""
    actor: str
    request_id: str | None
    ref: str | None
    """The hold, grant or charge that the request named."""
    slices: list[GrantSlice]
    grants: list[str]
    """Grants that it made."""
    subscription: EntrySubscription | None
    """The account's subscription after it, where it changed that."""
    unpaid: Credits
    """What there was not enough for, and was not taken."""
    hash: str


def write_entry(entry: Entry, scale: int) -> EntryLine:
    """An entry on the wire."""
    body = read_body(entry)
    return EntryLine(
        id=entry.id,
        account=entry.account,
        number=entry.number,
        kind=entry.kind,
        amount=write_amount(entry.amount, scale),
        balance=write_amount(entry.balance, scale),
        held=write_amount(entry.held, scale),
        debt=write_amount(entry.debt, scale),
        created_at=write_time(entry.at),
        operation=entry.operation or None,
        description=entry.description,
        metadata=None if entry.metadata is None else Raw(entry.metadata.encode()),
        key=entry.key,
        actor=entry.actor,
        request_id=entry.request_id or None,
        ref=body.ref or None,
        slices=[GrantSlice(g, write_amount(r, scale), write_amount(h, scale)) for g, r, h in body.slices],
        grants=[terms.id for terms in body.grants],
        subscription=_subscription(body),
        unpaid=write_amount(body.unpaid, scale),
        hash=entry.hash.hex(),
    )


def _subscription(body: Body) -> EntrySubscription | None:
    s = body.subscription
    if s is None:
        return None
    return EntrySubscription(
        s.id, s.plan, None if s.period_at is None else write_time(s.period_at), write_time(s.next_at),
        s.pending.plan if s.pending else None,
    )  # fmt: skip


async def list_entries(request: Request, desk: Desk) -> Listed[EntryLine]:
    """A page of an account's entries."""
    params = Params(request, "kind", "from", "to", "order", "limit", "cursor")
    account, scale = named(request, "account", "account"), request.caller.workspace.scale
    kinds, (since, until) = params.choices("kind", ENTRY_KINDS), params.span()
    oldest_first = params.choice("order", _ORDERS, NEWEST) != NEWEST
    turn = await params.turn(desk, "entries", account=account)
    page = await desk.directory.entries(
        turn.workspace, account, kinds=kinds, since=since, until=until, oldest_first=oldest_first, after=turn.after,
        limit=turn.limit,
    )  # fmt: skip
    if page is None:
        raise not_found("account")
    return await turn.told([write_entry(entry, scale) for entry in page.items], page.next)


async def show_entry(request: Request, desk: Desk) -> EntryLine:
    """One entry."""
    Params(request).check()
    id, workspace = named(request, "id", "entry"), request.caller.workspace
    entry = await desk.reports.entry(workspace.id, id)
    if entry is None:
        raise not_found("entry")
    return write_entry(entry, workspace.scale)


_EXAMPLE: Final[dict[str, Any]] = {
    "id": "ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f", "account": "user_42", "number": 7, "kind": "charge", "amount": "-5",
    "balance": "895", "held": "0", "debt": "0", "created_at": "2026-01-01T12:00:00.000000Z",
    "operation": "chat.message", "description": "A chat message", "metadata": {"model": "gpt-4o"},
    "key": "v1:chat-7f3a-0001", "actor": "key:key_0198c5f0a1b27c3d8e4f5a6b7c8d9000", "request_id": "req_7d1f00000001",
    "ref": None, "slices": [{"grant": "grt_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f", "amount": "-5", "held": "0"}],
    "grants": [], "subscription": None, "unpaid": "0", "hash": "9f2c" * 16,
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/entries",
        operation_id="listEntries",
        summary="An account's history",
        description="Newest first, or oldest first. Entries of some kinds only, or of some time. What time has done "
        "(lapses, holds that ended) is booked within a minute.",
        scope="read",
        own=True,
        request=None,
        answer=Listed[EntryLine],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"account_not_found", "cursor_invalid"}),
        act=list_entries,
        parameters=(
            in_path("account", "The account's id.", "user_42"),
            Parameter(
                name="kind",
                place="query",
                description="Those of some kinds, separated by commas.",
                schema={"type": "array", "items": {"type": "string", "enum": list(ENTRY_KINDS)}, "minItems": 1},
                example=["charge", "refund"],
            ),
            *FROM_TO,
            parameter("order", "Which comes first.", enum=list(_ORDERS), default=NEWEST),
            *PAGING,
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/entries/{id}",
        operation_id="showEntry",
        summary="One entry",
        description="By its id.",
        scope="read",
        request=None,
        answer=EntryLine,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"entry_not_found"}),
        act=show_entry,
        parameters=(in_path("id", "The entry's id.", _EXAMPLE["id"]),),
    ),
)
