"""Later: answers that a provider makes in the background. Their call stays open until somebody asks for the answer, in
this process or another; if nobody does, its hold ends by its policy. The hold says which answer it is for.
"""

import logging
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from farthing.client.calls import Call, get
from farthing.client.errors import FarthingError
from farthing.client.forms import Page
from farthing.client.results import Entry, HoldNow

from .call import ModelCall, Steps
from .reading import Asked, of, text_of
from .terms import Terms

_LOG: Final = logging.getLogger("farthing.llm")
_MOST: Final = 10_000
_PAGES: Final = 10
"""Pages of reports that are searched for an answer."""


class Waiting:
    """Calls of this process whose answer is still to come, by its id."""

    def __init__(self) -> None:
        self._calls: dict[str, ModelCall] = {}

    def keep(self, call: ModelCall) -> None:
        """One more. Of too many the first is left to its hold."""
        call.asked = call.asked.weighed()
        self._calls[call.id] = call
        if len(self._calls) > _MOST:
            del self._calls[next(iter(self._calls))]

    def of(self, id: str) -> ModelCall | None:
        """The one of an answer; None where there is none, or it is over."""
        call = self._calls.get(id)
        if call is not None and call.how:
            self._calls.pop(id, None)
            return None
        return call


def _told(result: Any) -> Any:
    """What was answered, where that is there."""
    response = getattr(result, "http_response", None)
    if response is None:
        return result
    return msgspec.json.decode(response.content) if hasattr(response, "_content") else None


def made_in_background(result: Any) -> bool:
    """Whether it is an answer that was made in the background, and is there now."""
    try:
        answer = _told(result)
    except msgspec.MsgspecError:
        return False
    return of(answer, "background") is True and of(answer, "status") not in ("queued", "in_progress")


def model_of(result: Any) -> str:
    """The model that has made it."""
    try:
        return text_of(_told(result), "model")
    except msgspec.MsgspecError:
        return ""


def made_elsewhere(id: str, model: str, terms: Terms | None, *, streams: bool) -> Steps[ModelCall | None]:
    """The call of an answer, by the hold that another process has placed for it; None where there is none that could
    still be charged, or nobody knows whose it is. Where the ledger can't be asked the answer is not lost for that."""
    if terms is None:
        return None
    try:
        return (yield from _found(id, model, terms, streams))
    except FarthingError as error:
        _LOG.warning("the answer %s of %s, asked for elsewhere, can't be charged: %s", id, terms.account, error)
        return None


def _found(id: str, model: str, terms: Terms, streams: bool) -> Steps[ModelCall | None]:
    query = {"kind": "extend", "limit": "100"}
    call: Call[Page[Entry]] = get(Page[Entry], "/v1/accounts/{account}/entries", query, account=terms.account)
    for _ in range(_PAGES):
        page = yield call
        for entry in page.data:
            if entry.ref and _answer(entry) == id:
                hold: HoldNow = yield get(HoldNow, "/v1/holds/{id}", id=entry.ref)
                return None if hold.state in ("settled", "released") else _taken_over(id, model, terms, hold, streams)
        if page.next_cursor is None:
            break
        call = replace(call, query=query | {"cursor": page.next_cursor})
    return None


def _answer(entry: Entry) -> Any:
    said = (entry.metadata or {}).get("metering")
    return said.get("answer") if isinstance(said, dict) else None


def _taken_over(id: str, model: str, terms: Terms, hold: HoldNow, streams: bool) -> ModelCall:
    made = ModelCall(Asked(model=model, operation="chat", stream=streams, later=True), terms)
    made.id = id
    made.take_over(hold)
    return made
