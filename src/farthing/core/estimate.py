"""Estimates: what a call to a model may cost, before it is made."""

import re
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from .commands import DAY_US
from .pricing import Book, price
from .quantities import PriceRefusal, invalid
from .usage import Priced, Usage

MESSAGE_TOKENS: Final = 4
"""What a message costs beside its text: its role and where it ends."""
USUAL_COMPLETION: Final = 500
"""Tokens of an answer of which nothing is known."""
ENOUGH_REQUESTS: Final = 20
"""Requests of a model from which on the mean of its answers says what to expect."""
RECENT_US: Final = 30 * DAY_US
"""How far back they are counted."""
_BYTES_PER_TOKEN: Final = 4
_NO_LEADS: Final = bytes({*range(256)} - {*range(0xE2, 0xF5)})
"""Of UTF-8, all but the bytes with which a character may begin that is wide."""
_FOUR: Final = bytes(range(0xF0, 0xF5))
"""Those of them that begin four bytes; the others begin three."""
_WIDE_E2: Final = re.compile(rb"\xe2[\xba-\xbf]")
"""How a wide character begins where not all that begin so are."""


CompletionFrom = Literal["given", "history", "default"]
"""Who says how long the answer will be: the caller, the mean of earlier ones, or nobody."""


class Expected(Struct, frozen=True):
    """How long an answer is expected to be, in tokens, and who says so."""

    tokens: int
    source: CompletionFrom


class Estimate(Struct, frozen=True):
    """The cost of a call as it will probably be, and its range."""

    low: Priced
    expected: Priced
    high: Priced
    tokens: tuple[int, int, int]
    """How long the answer is in each case."""


def count_tokens(text: str) -> int:
    """About how many tokens a text is: four bytes of UTF-8 to a token, and one for each wide character. Within a fifth
    for English prose, too many rather than too few for other languages; a hold made by it wants a margin."""
    if text.isascii():
        return -(-len(text) // _BYTES_PER_TOKEN)
    return tokens_of(*weigh(text))


def weigh(text: str) -> tuple[int, int]:
    """A text's wide characters, and the bytes of the others: of texts in pieces they add up. Wide is what comes from
    U+2E80 on: Chinese, Japanese, Korean, emoji; and half characters, which have no bytes of their own."""
    if text.isascii():
        return 0, len(text)
    # By bytes, since prompts are long and somebody waits: looking at each character takes five times as long.
    data = text.encode("utf-8", "surrogatepass")
    leads = data.translate(None, _NO_LEADS)
    narrow = leads.count(0xE2)
    if narrow:
        narrow -= len(_WIDE_E2.findall(data))
    wide = len(leads) - narrow
    four = len(leads) - len(leads.translate(None, _FOUR))
    return wide, len(data) - 3 * wide - four


def tokens_of(wide: int, rest: int) -> int:
    """About how many tokens they are."""
    return wide + -(-rest // _BYTES_PER_TOKEN)


def count_prompt(messages: list[str]) -> int:
    """About how many tokens the messages of a conversation are."""
    return MESSAGE_TOKENS * len(messages) + sum(map(count_tokens, messages))


def expected_of(requests: int, output_tokens: int) -> Expected:
    """What to expect of a model's next answer after so many requests with so many tokens in all."""
    if requests < ENOUGH_REQUESTS or not output_tokens:
        return Expected(USUAL_COMPLETION, "default")
    return Expected(-(-output_tokens // requests), "history")


def estimate(
    usage: Usage,
    book: Book,
    prompt_tokens: int,
    completion_tokens: int | None = None,
    least: int = 0,
    most: int | None = None,
    usual: int = USUAL_COMPLETION,
) -> Estimate | PriceRefusal:
    """What a call will cost whose prompt has so many tokens; everything else of it (model, operation, attributes) is
    in `usage`. The answer is expected to have `completion_tokens` (else what is `usual`, kept within the least and
    the most), and at most `most` (twice what is expected)."""
    expected = completion_tokens
    if expected is None:
        expected = max(usual, least) if most is None else min(max(usual, least), most)
    highest = 2 * expected if most is None else most
    if prompt_tokens < 0:
        return invalid("prompt_tokens", "must not be negative")
    if not 0 <= least <= expected <= highest:
        return invalid("completion_tokens", f"must be from the least ({least}) to the most ({highest})")
    priced: list[Priced] = []
    for completion in (least, expected, highest):
        found = price(_with_tokens(usage, prompt_tokens, completion), book)
        if isinstance(found, PriceRefusal):
            return found
        priced.append(found)
    low, middle, high = priced
    return Estimate(low, middle, high, (least, expected, highest))


def _with_tokens(usage: Usage, prompt: int, completion: int) -> Usage:
    counted = {"input_tokens": str(prompt), "output_tokens": str(completion)}
    return replace(usage, dimensions={**usage.dimensions, **counted})
