"""The command line as the tests use it: run in this process (fast) or as a program of its own (real signals)."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from farthing.cli.root import run

PROGRAM = [sys.executable, "-c", "from farthing.cli import main; main()"]
URL = "sqlite:///farthing.db"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        (line,) = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


class Keyboard(io.TextIOWrapper):
    """Standard input where somebody sits and types."""

    def isatty(self) -> bool:
        return True


class Cli:
    """`farthing` in a folder of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *words: str, input: str | bytes = "", typed: bool = False) -> Done:
        """Run a command; standard input is a terminal only where it is `typed`."""
        raw = input.encode() if isinstance(input, str) else input
        self._capsys.readouterr()
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", (Keyboard if typed else io.TextIOWrapper)(io.BytesIO(raw)))
            code = run(list(words))
        told = self._capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        return Done(code, told.out, told.err)

    def ok(self, *words: str, input: str | bytes = "") -> dict[str, Any]:
        """A command that must go well: its JSON."""
        done = self(*words, "--json", input=input)
        assert done.code == 0, done
        return done.json

    def told(self, *words: str, input: str | bytes = "") -> str:
        """A command that must go well: its text."""
        done = self(*words, input=input)
        assert done.code == 0, done
        return done.out

    def fails(self, *words: str, input: str | bytes = "") -> tuple[int, str, str]:
        """A command that must fail, in both forms alike: exit code, code, sentence."""
        text, object = self(*words, input=input), self(*words, "--json", input=input)
        assert text.out == "", "what fails has no answer"
        assert text.code == object.code != 0, (text, object)
        error = object.json["error"]
        assert error["message"] in text.err.replace("\n", " "), text.err
        assert text.err.startswith("farthing: ")
        return text.code, error["code"], error["message"]


@dataclass(frozen=True)
class Running:
    """A program that serves."""

    process: subprocess.Popen[str]
    first: dict[str, Any]

    @property
    def address(self) -> str:
        """Where it listens."""
        address: str = self.first["listening"]
        return address

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Exit code, and what it still said."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@contextmanager
def program(*words: str, folder: Path, **environment: str) -> Iterator[Running]:
    """Start a serving command with --json and wait for its first line."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FARTHING_")} | environment
    started = subprocess.Popen(
        [*PROGRAM, *words, "--json"],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        if not line:
            raise AssertionError(f"it ended with {started.wait(60)}: {started.communicate()[1]}")
        yield Running(started, json.loads(line))
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


def execute(*words: str, folder: Path, input: str = "", **environment: str) -> Done:
    """Run a command as a program of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FARTHING_")} | environment
    done = subprocess.run(
        [*PROGRAM, *words], cwd=folder, env=env, input=input, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stdout + done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def until(right: Any, seconds: float = 60) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not right():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)
