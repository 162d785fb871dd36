"""Several processes on one file: nothing is lost, nothing doubled, nobody waits for ever."""

import multiprocessing
from pathlib import Path

from farthing.app import open_ledger
from farthing.core.commands import GiveGrant, TakeCharge
from farthing.core.outcomes import Accepted, Refusal, Refused
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.stores.access import Act
from farthing.stores.contract import result_of
from tests.hammer import run_farthing

UNIT = 1_000_000


def charge_many(url: str, name: str, keys: list[str], results: "multiprocessing.Queue[list[str]]") -> None:
    told = []
    with open_ledger(url) as ledger:
        for key in keys:
            outcome = ledger.do(TakeCharge(workspace="main", account="shared", amount=UNIT, key=key))
            if isinstance(outcome, Accepted) and outcome.entry:
                told.append(f"{key} {outcome.entry.id}")
            else:
                assert isinstance(outcome, Refused)
                assert outcome.code == Refusal.INSUFFICIENT_CREDITS
    results.put(told)


def make(path: Path, credits: int) -> str:
    url = f"sqlite:///{path}"
    with open_ledger(url, create=True) as ledger:
        workspace = Workspace("main", "Main", "test", "credits", 6, 1, WorkspaceSettings())
        result_of(ledger.access.create_workspace(workspace, Act("test", 1)))
        ledger.do(GiveGrant(workspace="main", account="shared", amount=credits * UNIT))
    return url


def run_four(url: str, keys: list[list[str]]) -> list[str]:
    spawn = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[list[str]] = spawn.Queue()
    processes = [spawn.Process(target=charge_many, args=(url, f"p{n}", mine, results)) for n, mine in enumerate(keys)]
    for process in processes:
        process.start()
    told = [line for _ in processes for line in results.get(timeout=120)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return told


def test_four_embedding_processes_spend_exactly_what_is_there(tmp_path: Path) -> None:
    url = make(tmp_path / "four.db", credits=250)
    told = run_four(url, [[f"p{n}-{i}" for i in range(100)] for n in range(4)])
    assert len(told) == 250
    with open_ledger(url) as ledger:
        account = result_of(ledger.reports.account("main", "shared", ledger.clock.now_us()))
        assert account is not None
        assert (account.balance, account.spent) == (0, 250 * UNIT)
    assert run_farthing("doctor", "--db", url)["ok"] is True


def test_four_processes_with_the_same_keys_charge_each_key_once(tmp_path: Path) -> None:
    url = make(tmp_path / "same.db", credits=1_000)
    told = run_four(url, [[f"key-{i}" for i in range(60)]] * 4)
    assert len(told) == 240
    assert len(set(told)) == 60
    with open_ledger(url) as ledger:
        account = result_of(ledger.reports.account("main", "shared", ledger.clock.now_us()))
        assert account is not None
        assert account.spent == 60 * UNIT
