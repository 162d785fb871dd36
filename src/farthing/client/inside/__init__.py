"""A ledger in this process: calls are answered by the very code that answers them behind a server.

Nothing outside this folder imports it but `connecting`, and only when a database is named: a client over HTTP needs
neither the ledger nor its databases.
"""

from farthing.extras import missing

from ..errors import ConnectError

try:
    from . import transport  # noqa: F401 - whoever imports this folder wants it
except ImportError as error:
    if (sentence := missing(error)) is None:
        raise
    raise ConnectError(sentence) from error
