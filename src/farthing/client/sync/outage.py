"""Outage: what becomes of charges and settles while the ledger can't be reached.

They are raised, let through (`allow`), or kept in a journal (`queue`) from which they are sent once it is back: in the
background, in the order of each account, under their keys, as debt where credits are missing. What is refused then is
parked with its reason. Nothing else is ever let through, and no refusal.

Made from `aio/outage.py` by `python -m tests.client.twin`: change that, not this.
"""

import logging
from socket import gethostname
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from msgspec.structs import replace

from ..background import Background
from ..callbacks import Callbacks, told_as, told_of
from ..calls import Call, ask
from ..errors import ApiError, ConnectError, FarthingError
from ..job_results import ParkedTold
from ..policy import OnUnavailable
from ..stand_ins import SETTLES, covered, says_nothing_of_it, stand_in, unreached

if TYPE_CHECKING:
    from ..journal.keeping import Journal
    from ..journal.lines import Kept

T = TypeVar("T")
GIVE_UP: Final = 3
"""A round ends when so many accounts or holds could not be served: it is not about one of them."""
_LOG: Final = logging.getLogger("farthing.client")


class Send(Protocol):
    """Sends a call once."""

    def __call__(self, call: Call[Any]) -> Any:
        """The result; raises what is answered."""


class Check(Protocol):
    """Asks a ledger whether it is the one that is meant."""

    def __call__(self) -> None:
        """Raises `ConnectError` where it is another one."""


class Outage:
    """What a client does in an outage."""

    def __init__(
        self, policy: OnUnavailable = "raise", journal: "Journal | None" = None,
        callbacks: Callbacks | None = None,
    ) -> None:  # fmt: skip
        self._policy = policy
        self.journal = journal
        self._callbacks = callbacks or Callbacks()
        self._background = Background(self.work)
        self._send: Send | None = None
        self._down = False
        self.doubt: Check | None = None
        """What could not be asked when the client was opened."""
        self.wrong = ""
        """Why nothing may be sent: this is another ledger than was meant."""

    def bears(self, error: FarthingError) -> bool:
        """Whether a client may be opened in spite of an error."""
        return self._policy != "raise" and unreached(error)

    def begin(self, send: Send) -> None:
        """Send from now on what was left behind."""
        self._send = send
        if self.journal is not None:
            self._background.start()

    # Calls

    def is_long(self, call: Call[Any]) -> bool:
        """Whether the last call failed as well: then one try is enough, and the caller does not wait for more."""
        return self._down and covered(call)

    def reached(self) -> None:
        """The ledger answers."""
        if self._down:
            self._down = False
            if self.journal is not None and self.journal.waiting:
                self._background.now()

    def awaits(self, hold: str) -> bool:
        """Whether a settle of a hold waits to be sent."""
        return self.journal is not None and self.journal.waits(hold)

    def before(self, call: Call[T]) -> T | None:
        """What a settle gives back whose hold has others waiting: they have to come first."""
        if call.template != SETTLES or not self.awaits(call.names["id"]) or not covered(call):
            return None
        return self._queued(call, "an earlier settle of the hold waits")

    def instead(self, call: Call[T], error: FarthingError) -> T | None:
        """What a call gives back that failed; None where its error is to be raised."""
        if not self.bears(error) or not covered(call):
            return None
        self._down = True
        if self.journal is None:
            _LOG.warning("let through and not charged: %s under the key %s (%s)", call.path, call.key, error)
            self._callbacks.tell_of(told_as("allow", call), 0)
            return self._stands(call, "allowed")
        try:
            return self._queued(call, str(error))
        except OSError as full:
            error.add_note(f"and it could not be queued in {self.journal.folder}: {full.strerror or full}")
            self._callbacks.tell_of(told_as("queue", call, full), 0)
            return None

    def _queued(self, call: Call[T], why: str) -> T:
        from ..journal.lines import kept_of

        assert self.journal is not None, "it is asked for first"
        begun = perf_counter()
        self.journal.keep(kept_of(call, self.journal.target, why))
        _LOG.warning("queued in %s: %s under the key %s (%s)", self.journal.folder, call.path, call.key, why)
        self._background.soon()
        self._callbacks.tell_of(told_as("queue", call), perf_counter() - begun)
        return self._stands(call, "queued")

    def _stands(self, call: Call[T], status: str) -> T:
        result: T = stand_in(call, status)
        return result

    # Replaying

    def work(self) -> bool:
        """Take over what was left behind and send what waits, once; whether all of it could be delivered."""
        if self.journal is None:
            return True
        if not self._is_meant():
            return False
        self.journal.adopt()
        without: set[str] = set()
        while len(without) < GIVE_UP and not self._background.stopping:
            kept = self.journal.claim(without)
            if kept is None:
                break
            if not self._deliver(kept):
                without.add(kept.stream)
        return not without

    def _is_meant(self) -> bool:
        if self.doubt is None:
            return not self.wrong
        try:
            self.doubt()
        except ConnectError as error:
            _LOG.error("nothing of the journal is sent: %s", error)
            self.wrong = str(error)
        except FarthingError:  # it still can't be asked
            return False
        self.doubt = None
        return not self.wrong

    def _deliver(self, kept: "Kept") -> bool:
        assert self.journal is not None, "it is from there"
        settled = False
        try:
            refusal = self._replay(kept)
            if refusal is None:
                self.journal.finish(kept)
            else:
                # Told first: whoever dies in between sends it and tells it again, and told twice it is no news.
                self._tell_parked(kept, refusal)
                self.journal.park(kept, refusal.code, str(refusal))
            settled = True
        except FarthingError as error:
            _LOG.info("what waits in %s can't be delivered yet: %s", self.journal.folder, error)
        except OSError as full:
            _LOG.warning("what was refused can't be parked in %s yet: %s", self.journal.folder, full)
        finally:
            if not settled:
                self.journal.release(kept)
        return settled

    def _tell_parked(self, kept: "Kept", refusal: ApiError) -> None:
        """Have the ledger tell whoever wants to know. Where it will not be told, it stands in the log and on the shelf;
        where it can't be reached, that is raised."""
        assert self._send is not None, "it has begun"
        body = {
            "call": "settle" if kept.template == SETTLES else "charge", "key": kept.key, "error": refusal.code,
            "host": gethostname() or "unknown", "account": kept.facts.get("account"),
        }  # fmt: skip
        try:
            self._send(ask(ParkedTold, "/v1/events/parked", body, writes=True))
        except ApiError as error:
            if error.retries:
                raise
            _LOG.info("the ledger would not be told of what is parked under the key %s: %s", kept.key, error)

    def _replay(self, kept: "Kept") -> ApiError | None:
        """Send a call; a refusal is given back, and what says nothing about the call is raised."""
        assert self._send is not None, "it has begun"
        call, begun = kept.call(), perf_counter()
        try:
            result = self._send(call)
        except ApiError as error:
            if says_nothing_of_it(error):
                raise
            self._down = False
            _LOG.error("parked: %s under the key %s was refused: %s", call.path, call.key, error)
            self._callbacks.tell_of(told_as("park", call, error), perf_counter() - begun)
            return error
        self._down = False
        told = [replace(each, operation="replay") for each in told_of(call, result, tries=2)]
        self._callbacks.tell_of(told, perf_counter() - begun)
        return None

    def retry(self, journal: "Journal", kept: "Kept") -> ApiError | None:
        """Send a parked call again: off the shelf where it goes well; the refusal where it is refused once more."""
        refusal = self._replay(kept)
        if refusal is None:
            journal.unpark(kept)
        else:
            journal.park_again(kept, refusal.code, str(refusal))
        return refusal

    # Ending

    def end(self) -> None:
        """Send nothing more."""
        self._background.close()

    def close(self) -> None:
        """Leave what waits to the next process."""
        if self.journal is not None:
            self.journal.close()
