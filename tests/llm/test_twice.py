"""What a hook's call makes its own of what is asked meanwhile, and for how long."""

from collections.abc import Iterator

import pytest

from farthing.core.metering import Policy
from farthing.llm import twice
from farthing.llm.call import ModelCall
from farthing.llm.reading import Asked
from farthing.llm.terms import Terms
from farthing.llm.twice import Making, asked, charged_below, ended, is_a_hooks


@pytest.fixture(autouse=True)
def nothing_else_is_made() -> Iterator[None]:
    Making.some = True
    before = twice._MAKING.set(())
    yield
    twice._MAKING.reset(before)


QUESTION = Asked(model="m", operation="chat", texts=("Hi",))


def call(account: str = "alice", text: str = "Hi", id: str = "") -> ModelCall:
    made = ModelCall(Asked(model="m", operation="chat", texts=(text,)), Terms(account=account, policy=Policy()))
    made.id = id
    return made


def test_what_is_asked_is_a_hook_s_until_its_answer_begins_to_come():
    first, second = Making(call()), Making(call())
    assert is_a_hooks(QUESTION)
    first.over()
    assert is_a_hooks(QUESTION)
    second.over()
    assert not is_a_hooks(QUESTION)


def test_what_asks_something_else_meanwhile_is_charged():
    Making(call())
    assert is_a_hooks(QUESTION)
    assert not is_a_hooks(Asked(model="m", operation="chat", texts=("Something else",)))
    assert not is_a_hooks(Asked(model="another", operation="chat", texts=("Hi",)))


def test_a_run_whose_end_nobody_tells_claims_nothing_after_its_hold(monkeypatch: pytest.MonkeyPatch):
    now = 1_000.0
    monkeypatch.setattr(twice, "monotonic", lambda: now)
    Making(call())
    assert is_a_hooks(QUESTION)
    now += Policy().hold_seconds
    assert not is_a_hooks(QUESTION)


def test_of_what_a_hook_does_not_claim_only_the_same_question_is_its_own():
    makings = []
    for each in (call(text="Something else"), call(), refused := call()):
        makings.append(Making(call(), claims=False))
        assert not is_a_hooks(QUESTION)
        asked(each)
        if each is refused:
            each.end("refused")
        makings[-1].over()
    assert [charged_below(call(), 0.0, making) for making in makings] == [False, True, False]


def test_an_answer_is_the_same_by_its_id_and_tokens_and_not_older_than_the_call(monkeypatch: pytest.MonkeyPatch):
    now = 1_000.0
    monkeypatch.setattr(twice, "monotonic", lambda: now)
    ended(call(id="answer-1"))
    assert charged_below(call(id="answer-1"), now - 1, None)
    assert not charged_below(call(id="answer-1"), now + 1, None)
    assert not charged_below(call(id="answer-2"), now - 1, None)
    assert not charged_below(call("bob", id="answer-1"), now - 1, None)
    assert not charged_below(call(), now - 1, None)
