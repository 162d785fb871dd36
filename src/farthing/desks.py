"""Desks: all that the native API works with, put together on an open ledger. A server has one behind HTTP, and a client
in process one for itself: there is one function for both, so that what an endpoint needs is added in one place.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from farthing.api.endpoint import Observer
from farthing.api.v1 import Cursors, Desk
from farthing.app import Ledger
from farthing.commerce.parts import commerce_on
from farthing.core.jobs import Job
from farthing.core.renewal_run import RenewalRun
from farthing.engine import Engine
from farthing.identity.keys import make_key, new_key_id
from farthing.jobs.kind import Count, Run, Tools
from farthing.jobs.kinds import make_kinds
from farthing.jobs.renewals import Renewals
from farthing.jobs.runner import Runner, Watcher
from farthing.outbox.listening import Listening
from farthing.outbox.options import Options
from farthing.prices.book import Books
from farthing.settings import Settings
from farthing.stores.access import Access
from farthing.stores.account_statements import AccountStatements
from farthing.stores.contract import StoreError
from farthing.stores.directory import Directory
from farthing.stores.endpoints import Endpoints
from farthing.stores.erasing import Erasing
from farthing.stores.events import Events
from farthing.stores.issuers import Issuers
from farthing.stores.jobs import Jobs
from farthing.stores.outbox import Outbox
from farthing.stores.past import Past
from farthing.stores.plans import Plans
from farthing.stores.prices import PriceStore
from farthing.stores.products import Products
from farthing.stores.providers import Providers
from farthing.stores.redelivering import Redelivering
from farthing.stores.reports import Database, Reports
from farthing.stores.stream_sessions import StreamSessions
from farthing.stores.subscriptions import Subscriptions
from farthing.stores.usage_history import UsageHistory
from farthing.stores.usage_reports import UsageReports
from farthing.stores.users import Users
from farthing.timezones import calendar

DAY_SECONDS: Final = 86_400.0
"""How often old entries are archived."""
PAYMENTS_SECONDS: Final = 60.0
"""How often messages of payment providers are looked for that were not carried out."""
EXPIRING_SECONDS: Final = 3_600.0
"""How often grants are looked for that lapse soon."""
TOP_UPS_SECONDS: Final = 5.0
"""How often accounts are looked for that are to be topped up."""


class Watch(Protocol):
    """Knows the version that caches hang on."""

    @property
    def generation(self) -> int | None:
        """That version; None while it is not known."""

    @property
    def people(self) -> tuple[int, int] | None:
        """The version that tokens are cached by."""

    def saw(self, version: int, at: float) -> None:
        """Somebody has read it, and began to at that monotonic time."""


def desk_on(
    ledger: Ledger, watch: Watch, observer: Observer, *, engine: Engine | None = None,
    database: Database | None = None, books: type[Books] = Books, private_webhooks: bool = False,
) -> Desk:  # fmt: skip
    """A desk on a ledger. Who can't use the ledger's own engine and connection from where it is gives others that lead
    to it."""
    database = database or ledger.database
    now_us = ledger.clock.now_us
    engine, subscriptions = engine or ledger.engine, Subscriptions(database)
    reports, prices, access = Reports(database, calendar), PriceStore(database, now_us), Access(database)
    directory = Directory(database, reports)
    past = Past(database, reports, directory)
    events, endpoints = Events(database), Endpoints(database)

    async def changed() -> None:
        began = time.monotonic()
        # What was done is done, and told: where the version can't be read now, the watch reads it soon.
        with suppress(StoreError):
            watch.saw(await access.config_version(), began)

    return Desk(
        engine=engine,
        reports=reports,
        directory=directory,
        past=past,
        statements=AccountStatements(database, reports, directory, past),
        usage=UsageReports(database, calendar, now_us),
        history=UsageHistory(database),
        streams=StreamSessions(database),
        users=Users(database),
        issuers=Issuers(database),
        access=access,
        erasing=Erasing(database, Users(database)),
        plans=Plans(database),
        products=Products(database),
        providers=Providers(database),
        commerce=commerce_on(engine, database, reports, now_us),
        subscriptions=subscriptions,
        renew=Renewals(engine, subscriptions, now_us).run,
        jobs=Jobs(database),
        events=events,
        endpoints=endpoints,
        outbox=Outbox(database),
        redelivering=Redelivering(database),
        private_webhooks=private_webhooks,
        listening=Listening(events, endpoints, now_us),
        prices=prices,
        books=books(prices, now_us, lambda: watch.generation),
        cursors=Cursors(access.secret, now_us),
        changed=changed,
        now_us=now_us,
        make_key=make_key,
        new_key_id=new_key_id,
        observer=observer,
    )


class Unwatched:
    """Is told what jobs do, and keeps nothing of it: where the results are told by themselves."""

    def ran(self, kind: str, run: Run, seconds: float) -> None:
        """A run came to its end."""

    def stopped(self, kind: str, error: Exception, job: Job | None) -> None:
        """A run was stopped by an error."""

    def alarm(self, kind: str, workspace: str, count: Count) -> None:
        """Failures of a run were above a tenth of its successes."""

    def parked(self, job: Job) -> None:
        """It is not tried again until somebody says so."""

    def trouble(self, what: str, error: Exception | None) -> None:
        """The runner itself met something; it goes on."""


def runner_on(
    ledger: Ledger, settings: Settings, watcher: Watcher, *, engine: Engine | None = None,
    database: Database | None = None, traffic: Callable[[], int] | None = None,
    on_renewals: Callable[[RenewalRun], None] = lambda _: None,
    on_payments: Callable[[str, str], None] = lambda _provider, _result: None,
    on_tried: Callable[[str, int], None] = lambda _result, _count: None,
) -> Runner:  # fmt: skip
    """What does the jobs on a ledger. `traffic` counts the commands of all who use it, where there are others."""
    # Loaded here, as in `jobs.kinds`: a desk alone needs none of it.
    from farthing.retention.retiring import folder_of

    engine, database, place = engine or ledger.engine, database or ledger.database, ledger.backend.place
    reports, now_us = Reports(database, calendar), ledger.clock.now_us
    commerce = commerce_on(engine, database, reports, now_us)
    tools = Tools(
        engine=engine, database=database, reports=reports, place=place,
        archives=folder_of(place, settings.archive_dir), now_us=now_us, every=_intervals(settings),
        receiving=commerce.receiving, topping_up=commerce.topping_up,
        traffic=traffic, on_renewals=on_renewals, on_payments=on_payments, on_tried=on_tried,
        sending=_sending(settings),
    )  # fmt: skip
    return Runner(Jobs(database), Events(database), make_kinds(tools), ledger.clock, watcher)


def _sending(settings: Settings) -> Options:
    """How events are sent."""
    return Options(
        timeout_seconds=settings.webhook_timeout, at_once=settings.webhooks_at_once,
        allow_private=settings.webhook_private == "allow", keep_tries_days=settings.delivery_days,
        keep_events_days=settings.event_days,
    )  # fmt: skip


def _intervals(settings: Settings) -> dict[str, float]:
    """How often each job is due."""
    return {
        "lapses": settings.sweep_seconds,
        "renewals": settings.renew_seconds,
        "rollups": settings.fold_seconds,
        "retention": DAY_SECONDS,
        "payments": PAYMENTS_SECONDS,
        "expiring": EXPIRING_SECONDS,
        "top_ups": TOP_UPS_SECONDS,
        "webhooks": settings.webhook_seconds,
    }
