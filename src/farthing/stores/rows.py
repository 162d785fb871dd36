"""Rows: records to the columns of the ledger's tables and back, the same on every database."""

from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farthing.core.checkpoint import Checkpoint, read_closed
from farthing.core.ids import bucket_of
from farthing.core.records import (
    Account,
    AccountSettings,
    Audit,
    Charge,
    Delivery,
    Entry,
    Event,
    Grant,
    GrantTerms,
    Hold,
    KeptKey,
    PaymentClaim,
    SessionEnd,
    SessionStart,
    UsageRecord,
    Window,
    Workspace,
    WorkspaceSettings,
)  # fmt: skip
from farthing.core.subscription import Subscription, SubscriptionRow

_encode = msgspec.json.Encoder().encode
_grants = msgspec.json.Decoder(list[Grant])
_settings = msgspec.json.Decoder(AccountSettings)
_window = msgspec.json.Decoder(Window | None)
_terms = msgspec.json.Decoder(GrantTerms)
_subscription = msgspec.json.Decoder(Subscription)


class _Answer(Struct):
    """The text of a kept key."""

    id: str
    kind: str
    amount: int
    balance: int
    held: int
    debt: int
    at: int
    version: int
    actor: str = ""
    request_id: str = ""
    operation: str = ""
    description: str | None = None
    metadata: str | None = None
    body: str = "{}"


_answer = msgspec.json.Decoder(_Answer)
_workspace_settings = msgspec.json.Decoder(WorkspaceSettings)
_NO_SETTINGS = AccountSettings()
_NO_SETTINGS_TEXT = _encode(_NO_SETTINGS).decode()
_NO_SETTINGS_TEXTS = frozenset({_NO_SETTINGS_TEXT, '[0,false,null,null,"UTC"]'})
"""As it is written, and was before there were more of them."""


def read_workspace(row: tuple[Any, ...]) -> Workspace:
    """A workspace from its row."""
    id, name, mode, unit, scale, created_at, settings, told = row
    return Workspace(id, name, mode, unit, scale, created_at, _workspace_settings.decode(settings), told)


def read_account(row: tuple[Any, ...]) -> Account:
    """An account from its row."""
    *columns, grants, settings, spending = row
    known = _NO_SETTINGS if settings in _NO_SETTINGS_TEXTS else _settings.decode(settings)
    return Account(*columns, _grants.decode(grants), known, _window.decode(spending))  # type: ignore[call-arg]


def read_grant(row: tuple[Any, ...]) -> GrantTerms:
    """A grant of the history from (terms, voided, gone)."""
    terms = _terms.decode(row[0])
    return replace(terms, voided=bool(row[1]), gone=row[2])


def entry_row(e: Entry) -> tuple[Any, ...]:
    """The columns of an entry."""
    return (
        e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
        e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash,
    )  # fmt: skip


def account_row(a: Account) -> tuple[Any, ...]:
    """The columns of an account."""
    settings = _NO_SETTINGS_TEXT if a.settings is _NO_SETTINGS else _encode(a.settings).decode()
    return (
        a.workspace, a.id, a.bucket, a.number, a.balance, a.held, a.debt, a.earned, a.spent, a.lapsed, a.written_off,
        a.at, a.head, a.holds, a.lapse_at, a.hold_due_at, _encode(a.grants).decode(), settings,
        "null" if a.window is None else _encode(a.window).decode(),
    )  # fmt: skip


def grant_row(g: GrantTerms, account: Account) -> tuple[Any, ...]:
    """The columns of a grant of the history, but for `gone`."""
    terms = _encode(replace(g, voided=False, gone=0)).decode()
    return (
        g.id, account.workspace, account.id, account.bucket, g.amount, g.created_at, g.expires_at, int(g.voided), terms
    )  # fmt: skip


def hold_row(h: Hold) -> tuple[Any, ...]:
    """The columns of a hold."""
    return (h.id, h.workspace, h.account, h.bucket, h.state, h.expires_at, h.remaining, _encode(h).decode())


def charge_row(x: Charge) -> tuple[Any, ...]:
    """The columns of a charge."""
    return (x.id, x.workspace, x.account, x.bucket, x.debt, _encode(x).decode())


def payment_row(p: PaymentClaim) -> tuple[Any, ...]:
    """The columns of a payment in the directory."""
    return (p.workspace, p.provider, p.object, p.account, p.entry, p.at)


def audit_row(a: Audit) -> tuple[Any, ...]:
    """The columns of an audit record, but for its position."""
    detail = _encode(a.detail or {}).decode()
    return (a.workspace, a.at, a.actor, a.request_id, a.action, a.subject, a.entry, detail)


def read_usage(row: tuple[Any, ...]) -> UsageRecord:
    """A usage record from its row."""
    *columns, unpriced = row
    return UsageRecord(*(*columns, bool(unpriced)))


def usage_row(u: UsageRecord) -> tuple[Any, ...]:
    """The columns of a usage record."""
    return (
        u.id, u.workspace, u.account, u.bucket, u.at, u.booked_at, u.service, u.operation, u.provider, u.model, u.chat,
        u.input_tokens, u.output_tokens, u.tokens, u.amount, u.cost, int(u.unpriced),
    )  # fmt: skip


_KEPT_COLUMNS: Final = (
    "id", "kind", "amount", "balance", "held", "debt", "at", "actor", "request_id", "operation", "description",
    "metadata", "body", "version",
)  # fmt: skip
_TELLS_METADATA: Final = "v1:"
"""Keys of this face: its answers tell metadata, all others' leave it out."""


def kept_key_row(k: KeptKey, number: int) -> tuple[Any, ...]:
    """The columns of a kept key: what its answer is told from, and no more."""
    answer = write_answer(k.answer, tells_metadata=k.key.startswith(_TELLS_METADATA))
    return (k.workspace, k.key, k.account, k.bucket, number, k.fingerprint, answer)


def write_answer(entry: Entry, *, tells_metadata: bool = True) -> str:
    """What an answer is told from, as it is kept."""
    told = {name: getattr(entry, name) for name in _KEPT_COLUMNS}
    if not tells_metadata:
        told["metadata"] = None
    return _encode({name: value for name, value in told.items() if value not in (None, "")}).decode()


def read_kept_key(row: tuple[Any, ...]) -> Entry:
    """The entry that a kept key's first answer was told from, but for its place in the books: number and hash."""
    workspace, key, account, bucket, number, fingerprint, answer = row
    return _answered(answer, workspace, account, bucket, number, key, fingerprint)


def read_claim_answer(workspace: str, account: str, answer: str) -> Entry:
    """The entry that credited a payment, where the payment has kept what its answer is told from."""
    return _answered(answer, workspace, account, bucket_of(workspace, account), 0, None, None)


def _answered(
    answer: str, workspace: str, account: str, bucket: int, number: int, key: str | None, fingerprint: bytes | None
) -> Entry:  # fmt: skip
    told = _answer.decode(answer)
    return Entry(
        workspace, account, bucket, number, told.id, told.kind, told.amount, told.balance, told.held, told.debt,
        told.at, key, fingerprint, told.actor, told.request_id, told.operation, told.description, told.metadata,
        told.body, told.version, b"",
    )  # fmt: skip


def read_checkpoint(row: tuple[Any, ...]) -> Checkpoint:
    """A checkpoint from (state, used_until, archive, made_at)."""
    return Checkpoint(read_closed(row[0]), *row[1:])


def session_row(s: SessionStart) -> tuple[Any, ...]:
    """The columns of a streaming session that begins."""
    return (s.workspace, s.account, s.bucket, s.session, s.hold, s.model, s.estimated, s.started_at)


def session_end_row(s: SessionEnd) -> tuple[Any, ...]:
    """What changes when it ends, and by what it is found."""
    return (s.ended_at, int(s.failed), s.workspace, s.account, s.session, s.bucket)


def subscription_row(r: SubscriptionRow) -> tuple[Any, ...]:
    """The columns of a subscription."""
    s = r.subscription
    terms = _encode(s).decode()
    return (r.workspace, r.account, r.bucket, s.id, s.plan, s.billed_by, s.next_at, s.ends_at, s.ended_at, terms)


def event_row(e: Event) -> tuple[Any, ...]:
    """The columns of an event."""
    return (e.workspace, e.id, e.bucket, e.type, e.account, e.at, _encode(e.data).decode(), e.once or None)


def delivery_row(d: Delivery) -> tuple[Any, ...]:
    """The columns of the outbox."""
    return (d.workspace, d.endpoint, d.bucket, d.due_at, d.event, d.account, d.number, 0)


def read_event(row: tuple[Any, ...]) -> Event:
    """An event from its row."""
    workspace, id, bucket, type, account, at, data = row
    return Event(id, workspace, account, bucket, type, at, msgspec.json.decode(data))


def read_subscription(terms: str) -> Subscription:
    """A subscription from its row's text."""
    return _subscription.decode(terms)
