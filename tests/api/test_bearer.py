"""Bearer tokens at the door, over HTTP: what each face tells of a bad one, and what is remembered of a good one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import jwt
import pytest
from msgspec.structs import replace

from farthing.api.bearer import TokenAuth
from farthing.api.endpoint import Caller, Stop, Trouble
from farthing.app import ConfigWatch
from farthing.core.people import Issuer, Person, User
from farthing.core.records import Workspace
from farthing.identity.tokens import KeysUnavailable, Verified
from farthing.prices.book import EMPTY, PriceBook
from farthing.stores.contract import Busy
from farthing.stores.issuers import Issuers
from tests.api.serving import ME, Answer, Server, wait_for
from tests.identity.signing import AUDIENCE, EC, HS256, NOW, RSA, KeyServer, Pair, claims, part, publishing, sign
from tests.support import MAIN, START_US

LONG = NOW + 10 * 365 * 86_400


@pytest.fixture(scope="module")
def keys() -> Iterator[KeyServer]:
    with publishing(RSA) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def trusted(server: Server, keys: KeyServer) -> None:
    """The workspace takes tokens of a secret and of keys."""
    issuers = Issuers(server.ledger.database)
    for issuer in (HS256, RSA.issuer(keys.url)):
        server.run(issuers.add(issuer, ME))
    taken(server, good())
    taken(server, RSA.sign(exp=LONG, role="admin"))


def signed_by(pair: Pair, iss: str) -> str:
    """A token of an issuer that has these keys."""
    return jwt.encode(claims(iss=iss, aud=AUDIENCE, exp=LONG), pair.private, pair.algorithm, {"kid": pair.kid})


def good(**changes: Any) -> str:
    return sign(**{"exp": LONG, "role": "admin", **changes})


def accounting(server: Server, token: str, header: str = "Bearer ") -> Answer:
    return server.send("GET", "/api/credits/balance", headers={"Authorization": header + token})


def v1(server: Server, token: str, header: str = "Bearer ") -> Answer:
    return server.send("GET", "/v1/settings", headers={"Authorization": header + token})


def taken(server: Server, token: str) -> None:
    wait_for(lambda: v1(server, token).status == 200)


REFUSED = {
    "garbage": ("x.y.z", "Invalid token"),
    "none": (f"{part({'alg': 'none'})}.{part({'sub': 'u1'})}.", "Invalid token"),
    "another secret": (sign("another secret of 32 bytes or so."), "Invalid token"),
    "expired": (good(exp=NOW - 31), "Token expired"),
    "refresh": (good(type="refresh"), "Invalid token type"),
    "without end": (good(exp=None), "Authentication failed"),
    "another issuer": (signed_by(RSA, "https://other.example/"), "Authentication failed"),
}


@pytest.fixture(params=REFUSED)
def refused(request: pytest.FixtureRequest) -> tuple[str, str]:
    return REFUSED[request.param]


def test_the_accounting_dialect_says_why_in_its_words(server: Server, refused: tuple[str, str]):
    answer = accounting(server, refused[0])
    assert (answer.status, answer.json) == (401, {"message": refused[1]})
    assert answer.headers["www-authenticate"] == 'Bearer realm="farthing", error="invalid_token"'


def test_the_native_api_says_the_same_in_a_problem(server: Server, refused: tuple[str, str]):
    answer = v1(server, refused[0])
    assert (answer.status, answer.json["code"]) == (401, "credential_invalid")
    assert answer.json["detail"] == f"{refused[1]}."
    assert answer.headers["www-authenticate"] == 'Bearer realm="farthing", error="invalid_token"'


@pytest.mark.parametrize("token", [good(), RSA.sign(exp=LONG, role="admin")], ids=["a secret", "published keys"])
def test_a_good_token_is_taken_by_both_faces(server: Server, token: str):
    for _ in range(2):  # the second time it is remembered
        assert accounting(server, token).status == 200
        assert v1(server, token).status == 200


@pytest.mark.parametrize("header", ["bearer ", "BEARER ", "Bearer   "])
def test_the_name_of_the_scheme_may_be_written_in_any_way(server: Server, header: str):
    assert v1(server, good(), header).status == accounting(server, good(), header).status == 200


def test_a_key_as_a_bearer_token_is_still_a_key(server: Server):
    assert v1(server, server.new_key("admin")).status == 200
    answer = v1(server, "cs_live_made.up.key")
    assert "API key" in answer.json["detail"]


def test_a_token_in_the_field_of_keys_is_no_key(server: Server):
    answer = server.send("GET", "/v1/settings", headers={"X-API-Key": good()})
    assert (answer.status, answer.json["code"]) == (401, "credential_invalid")


def test_without_a_token_nothing_is_said_of_a_bad_one(server: Server):
    for value in ("Bearer", "Bearer "):
        answer = server.send("GET", "/v1/settings", headers={"Authorization": value})
        assert answer.status == 401
        assert "credential" in answer.json["code"]
    answer = server.send("GET", "/v1/settings")
    assert (answer.json["code"], answer.headers["www-authenticate"]) == (
        "credential_missing",
        'Bearer realm="farthing"',
    )


@pytest.mark.parametrize(("size", "status"), [(8_200, 401), (60_000, 401), (1_000_000, 431)])
def test_a_token_that_is_too_large_is_refused_in_json(server: Server, size: int, status: int):
    for ask in (v1, accounting):
        try:
            answer = ask(server, "x" * size)
        except ConnectionError:
            assert status == 431, "who still sends while he is refused may be cut off"
        else:
            assert answer.status == status
            assert "json" in answer.headers["content-type"]


def test_no_log_has_a_token(server: Server):
    token = good(sub="logged")
    v1(server, token)
    accounting(server, sign("another secret of 32 bytes or so."))
    assert token.split(".")[2] not in server.log.getvalue()


# Keys that can't be had


def test_while_keys_can_not_be_read_the_answer_is_later_and_not_no(server: Server, keys: KeyServer):
    issuer = EC.issuer("http://127.0.0.1:1/jwks.json", id="iss_down", issuer="https://down.example/")
    server.run(Issuers(server.ledger.database).add(issuer, ME))
    token = signed_by(EC, issuer.issuer)
    wait_for(lambda: v1(server, token).status == 503)
    problem, message = v1(server, token), accounting(server, token)
    assert (problem.status, problem.json["code"]) == (503, "unavailable")
    assert problem.json["detail"] == "The keys of the token's issuer can't be read now; nothing was done."
    assert message.status == 503
    assert set(message.json) == {"message"}
    assert problem.headers["retry-after"] == message.headers["retry-after"] == "30"
    assert v1(server, RSA.sign(exp=LONG, role="admin")).status == 200, "others go on"
    warned = [line for line in server.log_lines() if "keys of an issuer" in line["event"]]
    assert warned[0]["url"] == issuer.jwks_url


# What is remembered


def test_an_issuer_that_is_removed_is_refused_at_the_next_look_which_is_within_a_second(server: Server):
    secret = "the secret of an issuer that goes"
    server.run(Issuers(server.ledger.database).add(replace(HS256, id="iss_goes", secret=secret), ME))
    token = sign(secret, exp=LONG, role="admin")
    taken(server, token)
    server.run(Issuers(server.ledger.database).remove("main", "iss_goes", ME))
    wait_for(lambda: v1(server, token).status == 401)
    assert v1(server, token).json["detail"] == "Invalid token."
    assert ConfigWatch.EVERY_SECONDS < ConfigWatch.STALE_SECONDS <= 1, "what is not known to be good is not taken"


def test_name_address_and_role_follow_the_latest_token(server: Server):
    users = lambda: server.sql("select username, email, role from users where id = 'mover'")  # noqa: E731
    assert v1(server, good(sub="mover", role="user")).status == 403
    assert users() == [("anna", "anna@example.com", "user")]
    assert v1(server, good(sub="mover", role="admin", username="berta", email="b@example.com")).status == 200
    assert users() == [("berta", "b@example.com", "admin")]


# Alone


class Door:
    """A door whose parts can be changed."""

    def __init__(self) -> None:
        self.generation: tuple[int, int] | None = (1, 1)
        self.now_us = START_US
        self.verified = 0
        self.gone = False
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        """What happens while the next token is verified."""
        self.auth = TokenAuth(
            verify=self.verify,
            person=self.person,
            workspace=self.workspace,
            prices=self.prices,
            generation=lambda: self.generation,
            now_us=lambda: self.now_us,
            remembered=2,
        )

    async def verify(self, text: str) -> Verified:
        self.verified += 1
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        if text == "down":
            raise KeysUnavailable(7)
        if text == "busy":
            raise Busy
        issuer = Issuer(id="iss_1", workspace="main", name="auth", algorithm="HS256")
        return Verified(issuer, Person(id=text, username=text, email="", role="user"), START_US + 60_000_000)

    async def person(self, verified: Verified) -> User | None:
        person = verified.person
        return None if self.gone else User("main", person.id, person.id, "", "user", True, "", 0, 0)

    async def workspace(self, id: str) -> Workspace | None:
        return MAIN

    async def prices(self, workspace: Workspace) -> PriceBook:
        return PriceBook(workspace, 0, (), EMPTY, lambda: self.now_us)

    def ask(self, text: str = "a") -> Caller:
        return asyncio.run(self.auth.caller(text))


@pytest.fixture
def door() -> Door:
    return Door()


def test_a_token_is_verified_once_and_then_remembered(door: Door):
    assert door.auth.known("a") is None
    caller = door.ask()
    assert (caller.actor, caller.bound, caller.role) == ("user:a", "a", "user")
    assert door.auth.known("a") is door.ask() is caller
    assert door.verified == 1


def test_it_is_remembered_until_it_ends(door: Door):
    door.ask()
    door.now_us += 60_000_000 - 1
    assert door.auth.known("a")
    door.now_us += 1
    assert door.auth.known("a") is None


@pytest.mark.parametrize("generation", [(2, 1), (1, 2), None])
def test_a_change_of_what_is_set_or_of_people_forgets_it(door: Door, generation: tuple[int, int] | None):
    door.ask()
    door.generation = generation
    assert door.auth.known("a") is None
    door.ask()
    assert door.verified == 2
    assert (door.auth.known("a") is None) == (generation is None), "what can't be seen to change is not remembered"


def test_what_is_changed_meanwhile_is_not_remembered(door: Door):
    async def change() -> None:
        door.generation = (1, 2)

    door.meanwhile = change
    door.ask()
    assert door.auth.known("a") is None


def test_what_this_process_changes_it_forgets_at_once(door: Door):
    door.ask()
    door.auth.forget()
    assert door.auth.known("a") is None


def test_what_was_read_before_such_a_change_is_not_remembered(door: Door):
    async def change_and_go_on() -> None:
        door.auth.forget()
        await door.auth.caller("b")

    door.meanwhile = change_and_go_on
    door.ask("a")
    assert door.auth.known("b")
    assert door.auth.known("a") is None


def test_only_so_many_are_remembered_and_the_longest_unused_goes(door: Door):
    for text in ("a", "b", "a", "c"):
        door.ask(text)
    assert [bool(door.auth.known(text)) for text in "abc"] == [True, False, True]


def test_who_is_gone_or_has_signed_out_is_refused(door: Door):
    door.gone = True
    with pytest.raises(Stop) as caught:
        door.ask()
    assert (caught.value.trouble, caught.value.message) == (Trouble.CREDENTIAL_INVALID, "Invalid token")


def test_keys_that_can_not_be_read_are_another_trouble(door: Door):
    with pytest.raises(Stop) as caught:
        door.ask("down")
    assert caught.value.trouble is Trouble.UNAVAILABLE
    assert caught.value.headers == ((b"retry-after", b"7"),)


def test_a_broken_machine_stays_one(door: Door):
    with pytest.raises(Busy):
        door.ask("busy")
