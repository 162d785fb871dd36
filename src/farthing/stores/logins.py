"""Logins: sessions of the login service, codes that were mailed, passwords, and what failed lately.

A session is one login and all that was refreshed from it. Its refresh tokens have the number of its turn: who comes
with one of an earlier turn has a copy, and the session ends. Codes are kept as their hash, and are used once. What
ends a session raises the version that processes cache people by, in the same transaction.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from farthing.core.people import User

from .acts import Act
from .reports import Database, Execute, Row
from .statements import statements
from .users import Deeds, read_user

Purpose = Literal["verify", "reset"]
Wait = Callable[[int, int], int]
"""Given how many tries were counted and how long ago the last one was: how much longer one has to wait, in
microseconds; below zero where so much time has passed that all of them are forgotten."""
KEPT_US: Final = 24 * 3_600_000_000
"""How long what has ended or failed is kept at least."""


class LoginSession(Struct, frozen=True):
    """A session that lives."""

    id: str
    turn: int
    created_at: int
    used_at: int
    expires_at: int


class Turned(Struct, frozen=True):
    """A session that goes on."""

    user: User
    turn: int


class Counted(Struct, frozen=True):
    """Something that is counted against whoever tries: its hash, and how long one has to wait."""

    subject: bytes
    wait: Wait


class Logins:
    """Reads and writes of the login service."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "logins")
        self._users = statements(db.dialect, "users")
        self._deeds = Deeds(db)

    # Sessions

    async def open(
        self, workspace: str, user: str, session: str, at: int, ends_at: int, *, forgive: Sequence[bytes] = (),
        take_back: Sequence[bytes] = (),
    ) -> None:  # fmt: skip
        """A login that went well: its session begins, and what was counted against it is forgotten or taken back."""

        async def work(execute: Execute) -> None:
            await execute(self._sql["forget_sessions"], (at - KEPT_US,))
            await execute(self._sql["insert_session"], (session, workspace, user, at, at, ends_at))
            await self._relent(execute, workspace, forgive, take_back)

        await self._db.write(work)

    async def turn(
        self, workspace: str, session: str, user: str, turn: int, at: int, ends_at: int, request_id: str = ""
    ) -> Turned | None:
        """Refresh a session by the token of that turn; None where that is not to be. One that was used before ends the
        session."""

        async def work(execute: Execute) -> Turned | None:
            found = await self._user(execute, workspace, user)
            rows = await execute(self._sql["live_session"], (session, workspace, at))
            if found is None or not rows or rows[0][0] != user:
                return None
            if rows[0][1] != turn:
                act = Act(f"user:{user}", at, request_id)
                await self._end(execute, workspace, user, [session], act, found.role, "reuse")
                return None
            ((_, now_at),) = await execute(
                self._sql["turn_session"], (at, ends_at, session, workspace, turn, at)
            )  # fmt: skip
            return Turned(found, now_at)

        return await self._db.write(work)

    async def bearer(self, workspace: str, session: str, user: str, at: int) -> User | None:
        """The user of a session, as long as it lives."""
        rows = await self._db.rows(self._sql["bearer"], (session, workspace, user, at))
        return read_user(rows[0]) if rows else None

    async def sessions(self, workspace: str, user: str, at: int) -> list[LoginSession]:
        """The live sessions of a user, oldest first."""
        rows = await self._db.rows(self._sql["live_sessions"], (workspace, user, at))
        return [LoginSession(*row) for row in rows]

    async def end(self, workspace: str, user: str, sessions: Sequence[str], act: Act, role: str) -> None:
        """End some sessions of a user, everywhere within a second."""

        async def work(execute: Execute) -> None:
            await self._end(execute, workspace, user, sessions, act, role, "logout")

        await self._db.write(work)

    async def end_all(self, workspace: str, user: str, act: Act, role: str) -> int:
        """End all sessions of a user; how many there were."""

        async def work(execute: Execute) -> int:
            rows = await execute(self._sql["end_sessions"], (act.at, "logout-all", workspace, user))
            if rows:
                detail = {"reason": "logout-all", "sessions": len(rows)}
                await self._deeds.done(execute, workspace, act, "session.end", user, detail, role)
            return len(rows)

        return await self._db.write(work)

    async def _end(
        self, execute: Execute, workspace: str, user: str, sessions: Sequence[str], act: Act, role: str, why: str
    ) -> None:
        ended = [
            row[0]
            for session in sessions
            for row in await execute(self._sql["end_session"], (act.at, why, workspace, user, session))
        ]
        if ended:
            detail = {"reason": why, "sessions": len(ended)}
            await self._deeds.done(execute, workspace, act, "session.end", user, detail, role)

    # Codes

    async def give_code(self, user: User, purpose: Purpose, hash: bytes, email_key: str, at: int, ends_at: int) -> bool:
        """A code for an address, in place of those before; False where somebody else has the same one just now."""

        async def work(execute: Execute) -> bool:
            await execute(self._sql["void_codes"], (user.workspace, user.id, purpose))
            values = (user.workspace, purpose, hash, user.id, email_key, at, ends_at)
            return bool(await execute(self._sql["insert_code"], values))

        return await self._db.write(work)

    async def has_code(self, workspace: str, purpose: Purpose, hash: bytes, at: int) -> bool:
        """Whether it could be used."""
        return bool(await self._db.rows(self._sql["code"], (workspace, purpose, hash, at)))

    async def verify_email(self, workspace: str, hash: bytes, at: int, request_id: str = "") -> bool:
        """Use a code that was sent to an address: it is its user's."""

        async def work(execute: Execute) -> bool:
            user = await self._by_code(execute, workspace, "verify", hash, at)
            if user is None:
                return False
            await execute(self._sql["void_codes"], (workspace, user.id, "verify"))
            await execute(self._users["set_verified"], (at, workspace, user.id))
            act = Act(f"user:{user.id}", at, request_id)
            await self._deeds.done(execute, workspace, act, "user.verify", user.id, {}, user.role)
            return True

        return await self._db.write(work)

    async def reset_password(self, workspace: str, hash: bytes, password: str, at: int, request_id: str = "") -> bool:
        """Use a code that was sent to an address for a new password (its hash). Whoever read it there has shown that
        the address is his."""

        async def work(execute: Execute) -> bool:
            user = await self._by_code(execute, workspace, "reset", hash, at)
            if user is None:
                return False
            await execute(self._users["set_password"], (password, at, workspace, user.id))
            await execute(self._users["set_verified"], (at, workspace, user.id))
            act = Act(f"user:{user.id}", at, request_id)
            await self._after_password(execute, user, act, user.role, "reset")
            return True

        return await self._db.write(work)

    async def _by_code(self, execute: Execute, workspace: str, purpose: Purpose, hash: bytes, at: int) -> User | None:
        """Whose code it is, while he still has the address that it was sent to."""
        rows = await execute(self._sql["code"], (workspace, purpose, hash, at))
        if not rows:
            return None
        columns = await execute(self._users["user_by_email"], (workspace, rows[0][1]))
        user = read_user(columns[0]) if columns else None
        return user if user is not None and user.id == rows[0][0] else None

    # Passwords

    async def change_password(self, user: User, password: str, act: Act) -> bool:
        """A new password (its hash) of a user; False where somebody has changed it meanwhile. All sessions end."""

        async def work(execute: Execute) -> bool:
            values = (password, act.at, user.workspace, user.id, user.password)
            if not await execute(self._users["change_password"], values):
                return False
            await self._after_password(execute, user, act, user.role, "change")
            return True

        return await self._db.write(work)

    async def set_password(self, user: User, password: str, act: Act) -> None:
        """A new password that an operator gives. All sessions end."""

        async def work(execute: Execute) -> None:
            await execute(self._users["set_password"], (password, act.at, user.workspace, user.id))
            await self._after_password(execute, user, act, "", "set")

        await self._db.write(work)

    async def hash_again(self, user: User, password: str) -> None:
        """Another hash of the same password."""

        async def work(execute: Execute) -> None:
            await execute(self._users["hash_again"], (password, user.workspace, user.id, user.password))

        await self._db.write(work)

    async def _after_password(self, execute: Execute, user: User, act: Act, role: str, reason: str) -> None:
        """Nobody who knew the old one is let in any more."""
        await execute(self._sql["void_all_codes"], (user.workspace, user.id))
        rows = await execute(self._sql["end_sessions"], (act.at, "password", user.workspace, user.id))
        detail = {"reason": reason, "sessions": len(rows)}
        await self._deeds.done(execute, user.workspace, act, "user.password", user.id, detail, role)

    # What failed lately

    async def wait(self, workspace: str, counted: Sequence[Counted], at: int) -> int:
        """How long one has to wait before the next try, in microseconds."""

        async def work(execute: Execute) -> int:
            return max(0, *await self._left(execute, workspace, counted, at))

        return await self._db.read(work)

    async def count(self, workspace: str, counted: Sequence[Counted], at: int) -> int:
        """Count a try against all of these, unless one has to wait: then it is told how long, and nothing is counted.
        It is counted before it is known how it ends, so that many at once are no more than one after another."""

        async def work(execute: Execute) -> int:
            await execute(self._sql["forget_failures"], (at - KEPT_US,))
            left = await self._left(execute, workspace, counted, at)
            if max(left) > 0:
                return max(left)
            for each, wait in zip(counted, left, strict=True):
                if wait < 0:
                    await execute(self._sql["forgive"], (workspace, each.subject))
                await execute(self._sql["count_failure"], (workspace, each.subject, at, at))
            return 0

        return await self._db.write(work)

    async def relent(self, workspace: str, *, forgive: Sequence[bytes] = (), take_back: Sequence[bytes] = ()) -> None:
        """A try that was counted went well: forget all that was counted by some, and this one by others."""

        async def work(execute: Execute) -> None:
            await self._relent(execute, workspace, forgive, take_back)

        await self._db.write(work)

    async def _relent(
        self, execute: Execute, workspace: str, forgive: Sequence[bytes], take_back: Sequence[bytes]
    ) -> None:  # fmt: skip
        for name, subjects in (("forgive", forgive), ("take_back", take_back)):
            for subject in subjects:
                await execute(self._sql[name], (workspace, subject))

    async def _left(self, execute: Execute, workspace: str, counted: Sequence[Counted], at: int) -> list[int]:
        """How much longer one has to wait for each."""
        found = []
        for each in counted:
            rows: list[Row] = await execute(self._sql["failures"], (workspace, each.subject))
            found.append(each.wait(rows[0][0], at - rows[0][1]) if rows else 0)
        return found

    async def _user(self, execute: Execute, workspace: str, user: str) -> User | None:
        rows: list[Any] = await execute(self._users["user"], (workspace, user))
        return read_user(rows[0]) if rows else None
