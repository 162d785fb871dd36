"""Imports: what is looked up and written many at a time when another system's accounts, people and keys come in."""

from collections.abc import Sequence
from typing import Any

import msgspec

from farthing.core.ids import bucket_of
from farthing.core.people import User

from .acts import Act, Acts
from .reports import Database, Execute
from .statements import statements
from .users import facts_of, user_row

_encode = msgspec.json.Encoder().encode
Named = tuple[str, str]
"""A key and its account."""


class Imports:
    """Reads and writes of an import, a page at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "imports")
        self._users = statements(db.dialect, "users")
        self._acts = Acts(db)

    async def keys(self, workspace: str, named: Sequence[Named]) -> dict[Named, bytes | None]:
        """Which of these keys were used, with the fingerprint of what for."""
        rows = await self._db.rows(self._sql["keys"], (_places(workspace, named), workspace))
        return {(row[0], row[1]): row[2] for row in rows}

    async def booked(self, workspace: str, named: Sequence[Named]) -> dict[Named, int]:
        """What the entries under these keys have moved."""
        rows = await self._db.rows(self._sql["booked"], (_places(workspace, named), workspace))
        return {(row[0], row[1]): int(row[2]) for row in rows}

    async def known_users(self, users: Sequence[User]) -> tuple[set[str], list[str]]:
        """Which users are there, by id; and of the others those whose name or address somebody else has."""

        async def work(execute: Execute) -> tuple[set[str], list[str]]:
            return await self._known(execute, users)

        return await self._db.read(work)

    async def add_users(self, users: Sequence[User], act: Act) -> tuple[set[str], list[str]]:
        """Make those users that are not there, each with its audit record. Who was there, and who was not made because
        somebody else has his name or his address."""

        async def work(execute: Execute) -> tuple[set[str], list[str]]:
            there, taken = await self._known(execute, users)
            made = [user for user in users if user.id not in there and user.id not in taken]
            if made:
                await execute(self._sql["insert_users"], (_encode([user_row(user) for user in made]).decode(),))
                records = [_audit(user, act) for user in made]
                await execute(self._sql["insert_audit"], (_encode(records).decode(),))
                await execute(self._users["raise_people_version"])
            return there, taken

        return await self._db.write(work)

    async def _known(self, execute: Execute, users: Sequence[User]) -> tuple[set[str], list[str]]:
        wanted = _encode([user_row(user) for user in users]).decode()
        there = {row[0] for row in await execute(self._sql["users_there"], (wanted,))}
        taken = [row[0] for row in await execute(self._sql["users_taken"], (wanted,))]
        return there, [id for id in taken if id not in there]

    async def note(self, workspace: str, act: Act, action: str, subject: str, detail: dict[str, Any]) -> None:
        """Write down that an import begins, or what came of it."""

        async def work(execute: Execute) -> None:
            await self._acts.changed(execute, workspace, act, action, subject, detail)

        await self._db.write(work)


def _places(workspace: str, named: Sequence[Named]) -> str:
    return _encode([(key, account, bucket_of(workspace, account)) for key, account in named]).decode()


def _audit(user: User, act: Act) -> list[Any]:
    detail = _encode({"after": facts_of(user)}).decode()
    return [user.workspace, act.at, act.actor, act.request_id, "user.import", user.id, "", detail]
