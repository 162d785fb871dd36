"""What Retry-After asks for."""

import pytest

from farthing.core.deliveries import LONGEST_PAUSE, SECOND
from farthing.outbox.pauses import read_retry_after

AT = 1_767_225_600 * SECOND
"""Thu, 01 Jan 2026 00:00:00 GMT"""


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        (None, None),
        ("0", 0),
        ("120", 120 * SECOND),
        (" 120 ", 120 * SECOND),
        ("86401", LONGEST_PAUSE),
        ("9" * 400, LONGEST_PAUSE),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60 * SECOND),
        ("Thu, 01 Jan 2026 01:01:00 +0100", 60 * SECOND),
        ("Thursday, 01-Jan-26 00:01:00 GMT", 60 * SECOND),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0),
        ("Fri, 01 Jan 2027 00:00:00 GMT", LONGEST_PAUSE),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("Thu, 99 Jan 2026 00:01:00 GMT", None),
    ],
)
def test_a_pause_is_read_from_seconds_and_dates_and_is_a_day_at_most(text: str | None, pause: int | None):
    assert read_retry_after(text, AT) == pause
