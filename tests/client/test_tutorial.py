"""The tutorial and the page about the library, run as one would who has nothing but them: on a file, and the tutorial
against a server too.
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL, LIBRARY = ((ROOT / "docs" / name).read_text() for name in ("tutorial.md", "how-to/library.md"))


def blocks(page: str, kind: str) -> str:
    """All blocks of a kind, one after the other."""
    found = re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)
    assert found
    return "".join(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder with the program, and the commands where a shell finds them."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "farthing").write_text(
        f"#!{sys.executable}\nimport sys\nfrom farthing.cli import main\nsys.exit(main())\n"
    )
    (commands / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for command in commands.iterdir():
        command.chmod(0o755)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "shop.py").write_text(blocks(TUTORIAL, "python"))
    return tmp_path / "here"


def run(folder: Path, *command: str) -> str:
    """What a command prints in that folder."""
    env = {name: text for name, text in os.environ.items() if not name.startswith("FARTHING_")}
    env |= {"PATH": f"{folder.parent / 'bin'}:{env['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_program_prints_what_the_page_says_on_a_file(folder: Path) -> None:
    assert run(folder, sys.executable, "shop.py") == blocks(TUTORIAL, "text")
    assert (folder / "credits.db").exists()


def test_the_same_program_prints_the_same_against_a_server(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        commands = blocks(TUTORIAL, "sh").replace("8788", str(probe.getsockname()[1]))
    assert blocks(TUTORIAL, "text") in run(folder, "bash", "-c", commands)
    assert not (folder / "credits.db").exists()


def test_the_page_about_the_library_prints_what_it_says(folder: Path) -> None:
    (folder / "library.py").write_text(blocks(LIBRARY, "python"))
    assert run(folder, sys.executable, "library.py") == blocks(LIBRARY, "text")
