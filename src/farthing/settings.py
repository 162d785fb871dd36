"""Settings of a process: each typed, with the sentence that documents it; read from `FARTHING_*` variables.

Settings of a workspace are in `core.records.WorkspaceSettings` and live in the database.
"""

import os
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import fields

PREFIX = "FARTHING_"
MOST_WORKERS = 128
MOST_LANES = 64
MOST_PROXIES = 10
MOST_WEBHOOKS_AT_ONCE = 256
MOST_WEBHOOK_SECONDS = 60


class SettingsError(ValueError):
    """A setting that can't be used; the message names the variable."""


class Settings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a process runs."""

    database_url: str = "sqlite:///farthing.db"
    """The ledger's database: sqlite:///relative.db, sqlite:////absolute/path.db or postgresql://user@host/name."""
    host: str = "127.0.0.1"
    """The address that `farthing serve` listens on."""
    port: int = 8787
    """The port that `farthing serve` listens on; 0 takes a free one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is logged, as JSON lines on standard error."""
    access_log: bool = False
    """Log every request, also those that went well."""
    workers: int = 1
    """Processes that `farthing serve` runs, more than one on PostgreSQL; each needs `lanes` + 3 connections, and there
    is one worker more for a moment while they are restarted one by one."""
    lanes: int = 1
    """Batches that a process has on their way at a time, each on a connection of its own: more than one pays on
    PostgreSQL from some hundred callers on."""
    rate_limit: int = 60_000
    """Requests a minute for each API key, unless its workspace says otherwise; 0 is no limit. Each worker counts for
    itself."""
    body_limit: int = 1_000_000
    """The largest request body in bytes; beyond: 413."""
    request_timeout: float = 30.0
    """Seconds that a request may take to arrive, and that an answer may take before its outcome is called unknown."""
    max_queue: int = 10_000
    """Commands that may wait; beyond: 429 or 503 with Retry-After, nothing done."""
    max_batch: int = 256
    """Commands that share one commit at most."""
    engine: Literal["inline", "thread"] = "inline"
    """Where `serve` commits: on its event loop (faster, see docs/adr) or in a thread of its own."""
    share: bool = False
    """Let a second `serve`, or several workers, use the same SQLite file; without it the lock file refuses them."""
    allow_unsafe: bool = False
    """Say ready although the database does not promise to keep what is committed."""
    smtp_url: str = ""
    """The server that mail of the login service goes through: smtp://user:password@host:587?from=login@example.com, or
    smtps://. Without it mail is written to the log, codes and all: for development only."""
    public_url: str = ""
    """Where people reach the pages that the login service is for, such as https://app.example.com: mails link there."""
    trusted_proxies: int = 0
    """Proxies before the server that add to X-Forwarded-For: so many addresses, from its end, are theirs to say."""
    jobs: bool = True
    """Whether `farthing serve` does the jobs itself: lapses, renewals, the sums of reports. Off: `farthing worker`
    does."""
    sweep_seconds: float = 15.0
    """How often lapses and ended holds are booked."""
    renew_seconds: float = 60.0
    """How often subscriptions that are due are renewed, and those that have expired are ended; 0 leaves it to other
    processes, or to `farthing renew`."""
    archive_dir: str = ""
    """The folder that archive files of old entries go to; by default, of a SQLite file, the file's name with .archive
    behind it. On PostgreSQL it has to be set where a workspace has `retention_days`."""
    fold_seconds: float = 2.0
    """How often what was booked is added to the sums that reports are read from; 0 leaves it to other processes.
    Reports are exact either way: what the sums lack is read from the entries."""
    webhook_seconds: float = 1.0
    """How often the outbox is looked at for events that other processes have put there; what this one commits is sent
    at once. 0 leaves sending to other processes."""
    webhook_timeout: float = 20.0
    """Seconds that an endpoint has to answer; one that takes longer is tried again later."""
    webhooks_at_once: int = 16
    """Requests that a process has on their way at a time to one endpoint."""
    webhook_private: Literal["refuse", "allow"] = "refuse"
    """Whether events may go to private addresses, and by plain http: for tests, and for receivers in a network of one's
    own where nobody else makes endpoints."""
    delivery_days: int = 30
    """For how many days the tries to deliver events are kept; 0: for ever."""
    event_days: int = 90
    """For how many days events are kept, to be listed and sent again; 0: for ever."""


def read_settings(environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
    """Settings from the environment; what is `given` (and not None) wins."""
    values: dict[str, Any] = {}
    for field in fields(Settings):
        text = environment.get(PREFIX + field.name.upper())
        if text is not None:
            values[field.name] = _read(field.name, field.type, text)
    values.update((name, value) for name, value in given.items() if value is not None)
    return _checked(Settings(**values))


def _read(name: str, kind: Any, text: str) -> Any:
    if kind is bool:
        known = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if text.lower() not in known:
            raise SettingsError(f"{PREFIX}{name.upper()} must be true or false, not {text!r}")
        return known[text.lower()]
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{PREFIX}{name.upper()}: {error}") from error


def _checked(settings: Settings) -> Settings:
    if not 0 <= settings.port <= 65_535:
        raise SettingsError(f"port must be from 0 to 65535, not {settings.port}")
    for name in (
        "body_limit", "max_queue", "max_batch", "request_timeout", "sweep_seconds", "workers", "lanes",
        "webhook_timeout", "webhooks_at_once",
    ):  # fmt: skip
        if getattr(settings, name) <= 0:
            raise SettingsError(f"{name} must be above zero")
    if settings.rate_limit < 0:
        raise SettingsError("rate_limit must be zero (no limit) or above")
    if not 0 <= settings.trusted_proxies <= MOST_PROXIES:
        raise SettingsError(f"trusted_proxies must be from 0 to {MOST_PROXIES}")
    if settings.public_url and not settings.public_url.startswith(("https://", "http://")):
        raise SettingsError("public_url must begin with https:// or http://")
    if not settings.webhook_timeout <= MOST_WEBHOOK_SECONDS:
        raise SettingsError(f"webhook_timeout must be at most {MOST_WEBHOOK_SECONDS} seconds")
    for name in ("delivery_days", "event_days"):
        if getattr(settings, name) < 0:
            raise SettingsError(f"{name} must be zero (for ever) or above")
    for name in ("fold_seconds", "renew_seconds", "webhook_seconds"):
        if getattr(settings, name) < 0:
            raise SettingsError(f"{name} must be zero (never here) or above")
    for name, most in (("workers", MOST_WORKERS), ("lanes", MOST_LANES), ("webhooks_at_once", MOST_WEBHOOKS_AT_ONCE)):
        if getattr(settings, name) > most:
            raise SettingsError(f"{name} must be at most {most}")
    return settings
