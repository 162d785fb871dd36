"""A sender that is killed again and again delivers each event, under the same id. `./dev soak webhooks` does so for
long.
"""

import random
from pathlib import Path

from tests.outbox.storm import storm


def test_each_event_is_delivered_whoever_is_killed(tmp_path: Path):
    told = storm(f"sqlite:///{tmp_path / 'storm.db'}", 300, 3, 1, random.Random(9), lambda _: None)
    assert told["sent"] >= 300
