"""Listening: a socket on an address, or a sentence that says why there is none."""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MAX_OPEN_FILES: Final = 65_536
BACKLOG: Final = 2_048


class CannotListen(Exception):
    """An address that can't be listened on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that is bound to the address; port 0 takes a free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise CannotListen("address_unavailable", f"{host} is no address of this machine: {error.strerror}") from error
    with socket.socket(family, kind, protocol) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        sock.setblocking(False)
        yield sock


def _cannot_listen(host: str, port: int, error: OSError) -> CannotListen:
    if error.errno == 98:
        return CannotListen("port_in_use", f"port {port} is in use; choose another with --port (0 takes a free one)")
    return CannotListen("address_unavailable", f"can't listen on {host}, port {port}: {error.strerror}")


def address_of(sock: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def raise_file_limit() -> None:
    """Each connection is an open file; many systems allow a process 1,024 until it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
