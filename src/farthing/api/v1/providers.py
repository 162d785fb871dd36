"""Providers of payments: how the workspace speaks with each, set by its admins. A secret is never shown again."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import fields as fields_of

from farthing.core.catalogue import PROVIDERS, Provider
from farthing.core.providers import (
    HINT,
    KINDS,
    MOST_PASSPHRASE,
    MOST_PRODUCT_IDS,
    MOST_WEBHOOK_SECRETS,
    SECRETS,
    BadSettings,
    Change,
    ShownProvider,
    changed,
    fingerprint,
    is_reference,
)
from farthing.stores.access import AccessError

from ..bodies import TEXT
from ..endpoint import Endpoint, Parameter, Reply, Request
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Fields, Form
from .parameters import in_path
from .reading import Listed, Params, listed_example, not_found
from .wire import MAX_TEXT, Time, text_of, write_time

INSIDE: Final = "library"
"""What a request's scheme is where it never came over HTTP: whoever asks has the database open already."""
_REFERENCE: Final = (
    "must be the secret itself: what env: and file: name is read by the server, for whoever runs it; "
    "`farthing providers set` takes them"
)


def _secret(description: str, most: int = MAX_TEXT) -> Meta:
    return Meta(
        min_length=1, max_length=most, pattern=TEXT, description=description, extra_json_schema={"writeOnly": True}
    )


Url = Annotated[str, text_of("A URL with https://; on a machine of one's own, for tests, also with http://.")]
Number = Annotated[str, Meta(pattern="^[0-9]{1,20}$", description="The number of a product at Digistore24.")]


class ProviderRequest(Asked):
    """How a provider is to be spoken with. Which of the fields it has is said with each."""

    api_key: Annotated[str, _secret("By which the provider is asked.")] | None = None
    base_url: Annotated[str, text_of("Where it is asked instead: at a fake, for tests.")] | None = None
    passphrase: Annotated[str, _secret("Digistore24: of the notification connection.", MOST_PASSPHRASE)] | None = None
    merchant_id: Annotated[str, text_of("Digistore24: only this one's notifications are taken.")] | None = None
    product_ids: (
        Annotated[
            list[Number], Meta(max_length=MOST_PRODUCT_IDS, description="Digistore24: what the connection tells of.")
        ]
        | None
    ) = None
    ipn_domain_id: Annotated[str, text_of("Digistore24: the connection's own name.")] | None = None
    thankyou_url: Annotated[Url | None, Meta(description="Digistore24: where buyers come to.")] = None
    fallback_url: Annotated[Url | None, Meta(description="Digistore24: where they come to by a link that lapsed.")] = (
        None
    )
    upgrade_error_url: Annotated[Url | None, Meta(description="Digistore24: where they come to when it can't be.")] = (
        None
    )
    webhook_secrets: (
        Annotated[
            list[Annotated[str, _secret("Of a webhook.")]],
            Meta(max_length=MOST_WEBHOOK_SECRETS, description="Stripe: what webhooks sign with; any of them verifies."),
        ]
        | None
    ) = None
    keep_webhook_secrets: Annotated[
        bool | None, Meta(description="Stripe: those come to the ones that are there, while one is being changed.")
    ] = None
    success_url: Annotated[Url | None, Meta(description="Stripe: where buyers come to who have paid.")] = None
    cancel_url: Annotated[Url | None, Meta(description="Stripe: where they come to who have not.")] = None
    return_url: Annotated[Url | None, Meta(description="Stripe: where they come to from the customer portal.")] = None


class RemoveProviderRequest(Asked):
    """A provider that is not to be spoken with any more."""


class SecretView(Struct):
    """A secret that is set; never the secret itself."""

    reference: Annotated[str | None, Meta(description="Where it is read when it is used: `env:NAME`, `file:/path`.")]
    hint: Annotated[str | None, Meta(description=f"The last {HINT} characters of one that is not short.")]


class ProviderView(Answered, kw_only=True):
    """How a provider is spoken with. Null is not set; what a provider does not have is left out."""

    id: Provider
    api_key: SecretView | None
    base_url: str | None
    passphrase: SecretView | UnsetType | None = UNSET
    merchant_id: str | UnsetType | None = UNSET
    product_ids: list[str] | UnsetType = UNSET
    ipn_domain_id: str | UnsetType | None = UNSET
    thankyou_url: str | UnsetType | None = UNSET
    fallback_url: str | UnsetType | None = UNSET
    upgrade_error_url: str | UnsetType | None = UNSET
    webhook_secrets: list[SecretView] | UnsetType = UNSET
    success_url: str | UnsetType | None = UNSET
    cancel_url: str | UnsetType | None = UNSET
    return_url: str | UnsetType | None = UNSET
    created_at: Time
    updated_at: Time


def write_provider(provider: ShownProvider) -> ProviderView:
    """A provider on the wire."""
    facts: dict[str, Any] = {name: None if value == "" else value for name, value in provider.settings.items()}
    return ProviderView(
        id=provider.id, **facts, created_at=write_time(provider.created_at), updated_at=write_time(provider.updated_at)
    )


async def list_providers(request: Request, desk: Desk) -> Listed[ProviderView]:
    """All providers of the workspace: there are few."""
    Params(request).check()
    found = await desk.providers.of(request.caller.workspace.id)
    return Listed([write_provider(kept.shown()) for kept in found], False, None)


async def show_provider(request: Request, desk: Desk) -> ProviderView:
    """One provider."""
    Params(request).check()
    kept = await desk.providers.get(request.caller.workspace.id, _named(request))
    if kept is None:
        raise not_found("provider")
    return write_provider(kept.shown())


def _named(request: Request) -> Provider:
    """The provider that the path names."""
    for provider in PROVIDERS:
        if request.parameters["id"] == provider:
            return provider
    raise not_found("provider")


_put, _remove = Form(ProviderRequest), Form(RemoveProviderRequest)


async def put_provider(request: Request, desk: Desk) -> Reply:
    """Set how a provider is spoken with."""
    fields, provider = _put.read(request), _named(request)
    change = read_change(fields, provider)
    workspace = request.caller.workspace
    if not fields.wrong:
        _refuse_wrong(fields, provider, change)
    # A record of what was asked stays for ever, so secrets are not in it.
    open = {name: value for name, value in change.values.items() if name not in SECRETS}
    asked = {**open, "secrets": fingerprint(change.values), "keep_webhook_secrets": change.add_webhook_secrets}
    under = once(fields, provider=provider, **asked)
    try:
        made = await desk.providers.put(workspace, provider, change, act_of(request, desk), under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, write_provider(made))


def read_change(fields: Fields, provider: Provider) -> Change:
    """What is to become of a provider, out of its fields; what is wrong with them is noted there."""
    has = {field.name for field in fields_of(KINDS[provider])}
    for name in _NAMES - has:
        if fields.given(name) and getattr(fields.values, name) is not None:
            fields.refuse(name, f"is no field of {provider}; it has {', '.join(n for n in _ORDER if n in has)}")
    values: dict[str, Any] = {}
    for name in (name for name in _ORDER if name in has):
        if name in _LISTS:
            if fields.given(name) and getattr(fields.values, name) is not None:
                values[name] = fields.texts(name, _LISTS[name])
        elif text := fields.text_if(name):
            values[name] = text
    if fields.request.scheme != INSIDE:
        _refuse_references(fields, values)
    return Change(values, add_webhook_secrets=_keeps(fields, provider))


def _keeps(fields: Fields, provider: Provider) -> bool:
    keep = fields.flag("keep_webhook_secrets")
    if keep and provider != "stripe":
        fields.refuse("keep_webhook_secrets", f"is no field of {provider}")
    return keep


def _refuse_references(fields: Fields, values: dict[str, Any]) -> None:
    """Over HTTP an admin of one workspace would have the server read what belongs to others, and send it to an address
    of his own."""
    for name in SECRETS:
        found = values.get(name, "")
        if isinstance(found, str):
            if is_reference(found):
                fields.refuse(name, _REFERENCE)
            continue
        for number, text in enumerate(found):
            if is_reference(text):
                fields.refuse(name, _REFERENCE, str(number))


def _refuse_wrong(fields: Fields, provider: Provider, change: Change) -> None:
    """Note all that is wrong with what was given, whatever is there already."""
    try:
        changed(provider, None, change, fields.request.caller.workspace.mode)
    except BadSettings as bad:
        for each in bad.problems:
            name, _, rest = each.field.partition("[")
            fields.refuse(name, each.message, *([rest.rstrip("]")] if rest else []))


async def remove_provider(request: Request, desk: Desk) -> Reply:
    """Forget a provider."""
    fields, provider = _remove.read(request), _named(request)
    under, act = once(fields, provider=provider), act_of(request, desk)
    try:
        gone = await desk.providers.remove(request.caller.workspace.id, provider, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, write_provider(gone))


_LISTS: Final = {"webhook_secrets": MOST_WEBHOOK_SECRETS, "product_ids": MOST_PRODUCT_IDS}
_ORDER: Final = tuple(
    field.name
    for field in fields_of(ProviderRequest)
    if field.name not in ("dry_run", "keep_webhook_secrets")
)  # fmt: skip
_NAMES: Final = frozenset(_ORDER)
_EXAMPLE: Final[dict[str, Any]] = {
    "id": "stripe", "api_key": {"reference": None, "hint": "x7Qk"}, "base_url": None,
    "webhook_secrets": [{"reference": "file:/run/secrets/stripe_webhook", "hint": None}],
    "success_url": "https://app.example.com/thanks", "cancel_url": "https://app.example.com/prices",
    "return_url": None, "created_at": "2026-01-01T12:00:00.000000Z", "updated_at": "2026-01-01T12:00:00.000000Z",
}  # fmt: skip
PROVIDER: Final[Parameter] = in_path("id", "The provider.", "stripe", f"({'|'.join(PROVIDERS)})")

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/providers",
        operation_id="listProviders",
        summary="Providers of payments",
        description="Those that the workspace speaks with, and how. Secrets are never shown.",
        scope="admin",
        request=None,
        answer=Listed[ProviderView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset(),
        act=list_providers,
    ),
    Endpoint(
        method="GET",
        path="/v1/providers/{id}",
        operation_id="showProvider",
        summary="One provider of payments",
        description="How the workspace speaks with it. Secrets are never shown.",
        scope="admin",
        request=None,
        answer=ProviderView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"provider_not_found"}),
        act=show_provider,
        parameters=(PROVIDER,),
    ),
    Endpoint(
        method="PUT",
        path="/v1/providers/{id}",
        operation_id="putProvider",
        summary="Set how a provider of payments is spoken with",
        description="As a whole, but for secrets: one that is left out stays. With another `base_url` the API key must "
        "be given again. A live workspace takes no test keys, and one for tests no live keys, unless a `base_url` "
        "leads to a fake. References to secrets (`env:`, `file:`) are set on the command line.",
        scope="admin",
        request=ProviderRequest,
        answer=ProviderView,
        example={"success_url": "https://app.example.com/thanks", "cancel_url": "https://app.example.com/prices"},
        answered=_EXAMPLE,
        codes=frozenset({"provider_not_found"}),
        act=put_provider,
        keyed=True,
        parameters=(PROVIDER,),
    ),
    Endpoint(
        method="DELETE",
        path="/v1/providers/{id}",
        operation_id="removeProvider",
        summary="Speak with a provider of payments no more",
        description="Its settings are forgotten, secrets and all. What it still sends is refused.",
        scope="admin",
        request=RemoveProviderRequest,
        answer=ProviderView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"provider_not_found"}),
        act=remove_provider,
        keyed=True,
        parameters=(PROVIDER,),
    ),
)
