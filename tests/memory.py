"""Where the files of a run of the tests lie: in memory, where there is plenty of it.

Databases flush what they commit as they do in earnest, and tests kill processes, which loses nothing that was written;
none cuts the power. So a disk would prove no more, and take most of the time: over a thousand databases are made, and
each waits for it dozens of times. Whoever wants it all on a disk says so: TMPDIR=/tmp ./dev test.
"""

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
ROOM = 3 << 30
"""What a run takes at the most."""
SPARE = 3 << 30
"""What the machine needs beside that."""


def put_files_in_memory() -> None:
    """Make it the folder for temporary files, of this process and those that it starts."""
    if "TMPDIR" not in os.environ and has_room(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # so that it is looked up again


def is_in_memory(path: Path) -> bool:
    """Whether it takes no disk."""
    return path.is_relative_to(MEMORY)


def has_room(folder: Path) -> bool:
    """Whether files of a run may lie there, programs among them."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    there = os.statvfs(folder)
    return (
        not there.f_flag & os.ST_NOEXEC
        and there.f_bavail * there.f_frsize >= ROOM
        and _available_bytes() >= ROOM + SPARE
    )


def _available_bytes() -> int:
    """The memory that may be used: what the machine has left, or what a container is given, which may be less."""
    left = [line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line]
    given = [path.read_text().strip() for path in LIMITS if path.exists()]
    return min((*(int(each) * 1024 for each in left), *(int(each) for each in given if each != "max")), default=0)
