"""The wheel: built, installed into a fresh environment and run there, as somebody does who has no checkout."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "farthing"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """A program that must go well, in an environment of its own; what it said."""
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), **environment}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def bin(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel and, of this one, the packages that it asks for."""
    fresh = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", fresh, cwd=fresh)
    (packages,) = fresh.glob("lib/python3.*/site-packages")
    # A folder that is named there is searched for packages, but not for further such files: what this environment
    # has of the checkout itself stays out of it.
    known = [path for path in sys.path if path.endswith("-packages")]
    (packages / "dependencies.pth").write_text("\n".join(known))
    # Without an index pip takes what is there, or complains of what is missing or too old.
    pip = (sys.executable, "-m", "pip", "--python", fresh / "bin" / "python", "--disable-pip-version-check")
    run(*pip, "install", "--no-index", "--no-cache-dir", "--force-reinstall", "--no-deps", wheel, cwd=fresh)
    run(*pip, "install", "--no-index", "--no-cache-dir", f"{wheel}[all]", cwd=fresh)
    return fresh / "bin"


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packed = {name for name in names if name.startswith("farthing/")}
    sources = {
        str(path.relative_to(SOURCE.parent))
        for path in SOURCE.rglob("*")
        if path.is_file() and not {"__pycache__", ".ruff_cache"} & set(path.parts)
    }
    assert packed == sources
    assert {"farthing/py.typed", "farthing/cli/__init__.py"} < packed
    for dialect in ("sqlite", "postgres"):
        assert f"farthing/stores/sql/{dialect}/0001_ledger.sql" in packed
    about = {name.partition("/")[2] for name in names - packed}
    assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert {name.partition("/")[0].endswith(".dist-info") for name in names - packed} == {True}


def test_the_wheel_needs_what_the_project_declares_and_its_python(wheel: Path) -> None:
    (metadata,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/METADATA"))
    said = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "\nRequires-Python: >=3.11\n" in said
    needed = [line for line in said.splitlines() if line.startswith("Requires-Dist: ")]
    assert {re.split(r"\W", line.split()[1])[0] for line in needed if "extra ==" not in line} == {"httpx2", "msgspec"}
    assert any(line.startswith("Requires-Dist: apsw>=") for line in needed)
    assert {line.partition(": ")[2] for line in said.splitlines() if line.startswith("Provides-Extra: ")} == {
        "sqlite", "postgres", "cli", "server", "llm", "all"
    }  # fmt: skip
    assert "pytest" not in said


def test_installed_it_is_a_program_that_serves_and_charges(bin: Path, tmp_path: Path) -> None:
    farthing = bin / "farthing"
    where = run(bin / "python", "-c", "import farthing; print(farthing.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(bin.parent)
    assert run(farthing, "--version", cwd=tmp_path).strip() == VERSION
    key = json.loads(run(farthing, "init", "--json", cwd=tmp_path))["api_key"]
    run(farthing, "grant", "alice", "100", cwd=tmp_path)
    serving = subprocess.Popen(
        [str(farthing), "serve", "--port", "0", "--json"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout is not None
        address = json.loads(serving.stdout.readline())["listening"]
        charge = {"account_id": "alice", "operation": "chat", "amount": 7.5, "usage_event_id": "call-1"}
        request = urllib.request.Request(
            f"{address}/api/credits/deduct",
            json.dumps(charge).encode(),
            {"X-API-Key": key, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["data"]["newBalance"] == 92.5
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(60) == 0
    finally:
        serving.kill()
        serving.communicate()
    assert json.loads(run(farthing, "balance", "alice", "--json", cwd=tmp_path))["available"] == "92.5"
