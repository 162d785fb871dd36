"""Bad input: every one gets its exit code, its code and a sentence in both forms, and changes nothing."""

import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farthing.cli.exits import Exit, Trouble, explain
from farthing.cli.root import run
from farthing.engine import ClockJumped, Crashed, QueueFull, ShuttingDown
from farthing.stores.contract import Busy, NotADatabase, ReadOnly, StorageFull, Unavailable, Unknown
from tests.cli.command import Cli

LONG = "x" * 256


def nothing_happened(cli: Cli) -> None:
    assert cli.ok("balance", "alice")["entries"] == 2
    assert cli.ok("balance", "alice")["balance"] == "100"


@pytest.mark.parametrize("command", ["grant", "charge"])
@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("-1", "must be above zero"),
        ("-0.5", "must be above zero"),
        ("0", "must be above zero"),
        ("0.000000", "must be above zero"),
        ("-0", "must be above zero"),
        ("1e3", "must be a decimal number"),
        ("NaN", "must be a decimal number"),
        ("Infinity", "must be a decimal number"),
        ("1.0000001", "at most 6 decimals"),
        ("1,5", "must be a decimal number"),
        ("+1", "must be a decimal number"),
        (" 1", "must be a decimal number"),
        ("1 ", "must be a decimal number"),
        ("1_000", "must be a decimal number"),
        ("0x10", "must be a decimal number"),
        (".5", "must be a decimal number"),
        ("5.", "must be a decimal number"),
        ("\u0661", "must be a decimal number"),
        ("", "must be a decimal number"),
        ("abc", "must be a decimal number"),
        ("1000000000", "is too large"),
        ("9223372036854775808", "is too large"),
        ("9" * 400, "is too large"),
        ("9" * 100_000, "must be a decimal number"),
    ],
)
def test_an_amount_that_is_none(funded: Cli, command: str, amount: str, said: str):
    code, name, sentence = funded.fails(command, "alice", amount)
    assert (code, name) == (2, "invalid")
    assert sentence.startswith("amount ")
    assert said in sentence
    assert len(sentence) < 250
    nothing_happened(funded)


def test_a_negative_amount_behind_two_dashes_is_as_bad(funded: Cli):
    assert funded("charge", "--json", "--", "alice", "-1").json["error"]["field"] == "amount"
    assert funded("charge", "alice", "--", "-1").code == 2
    nothing_happened(funded)


@pytest.mark.parametrize(
    "text",
    [
        *("30", "d", "30 d", "-1d", "1.5d", "30days", "0", "", "tomorrow", "1y", "9999999999d", "999999999w"),
        *("2020-13-01", "2999-02-30", "2999-1-1", "29990101", "2999-W01-1", "10000-01-01"),
        *("2999-01-01T00:00:00", "2999-01-01T25:00:00Z", "2999-01-01 00:00"),
    ],
)
def test_an_expiry_that_is_none(funded: Cli, text: str):
    code, name, sentence = funded.fails("grant", "alice", "1", f"--expires={text}")
    assert (code, name) == (2, "invalid")
    assert sentence.startswith("expires ")
    nothing_happened(funded)


@pytest.mark.parametrize("text", ["0d", "2001-01-01", "1970-01-01T00:00:01Z"])
def test_an_expiry_that_has_passed(funded: Cli, text: str):
    code, _, sentence = funded.fails("grant", "alice", "1", "--expires", text)
    assert (code, sentence) == (2, "expires_at must be in the future")
    nothing_happened(funded)


@pytest.mark.parametrize("command", [["grant", "{}", "1"], ["charge", "{}", "1"], ["balance", "{}"], ["ledger", "{}"]])
@pytest.mark.parametrize(
    "account", ["", "a\x00b", "a\nb", "\x1b[31mred", "\x7f", "\x85", LONG, "x" * 10_000, "\udcff", "é" * 128]
)
def test_an_account_that_can_not_be_one(funded: Cli, command: list[str], account: str):
    code, name, sentence = funded.fails(*(word.format(account) for word in command))
    assert (code, name) == (2, "invalid")
    assert sentence.startswith("account must")
    nothing_happened(funded)


@pytest.mark.parametrize("account", ["x" * 255, "é" * 127, "a b", "user:42/main", "名前", "--", "-1"])
def test_an_account_that_looks_odd_and_is_fine(ledger: Cli, account: str):
    assert ledger("grant", "--json", "--", account, "1").json["account"] == account
    assert ledger("balance", "--json", "--", account).json["balance"] == "1"


@pytest.mark.parametrize("command", ["grant", "charge"])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--key", ""),
        ("--key", "a\nb"),
        ("--key", LONG),
        ("--description", "x" * 1_001),
        ("--description", "\udcff"),
        ("--metadata", '{"a": "\udcff"}'),
        ("--metadata", "{"),
        ("--metadata", "[1]"),
        ("--metadata", "null"),
        ("--metadata", '"text"'),
        ("--metadata", ""),
        ("--metadata", '{"a": NaN}'),
        ("--metadata", '{"a": "' + "x" * 17_000 + '"}'),
        ("--metadata", '{"a":' * 33 + "1" + "}" * 33),
        ("--metadata", '{"a":' * 100_000 + "1" + "}" * 100_000),
    ],
)
def test_words_that_can_not_be_kept(funded: Cli, command: str, option: str, value: str):
    code, name, sentence = funded.fails(command, "alice", "1", option, value)
    assert (code, name) == (2, "invalid")
    assert sentence.startswith(option.removeprefix("--"))
    assert len(sentence) < 250
    nothing_happened(funded)


@pytest.mark.parametrize(
    "words",
    [
        ["charge", "alice", "1", "--operation", "a\nb"],
        ["charge", "alice", "1", "--operation", LONG],
        ["grant", "alice", "1", "--priority", "101"],
        ["grant", "alice", "1", "--priority", "-1"],
        ["grant", "alice", "1", "--priority", "high"],
        ["grant", "alice", "1", "--category", "free"],
        ["grant", "alice", "1", "--scope", ""],
        ["grant", "alice", "1", *["--scope", "x"] * 21],
        ["grant", "alice"],
        ["grant"],
        ["grant", "alice", "1", "2"],
        ["charge", "alice", "1", "--nope"],
        ["ledger", "alice", "--limit", "0"],
        ["ledger", "alice", "--limit", "501"],
        ["ledger", "alice", "--cursor", "0"],
        ["ledger", "alice", "--cursor", "x"],
        ["serve", "--port", "65536"],
        ["serve", "--port", "x"],
        ["serve", "--rate-limit", "-1"],
        ["serve", "--max-body", "0"],
        ["serve", "--engine", "steam"],
        ["serve", "--log-level", "loud"],
        ["nope"],
        ["keys", "nope"],
        ["--nope"],
    ],
)
def test_a_line_that_can_not_be_understood(funded: Cli, words: list[str]):
    assert funded.fails(*words)[0] == 2
    nothing_happened(funded)


def test_a_typing_error_is_answered_with_what_was_meant(cli: Cli):
    assert "Did you mean 'balance'" in cli.fails("balence", "alice")[2]
    assert "`farthing grant --help`" in cli.fails("grant")[2]


def test_a_group_without_command_says_so(cli: Cli):
    done = cli("keys")
    assert (done.code, done.out) == (2, "")
    assert "Missing command. See `farthing keys --help`." in done.err


def test_a_setting_of_the_environment_that_is_none(ledger: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FARTHING_PORT", "here")
    code, name, sentence = ledger.fails("serve")
    assert (code, name) == (2, "settings")
    assert "FARTHING_PORT" in sentence
    # Commands that don't serve have no use for it.
    assert ledger("keys", "list").code == 0


# Files that can't be written


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere: act as nobody, for as long as it takes."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def reachable(funded: Cli) -> Iterator[Path]:
    """A folder that everybody may enter, with a copy of the ledger that nobody may write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy("farthing.db", folder)
        (folder / "farthing.db").chmod(0o444)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


def test_a_read_only_file_is_named_and_left_alone(funded: Cli, reachable: Path):
    path = reachable / "farthing.db"
    before = path.read_bytes()
    url = f"sqlite:///{path}"
    importlib.import_module("farthing.serving")  # while it may be read
    with unprivileged():
        for words in (["charge", "alice", "1"], ["grant", "alice", "1"], ["balance", "alice"], ["serve"]):
            code, name, sentence = funded.fails(*words, "--db", url)
            assert (code, name) == (3, "read_only"), sentence
            assert "permissions" in sentence
        code, name, sentence = funded.fails("init", "--db", f"sqlite:///{reachable}/new.db")
        assert (code, name) == (3, "file")
        assert "new.db" in sentence
    assert path.read_bytes() == before
    assert sorted(each.name for each in reachable.iterdir()) == ["farthing.db"]


# The machine


@pytest.mark.parametrize(
    ("error", "code", "exit"),
    [
        (Busy("locked"), "busy", 4),
        (Unavailable("an error"), "unavailable", 4),
        (StorageFull("full"), "storage_full", 4),
        (QueueFull("full"), "queue_full", 4),
        (ShuttingDown("down"), "shutting_down", 4),
        (ClockJumped("jumped"), "clock_jumped", 4),
        (ReadOnly("read-only"), "read_only", 3),
        (NotADatabase("none"), "not_a_database", 3),
        (Unknown("no answer"), "unknown_outcome", 5),
        (Crashed("a bug"), "internal_error", 70),
        (OSError(28, "No space left on device", "x.db"), "storage_full", 4),
        (PermissionError(13, "Permission denied", "x.db"), "file", 3),
        (ZeroDivisionError("division by zero"), "internal_error", 70),
        (Trouble("own", "word", Exit.NO), "own", 1),
    ],
)
def test_each_failure_of_the_machine_has_its_exit_code(error: Exception, code: str, exit: int):
    trouble = explain(error)
    assert (trouble.code, int(trouble.exit)) == (code, exit)
    assert (
        str(error.args[-1]) in trouble.message or "No space left" in trouble.message or trouble.code in ("file", "own")
    )


def test_a_bug_is_a_sentence_and_its_traceback_comes_on_request(
    ledger: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("farthing.cli.keys.key_facts", lambda *_: 1 // 0)
    code, name, sentence = ledger.fails("keys", "list")
    assert (code, name) == (70, "internal_error")
    assert "ZeroDivisionError" in sentence
    assert "FARTHING_TRACEBACK=1" in sentence
    monkeypatch.setenv("FARTHING_TRACEBACK", "1")
    assert run(["keys", "list"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_an_unknown_outcome_says_so(funded: Cli, monkeypatch: pytest.MonkeyPatch):
    def lost(*_: object, **__: object) -> object:
        raise Unknown("no answer in time; the same key finds out what became of it")

    monkeypatch.setattr("farthing.app.Ledger.do", lost)
    code, name, sentence = funded.fails("charge", "alice", "1", "--key", "k")
    assert (code, name) == (5, "unknown_outcome")
    assert "the same key finds out" in sentence


def test_an_interruption_while_charging_is_an_unknown_outcome(funded: Cli, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("farthing.app.Ledger.do", interrupted)
        assert funded.fails("charge", "alice", "1", "--key", "k")[:2] == (5, "unknown_outcome")
    with monkeypatch.context() as patch:
        patch.setattr("farthing.cli.keys.key_facts", interrupted)
        assert funded.fails("keys", "list")[:2] == (130, "interrupted")
