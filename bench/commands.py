"""Owns commands of Farthing that are measured as whole processes: how long, in how much memory, and what they told."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.ledgers import farthing_command
from bench.processes import REPO, peak_bytes
from bench.services import Measurement

MEBI = 1 << 20
LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Ran:
    """Processes that were started together and have all ended."""

    seconds: float
    peak_mb: float
    """The most memory that one of them had."""
    cpu_seconds: float
    told: list[dict[str, Any]]
    """The JSON of each; empty where there was none."""
    problems: tuple[str, ...]

    def measured(self, count: int, **figures: Any) -> Measurement:
        """A turn in which so many things were done."""
        nothing = dict.fromkeys(("mean_ms", "p50_ms", "p99_ms", "max_ms"))
        known = {"rate": count / self.seconds, "peak_mb": self.peak_mb, "seconds": self.seconds}
        cpu = {"server": round(self.cpu_seconds * 1e6 / count, 1)}
        return Measurement(nothing | known | figures, cpu, self.problems)


def run_commands(*commands: Sequence[str]) -> Ran:
    """Run Farthing with each of these words at the same time, until the last has ended."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        running = [
            subprocess.Popen(
                [*farthing_command(), *words, "--json"], stdout=file, stderr=subprocess.DEVNULL, cwd=REPO
            )
            for words, file in zip(commands, files, strict=True)
        ]  # fmt: skip
        peak = 0
        while any(process.poll() is None for process in running):
            peak = max(peak, *(peak_bytes(process.pid) for process in running))
            time.sleep(LOOK_SECONDS)
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        told = [_told(file) for file in files]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    problems = tuple(
        f"{words[0]} ended with {p.returncode}" for words, p in zip(commands, running, strict=True) if p.returncode
    )
    return Ran(seconds, peak / MEBI, cpu, told, problems)


def _told(file: Any) -> dict[str, Any]:
    file.seek(0)
    try:
        found: dict[str, Any] = json.loads(file.read())
    except ValueError:
        return {}
    return found
