"""Erasing: the texts of an account's entries are blanked, and kept as digests; credits and books stay as they are.

A few hundred texts go in one transaction. Whoever is stopped between has erased some of them: what is left is erased by
asking again, which does no harm. A retention run that has read a text before finds out, and leaves its account alone.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from farthing.core.draft import digest
from farthing.core.ids import bucket_of

from .acts import REQUEST, AccessError, Act, Acts, Once
from .reports import Database, Execute, Row
from .statements import statements
from .users import Users

ACTION: Final = "account.erase"
PAGE: Final = 200
MAX_REASON: Final = 1_000
_ERASED: Final = {"erased": True}
_TEXTS: Final = ("description", "metadata")
_NAMES: Final = ("before", "after")
_BUYER: Final = ("buyer",)
_CARD: Final = ("brand", "last4", "exp_month", "exp_year")
_OF_ATTEMPT: Final = ("message", "url")
_encode = msgspec.json.Encoder().encode


class Erased(Struct):
    """What was blanked."""

    entries: int = 0
    answers: int = 0
    """That were kept for keys and payments of archived entries."""
    messages: int = 0
    """Of payment providers, about what the account bought; and its orders' names of the buyer."""
    open: int = 0
    """Such messages that are not carried out yet: they stay till then."""
    acts: int = 0
    """Of the audit log, on him as a person."""
    user: bool = False
    """His record as a person is gone."""
    archived: bool = False
    """Entries of the account are archived: their texts stand in the files."""
    last: int = 0
    """The number of the last of these."""


class Erasing:
    """Erases texts."""

    def __init__(self, db: Database, users: Users) -> None:
        self._db = db
        self._users = users
        self._acts = Acts(db)
        self._sql = statements(db.dialect, "erasing") | {
            name: sql
            for name, sql in statements(db.dialect, "retention").items()
            if name in ("lock_owner", "retire", "retired")
        }

    async def erase(
        self, workspace: str, account: str, act: Act, reason: str, *, user: bool = False, once: Once | None = None,
        dry_run: bool = False, begin: Callable[[], Awaitable[None]] | None = None,
    ) -> Erased:  # fmt: skip
        """Erase the texts of an account; `user` also removes the person of that id. None of it can be taken back. What
        is to be done before, `begin` does, once it is known that nothing speaks against it."""
        if once is not None and (first := await self._acts.first(once, workspace, ACTION, Erased)) is not None:
            return first
        owner = (workspace, account, bucket_of(workspace, account))
        if not await self._db.rows(self._sql["account"], owner):
            raise AccessError(f"there is no account {account!r}", "account_not_found")
        if begin is not None and not dry_run:
            await begin()
        told = Erased()
        told.user = user and await self._users.get(workspace, account) is not None
        if told.user and not dry_run:
            await self._users.remove(workspace, account, act, act.role)
        told.entries = await self._entries(owner, dry_run)
        told.answers = await self._answers(owner, dry_run) + await self._payments(owner, dry_run)
        told.messages = await self._orders(owner, dry_run)
        await self._top_ups(owner, dry_run)
        await self._messages(owner, told, dry_run)
        archived = await self._db.rows(self._sql["archived"], owner)
        told.archived, told.last = bool(archived), archived[0][0] if archived else 0
        told.acts = await self._acts_on(workspace, account, dry_run) if user else 0
        if not dry_run:
            await self._write_down(workspace, account, act, reason, told, once)
        return told

    async def _write_down(
        self, workspace: str, account: str, act: Act, reason: str, told: Erased, once: Once | None
    ) -> None:
        async def work(execute: Execute) -> Erased:
            detail = {"reason": reason, **asdict(told)}
            await self._acts.changed(execute, workspace, act, ACTION, account, detail, once, asdict(told))
            return told

        await self._acts.once(once, workspace, ACTION, Erased, work)

    # What is blanked

    async def _entries(self, owner: Row, dry_run: bool) -> int:
        workspace, account, bucket = owner

        async def blank(execute: Execute, rows: list[Row]) -> None:
            # A retention run that has the account lets go of entries, or finds them erased; never something between.
            await execute(self._sql["lock_owner"], owner)
            for id, _, description, metadata in rows:
                if await execute(self._sql["blank_entry"], (id, bucket)):
                    digests = (digest(description), digest(metadata))
                    await execute(self._sql["keep_digests"], (id, bucket, workspace, account, *digests))

        return await self._pages("texts", (workspace, account), 0, lambda row: row[1], blank, dry_run)

    async def _answers(self, owner: Row, dry_run: bool) -> int:
        workspace, account, bucket = owner

        async def blank(execute: Execute, rows: list[Row]) -> None:
            for key, answer in rows:
                await execute(self._sql["blank_answer"], (_without(answer, _TEXTS), workspace, key, account, bucket))

        done, after = 0, ""
        while True:
            found = await self._blanked("answers", (workspace, after, account, bucket, PAGE), blank, dry_run)
            done += len(found)
            if len(found) < PAGE:
                return done
            after = found[-1][0]

    async def _payments(self, owner: Row, dry_run: bool) -> int:
        workspace, account, _ = owner

        async def blank(execute: Execute, rows: list[Row]) -> None:
            for provider, payment, answer in rows:
                values = (_without(answer, _TEXTS), workspace, provider, payment)
                await execute(self._sql["blank_payment"], values)

        return len(await self._blanked("payments", (workspace, account), blank, dry_run))

    async def _orders(self, owner: Row, dry_run: bool) -> int:
        workspace, account, _ = owner

        async def blank(execute: Execute, rows: list[Row]) -> None:
            for provider, id, document in rows:
                values = (_without(document, _BUYER), workspace, provider, id, document)
                await execute(self._sql["blank_order"], values)

        async def blank_answers(execute: Execute, rows: list[Row]) -> None:
            for position, detail in rows:
                await execute(self._sql["blank_act"], (_without_answer(detail, _BUYER + _CARD), position))

        await self._blanked("claims", (workspace, workspace, account), blank_answers, dry_run)
        await self._blanked("cards", (workspace, account), blank_answers, dry_run)
        return len(await self._blanked("orders", (workspace, account), blank, dry_run))

    async def _top_ups(self, owner: Row, dry_run: bool) -> None:
        """What providers said of attempts to charge him, and pages that were made for him; in events, too."""

        async def blank(execute: Execute, rows: list[Row]) -> None:
            for id, document in rows:
                values = (_without(document, _OF_ATTEMPT), owner[0], id, owner[2], document)
                await execute(self._sql["blank_top_up"], values)

        async def blank_standing(execute: Execute, rows: list[Row]) -> None:
            for (document,) in rows:
                await execute(self._sql["blank_standing"], (_without(document, _OF_ATTEMPT), *owner, document))

        async def blank_billing(execute: Execute, rows: list[Row]) -> None:
            for key, document in rows:
                await execute(self._sql["blank_billing"], (_without(document, _OF_ATTEMPT), owner[0], key, document))

        async def blank_told(execute: Execute, rows: list[Row]) -> None:
            for id, data in rows:
                said = msgspec.json.decode(data) | dict.fromkeys(_OF_ATTEMPT)
                await execute(self._sql["blank_told"], (_encode(said).decode(), owner[0], id, owner[2]))

        await self._blanked("told", owner[:2], blank_told, dry_run)
        await self._blanked("top_ups", owner[:2], blank, dry_run)
        await self._blanked("billings", owner[:2], blank_billing, dry_run)
        await self._blanked("top_up_standing", owner, blank_standing, dry_run)

    async def _messages(self, owner: Row, told: Erased, dry_run: bool) -> None:
        """Whole: what they have beside names and addresses is known from orders and receipts."""
        workspace, account, _ = owner
        names = await self._db.rows(self._sql["bought_as"], (workspace, account) * 4)
        about = _naming(row[0] for row in names)
        after: Row = ("", "")
        while about is not None and (page := await self._db.rows(self._sql["messages"], (workspace, *after, PAGE))):
            found = [row for row in page if about.search(row[2])]
            done = [row for row in found if row[3]]
            told.messages += len(done)
            told.open += len(found) - len(done)
            if done and not dry_run:
                await self._db.write(partial(self._blank_messages, workspace, done))
            after = page[-1][:2]

    async def _blank_messages(self, workspace: str, rows: list[Row], execute: Execute) -> None:
        for provider, id, *_ in rows:
            await execute(self._sql["blank_message"], (workspace, provider, id))

    async def _acts_on(self, workspace: str, account: str, dry_run: bool) -> int:
        async def blank(execute: Execute, rows: list[Row]) -> None:
            for position, detail in rows:
                await execute(self._sql["blank_act"], (_without(detail, _NAMES, _ERASED), position))

        return await self._pages("acts", (workspace, account), -1, lambda row: row[0], blank, dry_run)

    async def _pages(
        self, name: str, owner: Row, after: int, place: Callable[[Row], int], blank: "Blank", dry_run: bool
    ) -> int:  # fmt: skip
        done = 0
        while True:
            found = await self._blanked(name, (*owner, after, PAGE), blank, dry_run)
            done += len(found)
            if len(found) < PAGE:
                return done
            after = place(found[-1])

    async def _blanked(self, name: str, values: Row, blank: "Blank", dry_run: bool) -> list[Row]:
        """The rows that a statement finds, blanked in a transaction that says what it is about. To find them may take
        long, and keeps nobody from writing."""
        rows = await self._db.rows(self._sql[name], values)

        async def work(execute: Execute) -> None:
            await execute(self._sql["retire"])
            await blank(execute, rows)
            await execute(self._sql["retired"])

        if rows and not dry_run:
            await self._db.write(work)
        return rows


Blank = Callable[[Execute, list[Row]], Awaitable[None]]


def _naming(names: Iterable[str]) -> re.Pattern[str] | None:
    """Finds a text that has one of these as a whole word; None where there are none."""
    words = "|".join(re.escape(name) for name in names if name)
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])") if words else None


def _without_answer(detail: str, names: tuple[str, ...]) -> str:
    """The detail of an act, without some of what it was answered by."""
    told = msgspec.json.decode(detail)
    answer = told[REQUEST]["answer"]
    told[REQUEST]["answer"] = {name: value for name, value in answer.items() if name not in names}
    return _encode(told).decode()


def _without(text: str, names: tuple[str, ...], instead: Any = None) -> str:
    """A JSON object without some of its fields, or with something in their place."""
    value: dict[str, Any] = msgspec.json.decode(text)
    kept = {name: instead if name in names else each for name, each in value.items() if name not in names or instead}
    return _encode(kept).decode()
