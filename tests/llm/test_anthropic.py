"""Anthropic's messages and streams as its own library gives them, read; the stand-in's books say what is right."""

import asyncio
from typing import Any

import anthropic
import httpx2
import pytest

from farthing.fakes.models import HEADER, Remote
from farthing.llm.anthropic import MESSAGES, POSTS, RESOURCES, reader_of
from tests.llm.vendors import Followed, Vendors, asking, billed, booked, last

pytestmark = pytest.mark.xdist_group("models")

USAGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "cached": {"input_tokens": 900, "cached_tokens": 512, "cache_write_tokens": 100, "cache_write_1h_tokens": 40},
    "reasoning": {"reasoning_tokens": 30},
    "zero": {"usage": "zero"},
    "bare": {"usage": "bare", "input_tokens": 900, "cached_tokens": 512},
    "twice": {"usage": "twice"},
    "tools": {"tool_rounds": 1, "tool_calls": 2},
    "refusal": {"refuse": True},
    "big_chunks": {"tokens_per_chunk": 7},
}
FINISHES = {"tools": "tool_use", "refusal": "refusal"}


@pytest.mark.parametrize("thinks", [True, False])
@pytest.mark.parametrize("name", USAGES)
def test_what_a_stream_has_used_is_what_the_provider_bills(models: Remote, vendors: Vendors, name: str, thinks: bool):
    asked = vendors.ask("messages", stream=True, habits=USAGES[name], tools=name == "tools", thinks=thinks)
    seen = Followed(MESSAGES).all(asked)
    call = booked(models, seen.id)
    assert seen.used.dimensions() == billed(call)
    assert (seen.used.model, seen.used.provider, seen.used.doubtful) == ("claude-test", "anthropic", ())
    assert (seen.finish, seen.over) == (FINISHES.get(name, "end_turn"), True)
    assert len(seen.text) == 4 * call["delivered"]["tokens"] > 0


@pytest.mark.parametrize("name", USAGES)
def test_what_an_answer_has_used_is_what_the_provider_bills(models: Remote, vendors: Vendors, name: str):
    answer = vendors.ask("messages", stream=False, habits=USAGES[name], tools=name == "tools", thinks=True)
    seen = MESSAGES.answered(answer)
    call = booked(models, seen.id)
    assert seen.used is not None
    bare = {"reasoning_tokens"} if name == "bare" else set()
    assert seen.used.dimensions() == {name: n for name, n in billed(call).items() if name not in bare}
    assert MESSAGES.answered(answer.to_dict()) == seen
    assert (seen.finish, seen.over) == (FINISHES.get(name, "end_turn"), True)


def test_the_helper_of_the_library_comes_to_the_same_figures(models: Remote, vendors: Vendors):
    _, given = asking(vendors.openai, vendors.anthropic, "messages", thinks=True)
    headers = {HEADER: '{"reasoning_tokens": 5, "input_tokens": 90, "cached_tokens": 40}'}
    with vendors.anthropic.messages.stream(**given, extra_headers=headers) as stream:
        # Its own events, of text and the like, tell nothing twice.
        seen = Followed(MESSAGES).all(stream)
        message = stream.get_final_message()
    found = MESSAGES.answered(message)
    assert found.used is not None
    assert seen.used.dimensions() == found.used.dimensions() == billed(booked(models, seen.id))
    assert seen.text == found.text


@pytest.mark.parametrize("after", [0, 1, 5, "content", "finish"])
def test_of_a_stream_that_is_cut_both_sides_know_the_same(models: Remote, vendors: Vendors, after: Any):
    habits = {"cut_after": after, "answer_tokens": 8, "cached_tokens": 2}
    seen = Followed(MESSAGES).all(vendors.ask("messages", stream=True, habits=habits))
    call = last(models)
    assert isinstance(seen.broken, anthropic.APIConnectionError | httpx2.RemoteProtocolError)
    assert call["ended"] == "cut"
    assert len(seen.text) == 4 * call["delivered"]["tokens"] == 4 * call["billed"]["output_tokens"]
    # What went in was told at the beginning; the output's count there is none.
    assert seen.used.input_tokens == call["billed"]["input_tokens"]
    assert seen.used.output_tokens == (8 if after == "finish" else None)
    assert (seen.over, seen.used.known) == (False, after == "finish")


def test_a_stream_that_ends_early_as_if_that_were_all_is_not_over(vendors: Vendors):
    seen = Followed(MESSAGES).all(vendors.ask("messages", stream=True, habits={"cut_after": 3, "clean_cut": True}))
    assert (seen.broken, seen.over, seen.finish, len(seen.text)) == (None, False, "", 12)


@pytest.mark.parametrize("after", [0, 4, "content", "finish"])
def test_an_error_inside_a_stream_is_told_by_the_library(models: Remote, vendors: Vendors, after: Any):
    habits = {"fail": "overloaded", "fail_after": after}
    seen = Followed(MESSAGES).all(vendors.ask("messages", stream=True, habits=habits))
    assert isinstance(seen.broken, anthropic.APIStatusError)
    assert "overloaded_error" in str(seen.broken)
    assert len(seen.text) == 4 * last(models)["billed"]["output_tokens"]
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert (MESSAGES.event(event).error, MESSAGES.event(event).over) == ("Overloaded", True)


def test_usage_that_is_not_told_is_not_there(vendors: Vendors):
    seen = Followed(MESSAGES).all(vendors.ask("messages", stream=True, habits={"usage": "missing"}))
    assert (seen.used.counts, seen.used.model, seen.finish, seen.over) == ({}, "claude-test", "end_turn", True)
    assert MESSAGES.answered(vendors.ask("messages", stream=False, habits={"usage": "missing"})).used is None


@pytest.mark.parametrize(
    ("usage", "attributes"),
    [
        ({"service_tier": "standard", "speed": "standard"}, {}),
        ({"service_tier": "priority", "speed": "fast"}, {"service_tier": "priority", "speed": "fast"}),
        ({"service_tier": "batch"}, {"processing": "batch"}),
        ({"inference_geo": "us"}, {"inference_geo": "us"}),
    ],
)
def test_what_prices_depend_on_is_told(usage: dict[str, str], attributes: dict[str, str]):
    found = MESSAGES.answered({"usage": {"input_tokens": 1, "output_tokens": 1, **usage}}).used
    assert found is not None
    assert found.attributes == attributes


def test_searches_are_told_beside_the_tokens():
    tools = {"web_search_requests": 2, "web_fetch_requests": 0}
    found = MESSAGES.answered({"usage": {"input_tokens": 1, "output_tokens": 1, "server_tool_use": tools}}).used
    assert found is not None
    assert found.others == {"web_search_requests": 2}


def test_what_a_request_asks_for(models: Remote, vendors: Vendors):
    _, given = asking(vendors.openai, vendors.anthropic, "messages", text="How long is it?", tools=True, most=77)
    turns = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "look", "input": {"at": "home"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "It is long."}]},
    ]
    given |= {"messages": given["messages"] + turns, "system": [{"type": "text", "text": "Be kind."}]}
    asked = MESSAGES.asked(given)
    assert asked.texts == ("Be kind.", "How long is it?", '{"at": "home"}', "It is long.")
    assert (asked.most_output, asked.stream, asked.hides_usage, asked.uncounted) == (77, False, False, False)
    assert MESSAGES.prepared(given) is given
    seen = MESSAGES.answered(vendors.anthropic.messages.create(**given))
    assert asked.input_tokens == booked(models, seen.id)["planned"]["input_tokens"]
    picture = {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://a.example"}}]}
    assert MESSAGES.asked({"model": "m", "messages": [picture]}).uncounted


def test_every_method_that_asks_a_model_posts_where_it_is_looked_for(vendors: Vendors, monkeypatch: pytest.MonkeyPatch):
    posted = []
    messages: Any = vendors.anthropic.messages
    post = messages._post

    def spy(path: str, **given: Any) -> Any:
        posted.append((reader_of(path), bool(given["body"].get("stream"))))
        return post(path, **given)

    monkeypatch.setattr(messages, "_post", spy)
    _, asked = asking(vendors.openai, vendors.anthropic, "messages")
    messages.create(**asked)
    list(messages.create(**asked, stream=True))
    messages.parse(**asked)
    with messages.stream(**asked) as stream:
        stream.until_done()
    messages.with_raw_response.create(**asked)
    messages.count_tokens(model="claude-test", messages=asked["messages"])
    asks = [(MESSAGES, streamed) for streamed in (False, True, False, True, False)]
    assert posted == [*asks, (None, False)]
    assert RESOURCES == ("messages", "beta.messages")
    assert reader_of("/v1/messages?beta=true") is POSTS["/v1/messages"]


def test_an_asynchronous_stream_is_read_alike(models: Remote):
    async def ask() -> Followed:
        http = httpx2.AsyncClient(verify=False)
        async with anthropic.AsyncAnthropic(
            base_url=models.url, api_key="k", max_retries=0, http_client=http
        ) as client:
            _, given = asking(client, client, "messages")
            return await Followed(MESSAGES).all_of(await client.messages.create(**given, stream=True))

    seen = asyncio.run(ask())
    assert seen.over
    assert seen.used.dimensions() == billed(booked(models, seen.id))
