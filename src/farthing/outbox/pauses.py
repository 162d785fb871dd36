"""Pauses: what a receiver's header Retry-After asks for, by seconds or by a date."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from farthing.core.deliveries import LONGEST_PAUSE, SECOND

_MOST_DIGITS: Final = 12


def read_retry_after(text: str | None, at: int) -> int | None:
    """The pause that a receiver asks for, by seconds or by a date: a day at most; None where it is not to be read."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:_MOST_DIGITS]) * SECOND, LONGEST_PAUSE)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    moment = when.replace(tzinfo=when.tzinfo or UTC)
    try:
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError:
        return None
    micros = (since.days * 86_400 + since.seconds) * SECOND
    return min(max(micros - at, 0), LONGEST_PAUSE)
