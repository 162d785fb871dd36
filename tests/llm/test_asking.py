"""What is asked of a model, and of the ledger before it: the texts of messages and their tokens, what a hold is for, by
which policy and under which keys.
"""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.client.bodies import usage_body
from farthing.client.errors import FarthingError
from farthing.core.estimate import count_tokens, weigh
from farthing.core.metering import Policy, PolicyError
from farthing.llm.asking import texts_of
from farthing.llm.call import ModelCall
from farthing.llm.keys import Keys, keys_of
from farthing.llm.policy import chosen, times
from farthing.llm.reading import Asked, has_more, said
from farthing.llm.terms import Terms
from farthing.llm.used import Used

CHARACTERS = st.one_of(
    st.sampled_from(
        "a\xe9\u07ff\u0800\u201c\u2e7f\u2e80\u2fff\u3000\ud7ff\ud800\udfff\ue000\uffff\U00010000\U0010ffff"
    ),
    st.characters(exclude_categories=()),
)
MESSAGES: list[Any] = [
    "alone", None, 7, {}, {"role": "user", "content": "plain"}, {"role": "user", "name": "bob", "content": ""},
    {"role": "user", "content": None}, {"role": "user", "content": []},
    {"role": "user", "content": [{"type": "text", "text": "in "}, {"type": "input_text", "text": "parts"}]},
    {"role": "user", "content": [{"type": "text", "text": "kept", "cache_control": {"type": "ephemeral"}}]},
    {"role": "user", "content": [{"type": "text", "text": None}]}, {"role": "user", "content": ["bare", "texts"]},
    {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "u"}}]},
    {"role": "user", "content": [{"type": "image"}]}, {"role": "user", "content": {"text": "one part"}},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}]},
    {"role": "assistant", "content": "thought", "reasoning_content": "over"},
    {"type": "function_call", "name": "f", "arguments": "{}"}, {"type": "item_reference", "id": "i"},
    {"role": "assistant", "content": [{"type": "output_text", "text": "said", "annotations": []}]},
    {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "found"}]}]},
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_a_message_says_the_same_whether_it_is_plain_or_not(message: Any):
    assert texts_of([message]) == ((said(message),), has_more(message))


def test_one_message_that_is_more_than_text_is_enough():
    texts, more = texts_of(MESSAGES)
    assert more
    assert texts == tuple(map(said, MESSAGES))
    assert texts_of([]) == ((), False)


@given(st.text(CHARACTERS))
def test_a_text_weighs_its_wide_characters_and_the_bytes_of_the_others(text: str):
    wide = [character for character in text if character >= "\u2e80"]
    narrow = "".join(character for character in text if character < "\u2e80")
    assert weigh(text) == (len(wide), len(narrow.encode()))
    assert count_tokens(text) == len(wide) - (-len(narrow.encode()) // 4)


@pytest.mark.parametrize(
    ("factor", "tokens", "expected"),
    [("1", 7, 7), ("1.25", 500, 625), ("1.25", 1, 2), ("1.000000001", 100, 101), ("0", 9, 0), ("0.5", 3, 2)],
)
def test_tokens_by_a_factor_are_rounded_up(factor: str, tokens: int, expected: int):
    assert times(factor, tokens) == expected


def held_for(used: dict[str, int], **words: Any) -> Any:
    policy = chosen("", "", {"factor": "1", "output_tokens": used["output_tokens"]})
    asked = Asked(model="m-1", operation="chat", texts=("x" * 4 * (used["input_tokens"] - 4),))
    call = ModelCall(asked, Terms(account="a", policy=policy, **words))
    return msgspec.json.decode(next(call.opening(0.0, _never)).body)


def _never(error: FarthingError) -> bool:
    return False


@pytest.mark.parametrize(
    "words",
    [{}, {"service": "s", "operation": "o", "product": "p", "chat": "c", "provider": "azure"}, {"service": ""}],
    ids=repr,
)
def test_a_hold_says_what_a_usage_of_so_many_tokens_says(words: dict[str, Any]):
    counts = {"input_tokens": 9, "output_tokens": 30}
    wanted = usage_body(Used(counts=counts).usage(model="m-1", **words))
    assert held_for(counts, **words)["usage"] == wanted


def test_a_policy_is_read_as_it_is_given_now():
    mine: dict[str, Any] = {"factor": 2}
    document = '{"policy": {"output_tokens": 7}, "services": {"s": {"factor": "3"}}}'
    assert chosen(document, "s") == Policy(output_tokens=7, factor="3")
    assert chosen(document, "s", mine) == Policy(output_tokens=7, factor="2")
    mine["factor"] = "4"
    assert chosen(document, "s", mine) == Policy(output_tokens=7, factor="4")
    mine["extend"] = 1
    with pytest.raises(PolicyError, match="extend"):
        chosen(document, "s", mine)


def test_what_has_no_name_is_asked_under_keys_that_nobody_else_has():
    drawn = [keys_of("", 1) for _ in range(3)]
    assert len({key for each in drawn for key in (each.hold, each.charge, each.release)}) == 9


def test_a_call_with_a_name_is_charged_under_one_key_whatever_the_attempt():
    assert keys_of("job", 1) == Keys("metered:job:hold:1", "metered:job:charge", "metered:job:release:1")
    assert keys_of("job", 2) == Keys("metered:job:hold:2", "metered:job:charge", "metered:job:release:2")
