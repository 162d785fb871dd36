"""A walk: the same random commands on the engine with a real database and on the plain model, compared at each step.

The book is one on a SQLite file, or one with a twin on PostgreSQL, which is held against it as well.
A step is a batch of commands, time passing, a restart on the same file, or a commit whose fate is unknown.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

from farthing.core import allowances
from farthing.core import commands as ask
from farthing.core.agreement import compare
from farthing.core.draft import entry_hash
from farthing.core.invariants import Books
from farthing.core.outcomes import Accepted, Refused
from farthing.core.plans import Plan
from farthing.core.records import Entry, GrantTerms, Workspace, WorkspaceSettings
from farthing.core.refundable import read_body
from farthing.engine import Result
from farthing.stores.contract import Store, Unknown
from farthing.stores.rows import read_subscription
from farthing.timezones import calendar
from tests.model.account import Account, Line, Told, Verdict
from tests.model.model import Ledger
from tests.model.script import RULES, WAITS, Choices, Script
from tests.model.subscribing import MANY, PLANS, Subscription
from tests.model.twin import MakeBook, TwinBook
from tests.support import START_US, Book, WrappedStore


class FaultyStore(WrappedStore):
    """Loses the answer of one commit: before it was written, or after."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.fault = ""

    async def commit(self) -> None:
        fault, self.fault = self.fault, ""
        if fault == "before":
            raise Unknown("the answer was lost")
        await self.store.commit()
        if fault == "after":
            raise Unknown("the answer was lost")


def on_sqlite(path: Path) -> MakeBook:
    """Books on a file; without a wait for the disk, since walks prove rules."""
    return lambda workspaces, wrap: Book(path, workspaces, durable=False, wrap=wrap)


def on_both(path: Path, url: str) -> MakeBook:
    """Books on a file, with a twin in a fresh database of PostgreSQL."""
    return lambda workspaces, wrap: TwinBook(path, url, workspaces, wrap)


def workspaces() -> list[Workspace]:
    """The model's rules as workspaces of the ledger."""
    return [
        Workspace(name, name, "live", "credits", 6, START_US, msgspec.convert(vars(rules), WorkspaceSettings))
        for name, rules in RULES.items()
    ]


def put_plans(book: Book) -> None:
    """The model's plans as plans of the ledger."""
    sql = "insert into plan (workspace, id, document, created_at, updated_at, archived_at) values (?, ?, ?, ?, ?, ?)"
    for each in PLANS.values():
        facts = {k: v for k, v in vars(each).items() if k not in ("day", "zone", "first", "grace", "archived")}
        plan = Plan(**facts, anchor_day=each.day, timezone=each.zone, first_period=each.first, grace_days=each.grace)  # type: ignore[arg-type]
        document, archived_at = msgspec.json.encode(plan).decode(), START_US if each.archived else None
        for workspace in RULES:
            for db in (book.db, *((book.twin.db,) if isinstance(book, TwinBook) else ())):
                db.execute(sql, (workspace, each.id, document, START_US, START_US, archived_at))


class Walk:
    """One ledger and its model, side by side."""

    def __init__(self, make_book: MakeBook, note: Callable[[str], None] = lambda _: None) -> None:
        # A walk is too short for as many rests as there may be.
        self.few = patch.object(allowances, "MANY", MANY)
        self.few.start()
        self.stores: dict[type[Store], FaultyStore] = {}
        self.book = make_book(workspaces(), self._wrap)
        put_plans(self.book)
        self.model = Ledger(RULES)
        self.script = Script(self.model)
        self.note = note
        self.met: Counter[str] = Counter()
        """How often what has happened."""
        self.heads: dict[tuple[str, str], bytes] = {}

    def _wrap(self, store: Store) -> Store:
        # One for each database; a restart's takes the place of the one before.
        self.stores[type(store)] = FaultyStore(store)
        return self.stores[type(store)]

    # Steps

    def step(self, data: bytes) -> None:
        """One step, chosen by the bytes."""
        self.met["steps"] += 1
        choices = Choices(data)
        what = choices.below(32)
        if what == 31:
            self.note("restart")
            self.book.restart()
        elif what >= 28:
            self._pass(self._until_next() if choices.one_in(3) else choices.of(WAITS))
        else:
            self._batch(choices, max(1, what - 20), {26: "before", 27: "after"}.get(what, ""))

    def _until_next(self) -> int:
        """To the very instant at which time next does something anywhere."""
        now = self.book.clock.now_us()
        events = [at for a in self.model.accounts.values() for at in events_of(a) if at is not None]
        return min((at - now for at in events if at >= now), default=0)

    def _pass(self, us: int) -> None:
        self.note(f"wait {us} us")
        self.book.clock.advance(us=us)

    def _batch(self, choices: Choices, size: int, fault: str) -> None:
        if fault:
            self.note(f"the next commit's answer is lost {fault} it is written")
        batch = []
        for _ in range(size):
            self.book.clock.advance(us=choices.of((0, 0, 0, 1, 1, 1_000, 2_000_000)))
            batch.append(self.script.command(choices, self.book.clock.now_us()))
        if fault:
            # A refund begins a batch of its own where it is not the first; the fault belongs to the first batch.
            batch = batch[:1] + [c for c in batch[1:] if not isinstance(c, ask.Refund)]
        for command in batch:
            self.note(repr(command))
        self.met["commands"] += len(batch)
        results = self._play(batch, fault)
        self._compare(batch, results, lost=fault == "after")

    def _play(self, batch: list[ask.Command], fault: str) -> list[Result]:
        for store in self.stores.values():
            store.fault = fault
        results = self.book.batch(*batch)
        for store in self.stores.values():
            store.fault = ""
        return results

    # Comparing

    def _compare(self, batch: list[ask.Command], results: list[Result], *, lost: bool) -> None:
        owners = {(c.workspace, c.account) for c in batch if c.account}
        seen = {owner: len(self._lines(owner)) for owner in owners}
        new = {o: self.book.entries(o[1], o[0], seen[o]) for o in owners}
        told = {owner: tell(entries) for owner, entries in new.items()}
        verdicts = [self._verdict(command, told) for command in batch]
        if lost:
            # What left no entry of its own is decided again, after all that was written.
            verdicts = [
                verdict if verdict.line and verdict.line.id == command.id else self._verdict(command, told)
                for command, verdict in zip(batch, verdicts, strict=True)
            ]
        for command, result, verdict in zip(batch, results, verdicts, strict=True):
            self._compare_result(command, result, verdict)
        for owner in owners:
            self._compare_entries(owner, new[owner], self._lines(owner)[seen[owner] :])
            self.compare_account(owner)

    def _verdict(self, command: ask.Command, told: dict[tuple[str, str], Told]) -> Verdict:
        return self.model.decide(command, told.get((command.workspace, command.account), Told()))

    def _lines(self, owner: tuple[str, str]) -> list[Line]:
        account = self.model.accounts.get(owner)
        return account.lines if account else []

    def _compare_result(self, command: ask.Command, result: Result, verdict: Verdict) -> None:
        where = f"{command}\n -> {result}\nmodel: {verdict}"
        assert isinstance(result, Accepted | Refused), where
        if isinstance(result, Refused):
            facts = {k: v for k, v in result.facts.items() if k not in ("message", "differs")}
            same((str(result.code), facts), (verdict.code, verdict.facts), where)
            self.met[f"refused {verdict.code}"] += 1
        else:
            assert not verdict.code, where
            self.met[f"{'replayed' if result.replayed else 'accepted'} {command.kind}"] += 1
        if isinstance(result, Accepted) or verdict.line is not None:
            answered = (result.entry.number, result.entry.id) if result.entry else None
            same(answered, (verdict.line.number, verdict.line.id) if verdict.line else None, where)

    def _compare_entries(self, owner: tuple[str, str], entries: list[Entry], lines: list[Line]) -> None:
        told = [as_told(line, e) for line, e in zip(lines, entries, strict=False)]
        same([as_line(e) for e in entries], told + lines[len(entries) :], f"the new entries of {owner}")
        self.met["rests put together"] += sum("put_together" in entry.body for entry in entries)
        for entry in entries:
            head = entry_hash(entry, self.heads.get(owner, b""))
            assert entry.hash == head, f"the chain of {owner} is broken at {entry.number}"
            self.heads[owner] = head

    def compare_account(self, owner: tuple[str, str]) -> None:
        """The account's row against the model, and the laws."""
        row, account = self.book.account(owner[1], owner[0]), self.model.accounts.get(owner)
        if row is None or account is None:
            assert row is None
            assert account is None
            return
        actual = {name: getattr(row, name) for name in _SUMS}
        actual["grants"] = [(g.id, g.remaining, g.held, g.expires_at, g.scope, g.voided) for g in row.grants]
        s = row.settings
        actual["settings"] = (s.allowance, s.frozen, s.spend_limit_day, s.spend_limit_month, s.timezone)
        same(actual, sums_of(account), f"the account {owner}")
        same(row.earned - row.spent - row.lapsed - row.written_off, row.balance, f"what the totals of {owner} leave")
        same(row.head, self.heads[owner], f"the head of {owner}")
        same(sum(line.amount for line in account.lines), row.balance, f"the sum of the entries of {owner}")
        self._compare_due(owner, account, row.hold_due_at)
        self._compare_subscription(owner, account.subscription)

    def _compare_subscription(self, owner: tuple[str, str], s: Subscription | None) -> None:
        rows = list(self.book.db.execute("select terms from subscription where workspace = ? and account = ?", owner))
        found = [read_subscription(row[0]) for row in rows]
        actual = [
            {name: getattr(each, name) for name in TOLD}
            | {"grants": list(each.grants), "pending": each.pending and each.pending.plan}
            for each in found
        ]
        same(actual, [s.told()] if s else [], f"the subscription of {owner}")

    def _compare_due(self, owner: tuple[str, str], account: Account, hold_due_at: int | None) -> None:
        """Time is told of the account no later than it has something to do there."""
        end = account.next_end()
        if end is not None:
            assert hold_due_at is not None
            assert hold_due_at <= end
        events = [at for at in (end, account.next_lapse()) if at is not None]
        sql = "select due_at from job where kind = 'account' and workspace = ? and subject = ?"
        due = [row[0] for row in self.book.db.execute(sql, owner)]
        if events:
            assert due, f"nobody will come for {owner} at {min(events)}"
            assert due[0] <= min(events)

    def finish(self) -> None:
        """Everything that is kept about everything, once more."""
        for owner, account in self.model.accounts.items():
            self.compare_account(owner)
            self._replay(owner)
            for hold in account.holds.values():
                stored = self.book.hold(hold.id)
                actual: Any = (
                    stored.amount, stored.remaining, stored.settled, stored.metered, stored.state, stored.expires_at,
                    dict(stored.slices),
                )  # fmt: skip
                pins = {grant: part for grant, part in hold.pins.items() if part}
                expected: Any = (hold.amount, hold.left, hold.settled, hold.metered, hold.state, hold.ends, pins)
                same(actual, expected, f"the hold {hold.id}")
            for charge in account.charges:
                if charge.kind in ("charge", "settle", "expire") or charge.debt:
                    kept = self.book.charge(charge.id)
                    actual = (kept.amount, kept.refunded, kept.debt, kept.forgiven)
                    expected = (charge.amount, charge.refunded, charge.debt, charge.forgiven)
                    same(actual, expected, f"the charge {charge.id}")
            sql = "select voided, gone from grants where id = ?"
            for grant in account.grants:
                same(list(self.book.db.execute(sql, (grant.id,))), [(grant.voided, grant.gone)], f"{grant}")
        accounts = self.model.accounts.values()
        counts = {
            "account": len(accounts), "entry": sum(len(a.lines) for a in accounts),
            "key": sum(len(a.keys) for a in accounts), "payment": len(self.model.payments),
            "subscription": len([a for a in accounts if a.subscription]),
        }  # fmt: skip
        same({table: self.book.count(table) for table in counts}, counts, "the number of rows")
        if isinstance(self.book, TwinBook):
            self.met["rows that are the same on both"] += self.book.compare_tables()

    def _replay(self, owner: tuple[str, str]) -> None:
        """The entries by themselves explain the account's row: doctor's replay finds nothing wrong."""
        entries = self.book.entries(owner[1], owner[0])
        books = Books(*owner, calendar, {e.id: e for e in entries}.get)
        problems = [problem for entry in entries for problem in books.add(entry)]
        problems += compare(self.book.row(owner[1], owner[0]), books.row())
        assert not problems, "\n".join(map(str, problems))

    def close(self) -> None:
        self.few.stop()
        self.book.close()


TOLD = (
    "id", "plan", "anchor_at", "periods", "next_at", "expires_at", "ends_at", "billed_by", "canceled_at", "ended_at",
    "until_canceled",
)  # fmt: skip
_SUMS = (
    "number", "at", "balance", "held", "debt", "earned", "spent", "lapsed", "written_off", "holds", "lapse_at",
)  # fmt: skip


def same(actual: object, expected: object, what: str) -> None:
    """Say both sides where they differ: these checks also run outside pytest."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        differ = [k for k in expected if actual.get(k) != expected[k]]
        actual, expected = {k: actual.get(k) for k in differ}, {k: expected[k] for k in differ}
    assert actual == expected, f"{what}\n  is    {actual}\n  model {expected}"


def sums_of(a: Account) -> dict[str, Any]:
    """What the model says of an account's row."""
    grants = [(g.id, g.left, a.pinned(g), g.expires, g.scope, g.voided) for g in a.live_grants()]
    figures = (
        a.number(), a.time(), a.balance(), a.held(), a.debt(), a.earned, a.spent, a.lapsed, a.written_off,
        len(a.live_holds()), a.next_lapse(),
    )  # fmt: skip
    settings = (a.allowance, a.frozen, a.day_limit, a.month_limit, a.zone)
    return {**dict(zip(_SUMS, figures, strict=True)), "grants": grants, "settings": settings}


def as_line(e: Entry) -> Line:
    """An entry, as far as the model has it."""
    return Line(e.number, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.id, e.key, e.operation)


def as_told(line: Line, entry: Entry) -> Line:
    """A line of the model; where its id is no rule, with the one that the ledger drew."""
    if line.id is not None:
        return line
    return Line(**{**vars(line), "id": entry.id})


def tell(entries: list[Entry]) -> Told:
    """The ids that the ledger drew on its way."""
    ids = {e.number: e.id for e in entries}
    drawn = {e.number: [g.id for g in read_body(e).grants if g.origin or is_of_rests(g)] for e in entries}
    return Told(ids, drawn)


def is_of_rests(grant: GrantTerms) -> bool:
    """Whether it was put together of what several left."""
    return "put_together" in (grant.source or {})


def events_of(a: Account) -> tuple[int | None, ...]:
    """When time next does something to an account, or lets somebody do it."""
    s: Subscription | None = a.subscription
    return (a.next_lapse(), a.next_end(), *((s.next_at, s.ends) if s and s.ended is None else ()))
