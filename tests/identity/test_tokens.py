"""What a bearer token says, once it is sure who signed it: everything that may be wrong with one, and what is told."""

import asyncio
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farthing.core.people import ClaimNames, Issuer
from farthing.identity.tokens import MOST_BYTES, KeysUnavailable, NotTaken, TokenProblem, Verified, verify
from tests.identity.signing import AUDIENCE, EC, HS256, ISSUER, NOW, PAIRS, RSA, SECRET, Pair, claims, part, sign

INVALID, EXPIRED, TYPE, OTHER = TokenProblem
OF_RSA = RSA.issuer()
RIGHT = part(b"a signature that somebody else made")


async def key_of(issuer: Issuer, kid: str | None, ask: bool) -> Any:
    if issuer.algorithm == "HS256":
        return issuer.secret.encode()
    pair = PAIRS[issuer.algorithm]
    return pair.public if kid == pair.kid else None


def verified(token: str, *issuers: Issuer, now_us: int = NOW * 1_000_000) -> Verified:
    return asyncio.run(verify(token, issuers or (HS256, OF_RSA), key_of, now_us))


def problem(token: str, *issuers: Issuer, **more: Any) -> TokenProblem:
    with pytest.raises(NotTaken) as caught:
        verified(token, *issuers, **more)
    return caught.value.problem


def forged(header: Any, said: Any, signature: str = RIGHT) -> str:
    return f"{part(header)}.{part(said)}.{signature}"


# Who signed it


def test_a_token_of_a_shared_secret_says_who_bears_it():
    person = verified(sign()).person
    assert (person.id, person.username, person.email, person.role) == ("u1", "anna", "anna@example.com", "user")


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_token_of_published_keys_is_taken(pair: Pair):
    assert verified(pair.sign(), pair.issuer()).person.id == "u1"


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_what_another_key_has_signed_is_invalid(pair: Pair):
    assert problem(Pair(pair.algorithm, pair.kid).sign(), pair.issuer()) is INVALID


@pytest.mark.parametrize("secret", ["another secret of 32 bytes or so.", SECRET + " "])
def test_what_another_secret_has_signed_is_invalid(secret: str):
    assert problem(sign(secret)) is INVALID


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, 0, ["HS256"], "hs256", "HS384", "RS512"])
@pytest.mark.parametrize("signature", ["", RIGHT])
def test_the_token_does_not_choose_its_algorithm(name: Any, signature: str):
    assert problem(forged({"alg": name, "typ": "JWT"}, claims(iss=ISSUER, aud=AUDIENCE), signature)) is INVALID


@pytest.mark.parametrize("name", ["none", "HS512", "RS256", None])
def test_one_that_says_another_is_invalid_though_its_signature_is_right(name: Any):
    signed = f"{part({'alg': name})}.{part(claims())}"
    signature = part(jwt.get_algorithm_by_name("HS256").sign(signed.encode(), SECRET.encode()))
    assert problem(f"{signed}.{signature}", HS256) is INVALID


def test_a_public_key_is_no_secret():
    """The old confusion: HS256 with the text of the RSA key that everybody knows."""
    header = part({"alg": "HS256", "kid": RSA.kid})
    said = f"{header}.{part(claims(iss=ISSUER, aud=AUDIENCE))}"
    method = jwt.get_algorithm_by_name("HS256")
    for text in (RSA.pem, RSA.pem.strip(), json.dumps(RSA.jwk).encode()):
        assert problem(f"{said}.{part(method.sign(said.encode(), text))}", OF_RSA) is INVALID


def test_an_algorithm_that_others_may_use_is_not_one_of_this_issuer():
    assert problem(EC.sign(), OF_RSA) is INVALID


def test_links_to_keys_and_keys_in_a_token_are_not_looked_at():
    mine = Pair("RS256", RSA.kid)
    lures = {
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/c.pem",
        "jwk": mine.jwk,
        "x5c": ["MII"],
    }
    assert problem(mine.sign(lures), OF_RSA) is INVALID
    assert verified(RSA.sign(lures), OF_RSA).person.id == "u1"


@pytest.mark.parametrize("kid", ["../../etc/passwd", "r1/../r1", "' or 1=1 --", "", "r1\0", "R1"])
def test_a_kid_is_a_name_among_the_keys_and_nothing_else(kid: str):
    assert problem(RSA.sign({"kid": kid}), OF_RSA) is INVALID


@pytest.mark.parametrize("kid", [5, ["r1"], {"r1": 1}, True])
def test_a_kid_is_a_text(kid: Any):
    assert problem(forged({"alg": "RS256", "kid": kid}, claims())) is INVALID


def test_what_has_to_be_understood_and_is_not_is_invalid():
    assert problem(sign(header={"crit": ["exp"]})) is INVALID


GARBAGE = [
    "", ".", "..", "...", "x", "x.y.z", "Bearer", sign() + ".", sign()[:-1] + "!", sign() + "=",
    sign().replace(".", " "),
    sign() + "\n", "é.é.é", forged([], claims()), forged({"alg": "HS256"}, []), forged({"alg": "HS256"}, "text"),
    forged(b"\xff", claims()), forged({"alg": "HS256"}, b"{"), forged({"alg": "HS256"}, b'{"exp": NaN}'),
    forged(b"[" * 3_000, claims()), forged({"alg": "HS256"}, b'{"":' * 1_300), f"{sign()}.x.y", "a" * 1_000_000,
]  # fmt: skip


@pytest.mark.parametrize("token", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_invalid(token: str):
    assert problem(token) is INVALID


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{1,40}(\.[A-Za-z0-9_-]{0,40}){2}", fullmatch=True))
def test_whatever_text_comes_is_invalid_and_nothing_worse(token: str):
    assert problem(token) is INVALID


def test_a_changed_part_is_noticed():
    header, said, signature = sign().split(".")
    assert problem(f"{header}.{part(claims(role='admin'))}.{signature}") is INVALID
    assert problem(f"{part({'alg': 'HS256'})}.{said}.{signature}") is INVALID


def test_a_token_has_a_largest_size():
    assert len(sign(note="x" * 5_900)) < MOST_BYTES
    assert verified(sign(note="x" * 5_900)).person.id == "u1"
    assert problem(sign(note="x" * MOST_BYTES)) is INVALID


# When it is good


@pytest.mark.parametrize(("late", "told"), [(0, None), (29, None), (29.999, None), (30, EXPIRED), (31, EXPIRED)])
def test_a_token_that_has_expired_is_taken_for_30_seconds_more(late: float, told: TokenProblem | None):
    token, now_us = sign(exp=NOW), round((NOW + late) * 1_000_000)
    if told:
        assert problem(token, now_us=now_us) is told
    else:
        assert verified(token, now_us=now_us).ends_at == (NOW + 30) * 1_000_000


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_of_the_future_is_taken_30_seconds_early(name: str):
    in_time, early = ({name: NOW + ahead} for ahead in (30, 31))
    assert verified(jwt.encode(claims(**in_time), SECRET, "HS256")).person.id == "u1"
    assert problem(jwt.encode(claims(**early), SECRET, "HS256")) is OTHER


@pytest.mark.parametrize("exp", [None, True, "1767226500", [NOW], -1, 10**15, 1e300])
def test_a_token_has_to_say_in_a_number_when_it_ends(exp: Any):
    assert problem(sign(exp=exp)) is OTHER


@pytest.mark.parametrize("iat", [True, "soon", -5])
def test_when_it_was_made_is_a_number_where_it_is_said(iat: Any):
    assert problem(sign(iat=iat)) is OTHER
    assert verified(sign(iat=None)).person.id == "u1"


def test_a_time_may_have_a_fraction():
    assert verified(sign(exp=NOW + 0.25)).ends_at == (NOW + 30) * 1_000_000 + 250_000


# Whom it is for


@pytest.mark.parametrize(
    "said", [{"iss": "https://auth.example.com"}, {"aud": "other"}, {"aud": ["a", "b"]}, {"aud": {}}]
)
def test_a_token_for_somebody_else_is_not_taken_though_its_signature_is_right(said: dict[str, Any]):
    wrong = jwt.encode(claims(**{"iss": ISSUER, "aud": AUDIENCE} | said), RSA.private, "RS256", {"kid": RSA.kid})
    assert problem(wrong, OF_RSA) is OTHER


@pytest.mark.parametrize("name", ["iss", "aud"])
def test_a_token_that_does_not_say_whom_it_is_for_is_for_nobody(name: str):
    said = claims(**{"iss": ISSUER, "aud": AUDIENCE} | {name: None})
    assert problem(jwt.encode(said, RSA.private, "RS256", {"kid": RSA.kid}), OF_RSA) is OTHER


def test_one_audience_of_several_is_enough():
    token = jwt.encode(claims(iss=ISSUER, aud=["x", AUDIENCE]), RSA.private, "RS256", {"kid": RSA.kid})
    assert verified(token, OF_RSA).person.id == "u1"


def test_the_audience_may_stand_under_another_name():
    clerk = RSA.issuer(audience="https://shop.example", claims=ClaimNames(audience="azp"))
    assert verified(RSA.sign(azp="https://shop.example"), clerk).person.id == "u1"
    assert problem(RSA.sign(azp="https://evil.example"), clerk) is OTHER


def test_with_a_shared_secret_issuer_and_audience_are_looked_at_where_they_are_set():
    strict = replace(HS256, issuer=ISSUER, audience=AUDIENCE)
    assert verified(sign(iss=ISSUER, aud=AUDIENCE), strict).person.id == "u1"
    assert problem(sign(), strict) is OTHER


@pytest.mark.parametrize("type", ["refresh", "Access", "", None, True, ["access"]])
def test_only_an_access_token_gives_access(type: Any):
    assert problem(sign(type=type)) is TYPE


def test_an_issuer_whose_tokens_have_no_type_may_say_so():
    assert verified(sign(type=None), replace(HS256, claims=ClaimNames(type=""))).person.id == "u1"


def test_the_workspace_is_that_of_the_setting_that_verifies_it():
    other = replace(HS256, id="iss_9", workspace="other", secret="the secret of another workspace.")
    assert verified(sign(other.secret), HS256, other).issuer.workspace == "other"
    assert verified(sign(), HS256, other).issuer.workspace == "main"


def test_a_token_for_two_workspaces_is_for_none():
    both = [RSA.issuer(audience="a"), RSA.issuer(audience="b", workspace="other")]
    tokens = [
        jwt.encode(claims(iss=ISSUER, aud=audiences), RSA.private, "RS256", {"kid": RSA.kid})
        for audiences in (["a"], ["b"], ["a", "b"])
    ]
    assert [verified(token, *both).issuer.workspace for token in tokens[:2]] == ["main", "other"]
    assert problem(tokens[2], *both) is OTHER


# Keys that can't be had


def test_while_the_keys_are_not_known_nobody_is_told_that_his_token_is_bad():
    asked = []

    async def unknown(issuer: Issuer, kid: str | None, ask: bool) -> Any:
        asked.append(ask)
        raise KeysUnavailable(30)

    with pytest.raises(KeysUnavailable) as caught:
        asyncio.run(verify(RSA.sign(), [OF_RSA], unknown, NOW * 1_000_000))
    assert (caught.value.retry_after, asked) == (30, [True])


def test_an_issuer_is_asked_for_keys_only_by_tokens_that_name_it():
    asked = []

    async def noting(issuer: Issuer, kid: str | None, ask: bool) -> Any:
        asked.append((issuer.issuer, ask))
        return await key_of(issuer, kid, ask)

    other = RSA.issuer(issuer="https://other.example/")
    asyncio.run(verify(RSA.sign(), [other, OF_RSA], noting, NOW * 1_000_000))
    assert asked == [(ISSUER, True), ("https://other.example/", False)]


# Who he is


NAMED = [
    (ClaimNames(role="app_metadata.role"), {"role": "authenticated", "app_metadata": {"role": "admin"}}, "admin"),
    (ClaimNames(role="app_metadata.role"), {"role": "admin"}, "user"),
    (ClaimNames(role="app_metadata.role"), {"app_metadata": "admin"}, "user"),
    (ClaimNames(role="https://shop.example/role"), {"https://shop.example/role": "supervisor"}, "supervisor"),
    (ClaimNames(role=""), {"role": "admin"}, "user"),
    (ClaimNames(), {"role": "enduser"}, "user"),
    (ClaimNames(), {"role": ["editor", "supervisor", "user"]}, "supervisor"),
    (ClaimNames(), {"role": []}, "user"),
    (ClaimNames(), {"role": "Admin"}, "user"),
    (ClaimNames(), {"role": {"admin": True}}, "user"),
    (ClaimNames(), {"role": True}, "user"),
    (ClaimNames(), {"role": None}, "user"),
]


@pytest.mark.parametrize(("names", "said", "role"), NAMED)
def test_a_role_stands_where_the_issuer_says_and_nowhere_else(names: ClaimNames, said: dict[str, Any], role: str):
    assert verified(sign(**said), replace(HS256, claims=names)).person.role == role


@pytest.mark.parametrize("sub", [None, "", 5, True, ["u1"], "u" * 256, "é" * 128, "a\nb", "a\0"])
def test_who_has_no_proper_id_is_nobody(sub: Any):
    said = claims(sub=sub)
    header = part({"alg": "HS256"})
    signed = f"{header}.{part(said)}"
    signature = part(jwt.get_algorithm_by_name("HS256").sign(signed.encode(), SECRET.encode()))
    assert problem(f"{signed}.{signature}") is OTHER


@pytest.mark.parametrize(
    ("said", "name"),
    [("anna", "anna"), ("a\x1b[31mb\n", "a[31mb"), ("x" * 300, "x" * 255), ("", "u1"), (5, "u1"), ("\0", "u1")],
)
def test_a_name_is_shortened_and_cleaned(said: Any, name: str):
    assert verified(sign(username=said)).person.username == name


@pytest.mark.parametrize("said", ["x" * 256, "a\n@example.com", 5, None, ["a@example.com"]])
def test_an_address_that_had_to_be_changed_is_none(said: Any):
    assert verified(sign(email=said)).person.email == ""


def test_an_address_that_the_issuer_has_not_looked_at_is_none():
    assert verified(sign(email_verified=False)).person.email == ""
    assert verified(sign(email_verified=True)).person.email == "anna@example.com"
