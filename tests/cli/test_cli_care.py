"""`doctor`, `rebuild`, `backup`, `restore`: what is wrong is found, what can be mended is."""

from pathlib import Path

import apsw
import pytest

from farthing.app import open_ledger
from farthing.stores.contract import result_of
from tests.cli.command import URL, Cli, program


def edit(*statements: str, path: str = "farthing.db") -> None:
    """Somebody's hand in the file."""
    db = apsw.Connection(path)
    for statement in statements:
        db.execute(statement)
    db.close()


WRONG_ROW = "update account set balance = balance + 1 where id = 'alice'"
EDITED_ENTRY = (
    "drop trigger entry_no_update",
    "update entry set amount = amount + 1, balance = balance + 1 where kind = 'grant' and account = 'alice'",
)


# Doctor


def test_doctor_finds_a_sound_ledger_sound(funded: Cli):
    funded.ok("charge", "alice", "1", "--key", "k")
    for words in (["doctor"], ["doctor", "--deep"]):
        report = funded.ok(*words)
        assert (report["ok"], report["wrong_accounts"], report["found"], report["findings"]) == (True, 0, 0, [])
        assert (report["accounts"], report["entries"], report["keys"]) == (1, 3, 1)
    assert funded.told("doctor").startswith("all is well: 1 account, 3 entries")


def test_doctor_names_each_wrong_account_and_why(funded: Cli):
    funded.ok("grant", "bob", "1")
    funded.ok("grant", "carol", "1")
    edit(WRONG_ROW, "update account set spent = 7 where id = 'carol'")
    done = funded("doctor", "--json")
    assert done.code == 1
    report = done.json
    assert (report["ok"], report["wrong_accounts"]) == (False, 2)
    assert {each["account"] for each in report["findings"]} == {"alice", "carol"}
    assert any("balance" in each["sentence"] for each in report["findings"] if each["account"] == "alice")
    text = funded("doctor")
    assert text.code == 1
    assert "main/alice: balance of the account's row is 100000001, and should be 100000000 (law 5)" in text.out
    assert "main/bob" not in text.out
    assert "2 accounts are wrong" in text.out


def test_doctor_sees_an_entry_that_was_edited(funded: Cli):
    edit(*EDITED_ENTRY)
    assert funded("doctor").code == 1
    sentences = [each["sentence"] for each in funded("doctor", "--json").json["findings"]]
    assert any("hash" in each for each in sentences)
    assert any("entry_no_update" in each for each in sentences)


def test_doctor_tells_its_progress_on_standard_error(funded: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farthing.cli.output.PROGRESS_EVERY_SECONDS", 0.0)
    done = funded("doctor", "--json")
    assert "farthing: accounts: 1 of 1" in done.err
    assert done.json["ok"]


def test_doctor_on_what_is_no_current_ledger_is_no_clean_bill(cli: Cli):
    assert cli.fails("doctor")[:2] == (3, "database_missing")
    Path("farthing.db").touch()
    assert cli.fails("doctor")[:2] == (3, "schema_older")
    Path("farthing.db").write_bytes(b"no database" * 1_000)
    assert cli.fails("doctor")[:2] == (3, "not_a_database")


# Rebuild


def test_a_wrong_row_is_told_and_then_made_again(funded: Cli):
    edit(WRONG_ROW)
    checked = funded("rebuild", "alice", "--check", "--json")
    assert checked.code == 1
    assert checked.json["differences"] == ["balance of the account's row is 100000001, and should be 100000000"]
    assert checked.json["applied"] is False
    code, name, sentence = funded.fails("rebuild", "alice", "--apply")
    assert (code, name) == (1, "confirmation_needed")
    assert "--yes" in sentence
    assert funded("doctor").code == 1
    applied = funded.ok("rebuild", "alice", "--apply", "--yes")
    assert (applied["ok"], applied["applied"], applied["entries"]) == (True, True, 2)
    assert funded("doctor").code == 0
    assert "nothing differs" in funded.told("rebuild", "alice", "--check")
    with open_ledger(URL) as opened:
        newest = result_of(opened.access.audit("main", limit=1))[0]
    assert (newest.action, newest.subject) == ("account.rebuild", "alice")
    assert newest.actor.startswith("cli:")


def test_on_a_terminal_a_rebuild_is_asked_about(funded: Cli):
    edit(WRONG_ROW)
    assert funded("rebuild", "alice", "--apply", input="n\n", typed=True).code == 1
    assert funded("doctor").code == 1
    assert funded("rebuild", "alice", "--apply", input="y\n", typed=True).code == 0
    assert funded("doctor").code == 0


def test_nothing_to_do_needs_no_confirmation(funded: Cli):
    assert funded.ok("rebuild", "alice", "--apply")["applied"] is False


def test_entries_are_never_made_up(funded: Cli):
    edit(*EDITED_ENTRY)
    done = funded("rebuild", "alice", "--apply", "--yes", "--json")
    assert done.code == 1
    assert done.json["broken"]
    assert done.json["applied"] is False
    assert "restore a backup" in funded("rebuild", "alice", "--apply", "--yes").out


@pytest.mark.parametrize("flags", [[], ["--check", "--apply"]])
def test_rebuild_wants_to_know_what_to_do(funded: Cli, flags: list[str]):
    assert funded.fails("rebuild", "alice", *flags)[:2] == (2, "usage")


def test_rebuild_of_nobody(funded: Cli):
    assert funded.fails("rebuild", "nobody", "--check")[:2] == (1, "account_not_found")
    assert funded.fails("rebuild", "a\nb", "--check")[:2] == (2, "invalid")


# Backup


def test_a_backup_is_a_ledger(funded: Cli):
    made = funded.ok("backup", "copy.db")
    assert (made["path"], made["entries"], made["accounts"]) == ("copy.db", 2, 1)
    assert made["bytes"] == Path("copy.db").stat().st_size
    assert funded.ok("balance", "alice", "--db", "sqlite:///copy.db")["balance"] == "100"
    assert "2 entries of 1 account," in funded.told("backup", "copy2.db")


def test_a_backup_takes_no_file_s_place_unasked(funded: Cli):
    Path("copy.db").write_text("precious")
    assert funded.fails("backup", "copy.db")[:2] == (1, "target_exists")
    assert Path("copy.db").read_text() == "precious"
    assert funded.ok("backup", "copy.db", "--replace")["entries"] == 2


@pytest.mark.parametrize("target", ["nowhere/copy.db", "folder", "farthing.db"])
def test_a_backup_that_can_not_be_made(funded: Cli, target: str):
    Path("folder").mkdir()
    before = sorted(path.name for path in Path().iterdir())
    assert funded.fails("backup", target)[0] == 1
    assert sorted(path.name for path in Path().iterdir()) == before
    assert funded.ok("balance", "alice")["balance"] == "100"


def test_backup_of_nothing(cli: Cli):
    assert cli.fails("backup", "copy.db")[:2] == (3, "database_missing")


def test_backup_tells_its_progress(funded: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farthing.cli.output.PROGRESS_EVERY_SECONDS", 0.0)
    assert "farthing: pages copied: " in funded("backup", "copy.db", "--json").err


# Restore


@pytest.fixture
def saved(funded: Cli) -> Cli:
    """A backup of 100 credits, and a charge since."""
    funded.ok("backup", "copy.db")
    funded.ok("charge", "alice", "40")
    return funded


def test_a_restore_asks_first_and_keeps_what_was_there(saved: Cli):
    code, name, sentence = saved.fails("restore", "copy.db")
    assert (code, name) == (1, "confirmation_needed")
    assert "kept" in sentence
    assert saved.ok("balance", "alice")["balance"] == "60"
    made = saved.ok("restore", "copy.db", "--yes")
    assert (made["entries"], made["pending"]) == (2, [])
    assert saved.ok("balance", "alice")["balance"] == "100"
    kept = Path(made["aside"]).name
    assert saved.ok("balance", "alice", "--db", f"sqlite:///{kept}")["balance"] == "60"
    assert saved("doctor").code == 0


def test_a_restore_can_be_refused_on_the_terminal(saved: Cli):
    assert saved("restore", "copy.db", input="no\n", typed=True).code == 1
    assert saved.ok("balance", "alice")["balance"] == "60"
    assert saved("restore", "copy.db", input="yes\n", typed=True).code == 0
    assert saved.ok("balance", "alice")["balance"] == "100"


def test_a_restore_where_nothing_is_needs_no_confirmation(saved: Cli):
    made = saved.ok("restore", "copy.db", "--db", "sqlite:///fresh.db")
    assert made["aside"] is None
    assert saved.ok("balance", "alice", "--db", "sqlite:///fresh.db")["balance"] == "100"


def test_a_restore_may_leave_nothing_of_the_old(saved: Cli):
    assert saved.ok("restore", "copy.db", "--yes", "--no-keep")["aside"] is None
    assert not list(Path().glob("*before-restore*"))


def test_a_restore_waits_for_no_server_but_refuses(saved: Cli, tmp_path: Path):
    with program("serve", "--port", "0", folder=tmp_path):
        assert saved.fails("restore", "copy.db", "--yes")[:2] == (4, "in_use")
    assert saved.ok("balance", "alice")["balance"] == "60"


@pytest.mark.parametrize("content", [b"", b"a letter, and no database\n" * 200])
def test_what_is_no_backup_replaces_nothing(saved: Cli, content: bytes):
    Path("copy.db").write_bytes(content)
    assert saved.fails("restore", "copy.db", "--yes")[0] == 3
    assert saved.fails("restore", "nowhere.db", "--yes")[:2] == (3, "not_restorable")
    assert saved.ok("balance", "alice")["balance"] == "60"


def test_a_wrong_backup_is_restored_only_by_force(saved: Cli):
    edit(WRONG_ROW, path="copy.db")
    code, name, sentence = saved.fails("restore", "copy.db", "--yes")
    assert (code, name) == (3, "not_restorable")
    assert "main/alice" in sentence
    assert saved.ok("balance", "alice")["balance"] == "60"
    assert saved.ok("restore", "copy.db", "--yes", "--force")["entries"] == 2
    assert saved("doctor").code == 1
