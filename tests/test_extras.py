"""What goes with which extra: programs in which the packages of the others can't be imported."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farthing.extras import EXTRA_OF
from tests.api.serving import Server
from tests.client.driving import serve

ROOT = Path(__file__).resolve().parents[1]
WITH = {"": set[str](), "sqlite": {"sqlite"}, "postgres": {"sqlite", "postgres"}, "cli": {"sqlite", "cli"}}
"""The extras that come with one; with `server` come all."""
BARRING = """
import sys
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {barred}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Barred())
"""
PROGRAM = "sys.argv = ['farthing', *sys.argv[1:]]\nfrom farthing.cli import main\nmain()"
INSIDE = """
import farthing
with farthing.connect({url!r}) as client:
    client.rate_cards.put({{"rules": [{{"id": "page", "dimension": "pages", "price": "2"}}]}}, reason="The first")
    client.grant("alice", 5)
    print(client.charge("alice", usage={{"dimensions": {{"pages": 2}}}}).after.balance)
"""


def run(extra: str, program: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A program as it goes where the base is installed with one extra."""
    barred = {package for package, needed in EXTRA_OF.items() if needed not in WITH[extra]}
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")}
    code = BARRING.format(barred=barred) + program
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=60
    )  # fmt: skip


def said(extra: str, program: str, *words: str, cwd: Path) -> str:
    """What such a program prints that must go well."""
    done = run(extra, program, *words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("served")) as server:
        yield server


def test_the_base_is_enough_for_a_client_of_a_server(server: Server, tmp_path: Path) -> None:
    program = f"""
import asyncio, farthing
with farthing.connect("http://127.0.0.1:{server.port}", api_key={server.new_key("admin")!r}) as client:
    client.grant("light", 5)
    print(client.charge("light", 2).after.balance)
async def main():
    async with farthing.aconnect("http://127.0.0.1:{server.port}", api_key={server.new_key()!r}) as client:
        print((await client.charge("light", 2)).after.balance, farthing.format_cost("0.5"))
        print([entry.kind async for entry in client.entries("light")][0])
asyncio.run(main())
"""
    assert said("", program, cwd=tmp_path) == "3\n1 $0.50\ncharge\n"


@pytest.mark.parametrize(
    "opening",
    ["farthing.connect({url!r})", "asyncio.run(opened({url!r}))"],
    ids=["sync", "async"],
)
@pytest.mark.parametrize(
    ("extra", "url", "needed"),
    [
        ("", "sqlite:///credits.db", "pip install 'farthing[sqlite]'"),
        ("", "postgresql://me@localhost/credits", "'farthing[postgres]'"),
        ("sqlite", "postgresql://me@localhost/credits", "asyncpg, which is not installed: pip install 'farthing[pos"),
    ],
)
def test_who_lacks_a_package_for_his_database_is_told_what_to_install(
    tmp_path: Path, opening: str, extra: str, url: str, needed: str
) -> None:
    program = f"""
import asyncio, farthing
async def opened(url):
    await farthing.aconnect(url)
for _ in range(2):
    try:
        {opening.format(url=url)}
    except farthing.ConnectError as error:
        print(error)
"""
    told = said(extra, program, cwd=tmp_path).splitlines()
    assert len(told) == 2
    assert all(needed in sentence for sentence in told)


def test_a_file_takes_its_extra_and_no_more(tmp_path: Path) -> None:
    assert said("sqlite", INSIDE.format(url="sqlite:///credits.db"), cwd=tmp_path) == "1\n"


def test_postgresql_takes_its_extra_and_no_more(tmp_path: Path, postgres_url: str) -> None:
    assert said("postgres", INSIDE.format(url=postgres_url), cwd=tmp_path) == "1\n"


def test_the_program_on_a_file_takes_no_packages_of_servers(tmp_path: Path) -> None:
    for words in (["init"], ["grant", "alice", "5"], ["prices", "sync"], ["doctor"]):
        said("cli", PROGRAM, *words, cwd=tmp_path)
    assert json.loads(said("cli", PROGRAM, "balance", "alice", "--json", cwd=tmp_path))["available"] == "5"


@pytest.mark.parametrize(
    ("extra", "words", "needed"),
    [
        ("", ["balance", "alice"], "'farthing[cli]'"),
        ("cli", ["serve", "--port", "0"], "'farthing[server]'"),
        ("cli", ["balance", "alice", "--db", "postgresql://me@localhost/credits"], "'farthing[postgres]'"),
    ],
)
def test_the_program_says_what_a_command_needs(tmp_path: Path, extra: str, words: list[str], needed: str) -> None:
    said("cli", PROGRAM, "init", cwd=tmp_path)
    done = run(extra, PROGRAM, *words, "--json", cwd=tmp_path)
    assert done.returncode == 4
    assert needed in done.stderr
    assert "Traceback" not in done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["code"], needed in error["message"]) == ("not_installed", True)


def test_who_lacks_what_metering_needs_is_told_what_to_install(tmp_path: Path) -> None:
    assert said("", "from farthing.llm import Policy, Used, metered, metering", cwd=tmp_path) == ""
    done = run("", "from farthing.llm import meter", cwd=tmp_path)
    sentence = "farthing.llm needs the package wrapt, which is not installed: pip install 'farthing[llm]'"
    assert done.stderr.endswith(f"ImportError: {sentence}\n")


def test_a_stand_in_says_what_it_needs(tmp_path: Path) -> None:
    done = run("sqlite", "from farthing.fakes.models import running", cwd=tmp_path)
    assert "a stand-in needs the package uvicorn, which is not installed: pip install 'farthing[server]'" in done.stderr
