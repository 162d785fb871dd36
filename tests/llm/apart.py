"""LiteLLM's tests, in an environment of its own: `./dev soak litellm`.

Needs what pip installs into a folder that is gone afterwards; no test does.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRIAL = "tests/llm/litellm_trial.py"
LOCK = "requirements/litellm.lock"


def trial(folder: Path) -> str:
    """Run them; what pytest says at the end. Raises where one fails."""
    python = str(folder / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    install = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", LOCK]
    subprocess.run(install, cwd=ROOT, check=True, capture_output=True, text=True)
    ran = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", TRIAL],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": "src"}, capture_output=True, text=True,
    )  # fmt: skip
    if ran.returncode:
        raise AssertionError(ran.stdout[-20_000:] + ran.stderr[-5_000:])
    return ran.stdout.strip().splitlines()[-1]
