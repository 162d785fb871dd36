"""The documented workflow, from the login to deducted credits, as the script in examples runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOLD = """\
balance: 100.5
1500 tokens of gpt-4 cost: 7.5
enough: True
recorded: 7.5
recorded: 7.5
balance: 93
used by model: {'gpt-4': 7.5}
"""


@pytest.fixture(scope="module", autouse=True)
def trusted() -> None:
    """The script serves a ledger of its own."""


def test_the_workflow_runs_from_the_login_to_deducted_credits(tmp_path: Path) -> None:
    program = tmp_path / "farthing"
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom farthing.cli import main\nsys.exit(main())\n")
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    script = ROOT / "examples" / "accounting_workflow.py"
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == (TOLD, 0), done.stderr
    assert list(tmp_path.iterdir()) == [program]
