"""`serve`: the ledger over HTTP, until SIGTERM. Its options are the fields of `settings.Settings`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .exits import Exit, Trouble
from .opening import current
from .options import Db, Json, enter
from .output import write_json
from .setup import PANEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.settings import Settings

Host = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Where to listen. Default: 127.0.0.1.")]
Port = Annotated[int | None, typer.Option("--port", metavar="N", help="0 takes a free one. Default: 8787.")]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Processes, more than one on PostgreSQL. Default: 1.")
]
Lanes = Annotated[
    int | None,
    typer.Option("--lanes", metavar="N", help="Batches that a process has on their way at a time. Default: 1."),
]
RateLimit = Annotated[
    int | None,
    typer.Option("--rate-limit", metavar="N", help="Requests a minute for each API key; 0 is none. Default: 60000."),
]

MaxBody = Annotated[
    int | None, typer.Option("--max-body", metavar="BYTES", help="Largest request body. Default: 1000000.")
]
PublicUrl = Annotated[
    str | None, typer.Option("--public-url", metavar="URL", help="Where mails of the login service link to.")
]
TrustedProxies = Annotated[
    int | None, typer.Option("--trusted-proxies", metavar="N", help="Proxies before it that say who asks. Default: 0.")
]
RequestTimeout = Annotated[
    float | None,
    typer.Option("--request-timeout", metavar="SECONDS", help="For a body, and for an answer. Default: 30."),
]
MaxQueue = Annotated[
    int | None,
    typer.Option("--max-queue", metavar="N", help="Commands that may wait; beyond: try again. Default: 10000."),
]
MaxBatch = Annotated[
    int | None, typer.Option("--max-batch", metavar="N", help="Commands that share one commit. Default: 256.")
]
EngineAt = Annotated[
    Literal["inline", "thread"] | None,
    typer.Option("--engine", help="Commit on the event loop or in a thread of its own. Default: inline."),
]
SweepSeconds = Annotated[
    float | None,
    typer.Option("--sweep-seconds", metavar="SECONDS", help="How often lapses are booked. Default: 15."),
]
RenewSeconds = Annotated[
    float | None,
    typer.Option(
        "--renew-seconds",
        metavar="SECONDS",
        help="How often subscriptions that are due are renewed; 0: never here. Default: 60.",
    ),
]
FoldSeconds = Annotated[
    float | None,
    typer.Option(
        "--fold-seconds",
        metavar="SECONDS",
        help="How often the sums of reports are added to; 0: never here. Default: 2.",
    ),
]
ArchiveDir = Annotated[
    str | None,
    typer.Option(
        "--archive-dir",
        metavar="FOLDER",
        help="Where archive files of old entries go. Default: of a SQLite file, its name with .archive behind it.",
    ),
]
WebhookSeconds = Annotated[
    float | None,
    typer.Option(
        "--webhook-seconds",
        metavar="SECONDS",
        help="How often what other processes have to tell is looked for; 0: nothing is sent here. Default: 1.",
    ),
]
WebhookTimeout = Annotated[
    float | None,
    typer.Option("--webhook-timeout", metavar="SECONDS", help="How long an endpoint may take to answer. Default: 20."),
]
WebhooksAtOnce = Annotated[
    int | None,
    typer.Option("--webhooks-at-once", metavar="N", help="Requests on their way to one endpoint. Default: 16."),
]
WebhookPrivate = Annotated[
    Literal["refuse", "allow"] | None,
    typer.Option("--webhook-private", help="Whether events go to private addresses, and by http. Default: refuse."),
]
DeliveryDays = Annotated[
    int | None,
    typer.Option("--delivery-days", metavar="DAYS", help="How long tries are kept; 0: for ever. Default: 30."),
]
EventDays = Annotated[
    int | None,
    typer.Option("--event-days", metavar="DAYS", help="How long events are kept; 0: for ever. Default: 90."),
]


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "serve",
        "$ farthing serve",
        "$ farthing serve --host 0.0.0.0 --port 8080 --db sqlite:////srv/ledger.db",
        "$ farthing serve --workers 2 --db postgresql://farthing@db.internal/ledger",
        "$ farthing serve --port 0 --json    (the first line of output has the address)",
        panel=PANEL,
    )(serve)


def serve(
    host: Host = None,
    port: Port = None,
    workers: Workers = None,
    lanes: Lanes = None,
    rate_limit: RateLimit = None,
    body_limit: MaxBody = None,
    request_timeout: RequestTimeout = None,
    max_queue: MaxQueue = None,
    max_batch: MaxBatch = None,
    engine: EngineAt = None,
    jobs: Annotated[
        bool | None, typer.Option("--jobs/--no-jobs", help="Do the jobs too, or leave them to `farthing worker`.")
    ] = None,
    sweep_seconds: SweepSeconds = None,
    renew_seconds: RenewSeconds = None,
    fold_seconds: FoldSeconds = None,
    archive_dir: ArchiveDir = None,
    webhook_seconds: WebhookSeconds = None,
    webhook_timeout: WebhookTimeout = None,
    webhooks_at_once: WebhooksAtOnce = None,
    webhook_private: WebhookPrivate = None,
    delivery_days: DeliveryDays = None,
    event_days: EventDays = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option("--log-level", help="The least level that is logged. Default: info."),
    ] = None,
    access_log: Annotated[
        bool | None,
        typer.Option("--access-log/--no-access-log", help="Log every request. Default: only those that fail."),
    ] = None,
    share: Annotated[
        bool | None, typer.Option("--share/--no-share", help="Let several servers run on one file. Default: one.")
    ] = None,
    public_url: PublicUrl = None,
    trusted_proxies: TrustedProxies = None,
    allow_unsafe: Annotated[
        bool | None,
        typer.Option("--allow-unsafe/--no-allow-unsafe", help="Say ready though a power cut could lose commits."),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Serve the ledger over HTTP until SIGTERM, which ends it cleanly (exit code 0).

    The address is printed when requests are taken; logs are JSON lines on standard error. Each option can also be set
    by a variable: FARTHING_HOST, FARTHING_RATE_LIMIT, FARTHING_BODY_LIMIT and so on. With several workers SIGHUP
    restarts them one after another, without refusing a connection.
    """
    given = {name: value for name, value in locals().items() if name not in ("db", "as_json")}
    from farthing.settings import read_settings

    settings = read_settings(database_url=db or None, **given)
    run(settings, lambda address: _listening(address, as_json))


def _listening(address: str, as_json: bool) -> None:
    if as_json:
        write_json({"listening": address})
    else:
        print(f"listening on {address}", flush=True)


def run(settings: "Settings", on_ready: "Callable[[str], None]") -> None:
    """Serve with these settings."""
    current(settings.database_url)
    from farthing.server.listening import CannotListen
    from farthing.serving import serve as serve_ledger

    try:
        serve_ledger(settings, on_ready)
    except CannotListen as error:
        raise Trouble(error.code, str(error), Exit.UNAVAILABLE, port=settings.port) from error
