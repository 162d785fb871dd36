"""Results of administration: API keys, workspaces and the audit log; as `results` has those of the ledger."""

from datetime import datetime
from typing import Any

from .forms import Result, Written


class ApiKey(Written, frozen=True, kw_only=True):
    """An API key as it may be shown."""

    id: str
    name: str
    scopes: list[str]
    hint: str
    """Its last characters."""
    state: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class MadeKey(ApiKey, frozen=True, kw_only=True):
    """An API key that was made."""

    api_key: str | None
    """The key itself, told this once; None where this is a repeat or a dry run."""


class RotatedKey(MadeKey, frozen=True, kw_only=True):
    """An API key that took the place of another."""

    replaces: str
    old_key_ends_at: datetime | None


class WorkspaceLine(Written, frozen=True, kw_only=True):
    """A workspace, as operators see it."""

    id: str
    name: str
    mode: str
    unit: str
    scale: int
    created_at: datetime


class Issuer(Written, frozen=True, kw_only=True):
    """An issuer whose tokens the workspace takes; what is None is not looked at."""

    id: str
    name: str
    algorithm: str
    issuer: str | None
    audience: str | None
    jwks_url: str | None
    claims: dict[str, str | None]
    """Where its tokens say what."""
    created_at: datetime


class User(Result, frozen=True, kw_only=True):
    """A user of the workspace; the id is the name of the account."""

    id: str
    username: str
    email: str
    role: str
    verified: bool
    """Whether the address is known to be this user's."""
    signs_in: str
    """`here`, `elsewhere`, or `not_yet`."""
    created_at: datetime
    updated_at: datetime


class AuditRecord(Result, frozen=True, kw_only=True):
    """One administrative act."""

    id: int
    """Its place in the log."""
    created_at: datetime
    actor: str
    role: str | None
    """Of the actor, where it was a person with a token."""
    action: str
    subject: str
    before: dict[str, Any] | None
    """What was changed, as it was."""
    after: dict[str, Any] | None
    """And as it is since."""
    reason: str | None
    entry: str | None
    """The entry that it wrote."""
    request_id: str | None
    detail: dict[str, Any]


class AccountErased(Written, frozen=True, kw_only=True):
    """What of an account was erased."""

    account: str
    entries: int
    answers: int
    messages: int
    """Of payment providers, and buyers' addresses on orders."""
    open: int
    """Messages that are not carried out yet, and stay till then."""
    acts: int
    user: bool
    archived: bool
    """Entries are archived, and their texts stand in the files."""
