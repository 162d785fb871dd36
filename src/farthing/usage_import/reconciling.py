"""Reconciling: the ledger is asked, day by day, for what an export speaks of, and both are compared."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from msgspec import Struct

from farthing.client import Client
from farthing.client.errors import Invalid
from farthing.client.report_results import ModelUsage

from .drift import Compared, Figures, Name, compare, name_of, summed
from .exports import Export

Told = Callable[[int, int], object]


class Span(Struct, frozen=True):
    """Days, both included."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        """Each of them."""
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


class Names:
    """What the ledger takes the names of models for; each is asked for once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str], Name] = {}

    def __call__(self, provider: str, model: str) -> Name:
        """Provider and model as the ledger takes them; a name that it does not know stays as it is."""
        key = (provider, model)
        if key not in self._known:
            self._known[key] = self._ask(provider, model)
        return self._known[key]

    def _ask(self, provider: str, model: str) -> Name:
        try:
            found = self._client.price(model, provider=provider or None)
        except Invalid:  # no name that the ledger could have
            return name_of(provider, model)
        return name_of(found.provider or provider, found.model or model)


def span_of(export: Export, first: date | None, last: date | None) -> Span | None:
    """The days that are compared: those asked for, else from the first to the last of the file."""
    if not export.days and (first is None or last is None):
        return None
    return Span(first or min(export.days), last or max(export.days))


def reconcile(
    client: Client, export: Export, span: Span, *, provider: str = "", tolerance: Decimal = Decimal(0),
    told: Told = lambda done, total: None,
) -> Compared:  # fmt: skip
    """Compare an export with the ledger. `provider` says whose it is, where its rows do not."""
    names = Names(client)
    there = summed(
        (row for row in export.rows if span.first <= row.day <= span.last),
        lambda named, model: names(provider or named, model),
    )
    whose = {name_of(provider, "")[0]} if provider else {name[0] for _, name in there} | _said(export)
    here: dict[tuple[date, Name], Figures] = {}
    for done, day in enumerate(span.days, 1):
        for each in client.usage_stats(since=day, until=day).models:
            if each.model and (name := names(each.provider or "", each.model))[0] in whose:
                here[day, name] = here[day, name].plus(_figures(each)) if (day, name) in here else _figures(each)
        told(done, len(span.days))
    return compare(there, here, tolerance)


def _said(export: Export) -> set[str]:
    """Whose it is by its form."""
    return set() if export.kind == "plain" else {name_of(export.kind, "")[0]}


def _figures(used: ModelUsage) -> Figures:
    return Figures(
        requests=used.requests, input_tokens=used.input_tokens, output_tokens=used.output_tokens,
        cost=None if used.uncosted else used.cost,
    )  # fmt: skip
