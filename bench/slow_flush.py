"""Owns the emulation of a slower disk: what a server flushes takes a given time longer, switched on and off at will.

The same for every contender, below all of them: a small library (`slow_flush.c`, compiled here) is preloaded into the
process that flushes, SQLite's or PostgreSQL's, and sleeps after each fdatasync and fsync while it is told to. Nobody's
group commit is cut short by that, and nobody's is done for him: who waits for a flush waits as for a slower disk.
(PostgreSQL's own `commit_delay` would not do: it sleeps before a flush so that others may join it, and knows nothing of
SQLite.)
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.processes import BenchError
from bench.services import Measurement

SOURCE = Path(__file__).with_name("slow_flush.c")
PAGE = "BENCH_SLOW_FLUSH"
FORM = struct.Struct("=QQQ")  # as `struct page` in the source: delay, flushes, what was added
EXTRA_US = 1000
LEAST_US = 950  # below this the machine did not sleep as it was told
NANO_PER_MICRO = 1000


@dataclass(frozen=True, slots=True)
class SlowFlush:
    """A switch for the processes that are started with its environment."""

    environment: dict[str, str]
    page: mmap.mmap

    @classmethod
    def make(cls, folder: Path) -> SlowFlush:
        """Compile the library and make its page, both in the folder."""
        library = compiled(folder)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="flush-", delete=False) as file:
            file.write(bytes(mmap.PAGESIZE))
            file.flush()
            place = Path(file.name)
            place.chmod(0o666)  # PostgreSQL may run as another user
            page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        return cls({"LD_PRELOAD": str(library), PAGE: str(place)}, page)

    def delay(self, extra_us: int) -> None:
        """From now on each flush takes so much longer; 0 is as it is."""
        struct.pack_into("=Q", self.page, 0, extra_us * NANO_PER_MICRO)

    def added(self) -> tuple[int, int]:
        """How many flushes were delayed so far, and by how many microseconds in all."""
        _, flushes, nanoseconds = FORM.unpack_from(self.page)
        return flushes, nanoseconds // NANO_PER_MICRO

    def slowed(self, measure: Callable[[], Measurement]) -> Callable[[], Measurement]:
        """The same turn with the delay; one in which it did not happen is worth nothing."""

        def run() -> Measurement:
            before = self.added()
            self.delay(EXTRA_US)
            try:
                measured = measure()
            finally:
                self.delay(0)
            flushes, added_us = (now - then for now, then in zip(self.added(), before, strict=True))
            each_us = added_us // flushes if flushes else 0
            figures = measured.figures | {"flushes_delayed": flushes, "delay_us": each_us}
            wrong = () if each_us >= LEAST_US else (f"{flushes} flushes took only {each_us} us longer",)
            return replace(measured, figures=figures, problems=measured.problems + wrong)

        return run


def compiled(folder: Path) -> Path:
    """The library, made by the system's C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchError("a slower disk is emulated by a few lines of C: install a compiler (apt-get install gcc)")
    library = folder / "slow_flush.so"
    if not library.exists():
        command = [compiler, "-O2", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"{SOURCE.name} does not compile: {done.stderr.strip()[-500:]}")
        library.chmod(0o755)
    return library
