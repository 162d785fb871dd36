"""`init`, `migrate`, `workspace`, `settings`: from an empty folder to a ledger that is set up."""

import os
import sqlite3
import stat
from pathlib import Path

import apsw
import pytest

from farthing.app import open_ledger
from farthing.core.credentials import hash_key, parse_key
from farthing.stores.contract import result_of
from tests.cli.command import URL, Cli
from tests.support import config_version


def contents(path: str = "farthing.db") -> list[str]:
    """All that a database holds, as text."""
    db = sqlite3.connect(path)
    try:
        return list(db.iterdump())
    finally:
        db.close()


def test_init_makes_the_first_workspace_and_a_key_with_all_rights(cli: Cli):
    made = cli.ok("init")
    assert (made["workspace"], made["unit"], made["scale"], made["mode"]) == ("main", "credits", 6, "live")
    assert parse_key(made["api_key"]) == "live"
    with open_ledger(URL) as ledger:
        credential = result_of(ledger.access.credential(hash_key(made["api_key"])))
        assert credential is not None
        assert (credential.key_id, credential.workspace) == (made["key_id"], "main")
        assert credential.scopes == {"admin"}
        assert [each.action for each in result_of(ledger.access.audit("main"))] == ["key.create", "workspace.create"]
        assert {each.actor for each in result_of(ledger.access.audit("main"))} == {f"cli:{user()}"}


def user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def test_init_says_the_key_once_and_stores_only_its_hash(cli: Cli):
    key = cli.ok("init")["api_key"]
    assert key.encode() not in Path("farthing.db").read_bytes() + wal()
    assert key not in cli.told("keys", "list")


def wal() -> bytes:
    path = Path("farthing.db-wal")
    return path.read_bytes() if path.exists() else b""


def test_init_in_words_names_key_and_next_steps(cli: Cli):
    text = cli.told("init")
    assert "cs_live_" in text
    assert "farthing grant alice 100" in text


def test_init_on_a_database_that_has_a_workspace_changes_nothing(ledger: Cli):
    before = contents()
    code, name, sentence = ledger.fails("init", "--workspace", "second")
    assert (code, name) == (1, "already_initialized")
    assert "main" in sentence
    assert contents() == before


def test_init_makes_folders_and_a_file_that_only_its_owner_reads(cli: Cli):
    cli.ok("init", "--db", "sqlite:///deep/down/ledger.db")
    assert stat.S_IMODE(os.stat("deep/down/ledger.db").st_mode) == 0o600


def test_init_takes_the_database_from_the_variable(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FARTHING_DATABASE_URL", "sqlite:///other.db")
    assert cli.ok("init")["database"] == "sqlite:///other.db"
    assert Path("other.db").exists()
    cli.ok("init", "--db", "sqlite:///given.db")
    assert Path("given.db").exists()


def test_init_takes_an_empty_file(cli: Cli):
    Path("farthing.db").touch()
    assert cli.ok("init")["workspace"] == "main"


@pytest.mark.parametrize(
    ("options", "unit", "scale"),
    [
        ([], "credits", 6),
        (["--unit", "tokens"], "tokens", 6),
        (["--unit", "USD"], "USD", 9),
        (["--unit", "USD", "--scale", "2"], "USD", 2),
        (["--scale", "0"], "credits", 0),
        (["--scale", "12"], "credits", 12),
    ],
)
def test_the_unit_suggests_the_scale(cli: Cli, options: list[str], unit: str, scale: int):
    made = cli.ok("init", *options)
    assert (made["unit"], made["scale"]) == (unit, scale)


def test_a_test_workspace_has_test_keys(cli: Cli):
    made = cli.ok("init", "--test", "--workspace", "trial", "--name", "For trying")
    assert (made["mode"], made["workspace"], made["name"]) == ("test", "trial", "For trying")
    assert made["api_key"].startswith("cs_test_")
    assert cli.ok("keys", "create")["api_key"].startswith("cs_test_")


@pytest.mark.parametrize(
    "options",
    [
        ["--workspace", ""],
        ["--workspace", "a b"],
        ["--workspace", "-x"],
        ["--workspace", "w" * 65],
        ["--unit", ""],
        ["--unit", "u" * 33],
        ["--unit", "a\x1b[31m"],
        ["--name", " "],
        ["--scale", "13"],
        ["--scale", "-1"],
        ["--scale", "six"],
    ],
)
def test_init_with_bad_options_makes_no_file(cli: Cli, options: list[str]):
    assert cli.fails("init", *options)[0] == 2
    assert not Path("farthing.db").exists()


# Migrate


def test_a_fresh_database_is_up_to_date(ledger: Cli):
    checked = ledger.ok("migrate", "--check")
    assert checked["current"]
    assert checked["pending"] == []
    assert checked["applied"][0]["file"] == "0001_ledger.sql"
    assert ledger.ok("migrate")["ran"] == []
    assert "up to date" in ledger.told("migrate")


def test_migrate_runs_what_is_missing_and_says_so(cli: Cli):
    Path("farthing.db").touch()
    done = cli("migrate", "--check", "--json")
    assert done.code == 1
    assert done.json["pending"][0] == {"file": "0001_ledger.sql", "phase": "pre"}
    assert "0001_ledger.sql" in cli("migrate", "--check").out
    done = cli("migrate", "--json")
    assert done.code == 0
    assert done.json["ran"][0] == "0001_ledger.sql"
    assert "farthing: running 0001_ledger.sql" in done.err


def test_a_database_without_workspace_says_what_to_do(cli: Cli):
    Path("farthing.db").touch()
    cli.ok("migrate")
    code, name, sentence = cli.fails("balance", "alice")
    assert (code, name) == (3, "workspace_missing")
    assert "farthing init" in sentence
    assert cli.ok("init")["workspace"] == "main"


# Workspaces


def test_workspaces_are_created_listed_and_shown(ledger: Cli):
    made = ledger.ok("workspace", "create", "shop", "--unit", "EUR", "--name", "The shop")
    assert made["workspace"]["scale"] == 9
    assert [each["id"] for each in ledger.ok("workspace", "list")["data"]] == ["main", "shop"]
    shown = ledger.ok("workspace", "show", "shop")["workspace"]
    assert (shown["name"], shown["unit"], shown["settings"]["hold_max_minutes"]) == ("The shop", "EUR", 43_200)
    assert "The shop" in ledger.told("workspace", "list")
    assert "hold_max_minutes" in ledger.told("workspace", "show", "main")


def test_a_workspace_is_made_once(ledger: Cli):
    assert ledger.fails("workspace", "create", "main")[:2] == (1, "workspace_exists")


def test_of_several_workspaces_one_has_to_be_named(ledger: Cli):
    ledger.ok("workspace", "create", "shop")
    code, name, sentence = ledger.fails("balance", "alice")
    assert (code, name) == (2, "workspace_needed")
    assert "main, shop" in sentence
    ledger.ok("grant", "alice", "1", "--workspace", "shop")
    assert ledger.ok("balance", "alice", "-w", "shop")["workspace"] == "shop"
    assert ledger.fails("balance", "alice", "-w", "main")[1] == "account_not_found"


def test_an_unknown_workspace_is_answered_with_those_there_are(ledger: Cli):
    code, name, sentence = ledger.fails("balance", "alice", "--workspace", "nope")
    assert (code, name) == (1, "workspace_not_found")
    assert "there is main" in sentence


# Settings


def test_a_setting_is_changed_and_audited(ledger: Cli):
    assert ledger.ok("settings", "get", "hold_max_minutes")["value"] == 43_200
    changed = ledger.ok("settings", "set", "hold_max_minutes", "60")
    assert (changed["value"], changed["before"], changed["default"]) == (60, 43_200, 43_200)
    assert ledger.told("settings", "get", "hold_max_minutes") == "60\n"
    with open_ledger(URL) as opened:
        newest = result_of(opened.access.audit("main", limit=1))[0]
    assert (newest.action, newest.actor) == ("settings.change", f"cli:{user()}")
    assert (newest.before, newest.after) == ({"hold_max_minutes": 43_200}, {"hold_max_minutes": 60})


def test_a_change_of_settings_raises_the_version_that_servers_watch(ledger: Cli):
    def version() -> int:
        with open_ledger(URL) as opened:
            return result_of(config_version(opened))

    before = version()
    ledger.ok("settings", "set", "refund_lapsed", "lapse")
    assert version() == before + 1


def test_all_settings_are_listed_with_their_meaning(ledger: Cli):
    listed = {each["name"]: each for each in ledger.ok("settings", "list")["data"]}
    assert listed["refund_lapsed"]["value"] == "grace"
    assert "refund_lapsed" in ledger.told("settings", "list")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("hold_max_minutes", "0", "from 1 to 525,600"),
        ("hold_max_minutes", "ten", "must be a whole number"),
        ("hold_max_minutes", "1.5", "must be a whole number"),
        ("refund_lapsed", "maybe", "grace or lapse"),
        ("nope", "1", "there is no setting 'nope'"),
    ],
)
def test_a_bad_setting_changes_nothing(ledger: Cli, name: str, value: str, said: str):
    before = ledger.ok("settings", "list")
    code, _, sentence = ledger.fails("settings", "set", name, value)
    assert code == 2
    assert said in sentence
    assert ledger.ok("settings", "list") == before


# Databases that can't be used


def test_a_missing_database_is_not_made_by_accident(cli: Cli):
    for words in (["balance", "alice"], ["grant", "alice", "1"], ["migrate"], ["serve"], ["keys", "list"]):
        code, name, sentence = cli.fails(*words)
        assert (code, name) == (3, "database_missing")
        assert "farthing init" in sentence
    assert list(Path().iterdir()) == []


def test_a_file_that_is_no_database_is_left_alone(cli: Cli):
    Path("farthing.db").write_text("a letter to grandmother, and not a database at all\n" * 50)
    before = Path("farthing.db").read_bytes()
    for words in (["balance", "alice"], ["init"], ["migrate"], ["serve"], ["demo", "--db", URL]):
        assert cli.fails(*words)[:2] == (3, "not_a_database")
    assert Path("farthing.db").read_bytes() == before


def test_a_database_of_another_program_is_left_alone(cli: Cli):
    db = sqlite3.connect("farthing.db")
    db.execute("create table recipe (name text)")
    db.commit()
    db.close()
    before = Path("farthing.db").read_bytes()
    calls = (
        ["balance", "alice"],
        ["init"],
        ["migrate"],
        ["serve"],
        ["demo", "--db", URL],
        ["doctor"],
        ["keys", "list"],
    )
    for words in calls:
        assert cli.fails(*words)[:2] == (3, "not_a_database")
    # Not even its journal mode was changed.
    assert Path("farthing.db").read_bytes() == before


@pytest.mark.parametrize("table", ["migration", "workspace", "config", "account"])
def test_a_damaged_page_is_no_bug(funded: Cli, table: str):
    db = sqlite3.connect("farthing.db")
    db.execute("pragma wal_checkpoint(truncate)")
    ((page,),) = db.execute("select rootpage from sqlite_schema where name = ?", (table,))
    db.close()
    whole = Path("farthing.db").read_bytes()
    Path("farthing.db").write_bytes(whole[: (page - 1) * 4096] + b"\x07" * 4096 + whole[page * 4096 :])
    for words in (["grant", "alice", "1"], ["balance", "alice"], ["doctor"], ["migrate"], ["keys", "create"]):
        done = funded(*words)
        assert done.code in (0, 1, 3), done
    if table in ("migration", "config"):
        assert funded.fails("serve", "--port", "0")[:2] == (3, "not_a_database")


def test_a_newer_database_is_not_touched(ledger: Cli):
    db = apsw.Connection("farthing.db")
    db.execute("insert into migration values (9999, 'of_tomorrow', 'x', 1, 'post')")
    db.close()
    for words in (["balance", "alice"], ["migrate"], ["serve"], ["init"]):
        code, name, sentence = ledger.fails(*words)
        assert (code, name) == (3, "schema_newer")
        assert "upgrade" in sentence


def test_an_older_database_asks_for_migrate(cli: Cli):
    Path("farthing.db").touch()
    for words in (["balance", "alice"], ["serve"]):
        code, name, sentence = cli.fails(*words)
        assert (code, name) == (3, "schema_older")
        assert "farthing migrate" in sentence


def test_a_locked_database_is_busy_and_nothing_is_done(funded: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farthing.stores.sqlite.BUSY_TIMEOUT_MS", 50)
    other = apsw.Connection("farthing.db")
    other.execute("begin immediate")
    try:
        assert funded.fails("charge", "alice", "1")[:2] == (4, "busy")
        assert funded.fails("settings", "set", "rate_limit", "5")[:2] == (4, "busy")
        assert funded.ok("balance", "alice")["balance"] == "100"
    finally:
        other.execute("rollback")
        other.close()
    assert funded.ok("balance", "alice")["entries"] == 2


@pytest.mark.parametrize(
    "url",
    ["farthing.db", "sqlite://farthing.db", "sqlite:///", "postgresql://x", "postgresql://h:port/y", "mysql://x", ""],
)
def test_a_database_is_named_by_its_url(cli: Cli, url: str):
    code, _, sentence = cli.fails("balance", "alice", "--db", url)
    if url == "":
        assert (code, "there is no database") == (3, sentence[:20])
    else:
        assert code == 2
        assert "postgresql://" in sentence


def test_a_folder_is_no_database(cli: Cli):
    Path("farthing.db").mkdir()
    assert cli.fails("balance", "alice")[0] in (3, 4)
    assert cli.fails("init")[0] in (3, 4)
