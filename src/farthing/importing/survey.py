"""Survey: the whole file is read before anything is written. What is wrong with it by itself is found here: lines that
can't be read, names that are used for two things, sums that do not come to what the file says.

What has to be remembered of a long file stands in a scratch file; nothing here grows with its length.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from farthing.core.amounts import MAX_BALANCE, write_amount
from farthing.core.cardcheck import check_card
from farthing.core.commands import text_error
from farthing.core.people import key_of
from farthing.core.planfile import PlanFileError, read_plans
from farthing.core.plans import KeptPlan, Plan
from farthing.core.ratecard import CardError, read_card
from farthing.stores.scratch import Scratch
from farthing.timezones import is_zone

from . import asking, keys, people
from . import values as read
from .asking import Into
from .files import Lines
from .form import (
    TYPES,
    AccountLine,
    CardLine,
    DebtLine,
    GrantLine,
    HeaderLine,
    KeyLine,
    Line,
    PaymentLine,
    PaymentObject,
    PlanLine,
    SubscriptionLine,
    Totals,
    TotalsLine,
    UserLine,
    Wrong,
    decode,
)

SHOWN: Final = 50
"""Problems that are told one by one; of the rest how many there are."""
MOST_PLANS: Final = 1_000
TOLD_EVERY: Final = 1_000
_encode = msgspec.json.Encoder().encode
TOTALS_NEEDED: Final = (
    "says nowhere what it comes to: it may have been cut off. Let the other system add a line of type totals, or take "
    "it as it is with --no-totals"
)
COUNTED: Final = {"grants": "grant", "debts": "debt", "users": "user", "keys": "key", "payments": "payment"}
COUNTED_LAST: Final = {"subscriptions": "subscription"}


class Problem(Struct, frozen=True):
    """What is wrong, where."""

    line: int
    field: str
    message: str


class Survey(Struct):
    """What a file says, and what is wrong with it."""

    source: str = ""
    lines: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Lines of each type, without those that repeat one."""
    repeated: int = 0
    credits: int = 0
    """What remains of all grants, less all debts."""
    accounts: int = 0
    """That have a grant or a debt here."""
    lapsed: int = 0
    """Grants whose date has passed."""
    problems: list[Problem] = field(default_factory=list)
    """The first of them."""
    problem_count: int = 0
    totals: list[tuple[int, Totals]] = field(default_factory=list)
    """What the file says that it comes to, with the line."""
    plans: dict[str, Plan] = field(default_factory=dict)

    def add(self, line: int, name: str, message: str) -> None:
        """Note a problem."""
        self.problem_count += 1
        if len(self.problems) < SHOWN:
            self.problems.append(Problem(line, name, message))


class Known(Struct, frozen=True):
    """What has to be known of the workspace."""

    plans: Mapping[str, KeptPlan]
    max_live_grants: int


class Surveyor:
    """Reads a file through."""

    def __init__(self, into: Into, known: Known, scratch: Scratch, *, needs_totals: bool = True) -> None:
        self.into = into
        self._known = known
        self._scratch = scratch
        self._needs_totals = needs_totals
        self.found = Survey(source=into.source)
        self._asked_plans: dict[str, int] = {}
        self._ended = 0
        """The line of the totals that end the file."""

    def read(self, lines: Lines, told: Callable[[int], None] = lambda _: None) -> Survey:
        """Read all of it."""
        for number, text in lines:
            self.found.lines += 1
            try:
                self._take(number, text)
            except Wrong as wrong:
                self.found.add(number, wrong.field, wrong.message)
            if not self.found.lines % TOLD_EVERY:
                told(self.found.lines)
        self._add_up()
        return self.found

    def _take(self, number: int, text: bytes) -> None:
        line = decode(text)
        kind = str(line.__struct_config__.tag)
        if self._ended:
            raise Wrong("the line", f"comes after the totals of line {self._ended}, which are the last")
        if self._is_repeated(line, number):
            return
        self.found.counts[kind] += 1
        _TAKE[type(line)](self, line, number)

    def _is_repeated(self, line: Line, number: int) -> bool:
        """Whether it says what another line has said. Two lines that say different things of one are a problem."""
        first, text = None, _encode(line)
        for what, name in _names(line):
            use = self._scratch.use(what, name, number, text)
            if use is not None and not use.same:
                message = f"{name[:100]!r} is that of line {use.line}, which says something else of it"
                raise Wrong(what.rpartition(" ")[2], message)
            first = first or use
        if first is None:
            return False
        self.found.repeated += 1
        self._scratch.put_aside(number)
        return True

    # One type after another

    def _header(self, line: HeaderLine, number: int) -> None:
        if self.found.lines != 1:
            raise Wrong("type", "header is for the first line")
        if line.source:
            require_source(line.source)
            self.found.source = line.source
            self.into = msgspec.structs.replace(self.into, source=line.source)
        if line.totals is not None:
            self._note_totals(line.totals, number)

    def _totals(self, line: TotalsLine, number: int) -> None:
        self._ended = number
        self._note_totals(line, number)

    def _note_totals(self, totals: Totals, number: int) -> None:
        read.signed(totals.credits, self.into.scale, "credits")
        self.found.totals.append((number, totals))

    def _plan(self, line: PlanLine, number: int) -> None:
        plan = read_plan(line, self.into.scale)
        known = self._known.plans.get(plan.id)
        if known is not None and (known.plan != plan or known.archived_at is not None):
            state = "archived" if known.archived_at is not None else "there already, and says something else"
            raise Wrong("plan", f"{plan.id!r} is {state}: take the line out, or change the one that is there first")
        if len(self.found.plans) >= MOST_PLANS:
            raise Wrong("plan", f"is one of more than {MOST_PLANS:,}, which no workspace has")
        self.found.plans[plan.id] = plan

    def _card(self, line: CardLine, number: int) -> None:
        document(line, self.into.scale)

    def _user(self, line: UserLine, number: int) -> None:
        people.user(line, self.into)

    def _account(self, line: AccountLine, number: int) -> None:
        _, settings = asking.account(line, self.into)
        if settings is not None and isinstance(line.timezone, str) and not is_zone(line.timezone):
            raise Wrong("timezone", "must be the name of a time zone, such as Europe/Berlin")
        if line.balance is not None:
            self._scratch.tell(line.account, read.signed(line.balance, self.into.scale, "balance"), number)

    def _grant(self, line: GrantLine, number: int) -> None:
        command = asking.bring(line, self.into)
        lapsed = command.expires_at is not None and command.expires_at <= self.into.now_us
        self.found.lapsed += lapsed
        self._sum(line.account, command.remaining, live=command.remaining > 0 and not lapsed)

    def _debt(self, line: DebtLine, number: int) -> None:
        self._sum(line.account, -asking.bring(line, self.into).owed)

    def _sum(self, account: str, credits: int, *, live: bool = False) -> None:
        self.found.credits += credits
        self._scratch.add(account, credits, int(live))

    def _payment(self, line: PaymentLine, number: int) -> None:
        asking.bring(line, self.into)

    def _key(self, line: KeyLine, number: int) -> None:
        if wrong := text_error(line.account):
            raise Wrong("account", wrong)
        keys.kept(line, self.into)

    def _subscription(self, line: SubscriptionLine, number: int) -> None:
        asking.subscription(line, self.into)
        kept = self._known.plans.get(line.plan)
        if kept is not None and kept.archived_at is not None:
            raise Wrong("plan", f"{line.plan!r} is archived: nobody can have it any more")
        if kept is None and len(self._asked_plans) <= MOST_PLANS:
            # It may stand further down.
            self._asked_plans.setdefault(line.plan, number)

    # All of it

    def _add_up(self) -> None:
        """What only the whole file tells."""
        found = self.found
        found.accounts = self._scratch.accounts()
        if not found.problem_count:
            # Without a line that can't be read nothing comes to what it should, which would hide what is wrong.
            self._compare_sums()
        unread = found.counts["plan"] > len(found.plans)
        for plan, number in self._asked_plans.items():
            # It may be that of a line which could not be read, and was told.
            if plan not in found.plans and not unread:
                found.add(number, "plan", f"{plan[:100]!r} is not there, neither in the workspace nor in the file")
        for account, live in self._scratch.beyond(MAX_BALANCE, self._known.max_live_grants):
            most = self._known.max_live_grants
            why = f"{live:,} live grants; {most:,} is the most (setting max_live_grants)" if live > most else "too much"
            found.add(0, "account", f"{account!r} has {why}")
        if not found.totals and self._needs_totals:
            found.add(found.lines, "the file", TOTALS_NEEDED)

    def _compare_sums(self) -> None:
        for one in self._scratch.disagreeing():
            told, comes = self._write(one.told), self._write(one.credits)
            message = f"of {one.account!r} should be {told}, and its grants less its debts come to {comes}"
            self.found.add(one.line, "balance", message)
        for number, totals in self.found.totals:
            self._compare(number, totals)

    def _compare(self, number: int, totals: Totals) -> None:
        """The file against what it says that it comes to."""
        told = read.signed(totals.credits, self.into.scale, "credits")
        if told != self.found.credits:
            comes = self._write(self.found.credits)
            self.found.add(
                number, "credits", f"should be {self._write(told)} in all, and those of the file are {comes}"
            )
        counts = {name: self.found.counts[kind] for name, kind in (COUNTED | COUNTED_LAST).items()}
        for name, count in ({"accounts": self.found.accounts} | counts).items():
            wanted = getattr(totals, name)
            if wanted is not None and wanted != count:
                self.found.add(number, name, f"should be {wanted:,}, and the file has {count:,}")

    def _write(self, amount: int) -> str:
        return write_amount(amount, self.into.scale)


_TAKE: Final[dict[type[Struct], Callable[[Any, Any, int], None]]] = {
    kind: getattr(Surveyor, f"_{tag}") for tag, kind in TYPES.items()
}


def _names(line: Any) -> list[tuple[str, str]]:
    """What a line is about, as nothing else in the file may be: what kind of name, and the name. The last word of the
    kind is the field."""
    match line:
        case GrantLine():
            return [("grant id", line.id), *([_payment(line.payment)] if line.payment else [])]
        case DebtLine():
            return [("debt id", line.id) if line.id else ("debt account", line.account)]
        case PaymentLine():
            return [_payment(line)]
        case KeyLine():
            return [(f"{line.account}'s key", line.key)]
        case AccountLine() | SubscriptionLine():
            return [(f"{type(line).__name__} account", line.account)]
        case UserLine():
            mine = (("user id", line.id), ("user username", line.username), ("user email", line.email))
            return [(kind, key_of(name) if kind != "user id" else name) for kind, name in mine if name]
        case CardLine():
            return [("card", line.card)]
        case PlanLine():
            said = msgspec.json.decode(line.plan)
            return [("plan", str(said.get("id")))] if isinstance(said, dict) else []
        case _:
            return []


def _payment(said: PaymentLine | PaymentObject) -> tuple[str, str]:
    return "payment object", f"{said.provider}:{said.object}"


def require_source(text: str) -> None:
    """The name of another system."""
    if not asking.SOURCE.fullmatch(text):
        raise Wrong("source", "must be 1 to 32 of a-z, 0-9, '.', '_' and '-', such as accounting")


def read_plan(line: PlanLine, scale: int) -> Plan:
    """The plan of a line."""
    try:
        (plan,) = read_plans(bytes(line.plan), scale, is_zone)
    except PlanFileError as error:
        raise Wrong("plan", str(error)) from error
    except ValueError as error:
        raise Wrong("plan", "must be one plan") from error
    return plan


def document(line: CardLine, scale: int) -> str:
    """The rate card of a line, once it is known to be right."""
    text = bytes(line.document).decode()
    try:
        problems = check_card(read_card(text), scale)
    except CardError as error:
        problems = error.problems
    if problems:
        raise Wrong("document", "; ".join(f"{at.lstrip('/') or 'it'} {why}" for at, why in problems[:10]))
    return text
