"""Charging: asks a provider for the price of a top-up while the buyer is away, by what he has paid with before. It
never credits: the provider's notification does, once, as with every payment.

The same key never asks twice for money. A row is put down before the provider is asked: who comes again under its key,
at the same moment or after a crash, is told what is known; as long as nobody knows, that is `pending`, until the
payment comes. Only a charge that surely was not begun may be asked for again. Stripe is asked again as well where its
answer was lost, since its own keys make that the same charge; and where it may have forgotten those, how it stands.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, cast

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.catalogue import Provider, TopUp
from farthing.core.facts import AnyFact
from farthing.core.records import Workspace
from farthing.core.top_up_pages import Closed
from farthing.stores.acts import AccessError
from farthing.stores.billing import Billing, Billings, KeptBilling
from farthing.stores.contract import Raced
from farthing.stores.products import Products
from farthing.stores.purchases import Purchases
from farthing.stores.subscriptions import Subscriptions

from .charges import Charged, Found, State, Wanted, failed
from .digistore24.charging import charge as charge_digistore24
from .links import Tools
from .stripe.charging import charge as charge_stripe
from .stripe.charging import close as close_at_stripe
from .stripe.charging import find as find_at_stripe

_CHARGE: Final[Mapping[Provider, Callable[[Tools, Wanted], Awaitable[Charged]]]] = {
    "digistore24": charge_digistore24,
    "stripe": charge_stripe,
}
HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
KEPT_KEYS_US: Final[Mapping[Provider, int]] = {"digistore24": 0, "stripe": 23 * HOUR_US}
"""How long a provider knows a key again, from when it was asked first: Stripe for a day at least."""
MOST_ORDERS: Final = 5
"""So many of an account's orders are tried, where it is not said which is to be charged again."""
UNKNOWN: Final = Charged(
    state="pending", reason="unknown", message="It was asked for, and nobody knows yet what became of it"
)
NEVER_BEGUN: Final = Charged(
    state="failed", reason="not_begun", message="It was asked for, and the provider has no such payment", again=True,
    undone=True,
)  # fmt: skip
Learn = Callable[[Workspace, Sequence[AnyFact]], Awaitable[None]]
"""Does what follows from what a provider was asked about, as if it had told that."""


class _Turn(Struct, frozen=True):
    """The right to ask for a charge, with its row as it was written for that."""

    kept: KeptBilling
    again: bool = False
    """It was asked for before, and the provider will know its key."""


class Charging:
    """Asks for money."""

    def __init__(
        self, tools: Tools, learn: Learn, purchases: Purchases, products: Products, subscriptions: Subscriptions,
        billings: Billings,
    ) -> None:  # fmt: skip
        self._tools = tools
        self._learn = learn
        self._purchases = purchases
        self._products = products
        self._subscriptions = subscriptions
        self._billings = billings

    async def charge(
        self, workspace: Workspace, account: str, offer: str, provider: Provider, key: str, *, order: str = "",
        quantity: int = 1, sold: TopUp | None = None,
    ) -> Charged:  # fmt: skip
        """Ask for the price of a top-up, `product/top-up`. `key` is one for each charge that is meant; raises
        AccessError (key_conflict) where it was used for another. `order` is what is charged again at Digistore24;
        without it the account's own are tried, until one can be. `sold` is what is bought where that is no offer."""
        sold = sold or await self._sold(workspace, offer)
        asked = Billing(
            key=key, account=account, offer=offer, quantity=quantity, provider=provider, order=order,
            asked_at=self._tools.now_us(),
        )  # fmt: skip
        if sold is None:
            return await self._unsold(workspace, asked)
        turn = await self._turn(workspace, provider, asked)
        if isinstance(turn, Charged):
            return turn
        wanted = Wanted(
            workspace=workspace, account=account, offer=offer, sold=sold, quantity=quantity, key=key,
            order=order, reference=turn.kept.billing.comes_as,
        )  # fmt: skip
        return await self._answered(workspace, turn, await self._asked(wanted, provider))

    async def find(
        self, workspace: Workspace, account: str, offer: str, provider: Provider, key: str, *, payment: str,
        asked_at: int, quantity: int = 1, sold: TopUp | None = None, until: int | None = None,
    ) -> Found | None:  # fmt: skip
        """How a charge stands that was asked for long ago, a day at most before `until`; None where nobody can tell.
        What was paid is credited, as if its notification had come."""
        if provider != "stripe":
            return None
        # What is on sale no more can be found all the same.
        sold = sold or await self._sold(workspace, offer) or TopUp(id="", credits=0)
        wanted = Wanted(workspace=workspace, account=account, offer=offer, sold=sold, quantity=quantity, key=key)
        found = await find_at_stripe(self._tools, wanted, payment, asked_at, until or asked_at + DAY_US)
        if found is not None and found.facts:
            await self._learn(workspace, found.facts)
        return found

    async def close(self, workspace: Workspace, provider: Provider, page: str) -> Closed:
        """Have nobody pay any more on a page that a buyer was sent to."""
        return await close_at_stripe(self._tools, workspace, page) if provider == "stripe" else Closed(state="closed")

    async def _sold(self, workspace: Workspace, offer: str) -> TopUp | None:
        found = (await self._products.catalogue(workspace.id)).named(offer)
        return found.sold if found is not None and isinstance(found.sold, TopUp) else None

    # Once

    async def _unsold(self, workspace: Workspace, asked: Billing) -> Charged:
        """What is known of a charge for something that is on sale no more; else that it never was."""
        kept = await self._billings.get(workspace.id, asked.key)
        if kept is None or kept.billing.state == "free":
            return failed("offer_not_found", f"there is no top-up {asked.offer!r}")
        _require_same(kept.billing, asked)
        return await self._settled(workspace, kept, asked.asked_at)

    async def _turn(self, workspace: Workspace, provider: Provider, asked: Billing) -> "_Turn | Charged":
        """Whose turn it is to ask; what is known of the charge, where nobody shall ask now."""
        kept = await self._billings.get(workspace.id, asked.key)
        if provider == "digistore24" and (kept is None or kept.billing.state == "free"):
            asked = replace(asked, comes_as=await self._tools.references.new(workspace.id, asked.account))
        if kept is None and (kept := await self._billings.begin(workspace.id, asked)) is None:
            return _Turn(KeptBilling(asked, 1))
        assert kept is not None, "else it was begun just now"
        return await self._taken_up(workspace, provider, kept, asked)

    async def _taken_up(
        self, workspace: Workspace, provider: Provider, kept: KeptBilling, asked: Billing
    ) -> "_Turn | Charged":  # fmt: skip
        """The same, of a key that was there before."""
        before, again, at = kept.billing, False, asked.asked_at
        if before.state == "free":
            # What was not begun has used up no key, nor its content; but Stripe may remember it since then.
            before = replace(asked, asked_at=before.asked_at) if KEPT_KEYS_US[provider] else asked
        else:
            _require_same(before, asked)
            again = before.state == "asked" and at - before.asked_at < KEPT_KEYS_US[provider]
            if not again:
                return await self._settled(workspace, kept, at)
        before = replace(before, tried_at=at)
        try:
            # Who asks raises the version: an earlier one can't free what this one may have begun.
            await self._billings.change(workspace.id, before, kept.version)
        except Raced:
            return await self._now(workspace, asked.key)
        return _Turn(KeptBilling(before, kept.version + 1), again)

    async def _settled(self, workspace: Workspace, kept: KeptBilling, at: int) -> Charged:
        """What is known of a charge that nobody shall ask for again; where nobody knows, what Stripe says of it."""
        b = kept.billing
        last = max(b.asked_at, b.tried_at)
        if b.state != "asked" or b.provider != "stripe" or at - last < KEPT_KEYS_US["stripe"]:
            return _known(b)
        found = await self.find(
            workspace, b.account, b.offer, "stripe", b.key, payment=b.payment, asked_at=b.asked_at,
            quantity=b.quantity, until=last + DAY_US,
        )  # fmt: skip
        if found is not None and found.charged.again:
            return UNKNOWN  # it could not be asked
        if found is None:
            since = await self._tools.customers.known_since(workspace.id, "stripe", b.account)
            if since is None or since > b.asked_at:
                return UNKNOWN  # it was asked for of another customer, if at all, and that one is forgotten
        return await self._answered(workspace, _Turn(kept), NEVER_BEGUN if found is None else found.charged)

    async def _answered(self, workspace: Workspace, turn: "_Turn", charged: Charged) -> Charged:
        """Put down what was answered. The payment may have been faster, and tells more."""
        mine = turn.kept
        if charged.reason == "unknown" or (charged.undone and turn.again):
            return UNKNOWN  # what a second asking is refused says nothing of the first
        if charged.undone:
            try:
                await self._billings.change(workspace.id, replace(mine.billing, state="free"), mine.version)
            except Raced:
                return await self._now(workspace, mine.billing.key)
            return charged
        while (kept := await self._kept(workspace, mine.billing.key)).billing.state in ("asked", "free"):
            # Stripe's payment has the same name when it comes.
            comes_as = kept.billing.comes_as or charged.payment
            after = replace(
                kept.billing, state=charged.state, comes_as=comes_as, payment=charged.payment, url=charged.url,
                page=charged.page, reason=charged.reason, message=charged.message,
            )  # fmt: skip
            try:
                await self._billings.change(workspace.id, after, kept.version)
            except Raced:
                continue
            return charged
        return _known(kept.billing)

    async def _kept(self, workspace: Workspace, key: str) -> KeptBilling:
        kept = await self._billings.get(workspace.id, key)
        assert kept is not None, "charges stay"
        return kept

    async def _now(self, workspace: Workspace, key: str) -> Charged:
        return _known((await self._kept(workspace, key)).billing)

    # What, and where

    async def _asked(self, wanted: Wanted, provider: Provider) -> Charged:
        """What the provider answers; of several orders that it may charge, of the first that it does not refuse."""
        if provider != "digistore24" or wanted.order:
            if wanted.order and await self._is_anothers(wanted, provider):
                return failed("order_of_another", f"order {wanted.order} is of another account")
            return await _CHARGE[provider](self._tools, wanted)
        orders = await self._orders(wanted.workspace, wanted.account, provider)
        charged = await _CHARGE[provider](self._tools, replace(wanted, order=orders[0] if orders else ""))
        for order in orders[1:]:
            if not (charged.undone and charged.reason == "refused"):
                break
            charged = await _CHARGE[provider](self._tools, replace(wanted, order=order))
        return charged

    async def _is_anothers(self, wanted: Wanted, provider: Provider) -> bool:
        """Whether somebody else would pay for it."""
        kept = await self._purchases.order(wanted.workspace.id, provider, wanted.order)
        return kept is not None and kept.order.account not in ("", wanted.account)

    async def _orders(self, workspace: Workspace, account: str, provider: Provider) -> list[str]:
        """Orders that may be charged again, the likeliest first: the one by which the subscription runs, then the
        newest. Nobody but the provider knows which can; those that are charges themselves can not."""
        s = await self._subscriptions.of(workspace.id, account)
        first = [s.order] if s is not None and s.ended_at is None and s.billed_by == provider and s.order else []
        made = await self._billings.payments_of(workspace.id, account)
        orders = await self._purchases.orders_of(workspace.id, account)
        own = [o.id for o in orders if o.provider == provider and o.state == "open" and o.id not in made]
        return list(dict.fromkeys([*first, *own]))[:MOST_ORDERS]


def _require_same(first: Billing, again: Billing) -> None:
    """A key is for one charge."""
    names = ("account", "offer", "quantity", "provider", "order")
    differs = tuple(name for name in names if getattr(first, name) != getattr(again, name))
    if differs:
        message = f"this key was used before for another charge; it differs in {', '.join(differs)}"
        raise AccessError(message, "key_conflict", differs=differs)


def _known(billing: Billing) -> Charged:
    """What is known of a charge that was asked for before."""
    b = billing
    if b.state in ("asked", "free"):
        return UNKNOWN
    return Charged(
        state=cast(State, b.state), payment=b.payment, url=b.url, page=b.page, reason=b.reason, message=b.message
    )  # fmt: skip
