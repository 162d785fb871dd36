"""`farthing journal`: what a program could not deliver is shown, sent again, or given up with a reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import farthing
from farthing.client import background
from farthing.client.calls import post
from farthing.client.journal import files, shelf
from farthing.client.journal.keeping import Journal
from farthing.client.journal.lines import Kept, Target, kept_of, lines_of
from farthing.client.journal.opening import target_inside, target_of_server
from farthing.client.results import Charge, Settled
from tests.cli.command import Cli

URL = "sqlite:///farthing.db"


@pytest.fixture
def target(ledger: Cli, tmp_path: Path) -> Target:
    return target_inside(str(tmp_path / "farthing.db"), "main")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(background, "FIRST_SECONDS", 0.02)
    monkeypatch.setenv("FARTHING_JOURNAL", "journal")
    files.make_folder(tmp_path / "journal")
    return tmp_path / "journal"


def kept(target: Target, account: str, amount: str, key: str) -> Kept:
    call = post(Charge, "/v1/charges", {"account": account, "amount": amount, "metadata": {"n": 1}}, key)
    (made,) = kept_of(call, target, "it was away")
    return made


@pytest.fixture
def parked(folder: Path, target: Target) -> Kept:
    """One that was refused."""
    made = kept(target, "alice", "5", "key-parked")
    return shelf.park(folder, made, "account_not_found", "There is no such account.")


@pytest.fixture
def left(folder: Path, target: Target) -> Kept:
    """One in the file of a process that is gone."""
    made = kept(target, "alice", "3", "key-left")
    files.new_file(folder, lines_of([made])).close()
    return made


@pytest.fixture
def alive(folder: Path, target: Target) -> Iterator[Kept]:
    """One in the file of a process that lives: this one."""
    journal = Journal(folder, target)
    made = kept(target, "ben", "2", "key-alive")
    journal.keep([made])
    yield made
    journal.close()


# Looking


def test_an_empty_journal_says_so(ledger: Cli, folder: Path):
    assert ledger.told("journal", "list") == "the journal is empty\n"
    assert ledger.ok("journal", "list") == {"parked": [], "waiting": [], "damaged": []}


def test_parked_and_waiting_are_listed_apart_with_reasons(ledger: Cli, parked: Kept, left: Kept, alive: Kept):
    text = ledger.told("journal", "list")
    first, second = text.split("\n\n")
    assert first.startswith("PARKED")
    assert "There is no such account." in first
    assert "key-parked" in first
    assert second.startswith("WAITING")
    assert [name in second for name in ("key-left", "key-alive", "it was away")] == [True] * 3
    data = ledger.ok("journal", "list")
    (one,) = data["parked"]
    assert (one["key"], one["what"], one["for"], one["amount"]) == ("key-parked", "charge", "alice", "5")
    assert (one["code"], one["reason"]) == ("account_not_found", "There is no such account.")
    assert one["request"]["shortfall"] == "debt"
    assert {each["key"]: each["process_lives"] for each in data["waiting"]} == {"key-left": False, "key-alive": True}


def test_a_settle_is_listed_by_its_hold(ledger: Cli, folder: Path, target: Target):
    call = post(Settled, "/v1/holds/{id}/settle", {"amount": None}, "k", id="hold_1")
    shelf.park(folder, kept_of(call, target, "")[0], "hold_ended", "It has ended.")
    (one,) = ledger.ok("journal", "list")["parked"]
    assert (one["what"], one["for"], one["amount"]) == ("settle", "hold_1", None)


def test_what_is_damaged_is_told_of(ledger: Cli, folder: Path, parked: Kept):
    (folder / "1.damaged").write_bytes(b"x")
    (folder / "parked" / f"{parked.id}.json").write_bytes(b"not a line\n")
    done = ledger("journal", "list")
    assert "1.damaged has something that can't be read" in done.err
    assert len(ledger.ok("journal", "list")["damaged"]) == 2


@pytest.mark.parametrize("words", [["list"], ["retry", "--url", URL], ["drop", "k", "--reason", "x", "--yes"]])
def test_a_journal_has_to_be_named_and_to_be_there(ledger: Cli, words: list[str]):
    assert ledger.fails("journal", *words)[:2] == (2, "usage")
    assert ledger.fails("journal", *words, "--journal", "nowhere")[:2] == (1, "journal_missing")


# Sending again


def test_what_is_parked_and_what_was_left_is_sent_and_charged_once(ledger: Cli, parked: Kept, left: Kept):
    ledger.ok("grant", "alice", "100")
    assert ledger.ok("journal", "retry", "--url", URL) == {"delivered": 2, "refused": 0, "waiting": 0, "parked": 0}
    assert ledger.told("journal", "retry", "--url", URL) == "0 delivered, 0 refused; 0 wait and 0 are parked\n"
    assert ledger.ok("balance", "alice")["balance"] == "92"
    with farthing.connect(URL) as client:
        assert client.charge("alice", 5, key="key-parked").replayed is True


def test_what_is_refused_once_more_stays_parked_and_ends_with_one(ledger: Cli, parked: Kept, left: Kept):
    done = ledger("journal", "retry", "--url", URL)
    assert done.code == 1
    assert "key-parked: There is no such account." in done.err
    assert "0 delivered, 2 refused; 0 wait and 2 are parked" in done.out


def test_one_may_be_chosen(ledger: Cli, folder: Path, target: Target, parked: Kept):
    ledger.ok("grant", "alice", "100")
    shelf.park(folder, kept(target, "alice", "7", "key-other"), "frozen", "x")
    assert ledger.ok("journal", "retry", "key-other", "--url", URL)["delivered"] == 1
    assert ledger.ok("balance", "alice")["balance"] == "93"
    assert ledger.fails("journal", "retry", "key-other", "--url", URL)[1] == "not_parked"


def test_what_was_meant_for_another_ledger_is_not_sent(ledger: Cli, folder: Path):
    ledger.ok("grant", "alice", "100")
    elsewhere = target_of_server("https://credits.example.com", "cs_live_x", None)
    shelf.park(folder, kept(elsewhere, "alice", "7", "key-other"), "frozen", "x")
    assert ledger.ok("journal", "retry", "--url", URL) == {"delivered": 0, "refused": 0, "waiting": 0, "parked": 1}


def test_a_ledger_has_to_be_named_and_the_sentence_says_which_are_meant(ledger: Cli, parked: Kept, tmp_path: Path):
    code, name, message = ledger.fails("journal", "retry")
    assert (code, name) == (2, "usage")
    assert f"for {tmp_path / 'farthing.db'}" in message


def test_a_ledger_that_can_not_be_reached_leaves_all_as_it_is(
    ledger: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FARTHING_API_KEY", "cs_live_x")
    url = "http://127.0.0.1:9"
    shelf.park(folder, kept(target_of_server(url, "cs_live_x", None), "alice", "7", "k"), "frozen", "x")
    assert ledger.fails("journal", "retry", "--url", url)[:2] == (4, "unreachable")
    assert len(ledger.ok("journal", "list")["parked"]) == 1
    assert ledger.fails("journal", "retry", "--url", "sqlite:///nowhere.db")[:2] == (3, "connect")


# Giving up


def test_what_is_dropped_is_gone_from_the_list_and_kept_aside(ledger: Cli, folder: Path, parked: Kept, left: Kept):
    for each in (parked, left):
        told = ledger.ok("journal", "drop", each.key, "--reason", "a test account", "--yes")
        assert (told["key"], told["dropped_reason"]) == (each.key, "a test account")
        assert told["dropped_by"].startswith("cli:")
    assert ledger.ok("journal", "list")["parked"] == ledger.ok("journal", "list")["waiting"] == []
    assert sorted(path.stem for path in (folder / "dropped").iterdir()) == sorted([parked.id, left.id])


def test_dropping_asks_and_wants_a_reason(ledger: Cli, parked: Kept):
    code, name, message = ledger.fails("journal", "drop", parked.key, "--reason", "x")
    assert (code, name) == (1, "confirmation_needed")
    assert "Give up the charge of 5 for alice" in message
    assert ledger("journal", "drop", parked.key, "--yes").code == 2
    assert ledger.fails("journal", "drop", parked.key, "--reason", " ", "--yes")[1] == "invalid"
    assert len(ledger.ok("journal", "list")["parked"]) == 1


def test_what_a_living_program_keeps_is_not_taken_from_it(ledger: Cli, alive: Kept):
    assert ledger.fails("journal", "drop", alive.key, "--reason", "x", "--yes")[1] == "in_use"
    assert ledger.ok("journal", "retry", "--url", URL)["waiting"] == 1


def test_several_of_a_key_are_told_apart_by_id(ledger: Cli, folder: Path, target: Target, parked: Kept):
    other = shelf.park(folder, kept(target, "ben", "5", parked.key), "frozen", "x")
    code, name, message = ledger.fails("journal", "drop", parked.key, "--reason", "x", "--yes")
    assert (code, name) == (2, "several")
    assert other.id in message
    ledger.ok("journal", "drop", other.id, "--reason", "x", "--yes")
    assert [each["for"] for each in ledger.ok("journal", "list")["parked"]] == ["alice"]
    assert ledger.fails("journal", "drop", "nothing", "--reason", "x", "--yes")[1] == "not_found"
