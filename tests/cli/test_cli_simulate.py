"""`simulate` on the command line: what is ahead, in sums and one by one."""

import csv
import io
import json

from tests.cli.command import Cli


def with_plans(ledger: Cli) -> Cli:
    """Two subscribers of 30 days, one whose credits lapse, and a grant that does."""
    ledger.ok("plans", "put", "pro", "100", "--every", "30")
    ledger.ok("plans", "put", "lapsing", "10", "--every", "30", "--rollover", "lapse")
    for account, plan in (("anna", "pro"), ("bert", "pro"), ("carla", "lapsing")):
        ledger.ok("subscribe", account, plan)
    ledger.ok("grant", "dora", "7", "--expires", "5d")
    return ledger


def test_sums_tell_what_is_given_and_what_lapses_per_month_and_in_all(ledger: Cli):
    with_plans(ledger)
    entries = [ledger.ok("balance", name)["entries"] for name in ("anna", "carla", "dora")]
    found = ledger.ok("simulate", "--days", "65", "--top", "2")
    total = found["total"]
    assert (total["renewals"], total["given"], total["lapsed"], total["failed"]) == (6, "420", "27", 0)
    assert (found["accounts"], found["balance_before"], found["balance_after"]) == (4, "217", "610")
    assert sum(month["renewals"] for month in found["months"]) == 6
    assert found["top"] == [{"account": "anna", "balance": "300"}, {"account": "bert", "balance": "300"}]
    assert [ledger.ok("balance", name)["entries"] for name in ("anna", "carla", "dora")] == entries
    text = ledger.told("simulate", "--days", "65", "--top", "2")
    assert "4 accounts: 217 credits at " in text
    assert [line.split() for line in text.splitlines() if line.startswith("total")] == [
        ["total", "6", "420", "27", "0", "0", "0", "0", "0"]
    ]


def test_each_event_is_a_line_account_by_account(ledger: Cli):
    with_plans(ledger)
    lines = [json.loads(line) for line in ledger.told("simulate", "--days", "65", "--each", "--json").splitlines()]
    assert [(e["account"], e["event"], e["amount"], e["balance"]) for e in lines] == [
        *(("anna", "renewal", "100", "200"), ("anna", "renewal", "100", "300")),
        *(("bert", "renewal", "100", "200"), ("bert", "renewal", "100", "300")),
        *(("carla", "lapse", "-10", "0"), ("carla", "renewal", "10", "10")) * 2,
        ("dora", "lapse", "-7", "0"),
    ]
    rows = list(csv.DictReader(io.StringIO(ledger.told("simulate", "--days", "65", "--each", "--csv"))))
    assert [(r["account"], r["event"], r["amount"]) for r in rows] == [
        (e["account"], e["event"], e["amount"]) for e in lines
    ]
    (shown,) = ledger.told("simulate", "--days", "31", "--each", "--account", "anna").splitlines()[1:]
    assert shown.split()[1:] == ["anna", "renewal", "100", "200", "pro", "-"]


def test_one_account_or_one_plan_can_be_looked_at_alone(ledger: Cli):
    with_plans(ledger)
    assert ledger.ok("simulate", "--days", "31", "--account", "carla")["total"]["given"] == "10"
    found = ledger.ok("simulate", "--days", "31", "--plan", "pro")
    assert (found["accounts"], found["total"]["renewals"], found["total"]["lapsed"]) == (2, 2, "0")
    months = list(csv.DictReader(io.StringIO(ledger.told("simulate", "--days", "31", "--csv"))))
    assert sum(int(month["renewals"]) for month in months) == 3


def test_it_is_ninety_days_unless_a_date_or_a_number_is_given(ledger: Cli):
    with_plans(ledger)
    assert ledger.ok("simulate")["total"]["renewals"] == ledger.ok("simulate", "--days", "90")["total"]["renewals"]
    until = ledger.ok("simulate", "--days", "2")["to"][:10]
    assert ledger.ok("simulate", "--until", f"{until}T12:00:00Z")["to"] == f"{until}T12:00:00Z"
    assert ledger.ok("simulate", "--until", until)["to"] == f"{until}T23:59:59.999999Z"
    tokyo = ledger.ok("simulate", "--until", until, "--timezone", "Asia/Tokyo")["to"]
    assert tokyo == f"{until}T14:59:59.999999Z", "the day is one of the zone, and ends with it"


def test_what_can_not_be_meant_is_said(ledger: Cli):
    with_plans(ledger)
    assert ledger.fails("simulate", "--account", "nobody")[:2] == (1, "account_not_found")
    assert ledger.fails("simulate", "--plan", "nothing")[:2] == (1, "plan_not_found")
    for words in (
        ("--days", "0"),
        ("--days", "3661"),
        ("--days", "3", "--until", "2099-01-01"),
        ("--each", "--top", "3"),
    ):
        assert ledger.fails("simulate", *words)[:2] == (2, "usage")
    for words in (("--until", "2020-01-01"), ("--until", "2999-01-01"), ("--until", "30d"), ("--timezone", "Mars/X")):
        assert ledger.fails("simulate", *words)[:2] == (2, "invalid")
    assert ledger("simulate", "--csv", "--json").code == 2
