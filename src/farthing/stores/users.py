"""Users: the records of people, found by id, name or address. They follow the tokens that people come with, or are made
and changed by hand: each such change is an act with its audit record.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from farthing.core.commands import DAY_US
from farthing.core.people import Person, Role, User, key_of

from .acts import AccessError, Act
from .pages import Page, Position, cut
from .reports import Database, Execute, Row
from .statements import statements

_encode = msgspec.json.Encoder().encode
UNVERIFIED_US: Final = DAY_US
"""How long a name and an address are kept for who has not shown that the address is his."""


class Users:
    """Reads and writes of who there is."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "users")
        self._logins = statements(db.dialect, "logins")
        self._deeds = Deeds(db)

    async def _one(self, name: str, *values: Any) -> User | None:
        rows = await self._db.rows(self._sql[name], values)
        return read_user(rows[0]) if rows else None

    async def get(self, workspace: str, user: str) -> User | None:
        """The user of that id."""
        return await self._one("user", workspace, user)

    async def by_email(self, workspace: str, email: str) -> User | None:
        """Who has that address."""
        return await self._one("user_by_email", workspace, key_of(email))

    async def by_username(self, workspace: str, username: str) -> User | None:
        """Who has that name."""
        return await self._one("user_by_username", workspace, key_of(username))

    async def find(self, workspace: str, text: str) -> User | None:
        """Whoever is meant by an id, else by an address or a name: what has an `@` is never the name of somebody, who
        could have taken it for the address of another."""
        found = await self.get(workspace, text)
        return found or await (self.by_email if "@" in text else self.by_username)(workspace, text)

    async def page(self, workspace: str, *, after: Position | None = None, limit: int = 50) -> Page[User]:
        """A page of all, oldest first."""
        rows = await self._db.rows(self._sql["users_page"], (workspace, *(after or (-1, "")), limit + 1))
        return cut([read_user(row) for row in rows], limit, limit + 1, lambda user: (user.created_at, user.id))

    async def follow(self, workspace: str, person: Person, at: int) -> User:
        """The record of who bears a token of another service: made at first sight, and brought up to what the token
        says. Who signs in here is what his record says: no other service renames him, or makes an admin of him."""
        known = await self.get(workspace, person.id)
        if known is not None and (known.password or _says_the_same(known, person)):
            return known

        async def work(execute: Execute) -> User:
            rows = await execute(self._sql["user"], (workspace, person.id))
            user = read_user(rows[0]) if rows else _made(workspace, person, at)
            if user.password:
                return user
            before = (user.username, user.email, user.role) if rows else None
            user.username, user.email, user.role = person.username, person.email, person.role
            if before != (user.username, user.email, user.role):
                user.updated_at = at
                await self._write(execute, user, new=not rows)
            return user

        return await self._db.write(work)

    async def _write(self, execute: Execute, user: User, *, new: bool) -> None:
        """The row of a user, whose name and address are his from now on, unless somebody signs in here by them."""
        username, email = key_of(user.username), key_of(user.email)
        await self._release_unverified(execute, user.workspace, username, email, user.updated_at)
        for what, key in (("username", username), ("email", email)):
            if key:
                await execute(self._sql[f"release_{what}"], (user.updated_at, user.workspace, key, user.id))
        username = await self._free(execute, "user_by_username", user, username)
        email = await self._free(execute, "user_by_email", user, email)
        if new:
            await execute(self._sql["insert_user"], user_row(user, username, email))
        else:
            values = (user.username, username, user.email, email, user.role, int(user.verified), user.updated_at)
            await execute(self._sql["follow_token"], (*values, user.workspace, user.id))

    async def _release_unverified(self, execute: Execute, workspace: str, username: str, email: str, at: int) -> None:
        """Take them from who registered with them a while ago and never showed that the address is his."""
        await execute(self._sql["release_unverified"], (at, workspace, username, email, at - UNVERIFIED_US))

    async def _free(self, execute: Execute, statement: str, user: User, key: str) -> str:
        """The key, or nothing where it is still another's."""
        rows = await execute(self._sql[statement], (user.workspace, key))
        return "" if rows and rows[0][1] != user.id else key

    # By hand: each is an act, with its audit record

    async def create(self, user: User, act: Act, role: str, action: str = "user.create") -> User:
        """A new user; one whose id, name or address is taken is refused. `role` is that of who acts."""

        async def work(execute: Execute) -> User:
            if await execute(self._sql["user"], (user.workspace, user.id)):
                raise AccessError(f"there is a user {user.id!r} already", "user_exists", field="sub")
            keys = (key_of(user.username), key_of(user.email))
            await self._release_unverified(execute, user.workspace, *keys, act.at)
            await self._require_free(execute, user)
            await execute(self._sql["insert_user"], user_row(user))
            await self._deeds.done(execute, user.workspace, act, action, user.id, {"after": facts_of(user)}, role)
            return user

        return await self._db.write(work)

    async def change_names(
        self, workspace: str, id: str, username: str | None, email: str | None, act: Act, role: str
    ) -> User:
        """Another name or address; a new address has to be verified again."""

        async def work(execute: Execute) -> User:
            user = await self._there(execute, workspace, id)
            before = facts_of(user)
            moved = email is not None and key_of(email) != key_of(user.email)
            user.username, user.email = username or user.username, email or user.email
            user.verified = user.verified and not moved
            after = facts_of(user)
            if after == before:
                return user
            await self._require_free(execute, user)
            user.updated_at = act.at
            values = (user.username, key_of(user.username), user.email, key_of(user.email), int(user.verified), act.at)
            await execute(self._sql["change_names"], (*values, workspace, id))
            if moved:
                await execute(self._logins["void_all_codes"], (workspace, id))
            detail = {"before": before, "after": after}
            await self._deeds.done(execute, workspace, act, "user.change", id, detail, role)
            return user

        return await self._db.write(work)

    async def set_role(self, workspace: str, id: str, to: Role, act: Act, role: str) -> User:
        """Another role. It holds at once, and all sessions end: what they may do is not what they were opened for."""

        async def work(execute: Execute) -> User:
            user = await self._there(execute, workspace, id)
            if user.role == to:
                return user
            before, user.role, user.updated_at = user.role, to, act.at
            await execute(self._sql["set_role"], (to, act.at, workspace, id))
            await self._end_sessions(execute, workspace, id, act.at, "role")
            detail = {"before": {"role": before}, "after": {"role": to}}
            await self._deeds.done(execute, workspace, act, "user.role", id, detail, role)
            return user

        return await self._db.write(work)

    async def remove(
        self, workspace: str, id: str, act: Act, role: str, allowed: Callable[[User], None] = lambda _: None
    ) -> User:
        """The user is gone; the ledger keeps his account. `allowed` raises where it is not to be."""

        async def work(execute: Execute) -> User:
            user = await self._there(execute, workspace, id)
            allowed(user)
            await self._end_sessions(execute, workspace, id, act.at, "removed")
            await execute(self._logins["void_all_codes"], (workspace, id))
            await execute(self._sql["delete_user"], (workspace, id))
            await self._deeds.done(execute, workspace, act, "user.remove", id, {"before": facts_of(user)}, role)
            return user

        return await self._db.write(work)

    async def _end_sessions(self, execute: Execute, workspace: str, id: str, at: int, why: str) -> None:
        await execute(self._logins["end_sessions"], (at, why, workspace, id))

    async def _there(self, execute: Execute, workspace: str, id: str) -> User:
        rows = await execute(self._sql["user"], (workspace, id))
        if not rows:
            raise AccessError(f"there is no user {id!r}", "user_not_found")
        return read_user(rows[0])

    async def _require_free(self, execute: Execute, user: User) -> None:
        """Nobody else has the name or the address; nor, of a new one, the id."""
        taken = (
            ("username", "user_by_username", key_of(user.username)),
            ("email", "user_by_email", key_of(user.email)),
        )
        for field, statement, key in taken:
            rows = await execute(self._sql[statement], (user.workspace, key))
            if rows and rows[0][1] != user.id:
                raise AccessError(f"{field} belongs to another user", f"{field}_taken", field=field)


class Deeds:
    """Writes down what was done to people, and raises the version that processes cache them by."""

    def __init__(self, db: Database) -> None:
        self._insert = statements(db.dialect, "access")["insert_audit"]
        self._raise = statements(db.dialect, "users")["raise_people_version"]

    async def done(
        self, execute: Execute, workspace: str, act: Act, action: str, subject: str, detail: dict[str, Any], role: str
    ) -> None:
        """One act; `role` is that of who acts, empty where it is none of ours."""
        detail = {"role": role, **detail} if role else detail
        record = (workspace, act.at, act.actor, act.request_id, action, subject, _encode(detail).decode())
        await execute(self._insert, record)
        await execute(self._raise)


def facts_of(user: User) -> dict[str, Any]:
    """A user as the audit log has him."""
    return {"username": user.username, "email": user.email, "role": user.role, "verified": user.verified}


def _says_the_same(user: User, person: Person) -> bool:
    return (user.username, user.email, user.role) == (person.username, person.email, person.role)


def _made(workspace: str, person: Person, at: int) -> User:
    # Whoever issued the token has looked at the address, or does not care.
    return User(workspace, person.id, "", "", person.role, True, "", at, at)


def read_user(row: Row) -> User:
    """A user from his row."""
    workspace, id, username, email, role, verified, password, created_at, updated_at = row
    return User(workspace, id, username, email, role, bool(verified), password, created_at, updated_at)


def user_row(u: User, username: str | None = None, email: str | None = None) -> Row:
    """The columns of a user; what he is found by is what he is called, unless it is given."""
    username_key = key_of(u.username) if username is None else username
    email_key = key_of(u.email) if email is None else email
    return (
        u.workspace, u.id, u.username, username_key, u.email, email_key, u.role, int(u.verified), u.password,
        u.created_at, u.updated_at,
    )  # fmt: skip
