"""Fixtures of the command line's tests: an empty folder, and one with a ledger."""

import os
from pathlib import Path

import pytest

from tests.cli.command import Cli


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


@pytest.fixture
def ledger(cli: Cli) -> Cli:
    """`farthing` in a folder with a fresh ledger."""
    cli.ok("init")
    return cli


@pytest.fixture
def funded(ledger: Cli) -> Cli:
    """The same, with 100 credits for alice."""
    ledger.ok("grant", "alice", "100")
    return ledger
