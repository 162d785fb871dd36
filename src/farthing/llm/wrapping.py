"""Metering a vendor's client: what it asks a model is held for before, followed while it is answered, and charged.

    api = meter(OpenAI(), ledger=ledger, account="alice")

gives a client that does all that the other one does, on the same connections. The other one stays as it was, and so do
its class and its library.
"""

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from inspect import iscoroutinefunction
from typing import Any, Final, TypeVar

from wrapt import FunctionWrapper

from farthing.client.aio.client import AsyncClient
from farthing.client.errors import FarthingError
from farthing.client.sync.client import Client

from . import anthropic, openai
from .call import Ended, ModelCall
from .following import Watch, afollow, follow
from .later import made_elsewhere, made_in_background, model_of
from .opening import AsyncOpening, Opening
from .otel import records, within
from .policy import Given, chosen
from .reading import Reader
from .sending import waiting_for, waits_to_send
from .settling import Settler, async_settler_of, settler_of
from .terms import NO_METADATA, Said, Terms, terms_of
from .twice import asked

V = TypeVar("V")
Vendor = Callable[[str], Reader | None]
VENDORS: Final[Mapping[str, Vendor]] = {"openai": openai.reader_of, "anthropic": anthropic.reader_of}
"""How calls are read, by the library whose client makes them."""


def meter(
    client: V, *, ledger: Client | AsyncClient, account: str | None = None, policy: Given = None,
    provider: str | None = None, service: str | None = None, operation: str | None = None, product: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> V:  # fmt: skip
    """A client of OpenAI's or Anthropic's library whose calls are charged to an account: credits are held before, and
    what was used is charged after, by the policy. Without an account, each call needs one, by `metering`.

    An asynchronous client takes an asynchronous ledger. `provider` is who answers, where that isn't whom the library
    was made for. Clients made of it (`with_options`, `copy`) are metered alike; one that is metered already is metered
    anew, in place of what was said before.
    """
    said = Said(
        account=account, policy=policy, provider=provider, service=service, operation=operation, product=product,
        metadata=metadata or NO_METADATA,
    )  # fmt: skip
    chosen("", service or "", policy)  # what can't be meant is refused here
    made: V = _metered(client, ledger, said)
    return made


def _metered(client: Any, ledger: Client | AsyncClient, said: Said) -> Any:
    reader_of = _vendor(client)
    client = client.__dict__.get("_farthing_of", client)
    if iscoroutinefunction(client.post) != isinstance(ledger, AsyncClient):
        wanted = "an asynchronous one: farthing.aconnect" if iscoroutinefunction(client.post) else "farthing.connect"
        raise TypeError(f"the ledger of such a client must be {wanted}")
    made = copy.copy(client)
    made._farthing_of = client
    posting: _AsyncPosting | _Posting
    if isinstance(ledger, AsyncClient):
        posting = _AsyncPosting(ledger, reader_of, said)
    else:
        posting = _Posting(settler_of(ledger), reader_of, said)
    posting.early = waits_to_send(made, isinstance(ledger, AsyncClient))
    made.post = FunctionWrapper(made.post, posting)
    made.get = FunctionWrapper(made.get, posting.asked_for)
    for name, resource in list(made.__dict__.items()):
        if getattr(resource, "_client", None) is not client:
            continue
        # It would go on asking by the other one. Most are made when they are used first; those of Vertex and Bedrock
        # are made with their client.
        if isinstance(getattr(type(made), name, None), cached_property):
            del made.__dict__[name]
        else:
            made.__dict__[name] = type(resource)(made)
    for name in ("copy", "with_options"):
        # As the class has them: what this one was given since then goes along.
        made.__dict__[name] = _remade(partial(getattr(type(made), name), made), ledger, said)
    return made


def _remade(make: Callable[..., Any], ledger: Client | AsyncClient, said: Said) -> Callable[..., Any]:
    def made(*args: Any, **kwargs: Any) -> Any:
        return _metered(make(*args, **kwargs), ledger, said)

    return made


def _vendor(client: Any) -> Vendor:
    for kind in type(client).__mro__:
        if (found := VENDORS.get(kind.__module__.partition(".")[0])) is not None:
            return found
    raise TypeError(f"meter takes clients of {' and '.join(VENDORS)}, not {type(client).__name__}: see `metered`")


class _Reading:
    """What both ways of posting have in common."""

    def __init__(self, reader_of: Vendor, said: Said) -> None:
        self._reader_of = reader_of
        self._said = said
        self.early = False
        """Whether its client waits for a hold before it sends anything."""

    def _reader(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reader | None:
        """How what is posted is read; None where it asks no model."""
        path = args[0] if args else kwargs.get("path")
        body = kwargs.get("body")
        if not isinstance(path, str) or not (type(body) is dict or isinstance(body, Mapping)):
            return None
        return self._reader_of(path)

    def _later(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The id of the answer that is asked for, of those that may be made in the background."""
        path = args[0] if args else kwargs.get("path")
        if self._reader_of is not openai.reader_of or not isinstance(path, str):
            return ""
        return openai.answer_asked_for(path)

    def _terms(self, document: str) -> Terms | None:
        """Whose an answer is that was asked of the model elsewhere; None where that is not known."""
        try:
            terms = terms_of(self._said, document)
        except ValueError:
            return None
        return None if terms.guest else terms

    def _call(self, reader: Reader, kwargs: dict[str, Any], document: str) -> ModelCall:
        """The call that is about to be made."""
        body = dict(kwargs["body"])
        more = (kwargs.get("options") or {}).get("extra_json")  # a caller's `extra_body` goes before what the body says
        question = reader.asked({**body, **more} if isinstance(more, Mapping) else body)
        call = ModelCall(question, terms_of(self._said, document))
        asked(call)
        return call

    @staticmethod
    def _prepare(watch: Watch, kwargs: dict[str, Any]) -> None:
        """What is asked is made ready for its usage to be told, and for its answer to be read."""
        options = kwargs.get("options") or {}
        kwargs["body"] = watch.reader.prepared(kwargs["body"])
        if callable(parser := options.get("post_parser")):
            kwargs["options"] = {**options, "post_parser": _read_first(parser, watch)}


def _read_first(parser: Callable[[Any], Any], watch: Watch) -> Callable[[Any], Any]:
    """What makes an answer what its caller wants, which may fail, is given it after it was read here."""

    def parse(answer: Any) -> Any:
        if not watch.streams:
            watch.read(answer)
        return parser(answer)

    return parse


def _response_of(result: Any, streams: bool) -> Any:
    """The response whose body is still to come; None where the answer is there."""
    response = getattr(result, "http_response", None) or (getattr(result, "response", None) if streams else None)
    return None if response is None or hasattr(response, "_content") else response


def _answer_of(result: Any, watch: Watch) -> None:
    """What an answer says that is there."""
    response = getattr(result, "http_response", None) or (getattr(result, "response", None) if watch.streams else None)
    if response is not None and watch.streams:  # whoever sent it on has read all of it before
        watch.framed(response)
        for _ in watch.parts(response.content):
            pass
    elif response is not None:
        watch.answered(response.content)
    else:
        watch.read(result)


def _how(error: BaseException, watch: Watch) -> Ended:
    """How a call has ended whose answer never reached its caller."""
    if watch.known:
        watch.call.note("unusable", type(error).__name__)
        return "finished"
    if isinstance(getattr(error, "status_code", None), int) or _never_asked(error):
        return "refused"
    return "cut" if watch.streams else "lost"


def _never_asked(error: BaseException) -> bool:
    """Whether nobody was reached who could have answered."""
    below = error.__cause__ or error.__context__
    return type(below).__name__ in ("ConnectError", "ConnectTimeout", "PoolTimeout")


def _let_loose(stream: Any) -> None:
    """A stream of OpenAI's library is held by its own iterator: whoever drops it would leave it open, and its call
    unsettled, until garbage is collected. Anthropic's has it as here."""
    if "_iterator" in getattr(stream, "__dict__", {}) and hasattr(stream, "__stream__"):
        # As `copy.copy` has it, at once: somebody waits for the first token.
        read = object.__new__(type(stream))
        read.__dict__.update(stream.__dict__)
        del read._iterator
        stream._iterator = read.__stream__()


def _is_open(opening: Opening | None) -> bool:
    """Whether a call is on the books. What it has failed for may have come before that was known."""
    if opening is None:
        return True
    with suppress(FarthingError):
        opening.wait()
    return opening.error is None


async def _is_open_here(opening: AsyncOpening | None) -> bool:
    """The same on an event loop."""
    if opening is None:
        return True
    with suppress(FarthingError):
        await opening.wait()
    return opening.error is None


class _Posting(_Reading):
    """Posts for threads."""

    def __init__(self, settler: Settler, reader_of: Vendor, said: Said) -> None:
        super().__init__(reader_of, said)
        self._settler = settler

    def __call__(self, post: Callable[..., Any], of: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if (reader := self._reader(args, kwargs)) is None:
            return self.asked_for(post, of, args, kwargs)
        call = self._call(reader, kwargs, self._settler.document())
        watch = Watch(call, reader)
        opening: Opening | None = None
        if self.early and not records():
            opening = Opening(self._settler, call)
            if not opening.is_begun:
                opening.wait()
        else:
            self._settler.open(call)
        try:
            self._prepare(watch, kwargs)
            with waiting_for(opening), within(call):
                result = post(*args, **kwargs)
            if opening is not None and not call.reads_later(opening.is_placed, opening.wait):
                opening.wait()
        except BaseException as error:
            if not _is_open(opening):
                raise
            call.end(_how(error, watch), error)
            self._settler.settle(call, wait=True)
            raise
        response = _response_of(result, call.asked.stream)
        if response is not None:
            follow(response, watch, self._settler)
            _let_loose(result)
        else:
            _answer_of(result, watch)
            self._settler.over(call)
        return result

    def asked_for(self, ask: Callable[..., Any], of: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What an answer says is asked for, or somebody cancels it."""
        result, id, streams = ask(*args, **kwargs), self._later(args, kwargs), kwargs.get("stream") is True
        if not id:
            return result
        call = self._settler.waiting.of(id)
        if call is None and (streams or made_in_background(result)):
            terms = self._terms(self._settler.document())
            call = self._settler.ask(made_elsewhere(id, model_of(result), terms, streams=streams))
        if call is None:
            return result
        watch = Watch(call, openai.RESPONSES, streams=streams)
        if (response := _response_of(result, streams)) is not None:
            follow(response, watch, self._settler)
            _let_loose(result)
        else:
            _answer_of(result, watch)
            self._settler.over(call)
        return result


class _AsyncPosting(_Reading):
    """Posts for tasks."""

    def __init__(self, ledger: AsyncClient, reader_of: Vendor, said: Said) -> None:
        super().__init__(reader_of, said)
        self._ledger = ledger

    async def __call__(self, post: Callable[..., Any], of: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if (reader := self._reader(args, kwargs)) is None:
            return await self.asked_for(post, of, args, kwargs)
        settler = async_settler_of(self._ledger)
        call = self._call(reader, kwargs, await settler.document())
        watch = Watch(call, reader)
        opening: AsyncOpening | None = None
        if self.early and not records():
            opening = AsyncOpening(settler, call)
            if not opening.is_begun:
                await opening.wait()
        else:
            await settler.open(call)
        try:
            self._prepare(watch, kwargs)
            with waiting_for(opening), within(call):
                result = await post(*args, **kwargs)
            if opening is not None and not call.reads_later(opening.is_placed, opening.read):
                await opening.wait()
        except BaseException as error:
            if not await _is_open_here(opening):
                raise
            call.end(_how(error, watch), error)
            if isinstance(error, Exception):
                await settler.settled(call)
            else:
                settler.settle(call)
            raise
        response = _response_of(result, call.asked.stream)
        if response is not None:
            afollow(response, watch, settler)
            _let_loose(result)
        else:
            _answer_of(result, watch)
            await settler.over(call)
        return result

    async def asked_for(self, ask: Callable[..., Any], of: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What an answer says is asked for, or somebody cancels it."""
        result, id, streams = await ask(*args, **kwargs), self._later(args, kwargs), kwargs.get("stream") is True
        if not id:
            return result
        settler = async_settler_of(self._ledger)
        call = settler.waiting.of(id)
        if call is None and (streams or made_in_background(result)):
            terms = self._terms(await settler.document())
            call = await settler.ask(made_elsewhere(id, model_of(result), terms, streams=streams))
        if call is None:
            return result
        watch = Watch(call, openai.RESPONSES, streams=streams)
        if (response := _response_of(result, streams)) is not None:
            afollow(response, watch, settler)
            _let_loose(result)
        else:
            _answer_of(result, watch)
            await settler.over(call)
        return result
