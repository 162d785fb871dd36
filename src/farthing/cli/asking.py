"""Asking: commands that work through the library, on a database or on a server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import Exit, Trouble
from .journal import URL_VARIABLE
from .opening import actor, current, database_url

if TYPE_CHECKING:
    from farthing.client import Client
    from farthing.client.errors import ApiError

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help=f"A server, with FARTHING_API_KEY. Default: {URL_VARIABLE}."),
]


@contextmanager
def client_of(url: str | None, workspace: str | None, db: str | None) -> "Iterator[Client]":
    """A client of the server or the database that is meant; what it can't do ends the program with its sentence."""
    from farthing.client import connect
    from farthing.client.errors import ApiError, ConnectError

    server = url or (None if db else os.environ.get(URL_VARIABLE))
    if server is None:
        server = database_url(db)
        current(server)
    try:
        with connect(server, workspace=workspace, create=False, actor=actor()) as client:
            yield client
    except ConnectError as error:
        raise Trouble("connect", str(error), Exit.DATABASE) from error
    except ApiError as error:
        raise trouble_of(error) from error


def trouble_of(error: "ApiError") -> Trouble:
    """The trouble behind a call that failed."""
    exit = Exit.UNAVAILABLE if error.retries else Exit.USAGE if error.status == 400 else Exit.NO
    return Trouble(error.code, str(error), exit)
