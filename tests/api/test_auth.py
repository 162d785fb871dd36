"""Who asks: keys over HTTP, what they may do, how soon a change is seen, and what the cache remembers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from farthing.api.auth import KeyAuth
from farthing.api.countwerk.endpoints import ENDPOINTS
from farthing.api.endpoint import Caller, Stop
from farthing.core.credentials import Credential, hash_key
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.identity.keys import make_key
from farthing.prices.book import EMPTY, PriceBook
from farthing.stores.access import Access
from farthing.stores.contract import Busy, Unavailable
from tests.api.serving import ME, Answer, Server, id_of
from tests.api.test_countwerk_bad_input import GOOD
from tests.support import MAIN, START_US

NEEDS = {
    "balance": "read",
    "resolve-order": "read",
    "purchase-links": "read",
    "transactions": "read",
    "deduct": "charge",
    "reserve": "charge",
    "confirm-reservation": "charge",
    "cancel-reservation": "charge",
    "add": "grant",
}


def until(status: int, call: Callable[[], Answer]) -> Answer:
    """Call again until it answers so; what waits for a clock that others watch needs some patience."""
    ends = time.monotonic() + 60
    while (answer := call()).status != status:
        assert time.monotonic() < ends, answer
        time.sleep(0.02)
    return answer


# Over HTTP


def test_without_a_key_a_path_that_has_one_owner_answers_in_its_words(server: Server):
    for call in ("reserve", "confirm-reservation", "cancel-reservation", "add", "transactions"):
        assert server.send("POST", f"/api/credits/{call}", b"{}").told == (401, "API_KEY_MISSING")


@pytest.mark.parametrize("call", ["balance", "deduct"])
def test_where_two_dialects_share_a_path_the_body_is_for_both(server: Server, call: str):
    answer = server.send("POST", f"/api/credits/{call}", b"{}")
    body = answer.json
    assert answer.status == 401
    assert list(body) == ["success", "code", "message", "error", "timestamp"]
    assert (body["success"], body["code"], body["error"]) == (False, "API_KEY_MISSING", body["message"])


def test_where_two_dialects_share_a_path_a_token_chooses_its_own(server: Server):
    answer = server.send("POST", "/api/credits/deduct", b"{}", {"Authorization": "Bearer x.y.z"})
    assert (answer.status, answer.json) == (401, {"message": "Invalid token"})


def test_an_authorization_header_alone_is_no_key(server: Server):
    answer = server.send("POST", "/api/credits/add", b"{}", {"Authorization": f"Bearer {server.key}"})
    assert (answer.status, answer.json["code"]) == (401, "API_KEY_MISSING")


@pytest.mark.parametrize(
    "key",
    ["cs_live_nonsense", "cs_live_" + "A" * 49, "sk_live_1", "cs_", "x" * 5_000, "cs_legacy_0123456789", "schlüssel"],
)
def test_a_key_that_nobody_has_is_invalid(server: Server, key: str):
    before = server.count()
    text = key.encode().decode("latin-1")
    assert server.post("deduct", GOOD["deduct"], key=text).told == (401, "INVALID_API_KEY")
    assert server.count() == before


def test_a_changed_character_makes_a_key_invalid(server: Server):
    changed = server.key[:-1] + ("A" if server.key[-1] != "A" else "B")
    assert server.post("balance", GOOD["balance"], key=changed).told == (401, "INVALID_API_KEY")


def test_an_empty_key_is_a_missing_one(server: Server):
    answer = server.send("POST", "/api/credits/deduct", b"{}", {"X-API-Key": ""})
    assert answer.told == (401, "API_KEY_MISSING")


def test_every_endpoint_takes_the_scope_that_the_table_says():
    assert {e.path.rpartition("/")[2]: e.scope for e in ENDPOINTS} == NEEDS


@pytest.mark.parametrize("scope", ["read", "charge", "grant", "admin"])
def test_a_key_does_what_its_scopes_say_and_is_told_which_one_it_lacks(server: Server, scope: str):
    key = server.new_key(scope)
    for call, need in NEEDS.items():
        before = server.count()
        answer = server.post(call, {}, key=key)
        if scope in (need, "admin"):
            assert answer.told == (400, "MISSING_REQUIRED_FIELDS")
        else:
            assert answer.told == (403, "FORBIDDEN")
            assert f"'{need}'" in answer.message
        assert server.count() == before


def test_a_test_key_is_told_so_with_each_answer(server: Server):
    assert server.post("balance", {}, key=server.new_key(workspace="other")).headers["farthing-mode"] == "test"
    assert "farthing-mode" not in server.post("balance", {}).headers


def test_a_revoked_key_is_refused_as_soon_as_the_change_is_seen(server: Server):
    key = server.new_key()
    assert server.post("balance", GOOD["balance"], key=key).status == 200
    server.run(server.ledger.access.revoke_key(id_of(key), ME))
    answer = until(401, lambda: server.post("balance", GOOD["balance"], key=key))
    assert answer.told == (401, "INVALID_API_KEY")
    assert "revoked" in answer.message


def test_a_new_key_works_at_once(server: Server):
    assert server.post("balance", GOOD["balance"], key=server.new_key()).status == 200


def test_a_key_that_was_tried_too_early_works_as_soon_as_the_change_is_seen(server: Server):
    key = make_key("live")
    assert server.post("balance", GOOD["balance"], key=key.text).status == 401
    server.new_key(key=key)
    until(200, lambda: server.post("balance", GOOD["balance"], key=key.text))


def test_a_key_ends_at_the_instant_of_its_expiry(tmp_path):
    with Server(tmp_path) as server:
        key = server.new_key(ends_at=START_US + 10_000_000)
        server.clock.advance(9.999)  # type: ignore[attr-defined]
        assert server.post("balance", GOOD["balance"], key=key).status == 200
        server.clock.advance(0.001)  # type: ignore[attr-defined]
        answer = server.post("balance", GOOD["balance"], key=key)
        assert answer.told == (401, "INVALID_API_KEY")
        assert "expired" in answer.message


@pytest.mark.parametrize(
    ("error", "told"), [(Busy, (429, "RATE_LIMIT_EXCEEDED")), (Unavailable, (503, "ADD_CREDITS_ERROR"))]
)
def test_a_key_that_can_not_be_looked_up_is_a_failure_of_the_machine(tmp_path, monkeypatch, error, told):
    async def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(Access, "credential", broken)
    with Server(tmp_path) as server:
        assert server.post("add", GOOD["add"]).told == told


# The cache


class Desk:
    """A key desk whose look-ups are counted, and a cache in front of it."""

    def __init__(self, remembered: int = 10) -> None:
        self.credentials: dict[bytes, Credential] = {}
        self.generation: int | None = 1
        self.asked: list[bytes] = []
        self.now = 1_000
        self.while_asked: Callable[[], None] = lambda: None
        self.auth = KeyAuth(
            find=self.find,
            workspace=self.workspace,
            generation=lambda: self.generation,
            hash_key=hash_key,
            plausible=lambda text: text.startswith("cs_"),
            prices=self.prices,
            now_us=lambda: self.now,
            remembered=remembered,
        )

    async def find(self, mark: bytes) -> Credential | None:
        self.asked.append(mark)
        found = self.credentials.get(mark)
        self.while_asked()
        return found

    async def prices(self, workspace: Workspace) -> PriceBook:
        return PriceBook(workspace, 0, (), EMPTY, lambda: self.now)

    async def workspace(self, workspace: str) -> Workspace | None:
        return MAIN if workspace == "main" else None

    def know(self, text: str, **more: Any) -> None:
        self.credentials[hash_key(text)] = Credential(f"key_{text}", "main", "live", frozenset({"read"}), **more)

    def ask(self, text: str) -> Caller | str:
        """Who bears the key, or what is said against it."""
        work: Awaitable[Caller] = self.auth.caller(text)
        try:
            return asyncio.run(work)  # type: ignore[arg-type]
        except Stop as stop:
            return stop.message


def test_a_key_is_looked_up_once():
    desk = Desk()
    desk.know("cs_a")
    callers = [desk.ask("cs_a") for _ in range(3)]
    assert callers[0] is callers[1] is callers[2]
    assert (len(desk.asked), getattr(callers[0], "id", None)) == (1, "key_cs_a")


def test_a_key_that_nobody_has_is_looked_up_once():
    desk = Desk()
    assert [desk.ask("cs_x") for _ in range(3)] == ["There is no such API key; it may have been deleted."] * 3
    assert len(desk.asked) == 1


def test_text_that_can_be_no_key_is_never_looked_up():
    desk = Desk()
    assert "no API key" in str(desk.ask("bearer"))
    assert desk.asked == []


def test_when_the_generation_moves_all_is_forgotten():
    desk = Desk()
    desk.know("cs_a")
    desk.ask("cs_a")
    desk.ask("cs_new")
    desk.know("cs_a", revoked_at=500)
    desk.know("cs_new")
    assert isinstance(desk.ask("cs_a"), Caller)
    desk.generation = 2
    assert desk.ask("cs_a") == "This API key was revoked."
    assert isinstance(desk.ask("cs_new"), Caller)


def test_while_the_generation_is_not_known_nothing_is_remembered():
    desk = Desk()
    desk.know("cs_a")
    desk.ask("cs_a")
    desk.generation = None
    for _ in range(2):
        desk.ask("cs_a")
        desk.ask("cs_x")
    assert len(desk.asked) == 5
    desk.generation = 1
    for _ in range(3):
        desk.ask("cs_a")
    assert len(desk.asked) == 6


@pytest.mark.parametrize("later", [2, None])
def test_what_was_read_while_a_change_was_on_its_way_is_not_remembered(later: int | None):
    desk = Desk()
    desk.know("cs_a")
    desk.while_asked = lambda: setattr(desk, "generation", later)
    assert isinstance(desk.ask("cs_a"), Caller)
    desk.while_asked = lambda: None
    desk.generation = 2
    desk.credentials.clear()
    assert "no such" in str(desk.ask("cs_a"))


def test_the_cache_drops_what_was_used_longest_ago_and_bad_keys_drive_no_good_one_out():
    desk = Desk(remembered=2)
    for name in ("cs_a", "cs_b", "cs_c"):
        desk.know(name)
    desk.ask("cs_a")
    desk.ask("cs_b")
    desk.ask("cs_a")
    desk.ask("cs_c")
    for n in range(50):
        desk.ask(f"cs_bad{n}")
    desk.asked.clear()
    desk.ask("cs_a")
    desk.ask("cs_c")
    assert desk.asked == []
    desk.ask("cs_b")
    assert len(desk.asked) == 1


def test_two_keys_whose_hashes_begin_alike_are_told_apart():
    desk = Desk()
    desk.auth._hash_key = lambda text: b"the same" + text.encode()
    for name in ("cs_a", "cs_b"):
        desk.credentials[b"the same" + name.encode()] = Credential(name, "main", "live", frozenset({"read"}))
    for _ in range(2):
        assert [getattr(desk.ask(name), "id", None) for name in ("cs_a", "cs_b")] == ["cs_a", "cs_b"]


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ({"expires_at": 1_001}, None),
        ({"expires_at": 1_000}, "has expired"),
        ({"revoked_at": 1_000}, "was revoked"),
        ({"revoked_at": 1_001}, None),
        ({"expires_at": 900, "revoked_at": 950}, "has expired"),
        ({"expires_at": 950, "revoked_at": 900}, "was revoked"),
        ({"expires_at": 900, "revoked_at": 2_000}, "has expired"),
    ],
)
def test_the_earlier_of_both_ends_counts_from_its_instant_on(ends: dict[str, int], told: str | None):
    desk = Desk()
    desk.know("cs_a", **ends)
    found = desk.ask("cs_a")
    assert isinstance(found, Caller) if told is None else found == f"This API key {told}."


def test_a_key_of_a_workspace_that_is_gone_is_nobodys():
    desk = Desk()
    desk.credentials[hash_key("cs_a")] = Credential("key_a", "gone", "live", frozenset({"read"}))
    assert "no such" in str(desk.ask("cs_a"))


def test_admin_may_do_everything_and_nothing_else_implies_more():
    desk = Desk()
    for scopes in ("admin", "charge"):
        desk.credentials[hash_key(f"cs_{scopes}")] = Credential(scopes, "main", "live", frozenset({scopes}))
    admin, charge = desk.ask("cs_admin"), desk.ask("cs_charge")
    assert isinstance(admin, Caller)
    assert isinstance(charge, Caller)
    assert sorted(admin.scopes) == ["admin", "charge", "grant", "read"]
    assert sorted(charge.scopes) == ["charge"]


# Rate limits


def test_who_asks_too_often_is_told_when_to_come_back(tmp_path):
    with Server(tmp_path, rate_limit=3) as server:
        answers = [server.post("balance", GOOD["balance"]) for _ in range(4)]
        assert [a.status for a in answers] == [200, 200, 200, 429]
        assert [a.headers["ratelimit-policy"] for a in answers] == ['"default";q=3;w=60'] * 4
        left = [a.headers["ratelimit"].partition(";t")[0] for a in answers]
        assert left == ['"default";r=2', '"default";r=1', '"default";r=0', '"default";r=0']
        assert answers[3].told == (429, "RATE_LIMIT_EXCEEDED")
        assert 1 <= int(answers[3].headers["retry-after"]) <= 20
        # Another key has a bucket of its own.
        assert server.post("balance", GOOD["balance"], key=server.new_key()).status == 200


def test_refused_requests_count_for_the_rate_limit_and_unknown_keys_do_not(tmp_path):
    with Server(tmp_path, rate_limit=2) as server:
        reader = server.new_key("read")
        assert server.post("deduct", {}, key=reader).status == 403
        assert server.post("balance", "{", key=reader).status == 400
        assert server.post("deduct", {}, key=reader).status == 429
        for _ in range(5):
            assert server.post("deduct", {}, key="cs_nobody_knows_me").status == 401


def test_a_workspace_may_have_its_own_rate_limit(tmp_path):
    with Server(tmp_path, rate_limit=1, workspace=WorkspaceSettings(rate_limit=100)) as server:
        answers = [server.post("balance", GOOD["balance"]) for _ in range(5)]
        assert {a.status for a in answers} == {200}
        assert answers[0].headers["ratelimit-policy"] == '"default";q=100;w=60'


def test_without_a_rate_limit_there_are_no_fields(server: Server):
    assert [name for name in server.post("balance", GOOD["balance"]).headers if name.startswith("ratelimit")] == []
