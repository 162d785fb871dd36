"""The how-to pages say what is there: commands, options, settings, times, tables."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from msgspec.structs import fields

from farthing.backends import READERS
from farthing.cli.journal import URL_VARIABLE
from farthing.cli.reconcile import HELP
from farthing.cli.root import app
from farthing.client.connecting import API_KEY_VARIABLE
from farthing.core.cardcheck import check_card
from farthing.core.ratecard import read_card
from farthing.server.http import KEEP_ALIVE_SECONDS
from farthing.settings import PREFIX, Settings
from farthing.stores.postgres_link import SETTINGS
from tests.test_house_style import DIRECTORIES

FOLDER = Path(__file__).parents[1] / "docs" / "how-to"
ROOT: Any = typer.main.get_command(app)
PAGES = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.md"))}
OTHER_FILES = [FOLDER.parents[1] / "Dockerfile", FOLDER.parents[1] / "deploy" / "farthing.service"]


def commands(text: str) -> list[list[str]]:
    """Each `farthing ...` of a page's code, by its words."""
    code = "\n".join([*re.findall(r"```sh\n(.*?)```", text, re.DOTALL), *re.findall(r"`([^`\n]+)`", text)])
    return [line.split("#")[0].split() for line in re.findall(r"^\s*farthing ([a-z].*)$", code, re.MULTILINE)]


@cache
def command_at(*names: str) -> Any:
    """A command by its name. It is made when it is asked for, each time anew."""
    return command_at(*names[:-1]).commands[names[-1]] if names else ROOT


def command_of(words: list[str]) -> tuple[str, set[str]]:
    """The command that a line calls, by its name, with its options."""
    names: list[str] = []
    for word in words:
        if not hasattr(command_at(*names), "commands"):
            break
        assert word in command_at(*names).commands, words
        names.append(word)
    params = command_at(*names).params
    return " ".join(names), {option for each in params for option in (*each.opts, *each.secondary_opts)}


def test_every_page_is_in_the_index():
    linked = set(re.findall(r"\]\(([a-z-]+\.md)\)", PAGES["README.md"]))
    assert linked == PAGES.keys() - {"README.md"}


def test_every_command_and_option_of_the_pages_is_there():
    used = [words for text in PAGES.values() for words in commands(text)]
    assert len(used) > 15
    for words in used:
        name, known = command_of(words)
        assert {word for word in words if word.startswith("--")} <= known, (name, words)


def test_every_command_that_is_said_to_help_where_the_books_differ_is_there():
    said = [words.split() for text in HELP.values() for words in re.findall(r"farthing ((?:[a-z-]+ ?)+)", text)]
    assert len(said) > 2
    assert all(command_of(words)[0] for words in said)


def test_the_page_about_prices_shows_its_commands():
    shown = {command_of(words)[0] for words in commands(PAGES["prices.md"])}
    assert {"prices sync", "prices init", "prices set", "prices card put", "prices quarantine list", "quote"} <= shown


def test_the_rate_card_of_the_page_is_right():
    (document,) = re.findall(r"```json\n(.*?)```", PAGES["prices.md"], re.DOTALL)
    assert check_card(read_card(document), 6) == []


def test_every_setting_of_the_pages_is_there():
    named = {name for text in PAGES.values() for name in re.findall(rf"{PREFIX}([A-Z_]+)", text)}
    assert len(named) > 4
    named -= {name.removeprefix(PREFIX) for name in (API_KEY_VARIABLE, URL_VARIABLE)}  # the library's own
    assert {name.lower() for name in named} <= {field.name for field in fields(Settings)}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("lock_timeout", "for a lock"),
        ("statement_timeout", "for a statement"),
        ("idle_in_transaction_session_timeout", "idle in a transaction"),
        ("tcp_user_timeout", "without an answer of the network"),
    ],
)
def test_the_time_outs_are_those_of_the_store(setting, words):
    assert f"{SETTINGS[setting].removesuffix('s')} s {words}" in PAGES["postgresql.md"]


def test_the_connections_of_a_worker_are_those_that_it_takes():
    # Lanes, readers, and the one that watches.
    assert f"`lanes` + {READERS + 1}" in PAGES["postgresql.md"]
    assert f"`lanes` + {READERS + 1}" in PAGES["pgbouncer.md"]


def test_the_proxys_times_fit_those_of_the_server():
    page = PAGES["tls-behind-a-proxy.md"]
    assert f"are closed after {KEEP_ALIVE_SECONDS} s" in page
    kept = [int(seconds) for seconds in re.findall(r"keepalive(?:_timeout)? (\d+)s", page)]
    assert len(kept) == 2
    assert max(kept) < KEEP_ALIVE_SECONDS
    waits = [int(seconds) for seconds in re.findall(r"(?:proxy_read_timeout|response_header_timeout) (\d+)s", page)]
    assert len(waits) == 2
    assert min(waits) > Settings().request_timeout


def test_the_tables_apart_are_those_that_the_lint_excepts():
    page = PAGES["citus.md"]
    assert {name for name in DIRECTORIES if f"`{name}`" not in page} == set()


def test_no_page_names_this_machine_or_a_registry():
    for path in [*FOLDER.glob("*.md"), *OTHER_FILES]:
        assert re.findall(r"/work\b|/tmp/|docker\.io|pypi|ghcr", path.read_text()) == [], path.name
