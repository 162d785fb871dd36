"""`farthing audit`: who did what to whom, why, and what it was before and after."""

import os
import pwd

import pytest

from farthing.cli import audit
from tests.cli.command import Cli

ME = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"


@pytest.fixture
def busy(ledger: Cli) -> Cli:
    ledger.ok("grant", "alice", "100", "--description", "Welcome")
    ledger.ok("grant", "alice", "2.5", "--description", "Once more")
    ledger.ok("settings", "set", "hold_max_minutes", "60")
    return ledger


def test_the_log_tells_the_newest_first_with_what_changed(busy: Cli):
    settings, grant, *_ = busy.ok("audit")["data"]
    assert (settings["action"], settings["before"], settings["after"]) == (
        "settings.change", {"hold_max_minutes": 43_200}, {"hold_max_minutes": 60}
    )  # fmt: skip
    assert (grant["actor"], grant["role"], grant["subject"], grant["reason"]) == (ME, None, "alice", "Once more")
    assert (grant["before"]["balance"], grant["after"]["balance"], grant["detail"]["amount"]) == ("100", "102.5", "2.5")
    lines = busy.told("audit").splitlines()
    assert "hold_max_minutes 43200 -> 60" in lines[1]
    assert "balance 100 -> 102.5" in lines[2]
    assert "Once more" in lines[2]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--subject", "alice"], 2),
        (["--subject", "alice", "--limit", "1"], 1),
        (["--action", "settings.change"], 1),
        (["--actor", ME, "--subject", "bob"], 0),
        (["--role", "admin"], 0),
        (["--subject", "alice", "--to", "2001-01-01"], 0),
        (["--subject", "alice", "--from", "2001-01-01"], 2),
    ],
)
def test_the_log_is_looked_through(busy: Cli, options: list[str], found: int):
    assert len(busy.ok("audit", *options)["data"]) == found


def test_what_is_sought_is_found_beyond_one_page(busy: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farthing.stores.pages.WINDOW", 1)
    assert [each["reason"] for each in busy.ok("audit", "--subject", "alice", "--limit", "2")["data"]] == [
        "Once more",
        "Welcome",
    ]


@pytest.mark.parametrize(
    "options", [["--role", "root"], ["--limit", "0"], ["--limit", str(audit.MOST + 1)], ["--from", "soon"]]
)
def test_a_filter_that_makes_no_sense_is_refused(busy: Cli, options: list[str]):
    assert busy.fails("audit", *options)[0] == 2
