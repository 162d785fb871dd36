"""Providers of payments: `providers set digistore24`, `set stripe`, `list`, `show` and `remove`. No secret stands on a
command line: there are references to it, or standard input.
"""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import Desk, at_desk
from .options import Db, In, Json, Yes, enter
from .output import Answer, columns, confirm, pairs, say
from .products import PANEL
from .reading import write_time

if TYPE_CHECKING:
    from farthing.core.catalogue import Provider
    from farthing.core.providers import Change, KeptProvider, ShownProvider
    from farthing.stores.providers import Providers

MOST_BYTES = 10_000
ProviderId = Annotated[str, typer.Argument(metavar="PROVIDER", help="digistore24 or stripe.")]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", metavar="REFERENCE", help="Where the API key is: env:NAME or file:/path."),
]
ApiKeyInput = Annotated[
    bool, typer.Option("--api-key-stdin", help="Read the API key itself from standard input; it is kept.")
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Ask there instead: a fake, for tests. Empty: no more.")
]
Passphrase = Annotated[
    str | None,
    typer.Option("--passphrase", metavar="REFERENCE", help="Where the passphrase of the notifications (IPN) is."),
]
PassphraseInput = Annotated[
    bool, typer.Option("--passphrase-stdin", help="Read the passphrase itself from standard input; it is kept.")
]
WebhookSecrets = Annotated[
    list[str] | None,
    typer.Option("--webhook-secret", metavar="REFERENCE", help="Where a signing secret of the webhook is; repeatable."),
]
WebhookInput = Annotated[
    bool, typer.Option("--webhook-secret-stdin", help="Read a signing secret itself from standard input; it is kept.")
]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="How a workspace speaks with who takes payments for it.")
    setting = typer.Typer(help="Set how a provider is spoken with; what is left out stays.")
    enter(
        setting,
        "digistore24",
        "$ farthing providers set digistore24 --api-key env:DS24_KEY --passphrase file:/run/secrets/ds24_ipn",
        "$ pass show ds24 | farthing providers set digistore24 --api-key-stdin",
    )(set_digistore24)
    enter(
        setting,
        "stripe",
        "$ farthing providers set stripe --api-key env:STRIPE_KEY --webhook-secret env:STRIPE_WEBHOOK \\",
        "      --success-url https://app.example.com/thanks --cancel-url https://app.example.com/prices",
        "$ farthing providers set stripe --webhook-secret env:STRIPE_WEBHOOK_NEW --keep-webhook-secrets",
    )(set_stripe)
    group.add_typer(setting, name="set")
    enter(group, "list", "$ farthing providers list --json")(list_all)
    enter(group, "show", "$ farthing providers show stripe", "$ farthing providers show digistore24 --json")(show)
    enter(group, "remove", "$ farthing providers remove stripe --yes")(remove)
    app.add_typer(group, name="providers", rich_help_panel=PANEL)


def set_digistore24(
    api_key: ApiKey = None,
    api_key_stdin: ApiKeyInput = False,
    passphrase: Passphrase = None,
    passphrase_stdin: PassphraseInput = False,
    merchant_id: Annotated[
        str | None, typer.Option("--merchant-id", metavar="ID", help="Take only this one's notifications.")
    ] = None,
    product_id: Annotated[
        list[str] | None,
        typer.Option("--product-id", metavar="ID", help="What the notification connection tells of; repeatable."),
    ] = None,
    ipn_domain_id: Annotated[
        str | None, typer.Option("--ipn-domain-id", metavar="ID", help="The connection's own name.")
    ] = None,
    thankyou_url: Annotated[
        str | None, typer.Option("--thankyou-url", metavar="URL", help="Where buyers come to when they have paid.")
    ] = None,
    fallback_url: Annotated[
        str | None, typer.Option("--fallback-url", metavar="URL", help="Where they come to when a link has lapsed.")
    ] = None,
    upgrade_error_url: Annotated[
        str | None, typer.Option("--upgrade-error-url", metavar="URL", help="Where they come to when it can't be.")
    ] = None,
    base_url: BaseUrl = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Set how Digistore24 is spoken with. What is left out stays; an empty text takes a setting away."""
    plain = {
        "merchant_id": merchant_id, "ipn_domain_id": ipn_domain_id, "thankyou_url": thankyou_url,
        "fallback_url": fallback_url, "upgrade_error_url": upgrade_error_url, "base_url": base_url,
        "product_ids": None if product_id is None else tuple(filter(None, product_id)),
    }  # fmt: skip
    secrets = _secrets({"api_key": (api_key, api_key_stdin), "passphrase": (passphrase, passphrase_stdin)})
    return _set("digistore24", plain | secrets, False, workspace, db)


def set_stripe(
    api_key: ApiKey = None,
    api_key_stdin: ApiKeyInput = False,
    webhook_secret: WebhookSecrets = None,
    webhook_secret_stdin: WebhookInput = False,
    keep_webhook_secrets: Annotated[
        bool, typer.Option("--keep-webhook-secrets", help="Those that are there verify as well: for changing one.")
    ] = False,
    success_url: Annotated[
        str | None, typer.Option("--success-url", metavar="URL", help="Where buyers come to when they have paid.")
    ] = None,
    cancel_url: Annotated[
        str | None, typer.Option("--cancel-url", metavar="URL", help="Where they come to when they have not.")
    ] = None,
    return_url: Annotated[
        str | None, typer.Option("--return-url", metavar="URL", help="Where they come to from the customer portal.")
    ] = None,
    base_url: BaseUrl = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Set how Stripe is spoken with. What is left out stays; an empty text takes a setting away."""
    plain = {"success_url": success_url, "cancel_url": cancel_url, "return_url": return_url, "base_url": base_url}
    references = None if webhook_secret is None else [_reference("webhook_secret", text) for text in webhook_secret]
    secrets = _secrets({"api_key": (api_key, api_key_stdin), "webhook_secrets": (None, webhook_secret_stdin)})
    if typed := secrets.pop("webhook_secrets"):
        references = [*(references or ()), typed]
    several = None if references is None else tuple(filter(None, references))
    values = plain | secrets | {"webhook_secrets": several}
    return _set("stripe", values, keep_webhook_secrets, workspace, db)


def _secrets(given: dict[str, tuple[str | None, bool]]) -> dict[str, str | None]:
    """Secrets by name: each the reference that was given, or what standard input has."""
    if sum(typed for _, typed in given.values()) > 1:
        raise usage("standard input has one secret: set the others with another call, or by reference")
    found: dict[str, str | None] = {}
    for name, (reference, typed) in given.items():
        if reference is not None and typed:
            raise usage(f"give --{name.replace('_', '-')} or --{name.replace('_', '-')}-stdin, not both")
        found[name] = _typed(name) if typed else None if reference is None else _reference(name, reference)
    return found


def _reference(name: str, text: str) -> str:
    """Where a secret is. The secret itself would stay in the history of the shell, and be in the list of processes."""
    from farthing.core.providers import is_reference

    if text and not is_reference(text):
        option = name.replace("_", "-")
        raise invalid(option, f"must be env:NAME or file:/path; the secret itself goes through --{option}-stdin")
    return text


def _typed(name: str) -> str:
    if sys.stdin.isatty():
        say("paste the secret; Ctrl+D ends")
    try:
        text = sys.stdin.buffer.read(MOST_BYTES).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise invalid(name, "must be text") from error
    if not text:
        raise invalid(name, "must not be empty: standard input had nothing")
    return text


def _set(provider: "Provider", given: dict[str, Any], keep: bool, workspace: str | None, db: str | None) -> Answer:
    from farthing.core.providers import Change

    values = {name: value for name, value in given.items() if value is not None}
    if not values:
        raise usage(f"say what to set: `farthing providers set {provider} --help` shows the options")
    with at_desk(db, workspace) as desk:
        facts = provider_facts(_put(desk, provider, Change(values, rest_stays=True, add_webhook_secrets=keep)))
    return Answer(facts | {"workspace": desk.workspace.id}, f"{provider} is set\n\n{_text(facts)}")


def _put(desk: Desk, provider: "Provider", change: "Change") -> "ShownProvider":
    from farthing.stores.access import AccessError

    try:
        return desk.ledger.wait(providers_of(desk).put(desk.workspace, provider, change, desk.act()))
    except AccessError as error:
        raise Trouble(error.code, str(error), Exit.USAGE, field=error.field) from error


def providers_of(desk: Desk) -> "Providers":
    """The providers of the ledger."""
    from farthing.stores.providers import Providers

    return Providers(desk.ledger.database)


def provider_facts(provider: "ShownProvider") -> dict[str, Any]:
    """A provider as programs read it."""
    facts = {name: None if value == "" else value for name, value in provider.settings.items()}
    dates = {name: write_time(getattr(provider, name)) for name in ("created_at", "updated_at")}
    return {"id": provider.id, **facts, **dates}


def _text(facts: dict[str, Any]) -> str:
    return pairs({name: _said(value) for name, value in facts.items()})


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return value["reference"] or (f"ends in {value['hint']}" if value["hint"] else "set")
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "-"
    return str(value or "-")


def list_all(workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """The providers that a workspace speaks with. Secrets are never shown."""
    with at_desk(db, workspace) as desk:
        found = desk.ledger.wait(providers_of(desk).of(desk.workspace.id))
        facts = [provider_facts(kept.shown()) for kept in found]
    rows = [("PROVIDER", "API KEY", "ASKED AT", "CHANGED")]
    rows += [(f["id"], _said(f["api_key"]), f["base_url"] or "its own address", f["updated_at"]) for f in facts]
    return Answer({"workspace": desk.workspace.id, "data": facts}, columns(rows))


def show(id: ProviderId, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """How a provider is spoken with. Secrets are never shown."""
    with at_desk(db, workspace) as desk:
        facts = provider_facts(_kept(desk, id).shown())
    return Answer(facts | {"workspace": desk.workspace.id}, _text(facts))


def _kept(desk: Desk, id: str) -> "KeptProvider":
    kept = desk.ledger.wait(providers_of(desk).get(desk.workspace.id, id))
    if kept is None:
        message = f"the workspace {desk.workspace.id} has no provider {id!r}; `farthing providers list` shows them"
        raise Trouble("provider_not_found", message, Exit.NO, provider=id)
    return kept


def remove(id: ProviderId, yes: Yes = False, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Forget a provider's settings, secrets and all; what it still sends is refused."""
    with at_desk(db, workspace) as desk:
        kept = _kept(desk, id)
        confirm(f"Forget how to speak with {id}? What it still sends is refused.", yes)
        gone = desk.ledger.wait(providers_of(desk).remove(desk.workspace.id, kept.id, desk.act()))
    return Answer(provider_facts(gone) | {"workspace": desk.workspace.id}, f"{id} is not spoken with any more")
