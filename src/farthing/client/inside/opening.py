"""Opening: from a database's URL to an open ledger with a workspace, made where that is wanted and there is none."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from farthing.app import ConfigWatch, Ledger, look_at, open_ledger, open_seen
from farthing.backends import Backend, DatabaseUrlError, backend_of
from farthing.core.amounts import MAX_SCALE
from farthing.core.commands import text_error
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.extras import missing
from farthing.stores.access import AccessError, Act
from farthing.stores.contract import Busy, StoreError
from farthing.stores.migrate import MigrationError, Status

from ..errors import ConnectError
from ..wanted import Wanted

FIRST_WORKSPACE: Final = "main"
OTHERS_SECONDS: Final = 5.0
NEW_SECONDS: Final = 60
_PAUSE_SECONDS: Final = 0.02
_CURRENCY: Final = re.compile("[A-Z]{3}")
_SCALE, _MONEY_SCALE = 6, 9


@contextmanager
def explained() -> Iterator[None]:
    """Tell what can't be opened in words of the library."""
    try:
        yield
    except (StoreError, MigrationError, DatabaseUrlError, AccessError, OSError) as error:
        raise ConnectError(str(error)) from error
    except ImportError as error:
        if (sentence := missing(error)) is None:
            raise
        raise ConnectError(sentence) from error


def prepared(wanted: Wanted) -> Backend:
    """The database, once it is there and has a schema. One that has a schema keeps it: what is new is brought in by
    `farthing migrate`, when its owner says so."""
    if wrong := text_error(wanted.actor):
        raise ConnectError(f"actor {wrong}")
    backend = backend_of(wanted.url)
    if wanted.create:
        _make(backend)
    elif not backend.exists():
        raise ConnectError(f"there is no database at {backend.shown}, and create=False makes none")
    return backend


def _make(backend: Backend) -> None:
    """Make a database that is missing. Of several processes that begin at once one makes it, and the others wait."""
    until = time.monotonic() + OTHERS_SECONDS
    while True:
        try:
            if not backend.exists() or _is_new(backend.schema()):
                backend.migrate()
            return
        except Busy:
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE_SECONDS)


def _is_new(schema: Status) -> bool:
    """Whether nothing is there yet, or somebody has just begun to make it."""
    if not schema.applied:
        return True
    begun = time.time_ns() // 1000 - schema.applied[0].applied_at
    return bool(schema.pending) and begun < NEW_SECONDS * 1_000_000


def opened(wanted: Wanted) -> Ledger:
    """The ledger, for threads."""
    return open_ledger(prepared(wanted).url, clock=wanted.clock)


async def opened_here(wanted: Wanted) -> Ledger:
    """The ledger, for this event loop; what waits for a disk does so in a thread."""
    backend = await asyncio.to_thread(prepared, wanted)
    if backend.dialect == "sqlite":
        return await asyncio.to_thread(open_ledger, backend.url, clock=wanted.clock, reader=True)
    await asyncio.to_thread(look_at, backend)
    clock = await asyncio.to_thread(backend.clock) if wanted.clock is None else wanted.clock
    return open_seen(backend, clock, inline_on=asyncio.get_running_loop(), reader=True)


def watched(ledger: Ledger) -> ConfigWatch:
    """What tells when settings, prices or the clock have changed; it waits for its first reading."""
    watch = ConfigWatch(lambda: ledger.backend.config(ledger.clock.follows), ledger.clock.accept)
    watch.start()
    return watch


async def workspace_in(ledger: Ledger, wanted: Wanted) -> str:
    """The workspace that is wanted, or the only one; the first one is made where there is none."""
    found = _chosen(await ledger.reports.workspaces(), wanted)
    if found is None:
        if not wanted.create:
            raise ConnectError("the database has no workspace yet, and create=False makes none")
        made = _new(wanted)
        try:
            found = await ledger.access.create_workspace(made, Act(wanted.actor, made.created_at))
        except AccessError as error:
            # Another process was faster; whatever it has made is looked at like any other.
            if error.code != "workspace_exists":
                raise
            found = _chosen(await ledger.reports.workspaces(), wanted)
    assert found is not None, "it was made, or was there"
    _check_unit(found, wanted)
    return found.id


def _chosen(known: list[Workspace], wanted: Wanted) -> Workspace | None:
    names = ", ".join(each.id for each in known[:20])
    if wanted.workspace is None:
        if len(known) > 1:
            raise ConnectError(f"the database has several workspaces; say which with workspace=...: {names}")
        return known[0] if known else None
    for each in known:
        if each.id == wanted.workspace:
            return each
    if known:
        raise ConnectError(f"there is no workspace {wanted.workspace!r}; there is {names}")
    return None


def _new(wanted: Wanted) -> Workspace:
    unit = wanted.unit or "credits"
    if wrong := text_error(unit):
        raise ConnectError(f"unit {wrong}")
    scale = wanted.scale
    if scale is None:
        scale = _MONEY_SCALE if _CURRENCY.fullmatch(unit) else _SCALE
    if type(scale) is not int or not 0 <= scale <= MAX_SCALE:
        raise ConnectError(f"scale must be a whole number from 0 to {MAX_SCALE}, not {scale!r}")
    id = wanted.workspace or FIRST_WORKSPACE
    at = time.time_ns() // 1000 if wanted.clock is None else wanted.clock.now_us()
    return Workspace(id, id, "live", unit, scale, at, WorkspaceSettings())


def _check_unit(found: Workspace, wanted: Wanted) -> None:
    """Unit and scale stay for ever: whoever counts in another must not go on."""
    if (wanted.unit or found.unit) != found.unit or wanted.scale not in (None, found.scale):
        raise ConnectError(
            f"the workspace {found.id} counts in {found.unit} with {found.scale} decimals, and that can't be changed"
        )
