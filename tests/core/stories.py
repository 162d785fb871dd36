"""Stories: a test whose docstring is its ledger. Each line is a time, a command, and what must be so after it.

    0d   grant g 100 until=2d      | balance 100, left g:100
    1d   charge c 30 chat          | available 70
    2d   charge d 1                ! insufficient_credits available 0

Times count from the first of January 2026, 00:00 UTC. Amounts are credits. Names are given by the line that makes
something and used by later ones; a stand-in for the grant g is called g'. After `|` stand figures of the account,
after `!` the refusal and its facts. `as=bob` acts on another account, `key=k` gives the command a key.
"""

import functools
import re
import shlex
from collections.abc import Callable
from typing import Any

from farthing.core import commands as ask
from farthing.core.amounts import read_amount, write_amount
from farthing.core.outcomes import Accepted, Outcome, Refused
from farthing.core.records import Account, Entry, Workspace, WorkspaceSettings
from farthing.core.refundable import read_body
from tests.support import START_US, USED, Book, grant_id, hold_id

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FACTS_IN_CREDITS = {"required", "available", "deficit", "refundable", "left", "metered", "at_least", "at_most"}
_MONEY_LIMITS = {"spend_limit", "balance_limit"}


def story(**rules: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Make a test of a function's docstring; `rules` are the workspace's settings."""

    def make(function: Callable[[], None]) -> Callable[[], None]:
        lines = [line for line in (function.__doc__ or "").splitlines() if re.match(r" +\d", line)]
        assert lines, f"{function.__name__} tells no story"

        @functools.wraps(function)
        def test() -> None:
            teller = Story(rules)
            for line in lines:
                teller.play(line)
            teller.book.close()

        return test

    return make


def span(text: str) -> int:
    """'1d12h' in microseconds; '3us' as well."""
    if text.endswith("us"):
        return int(text[:-2])
    assert re.fullmatch(r"(\d+[smhd])+", text), text
    return sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"(\d+)([smhd])", text)) * 1_000_000


class Story:
    """A ledger on which lines are played."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self.book = Book(
            workspaces=[Workspace("main", "M", "live", "credits", 6, START_US, WorkspaceSettings(**rules))]
        )
        self.names: dict[str, Entry] = {}
        self.grants: dict[str, str] = {}
        """Id -> name."""

    def play(self, line: str) -> None:
        """One line; where it fails the line is in the message."""
        asked, sign, expected = re.fullmatch(r"(.*?)(?:(\||!)(.*))?", line.strip()).groups()  # type: ignore[union-attr]
        when, verb, *words = shlex.split(asked)
        at = START_US + span(when)
        self.book.clock.set(at)
        options = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        who = options.pop("as", "alice")
        before = self.book.account(who)
        command = self.command(verb, plain, options, {"workspace": "main", "account": who})
        outcome = self.book.do(command)
        if sign == "!":
            self.check_refusal(outcome, expected.split(), line)
            return
        assert isinstance(outcome, Accepted), f"{line}\n  {outcome}"
        self.remember(outcome, verb, plain, who, before.number if before else 0)
        for fact in filter(None, re.split(r", *", (expected or "").strip())):
            name, _, value = fact.partition(" ")
            found = self.figure(name, self.book.row(who), outcome, before.number if before else 0)
            assert found == value.strip(), f"{line}\n  {name} is {found}"

    # Commands

    def command(self, verb: str, plain: list[str], options: dict[str, str], who: dict[str, Any]) -> ask.Command:
        """The command of a line."""
        common = {**who, "key": options.pop("key", None)}
        for name in ("until", "until_after"):
            if name in options:
                options["expires_at"] = str(START_US + span(options.pop(name)))
        make: Callable[..., ask.Command] = getattr(self, "_" + verb)
        read = {name: _READ.get(name, str)(value) for name, value in options.items()}
        return make(common, *plain, **read)

    def _open(self, who: Any) -> ask.Command:
        return ask.CreateAccount(**who)

    def _grant(self, who: Any, name: str, amount: str, **options: Any) -> ask.Command:
        return ask.GiveGrant(**who, amount=credits(amount), **options)

    def _charge(self, who: Any, name: str, amount: str, operation: str = "", **options: Any) -> ask.Command:
        return ask.TakeCharge(
            **who, amount=credits(amount), operation=operation, usage=USED if amount == "0" else None, **options
        )

    def _hold(self, who: Any, name: str, amount: str, operation: str = "", **options: Any) -> ask.Command:
        return ask.PlaceHold(**who, amount=credits(amount), operation=operation, **options)

    def _settle(self, who: Any, name: str, hold: str, amount: str | None = None, **options: Any) -> ask.Command:
        value = None if amount is None else credits(amount)
        return ask.Settle(**who, hold=self.hold(hold), amount=value, **options)

    def _release(self, who: Any, hold: str) -> ask.Command:
        return ask.Release(**who, hold=self.hold(hold))

    def _extend(self, who: Any, hold: str, **options: Any) -> ask.Command:
        return ask.Extend(**who, hold=self.hold(hold), **options)

    def _refund(self, who: Any, charge: str, amount: str | None = None) -> ask.Command:
        value = None if amount is None else credits(amount)
        return ask.Refund(**who, charge=None if charge == "latest" else self.names[charge].id, amount=value)

    def _void(self, who: Any, grant: str) -> ask.Command:
        return ask.Void(**who, grant=self.grant(grant))

    def _clawback(self, who: Any, grant: str, total: str) -> ask.Command:
        return ask.TakeBack(**who, grant=self.grant(grant), total=credits(total))

    def _dispute(self, who: Any, name: str, grant: str) -> ask.Command:
        return ask.OpenDispute(**who, grant=self.grant(grant))

    def _close(self, who: Any, dispute: str, grant: str, total: str) -> ask.Command:
        return ask.CloseDispute(**who, hold=self.hold(dispute), grant=self.grant(grant), total=credits(total))

    def _adjust(self, who: Any, amount: str, name: str = "", **options: Any) -> ask.Command:
        return ask.Adjust(**who, amount=credits(amount), **options)

    def _set(self, who: Any, amount: str, mode: str, name: str = "", **options: Any) -> ask.Command:
        return ask.SetBalance(**who, amount=credits(amount), mode=mode, **options)  # type: ignore[arg-type]

    def _account(self, who: Any, **options: Any) -> ask.Command:
        return ask.SetAccount(**who, **options)

    def _wait(self, who: Any) -> ask.Command:
        return ask.Lapse(**who)

    def grant(self, name: str) -> str:
        return next((id for id, known in self.grants.items() if known == name), name)

    def hold(self, name: str) -> str:
        return hold_id(self.names[name]) if name in self.names else name

    # What came of it

    def remember(self, outcome: Accepted, verb: str, plain: list[str], who: str, before: int) -> None:
        """Give names to what the line made."""
        if verb in ("grant", "charge", "hold", "settle", "dispute") and outcome.entry is not None:
            self.names[plain[0]] = outcome.entry
        if verb == "grant" and outcome.entry is not None:
            self.grants[grant_id(outcome.entry)] = plain[0]
        if verb in ("adjust", "set") and outcome.entry is not None and len(plain) > {"adjust": 1, "set": 2}[verb]:
            self.grants[grant_id(outcome.entry)] = plain[-1]
        for entry in self.book.entries(who, after=before):
            for made in read_body(entry).grants:
                if made.origin:
                    self.grants[made.id] = self.grants[made.origin] + "'"
            if entry.kind == "expire":
                self.names["expiry"] = entry

    def figure(self, name: str, a: Account, outcome: Accepted, before: int) -> str:
        """A figure of the account, as text."""
        if name == "left":
            return " ".join(f"{self.grants[g.id]}:{shown(g.remaining)}" for g in a.grants)
        if name == "pinned":
            return " ".join(f"{self.grants[g.id]}:{shown(g.held)}" for g in a.grants if g.held)
        if name == "wrote":
            return " ".join(e.kind for e in self.book.entries(a.id, after=before))
        if name == "dated":
            return " ".join(day(e.at) for e in self.book.entries(a.id, after=before))
        if name == "available":
            return shown(available(a))
        if name == "unpaid":
            assert outcome.entry is not None
            return shown(read_body(outcome.entry).unpaid)
        if name == "amount":
            assert outcome.entry is not None
            return shown(outcome.entry.amount)
        if name in ("number", "holds"):
            return str(getattr(a, name))
        if name == "again":
            return str(outcome.replayed).lower()
        return shown(getattr(a, name))

    def check_refusal(self, outcome: Outcome, expected: list[str], line: str) -> None:
        """The code, then facts as pairs of name and value."""
        assert isinstance(outcome, Refused), f"{line}\n  {outcome}"
        code, *facts = expected
        assert str(outcome.code) == code, f"{line}\n  {outcome}"
        for name, value in zip(facts[::2], facts[1::2], strict=True):
            found = outcome.facts[name]
            in_credits = name in _FACTS_IN_CREDITS or (name == "limit" and code in _MONEY_LIMITS)
            told = shown(found) if in_credits else ",".join(found) if isinstance(found, list) else str(found)
            assert told == value, f"{line}\n  {name} is {told}"


def credits(text: str) -> int:
    return read_amount(text.lstrip("+"), 6)


def shown(amount: int) -> str:
    return write_amount(amount, 6)


def day(at: int) -> str:
    """'1d12h' from microseconds, as stories count."""
    seconds = (at - START_US) // 1_000_000
    parts = [
        (seconds // 86_400, "d"),
        (seconds % 86_400 // 3600, "h"),
        (seconds % 3600 // 60, "m"),
        (seconds % 60, "s"),
    ]
    return "".join(f"{n}{unit}" for n, unit in parts if n) or "0d"


def available(a: Account) -> int:
    """Free unscoped grants, less debt and what holds rest on the allowance, plus the allowance."""
    free = sum(g.remaining - g.held for g in a.grants if not g.scope)
    resting = a.held - sum(g.held for g in a.grants)
    return free - a.debt - resting + a.settings.allowance


def _limit(text: str) -> int | None:
    return None if text == "none" else credits(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


_READ: dict[str, Callable[[str], Any]] = {
    "expires_at": int,
    "priority": int,
    "scope": _words,
    "ttl": span,
    "raise_by": credits,
    "metered": credits,
    "allowance": credits,
    "spend_limit_day": _limit,
    "spend_limit_month": _limit,
    "frozen": lambda text: text == "yes",
    "force": lambda text: text == "yes",
    "last": lambda text: text == "yes",
    "must_exist": lambda text: text == "yes",
    "final": lambda text: text == "yes",
    "claim": lambda text: tuple(text.split(":")),
    "source": lambda text: {"id": text},
    "attributes": lambda text: dict(pair.split(":", 1) for pair in text.split(",")),
}
