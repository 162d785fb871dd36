"""The twin: makes the synchronous client from the asynchronous one, word by word.

`python -m tests.client.twin` writes `client/sync` and `compat/sync`; a test compares it with what would be written now.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "src" / "farthing" / "client"
COMPAT = ROOT / "src" / "farthing" / "compat"
SOURCE, TARGET = CLIENT / "aio", CLIENT / "sync"
NOTE = "Made from `aio/{name}` by `python -m tests.client.twin`: change that, not this."
WORDS = (
    (r"from asyncio import sleep", "from time import sleep"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncGenerator\[(.*), None\]", r"Generator[\1, None, None]"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b__a(enter|exit|iter)__\b", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"for (\w+) in (.+):\n\s+yield \1\b(?=\n)", r"yield from \2"),
    (r"\bashut\b", "shut"),
    (r"\baclosing\b", "closing"),
    (r"\banext\b", "next"),
    (r"\baread\b", "read"),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\batell(_of)?\b", r"tell\1"),
    (r"\baconnect\b", "connect"),
    # What no cancellation reaches needs nothing to be finished by.
    (r"from \.\.finishing import afinished\n", ""),
    (r"\bafinished\((.*)\)", r"\1"),
)


def twin_of(name: str, source: str) -> str:
    """The synchronous form of a file."""
    text = source
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    first, _, rest = text.partition('"""')[2].partition('"""')
    made = f'"""{first.rstrip()}\n\n{NOTE.format(name=name)}\n"""{rest}'
    return _formatted(_formatted(made, "check", "--fix", "--select", "I", "--quiet"), "format", "--quiet")


def _formatted(text: str, *command: str) -> str:
    """As the formatter of the house would have it."""
    ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(TARGET / "made.py"), "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def twins(room: Path = CLIENT) -> dict[str, str]:
    """All files of a room's synchronous half, by name."""
    names = sorted(path.name for path in (room / "aio").glob("*.py") if path.name != "__init__.py")
    return {name: twin_of(name, (room / "aio" / name).read_text()) for name in names}


def main() -> None:
    """Write them."""
    for room in (CLIENT, COMPAT):
        for name, text in twins(room).items():
            (room / "sync" / name).write_text(text)


if __name__ == "__main__":
    main()
