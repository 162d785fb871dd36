"""`keys create|list|revoke|rotate|import`: secrets are shown once, never asked for on the command line."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from farthing.app import open_ledger
from farthing.core.credentials import hash_key
from farthing.identity.keys import make_key
from farthing.stores.contract import result_of
from tests.cli.command import URL, Cli
from tests.support import is_live

LEGACY = "cs_old-Key.of/somebody+else~1234"


def credential(key: str) -> Any:
    with open_ledger(URL) as opened:
        return result_of(opened.access.credential(hash_key(key)))


def live(key: str) -> bool:
    found = credential(key)
    return found is not None and is_live(found, int(datetime.now(UTC).timestamp() * 1_000_000))


def test_a_key_is_created_and_shown_once(ledger: Cli):
    made = ledger.ok("keys", "create", "--name", "chat", "--scopes", "read,charge", "--expires", "90d")
    found = credential(made["api_key"])
    assert (found.key_id, found.scopes) == (made["id"], {"read", "charge"})
    ends = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89, hours=23) < ends <= timedelta(days=90)
    listed = ledger.ok("keys", "list")["data"][-1]
    assert (listed["id"], listed["name"], listed["state"], listed["scopes"]) == (
        made["id"],
        "chat",
        "live",
        ["charge", "read"],
    )
    assert listed["hint"] == made["api_key"][-4:]
    assert made["api_key"] not in str(ledger.ok("keys", "list"))
    assert "cs_live_" in ledger.told("keys", "create")


def test_without_scopes_a_key_reads_and_charges(ledger: Cli):
    assert ledger.ok("keys", "create")["scopes"] == ["charge", "read"]


@pytest.mark.parametrize(
    "options",
    [["--scopes", "everything"], ["--scopes", ""], ["--expires", "1999-01-01"], ["--expires", "soon"], ["--name", " "]],
)
def test_a_bad_key_is_not_made(ledger: Cli, options: list[str]):
    assert ledger.fails("keys", "create", *options)[0] == 2
    assert len(ledger.ok("keys", "list")["data"]) == 1


def test_a_revoked_key_is_dead_and_stays_in_the_list(ledger: Cli):
    made = ledger.ok("keys", "create")
    assert ledger.ok("keys", "revoke", made["id"], "--yes")["state"] == "revoked"
    assert not live(made["api_key"])
    assert ledger.ok("keys", "list")["data"][-1]["state"] == "revoked"
    assert "was revoked before" in ledger.told("keys", "revoke", made["id"])


def test_revoking_asks_first(ledger: Cli):
    made = ledger.ok("keys", "create")
    code, name, sentence = ledger.fails("keys", "revoke", made["id"])
    assert (code, name) == (1, "confirmation_needed")
    assert "--yes" in sentence
    assert live(made["api_key"])


@pytest.mark.parametrize(
    ("answer", "dead"), [("y\n", True), ("Yes\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_on_a_terminal_the_answer_counts(ledger: Cli, answer: str, dead: bool):
    made = ledger.ok("keys", "create")
    done = ledger("keys", "revoke", made["id"], input=answer, typed=True)
    assert f"Revoke the key {made['id']}" in done.err
    assert done.code == (0 if dead else 1)
    assert live(made["api_key"]) is not dead


def test_a_key_of_another_workspace_is_not_found(ledger: Cli):
    ledger.ok("workspace", "create", "shop")
    made = ledger.ok("keys", "create", "-w", "shop")
    for words in (["revoke", made["id"], "--yes"], ["rotate", made["id"]]):
        assert ledger.fails("keys", *words, "-w", "main")[:2] == (1, "key_not_found")
    assert live(made["api_key"])


# Rotation


def test_rotation_leaves_the_old_key_alive_for_the_overlap(ledger: Cli):
    old = ledger.ok("keys", "create", "--name", "chat", "--scopes", "read")
    new = ledger.ok("keys", "rotate", old["id"], "--overlap", "12h")
    assert (new["replaces"], new["name"], new["scopes"]) == (old["id"], "chat", ["read"])
    assert live(old["api_key"])
    assert live(new["api_key"])
    left = datetime.fromisoformat(new["old_key_ends_at"]) - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)


def test_rotation_without_overlap_ends_the_old_key_now(ledger: Cli):
    old = ledger.ok("keys", "create")
    ledger.ok("keys", "rotate", old["id"], "--overlap", "0h")
    assert not live(old["api_key"])
    assert ledger.fails("keys", "rotate", old["id"])[:2] == (1, "refused")


def test_rotation_never_lengthens_the_old_key(ledger: Cli):
    old = ledger.ok("keys", "create", "--expires", "1h")
    new = ledger.ok("keys", "rotate", old["id"], "--overlap", "30d")
    assert new["old_key_ends_at"] == old["expires_at"]


# Import


def test_keys_are_imported_from_standard_input(ledger: Cli):
    ours = make_key("live").text
    text = f"# from the old service\n{LEGACY}\n\n  {ours}  \n{LEGACY}\n"
    first = ledger.ok("keys", "import", "--scopes", "read,charge,grant", input=text)
    assert (first["imported"], first["known"]) == (2, 0)
    assert credential(LEGACY).scopes == {"read", "charge", "grant"}
    assert live(ours)
    again = ledger.ok("keys", "import", input=text)
    assert (again["imported"], again["known"]) == (0, 2)
    assert "0 keys imported, 2 known already" in ledger.told("keys", "import", input=text)


def test_keys_are_imported_from_a_file(ledger: Cli, tmp_path: Path):
    (tmp_path / "keys.txt").write_text(LEGACY + "\n")
    assert ledger.ok("keys", "import", "--file", "keys.txt")["imported"] == 1
    assert ledger.fails("keys", "import", "--file", "nowhere.txt")[:2] == (3, "file")


def test_what_is_imported_is_stored_as_a_hash(ledger: Cli):
    ledger.ok("keys", "import", input=LEGACY)
    assert LEGACY.encode() not in b"".join(path.read_bytes() for path in Path().glob("farthing.db*"))
    assert ledger.ok("keys", "list")["data"][-1]["hint"] == LEGACY[-4:]


def damaged() -> str:
    """A key of ours with another checksum."""
    text = make_key("live").text
    return text[:-6] + ("0" * 6 if text[-6:] != "0" * 6 else "1" * 6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: "sk_something_else_entirely", "line 2: it is no key"),
        (lambda: "cs_with a blank", "line 2: it is no key"),
        (lambda: "cs_\x00null", "line 2: it is no key"),
        (lambda: make_key("test").text, "line 2: its mode is not that of the workspace"),
        (damaged, "line 2: the API key's checksum is wrong"),
    ],
)
def test_one_bad_key_stops_the_import_without_being_repeated(ledger: Cli, make: Callable[[], str], said: str):
    text = make()
    code, name, sentence = ledger.fails("keys", "import", input=f"{LEGACY}\n{text}\n")
    assert (code, name) == (1, "invalid_keys")
    assert said in sentence
    assert text not in sentence
    assert credential(LEGACY) is None


def test_a_key_of_another_workspace_is_not_taken_over(ledger: Cli):
    ledger.ok("workspace", "create", "shop")
    ledger.ok("keys", "import", "-w", "shop", input=LEGACY)
    code, name, sentence = ledger.fails("keys", "import", "-w", "main", input=LEGACY)
    assert (code, name) == (1, "invalid_keys")
    assert "another workspace" in sentence


@pytest.mark.parametrize("text", ["", "\n\n# nothing\n"])
def test_nothing_to_import_is_said(ledger: Cli, text: str):
    assert ledger.fails("keys", "import", input=text)[:2] == (2, "invalid")


def test_bytes_that_are_no_text_are_named_by_their_line(ledger: Cli):
    assert "line 1: it is no key" in ledger.fails("keys", "import", input=b"cs_\xff\xfe\n")[2]


def test_a_key_on_the_command_line_is_not_understood(ledger: Cli):
    assert ledger.fails("keys", "import", LEGACY)[:2] == (2, "usage")
    assert credential(LEGACY) is None


# Operators


def test_an_operators_key_is_made_and_shown_once_listed_and_revoked(ledger: Cli):
    made = ledger.ok("keys", "create", "--operator", "--name", "signup")
    assert made["api_key"].startswith("cs_oper_")
    assert made["scopes"] == ["operator"]
    assert credential(made["api_key"]).scopes == {"operator"}
    (listed,) = ledger.ok("keys", "list", "--operator")["data"]
    assert (listed["id"], listed["state"], listed["name"]) == (made["id"], "live", "signup")
    assert made["api_key"] not in str(listed)
    assert made["id"] not in str(ledger.ok("keys", "list"))
    assert ledger.ok("keys", "revoke", made["id"], "--operator", "--yes")["state"] == "revoked"
    assert ledger.ok("keys", "revoke", made["id"], "--operator")["state"] == "revoked"
    assert not live(made["api_key"])


@pytest.mark.parametrize(
    "call",
    [
        ["create", "--operator", "--scopes", "read"],
        ["create", "--operator", "--workspace", "main"],
        ["list", "--operator", "--workspace", "main"],
        ["revoke", "key_1", "--operator", "--workspace", "main"],
    ],
)
def test_an_operators_key_has_no_workspace_and_no_scopes_to_choose(ledger: Cli, call: list[str]):
    assert ledger.fails("keys", *call)[0] == 2
    assert ledger.ok("keys", "list", "--operator")["data"] == []


def test_a_key_that_no_operator_has_is_named(ledger: Cli):
    assert ledger.fails("keys", "revoke", "key_1", "--operator", "--yes")[:2] == (1, "key_not_found")
