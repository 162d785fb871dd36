"""`import`: the whole file is read before anything is written; then each line once, whatever happens."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from farthing.importing import carrying
from farthing.importing.form import TYPES
from farthing.stores import sqlite
from tests.cli.command import PROGRAM, Cli
from tests.importing import Line, charged, grant, line, totals, written

EXAMPLE = Path(__file__).parents[2] / "examples" / "import" / "shop.jsonl"
SOON = "2099-01-01T00:00:00Z"


def bring(cli: Cli, *lines: Line, ended: bool = True, words: tuple[str, ...] = ("--apply",)) -> Any:
    """Import some lines."""
    Path("old.jsonl").write_text(written(lines, ended=ended))
    return cli("import", "old.jsonl", *words, "--json")


def problems(cli: Cli, *lines: Line, ended: bool = True) -> list[tuple[int, str, str]]:
    """What is wrong with a file; nothing of it is written, however it is asked for."""
    before = entries()
    dry, done = (bring(cli, *lines, ended=ended, words=(how,)) for how in ("--dry-run", "--apply"))
    assert dry.json["problems"] == done.json["problems"]
    assert (dry.code, done.code, entries()) == (1, 1, before)
    return [(each["line"], each["field"], each["message"]) for each in done.json["problems"]]


def entries() -> int:
    file = sqlite.connect("farthing.db", read_only=True)
    ((count,),) = file.execute("select count(*) from entry")
    file.close()
    return int(count)


def counts(told: dict[str, Any], type: str) -> tuple[int, ...]:
    """Of a type: read, written, there, refused, left out."""
    return tuple(told["types"][type].values())


# All goes well


def test_the_example_is_imported_once_and_doctor_finds_nothing_wrong(ledger: Cli) -> None:
    assert {json.loads(text)["type"] for text in EXAMPLE.read_text().splitlines()} == set(TYPES)
    shutil.copy(EXAMPLE, "shop.jsonl")
    dry = ledger.ok("import", "shop.jsonl", "--dry-run")
    assert (dry["ok"], entries()) == (True, 0)
    first, again = (ledger.ok("import", "shop.jsonl", "--apply") for _ in range(2))
    for type, (read, would, *_) in ((type, counts(dry, type)) for type in dry["types"]):
        assert would == read
        assert counts(first, type) == (read, read, 0, 0, 0)
        assert counts(again, type) == (read, 0, read, 0, 0)
    assert (first["booked"], first["expected"], again["booked"]) == ("85.5", "85.5", "85.5")
    found = [ledger.ok("balance", each) for each in ("user_1", "user_2", "user_3")]
    assert [(each["balance"], each["earned"], each["spent"]) for each in found] == [
        ("92.5", "125", "32.5"), ("0", "50", "50"), ("-7", "0", "7")
    ]  # fmt: skip
    assert (found[0]["allowance"], found[2]["frozen"], found[2]["debt"]) == ("5", True, "7")
    assert ledger.ok("ledger", "user_1")["data"][-1]["at"] == "2024-03-01T09:00:00Z"
    assert ledger.ok("subscriptions", "show", "user_2")["next_at"] == "2099-02-01T00:00:00Z"
    assert [each["username"] for each in ledger.ok("users", "list")["data"]] == ["anna", "ben"]
    assert ledger.ok("reports", "revenue")["total"]["revenue"] == "0"
    assert ledger.ok("doctor")["ok"]
    acts = [each["action"] for each in ledger.ok("audit")["data"]]
    assert (acts.count("import.begin"), acts.count("import.end"), acts.count("user.import")) == (2, 2, 2)


def test_standard_input_is_taken_and_people_are_told_in_words(ledger: Cli) -> None:
    text = written([line("header", source="old"), grant("g1", "alice", "7.5"), grant("g2", "ben", "2")])
    done = ledger("import", "-", "--apply", input=text)
    assert done.code == 0
    assert re.search(r"grant +2 +2 +0 +0 +0\n", done.out)
    assert "the file comes to 9.5 credits on 2 accounts; of 9.5 the ledger has 9.5" in done.out


def test_credits_that_an_account_has_already_stay(funded: Cli) -> None:
    assert bring(funded, grant("g1", "alice", "7.5")).code == 0
    assert funded.ok("balance", "alice")["balance"] == "107.5"


def test_two_systems_may_have_the_same_ids(ledger: Cli) -> None:
    for source in ("old", "older"):
        assert bring(ledger, line("header", source=source), grant("1", "alice", "5")).code == 0
    assert bring(ledger, grant("1", "alice", "5"), words=("--apply", "--source", "oldest")).code == 0
    assert ledger.ok("balance", "alice")["balance"] == "15"


def test_what_another_line_says_again_counts_once(ledger: Cli) -> None:
    each = grant("g1", "alice", "7.5")
    done = bring(ledger, each, each, line("totals", credits="7.5", grants=1), ended=False)
    assert (done.code, done.json["repeated"], counts(done.json, "grant")) == (0, 1, (1, 1, 0, 0, 0))
    assert ledger.ok("balance", "alice")["balance"] == "7.5"


def test_a_grant_that_is_over_is_entered_and_lapses_at_once(ledger: Cli) -> None:
    done = bring(ledger, grant("g1", "alice", "7.5", granted="10", expires_at="2020-01-01T00:00:00Z"))
    assert (done.code, done.json["lapsed"]) == (0, 1)
    found = ledger.ok("balance", "alice")
    assert (found["balance"], found["earned"], found["spent"], found["lapsed"]) == ("0", "10", "2.5", "7.5")
    assert ledger.ok("doctor")["ok"]


def test_a_subscription_that_is_over_is_left_out_and_one_that_is_due_is_renewed_by_the_next_run(ledger: Cli) -> None:
    plan = line("plan", plan={"id": "gift", "allowance": "100", "every": 30})
    over = line("subscription", account="ben", plan="gift", next_at=SOON, expires_at="2020-01-01")
    due = line("subscription", account="alice", plan="gift", next_at="2025-01-01", renewed_at="2024-12-02")
    done = bring(ledger, over, due, plan, line("totals", credits=0, subscriptions=2), ended=False)
    assert (done.code, counts(done.json, "subscription")) == (0, (2, 1, 0, 0, 1))
    assert ledger.ok("balance", "alice")["balance"] == "0"
    assert ledger.ok("renew")["successful"] == 1
    assert ledger.ok("balance", "alice")["balance"] == "100"


# What is wrong with a file


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        (line("coupon"), "type", "must be one of header, plan"),
        ({"id": "g"}, "type", "is needed"),
        (grant("g", "alice", "5", colour="red"), "colour", "is unknown"),
        (line("grant", id="g", account="alice"), "remaining", "is needed"),
        (grant("g", "", "5"), "account", "must not be empty"),
        (grant("", "alice", "5"), "id", "must not be empty"),
        (grant("g" * 300, "alice", "5"), "id", "at most 255 bytes"),
        (line("grant", id="g", account="alice", remaining=5.5), "remaining", "must be decimal text"),
        (grant("g", "alice", "0.0000001"), "remaining", "at most 6 decimals"),
        (grant("g", "alice", "-5"), "remaining", "a line of type debt"),
        (grant("g", "alice", "0"), "remaining", "leave the line out"),
        (grant("g", "alice", "5", granted="4"), "remaining", "must not be more than was granted"),
        (grant("g", "alice", "5", expires_at="2030-01-31T12:00:00"), "expires_at", "must say its zone"),
        (grant("g", "alice", "5", expires_at="soon"), "expires_at", "must be an RFC 3339 time"),
        (grant("g", "alice", "5", granted_at="2999-01-01"), "granted_at", "must not be in the future"),
        (grant("g", "alice", "5", category="free"), "category", "invalid enum value"),
        (grant("g", "alice", "5", metadata=[1]), "metadata", "must be a JSON object"),
        (line("debt", account="alice", amount="0", reason="x"), "amount", "must be above zero"),
        (line("debt", account="alice", amount="5", reason=" "), "reason", "must not be empty"),
        (line("payment", account="alice", provider="", object="1", credits="5"), "provider", "must not be empty"),
        (line("user", id="u", username="anna", password="secret"), "password", "must be a bcrypt hash"),
        (line("user", id="u", username="anna", password="$2b$31$" + "a" * 53), "password", "cost"),
        (line("user", id="u", email="a@b.c", password="$argon2id$v=19$m=9999999,t=3,p=4$" + "a" * 22 + "$" + "a" * 32),
         "password", "too much memory"),
        (line("user", id="u", username="a@b", email="x"), "username", "taken for an address"),
        (line("user", id="u", email="nowhere"), "email", "must be an e-mail address"),
        (line("user", id="u", role="king"), "role", "must be user, supervisor or admin"),
        (line("user", id="u", password="-"), "username", "nobody signs in without"),
        (line("account", account="alice", timezone="Nowhere/Land"), "timezone", "name of a time zone"),
        (line("account", account="alice", allowance="-1"), "allowance", "must not be negative"),
        (charged("alice", "deduct:1"), "key", "must begin with one of cw.deduct:"),
        (charged("alice", "cw.add:1"), "kind", "must be grant"),
        (line("key", account="alice", key="cw.deduct:1", kind="charge", amount="5", at="2025-01-01"), "balance",
         "is needed"),
        (line("key", account="alice", key="acc.session:1", kind="session", amount="5", at="2025-01-01"), "model",
         "is needed"),
        (line("subscription", account="alice", plan="none", next_at=SOON), "plan", "neither in the workspace nor"),
        (line("plan", plan={"id": "gift", "allowance": "100", "every": 0}), "plan", "every must be from 1"),
        (line("card", document={"rules": [{"id": "x"}]}), "document", "dimension"),
        (line("header", source="Old System"), "source", "must be 1 to 32 of"),
        (line("header", format=2), "format", "invalid enum value"),
    ],
)  # fmt: skip
def test_a_line_that_is_wrong_is_named_by_line_and_field_and_nothing_is_written(
    ledger: Cli, wrong: Line, field: str, said: str
) -> None:
    lines = (
        [wrong, grant("other", "ben", "1")] if wrong.get("type") == "header" else [grant("other", "ben", "1"), wrong]
    )
    found = problems(ledger, *lines, line("totals", credits="1"), ended=False)
    # A line that fits nothing else is the only trouble.
    assert [(at, name) for at, name, _ in found] == [(lines.index(wrong) + 1, field)]
    assert said in found[0][2]


@pytest.mark.parametrize("cut", ["a line", "within a line"])
def test_a_file_that_was_cut_in_half_is_refused_unless_that_is_wanted(ledger: Cli, cut: str) -> None:
    text = written([grant("g1", "alice", "5"), grant("g2", "ben", "5"), grant("g3", "cleo", "5")])
    half = text[: text.index("g3")]
    Path("half.jsonl").write_text(half[: half.rindex("\n") + 1] if cut == "a line" else half)
    done = ledger("import", "half.jsonl", "--apply", "--json")
    assert (done.code, entries()) == (1, 0)
    said = " ".join(each["message"] for each in done.json["problems"])
    assert "it may have been cut off" in said
    assert ("is no JSON object" in said) == (cut == "within a line")
    wanted = ledger("import", "half.jsonl", "--apply", "--no-totals", "--json")
    assert (wanted.code, wanted.json["booked"]) == ((0, "10") if cut == "a line" else (1, None))


def test_a_file_whose_header_tells_its_totals_is_found_cut_as_well(ledger: Cli) -> None:
    head = line("header", totals={"credits": "10", "grants": 2, "accounts": 2})
    assert bring(ledger, head, grant("g1", "alice", "5"), grant("g2", "ben", "5"), ended=False).code == 0
    assert problems(ledger, head, grant("g3", "alice", "5"), ended=False) == [
        (1, "credits", "should be 10 in all, and those of the file are 5"),
        (1, "accounts", "should be 2, and the file has 1"),
        (1, "grants", "should be 2, and the file has 1"),
    ]


def test_amounts_that_do_not_add_up_are_refused(ledger: Cli) -> None:
    told = [line("account", account="alice", balance="5"), grant("g1", "alice", "7"), grant("g2", "ben", "1")]
    assert problems(ledger, *told, line("totals", credits="9", debts=1), ended=False) == [
        (1, "balance", "of 'alice' should be 5, and its grants less its debts come to 7"),
        (4, "credits", "should be 9 in all, and those of the file are 8"),
        (4, "debts", "should be 1, and the file has 0"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [
        (grant("g1", "alice", "5"), grant("g1", "alice", "6"), "id"),
        (grant("g1", "alice", "5"), grant("g1", "ben", "5"), "id"),
        (line("user", id="u1", username="anna"), line("user", id="u2", username="ANNA"), "username"),
        (line("user", id="u1", email="a@example.com"), line("user", id="u2", email="a@Example.com"), "email"),
        (line("account", account="a", frozen=True), line("account", account="a", frozen=False), "account"),
        (line("payment", account="a", provider="s", object="1", credits="1"),
         grant("g1", "a", "1", payment={"provider": "s", "object": "1"}), "object"),
        (charged("a", "v1:1"), charged("a", "v1:1", "6"), "key"),
    ],
)  # fmt: skip
def test_two_lines_that_say_different_things_of_one_are_both_named(
    ledger: Cli, one: Line, other: Line, field: str
) -> None:
    ((at, name, message),) = problems(ledger, one, grant("between", "zoe", "1"), other)
    assert (at, name) == (3, field)
    assert "line 1, which says something else of it" in message


def test_keys_of_two_accounts_are_two_however_they_are_called(ledger: Cli) -> None:
    assert bring(ledger, charged("x of y", "v1:k"), charged("y", "v1:k of x")).code == 0


def test_a_plan_that_can_not_be_read_is_one_problem_whoever_has_it(ledger: Cli) -> None:
    subscribed = line("subscription", account="alice", plan="gift", next_at=SOON)
    ((at, name, _),) = problems(ledger, line("plan", plan={"id": "gift", "allowance": "9", "period": 3}), subscribed)
    assert (at, name) == (1, "plan")


def test_what_follows_the_totals_is_refused(ledger: Cli) -> None:
    found = problems(ledger, totals([]), grant("g1", "alice", "5"), ended=False)
    assert found == [(2, "the line", "comes after the totals of line 1, which are the last")]


def test_a_plan_that_is_there_and_says_something_else_is_refused(ledger: Cli) -> None:
    ledger.ok("plans", "put", "gift", "100", "--every", "30")
    assert (
        "says something else"
        in problems(ledger, line("plan", plan={"id": "gift", "allowance": "9", "every": 30}))[0][2]
    )
    assert bring(ledger, line("plan", plan={"id": "gift", "allowance": "100", "every": 30})).code == 0


def test_more_grants_than_an_account_may_have_are_refused(ledger: Cli) -> None:
    ledger.ok("settings", "set", "max_live_grants", "2")
    found = problems(ledger, *(grant(f"g{n}", "alice", "1") for n in range(3)))
    assert [(name, message) for _, name, message in found] == [
        ("account", "'alice' has 3 live grants; 2 is the most (setting max_live_grants)")
    ]


def test_of_many_problems_the_first_fifty_are_told_and_all_are_counted(ledger: Cli) -> None:
    done = bring(ledger, *(line("coupon") for _ in range(70)))
    assert (len(done.json["problems"]), done.json["problem_count"]) == (50, 70)


def test_the_command_line_has_to_say_what_is_meant(ledger: Cli) -> None:
    Path("old.jsonl").write_text(written([grant("g1", "alice", "5")]))
    for words in ((), ("--dry-run", "--apply")):
        assert ledger.fails("import", "old.jsonl", *words)[:2] == (2, "usage")
    assert ledger.fails("import", "nowhere.jsonl", "--apply")[:2] == (2, "usage")
    assert ledger.fails("import", "old.jsonl", "--apply", "--source", "Old!")[:2] == (2, "invalid")
    assert entries() == 0


# What the ledger refuses


def test_what_came_in_before_with_other_content_is_refused_and_the_rest_goes_on(ledger: Cli) -> None:
    plan = line("plan", plan={"id": "gift", "allowance": "100", "every": 30})
    mine = line("subscription", account="alice", plan="gift", next_at=SOON)
    assert bring(ledger, grant("g1", "alice", "5"), charged("alice", "cw.deduct:1"), plan, mine).code == 0
    other = [
        *(grant("g1", "alice", "6"), grant("g2", "ben", "1"), charged("alice", "cw.deduct:1", "6")),
        line("user", id="u1", username="anna"),
    ]
    done = bring(ledger, *other)
    assert (done.code, done.json["ok"]) == (1, False)
    assert sorted((each["line"], each["code"]) for each in done.json["refused"]) == [
        (1, "key_conflict"), (3, "key_conflict")
    ]  # fmt: skip
    assert (done.json["expected"], done.json["booked"]) == ("1", "1")
    taken = bring(ledger, line("user", id="u2", username="Anna"), line("user", id="u3", username="ben"))
    assert [(each["line"], each["code"]) for each in taken.json["refused"]] == [(1, "user_taken")]
    assert counts(taken.json, "user") == (2, 1, 0, 1, 0)
    assert ledger.ok("doctor")["ok"]


def test_a_payment_that_was_credited_here_is_not_credited_again(ledger: Cli) -> None:
    assert bring(ledger, grant("g1", "alice", "5", payment={"provider": "s", "object": "1"})).code == 0
    done = bring(ledger, grant("g2", "alice", "5", payment={"provider": "s", "object": "1"}))
    assert (done.code, counts(done.json, "grant"), done.json["booked"]) == (0, (1, 0, 1, 0, 0), "0")
    other = bring(ledger, grant("g3", "ben", "5", payment={"provider": "s", "object": "1"}))
    assert [each["code"] for each in other.json["refused"]] == ["payment_claimed"]
    assert ledger.ok("balance", "alice")["balance"] == "5"


# Killed, and side by side


def start(*words: str) -> "subprocess.Popen[bytes]":
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([*PROGRAM, "import", "many.jsonl", "--apply", *words], env=env, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)  # fmt: skip


def many(count: int) -> None:
    lines = [grant(f"g{n}", f"user_{n % 900}", "2", expires_at=SOON) for n in range(count)]
    Path("many.jsonl").write_text(written([*lines, *(charged(f"user_{n}", f"v1:{n}") for n in range(300))]))


def test_killed_in_the_middle_it_goes_on_where_it_was(ledger: Cli) -> None:
    many(1_500)
    importing = start("--gentle")
    until = time.monotonic() + 60
    while entries() < 100:
        assert time.monotonic() < until
        time.sleep(0.01)
    importing.send_signal(signal.SIGKILL)
    importing.wait()
    before = entries()
    done = ledger("import", "many.jsonl", "--apply", "--json").json
    read, new, there, *_ = counts(done, "grant")
    assert (read, new + there, done["booked"], done["ok"]) == (1_500, 1_500, "3000", True)
    assert 0 < there < 1_500
    assert before < entries()
    assert ledger.ok("doctor")["ok"]


def test_two_at_the_same_moment_import_each_line_once(ledger: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "PAGE", 50)
    many(600)
    other = start()
    mine = ledger("import", "many.jsonl", "--apply", "--json")
    assert (other.wait(60), mine.code) == (0, 0), mine
    assert ledger.ok("balance", "user_7")["entries"] == 3
    file = sqlite.connect("farthing.db", read_only=True)
    sql = "select count(*), count(distinct key), sum(amount) from entry where kind = 'import' and key is not null"
    assert file.execute(sql).fetchall() == [(600, 600, 1_200_000_000)]
    assert file.execute("select count(*) from kept_key").fetchall() == [(300,)]
    file.close()
    assert ledger.ok("doctor")["ok"]
