"""The bot of the examples: on a file, and unchanged against a server."""

import os
import subprocess
import sys
from pathlib import Path

import farthing
from tests.api.serving import Server

ROOT = Path(__file__).resolve().parents[2]
CONVERSATION = """\
ann: Hello there
ann: /image a cat
ann: /image a dragon
ann: Are you there?
ann: More
ben: /balance
ann: /history
"""
ANSWERS = [
    "You said 'Hello there', in 2 words. (15 credits left)",
    "[a picture of a cat]",
    "That takes 10 credits and you have 5: 5 are missing.",
    "You said 'Are you there?', in 3 words. (0 credits left)",
    "That takes 5 credits and you have 0: 5 are missing.",
    "You have 20 credits.",
    "charge -5; settle -10; charge -5; grant 20",
]


def answers(folder: Path, conversation: str = CONVERSATION, **environment: str) -> list[str]:
    """What the bot says."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **environment}
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "bot.py"], input=conversation, cwd=folder, env=env, text=True,
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [line.strip() for line in done.stdout.splitlines()[1::2]]


def test_the_bot_runs_on_a_file_and_forgets_nothing(tmp_path: Path) -> None:
    assert answers(tmp_path) == ANSWERS
    # The same messages, delivered once more.
    again = answers(tmp_path)
    assert again[:2] == [ANSWERS[0], "You have asked for that image before."]
    with farthing.connect(f"sqlite:///{tmp_path}/bot.db") as client:
        assert client.balance("ann").balance == 0


def test_an_image_that_could_not_be_made_costs_nothing(tmp_path: Path) -> None:
    told = answers(tmp_path, "cleo: /image a dragon\ncleo: /balance\n")
    assert told == ["No image (dragons can't be painted), and nothing was charged.", "You have 20 credits."]


def test_the_bot_runs_unchanged_against_a_server(tmp_path: Path, server: Server) -> None:
    key = server.new_key("admin")
    told = answers(tmp_path, FARTHING_URL=f"http://127.0.0.1:{server.port}", FARTHING_API_KEY=key)
    assert told == ANSWERS
    assert list(tmp_path.iterdir()) == []
