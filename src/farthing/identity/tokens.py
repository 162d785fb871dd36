"""Tokens: what a bearer token says, once it is sure who signed it.

How a token is verified is fixed by what the workspace has set, never by the token: of its header `kid` is looked at,
as a name among the keys that the issuer publishes, and `alg`, which has to be the one that was set. Links to keys, and
keys themselves (`jku`, `x5u`, `x5c`, `jwk`), are as if they were not there.
"""

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from msgspec import Struct

from farthing.core.commands import text_error
from farthing.core.people import ROLES, Issuer, Person, Role, read_role

SECOND_US: Final = 1_000_000
LEEWAY_US: Final = 30 * SECOND_US
"""How far the clock of an issuer may be off."""
MOST_BYTES: Final = 8_192
MOST_TEXT: Final = 255
ACCESS: Final = "access"
_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999: no token needs to hold longer."""
_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
_METHODS: Final = {
    "HS256": HMACAlgorithm(HMACAlgorithm.SHA256),
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256),
    "EdDSA": OKPAlgorithm(),
}


class TokenProblem(StrEnum):
    """Why a token is not taken, in the words that clients of the accounting dialect know."""

    INVALID = "Invalid token"
    EXPIRED = "Token expired"
    TYPE = "Invalid token type"
    OTHER = "Authentication failed"


class NotTaken(Exception):
    """A token that is not taken."""

    def __init__(self, problem: TokenProblem) -> None:
        super().__init__(problem.value)
        self.problem = problem


class KeysUnavailable(Exception):
    """The issuer's keys can't be read now, so nobody knows whether the token is good."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("the keys of the token's issuer can't be read now")
        self.retry_after = retry_after


class Verified(Struct, frozen=True):
    """A token that is good until `ends_at` (microseconds since the epoch, leeway included)."""

    issuer: Issuer
    person: Person
    ends_at: int


class Token(Struct, frozen=True):
    """A token taken apart; nothing of it is believed yet."""

    algorithm: object
    kid: str | None
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


KeyOf = Callable[[Issuer, str | None, bool], Awaitable[Any]]
"""The key by which an issuer signs under that `kid`; None where there is none. Only for a token that names the issuer
may its server be asked: else anybody could make us ask servers of others. Raises `KeysUnavailable`."""


async def verify(text: str, issuers: Sequence[Issuer], key_of: KeyOf, now_us: int) -> Verified:
    """Who bears the token, by the issuer whose signature it has and that it names."""
    token = take_apart(text)
    says = token.claims.get("iss")
    failure: NotTaken | KeysUnavailable = NotTaken(TokenProblem.INVALID)
    good: list[Issuer] = []
    for issuer in sorted(issuers, key=lambda each: each.issuer != says):
        if issuer.algorithm != token.algorithm:
            continue
        try:
            key = await key_of(issuer, token.kid, issuer.issuer == says)
        except KeysUnavailable as error:
            failure = error if _may_change(failure) else failure
            continue
        if key is None or not _METHODS[issuer.algorithm].verify(token.signed, key, token.signature):
            continue
        if _is_for(issuer, token.claims):
            good.append(issuer)
        else:
            failure = NotTaken(TokenProblem.OTHER)
    if not good:
        raise failure
    if len({issuer.workspace for issuer in good}) > 1:
        raise NotTaken(TokenProblem.OTHER)  # for two workspaces is for none
    return _read(token.claims, good[0], now_us)


def _may_change(failure: Exception) -> bool:
    """Whether another try may end otherwise: not where the signature was right and all else wrong."""
    return not isinstance(failure, NotTaken) or failure.problem is not TokenProblem.OTHER


def take_apart(text: str) -> Token:
    """The parts of a token, read strictly."""
    parts = text.split(".") if len(text) <= MOST_BYTES else []
    if len(parts) != 3 or not all(map(_PART.fullmatch, parts)):
        raise NotTaken(TokenProblem.INVALID)
    try:
        header, claims, signature = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts)
        head, said = _object(header), _object(claims)
    except (ValueError, binascii.Error, RecursionError):  # among them what msgspec can't decode
        raise NotTaken(TokenProblem.INVALID) from None
    kid = head.get("kid")
    # What `crit` names has to be understood, and nothing that it could name is.
    if "crit" in head or not isinstance(kid, str | None):
        raise NotTaken(TokenProblem.INVALID)
    return Token(head.get("alg"), kid, said, ".".join(parts[:2]).encode(), signature)


def _object(text: bytes) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any])


def _is_for(issuer: Issuer, claims: Mapping[str, Any]) -> bool:
    """Whether a token that the issuer signed is one for us: of a provider's tokens only some are."""
    if issuer.issuer and claims.get("iss") != issuer.issuer:
        return False
    if not issuer.audience:
        return True
    audience = claim(claims, issuer.claims.audience)
    return issuer.audience in audience if isinstance(audience, list) else audience == issuer.audience


def _read(claims: Mapping[str, Any], issuer: Issuer, now_us: int) -> Verified:
    ends_at = _instant(claims, "exp")
    if ends_at is None:
        raise NotTaken(TokenProblem.OTHER)
    if now_us >= ends_at + LEEWAY_US:
        raise NotTaken(TokenProblem.EXPIRED)
    for begins_at in (_instant(claims, "nbf"), _instant(claims, "iat")):
        if begins_at is not None and begins_at > now_us + LEEWAY_US:
            raise NotTaken(TokenProblem.OTHER)
    if issuer.claims.type and claim(claims, issuer.claims.type) != ACCESS:
        raise NotTaken(TokenProblem.TYPE)
    return Verified(issuer, _person(claims, issuer), ends_at + LEEWAY_US)


def _instant(claims: Mapping[str, Any], name: str) -> int | None:
    """A time among the claims, in microseconds; None where there is none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_SECOND:
        raise NotTaken(TokenProblem.OTHER)
    return round(value * SECOND_US)


def _person(claims: Mapping[str, Any], issuer: Issuer) -> Person:
    subject, names = claims.get("sub"), issuer.claims
    if not isinstance(subject, str) or text_error(subject):
        raise NotTaken(TokenProblem.OTHER)
    return Person(
        id=subject,
        username=_name(claim(claims, names.username)) or subject,
        email=_address(claim(claims, names.email)) if claims.get("email_verified") is not False else "",
        role=_role(claim(claims, names.role)),
        session=_name(claims.get("sid")) if issuer.own else "",
    )


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """What a token says under a name, or under a path of names with dots; None where it says nothing."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def _name(value: object) -> str:
    """A name for people; what would move a terminal's cursor is left out."""
    return "".join(c for c in value if c.isprintable())[:MOST_TEXT].strip() if isinstance(value, str) else ""


def _address(value: object) -> str:
    """An address, by which people are found: one that had to be changed would be somebody else's."""
    return value if isinstance(value, str) and len(value) <= MOST_TEXT and value.isprintable() else ""


def _role(value: object) -> Role:
    """The role, or the highest of several; who has none that is known here is a user."""
    named = value if isinstance(value, list) else [value]
    known = [role for each in named if (role := read_role(each))]
    return max(known, key=ROLES.index, default="user")
