"""LiteLLM: a callback that has what its library or its proxy asks of models held for and charged.

    litellm.callbacks = [CreditsLogger(ledger, account="alice")]

LiteLLM asks before a call only where that is asynchronous (`acompletion`, `aembedding`, a router, the proxy): there who
can't pay is refused. A synchronous call is held for, too, but what is raised then is swallowed: it can't be refused.

It tells of a call when its answer is over, in whichever thread, more than once, or not at all: where the reader of a
stream leaves it. Who reads by `follow` has that charged as well, and his stream's hold extended while it goes on.
"""

import sys
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias, Unpack

from msgspec.structs import replace

from farthing.client.errors import FarthingError
from farthing.client.sync.client import Client

from .hooks import Hook, Open, ThreadedHook, Words, reading, said_of, without
from .openai import CHAT, EMBEDDINGS, RESPONSES
from .reading import Asked, Reader, Seen, of, text_of
from .refusing import refusal_of
from .twice import Making
from .used import Used, told

try:
    from litellm import get_llm_provider
    from litellm.integrations.custom_logger import CustomLogger
except ImportError as error:
    raise ImportError(without("litellm", "litellm")) from error

AccountOf: TypeAlias = Callable[[Mapping[str, Any]], str | None]
"""Whose a call is, by its metadata; None leaves it to who said it otherwise. On the proxy: by what its keys say
(`user_api_key_user_id`, `user_api_key_team_id`...), for the rest of them is its users' own."""
_Key: TypeAlias = tuple[str, str | None]
_KINDS: Final[Mapping[str, Reader]] = {
    "completion": CHAT, "acompletion": CHAT, "text_completion": CHAT, "atext_completion": CHAT, "responses": RESPONSES,
    "aresponses": RESPONSES, "embedding": EMBEDDINGS, "aembedding": EMBEDDINGS, "embeddings": EMBEDDINGS,
}  # fmt: skip
_REMEMBERED: Final = 10_000
_LEFT: Final = "left"
"""In place of an answer's id, of a call that was charged without."""


# What is asked for and answered


def asked_of(kind: str, model: str, given: Mapping[str, Any], messages: Any) -> Asked:
    """What a call asks for, by its arguments."""
    reader = _KINDS[kind]
    each = [messages] if isinstance(messages, str) else messages
    said = {"messages": each} if reader is CHAT else {"input": messages}
    return replace(reader.asked({**given, **said}), model=model)


def used_of(answer: Any, used: Used, provider: str) -> Used:
    """What an answer says of its usage, with what LiteLLM has beside OpenAI's names."""
    usage = of(answer, "usage")
    into = of(usage, "prompt_tokens_details")
    written = _first(
        (into, "cache_write_tokens"), (into, "cache_creation_tokens"), (usage, "cache_creation_input_tokens")
    )  # fmt: skip
    more = told(
        cache_write_tokens=written,
        cache_write_1h_tokens=of(of(into, "cache_creation_token_details"), "ephemeral_1h_input_tokens"),
    )  # fmt: skip
    return replace(used, provider=provider, counts={**used.counts, **more})


def _first(*names: tuple[Any, str]) -> Any:
    return next((found for part, name in names if (found := of(part, name))), None)


def seen_of(kind: str, answer: Any, provider: str, *, streamed: bool) -> Seen:
    """All that an answer says. What LiteLLM has put together of a stream has figures of its own where the provider has
    told none: those that are zero though there is text are known to be none."""
    reader = CHAT if of(answer, "choices") is not None else _KINDS[kind]
    seen = reader.answered(answer)
    used = None if seen.used is None else used_of(answer, seen.used, provider)
    if streamed and seen.text and used is not None and not used.output_tokens:
        used = None
    return replace(seen, used=used)


def _piece(chunk: Any) -> Seen:
    """A piece of a stream; what was used is told at its end, of all of it."""
    return replace(CHAT.event(chunk), used=None, over=False)


def _model(kwargs: Mapping[str, Any], log: Any) -> str:
    """The model that is asked for, by the name that its provider has for it."""
    model = text_of(kwargs, "model") or text_of(log, "model")
    try:
        named: str = get_llm_provider(
            model=model, custom_llm_provider=of(kwargs, "custom_llm_provider"), api_base=of(kwargs, "api_base")
        )[0]
    except Exception:  # it will say so itself
        return model
    return named


def _deployed(name: str) -> str:
    """The model that the proxy has under a name, or the first of several."""
    router = getattr(sys.modules.get("litellm.proxy.proxy_server"), "llm_router", None)
    try:
        found = router.get_model_list(model_name=name) if router is not None else None
    except Exception:  # it will say so itself
        return name
    return _model(of(found[0], "litellm_params"), None) if found else name


def _asked_with(kwargs: Mapping[str, Any], log: Any) -> Any:
    """What goes in; who gives it without a name has it in the log alone."""
    names = ("messages", "input", "prompt")
    return next((found for name in names if (found := of(kwargs, name)) is not None), of(log, "messages"))


def _refused(error: FarthingError) -> Exception:
    """What the proxy answers to who can't pay, or whom nobody can say that of."""
    from fastapi import HTTPException

    if (refusal := refusal_of(error, None)) is None:
        return error
    return HTTPException(refusal.status, {"code": refusal.code, "error": refusal.error, "message": refusal.message})


class CreditsLogger(CustomLogger):  # type: ignore[misc]
    """Has calls charged, with a ledger for threads."""

    def __init__(
        self, ledger: Client, *, account_of: AccountOf | None = None, **words: Unpack[Words]
    ) -> None:  # fmt: skip
        """As `meter` has it; `account_of` says whose a call is, by its metadata."""
        super().__init__()
        said = said_of(words)
        self._hook, self._ahook = Hook(ledger, said), ThreadedHook(ledger, said)
        self._account_of = account_of
        self._open: dict[_Key, list[Open]] = {}
        self._begun: weakref.WeakKeyDictionary[Any, Open] = weakref.WeakKeyDictionary()
        self._charged: OrderedDict[tuple[str, str], None] = OrderedDict()

    # Before

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        """Hold for an asynchronous call; raises where its model must not be asked."""
        kind = str(getattr(call_type, "value", call_type))
        log = kwargs.get("litellm_logging_obj")
        if kind in _KINDS and log is not None and not self._is_begun(log):
            asked = asked_of(kind, _model(kwargs, log), kwargs, _asked_with(kwargs, log))
            self._add(kwargs, log, await self._ahook.begin(asked, self._account(kwargs)))
        return None

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> dict[str, Any]:
        """The same on the proxy, before a deployment is chosen: else it would try the others, too."""
        kind = str(getattr(call_type, "value", call_type))
        log = data.get("litellm_logging_obj")
        if kind in _KINDS and log is not None and not self._is_begun(log):
            asked = asked_of(kind, _deployed(text_of(data, "model")), data, _asked_with(data, log))
            try:
                self._add(data, log, await self._ahook.begin(asked, self._account(data)))
            except FarthingError as error:
                raise _refused(error) from error
        return data

    def log_pre_api_call(self, model: str, messages: Any, kwargs: dict[str, Any]) -> None:
        """Hold for a synchronous call. LiteLLM swallows what is raised here."""
        kind = text_of(kwargs, "call_type")
        key = self._key(kwargs)
        if kind in _KINDS and not kind.startswith("a") and not self._open.get(key):
            given = {**(of(kwargs, "optional_params") or {}), "stream": of(kwargs, "stream")}
            asked = asked_of(kind, model, given, messages)
            open = self._hook.begin(asked, self._account(kwargs))
            open.making = Making(open.call)
            self._open.setdefault(key, []).append(open)

    def _is_begun(self, log: Any) -> bool:
        open = self._begun.get(log)
        return open is not None and not open.call.how

    def _add(self, kwargs: Mapping[str, Any], log: Any, open: Open) -> None:
        self._begun[log] = open
        open.making = Making(open.call)
        key = (log.litellm_call_id, self._account(kwargs))
        self._open.setdefault(key, []).append(open)
        self._hook.ready()
        weakref.finalize(log, self._dropped, key, open, []).atexit = False

    def log_post_api_call(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """A stream that is read in a thread begins: nobody tells when its reader leaves."""
        stream, key = of(kwargs, "original_response"), self._key(kwargs)
        opens, chunks = self._open.get(key), of(stream, "chunks")
        if opens and isinstance(chunks, list):
            self._hook.ready()
            weakref.finalize(stream, self._dropped, key, opens[-1], chunks).atexit = False

    def _dropped(self, key: _Key, open: Open, chunks: list[Any]) -> None:
        """Nobody has its answer any more, and nothing was told of its end."""
        self._forget(key, open)
        if not open.call.how:
            self._remember((key[0], _LEFT))
            self._see(open, chunks)
            self._hook.dropped(open)

    def _see(self, open: Open, chunks: list[Any]) -> None:
        """What had come of a stream, unless somebody has followed it."""
        with reading():
            for chunk in () if open.told_by else list(chunks):
                open.see(replace(CHAT.event(chunk), used=None))

    def _forget(self, key: _Key, open: Open) -> None:
        opens = self._open.get(key, [])
        if open in opens:
            opens.remove(open)
        if not opens:
            self._open.pop(key, None)

    # After

    def log_success_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Charge a call."""
        with reading():
            self._answered(kwargs, response_obj)

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """The same."""
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    def log_failure_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Charge what had come of a call that has failed."""
        with reading():
            self._failed(kwargs)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """The same."""
        self.log_failure_event(kwargs, response_obj, start_time, end_time)

    def _answered(self, kwargs: Mapping[str, Any], answer: Any) -> None:
        kind, key = text_of(kwargs, "call_type"), self._key(kwargs)
        if kind not in _KINDS:
            return
        open, cached = self._taken(key), of(kwargs, "cache_hit") is True
        this = (key[0], text_of(answer, "id"))
        if open is None:
            if cached or this in self._charged or (key[0], _LEFT) in self._charged:
                return
            # Its hold was refused, or has ended with an attempt before it.
            asked = asked_of(kind, text_of(kwargs, "model"), {}, of(kwargs, "messages"))
            open = self._hook.unheld(asked, self._account(kwargs))
        self._remember(this)
        if cached:
            open.call.note("cached", True)
            return self._hook.end(open, "refused", wait=False)
        with reading():
            streamed = of(kwargs, "stream") is True
            seen = seen_of(kind, answer, text_of(kwargs, "custom_llm_provider"), streamed=streamed)
            open.see(replace(seen, text="") if open.began else seen)
        self._hook.end(open, "finished", wait=False)

    def _failed(self, kwargs: Mapping[str, Any]) -> None:
        if (open := self._taken(self._key(kwargs))) is None:
            return
        error = of(kwargs, "exception")
        self._see(open, of(of(kwargs, "original_response"), "chunks") or [])
        counts = told(output_tokens=of(of(kwargs, "combined_usage_object"), "completion_tokens"))
        if not open.began and counts.get("output_tokens"):
            # Its text isn't told, but how many tokens LiteLLM takes it for.
            open.see(Seen(used=Used(counts=counts, estimated=frozenset(counts))))
        if isinstance(error, BaseException):
            self._hook.end(open, open.how(error), error, wait=False)
        else:
            self._hook.end(open, "failed" if open.began else "refused", wait=False)

    def _taken(self, key: _Key) -> Open | None:
        opens = self._open.get(key)
        if not opens:
            return None
        open = opens.pop()
        self._forget(key, open)
        return open

    def _remember(self, answer: tuple[str, str]) -> None:
        self._charged[answer] = None
        while len(self._charged) > _REMEMBERED:
            self._charged.popitem(last=False)

    # Followed by who reads it

    def follow(self, stream: Any) -> Iterator[Any]:
        """A stream on its way to its reader: when he leaves, he pays for what he has taken."""
        open = self._of(stream)
        try:
            for chunk in stream:
                if open is not None:
                    open.see(_piece(chunk))
                    self._hook.passing(open)
                yield chunk
        except BaseException as error:
            if open is not None:
                self._hook.end(open, open.how(error), error)
            raise

    async def afollow(self, stream: Any) -> AsyncIterator[Any]:
        """The same on an event loop."""
        open = self._of(stream)
        try:
            async for chunk in stream:
                if open is not None:
                    open.see(_piece(chunk))
                    await self._ahook.passing(open)
                yield chunk
        except BaseException as error:
            if open is not None:
                await self._ahook.end(open, open.how(error), error)
            raise

    def _of(self, stream: Any) -> Open | None:
        """The call whose answer a stream is; None where it was told of none."""
        log = of(stream, "logging_obj")
        opens = self._open.get(self._key(of(log, "model_call_details") or {}))
        open = opens[-1] if opens else None
        if open is not None:
            open.told_by = "follow"
        return open

    # Whose it is

    def _key(self, kwargs: Mapping[str, Any]) -> _Key:
        return text_of(kwargs, "litellm_call_id"), self._account(kwargs)

    def _account(self, kwargs: Mapping[str, Any]) -> str | None:
        if self._account_of is None:
            return None
        params = of(kwargs, "litellm_params") or kwargs
        found = of(params, "metadata") or of(params, "litellm_metadata") or {}
        return self._account_of(found)
