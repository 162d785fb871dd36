"""The README's charges, run by a shell in an empty folder as they stand, but for the port."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def run(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block of the README as it stands, but for the port."""
    (block,) = re.findall(rf"<!-- test: {name} -->\n```sh\n(.*?)```", README.read_text(), re.DOTALL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        block = block.replace("8788", str(probe.getsockname()[1]))
    shim = folder / "bin" / "farthing"
    shim.parent.mkdir()
    shim.write_text(f"#!{sys.executable}\nimport sys\nfrom farthing.cli import main\nsys.exit(main())\n")
    shim.chmod(0o755)
    empty = folder / "empty"
    empty.mkdir()
    environment = {**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        ["bash", "-c", block], cwd=empty, env=environment, capture_output=True, text=True, timeout=120
    )


def test_the_charge_in_the_readme_works_as_it_stands(tmp_path: Path) -> None:
    done = run("readme", tmp_path)
    answers = re.findall(r'"success":true,"data":({[^}]*"deductedAmount"[^}]*})', done.stdout)
    assert len(answers) == 2, done.stdout + done.stderr
    assert answers[0] == answers[1]
    assert "92.5" in done.stdout.rpartition(answers[1])[2]
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_prices_in_the_readme_are_what_is_charged(tmp_path: Path) -> None:
    done = run("prices", tmp_path)
    assert "1.41 credits charged to alice" in done.stdout, done.stdout + done.stderr
    (answer,) = re.findall(r'{"account":"alice".*}', done.stdout)
    assert '"amount":"1.41"' in answer
    assert '"balance":"97.18"' in answer
