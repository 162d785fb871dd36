"""What the bench's tests share: a PostgreSQL cluster with the bench's own settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.postgres import Cluster, cluster


@pytest.fixture(scope="session")
def bench_cluster() -> Iterator[Cluster]:
    with cluster() as running:
        yield running
