"""`farthing retention`, `accounts erase` and `doctor --archive` on the command line."""

import json
from pathlib import Path

import pytest

from farthing.cli import retention
from farthing.clock import SystemClock
from tests.cli.command import Cli

FOLDER = Path("farthing.db.archive")
TOMORROW = 90_000_000_000


@pytest.fixture
def aged(funded: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A ledger whose entries are a day old, but for the last one of all; their sums are made."""
    funded.ok("charge", "alice", "1", "--key", "k", "--description", "for Marjorie Daw")
    now = SystemClock.now_us
    monkeypatch.setattr(SystemClock, "now_us", lambda self: now(self) + TOMORROW)
    funded.ok("charge", "alice", "2")
    funded.ok("jobs", "run", "rollups")
    return funded


def before(aged: Cli) -> str:
    return str(aged.ok("ledger", "alice")["data"][0]["at"])


def test_old_entries_are_archived_shown_and_verified(aged: Cli) -> None:
    at = before(aged)
    would = aged.ok("retention", "run", "--before", at, "--dry-run")
    assert (would["dry_run"], would["data"][0]["entries"], FOLDER.exists()) == (True, 3, False)
    (done,) = aged.ok("retention", "run", "--before", at, "--yes")["data"]
    assert (done["accounts"], done["entries"], done["left"]) == (1, 3, [])
    (file,) = FOLDER.iterdir()
    status = aged.ok("retention", "status")
    assert (status["folder"], status["files"], status["data"][0]["entries"]) == (str(FOLDER), 1, 3)
    assert aged.ok("retention", "verify", str(file))["data"][0]["entries"] == 3
    assert "3 entries of 1 account" in aged.told("retention", "verify", str(file))
    lines = [json.loads(line) for line in aged("retention", "show", str(file), "--json").out.splitlines()]
    assert [line["entry"]["kind"] for line in lines] == ["open", "grant", "charge"]
    shown = aged.told("retention", "show", str(file), "--account", "alice", "--limit", "1")
    assert "open" in shown
    assert "charge" not in shown
    report = aged.ok("doctor", "--archive", str(FOLDER))
    assert (report["ok"], report["archived"], report["entries"]) == (True, 3, 1)
    assert "3 archived entries" in aged.told("doctor", "--archive", str(file))


def test_a_key_still_answers(aged: Cli) -> None:
    charge = aged.ok("charge", "alice", "1", "--key", "k", "--description", "for Marjorie Daw")
    assert charge["replayed"] is True
    aged.ok("retention", "run", "--before", before(aged), "--yes")
    again = aged.ok("charge", "alice", "1", "--key", "k", "--description", "for Marjorie Daw")
    assert again == charge


def test_a_workspace_without_retention_is_left_alone(aged: Cli) -> None:
    assert aged.ok("retention", "run")["data"] == []
    assert "no workspace has set retention_days" in aged.told("retention", "run")
    aged.ok("settings", "set", "retention_days", "1")
    assert aged.ok("retention", "run")["data"][0]["entries"] == 3


def test_what_can_not_be_done_is_told(aged: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert aged.fails("retention", "run", "--before", "2999-01-01")[:2] == (2, "usage")
    assert aged.fails("retention", "run", "--before", before(aged))[:2] == (1, "confirmation_needed")
    Path("x.jsonl.gz").write_bytes(b"no archive")
    verified = aged("retention", "verify", "x.jsonl.gz", "--json")
    assert (verified.code, verified.json["ok"]) == (1, False)
    assert aged.fails("retention", "show", "x.jsonl.gz")[:2] == (1, "archive_damaged")
    assert aged("doctor", "--archive", "x.jsonl.gz").code == 1
    Path("empty").mkdir()
    assert aged.fails("doctor", "--archive", "empty")[:2] == (2, "usage")
    monkeypatch.setattr(retention, "folder_for", lambda _: None)
    failed = aged.fails("retention", "run", "--before", before(aged), "--yes")
    assert failed[:2] == (2, "archive_dir_missing")
    assert "FARTHING_ARCHIVE_DIR" in failed[2]


def test_an_account_is_erased_in_the_ledger_and_in_its_files(aged: Cli) -> None:
    aged.ok("retention", "run", "--before", before(aged), "--yes")
    words = ("accounts", "erase", "alice", "--reason", "asked for")
    assert aged.fails(*words)[:2] == (1, "confirmation_needed")
    would = aged.ok(*words, "--dry-run")
    assert (would["answers"], [file["entries"] for file in would["files"]]) == (1, [1])
    done = aged.ok(*words, "--yes")
    assert (done["entries"], done["answers"], len(done["files"]), done["complete"]) == (0, 1, 1, True)
    assert aged.ok(*words, "--yes")["files"] == []
    assert aged.ok("doctor", "--archive", str(FOLDER))["ok"] is True
    (file,) = FOLDER.iterdir()
    assert "Marjorie" not in aged("retention", "show", str(file), "--json").out
    logged = aged.ok("audit", "--action", "account.erase")["data"]
    assert [each["reason"] for each in logged] == ["asked for", "asked for"]


def test_archived_texts_whose_files_are_not_there_are_told(aged: Cli) -> None:
    aged.ok("retention", "run", "--before", before(aged), "--yes")
    FOLDER.rename("elsewhere")
    words = ("accounts", "erase", "alice", "--reason", "asked for", "--yes")
    done = aged(*words, "--json")
    assert (done.code, done.json["complete"]) == (1, False)
    assert "its entries 1 to 3 are archived, and in none of the files: say with --archive where they are" in done.err
    assert aged.ok(*words, "--archive", "elsewhere")["complete"] is True
    assert aged.fails("accounts", "erase", "nobody", "--reason", "r", "--yes")[:2] == (1, "account_not_found")
    assert aged.fails("accounts", "erase", "alice", "--reason", " ", "--yes")[:2] == (2, "invalid")
