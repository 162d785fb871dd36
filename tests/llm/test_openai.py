"""OpenAI's answers and streams as its own library gives them, read; the stand-in's books say what is right."""

import asyncio
from typing import Any

import httpx2
import openai
import pytest

from farthing.fakes.models import HEADER, Remote
from farthing.llm.openai import CHAT, COMPLETIONS, EMBEDDINGS, RESOURCES, RESPONSES, reader_of
from farthing.llm.reading import Reader
from tests.llm.vendors import Followed, Vendors, Way, asking, billed, booked, last

pytestmark = pytest.mark.xdist_group("models")

READERS: dict[Way, Reader] = {"chat": CHAT, "responses": RESPONSES}
USAGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "cached": {"input_tokens": 900, "cached_tokens": 512, "cache_write_tokens": 100},
    "reasoning": {"reasoning_tokens": 30},
    "zero": {"usage": "zero"},
    "bare": {"usage": "bare"},
    "twice": {"usage": "twice"},
    "every_chunk": {"usage": "every_chunk"},
    "tools": {"tool_rounds": 1, "tool_calls": 2},
    "refusal": {"refuse": True},
    "big_chunks": {"tokens_per_chunk": 7},
}
SLOW = ("responses", "bare")
BOTH = pytest.mark.parametrize("way", READERS)


def stream_of(vendors: Vendors, way: Way, habits: dict[str, Any], **more: Any) -> Any:
    """A stream that tells its usage, as the reader has it prepared."""
    if way == "chat":
        more |= {"stream_options": {"include_usage": True}}
    return vendors.ask(way, stream=True, habits=habits, **more)


# Usage


# An event without details is built by the library in a second, once: chat completions will do for it.
@pytest.mark.parametrize(("way", "name"), [(way, name) for way in READERS for name in USAGES if (way, name) != SLOW])
def test_what_a_stream_has_used_is_what_the_provider_bills(models: Remote, vendors: Vendors, way: Way, name: str):
    seen = Followed(READERS[way]).all(stream_of(vendors, way, USAGES[name], tools=name == "tools", thinks=True))
    call = booked(models, seen.id)
    assert call["ended"] == "finished"
    assert seen.used.dimensions() == billed(call)
    assert (seen.used.model, seen.used.provider, seen.used.doubtful) == ("gpt-test", "openai", ())
    assert seen.finish == {"tools": {"chat": "tool_calls"}.get(way, "completed")}.get(
        name, {"chat": "stop", "responses": "completed"}[way]
    )
    assert seen.over
    # What was delivered can be counted by its text, where the provider says nothing.
    assert len(seen.text) == 4 * call["delivered"]["tokens"] > 0


@pytest.mark.parametrize("name", [name for name in USAGES if name != "every_chunk"])
@BOTH
def test_what_an_answer_has_used_is_what_the_provider_bills(models: Remote, vendors: Vendors, way: Way, name: str):
    answer = vendors.ask(way, stream=False, habits=USAGES[name], tools=name == "tools", thinks=True)
    seen = READERS[way].answered(answer)
    call = booked(models, seen.id)
    assert seen.used is not None
    assert seen.used.dimensions() == billed(call)
    # The library's objects and the JSON that they stand for are the same.
    assert READERS[way].answered(answer.to_dict()) == seen
    assert len(seen.text) == 4 * call["delivered"]["tokens"]
    assert (seen.over, seen.pending, seen.error) == (True, False, "")


@BOTH
def test_an_answer_that_is_as_long_as_it_may_be_says_so(models: Remote, vendors: Vendors, way: Way):
    seen = Followed(READERS[way]).all(stream_of(vendors, way, {"answer_tokens": 50}, most=9))
    assert (seen.used.output_tokens, seen.finish) == (9, {"chat": "length", "responses": "max_output_tokens"}[way])
    assert seen.over


def test_what_is_asked_for_of_the_usage_stands_in_one_event_of_its_own(vendors: Vendors):
    assert Followed(CHAT).all(stream_of(vendors, "chat", {})).only_usage == 1
    silent = Followed(CHAT).all(vendors.ask("chat", stream=True))
    assert (silent.only_usage, silent.used.counts, silent.finish) == (0, {}, "stop")


@BOTH
def test_usage_that_is_not_told_is_not_there(models: Remote, vendors: Vendors, way: Way):
    for seen in (
        Followed(READERS[way]).all(stream_of(vendors, way, {"usage": "missing"})).used,
        READERS[way].answered(vendors.ask(way, stream=False, habits={"usage": "missing"})).used,
    ):
        assert seen is None or seen.counts == {}


def test_the_model_and_the_tier_are_those_that_the_answer_names(vendors: Vendors):
    habits = {"reports_model": "gpt-test-2026-08-06", "service_tier": "flex"}
    for way, reader in READERS.items():
        found = Followed(reader).all(stream_of(vendors, way, habits)).used
        assert (found.model, found.attributes) == ("gpt-test-2026-08-06", {"service_tier": "flex"})


def test_embeddings_have_used_no_output(models: Remote, vendors: Vendors):
    answer = vendors.openai.embeddings.create(model="embed-test", input=["one text", "another"])
    seen = EMBEDDINGS.answered(answer)
    assert seen.used is not None
    assert seen.used.dimensions() == {"input_tokens": 4, "output_tokens": 0} == billed(last(models))
    assert (seen.used.known, seen.used.model, len(answer.data)) == (True, "embed-test", 2)


def test_pictures_and_sound_have_counts_of_their_own():
    into = {"audio_tokens": 20, "image_tokens": 30, "cached_tokens": 40}
    usage = {
        "prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens_details": into,
        "completion_tokens_details": {"audio_tokens": 5, "reasoning_tokens": None},
    }  # fmt: skip
    found = CHAT.answered({"usage": usage}).used
    assert found is not None
    assert found.dimensions() == {
        "input_tokens": 100, "output_tokens": 9, "cache_read_tokens": 40, "input_audio_tokens": 20,
        "input_image_tokens": 30, "output_audio_tokens": 5,
    }  # fmt: skip


def test_searches_are_told_beside_the_tokens():
    usage = {"input_tokens": 1, "output_tokens": 2}
    found = RESPONSES.answered({"usage": usage, "tool_usage": {"web_search": {"num_requests": 3}}}).used
    assert found is not None
    assert found.others == {"web_search_requests": 3}


# Streams that end early


@pytest.mark.parametrize("after", [0, 1, 5, "content", "finish", "usage"])
@BOTH
def test_of_a_stream_that_is_cut_both_sides_know_the_same(models: Remote, vendors: Vendors, way: Way, after: Any):
    habits = {"cut_after": after, "answer_tokens": 8}
    seen = Followed(READERS[way]).all(stream_of(vendors, way, habits, text=f"cut after {after}"))
    call = last(models)
    assert isinstance(seen.broken, openai.APIConnectionError | httpx2.RemoteProtocolError)
    assert call["ended"] == "cut"
    assert len(seen.text) == 4 * call["delivered"]["tokens"] == 4 * call["billed"]["output_tokens"]
    assert call["delivered"]["chunks"] == (after if isinstance(after, int) else 8)
    # Its usage comes last of all, or never.
    told = after == "usage" or (after == "finish" and way == "responses")
    assert seen.used.counts.get("output_tokens") == (8 if told else None)
    assert seen.over is told


@BOTH
def test_a_stream_that_ends_early_as_if_that_were_all_is_not_over(vendors: Vendors, way: Way):
    seen = Followed(READERS[way]).all(stream_of(vendors, way, {"cut_after": 3, "clean_cut": True}))
    assert (seen.broken, seen.over, seen.finish, len(seen.text)) == (None, False, "", 12)


@pytest.mark.parametrize("after", [0, 4, "content", "usage"])
@BOTH
def test_an_error_inside_a_stream_is_told_by_the_library_or_the_event(
    models: Remote, vendors: Vendors, way: Way, after: Any
):
    habits = {"fail": "server_error", "fail_after": after}
    seen = Followed(READERS[way]).all(stream_of(vendors, way, habits))
    assert "The server had an error" in (str(seen.broken) if way == "chat" else seen.error)
    call = last(models)
    assert call["ended"] == "failed"
    assert len(seen.text) == 4 * call["billed"]["output_tokens"]


def test_an_error_is_seen_in_an_event_of_any_form():
    for event in (
        {"type": "error", "message": "Slow down", "code": "rate_limit_exceeded"},
        {"type": "response.failed", "response": {"status": "failed", "error": {"message": "Slow down"}}},
    ):
        seen = RESPONSES.event(event)
        assert (seen.error, seen.over) == ("Slow down", True)
    assert CHAT.event({"error": {"message": "Slow down"}}).error == "Slow down"
    assert RESPONSES.answered({"status": "failed"}).error == "failed"


def test_a_response_that_is_still_made_in_the_background_is_not_over():
    seen = RESPONSES.answered({"id": "resp_1", "status": "queued", "output": [], "usage": None})
    assert (seen.pending, seen.over, seen.used) == (True, False, None)


# Requests


def test_a_stream_is_asked_for_its_usage_unless_the_caller_has_said_something_about_it():
    stream = {"model": "m", "messages": [], "stream": True}
    assert CHAT.prepared(stream)["stream_options"] == {"include_usage": True}
    more = stream | {"stream_options": {"include_obfuscation": False}}
    assert CHAT.prepared(more)["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert CHAT.asked(stream).hides_usage
    assert stream == {"model": "m", "messages": [], "stream": True}
    for body in (
        {**stream, "stream": False},
        {"model": "m", "messages": []},
        stream | {"stream_options": {"include_usage": True}},
        stream | {"stream_options": {"include_usage": False}},
    ):
        assert CHAT.prepared(body) is body
        assert not CHAT.asked(body).hides_usage


CONTENT = [{"type": "text", "text": "What is"}, {"type": "text", "text": " this?"}]
PICTURE = {"type": "image_url", "image_url": {"url": "https://pictures.example/1"}}


@pytest.mark.parametrize(
    ("reader", "body", "expected"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "Hello"}]}, (("Hello",), None, False)),
        (CHAT, {"messages": [{"role": "user", "content": CONTENT}], "max_tokens": 7}, (("What is this?",), 7, False)),
        (CHAT, {"messages": [{"content": [*CONTENT, PICTURE]}], "max_completion_tokens": 7, "n": 3},
         (("What is this?",), 21, True)),
        (CHAT, {"messages": [{"tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]}, {"content": "yes"}]},
         (("{}", "yes"), None, False)),
        (CHAT, {"messages": "nonsense", "max_tokens": "many"}, ((), None, False)),
        (RESPONSES, {"input": "Hello", "instructions": "Be kind", "max_output_tokens": 9},
         (("Be kind", "Hello"), 9, False)),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
                               {"type": "function_call_output", "output": "yes"}]}, (("Hello", "yes"), None, False)),
        (RESPONSES, {"input": "Go on", "previous_response_id": "resp_1"}, (("Go on",), None, True)),
        (RESPONSES, {"input": [{"content": [{"type": "input_image", "image_url": "x"}]}]}, (("",), None, True)),
        (EMBEDDINGS, {"input": ["one", "two"]}, (("one", "two"), 0, False)),
        (EMBEDDINGS, {"input": [[1, 2, 3]]}, ((), 0, True)),
    ],
)  # fmt: skip
def test_what_a_request_asks_for(reader: Reader, body: dict[str, Any], expected: Any):
    asked = reader.asked({"model": "m", **body})
    assert (asked.texts, asked.most_output, asked.uncounted) == expected
    assert (asked.model, asked.stream) == ("m", False)


@BOTH
def test_what_goes_in_is_estimated_as_the_stand_in_counts(models: Remote, vendors: Vendors, way: Way):
    _, given = asking(vendors.openai, vendors.anthropic, way, text="How long is a piece of string?", tools=True)
    vendors.ask(way, stream=False, text="How long is a piece of string?", tools=True)
    assert READERS[way].asked(given).input_tokens == last(models)["planned"]["input_tokens"]


# The library


class Posted(Exception):
    """In place of a request."""


def test_every_method_that_asks_a_model_posts_where_it_is_looked_for(vendors: Vendors, monkeypatch: pytest.MonkeyPatch):
    posted: list[tuple[Reader | None, bool]] = []

    def spied(resource: Any) -> Any:
        def spy(path: str, **given: Any) -> None:
            posted.append((reader_of(path), bool(given["body"].get("stream"))))
            raise Posted

        monkeypatch.setattr(resource, "_post", spy)
        return resource

    client = vendors.openai
    assert RESOURCES[4:] == ("beta.chat.completions", "beta.responses")  # a second to load
    chat, responses, embeddings, completions = (spied(at(client, name)) for name in RESOURCES[:4])
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    for asks in (
        lambda: chat.create(**asked),
        lambda: chat.create(**asked, stream=True),
        lambda: chat.parse(**asked),
        lambda: chat.stream(**asked).__enter__(),
        lambda: chat.with_raw_response.create(**asked),
        lambda: chat.with_streaming_response.create(**asked).__enter__(),
        lambda: responses.create(model="m", input="Hi"),
        lambda: responses.parse(model="m", input="Hi"),
        lambda: responses.stream(model="m", input="Hi").__enter__(),
        lambda: embeddings.create(model="m", input="Hi"),
        lambda: completions.create(model="m", prompt="Hi"),
    ):
        with pytest.raises(Posted):
            asks()
    chats = [(CHAT, streamed) for streamed in (False, True, False, True, False, False)]
    assert posted == [
        *chats,
        (RESPONSES, False),
        (RESPONSES, False),
        (RESPONSES, True),
        (EMBEDDINGS, False),
        (COMPLETIONS, False),
    ]
    assert reader_of("/responses?beta=true") is RESPONSES
    assert reader_of("/models") is None


def at(client: Any, name: str) -> Any:
    """A resource of a client, by its path."""
    for word in name.split("."):
        client = getattr(client, word)
    return client


def test_an_asynchronous_stream_is_read_alike(models: Remote):
    async def ask() -> tuple[Followed, Followed]:
        async with openai.AsyncOpenAI(
            base_url=f"{models.url}/v1", api_key="k", max_retries=0, http_client=httpx2.AsyncClient(verify=False)
        ) as client:
            given: Any = {"model": "gpt-test", "stream": True, "extra_headers": {HEADER: '{"reasoning_tokens": 3}'}}
            messages: Any = [{"role": "user", "content": "Hello"}]
            chat = await client.chat.completions.create(
                messages=messages, stream_options={"include_usage": True}, **given
            )
            response = await client.responses.create(input="Hello", **given)
            return await Followed(CHAT).all_of(chat), await Followed(RESPONSES).all_of(response)

    for seen in asyncio.run(ask()):
        assert seen.over
        assert seen.used.dimensions() == billed(booked(models, seen.id))
