"""One metered call: what is asked of the ledger before, while and after a model answers. Pure, but for what
is told of it on spans.

What has to be asked is given out step by step (`Steps`), and whoever runs the steps sends back what was answered; so it
is the same for threads and for event loops.

It is over 400 lines because they are all of one call: what it was told before decides what is asked after.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from threading import Lock
from typing import Any, Final, Literal, TypeAlias, TypeVar

from msgspec.structs import replace

from farthing.client.bodies import priced_body
from farthing.client.calls import Call, ask, get, post
from farthing.client.errors import (
    ApiError,
    FarthingError,
    Frozen,
    HoldEnded,
    InsufficientCredits,
    KeyConflict,
    NotPriced,
    SpendLimit,
    Unavailable,
)
from farthing.client.pricing_results import Quote
from farthing.client.results import Charge, Extended, Hold, HoldNow, Released, Settled
from farthing.client.values import amount_text, instant_text, quantities

from .counting import Count
from .evidence import NOTHING_USED, Basis, evidence, expected, to_charge, usage_of, ways
from .keys import keys_of
from .otel import CallSpan, begun
from .policy import times
from .reading import Asked, Seen
from .terms import Terms
from .used import Used

T = TypeVar("T")
Done = TypeVar("Done", Settled, Charge)
Steps: TypeAlias = Generator[Call[Any], Any, T]
Ended = Literal["", "finished", "cut", "left", "failed", "refused", "lost"]
"""Under way; whole; the stream broke off; its reader has left; an error in the middle of it; an error in place of it;
the answer never came."""
_HOLDS: Final = "/v1/holds"
_SETTLE: Final = "/v1/holds/{id}/settle"
_EXTEND: Final = "/v1/holds/{id}/extend"
_RELEASE: Final = "/v1/holds/{id}/release"
_POOR: Final = (InsufficientCredits, SpendLimit, Frozen)
_LOG: Final = logging.getLogger("farthing.llm")


def _yes() -> bool:
    return True


def _taken(done: Done) -> Done:
    """What a client gives back that lets charges through: nobody waits for this one, so that it is made later."""
    if done.status == "allowed":
        raise Unavailable("The ledger can't be reached.", code="unavailable")
    return done


class ModelCall:
    """A call, from before it is made until it is settled."""

    def __init__(self, asked: Asked, terms: Terms) -> None:
        self.asked = asked
        self.terms = terms
        self.policy = terms.policy
        self.hold: Hold | HoldNow | None = None
        self.held = Decimal(0)
        self.used = NOTHING_USED
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
        self.span: CallSpan | None = None
        """Where it is told to who records spans."""
        self.last: Call[Any] | None = None
        """What was asked of the ledger at last."""
        self._count = Count()
        self._keys = keys_of(terms.key, 1)
        self._begun = self._next_at = 0.0
        self._lives_until = 0.0
        self._since: datetime | None = None
        """From when on its hold lives `hold_seconds`."""
        self._next_tokens = self.policy.report_tokens
        self._covered = 0
        """Tokens of the answer that what is set aside is enough for."""
        self._unread: Callable[[], None] | None = None
        """Reads what the ledger has said of its hold."""
        self._mislaid = False
        """What it has said could not be read."""
        self._reading = Lock()
        self._unheard = 0
        """Tokens up to which it goes on though the ledger could not be told."""
        self._told = Decimal(0)
        """The cost that was reported at last."""
        self.notes: dict[str, Any] = {}

    # Before

    def opening(self, now: float, goes_on: Callable[[FarthingError], bool]) -> Steps[None]:
        """Set aside what it will probably cost; where the ledger can't be asked, as `goes_on` says."""
        policy = self.policy
        # Of an answer that comes later the ledger is told at once whose it is.
        self._begun, self._next_at = now, now + (0 if self.asked.later else policy.report_seconds)
        self._lives_until = now + policy.hold_seconds
        if policy.hold != "nothing" and not self.terms.guest:
            yield from self._holding(goes_on)
        self.span = begun(self)

    def _holding(self, goes_on: Callable[[FarthingError], bool]) -> Steps[None]:
        try:
            self.hold = yield from self._place()
        except FarthingError as error:
            if not goes_on(error):
                raise
            self.notes["no_hold"] = str(error)
        else:
            self._next_tokens = self._next(0)

    def _place(self) -> Steps[Hold]:
        body, name = self._hold_body(), self.terms.key
        for attempt in count(1):
            if name:
                self._keys = keys_of(name, attempt)
            placed: Hold = yield post(Hold, _HOLDS, body, self._keys.hold)
            if not (name and placed.replayed):
                self.held, self._since = placed.amount, placed.created_at
                return placed
            before: HoldNow = yield get(HoldNow, "/v1/holds/{id}", id=placed.id)
            if before.state == "settled":
                detail = f"The call {name!r} was made before, and is charged."
                raise HoldEnded(detail, code="hold_ended", status=409, key=self._keys.hold, body={"state": "settled"})
            if before.state == "live" or before.settled:
                self.take_over(before)
                return placed
        raise AssertionError("there is always one more")

    def take_over(self, before: HoldNow) -> None:
        """Go on with the hold of another process: what it has charged or reported is part of the whole."""
        live = before.state == "live"
        self.hold = before
        self.held = before.amount if live else Decimal(0)
        self._told, self._since = before.metered, before.expires_at
        self._lives_until = self._next_at = self._begun  # how long it still lives is not known here
        self.note("again", before.state)

    def _hold_body(self) -> dict[str, Any]:
        terms, policy = self.terms, self.policy
        body: dict[str, Any] = {"account": terms.account, "expires_in": policy.hold_seconds}
        body |= {"on_expiry": policy.on_expiry, "metadata": expected(self)}
        if policy.hold == "fixed":
            return body | priced_body(
                policy.fixed, None, None, self.asked.model or None, None, None, terms.operation, terms.service,
                terms.product,
            )  # fmt: skip
        self._covered = output = self._expected_output()
        into = times(policy.factor, self.asked.input_tokens)
        return body | {"usage": usage_of(self, {"input_tokens": str(into), "output_tokens": str(output)})}

    def _expected_output(self) -> int:
        most, policy = self.asked.most_output, self.policy
        usual = times(policy.factor, policy.output_tokens) * self.asked.answers
        return usual if most is None else min(usual, most)

    def _priced(self, used: Used) -> dict[str, Any]:
        return {"usage": usage_of(self, quantities(used.dimensions()), used)}

    def reads_later(self, placed: bool, read: Callable[[], None]) -> bool:
        """Its hold is on the books: whether what the ledger has said of it may be read when that is needed, rather than
        before the first piece. Not where each may be beyond what is held, or where it is asked for again."""
        if not placed or self.asked.later or self.policy.spent == "stop":
            return False
        self._unread, self._next_tokens = read, self._next(0)
        return True

    def _read(self) -> None:
        if self._unread is None:
            return
        # The thread that settles it may come while its reader is here. Who is interrupted leaves it to the next.
        with self._reading:
            if self._unread is not None:
                try:
                    self._unread()
                except Exception:
                    # An answer must not fail for it: the hold is there, and its key finds it. What is dropped in a ring
                    # is taken apart before it is settled.
                    _LOG.debug("what the ledger has said of a hold can't be read", exc_info=True)
                self._unread, self._mislaid = None, self.hold is None

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
        if seen.id:
            self.id = seen.id
        if seen.finish:
            self.finish = seen.finish
        if seen.error:
            self.error = seen.error
        if seen.over:
            self.over = True
        self.pending = seen.pending

    def due(self, now: float) -> bool:
        """A piece is about to be passed on: whether anything has to be seen to before. Asked of each of them."""
        if self.hold is None and self._unread is None:
            return False
        if now >= self._next_at or self._count.tokens >= self._next_tokens:
            self._read()
            return self.hold is not None
        return self.policy.spent == "stop" and (self.spent is not None or self.waits)

    def ticks(self, now: float) -> bool:
        """A piece is about to be passed on: whether the ledger should be told of what was delivered so far. Raises
        where nothing more is to be delivered."""
        if self.spent is not None and self.policy.spent == "stop":
            self._count.take_back()
            raise self.spent
        return self.due(now) and self.reports()

    @property
    def waits(self) -> bool:
        """Whether the piece that has come is beyond what is set aside, and must not be passed on before more is."""
        if self.policy.spent != "stop" or self.hold is None or self.policy.hold == "nothing":
            return False
        return self.delivered > max(self._covered, self._unheard)

    def unheard(self) -> None:
        """The ledger could not be told: the stream goes on, and it is told later."""
        self._unheard = 2 * self.delivered

    def reporting(self, now: float) -> Steps[None]:
        """Tell the ledger of what was delivered so far; set more aside and let the hold live on, where that is due."""
        assert self.hold is not None, "it is due"
        policy, delivered = self.policy, self.delivered
        self._next_at, self._next_tokens = now + policy.report_seconds, delivered + policy.report_tokens
        cost = (yield self._quote(delivered)).amount
        if 2 * delivered > self._covered and (policy.extend or policy.spent == "stop"):
            yield from self._raise(delivered, cost)
        self._next_tokens = self._next(delivered)
        told = {"metering": {"delivered_tokens": delivered} | ({"answer": self.id} if self.asked.later else {})}
        self._told = max(self._told, min(cost, self.held))  # a ledger refuses one that goes back
        body: dict[str, Any] = {"metered": amount_text(self._told), "metadata": told}
        if policy.extend and self._lives_until - now < policy.hold_seconds / 2:
            assert self._since is not None, "there is a hold"
            until = self._since + timedelta(seconds=now - self._begun + policy.hold_seconds)
            body["expires_at"] = instant_text(until, "expires_at")
            self._lives_until = now + policy.hold_seconds
        yield post(Extended, _EXTEND, body, None, id=self.hold.id)

    def _next(self, delivered: int) -> int:
        """How many tokens are the next to be reported: when half of what is covered has come, there is still time."""
        soon, half = delivered + self.policy.report_tokens, self._covered // 2 + 1
        return min(soon, half) if self.policy.extend and half > delivered else soon

    def _raise(self, delivered: int, cost: Decimal) -> Steps[None]:
        assert self.hold is not None, "it is due"
        most = self.asked.most_output
        # What was delivered may be more by our count than it may be by the provider's.
        output = 2 * delivered if most is None else max(delivered, min(2 * delivered, most))
        wanted = (yield self._quote(output)).amount - self.held
        self.spent = None
        if wanted <= 0:
            self._covered = max(self._covered, output)
            return
        try:
            if not self.policy.extend:
                raise InsufficientCredits("all that was set aside is used, and by the policy no more is", status=402)
            yield post(Extended, _EXTEND, {"raise_by": amount_text(wanted)}, None, id=self.hold.id)
        except _POOR as error:
            left, more = self.held - cost, wanted + self.held - cost
            if left < 0:
                self.spent = error
            else:
                self._covered = delivered + int((output - delivered) * left / more)
            self.notes["not_extended"] = error.code or "all_used"
        else:
            self.held += wanted
            self._covered = output

    def _quote(self, output: int) -> Call[Quote]:
        so_far = self.used.filled(input_tokens=self.asked.input_tokens, output_tokens=output)
        so_far = replace(so_far, attributes={}, model="")
        return ask(Quote, "/v1/quotes", {"account": self.terms.account, **self._priced(so_far)})

    # After

    @property
    def stays(self) -> bool:
        """Whether its answer is made in the background, and is not there yet."""
        return self.asked.later and not self.over and not self.how and bool(self.id) and self.hold is not None

    def end(self, how: Ended, error: BaseException | None = None) -> bool:
        """It is over; false where it was before, or where the provider goes on with it."""
        if self.how or (self.stays and how in ("finished", "cut", "left")):
            return False
        if how == "finished" and self.error:
            how = "failed"
        self.how = how
        if error is not None and how not in ("finished", "left"):
            self.error = f"{type(error).__name__}: {error}"[:500]
        if self.span is not None:
            self.span.over(self, error)
        if self.terms.tab is not None:
            self.terms.tab.ending(self)
        return True

    def put_down(self) -> None:
        """It was settled, or given up: whoever waits for that is told."""
        if self.terms.tab is not None:
            self.terms.tab.ended(self)

    def note(self, name: str, value: Any) -> None:
        """Something that belongs to the evidence."""
        self.notes[name] = value

    def settling(self) -> Steps[None]:
        """Charge what it has used, and end its hold. May be run again, after whatever happened."""
        self._read()
        try:
            if self._mislaid:
                yield from self._finding()
            yield from self._settling()
        finally:
            if self.span is not None:
                self.span.ended(self)

    def _finding(self) -> Steps[None]:
        """Find a hold that is on the books, by asking for it again under its key: whatever became of it."""
        try:
            placed: Hold = yield post(Hold, _HOLDS, self._hold_body(), self._keys.hold)
            self.hold, self.held, self._since = placed, placed.amount, placed.created_at
        except (*_POOR, NotPriced) as error:
            self.notes["no_hold"] = str(error)
        except FarthingError:
            # Where this is given up, a person is to be left all that is known.
            used, basis = to_charge(self)
            if used is not None:
                self.last = self._charge(self._taking(used, basis))
            raise
        self._mislaid = False

    def _settling(self) -> Steps[None]:
        used, basis = to_charge(self)
        if used is None:
            yield from self._releasing(evidence(self, basis))
            return
        refused: ApiError | None = None
        for each, notes in ways(used, self.asked.model):
            try:
                self.settled = yield from self._charging(each, basis, notes)
                return
            except NotPriced as error:
                refused = refused or error
        assert refused is not None, "there is one way at least"
        raise refused

    def _charging(self, used: Used, basis: Basis, notes: Mapping[str, Any]) -> Steps[Settled | Charge | None]:
        body = self._taking(used, basis, notes)
        try:
            if self.hold is not None:
                settle = body | {"late": "charge", "last": True}
                try:
                    call = post(Settled, _SETTLE, settle, self._keys.charge, id=self.hold.id)
                    settled: Settled = yield self._asking(call)
                    return _taken(settled)
                except HoldEnded as error:
                    if error.state == "settled":  # somebody has charged it by hand
                        return None
                    # Somebody has released it by hand; what it was for was used nevertheless.
                    body["metadata"] = evidence(self, basis, {**notes, "hold": error.state})
            charged: Charge = yield self._asking(self._charge(body))
            return _taken(charged)
        except KeyConflict:
            if not self.terms.key:
                raise
            _LOG.warning("the call %r was charged before: it was made again, and is not charged again", self.terms.key)
            yield from self._releasing(evidence(self, basis, notes))
            return None

    def _taking(self, used: Used, basis: Basis, notes: Mapping[str, Any] = {}) -> dict[str, Any]:
        return self._priced(used) | {"shortfall": "debt", "metadata": evidence(self, basis, notes)}

    def _charge(self, body: Mapping[str, Any]) -> Call[Charge]:
        return post(Charge, "/v1/charges", {"account": self.terms.account, **body}, self._keys.charge)

    def _releasing(self, metadata: Mapping[str, Any]) -> Steps[None]:
        if self.hold is None:
            return
        try:
            released = post(Released, _RELEASE, {"metadata": metadata}, self._keys.release, id=self.hold.id)
            yield self._asking(released)
        except HoldEnded:  # it sets nothing aside any more
            return

    def _asking(self, call: Call[T]) -> Call[T]:
        self.last = call
        return call
