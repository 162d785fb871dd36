"""Opening: from what `connect` is given to a journal, for one ledger."""

import os
from hashlib import sha256
from pathlib import Path
from typing import Final

from ..errors import ConnectError
from .keeping import Journal
from .lines import Target

_CREDENTIAL_LETTERS: Final = 16


def target_of_server(address: str, api_key: str, workspace: str | None) -> Target:
    """A server's ledger. Of the API key only a trace is kept, by which it is known again and can't be guessed."""
    credential = sha256(api_key.encode()).hexdigest()[:_CREDENTIAL_LETTERS]
    return Target(ledger=address, workspace=workspace or "", credential=credential)


def target_inside(shown: str, workspace: str) -> Target:
    """A database's."""
    return Target(ledger=shown if "://" in shown else os.path.realpath(shown), workspace=workspace)


def opened(folder: str | os.PathLike[str], target: Target) -> Journal:
    """The journal, in a folder that is made where there is none."""
    place = Path(folder).absolute()
    try:
        journal = Journal(place, target)
        if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, "it may not be written", str(place))
    except OSError as error:
        raise ConnectError(f"journal: {place}: {error.strerror or error}") from error
    return journal
