"""A full disk refuses clearly, loses nothing that was acknowledged, and mends without a restart."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_a_full_disk_refuses_loses_nothing_and_mends_without_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    # A mount of our own, gone with the process; without root a user namespace lets us.
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.disk_full", str(folder)],
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert len(seen["refused"]) == 20, "the disk was never full"
    assert {status for status, _, _ in seen["refused"]} <= {429, 500, 503}
    assert any("disk is full" in message for _, _, message in seen["refused"])
    assert seen["after"] == {"200": 50}
    assert seen["lost"] == []
    assert seen["not_told"] == 0
    assert seen["doctor"]["ok"] is True
