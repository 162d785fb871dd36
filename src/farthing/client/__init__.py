"""The client: a ledger in this process or behind a server, by one interface, synchronous and asynchronous.

`connecting` opens one; `aio` has the methods, and `sync` the same ones made from them. A method builds a call
(`calls`), a door (`aio/door`) sends it over a transport and again where that may help (`retries`), and what comes back
is read into a result or an error (`answers`). There are two transports with the same two methods: HTTP (`aio/http`),
and in process (`inside`), where the API's own code answers.
"""

from .aio.client import AsyncClient
from .bodies import ChargeItem, Usage
from .connecting import Connecting, aconnect, connect
from .sync.client import Client

__all__ = ["AsyncClient", "ChargeItem", "Client", "Connecting", "Usage", "aconnect", "connect"]
