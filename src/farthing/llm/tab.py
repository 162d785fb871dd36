"""Tabs: what the metered calls of one request have cost, while nobody waits for their settlements."""

import asyncio
import concurrent.futures
import threading
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from farthing.client.results import Balance, Charge, Settled
from farthing.core.levels import Level, level_of

if TYPE_CHECKING:
    from .call import ModelCall

PATIENCE_SECONDS: Final = 2.0


class Tab:
    """What is known of the calls of a request. Without an account they are a guest's, and free."""

    def __init__(self, account: str | None = None, known: Balance | None = None) -> None:
        self.account = account
        self.charged = Decimal(0)
        """What they have cost the account so far; not what the ledger can't be told yet."""
        self.balance: Decimal | None = None if known is None else known.balance
        """As it was known last; None where the ledger could not be asked, and for guests."""
        self._known = known
        self._as_of: datetime | None = None
        self._open: dict[ModelCall, concurrent.futures.Future[None]] = {}
        self._turn = threading.Lock()

    @property
    def level(self) -> Level | Literal[""]:
        """How near its end the balance is; empty where it is not known."""
        known = self._known
        if self.balance is None or known is None or known.low is None or known.critical is None:
            return ""
        return level_of(self.balance, known.low, known.critical)

    def settled(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait in a thread until all calls are settled that have ended; whether they are."""
        return not concurrent.futures.wait(list(self._open.values()), seconds).not_done

    async def asettled(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """The same on an event loop."""
        waiting = [asyncio.wrap_future(each) for each in list(self._open.values())]
        return not waiting or not (await asyncio.wait(waiting, timeout=seconds))[1]

    def ending(self, call: "ModelCall") -> None:
        """A call has ended, and is to be settled. Found in the middle of anything: it takes no lock."""
        self._open[call] = concurrent.futures.Future()

    def ended(self, call: "ModelCall") -> None:
        """It is settled, or was given up."""
        if (done := call.settled) is not None and call.terms.account == self.account:
            self._count(done)
        if (waiting := self._open.pop(call, None)) is not None:
            waiting.set_result(None)

    def _count(self, done: Settled | Charge) -> None:
        with self._turn:
            self.charged += done.amount
            # Several are settled at once, and told of in any order.
            if done.after.balance.is_finite() and (self._as_of is None or done.created_at >= self._as_of):
                self.balance, self._as_of = done.after.balance, done.created_at
