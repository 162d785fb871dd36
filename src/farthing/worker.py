"""One worker of a server that has several: the program that its parent starts, as `python -m farthing.worker`.

Its standard input is the way on which the parent hands connections over. It is no fork of the parent: so a restarted
worker runs the code that is installed by then, and no thread, lock or connection is there twice.
"""

import os
import signal
import socket
import sys

import msgspec

from farthing.api.logs import make_logger
from farthing.core.credentials import redact
from farthing.server.handover import Intake
from farthing.server.workers import Order
from farthing.serving import serve_as_worker
from farthing.settings import SettingsError
from farthing.stores.contract import StoreError
from farthing.stores.migrate import MigrationError


def main() -> int:
    """Serve until the parent says that no more will come."""
    intake = Intake(socket.socket(fileno=os.dup(0)))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # Restarts are the parent's business.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        order = msgspec.json.decode(intake.order(), type=Order)
    except EOFError:
        return 1
    try:
        serve_as_worker(order, intake)
    except Exception as error:
        log = make_logger(order.settings.log_level, redact=redact).bind(worker=order.worker)
        known = isinstance(error, StoreError | MigrationError | SettingsError)
        log.error("worker can't serve", error=str(error), exc_info=None if known else error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
