"""Issuers: whose tokens the workspace takes, beside API keys. A secret is never shown again."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import asdict

from farthing.core.people import Algorithm, ClaimNames, Issuer
from farthing.identity.presets import AUDIENCES, CLAIMS, LEAST_SECRET_BYTES, PRESETS, BadIssuer, Wanted, issuer_of
from farthing.stores.access import AccessError
from farthing.stores.issuers import mark_of

from ..bodies import TEXT
from ..endpoint import Endpoint, Parameter, Reply, Request
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Fields, Form
from .keys import Label, read_label
from .parameters import in_path
from .reading import Listed, Params, listed_example, named
from .wire import MAX_TEXT, Time, text_of, write_time

Name = Annotated[str, text_of("The claim's name, or a path of names with dots; null: the tokens have none.")]
Audience = Annotated[
    str, Meta(pattern=f"^({'|'.join(AUDIENCES)})$", description="The claim that says who a token is for.")
]
Secret = Annotated[
    str,
    Meta(
        min_length=LEAST_SECRET_BYTES,
        max_length=MAX_TEXT,
        pattern=TEXT,
        description=f"Of HS256, at least {LEAST_SECRET_BYTES} bytes.",
        extra_json_schema={"writeOnly": True},
    ),
]
_TEXTS: Final = ("preset", "domain", "algorithm", "issuer", "audience", "jwks_url", "secret")


class ClaimsBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where the tokens say what. What is left out is as the preset has it, or as the contract of the dialect."""

    username: Name | None = None
    email: Name | None = None
    role: Name | None = None
    type: Name | None = None
    audience: Audience | None = None


class IssuerRequest(Asked):
    """An issuer whose tokens are to be taken: by a preset, by its published keys, or by a shared secret."""

    name: Label | None = None
    preset: Annotated[str, Meta(pattern=f"^({'|'.join(PRESETS)})$", description="A provider.")] | None = None
    domain: Annotated[str, text_of("With a preset: your domain at the provider.")] | None = None
    algorithm: Annotated[
        Algorithm | None, Meta(description="How the tokens are signed. They can't choose another one.")
    ] = None
    issuer: Annotated[str, text_of("What the tokens have as `iss`.")] | None = None
    audience: Annotated[str, text_of("What they have as `aud`.")] | None = None
    jwks_url: Annotated[str, text_of("Where the issuer publishes its keys.")] | None = None
    secret: Secret | None = None
    claims: ClaimsBody | None = None


class RemoveIssuerRequest(Asked):
    """An issuer whose tokens are not to be taken any more."""


class IssuerView(Answered, kw_only=True):
    """An issuer; what is null is not looked at."""

    id: str
    name: str
    algorithm: Algorithm
    issuer: str | None
    audience: str | None
    jwks_url: str | None
    claims: dict[str, str | None]
    created_at: Time


def write_issuer(issuer: Issuer) -> IssuerView:
    """An issuer on the wire."""
    return IssuerView(
        id=issuer.id,
        name=issuer.name,
        algorithm=issuer.algorithm,
        issuer=issuer.issuer or None,
        audience=issuer.audience or None,
        jwks_url=issuer.jwks_url or None,
        claims={name: claim or None for name, claim in asdict(issuer.claims).items()},
        created_at=write_time(issuer.created_at),
    )


async def list_issuers(request: Request, desk: Desk) -> Listed[IssuerView]:
    """All issuers of the workspace: there are never many."""
    Params(request).check()
    found = await desk.issuers.of(request.caller.workspace.id)
    return Listed([write_issuer(issuer) for issuer in found], False, None)


_add, _remove = Form(IssuerRequest), Form(RemoveIssuerRequest)


async def add_issuer(request: Request, desk: Desk) -> Reply:
    """Take an issuer's tokens."""
    fields = _add.read(request)
    wanted = Wanted(
        name=read_label(fields), claims=_claims(fields), **{name: fields.text_if(name) for name in _TEXTS}
    )  # fmt: skip
    act = act_of(request, desk)
    try:
        issuer = issuer_of(wanted, request.caller.workspace.id, act.at)
    except BadIssuer as bad:
        for field, why in bad.problems:
            fields.refuse(field, why)
        fields.check()
        raise AssertionError("what is wrong was refused") from bad
    # A record of what was asked stays for ever, so of a secret there is its hash alone.
    asked = {name: value for name, value in asdict(issuer).items() if name not in ("id", "secret", "created_at")}
    under = once(fields, **asked, mark=mark_of(issuer).hex())
    try:
        made = await desk.issuers.add(issuer, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, write_issuer(made), 201)


def _claims(fields: Fields) -> dict[str, str]:
    part = fields.part("claims", ClaimsBody)
    if part is None:
        return {}
    found = {name: part.text_if(name) for name in CLAIMS if part.given(name)}
    fields.wrong += part.wrong
    return found


async def remove_issuer(request: Request, desk: Desk) -> Reply:
    """Take an issuer's tokens no more."""
    fields, id = _remove.read(request), named(request, "id", "issuer")
    under, act = once(fields, issuer=id), act_of(request, desk)
    try:
        gone = await desk.issuers.remove(request.caller.workspace.id, id, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, write_issuer(gone))


_ID: Final = "iss_0198c5f0a1b27c3d8e4f5a6b7c8d9000"
_EXAMPLE: Final[dict[str, Any]] = {
    "id": _ID, "name": "auth0", "algorithm": "RS256", "issuer": "https://shop.eu.auth0.com/",
    "audience": "https://credits.shop.example", "jwks_url": "https://shop.eu.auth0.com/.well-known/jwks.json",
    "claims": {**asdict(ClaimNames(username="nickname")), "type": None}, "created_at": "2026-01-01T12:00:00.000000Z",
}  # fmt: skip
_ISSUER: Final[Parameter] = in_path("id", "The issuer's id.", _ID)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/issuers",
        operation_id="listIssuers",
        summary="Whose tokens the workspace takes",
        description="Oldest first, all of them; a secret is never shown.",
        scope="admin",
        request=None,
        answer=Listed[IssuerView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset(),
        act=list_issuers,
    ),
    Endpoint(
        path="/v1/issuers",
        operation_id="addIssuer",
        summary="Take the tokens of an issuer",
        description="By a `preset` and your `domain` at that provider; or by `algorithm`, `issuer`, `audience` and "
        "`jwks_url`; or, for HS256, by the `secret` that you share with it. One secret, or one issuer and audience, "
        "belongs to one workspace. Every process takes its tokens within a second.",
        scope="admin",
        request=IssuerRequest,
        answer=IssuerView,
        example={"preset": "auth0", "domain": "shop.eu.auth0.com", "audience": "https://credits.shop.example"},
        answered=_EXAMPLE,
        codes=frozenset({"issuer_exists"}),
        act=add_issuer,
        status=201,
        keyed=True,
    ),
    Endpoint(
        method="DELETE",
        path="/v1/issuers/{id}",
        operation_id="removeIssuer",
        summary="Take the tokens of an issuer no more",
        description="Every process refuses them within a second, also those that it has taken before.",
        scope="admin",
        request=RemoveIssuerRequest,
        answer=IssuerView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"issuer_not_found"}),
        act=remove_issuer,
        keyed=True,
        parameters=(_ISSUER,),
    ),
)
