"""Recording usage in the accounting dialect: the charge and what it was for are one act."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from farthing.core.commands import SetAccount
from farthing.core.records import Entry
from farthing.core.refundable import read_body
from farthing.core.usage import Usage
from tests.api.accounting.people import Person, somebody, told
from tests.api.accounting.workspaces import settings
from tests.support import UNIT

BOTH_DATABASES = True
WRONG = (400, "Missing or invalid required fields")


def use(person: Person, credits: Any = 7.5, service: str = "chat", operation: str = "gpt-4", **more: Any) -> Any:
    body = {"service": service, "operation": operation, "credits": credits, **more}
    return person.done("POST", "usage/record", body)


def usage_of(entry: Entry) -> Usage:
    metered = read_body(entry).usage
    assert metered is not None
    return metered.usage


@pytest.fixture
def gateway(server) -> Person:
    """A user with 100 credits in a workspace whose callers deduct before they record."""
    settings(server, "other", usage_record_charges=False)
    person = somebody(server, workspace="other")
    somebody(server, "supervisor", "other").allocate(person)
    return person


def test_a_record_charges_in_the_same_step(server, rich):
    answer = rich.post("usage/record", {"service": "chat", "operation": "gpt-4", "credits": 7.5})
    assert answer.status == 201
    (charge, *_) = server.entries(rich.id)
    assert answer.json == {
        "id": charge.id,
        "service": "chat",
        "operation": "gpt-4",
        "credits": 7.5,
        "timestamp": "2026-01-01T00:00:00.000Z",
    }
    assert rich.total == 92.5
    assert (charge.kind, charge.amount, charge.actor) == ("charge", -7_500_000, f"user:{rich.id}")


def test_metadata_is_kept_as_it_was_sent_and_tells_of_model_and_tokens(server, rich):
    metadata = {"modelId": "gpt-4", "provider": "openai", "promptTokens": 400.0, "completionTokens": 1200, "trace": [1]}
    use(rich, 5, metadata=metadata)
    charge = server.entries(rich.id)[0]
    assert '"promptTokens": 400.0' in charge.metadata
    usage = usage_of(charge)
    assert (usage.service, usage.operation, usage.model, usage.provider) == ("chat", "gpt-4", "gpt-4", "openai")
    assert usage.dimensions == {"input_tokens": "400", "output_tokens": "1200"}
    assert server.sql(
        "select model, input_tokens, output_tokens, tokens, amount from usage where id = ?", charge.id
    ) == [("gpt-4", 400, 1200, 1600, 5 * UNIT)]


@pytest.mark.parametrize(
    ("metadata", "model", "dimensions"),
    [
        ({"model": "m", "tokens": 1500}, "m", {"tokens": "1500"}),
        ({"model": "m", "inputTokens": 5, "tokens": 4}, "m", {"input_tokens": "5"}),
        ({"model": 7, "tokens": "many", "inputTokens": -1, "outputTokens": 1.5}, "gpt-4", {}),
        ({"model": "", "totalTokens": 10**30, "input_tokens": True}, "gpt-4", {}),
        ({"model": "a\nb", "completion_tokens": 0}, "gpt-4", {"output_tokens": "0"}),
        (None, "gpt-4", {}),
    ],
)
def test_what_of_metadata_makes_no_sense_is_kept_and_not_counted(server, rich, metadata, model, dimensions):
    use(rich, 1, metadata=metadata)
    usage = usage_of(server.entries(rich.id)[0])
    assert (usage.model, usage.dimensions) == (model, dimensions)


def test_the_operation_of_a_chat_is_its_model_and_of_nothing_else(server, rich):
    use(rich, 1, "images", "draw")
    assert usage_of(server.entries(rich.id)[0]).model == ""


def test_a_refused_record_takes_nothing_and_records_nothing(server, rich):
    before = server.entries(rich.id)
    body = {"service": "chat", "operation": "gpt-4", "credits": 100.000001}
    assert told(rich.post("usage/record", body)) == (402, "Insufficient credits")
    assert server.entries(rich.id) == before
    assert server.sql("select count(*) from usage where account = ?", rich.id) == [(0,)]


def test_who_has_nothing_can_record_what_costs_nothing(server, user):
    body = {"service": "chat", "operation": "gpt-4", "credits": 1}
    assert told(user.post("usage/record", body)) == (402, "Insufficient credits")
    assert server.entries(user.id) == []
    assert use(user, 0)["credits"] == 0
    assert [entry.kind for entry in server.entries(user.id)] == ["charge", "open"]
    assert user.get("usage/stats")["totalRecords"] == 1


NAMES: tuple[Any, ...] = (None, "", 7, ["chat"], {})
AMOUNTS: tuple[Any, ...] = (None, "7.5", True, -1, -0.1, [], {}, 1e-9, 10**400)


@pytest.mark.parametrize(
    "change",
    [
        *({name: value} for name in ("service", "operation") for value in NAMES),
        {"service": "s" * 51},
        {"operation": "o" * 101},
        *({"credits": value} for value in AMOUNTS),
    ],
)
def test_what_is_missing_or_wrong_is_refused_in_one_sentence(server, rich, change):
    body = {"service": "chat", "operation": "gpt-4", "credits": 1, **change}
    assert told(rich.post("usage/record", body)) == WRONG
    assert told(rich.post("usage/record")) == WRONG
    assert rich.total == 100


@pytest.mark.parametrize("field", ["service", "operation"])
@pytest.mark.parametrize("value", ["a\0", "a\nb", "\ud800"])
def test_a_name_that_can_not_be_written_down_is_refused_by_name(rich, field, value):
    body = {"service": "chat", "operation": "gpt-4", "credits": 1, field: value}
    status, sentence = told(rich.post("usage/record", body))
    assert status == 400
    assert field in sentence or "UTF-8" in sentence or "JSON" in sentence


@pytest.mark.parametrize("metadata", ["text", [1], 7, {"a": "x" * 17_000}])
def test_metadata_is_an_object_of_bounded_size(rich, metadata):
    body = {"service": "chat", "operation": "gpt-4", "credits": 1, "metadata": metadata}
    status, sentence = told(rich.post("usage/record", body))
    assert status == 400
    assert sentence.startswith("metadata must ")


def test_the_longest_names_are_taken_and_other_fields_never_count(server, rich):
    made = use(rich, 1, "s" * 50, "o" * 100, userId="somebody-else", amount=50, role="admin")
    assert (made["service"], made["operation"]) == ("s" * 50, "o" * 100)
    assert rich.total == 99
    assert server.entries("somebody-else") == []


def test_more_decimals_than_there_are_are_rounded_and_told_as_charged(server, rich):
    assert use(rich, 0.1234565)["credits"] == 0.123456
    assert read_body(server.entries(rich.id)[0]).asked == "0.1234565"


@pytest.mark.parametrize("where", ["body", "header"])
def test_a_repeat_answers_the_same_and_charges_nothing(rich, where):
    body = {"service": "chat", "operation": "gpt-4", "credits": 7.5}
    more = {"idempotencyKey": "once"} if where == "body" else {}
    headers = {"Idempotency_Key": "once"} if where == "header" else {}
    first, again = (rich.post("usage/record", body | more, **headers) for _ in range(2))
    assert (first.status, first.raw) == (201, again.raw)
    assert rich.total == 92.5
    status, sentence = told(rich.post("usage/record", body | more | {"credits": 8}, **headers))
    assert status == 409
    assert "amount" in sentence
    assert rich.total == 92.5
    assert rich.get("usage/stats")["totalRecords"] == 1


def test_twenty_at_once_take_what_is_there_and_no_more(server, rich):
    body = {"service": "chat", "operation": "gpt-4", "credits": 20}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: rich.post("usage/record", body).status, range(20)))
    assert (answers.count(201), answers.count(402)) == (5, 15)
    assert rich.total == 0
    assert rich.get("usage/stats")["totalRecords"] == 5


def test_a_frozen_account_is_told_so(server, rich):
    server.do(SetAccount(workspace="main", account=rich.id, frozen=True))
    status, sentence = told(rich.post("usage/record", {"service": "chat", "operation": "gpt-4", "credits": 1}))
    assert status == 403
    assert "frozen" in sentence


# Where something else charges


def test_a_gateway_that_deducts_first_is_charged_once(server, gateway):
    gateway.done("POST", "credits/deduct", {"credits": 7.5})
    assert use(gateway, metadata={"tokens": 1500})["credits"] == 7.5
    assert gateway.total == 92.5
    entry = server.entries(gateway.id, "other")[0]
    assert (entry.kind, entry.amount) == ("charge", 0)
    stats = gateway.get("usage/stats")
    assert (stats["totalRecords"], stats["totalCredits"], stats["byModel"]) == (1, 7.5, {"gpt-4": 7.5})
    assert stats["recentActivity"][0]["credits"] == 7.5


def test_what_only_is_recorded_needs_no_credits(gateway):
    assert use(gateway, 1_000)["credits"] == 1_000
    assert gateway.total == 100
    newcomer = somebody(gateway.server, workspace="other")
    assert use(newcomer, 1_000)["credits"] == 1_000


def test_a_repeat_is_the_same_act_whatever_the_setting_is_by_then(server, gateway):
    body = {"service": "chat", "operation": "gpt-4", "credits": 7.5, "idempotencyKey": "k"}
    first = gateway.done("POST", "usage/record", body)
    assert told(gateway.post("usage/record", body | {"credits": 7}))[0] == 409
    settings(server, "other", usage_record_charges=True)
    assert gateway.done("POST", "usage/record", body) == first
    assert gateway.total == 100
