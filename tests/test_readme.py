"""The README's charge, run by a shell in an empty folder as it stands, but for the port."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_charge_in_the_readme_works_as_it_stands(tmp_path: Path) -> None:
    (block,) = re.findall(r"<!-- test: readme -->\n```sh\n(.*?)```", README.read_text(), re.DOTALL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        block = block.replace("8788", str(probe.getsockname()[1]))
    shim = tmp_path / "bin" / "farthing"
    shim.parent.mkdir()
    shim.write_text(f"#!{sys.executable}\nimport sys\nfrom farthing.cli import main\nsys.exit(main())\n")
    shim.chmod(0o755)
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = {**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        ["bash", "-c", block], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )  # fmt: skip
    answers = re.findall(r'"success":true,"data":({[^}]*"deductedAmount"[^}]*})', done.stdout)
    assert len(answers) == 2, done.stdout + done.stderr
    assert answers[0] == answers[1]
    assert "92.5" in done.stdout.rpartition(answers[1])[2]
    assert done.returncode == 0, done.stdout + done.stderr
