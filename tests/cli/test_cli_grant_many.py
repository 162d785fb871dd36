"""`grant-many`: a result for each account, going on after a refusal, and nobody twice."""

import json
from pathlib import Path

import pytest

from tests.cli.command import Cli


def results(out: str) -> list[tuple[str, str, bool | None]]:
    found = [json.loads(line) for line in out.splitlines()]
    return [(each["account"], each["status"], each.get("replayed")) for each in found]


def test_a_file_of_accounts_gets_each_its_amount_or_that_for_all(ledger: Cli) -> None:
    Path("winners.csv").write_text('alice,7.5\n\n"ben, the second"\ncleo, 2\n')
    done = ledger("grant-many", "winners.csv", "--amount", "5", "--batch", "contest", "--category", "promotional")
    assert (done.code, done.out) == (0, "3 of 3 accounts have their grant; 0 were refused\n")
    found = [ledger.ok("balance", account)["balance"] for account in ("alice", "ben, the second", "cleo")]
    assert found == ["7.5", "5", "2"]


def test_run_again_it_gives_nobody_twice(ledger: Cli) -> None:
    words = ("grant-many", "-", "--amount", "5", "--batch", "spring", "--expires", "2099-01-01", "--json")
    assert results(ledger(*words, input="alice\nben\n").out) == [("alice", "granted", False), ("ben", "granted", False)]
    assert results(ledger(*words, input="alice\nben\ncleo\n").out) == [
        ("alice", "granted", True), ("ben", "granted", True), ("cleo", "granted", False)
    ]  # fmt: skip
    assert ledger.ok("balance", "alice")["balance"] == "5"
    ledger("grant-many", "-", "--amount", "5", "--batch", "autumn", input="alice\n")
    assert ledger.ok("balance", "alice")["balance"] == "10"


def test_it_goes_on_after_a_refusal_and_ends_with_1(ledger: Cli) -> None:
    ledger("grant-many", "-", "--batch", "b", input="ben,5\n")
    done = ledger("grant-many", "-", "--batch", "b", "--json", input="alice,1\nben,6\ncleo,1\n")
    assert done.code == 1
    assert [status for _, status, _ in results(done.out)] == ["granted", "refused", "granted"]
    assert json.loads(done.out.splitlines()[1])["error"]["code"] == "key_conflict"
    told = ledger("grant-many", "-", "--batch", "b", input="alice,1\nben,6\n")
    assert "ben: this key was used for something else (amount differs)" in told.err
    assert told.out == "1 of 2 accounts have their grant; 1 were refused\n"


@pytest.mark.parametrize(
    ("lines", "more", "said"),
    [
        ("alice,5\nben", (), "line 2 has no amount"),
        ("alice,5\nben,five", (), "line 2: amount"),
        ("alice,5\nben,0.0000001", (), "line 2: amount"),
        ("alice,5\n,5", (), "line 2 must be an account"),
        ("alice,5\nben,5,6", (), "line 2 must be an account"),
        ('alice,5\n"ben,5', (), "FILE is no CSV"),
        ("alice,5", ("--expires", "30d"), "expires"),
        ("alice,5", ("--batch", "ä"), "batch must be"),
        ("alice,5", ("--batch", "x" * 255), "batch must be"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_is_given_anything(
    ledger: Cli, lines: str, more: tuple[str, ...], said: str
) -> None:
    done = ledger("grant-many", "-", "--batch", "b", *more, input=lines)
    assert done.code == 2
    assert said in done.err
    assert ledger("balance", "alice").code == 1


def test_a_file_that_is_not_there_is_a_mistake_of_the_line(ledger: Cli) -> None:
    done = ledger("grant-many", "nothing.csv", "--batch", "b")
    assert (done.code, "FILE can't be read" in done.err) == (2, True)
