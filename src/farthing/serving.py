"""Serving: puts a ledger behind HTTP, and ends it without losing a word. Beside `app` the only file that knows all.

`serve` holds the lock file, opens the ledger on its event loop (or with the engine in a thread), watches the settings,
does the jobs (`working`), and listens. SIGTERM and SIGINT stop it: no new connections, what was accepted is finished
and answered, the engine is closed, and `serve` returns. With several workers each of them is such a process, and gets
its connections from the parent (`workers`).
"""

import asyncio
import gc
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import uvloop
from structlog.typing import FilteringBoundLogger

from farthing import __version__
from farthing.api import openapi, pages
from farthing.api.accounting import Accounting
from farthing.api.asgi import App, Limits
from farthing.api.auth import KeyAuth
from farthing.api.bearer import TokenAuth
from farthing.api.countwerk import CountWerk
from farthing.api.fleet import Fleet
from farthing.api.limits import RateLimiter
from farthing.api.login import Hosts, Login, LoginDesk, Wherefrom
from farthing.api.logs import make_logger
from farthing.api.metrics import Metrics
from farthing.api.notifications import Notifications
from farthing.api.notifications.senders import Senders
from farthing.api.v1 import V1, Desk
from farthing.app import ConfigWatch, Ledger
from farthing.backends import Backend, SqliteFile, backend_of
from farthing.core.credentials import hash_key, looks_like, redact
from farthing.core.events import TYPES
from farthing.core.people import Issuer, User
from farthing.desks import Watch, desk_on
from farthing.identity.jwks import KeySets
from farthing.identity.login import Login as SigningIn
from farthing.identity.mail import Message, Post, read_relay, send_by
from farthing.identity.passwords import Passwords
from farthing.identity.people import People
from farthing.identity.sessions import Sessions
from farthing.identity.tokens import Verified
from farthing.identity.trust import Trust
from farthing.server.handover import Intake
from farthing.server.http import HandedServer, Server, library_logs
from farthing.server.listening import listening, raise_file_limit
from farthing.server.workers import Order, serve_with_workers
from farthing.settings import Settings, SettingsError
from farthing.stores.lockfile import LockFile
from farthing.stores.logins import Logins
from farthing.stores.migrate import MigrationError, require_current
from farthing.working import Observer, open_for, working

RATE_WINDOW_SECONDS: Final = 60
GARBAGE_AFTER: Final = 20_000


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is told the address once requests are taken."""
    backend = backend_of(settings.database_url)
    _require_several_writers(settings, backend)
    require_current(backend.schema())
    log = make_logger(settings.log_level, redact=redact)
    if settings.workers > 1:
        with listening(settings.host, settings.port) as sock:
            serve_with_workers(settings, sock, log, on_ready)
        return
    with _alone(backend, settings.share), listening(settings.host, settings.port) as sock:
        _run(
            settings, log, _serve(settings, backend, log, Metrics(), lambda app: Server(app, settings, on_ready), sock)
        )


def serve_as_worker(order: Order, intake: Intake) -> None:
    """Serve the connections that a parent hands over, until it says that no more will come."""
    settings = order.settings
    backend = backend_of(settings.database_url)
    log = make_logger(settings.log_level, redact=redact).bind(worker=order.worker)
    metrics = Metrics()
    fleet = Fleet(Path(order.folder), order.worker, order.start, settings.workers, metrics.text)
    metrics.of_all = fleet.text

    def server(app: App) -> Server:
        return HandedServer(app, settings, intake, fleet.close)

    with _alone(backend, settings.share):
        _run(settings, log, _serve(settings, backend, log, metrics, server, fleet=fleet))


def _require_several_writers(settings: Settings, backend: Backend) -> None:
    if backend.dialect != "sqlite":
        return
    if settings.workers > 1 and not settings.share:
        raise SettingsError(
            "a SQLite file has one writer at a time, and one process is as fast as several: leave workers at 1 "
            "(several are for PostgreSQL), or say --share"
        )
    if settings.lanes > 1:
        raise SettingsError("a SQLite file has one writer at a time: leave lanes at 1 (several are for PostgreSQL)")


def _run(settings: Settings, log: FilteringBoundLogger, work: Coroutine[Any, Any, None]) -> None:
    with library_logs(log, settings.log_level):
        raise_file_limit()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)


@contextmanager
def _alone(backend: Backend, share: bool) -> Iterator[None]:
    """One server at a time on a file; any number on a server."""
    if not isinstance(backend, SqliteFile):
        yield
        return
    lock = LockFile(backend.path, share=share)
    try:
        yield
    finally:
        lock.release()


async def _serve(
    settings: Settings, backend: Backend, log: FilteringBoundLogger, metrics: Metrics,
    server_of: Callable[[App], Server], sock: socket.socket | None = None, fleet: Fleet | None = None,
) -> None:  # fmt: skip
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as held:
        ledger = open_for(settings, loop, Observer(metrics, log))
        held.push_async_callback(ledger.aclose)
        metrics.depth = lambda: ledger.engine.depth
        watch = ConfigWatch(lambda: backend.config(ledger.clock.follows), ledger.clock.accept)
        watch.start()
        held.callback(watch.stop)
        if fleet is not None:
            await fleet.open()
            held.callback(fleet.close)
        app = build_app(settings, ledger, watch, metrics, log)
        held.push_async_callback(app.aclose)
        server = server_of(app)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop, number)
        _spare_the_collector()
        async with working(settings, ledger, metrics, log):
            await server.serve([] if sock is None else [sock])


def _spare_the_collector() -> None:
    """What is there now stays, and needs no look; what a request leaves behind is no cycle. To look for some after each
    700 objects, as Python does, takes a fortieth of the time of a charge."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 10, 10)


def build_app(
    settings: Settings, ledger: Ledger, watch: Watch, metrics: Metrics, log: FilteringBoundLogger
) -> App:  # fmt: skip
    """The application: faces, pages and what stands around them, on an open ledger."""
    desk = desk_on(ledger, watch, metrics, private_webhooks=settings.webhook_private == "allow")
    auth = _key_auth(desk, watch)
    hosts = Hosts(desk.reports.workspaces, lambda: watch.generation)
    logins, sessions = Logins(ledger.database), Sessions(desk.access.secret)
    tokens = _token_auth(desk, watch, _trust(desk, watch, log, hosts, logins, sessions))
    post, passwords = Post(_mailing(settings), log), Passwords()
    wherefrom = Wherefrom(settings.trusted_proxies, settings.public_url)
    login = _login_desk(wherefrom, desk, SigningIn(
        desk.users, logins, sessions, passwords, post, changed=tokens.forget, public_url=settings.public_url
    ))  # fmt: skip

    async def parting() -> None:
        passwords.close()
        await post.aclose()
        await desk.commerce.aclose()

    faces = (V1(desk, auth, tokens), CountWerk(desk, auth))
    people = (Accounting(desk, tokens), Login(login, tokens, hosts))
    senders = Senders(desk.reports.workspace, desk.providers, lambda: watch.generation)
    told = Notifications(desk.commerce.receiving, senders, wherefrom, desk.now_us, metrics.notified, log)
    documents = {
        "": openapi.document(faces, __version__, tuple(TYPES.values())),
        "accounting": openapi.document(people, __version__),
    }
    checks = {
        "database": pages.database_check(ledger.reports, settings.allow_unsafe),
        "schema": _schema_check(ledger),
        "clock": pages.clock_check(ledger.clock),
    }
    if isinstance(ledger.backend, SqliteFile):
        checks["storage"] = pages.storage_check(ledger.backend.path)
    return App(
        (*faces, *people, told),
        pages={
            **pages.pages(documents, checks, metrics, __version__),
            "/api/health": pages.health(__version__, ledger.clock.now_us),
        },
        limiter=RateLimiter(settings.rate_limit, RATE_WINDOW_SECONDS),
        now_us=ledger.clock.now_us,
        observer=metrics,
        log=log,
        limits=Limits(
            body_bytes=settings.body_limit,
            body_seconds=settings.request_timeout,
            answer_seconds=settings.request_timeout,
        ),
        access_log=settings.access_log,
        engine=ledger.engine,
        parting=parting,
        ending=desk.listening.aclose,
    )


def _key_auth(desk: Desk, watch: Watch) -> KeyAuth:
    """Who bears an API key."""
    return KeyAuth(
        find=desk.access.credential,
        prices=desk.books.book,
        workspace=desk.reports.workspace,
        generation=lambda: watch.generation,
        hash_key=hash_key,
        plausible=lambda text: looks_like(text) != "malformed",
        now_us=desk.now_us,
    )


def _token_auth(desk: Desk, watch: Watch, trust: Trust) -> TokenAuth:
    """Who bears a token."""
    return TokenAuth(
        verify=trust.verified,
        person=trust.person,
        workspace=desk.reports.workspace,
        prices=desk.books.book,
        generation=lambda: watch.people,
        now_us=desk.now_us,
    )


def _trust(
    desk: Desk, watch: Watch, log: FilteringBoundLogger, hosts: Hosts, logins: Logins, sessions: Sessions
) -> Trust:  # fmt: skip
    """Whose tokens are taken: those of others, and those of the login service."""

    async def own() -> list[Issuer]:
        return await sessions.issuers(workspace.id for workspace in await hosts.all())

    async def signed_in(verified: Verified) -> User | None:
        person = verified.person
        return await logins.bearer(verified.issuer.workspace, person.session, person.id, desk.now_us())

    key_sets = KeySets(tell=lambda url, why: log.warning("keys of an issuer can't be read", url=url, error=why))
    return Trust(
        desk.issuers, desk.users, generation=lambda: watch.generation, now_us=desk.now_us, key_sets=key_sets, own=own,
        signed_in=signed_in,
    )  # fmt: skip


def _login_desk(wherefrom: Wherefrom, desk: Desk, login: SigningIn) -> LoginDesk:
    """What the login service works with."""
    return LoginDesk(desk=desk, login=login, people=People(login), wherefrom=wherefrom)


def _mailing(settings: Settings) -> Callable[[Message], None] | None:
    """How mail is sent; None: it goes to the log."""
    if not settings.smtp_url:
        return None
    try:
        relay = read_relay(settings.smtp_url)
    except ValueError as error:
        raise SettingsError(f"smtp_url {error}") from None
    return lambda message: send_by(relay, message)


def _schema_check(ledger: Ledger) -> Callable[[], Awaitable[str | None]]:
    """The schema is the one this program knows: another may have been at work since it started."""

    async def check() -> str | None:
        try:
            require_current(await ledger.schema())
        except MigrationError as error:
            return str(error)
        return None

    return check
