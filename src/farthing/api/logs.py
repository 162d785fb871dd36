"""Logs: JSON lines, one for each event, in the order of what one looks for first.

A line holds no body, no key and no query string; whatever looks like a key in what a client or an error put into it
is blotted out by `redact`.
"""

import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger, WrappedLogger

Level = str
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
Event = MutableMapping[str, Any]
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def make_logger(
    level: Level = "info", stream: TextIO | None = None, redact: Callable[[str], str] = lambda text: text
) -> FilteringBoundLogger:
    """A logger that writes JSON lines to the stream (standard error when none is given)."""

    def write(_: WrappedLogger, name: str, event: Event) -> str:
        line = {"at": _now(), "level": name, "event": event.pop("event"), **event}
        return redact(_encode(line).decode())

    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream or sys.stderr),
        processors=[structlog.processors.format_exc_info, write],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        context_class=dict,
    )
    # Bound once: the proxy would set itself up again for every line.
    return logger.bind()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
