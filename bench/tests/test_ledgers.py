"""Farthing under test on PostgreSQL: filled by several processes, served in both ways, charged singly and in bulk."""

import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from bench.inprocess import Filling
from bench.ledgers import BALANCE_PATH, Ground, fill, fund, new_ledger, serving
from bench.postgres import Cluster
from bench.processes import cpu_seconds, in_environment
from bench.services import load, stop
from bench.traffic import BULK_PATH

ACCOUNTS = 20
SPIN = "import time\nwhile time.process_time() < 0.3: pass"
WAIT_FOR_IT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN!r}]); print(flush=True); input()"


@pytest.fixture
def ground(bench_cluster: Cluster, tmp_path: Path) -> Ground:
    return Ground(tmp_path, bench_cluster)


def test_two_processes_fill_a_ledger_that_doctor_finds_sound(ground, bench_cluster):
    with new_ledger(ground) as ledger:
        fill(ledger, accounts=7, entries=101, ids="ordered")
        kinds = bench_cluster.sql("select kind, count(*) from entry group by kind order by kind", ledger.database)
        assert "charge|101" in kinds.splitlines()
        assert "grant|7" in kinds.splitlines()
        assert ledger.doctor() == []
        assert ledger.size() > 0


def test_doctor_finds_what_is_wrong_on_postgresql_too(ground, bench_cluster):
    with new_ledger(ground) as ledger:
        fill(ledger, accounts=3, entries=0, ids="ordered")
        bench_cluster.sql("update account set balance = balance + 1", ledger.database)
        (problem,) = ledger.doctor()
        assert problem.startswith("doctor ended with ")


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_parts_of_a_filling_make_the_whole_and_share_no_account(parts):
    fillings = [Filling("main", accounts=10, entries=50, ids="random", part=p, parts=parts) for p in range(parts)]
    granted = [[command.account for command in filling.grants()] for filling in fillings]
    charged = [[command.account for command in filling.charges()] for filling in fillings]
    assert len({name for names in granted for name in names}) == sum(map(len, granted)) == 10
    assert sum(map(len, charged)) == 50
    assert all(set(some) <= set(theirs) for some, theirs in zip(charged, granted, strict=True))


@pytest.mark.parametrize("ports", [1, 2])
def test_single_charges_and_bulks_are_counted_alike_and_leave_sound_books(ground, ports):
    with new_ledger(ground) as ledger:
        with serving(ledger, ports=ports) as service:
            assert len(service.urls) == ports
            fund(service, ACCOUNTS)
            ground.settle()
            plan = {"accounts": ACCOUNTS, "connections": 4, "pick": "each"}
            single = load(service, requests=ACCOUNTS, **plan)
            bulk = load(service, requests=2, path=BULK_PATH, items=ACCOUNTS, **plan)
            assert single.problems == bulk.problems == ()
            assert (single.figures["ok"], bulk.figures["ok"]) == (ACCOUNTS, 2)
            spent = service.post(BALANCE_PATH, {"account_id": "bench-0000003"})["totalSpent"]
            assert spent == 1 + 2
            assert stop(service) == []
        assert ledger.doctor() == []


def test_a_bulk_whose_charges_were_refused_makes_the_turn_worthless(ground):
    with new_ledger(ground) as ledger, serving(ledger) as service:
        turn = load(service, requests=1, path=BULK_PATH, items=3, accounts=3, connections=1)
        assert turn.rate == 0
        assert turn.problems == ("farthing: 1 answers 200, not all of them charged",)


def test_the_time_of_processes_that_have_ended_counts():
    with subprocess.Popen([sys.executable, "-c", WAIT_FOR_IT], stdin=PIPE, stdout=PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert cpu_seconds([child.pid]) >= 0.25


def test_the_environment_of_a_block_is_gone_after_it(monkeypatch):
    monkeypatch.setenv("BENCH_OLD", "before")
    monkeypatch.delenv("BENCH_NEW", raising=False)
    see = [sys.executable, "-c", "import os; print(os.environ.get('BENCH_OLD'), os.environ.get('BENCH_NEW'))"]
    with in_environment({"BENCH_OLD": "within", "BENCH_NEW": "within"}):
        within = subprocess.check_output(see, text=True)
    assert (within, subprocess.check_output(see, text=True)) == ("within within\n", "before None\n")
