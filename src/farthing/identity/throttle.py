"""Throttle: who fails again and again has to wait, longer each time. Counted in the database, for all processes alike.

A try is counted before it is known how it ends, and taken back where it went well: a hundred at once are no better than
one after another. Whoever has to wait is told so whether or not the next try would be right, and by what he typed, not
by whom he means: nothing tells who there is.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Final

from msgspec import Struct

from farthing.core.people import key_of
from farthing.stores.logins import Counted, Logins

SECOND_US: Final = 1_000_000
_WITH_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?")
_IPV6_BITS: Final = 64
"""Of an address of version 6 these are a household's; the rest it chooses as it likes."""


class Limit(Struct, frozen=True):
    """How many tries are free, and how long one waits after those."""

    kind: str
    free: int
    first_seconds: int = 30
    most_seconds: int = 900
    window_seconds: int = 900
    """After so long without another one all are forgotten."""

    def wait(self, tries: int, ago_us: int) -> int:
        """How much longer one has to wait, in microseconds; below zero where all is forgotten."""
        if ago_us >= self.window_seconds * SECOND_US:
            return -1
        if tries < self.free:
            return 0
        seconds = min(self.first_seconds << min(tries - self.free, 20), self.most_seconds)
        return max(0, seconds * SECOND_US - ago_us)


ACCOUNT: Final = Limit("login-account", free=5)
ADDRESS: Final = Limit("login-address", free=30)
PASSWORD: Final = Limit("password", free=5)
"""The present password of who is signed in."""
CODE: Final = Limit("code-address", free=10)
ALL_CODES: Final = Limit("code-all", free=1_000, first_seconds=5, most_seconds=60)
"""Six characters could be guessed from many addresses."""
RESET: Final = Limit("reset-address", free=30)
SIGN_UP: Final = Limit("signup-address", free=20, first_seconds=60, most_seconds=3_600, window_seconds=3_600)
MAIL: Final = Limit("mail", free=5, first_seconds=60, most_seconds=3_600, window_seconds=3_600)
"""To one address, whoever asks for it."""
MAIL_ADDRESS: Final = Limit("mail-address", free=30, first_seconds=60, most_seconds=3_600, window_seconds=3_600)
"""To anybody, at the wish of one client."""

Try = tuple[Limit, str]
"""What a try is counted by."""


class Slow(Exception):
    """There were too many tries."""

    def __init__(self, left_us: int) -> None:
        self.seconds = ceil(left_us / SECOND_US)
        super().__init__(f"Too many attempts; try again in {self.seconds} s")


class Throttle:
    """Counts tries."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    async def check(self, workspace: str, tries: Sequence[Try], at: int) -> None:
        """Refuse who has to wait; nothing is counted."""
        _refuse(await self._logins.wait(workspace, _counted(tries), at))

    async def enter(self, workspace: str, tries: Sequence[Try], at: int) -> None:
        """Count a try, or refuse who has to wait."""
        _refuse(await self._logins.count(workspace, _counted(tries), at))

    async def went_well(self, workspace: str, *, forgive: Sequence[Try] = (), take_back: Sequence[Try] = ()) -> None:
        """Forget what was counted by some, and this try by others."""
        await self._logins.relent(workspace, forgive=marks(forgive), take_back=marks(take_back))


def _refuse(left_us: int) -> None:
    if left_us > 0:
        raise Slow(left_us)


def _counted(tries: Sequence[Try]) -> list[Counted]:
    return [Counted(mark, limit.wait) for mark, (limit, _) in zip(marks(tries), tries, strict=True)]


def marks(tries: Sequence[Try]) -> list[bytes]:
    """What stands in the database for whom a try is counted against: there, names and addresses are nobody's."""
    return [sha256(f"{limit.kind}\0{key_of(value)}".encode(errors="surrogatepass")).digest() for limit, value in tries]


def whereabouts(address: str) -> str:
    """Where somebody is: his address, or the network that it is one of. A port, which some proxies write after it, is
    another one for each connection."""
    with_port = _WITH_PORT.fullmatch(address)
    try:
        found = ip_address(with_port[1] or with_port[2] if with_port else address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(IPv6Address(int(found) >> (128 - _IPV6_BITS) << (128 - _IPV6_BITS)))
    return str(found)
