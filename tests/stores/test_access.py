"""Workspaces, settings and keys: each change is audited, raises the version, and refuses with a sentence."""

import pytest

from farthing.app import open_ledger
from farthing.core.credentials import hash_key
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.identity.keys import make_key
from farthing.stores.access import AccessError, Act
from farthing.stores.contract import result_of
from tests.support import config_version, is_live

ACT = Act("tester", 1_000, "req_1")


def workspace(id: str = "main") -> Workspace:
    return Workspace(id, "Main", "test", "credits", 6, 1, WorkspaceSettings())


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", create=True) as ledger:
        result_of(ledger.access.create_workspace(workspace(), ACT))
        yield ledger


@pytest.fixture
def access(ledger):
    return ledger.access


def test_a_change_is_audited_and_raises_the_version(ledger, access):
    before = result_of(config_version(ledger))
    result_of(access.change_settings("main", {"hold_max_minutes": 60}, ACT))
    assert result_of(config_version(ledger)) == before + 1
    newest = result_of(access.audit("main"))[0]
    assert (newest.action, newest.actor, newest.request_id) == ("settings.change", "tester", "req_1")
    assert (newest.before, newest.after) == ({"hold_max_minutes": 43_200}, {"hold_max_minutes": 60})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hold_max_minutes": 0}, "hold_max_minutes must be from 1 to 525,600"),
        ({"hold_max_minutes": "soon"}, "hold_max_minutes"),
        ({"no_such_setting": 1}, "no_such_setting"),
        ({"refund_lapsed": "maybe"}, "refund_lapsed"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_nothing_changes(ledger, access, changes, words):
    before = result_of(config_version(ledger))
    with pytest.raises(AccessError, match=words):
        result_of(access.change_settings("main", changes, ACT))
    assert result_of(config_version(ledger)) == before
    assert result_of(access.settings("main")) == WorkspaceSettings()


@pytest.mark.parametrize("id", ["", "a b", "x" * 65, "naïve", "a/b"])
def test_a_workspace_needs_an_id_that_fits_everywhere(access, id):
    with pytest.raises(AccessError, match="1 to 64"):
        result_of(access.create_workspace(workspace(id), ACT))


def test_a_second_workspace_of_one_id_is_refused(access):
    with pytest.raises(AccessError, match="already"):
        result_of(access.create_workspace(workspace(), ACT))


def test_a_key_is_found_by_its_hash_and_rotates_with_an_overlap(access):
    old, new = make_key("test"), make_key("test")
    scopes = frozenset({"read", "charge"})
    result_of(access.create_key("main", "key_1", old.hash, old.hint, "bot", scopes, ACT))
    found = result_of(access.credential(hash_key(old.text)))
    assert (found.key_id, found.workspace, found.mode, found.scopes) == ("key_1", "main", "test", scopes)
    result_of(access.rotate_key("key_1", "key_2", new, 5_000, ACT))
    assert is_live(result_of(access.credential(old.hash)), 4_999)
    assert not is_live(result_of(access.credential(old.hash)), 5_000)
    assert result_of(access.credential(new.hash)).scopes == scopes


def test_a_revoked_key_stays_revoked_and_cannot_be_rotated(access):
    key = make_key("test")
    result_of(access.create_key("main", "key_1", key.hash, key.hint, "bot", frozenset({"read"}), ACT))
    assert result_of(access.revoke_key("key_1", Act("tester", 2_000))).revoked_at == 2_000
    assert result_of(access.revoke_key("key_1", Act("tester", 3_000))).revoked_at == 2_000
    with pytest.raises(AccessError, match="has ended"):
        result_of(access.rotate_key("key_1", "key_2", make_key("test"), 9_000, Act("tester", 4_000)))


def test_the_same_key_is_not_stored_twice(access):
    key = make_key("test")
    result_of(access.create_key("main", "key_1", key.hash, key.hint, "bot", frozenset({"read"}), ACT))
    with pytest.raises(AccessError, match="known already"):
        result_of(access.create_key("main", "key_2", key.hash, key.hint, "bot", frozenset({"read"}), ACT))


def test_opening_a_file_of_another_program_leaves_it_as_it_is(tmp_path):
    import apsw

    from farthing.stores.migrate import NotOurs

    path = tmp_path / "other.db"
    db = apsw.Connection(str(path))
    db.execute("create table theirs (x)")
    db.close()
    before = path.read_bytes()
    for create in (False, True):
        with pytest.raises(NotOurs):
            open_ledger(f"sqlite:///{path}", create=create)
    assert path.read_bytes() == before
