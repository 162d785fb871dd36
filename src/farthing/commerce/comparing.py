"""Comparing: a provider's books beside our own, for whoever asks: the command, and the native API."""

from msgspec import Struct

from farthing.core.catalogue import Provider
from farthing.core.reconcile import Finding
from farthing.core.records import Workspace
from farthing.stores.directory import Directory
from farthing.stores.purchases import Purchases
from farthing.stores.reports import Reports

from .books import open_books
from .clients import Clients
from .reconciling import LATELY_US, MOST_SHOWN, Reconciled, Reconciling


class Comparing(Struct, frozen=True):
    """Compares."""

    clients: Clients
    purchases: Purchases
    directory: Directory
    reports: Reports

    async def compare(
        self, workspace: Workspace, provider: Provider, since: int, until: int, now_us: int, *, recent: bool = False
    ) -> tuple[Reconciled, list[Finding]]:  # fmt: skip
        """What came of it, with the first findings; raises `ProviderTrouble`. `recent` has what may be on its way."""
        findings: list[Finding] = []

        def found(finding: Finding) -> None:
            if len(findings) < MOST_SHOWN:
                findings.append(finding)

        async with open_books(self.clients, workspace, provider, now_us) as books:
            one = Reconciling(workspace, books, self.purchases, self.directory, self.reports, found)
            return await one.run(since, until, now_us, 0 if recent else LATELY_US), findings
