"""Credits in the accounting dialect: what one has, whether it is enough, and taking from it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farthing.api.endpoint import write_time
from farthing.core.commands import GiveGrant, PlaceHold, SetAccount
from farthing.core.refundable import read_body
from tests.api.accounting.people import somebody, told
from tests.api.v1.pricing import put
from tests.support import UNIT

BOTH_DATABASES = True
DAY_US = 86_400_000_000
CARDS = Path(__file__).parents[3] / "examples" / "cards"


@pytest.fixture(scope="module", autouse=True)
def card(server):
    """The rates that the contract names, and the price of its example; the other workspace has just that one."""
    rates, example = (json.loads((CARDS / f"{name}.json").read_text()) for name in ("accounting", "gpt4"))
    put(server, {"rules": rates["rules"] + example["rules"]}, "main")
    put(server, example, "other")


# What there is


def test_whoever_comes_for_the_first_time_has_nothing(server):
    person = somebody(server, seen=False)
    assert person.get("credits/balance") == {"totalCredits": 0, "activeAllocations": []}
    assert person.get("credits/total-balance") == {"totalCredits": 0}
    assert server.entries(person.id) == []


def test_a_balance_lists_what_is_live_soonest_end_first(server, user, boss):
    late, soon = (boss.allocate(user, credits, expiryDays=days) for credits, days in ((0.5, 40), (100, 10)))
    server.do(GiveGrant(workspace="main", account=user.id, amount=3 * UNIT))
    balance = user.get("credits/balance")
    assert balance["totalCredits"] == 103.5 == user.total
    shown = balance["activeAllocations"]
    assert [(a["credits"], a["expiresAt"]) for a in shown] == [
        (100, soon["expiresAt"]),
        (0.5, late["expiresAt"]),
        (3, None),
    ]
    assert [a["id"] for a in shown[:2]] == [soon["id"], late["id"]]
    assert set(shown[0]) == {"id", "credits", "expiresAt", "allocatedAt"}
    assert shown[0]["allocatedAt"].endswith("Z")


def test_totals_leave_out_what_is_held_and_what_has_a_scope_and_count_the_allowance(server, rich):
    server.do(GiveGrant(workspace="main", account=rich.id, amount=7 * UNIT, scope=("operation:image.*",)))
    server.do(PlaceHold(workspace="main", account=rich.id, amount=30 * UNIT, ttl=DAY_US))
    assert rich.total == 70
    (allocation,) = rich.get("credits/balance")["activeAllocations"]
    assert allocation["credits"] == 70
    server.do(SetAccount(workspace="main", account=rich.id, allowance=5 * UNIT))
    assert rich.total == 75
    assert rich.done("POST", "credits/deduct", {"credits": 1})["remainingBalance"] == 74 == rich.total


def test_what_has_lapsed_counts_no_more_from_its_instant_on(server, user, boss):
    boss.allocate(user, 5, expiryDays=1)
    server.clock.advance(86_400)
    assert user.get("credits/balance") == {"totalCredits": 0, "activeAllocations": []}


def test_a_supervisor_sees_the_balance_of_another_by_id_name_and_address(server, rich, boss):
    of_himself = rich.get("credits/balance")
    for named in (
        rich.id,
        f"name-of-{rich.id}",
        f"{rich.id}@example.com",
        f"{rich.id}@EXAMPLE.com".replace("@", "%40"),
    ):
        assert boss.get(f"credits/balance/{named}") == of_himself


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("nobody", "User not found"),
        ("nobody@example.com", "User not found with the provided email"),
        ("a%00b", "User not found"),
        ("%F0%9F%8E%B2", "User not found"),
        ("x" * 300, "User not found"),
    ],
)
def test_the_balance_of_nobody_is_not_found(boss, named, sentence):
    assert told(boss.send("GET", f"credits/balance/{named}")) == (404, sentence)


def test_an_account_without_a_record_of_its_user_is_known_by_its_id(server, boss, account):
    server.do(GiveGrant(workspace="main", account=account, amount=UNIT))
    assert boss.get(f"credits/balance/{account}")["totalCredits"] == 1


# Is it enough


@pytest.mark.parametrize(
    ("required", "told"),
    [
        (100, {"sufficient": True, "credits": 100, "requiredCredits": 100}),
        (0, {"sufficient": True, "credits": 100, "requiredCredits": 0}),
        (7.5, {"sufficient": True, "credits": 100, "requiredCredits": 7.5}),
        (
            100.000001,
            {
                "sufficient": False,
                "credits": 100,
                "requiredCredits": 100.000001,
                "message": "Insufficient credits",
            },
        ),
    ],
)
def test_a_check_says_whether_there_is_enough(rich, required, told):
    assert rich.done("POST", "credits/check", {"requiredCredits": required}) == told
    assert rich.total == 100


# What would it cost


@pytest.mark.parametrize(
    ("body", "credits"),
    [
        ({"modelId": "gpt-4", "tokens": 1500}, 7.5),
        ({"modelId": "gpt-4", "tokens": 0}, 0),
        ({"modelId": "amazon.nova-lite-v1:0", "tokens": 1000}, 0.525),
        ({"modelId": "amazon.nova-lite-v1:0", "inputTokens": 1000, "outputTokens": 1000}, 1.05),
        ({"modelId": "amazon.nova-lite-v1:0", "outputTokens": 1000.0}, 0.8),
        ({"modelId": "amazon.nova-lite-v1:0", "tokens": 9, "inputTokens": 1000}, 0.25),
        ({"modelId": "amazon.nova-micro-v1:0", "tokens": 1000}, 0.06),
        ({"modelId": "amazon.titan-text-express-v1", "inputTokens": 1000, "outputTokens": 2000}, 1.4),
        ({"modelId": "meta.llama3-70b-instruct-v1:0", "tokens": 1000}, 0.3075),
        ({"modelId": "some-other", "tokens": 1000, "credits": 9}, 0.35),
        ({"modelId": "some-other", "inputTokens": 1000, "outputTokens": 1000}, 0.7),
    ],
)
def test_what_a_model_would_cost_is_told_by_the_card(user, body, credits):
    assert user.done("POST", "credits/calculate", body) == {"credits": credits, "requiredCredits": credits}


def test_a_model_without_a_price_is_named(server):
    stranger = somebody(server, workspace="other")
    status, sentence = told(stranger.post("credits/calculate", {"modelId": "mystery-9", "tokens": 1}))
    assert status == 400
    assert "mystery-9" in sentence


# Taking


def test_a_deduct_takes_what_it_says(server, rich):
    body = {"credits": 5, "operation": "chat", "userId": "somebody-else", "role": "admin", "balance": 9}
    assert rich.done("POST", "credits/deduct", body) == {
        "success": True,
        "message": "Successfully deducted 5 credits.",
        "remainingBalance": 95,
    }
    entry = server.entries(rich.id)[0]
    assert (entry.kind, entry.amount, entry.operation) == ("charge", -5 * UNIT, "chat")
    assert entry.actor == f"user:{rich.id}"


def test_fractions_are_exact(server, user, boss):
    boss.allocate(user, 100.5)
    taken = user.done("POST", "credits/deduct", b'{"credits": 7.50}')
    assert (taken["message"], taken["remainingBalance"]) == ("Successfully deducted 7.5 credits.", 93)
    for _ in range(10):
        user.done("POST", "credits/deduct", {"credits": 0.1})
    assert user.total == 92
    raw = user.send("POST", "credits/deduct", b'{"credits": 1e-6}').raw
    assert b'"remainingBalance":91.999999' in raw


def test_more_decimals_than_the_unit_has_are_rounded_and_kept_as_sent(server, rich):
    rich.done("POST", "credits/deduct", b'{"credits": 0.0000025000}')
    entry = server.entries(rich.id)[0]
    assert (entry.amount, read_body(entry).asked) == (-2, "0.0000025000")


def test_a_refused_deduct_takes_nothing(server, rich):
    before = server.entries(rich.id)
    assert told(rich.post("credits/deduct", {"credits": 100.000001})) == (402, "Insufficient credits")
    assert server.entries(rich.id) == before
    assert rich.total == 100
    assert rich.done("POST", "credits/deduct", {"credits": 100})["remainingBalance"] == 0
    assert told(rich.post("credits/deduct", {"credits": 0.000001})) == (402, "Insufficient credits")


def test_who_was_never_given_anything_has_too_little_and_gets_no_account(server, user):
    assert told(user.post("credits/deduct", {"credits": 1})) == (402, "Insufficient credits")
    assert server.entries(user.id) == []


def test_of_twenty_parallel_deducts_of_10_on_50_exactly_five_succeed(server, user, boss):
    boss.allocate(user, 50)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: user.post("credits/deduct", {"credits": 10}), range(20)))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [402] * 15
    assert sorted(a.json["remainingBalance"] for a in answers if a.status == 200) == [0, 10, 20, 30, 40]
    assert {told(answer) for answer in answers if answer.status != 200} == {(402, "Insufficient credits")}
    assert user.total == 0


def test_what_ends_soonest_is_burnt_first(user, boss):
    boss.allocate(user, 10, expiryDays=20)
    boss.allocate(user, 10, expiryDays=10)
    user.done("POST", "credits/deduct", {"credits": 12})
    assert [a["credits"] for a in user.get("credits/balance")["activeAllocations"]] == [8]


@pytest.mark.parametrize("where", ["body", "header", "both"])
def test_a_keyed_retry_takes_once_and_is_answered_alike(server, rich, where):
    body = {"credits": 5} | ({"idempotencyKey": "k-1"} if where != "header" else {})
    headers = {"Idempotency_Key": "k-1" if where == "header" else "another"} if where != "body" else {}
    first = rich.post("credits/deduct", body, **headers)
    rich.done("POST", "credits/deduct", {"credits": 1})
    again = rich.post("credits/deduct", body, **headers)
    assert (first.status, again.status, again.raw) == (200, 200, first.raw)
    assert rich.total == 94
    assert server.entries(rich.id)[1].key == "acc.deduct:k-1"


def test_twenty_parallel_retries_take_once(rich):
    with ThreadPoolExecutor(20) as pool:
        body = {"credits": 10, "idempotencyKey": "once"}
        answers = {pool_answer.raw for pool_answer in pool.map(lambda _: rich.post("credits/deduct", body), range(20))}
    assert len(answers) == 1
    assert rich.total == 90


def test_a_key_for_something_else_is_a_conflict(rich):
    rich.done("POST", "credits/deduct", {"credits": 5, "idempotencyKey": "k"})
    status, sentence = told(rich.post("credits/deduct", {"credits": 6, "idempotencyKey": "k"}))
    assert (status, sentence) == (409, "This key was used before for something else; it differs in amount")
    assert rich.total == 95


def test_a_refusal_is_not_remembered(user, boss):
    body = {"credits": 5, "idempotencyKey": "later"}
    assert user.post("credits/deduct", body).status == 402
    boss.allocate(user, 5)
    assert user.done("POST", "credits/deduct", body)["remainingBalance"] == 0


def test_without_a_key_a_repeat_is_another_deduct(rich):
    assert [rich.done("POST", "credits/deduct", {"credits": 5})["remainingBalance"] for _ in range(2)] == [95, 90]


def test_a_frozen_account_pays_nothing_and_says_so(server, rich):
    server.do(SetAccount(workspace="main", account=rich.id, frozen=True))
    status, sentence = told(rich.post("credits/deduct", {"credits": 5}))
    assert status == 403
    assert "frozen" in sentence
    assert rich.total == 100


def test_somebody_of_another_workspace_has_an_account_of_his_own(server, rich):
    twin = somebody(server, workspace="other", seen=False)
    twin.id = rich.id
    assert twin.total == 0
    assert twin.post("credits/deduct", {"credits": 1}).status == 402
    assert rich.total == 100


# Health


def test_health_is_told_to_anybody(server):
    answer = server.send("GET", "/api/health")
    assert answer.status == 200
    assert set(answer.json) == {"status", "service", "version", "timestamp"}
    assert (answer.json["status"], answer.json["service"]) == ("ok", "accounting-service")
    assert answer.json["timestamp"] == write_time(server.clock.now_us())
