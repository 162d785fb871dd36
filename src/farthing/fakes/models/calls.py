"""Calls: who may make them, what is asked, whose habits they meet; then the answer is on its way, and in the books."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from farthing.fakes.web import Request, Response, json_of

from . import chat, messages, responses
from .asked import Api, Asked, Json, Refused, read_chat, read_embeddings, read_messages, read_responses
from .books import Books, Call
from .delivering import Delivery, Gate
from .errors import answer_of, failure_of, id_header, in_stream
from .frames import Frame
from .habits import HEADER, Chooser
from .plan import embedded, plan

MODELS: Final = (
    "gpt-4o", "gpt-4o-mini", "gpt-5", "text-embedding-3-small", "claude-haiku-4-5", "claude-sonnet-4-5",
)  # fmt: skip
BEGAN: Final = 1_767_225_600


@dataclass(frozen=True)
class Way:
    """One way to ask."""

    api: Api
    read: Callable[[Json], Asked]
    prefix: str
    """Of the ids of its answers."""


WAYS: Final[Mapping[str, Way]] = {
    "/v1/chat/completions": Way("chat", read_chat, "chatcmpl-"),
    "/v1/responses": Way("responses", read_responses, "resp_"),
    "/v1/embeddings": Way("embeddings", read_embeddings, "embd-"),
    "/v1/messages": Way("messages", read_messages, "msg_"),
}


class Calls:
    """The APIs of both vendors."""

    def __init__(self, keys: tuple[str, ...], models: tuple[str, ...], seed: int | None) -> None:
        random = Random(seed)  # noqa: S311 - no secrets here
        self.keys = set(keys)
        """Those that are taken; none: all are."""
        self.models = models
        """Those that there are; none: all."""
        self.books = Books()
        self.gate = Gate()
        self.chooser = Chooser(Random(random.random()))  # noqa: S311
        self._background: dict[str, responses.Background] = {}
        self._run = f"{random.getrandbits(40):010x}"
        """In all ids: they are new in every run, unless there is a seed."""
        self._requests = 0

    async def answer(self, request: Request) -> Response:
        """What is answered to anything below /v1."""
        self._requests += 1
        request_id = f"req_{self._run}{self._requests:06d}"
        api = _api_of(request)
        try:
            self._check_key(request, api)
            if way := WAYS.get(request.path):
                _must_be("POST", request)
                return await self._ask(request, way, request_id)
            return self._look(request, api, request_id)
        except Refused as refused:
            return answer_of(refused, api, request_id)

    # Asking a model

    async def _ask(self, request: Request, way: Way, request_id: str) -> Response:
        asked = way.read(_body(request))
        self._check_model(asked.model)
        habits = self.chooser.of(request.headers.get(HEADER, ""), asked.model, asked.prompt)
        number = f"{self._run}{len(self.books.calls) + 1:06d}"
        answer = embedded(asked, habits) if asked.api == "embeddings" else plan(asked, habits, f"call_{number}")
        call = self.books.begin(f"{way.prefix}{number}", request_id, answer)
        if habits.first_seconds:
            await asyncio.sleep(habits.first_seconds)
        failure = failure_of(habits, asked.api)
        if habits.fail and (habits.fail_after is None or not asked.stream):
            return self._refuse(call, failure)
        if asked.given.get("background") is True and asked.api == "responses":
            self._background[call.id] = background = responses.Background(call, int(time.time()))
            if not asked.stream:
                self.books.over()
                return json_of(background.begun(), headers=id_header(asked.api, request_id))
        frames, told = _frames(call, failure)
        return Response(
            type="text/event-stream; charset=utf-8" if asked.stream else "application/json",
            headers=id_header(asked.api, request_id), parts=Delivery(call, frames, told, self.gate, self.books),
        )  # fmt: skip

    def _refuse(self, call: Call, failure: Refused) -> Response:
        """An error in place of the answer."""
        page = call.plan.habits.fail == "html"
        found = answer_of(failure, call.plan.asked.api, call.request_id, page)
        call.status = found.status
        call.end("refused")
        self.books.over()
        return found

    # Looking

    def _look(self, request: Request, api: str, request_id: str) -> Response:
        """Whatever is not a model's answer."""
        headers = id_header(api, request_id)
        if request.path.startswith("/v1/responses/"):
            return self._later(request, headers)
        if request.path == "/v1/messages/count_tokens":
            _must_be("POST", request)
            asked = read_messages(_body(request) | {"max_tokens": 1})
            return json_of({"input_tokens": asked.input_tokens}, headers=headers)
        if request.path == "/v1/models":
            _must_be("GET", request)
            return json_of(_listed(self.models or MODELS, api), headers=headers)
        if request.path.startswith("/v1/models/"):
            _must_be("GET", request)
            name = request.path.removeprefix("/v1/models/")
            self._check_model(name)
            return json_of(_model(name, api), headers=headers)
        raise Refused(f"Invalid URL ({request.method} {request.path})", 404)

    def _later(self, request: Request, headers: dict[str, str]) -> Response:
        """A response that was made in the background."""
        id, _, act = request.path.removeprefix("/v1/responses/").partition("/")
        if (found := self._background.get(id)) is None or act not in ("", "cancel"):
            raise Refused(f"Response with id '{id}' not found.", 404)
        _must_be("POST" if act else "GET", request)
        if request.query.get("stream") == "true":
            events = found.events(int(request.query.get("starting_after", "-1")))
            return Response(events, type="text/event-stream; charset=utf-8", headers=headers)
        return json_of(found.cancel() if act else found.now(), headers=headers)

    def _check_key(self, request: Request, api: str) -> None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if api == "messages":
            key = request.headers.get("x-api-key", "") or key
        if not key or (self.keys and key not in self.keys):
            message = "invalid x-api-key" if api == "messages" else f"Incorrect API key provided: {key[:7]}***."
            raise Refused(message, 401, code="invalid_api_key")

    def _check_model(self, name: str) -> None:
        if self.models and name not in self.models:
            message = f"The model `{name}` does not exist or you do not have access to it."
            raise Refused(message, 404, code="model_not_found", param="model")


def _api_of(request: Request) -> str:
    """Whose words an answer is to be in, before more is known."""
    if request.path.startswith("/v1/messages") or "anthropic-version" in request.headers:
        return "messages"
    return "chat"


def _frames(call: Call, failure: Refused) -> tuple[Iterable[Frame], bytes]:
    """The answer by frame, and what would tell that it has failed."""
    asked, created = call.plan.asked, int(time.time())
    told = in_stream(failure, asked.api, call.request_id)
    match asked.api:
        case "embeddings":
            return chat.embeddings(call), told
        case "chat":
            return (chat.Streamed(call, created).frames() if asked.stream else chat.whole(call, created)), told
        case "messages":
            return (messages.Streamed(call).frames() if asked.stream else messages.whole(call)), told
        case "responses":
            streamed = responses.Streamed(call, created)
            if asked.stream:
                return streamed.frames(), streamed.failure(failure.code, str(failure))
            return responses.whole(call, created), told


def _body(request: Request) -> Json:
    try:
        found: Any = json.loads(request.body or b"null")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused("We could not parse the JSON body of your request.")
    if found.get("n") not in (None, 1):
        raise Refused("This stand-in gives one answer only.", param="n")
    return found


def _must_be(method: str, request: Request) -> None:
    if request.method != method:
        raise Refused(f"Not allowed to {request.method} on {request.path}.", 405)


def _listed(names: Iterable[str], api: str) -> Json:
    data = [_model(name, api) for name in names]
    if api == "messages":
        return {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
    return {"object": "list", "data": data}


def _model(name: str, api: str) -> Json:
    if api == "messages":
        return {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
    return {"id": name, "object": "model", "created": BEGAN, "owned_by": "fake"}
