"""Holding: a hold for the length of a block, which settles or releases it whatever happens.

Made from `aio/holding.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

from ..bodies import Usage, said, usage_body
from ..calls import Call, get, post
from ..errors import FarthingError, HoldEnded, Unusable
from ..results import Extended, Hold, HoldNow, Released, Settled
from ..values import Amount, Instant, amount_if, instant_text
from .door import Door

OnError = Literal["release", "settle"]
_NOT_ENTERED = "this hold was not placed yet: enter it as a block, or place one by hand with `holds.create`"
_HELD = "/v1/holds/{id}/"


class Holding:
    """A hold in a block.

    At the end of the block it is settled with what `used` said last; where nothing was said, and where the block
    raises, it is released. With `on_error="settle"` what `used` said is charged also where the block raises, as one
    wants for a stream that was cut off. A hold that was settled or released in the block is left alone. What can't be
    settled at the end raises, and the hold ends by its `on_expiry`. With a `key` that was used before, the block goes
    on with that hold where it still lives; where it has ended, `HoldEnded` is raised before the block.
    """

    def __init__(self, door: Door, call: Call[Hold], on_error: OnError) -> None:
        if on_error not in ("release", "settle"):
            raise ValueError(f"on_error must be 'release' or 'settle', not {on_error!r}")
        self._door = door
        self._call = call
        self._on_error = on_error
        self._said: Call[Settled] | None = None
        self._ended = False
        self._placed: Hold | None = None
        self.settled: Settled | None = None
        """What was taken at last; None while nothing was."""

    @property
    def hold(self) -> Hold:
        """The hold as it was placed."""
        if self._placed is None:
            raise Unusable(_NOT_ENTERED)
        return self._placed

    @property
    def id(self) -> str:
        """The id of the hold."""
        return self.hold.id

    def used(
        self, amount: Amount | None = None, *, usage: Usage | Mapping[str, Any] | None = None,
        provider: str | None = None, model: str | None = None, input_tokens: int | None = None,
        output_tokens: int | None = None, shortfall: str = "debt", late: str = "charge",
        description: str | None = None, metadata: Mapping[str, Any] | None = None, key: str | None = None,
    ) -> None:  # fmt: skip
        """Say what the work has cost so far, as an amount or by what was used; it is charged at the end of the block.
        What is said later replaces it. The work is done then, so what is not there is taken as debt, and a hold that
        has expired meanwhile is charged nevertheless; `shortfall` and `late` say otherwise."""
        used = usage_body(
            usage, provider=provider, model=model, input_tokens=input_tokens, output_tokens=output_tokens
        )  # fmt: skip
        if amount is None and used is None:
            raise TypeError("say an amount, or what was used")
        body = {"amount": amount_if(amount), "usage": used, "shortfall": shortfall, "late": late}
        self._said = post(Settled, _HELD + "settle", body | said(description, metadata), key, id=self.id)

    def settle(
        self, amount: Amount | None = None, *, usage: Usage | Mapping[str, Any] | None = None,
        provider: str | None = None, model: str | None = None, input_tokens: int | None = None,
        output_tokens: int | None = None, last: bool = True, shortfall: str | None = None, late: str | None = None,
        description: str | None = None, metadata: Mapping[str, Any] | None = None, key: str | None = None,
    ) -> Settled:  # fmt: skip
        """Charge what the work cost now: an amount, what was used, or all of the hold. With `last=False` more may
        follow, and the end of the block releases the rest."""
        used = usage_body(
            usage, provider=provider, model=model, input_tokens=input_tokens, output_tokens=output_tokens
        )  # fmt: skip
        body = {
            "amount": amount_if(amount), "usage": used, "last": last, "shortfall": shortfall, "late": late,
            **said(description, metadata),
        }  # fmt: skip
        return self._settled(post(Settled, _HELD + "settle", body, key, id=self.id))

    def extend(
        self, *, expires_at: Instant | None = None, raise_by: Amount | None = None, metered: Amount | None = None,
        key: str | None = None,
    ) -> Extended:  # fmt: skip
        """Move the hold's end, set more aside, or report what was used so far in all."""
        body = {
            "expires_at": instant_text(expires_at, "expires_at"),
            "raise_by": amount_if(raise_by, "raise_by"),
            "metered": amount_if(metered, "metered"),
        }
        return self._door.ask(post(Extended, _HELD + "extend", body, key, id=self.id))

    def release(self, *, description: str | None = None, key: str | None = None) -> Released:
        """Free what is set aside now."""
        released = self._door.ask(post(Released, _HELD + "release", said(description), key, id=self.id))
        self._ended = True
        return released

    def _settled(self, call: Call[Settled]) -> Settled:
        self.settled = self._door.ask(call)
        self._ended = self.settled.state != "live"
        return self.settled

    def __enter__(self) -> "Holding":
        if self._placed is not None:
            raise Unusable("this hold was placed before: make another one for each block")
        try:
            self._place()
        except BaseException as error:
            # Cancelled meanwhile: nobody enters the block, at whose end it would be freed.
            if self._placed is not None:
                self._end(error)
            raise
        return self

    def _place(self) -> None:
        placed = self._door.ask(self._call)
        if placed.replayed:
            self._check_live(placed.id)
        self._placed = placed

    def _check_live(self, id: str) -> None:
        """A hold that was placed before goes on where it still lives; what was paid or given up is not done again."""
        now = self._door.ask(get(HoldNow, "/v1/holds/{id}", id=id))
        if now.state != "live":
            detail = f"This hold was placed before, under the same key, and has ended: it was {now.state}."
            raise HoldEnded(detail, code="hold_ended", status=409, key=self._call.key, body={"state": now.state})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        if not self._ended:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        try:
            self._finish(error)
        except FarthingError as failed:
            note = f"and the hold {self.id} was not ended; it ends at {self.hold.expires_at}"
            if error is None:
                failed.add_note(note)
                raise
            # What the block raised goes on, and says what became of the hold.
            error.add_note(f"{note} ({failed})")

    def _finish(self, error: BaseException | None) -> None:
        if self._said is not None and (error is None or self._on_error == "settle"):
            self._settled(self._said)
        elif self._door.outage.awaits(self.id):
            # It has to be there when what is queued is sent; its end is its expiry.
            self._ended = True
        else:
            self._free()

    def _free(self) -> None:
        try:
            self.release()
        except HoldEnded:  # it has expired meanwhile, and sets nothing aside
            self._ended = True
