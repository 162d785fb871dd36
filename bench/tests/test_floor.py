"""The floor is one: each transaction that pgbench counts is a charge with its key, and no account goes below zero."""

from collections.abc import Iterator

import pytest

from bench import pgbench
from bench.postgres import Cluster

ACCOUNTS = 50


@pytest.fixture
def floor(bench_cluster: Cluster) -> Iterator[Cluster]:
    pgbench.prepare(bench_cluster, ACCOUNTS)
    yield bench_cluster
    bench_cluster.sql("drop table floor_entry, floor_account")


def test_what_pgbench_counts_was_charged_and_booked(floor):
    first, second = pgbench.load(floor, 1, ACCOUNTS), pgbench.load(floor, 1, ACCOUNTS)
    assert first.problems == second.problems == ()
    assert int(floor.sql("select count(*) from floor_entry")) == first.figures["ok"] + second.figures["ok"] > 0
    assert pgbench.problems(floor) == []


def test_what_a_charge_costs_is_told_though_the_sessions_have_ended(floor):
    turn = pgbench.load(floor, 1, ACCOUNTS)
    assert turn.cpu_us["postgres"] > 0
    assert turn.cpu_us["generator"] > 0


def test_keys_are_as_long_as_all_and_come_in_the_order_of_time(floor):
    pgbench.load(floor, 1, ACCOUNTS, clients=1)
    assert floor.sql("select distinct length(key) from floor_entry") == "32"
    assert floor.sql("select count(*) from (select created_at < lag(created_at) over (order by key) as back"
                     " from floor_entry) e where back") == "0"  # fmt: skip


def test_an_account_without_credits_is_not_charged(floor):
    floor.sql(f"update floor_account set balance = {pgbench.MICRO - 1}")
    pgbench.load(floor, 1, ACCOUNTS)
    assert floor.sql("select count(*) from floor_entry") == "0"


def test_the_check_finds_a_balance_that_no_entry_explains(floor):
    floor.sql("update floor_account set balance = balance - 1 where id = 7")
    assert len(pgbench.problems(floor)) == 1
