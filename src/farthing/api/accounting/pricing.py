"""Pricing in the accounting dialect: what tokens of a model cost by the workspace's rate card, as it is now."""

from typing import Final

from farthing.core.exact import MAX_WHOLE_DIGITS
from farthing.core.quantities import PriceRefusal
from farthing.core.usage import Priced, Usage

from ..bodies import whole_number
from ..endpoint import Request
from ..v1.desk import Desk
from .errors import Fault

MOST_TOKENS: Final = 10**MAX_WHOLE_DIGITS - 1


def count_of(value: object) -> int | None:
    """A number of tokens, as a body has it; None where it is none."""
    number = whole_number(value)
    return number if number is not None and 0 <= number <= MOST_TOKENS else None


def usage_of(
    model: str, tokens: int | None = None, into: int | None = None, out: int | None = None, service: str = ""
) -> Usage:
    """So many tokens of a model, in all or by where they went; what is None was not told."""
    counts = (("tokens", tokens), ("input_tokens", into), ("output_tokens", out))
    dimensions = {name: str(count) for name, count in counts if count is not None}
    return Usage(model=model, service=service, operation=model if service else "", dimensions=dimensions)


async def priced(request: Request, desk: Desk, usage: Usage, at: int | None = None) -> Priced:
    """What a usage costs at an instant, or now; a model that has no price is refused by its name."""
    found = await desk.books.price(request.caller.workspace, usage, desk.now_us() if at is None else at)
    if isinstance(found, PriceRefusal):
        raise Fault(found.message.rstrip("."))
    return found
