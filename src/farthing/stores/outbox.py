"""The outbox: what is still to be sent to endpoints, handed out to who sends; what came of each try.

A row is taken by putting its date ahead, and is gone when it was delivered or given up: what a process that died had
taken is due again by itself. Rows are named by their date as well, so that who took too long, and has lost one to
somebody else, changes nothing of it. Where an endpoint asks for the order of each account, those that came are lined
up by who takes: the first of a line is due, and lets the next go when it leaves. Who takes it is given some of those
behind it as well: they stay where they are, and are nobody else's as long as the first is not.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from farthing.core.deliveries import FAILING, Again, Delivered, Disable, GiveUp, Outcome
from farthing.core.endpoints import WebhookEndpoint
from farthing.core.events import WEBHOOK_DISABLED
from farthing.core.ids import NONCE_BITS, bucket_of, made_at, make_id
from farthing.core.records import Event

from .acts import Act
from .endpoints import Endpoints, read_endpoint
from .events import Events
from .pages import LAST, Page, Position, cut
from .reports import Database, Execute, Row
from .rows import read_event
from .statements import statements

NEVER: Final = 1 << 62
"""The date of those that wait in a line."""
LINED_UP: Final = 500
"""So many are lined up at a time."""
MOST_BEHIND: Final = 50
"""So many at most are given along with the first of a line: all of them come twice where their process dies."""
COUNTED: Final = 100_000
"""Of more that wait it is said that they are so many."""
PAGE: Final = 1_000
DELIVERED: Final = "delivered"
ONCE_US: Final = 62 * 86_400_000_000
"""So much longer is kept what is told once: as long as there may be a reason to tell it, such as a month's limit."""
ACTOR: Final = "system:webhooks"
_encode = msgspec.json.Encoder().encode


class Taken(Struct, frozen=True, kw_only=True):
    """An event on its way to an endpoint, in the hands of who sends it."""

    workspace: str
    endpoint: str
    event: str
    bucket: int
    account: str
    attempts: int
    """So many tries were made."""
    until: int
    """Until then it is nobody else's; of those behind the first of a line NEVER, which is their date."""
    lined: bool
    told: Event | None
    """None: the event is kept no longer."""
    behind: "tuple[Taken, ...]" = ()
    """What comes next in its line, once this one has left."""


class Tried(Struct, frozen=True, kw_only=True):
    """What came of a try."""

    taken: Taken
    at: int
    outcome: Outcome
    status: int | None = None
    detail: str = ""
    millis: int = 0


class Want(Struct, frozen=True):
    """For which endpoint there is room, and for how many."""

    endpoint: WebhookEndpoint
    limit: int


class Try(Struct, frozen=True):
    """A try, as the log has it."""

    workspace: str
    endpoint: str
    event: str
    bucket: int
    attempt: int
    at: int
    type: str
    outcome: str
    """`delivered`; `failed`: it is tried again; `given_up`."""
    status: int | None
    detail: str
    millis: int


class Waiting(Struct, frozen=True):
    """An event that is still to be sent to an endpoint."""

    event: str
    account: str
    attempts: int
    due_at: int | None
    """None: it waits for another one of its account."""


class Figures(Struct, frozen=True):
    """How much waits in all, and since when the oldest does."""

    waiting: int
    oldest_at: int | None


async def look_up(execute: Execute, sql: Mapping[str, str]) -> None:
    """What follows in this transaction looks rows up by their keys."""
    if "look_ups" in sql:
        await execute(sql["look_ups"])


class Outbox:
    """Reads and writes of the outbox, and of the log of tries."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "outbox")
        self._endpoints = Endpoints(db)
        self._events = Events(db)

    @property
    def blocks_others(self) -> bool:
        """Whether nobody else can write while something is written here."""
        return self._db.dialect == "sqlite"

    # Sending

    async def due(self, at: int) -> list[WebhookEndpoint]:
        """The endpoints that something is due for."""

        async def work(execute: Execute) -> list[Row]:
            await look_up(execute, self._sql)
            return await execute(self._sql["due"], (at,))

        return [read_endpoint(row) for row in await self._db.read(work)]

    async def exchange(
        self, tried: Sequence[Tried], unsent: Sequence[Taken], wants: Sequence[Want], at: int, until: int
    ) -> list[Taken]:  # fmt: skip
        """Write down what came of tries, give back what was taken and not sent, and take what is due for those who
        want: until then nobody else is given it. All in one transaction."""

        async def work(execute: Execute) -> list[Taken]:
            await look_up(execute, self._sql)
            await self._settle(execute, tried, unsent, at)
            taken: list[tuple[Want, Row]] = []
            behind: list[tuple[Want, Row]] = []
            for want in wants:
                first = await self._take(execute, want, at, until)
                taken += [(want, row) for row in first]
                if want.endpoint.ordered:
                    behind += [(want, row) for row in await self._behind(execute, want, first)]
            return await self._with_events(execute, taken, behind, until)

        return await self._db.write(work)

    async def _take(self, execute: Execute, want: Want, at: int, until: int) -> list[Row]:
        place = (want.endpoint.workspace, want.endpoint.id)
        if want.endpoint.ordered:
            at = await self._line_up(execute, place, at)
        return await execute(self._sql["take"], (until, *place, int(want.endpoint.ordered), at, want.limit))

    async def _line_up(self, execute: Execute, place: tuple[str, str], at: int) -> int:
        """Put those that came at the ends of their accounts' lines; until when all that are due stand in one."""
        fresh = await execute(self._sql["fresh"], (*place, at, LINED_UP))
        accounts = list(dict.fromkeys(row[3] for row in fresh))
        if not accounts:
            return at
        begun = {row[0] for row in await execute(self._sql["lines"], (self._names(accounts), *place))}
        placed = []
        for due_at, event, bucket, account, _ in sorted(fresh, key=lambda row: (row[4], row[1])):
            placed.append((*place, due_at, event, bucket, NEVER if account in begun else due_at))
            begun.add(account)
        await execute(self._sql["line_up"], self._rows(placed))
        return int(fresh[-1][0]) if len(fresh) >= LINED_UP else at

    async def _behind(self, execute: Execute, want: Want, first: Sequence[Row]) -> list[Row]:
        """What comes next in the lines whose first ones were taken, as far as there is room; in their order."""
        each = min((want.limit - len(first)) // len(first), MOST_BEHIND) if first else 0
        if not each:
            return []
        names = self._names([row[2] for row in first])
        found = await execute(self._sql["behind"], (want.endpoint.workspace, want.endpoint.id, names, each))
        return [row[:5] for row in found if row[5] == NEVER]

    async def _with_events(
        self, execute: Execute, taken: Sequence[tuple[Want, Row]], behind: Sequence[tuple[Want, Row]], until: int
    ) -> list[Taken]:
        wanted = {(want.endpoint.workspace, row[0], row[1]) for want, row in (*taken, *behind)}
        rows = await execute(self._sql["events"], self._rows(sorted(wanted))) if wanted else []
        events = {(event.workspace, event.id): event for event in map(read_event, rows)}

        def made(want: Want, row: Row, until: int, behind: Sequence[Taken] = ()) -> Taken:
            event, bucket, account, _, attempts = row
            return Taken(
                workspace=want.endpoint.workspace, endpoint=want.endpoint.id, event=event, bucket=bucket,
                account=account, attempts=attempts, until=until, lined=want.endpoint.ordered,
                told=events.get((want.endpoint.workspace, event)), behind=tuple(behind),
            )  # fmt: skip

        lines: dict[tuple[str, str, str], list[Taken]] = {}
        for want, row in behind:
            place = (want.endpoint.workspace, want.endpoint.id, row[2])
            lines.setdefault(place, []).append(made(want, row, NEVER))
        return [
            made(want, row, until, lines.get((want.endpoint.workspace, want.endpoint.id, row[2]), ()))
            for want, row in sorted(
                taken, key=lambda each: (each[1][3], each[1][0]) if each[0].endpoint.ordered else (0, each[1][0])
            )
        ]

    async def _settle(self, execute: Execute, tried: Sequence[Tried], unsent: Sequence[Taken], at: int) -> None:
        if tried:
            await execute(self._sql["log"], self._rows([_log_row(each) for each in tried]))
        gone = [each.taken for each in tried if isinstance(each.outcome, Delivered | GiveUp)]
        if gone:
            await execute(self._sql["drop"], self._rows([_key(each) for each in gone]))
        later = [
            # What an endpoint did not take that is disabled now waits with the rest until it is enabled.
            (*_key(each.taken), each.outcome.at if isinstance(each.outcome, Again) else at, each.taken.attempts + 1)
            for each in tried
            if isinstance(each.outcome, Again | Disable)
        ]
        later += [(*_key(each), at, each.attempts) for each in unsent]
        if later:
            await execute(self._sql["put_off"], self._rows(later))
        for place in dict.fromkeys((each.workspace, each.endpoint, each.account) for each in gone if each.lined):
            await execute(self._sql["next_of_line"], (at, *place, NEVER, *place))
        await self._mark(execute, tried)

    async def _mark(self, execute: Execute, tried: Sequence[Tried]) -> None:
        """What tries say about their endpoints: whether they took something, and the last of each."""
        last = {(t.taken.workspace, t.taken.endpoint): t for t in tried if t.taken.told is not None}
        takes = {(t.taken.workspace, t.taken.endpoint) for t in tried if isinstance(t.outcome, Delivered)}
        for place, each in last.items():
            if place in takes:
                await execute(self._sql["not_failing"], place)
            if not isinstance(each.outcome, Delivered):
                await execute(self._sql["failing"], (each.at, *place))
        for each in tried:
            if isinstance(each.outcome, Disable):
                place = (each.taken.workspace, each.taken.endpoint)
                await self._disable(execute, place, each.outcome.reason, each.at)

    async def _disable(self, execute: Execute, place: tuple[str, str], reason: str, at: int) -> None:
        # Another try, perhaps another process's, may have got through meanwhile.
        since = at - FAILING if reason == "failing" else None
        if await self._endpoints.disable(execute, *place, reason, Act(ACTOR, at), failing_since=since) is None:
            return
        workspace, endpoint = place
        bucket = bucket_of(workspace, "")
        id = make_id("evt", at, 0, secrets.randbits(NONCE_BITS), bucket)
        data = {"endpoint": endpoint, "reason": reason}
        await self._events.write(execute, [Event(id, workspace, "", bucket, WEBHOOK_DISABLED, at, data)])

    # For people

    async def tries(
        self, workspace: str, endpoint: str, *, outcome: str = "", after: Position | None = None, limit: int = 50
    ) -> Page[Try]:  # fmt: skip
        """Tries to reach an endpoint, newest first; those with one outcome."""
        start = after or (LAST, "", 0)
        name, asked = ("tries", (outcome, outcome)) if outcome in ("", DELIVERED) else ("tries_failed", (outcome,))
        rows = await self._db.rows(self._sql[name], (workspace, endpoint, *start, *asked, limit + 1))
        return cut([Try(*row) for row in rows], limit, limit + 1, lambda each: (each.at, each.event, each.attempt))

    async def waiting(self, workspace: str, endpoint: str, limit: int = 50) -> list[Waiting]:
        """What is still to be sent to an endpoint, the next one first."""
        rows = await self._db.rows(self._sql["waiting"], (workspace, endpoint, limit))
        return [
            Waiting(event, account, attempts, None if due_at == NEVER else due_at)
            for due_at, event, _, account, _, attempts in rows
        ]

    async def figures(self) -> Figures:
        """How much waits, in the whole database."""
        ((count, oldest),) = await self._db.rows(self._sql["figures"], (COUNTED,))
        return Figures(int(count), None if oldest is None else made_at(oldest))

    # Keeping house

    async def end_lines(self, at: int) -> None:
        """Let go of the lines of endpoints that ask for no order any more."""
        places = await self._db.rows(self._sql["needless_lines"])

        async def work(execute: Execute) -> None:
            for workspace, endpoint in places:
                await execute(self._sql["end_lines"], (NEVER, at, workspace, endpoint))

        if places:
            await self._db.write(work)

    async def drop_homeless(self) -> int:
        """Forget what waits for endpoints that are not there any more: who was about to write when one was deleted
        wrote on. How many."""
        count, place = 0, ("", "")
        while rows := await self._db.rows(self._sql["next_waiting"], place):
            place = (rows[0][0], rows[0][1])
            if not rows[0][2]:
                count += await self._dropped("drop_homeless", (*place, *place))
        return count

    async def drop_tries(self, before: int, limit: int = PAGE) -> int:
        """Forget tries that are older, some of each endpoint; how many."""
        count, place = 0, ("", "")
        while rows := await self._db.rows(self._sql["next_logged"], place):
            place = (rows[0][0], rows[0][1])
            count += await self._dropped("drop_tries", (*place, before, limit))
        return count

    async def drop_events(self, before: int, limit: int = PAGE) -> int:
        """Forget events that are older, some of each workspace; how many."""
        last = f"evt_{max(before, 0) // 1000:012x}"
        older = last, before, before - ONCE_US, limit
        count = await self._dropped("drop_events", ("", *older))
        workspace = ""
        while rows := await self._db.rows(self._sql["next_told"], (workspace,)):
            workspace = rows[0][0]
            count += await self._dropped("drop_events", (workspace, *older))
        return count

    async def _dropped(self, name: str, values: Sequence[Any]) -> int:
        async def work(execute: Execute) -> int:
            return len(await execute(self._sql[name], values))

        return await self._db.write(work)

    def _names(self, names: Sequence[str]) -> Any:
        """Names as one value of a statement."""
        return list(names) if self._db.dialect == "postgres" else _encode(names).decode()

    def _rows(self, rows: Iterable[Sequence[Any]]) -> tuple[Any, ...]:
        """Rows as one value of a statement, or one for each column."""
        if self._db.dialect == "postgres":
            return tuple(list(column) for column in zip(*rows, strict=True))
        return (_encode([list(row) for row in rows]).decode(),)


def _key(taken: Taken) -> tuple[str, str, int, str, int]:
    return taken.workspace, taken.endpoint, taken.until, taken.event, taken.bucket


def _log_row(tried: Tried) -> tuple[Any, ...]:
    taken = tried.taken
    type = "" if taken.told is None else taken.told.type
    outcome = "given_up" if isinstance(tried.outcome, GiveUp) else "failed"
    if isinstance(tried.outcome, Delivered):
        outcome = DELIVERED
    place = (taken.workspace, taken.endpoint, taken.event, taken.bucket)
    return (*place, tried.at, type, outcome, tried.status, tried.detail, tried.millis)
