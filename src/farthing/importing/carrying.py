"""Carrying out: what a surveyed file says is asked of the ledger, a page at a time; then the ledger is held against it.

Every act has a key or a name of its own, so whoever was killed in the middle runs it again: what is there already is
counted and left as it is. A refusal ends nothing; it is told with its line. First come plans, cards, people and
accounts, then what these are needed for.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from farthing.core.commands import Command, Import, SetAccount
from farthing.core.outcomes import Accepted, Outcome, Refusal, Refused
from farthing.core.records import KeptKey
from farthing.engine import Engine
from farthing.stores.acts import AccessError, Act, Once
from farthing.stores.contract import Raced
from farthing.stores.imports import Imports
from farthing.stores.plans import Plans
from farthing.stores.prices import PriceStore
from farthing.stores.scratch import Scratch

from . import asking, keys, people
from .asking import PREFIX, Into
from .files import Lines
from .form import (
    AccountLine,
    CardLine,
    DebtLine,
    GrantLine,
    KeyLine,
    Line,
    PaymentLine,
    PlanLine,
    SubscriptionLine,
    UserLine,
    decode,
)
from .survey import SHOWN, Survey, document, read_plan

PAGE: Final = 1_024
AT_ONCE: Final = 3
"""Pages on their way at a time."""
BESIDE: Final = 64
"""A page beside a server's charges, which would else wait for a long one."""
REST: Final = 9
"""Beside a server: for a time of work, so many of rest."""
RACES: Final = 5
PHASES: Final[tuple[tuple[type[Struct], ...], ...]] = (
    (PlanLine, CardLine, UserLine, AccountLine),
    (GrantLine, DebtLine, PaymentLine, KeyLine, SubscriptionLine),
)
Page = list[tuple[int, Any]]
"""Lines of one type, with their numbers."""
Spent = tuple[int, KeyLine, KeptKey]
"""A key, and the line that says so."""
Told = Callable[[int, int, str], None]
"""So many lines are done, of how many, of what."""


class Refusing(Struct, frozen=True):
    """A line that was not carried out, and why."""

    line: int
    type: str
    name: str
    code: str
    facts: dict[str, Any] = {}


class Count(Struct):
    """What became of the lines of a type."""

    read: int = 0
    written: int = 0
    there: int = 0
    """Were there already."""
    refused: int = 0
    left_out: int = 0
    """Are over, and not needed."""


class Carried(Struct):
    """What came of a file."""

    counts: dict[str, Count] = field(default_factory=dict)
    refused: list[Refusing] = field(default_factory=list)
    refused_count: int = 0
    expected: int = 0
    """What the lines that were not refused come to."""
    booked: int = 0
    """What the ledger has of them."""
    missing: list[int] = field(default_factory=list)
    """Lines that the ledger has otherwise, or not at all; the first of them."""
    missing_count: int = 0

    def of(self, kind: str) -> Count:
        """The count of a type."""
        return self.counts.setdefault(kind, Count())


class Ledger(Struct, frozen=True):
    """What is worked on."""

    engine: Engine
    imports: Imports
    plans: Plans
    prices: PriceStore
    act: Callable[[], Act]


class Carrier:
    """Carries out one file."""

    def __init__(
        self, ledger: Ledger, into: Into, survey: Survey, scratch: Scratch, *, dry_run: bool, gentle: bool = False,
        told: Told = lambda *_: None,
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._into = replace(into, surveyed=True)
        self._survey = survey
        self._scratch = scratch
        self._dry_run = dry_run
        self._page = BESIDE if gentle else PAGE
        self._gentle = gentle
        self._told = told
        self._done = 0
        self.carried = Carried()

    async def run(self, lines: Lines) -> Carried:
        """All of it."""
        for phase in PHASES:
            try:
                await self._play(lines, phase)
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from several
        return self.carried

    async def _play(self, lines: Lines, phase: Iterable[type[Struct]]) -> None:
        """Some types of lines: while pages are on their way, the next one is read."""
        turns = asyncio.Semaphore(1 if self._gentle else AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for kind, page in self._pages(lines, phase):
                await turns.acquire()
                group.create_task(self._carry(kind, page, turns))

    async def _carry(self, kind: type[Struct], page: Page, turns: asyncio.Semaphore) -> None:
        began = time.monotonic()
        count = self.carried.of(_tag(kind))
        count.read += len(page)
        await _CARRY[kind](self, page, count)
        self._done += len(page)
        self._told(self._done, self._survey.lines, "imported")
        if self._gentle and not self._dry_run:
            await asyncio.sleep((time.monotonic() - began) * REST)
        turns.release()

    async def compare(self, lines: Lines) -> Carried:
        """Hold what the ledger has against what the file says, entry by entry."""
        carried, done = self.carried, 0
        for _, page in self._pages(lines, (GrantLine, DebtLine, PaymentLine)):
            wanted = [(number, line.account, *asking.moves(line, self._into)) for number, line in page]
            found = await self._ledger.imports.booked(self._into.workspace, [(key, who) for _, who, key, _ in wanted])
            for number, who, key, moved in wanted:
                name = (key, who)
                carried.expected += moved
                carried.booked += found.get(name, 0)
                if found.get(name) != moved:
                    carried.missing_count += 1
                    carried.missing += [number] if len(carried.missing) < SHOWN else []
            done += len(page)
            self._told(done, self._survey.lines, "compared")
        return carried

    # Pages

    def _pages(self, lines: Lines, kinds: Iterable[type[Struct]]) -> Iterator[tuple[type[Struct], Page]]:
        """Lines of these types, many of one type at a time; those that were put aside are left out."""
        waiting: dict[type[Struct], Page] = {kind: [] for kind in kinds}
        for number, text in lines:
            line: Line = decode(text)
            kind = type(line)
            if kind not in waiting or self._scratch.is_aside(number):
                continue
            waiting[kind].append((number, line))
            if len(waiting[kind]) >= self._page:
                yield kind, waiting[kind]
                waiting[kind] = []
        yield from ((kind, page) for kind, page in waiting.items() if page)

    def _refuse(self, count: Count, number: int, line: Any, code: str, facts: dict[str, Any] | None = None) -> None:
        count.refused += 1
        self.carried.refused_count += 1
        self._scratch.put_aside(number)
        if len(self.carried.refused) < SHOWN:
            self.carried.refused.append(Refusing(number, _tag(type(line)), _name(line), code, facts or {}))

    # Through the engine

    async def _ask(self, commands: Sequence[Command]) -> list[Outcome]:
        # All at a time, so that they share commits.
        asked = [self._ledger.engine.ask(command, dry=self._dry_run) for command in commands]
        return list(await asyncio.gather(*asked))

    async def _bring(self, page: Page, count: Count) -> None:
        await self._tally(page, [asking.bring(line, self._into) for _, line in page], count)

    async def _tally(self, page: Page, commands: Sequence[Command], count: Count) -> None:
        """Ask, and count what came of it."""
        for (number, line), command, outcome in zip(page, commands, await self._ask(commands), strict=True):
            if isinstance(outcome, Refused):
                if self._will_be_there(outcome, line):
                    count.written += 1
                else:
                    self._refuse(count, number, line, str(outcome.code), outcome.facts)
                continue
            count.written += not outcome.replayed
            count.there += outcome.replayed
            if outcome.replayed and _key_of(outcome) != command.key:
                # Its payment was credited by something else: no entry of this file's has it.
                self._scratch.put_aside(number)

    def _will_be_there(self, refused: Refused, line: Any) -> bool:
        """In a dry run: whether what is lacking would have been made by an earlier line."""
        if not self._dry_run:
            return False
        if refused.code is Refusal.PLAN_NOT_FOUND:
            return line.plan in self._survey.plans
        return refused.code is Refusal.ACCOUNT_NOT_FOUND and isinstance(line, AccountLine)

    async def _accounts(self, page: Page, count: Count) -> None:
        asked = [asking.account(line, self._into) for _, line in page]
        opened = await self._ask([opening for opening, _ in asked])
        settings = [
            (place, command) for place, (_, command) in zip(page, asked, strict=True) if isinstance(command, SetAccount)
        ]
        await self._tally([place for place, _ in settings], [command for _, command in settings], count)
        for (_, command), outcome in zip(asked, opened, strict=True):
            if command is None:
                count.written += isinstance(outcome, Accepted)
                count.there += isinstance(outcome, Refused)

    async def _subscriptions(self, page: Page, count: Count) -> None:
        asked = [(place, asking.subscription(place[1], self._into)) for place in page]
        going_on = [(p, c) for p, c in asked if c.expires_at is None or c.expires_at > self._into.now_us]
        count.left_out += len(asked) - len(going_on)
        await self._tally([place for place, _ in going_on], [command for _, command in going_on], count)

    # Spent keys

    async def _keys(self, page: Page, count: Count) -> None:
        """Many keys of an account are one entry, which moves nothing."""
        waiting = [(number, line, keys.kept(line, self._into)) for number, line in page]
        for _ in range(RACES):
            waiting = await self._unused(waiting, count)
            if self._dry_run:
                count.written += len(waiting)
                return
            accounts: dict[str, list[Spent]] = {}
            for spent in waiting:
                accounts.setdefault(spent[2].account, []).append(spent)
            kept = await asyncio.gather(*[self._keep(spent, count) for spent in accounts.values()])
            waiting = [each for some in kept for each in some]
            if not waiting:
                return
        raise Raced("others use the same keys again and again; run it again")

    async def _keep(self, spent: list[Spent], count: Count) -> list[Spent]:
        """Keep some keys of an account. Where somebody has used one of them this moment, they are given back: the next
        look finds it."""
        try:
            outcome = await self._ledger.engine.ask(self._keeping([kept for _, _, kept in spent]))
        except Raced:
            return spent
        if isinstance(outcome, Refused):
            for number, line, _ in spent:
                self._refuse(count, number, line, str(outcome.code), outcome.facts)
        else:
            count.written += len(spent)
        return []

    async def _unused(self, waiting: list[Spent], count: Count) -> list[Spent]:
        """Those that nobody has used here."""
        found = await self._ledger.imports.keys(self._into.workspace, [(k.key, k.account) for _, _, k in waiting])
        left = []
        for number, line, kept in waiting:
            name = (kept.key, kept.account)
            if name not in found:
                left.append((number, line, kept))
            elif found[name] == kept.fingerprint:
                count.there += 1
            else:
                self._refuse(count, number, line, str(Refusal.KEY_CONFLICT), {"key": kept.key, "differs": ["content"]})
        return left

    def _keeping(self, kept: list[KeptKey]) -> Import:
        return Import(
            workspace=self._into.workspace, account=kept[0].account, actor=self._into.actor, records=tuple(kept),
            description=f"Keys that {self._into.source} has answered: {len(kept):,}",
        )  # fmt: skip

    # Plans, cards, people

    async def _plans(self, page: Page, count: Count) -> None:
        """The survey has seen to it that what is there already says the same."""
        for _, line in page:
            plan = read_plan(line, self._into.scale)
            known = await self._ledger.plans.get(self._into.workspace, plan.id)
            count.there += known is not None
            count.written += known is None
            if known is None and not self._dry_run:
                await self._ledger.plans.put(self._into.workspace, plan, self._ledger.act())

    async def _cards(self, page: Page, count: Count) -> None:
        for number, line in page:
            text = document(line, self._into.scale)
            digest = sha256(text.encode()).hexdigest()
            once = Once(f"{PREFIX}{self._into.source}:card:{line.card}:{digest[:16]}", {"hash": digest})
            if await self._ledger.prices.added_before(self._into.workspace, once):
                count.there += 1
                continue
            why = f"imported from {self._into.source}"
            try:
                if not self._dry_run:
                    await self._ledger.prices.add_version(
                        self._into.workspace, line.card, text, None, self._ledger.act(), once, why
                    )
            except AccessError as error:
                self._refuse(count, number, line, error.code, {"message": str(error), "field": error.field})
                continue
            count.written += 1

    async def _users(self, page: Page, count: Count) -> None:
        users = [people.user(line, self._into) for _, line in page]
        imports = self._ledger.imports
        work = imports.known_users(users) if self._dry_run else imports.add_users(users, self._ledger.act())
        there, taken = await work
        for (number, line), user in zip(page, users, strict=True):
            if user.id in taken:
                self._refuse(count, number, line, "user_taken")
            else:
                count.there += user.id in there
                count.written += user.id not in there


_CARRY: Final[dict[type[Struct], Callable[[Carrier, Page, Count], Awaitable[None]]]] = {
    PlanLine: Carrier._plans,
    CardLine: Carrier._cards,
    UserLine: Carrier._users,
    AccountLine: Carrier._accounts,
    GrantLine: Carrier._bring,
    DebtLine: Carrier._bring,
    PaymentLine: Carrier._bring,
    KeyLine: Carrier._keys,
    SubscriptionLine: Carrier._subscriptions,
}


def _tag(kind: type[Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _name(line: Any) -> str:
    """What a line is about, for people."""
    return str(getattr(line, "account", "") or getattr(line, "id", "") or getattr(line, "card", ""))


def _key_of(outcome: Accepted) -> str | None:
    return None if outcome.entry is None else outcome.entry.key
