"""Access: workspaces, their settings, API keys and the audit log; what processes cache hangs on `config_version`.

Each change is one transaction with its audit record, and raises the version, so that every process drops what it has
cached within a second. Secrets never come here: a key is stored as its hash.
"""

import re
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from farthing.core.credentials import Credential, parse_scopes
from farthing.core.records import Workspace, WorkspaceSettings

from .reports import Database, Execute, Row
from .statements import statements

_encode = msgspec.json.Encoder().encode
_settings = msgspec.json.Decoder(WorkspaceSettings)
_WORKSPACE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class AccessError(ValueError):
    """Something about a workspace or a key that can't be done; the message says what."""


class ApiKey(Struct):
    """An API key as it may be shown: all but the secret."""

    id: str
    workspace: str
    hint: str
    name: str
    scopes: list[str]
    created_at: int
    expires_at: int | None
    revoked_at: int | None


class AuditRecord(Struct):
    """Who did what to whom, and when."""

    position: int
    at: int
    actor: str
    request_id: str
    action: str
    subject: str
    entry: str
    detail: dict[str, Any]


class StoredKey(Protocol):
    """What is stored of a new key."""

    @property
    def hash(self) -> bytes:
        """SHA-256 of its text."""
        ...

    @property
    def hint(self) -> str:
        """Its last characters."""
        ...


class Act(Struct, frozen=True):
    """Who acts, when, by which request."""

    actor: str
    at: int
    request_id: str = ""


class Access:
    """Reads and writes of who may ask."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "access")

    # Workspaces

    async def create_workspace(self, workspace: Workspace, act: Act) -> None:
        """Make a workspace; its id, unit and scale stay for ever."""

        def work(execute: Execute) -> None:
            self._insert_workspace(execute, workspace, act)

        await self._db.write(work)

    async def create_first(
        self, workspace: Workspace, key_id: str, key: StoredKey, scopes: frozenset[str], act: Act
    ) -> bool:
        """Make the first workspace and its key in one transaction; False, with nothing changed, when there is one."""

        def work(execute: Execute) -> bool:
            if execute("select 1 from workspace limit 1"):
                return False
            self._insert_workspace(execute, workspace, act)
            self._insert_key(execute, workspace.id, key_id, key.hash, key.hint, "first key", scopes, None, act)
            return True

        return await self._db.write(work)

    def _insert_workspace(self, execute: Execute, w: Workspace, act: Act) -> None:
        if not _WORKSPACE_ID.fullmatch(w.id):
            raise AccessError("a workspace's id has 1 to 64 of the characters A-Z, a-z, 0-9, '.', '_' and '-'")
        if execute(self._sql["workspace_exists"], (w.id,)):
            raise AccessError(f"there is a workspace {w.id!r} already")
        values = (w.id, w.name, w.mode, w.unit, w.scale, w.created_at, _encode(w.settings).decode())
        execute(self._sql["insert_workspace"], values)
        self._changed(execute, w.id, act, "workspace.create", w.id, {"unit": w.unit, "scale": w.scale, "mode": w.mode})

    async def settings(self, workspace: str) -> WorkspaceSettings:
        """A workspace's settings."""
        rows = await self._db.rows(self._sql["settings"], (workspace,))
        if not rows:
            raise AccessError(f"there is no workspace {workspace!r}")
        return _settings.decode(rows[0][0])

    async def change_settings(self, workspace: str, changes: dict[str, Any], act: Act) -> WorkspaceSettings:
        """Change some settings; values are checked against their types and bounds."""

        def work(execute: Execute) -> WorkspaceSettings:
            rows = execute(self._sql["settings"], (workspace,))
            if not rows:
                raise AccessError(f"there is no workspace {workspace!r}")
            before = msgspec.to_builtins(_settings.decode(rows[0][0]))
            settings = _checked({**before, **changes})
            execute(self._sql["update_settings"], (_encode(settings).decode(), workspace))
            self._changed(execute, workspace, act, "settings.change", workspace, {"changes": changes})
            return settings

        return await self._db.write(work)

    # API keys

    async def create_key(
        self, workspace: str, key_id: str, hash: bytes, hint: str, name: str, scopes: frozenset[str], act: Act,
        expires_at: int | None = None,
    ) -> None:  # fmt: skip
        """Store a key's hash; the text was shown to its owner and is kept nowhere."""

        def work(execute: Execute) -> None:
            if not execute(self._sql["workspace_exists"], (workspace,)):
                raise AccessError(f"there is no workspace {workspace!r}")
            if execute(self._sql["key_by_hash"], (hash,)):
                raise AccessError("this key is known already")
            self._insert_key(execute, workspace, key_id, hash, hint, name, scopes, expires_at, act)

        await self._db.write(work)

    def _insert_key(
        self, execute: Execute, workspace: str, key_id: str, hash: bytes, hint: str, name: str, scopes: frozenset[str],
        expires_at: int | None, act: Act,
    ) -> None:  # fmt: skip
        names = ",".join(sorted(scopes))
        execute(self._sql["insert_key"], (key_id, workspace, hash, hint, name, names, act.at, expires_at))
        self._changed(execute, workspace, act, "key.create", key_id, {"name": name, "scopes": names, "hint": hint})

    async def rotate_key(self, key_id: str, new_id: str, new: StoredKey, overlap_until: int, act: Act) -> ApiKey:
        """Store a new key with the old one's name and scopes; the old one works until `overlap_until`."""

        def work(execute: Execute) -> ApiKey:
            old = self._found(execute, key_id)
            if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= act.at):
                raise AccessError(f"the key {key_id} has ended; create a new one")
            scopes = frozenset(old.scopes)
            self._insert_key(execute, old.workspace, new_id, new.hash, new.hint, old.name, scopes, None, act)
            execute(self._sql["end_key"], (overlap_until, key_id, overlap_until))
            self._changed(execute, old.workspace, act, "key.rotate", key_id, {"new": new_id, "until": overlap_until})
            return old

        return await self._db.write(work)

    async def revoke_key(self, key_id: str, act: Act) -> ApiKey:
        """End a key now, everywhere within a second; revoking twice changes nothing."""

        def work(execute: Execute) -> ApiKey:
            key = self._found(execute, key_id)
            if key.revoked_at is None:
                execute(self._sql["revoke_key"], (act.at, key_id))
                self._changed(execute, key.workspace, act, "key.revoke", key_id, {})
            return self._found(execute, key_id)

        return await self._db.write(work)

    async def keys(self, workspace: str) -> list[ApiKey]:
        """All keys of a workspace, oldest first, ended ones included."""
        return [_key(row) for row in await self._db.rows(self._sql["keys"], (workspace,))]

    async def credential(self, hash: bytes) -> Credential | None:
        """What the bearer of a key may do; also for keys that have ended, which the caller checks."""
        rows = await self._db.rows(self._sql["key_by_hash"], (hash,))
        if not rows:
            return None
        id, workspace, mode, scopes, expires_at, revoked_at, settings = rows[0]
        limit = _settings.decode(settings).rate_limit or None
        return Credential(id, workspace, mode, parse_scopes(scopes), expires_at, revoked_at, limit)

    def _found(self, execute: Execute, key_id: str) -> ApiKey:
        rows = execute(self._sql["key"], (key_id,))
        if not rows:
            raise AccessError(f"there is no key {key_id!r}")
        return _key(rows[0])

    # Audit, and what caches hang on

    async def audit(self, workspace: str, *, before: int | None = None, limit: int = 50) -> list[AuditRecord]:
        """The audit log, newest first."""
        position = (1 << 62) if before is None else before
        rows = await self._db.rows(self._sql["audit"], (workspace, position, limit))
        return [_audit_record(row) for row in rows]

    async def accept_clock(self, act: Act) -> None:
        """Tell every serving process that the clock is right as it is, after it has jumped."""

        def work(execute: Execute) -> None:
            execute(self._sql["accept_clock"], (str(act.at),))
            self._changed(execute, "", act, "clock.accept", "clock", {})

        await self._db.write(work)

    async def config_version(self) -> int:
        """Raised by every change of what processes cache."""
        rows = await self._db.rows(self._sql["config_version"])
        return int(rows[0][0])

    def _changed(
        self, execute: Execute, workspace: str, act: Act, action: str, subject: str, detail: dict[str, Any]
    ) -> None:  # fmt: skip
        text = _encode(detail).decode()
        execute(self._sql["insert_audit"], (workspace, act.at, act.actor, act.request_id, action, subject, text))
        execute(self._sql["raise_config_version"])


def _key(row: Row) -> ApiKey:
    return ApiKey(row[0], row[1], row[2], row[3], row[4].split(","), *row[5:])


def _audit_record(row: Row) -> AuditRecord:
    position, at, actor, request_id, action, subject, entry, detail = row
    return AuditRecord(position, at, actor, request_id, action, subject, entry, msgspec.json.decode(detail))


_BOUNDS = {
    "refund_grace_days": (0, 3_650),
    "hold_max_minutes": (1, 525_600),
    "max_live_grants": (1, 10_000),
    "max_live_holds": (1, 1_000_000),
    "rate_limit": (0, 10_000_000),
}


def _checked(values: dict[str, Any]) -> WorkspaceSettings:
    try:
        settings = msgspec.convert(values, WorkspaceSettings)
    except msgspec.ValidationError as error:
        raise AccessError(str(error)) from error
    for name, (least, most) in _BOUNDS.items():
        if not least <= getattr(settings, name) <= most:
            raise AccessError(f"{name} must be from {least:,} to {most:,}")
    return settings
