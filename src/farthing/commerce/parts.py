"""Parts: all that deals with money from outside, put together on an open ledger."""

from collections.abc import Callable

from msgspec import Struct

from farthing.engine import Engine
from farthing.stores.customers import Customers
from farthing.stores.events import Events
from farthing.stores.plans import Plans
from farthing.stores.products import Products
from farthing.stores.providers import Providers
from farthing.stores.purchases import Purchases
from farthing.stores.reports import Database, Reports
from farthing.stores.subscriptions import Subscriptions

from .charging import Charging
from .clients import Clients
from .fulfilling import Fulfilling
from .inboxes import make_inboxes
from .links import Tools
from .receiving import Receiving
from .references import References
from .selling import Selling


class Commerce(Struct, frozen=True, kw_only=True):
    """What sells, and what takes in who has paid. It belongs to one event loop."""

    purchases: Purchases
    references: References
    clients: Clients
    fulfilling: Fulfilling
    receiving: Receiving
    selling: Selling
    charging: Charging

    async def aclose(self) -> None:
        """End the connections to providers."""
        await self.clients.aclose()


def commerce_on(engine: Engine, database: Database, reports: Reports, now_us: Callable[[], int]) -> Commerce:
    """All of it."""
    purchases, providers = Purchases(database), Providers(database)
    products, subscriptions = Products(database), Subscriptions(database)
    references, clients = References(purchases, now_us), Clients(providers)
    fulfilling = Fulfilling(engine, purchases, products, subscriptions, Events(database), now_us)
    inboxes = make_inboxes(providers, clients)
    receiving = Receiving(purchases, reports, fulfilling, references, inboxes, now_us)
    tools = Tools(clients, references, Customers(database), now_us)
    selling = Selling(tools, purchases, products, Plans(database), subscriptions)
    return Commerce(
        purchases=purchases, references=references, clients=clients, fulfilling=fulfilling, receiving=receiving,
        selling=selling, charging=Charging(tools, selling, purchases, products, subscriptions),
    )  # fmt: skip
