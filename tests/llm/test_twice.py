"""What tells that a call is charged by a hook and by its client, and for how long."""

import logging
from collections.abc import Callable, Iterator

import pytest

from farthing.core.metering import Policy
from farthing.llm import twice
from farthing.llm.call import ModelCall
from farthing.llm.reading import Asked
from farthing.llm.terms import Terms
from farthing.llm.twice import Making, asked


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], int]]:
    """How often it was told."""
    before = twice._MAKING.set(())
    caplog.set_level(logging.WARNING)

    def count() -> int:
        found = len([record for record in caplog.records if "charged twice" in record.getMessage()])
        caplog.clear()
        twice._tell.cache_clear()
        return found

    count()
    yield count
    twice._MAKING.reset(before)


def call(model: str = "m", text: str = "Hi", guest: bool = False) -> ModelCall:
    return ModelCall(
        Asked(model=model, operation="chat", texts=(text,)), Terms(account="alice", policy=Policy(), guest=guest)
    )  # fmt: skip


def test_the_same_question_below_a_hook_is_told_of_until_its_answer_comes(told: Callable[[], int]):
    asked(call())
    assert told() == 0
    making = Making(call())
    asked(call())
    asked(call())
    assert told() == 1
    making.over()
    asked(call())
    assert told() == 0


def test_another_question_and_a_guests_are_not(told: Callable[[], int]):
    Making(call())
    for other in (call(text="Something else"), call(model="another"), call(guest=True)):
        asked(other)
    assert told() == 0


def test_a_run_whose_end_nobody_tells_is_forgotten_with_its_hold(
    told: Callable[[], int], monkeypatch: pytest.MonkeyPatch
):
    now = 1_000.0
    monkeypatch.setattr(twice, "monotonic", lambda: now)
    Making(call())
    now += Policy().hold_seconds
    asked(call())
    assert told() == 0
