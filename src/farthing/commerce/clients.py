"""Clients: whoever speaks with a provider borrows its client here, made from the workspace's settings of now. It keeps
its connections while the settings stay; one that nobody has used for long is ended once nobody has it any more.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from farthing.core.providers import Digistore24Settings, ProviderSettings, StripeSettings
from farthing.core.records import Workspace
from farthing.stores.providers import Providers

from .digistore24.errors import Digistore24Error
from .secrets import SecretError, usable
from .stripe.errors import StripeError
from .troubles import ProviderTrouble, trouble_of

if TYPE_CHECKING:
    from .digistore24.client import Digistore24
    from .stripe.client import Stripe

MOST: Final = 32
"""So many of each provider are kept that nobody uses."""
S = TypeVar("S", Digistore24Settings, StripeSettings)


class _Closes(Protocol):
    async def aclose(self) -> None: ...


C = TypeVar("C", bound=_Closes)


class _Kept(Generic[C]):
    """A client, and how many have it."""

    def __init__(self, client: C) -> None:
        self.client = client
        self.users = 0


class _Pool(Generic[C]):
    """Clients of one provider, the one that was used last at the end."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ProviderSettings], _Kept[C]] = OrderedDict()

    @asynccontextmanager
    async def lent(self, workspace: str, settings: ProviderSettings, make: Callable[[], C]) -> AsyncIterator[C]:
        """The client for these settings, which is made where there is none."""
        at = (workspace, settings)
        if at not in self._kept:
            self._kept[at] = _Kept(make())
        self._kept.move_to_end(at)
        kept = self._kept[at]
        kept.users += 1
        try:
            yield kept.client
        finally:
            kept.users -= 1
            idle = [at for at, kept in self._kept.items() if not kept.users]
            for at in idle[: max(0, len(idle) - MOST)]:
                await self._kept.pop(at).client.aclose()

    async def aclose(self) -> None:
        """End all connections."""
        while self._kept:
            await self._kept.popitem()[1].client.aclose()


class Clients:
    """Lends clients. It belongs to one event loop."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._digistore24: _Pool[Digistore24] = _Pool()
        self._stripe: _Pool[Stripe] = _Pool()

    async def known(self, workspace: Workspace) -> list[str]:
        """The providers that the workspace speaks with."""
        return [kept.id for kept in await self._providers.of(workspace.id)]

    @asynccontextmanager
    async def digistore24(self, workspace: Workspace) -> AsyncIterator[tuple["Digistore24", Digistore24Settings]]:
        """A client of Digistore24, and its settings; what goes wrong meanwhile is a `ProviderTrouble`."""
        # Loaded with the first call: a ledger that sells nothing needs no HTTP client.
        from .digistore24.client import BASE_URL, Digistore24

        found = await self._settings(workspace, "digistore24", Digistore24Settings)

        def make() -> Digistore24:
            return Digistore24(found.api_key, base_url=found.base_url or BASE_URL)

        async with _explained(), self._digistore24.lent(workspace.id, found, make) as client:
            yield client, found

    @asynccontextmanager
    async def stripe(self, workspace: Workspace) -> AsyncIterator[tuple["Stripe", StripeSettings]]:
        """A client of Stripe, and its settings; what goes wrong meanwhile is a `ProviderTrouble`."""
        from .stripe.client import BASE, Stripe

        found = await self._settings(workspace, "stripe", StripeSettings)

        def make() -> Stripe:
            return Stripe(found.api_key, base=found.base_url or BASE)

        async with _explained(), self._stripe.lent(workspace.id, found, make) as client:
            yield client, found

    async def aclose(self) -> None:
        """End all connections."""
        await self._digistore24.aclose()
        await self._stripe.aclose()

    async def _settings(self, workspace: Workspace, provider: str, kind: type[S]) -> S:
        kept = await self._providers.get(workspace.id, provider)
        if kept is None or not kept.settings.api_key:
            raise ProviderTrouble("key_missing", f"The workspace has no API key of {provider}")
        assert isinstance(kept.settings, kind), "settings are of their provider"
        try:
            return usable(kept.settings, workspace.mode)
        except SecretError as error:
            raise ProviderTrouble("key_missing", str(error)) from error


@asynccontextmanager
async def _explained() -> AsyncIterator[None]:
    try:
        yield
    except (Digistore24Error, StripeError) as error:
        raise trouble_of(error) from error
