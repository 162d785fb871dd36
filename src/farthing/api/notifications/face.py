"""The face that providers of payments speak to: no credential, since the signature is it, and as few words as can be.

Success is told when all that follows from a message is in the ledger, and never before. What is signed right is never
held up by a limit: who sends what is not, again and again, is only told to stop. What was not done is answered by 503,
and is sent again.
"""

from collections.abc import Callable
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from farthing.commerce.inbox import Inbox, NotTaken, Sent
from farthing.commerce.receiving import Receiving
from farthing.commerce.secrets import SecretError
from farthing.core.commands import Command
from farthing.core.outcomes import Outcome
from farthing.stores.contract import StoreError

from ..endpoint import Caller, CredentialKind, Endpoint, Headers, Reply, Request, Stop, Trouble
from ..limits import RateLimiter
from ..login import Wherefrom
from .senders import Sender, Senders

PREFIX: Final = "/webhooks/"
TEXT: Final = b"text/plain; charset=utf-8"
REFUSED_A_MINUTE: Final = 60
"""So many messages that nobody has signed are answered with what is wrong, of an address."""
_OPEN: Final = ""
_SCOPES: Final = frozenset({_OPEN})
_NO_LIMIT: Final = 0
_AGAIN: Final[Headers] = ((b"retry-after", b"60"),)
TROUBLES: Final[dict[Trouble, int]] = {
    Trouble.CREDENTIAL_MISSING: 404,
    Trouble.CREDENTIAL_INVALID: 404,
    Trouble.SCOPE_MISSING: 404,
    Trouble.NOT_FOUND: 404,
    Trouble.METHOD: 405,
    Trouble.MEDIA_TYPE: 415,
    Trouble.TOO_LARGE: 413,
    Trouble.TOO_SLOW: 408,
    Trouble.MALFORMED: 400,
    Trouble.RATE_LIMIT: 429,
    Trouble.UNAVAILABLE: 503,
    Trouble.UNKNOWN: 503,
    Trouble.BUG: 500,
}
"""The status of what goes wrong around a message."""
Count = Callable[[str, str], None]
"""Told of each message that was signed, and of each that was not: the provider, and what came of it."""


class Nothing(Struct):
    """No answer here is JSON."""


class Notifications:
    """Providers of payments speak this."""

    name = "notifications"
    prefixes = (PREFIX,)
    credentials: tuple[CredentialKind, ...] = ("key", "token", "none")

    def __init__(
        self, receiving: Receiving, senders: Senders, wherefrom: Wherefrom, now_us: Callable[[], int], count: Count,
        log: FilteringBoundLogger,
    ) -> None:  # fmt: skip
        self._receiving = receiving
        self._senders = senders
        self._wherefrom = wherefrom
        self._now_us = now_us
        self._count = count
        self._log = log
        self._limiter = RateLimiter(REFUSED_A_MINUTE, 60)
        self.endpoints = tuple(each for inbox in receiving.inboxes.values() for each in self._endpoints(inbox))

    def _endpoints(self, inbox: Inbox) -> list[Endpoint]:
        async def take(request: Request, sender: Sender) -> Reply:
            return await self._take(inbox, request, sender)

        made = [_endpoint(inbox, "POST", take)]
        if inbox.looks:
            made.append(_endpoint(inbox, "GET", _here))
        return made

    # Around a message

    async def identify(self, request: Request) -> Caller:
        """Whose workspace the path names, where it knows this provider."""
        provider = request.path.removeprefix(PREFIX).partition("/")[0]
        request.content = sender = await self._senders.find(request.parameters["workspace"], provider)
        if sender is None:
            raise Stop(Trouble.NOT_FOUND, "")
        return Caller(
            id=f"webhooks:{provider}", actor=f"payments:{provider}", workspace=sender.workspace, scopes=_SCOPES,
            quota=_NO_LIMIT,
        )  # fmt: skip

    def known(self, request: Request) -> Caller | None:
        """Nobody is remembered: no call here is hot."""
        return None

    async def answer(self, endpoint: Endpoint, request: Request) -> Reply:
        """Take the message in."""
        assert endpoint.act is not None, "every call here does what is asked by itself"
        reply: Reply = await endpoint.act(request, request.content)
        return reply

    def start(self, endpoint: Endpoint, request: Request) -> Command | Reply:
        """No call here is a command."""
        raise AssertionError("what follows from a message is asked by whoever carries it out")

    def finish(self, endpoint: Endpoint, request: Request, command: Command, outcome: Outcome) -> Reply:
        """No call here is a command."""
        raise AssertionError("what follows from a message is asked by whoever carries it out")

    def failed(self, error: StoreError, endpoint: Endpoint, request: Request) -> Reply:
        """A broken machine: nothing that was not done may be taken for done."""
        return _told(503, error.code, _AGAIN)

    def stopped(self, stop: Stop, endpoint: Endpoint | None, request: Request) -> Reply:
        """Trouble around a message."""
        status = TROUBLES[stop.trouble]
        return _told(status, str(stop.trouble), stop.headers if status in (405, 413, 408) else ())

    # A message

    async def _take(self, inbox: Inbox, request: Request, sender: Sender) -> Reply:
        try:
            sent = await self._opened(inbox, request, sender)
        except NotTaken as error:
            return self._refused(inbox, request, sender, error)
        except SecretError as error:
            told = {"workspace": sender.workspace.id, "provider": inbox.provider, "error": str(error)}
            self._log.error("what a provider signs with can't be had: its messages wait", **told)
            return _told(503, "secret", _AGAIN)
        result = "nothing"
        if sent is not None:
            try:
                result = (await self._receiving.take(sender.workspace, sent, request.id.decode())).result
            except Exception as error:
                return self._not_done(inbox, request, sender, error)
        self._count(inbox.provider, result)
        return Reply(200, inbox.answer, content_type=TEXT)

    async def _opened(self, inbox: Inbox, request: Request, sender: Sender) -> Sent | None:
        if b"\0" in request.body:
            raise NotTaken(400, "it is no text")
        return await inbox.opened(sender.settings, sender.workspace, request.body, request.headers, self._now_us())

    def _refused(self, inbox: Inbox, request: Request, sender: Sender, error: NotTaken) -> Reply:
        """It is not signed as it should be. Whoever sent it is told no more than that."""
        self._count(inbox.provider, "refused")
        address = self._wherefrom.address(request)
        verdict = self._limiter.hit(address, monotonic())
        if verdict is not None and not verdict.allowed:
            return _told(429, "rate_limit", ((b"retry-after", b"%d" % verdict.retry_after),))
        told = {"workspace": sender.workspace.id, "provider": inbox.provider, "address": address, "why": str(error)}
        self._log.warning("a message is not the provider's", **told)
        return _told(error.status, "signature")

    def _not_done(self, inbox: Inbox, request: Request, sender: Sender, error: Exception) -> Reply:
        """It is kept, and not done; it is sent again, and we try it again as well."""
        self._count(inbox.provider, "failed")
        if isinstance(error, StoreError):
            raise error
        told = {"workspace": sender.workspace.id, "provider": inbox.provider, "request_id": request.id.decode()}
        self._log.warning("a payment's message could not be carried out", **told, error=str(error), exc_info=error)
        return _told(503, "failed", _AGAIN)


async def _here(request: Request, sender: Sender) -> Reply:
    return Reply(200, b"OK", content_type=TEXT)


def _told(status: int, code: str, headers: Headers = ()) -> Reply:
    """The status in words, and no more."""
    return Reply(status, HTTPStatus(status).phrase.encode(), code, headers, TEXT)


def _endpoint(inbox: Inbox, method: str, act: Any) -> Endpoint:
    return Endpoint(
        method=method,
        path=f"{PREFIX}{inbox.provider}/{{workspace}}",
        operation_id=f"{inbox.provider}{method.capitalize()}",
        summary=f"Messages of {inbox.provider}",
        description="",
        scope=_OPEN,
        request=None,
        answer=Nothing,
        example={},
        answered={},
        codes=frozenset(),
        own=True,
        body_bytes=inbox.most_bytes,
        act=act,
    )
