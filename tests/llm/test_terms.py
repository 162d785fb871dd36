"""Blocks of `metering` that end in another order than they began in, or elsewhere; and what a tab makes of calls."""

from collections.abc import Iterator
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from farthing.llm import Tab, metering
from farthing.llm.keys import key_of
from farthing.llm.terms import NOTHING_SAID, Said, saying, terms_of


def within(**said: Any) -> Iterator[str]:
    with metering(**said):
        yield terms_of(NOTHING_SAID, "").account


def test_blocks_of_generators_that_end_in_any_order_leave_nothing_behind():
    one, other = within(account="one"), within(account="other")
    assert [next(one), next(other)] == ["one", "other"]
    cast(Any, one).close()
    assert terms_of(NOTHING_SAID, "").account == "other"
    cast(Any, other).close()
    with pytest.raises(ValueError, match="whose call is it"):
        terms_of(NOTHING_SAID, "")


def test_a_generator_whose_pieces_are_taken_in_contexts_of_their_own_ends_its_block():
    # So do web frameworks with generators that are no asynchronous ones.
    pieces = within(account="one")
    assert [copy_context().run(next, pieces, "") for _ in range(2)] == ["one", ""]


def test_blocks_that_say_the_same_are_told_apart():
    with metering(account="one"):
        with metering(account="one"):
            pass
        assert terms_of(NOTHING_SAID, "").account == "one"


def test_what_is_free_takes_no_number_of_a_key():
    first = Said(account="one", key=key_of("job"))
    with saying(Said(guest=True)):
        assert terms_of(first, "").key == ""
    assert [terms_of(first, "").key for _ in range(2)] == ["job", "job/2"]


def done(account: str, amount: int, balance: int, second: int) -> Any:
    at = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=second)

    class Call:
        settled = SimpleNamespace(
            amount=Decimal(amount), created_at=at, after=SimpleNamespace(balance=Decimal(balance))
        )
        terms = SimpleNamespace(account=account)

    return Call()


def test_a_tab_tells_nothing_of_others_and_the_balance_as_it_was_last():
    tab = Tab("one")
    # Told of in another order than they were charged in.
    for call in (done("one", 10, 70, 2), done("one", 20, 80, 1), done("other", 5, 1_000, 3)):
        tab.ending(call)
        tab.ended(call)
    assert (tab.charged, tab.balance) == (Decimal(30), Decimal(70))
    assert tab.settled(0)


def test_what_is_remembered_of_calls_follows_what_is_said():
    first, metadata = Said(account="alice"), {"job": "1"}
    document = '{"policy":{"on_expiry":"all"}}'
    assert terms_of(first, "") is terms_of(first, "")
    assert terms_of(first, document).policy.on_expiry == "all"
    assert terms_of(first, "").policy.on_expiry == "metered"
    with metering(account="bob"):
        assert terms_of(first, "").account == "bob"
    assert terms_of(first, "").account == "alice"
    said = Said(account="alice", metadata=metadata)
    metadata.clear()
    assert terms_of(said, "").metadata == {}
    metadata["job"] = "2"
    assert terms_of(said, "").metadata == {"job": "2"}
