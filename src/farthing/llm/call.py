"""One metered call: what is asked of the ledger before, while and after a model answers. Pure.

What has to be asked is given out step by step (`Steps`), and whoever runs the steps sends back what was answered; so it
is the same for threads and for event loops.
"""

from collections.abc import Callable, Generator, Mapping
from datetime import timedelta
from decimal import Decimal
from math import ceil
from typing import Any, Final, Literal, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from farthing.client.bodies import priced_body, usage_body
from farthing.client.calls import Call, ask, post
from farthing.client.errors import (
    ApiError,
    FarthingError,
    Frozen,
    HoldEnded,
    InsufficientCredits,
    NotPriced,
    SpendLimit,
)
from farthing.client.pricing_results import Quote
from farthing.client.results import Charge, Extended, Hold, Released, Settled
from farthing.client.values import amount_text, instant_text, new_key
from farthing.core.estimate import tokens_of, weigh
from farthing.core.metering import Policy

from .policy import shown
from .reading import Asked, Seen
from .used import Used

T = TypeVar("T")
Steps: TypeAlias = Generator[Call[Any], Any, T]
Ended = Literal["", "finished", "cut", "left", "failed", "refused", "lost"]
"""Under way; whole; the stream broke off; its reader has left; an error in the middle of it; an error in place of it;
the answer never came."""
Basis = Literal["provider", "estimate", "delivered", "input", "nothing"]
_SETTLE: Final = "/v1/holds/{id}/settle"
_EXTEND: Final = "/v1/holds/{id}/extend"
_RELEASE: Final = "/v1/holds/{id}/release"
_POOR: Final = (InsufficientCredits, SpendLimit, Frozen)


def _yes() -> bool:
    return True


class Terms(Struct, frozen=True, kw_only=True):
    """Whose call it is, and what is to be said of it."""

    account: str
    policy: Policy
    provider: str = ""
    """Who answers, where that isn't whom the library was made for."""
    service: str | None = None
    operation: str | None = None
    product: str | None = None
    chat: str | None = None
    metadata: Mapping[str, Any] = {}


class Count:
    """Tokens of a text that comes in pieces, counted as `count_tokens` counts all of it."""

    def __init__(self) -> None:
        self._bytes = self._wide = 0

    def add(self, text: str) -> None:
        """One more piece."""
        wide, rest = weigh(text)
        self._wide += wide
        self._bytes += rest

    @property
    def tokens(self) -> int:
        """So far."""
        return tokens_of(self._wide, self._bytes)


class ModelCall:
    """A call, from before it is made until it is settled."""

    def __init__(self, asked: Asked, terms: Terms) -> None:
        self.asked = asked
        self.terms = terms
        self.policy = terms.policy
        self.hold: Hold | None = None
        self.held = Decimal(0)
        self.used = Used()
        self.how: Ended = ""
        self.over = False
        """All of the answer has come."""
        self.finish = self.id = self.error = ""
        self.pending = False
        self.spent: FarthingError | None = None
        """Why nothing more can be set aside, though what was delivered costs more."""
        self.reports: Callable[[], bool] = _yes
        """Whether the ledger may be told: one report at a time."""
        self.settled: Settled | Charge | None = None
        self.last: Call[Any] | None = None
        """What was asked of the ledger at last."""
        self._count = Count()
        self._keys = new_key(), new_key()
        self._begun = self._next_at = 0.0
        self._lives_until = 0.0
        self._next_tokens = self.policy.report_tokens
        self._covered = 0
        self._notes: dict[str, Any] = {}

    # Before

    def opening(self, now: float, goes_on: Callable[[FarthingError], bool]) -> Steps[None]:
        """Set aside what it will probably cost; where the ledger can't be asked, as `goes_on` says."""
        policy = self.policy
        self._begun, self._next_at = now, now + policy.report_seconds
        self._lives_until = now + policy.hold_seconds
        if policy.hold == "nothing":
            return
        try:
            self.hold = yield post(Hold, "/v1/holds", self._hold_body(), self._keys[0])
        except FarthingError as error:
            if not goes_on(error):
                raise
            self._notes["no_hold"] = str(error)
        else:
            self.held = self.hold.amount
            self._next_tokens = self._next(0)

    def _hold_body(self) -> dict[str, Any]:
        terms, policy = self.terms, self.policy
        body: dict[str, Any] = {"account": terms.account, "expires_in": policy.hold_seconds}
        body |= {"on_expiry": policy.on_expiry, "metadata": self._expected()}
        if policy.hold == "fixed":
            return body | priced_body(
                policy.fixed, None, None, self.asked.model or None, None, None, terms.operation, terms.service,
                terms.product,
            )  # fmt: skip
        output = self._expected_output()
        self._covered = output
        factor = Decimal(policy.factor)
        counts = {"input_tokens": ceil(self.asked.input_tokens * factor), "output_tokens": output}
        return body | self._priced(Used(counts=counts))

    def _expected(self) -> dict[str, Any]:
        """What is known before: evidence for who finds a hold that nobody has ended."""
        facts = {"model_asked": self.asked.model, "estimated_input_tokens": self.asked.input_tokens}
        return {**self.terms.metadata, "metering": facts | {"policy": shown(self.policy)}}

    def _expected_output(self) -> int:
        most, policy = self.asked.most_output, self.policy
        expected = ceil(policy.output_tokens * Decimal(policy.factor))
        return expected if most is None else min(expected, most)

    def _priced(self, used: Used) -> dict[str, Any]:
        terms = self.terms
        usage = used.usage(model=self.asked.model, service=terms.service, product=terms.product, chat=terms.chat)
        usage = replace(usage, operation=terms.operation, provider=terms.provider or usage.provider)
        return {"usage": usage_body(usage)}

    # While it goes on

    @property
    def delivered(self) -> int:
        """Tokens of the answer that have come, counted by their text."""
        return self._count.tokens

    def see(self, seen: Seen) -> None:
        """What an answer says, or one event of a stream."""
        if seen.text:
            self._count.add(seen.text)
        if seen.used is not None:
            self.used = self.used.merged(seen.used)
        self.finish, self.id = seen.finish or self.finish, seen.id or self.id
        self.error = seen.error or self.error
        self.over = self.over or seen.over
        self.pending = seen.pending

    def ticks(self, now: float) -> bool:
        """A piece is about to be passed on: whether the ledger should be told of what was delivered so far. Raises
        where nothing more is to be delivered."""
        if self.spent is not None and self.policy.spent == "stop":
            raise self.spent
        if self.hold is None or (now < self._next_at and self.delivered < self._next_tokens):
            return False
        return self.reports()

    def reporting(self, now: float) -> Steps[None]:
        """Tell the ledger of what was delivered so far; set more aside and let the hold live on, where that is due."""
        assert self.hold is not None, "it is due"
        policy, delivered = self.policy, self.delivered
        self._next_at, self._next_tokens = now + policy.report_seconds, delivered + policy.report_tokens
        cost = (yield self._quote(delivered)).amount
        if policy.extend and 2 * delivered > self._covered:
            yield from self._raise(2 * delivered, cost)
        self._next_tokens = self._next(delivered)
        told = {"metering": {"delivered_tokens": delivered}}
        body: dict[str, Any] = {"metered": amount_text(min(cost, self.held)), "metadata": told}
        if policy.extend and self._lives_until - now < policy.hold_seconds / 2:
            until = self.hold.created_at + timedelta(seconds=now - self._begun + policy.hold_seconds)
            body["expires_at"] = instant_text(until, "expires_at")
            self._lives_until = now + policy.hold_seconds
        yield post(Extended, _EXTEND, body, None, id=self.hold.id)

    def _next(self, delivered: int) -> int:
        """How many tokens are the next to be reported: when half of what is covered has come, there is still time."""
        soon, half = delivered + self.policy.report_tokens, self._covered // 2 + 1
        return min(soon, half) if self.policy.extend and half > delivered else soon

    def _raise(self, output: int, cost: Decimal) -> Steps[None]:
        assert self.hold is not None, "it is due"
        most = self.asked.most_output
        output = output if most is None else min(output, most)
        wanted = (yield self._quote(output)).amount - self.held
        self.spent = None
        if wanted <= 0:
            self._covered = max(self._covered, output)
            return
        try:
            yield post(Extended, _EXTEND, {"raise_by": amount_text(wanted)}, None, id=self.hold.id)
        except _POOR as error:
            self.spent = error if cost >= self.held else None
            self._notes["not_extended"] = error.code
        else:
            self.held += wanted
            self._covered = output

    def _quote(self, output: int) -> Call[Quote]:
        so_far = self.used.filled(input_tokens=self.asked.input_tokens, output_tokens=output)
        so_far = replace(so_far, attributes={}, model="")
        return ask(Quote, "/v1/quotes", {"account": self.terms.account, **self._priced(so_far)})

    # After

    def end(self, how: Ended, error: BaseException | None = None) -> bool:
        """It is over; false where it was before."""
        if self.how:
            return False
        if how == "finished" and self.error:
            how = "failed"
        self.how = how
        if error is not None and how not in ("finished", "left"):
            self.error = f"{type(error).__name__}: {error}"[:500]
        return True

    def note(self, name: str, value: Any) -> None:
        """Something that belongs to the evidence."""
        self._notes[name] = value

    def to_charge(self) -> tuple[Used | None, Basis]:
        """What is charged, and by whose figures; None: nothing is."""
        used, policy = self.used, self.policy
        whole = used.filled(input_tokens=self.asked.input_tokens, output_tokens=self.delivered)
        if self.how == "finished" or (used.known and self.over and self.how != "refused"):
            return whole, "provider" if used.known else "estimate"
        if self.how == "refused" or (self.how == "lost" and policy.lost == "nothing"):
            return None, "nothing"
        if (self.how == "failed" and policy.error == "nothing") or policy.broken == "nothing":
            return None, "nothing"
        silent = not self.delivered and not used.output_tokens
        if self.how != "lost" and silent and policy.no_output == "nothing":
            return None, "nothing"
        if self.how == "lost" or policy.broken == "input":
            return self._input_only(), "input"
        return whole, "delivered"

    def _input_only(self) -> Used:
        into = {
            name: count for name, count in self.used.counts.items() if name.startswith(("input_", "cache_"))
        }  # fmt: skip
        return replace(self.used, counts=into).filled(input_tokens=self.asked.input_tokens, output_tokens=0)

    def settling(self) -> Steps[None]:
        """Charge what it has used, and end its hold. May be run again, after whatever happened."""
        used, basis = self.to_charge()
        if used is None:
            yield from self._releasing(basis)
            return
        refused: ApiError | None = None
        for each, notes in self._ways(used):
            try:
                self.settled = yield from self._charging(each, basis, notes)
                return
            except NotPriced as error:
                refused = refused or error
        assert refused is not None, "there is one way at least"
        raise refused

    def _ways(self, used: Used) -> list[tuple[Used, dict[str, Any]]]:
        """What is charged; and if that has no price, what comes closest to it: a charge is never lost for that."""
        ways: list[tuple[Used, dict[str, Any]]] = [(used, {})]
        plain = replace(used, attributes={})
        if used.attributes:
            ways.append((plain, {"unpriced": dict(used.attributes)}))
        asked_for = replace(plain, model=self.asked.model)
        if used.model and used.model != self.asked.model:
            ways.append((asked_for, {"unpriced": {"model": used.model, **used.attributes}}))
        tokens = {name: count for name, count in used.dimensions().items() if name in ("input_tokens", "output_tokens")}
        bare = replace(asked_for, counts=tokens, without_cache=False)
        if used.dimensions() != tokens:
            ways.append((bare, {"unpriced": {"dimensions": used.dimensions()}}))
        return ways

    def _charging(self, used: Used, basis: Basis, notes: Mapping[str, Any]) -> Steps[Settled | Charge]:
        body = self._priced(used) | {"shortfall": "debt", "metadata": self._evidence(basis, notes)}
        if self.hold is not None:
            settle = body | {"late": "charge", "last": True}
            try:
                settled: Settled = yield self._asking(post(Settled, _SETTLE, settle, self._keys[1], id=self.hold.id))
                return settled
            except HoldEnded as error:
                # Somebody has released it by hand; what it was for was used nevertheless.
                body["metadata"] = self._evidence(basis, {**notes, "hold": error.state})
        charge = {"account": self.terms.account, **body}
        charged: Charge = yield self._asking(post(Charge, "/v1/charges", charge, self._keys[1]))
        return charged

    def _releasing(self, basis: Basis) -> Steps[None]:
        if self.hold is None:
            return
        body = {"metadata": self._evidence(basis, {})}
        try:
            yield self._asking(post(Released, _RELEASE, body, self._keys[1], id=self.hold.id))
        except HoldEnded:  # it sets nothing aside any more
            return

    def _asking(self, call: Call[T]) -> Call[T]:
        self.last = call
        return call

    def _evidence(self, basis: Basis, notes: Mapping[str, Any]) -> dict[str, Any]:
        """What was used and why it is charged so."""
        used = self.used.filled(input_tokens=self.asked.input_tokens, output_tokens=self.delivered)
        facts: dict[str, Any] = {
            "ended": self.how, "charged_by": basis, "sources": used.sources(), "policy": shown(self.policy),
            "model_asked": self.asked.model, "finish": self.finish, "answer": self.id, "error": self.error,
            "delivered_tokens": self.delivered, "estimated_input_tokens": self.asked.input_tokens,
            "doubtful": list(self.used.doubtful), "others": dict(self.used.others),
            "uncounted": self.asked.uncounted, "pending": self.pending, **self._notes, **notes,
        }  # fmt: skip
        told = {
            name: fact for name, fact in facts.items() if fact not in ("", False, [], {}, None) or type(fact) is int
        }
        return {**self.terms.metadata, "metering": told}
