"""The short form of the hammer: ten kills."""

from pathlib import Path

from tests.hammer import hammer


def test_every_acknowledged_command_survives_ten_kills_once(tmp_path: Path) -> None:
    result = hammer(tmp_path, kills=10, seed=20261121)
    assert result["acknowledged"] > 100
    assert result["doctor"]["ok"] is True
