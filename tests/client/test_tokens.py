"""The token service on a client: its calls, its texts and their order, in process on both databases and over HTTP."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing.compat.tokens import AsyncTokens, TokenBalance, TokenResult, Tokens, TokenStatistics
from tests.api.serving import wait_for
from tests.client.driving import Driver

CARD = {
    "rules": [
        {"id": name, "dimension": "requests", "price": price, "match": {"operation": name}}
        for name, price in (("image_generation", "10"), ("chatgpt_message", "5"), ("purchase", "0"))
    ]
}


@pytest.fixture(scope="module")
def tokens(client: Any) -> Any:
    """The token service, with prices of operations."""
    client.rate_cards.put(CARD, reason="The first")
    return service_on(client)


def service_on(client: Any) -> Any:
    if isinstance(client, Driver):
        return Driver(client._runner, AsyncTokens(client._what))
    return Tokens(client)


def _has_price(client: Any) -> bool:
    try:
        return bool(client.quote({}, operation="image_generation").amount)
    except farthing.NotPriced:
        return False


def soon() -> datetime:
    """As soon as a second version of a card may begin, and a little."""
    return datetime.now(UTC) + timedelta(seconds=2.2)


def told(result: TokenResult) -> tuple[bool, int, int, str | None]:
    return result.success, result.new_balance, result.tokens_spent, result.error


def test_a_debit_takes_tokens_and_says_what_there_is(tokens: Any, rich: str) -> None:
    done = tokens.debit(rich, 10, operation_type="image_generation", metadata={"n": 1})
    assert told(done) == (True, 90, 10, None)
    assert bool(done) is True
    (entry,) = tokens.user_entries(rich, operation_type="image_generation")
    assert (entry.id, entry.tokens_amount, entry.balance_before, entry.balance_after) == (
        done.ledger_entry_id, -10, 100, 90
    )  # fmt: skip
    assert entry.metadata == {"n": 1}


def test_what_is_wrong_with_a_debit_is_said_in_the_old_words_and_order(tokens: Any, rich: str) -> None:
    debit: Callable[..., TokenResult] = tokens.debit
    assert told(debit("nobody", 0, operation_type="x")) == (False, 0, 0, "Debit amount must be positive")
    assert told(debit("nobody", 1000, operation_type="x")) == (False, 0, 0, "User not found")
    assert told(debit(rich, -1, operation_type="x")) == (False, 100, 0, "Debit amount must be positive")
    refused = debit(rich, 101, operation_type="x")
    assert told(refused) == (False, 100, 0, "Insufficient tokens. Required: 101, Available: 100")
    assert (bool(refused), refused.ledger_entry_id) == (False, None)


def test_an_overdraft_is_allowed_by_the_debit(tokens: Any, rich: str) -> None:
    assert told(tokens.debit(rich, 130, operation_type="x", allow_overdraft=True)) == (True, -30, 130, None)
    assert told(tokens.debit(rich, 1, operation_type="x"))[1:] == (
        -30, 130, "Insufficient tokens. Required: 1, Available: -30"
    )  # fmt: skip


def test_a_credit_leaves_spent_as_it_is(tokens: Any, rich: str) -> None:
    tokens.debit(rich, 10, operation_type="x")
    assert told(tokens.credit(rich, 50, operation_type="purchase", metadata={"order": 1})) == (True, 140, 10, None)
    assert tokens.user_entries(rich, operation_type="purchase")[0].metadata == {"order": 1}
    assert told(tokens.credit(rich, 0, operation_type="x")) == (False, 140, 10, "Credit amount must be positive")
    assert told(tokens.credit("nobody", 5, operation_type="x")) == (False, 0, 0, "User not found")


def test_an_operation_costs_what_the_rate_card_says(tokens: Any, rich: str) -> None:
    assert told(tokens.charge_for_operation(rich, "image_generation")) == (True, 90, 10, None)
    assert tokens.user_entries(rich)[0].operation_type == "image_generation"
    no_cost = (False, 90, 10, "Operation type does not have a cost")
    assert told(tokens.charge_for_operation(rich, "purchase")) == no_cost
    assert told(tokens.charge_for_operation(rich, "unheard_of")) == no_cost
    assert told(tokens.charge_for_operation("nobody", "image_generation")) == (False, 0, 0, "User not found")
    tokens.debit(rich, 85, operation_type="x")
    assert told(tokens.charge_for_operation(rich, "image_generation")) == (
        False, 5, 95, "Insufficient tokens. Required: 10, Available: 5"
    )  # fmt: skip


def test_what_one_can_afford_includes_the_last_token(tokens: Any, account: str, client: Any) -> None:
    client.grant(account, 10)
    found = tokens.can_afford(account, "image_generation")
    assert (bool(found), found.balance, found.cost, found.deficit) == (True, 10, 10, None)
    tokens.debit(account, 1, operation_type="x")
    found = tokens.can_afford(account, "image_generation")
    assert (bool(found), found.balance, found.cost, found.deficit) == (False, 9, 10, 1)
    nobodys = tokens.can_afford("nobody", "image_generation")
    assert (nobodys.can_afford, nobodys.balance, nobodys.deficit) == (False, 0, 10)
    with pytest.raises(farthing.NotPriced):
        tokens.can_afford(account, "unheard_of")


def test_a_refund_is_bound_to_what_was_charged(tokens: Any, rich: str, client: Any) -> None:
    assert told(tokens.refund(rich, 1)) == (False, 100, 0, "At most 0 credits can be given back.")
    first = tokens.debit(rich, 10, operation_type="x")
    tokens.debit(rich, 20, operation_type="x")
    assert told(tokens.refund(rich, 6, charge=first.ledger_entry_id)) == (True, 76, 30, None)
    assert told(tokens.refund(rich, 5, charge=first.ledger_entry_id)) == (
        False, 76, 30, "At most 4 credits can be given back."
    )  # fmt: skip
    assert told(tokens.refund(rich, 24)) == (True, 100, 30, None)
    assert tokens.refund(rich, 0).error == "Credit amount must be positive"
    assert tokens.refund(rich, 1, charge="ent_ffff").error == "There is no such charge."
    assert [entry.operation_type for entry in tokens.user_entries(rich, operation_type="refund")] == ["refund"] * 2


def test_a_charge_of_another_user_is_not_refunded(tokens: Any, rich: str, client: Any) -> None:
    other = f"{rich} other"
    client.grant(other, 10)
    charge = tokens.debit(other, 10, operation_type="x").ledger_entry_id
    assert told(tokens.refund(rich, 1, charge=charge)) == (False, 100, 0, "There is no such charge of this user")
    assert tokens.get_balance(other).tokens_balance == 0


def test_the_entry_of_a_reset_has_the_difference(tokens: Any, rich: str) -> None:
    assert told(tokens.reset_balance(rich, 30)) == (True, 30, 0, None)
    assert told(tokens.reset_balance(rich, 45, operation_type="gift")) == (True, 45, 0, None)
    found = [(entry.operation_type, entry.tokens_amount) for entry in tokens.user_entries(rich, limit=2)]
    assert found == [("gift", 15), ("monthly_reset", -70)]
    assert told(tokens.reset_balance("nobody", 5)) == (False, 0, 0, "User not found")
    assert told(tokens.reset_balance(rich, -5)) == (False, 45, 0, "Balance must not be negative")


def test_the_balance_of_nobody_is_none(tokens: Any, rich: str) -> None:
    assert tokens.get_balance("nobody") is None
    tokens.debit(rich, 10, operation_type="x")
    assert tokens.get_balance(rich) == TokenBalance(user_id=rich, tokens_balance=90, tokens_spent=10)


def test_history_is_paged_and_includes_both_ends_of_a_range(tokens: Any, rich: str) -> None:
    for number in range(25):
        tokens.debit(rich, 1, operation_type=("odd" if number % 2 else "even"))
    every = tokens.user_entries(rich, limit=100)
    assert [entry.tokens_amount for entry in every] == [-1] * 25 + [100]
    assert tokens.user_entries(rich) == every[:20]
    assert tokens.user_entries(rich, limit=20, offset=20) == every[20:]
    assert len(tokens.user_entries(rich, operation_type="odd")) == 12
    assert tokens.user_entries(rich, limit=0) == []
    newest, oldest = every[3].created_at, every[7].created_at
    within = tokens.user_entries(rich, start_date=oldest, end_date=newest)
    assert [entry for entry in every if oldest <= entry.created_at <= newest] == within
    assert every[3] in within
    assert every[7] in within
    assert tokens.user_entries("nobody") == []


def test_statistics_add_up_and_a_refund_does_not_make_less_of_what_was_spent(tokens: Any, rich: str) -> None:
    for _ in range(3):
        tokens.debit(rich, 10, operation_type="x")
    tokens.refund(rich, 10)
    assert tokens.statistics(rich) == TokenStatistics(
        total_spent=30, total_earned=110, net_change=80, operation_count=5
    )  # fmt: skip
    assert (tokens.total_spent(rich), tokens.total_earned(rich)) == (30, 110)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert tokens.statistics(rich, start_date=tomorrow) == TokenStatistics()
    assert tokens.statistics("nobody") == TokenStatistics()


def test_entries_of_a_type_are_those_of_all_users(tokens: Any, rich: str, client: Any) -> None:
    other = f"{rich} other"
    client.grant(other, 10)
    type = f"type {rich}"
    for user in (rich, other, rich):
        tokens.debit(user, 1, operation_type=type)
    assert [entry.user_id for entry in tokens.entries_by_type(type)] == [rich, other, rich]
    assert [entry.user_id for entry in tokens.entries_by_type(type, limit=1, offset=1)] == [other]


def test_a_key_makes_it_once(tokens: Any, rich: str) -> None:
    first = tokens.debit(rich, 10, operation_type="x", key=f"once {rich}")
    assert tokens.debit(rich, 10, operation_type="x", key=f"once {rich}") == first
    assert tokens.get_balance(rich).tokens_balance == 90


def test_what_was_charged_is_told_again_also_when_it_has_no_price_any_more(tmp_path: Path) -> None:
    with farthing.connect(f"sqlite:///{tmp_path}/credits.db") as client:
        tokens = service_on(client)
        client.grant("alice", 100)
        client.rate_cards.put(CARD, reason="The first")
        first = tokens.charge_for_operation("alice", "image_generation", key="once")
        client.rate_cards.put({"rules": CARD["rules"][1:]}, reason="No more images", effective_from=soon())
        wait_for(lambda: not _has_price(client))
        assert tokens.charge_for_operation("alice", "image_generation", key="once") == first
        refused = tokens.charge_for_operation("alice", "image_generation")
    assert told(first) == (True, 90, 10, None)
    assert told(refused) == (False, 90, 10, "Operation type does not have a cost")


@pytest.mark.parametrize("amount", [1.0, True, "5"])
def test_tokens_are_whole_numbers(tokens: Any, rich: str, amount: Any) -> None:
    with pytest.raises(TypeError, match="whole number of tokens"):
        tokens.debit(rich, amount, operation_type="x")


def test_an_account_that_is_frozen_is_a_refusal(tokens: Any, rich: str, client: Any) -> None:
    client.accounts.change_settings(rich, frozen=True)
    refused = tokens.debit(rich, 1, operation_type="x")
    assert (refused.success, refused.new_balance) == (False, 100)
    assert "frozen" in (refused.error or "")


def test_parallel_debits_all_count(tokens: Any, rich: str) -> None:
    if isinstance(tokens, Tokens):
        with ThreadPoolExecutor(12) as pool:
            done = list(pool.map(lambda _: tokens.debit(rich, 10, operation_type="x"), range(12)))
    else:

        async def all_at_once() -> list[TokenResult]:
            return await asyncio.gather(*(tokens._what.debit(rich, 10, operation_type="x") for _ in range(12)))

        done = tokens._runner.run(all_at_once())
    assert sorted(result.success for result in done) == [False] * 2 + [True] * 10
    assert tokens.get_balance(rich).tokens_balance == 0
