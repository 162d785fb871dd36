"""Hosts: whose login service a request means, by the name of the host that it was sent to."""

from collections.abc import Awaitable, Callable
from typing import Final

from farthing.core.records import Workspace

from ..endpoint import Request, Stop, Trouble

OFF: Final = "The login service is off: no workspace has the setting login on."
UNCLEAR: Final = (
    "Several workspaces have a login service, and none of them this host name: set login_host for each of them."
)


class Hosts:
    """Knows the workspaces with a login service; what it has read hangs on `generation`."""

    def __init__(
        self, workspaces: Callable[[], Awaitable[list[Workspace]]], generation: Callable[[], int | None]
    ) -> None:  # fmt: skip
        self._workspaces = workspaces
        self._generation = generation
        self._seen: int | None = None
        self._known: list[Workspace] = []

    async def workspace(self, request: Request) -> Workspace:
        """The workspace that is meant: the one with this host name in its settings, else the only one."""
        known = await self.all()
        name = host_of(request)
        named = [each for each in known if each.settings.login_host == name] if name else []
        if len(named) == 1:
            return named[0]
        if len(known) == 1:
            return known[0]
        raise Stop(Trouble.NOT_FOUND, UNCLEAR if known else OFF)

    async def all(self) -> list[Workspace]:
        """The workspaces with a login service."""
        generation = self._generation()
        if generation is not None and generation == self._seen:
            return self._known
        known = [each for each in await self._workspaces() if each.settings.login == "on"]
        # What was read while a change was on its way is used once and not remembered.
        if generation is not None and generation == self._generation():
            self._known, self._seen = known, generation
        return known


def host_of(request: Request) -> str:
    """The host that a request was sent to, without its port."""
    text = request.headers.get(b"host", b"").decode("latin-1").strip().lower()
    return name_in(text)


def name_in(host: str) -> str:
    """The name in a `Host`: all before its port; in brackets where it is an address of version 6."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].removesuffix(".")
