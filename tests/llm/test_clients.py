"""Other clients of the vendors' libraries: of those who serve the same models elsewhere, copies, helpers and old ways.
What they send is sent on to the stand-in, as those others would take it.
"""

import base64
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from farthing.fakes.models import HEADER, Remote
from farthing.llm import meter, settled
from farthing.llm.anthropic import MESSAGES
from farthing.llm.call import ModelCall
from farthing.llm.following import Watch
from farthing.llm.openai import CHAT, COMPLETIONS
from farthing.llm.policy import Policy
from farthing.llm.terms import Terms
from tests.llm.ledgers import Desk, evidence, open_ledger, read, worth
from tests.llm.vendors import Vendors, asking, last

pytestmark = pytest.mark.xdist_group("models")
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "How are you?"}]}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_ledger(tmp_path_factory.mktemp("ledger")) as opened:
        yield opened


@pytest.fixture
def desk(ledger: Any, vendors: Vendors, models: Remote) -> Desk:
    return Desk(ledger, vendors, models)


class SentOn(httpx2.HTTPTransport):
    """Sends to the stand-in what was meant for somebody else."""

    def __init__(self, models: Remote, path: str, **body: Any) -> None:
        super().__init__()
        self._to = httpx2.URL(models.url + path)
        self._body = body
        self.asked: list[str] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url.path)
        body = {key: value for key, value in json.loads(request.read()).items() if key != "anthropic_version"}
        headers = [("authorization", "Bearer k"), ("content-type", "application/json")]
        headers += [(HEADER, request.headers[HEADER])] if HEADER in request.headers else []
        headers += [("anthropic-version", "2023-06-01")] if self._to.path.endswith("messages") else []
        sent = httpx2.Request("POST", self._to, headers=headers, json=body | self._body)
        return super().handle_request(sent)


def served(transport: httpx2.BaseTransport) -> httpx2.Client:
    return httpx2.Client(transport=transport, timeout=60)


def is_billed(desk: Desk) -> bool:
    """Whether the last charge is what the last call costs."""
    return bool(desk.charges()[-1].amount == worth(last(desk.models)))


def test_azures_deployments_are_metered(desk: Desk):
    sent = SentOn(desk.models, "/v1/chat/completions")
    azure = openai.AzureOpenAI(
        api_key="k", api_version="2026-01-01", azure_endpoint="https://nobody.example", http_client=served(sent)
    )
    api = meter(azure, ledger=desk.ledger, account=desk.account, provider="azure")
    assert api.chat.completions.create(model="gpt-test", **ASKED).usage
    assert is_billed(desk)
    read(api.with_options(timeout=30).chat.completions.create(model="gpt-test", stream=True, **ASKED))
    assert is_billed(desk)
    assert sent.asked == ["/openai/deployments/gpt-test/chat/completions"] * 2
    assert desk.charges()[-1].usage.provider == "azure"
    assert desk.nothing_is_held()


def test_vertex_is_metered(desk: Desk):
    for stream in (False, True):
        sent = SentOn(desk.models, "/v1/messages", model="claude-test", stream=stream)
        vertex = anthropic.AnthropicVertex(
            region="r", project_id="p", access_token="k", http_client=served(sent), max_retries=0
        )
        api = meter(vertex, ledger=desk.ledger, account=desk.account).with_options(timeout=60)
        answer = api.messages.create(model="claude-test", max_tokens=100, stream=stream, **ASKED)
        if stream:
            read(answer)
        assert is_billed(desk)
        assert sent.asked[0].partition(":")[0] == "/v1/projects/p/locations/r/publishers/anthropic/models/claude-test"
    assert desk.nothing_is_held()


def aws(event: dict[str, Any], kind: str = "event") -> bytes:
    """A message of AWS, with an event of Anthropic's in it."""
    name, value = b":message-type", kind.encode()
    headers = bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value
    payload = json.dumps(
        {"bytes": base64.b64encode(json.dumps(event).encode()).decode()} if kind == "event" else event
    ).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    head = prelude + struct.pack(">I", zlib.crc32(prelude))
    return head + headers + payload + struct.pack(">I", zlib.crc32(head + headers + payload))


@pytest.mark.parametrize("size", [1, 50, 100_000])
def test_the_events_of_bedrock_are_read_in_their_wrapping_and_passed_on_as_they_are(size: int):
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 7}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Well"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    call = ModelCall(
        MESSAGES.asked({**ASKED, "model": "claude", "stream": True}), Terms(account="alice", policy=Policy())
    )  # fmt: skip
    watch = Watch(call, MESSAGES)
    watch.framed(httpx2.Response(200, headers={"content-type": "application/vnd.amazon.eventstream"}))
    data = b"".join(map(aws, events))
    passed = [part for at in range(0, len(data), size) for part in watch.parts(data[at : at + size])]
    assert (passed, watch.rest) == ([aws(each) for each in events], b"")
    assert (call.used.counts, call.delivered, call.over) == ({"input_tokens": 7, "output_tokens": 1}, 1, True)
    assert list(watch.parts(aws({"message": "Too many"}, "exception"))) == [aws({"message": "Too many"}, "exception")]
    assert call.error == "Too many"
    # What is no message at all goes on, too.
    assert list(watch.parts(b"<html>no such thing</html>")) == [b"<html>no such thing</html>"]


def test_completions_of_the_old_kind_are_metered(desk: Desk):
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    whole = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "old"}

    def answer(request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.read())
        choices = [{"index": 0, "text": "Well and", "finish_reason": "stop", "logprobs": None}]
        if not body.get("stream"):
            return httpx2.Response(200, json=whole | {"choices": choices, "usage": usage})
        assert body["stream_options"] == {"include_usage": True}
        events = [whole | {"choices": choices}, whole | {"choices": [], "usage": usage}]
        told = "".join(f"data: {json.dumps(each)}\n\n" for each in events) + "data: [DONE]\n\n"
        content = told.encode() if "read" in body["prompt"] else iter([told.encode()])
        return httpx2.Response(200, content=content, headers={"content-type": "text/event-stream"})

    client = openai.OpenAI(api_key="k", http_client=served(httpx2.MockTransport(answer)))
    api = meter(client, ledger=desk.ledger, account=desk.account)
    assert api.completions.create(model="old", prompt="Tell me", max_tokens=9).usage
    assert len(list(api.completions.create(model="old", prompt=["Tell me"], stream=True))) == 1
    # Somebody between may have read all of it before: then it is as it is.
    assert len(list(api.completions.create(model="old", prompt="It was read", stream=True))) == 2
    assert [each.amount for each in desk.charges()] == [23, 23, 23]
    for prompt, n, expected in (("a" * 8, 1, (6, 16)), (["a" * 8, "b"], 2, (11, 64)), ([1, 2, 3], 1, (0, 16))):
        asked = COMPLETIONS.asked({"model": "old", "prompt": prompt, "n": n})
        assert (asked.input_tokens, asked.most_output) == expected


def test_several_answers_are_expected_to_be_several_times_as_long(desk: Desk):
    asked = CHAT.asked({"model": "m", **ASKED, "n": 3, "max_tokens": 100})
    assert (asked.answers, asked.most_output) == (3, 300)
    call = ModelCall(CHAT.asked({"model": "m", **ASKED, "n": 3}), Terms(account="a", policy=Policy()))
    (held, _) = next(call.opening(0.0, lambda error: False)), call
    assert json.loads(held.body)["usage"]["dimensions"]["output_tokens"] == str(3 * 625)


def test_what_a_caller_puts_into_the_body_himself_counts(desk: Desk):
    stream = desk.openai.chat.completions.create(
        model="gpt-test", **ASKED, stream=True, extra_body={"max_completion_tokens": 9}
    )
    assert desk.ledger.balance(desk.account).held == 9 + 90
    read(stream)
    assert is_billed(desk)


TURNS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("copy", lambda api: api.copy()),
    ("with_options", lambda api: api.with_options(max_retries=1)),
    ("twice", lambda api: api.with_options(timeout=9).copy(max_retries=0)),
    ("with_middleware", lambda api: api.with_middleware(lambda request, call_next: call_next(request))),
)


@pytest.mark.parametrize(("name", "turn"), TURNS, ids=[name for name, _ in TURNS])
def test_what_is_made_of_a_client_is_metered_alike(desk: Desk, name: str, turn: Callable[[Any], Any]):
    clients = (desk.openai, desk.anthropic) if name != "with_middleware" else (desk.anthropic,)
    for count, client in enumerate(clients, 1):
        api = turn(client)
        if client is desk.openai:
            assert api.chat.completions.create(model="gpt-test", **ASKED).usage
        else:
            assert api.messages.create(model="claude-test", max_tokens=100, **ASKED).usage
        assert is_billed(desk)
        assert len(desk.charges()) == count


def test_beta_namespaces_and_their_loops_with_tools_are_metered(desk: Desk):
    @anthropic.beta_tool
    def look(round: int = 0, call: int = 0) -> str:
        """Look at something."""
        return "fine"

    before = desk.models.get("state")["calls"]
    runner = desk.anthropic.beta.messages.tool_runner(
        model="claude-test", max_tokens=1_000, tools=[look], **ASKED,
        extra_headers={HEADER: '{"tool_rounds": 1, "tool_calls": 2}'},
    )  # fmt: skip
    assert runner.until_done().stop_reason == "end_turn"
    calls = desk.models.get("books", after=str(before))["calls"]
    assert (len(calls), [each.amount for each in desk.charges()]) == (2, list(map(worth, calls)))
    assert desk.nothing_is_held()


def test_what_is_used_beside_the_sums_of_a_message_is_charged_or_told():
    compaction = {"type": "compaction", "input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 3}
    advice = {"type": "advisor_message", "model": "big", "input_tokens": 9, "output_tokens": 4}
    usage = {
        "input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 1,
        "iterations": [{"type": "message", "input_tokens": 10, "output_tokens": 5}, compaction, advice],
    }  # fmt: skip
    for seen in (MESSAGES.answered({"usage": usage}), MESSAGES.event({"type": "message_delta", "usage": usage})):
        assert seen.used is not None
        assert (seen.used.input_tokens, seen.used.output_tokens) == (110 + 4, 25)
        assert seen.used.others == {"advisor_input_tokens": 9, "advisor_output_tokens": 4}


def test_a_usage_that_makes_no_sense_costs_nobody_his_answer(desk: Desk, tmp_path: Path):
    told: dict[str, Any] = {"prompt_tokens": "many", "completion_tokens": -3}
    odd = {"id": 7, "choices": [{"message": {"content": "Well and"}, "finish_reason": 3}], "model": None, "usage": told}
    client = openai.OpenAI(
        api_key="k", http_client=served(httpx2.MockTransport(lambda request: httpx2.Response(200, json=odd)))
    )
    api = meter(client, ledger=desk.ledger, account=desk.account)
    assert api.chat.completions.create(model="m", **ASKED).choices[0].message.content == "Well and"
    assert settled(desk.ledger)
    assert (desk.charge().amount, evidence(desk.charge())["charged_by"]) == (7 + 20, "estimate")


def test_a_long_prompt_is_counted_once(monkeypatch: pytest.MonkeyPatch, desk: Desk):
    counted: list[list[str]] = []

    def count(texts: list[str]) -> int:
        counted.append(texts)
        return 7

    monkeypatch.setattr("farthing.llm.reading.count_prompt", count)
    call, given = asking(desk.openai, None, "chat")
    read(call(**given, stream=True))
    assert (len(counted), evidence(desk.charge())["estimated_input_tokens"]) == (1, 7)
