"""Payments as a job: what providers have sent, and what could not be carried out then, is tried again. Each message
waits as long as it has waited before, a day at most; it stays, and is shown, until it is done.

One process at a time does it. Two would do no harm: what both carry out comes to the same once.
"""

from collections.abc import Callable
from typing import Final

from farthing.commerce.receiving import Receiving

from .kind import Halted, Kind, Run, Tools

NAME: Final = "payments"


def kind(tools: Tools) -> Kind:
    """The job that does it, alone; it counts messages."""
    again = TryingAgain(tools.receiving, tools.on_payments)
    return Kind(name=NAME, run=again.run, every_seconds=tools.every[NAME], alone=True)


class TryingAgain:
    """Tries messages again."""

    def __init__(self, receiving: Receiving, count: Callable[[str, str], None]) -> None:
        self._receiving = receiving
        self._count = count

    async def run(self, halted: Halted = lambda: False) -> Run:
        """Try all that is due."""
        run = Run()
        retried = await self._receiving.try_again(halted)
        for workspace, provider, result in retried.done:
            self._count(provider, result)
            run.add(workspace, done=1)
        for each in retried.failed:
            self._count(each.provider, "failed")
            told = {"provider": each.provider, "event": each.event, "error": each.error}
            run.add(each.workspace, failed=1, errors=(told,))
        return run
