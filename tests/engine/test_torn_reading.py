"""What a batch reads on PostgreSQL is of one moment: who ends the same hold, or repays the same debt, has to wait."""

import asyncio
from typing import Any

import pytest

from farthing.app import Ledger, open_ledger
from farthing.core.commands import MINUTE_US as MINUTE
from farthing.core.commands import Command, CreateAccount, GiveGrant, PlaceHold, Refund, Settle, TakeCharge, Void
from farthing.core.outcomes import Outcome
from farthing.core.records import Entry, Workspace, WorkspaceSettings
from farthing.stores.access import Act
from tests.support import UNIT, entry_of, grant_id, hold_id

ALICE: dict[str, Any] = {"workspace": "main", "account": "alice"}
LATER_SECONDS = 0.3
"""What the other one has time for, unless he has to wait."""


def settle(granted: Entry, charged: Entry, held: Entry) -> Command:
    return Settle(**ALICE, hold=hold_id(held), amount=UNIT, key="k")


def settle_by_its_hold_alone(granted: Entry, charged: Entry, held: Entry) -> Command:
    return Settle(workspace="main", account="", hold=hold_id(held), amount=UNIT, key="k")


def refund(granted: Entry, charged: Entry, held: Entry) -> Command:
    return Refund(**ALICE, charge=charged.id, key="k")


def void(granted: Entry, charged: Entry, held: Entry) -> Command:
    return Void(**ALICE, grant=grant_id(granted), key="k")


@pytest.mark.parametrize("make", [settle, settle_by_its_hold_alone, refund, void])
def test_two_who_ask_for_the_same_are_told_the_same_though_one_comes_while_the_other_reads(postgres_url, make):
    with open_ledger(postgres_url) as mine, open_ledger(postgres_url) as other:
        workspace = Workspace("main", "Main", "test", "credits", 6, 1, WorkspaceSettings())
        mine.wait(mine.access.create_workspace(workspace, Act("test", 1)))
        made = [
            entry_of(mine.do(command))
            for command in (
                GiveGrant(**ALICE, amount=100 * UNIT),
                TakeCharge(**ALICE, amount=5 * UNIT),
                PlaceHold(**ALICE, amount=10 * UNIT, ttl=MINUTE),
            )
        ]
        theirs = between_its_statements(mine, other, make(*made), "_load_holds")
        first = entry_of(mine.do(make(*made)))
        assert entry_of(theirs[0].result(60)) == first


def test_what_a_grant_would_repay_is_told_of_one_moment_though_somebody_else_repays_the_debt_meanwhile(postgres_url):
    """A dry run, since what is written would find out by itself."""
    with open_ledger(postgres_url) as mine, open_ledger(postgres_url) as other:
        workspace = Workspace("main", "Main", "test", "credits", 6, 1, WorkspaceSettings())
        mine.wait(mine.access.create_workspace(workspace, Act("test", 1)))
        entry_of(mine.do(CreateAccount(**ALICE)))
        entry_of(mine.do(TakeCharge(**ALICE, amount=5 * UNIT, shortfall="debt")))
        theirs = between_its_statements(mine, other, GiveGrant(**ALICE, amount=5 * UNIT), "_load_more")
        dry = entry_of(mine.wait(mine.engine.ask(GiveGrant(**ALICE, amount=9 * UNIT), dry=True)))
        assert (dry.balance, dry.debt) == (4 * UNIT, 0)
        granted = entry_of(theirs[0].result(60))
        assert (granted.number, granted.balance, granted.debt) == (dry.number, 0, 0)


def between_its_statements(mine: Ledger, other: Ledger, command: Command, reads: str) -> list[Any]:
    """The other is asked when mine has read its account and is about to read what else it needs: by that verb."""
    store: Any = mine.engine._store
    load = getattr(store, reads)
    asked: list[asyncio.Future[Outcome]] = []

    async def later(*args: Any) -> None:
        setattr(store, reads, load)
        assert other._own_loop is not None
        asked.append(asyncio.run_coroutine_threadsafe(other.engine.ask(command), other._own_loop.loop))  # type: ignore[arg-type]
        await asyncio.sleep(LATER_SECONDS)
        await load(*args)

    setattr(store, reads, later)
    return asked
