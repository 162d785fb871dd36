"""The audit log of the native API: who did what to whom, why, and what it was before and after."""

from typing import Any

import pytest

from farthing.core.commands import GiveGrant, SetAccount
from tests.api.v1.client import places, told
from tests.api.v1.reading import ask, patch, read, whole
from tests.support import UNIT

BOTH_DATABASES = True
ALICE: dict[str, Any] = {"workspace": "main", "actor": "user:u-1", "role": "supervisor", "request_id": "req_9"}
STANDING = {"held": "0", "debt": "0"}


def newest(client, **filters):
    return read(client, "audit", limit=1, **filters)["data"][0]


def test_an_act_on_an_account_says_what_it_was_before_and_after(server, client, account):
    server.do(GiveGrant(account=account, amount=2_500_000, description="Welcome", **ALICE))
    entry = server.do(GiveGrant(account=account, amount=UNIT, description="Once more", **ALICE))
    record = newest(client, subject=account)
    assert record == {
        "id": record["id"],
        "created_at": record["created_at"],
        "actor": "user:u-1",
        "role": "supervisor",
        "action": "account.grant",
        "subject": account,
        "before": {"balance": "2.5", **STANDING},
        "after": {"balance": "3.5", **STANDING},
        "reason": "Once more",
        "entry": entry.id,
        "request_id": "req_9",
        "detail": {"kind": "grant", "amount": "1"},
    }


def test_an_account_that_an_act_made_was_nothing_before(server, client, account):
    server.do(GiveGrant(account=account, amount=UNIT, **ALICE))
    record = newest(client, subject=account)
    assert (record["before"], record["reason"]) == (None, None)
    assert (record["after"]["balance"], record["after"]["settings"]["frozen"]) == ("1", False)


def test_settings_of_an_account_are_told_where_they_change(server, client, account):
    server.do(GiveGrant(account=account, amount=UNIT, **ALICE))
    server.do(SetAccount(account=account, allowance=7_500_000, spend_limit_day=UNIT, **ALICE))
    record = newest(client, subject=account)
    assert record["before"]["settings"] == {
        "allowance": "0",
        "frozen": False,
        "spend_limit_day": None,
        "spend_limit_month": None,
        "balance_low": None,
        "balance_critical": None,
        "timezone": "UTC",
        "auto_top_up": None,
    }
    assert record["after"]["settings"] == record["before"]["settings"] | {"allowance": "7.5", "spend_limit_day": "1"}


def test_why_an_act_was_done_is_kept_with_its_entry_alone_where_it_can_be_erased(server, client, account):
    entry = server.do(GiveGrant(account=account, amount=UNIT, description="for Anna Smith", **ALICE))
    assert newest(client, subject=account)["reason"] == "for Anna Smith"
    detail = server.sql("select detail from audit where entry = ?", entry.id)
    assert "Anna" not in str(detail)


def test_settings_of_the_workspace_say_what_changed(client):
    assert patch(client, "settings", {"hold_max_minutes": 60, "rate_limit": 9}).status == 200
    assert patch(client, "settings", {"hold_max_minutes": 90}).status == 200
    record = newest(client, action="settings.change")
    assert (record["before"], record["after"]) == ({"hold_max_minutes": 60}, {"hold_max_minutes": 90})
    assert (record["role"], record["reason"], record["detail"]) == (None, None, {})


def test_acts_on_keys_say_what_they_were_and_are(client):
    made = client.made("keys", {"scopes": ["read"], "name": "bot"}, 201)
    created = newest(client, subject=made["id"])
    assert created["before"] is None
    assert created["after"] == {"name": "bot", "scopes": "read", "hint": made["hint"], "expires_at": None}
    rotated = client.made(f"keys/{made['id']}/rotate", {"overlap_seconds": 60}, 201)
    record = newest(client, subject=made["id"])
    assert (record["action"], record["before"]) == ("key.rotate", {"expires_at": None})
    assert record["after"]["replaced_by"] == rotated["id"]
    client.made(f"keys/{rotated['id']}/revoke")
    record = newest(client, subject=rotated["id"])
    assert (record["action"], record["before"]) == ("key.revoke", {"revoked_at": None})
    assert record["after"]["revoked_at"] > 0


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"role": "supervisor"}, 2),
        ({"role": "admin"}, 0),
        ({"actor": "user:u-1"}, 2),
        ({"action": "account.settings"}, 1),
        ({"actor": "user:u-1", "action": "account.void"}, 0),
    ],
)
def test_the_log_is_looked_through(server, client, account, filters, found):
    server.do(GiveGrant(account=account, amount=UNIT, **ALICE))
    server.do(SetAccount(account=account, frozen=True, **ALICE))
    assert len(whole(client, "audit", subject=account, **filters)) == found


@pytest.mark.parametrize("role", ["", "root", "Admin"])
def test_a_role_that_there_is_not_is_no_filter(client, role):
    answer = ask(client, "audit", role=role)
    assert told(answer) == (400, "invalid")
    assert set(places(answer)) == {"role"}


def test_the_log_is_never_changed(server, client, account):
    server.do(GiveGrant(account=account, amount=UNIT, **ALICE))
    for statement in ("update audit set actor = 'me'", "delete from audit"):
        with pytest.raises(Exception, match="audit records are never"):
            server.sql(statement)
    assert newest(client, subject=account)["actor"] == "user:u-1"
