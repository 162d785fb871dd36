"""The page about tokens: its commands set up what they say, its program runs, its figures are those of the code."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from farthing.identity import jwks, tokens
from farthing.identity.presets import LEAST_SECRET_BYTES, PRESETS
from tests.cli.command import Cli, program

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "tokens.md").read_text()
COMMANDS = re.findall(r"^farthing (issuers add .*)$", PAGE, re.MULTILINE)
SECRET = "a secret that is long enough for HS256"


def test_its_commands_set_up_an_issuer_each_and_every_preset(ledger: Cli):
    for line in COMMANDS:
        ledger.ok(*shlex.split(line.partition(" < ")[0]), input=SECRET)
    assert len(ledger.ok("issuers", "list")["data"]) == len(COMMANDS) == 5
    assert all(f"--preset {name} " in PAGE for name in PRESETS)


def test_its_program_reads_a_balance(funded: Cli):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    Path("auth-secret").write_text(f"{SECRET}\n")
    funded.ok(*shlex.split(COMMANDS[0].partition(" < ")[0]), input=f"{SECRET}\n")
    with program("serve", "--port", "0", folder=Path.cwd()) as served:
        here = code.replace("http://127.0.0.1:8787", served.address)
        done = subprocess.run([sys.executable, "-c", here], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (printed, "")


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (LEAST_SECRET_BYTES, "at least {} bytes"),
        (tokens.LEEWAY_US // tokens.SECOND_US, "more than {} seconds ago"),
        (jwks.FRESH_SECONDS // 60, "every {} minutes"),
        (jwks.AGAIN_SECONDS, "at most every {} seconds"),
    ],
)
def test_its_figures_are_those_of_the_code(figure: int, words: str):
    assert words.format(figure) in " ".join(PAGE.split())


def test_its_messages_are_those_of_the_code():
    told = set(re.findall(r"^\| `([A-Z][a-z ]+)` \|", PAGE, re.MULTILINE))
    assert told == {problem.value for problem in tokens.TokenProblem} | {"Authentication token required"}


def test_keys_are_kept_for_the_day_that_it_says():
    assert jwks.KEPT_SECONDS == 86_400
    assert "for a day at most" in PAGE
