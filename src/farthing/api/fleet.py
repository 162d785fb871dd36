"""Fleet: the metrics of all workers of a server, told by whichever of them is asked.

Each worker has a socket in a folder that only they can enter, and writes its own metrics to whoever connects. Who is
asked reads those of the others, waits a second at most for one that does not answer, and puts the worker's number on
every line. Sockets are named by worker and start, so that a worker's successor is told apart; the latest counts.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

ANSWER_SECONDS: Final = 1.0
_UP: Final = "farthing_worker_up"


class Fleet:
    """What one worker knows of all of them."""

    def __init__(self, folder: Path, worker: int, start: int, workers: int, own: Callable[[], bytes]) -> None:
        self._folder = folder
        self._worker = worker
        self._workers = workers
        self._own = own
        self._path = socket_path(folder, worker, start)
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        """Begin to answer the other workers."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._server = await asyncio.start_unix_server(self._answer, self._path)

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(self._own())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    def close(self) -> None:
        """Answer no more: a successor does, or nobody."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            # The last one out of a folder whose parent was killed; any other finds it in use.
            self._folder.rmdir()

    async def text(self) -> bytes:
        """The metrics of all workers."""
        others = [number for number in range(self._workers) if number != self._worker]
        told = await asyncio.gather(*map(self._ask, others))
        texts = {number: text for number, text in zip(others, told, strict=True) if text is not None}
        return merged(texts | {self._worker: self._own()}, self._workers)

    async def _ask(self, worker: int) -> bytes | None:
        """What a worker says of itself, None where it does not."""
        found = sorted(self._folder.glob(f"{worker}.*"), key=lambda path: int(path.suffix[1:]))
        if not found:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(found[-1])
                try:
                    return await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return None


def socket_path(folder: Path, worker: int, start: int) -> Path:
    """Where a worker answers the others."""
    return folder / f"{worker}.{start}"


def merged(texts: Mapping[int, bytes], workers: int) -> bytes:
    """One text of several: every line with its worker's number, the lines of a metric together."""
    families: dict[str, list[str]] = {}
    for worker, text in sorted(texts.items()):
        _collect(families, text.decode(), worker)
    up = [f"# HELP {_UP} Whether the worker answers.", f"# TYPE {_UP} gauge"]
    up += [f'{_UP}{{worker="{worker}"}} {float(worker in texts)}' for worker in range(workers)]
    return "\n".join([*up, *(line for lines in families.values() for line in lines), ""]).encode()


def _collect(families: dict[str, list[str]], text: str, worker: int) -> None:
    """Add a worker's lines to those of each metric; its help and type are said once."""
    lines: list[str] = []
    known = False
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            known = name in families
            lines = families.setdefault(name, [])
        if not line.startswith("#"):
            lines.append(_labelled(line, worker))
        elif not known:
            lines.append(line)


def _labelled(line: str, worker: int) -> str:
    """A sample with the worker's number as its first label."""
    name, brace, rest = line.partition("{")
    if brace:
        return f'{name}{{worker="{worker}",{rest}'
    name, _, value = line.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'
