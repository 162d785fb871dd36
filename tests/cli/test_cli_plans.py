"""Plans, subscriptions and renewals on the command line."""

import json
from pathlib import Path

from farthing.stores import sqlite
from tests.cli.command import Cli

SAMPLE = str(Path(__file__).resolve().parents[2] / "examples" / "plans" / "token_bot.json")


def a_month_ago(*accounts: str) -> None:
    """Let a month pass for their subscriptions, as the books have them."""
    db = sqlite.connect("farthing.db")
    month = 31 * 86_400_000_000
    for account in accounts:
        ((terms,),) = db.execute("select terms from subscription where account = ?", (account,))
        s = json.loads(terms)
        s |= {name: s[name] - month for name in ("anchor_at", "period_at", "next_at", "started_at")}
        db.execute(
            "update subscription set terms = ?, next_at = ? where account = ?", (json.dumps(s), s["next_at"], account)
        )
    db.close()


def test_the_sample_is_imported_and_listed(ledger: Cli):
    put = ledger.ok("plans", "import", SAMPLE)["data"]
    assert [(p["id"], p["allowance"], p["every"]) for p in put] == [
        ("gift", "100", 30), ("professional", "2000", 30), ("business", "10000", 30),
    ]  # fmt: skip
    assert [p["id"] for p in ledger.ok("plans", "list")["data"]] == ["gift", "professional", "business"]
    assert ledger.ok("plans", "show", "business")["price"] == "3490"
    assert "professional  Professional       2000  30 days  keep" in ledger.told("plans", "list")


def test_a_plan_is_put_and_archived(ledger: Cli):
    made = ledger.ok("plans", "put", "team", "500", "--every", "1", "--unit", "months", "--anchor-day", "31")
    assert (made["unit"], made["anchor_day"], made["archived_at"]) == ("months", 31, None)
    assert ledger.ok("plans", "archive", "team", "--yes")["archived_at"] is not None
    assert ledger.ok("plans", "list")["data"] == []
    assert len(ledger.ok("plans", "list", "--archived")["data"]) == 1
    assert ledger.fails("subscribe", "alice", "team")[:2] == (1, "plan_archived")


def test_a_file_with_one_wrong_plan_puts_none(ledger: Cli):
    Path("plans.json").write_text(
        json.dumps({"plans": [{"id": "a", "allowance": "1", "every": 1}, {"id": "b", "allowance": "1", "every": 0}]})
    )
    code, name, sentence = ledger.fails("plans", "import", "plans.json")
    assert (code, name) == (2, "invalid_plan")
    assert "b: every must be from 1 to 3,660 days: a period has a length" in sentence
    assert ledger.ok("plans", "list")["data"] == []


def test_files_that_are_no_plans_are_refused(ledger: Cli):
    for text, said in (
        ('{"plans": [{"id": "a", "allowance": "1", "ev', "is no plan"),
        ("[]", "is no plan"),
        ('{"id": "a", "allowance": 1.5, "every": 1}', "must be decimal text"),
        ('{"id": "a", "allowance": "1", "every": 1, "colour": "red"}', "colour"),
        ('{"id": "a", "allowance": "1", "every": 1, "timezone": "Mars"}', "time zone"),
        ('{"plans": [{"id": "a", "allowance": "1", "every": 1}, {"id": "a", "allowance": "2", "every": 1}]}', "twice"),
    ):
        Path("plans.json").write_text(text)
        code, name, sentence = ledger.fails("plans", "import", "plans.json")
        assert (code, name) == (2, "invalid_plan")
        assert said in sentence
    assert ledger.fails("plans", "import", "nowhere.json")[0] == 2


def test_subscribing_showing_ending(ledger: Cli):
    ledger.ok("plans", "import", SAMPLE)
    made = ledger.ok("subscribe", "alice", "professional", "--expires", "365d", "--key", "order-1")
    assert (made["given"], made["balance"], made["replayed"]) == ("2000", "2000", False)
    assert ledger.ok("subscribe", "alice", "professional", "--expires", "365d", "--key", "order-1")["replayed"]
    shown = ledger.ok("subscriptions", "show", "alice")
    assert (shown["plan"], shown["due"], shown["days"]) == ("professional", False, 30)
    assert ledger.fails("subscriptions", "show", "bob")[:2] == (1, "subscription_not_found")
    assert ledger.fails("subscribe", "alice", "none")[:2] == (1, "plan_not_found")
    assert ledger.ok("unsubscribe", "alice")["ended_at"] is None
    assert ledger.ok("unsubscribe", "alice", "--now", "--yes")["ended_at"] is not None
    assert ledger.fails("unsubscribe", "alice")[:2] == (1, "subscription_ended")


def test_changing_with_the_next_renewal_and_taking_a_cancellation_back(ledger: Cli):
    ledger.ok("plans", "import", SAMPLE)
    bought = ledger.ok("subscribe", "alice", "professional")
    assert ledger.told("subscriptions", "change", "alice", "gift").startswith("alice has gift from ")
    assert ledger.ok("subscriptions", "show", "alice")["pending_plan"] == "gift"
    ledger.ok("unsubscribe", "alice")
    assert ledger.fails("subscriptions", "change", "alice", "gift")[:2] == (2, "invalid")
    assert ledger.ok("subscriptions", "resume", "alice")["pending_plan"] == "gift"
    assert ledger.told("subscriptions", "change", "alice", "professional") == "alice stays with professional\n"
    assert ledger.ok("subscriptions", "show", "alice")["expires_at"] == bought["expires_at"]
    a_month_ago("alice")
    assert ledger.fails("subscriptions", "resume", "bob")[:2] == (1, "account_not_found")


def test_renewing_what_is_due(ledger: Cli):
    ledger.ok("plans", "import", SAMPLE)
    for account in ("alice", "bob", "carol"):
        ledger.ok("subscribe", account, "gift")
    a_month_ago("alice", "bob")
    assert [s["account"] for s in ledger.ok("subscriptions", "list", "--due")["data"]] == ["alice", "bob"]
    dry = ledger.ok("renew", "--dry-run")
    assert (dry["successful"], dry["renewals"][0]["entry"], dry["dry_run"]) == (2, None, True)
    assert ledger.ok("balance", "alice")["balance"] == "100"
    one = ledger.ok("renew", "--limit", "1")
    assert ([r["account"] for r in one["renewals"]], one["more"]) == (["alice"], True)
    assert ledger.told("renew", "--plan", "gift") == "1 renewed, 0 failed, 0 skipped, 0 ended\n"
    assert ledger.told("renew") == "0 renewed, 0 failed, 0 skipped, 0 ended\n"
    assert ledger.ok("balance", "bob")["balance"] == "200"


def test_a_renewal_that_fails_is_told_and_is_no_success(ledger: Cli):
    ledger.ok("plans", "import", SAMPLE)
    ledger.ok("subscribe", "alice", "gift")
    a_month_ago("alice")
    ledger.ok("settings", "set", "max_live_grants", "1")
    done = ledger("renew")
    assert done.code == 1
    assert done.out == (
        "0 renewed, 1 failed, 0 skipped, 0 ended\nalice: the account has 1 live grants, as many as it may have\n"
    )
