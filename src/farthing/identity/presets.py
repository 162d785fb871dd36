"""Issuers as they are set up: what is known of some providers, and what can't be right.

The facts are from the providers' own documentation, as of 2025:

- Auth0: the issuer is the tenant's address with a slash at its end, the audience the identifier of the API that the
  token is for, and RS256 signs (auth0.com/docs/secure/tokens/json-web-tokens). Access tokens have neither name nor role
  until an Action adds claims, best under names that are addresses
  (auth0.com/docs/tokens/create-namespaced-custom-claims).
- Clerk: the issuer is the address of the Frontend API; session tokens have no audience: `azp` is the origin of the site
  that asked (clerk.com/docs/backend-requests/resources/session-tokens). Name, address and role are claims to be added.
- Supabase: issuer and keys are under `/auth/v1` of the project, the audience is `authenticated`; the claim `role` is
  the one in its database, and `user_metadata` may be changed by users themselves, so that a role can only stand in
  `app_metadata` (supabase.com/docs/guides/auth/jwt-fields). Projects sign with ES256 or RS256; older ones with a secret
  that they share (supabase.com/docs/guides/auth/signing-keys).
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, get_args
from urllib.parse import urlsplit

from msgspec import Struct, structs

from farthing.core.commands import text_error
from farthing.core.ids import NONCE_BITS, make_id
from farthing.core.people import Algorithm, ClaimNames, Issuer

ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)
CLAIMS: Final = ClaimNames.__struct_fields__
AUDIENCES: Final = ("aud", "azp", "client_id", "cid", "appid")
"""Where providers name who a token is for, or who asked for it. By another claim (`iss`, a role) a workspace could take
the tokens of another as well, which are then for two and taken by none."""
LEAST_SECRET_BYTES: Final = 32
"""As long as what HS256 makes of it (RFC 7518, 3.2): anything shorter can be guessed from one token."""
LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+(:[0-9]{1,5})?")


class Preset(Struct, frozen=True, kw_only=True):
    """What is known of a provider; `{domain}` stands for the customer's part of it."""

    domain: str
    """An example."""
    algorithm: Algorithm
    issuer: str
    jwks_url: str
    audience: str = ""
    claims: ClaimNames


PRESETS: Final[Mapping[str, Preset]] = {
    "auth0": Preset(
        domain="shop.eu.auth0.com",
        algorithm="RS256",
        issuer="https://{domain}/",
        jwks_url="https://{domain}/.well-known/jwks.json",
        claims=ClaimNames(username="nickname", type=""),
    ),
    "clerk": Preset(
        domain="clerk.shop.example",
        algorithm="RS256",
        issuer="https://{domain}",
        jwks_url="https://{domain}/.well-known/jwks.json",
        claims=ClaimNames(type="", audience="azp"),
    ),
    "supabase": Preset(
        domain="abcdefghijklmnop.supabase.co",
        algorithm="ES256",
        issuer="https://{domain}/auth/v1",
        jwks_url="https://{domain}/auth/v1/.well-known/jwks.json",
        audience="authenticated",
        claims=ClaimNames(username="email", role="app_metadata.role", type=""),
    ),
}


class BadIssuer(ValueError):
    """An issuer as it can't be; each problem is a field, and what is wrong with it."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field} {why}" for field, why in problems))
        self.problems = problems


class Wanted(Struct, frozen=True, kw_only=True):
    """An issuer as somebody asks for it; empty is what the preset says, or nothing."""

    name: str = ""
    preset: str = ""
    domain: str = ""
    algorithm: str = ""
    issuer: str = ""
    audience: str = ""
    jwks_url: str = ""
    secret: str = ""
    claims: Mapping[str, str] = {}
    """By what they are for: `role`, and so on."""


def issuer_of(wanted: Wanted, workspace: str, at_us: int) -> Issuer:
    """The issuer that is asked for, which is checked; raises `BadIssuer`."""
    wrong = list(_unknown(wanted))
    if wrong:
        raise BadIssuer(wrong)
    preset = PRESETS.get(wanted.preset)
    base = Issuer(id="", workspace="", name="", algorithm="HS256") if preset is None else _by(preset, wanted.domain)
    given = {name: getattr(wanted, name) for name in ("algorithm", "issuer", "audience", "jwks_url", "secret")}
    made = structs.replace(
        base,
        id=make_id("iss", at_us, secrets.randbits(28), secrets.randbits(NONCE_BITS), 0),
        workspace=workspace,
        name=wanted.name or wanted.preset or "auth",
        claims=structs.replace(base.claims, **wanted.claims),
        created_at=at_us,
        **{name: value for name, value in given.items() if value},
    )
    if made.algorithm == "HS256" and not wanted.jwks_url:
        made = structs.replace(made, jwks_url="")
    if wrong := list(_problems(made)):
        raise BadIssuer(wrong)
    return made


def _by(preset: Preset, domain: str) -> Issuer:
    issuer, jwks_url = (text.replace("{domain}", domain) for text in (preset.issuer, preset.jwks_url))
    return Issuer(
        id="", workspace="", name="", algorithm=preset.algorithm, issuer=issuer, audience=preset.audience,
        jwks_url=jwks_url, claims=preset.claims,
    )  # fmt: skip


Problems = list[tuple[str, str]]


def _unknown(w: Wanted) -> Problems:
    """What nothing can be made of."""
    wrong: Problems = []
    if w.preset and w.preset not in PRESETS:
        wrong.append(("preset", f"must be one of {', '.join(PRESETS)}"))
    elif w.preset and not _HOST.fullmatch(w.domain):
        example = PRESETS[w.preset].domain
        wrong.append(("domain", f"must be the name of a host without https://, such as {example}"))
    elif w.domain and not w.preset:
        wrong.append(("domain", "goes with a preset only"))
    if w.algorithm not in (*ALGORITHMS, "") or not (w.algorithm or w.preset):
        wrong.append(("algorithm", f"must be one of {', '.join(ALGORITHMS)}"))
    for name in w.claims:
        if name not in CLAIMS:
            wrong.append(("claims", f"has no {name[:40]!r}; there are {', '.join(CLAIMS)}"))
    return wrong


def _problems(i: Issuer) -> Problems:
    """What is wrong with an issuer."""
    texts = {name: getattr(i, name) for name in ("name", "issuer", "audience", "jwks_url", "secret")}
    wrong = [(name, why) for name, text in texts.items() if text and (why := text_error(text))]
    if any(name and text_error(name) for name in structs.astuple(i.claims)):
        wrong.append(("claims", "must have names of 1 to 255 bytes without control characters"))
    if i.claims.audience not in AUDIENCES and (i.claims.audience or i.algorithm != "HS256"):
        wrong.append(("claims", f"must have as audience one of {', '.join(AUDIENCES)}"))
    return wrong or (_secret_problems(i) if i.algorithm == "HS256" else _key_problems(i))


def _secret_problems(i: Issuer) -> Problems:
    if i.jwks_url:
        return [("jwks_url", "does not go with HS256, which has a secret instead")]
    if not i.secret:
        return [("secret", f"is missing: HS256 has one, of at least {LEAST_SECRET_BYTES} bytes")]
    if (size := len(i.secret.encode())) < LEAST_SECRET_BYTES:
        short = f"must have at least {LEAST_SECRET_BYTES} bytes, and has {size}"
        return [("secret", f"{short}: a shorter one can be guessed from any token that it has signed")]
    return []


def _key_problems(i: Issuer) -> Problems:
    wrong: Problems = []
    if i.secret:
        wrong.append(("secret", f"does not go with {i.algorithm}, which has keys that are published"))
    if not i.issuer:
        wrong.append(("issuer", "is missing: what the tokens have as `iss`"))
    if not i.audience:
        wrong.append(("audience", f"is missing: what the tokens have as `{i.claims.audience}`"))
    if not i.jwks_url:
        wrong.append(("jwks_url", "is missing: where the keys are published"))
    elif why := url_problem(i.jwks_url):
        wrong.append(("jwks_url", why))
    return wrong


def url_problem(url: str) -> str | None:
    """Why keys can't be fetched from there."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or not url.isascii() or not url.isprintable() or " " in url or parts.username is not None:
        return "must be a URL such as https://auth.example.com/.well-known/jwks.json"
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOCAL):
        return "must begin with https://: who can change keys on their way can sign tokens"
    return None
