"""What was imported from an accounting service, as its clients meet it."""

import pytest

from tests.api.accounting.people import Person, told
from tests.api.accounting.streams import begin
from tests.api.accounting.workspaces import rates
from tests.api.serving import Server
from tests.importing import bring_to, charged, grant, line

BOTH_DATABASES = True


@pytest.fixture(scope="module", autouse=True)
def priced(server: Server, trusted: None) -> None:
    rates(server)


def test_who_had_allocations_has_them_with_their_dates(server: Server, user: Person, boss: Person) -> None:
    dates = {"expires_at": "2099-01-01T00:00:00Z", "granted_at": "2025-12-01T00:00:00Z"}
    bring_to(server, [grant(f"a-{user.id}", user.id, "7.5", granted="20", description="Welcome", **dates)])
    (allocation,) = user.get("credits/balance")["activeAllocations"]
    assert (allocation["credits"], allocation["expiresAt"], allocation["allocatedAt"]) == (
        7.5, "2099-01-01T00:00:00.000Z", "2025-12-01T00:00:00.000Z"
    )  # fmt: skip
    listed = boss.get("credits/allocations/all?limit=500")["allocations"]
    (line,) = [each for each in listed if each["userId"] == user.id]
    assert (line["totalCredits"], line["remainingCredits"], line["notes"]) == (20, 7.5, "Welcome")


def test_what_was_answered_before_the_move_is_answered_again(server: Server, user: Person) -> None:
    session = line("key", account=user.id, key="acc.session:s1", kind="session", amount="6", model="gpt-4", tokens=1000,
                   at="2025-12-01T00:00:00Z")  # fmt: skip
    given = line("key", account=user.id, key="acc.allocate:k1", kind="grant", amount="20", balance="20", id="old-1",
                 at="2025-12-01T00:00:00Z", expires_at="2026-06-01T00:00:00Z")  # fmt: skip
    recorded = charged(user.id, "acc.usage:u1", "7.5", service="chat", operation="gpt-4")
    bring_to(
        server, [grant(f"b-{user.id}", user.id, "20"), charged(user.id, "acc.deduct:d1"), session, given, recorded]
    )
    body = {"credits": 5, "operation": "chat.message", "idempotencyKey": "d1"}
    assert user.done("POST", "credits/deduct", body) == {
        "success": True, "message": "Successfully deducted 5 credits.", "remainingBalance": 95
    }  # fmt: skip
    assert told(user.post("credits/deduct", body | {"credits": 6}))[0] == 409
    usage = {"service": "chat", "operation": "gpt-4", "credits": 7.5, "idempotencyKey": "u1"}
    assert user.done("POST", "usage/record", usage) == {
        "id": "old-acc.usage:u1", "service": "chat", "operation": "gpt-4", "credits": 7.5,
        "timestamp": "2025-12-01T08:00:00.000Z",
    }  # fmt: skip
    assert begin(user, "s1").json == {"sessionId": "s1", "allocatedCredits": 6, "status": "active"}
    assert told(begin(user, "s1", tokens=999))[0] == 409
    assert user.total == 20


def test_an_allocation_of_before_the_move_is_given_once(server: Server, user: Person, boss: Person) -> None:
    given = line("key", account=user.id, key="acc.allocate:k1", kind="grant", amount="20", balance="20", id="old-1",
                 at="2025-12-01T00:00:00Z", expires_at="2026-06-01T00:00:00Z")  # fmt: skip
    bring_to(server, [grant(f"c-{user.id}", user.id, "20"), given])
    assert boss.allocate(user, 20, idempotencyKey="k1") == {
        "id": "old-1", "userId": user.id, "totalCredits": 20, "remainingCredits": 20,
        "expiresAt": "2026-06-01T00:00:00.000Z",
    }  # fmt: skip
    assert user.total == 20
