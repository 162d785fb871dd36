"""Unsettled: what becomes of a call that can't be charged: it is tried again, or left to a person."""

import logging
from typing import Final

from farthing.client.errors import ApiError, FarthingError
from farthing.client.journal.keeping import AsyncJournal, Journal
from farthing.client.journal.lines import kept_of
from farthing.client.journal.shelf import park
from farthing.client.stand_ins import covered, says_nothing_of_it

from .call import ModelCall

_LOG: Final = logging.getLogger("farthing.llm")


def may_go_well_later(error: FarthingError) -> bool:
    """Whether it may go well later."""
    return isinstance(error, ApiError) and says_nothing_of_it(error)


def give_up(call: ModelCall, error: Exception, journal: Journal | AsyncJournal | None) -> None:
    """Nobody is charged by itself any more: leave all that is known to a person."""
    said = call.last.body.decode() if call.last is not None else ""
    _LOG.error("a model call of %s could not be charged (%s); it was asked for: %s", call.terms.account, error, said)
    if journal is None or call.last is None or not covered(call.last):
        return
    code = error.code if isinstance(error, ApiError) else "not_settled"
    try:
        for kept in kept_of(call.last, journal.target, str(error)):
            park(journal.folder, kept, code, str(error))
    except OSError as full:
        _LOG.error("and it can't be put on the shelf in %s: %s", journal.folder, full)
