"""A full disk refuses clearly, loses nothing that was acknowledged, and mends without a restart of the service."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.disk_full import AFTER, REFUSALS


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the user who runs PostgreSQL may pass through as well."""
    with tempfile.TemporaryDirectory(prefix="disk-") as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "small"
        folder.mkdir()
        yield folder


def fill_the_disk(folder: Path, kind: str) -> dict[str, Any]:
    """Play it, and check what holds wherever the disk is full."""
    # A mount of our own, gone with the process; without root a user namespace lets us. PostgreSQL refuses to be root.
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-current-user", "--keep-caps", "--mount"]
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.disk_full", str(folder), kind],
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert len(seen["refused"]) == REFUSALS, "the disk was never full"
    assert {status for status, _, _ in seen["refused"]} <= {429, 500, 503}
    assert seen["after"] == [200] * AFTER
    assert set(seen["again"]) == {200}, "what was refused may be asked for again"
    assert (seen["lost"], seen["not_told"]) == ([], [])
    assert seen["doctor"]["ok"] is True
    return seen


@pytest.mark.parametrize("kind", ["sqlite", "postgres-data"])
def test_a_full_disk_refuses_loses_nothing_and_mends_without_a_restart(folder: Path, kind: str) -> None:
    seen = fill_the_disk(folder, kind)
    assert any("disk is full" in message for _, _, message in seen["refused"])


def test_a_database_that_dies_of_a_full_disk_loses_nothing_and_is_found_again(folder: Path) -> None:
    seen = fill_the_disk(folder, "postgres-log")
    assert seen["panicked"]
