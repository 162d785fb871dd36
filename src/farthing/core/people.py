"""People: who calls with a token instead of an API key, and whose tokens a workspace takes."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from msgspec import Struct

Role = Literal["user", "supervisor", "admin"]
"""What a person may be, the least first."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)
ALIASES: Final[Mapping[str, Role]] = {"enduser": "user"}
"""Other names of roles, as other systems write them."""
Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]


def read_role(text: object) -> Role | None:
    """The role of that name; None where there is none."""
    if not isinstance(text, str):
        return None
    name = ALIASES.get(text, text)
    return next((role for role in ROLES if role == name), None)


def key_of(text: str) -> str:
    """What a user's name or address is found and compared by: writing it in capitals makes no other person."""
    return text.strip().casefold()


class User(Struct):
    """A person of a workspace; `id` is the subject of his tokens and the name of his account."""

    workspace: str
    id: str
    username: str
    email: str
    role: Role
    verified: bool
    password: str
    """Its hash; empty for who signs in elsewhere."""
    created_at: int
    updated_at: int


class Person(Struct, frozen=True, kw_only=True):
    """Who bears a token, as the token tells it."""

    id: str
    """Its subject."""
    username: str
    email: str
    role: Role
    session: str = ""
    """Of the login service, where the token is one of its own."""


class ClaimNames(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where an issuer's tokens say what; a name may lead into an object (`app_metadata.role`), or hold dots itself."""

    username: str = "username"
    email: str = "email"
    role: str = "role"
    type: str = "type"
    """Has to be `access`; empty where the issuer's tokens say nothing of the kind."""
    audience: str = "aud"
    """Who the token is for; some issuers name who asked for it instead, as `azp`."""


class Issuer(Struct, frozen=True, kw_only=True):
    """Whose tokens a workspace takes, and how they are verified: nothing of this is ever read from a token."""

    id: str
    workspace: str
    name: str
    algorithm: Algorithm
    issuer: str = ""
    """That `iss` has to be; empty with a shared secret, where tokens may have none."""
    audience: str = ""
    """That `aud` has to have; empty where it is not looked at."""
    jwks_url: str = ""
    secret: str = ""
    """Of HS256; never shown."""
    claims: ClaimNames = ClaimNames()
    created_at: int = 0
    own: bool = False
    """The login service of this ledger: its tokens hold as long as their session and their user."""
