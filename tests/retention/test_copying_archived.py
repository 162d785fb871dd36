"""A ledger whose first entries are archived is copied to another database with all that stays of them."""

from pathlib import Path

import pytest

from farthing.copying import copy
from farthing.core.commands import TakeCharge
from farthing.doctor import examine
from farthing.stores import sqlite
from farthing.stores.copying import CopyError
from farthing.stores.postgres_sync import SyncConnection
from farthing.stores.schema import bring_up_to_date
from tests.retention.aging import MAIN, Aging
from tests.support import USED


def archived(local: Aging) -> None:
    local.shop.grant("alice", 100, key="g", claim=("stripe", "pi_1"))
    local.shop.do(TakeCharge(**MAIN, amount=5, usage=USED, key="c"))
    local.wait_days(60)
    local.shop.charge("alice", 1)
    local.retire()
    local.fold()


def test_checkpoints_keys_and_sums_go_along_and_doctor_follows_the_files(
    local: Aging, postgres_url: str, tmp_path: Path
) -> None:
    archived(local)
    local.close()
    there = tmp_path / "back.db"
    sqlite.connect(there, create=True).close()
    bring_up_to_date(there)
    assert copy(local.place, postgres_url).complete
    assert copy(postgres_url, there).complete
    for place in (postgres_url, there):
        report = examine(place, archives=local.files)
        assert ([f.sentence for f in report.findings], report.archived, report.entries) == ([], 3, 1)
    with SyncConnection(postgres_url) as server:
        ((requests,),) = server.rows("select sum(requests) from rollup where account <> ''")
        assert requests == 2
        # Nothing is added to them once more.
        assert server.rows("select batch > 0 from lane where id = 0") == [(True,)]


def test_sums_that_are_not_complete_are_completed_first(local: Aging, postgres_url: str) -> None:
    archived(local)
    local.shop.charge("alice", 1)
    local.close()
    with pytest.raises(CopyError, match="worker --once"):
        copy(local.place, postgres_url)
