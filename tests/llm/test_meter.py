"""Metered calls by the vendors' own libraries, on the stand-in and a ledger in this process: what is charged is what
the provider's books say, whatever becomes of the answer.
"""

import ast
import asyncio
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from msgspec.structs import fields

import farthing
from farthing.core.estimate import count_tokens
from farthing.core.metering import check_metering
from farthing.fakes.models import HEADER, Remote
from farthing.llm import Policy, asettled, meter, metered, metering, settled
from farthing.llm.counting import Count
from farthing.llm.framing import Frames
from tests.llm.ledgers import CARD, PLENTY, Desk, Make, evidence, is_as_billed, open_ledger, read, worth
from tests.llm.vendors import Vendors, Way, asking, billed, booked, last

pytestmark = pytest.mark.xdist_group("models")

WAYS: tuple[Way, ...] = ("chat", "responses", "messages")
EVERY = pytest.mark.parametrize("way", WAYS)
BROKEN = (openai.OpenAIError, anthropic.AnthropicError, httpx2.HTTPError)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened = open_ledger(tmp_path_factory.mktemp("ledger"))
    yield opened
    opened.close()


@pytest.fixture
def make(ledger: Any, vendors: Vendors, models: Remote) -> Make:
    def made(**given: Any) -> Desk:
        return Desk(ledger, vendors, models, **given)

    return made


@pytest.fixture
def desk(make: Make) -> Desk:
    return make()


def broken(stream: Any) -> int:
    """Read it until it breaks."""
    taken = 0
    with pytest.raises(BROKEN):  # noqa: PT012
        for _ in stream:
            taken += 1
    return taken


# What goes well


@pytest.mark.parametrize("stream", [False, True])
@EVERY
def test_a_call_is_charged_what_the_provider_bills_for_it(desk: Desk, way: Way, stream: bool):
    answer = desk.ask(way, stream=stream)
    if stream:
        assert read(answer) > 2
    call = last(desk.models)
    charge = desk.charge()
    assert charge.amount == worth(call)
    assert {name: int(n) for name, n in charge.usage.dimensions.items()} == billed(call)
    facts = evidence(charge)
    assert (facts["ended"], facts["charged_by"], facts["answer"]) == ("finished", "provider", call["id"])
    assert (facts["sources"]["output_tokens"], charge.hold is not None) == ("reported", True)
    assert desk.nothing_is_held()


def test_a_stream_is_what_it_would_be_without_metering(desk: Desk, vendors: Vendors):
    def told(api: Any) -> list[Any]:
        call, given = asking(api, None, "chat")
        return [each.to_dict() | {"id": "", "created": 0, "usage": each.usage} for each in call(**given, stream=True)]

    # The usage was asked for by us: who did not ask for it sees nothing of it.
    assert told(desk.openai) == told(vendors.openai)
    assert last(desk.models)["wants_usage"] is False


def test_who_asks_for_the_usage_gets_it(desk: Desk):
    chunks = list(desk.ask("chat", stream=True, stream_options={"include_usage": True}))
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens > 0) == ([], True)
    assert is_as_billed(desk)


def test_all_ways_of_the_libraries_to_read_an_answer_are_metered(desk: Desk):
    _, given = asking(desk.openai, None, "chat")
    with desk.openai.chat.completions.stream(**given) as helper:
        assert helper.get_final_completion().choices[0].message.content
    with desk.openai.chat.completions.with_streaming_response.create(**given) as response:
        assert json.loads(response.read())["usage"]
    assert desk.openai.chat.completions.with_raw_response.create(**given).parse().usage
    raw = desk.openai.chat.completions.with_raw_response.create(**given, stream=True)
    assert len(list(raw.parse())) > 2
    with desk.openai.chat.completions.with_streaming_response.create(**given, stream=True) as response:
        assert "data: [DONE]" in list(response.iter_lines())
    _, given = asking(None, desk.anthropic, "messages")
    with desk.anthropic.messages.stream(**given) as messages:
        message = messages.get_final_message()
    assert message.usage.output_tokens > 0
    desk.models.get("idle")
    calls = desk.models.get("books", after=str(desk.models.get("state")["calls"] - 6))["calls"]
    assert [each.amount for each in desk.charges()] == list(map(worth, calls))
    assert desk.nothing_is_held()


def test_embeddings_are_charged_for_what_goes_in(desk: Desk):
    desk.openai.embeddings.create(model="embed-test", input=["one text", "another"])
    assert (desk.charge().amount, last(desk.models)["billed"]["input_tokens"]) == (4, 4)


# Streams that break


@pytest.mark.parametrize("after", [1, 5, "content"])
@EVERY
def test_a_stream_that_is_cut_costs_what_was_delivered(desk: Desk, way: Way, after: Any):
    broken(desk.ask(way, stream=True, habits={"cut_after": after, "answer_tokens": 9}))
    call = last(desk.models)
    charge = desk.charge()
    assert (call["ended"], charge.amount) == ("cut", worth(call))
    assert (evidence(charge)["ended"], evidence(charge)["charged_by"]) == ("cut", "delivered")
    assert desk.nothing_is_held()


def test_an_end_that_nobody_has_told_is_a_cut(desk: Desk):
    read(desk.ask("chat", stream=True, habits={"cut_after": 3, "clean_cut": True}))
    assert (evidence(desk.charge())["ended"], desk.charge().amount) == ("cut", worth(last(desk.models)))


def test_a_stream_of_which_nothing_came_costs_nothing_unless_the_policy_says_so(make: Make):
    free, charged = make(), make(policy={"no_output": "charge"})
    for desk in (free, charged):
        broken(desk.ask("chat", stream=True, habits={"cut_after": 0}))
        assert desk.nothing_is_held()
    assert (free.charges(), charged.charge().amount) == ([], worth(last(charged.models)))


@pytest.mark.parametrize(("policy", "output"), [("input", 0), ("nothing", None)])
def test_a_policy_says_what_a_cut_stream_costs(make: Make, policy: str, output: int | None):
    desk = make(policy={"broken": policy})
    broken(desk.ask("chat", stream=True, habits={"cut_after": 4}))
    found = [(each.usage.dimensions["output_tokens"], evidence(each)["charged_by"]) for each in desk.charges()]
    assert found == ([] if output is None else [(output, policy)])
    assert desk.nothing_is_held()


# Errors of the provider


@EVERY
def test_an_error_inside_a_stream_costs_what_was_delivered_unless_the_policy_says_so(make: Make, way: Way):
    for policy in ("charge", "nothing"):
        desk = make(policy={"error": policy})
        stream = desk.ask(way, stream=True, habits={"fail": "overloaded", "fail_after": 3})
        read(stream, swallow=Exception)
        call = last(desk.models)
        assert (call["ended"], call["billed"]["output_tokens"]) == ("failed", 3)
        assert [each.amount for each in desk.charges()] == ([worth(call)] if policy == "charge" else [])
        assert desk.nothing_is_held()


# Readers who leave


def test_by_the_providers_figures_the_rest_is_read_for_who_has_left(make: Make):
    desk = make(policy={"broken": "provider"})
    stream = desk.ask("chat", stream=True, habits={"answer_tokens": 30})
    read(stream, 3)
    stream.close()
    charge, call = desk.charge(), last(desk.models)
    assert (charge.amount, call["ended"], call["billed"]["output_tokens"]) == (worth(call), "finished", 30)
    assert evidence(charge)["charged_by"] == "provider"


# Holds


def test_what_a_call_will_probably_cost_is_set_aside_meanwhile(make: Make):
    desk = make(policy={"factor": "1.5", "output_tokens": 20})
    stream = desk.ask("chat", stream=True, most=24)
    assert desk.ledger.balance(desk.account).held == 11 + 240  # 7 tokens by half more, and no more than it may have
    read(stream)
    assert desk.nothing_is_held()


@pytest.mark.parametrize(("policy", "held"), [({"hold": "fixed", "fixed": "77"}, 77), ({"hold": "nothing"}, 0)])
def test_a_policy_says_what_is_set_aside(make: Make, policy: dict[str, str], held: int):
    desk = make(policy=policy)
    stream = desk.ask("chat", stream=True)
    assert desk.ledger.balance(desk.account).held == held
    read(stream)
    assert is_as_billed(desk)
    assert desk.nothing_is_held()


def test_who_can_not_pay_is_refused_before_the_model_is_asked(make: Make):
    desk = make(credits=100)
    before = desk.models.get("state")["calls"]
    with pytest.raises(farthing.InsufficientCredits) as refused:
        desk.ask("chat", stream=True)
    assert int(refused.value.available) == 100
    assert desk.models.get("state")["calls"] == before


def test_more_is_set_aside_while_a_stream_goes_on_and_what_was_delivered_is_reported(make: Make):
    desk = make(policy={"output_tokens": 10, "factor": "1"})
    stream = desk.ask("chat", stream=True, habits={"answer_tokens": 60, "hold_after": 50})
    read(stream, 51)
    assert settled(desk.ledger)
    (hold,) = desk.ledger.holds.list(desk.account, state="live")
    assert hold.amount > 107
    assert 7 + 10 < hold.metered <= 7 + 500
    desk.models.post("release")
    read(stream)
    assert is_as_billed(desk)
    assert desk.nothing_is_held()


def test_a_stream_that_can_not_be_paid_any_more_ends_where_the_policy_says_so(make: Make):
    stops, goes_on = (
        make(credits=120, policy={"output_tokens": 10, "factor": "1", "report_tokens": 5, "spent": spent})
        for spent in ("stop", "go_on")
    )
    # It would take long enough for the ledger to say that there is no more.
    stream = stops.ask("chat", stream=True, most=10_000, habits={"answer_tokens": 6_000, "chunk_seconds": 0.01})
    with pytest.raises(farthing.InsufficientCredits):
        read(stream)
    stream.close()
    charge = stops.charge()
    assert (10 <= charge.usage.dimensions["output_tokens"] < 6_000, evidence(charge)["ended"]) == (True, "cut")
    read(goes_on.ask("chat", stream=True, habits={"answer_tokens": 80}))
    assert (goes_on.charge().amount, goes_on.charge().debt) == (807, 687)


# Prices


@pytest.mark.parametrize("stream", [False, True])
def test_what_has_no_price_is_charged_at_the_standard_one(desk: Desk, stream: bool):
    answer = desk.ask("chat", stream=stream, habits={"service_tier": "priority"})
    if stream:
        read(answer)
    charge = desk.charge()
    assert charge.amount == worth(last(desk.models))
    assert evidence(charge).get("unpriced", {"service_tier": "priority"}) == {"service_tier": "priority"}


# Whose call it is


def test_a_call_is_for_the_account_that_its_block_says(make: Make):
    one, other = make(), make()
    with metering(account=other.account, metadata={"turn": 3}, chat="c-1", policy={"hold": "nothing"}):
        one.ask("chat", stream=False)
    assert one.charges() == []
    charge = other.charge()
    assert (charge.metadata["turn"], charge.usage.chat, charge.hold) == (3, "c-1", None)
    assert evidence(charge)["policy"] == {"hold": "nothing"}


def test_without_an_account_no_call_is_made(ledger: Any, vendors: Vendors):
    api = meter(vendors.openai, ledger=ledger)
    with pytest.raises(ValueError, match="whose call is it"):
        api.embeddings.create(model="m", input="x")


def test_the_client_that_was_given_stays_as_it_was(make: Make, vendors: Vendors):
    kept = copy.copy(vendors.openai.__dict__)
    desk = make()
    assert isinstance(desk.openai, openai.OpenAI)
    vendors.openai.embeddings.create(model="m", input="x")
    assert {name for name in vendors.openai.__dict__ if name not in kept} <= {"embeddings"}
    assert desk.charges() == []
    desk.openai.with_options(timeout=20).embeddings.create(model="m", input="abcd")
    meter(desk.openai, ledger=desk.ledger, account=desk.account).embeddings.create(model="m", input="abcd")
    assert [each.amount for each in desk.charges()] == [1, 1]


def test_what_asks_no_model_is_left_alone(desk: Desk):
    assert desk.openai.models.list().data
    assert desk.anthropic.messages.count_tokens(model="m", messages=[{"role": "user", "content": "x"}]).input_tokens
    assert desk.charges() == []


def test_what_can_not_be_meant_is_refused_at_once(ledger: Any, vendors: Vendors):
    with pytest.raises(ValueError, match="metering: Invalid enum value 'half'"):
        meter(vendors.openai, ledger=ledger, policy={"hold": "half"})
    with pytest.raises(TypeError, match=r"must be an asynchronous one: farthing\.aconnect"):
        meter(openai.AsyncOpenAI(api_key="k"), ledger=ledger)
    with pytest.raises(TypeError, match="not dict"):
        meter({}, ledger=ledger)


# What the workspace says


def test_a_workspace_says_what_its_services_hold(tmp_path: Path, vendors: Vendors, models: Remote):
    document = {"policy": {"hold": "fixed", "fixed": "5"}, "services": {"batch": {"fixed": "6"}}}
    with open_ledger(tmp_path) as own:
        own.settings.change(metering=json.dumps(document))
        for service, policy, held in (("chat", None, 5), ("batch", None, 6), ("batch", {"fixed": 7}, 7)):
            desk = Desk(own, vendors, models, service=service, policy=policy)
            stream = desk.ask("chat", stream=True)
            assert own.balance(desk.account).held == held
            read(stream)
            assert (desk.charge().usage.service, is_as_billed(desk)) == (service, True)
        for wrong in ('{"policy": {"hold": "half"}}', '{"services": {"a": {"factor": "x"}}}', "{"):
            with pytest.raises(farthing.Invalid, match="metering: "):
                own.settings.change(metering=wrong)
        assert json.loads(own.settings.get().metering) == document


# Counting, and the page


def test_a_text_in_pieces_has_as_many_tokens_as_in_one():
    text = "Grüße, 世界! \U0001f600 naïve \x00 " * 7
    count = Count()
    for letter in text:
        count.add(letter)
    assert count.tokens == count_tokens(text)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_events_are_put_together_from_any_pieces(size: int, end: bytes):
    events = [b"event: a", b"data: 1", b"", b"data: 2", b"data: 3", b"", b"data: [DONE]", b"", b""]
    data, frames = end.join(events), Frames()
    found = [frames.payload(each) for at in range(0, len(data), size) for each in frames.feed(data[at : at + size])]
    assert (found, frames.rest) == ([b"1", b"2\n3", b"[DONE]"], b"")


PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "metering.md").read_text()


def test_the_first_example_of_the_page_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    code, *others = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == printed
    for each in others:
        compile(each, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_page_has_every_word_of_a_policy():
    assert [field.name for field in fields(Policy) if f"`{field.name}`" not in PAGE] == []
    (document,) = re.findall(r"set metering '(.*)'", PAGE)
    check_metering(document)


# By hand


def test_a_block_is_charged_by_what_was_said_in_it(desk: Desk):
    with metered(desk.ledger, desk.account, model="m", prompt="Tell me.", most_output=50) as call:
        assert call.hold is not None
        call.used(input_tokens=7)
        call.used(output_tokens=5, reasoning_tokens=2)
    assert (desk.charge().amount, call.settled and call.settled.amount) == (57, 57)


def test_a_block_that_says_nothing_or_fails_costs_nothing(desk: Desk):
    with metered(desk.ledger, desk.account, model="m"):
        pass
    with pytest.raises(OSError), metered(desk.ledger, desk.account, model="m"):
        raise OSError
    assert desk.charges() == []
    assert desk.nothing_is_held()


def test_a_block_that_breaks_costs_what_was_delivered(desk: Desk):
    with pytest.raises(OSError), metered(desk.ledger, desk.account, model="m", prompt="abcdabcd") as call:  # noqa: PT012
        for _ in range(3):
            call.delivered("word")
        raise OSError("gone")
    charge = desk.charge()
    assert (charge.amount, evidence(charge)["error"]) == (2 + 4 + 30, "OSError: gone")


def test_counts_must_be_counts(desk: Desk):
    with metered(desk.ledger, desk.account, model="m") as call, pytest.raises(ValueError, match="from zero up"):
        call.used(output_tokens=-1)


# On an event loop


async def _tasks(path: str, models: Remote) -> None:
    async with (
        farthing.aconnect(path) as ledger,
        openai.AsyncOpenAI(
            base_url=f"{models.url}/v1", api_key="k", max_retries=0, http_client=httpx2.AsyncClient(verify=False)
        ) as api,
    ):
        await ledger.rate_cards.put(CARD, reason="The first")
        await ledger.grant("alice", PLENTY)
        made = meter(api, ledger=ledger, account="alice")
        _, given = asking(api, None, "chat")
        with metering(metadata={"is": "whole"}):
            assert (await made.chat.completions.create(**given)).usage
        with metering(metadata={"is": "streamed"}):
            assert [chunk async for chunk in await made.chat.completions.create(**given, stream=True)]
        with metering(metadata={"is": "helped"}):
            async with made.chat.completions.stream(**given) as helper:
                assert (await helper.get_final_completion()).choices
        with metering(metadata={"is": "cut"}), pytest.raises(openai.APIConnectionError):  # noqa: PT012
            headers = {HEADER: '{"cut_after": 4}'}
            async for _ in await made.chat.completions.create(**given, stream=True, extra_headers=headers):
                pass
        for place, policy in (("cancelled", "delivered"), ("drained", "provider")):
            await _cancelled(made, given, place, policy, models)
        await _cancelled_before(made, given, models)
        async with metered(ledger, "alice", model="m", prompt="abcd", metadata={"is": "by hand"}) as call:
            call.used(output_tokens=3)
        assert await asettled(ledger)
        assert (await ledger.balance("alice")).held == 0
        found = {(each.metadata or {})["is"]: each async for each in ledger.charges.list("alice")}
    assert found.keys() == {"whole", "streamed", "helped", "cut", "cancelled", "drained", "by hand"}
    assert found.pop("by hand").amount == 5 + 30
    assert evidence(found["cancelled"])["ended"] == "left"
    for charge in found.values():
        assert charge.amount == worth(booked(models, evidence(charge)["answer"])), charge.metadata


async def _held(models: Remote) -> None:
    while not (await asyncio.to_thread(models.get, "state"))["held"]:  # noqa: ASYNC110 - it is another thread's
        await asyncio.sleep(0.01)


async def _cancelled(made: Any, given: dict[str, Any], name: str, policy: str, models: Remote) -> None:
    read = asyncio.Event()

    async def follow() -> None:
        headers = {HEADER: '{"hold_after": 5}'}
        with metering(metadata={"is": name}, policy={"broken": policy}):
            stream = await made.chat.completions.create(**given, stream=True, extra_headers=headers)
        taken = 0
        async for _ in stream:
            taken += 1
            if taken == 6:
                read.set()

    task = asyncio.create_task(follow())
    await read.wait()
    await _held(models)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if policy == "provider":
        models.post("release")


async def _cancelled_before(made: Any, given: dict[str, Any], models: Remote) -> None:
    headers = {HEADER: '{"hold_after": 0}'}
    task = asyncio.create_task(made.chat.completions.create(**given, extra_headers=headers))
    await _held(models)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_tasks_are_metered_alike_also_where_they_are_cancelled(tmp_path: Any, models: Remote):
    asyncio.run(_tasks(f"sqlite:///{tmp_path}/credits.db", models))
