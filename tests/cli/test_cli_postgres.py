"""The command line on PostgreSQL: the same commands, what differs, and what a server can be wrong about."""

from pathlib import Path
from urllib.error import HTTPError

import pytest

from farthing.stores import migrate
from tests.cli.command import Cli, program
from tests.cli.test_cli_serve import call, deduct, run_line
from tests.postgres import GUARDED, TEMPLATE, Cluster, Databases, free_port

POST = migrate.Migration(900, "drops_what_is_old", "f" * 64, "select 1", "post")
SECRET = "geheim-7%26%40"
"""A password with characters that mean something in a URL."""


@pytest.fixture
def url(cli: Cli, postgres_empty_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database, which the environment names."""
    monkeypatch.setenv("FARTHING_DATABASE_URL", postgres_empty_url)
    return postgres_empty_url


def test_a_ledger_is_made_used_and_examined(cli: Cli, url: str):
    made = cli.ok("init", "--unit", "tokens", "--scale", "2")
    assert made["database"] == url
    assert cli.ok("migrate", "--check")["current"]
    cli.ok("grant", "alice", "100", "--expires", "30d", "--key", "g")
    first = cli.ok("charge", "alice", "2.5", "--key", "c")
    again = cli.ok("charge", "alice", "2.5", "--key", "c")
    assert (first["balance"], again["entry"], again["replayed"]) == ("97.5", first["entry"], True)
    assert cli.fails("charge", "alice", "1000")[:2] == (1, "insufficient_credits")
    assert cli.ok("balance", "alice")["available"] == "97.5"
    assert [each["kind"] for each in cli.ok("ledger", "alice")["data"]] == ["charge", "grant", "open"]
    assert len(cli("ledger", "alice", "--all", "--json").out.splitlines()) == 3
    assert cli.ok("rebuild", "alice", "--check")["differences"] == []
    report = cli.ok("doctor", "--deep")
    assert (report["ok"], report["accounts"], report["entries"]) == (True, 1, 3)


def test_workspaces_keys_settings_and_the_clock_are_administered(cli: Cli, url: str):
    cli.ok("init")
    cli.ok("workspace", "create", "shop")
    assert [each["id"] for each in cli.ok("workspace", "list")["data"]] == ["main", "shop"]
    made = cli.ok("keys", "create", "--workspace", "shop")
    turned = cli.ok("keys", "rotate", made["id"], "--workspace", "shop")
    cli.ok("keys", "revoke", turned["id"], "--yes", "--workspace", "shop")
    states = [each["state"] for each in cli.ok("keys", "list", "--workspace", "shop")["data"]]
    assert states == ["live", "revoked"]
    assert cli.ok("keys", "import", "--workspace", "shop", input="cs_an-old-key-of-countwerk\n")["imported"] == 1
    assert cli.ok("settings", "set", "hold_max_minutes", "60", "--workspace", "main")["before"] == 43200
    assert cli.ok("clock", "accept")["accepted"]


def test_a_ledger_that_is_there_is_not_made_again(cli: Cli, url: str):
    cli.ok("init")
    assert cli.fails("init", "--workspace", "other")[:2] == (1, "already_initialized")


def test_the_demo_runs(cli: Cli, url: str, tmp_path: Path):
    with program("demo", "--port", "0", "--db", url, folder=tmp_path) as demo:
        assert run_line(demo.first["curl"][1])["deductedAmount"] == 7.5
        assert call(demo, "balance", demo.first["api_key"], account_id="bob")["balance"] == 1
        assert demo.stop()[0] == 0
    assert cli.ok("doctor")["ok"]


@pytest.mark.parametrize("words", [["backup", "copy.db"], ["restore", "copy.db"]])
def test_copies_of_files_are_refused_with_what_a_server_has_for_it(cli: Cli, url: str, words: list[str]):
    code, name, sentence = cli.fails(*words)
    assert (code, name) == (2, "not_for_postgres")
    for tool in ("pg_dump", "pg_restore", "docs/how-to/backup-and-restore.md"):
        assert tool in sentence


# Migrations while several processes run


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_waits_for_the_new_code_is_run_when_it_is_told(
    cli: Cli, kind: str, postgres_empty_url: str, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    url = postgres_empty_url if kind == "postgres" else "sqlite:///farthing.db"
    monkeypatch.setenv("FARTHING_DATABASE_URL", url)
    cli.ok("init")
    known = migrate.discover(kind)
    post = migrate.Migration(len(known) + 1, POST.name, POST.sha256, POST.sql, POST.phase)
    monkeypatch.setattr(migrate, "discover", lambda _: (*known, post))
    assert cli("migrate", "--check").code == 1
    before = cli.ok("migrate", "--phase", "pre")
    assert (before["ran"], [each["file"] for each in before["pending"]]) == ([], [post.file])
    assert "once the new code is everywhere" in cli.told("migrate", "--phase", "pre")
    cli.ok("grant", "alice", "1")
    assert cli.ok("migrate", "--phase", "post")["ran"] == [post.file]
    assert cli.ok("migrate", "--check")["current"]


# What can be wrong with a server


def guarded(postgres: Cluster, databases: Databases, template: str, password: str) -> str:
    """The address of a new database, as a user who needs a password and owns nothing."""
    url = databases.make(template)
    postgres.sql(
        f"do $$ begin create role {GUARDED} login password 'right';"
        " exception when duplicate_object or unique_violation then null; end $$"
    )
    return url.replace("://farthing@", f"://{GUARDED}:{password}@")


@pytest.mark.parametrize(
    ("address", "code", "name", "said"),
    [
        ("nowhere.invalid:5432/ledger", 4, "unavailable", "nowhere.invalid"),
        ("127.0.0.1:{closed}/ledger", 4, "unavailable", "nothing was done"),
        ("/no_such_database?host={folder}", 3, "database_missing", 'create database "no_such_database"'),
    ],
)
def test_a_server_that_can_not_be_had_is_told_in_a_sentence_without_the_password(
    cli: Cli, postgres: Cluster, address: str, code: int, name: str, said: str
):  # fmt: skip
    place = address.format(folder=postgres.folder, closed=free_port())
    url = f"postgresql://farthing:{SECRET}@{place}"
    for words in (["init"], ["migrate"], ["balance", "alice"], ["doctor"], ["serve", "--port", "0"], ["demo"]):
        found = cli.fails(*words, "--db", url)
        assert found[:2] == (code, name), found
        assert said in found[2]
        assert "geheim" not in found[2]


def test_a_wrong_password_is_told_and_not_shown(cli: Cli, postgres: Cluster, databases: Databases):
    url = guarded(postgres, databases, "template0", SECRET)
    for words in (["init"], ["balance", "alice"]):
        code, _, sentence = cli.fails(*words, "--db", url)
        assert code == 3
        assert "password" in sentence
        assert GUARDED in sentence
        assert "geheim" not in sentence


def test_a_right_password_is_shown_nowhere(cli: Cli, postgres: Cluster, databases: Databases, tmp_path: Path):
    url = guarded(postgres, databases, "template0", "right")
    name = databases.name_of(url)
    postgres.sql(f"grant create on schema public to {GUARDED}", database=name)
    made = cli("init", "--db", url, "--json")
    assert made.json["database"] == url.replace(":right@", ":***@")
    cli.ok("grant", "alice", "10", "--db", url)
    with program("serve", "--port", "0", "--workers", "2", "--access-log", "--db", url, folder=tmp_path) as serving:
        deduct(serving, made.json["api_key"], "u1")
        postgres.sql("alter table entry owner to farthing", database=name)
        with pytest.raises(HTTPError, match="50"):
            deduct(serving, made.json["api_key"], "u2")
        _, out, err = serving.stop()
    failed = cli("grant", "alice", "1", "--db", url)
    assert (failed.code, err.count("worker starts")) == (3, 2)
    assert "permission denied" in failed.err
    assert not [text for text in (made.out, made.err, failed.err, out, err) if "right" in text]


def test_a_user_without_rights_is_told_whom_to_ask_for_what(cli: Cli, postgres: Cluster, databases: Databases):
    for template in ("template0", TEMPLATE):
        url = guarded(postgres, databases, template, "right")
        code, name, sentence = cli.fails("init", "--db", url)
        assert (code, name) == (3, "not_allowed")
        assert f'grant usage, create on schema public to "{GUARDED}"' in sentence


def test_a_server_that_takes_no_writes_is_told_and_can_be_read(cli: Cli, url: str, postgres: Cluster):
    cli.ok("init")
    cli.ok("grant", "alice", "5")
    postgres.sql(f'alter database "{Databases.name_of(url)}" set default_transaction_read_only = on')
    code, name, sentence = cli.fails("charge", "alice", "1")
    assert (code, name) == (3, "read_only")
    assert "primary" in sentence
    assert cli.ok("balance", "alice")["balance"] == "5"
    assert cli("doctor", "--json").json["wrong_accounts"] == 0


@pytest.mark.parametrize(
    "url", ["postgresql://u:geheim/7@h/d", "postgresql://u:geheim@h:x/d", "postgresql://u:geheim@h"]
)
def test_an_address_that_can_not_be_meant_is_told_without_the_password(cli: Cli, url: str):
    code, name, sentence = cli.fails("balance", "alice", "--db", url)
    assert (code, name) == (2, "usage")
    assert "geheim" not in sentence
