"""The stand-in for model providers: the vendors' own libraries speak to it, and its books say exactly what happened."""

import asyncio
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import anthropic
import httpx2
import openai
import pytest
from msgspec.structs import fields

from farthing.fakes.models import HEADER, Fake, Habits, Options, Remote, running
from farthing.fakes.models.control import _Rules, _Specials
from farthing.fakes.models.habits import Special
from farthing.fakes.models.tokens import count, filled, pieces, words
from tests.cli.command import PROGRAM
from tests.llm.vendors import Vendors, Way, booked, last

pytestmark = pytest.mark.xdist_group("models")

WAYS: tuple[Way, ...] = ("chat", "responses", "messages")
EACH = pytest.mark.parametrize("way", WAYS)
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Remote, Vendors]]:
    with running() as fake:
        found = Vendors(fake.url)
        yield fake, found
        found.close()


@pytest.fixture
def fake(served: tuple[Remote, Vendors]) -> Remote:
    served[0].post("habits")
    served[0].post("next", calls=[])
    served[0].post("rules", keys=[], models=[])
    return served[0]


@pytest.fixture
def vendors(served: tuple[Remote, Vendors]) -> Vendors:
    return served[1]


def raw(fake: Remote, path: str, body: Any, **headers: str) -> httpx2.Response:
    with httpx2.Client(base_url=fake.url, verify=False, timeout=PATIENCE_SECONDS) as http:
        return http.post(path, json=body, headers={"authorization": "Bearer k", **headers})


def hello(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **more}


# What it says


def test_a_token_is_four_bytes_whatever_stands_in_them():
    assert [count(text) for text in ("", "a", "abcd", "abcde", "日本")] == [0, 1, 1, 2, 2]
    for seed in range(40):
        said = words(seed, 9)
        assert {len(each) for each in said} == {4}
        assert count("".join(said)) == len(said) == 9
    assert pieces(filled('{"a": 1}')) == ['{"a"', ": 1}"]
    assert pieces(filled('{"ab": 1}')) == ['{"ab', '": 1', "   }"]


@EACH
def test_the_same_question_gets_the_same_answer(fake: Remote, vendors: Vendors, way: Way):
    first, again = (vendors.ask(way, stream=False, text="Same?") for _ in range(2))
    other = vendors.ask(way, stream=False, text="Something else?")
    texts = [said(way, answer) for answer in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]
    calls = fake.get("books", after=str(fake.get("state")["calls"] - 3))["calls"]
    assert [each["planned"]["output_tokens"] for each in calls] == [count(text) for text in texts]


def said(way: Way, answer: Any) -> str:
    match way:
        case "chat":
            text = answer.choices[0].message.content
        case "responses":
            text = answer.output_text
        case "messages":
            text = answer.content[0].text
    assert isinstance(text, str)
    return text


def test_a_loop_of_tool_calls_ends_with_an_answer(fake: Remote, vendors: Vendors):
    chat = vendors.openai.chat.completions
    messages: list[Any] = [{"role": "user", "content": "Look twice"}]
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    headers = {HEADER: json.dumps({"tool_rounds": 2, "tool_calls": 2})}
    finishes, ids = [], set()
    for _ in range(3):
        answer = chat.create(model="m", messages=messages, tools=tools, extra_headers=headers)
        message = answer.choices[0].message
        finishes.append(answer.choices[0].finish_reason)
        messages.append(message.to_dict())
        for each in message.tool_calls or []:
            ids.add(each.id)
            messages.append({"role": "tool", "tool_call_id": each.id, "content": "seen"})
    assert finishes == ["tool_calls", "tool_calls", "stop"]
    assert len(ids) == 4


def test_models_are_listed_and_prompts_are_counted_before_they_are_asked(fake: Remote, vendors: Vendors):
    assert "gpt-4o" in [each.id for each in vendors.openai.models.list()]
    assert vendors.openai.models.retrieve("gpt-4o").id == "gpt-4o"
    assert len(list(vendors.anthropic.models.list())) > 3
    messages: Any = [{"role": "user", "content": "Hello"}]
    assert vendors.anthropic.messages.count_tokens(model="m", messages=messages).input_tokens == 6


# What its books say


@EACH
def test_a_call_is_in_the_books_by_the_id_of_its_answer(fake: Remote, vendors: Vendors, way: Way):
    user = {"metadata": {"user_id": "ann"}} if way == "messages" else {"user": "ann"}
    answer = vendors.ask(way, stream=False, habits={"input_tokens": 50, "cached_tokens": 20}, **user)
    call = booked(fake, answer.id)
    assert (call["user"], call["api"], call["ended"], call["status"]) == ("ann", way, "finished", 200)
    assert call["request_id"] == answer._request_id
    assert call["billed"] == call["planned"]
    assert (call["billed"]["input_tokens"], call["billed"]["cached_tokens"]) == (50, 20)
    assert [each["id"] for each in fake.get("books", user="ann", model=call["model"])["calls"]][-1] == answer.id


def test_what_all_calls_come_to_is_told_by_model(fake: Remote):
    for habits in ({}, {"answer_tokens": 2}, {"fail": "server_error"}):
        raw(fake, "/v1/chat/completions", hello(model="summed"), **{HEADER: json.dumps(habits)})
    sums = fake.get("books", model="summed")
    assert sums["models"]["summed"]["ended"] == {"finished": 2, "refused": 1}
    for name in ("input_tokens", "output_tokens"):
        assert sums["models"]["summed"][name] == sum(each["billed"][name] for each in sums["calls"]) > 0


@pytest.mark.parametrize(
    ("bill", "output", "reads"),
    [("delivered", 7, True), ("whole", 24, True), ("input", 0, True), ("nothing", 0, False)],
)
def test_what_a_cut_stream_costs_is_a_matter_of_habit(
    fake: Remote, vendors: Vendors, bill: str, output: int, reads: bool
):
    habits = {"cut_after": 3, "answer_tokens": 20, "reasoning_tokens": 4, "bill_cut": bill, "input_tokens": 30}
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        list(vendors.ask("chat", stream=True, habits=habits))
    call = last(fake)
    assert (call["billed"]["output_tokens"], call["billed"]["input_tokens"]) == (output, 30 if reads else 0)
    assert call["delivered"] == {"chunks": 3, "tokens": 3, "reasoning_tokens": 0}


def test_reasoning_that_is_shown_is_billed_as_far_as_it_was_shown(fake: Remote, vendors: Vendors):
    habits = {"cut_after": 3, "reasoning_tokens": 9}
    for way in ("messages", "responses"):
        with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
            list(vendors.ask(way, stream=True, habits=habits, thinks=True))
        billed = last(fake)["billed"]
        assert (billed["output_tokens"], billed["reasoning_tokens"]) == (3, 3)


@EACH
def test_an_answer_that_is_no_stream_is_billed_though_it_was_lost(fake: Remote, vendors: Vendors, way: Way):
    with pytest.raises((openai.APIConnectionError, anthropic.APIConnectionError)):
        vendors.ask(way, stream=False, habits={"cut_after": 0})
    call = last(fake)
    assert (call["ended"], call["billed"], call["delivered"]["tokens"]) == ("cut", call["planned"], 0)


def test_whoever_leaves_a_held_stream_is_known_to_have_got_what_came_before(fake: Remote, vendors: Vendors):
    stream = vendors.ask("chat", stream=True, habits={"hold_after": 3, "answer_tokens": 20})
    chunks = iter(stream)
    id = next(chunks).id
    texts = [next(chunks).choices[0].delta.content for _ in range(3)]
    number = fake.get("books", id=id)["calls"][0]["number"]
    until(lambda: number in fake.get("state")["held"])
    stream.close()
    call = booked(fake, id)
    assert (call["ended"], call["delivered"]["tokens"], call["billed"]["output_tokens"]) == ("left", 3, 3)
    assert count("".join(map(str, texts))) == 3
    assert fake.get("state")["under_way"] == []


def until(true: Any) -> None:
    """Wait until it is."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_held_stream_that_is_released_goes_on(fake: Remote, vendors: Vendors):
    stream = vendors.ask("messages", stream=True, habits={"hold_after": 0, "answer_tokens": 5})
    id = next(iter(stream)).message.id
    number = fake.get("books", id=id)["calls"][0]["number"]
    until(lambda: number in fake.get("state")["held"])
    assert fake.post("release") == {"released": [number]}
    assert [each.type for each in stream][-1] == "message_stop"
    assert booked(fake, id)["ended"] == "finished"


def test_a_thousand_chunks_and_many_streams_at_once_come_out_to_the_token(fake: Remote):
    long = hello(model="long", stream=True, stream_options={"include_usage": True})
    lines = raw(fake, "/v1/chat/completions", long, **{HEADER: '{"answer_tokens": 1000}'}).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    assert json.loads(lines[-3][6:])["usage"]["completion_tokens"] == 1000 == len(lines) - 5

    fake.post("habits", cut_share=0.4, answer_tokens=20)

    async def ask(http: httpx2.AsyncClient, number: int) -> int:
        """Tokens that came."""
        asked = hello(model="many", stream=True, user=str(number))
        got = b""
        try:
            async with http.stream("POST", "/v1/chat/completions", json=asked) as answer:
                async for part in answer.aiter_bytes():
                    got += part
        except httpx2.RemoteProtocolError:
            pass
        return len(re.findall(rb'"content": "[^"]', got))

    async def ask_all() -> list[int]:
        limits = httpx2.Limits(max_connections=25)
        headers = {"authorization": "Bearer k"}
        async with httpx2.AsyncClient(
            base_url=fake.url, headers=headers, verify=False, limits=limits, timeout=PATIENCE_SECONDS
        ) as http:
            return await asyncio.gather(*(ask(http, number) for number in range(100)))

    got = asyncio.run(ask_all())
    calls = fake.get("books", model="many")
    assert {int(each["user"]): each["billed"]["output_tokens"] for each in calls["calls"]} == dict(enumerate(got))
    ended = calls["models"]["many"]["ended"]
    assert ended.keys() == {"finished", "cut"}
    assert 10 < ended["cut"] < 70


# What goes wrong


@pytest.mark.parametrize(
    ("fail", "status"),
    [("server_error", 500), ("rate_limited", 429), ("overloaded", 503), ("bad_request", 400), ("html", 502)],
)
@EACH
def test_an_error_in_place_of_an_answer_is_the_one_that_the_library_knows(
    fake: Remote, vendors: Vendors, way: Way, fail: str, status: int
):
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as error:
        vendors.ask(way, stream=fail != "html", habits={"fail": fail, "retry_after": 7})
    raised: Any = error.value
    expected = 529 if (way, fail) == ("messages", "overloaded") else status
    assert raised.status_code == expected
    assert fail == "html" or raised.response.headers["retry-after"] == "7"
    call = last(fake)
    assert (call["status"], call["ended"], set(call["billed"].values())) == (expected, "refused", {0})
    if fail != "html":
        assert raised.request_id == call["request_id"]


def test_what_comes_next_is_for_so_many_calls_of_a_model_or_with_a_text(fake: Remote):
    asked = [
        {"fail": "server_error", "times": 2, "model": "a"},
        {"fail": "bad_request", "containing": "secret"},
    ]
    fake.post("next", calls=asked)

    def status(model: str, text: str = "Hello") -> int:
        messages = [{"role": "user", "content": text}]
        return raw(fake, "/v1/chat/completions", {"model": model, "messages": messages}).status_code

    found = [status("b"), status("a"), status("b", "a secret"), status("b", "a secret"), status("a"), status("a")]
    assert found == [200, 500, 400, 200, 500, 200]
    fake.post("habits", fail="rate_limited")
    assert [status("b"), fake.post("habits")["fail"], status("b")] == [429, "", 200]


def test_keys_and_models_can_be_those_that_there_are(fake: Remote, vendors: Vendors):
    fake.post("rules", keys=["k"], models=["gpt-test"])
    assert vendors.ask("chat", stream=False).model == "gpt-test"
    with pytest.raises(anthropic.NotFoundError):
        vendors.ask("messages", stream=False)
    with pytest.raises(openai.AuthenticationError):
        vendors.openai.with_options(api_key="other").models.list()
    assert raw(fake, "/v1/messages", {}, authorization="").json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("chat/completions", [], 400, "parse the JSON"),
        ("chat/completions", {"model": "m"}, 400, "messages"),
        ("chat/completions", {"messages": [{}]}, 400, "model"),
        ("chat/completions", hello(n=2), 400, "one answer"),
        ("chat/completions", hello(max_tokens="many"), 400, "many"),
        ("chat/completions", hello(stream_options={"include_usage": True}), 400, "stream_options"),
        ("chat/completions", hello(stream=True, stream_options="all"), 400, "stream_options"),
        ("responses", {"model": "m"}, 400, "input"),
        ("embeddings", {"model": "m", "input": []}, 400, "input"),
        ("embeddings", {"model": "m", "input": {}}, 400, "input"),
        ("messages", hello(), 400, "max_tokens"),
        ("images/generations", {}, 404, "Invalid URL"),
        ("models", {}, 405, "Not allowed"),
    ],
)
def test_a_call_that_cannot_be_right_is_told_why(fake: Remote, path: str, body: Any, status: int, why: str):
    answer = raw(fake, f"/v1/{path}", body)
    assert (answer.status_code, why in answer.json()["error"]["message"]) == (status, True)


@pytest.mark.parametrize(
    ("path", "given", "why"),
    [
        ("habits", {"cutafter": 3}, "cutafter"),
        ("habits", {"cut_after": "soon"}, "soon"),
        ("next", {"calls": [{"time": 3}]}, "time"),
        ("rules", {"keys": "k"}, "keys"),
        ("nowhere", {}, "there is nothing at"),
    ],
)
def test_control_tells_what_it_does_not_understand(fake: Remote, path: str, given: dict[str, Any], why: str):
    with pytest.raises(ValueError, match=why):
        fake.post(path, **given)


def test_habits_of_a_header_that_are_none_are_refused(fake: Remote):
    answer = raw(fake, "/v1/chat/completions", hello(), **{HEADER: '{"cut": 3}'})
    assert (answer.status_code, "x-fake" in answer.json()["error"]) == (400, True)


# As a program


def test_the_program_serves_until_it_is_told_to_end_and_its_seed_makes_ids_the_same():
    words = [*PROGRAM, "fakes", "models", "--port", "0", "--key", "sk-mine", "--model", "m", "--seed", "7", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        remote = Remote(json.loads(program.stdout.readline())["listening"])
        answer = raw(remote, "/v1/chat/completions", hello(), authorization="Bearer sk-mine")
        refused = raw(remote, "/v1/chat/completions", hello(model="other"), authorization="Bearer sk-mine")
        remote.close()
        program.send_signal(signal.SIGTERM)
        assert program.wait(PATIENCE_SECONDS) == 0
    assert (answer.status_code, refused.status_code) == (200, 404)
    with running(Options(seed=7)) as same:
        assert raw(same, "/v1/chat/completions", hello()).json()["id"] == answer.json()["id"]


# The page about it


def page() -> str:
    """What the documentation has about this stand-in."""
    whole = (Path(__file__).parents[2] / "docs" / "how-to" / "fakes.md").read_text()
    return whole.split("\n## Models\n")[1].split("\n## ")[0]


def test_the_example_of_the_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"```python\n(.*?)```", page(), re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", page(), re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == printed


def test_the_page_names_all_that_can_be_made_to_happen():
    paths = {route.pattern.removeprefix("/_fake/") for _, route, _ in Fake().routes.known}
    assert len(paths) == 7
    assert {path for path in paths if f"`{path}`" not in page()} == set()
    for change in (Habits, Special, _Specials, _Rules):
        assert {field.name for field in fields(change) if f"`{field.name}" not in page()} == set()
    hints = get_type_hints(Habits)
    named = [*get_args(hints["usage"]), *filter(None, get_args(hints["fail"])), *get_args(hints["bill_cut"])]
    assert [each for each in named if f"`{each}`" not in page()] == []
