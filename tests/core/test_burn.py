"""Burn order and scope: which grant pays first, down to the last tie, and which may pay at all."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core import burn
from farthing.core.records import Grant


def grant(id: str = "g", remaining: int = 10, held: int = 0, **terms) -> Grant:
    fields = {"category": "paid", "priority": 50, "expires_at": None, "created_at": 0, **terms}
    return Grant(id, remaining, held, **fields)


IN_ORDER = [
    grant("a", scope=("chat",), priority=100),
    grant("b", priority=0, category="paid", expires_at=None),
    grant("c", priority=10, expires_at=99),
    grant("d", expires_at=1, category="paid", created_at=9),
    grant("e", expires_at=2, category="promotional", created_at=9),
    grant("f", expires_at=2, category="paid", created_at=0),
    grant("g", category="promotional", created_at=5),
    grant("h", category="promotional", created_at=6),
    grant("i", category="paid", created_at=1),
    grant("j", category="paid", created_at=1),
]


def test_the_order_is_scope_priority_expiry_promotional_age_id():
    """Each differs from the next by the first rule that tells them apart, against all later ones."""
    for seed in range(50):
        shuffled = random.Random(seed).sample(IN_ORDER, len(IN_ORDER))
        assert [g.id for g in sorted(shuffled, key=burn.order)] == [g.id for g in IN_ORDER]


def test_inserting_keeps_the_order():
    for seed in range(50):
        grants: list[Grant] = []
        for g in random.Random(seed).sample(IN_ORDER, len(IN_ORDER)):
            burn.insert(grants, g)
        assert grants == IN_ORDER


grants_of_any_kind = st.builds(
    grant,
    id=st.sampled_from("abcd"),
    category=st.sampled_from(("paid", "promotional")),
    priority=st.sampled_from((0, 50, 100)),
    expires_at=st.sampled_from((None, 1, 2**61)),
    created_at=st.sampled_from((0, 1)),
    scope=st.sampled_from(((), ("x",))),
)


@given(grants_of_any_kind, grants_of_any_kind)
def test_the_order_is_total_only_the_same_id_can_tie(first, second):
    if burn.order(first) == burn.order(second):
        assert first.id == second.id


@pytest.mark.parametrize(
    ("scope", "operation", "attributes", "matches"),
    [
        ((), "", {}, True),
        ((), "chat", {"model": "m"}, True),
        (("chat",), "chat", {}, True),
        (("chat",), "chat.long", {}, False),
        (("chat",), "", {}, False),
        (("chat*",), "chat.long", {}, True),
        (("*",), "anything", {}, True),
        (("*",), "", {}, False),
        (("operation:chat",), "chat", {}, True),
        (("model:gpt-4o",), "chat", {"model": "gpt-4o"}, True),
        (("model:gpt-4o",), "gpt-4o", {}, False),
        (("model:gpt*",), "", {"model": "gpt-4o"}, True),
        (("model:amazon.nova:0",), "", {"model": "amazon.nova:0"}, True),
        (("amazon.nova:0",), "amazon.nova:0", {}, True),
        (("service:s",), "", {"model": "s"}, False),
        (("product:p", "service:s"), "", {"service": "s"}, True),
        (("chat", "image"), "image", {}, True),
        (("Chat",), "chat", {}, False),
        (("ch*t",), "chat", {}, False),
    ],
)
def test_a_scope_is_patterns_over_operation_service_model_product(scope, operation, attributes, matches):
    assert burn.eligible(grant(scope=scope), operation, attributes) is matches


def test_a_plan_takes_free_credits_in_order_and_leaves_what_is_held():
    grants = [grant("a", 10, 4), grant("b", 5, 5), grant("c", 10)]
    assert list(burn.plan(grants, 8, "", {})) == [(0, 6), (2, 2)]


def test_a_plan_passes_over_scopes_that_do_not_match():
    grants = [grant("a", 10, scope=("image",)), grant("b", 10)]
    assert list(burn.plan(grants, 15, "chat", {})) == [(1, 10)]
    assert list(burn.plan(grants, 15, "image", {})) == [(0, 10), (1, 5)]


def test_a_plan_for_nothing_is_empty():
    assert list(burn.plan([grant()], 0, "", {})) == []


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=6), st.integers(0, 60))
def test_a_plan_takes_all_that_is_asked_or_all_that_is_free(sizes, amount):
    grants = [grant(str(n), left, min(held, left)) for n, (left, held) in enumerate(sizes)]
    planned = list(burn.plan(grants, amount, "", {}))
    assert sum(part for _, part in planned) == min(amount, burn.free(grants))
    assert all(0 < part <= grants[at].remaining - grants[at].held for at, part in planned)


def test_what_is_out_of_scope_is_free_credits_only():
    grants = [grant("a", 10, 3, scope=("image",)), grant("b", 5, scope=("chat",)), grant("c", 2)]
    assert [burn.out_of_scope(grants, op, {}) for op in ("image", "chat", "")] == [5, 7, 12]


def test_the_order_does_not_hang_on_the_order_of_arrival():
    trio = [grant("a", created_at=1), grant("b", created_at=1), grant("c", created_at=0)]
    orders = {tuple(g.id for g in sorted(p, key=burn.order)) for p in itertools.permutations(trio)}
    assert orders == {("c", "a", "b")}
