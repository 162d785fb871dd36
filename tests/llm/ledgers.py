"""A ledger in this process, clients of the vendors that are metered by it, and what it has charged beside what the
stand-in's books say.
"""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import openai

import farthing
from farthing.fakes.models import HEADER, Remote
from farthing.llm import meter, settled
from tests.llm.vendors import Way, asking, booked

CARD = {
    "rules": [
        {"id": "in", "dimension": "input_tokens", "price": "1"},
        {"id": "out", "dimension": "output_tokens", "price": "10"},
    ]
}
PLENTY = 1_000_000
_numbers = count()


def open_ledger(folder: Path) -> farthing.Client:
    """One that counts an input token as 1 and an output token as 10."""
    ledger = farthing.connect(f"sqlite:///{folder}/credits.db")
    ledger.rate_cards.put(CARD, reason="The first")
    return ledger


class Desk:
    """One account, and the vendors' clients that are metered for it."""

    def __init__(
        self, ledger: Any, vendors: Any, models: Remote, credits: int = PLENTY, driven: Any = None, **said: Any
    ) -> None:  # fmt: skip
        self.ledger = driven or ledger
        self.models = models
        self.account = f"account-{next(_numbers)}"
        self.credits = credits
        self.ledger.grant(self.account, credits)
        given = {"ledger": ledger, "account": self.account, **said}
        self.openai = meter(vendors.openai, **given)
        self.anthropic = meter(vendors.anthropic, **given)

    def ask(self, way: Way, *, stream: bool, habits: dict[str, Any] | None = None, **more: Any) -> Any:
        """Ask a model the one way or the other."""
        call, given = asking(self.openai, self.anthropic, way, **more)
        return self.done(call(**given, stream=stream, extra_headers={HEADER: json.dumps(habits or {})}))

    def done(self, asked: Any) -> Any:
        """What a call comes to."""
        return asked

    def charges(self) -> list[Any]:
        """What was charged, oldest first, once all is settled."""
        assert self.settled()
        return list(self.ledger.charges.list(self.account))[::-1]

    def settled(self) -> bool:
        """Wait until all is settled that has ended; whether it is."""
        return settled(self.ledger)

    def charge(self) -> Any:
        """The only one."""
        (charge,) = self.charges()
        return charge

    def nothing_is_held(self) -> bool:
        """Whether no hold is left, and what the account has is what it had less what was charged."""
        spent = sum(each.amount for each in self.charges())
        balance = self.ledger.balance(self.account)
        return bool(balance.held == 0 and balance.available == balance.balance == self.credits - spent)


def evidence(charge: Any) -> dict[str, Any]:
    """What a charge says of how it came about."""
    found: dict[str, Any] = charge.metadata["metering"]
    return found


def worth(call: dict[str, Any]) -> int:
    """What a call of the books comes to."""
    billed: dict[str, int] = call["billed"]
    return billed["input_tokens"] + 10 * billed["output_tokens"]


def read(stream: Any, most: int | None = None, *, swallow: type[Exception] = openai.OpenAIError) -> int:
    """Read so many events, or all; how many there were. An error of the vendor ends it."""
    taken = 0
    try:
        while most is None or taken < most:
            next(stream)
            taken += 1
    except (StopIteration, swallow):
        pass
    return taken


def is_as_billed(desk: Desk, id: str = "") -> bool:
    """Whether the only charge is what the books have of its call."""
    charge = desk.charge()
    return bool(charge.amount == worth(booked(desk.models, id or evidence(charge)["answer"])))


Make = Callable[..., Desk]
