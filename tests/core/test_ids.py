"""Ids: in order of time, told apart, and saying in which bucket to look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.ids import BUCKETS, NONCE_BITS, bucket_in, bucket_of, make_id
from farthing.engine import Ids

AT = 1_767_225_600_000_000


@given(st.integers(0, 2**47 * 1000), st.integers(0, 2**28 - 1), st.integers(0, 2**NONCE_BITS - 1), st.integers(0, 4095))
def test_an_id_has_32_hex_digits_version_7_and_carries_its_bucket(at, counter, nonce, bucket):
    id = make_id("ent", at, counter, nonce, bucket)
    prefix, _, digits = id.partition("_")
    assert (prefix, len(digits)) == ("ent", 32)
    assert digits[12] == "7"
    assert digits[16] in "89ab"
    assert int(digits[:12], 16) == at // 1000
    assert bucket_in(id) == bucket


def test_ids_of_one_maker_are_in_the_order_of_time():
    ids = Ids()
    made = [ids("ent", AT + 1000 * n, n % BUCKETS) for n in range(3000)]
    assert made == sorted(made)


def test_ids_of_one_maker_in_one_instant_are_all_different():
    ids = Ids()
    assert len({ids("ent", AT, 0) for _ in range(20_000)}) == 20_000


def test_ids_of_two_makers_are_different():
    first, second = Ids(), Ids()
    assert {first("ent", AT, 0) for _ in range(5000)}.isdisjoint({second("ent", AT, 0) for _ in range(5000)})


@given(st.text(), st.text())
def test_a_bucket_is_always_the_same_and_in_range(workspace, account):
    assert bucket_of(workspace, account) == bucket_of(workspace, account)
    assert 0 <= bucket_of(workspace, account) < BUCKETS


def test_the_bucket_of_an_account_is_part_of_the_stored_format():
    """Rows were placed by it: it may never change."""
    assert [bucket_of("main", name) for name in ("alice", "bob", "ümlaut")] == [1315, 702, 803]


def test_workspace_and_account_do_not_run_together():
    assert bucket_of("ab", "c") != bucket_of("a", "bc")


def test_accounts_are_spread_over_the_buckets():
    met = {bucket_of("main", f"user-{n}") for n in range(40_000)}
    assert len(met) > 4000


@pytest.mark.parametrize(
    "text",
    ["", "ent_", "ent_12", "alice", "ent_" + "g" * 32, "ent_" + "A" * 32, "ent_" + "0" * 33, "ent_" + "-" + "0" * 31,
     "ent_" + "\N{ARABIC-INDIC DIGIT ZERO}" * 32, "ent_" + "0" * 31 + "_", "ent_0x" + "0" * 30, "ent_" + " " * 32],
)  # fmt: skip
def test_text_that_is_no_id_has_no_bucket(text):
    assert bucket_in(text) is None
