"""Grants to many: a result for each account, going on after an error, and nobody twice however often it is run."""

from decimal import Decimal
from typing import Any

import pytest

import farthing
from farthing.client import errors
from tests.api.serving import Server
from tests.client.flaky import Flaky, problem, serve, serve_and_drop


def test_many_accounts_get_the_same_or_each_its_own(client: Any, account: str) -> None:
    names = [f"{account} {number}" for number in range(3)]
    results = client.grant_many(names, "2.5", batch=f"same {account[8:]}", description="Happy new year")
    assert [(result.account, result.status, bool(result)) for result in results] == [
        (name, "granted", True) for name in names
    ]
    assert {result.grant.description for result in results} == {"Happy new year"}
    client.grant_many({names[0]: 1, names[1]: "0.5"}, batch=f"own {account[8:]}")
    assert [client.balance(name).balance for name in names] == [Decimal("3.5"), 3, Decimal("2.5")]


def test_running_a_batch_again_grants_nothing_twice(client: Any, account: str) -> None:
    names = [f"{account} {number}" for number in range(3)]
    batch = f"again {account[8:]}"
    client.grant_many(names[:2], 5, batch=batch)
    again = client.grant_many(names, 5, batch=batch)
    assert [result.grant.replayed for result in again] == [True, True, False]
    assert [client.balance(name).balance for name in names] == [5, 5, 5]
    assert [result.grant.replayed for result in client.grant_many(names * 2, 5, batch=batch)] == [True] * 6
    other = client.grant_many(names, 6, batch=batch)
    assert [type(result.error) for result in other] == [farthing.KeyConflict] * 3
    assert [result.status for result in other] == ["refused"] * 3


def test_it_goes_on_after_an_error_and_tells_how_far_it_is(client: Any, account: str) -> None:
    told: list[Any] = []
    results = client.grant_many(
        {f"{account} a": 1, f"{account} b": "0.0000001", f"{account} c": 1}, batch=f"on {account[8:]}",
        progress=lambda result, done, of: told.append((result, done, of)),
    )  # fmt: skip
    assert [result.status for result in results] == ["granted", "refused", "granted"]
    assert isinstance(results[1].error, farthing.Invalid)
    assert not results[1]
    assert [(done, of) for _, done, of in told] == [(1, 3), (2, 3), (3, 3)]
    assert [result for result, _, _ in told] == results


def test_a_batch_that_was_ended_goes_on_where_it_was(client: Any, account: str) -> None:
    names = [f"{account} {number}" for number in range(4)]

    def stop(_: Any, done: int, __: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    batch = f"ended {account[8:]}"
    with pytest.raises(KeyboardInterrupt):
        client.grant_many(names, 5, batch=batch, progress=stop)
    assert [result.grant.replayed for result in client.grant_many(names, 5, batch=batch)] == [True, True, False, False]


def test_accounts_that_must_exist_are_not_made(client: Any, rich: str) -> None:
    results = client.grant_many([rich, f"{rich} other"], 5, batch=f"exist {rich[8:]}", must_exist=True)
    assert [result.status for result in results] == ["granted", "refused"]
    assert isinstance(results[1].error, farthing.AccountNotFound)


def test_a_batch_that_is_not_kept_grants_nothing(client: Any, rich: str) -> None:
    (result,) = client.grant_many([rich], 5, batch=f"dry {rich[8:]}", dry_run=True)
    assert result.grant.dry_run is True
    assert client.balance(rich).balance == 100


@pytest.mark.parametrize(
    ("accounts", "amount", "batch", "error"),
    [
        ("alice", 5, "b", TypeError),
        (["alice"], None, "b", TypeError),
        ({"alice": 5}, 5, "b", TypeError),
        (["alice"], 0.5, "b", TypeError),
        ({"bulk good": 5, "alice": "five"}, None, "b", ValueError),
        (["bulk good", ""], 5, "b", ValueError),
        (["bulk good", 5], 5, "b", TypeError),
        (["alice"], 5, "", ValueError),
        (["alice"], 5, "Jän", ValueError),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anybody_is_given_anything(
    client: Any, accounts: Any, amount: Any, batch: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        client.grant_many(accounts, amount, batch=batch)
    with pytest.raises(farthing.AccountNotFound):
        client.balance("bulk good")


def test_what_a_server_did_without_saying_so_is_found_out_by_the_same_batch(server: Server, account: str) -> None:
    key = server.new_key("admin")
    names = [f"{account} {number}" for number in range(3)]
    steps = [serve, serve_and_drop, problem(503, "unavailable"), serve]
    with Flaky(steps, server.port) as flaky, farthing.connect(flaky.url, api_key=key, max_retries=0) as client:
        results = client.grant_many(names, 5, batch=f"lost {account[8:]}")
        again = client.grant_many(names, 5, batch=f"lost {account[8:]}")
    assert [result.status for result in results] == ["granted", "unknown", "failed"]
    assert [type(result.error) for result in results[1:]] == [errors.UnknownOutcome, errors.Unavailable]
    assert [result.grant.replayed for result in again if result.grant] == [True, True, False]
