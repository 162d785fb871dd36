"""Simulation: what time will do to accounts, foretold by the very decisions that will do it.

`Ahead` is one account on its way: its clock moves from one thing that is due to the next (a renewal, the end of a
subscription, a lapse, the end of a hold), each is decided as the jobs would ask for it, and laid over what stands.
Nothing is reckoned a second time here. What people do is not foreseen: usage, purchases, payments.
"""

from bisect import insort
from collections.abc import Iterator
from typing import Any, Final, Literal

from msgspec import Struct

from .commands import Command, EndSubscription, Lapse, Renew
from .context import Calendar, Context, MonthsAfter
from .decide import decide
from .draft import due_at
from .ids import make_id
from .jobs import NEVER, back_off, gives_up
from .outcomes import Accepted, Refused
from .plans import KeptPlan
from .records import Account, Charge, Entry, Hold, Workspace
from .refundable import read_body
from .subscription import NOBODY, Subscription, end_key, renewal_key

What = Literal["renewal", "lapse", "hold", "end", "refused"]
_WHAT: Final[dict[str, What]] = {"renew": "renewal", "lapse": "lapse", "expire": "hold", "end": "end"}
PARKED: Final = "parked"
"""Why a renewal will not come: it failed too often, and waits for somebody."""


class Subject(Struct, frozen=True):
    """An account as it stands, with all that time acts on."""

    account: Account
    subscription: Subscription | None = None
    retry_at: int = 0
    """When a renewal that failed is tried again; `core.jobs.NEVER` where it waits for somebody."""
    holds: tuple[Hold, ...] = ()
    """Live ones that end in the time that is looked at."""
    owing: tuple[Charge, ...] = ()
    """Charges with unpaid debt, oldest first: what is given repays them."""


class Event(Struct, frozen=True, kw_only=True):
    """Something that time will do to an account."""

    at: int
    account: str
    what: What
    amount: int = 0
    """Change of the balance."""
    balance: int
    """After it."""
    given: int = 0
    lapsed: int = 0
    written_off: int = 0
    taken: int = 0
    """What a hold's policy charges when nobody ends it."""
    plan: str = ""
    code: str = ""
    """Why a renewal will be refused."""
    facts: dict[str, Any] = {}


class World(Struct, frozen=True, kw_only=True):
    """What is the same for all accounts of a simulation."""

    workspace: Workspace
    plans: dict[tuple[str, str], KeptPlan]
    """By workspace and id."""
    calendar: Calendar
    months_after: MonthsAfter


class Ahead:
    """An account, and what time does to it from an instant on."""

    def __init__(self, subject: Subject, world: World, start: int) -> None:
        account = subject.account
        self._owner = (account.workspace, account.id)
        self._bucket = account.bucket
        self._made = 0
        self._context = _context(subject, world, Context(self._new_id, world.calendar, world.months_after))
        self._now = start
        self._attempts = 0
        self._retry_at = subject.retry_at
        due = due_at(account)
        if due is not None and due <= start:
            self._decide(self._lapse())

    @property
    def account(self) -> Account:
        """As it stands by now; at first, at the start: what was due by then has happened."""
        return self._context.accounts[self._owner]

    def events(self, until: int) -> Iterator[Event]:
        """What happens until an instant, it included, in order of time."""
        s = self._subscription
        if s is not None and self._retry_at >= NEVER and s.billed_by == NOBODY:
            yield self._failure(PARKED, {})
        while (at := self._next()) <= until:
            self._now = at
            yield from self._happen()

    # One step

    @property
    def _subscription(self) -> Subscription | None:
        s = self._context.subscriptions.get(self._owner)
        return None if s is None or s.ended_at is not None else s

    def _next(self) -> int:
        """When the next thing is due; what is overdue, now."""
        due, s = due_at(self.account), self._subscription
        first = NEVER if due is None else due
        if s is not None:
            first = min(first, NEVER if s.ends_at is None else s.ends_at, self._renewal_at(s))
        return max(first, self._now)

    def _renewal_at(self, s: Subscription) -> int:
        return max(s.next_at, self._retry_at) if s.billed_by == NOBODY else NEVER

    def _happen(self) -> list[Event]:
        """What is due now. A subscription that ends now is not renewed, as the job ends first what is over."""
        command = self._command()
        outcome = self._decide(command)
        if isinstance(outcome, Refused):
            return self._refuse(outcome)
        if isinstance(command, Renew):
            self._attempts, self._retry_at = 0, 0
        return [_event(entry) for entry in outcome.entries]

    def _command(self) -> Command:
        s, (workspace, account) = self._subscription, self._owner
        if s is not None and s.ends_at is not None and s.ends_at <= self._now:
            return EndSubscription(
                workspace=workspace, account=account, id=self._id(), at=self._now, subscription=s.id,
                key=end_key(s.id),
            )  # fmt: skip
        if s is not None and self._renewal_at(s) <= self._now:
            return Renew(
                workspace=workspace, account=account, id=self._id(), at=self._now, subscription=s.id,
                period_at=s.next_at, key=renewal_key(s.id, s.next_at),
            )  # fmt: skip
        return self._lapse()

    def _lapse(self) -> Lapse:
        workspace, account = self._owner
        return Lapse(workspace=workspace, account=account, id=self._id(), at=self._now)

    def _decide(self, command: Command) -> Accepted | Refused:
        outcome = decide(command, self._context)
        if isinstance(outcome, Accepted):
            self._context.apply(outcome)
        return outcome

    def _id(self) -> str:
        return self._new_id("ent", self._now, self._bucket)

    def _new_id(self, prefix: str, at: int, bucket: int) -> str:
        # Nobody ever sees it, but grants are told apart by it.
        self._made += 1
        return make_id(prefix, at, self._made, 0, bucket)

    def _refuse(self, refused: Refused) -> list[Event]:
        """Told once, at the first of the job's tries; after the last of them it waits for somebody."""
        self._attempts += 1
        self._retry_at = NEVER if gives_up(self._attempts) else self._now + back_off(self._attempts, 0)
        return [self._failure(str(refused.code), refused.facts)] if self._attempts == 1 else []

    def _failure(self, code: str, facts: dict[str, Any]) -> Event:
        s = self._subscription
        assert s is not None, "nothing but a renewal can be refused"
        return Event(
            at=self._now, account=self._owner[1], what="refused", balance=self.account.balance, plan=s.plan, code=code,
            facts=facts,
        )  # fmt: skip


def _context(subject: Subject, world: World, context: Context) -> Context:
    account = subject.account
    owner = (account.workspace, account.id)
    context.workspaces[world.workspace.id] = world.workspace
    context.plans = world.plans
    context.accounts[owner] = account
    context.holds = {hold.id: hold for hold in subject.holds}
    context.due_holds[owner] = [hold.id for hold in subject.holds]
    context.charges = {charge.id: charge for charge in subject.owing}
    context.owing[owner] = [charge.id for charge in subject.owing]
    if subject.subscription is not None:
        context.subscriptions[owner] = subject.subscription
    return context


def _event(entry: Entry) -> Event:
    body = read_body(entry)
    s = body.subscription
    return Event(
        at=entry.at, account=entry.account, what=_WHAT[entry.kind], amount=entry.amount, balance=entry.balance,
        given=body.earned, lapsed=body.lapsed, written_off=body.written_off, taken=body.spent,
        plan="" if s is None else s.plan,
    )  # fmt: skip


# Sums


class Tally(Struct):
    """What happens in a month, or in all."""

    renewals: int = 0
    given: int = 0
    lapsed: int = 0
    written_off: int = 0
    holds: int = 0
    """That end by themselves."""
    taken: int = 0
    """By the policy of such holds."""
    ended: int = 0
    """Subscriptions."""
    refused: dict[str, int] = {}
    """Renewals that will fail, by the reason; each once, however often it is tried."""

    def add(self, event: Event) -> None:
        """Count an event."""
        self.renewals += event.what == "renewal"
        self.holds += event.what == "hold"
        self.ended += event.what == "end"
        self.given += event.given
        self.lapsed += event.lapsed
        self.written_off += event.written_off
        self.taken += event.taken
        if event.code:
            self.refused[event.code] = self.refused.get(event.code, 0) + 1

    @property
    def failed(self) -> int:
        """Renewals that will fail, for whatever reason."""
        return sum(self.refused.values())


class Foretold:
    """All accounts of a simulation: sums by month, balances at both ends, and the largest at its end."""

    def __init__(self, calendar: Calendar, timezone: str, top: int) -> None:
        self._calendar = calendar
        self._timezone = timezone
        self._top = top
        self._largest: list[tuple[int, int, str]] = []
        self.accounts = 0
        self.before = 0
        self.after = 0
        self.total = Tally()
        self.months: dict[int, Tally] = {}
        """By the instant at which each begins."""

    def add(self, event: Event) -> None:
        """Count an event."""
        month = self._calendar(event.at, self._timezone)[2]
        self.total.add(event)
        self.months.setdefault(month, Tally()).add(event)

    def add_account(self, before: int, after: Account) -> None:
        """Count an account whose time is through; they come in the order of their ids."""
        self.accounts += 1
        self.before += before
        self.after += after.balance
        insort(self._largest, (after.balance, -self.accounts, after.id))
        if len(self._largest) > self._top:
            del self._largest[0]

    @property
    def largest(self) -> list[tuple[str, int]]:
        """Accounts with the largest balances, those first; of equal ones by their ids."""
        return [(account, balance) for balance, _, account in reversed(self._largest)]
