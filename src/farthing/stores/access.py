"""Access: workspaces, their settings, API keys, keys of operators and the audit log; what processes cache hangs on
`config_version`.

Each change is one transaction with its audit record, and raises the version, so that every process drops what it has
cached within a second. A change under a key of its caller's (`Once`) enters that key beside the record, which keeps
what was answered. Secrets never come here: a key is stored as its hash.
"""

import re
from typing import Any

import msgspec

from farthing.core.credentials import OPERATOR, Credential, parse_scopes
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.core.view import etag

from .acts import (
    AccessError,
    Act,
    Acts,
    ApiKey,
    AuditRecord,
    Once,
    Rotated,
    StoredKey,
    checked_settings,
    read_audit,
    read_key,
)
from .pages import LAST, Page, Position, cut, window_of
from .reports import Database, Execute, Row
from .rows import read_workspace
from .statements import statements

__all__ = ["Access", "AccessError", "Act", "ApiKey", "AuditRecord", "Once", "Rotated", "StoredKey"]

_encode = msgspec.json.Encoder().encode
_settings = msgspec.json.Decoder(WorkspaceSettings)
_WORKSPACE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Access:
    """Reads and writes of who may ask."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "access")
        acts = Acts(db)
        self._once, self._changed = acts.once, acts.changed

    async def _rows(self, name: str, *values: Any) -> list[Row]:
        return await self._db.rows(self._sql[name], values)

    # Workspaces

    async def create_workspace(self, workspace: Workspace, act: Act, once: Once | None = None) -> Workspace:
        """Make a workspace; its id, unit and scale stay for ever. The key of `once` is one of the operators'."""

        async def work(execute: Execute) -> Workspace:
            return await self._insert_workspace(execute, workspace, act, once)

        return await self._once(once, "", "workspace.create", Workspace, work)

    async def create_first(
        self, workspace: Workspace, key_id: str, key: StoredKey, scopes: frozenset[str], act: Act
    ) -> bool:
        """Make the first workspace and its key in one transaction; False, with nothing changed, when there is one."""

        async def work(execute: Execute) -> bool:
            if await execute("select 1 from workspace limit 1"):
                return False
            await self._insert_workspace(execute, workspace, act)
            made = _new_key(workspace.id, key_id, key.hint, "first key", scopes, act)
            await self._insert_key(execute, made, key, act)
            return True

        return await self._db.write(work)

    async def _insert_workspace(self, execute: Execute, w: Workspace, act: Act, once: Once | None = None) -> Workspace:
        if not _WORKSPACE_ID.fullmatch(w.id):
            message = "a workspace's id has 1 to 64 of the characters A-Z, a-z, 0-9, '.', '_' and '-'"
            raise AccessError(message, field="id")
        if await execute(self._sql["workspace_exists"], (w.id,)):
            raise AccessError(f"there is a workspace {w.id!r} already", "workspace_exists", field="id")
        values = (w.id, w.name, w.mode, w.unit, w.scale, w.created_at, _encode(w.settings).decode())
        await execute(self._sql["insert_workspace"], values)
        facts = {"after": {"unit": w.unit, "scale": w.scale, "mode": w.mode}}
        await self._changed(execute, w.id, act, "workspace.create", w.id, facts, once, w, keys_of="")
        return w

    async def workspaces(self, *, after: Position | None = None, limit: int = 50) -> Page[Workspace]:
        """A page of all workspaces, in the order of their ids."""
        rows = await self._rows("workspaces_page", str(after[0]) if after else "", limit + 1)
        return cut([read_workspace(row) for row in rows], limit, limit + 1, lambda w: (w.id,))

    async def settings(self, workspace: str) -> WorkspaceSettings:
        """A workspace's settings."""
        return self._settings_in(await self._rows("settings", workspace), workspace)

    def _settings_in(self, rows: list[Row], workspace: str) -> WorkspaceSettings:
        if not rows:
            raise _no_workspace(workspace)
        return _settings.decode(rows[0][0])

    async def change_settings(
        self, workspace: str, changes: dict[str, Any], act: Act, *, expected: str | None = None,
        once: Once | None = None,
    ) -> WorkspaceSettings:  # fmt: skip
        """Change some settings; values are checked against their types and bounds. With `expected`, only where the
        settings are still those that it is the `etag` of."""

        async def work(execute: Execute) -> WorkspaceSettings:
            before = self._settings_in(await execute(self._sql["settings"], (workspace,)), workspace)
            if expected is not None and expected != etag(before):
                raise AccessError("the settings are not what they were when you read them", "precondition_failed")
            settings = checked_settings(before, changes)
            if settings.login_host != before.login_host:
                await self._require_own_host(execute, workspace, settings.login_host)
            await execute(self._sql["update_settings"], (_encode(settings).decode(), workspace))
            detail = {
                "before": {name: getattr(before, name) for name in changes},
                "after": {name: getattr(settings, name) for name in changes},
            }
            await self._changed(execute, workspace, act, "settings.change", workspace, detail, once, settings)
            return settings

        return await self._once(once, workspace, "settings.change", WorkspaceSettings, work)

    async def _require_own_host(self, execute: Execute, workspace: str, host: str) -> None:
        """Refuse the host name of another workspace: nobody could sign in there any more."""
        rows = await execute(self._sql["settings_of_others"], (workspace,))
        if host and any(_settings.decode(row[0]).login_host == host for row in rows):
            raise AccessError("login_host belongs to another workspace", field="login_host")

    # API keys

    async def create_key(
        self, workspace: str, key_id: str, hash: bytes, hint: str, name: str, scopes: frozenset[str], act: Act,
        expires_at: int | None = None, *, first: bool = False, once: Once | None = None,
    ) -> ApiKey:  # fmt: skip
        """Store a key's hash; the text was shown to its owner and is kept nowhere. `first`: only where the workspace
        has none, and under a key of the operators'."""
        keys_of = "" if first else workspace
        made = _new_key(workspace, key_id, hint, name, scopes, act, expires_at)

        async def work(execute: Execute) -> ApiKey:
            if not await execute(self._sql["workspace_exists"], (workspace,)):
                raise _no_workspace(workspace)
            if first and await execute(self._sql["has_key"], (workspace,)):
                message = f"the workspace {workspace} has keys of its own; those of scope admin make more"
                raise AccessError(message, "key_exists")
            if expires_at is not None and expires_at <= act.at:
                raise AccessError("must be in the future", field="expires_at")
            if await execute(self._sql["key_by_hash"], (hash,)):
                raise AccessError("this key is known already", "key_exists")
            return await self._insert_key(execute, made, _Stored(hash, hint), act, once, keys_of)

        return await self._once(once, keys_of, "key.create", ApiKey, work)

    async def _insert_key(
        self, execute: Execute, made: ApiKey, key: StoredKey, act: Act, once: Once | None = None,
        keys_of: str | None = None,
    ) -> ApiKey:  # fmt: skip
        names = ",".join(made.scopes)
        values = (made.id, made.workspace, key.hash, made.hint, made.name, names, made.created_at, made.expires_at)
        await execute(self._sql["insert_key"], values)
        detail = {"after": {"name": made.name, "scopes": names, "hint": made.hint, "expires_at": made.expires_at}}
        await self._changed(execute, made.workspace, act, "key.create", made.id, detail, once, made, keys_of=keys_of)
        return made

    async def rotate_key(
        self, key_id: str, new_id: str, new: StoredKey, overlap_until: int, act: Act, *,
        workspace: str | None = None, once: Once | None = None,
    ) -> Rotated:  # fmt: skip
        """Store a new key with the old one's name and scopes; the old one works until `overlap_until`."""

        async def work(execute: Execute) -> Rotated:
            old = await self._found(execute, key_id, workspace)
            if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= act.at):
                raise AccessError(f"the key {key_id} has ended; create a new one", "key_ended")
            made = _new_key(old.workspace, new_id, new.hint, old.name, frozenset(old.scopes), act)
            await self._insert_key(execute, made, new, act)
            await execute(self._sql["end_key"], (overlap_until, key_id, overlap_until))
            rotated = Rotated(await self._found(execute, key_id, workspace), made)
            detail = {
                "before": {"expires_at": old.expires_at},
                "after": {"expires_at": rotated.old.expires_at, "replaced_by": new_id},
            }
            await self._changed(execute, old.workspace, act, "key.rotate", key_id, detail, once, rotated)
            return rotated

        return await self._once(once, workspace or "", "key.rotate", Rotated, work)

    async def revoke_key(
        self, key_id: str, act: Act, *, workspace: str | None = None, once: Once | None = None
    ) -> ApiKey:
        """End a key now, everywhere within a second; revoking twice changes nothing."""

        async def work(execute: Execute) -> ApiKey:
            key = await self._found(execute, key_id, workspace)
            before = key.revoked_at
            if key.revoked_at is None:
                await execute(self._sql["revoke_key"], (act.at, key_id))
                key.revoked_at = act.at
            elif once is None:
                return key
            detail = {"before": {"revoked_at": before}, "after": {"revoked_at": key.revoked_at}}
            await self._changed(execute, key.workspace, act, "key.revoke", key_id, detail, once, key)
            return key

        return await self._once(once, workspace or "", "key.revoke", ApiKey, work)

    async def keys(self, workspace: str) -> list[ApiKey]:
        """All keys of a workspace, oldest first, ended ones included."""
        return [read_key(row) for row in await self._rows("keys", workspace)]

    async def keys_page(self, workspace: str, *, after: Position | None = None, limit: int = 50) -> Page[ApiKey]:
        """A page of them."""
        rows = await self._rows("keys_page", workspace, *(after or (-1, "")), limit + 1)
        return cut([read_key(row) for row in rows], limit, limit + 1, lambda key: (key.created_at, key.id))

    async def key(self, workspace: str, key_id: str) -> ApiKey | None:
        """One key of a workspace."""
        found = [read_key(row) for row in await self._rows("key", key_id)]
        return found[0] if found and found[0].workspace == workspace else None

    async def credential(self, hash: bytes) -> Credential | None:
        """What the bearer of a key may do; also for keys that have ended, which the caller checks."""
        rows = await self._rows("key_by_hash", hash)
        if not rows:
            return await self._operator(hash)
        id, workspace, mode, scopes, expires_at, revoked_at, settings = rows[0]
        limit = _settings.decode(settings).rate_limit or None
        return Credential(id, workspace, mode, parse_scopes(scopes), expires_at, revoked_at, limit)

    async def _found(self, execute: Execute, key_id: str, workspace: str | None) -> ApiKey:
        rows = await execute(self._sql["key"], (key_id,))
        if not rows or workspace not in (None, rows[0][1]):
            raise AccessError(f"there is no key {key_id!r}", "key_not_found")
        return read_key(rows[0])

    # Operators: they make workspaces, and belong to none

    async def create_operator(
        self, key_id: str, key: StoredKey, name: str, act: Act, expires_at: int | None = None
    ) -> ApiKey:
        """Store the key of an operator."""
        made = _new_key("", key_id, key.hint, name, frozenset({OPERATOR}), act, expires_at)

        async def work(execute: Execute) -> ApiKey:
            await execute(self._sql["insert_operator"], (key_id, key.hash, key.hint, name, act.at, expires_at))
            detail = {"after": {"name": name, "hint": key.hint, "expires_at": expires_at}}
            await self._changed(execute, "", act, "operator.create", key_id, detail)
            return made

        return await self._db.write(work)

    async def revoke_operator(self, key_id: str, act: Act) -> ApiKey:
        """End an operator's key now; revoking twice changes nothing."""

        async def work(execute: Execute) -> ApiKey:
            rows = await execute(self._sql["operator"], (key_id,))
            if not rows:
                raise AccessError(f"there is no operator's key {key_id!r}", "key_not_found")
            if rows[0][-1] is None:
                await execute(self._sql["revoke_operator"], (act.at, key_id))
                detail = {"before": {"revoked_at": None}, "after": {"revoked_at": act.at}}
                await self._changed(execute, "", act, "operator.revoke", key_id, detail)
            return read_key((await execute(self._sql["operator"], (key_id,)))[0])

        return await self._db.write(work)

    async def operators(self) -> list[ApiKey]:
        """All keys of operators, oldest first, ended ones included."""
        return [read_key(row) for row in await self._rows("operators")]

    async def _operator(self, hash: bytes) -> Credential | None:
        rows = await self._rows("operator_by_hash", hash)
        return Credential(rows[0][0], "", "oper", frozenset({OPERATOR}), *rows[0][1:]) if rows else None

    # Audit, secrets, and what caches hang on

    async def audit(self, workspace: str, *, limit: int = 50) -> list[AuditRecord]:
        """The newest records of the audit log, newest first."""
        return (await self.audit_page(workspace, limit=limit)).items

    async def audit_page(
        self, workspace: str, *, actor: str | None = None, action: str | None = None, subject: str | None = None,
        role: str | None = None, since: int | None = None, until: int | None = None, before: Position | None = None,
        limit: int = 50,
    ) -> Page[AuditRecord]:  # fmt: skip
        """A page of the audit log, newest first; from `since` on and before `until`."""

        def keep(r: AuditRecord) -> bool:
            wanted = ((actor, r.actor), (action, r.action), (subject, r.subject), (role, r.role))
            return all(value in (None, found) for value, found in wanted)

        window = window_of(limit, any(value is not None for value in (actor, action, subject, role)))
        end = LAST if until is None else until
        rows = await self._rows("audit", workspace, since or 0, end, *(before or (LAST, LAST)), window)
        return cut([read_audit(row) for row in rows], limit, window, lambda r: (r.at, r.position), keep)

    async def secret(self, name: str, new: str) -> str:
        """A secret of this ledger's processes; `new` becomes it where there is none."""

        async def work(execute: Execute) -> str:
            await execute(self._sql["make_secret"], (name, new))
            return str((await execute(self._sql["config_value"], (name,)))[0][0])

        rows = await self._rows("config_value", name)
        return str(rows[0][0]) if rows else await self._db.write(work)

    async def config_version(self) -> int:
        """The version that what processes cache hangs on; every change of that raises it."""
        return int((await self._rows("config_value", "version"))[0][0])

    async def accept_clock(self, act: Act) -> None:
        """Tell every serving process that the clock is right as it is, after it has jumped."""

        async def work(execute: Execute) -> None:
            await execute(self._sql["accept_clock"], (str(act.at),))
            await self._changed(execute, "", act, "clock.accept", "clock", {})

        await self._db.write(work)


class _Stored(msgspec.Struct, frozen=True):
    hash: bytes
    hint: str


def _new_key(
    workspace: str, id: str, hint: str, name: str, scopes: frozenset[str], act: Act, expires_at: int | None = None
) -> ApiKey:  # fmt: skip
    return ApiKey(id, workspace, hint, name, sorted(scopes), act.at, expires_at, None)


def _no_workspace(workspace: str) -> AccessError:
    return AccessError(f"there is no workspace {workspace!r}", "workspace_not_found")
