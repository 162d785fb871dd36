"""How the CountWerk dialect says no: its tables are total, and each row is told over HTTP as it stands there."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from farthing import serving
from farthing.api.countwerk.endpoints import ENDPOINTS
from farthing.api.countwerk.errors import CODES, ERRORS, EVERYWHERE, FAILURES, INVALID_FIELDS, TROUBLES, tell
from farthing.api.endpoint import Trouble
from farthing.core.commands import Command, SetAccount, Settle
from farthing.core.outcomes import Outcome, Refusal, Refused
from farthing.core.records import WorkspaceSettings
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
from tests.api.serving import Answer, Server
from tests.api.test_countwerk_bad_input import GOOD
from tests.support import UNIT

BOTH_DATABASES = True


def deduct(server: Server, account: str, amount: Any, event: str = "e") -> Answer:
    body = {"account_id": account, "operation": "chat.message", "amount": amount, "usage_event_id": event}
    return server.post("deduct", body)


# Totality


def test_every_refusal_has_a_code():
    assert set(ERRORS) == set(Refusal)


def test_every_trouble_has_a_code():
    assert set(TROUBLES) == set(Trouble)


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


def test_only_codes_of_the_contract_are_sent():
    rows = [no.code for no in ERRORS.values()]
    rows += [code for _, code in (*FAILURES.values(), *TROUBLES.values()) if code]
    rows += [*INVALID_FIELDS.values(), *EVERYWHERE, *(e.failure for e in ENDPOINTS)]
    rows += [code for endpoint in ENDPOINTS for code in endpoint.codes]
    assert set(rows) <= set(CODES)


def test_the_status_of_a_code_is_that_of_the_contract():
    # INVALID_INPUT alone stands for more than its own status: paths, methods, sizes and types of bodies.
    told = {(no.code, no.status) for no in ERRORS.values() if no.code != "INVALID_INPUT"}
    assert {(code, status) for code, status in told if CODES[code].status != status} == set()


@pytest.mark.parametrize("code", Refusal)
def test_the_sentence_of_each_refusal_can_be_written(code: Refusal):
    facts = {
        "field": "amount", "message": "is too large", "differs": ["amount", "operation"], "payment": "digistore24:1",
        "available": 1, "required": 3, "deficit": 2, "limit": 5, "left": 1, "period": "day", "state": "settled",
        "max_minutes": 60, "refundable": 4, "days": 3, "billed_by": "stripe",
    }  # fmt: skip
    told = tell(Refused(code, facts), 3, 6)
    assert "{" not in told.message
    assert told.message.endswith(".")


# Refusals over HTTP


def test_who_has_too_little_is_told_how_much(server: Server, account: str):
    server.add(account, 3.25)
    answer = deduct(server, account, 5)
    assert answer.told == (402, "INSUFFICIENT_CREDITS")
    assert answer.json["data"] == {"available": 3.25, "required": 5, "deficit": 1.75}
    assert answer.message == "This takes 5 credits; 3.25 are available."


@pytest.mark.parametrize("call", ["deduct", "reserve"])
def test_an_account_that_was_never_seen_has_too_little(server: Server, account: str, call: str):
    answer = server.post(call, {**GOOD[call], "account_id": account, "amount": 0.5})
    assert answer.told == (402, "INSUFFICIENT_CREDITS")
    assert answer.json["data"] == {"available": 0, "required": 0.5, "deficit": 0.5}
    assert server.entries(account) == []


def test_a_refusal_is_not_remembered(server: Server, account: str):
    server.add(account, 3)
    assert deduct(server, account, 5).status == 402
    server.add(account, 3)
    assert deduct(server, account, 5).data["newBalance"] == 1


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"amount": 6}, ["amount"]),
        ({"operation": "image.make"}, ["operation"]),
        ({"amount": 6, "operation": "image.make"}, ["amount", "operation"]),
        ({"amount": 5.00000000000000001}, None),
    ],
)
def test_a_key_used_for_something_else_is_a_conflict(server: Server, funded: str, change: dict[str, Any], differs: Any):
    body = {**GOOD["deduct"], "account_id": funded}
    first = server.post("deduct", body)
    before = server.count()
    again = server.post("deduct", {**body, **change, "description": "descriptions may differ", "metadata": {"x": 1}})
    assert server.count() == before
    if differs is None:
        assert again.raw == first.raw
    else:
        assert again.told == (409, "IDEMPOTENCY_CONFLICT")
        assert again.json["data"] == {"differs": differs}


def test_confirming_again_with_another_amount_is_a_conflict(server: Server, funded: str):
    reservation = server.post("reserve", {**GOOD["reserve"], "account_id": funded}).data["reservationId"]
    server.post("confirm-reservation", {"reservationId": reservation, "actualAmount": 3})
    again = server.post("confirm-reservation", {"reservationId": reservation, "actualAmount": 4})
    assert again.told == (409, "IDEMPOTENCY_CONFLICT")


@pytest.mark.parametrize("change", [{"amount": 6}, {"source": {"productId": "q"}}, {"source": {"orderId": "q"}}])
def test_a_transaction_id_with_other_content_is_a_conflict(server: Server, account: str, change: dict[str, Any]):
    source = {"productId": "p", "orderId": "o", "transactionId": account}
    body = {"account_id": account, "amount": 5, "source": source}
    server.post("add", body)
    changed = {**body, **change, "source": {**source, **change.get("source", {})}}
    assert server.post("add", changed).told == (409, "IDEMPOTENCY_CONFLICT")
    assert server.balance(account) == 5


def test_a_payment_of_another_account_is_a_conflict(server: Server, account: str):
    source = {"productId": "p", "orderId": "o", "transactionId": account}
    server.post("add", {"account_id": account, "amount": 5, "source": source})
    answer = server.post("add", {"account_id": account + "b", "amount": 5, "source": source})
    assert answer.told == (409, "IDEMPOTENCY_CONFLICT")
    assert server.entries(account + "b") == []


@pytest.mark.parametrize("call", ["deduct", "reserve"])
def test_a_frozen_account_is_forbidden(server: Server, funded: str, call: str):
    server.do(SetAccount(workspace="main", account=funded, frozen=True))
    answer = server.post(call, {**GOOD[call], "account_id": funded})
    assert answer.told == (403, "FORBIDDEN")
    assert "frozen" in answer.message


def test_a_spend_limit_is_forbidden_and_says_what_is_left(server: Server, funded: str):
    server.do(SetAccount(workspace="main", account=funded, spend_limit_day=8 * UNIT))
    assert deduct(server, funded, 5, "s1").status == 200
    answer = deduct(server, funded, 5, "s2")
    assert answer.told == (403, "FORBIDDEN")
    assert answer.json["data"] == {"period": "day", "limit": 8, "left": 3}


def test_a_balance_that_could_not_be_counted_is_an_invalid_amount(server: Server, funded: str):
    server.sql("update account set earned = 999999999999999999 where id = ?", funded)
    before = server.count()
    source = {"productId": "p", "orderId": "o", "transactionId": funded}
    answer = server.post("add", {"account_id": funded, "amount": 1, "source": source})
    assert answer.told == (400, "INVALID_AMOUNT")
    assert server.count() == before


def test_limits_of_the_workspace_are_told(tmp_path):
    settings = WorkspaceSettings(max_live_grants=2, max_live_holds=1, hold_max_minutes=30)
    with Server(tmp_path, workspace=settings) as server:
        server.add("alice", 10)
        server.add("alice", 10)
        source = {"productId": "p", "orderId": "o", "transactionId": "third"}
        body = {"account_id": "alice", "amount": 5, "source": source}
        assert server.post("add", body).told == (403, "FORBIDDEN")
        hold = {"account_id": "alice", "operation": "chat.message", "amount": 5}
        too_long = server.post("reserve", hold)
        assert too_long.told == (400, "INVALID_INPUT")
        assert "30" in too_long.message
        assert server.post("reserve", {**hold, "validityMinutes": 30}).status == 200
        assert server.post("reserve", {**hold, "validityMinutes": 30}).told == (403, "FORBIDDEN")


def test_another_workspaces_accounts_and_reservations_are_not_there(server: Server, funded: str):
    other = server.new_key(workspace="other")
    reservation = server.post("reserve", {**GOOD["reserve"], "account_id": funded}).data["reservationId"]
    assert server.post("balance", {"account_id": funded}, key=other).data["balance"] == 0
    assert server.post("transactions", {"account_id": funded}, key=other).data["transactions"] == []
    assert server.post("deduct", {**GOOD["deduct"], "account_id": funded}, key=other).status == 402
    before = server.count()
    for call in ("confirm-reservation", "cancel-reservation"):
        assert server.post(call, {"reservationId": reservation}, key=other).told == (404, "RESERVATION_NOT_FOUND")
    assert server.count() == before


# The machine


class BrokenEngine:
    """Answers every command with the failure it was given, on the short way and on the long one."""

    def __init__(self) -> None:
        self.runs_here = True
        self.fail: Callable[[], Exception] = lambda: RuntimeError("not set")
        self.asked: list[Command] = []

    async def ask(self, command: Command) -> Outcome:
        return self.submit(command)

    def submit(self, command: Command, *_: object, dry: bool = False) -> Any:
        self.asked.append(command)
        raise self.fail()


@pytest.fixture(scope="module", params=["short way", "long way"])
def broken(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, BrokenEngine]]:
    engine = BrokenEngine()
    engine.runs_here = request.param == "short way"

    def build(settings, ledger, *more):
        real, ledger.engine = ledger.engine, engine
        app = serving.build_app(settings, ledger, *more)
        ledger.engine = real
        return app

    with Server(tmp_path_factory.mktemp("broken"), build=build) as server:
        server.post("balance", {"account_id": "x"})  # from now on the key is known
        yield server, engine


WRITES = ["deduct", "reserve", "confirm-reservation", "cancel-reservation", "add"]
OWN_CODE = {e.path.rpartition("/")[2]: e.failure for e in ENDPOINTS}


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("kind", [QueueFull, Busy, Raced])
def test_who_meets_a_full_queue_or_a_busy_database_is_told_to_come_back(broken, kind: type[StoreError], call: str):
    server, engine = broken
    engine.fail = kind
    answer = server.post(call, GOOD[call])
    assert answer.told == (429, "RATE_LIMIT_EXCEEDED")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize(
    "kind", [Unavailable, StorageFull, ReadOnly, NotADatabase, StoreError, ShuttingDown, ClockJumped, Forked]
)
def test_when_nothing_was_done_the_status_is_503_with_the_operations_own_code(
    broken, kind: type[StoreError], call: str
):
    server, engine = broken
    engine.fail = lambda: kind("/secret/path/ledger.db is broken")
    answer = server.post(call, GOOD[call])
    assert answer.told == (503, OWN_CODE[call])
    assert int(answer.headers["retry-after"]) >= 1
    assert "secret" not in answer.message


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("kind", [Unknown, Crashed])
def test_an_unknown_outcome_and_a_crash_are_500_with_the_operations_own_code(broken, kind: type[StoreError], call: str):
    server, engine = broken
    engine.fail = kind
    answer = server.post(call, GOOD[call])
    assert answer.told == (500, OWN_CODE[call])
    assert "retry-after" not in answer.headers


def test_a_bug_is_an_internal_error_and_goes_into_the_log(broken):
    server, engine = broken
    engine.fail = lambda: ZeroDivisionError(f"with the key {server.key}")
    answer = server.post("deduct", GOOD["deduct"], X_Request_Id="bug-1")
    assert answer.told == (500, "INTERNAL_ERROR")
    assert "ZeroDivision" not in answer.raw.decode()
    line = next(line for line in server.log_lines() if line["event"] == "request failed")
    assert (line["request_id"], line["level"]) == ("bug-1", "error")
    assert "ZeroDivisionError" in line["exception"]
    assert server.key not in server.log.getvalue()


def test_what_a_command_carries_is_what_was_sent(broken):
    server, engine = broken
    engine.fail = Unknown
    engine.asked.clear()
    server.post("confirm-reservation", {"reservationId": "hold_9", "actualAmount": 1.2345678, "description": "d"})
    (command,) = engine.asked
    assert isinstance(command, Settle)
    assert (command.hold, command.account, command.key) == ("hold_9", "", "cw.confirm:hold_9")
    assert (command.amount, command.asked, command.description) == (1_234_568, "1.2345678", "d")
    assert (command.shortfall, command.late, command.last) == ("refuse", "refuse", True)
