"""Acts: the records of administration, how one is done once under its key, and why one is refused.

Every act is one transaction with its audit record, and raises the version that processes' caches hang on.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farthing.core.amounts import MAX_SCALE, AmountError, read_amount, write_amount
from farthing.core.ids import bucket_of
from farthing.core.metering import PolicyError, check_metering
from farthing.core.records import WorkspaceSettings
from farthing.core.standing import write_standings

from .reports import Database, Execute, Row
from .statements import statements

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode

REQUEST: Final = "request"
"""Where the detail of an audit record keeps the key of its act, with what was asked and answered."""


class AccessError(ValueError):
    """Something about a workspace or a key that can't be done; the message says what."""

    def __init__(self, message: str, code: str = "invalid", *, field: str = "", differs: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        """What it is for programs."""
        self.field = field
        """The field or setting that is wrong."""
        self.differs = differs
        """What differs from the first act under the same key."""


class ApiKey(Struct):
    """An API key as it may be shown: all but the secret. That of an operator has no workspace."""

    id: str
    workspace: str
    hint: str
    name: str
    scopes: list[str]
    created_at: int
    expires_at: int | None
    revoked_at: int | None


class Rotated(Struct):
    """A key that took the place of another."""

    old: ApiKey
    new: ApiKey


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
    role: str = ""
    """Of who did it, where it was a person."""
    before: Any = None
    """What was changed, as it was and as it is; None where there was none, or is none any more."""
    after: Any = None
    reason: str | None = None
    """Of what wrote an entry, the entry's description: where that is erased, so is this."""

    def told(self, scale: int) -> "AuditRecord":
        """The same with its amounts as decimal text."""
        if not self.entry:
            return self
        before, after = write_standings(self.before, self.after, scale)
        amount = {"amount": write_amount(self.detail["amount"], scale)} if "amount" in self.detail else {}
        return replace(self, before=before, after=after, detail=self.detail | amount)


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
    role: str = ""
    """Of a person: user, supervisor, admin."""


class Once(Struct):
    """An act under a key of its caller's: done at most once, and answered alike ever after."""

    key: str
    """With the prefix of its kind."""
    asked: dict[str, Any]
    """What makes two acts the same."""
    dry_run: bool = False
    """Say what would come of it, and leave nothing behind."""
    replayed: bool = False
    """Set by the act: it was done before, and this is the first answer."""


class Rehearsed(Exception):
    """Ends the transaction of a dry run with what would have come of it."""

    def __init__(self, result: Any) -> None:
        super().__init__("a dry run leaves nothing behind")
        self.result = result


class Acts:
    """Carries out acts: once under a key of their caller's, and written down."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "access")

    async def once(
        self, once: Once | None, keys_of: str, action: str, made: type[T], work: Callable[[Execute], Awaitable[T]]
    ) -> T:
        """Do the work in a transaction; under a key that was used before, give the first answer instead."""

        async def keyed(execute: Execute) -> T:
            assert once is not None
            first = await execute(self._sql["first_act"], (keys_of, once.key, bucket_of(keys_of, "")))
            once.replayed = bool(first)
            if first:
                return msgspec.convert(first_answer(once, action, first[0]), made)
            result = await work(execute)
            if once.dry_run:
                raise Rehearsed(result)
            return result

        if once is None:
            return await self._db.write(work)
        try:
            return await self._db.write(keyed)
        except Rehearsed as rehearsed:
            result: T = rehearsed.result
            return result

    async def first(self, once: Once, keys_of: str, action: str, made: type[T]) -> T | None:
        """What was answered under the key before; None where it was not used."""
        rows = await self._db.rows(self._sql["first_act"], (keys_of, once.key, bucket_of(keys_of, "")))
        once.replayed = bool(rows)
        return msgspec.convert(first_answer(once, action, rows[0]), made) if rows else None

    async def changed(
        self, execute: Execute, workspace: str, act: Act, action: str, subject: str, detail: dict[str, Any],
        once: Once | None = None, answer: Any = None, *, keys_of: str | None = None,
    ) -> None:  # fmt: skip
        """Write down what was done; under a key, with what a repeat is to be told."""
        if act.role:
            detail = {"role": act.role} | detail
        if once is not None:
            detail = detail | {REQUEST: {"key": once.key, "asked": once.asked, "answer": answer}}
        record = (workspace, act.at, act.actor, act.request_id, action, subject, _encode(detail).decode())
        ((position,),) = await execute(self._sql["insert_audit"], record)
        if once is not None:
            owner = workspace if keys_of is None else keys_of
            await execute(self._sql["use_key"], (owner, once.key, bucket_of(owner, ""), position))
        await execute(self._sql["raise_config_version"])


def first_answer(once: Once, action: str, row: Row) -> Any:
    """What was answered the first time, from (action, detail) of the record; a conflict where it was another act."""
    first = msgspec.json.decode(row[1])[REQUEST]
    differs = ("kind",) if row[0] != action else differing(first["asked"], once.asked)
    if differs:
        message = f"this key was used before for something else; it differs in {', '.join(differs)}"
        raise AccessError(message, "key_conflict", differs=differs)
    return first["answer"]


def differing(first: dict[str, Any], again: dict[str, Any]) -> tuple[str, ...]:
    """The names whose values are not the same."""
    asked = msgspec.json.decode(_encode(again))  # as the first was kept: a tuple is a list there
    names = sorted(first.keys() | asked.keys())
    return tuple(name for name in names if first.get(name) != asked.get(name))


def read_key(row: Row) -> ApiKey:
    """An API key from its row."""
    return ApiKey(row[0], row[1], row[2], row[3], row[4].split(","), *row[5:])


def read_audit(row: Row) -> AuditRecord:
    """An audit record from its row; the key of its act is not for everybody who may read the log."""
    position, at, actor, request_id, action, subject, entry, text, description = row
    detail = msgspec.json.decode(text)
    detail.pop(REQUEST, None)
    role, before, after = detail.pop("role", ""), detail.pop("before", None), detail.pop("after", None)
    reason = detail.pop("reason", None) or description
    return AuditRecord(position, at, actor, request_id, action, subject, entry, detail, role, before, after, reason)


_KINDS = {field.name: field.type for field in msgspec.structs.fields(WorkspaceSettings)}
_WORDS: Final[dict[Any, str]] = {int: "a whole number", bool: "true or false", str: "a text"}
_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
BOUNDS: Final = {
    "refund_grace_days": (0, 3_650),
    "hold_max_minutes": (1, 525_600),
    "max_live_grants": (1, 10_000),
    "max_live_holds": (1, 1_000_000),
    "rate_limit": (0, 10_000_000),
    "usage_late_hours": (0, 87_600),
    "usage_ahead_seconds": (0, 86_400),
    "session_minutes": (1, 1_440),
    "retention_days": (0, 36_500),
    "expiring_days": (1, 60),
}
"""The least and the most that a setting may be."""


AMOUNTS: Final = frozenset({"balance_low", "balance_critical"})
"""Settings that are credits, as decimal text."""


def is_threshold(text: str) -> bool:
    """Whether it is an amount that a balance may fall below, in a workspace of any scale."""
    try:
        return read_amount(text, MAX_SCALE) >= 0
    except AmountError:
        return False


def _kind(name: str) -> str:
    """What a setting has to be."""
    return _WORDS.get(_KINDS[name]) or " or ".join(get_args(_KINDS[name]))


def _check_metering(document: str) -> None:
    try:
        check_metering(document)
    except PolicyError as error:
        raise AccessError(str(error), field="metering") from error


def checked_settings(before: WorkspaceSettings, changes: dict[str, Any]) -> WorkspaceSettings:
    """The settings after some changes; each is checked against its type and bounds."""
    known = {name: getattr(before, name) for name in before.__struct_fields__}
    for name in changes:
        if name not in known:
            message = f"there is no setting {name!r}; there are {', '.join(known)}"
            raise AccessError(message, field=name)
        try:
            msgspec.convert({name: changes[name]}, WorkspaceSettings)
        except msgspec.ValidationError as error:
            raise AccessError(f"{name} must be {_kind(name)}", field=name) from error
        least, most = BOUNDS.get(name, (0, 0))
        if name in BOUNDS and not least <= changes[name] <= most:
            raise AccessError(f"{name} must be from {least:,} to {most:,}", field=name)
        if name in AMOUNTS and not is_threshold(changes[name]):
            raise AccessError(f"{name} must be credits as decimal text such as '1.5', zero or above", field=name)
        if name == "metering":
            _check_metering(changes[name])
        if name == "login_host" and changes[name] and not _HOST.fullmatch(changes[name]):
            raise AccessError("login_host must be the name of a host, such as login.example.com", field=name)
    return msgspec.convert({**known, **changes}, WorkspaceSettings)
