"""The form that all commands share: help with examples, --json, exit codes, quick starts; tables that are total."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from msgspec.structs import fields

import farthing.cli
from farthing import __version__
from farthing.cli.exits import MEANING, Exit
from farthing.cli.output import Answer, clean, columns, many, progress
from farthing.cli.refusals import SENTENCES, refused, sentence
from farthing.cli.root import app, wants_json
from farthing.cli.settings import MEANING as SETTINGS
from farthing.core.outcomes import Refusal, Refused
from farthing.core.records import WorkspaceSettings
from farthing.settings import Settings
from tests.cli.command import PROGRAM, Cli

ROOT = typer.main.get_command(app)


def commands(command: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with its words."""
    for name, each in getattr(command, "commands", {}).items():
        if hasattr(each, "commands"):
            yield from commands(each, (*path, name))
        else:
            yield (*path, name), each


COMMANDS = dict(commands())
NAMES = [" ".join(path) for path in COMMANDS]


def options(path: tuple[str, ...]) -> set[str]:
    return {word for param in COMMANDS[path].params for word in param.opts if word.startswith("-")}


def test_the_commands_are_those_that_were_promised():
    assert set(NAMES) == {
        *("init", "serve", "demo", "migrate", "grant", "grant-many", "charge", "balance", "ledger", "statement"),
        *("workspace create", "workspace list", "workspace show", "clock accept"),
        *("worker", "events", "listen", "jobs list", "jobs run", "jobs retry"),
        *(f"webhooks {name}" for name in ("create", "list", "show", "update", "rotate", "test", "deliveries")),
        *("webhooks redeliver", "webhooks delete"),
        *("settings list", "settings get", "settings set"),
        *("keys create", "keys list", "keys revoke", "keys rotate", "keys import"),
        *("issuers add", "issuers list", "issuers remove", "audit"),
        *(f"users {name}" for name in ("create", "list", "show", "role", "password", "remove", "sessions", "logout")),
        *(
            "price",
            "quote",
            "estimate",
            "prices sync",
            "prices init",
            "prices search",
            "prices show",
            "prices set",
            "prices unset",
        ),
        *(f"prices card {name}" for name in ("list", "show", "check", "put", "history", "withdraw")),
        *(f"prices quarantine {name}" for name in ("list", "activate", "refuse")),
        *("explain", "usage list", "usage stats", "usage export", "prices backtest", "usage import", "usage reconcile"),
        *(f"reports {name}" for name in ("revenue", "models", "accounts", "spend")),
        *("doctor", "rebuild", "backup", "restore", "copy", "import"),
        *(*(f"retention {name}" for name in ("run", "status", "verify", "show")), "accounts erase"),
        *(f"plans {name}" for name in ("list", "show", "put", "import", "archive")),
        *(f"products {name}" for name in ("list", "show", "put", "import", "export", "archive")),
        *("buy", "orders list", "orders show", "orders claim"),
        *(f"providers {name}" for name in ("set digistore24", "set stripe", "list", "show", "remove")),
        *(f"payments {name}" for name in ("list", "show", "unmatched", "assign", "retry", "reconcile")),
        *(f"payments {name}" for name in ("methods", "prefer", "forget", "charges", "release")),
        *(f"top-ups {name}" for name in ("show", "set", "off", "attempts", "check", "paused", "resume")),
        *(
            "subscribe",
            "unsubscribe",
            "renew",
            "simulate",
            *(f"subscriptions {name}" for name in ("list", "show", "change", "resume")),
        ),
        *("journal list", "journal retry", "journal drop"),
        *("fakes digistore24", "fakes models", "fakes stripe"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_help_has_a_sentence_and_examples_that_call_the_command(cli: Cli, name: str):
    text = cli.told(*name.split(), "--help")
    assert f"Usage: farthing {name}" in text
    examples = re.findall(r"farthing [^\n]*", text.partition("Examples:")[2])
    assert examples
    assert all(each.startswith(f"farthing {name}") for each in examples), examples


@pytest.mark.parametrize("name", NAMES)
def test_every_command_takes_database_and_json(name: str):
    # What prices offline has no database, what copies one has two; a journal is a folder, for a server as well; an
    # archive is files; who plays a provider knows of no ledger.
    other = {
        "fakes digistore24": set(),
        "fakes models": set(),
        "fakes stripe": set(),
        "copy": {"--from", "--to"},
        "price": set(),
        "retention verify": set(),
        "retention show": set(),
        "journal list": {"--journal"},
        "journal retry": {"--journal", "--url"},
        "journal drop": {"--journal"},
    }
    database = other.get(name, {"--db"})
    assert {*database, "--json"} <= options(tuple(name.split()))


@pytest.mark.parametrize("name", NAMES)
def test_every_option_and_argument_is_explained(name: str):
    assert [param.name for param in COMMANDS[tuple(name.split())].params if not getattr(param, "help", None)] == []


@pytest.mark.parametrize("name", ["revoke", "rebuild", "restore", "withdraw", "drop"])
def test_what_destroys_can_be_confirmed_beforehand(name: str):
    path = next(path for path in COMMANDS if path[-1] == name)
    assert "--yes" in options(path)


def test_help_and_version(cli: Cli):
    assert cli.told() == cli.told("--help") == cli.told("-h")
    assert cli.told("--version") == f"{__version__}\n"


# Exit codes


def test_exit_codes_are_told_in_help_and_at_the_top_of_the_package(cli: Cli):
    text = cli.told("--help")
    told = farthing.cli.__doc__ or ""
    assert set(MEANING) == set(Exit)
    for code, meaning in MEANING.items():
        assert f"{code:d}  {meaning}" in text
        assert f"{code:d}  {meaning}" in told


def test_one_is_told_in_the_singular():
    assert [many(count, "account") for count in (0, 1, 2_000)] == ["0 accounts", "1 account", "2,000 accounts"]
    assert [many(count, "entry", "entries") for count in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("words", "code"), [(["--version"], 0), (["balance", "alice"], 3), (["nope"], 2), (["migrate", "--check"], 3)]
)
def test_the_program_ends_with_the_exit_code(words: list[str], code: int, tmp_path: Any):
    assert subprocess.run([*PROGRAM, *words], cwd=tmp_path, capture_output=True, timeout=60).returncode == code


# JSON


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["balance", "a", "--json"], True),
        (["--json"], True),
        (["balance", "a"], False),
        (["balance", "--", "--json"], False),
        (["balance", "--json", "--", "--json"], True),
    ],
)
def test_json_is_seen_before_the_line_is_understood(words: list[str], wanted: bool):
    assert wants_json(words) is wanted


def test_output_is_json_and_nothing_else_or_text_and_no_json(funded: Cli):
    calls = [
        *(["grant", "alice", "1"], ["charge", "alice", "1"], ["balance", "alice"], ["ledger", "alice"]),
        *(["workspace", "list"], ["workspace", "show"], ["settings", "list"], ["settings", "get", "rate_limit"]),
        *(["settings", "set", "rate_limit", "0"], ["keys", "create"], ["keys", "list"]),
        *(["migrate"], ["migrate", "--check"]),
        *(["prices", "card", "list"], ["prices", "quarantine", "list"]),
    ]
    for words in calls:
        object, text = funded(*words, "--json"), funded(*words)
        assert (object.code, text.code) == (0, 0)
        assert object.json
        assert object.err == ""
        assert text.out.strip()
        assert not text.out.startswith("{")


def test_whoever_reads_only_the_beginning_hears_no_complaint(funded: Cli):
    for _ in range(3):
        funded.ok("charge", "alice", "1")
    listing = subprocess.Popen([*PROGRAM, "ledger", "alice", "--all"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert listing.stdout is not None
    listing.stdout.close()
    assert listing.stderr is not None
    assert listing.stderr.read() == b""
    listing.stderr.close()
    assert listing.wait(60) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["grant", "alice", "1", "--key", "k", "--json"], 5, "it was carried out, but the answer can't be written"),
        (["balance", "nobody", "--json"], 1, "there is no account nobody"),
        (["ledger", "alice", "--all"], 4, "No space left on device"),
    ],
)
def test_a_full_disk_under_standard_output_is_no_traceback(funded: Cli, words: list[str], code: int, said: str):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == code
    assert done.stderr.startswith("farthing: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_terminal_without_umlauts_gets_escapes(funded: Cli):
    funded.ok("grant", "Zoë", "1")
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*PROGRAM, "balance", "Zoë"], env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Zo\\xeb" in done.stdout


# Tables


def test_every_refusal_has_a_sentence():
    assert set(SENTENCES) == set(Refusal)


@pytest.mark.parametrize("code", [code for code in Refusal if code is not Refusal.INVALID])
def test_a_refusal_fills_its_sentence_from_its_facts(code: Refusal):
    names = set(re.findall(r"{(\w+)}", SENTENCES[code])) - {"unit"}
    facts: dict[str, Any] = dict.fromkeys(names, 5_000_000)
    if code is Refusal.KEY_CONFLICT:
        facts = {"key": "cli:k", "differs": ["amount"]}
    trouble = refused(Refused(code, facts), "USD", 6)
    assert "{" not in trouble.message
    assert (trouble.code, trouble.exit) == (code, Exit.NO)


def test_amounts_in_refusals_are_decimal_text_and_counts_are_not():
    facts = {"required": 1_500_000, "available": 1, "deficit": 1_499_999}
    assert refused(Refused(Refusal.INSUFFICIENT_CREDITS, facts), "credits", 6).facts == {
        "required": "1.5",
        "available": "0.000001",
        "deficit": "1.499999",
    }
    assert refused(Refused(Refusal.TOO_MANY_GRANTS, {"limit": 1_000}), "credits", 6).facts == {"limit": 1_000}
    assert refused(Refused(Refusal.BALANCE_LIMIT, {"limit": 10**18}), "credits", 6).facts == {"limit": str(10**12)}
    assert sentence(Refusal.KEY_CONFLICT, {"differs": ["amount", "source"]}).count("amount, source") == 1


def test_every_setting_of_a_workspace_can_be_set():
    assert set(SETTINGS) == {field.name for field in fields(WorkspaceSettings)}


def test_every_setting_of_a_process_is_an_option_of_serve():
    named = {"database_url": "db", "body_limit": "max-body"}
    # There is a password in it, which no command line may have.
    secret = {"--smtp-url"}
    wanted = {f"--{named.get(f.name, f.name.replace('_', '-'))}" for f in fields(Settings)} - secret
    assert wanted <= options(("serve",))
    assert not secret & options(("serve",))


# Text


def test_columns_line_up_and_cut_nothing():
    rows = [("A", "LONG NAME"), ("x" * 200, "1"), ("y", "22")]
    lines = columns(rows, right=(1,)).splitlines()
    assert [len(line) for line in lines] == [211, 211, 211]
    assert lines[1].startswith("x" * 200)


def test_control_characters_are_shown_and_lines_kept():
    assert clean("a\x1b[2Jb\rc\nd\x85é") == "a\\x1b[2Jb\\rc\nd\\x85é"


def test_progress_is_told_now_and_then_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ticks = iter([0.0, 1.0, 2.5, 3.0, 5.0])
    monkeypatch.setattr("farthing.cli.output.time.monotonic", lambda: next(ticks))
    with progress("accounts") as told:
        for done in range(1, 5):
            told(done * 1_000, 4_000 if done > 2 else None)
    told_lines = capsys.readouterr()
    assert told_lines.out == ""
    assert told_lines.err.splitlines() == ["farthing: accounts: 2,000", "farthing: accounts: 4,000 of 4,000"]


def test_an_answer_is_good_unless_it_says_otherwise():
    assert Answer({}, "").exit is Exit.OK


# Start-up


@pytest.mark.parametrize("words", [["balance", "alice"], ["grant", "alice", "1"], ["keys", "list"], ["--version"]])
def test_short_commands_import_no_server(funded: Cli, words: list[str]):
    heavy = ("uvicorn", "uvloop", "starlette", "structlog", "prometheus_client", "farthing.serving", "farthing.doctor")
    script = (
        f"import sys\nfrom farthing.cli.root import run\nassert run({words!r}) == 0\n"
        f"print(set(sys.modules) & set({heavy!r}) or 'light', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "light\n")


# On a terminal


def on_terminal(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output (a pipe) and standard error (a terminal)."""
    ours, theirs = os.openpty()
    with open(ours, "rb", buffering=0) as screen:
        done = subprocess.run([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=theirs, timeout=60)
        os.close(theirs)
        shown = b""
        try:
            while read := screen.read(65_536):
                shown += read
        except OSError:  # the other end has closed
            pass
    return done.returncode, done.stdout.decode(), shown.decode()


def test_a_progress_bar_stays_out_of_the_answer(funded: Cli):
    code, out, shown = on_terminal("ledger", "alice", "--all", "--json")
    assert code == 0
    assert [json.loads(line)["number"] for line in out.splitlines()] == [2, 1]
    assert "entries written" in shown
    code, out, shown = on_terminal("doctor", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)
    assert "payments" in shown
