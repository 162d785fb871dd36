"""The desk: all that an endpoint of the native API works with."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from farthing.commerce.parts import Commerce
from farthing.core.credentials import Mode
from farthing.core.renewal_run import RenewalRun, Wanted
from farthing.engine import Engine
from farthing.outbox.listening import Listening
from farthing.prices.book import Books
from farthing.stores.access import Access
from farthing.stores.account_statements import AccountStatements
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
from farthing.stores.reports import Reports
from farthing.stores.stream_sessions import StreamSessions
from farthing.stores.subscriptions import Subscriptions
from farthing.stores.usage_history import UsageHistory
from farthing.stores.usage_reports import UsageReports
from farthing.stores.users import Users

from ..endpoint import Observer
from .cursors import Cursors


class MadeKey(Protocol):
    """An API key just made; its text exists nowhere else."""

    @property
    def text(self) -> str:
        """What its bearer sends."""

    @property
    def hash(self) -> bytes:
        """What is stored of it."""

    @property
    def hint(self) -> str:
        """Its last characters."""


class Desk(Struct, frozen=True, kw_only=True):
    """Made once by whoever builds the face."""

    engine: Engine
    reports: Reports
    directory: Directory
    past: Past
    statements: AccountStatements
    usage: UsageReports
    history: UsageHistory
    streams: StreamSessions
    users: Users
    issuers: Issuers
    access: Access
    erasing: Erasing
    plans: Plans
    products: Products
    providers: Providers
    commerce: Commerce
    """What sells, and takes in who has paid; it ends with the process."""
    subscriptions: Subscriptions
    renew: Callable[[Wanted], Awaitable[RenewalRun]]
    """Renews what is due."""
    jobs: Jobs
    events: Events
    endpoints: Endpoints
    outbox: Outbox
    redelivering: Redelivering
    private_webhooks: bool
    """Whether events may be sent to private addresses."""
    listening: Listening
    """All who are told of events while they come; it ends with the process."""
    prices: PriceStore
    books: Books
    cursors: Cursors
    changed: Callable[[], Awaitable[None]]
    """Awaited after an act that may have changed what processes cache: this one must not go on with what it had."""
    now_us: Callable[[], int]
    make_key: Callable[[Mode], MadeKey]
    new_key_id: Callable[[int], str]
    observer: Observer
