"""Fixtures of the command line's tests: an empty folder, and one with a ledger."""

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.command import Cli, execute


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`farthing` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("FARTHING_"):
            monkeypatch.delenv(name)
    # Help is as wide as the terminal is said to be.
    monkeypatch.setenv("COLUMNS", "120")
    return Cli(capsys, monkeypatch)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger as `farthing init` makes it."""
    folder = tmp_path_factory.mktemp("fresh")
    assert execute("init", folder=folder).code == 0
    return folder / "farthing.db"


@pytest.fixture
def ledger(cli: Cli, fresh: Path) -> Cli:
    """`farthing` in a folder with a fresh ledger."""
    shutil.copy(fresh, "farthing.db")
    return cli


@pytest.fixture
def funded(ledger: Cli) -> Cli:
    """The same, with 100 credits for alice."""
    ledger.ok("grant", "alice", "100")
    return ledger
