"""Pages beside the faces: is it alive, is it ready, what does it count, how is it used. All are read with GET."""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from farthing.stores.contract import StoreError

from .docs import DocsPage
from .endpoint import Headers, Reply, Request, write_time

Page = Callable[[Request], Awaitable[Reply]]
Check = Callable[[], Awaitable[str | None]]
"""Looks at one thing; says what is wrong with it."""

PROBLEM: Final = b"application/problem+json"
METRICS: Final = b"text/plain; version=1.0.0; charset=utf-8"
NO_STORE: Final[Headers] = ((b"cache-control", b"no-store"),)
_encode = msgspec.json.Encoder().encode


class Counted(Protocol):
    """Whatever has numbers to show."""

    async def page(self) -> bytes:
        """All of them, for Prometheus."""


class Durability(Protocol):
    """What the reports tell about the database they read."""

    async def weaknesses(self) -> list[str]:
        """Settings under which it may lose what was answered."""


class SteadyClock(Protocol):
    """A clock that knows when it can't be trusted."""

    def state(self) -> Any:
        """None is good; else it says by how many seconds it jumped."""


def pages(
    documents: Mapping[str, dict[str, Any]], checks: Mapping[str, Check], metrics: Counted, version: str
) -> dict[str, Page]:
    """Every page by its path; `documents` are the OpenAPI documents: one without a name, and those of calls that share
    their paths with it. `checks` are what being ready takes."""
    described: dict[str, Page] = {}
    for name, document in documents.items():
        described[f"/openapi/{name}.json" if name else "/openapi.json"] = _always(Reply(200, _encode(document)))
        described[f"/docs/{name}" if name else "/docs"] = _docs(DocsPage(document))
    welcome = Reply(200, _encode({"name": "farthing", "version": version, "docs": "/docs", "openapi": "/openapi.json"}))
    alive = Reply(200, _encode({"status": "alive", "version": version}), headers=NO_STORE)

    async def ready(_: Request) -> Reply:
        found = {name: await _looked_at(check) for name, check in checks.items()}
        good = all(wrong is None for wrong in found.values())
        told = {name: "ok" if wrong is None else wrong for name, wrong in found.items()}
        body = _encode({"status": "ready" if good else "not ready", "checks": told})
        return Reply(200 if good else 503, body, "" if good else "not_ready", NO_STORE)

    async def numbers(_: Request) -> Reply:
        return Reply(200, await metrics.page(), headers=NO_STORE, content_type=METRICS)

    return {"/": _always(welcome), "/livez": _always(alive), "/readyz": ready, "/metrics": numbers, **described}


def health(version: str, now_us: Callable[[], int]) -> Page:
    """That it is there, as clients of the accounting dialect ask for it; whether it is ready, `/readyz` says."""

    async def page(_: Request) -> Reply:
        told = {"status": "ok", "service": "accounting-service", "version": version, "timestamp": write_time(now_us())}
        return Reply(200, _encode(told), headers=NO_STORE)

    return page


def _docs(docs: DocsPage) -> Page:
    async def page(request: Request) -> Reply:
        return docs.reply(request.scheme, request.headers.get(b"host", b""))

    return page


def _always(reply: Reply) -> Page:
    async def page(_: Request) -> Reply:
        return reply

    return page


async def _looked_at(check: Check) -> str | None:
    try:
        return await check()
    except (StoreError, OSError) as error:
        return str(error) or type(error).__name__


def database_check(reports: Durability, allow_unsafe: bool = False) -> Check:
    """The database can be read, and keeps what is committed."""

    async def check() -> str | None:
        weak = await reports.weaknesses()
        if allow_unsafe or not weak:
            return None
        return f"{' and '.join(weak)}: a power cut could take back what was answered; mend it, or set allow_unsafe"

    return check


def storage_check(path: Path, least_bytes: int = 16_000_000) -> Check:
    """The file may be written to, and its disk has some room."""

    async def check() -> str | None:
        if not os.access(path, os.W_OK):
            return f"{path.name} can't be written to"
        disk = os.statvfs(path)
        free = disk.f_bavail * disk.f_frsize
        return None if free >= least_bytes else f"there are only {free:,} bytes left on the disk of {path.name}"

    return check


def clock_check(clock: SteadyClock) -> Check:
    """The clock has not jumped."""

    async def check() -> str | None:
        jumped = clock.state()
        if jumped is None:
            return None
        return (
            f"the clock jumped by {jumped.by_seconds:.0f} s; charges are refused until it has been steady, or until an "
            "operator says `farthing clock accept`"
        )

    return check


def problem(status: int, code: str, detail: str, headers: Headers = ()) -> Reply:
    """An error outside the faces (RFC 9457)."""
    body = {"type": "about:blank", "title": code.replace("_", " "), "status": status, "detail": detail, "code": code}
    return Reply(status, _encode(body), code, headers, PROBLEM)
