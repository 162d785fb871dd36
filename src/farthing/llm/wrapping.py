"""Metering a vendor's client: what it asks a model is held for before, followed while it is answered, and charged.

    api = meter(OpenAI(), ledger=ledger, account="alice")

gives a client that does all that the other one does, on the same connections. The other one stays as it was, and so do
its class and its library.
"""

import copy
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from inspect import iscoroutinefunction
from typing import Any, Final, TypeVar

from msgspec import Struct
from wrapt import FunctionWrapper

from farthing.client.aio.client import AsyncClient
from farthing.client.sync.client import Client

from . import anthropic, openai
from .call import Ended, ModelCall, Terms
from .following import Watch, afollow, follow
from .later import made_elsewhere, made_in_background, model_of
from .otel import within
from .policy import Given, chosen
from .reading import Reader
from .settling import AsyncSettler, Settler, async_settler_of, settler_of
from .terms import Said, terms_of

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
        metadata=metadata or {},
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


class _Begun(Struct):
    """A call that is about to be made."""

    call: ModelCall
    watch: Watch


class _Reading:
    """What both ways of posting have in common."""

    def __init__(self, reader_of: Vendor, said: Said) -> None:
        self._reader_of = reader_of
        self._said = said

    def _reader(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reader | None:
        """How what is posted is read; None where it asks no model."""
        path = args[0] if args else kwargs.get("path")
        return self._reader_of(path) if isinstance(path, str) and isinstance(kwargs.get("body"), Mapping) else None

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

    def _begun(self, reader: Reader, kwargs: dict[str, Any], document: str) -> _Begun:
        """The call; what is asked is made ready for its usage to be told."""
        body, options = kwargs["body"], kwargs.get("options") or {}
        more = options.get("extra_json")  # a caller's `extra_body` goes before what the body says
        whole = {**body, **more} if isinstance(more, Mapping) else body
        call = ModelCall(reader.asked(whole), terms_of(self._said, document))
        watch = Watch(call, reader)
        kwargs["body"] = reader.prepared(body)
        if callable(parser := options.get("post_parser")):
            kwargs["options"] = {**options, "post_parser": _read_first(parser, watch)}
        return _Begun(call, watch)


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
        read = copy.copy(stream)
        del read._iterator
        stream._iterator = read.__stream__()


class _Posting(_Reading):
    """Posts for threads."""

    def __init__(self, settler: Settler, reader_of: Vendor, said: Said) -> None:
        super().__init__(reader_of, said)
        self._settler = settler

    def __call__(self, post: Callable[..., Any], of: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if (reader := self._reader(args, kwargs)) is None:
            return self.asked_for(post, of, args, kwargs)
        begun = self._begun(reader, kwargs, self._settler.document())
        call = begun.call
        self._settler.open(call)
        try:
            with within(call):
                result = post(*args, **kwargs)
        except BaseException as error:
            call.end(_how(error, begun.watch), error)
            self._settler.settle(call, wait=True)
            raise
        response = _response_of(result, call.asked.stream)
        if response is not None:
            follow(response, begun.watch, self._settler)
            _let_loose(result)
        else:
            _answer_of(result, begun.watch)
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
        begun = self._begun(reader, kwargs, await settler.document())
        await settler.open(begun.call)
        return await self._answered(post, args, kwargs, begun, settler)

    async def _answered(
        self, post: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], begun: _Begun,
        settler: AsyncSettler,
    ) -> Any:  # fmt: skip
        call = begun.call
        try:
            with within(call):
                result = await post(*args, **kwargs)
        except BaseException as error:
            call.end(_how(error, begun.watch), error)
            if isinstance(error, Exception):
                await settler.settled(call)
            else:
                settler.settle(call)
            raise
        response = _response_of(result, call.asked.stream)
        if response is not None:
            afollow(response, begun.watch, settler)
            _let_loose(result)
        else:
            _answer_of(result, begun.watch)
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
