"""Sync: brings the catalogue up to what a source says, after it was seen what that would change.

`plan_sync` only reads; `carry_out` writes the plan in small transactions, so that nobody waits for it, and may be
repeated after it was interrupted: it writes what is still missing.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.cardcheck import check_model
from farthing.stores.prices import AccessError, Act, NewPrice, Once, PriceRow, PriceStore

from . import genai, litellm, modelsdev
from .catalogue import BadCatalogue, Key, Source, read_listing
from .difference import Held, Plan, plan
from .firewall import USUAL, Limits

T = TypeVar("T")
CHUNK: Final = 100
"""Prices that are written in one transaction."""
READERS: Final[dict[str, Callable[[bytes], Source]]] = {
    genai.NAME: genai.read_file,
    litellm.NAME: litellm.read_file,
    modelsdev.NAME: modelsdev.read_file,
}
"""What reads a file of each source's format."""
Progress = Callable[[int, int], None]
"""Hears how many of how many are done."""


class SyncRefused(ValueError):
    """A sync that is not believed: nothing was written; `force` carries it out all the same."""


class Done(Struct, frozen=True):
    """What a sync has written."""

    written: int
    quarantined: int
    withdrawn: int
    overtaken: int
    """Left out, since somebody else changed those models in the meantime: a second sync looks at them again."""


def read_source(data: bytes, format: str = "") -> Source:
    """The source in a file; without a format it is known by how the file looks."""
    format = format or _format_of(data)
    if format not in READERS:
        raise BadCatalogue(f"{format!r} is no format that is known; there are {', '.join(READERS)}")
    return READERS[format](data)


def _format_of(data: bytes) -> str:
    if data.lstrip()[:1] == b"[":
        return genai.NAME
    # Only the beginning is looked at: a damaged file is told as such by its reader.
    head = data[:4096]
    return modelsdev.NAME if b'"models"' in head or b'"env"' in head else litellm.NAME


async def plan_sync(
    store: PriceStore, source: Source, now: int, *, limits: Limits = USUAL, take_over: bool = False
) -> Plan:
    """What a sync would do; `take_over`: also to models that came from other sources."""
    held: dict[Key, Held] = {}

    def of(row: PriceRow) -> Held:
        return held.setdefault((row.provider, row.model), Held(rows=[], aside=[]))

    async for row in store.catalogue(now):
        of(row).rows.append(row)
    for status in ("quarantined", "refused"):
        async for row in store.with_status(status):
            of(row).aside.append(row)
    for key, last in (await store.last_versions()).items():
        held.setdefault(key, Held(rows=[], aside=[])).last = last
    for each in held.values():
        each.rows.sort(key=lambda row: (row.effective_from, row.version))
    return plan(source, held, now, limits, take_over)


async def carry_out(
    store: PriceStore, planned: Plan, act: Act, *, force: bool = False, progress: Progress = lambda done, total: None
) -> Done:
    """Write what was planned."""
    if planned.refusal and not force:
        raise SyncRefused(planned.refusal)
    began = time.monotonic_ns()

    def now() -> Act:
        # Each transaction's prices begin from its own instant on, however long those before it took.
        return replace(act, at=act.at + (time.monotonic_ns() - began) // 1_000)

    gone = [(*item.key, version) for item in planned.items for version in item.withdraws]
    writes = [write for item in planned.items for write in item.writes]
    total = len(gone) + len(writes)
    withdrawn = 0
    for part in _chunks(gone):
        withdrawn += await store.withdraw_prices(part, f"{planned.source} does not say so any more", now())
    written: list[NewPrice] = []
    for number, chunk in enumerate(_chunks(writes)):
        progress(len(gone) + number * CHUNK, total)
        written += await store.add_prices(chunk, planned.source, planned.source_version, now())
    progress(total, total)
    waiting = sum(1 for write in written if write.quarantine)
    return Done(len(written), waiting, withdrawn, total - len(written) - withdrawn)


async def let_in(
    store: PriceStore, provider: str, model: str, version: int, act: Act, reason: str, once: Once | None = None
) -> PriceRow:
    """Activate a price that is in quarantine, where it is one that can be charged."""
    found = await store.price(provider, model, version)
    problems = check_model(read_listing(found.document).price) if found else []
    if problems:
        message = f"can't be charged: {'; '.join(f'{where} {why}' for where, why in problems)}"
        raise AccessError(message, "price_unusable", field="version")
    return await store.activate(provider, model, version, act, reason, once)


def _chunks(of: Sequence[T]) -> Iterator[list[T]]:
    rest = iter(of)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
