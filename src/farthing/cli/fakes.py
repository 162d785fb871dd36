"""Stand-ins for providers: `fakes digistore24`, `fakes stripe`, `fakes models`. For tests, here; no money moves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import Exit, Trouble, invalid
from .options import Json, enter
from .output import write_json
from .setup import PANEL

if TYPE_CHECKING:
    from datetime import datetime

    from farthing.fakes.web import Fake

Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")]
Port = Annotated[int, typer.Option("--port", metavar="N", help="0 takes a free one.")]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="Payment and model providers to test against: stand-ins with books of their own.")
    _enter_digistore24(group)
    _enter_stripe(group)
    _enter_models(group)
    app.add_typer(group, name="fakes", rich_help_panel=PANEL)


def run(fake: "Fake", host: str, port: int, as_json: bool) -> None:
    """Serve a stand-in until SIGTERM; its address is the first line of output."""
    from farthing.fakes.web import serve
    from farthing.server.listening import CannotListen, address_of, listening

    try:
        with listening(host, port) as sock:
            address = address_of(sock)
            serve(fake, sock, lambda: _listening(address, as_json))
    except CannotListen as error:
        raise Trouble(error.code, str(error), Exit.UNAVAILABLE, port=port) from error


def _listening(address: str, as_json: bool) -> None:
    if as_json:
        write_json({"listening": address})
    else:
        print(f"listening on {address}", flush=True)


# Digistore24


def _enter_digistore24(group: typer.Typer) -> None:
    enter(
        group,
        "digistore24",
        "$ farthing fakes digistore24 --notify http://127.0.0.1:8787/ipn --allow-http",
        "$ farthing fakes digistore24 --port 9000 --key 12345-secret",
        "$ farthing fakes digistore24 --frozen 2026-01-01 --json",
    )(digistore24)


Notify = Annotated[
    str, typer.Option("--notify", metavar="URL", help="Where notifications go; without it, where ipnSetup says.")
]
Passphrase = Annotated[
    str, typer.Option("--passphrase", metavar="TEXT", help="What they are signed with. Default: fake-passphrase.")
]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="KEY", help="An API key that may do everything. Default: 12345-fake-writable-key."),
]
ReadonlyKeys = Annotated[
    list[str] | None, typer.Option("--readonly-key", metavar="KEY", help="An API key that may only read.")
]
AllowHttp = Annotated[
    bool,
    typer.Option("--allow-http", help="Take addresses that are not https, or on this machine, as thank-you pages."),
]
Frozen = Annotated[
    str, typer.Option("--frozen", metavar="DATE", help="The clock stands still there, until it is put forward.")
]
Dump = Annotated[
    Path | None, typer.Option("--dump", metavar="FILE", help="At the end all that it knows is written there, as JSON.")
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="What ids are drawn from, and chances. Default: new ones every time."),
]


def digistore24(
    notify: Notify = "",
    passphrase: Passphrase = "",
    key: Keys = None,
    readonly_key: ReadonlyKeys = None,
    allow_http: AllowHttp = False,
    frozen: Frozen = "",
    dump: Dump = None,
    seed: Seed = None,
    host: Host = "127.0.0.1",
    port: Port = 8924,
    as_json: Json = False,
) -> None:
    """Stand in for Digistore24: its API, pages to buy by, notifications. It ends at SIGTERM, and forgets everything.

    Point the API's base address at it. What else can be made to happen, and its books, are under /_fake: see
    docs/how-to/fakes.md.
    """
    from farthing.fakes.digistore24 import KEY, PASSPHRASE, Fake, Options

    options = Options(
        tuple(key or [KEY]), tuple(readonly_key or []), notify, passphrase or PASSPHRASE, allow_http,
        _moment(frozen) if frozen else None, seed,
    )  # fmt: skip
    fake = Fake(options)
    run(fake, host, port, as_json)
    if dump is not None:
        dump.write_bytes(fake.dump())


def _moment(text: str) -> "datetime":
    """A date or a time, in UTC."""
    from datetime import UTC, datetime

    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid("frozen", "must be a date or a time, such as 2026-01-01") from error
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


# Stripe


def _enter_stripe(group: typer.Typer) -> None:
    enter(
        group,
        "stripe",
        "$ farthing fakes stripe --webhook http://127.0.0.1:8787/stripe --secret whsec_mine",
        "$ farthing fakes stripe --port 9001 --key sk_test_mine",
        "$ farthing fakes stripe --frozen 2026-01-01 --json",
    )(stripe)


Webhook = Annotated[
    str, typer.Option("--webhook", metavar="URL", help="Where events go; without it they can only be listed.")
]
Secrets = Annotated[
    list[str] | None,
    typer.Option(
        "--secret", metavar="SECRET", help="What events are signed with; several sign as well. Default: whsec_fake."
    ),
]
StripeKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="An API key that may do everything; a first one sk_live_... makes all live. Default: sk_test_fake.",
    ),
]
RestrictedKeys = Annotated[
    list[str] | None,
    typer.Option("--restricted-key", metavar="KEY", help="An API key that may only read. Default: rk_test_fake."),
]


def stripe(
    webhook: Webhook = "",
    secret: Secrets = None,
    key: StripeKeys = None,
    restricted_key: RestrictedKeys = None,
    frozen: Frozen = "",
    host: Host = "127.0.0.1",
    port: Port = 8925,
    as_json: Json = False,
) -> None:
    """Stand in for Stripe: its API, pages to pay on, signed events. It ends at SIGTERM, and forgets everything.

    Point the API's base address at it. What else can be made to happen, and its books, are under /_fake: see
    docs/how-to/fakes.md.
    """
    from farthing.fakes.stripe import KEY, RESTRICTED_KEY, SECRET, Fake, Options

    options = Options(
        tuple(key or [KEY]), tuple(restricted_key or [RESTRICTED_KEY]), webhook, tuple(secret or [SECRET]),
        _seconds(frozen) if frozen else None, bool(frozen),
    )  # fmt: skip
    run(Fake(options), host, port, as_json)


def _seconds(text: str) -> float:
    """A date or a time, in seconds since 1970."""
    from datetime import UTC

    return _moment(text).replace(tzinfo=UTC).timestamp()


# Model providers


def _enter_models(group: typer.Typer) -> None:
    enter(
        group,
        "models",
        "$ farthing fakes models",
        "$ farthing fakes models --port 9002 --key sk-mine --model gpt-4o",
        "$ farthing fakes models --seed 7 --json",
    )(models)


ModelKeys = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="KEY", help="An API key that is taken. Without any, whatever comes."),
]
Models = Annotated[
    list[str] | None, typer.Option("--model", metavar="NAME", help="A model that there is. Without any, whichever.")
]


def models(
    key: ModelKeys = None,
    model: Models = None,
    seed: Seed = None,
    host: Host = "127.0.0.1",
    port: Port = 8926,
    as_json: Json = False,
) -> None:
    """Stand in for OpenAI and Anthropic: answers, streams, usage. It ends at SIGTERM, and forgets everything.

    Point the client library's base address at it: OpenAI's at <address>/v1, Anthropic's at the address itself. What can
    go wrong, and its books of every call, are under /_fake: see docs/how-to/fakes.md.
    """
    from farthing.fakes.models import Fake, Options

    run(Fake(Options(tuple(key or []), tuple(model or []), seed)), host, port, as_json)
