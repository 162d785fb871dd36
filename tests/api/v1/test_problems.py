"""How the native API says no: its tables are total, and each row is told over HTTP as it stands there."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import fields

from farthing import serving
from farthing.api.endpoint import Request, Stop, Trouble
from farthing.api.v1.face import ENDPOINTS, V1
from farthing.api.v1.problems import (
    ANYWHERE,
    CODES,
    ERRORS,
    FAILURES,
    FIELDS,
    TROUBLES,
    WRITING,
    Fault,
    Problem,
    Wrong,
    refused,
)
from farthing.core.commands import Command
from farthing.core.outcomes import Outcome, Refusal, Refused
from farthing.engine import ClockJumped, Crashed, Forked, QueueFull, ShuttingDown
from farthing.stores.contract import (
    Busy,
    NotADatabase,
    Raced,
    ReadOnly,
    StorageFull,
    StoreError,
    Unavailable,
    Unknown,
)
from tests.api.serving import Server
from tests.api.v1.client import Client, told

WRITES = {
    "charges": {"account": "alice", "amount": "5"},
    "refunds": {"account": "alice", "amount": "5"},
    "grants": {"account": "alice", "amount": "5"},
    "holds": {"account": "alice", "amount": "5"},
    f"holds/hold_{'0' * 32}/settle": {},
    f"holds/hold_{'0' * 32}/release": {},
    f"holds/hold_{'0' * 32}/extend": {"metered": "1"},
    "accounts/alice/adjust": {"amount": "5"},
    "accounts/alice/set": {"amount": "5", "mode": "replace"},
}


# Totality


def test_every_refusal_has_a_sentence_and_a_code_of_its_name():
    assert set(ERRORS) == set(Refusal)
    assert {str(refusal) for refusal in Refusal} <= set(CODES)


def test_every_trouble_has_a_code():
    assert set(TROUBLES) == set(Trouble)
    assert set(TROUBLES.values()) <= set(CODES)


def subclasses(kind: type[StoreError]) -> Iterator[type[StoreError]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from subclasses(sub)


def test_every_failure_of_the_machine_that_a_request_can_meet_has_a_code():
    met = {
        kind.code
        for kind in subclasses(StoreError)
        if kind.__module__ in ("farthing.engine", "farthing.stores.contract")
    }
    assert met == set(FAILURES)
    assert set(FAILURES.values()) <= set(CODES)


def test_only_codes_of_the_table_are_documented_and_all_are():
    documented = {code for endpoint in ENDPOINTS for code in endpoint.codes} | {*ANYWHERE, *WRITING}
    # A path that is none, and a method that it does not take, have no endpoint that could document them.
    assert documented | {"not_found", "method_not_allowed"} == set(CODES)


def test_a_broken_machine_under_which_nothing_was_done_is_503_and_only_that():
    statuses = {code: CODES[code].status for code in FAILURES}
    assert {code for code, status in statuses.items() if status != 503} == {"internal_error", "unknown_outcome"}


def test_no_problem_with_credits_is_one_that_clients_send_again():
    statuses = {str(refusal): CODES[str(refusal)].status for refusal in Refusal}
    assert {code for code, status in statuses.items() if status in (408, 429) or status >= 500} == set()


class Scale:
    scale = 6


class Who:
    workspace = Scale()


def request_of(path: str = "/v1/charges") -> Request:
    request = Request.complete("POST", path.encode(), [], b"", 0.0)
    request.id = b"req_1"
    request.caller = Who()  # type: ignore[assignment]
    return request


FACTS = {
    "field": "amount", "message": "is too large", "differs": ["amount", "operation"], "payment": "digistore24:1",
    "available": 1_000_000, "required": 3_000_000, "deficit": 2_000_000, "limit": 5_000_000, "left": 1_000_000,
    "period": "day", "state": "settled", "max_minutes": 60, "refundable": 4_000_000, "metered": 1, "at_least": 2,
    "at_most": 3, "days": 3, "next_at": 1_767_225_600_000_000, "billed_by": "stripe",
}  # fmt: skip


@pytest.mark.parametrize("code", Refusal)
def test_the_problem_of_each_refusal_can_be_written(code: Refusal):
    problem = refused(request_of(), Refused(code, FACTS))
    assert (problem.code, problem.status) == (str(code), CODES[str(code)].status)
    assert "{" not in problem.detail
    assert problem.detail.endswith(".")


def test_what_stands_by_itself_in_a_problem_is_documented():
    names = {field.name for field in fields(Problem)}
    assert {name for no in ERRORS.values() for name in no.told} <= names


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_has_another_name_on_the_wire_is_named_by_that(field: str):
    (error,) = refused(request_of(), Refused(Refusal.INVALID, {"field": field, "message": "is wrong"})).errors  # type: ignore[misc]
    assert error.detail == "is wrong"
    assert error.place != field


def test_a_sentence_names_three_things_that_are_wrong_and_counts_the_rest():
    wrong = [Wrong(pointer=f"/items/{n}", detail="is missing") for n in range(5)]
    assert Fault("invalid", wrong[:1]).detail == "items.0 is missing."
    assert Fault("invalid", wrong).detail == "items.0 is missing; items.1 is missing; items.2 is missing; and 2 more."


def test_examples_of_problems_have_their_form():
    face = V1(None, None)  # type: ignore[arg-type]
    names = {field.name for field in fields(Problem)}
    for code in CODES.values():
        assert set(face.error_example(code)) <= names


def test_a_trouble_keeps_its_headers():
    face = V1(None, None)  # type: ignore[arg-type]
    reply = face.stopped(Stop(Trouble.METHOD, "No.", ((b"allow", b"POST"),)), None, request_of())
    assert (reply.status, reply.headers) == (405, ((b"allow", b"POST"),))


# Paths and methods


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/refunds", "/v1/holds/x/settle", "/v1/grants/x/void", "/v1/charges/bulk"])
def test_another_method_is_refused_and_told_which_one_there_is(server: Server, path: str, method: str):
    for headers in ({}, {"X-API-Key": server.key}, {"Authorization": "Bearer x"}):
        answer = server.send(method, path, None, headers)
        assert told(answer) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("path", ["/v1/refunds", "/v1/holds/x/settle", "/v1/holds/a%2Fb/settle"])
def test_options_says_what_there_is(server: Server, path: str):
    answer = server.send("OPTIONS", path)
    assert (answer.status, answer.headers["allow"]) == (204, "POST, OPTIONS")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/", "/v1/x", "/v1/charges/", "/v1//charges", "/v1/CHARGES", "/v1/holds/x/settle/", "/v1/holds//settle",
        "/v1/holds/a/b/settle", "/v1/holds/{id}/nothing", "/v1/holds/%FF/settle", "/v1/%00",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_unknown_path_is_a_problem_whatever_the_credential(server: Server, path: str, method: str):
    for headers in ({}, {"X-API-Key": server.key}, {"Authorization": "Bearer x"}):
        assert told(server.send(method, path, None, headers)) == (404, "not_found")


def test_braces_in_a_path_are_an_id_like_any_other(client: Client):
    assert client.refused("holds/{id}/settle", {}) == (404, "hold_not_found")


def test_a_long_path_is_not_thrown_back(server: Server):
    assert len(server.send("GET", "/v1/" + "x" * 5_000).raw) < 700


# The machine


class BrokenEngine:
    """Answers every command with the failure it was given, on the short way and on the long one."""

    def __init__(self) -> None:
        self.runs_here = True
        self.fail: Callable[[], Exception] = lambda: RuntimeError("not set")

    async def ask(self, command: Command, *, dry: bool = False) -> Outcome:
        raise self.fail()

    def submit(self, command: Command, *_: object, dry: bool = False) -> Any:
        raise self.fail()


@pytest.fixture(scope="module", params=["short way", "long way"])
def broken(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, BrokenEngine]]:
    engine = BrokenEngine()
    engine.runs_here = request.param == "short way"

    def build(settings: Any, ledger: Any, *more: Any) -> Any:
        real, ledger.engine = ledger.engine, engine
        app = serving.build_app(settings, ledger, *more)
        ledger.engine = real
        return app

    with Server(tmp_path_factory.mktemp("broken"), build=build) as server:
        client = Client(server, server.new_key("admin"))
        engine.fail = Busy
        client.post("charges", WRITES["charges"])  # from now on the key is known
        yield client, engine


NOTHING_DONE = (QueueFull, Busy, Raced, Unavailable, StorageFull, ReadOnly, NotADatabase, StoreError)


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("kind", [*NOTHING_DONE, ShuttingDown, ClockJumped, Forked])
def test_when_nothing_was_done_the_status_is_503_and_says_when_to_come_back(broken, kind: type[StoreError], path: str):
    client, engine = broken
    engine.fail = lambda: kind("/secret/path/ledger.db is broken")
    answer = client.post(path, WRITES[path])
    assert told(answer) == (503, kind.code)
    assert int(answer.headers["retry-after"]) >= 1
    assert "secret" not in answer.raw.decode()


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("kind", [Unknown, Crashed])
def test_an_unknown_outcome_and_a_crash_are_500(broken, kind: type[StoreError], path: str):
    client, engine = broken
    engine.fail = kind
    answer = client.post(path, WRITES[path])
    assert told(answer) == (500, kind.code)
    assert "retry-after" not in answer.headers


def test_a_bug_is_an_internal_error_and_goes_into_the_log(broken):
    client, engine = broken
    engine.fail = lambda: ZeroDivisionError(f"with the key {client.api_key}")
    answer = client.post("charges", WRITES["charges"], X_Request_Id="bug-1")
    assert told(answer) == (500, "internal_error")
    assert "ZeroDivision" not in answer.raw.decode()
    line = next(line for line in client.server.log_lines() if line["event"] == "request failed")
    assert (line["request_id"], line["level"]) == ("bug-1", "error")
    assert client.api_key not in client.server.log.getvalue()
