"""Payment methods: what an account has left with a provider to be charged again, which of them is charged, and how the
account says otherwise. Digistore24 keeps them to itself: there an order is charged again, by what it was paid with.

What is changed is in the audit log, with the key of who has asked: the same key changes it once, as far as that was
written down.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farthing.core.catalogue import Provider
from farthing.core.records import Workspace
from farthing.stores.acts import Act, Acts, Once
from farthing.stores.reports import Execute

from .links import Tools
from .selling import Unsellable, in_time
from .stripe import methods as stripe

STRIPE: Final = "stripe"
PREFER: Final = "payment_method.prefer"
FORGET: Final = "payment_method.forget"
Do = Callable[[stripe.Stripe, str], Awaitable[Any]]
"""Carries something out for a customer."""


class Kept(Struct, frozen=True, kw_only=True):
    """Something that an account has left to be charged again."""

    id: str
    """By the provider's name of it."""
    type: str
    """In the provider's word: `card`, `sepa_debit`."""
    brand: str = ""
    last4: str = ""
    exp_month: int | None = None
    exp_year: int | None = None
    charged: bool = False
    """It is what a charge takes, if nothing else is said."""


class Methods:
    """Reads them, and changes which is charged."""

    def __init__(self, tools: Tools, acts: Acts) -> None:
        self._tools = tools
        self._acts = acts

    async def of(self, workspace: Workspace, account: str, provider: Provider) -> list[Kept]:
        """Those of an account, newest first; what goes wrong is a `ProviderTrouble`."""
        _require(provider)
        async with in_time(), self._tools.clients.stripe(workspace) as (client, _):
            return await self._kept(client, workspace, account)

    async def prefer(
        self, workspace: Workspace, account: str, provider: Provider, id: str, act: Act, once: Once | None = None
    ) -> Kept:  # fmt: skip
        """This one is charged from now on."""

        async def do(client: stripe.Stripe, customer: str) -> None:
            await stripe.prefer(client, customer, id)

        kept = await self._once(workspace, account, provider, id, PREFER, act, once, do)
        return replace(kept, charged=True)

    async def forget(
        self, workspace: Workspace, account: str, provider: Provider, id: str, act: Act, once: Once | None = None
    ) -> Kept:  # fmt: skip
        """It is never charged again: the provider lets go of it; as it was."""

        async def do(client: stripe.Stripe, _: str) -> None:
            await stripe.forget(client, id)

        return await self._once(workspace, account, provider, id, FORGET, act, once, do)

    # Inside

    async def _kept(self, client: stripe.Stripe, workspace: Workspace, account: str) -> list[Kept]:
        customer = await self._tools.customers.get(workspace.id, STRIPE, account)
        found, charged = await stripe.kept(client, customer)
        return [
            Kept(
                id=m.id, type=m.type, brand=m.brand or "", last4=m.last4 or "", exp_month=m.exp_month,
                exp_year=m.exp_year, charged=m.id == charged,
            )
            for m in found
        ]  # fmt: skip

    async def _once(
        self, workspace: Workspace, account: str, provider: Provider, id: str, action: str, act: Act,
        once: Once | None, do: Do,
    ) -> Kept:  # fmt: skip
        """Do something with one of an account's, and write it down; as it was before."""
        _require(provider)
        if once is not None and (first := await self._acts.first(once, workspace.id, action, Kept)) is not None:
            return first
        async with in_time(), self._tools.clients.stripe(workspace) as (client, _):
            customer = await self._tools.customers.get(workspace.id, STRIPE, account)
            kept = next((each for each in await self._kept(client, workspace, account) if each.id == id), None)
            if kept is None:  # a name of another account's is as good as none
                raise Unsellable("payment_method_not_found", f"The account has left no payment method {id!r}")
            if once is None or not once.dry_run:
                await do(client, customer)

        async def write(execute: Execute) -> Kept:
            detail = {"provider": provider, "method": id}
            answer = msgspec.to_builtins(kept)
            await self._acts.changed(execute, workspace.id, act, action, account, detail, once, answer)
            return kept

        return await self._acts.once(once, workspace.id, action, Kept, write)


def _require(provider: Provider) -> None:
    if provider != STRIPE:
        message = "must be stripe: Digistore24 does not show what was paid with, and charges an order again by it"
        raise Unsellable("methods_unknown", message)
