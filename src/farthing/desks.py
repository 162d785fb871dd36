"""Desks: all that the native API works with, put together on an open ledger. A server has one behind HTTP, and a client
in process one for itself: there is one function for both, so that what an endpoint needs is added in one place.
"""

import time
from contextlib import suppress
from typing import Protocol

from farthing.api.endpoint import Observer
from farthing.api.v1 import Cursors, Desk
from farthing.app import Ledger
from farthing.engine import Engine
from farthing.identity.keys import make_key, new_key_id
from farthing.jobs.renewals import Renewals
from farthing.prices.book import Books
from farthing.stores.access import Access
from farthing.stores.contract import StoreError
from farthing.stores.directory import Directory
from farthing.stores.issuers import Issuers
from farthing.stores.plans import Plans
from farthing.stores.prices import PriceStore
from farthing.stores.reports import Database, Reports
from farthing.stores.stream_sessions import StreamSessions
from farthing.stores.subscriptions import Subscriptions
from farthing.stores.usage_history import UsageHistory
from farthing.stores.usage_reports import UsageReports
from farthing.stores.users import Users
from farthing.timezones import calendar


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
    database: Database | None = None, books: type[Books] = Books,
) -> Desk:  # fmt: skip
    """A desk on a ledger. Who can't use the ledger's own engine and connection from where it is gives others that lead
    to it."""
    database = database or ledger.database
    now_us = ledger.clock.now_us
    engine, subscriptions = engine or ledger.engine, Subscriptions(database)
    reports, prices, access = Reports(database, calendar), PriceStore(database, now_us), Access(database)

    async def changed() -> None:
        began = time.monotonic()
        # What was done is done, and told: where the version can't be read now, the watch reads it soon.
        with suppress(StoreError):
            watch.saw(await access.config_version(), began)

    return Desk(
        engine=engine,
        reports=reports,
        directory=Directory(database, reports),
        usage=UsageReports(database, calendar, now_us),
        history=UsageHistory(database),
        streams=StreamSessions(database),
        users=Users(database),
        issuers=Issuers(database),
        access=access,
        plans=Plans(database),
        subscriptions=subscriptions,
        renew=Renewals(engine, subscriptions, now_us).run,
        prices=prices,
        books=books(prices, now_us, lambda: watch.generation),
        cursors=Cursors(access.secret, now_us),
        changed=changed,
        now_us=now_us,
        make_key=make_key,
        new_key_id=new_key_id,
        observer=observer,
    )
