"""Key sets over real HTTP: rotated, unknown, withdrawn, not to be had, and whatever a server may answer instead."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from farthing.core.people import Algorithm
from farthing.identity import jwks
from farthing.identity.jwks import AGAIN_SECONDS, FRESH_SECONDS, KEPT_SECONDS, KeySets
from farthing.identity.tokens import KeysUnavailable
from tests.identity.signing import EC, ED, PAIRS, RSA, KeyServer, Pair, publishing

NEW = Pair("RS256", "r2")


class Keys:
    """Key sets of one URL, on a clock that stands still."""

    def __init__(self, server: KeyServer) -> None:
        self.now = 1_000.0
        self.told: list[tuple[str, str]] = []
        self.url = server.url
        self.sets = KeySets(now=lambda: self.now, tell=lambda url, why: self.told.append((url, why)))

    def get(self, kid: str | None = "r1", algorithm: Algorithm = "RS256", *, ask: bool = True) -> Any:
        return self.run(lambda: self.sets.key(self.url, algorithm, kid, ask=ask))

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async def go() -> Any:
            return await work()

        return asyncio.run(go())


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with publishing(RSA, EC, ED) as server:
        yield server


@pytest.fixture
def keys(server: KeyServer) -> Keys:
    return Keys(server)


def is_of(key: Any, pair: Pair) -> bool:
    return bool(key.public_numbers() == pair.public.public_numbers())


def test_a_set_is_fetched_once_and_remembered(server: KeyServer, keys: Keys):
    assert all(is_of(keys.get(), RSA) for _ in range(5))
    assert is_of(keys.get("e1", "ES256"), EC)
    assert keys.get("d1", "EdDSA").public_bytes_raw() == ED.public.public_bytes_raw()
    assert server.asked == 1


def test_after_ten_minutes_it_is_fetched_again_and_a_key_that_was_withdrawn_is_gone(server: KeyServer, keys: Keys):
    assert keys.get()
    server.publish(EC)
    keys.now += FRESH_SECONDS - 1
    assert keys.get()
    keys.now += 1
    assert keys.get() is None
    assert server.asked == 2


def test_a_key_that_is_new_is_found_at_once(server: KeyServer, keys: Keys):
    assert keys.get()
    server.publish(RSA, NEW)
    keys.now += AGAIN_SECONDS
    assert is_of(keys.get("r2"), NEW)
    assert is_of(keys.get("r1"), RSA)
    assert server.asked == 2


def test_whatever_names_tokens_make_up_the_server_is_asked_every_30_seconds_at_most(server: KeyServer, keys: Keys):
    keys.get()
    for second in range(90):
        assert keys.get(f"made-up-{second}") is None
        keys.now += 1
    assert server.asked == 3


def test_a_hundred_requests_at_once_fetch_once(server: KeyServer, keys: Keys):
    server.slow = 0.05

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(keys.sets.key(keys.url, "RS256", "r1") for _ in range(100)))

    assert all(is_of(key, RSA) for key in keys.run(all_at_once))
    assert server.asked == 1


def test_who_leaves_does_not_end_the_fetch_for_others(server: KeyServer, keys: Keys):
    server.slow = 0.05

    async def one_leaves() -> Any:
        first = asyncio.create_task(keys.sets.key(keys.url, "RS256", "r1"))
        second = asyncio.create_task(keys.sets.key(keys.url, "RS256", "r1"))
        await asyncio.sleep(0.01)
        first.cancel()
        return await second

    assert is_of(keys.run(one_leaves), RSA)
    assert server.asked == 1


def test_without_leave_to_ask_only_what_is_known_counts(server: KeyServer, keys: Keys):
    assert keys.get(ask=False) is None
    assert server.asked == 0
    keys.get()
    assert is_of(keys.get(ask=False), RSA)


# Outages


def test_the_last_good_set_works_on_for_a_day_and_no_longer(server: KeyServer, keys: Keys):
    assert keys.get()
    server.status = 500
    keys.now += FRESH_SECONDS
    assert is_of(keys.get(), RSA)
    assert keys.told == [(keys.url, "the server answered 500")]
    keys.now += KEPT_SECONDS - FRESH_SECONDS - 1
    assert is_of(keys.get(), RSA)
    keys.now += 1
    with pytest.raises(KeysUnavailable):
        keys.get()
    server.status = 200
    keys.now += AGAIN_SECONDS
    assert is_of(keys.get(), RSA)


def test_during_an_outage_the_server_is_asked_every_30_seconds_and_unknown_keys_are_not_called_bad(
    server: KeyServer, keys: Keys
):
    server.status = 503
    for _ in range(60):
        with pytest.raises(KeysUnavailable):
            keys.get("r2")
        keys.now += 1
    assert server.asked == 2


def test_a_server_that_is_gone_is_an_outage(keys: Keys):
    keys.url = "http://127.0.0.1:1/jwks.json"
    with pytest.raises(KeysUnavailable) as caught:
        keys.get()
    assert caught.value.retry_after == AGAIN_SECONDS
    assert len(keys.told) == 1


BAD = {
    "nothing": b"",
    "no JSON": b"<html>",
    "no object": b"[]",
    "no keys": b'{"key": []}',
    "keys that are no list": b'{"keys": {"kid": "r1"}}',
    "no end": b'{"keys": ' + b"[" * 10_000,
    "huge": json.dumps({"keys": [RSA.jwk], "more": "x" * 300_000}).encode(),
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_what_is_no_key_set_leaves_the_good_one_in_force(server: KeyServer, keys: Keys, body: bytes):
    assert keys.get()
    server.body = body
    keys.now += FRESH_SECONDS
    assert is_of(keys.get(), RSA)
    assert len(keys.told) == 1


def test_a_slow_server_is_given_up(server: KeyServer, keys: Keys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 0.05)
    server.slow = 0.25
    with pytest.raises(KeysUnavailable):
        keys.get()


def test_nobody_is_sent_elsewhere(server: KeyServer, keys: Keys):
    with publishing(RSA) as elsewhere:
        server.status, server.headers = 302, {"Location": elsewhere.url}
        with pytest.raises(KeysUnavailable):
            keys.get()
        assert elsewhere.asked == 0


# Which key


def test_without_a_name_the_only_key_that_fits_is_meant(server: KeyServer, keys: Keys):
    assert is_of(keys.get(None), RSA)
    server.publish(RSA, NEW)
    keys.now += FRESH_SECONDS
    assert keys.get(None) is None


def weak() -> dict[str, Any]:
    return RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, 1_024).public_key(), as_dict=True)


UNFIT = {
    "for encryption": {**RSA.jwk, "use": "enc"},
    "of another algorithm": {**RSA.jwk, "alg": "RS512"},
    "for other operations": {**RSA.jwk, "key_ops": ["encrypt"]},
    "of no kind": {**RSA.jwk, "kty": "oct", "k": "c2VjcmV0"},
    "of another kind": {**EC.jwk, "kid": "r1", "alg": "RS256"},
    "too short": {**weak(), "kid": "r1"},
    "cut": {**RSA.jwk, "n": ""},
    "without a number": {name: value for name, value in RSA.jwk.items() if name != "n"},
    "of numbers": {**RSA.jwk, "n": 5, "e": 3},
    "no object": "r1",
    "no key at all": None,
}


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT)
def test_a_key_that_does_not_fit_is_no_key_and_harms_no_other(server: KeyServer, keys: Keys, unfit: Any):
    server.publish(unfit, NEW)
    assert keys.get("r1") is None
    assert is_of(keys.get("r2"), NEW)
    assert is_of(keys.get(None), NEW)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()], ids=lambda curve: curve.name)
def test_a_key_on_another_curve_is_none_for_es256(server: KeyServer, keys: Keys, curve: ec.EllipticCurve):
    public = ECAlgorithm.to_jwk(ec.generate_private_key(curve).public_key(), as_dict=True)
    server.publish({**public, "kid": "e1"})
    assert keys.get("e1", "ES256") is None


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_use_and_algorithm_may_be_left_out(server: KeyServer, keys: Keys, pair: Pair):
    server.publish({name: value for name, value in pair.jwk.items() if name not in ("use", "alg")})
    assert keys.get(pair.kid, pair.algorithm) is not None


def test_two_keys_of_one_name_are_none(server: KeyServer, keys: Keys):
    server.publish(RSA, {**NEW.jwk, "kid": "r1"})
    assert keys.get("r1") is None


def test_a_private_key_that_somebody_publishes_is_read_as_its_public_half(server: KeyServer, keys: Keys):
    server.publish({**RSAAlgorithm.to_jwk(RSA.private, as_dict=True), "kid": "r1", "key_ops": ["verify"]})
    assert is_of(keys.get("r1"), RSA)
    assert not hasattr(keys.get("r1"), "private_numbers")
