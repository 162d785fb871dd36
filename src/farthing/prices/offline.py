"""Offline: the catalogue that a source alone makes, without a database. Pure."""

from farthing.stores.prices import PriceRow

from .book import Catalogue
from .catalogue import Source
from .difference import plan


def catalogue_of(source: Source, now_us: int) -> Catalogue:
    """What a first sync with the source would put in force; prices that would wait in quarantine price nothing here
    either."""
    writes = [write for item in plan(source, {}, now_us).items for write in item.writes if not write.quarantine]
    return Catalogue(
        0,
        0,
        [
            PriceRow(
                write.provider,
                write.model,
                write.after + 1,
                write.effective_from or 0,
                "active",
                source.name,
                source.version,
                "",
                "",
                now_us,
                write.document,
            )
            for write in writes
        ],
    )
