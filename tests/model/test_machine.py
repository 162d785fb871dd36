"""The ledger against the plain model: hypothesis walks both through the same commands and compares every step.

On SQLite alone, and on SQLite and PostgreSQL side by side. The long form: ./dev soak model model-on-both.
"""

import tempfile
from collections import Counter
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.model.twin import MakeBook
from tests.model.walk import Walk, on_both, on_sqlite
from tests.postgres import TEMPLATE, Databases

STEPS = 8_500
STEPS_ON_BOTH = 1_000
STEPS_IN_A_WALK = 50

KINDS = {
    "adjust", "charge", "extend", "grant", "hold", "lapse", "open", "refund", "release", "set", "settings", "settle",
    "void", "subscribe", "renew", "unsubscribe", "resume", "change", "end", "import",
}  # fmt: skip
RARE = {"end", "extend", "release"}
"""What short walks may not meet."""
COMMON_REFUSALS = {
    "frozen", "hold_ended", "hold_not_found", "insufficient_credits", "invalid", "key_conflict", "refund_too_large",
    "spend_limit", "not_due", "subscription_changed", "plan_not_found", "renewed_by_payment",
}  # fmt: skip


class LedgerMachine(RuleBasedStateMachine):
    """Each rule is one step of a walk; its bytes are its choices, and shrink to the plainest ones."""

    met: ClassVar[Counter[str]] = Counter()
    make_book = staticmethod(on_sqlite)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.walk = Walk(self.make_book(Path(self.folder.name) / "ledger.db"), note)

    @rule(data=st.binary(min_size=40, max_size=80))
    def step(self, data: bytes) -> None:
        self.walk.step(data)

    def teardown(self) -> None:
        try:
            self.walk.finish()
            self.met.update(self.walk.met)
        finally:
            self.walk.close()
            self.folder.cleanup()


def profile(steps: int) -> settings:
    """Walks of that many steps in all."""
    return settings(
        max_examples=steps // STEPS_IN_A_WALK * 5 // 4,  # some walks end early
        stateful_step_count=STEPS_IN_A_WALK,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def test_postgres_sqlite_and_the_plain_model_agree_on_every_step_and_every_row(databases: Databases):
    class TwinMachine(LedgerMachine):
        met: ClassVar[Counter[str]] = Counter()

        @staticmethod
        def make_book(path: Path) -> MakeBook:
            return on_both(path, databases.make(TEMPLATE))

    run_state_machine_as_test(TwinMachine, settings=profile(STEPS_ON_BOTH))
    assert TwinMachine.met["steps"] >= STEPS_ON_BOTH
    assert TwinMachine.met["rows that are the same on both"] >= STEPS_ON_BOTH
    assert {f"accepted {kind}" for kind in KINDS - RARE} - TwinMachine.met.keys() == set()


def test_the_ledger_and_the_plain_model_agree_on_every_step():
    LedgerMachine.met.clear()
    run_state_machine_as_test(LedgerMachine, settings=profile(STEPS))
    # That they agree says something only where much has happened.
    assert LedgerMachine.met["steps"] >= STEPS
    assert {f"accepted {kind}" for kind in KINDS} - LedgerMachine.met.keys() == set()
    assert {f"refused {code}" for code in COMMON_REFUSALS} - LedgerMachine.met.keys() == set()
