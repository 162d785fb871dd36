"""`statement` and `balance --at` on the command line."""

import csv
import io
import time
from datetime import UTC, datetime

from tests.cli.command import Cli


def instant() -> str:
    """Now, as text; what comes later is later."""
    time.sleep(0.002)
    text = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    time.sleep(0.002)
    return text


def test_a_balance_at_an_instant_is_what_was_told_then(funded: Cli):
    funded.ok("grant", "alice", "20", "--scope", "image.*")
    then, at = funded.ok("balance", "alice"), instant()
    funded.ok("charge", "alice", "30")
    found = funded.ok("balance", "alice", "--at", at)
    assert found == {name: then[name] for name in found if name != "at"} | {"at": at}
    assert (found["balance"], found["available"], len(found["grants"])) == ("120", "100", 2)
    text = funded.told("balance", "alice", "--at", at)
    assert f"at         {at}" in text
    assert "image.*" in text
    assert "earned" not in text, "of then only what entries tell"


def test_an_instant_without_the_account_or_to_come_is_refused(funded: Cli):
    code, name, sentence = funded.fails("balance", "alice", "--at", "2020-01-01")
    assert (code, name) == (1, "account_not_found")
    assert "it was opened at 20" in sentence
    assert funded.fails("balance", "bob", "--at", "2020-01-01")[:2] == (1, "account_not_found")
    code, name, sentence = funded.fails("balance", "alice", "--at", "2999-01-01")
    assert (code, name) == (2, "invalid")
    assert "farthing simulate" in sentence
    assert funded.fails("balance", "alice", "--at", "3d")[:2] == (2, "invalid")


def test_a_statement_of_this_month_is_told_in_three_forms(funded: Cli):
    funded.ok("charge", "alice", "7.5", "--operation", "chat")
    found = funded.ok("statement", "alice")
    assert (found["opening"]["balance"], found["closing"]["balance"], found["complete"]) == ("0", "92.5", False)
    assert [(line["kind"], line["amount"]) for line in found["data"]] == [("grant", "100"), ("charge", "-7.5")]
    assert [t["kind"] for t in found["totals"]] == ["charge", "grant"]
    rows = list(csv.DictReader(io.StringIO(funded.told("statement", "alice", "--csv"))))
    assert [row["line"] for row in rows] == ["opening", "entry", "entry", "total", "total", "closing"]
    assert rows[-1]["balance"] == "92.5"
    lines = funded.told("statement", "alice").splitlines()
    assert lines[0].startswith("alice, in credits, from ")
    assert lines[2].split()[1:3] == ["opening", "0"]
    assert lines[5].split()[1:3] == ["closing", "92.5"]


def test_months_and_periods_are_those_of_the_zone_and_all_tells_every_entry(funded: Cli):
    found = funded.ok("statement", "alice", "--month", "2025-11", "--timezone", "Europe/Berlin")
    assert (found["from"], found["to"]) == ("2025-10-31T23:00:00Z", "2025-11-30T23:00:00Z")
    assert (found["complete"], found["data"], found["totals"]) == (True, [], [])
    everything = funded.ok("statement", "alice", "--from", "2025-01-01", "--all")
    assert [line["kind"] for line in everything["data"]] == ["open", "grant"]


def test_long_ones_are_written_page_by_page_and_are_one_object(funded: Cli, monkeypatch):
    monkeypatch.setattr("farthing.cli.statement.PAGE", 2)
    for _ in range(5):
        funded.ok("charge", "alice", "1")
    found = funded.ok("statement", "alice")
    assert [line["number"] for line in found["data"]] == list(range(2, 8))
    assert found["closing"]["balance"] == "95"


def test_what_can_not_be_meant_is_said(funded: Cli):
    assert funded.fails("statement", "bob")[:2] == (1, "account_not_found")
    assert funded.fails("statement", "alice", "--month", "2026-13")[:2] == (2, "invalid")
    assert funded.fails("statement", "alice", "--month", "9990-01")[:2] == (2, "invalid")
    assert funded.fails("statement", "alice", "--month", "2026-01", "--to", "2026-02-01")[:2] == (2, "usage")
    assert funded.fails("statement", "alice", "--from", "2026-03-01", "--to", "2026-02-01")[:2] == (2, "invalid")
    assert funded.fails("statement", "alice", "--timezone", "Mars/Olympus")[:2] == (2, "invalid")
    assert funded("statement", "alice", "--csv", "--json").code == 2
