"""Retries: whether a call that failed is sent again, and when. Pure, but for the dice.

Only what changed nothing, or may be repeated under its key, is sent again: never a refusal.
"""

from random import random
from typing import Final

from msgspec import Struct

from .errors import ApiError

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 8.0
MOST_SECONDS: Final = 120.0
"""Who is told to wait longer than that is told so, and doesn't wait."""
JITTER: Final = 0.25


class Retries(Struct, frozen=True):
    """How often, and how soon."""

    most: int = 2
    first_seconds: float = FIRST_SECONDS

    def wait(self, error: ApiError, tries: int) -> float | None:
        """Seconds to wait before the next try, after so many; None where there shall be none."""
        if not error.retries or tries > self.most:
            return None
        if error.retry_after is not None:
            # Those who were sent away together shall not come back together.
            return None if error.retry_after > MOST_SECONDS else error.retry_after * (1 + JITTER * random())  # noqa: S311
        doubled: float = min(self.first_seconds * 2 ** (tries - 1), LONGEST_SECONDS)
        return doubled * (1 - JITTER * random())  # noqa: S311
