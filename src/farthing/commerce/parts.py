"""Parts: all that deals with money from outside, put together on an open ledger."""

from collections.abc import Callable

from msgspec import Struct

from farthing.engine import Engine, Ids
from farthing.stores.acts import Acts
from farthing.stores.billing import Billings
from farthing.stores.customers import Customers
from farthing.stores.events import Events
from farthing.stores.plans import Plans
from farthing.stores.products import Products
from farthing.stores.providers import Providers
from farthing.stores.purchases import Purchases
from farthing.stores.reports import Database, Reports
from farthing.stores.subscriptions import Subscriptions
from farthing.stores.top_ups import TopUps

from .charging import Charging
from .clients import Clients
from .fulfilling import Fulfilling
from .inboxes import make_inboxes
from .links import Tools
from .methods import Methods
from .receiving import Receiving
from .references import References
from .selling import Selling
from .topping_up import Confirming, ToppingUp


class Commerce(Struct, frozen=True, kw_only=True):
    """What sells, and what takes in who has paid. It belongs to one event loop."""

    purchases: Purchases
    references: References
    clients: Clients
    fulfilling: Fulfilling
    receiving: Receiving
    selling: Selling
    charging: Charging
    methods: Methods
    top_ups: TopUps
    topping_up: ToppingUp

    async def aclose(self) -> None:
        """End the connections to providers."""
        await self.clients.aclose()


def commerce_on(engine: Engine, database: Database, reports: Reports, now_us: Callable[[], int]) -> Commerce:
    """All of it."""
    purchases, providers = Purchases(database), Providers(database)
    products, subscriptions, billings = Products(database), Subscriptions(database), Billings(database)
    references, clients = References(purchases, now_us), Clients(providers)
    top_ups = TopUps(database, reports.calendar, Ids())
    fulfilling = Fulfilling(
        engine, purchases, products, subscriptions, Events(database), now_us, Confirming(top_ups)
    )  # fmt: skip
    inboxes = make_inboxes(providers, clients)
    receiving = Receiving(purchases, reports, fulfilling, references, billings, inboxes, now_us)
    tools = Tools(clients, references, Customers(database), now_us)
    selling = Selling(tools, purchases, products, Plans(database), subscriptions)
    charging = Charging(tools, receiving.learned, purchases, products, subscriptions, billings)
    return Commerce(
        purchases=purchases, references=references, clients=clients, fulfilling=fulfilling, receiving=receiving,
        selling=selling, charging=charging, methods=Methods(tools, Acts(database)), top_ups=top_ups,
        topping_up=ToppingUp(engine, reports, products, top_ups, charging, now_us),
    )  # fmt: skip
