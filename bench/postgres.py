"""Owns the settings of the throw-away PostgreSQL cluster that Farthing, the baseline and the floor run on alike:
durable, sensibly tuned. The cluster itself is that of the tests.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.processes import BenchError, in_environment
from tests import postgres
from tests.postgres import Cluster as Cluster

DATABASE = "bench"


@contextlib.contextmanager
def cluster(parent: Path | None = None, environment: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A fresh cluster for the length of the block, in a temporary folder under `parent`; always stopped and removed."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with contextlib.ExitStack() as stack:
            with in_environment(environment or {}):
                made = stack.enter_context(postgres.cluster(parent, settings=settings(memory), database=DATABASE))
            yield made
    except postgres.PostgresTrouble as trouble:
        raise BenchError(str(trouble)) from trouble


def settings(memory_bytes: int) -> dict[str, str]:
    """Durable as it comes; room for what the bench writes, so that checkpoints do not fall into a measurement."""
    shared = min(max(memory_bytes // 4, 128 << 20), 2 << 30)
    return {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "shared_buffers": f"{shared >> 20}MB",
        "effective_cache_size": f"{memory_bytes // 2 >> 20}MB",
        "wal_buffers": "16MB",
        "min_wal_size": "1GB",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "30min",
        "max_connections": "120",
        "random_page_cost": "1.1",
        "jit": "off",
        "log_min_messages": "warning",
    }
