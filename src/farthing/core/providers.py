"""Providers of payments as a workspace speaks with them: the settings of each, what makes them right, how they change,
and what of them may be shown. A new provider has its settings here, and a line in `KINDS`.

A secret is a reference, `env:NAME` or `file:/path`, which is read when it is used, or the text itself; that is never
shown again.
"""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from .catalogue import Provider
from .commands import text_error

Mode = Literal["live", "test"]
"""Of a workspace: whether money is real there."""
SECRETS: Final = ("api_key", "passphrase", "webhook_secrets")
REFERENCES: Final = ("env:", "file:")
MOST_WEBHOOK_SECRETS: Final = 5
MOST_PRODUCT_IDS: Final = 100
MOST_PASSPHRASE: Final = 63
"""Characters that Digistore24 keeps."""
HINT: Final = 4
"""Characters of a secret that are shown; of a short one none are."""
_LONG: Final = 16
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL: Final = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[!-~]*)?")
_HERE: Final = ("localhost", "127.0.0.1", "[::1]")
_STRIPE_KEY: Final = re.compile(r"(sk|rk)_(live_|test_)?")


class _Settings(Struct, frozen=True, omit_defaults=True, kw_only=True):
    api_key: str = ""
    """The provider's, by which it is asked; a secret."""
    base_url: str = ""
    """Where it is asked instead of where it really is: at a fake, for tests."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_shown(self)})"


class Digistore24Settings(_Settings, frozen=True, kw_only=True):
    """How a workspace speaks with Digistore24."""

    passphrase: str = ""
    """Of the notification connection (IPN): what it signs with; a secret."""
    merchant_id: str = ""
    """Only this one's notifications are taken; empty: whoever knows the passphrase."""
    product_ids: tuple[str, ...] = ()
    """What the connection tells of; none is all."""
    ipn_domain_id: str = ""
    """The connection's own name, one for each installation."""
    thankyou_url: str = ""
    """Where buyers come to when they have paid."""
    fallback_url: str = ""
    """Where they come to when the link has lapsed."""
    upgrade_error_url: str = ""
    """Where they come to when an upgrade can't be."""


class StripeSettings(_Settings, frozen=True, kw_only=True):
    """How a workspace speaks with Stripe."""

    webhook_secrets: tuple[str, ...] = ()
    """What the webhook signs with; several while one is being changed. Secrets."""
    success_url: str = ""
    """Where buyers come to when they have paid."""
    cancel_url: str = ""
    """Where they come to when they have not."""
    return_url: str = ""
    """Where they come to from the customer portal."""


ProviderSettings = Digistore24Settings | StripeSettings
KINDS: Final[Mapping[Provider, type[Digistore24Settings] | type[StripeSettings]]] = {
    "digistore24": Digistore24Settings,
    "stripe": StripeSettings,
}


class KeptProvider(Struct, frozen=True):
    """A provider with its dates."""

    id: Provider
    settings: ProviderSettings
    created_at: int
    updated_at: int

    def shown(self) -> "ShownProvider":
        """What may be shown of it."""
        return ShownProvider(self.id, shown(self.settings), self.created_at, self.updated_at)


class ShownProvider(Struct, frozen=True):
    """A provider without its secrets."""

    id: Provider
    settings: dict[str, Any]
    """Each by name; of a secret `{"reference", "hint"}`, or None where there is none."""
    created_at: int
    updated_at: int


class Change(Struct, frozen=True):
    """What is to become of a provider's settings."""

    values: dict[str, Any]
    """Those that are given, by name."""
    rest_stays: bool = False
    """What is not given stays; without it, only secrets do."""
    add_webhook_secrets: bool = False
    """Those that are given come to the ones that are there."""

    def __repr__(self) -> str:
        return f"Change({sorted(self.values)})"


class ProviderProblem(Struct, frozen=True):
    """What is wrong with a provider's settings."""

    field: str
    message: str


class BadSettings(ValueError):
    """Settings that can't be used; `problems` says why, without any secret."""

    def __init__(self, problems: list[ProviderProblem]) -> None:
        super().__init__("; ".join(f"{each.field} {each.message}" for each in problems))
        self.problems = problems


# Changing


def changed(provider: Provider, before: ProviderSettings | None, change: Change, mode: Mode) -> ProviderSettings:
    """The settings after a change; raises `BadSettings` where they could not be right."""
    given = dict(change.values)
    if before is not None:
        if change.add_webhook_secrets and isinstance(before, StripeSettings):
            added = tuple(s for s in given.get("webhook_secrets", ()) if s not in before.webhook_secrets)
            given["webhook_secrets"] = before.webhook_secrets + added
        stays = {name: value for name, value in asdict(before).items() if change.rest_stays or name in SECRETS}
        given = stays | given
    after: ProviderSettings = KINDS[provider](**given)
    problems = list(problems_of(after, mode))
    if before is not None and before.api_key and "api_key" not in change.values and after.base_url != before.base_url:
        problems.append(
            ProviderProblem(
                "api_key",
                "must be given again with another base_url: it goes to no address but the one it was given for",
            )
        )
    if problems:
        raise BadSettings(problems)
    return after


def fingerprint(values: Mapping[str, Any]) -> str:
    """What tells other secrets from the same again. Records keep it for ever, so it is far too short for trying out
    what a secret may have been."""
    return sha256(msgspec.json.encode({name: values[name] for name in SECRETS if name in values})).hexdigest()[:4]


# What is wrong


def problems_of(settings: ProviderSettings, mode: Mode) -> Iterator[ProviderProblem]:
    """All that is wrong with settings by themselves, in a workspace of that mode."""
    for field, text in secrets_of(settings):
        if (text or "[" in field) and (wrong := secret_problem(settings, field, text, mode)):
            yield ProviderProblem(field, wrong)
    for name in settings.__struct_fields__:
        text = getattr(settings, name)
        if not text or name in SECRETS or isinstance(text, tuple):
            continue
        if wrong := _url_problem(name, text, settings, mode) if name.endswith("_url") else text_error(text):
            yield ProviderProblem(name, wrong)
    if isinstance(settings, StripeSettings) and len(settings.webhook_secrets) > MOST_WEBHOOK_SECRETS:
        yield ProviderProblem("webhook_secrets", f"must be at most {MOST_WEBHOOK_SECRETS}")
    if isinstance(settings, Digistore24Settings):
        yield from _product_ids_problems(settings.product_ids)


def _product_ids_problems(ids: tuple[str, ...]) -> Iterator[ProviderProblem]:
    if len(ids) > MOST_PRODUCT_IDS:
        yield ProviderProblem("product_ids", f"must be at most {MOST_PRODUCT_IDS}")
    for number, id in enumerate(ids):
        if not (id.isascii() and id.isdigit()) or len(id) > 20:
            yield ProviderProblem(f"product_ids[{number}]", "must be the number of a product at Digistore24")


def secrets_of(settings: ProviderSettings) -> Iterator[tuple[str, str]]:
    """Each secret and the field where it stands, such as `webhook_secrets[0]`."""
    for name in (name for name in SECRETS if hasattr(settings, name)):
        found = getattr(settings, name)
        if isinstance(found, tuple):
            yield from ((f"{name}[{number}]", text) for number, text in enumerate(found))
        else:
            yield name, found


def is_reference(text: str) -> bool:
    """Whether it says where the secret is, and is not the secret itself."""
    return text.startswith(REFERENCES)


def secret_problem(settings: ProviderSettings, field: str, text: str, mode: Mode) -> str | None:
    """Why a secret, or the reference to one, can't be right; it is not in the words."""
    if text.startswith("env:") and not _VARIABLE.fullmatch(text[4:]):
        return "must name a variable after env:, such as env:STRIPE_API_KEY"
    if text.startswith("file:") and (not text[5:].startswith("/") or text_error(text)):
        return "must have a whole path after file:, such as file:/run/secrets/stripe"
    return None if is_reference(text) else text_problem(settings, field, text, mode)


def text_problem(settings: ProviderSettings, field: str, text: str, mode: Mode) -> str | None:
    """Why the text of a secret can't be right, wherever it came from."""
    if field == "passphrase":
        return text_error(text, MOST_PASSPHRASE)
    if not text or len(text) > 255 or not text.isascii() or not text.isprintable() or " " in text:
        return "must be 1 to 255 printable ASCII characters without blanks: was it copied whole?"
    if not isinstance(settings, StripeSettings) or settings.base_url:
        return None
    if field != "api_key":
        return None if text.startswith("whsec_") else "must begin with whsec_: it is the signing secret of the endpoint"
    found = _STRIPE_KEY.match(text)
    if found is None:
        return "must be a secret or a restricted key, which begins with sk_ or rk_"
    if found[2] and found[2] != f"{mode}_":
        return f"is a {found[2][:-1]} key ({found[0]}...), and the workspace is {_MODES[mode]}"
    return None


_MODES: Final[Mapping[Mode, str]] = {"live": "live", "test": "for tests"}


def _url_problem(name: str, url: str, settings: ProviderSettings, mode: Mode) -> str | None:
    """Why it can't be an address. Where nobody's money moves it may be http: on a machine of one's own."""
    found = _URL.fullmatch(url)
    if found is None or len(url) > 255:
        return "must be a URL such as https://app.example.com/thanks"
    plain = mode == "test" or (found[2] in _HERE if name == "base_url" else bool(settings.base_url))
    if found[1] == "http" and not plain:
        return "must begin with https:// in a live workspace"
    if name == "base_url" and (found[4] or "/") != "/":
        return "must be a URL such as https://fake.example.com, without a path"
    return None


# What may be shown


def shown(settings: ProviderSettings) -> dict[str, Any]:
    """Settings without secrets."""
    return _shown(settings)


def _shown(settings: _Settings) -> dict[str, Any]:
    facts = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
    for name in SECRETS:
        if name in facts:
            found = facts[name]
            facts[name] = [_masked(text) for text in found] if isinstance(found, list) else _masked(found)
    return facts


def _masked(text: str) -> dict[str, str | None] | None:
    """A secret as it may be shown: where it is, or its end, by which its owner knows it."""
    if not text:
        return None
    if is_reference(text):
        return {"reference": text, "hint": None}
    return {"reference": None, "hint": text[-HINT:] if len(text) >= _LONG else None}


def with_secrets(settings: ProviderSettings, texts: Mapping[str, str]) -> ProviderSettings:
    """The settings with the secrets themselves, by where `secrets_of` says that they stand."""
    found = {name: texts[name] for name in ("api_key", "passphrase") if name in texts}
    several = tuple(texts[field] for field, _ in secrets_of(settings) if field.startswith("webhook_secrets["))
    more = {"webhook_secrets": several} if several else {}
    after: ProviderSettings = replace(settings, **found, **more)
    return after
