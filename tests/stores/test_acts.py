"""Administration under a key of the caller: done once, answered alike; operators; compare and set."""

from itertools import count
from typing import Any

import pytest

from farthing.core.credentials import hash_key
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.core.view import etag
from farthing.identity.keys import make_key
from farthing.stores.access import AccessError, Act, Once
from tests.stores.shop import ACT, Shop
from tests.support import START_US, config_version, is_live

_numbers = count()
READ = frozenset({"read"})


@pytest.fixture
def number() -> int:
    """A number that no other test has."""
    return next(_numbers)


def once(key: str, asked: dict[str, Any] | None = None, **more: Any) -> Once:
    return Once(f"v1:{key}", asked or {}, **more)


def create(shop: Shop, id: str, under: Once | None, workspace: str = "main", first: bool = False) -> Any:
    key = make_key("live")
    access = shop.ledger.access
    return shop.wait(access.create_key(workspace, id, key.hash, key.hint, "bot", READ, ACT, first=first, once=under))


def workspace(id: str) -> Workspace:
    return Workspace(id, id, "live", "credits", 6, START_US, WorkspaceSettings(rate_limit=9))


def failing(shop: Shop, work: Any) -> AccessError:
    with pytest.raises(AccessError) as error:
        shop.wait(work)
    return error.value


def test_a_repeat_gets_the_first_answer_and_does_nothing(shop, number):
    asked = {"name": "bot", "scopes": ["read"]}
    first, second = once(f"k{number}", asked), once(f"k{number}", asked)
    made = create(shop, f"key_{number}", first)
    version = shop.wait(config_version(shop.ledger))
    assert create(shop, f"key_{number}b", second) == made
    assert (first.replayed, second.replayed) == (False, True)
    assert shop.wait(shop.ledger.access.key("main", f"key_{number}b")) is None
    assert shop.wait(config_version(shop.ledger)) == version


def test_the_same_key_for_something_else_is_a_conflict_that_names_what_differs(shop, number):
    create(shop, f"key_{number}", once(f"k{number}", {"name": "bot", "scopes": ["read"], "expires_at": None}))
    with pytest.raises(AccessError, match="differs in expires_at, name") as error:
        create(shop, f"key_{number}b", once(f"k{number}", {"name": "cat", "scopes": ["read"], "expires_at": 7}))
    assert (error.value.code, error.value.differs) == ("key_conflict", ("expires_at", "name"))
    kind = failing(shop, shop.ledger.access.revoke_key(f"key_{number}", ACT, workspace="main", once=once(f"k{number}")))
    assert kind.differs == ("kind",)


def test_the_same_key_in_another_workspace_is_another_key(shop, number):
    create(shop, f"key_{number}", once(f"k{number}"))
    other = once(f"k{number}")
    create(shop, f"key_{number}o", other, workspace="other")
    assert not other.replayed


def test_a_dry_run_says_what_would_come_of_it_and_leaves_nothing(shop, number):
    version = shop.wait(config_version(shop.ledger))
    rehearsed = create(shop, f"key_{number}", once(f"k{number}", dry_run=True))
    assert rehearsed.id == f"key_{number}"
    assert shop.wait(shop.ledger.access.key("main", f"key_{number}")) is None
    assert shop.wait(config_version(shop.ledger)) == version
    real = once(f"k{number}")
    create(shop, f"key_{number}", real)
    assert not real.replayed


def test_the_key_of_an_act_is_not_shown_in_the_audit_log(shop, number):
    create(shop, f"key_{number}", once(f"k{number}", {"name": "bot"}))
    (record,) = shop.wait(shop.ledger.access.audit_page("main", subject=f"key_{number}")).items
    assert (record.detail, set(record.after)) == ({}, {"name", "scopes", "hint", "expires_at"})


def test_settings_change_only_where_they_are_still_what_was_read(shop, number):
    access = shop.ledger.access
    seen = etag(shop.wait(access.settings("other")))
    changed = shop.wait(access.change_settings("other", {"rate_limit": 100 + number}, ACT, expected=seen))
    late = failing(shop, access.change_settings("other", {"rate_limit": 7}, ACT, expected=seen))
    assert late.code == "precondition_failed"
    assert shop.wait(access.settings("other")) == changed
    shop.wait(access.change_settings("other", {"rate_limit": 0}, ACT, expected=etag(changed)))


def test_a_repeated_change_of_settings_is_told_the_first_answer_whatever_they_are_now(shop, number):
    access = shop.ledger.access
    asked = {"changes": {"max_live_grants": 9}}
    seen = etag(shop.wait(access.settings("main")))

    def change() -> tuple[WorkspaceSettings, bool]:
        under = once(f"k{number}", asked)
        return shop.wait(
            access.change_settings("main", {"max_live_grants": 9}, ACT, expected=seen, once=under)
        ), under.replayed

    first, replayed = change()
    assert not replayed
    shop.wait(access.change_settings("main", {"max_live_grants": 1_000}, ACT))
    assert change() == (first, True)


def test_a_key_is_rotated_and_revoked_only_in_its_workspace(shop, number):
    id = f"key_{number}"
    create(shop, id, None)
    access, new = shop.ledger.access, make_key("live")
    assert failing(shop, access.revoke_key(id, ACT, workspace="other")).code == "key_not_found"
    assert failing(shop, access.rotate_key(id, "key_x", new, START_US, ACT, workspace="other")).code == "key_not_found"
    under = once(f"r{number}")
    rotated = shop.wait(access.rotate_key(id, id + "n", new, START_US + 5, ACT, workspace="main", once=under))
    assert (rotated.old.expires_at, rotated.new.id) == (START_US + 5, id + "n")
    again = once(f"r{number}")
    assert shop.wait(access.rotate_key(id, id + "m", make_key("live"), 0, ACT, workspace="main", once=again)) == rotated
    assert again.replayed
    later = Act("tester", START_US + 9)
    assert shop.wait(access.revoke_key(id, later, workspace="main", once=once(f"v{number}"))).revoked_at == later.at
    twice = shop.wait(access.revoke_key(id, Act("tester", START_US + 99), workspace="main", once=once(f"w{number}")))
    assert twice.revoked_at == later.at


def test_an_operators_key_opens_no_workspace_and_ends_when_it_is_revoked(shop, number):
    key, id = make_key("oper"), f"key_op{number}"
    shop.wait(shop.ledger.access.create_operator(id, key, "ops", ACT))
    found = shop.wait(shop.ledger.access.credential(hash_key(key.text)))
    assert (found.key_id, found.workspace, found.scopes, is_live(found, START_US)) == (id, "", {"operator"}, True)
    assert id in [each.id for each in shop.wait(shop.ledger.access.operators())]
    assert shop.wait(shop.ledger.access.keys("")) == []
    ended = shop.wait(shop.ledger.access.revoke_operator(id, ACT))
    assert ended == shop.wait(shop.ledger.access.revoke_operator(id, Act("tester", START_US + 1)))
    assert not is_live(shop.wait(shop.ledger.access.credential(hash_key(key.text))), START_US)
    assert failing(shop, shop.ledger.access.revoke_operator("key_no", ACT)).code == "key_not_found"


def test_a_workspace_is_made_once_and_its_first_key_only_while_it_has_none(shop, number):
    id, access = f"w{number}", shop.ledger.access
    first, again = once(f"o{number}", {"id": id}), once(f"o{number}", {"id": id})
    made = shop.wait(access.create_workspace(workspace(id), ACT, first))
    assert shop.wait(access.create_workspace(workspace(id), ACT, again)) == made == workspace(id)
    assert (first.replayed, again.replayed) == (False, True)
    taken = failing(shop, access.create_workspace(workspace(id), ACT, once(f"p{number}")))
    assert (taken.code, taken.field) == ("workspace_exists", "id")
    create(shop, f"key_{number}f", once(f"f{number}"), workspace=id, first=True)
    with pytest.raises(AccessError, match="has keys of its own"):
        create(shop, f"key_{number}g", once(f"g{number}"), workspace=id, first=True)
    with pytest.raises(AccessError, match="no workspace"):
        create(shop, f"key_{number}h", once(f"h{number}"), workspace="nowhere", first=True)


def test_a_secret_is_made_once(shop, number):
    assert shop.wait(shop.ledger.access.secret(f"s{number}", "aa")) == "aa"
    assert shop.wait(shop.ledger.access.secret(f"s{number}", "bb")) == "aa"
