"""The guard: events go to public addresses only, so that nobody makes this machine ask its own network.

An address is looked at when it is given (`problem_of`: its form, and names and numbers that can't be public), and each
time a connection is made (`vetted`): its host is resolved, what is not public is left out, and the connection goes to
one of the addresses that were looked at, never to the name, which may lead elsewhere a moment later. Who means to reach
his own network, or tests, allows it for the whole process; then plain http is allowed as well.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Thread
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

LONGEST: Final = 2_048
HTTPS_PORT: Final = 443
LEAST_PORT: Final = 1_024
"""Ports below belong to other services, 443 apart."""
RESOLVERS: Final = 256
"""Names that are resolved at a time, in threads of their own: a slow name holds up one of them, however often it is
asked for. As many as there are connections to those that fail."""
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, as text."""
_PRINTABLE: Final = re.compile(r"[!-~]+")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INNER: Final = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "arpa")
"""Names that end so are never public."""
_SHUT: Final = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # a cloud's own services, under a public number
        "192.0.0.0/24",
        "192.88.99.0/24",
        "100::/16",
        "2001::/23",  # of protocols; Teredo leads to what it wraps
        "3fff::/20",
        "5f00::/16",
        "64:ff9b:1::/48",
        "fec0::/10",
    )
)
_WRAPPED: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
"""Their last four bytes are an address of IPv4, which is where they lead."""


class Refused(Exception):
    """Nothing is sent there; the message says why."""


class Target(NamedTuple):
    """Where an address leads."""

    secure: bool
    host: str
    """As certificates name it: without brackets and a last dot."""
    port: int
    shown: str
    """The value of the header Host."""
    path: str


def problem_of(url: str, allow_private: bool = False) -> str | None:
    """Why events can't go to that address; None where they can."""
    try:
        _read(url, allow_private)
    except Refused as refused:
        return str(refused)
    return None


def target_of(url: str, allow_private: bool = False) -> Target:
    """Where the address leads; raises Refused."""
    parts, host, port = _read(url, allow_private)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", host, port, parts.netloc, path)


def _read(url: str, allow_private: bool) -> tuple[SplitResult, str, int]:
    if len(url) > LONGEST or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise Refused(f"must be an address of at most {LONGEST} printable ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"is no address ({error})") from None
    schemes = ("https", "http") if allow_private else ("https",)
    if parts.scheme not in schemes:
        raise Refused(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if "@" in parts.netloc:
        raise Refused("must have no user and no password in it: the receiver knows us by the signature")
    if parts.fragment:
        raise Refused("must have no fragment (#...)")
    port = port if port is not None else (HTTPS_PORT if parts.scheme == "https" else 80)
    if not allow_private and port != HTTPS_PORT and port < LEAST_PORT:
        raise Refused(f"must have the port {HTTPS_PORT}, or one from {LEAST_PORT} on, not {port}")
    if not port:
        raise Refused("must have a port above 0")
    return parts, _host(parts.hostname or "", allow_private), port


def _host(text: str, allow_private: bool) -> str:
    host = text.lower().removesuffix(".")
    address = _address(host)
    if address is not None:
        if not allow_private and not is_public(address):
            raise Refused(f"must lead to a public address, and {host} is none")
        return host
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or len(host) > 253:
        raise Refused("must have the name of a host, written in ASCII (xn--...)")
    # Some resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses.
    if _NUMBER.fullmatch(labels[-1]):
        raise Refused(f"must have the name of a host, or its address written in full, not {host}")
    if not allow_private and (len(labels) == 1 or labels[-1] in _INNER):
        raise Refused(f"must have a public name, and {host} is none")
    return host


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is one of the internet's, and no network's own, this machine's, or a special one's."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        wrapped = address.ipv4_mapped or address.sixtofour
        if wrapped is None and any(address in network for network in _WRAPPED):
            wrapped = IPv4Address(int(address) & 0xFFFF_FFFF)
        if wrapped is not None:
            return is_public(wrapped)
    shut = any(address in network for network in _SHUT if network.version == address.version)
    return address.is_global and not (address.is_multicast or address.is_reserved or shut)


async def vetted(target: Target, resolve: Resolve, allow_private: bool = False) -> list[str]:
    """The addresses of its host that a connection may be made to, in the resolver's order; raises Refused."""
    if _address(target.host) is not None:
        found: Sequence[str] = [target.host]
    else:
        found = await resolve(target.host, target.port)
    good = [text for text in found if allow_private or _is_public_text(text)]
    if not found:
        raise Refused(f"{target.host} has no address")
    if not good:
        # Which one it is would tell how this machine's network looks.
        raise Refused(f"{target.host} leads to no public address")
    return good


def _is_public_text(text: str) -> bool:
    address = _address(text)
    return address is not None and is_public(address)


class Resolver:
    """Asks the system, in threads of its own: what else uses threads never waits for a name, and no process for one
    when it ends.
    """

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], asyncio.Task[list[str]]] = {}
        self._room = asyncio.Semaphore(RESOLVERS)

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a host; raises OSError."""
        asked = self._asked.get((host, port))
        if asked is None:
            asked = self._asked[host, port] = asyncio.create_task(self._found(host, port))
            asked.add_done_callback(lambda asked: self._over(host, port, asked))
        return await asyncio.shield(asked)

    def _over(self, host: str, port: int, asked: "asyncio.Task[list[str]]") -> None:
        del self._asked[host, port]
        if not asked.cancelled():
            asked.exception()  # who has asked may be gone

    async def _found(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def look_up() -> None:
            try:
                told = partial(_tell, found, _resolve(host, port), None)
            except Exception as error:
                told = partial(_tell, found, [], error)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(told)

        async with self._room:
            Thread(target=look_up, name="farthing-names", daemon=True).start()
            return await found


def _tell(found: "asyncio.Future[list[str]]", addresses: list[str], error: Exception | None) -> None:
    if found.done():
        return
    if error is None:
        found.set_result(addresses)
    else:
        found.set_exception(error)


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))
