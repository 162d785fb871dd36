"""Bad input and bad luck, with the vendors' own libraries, in threads and on an event loop: who leaves, what fails,
what is told badly, and what is more than there is. Each is charged as the policy says, and says why.

What the issue names, and where it is:

- the customer disconnects before the first token, in the middle, after the last: `test_who_leaves_*`,
  `test_a_customer_who_*`, `test_a_stream_that_nobody_keeps_*`; of a web application: test_asgi.py
- the provider errors before, during and after: `test_an_error_*`, `test_an_answer_*`, `test_a_provider_*`
- no usage frame, one twice, zero: `test_usage_*`; cached and reasoning tokens: `test_cached_*`; loops with tools:
  `test_a_loop_*`, and test_clients.py
- parallel calls that together exceed the balance: `test_calls_*`
- the ledger unreachable at hold and at settle, the process killed in the middle: test_meter_trouble.py; and the job run
  again: test_keys.py
"""

import asyncio
import gc
import json
import socket
import threading
import types
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import anthropic
import httpx2
import openai
import pydantic
import pytest

import farthing
from farthing.client.errors import Unavailable
from farthing.core.metering import Policy
from farthing.fakes.models import HEADER, Remote
from farthing.llm import meter, metering
from farthing.llm.call import ModelCall
from farthing.llm.following import AsyncFollow, Follow
from farthing.llm.reading import Asked
from farthing.llm.settling import AsyncSettler, async_settler_of, settler_of
from farthing.llm.terms import Terms
from tests.api.serving import wait_for
from tests.client.driving import Kind
from tests.llm.ledgers import Desk, evidence, open_ledger, read, worth
from tests.llm.sides import AsyncDesk, Drawn, Side, side_of
from tests.llm.vendors import Vendors, Way, asking, billed, last

pytestmark = pytest.mark.xdist_group("models")

TERMS = Terms(account="alice", policy=Policy())
EVERY = pytest.mark.parametrize("way", ["chat", "responses", "messages"])
BOTH = pytest.mark.parametrize("way", ["chat", "messages"])
BROKEN = (openai.OpenAIError, anthropic.AnthropicError, httpx2.HTTPError)


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory, vendors: Vendors, models: Remote) -> Iterator[Side]:
    with side_of("sync", tmp_path_factory.mktemp("threads"), vendors, models) as found:
        yield found


@pytest.fixture(scope="module")
def event_loop(tmp_path_factory: pytest.TempPathFactory, vendors: Vendors, models: Remote) -> Iterator[Side]:
    with side_of("async", tmp_path_factory.mktemp("loop"), vendors, models) as found:
        yield found


@pytest.fixture(params=["sync", "async"])
def side(request: pytest.FixtureRequest, threads: Side, event_loop: Side) -> Side:
    kind: Kind = request.param
    return threads if kind == "sync" else event_loop


@pytest.fixture
def desk(side: Side) -> Desk:
    return side.desk()


def taken(stream: Any, tokens: int) -> None:
    """Read it until so many tokens have come, each of four letters."""
    text = ""
    while len(text) < 4 * tokens:
        event = next(stream)
        choices = getattr(event, "choices", None)
        delta = choices[0].delta.content if choices else getattr(event, "delta", "")
        text += delta if isinstance(delta, str) else getattr(delta, "text", None) or ""


def how(desk: Desk) -> tuple[str, str]:
    """How the only charge came about."""
    facts = evidence(desk.charge())
    return facts["ended"], facts["charged_by"]


# The customer leaves


@EVERY
def test_who_leaves_before_the_first_token_pays_nothing(desk: Desk, way: Way):
    desk.ask(way, stream=True, habits={"hold_after": 0}).close()
    assert desk.nothing_is_held()
    assert desk.charges() == []


@EVERY
def test_who_leaves_in_the_middle_pays_what_he_has_got(desk: Desk, way: Way):
    stream = desk.ask(way, stream=True, habits={"hold_after": 4})
    taken(stream, 4)
    stream.close()
    call = last(desk.models)
    assert (call["ended"], desk.charge().amount) == ("left", worth(call))
    assert how(desk) == ("left", "delivered")
    assert desk.nothing_is_held()


@EVERY
def test_who_leaves_after_the_last_token_pays_all(desk: Desk, way: Way):
    stream = desk.ask(way, stream=True, habits={"answer_tokens": 7})
    taken(stream, 7)
    stream.close()
    assert desk.charge().amount == worth(last(desk.models))
    assert desk.nothing_is_held()


@EVERY
def test_who_leaves_when_he_has_heard_why_it_ends_pays_the_providers_figures(desk: Desk, way: Way):
    habits = {"answer_tokens": 7, "reasoning_tokens": 30}
    stream = desk.ask(way, stream=True, habits=habits)
    for event in stream:
        choices = getattr(event, "choices", None)
        if (choices and choices[0].finish_reason) or event.to_dict().get("type") in ("message_delta", ENDS[way]):
            break
    stream.close()
    call = last(desk.models)
    assert call["billed"]["output_tokens"] == 37
    assert desk.charge().amount == worth(call)
    assert evidence(desk.charge())["sources"]["output_tokens"] == "reported"


ENDS = {"chat": "", "responses": "response.completed", "messages": "message_delta"}


@BOTH
def test_a_customer_who_is_cut_off_at_any_moment_leaves_nothing_held_and_pays_no_more_than_is_billed(
    event_loop: Side, way: Way
):
    desk = event_loop.desk()
    assert isinstance(desk, AsyncDesk)

    async def flow() -> None:
        ask, given = asking(desk.openai, desk.anthropic, way)
        await ask(**given)
        stream = await ask(**given, stream=True)
        async for _ in stream:
            pass

    before = desk.models.get("state")["calls"]
    moments = 0
    while desk.runner.run(cancelled_at(flow(), moments)):
        moments += 1
    assert moments > 5
    assert desk.nothing_is_held()
    desk.models.get("idle")
    calls = desk.models.get("books", after=str(before))["calls"]
    bills = {call["id"]: worth(call) for call in calls}
    charges = desk.charges()
    assert all(each.amount <= bills[evidence(each)["answer"]] for each in charges if "answer" in evidence(each))
    assert len({evidence(each).get("answer", each.id) for each in charges}) == len(charges) <= len(calls)
    # The last time nobody interfered.
    assert [each.amount for each in charges[-2:]] == list(map(worth, calls[-2:]))


async def cancelled_at(work: Any, moment: int) -> bool:
    """Whether it was cancelled where it waits for something the so manieth time."""
    loop, waits, was = asyncio.get_running_loop(), 0, False

    @types.coroutine
    def stepped() -> Any:
        nonlocal waits, was
        error: BaseException | None = None
        while True:
            try:
                wait = work.send(None) if error is None else work.throw(error)
            except StopIteration:
                return
            if waits == moment:
                was = True
                loop.call_soon(task.cancel)
            waits, error = waits + 1, None
            try:
                yield wait
            except BaseException as thrown:
                error = thrown

    async def run() -> None:
        await stepped()

    task = asyncio.ensure_future(run())
    with suppress(asyncio.CancelledError, *BROKEN):
        await task
    return was


@EVERY
def test_a_stream_that_nobody_keeps_is_charged_for_what_was_taken(desk: Desk, way: Way):
    stream = desk.ask(way, stream=True, habits={"hold_after": 4})
    taken(stream, 4)
    del stream
    gc.collect(1)
    while not desk.charges():  # an event loop clears up in tasks of its own
        threading.Event().wait(0.01)
    assert desk.nothing_is_held()
    assert (desk.charge().amount, how(desk)) == (worth(last(desk.models)), ("left", "delivered"))


@pytest.mark.parametrize("whole", [True, False])
@EVERY
def test_what_was_streamed_is_let_go_of_before_garbage_is_collected(
    desk: Desk, way: Way, whole: bool, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    followed: WeakSet[Any] = WeakSet()
    for kind in (Follow, AsyncFollow):
        monkeypatch.setattr(kind, "__init__", noting(kind.__init__, followed))

    def stream() -> None:
        answer = desk.ask(way, stream=True, habits={"answer_tokens": 5} if whole else {"hold_after": 4})
        if whole:
            answer.read() if isinstance(answer, Drawn) else list(answer)
        else:
            taken(answer, 4)
            answer.close()

    gc.disable()
    try:
        stream()
        assert len(desk.charges()) == 1
        wait_for(lambda: desk.settled() and not followed)  # an event loop clears up in tasks of its own
    finally:
        gc.enable()


def noting(init: Any, made: WeakSet[Any]) -> Any:
    def noted(self: Any, *args: Any) -> None:
        made.add(self)
        init(self, *args)

    return noted


@EVERY
def test_a_stream_that_is_taken_apart_as_garbage_is_charged_once(side: Side, way: Way):
    desk = side.desk(policy={"on_expiry": "all"})

    def drop() -> None:
        stream = desk.ask(way, stream=True, habits={"hold_after": 4})
        taken(stream, 4)
        ring: list[Any] = [stream]
        ring.append(ring)

    drop()
    gc.collect()
    while not desk.charges():
        threading.Event().wait(0.01)
    # What was charged was taken out of the hold, which would be charged once more when it expires.
    assert desk.nothing_is_held()
    assert (desk.charge().amount, how(desk)) == (worth(last(desk.models)), ("left", "delivered"))


@EVERY
def test_the_rest_is_read_by_the_policy_however_often_a_stream_is_closed(side: Side, way: Way):
    desk = side.desk(policy={"broken": "provider"})
    stream = desk.ask(way, stream=True, habits={"answer_tokens": 30})
    taken(stream, 4)
    stream.close()
    stream.close()
    del stream
    wait_for(desk.charges)
    assert how(desk) == ("finished", "provider")
    assert desk.charge().amount == worth(last(desk.models)) > 300


def test_who_gives_up_waiting_has_the_rest_read_by_the_policy(event_loop: Side):
    desk = event_loop.desk(policy={"broken": "provider"})
    habits = {HEADER: json.dumps({"answer_tokens": 30, "hold_after": 4})}
    _, given = asking(desk.openai, desk.anthropic, "chat")

    async def gives_up() -> None:
        api: Any = desk.openai.chat.completions.with_streaming_response
        async with api.create(**given, stream=True, extra_headers=habits) as response:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    async for _ in response.iter_lines():
                        pass
            await asyncio.to_thread(desk.models.post, "release")
            await asyncio.sleep(0.1)

    assert isinstance(desk, AsyncDesk)
    desk.runner.run(gives_up())
    wait_for(desk.charges)
    assert how(desk) == ("finished", "provider")
    assert desk.charge().amount == worth(last(desk.models)) > 300


@pytest.mark.parametrize("key", [None, "a job"])
@EVERY
def test_a_hold_of_which_nothing_was_read_is_found_by_its_key(
    side: Side, way: Way, key: str | None, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    # As where somebody was interrupted in the middle of reading what the ledger has said of it.
    monkeypatch.setattr(
        ModelCall, "_unread", property(lambda call: lambda: None, lambda call, read: None), raising=False
    )
    desk = side.desk(policy={"on_expiry": "all"})
    with metering(key=key and f"{key} {side.kind} {way}"):
        assert read(desk.ask(way, stream=True, habits={"answer_tokens": 5}))
    assert desk.nothing_is_held()
    assert desk.charge().amount == worth(last(desk.models))


def test_what_is_left_when_its_ledger_is_closed_is_put_on_the_shelf(vendors: Vendors, models: Remote, tmp_path: Path):
    with open_ledger(tmp_path) as ledger:
        ledger.grant("alice", 100_000)
    shelf = tmp_path / "journal"
    url = f"sqlite:///{tmp_path}/credits.db"
    with farthing.connect(url, on_unavailable="queue", journal=str(shelf)) as ledger:
        api = meter(vendors.openai, ledger=ledger, account="alice")
        question: Any = [{"role": "user", "content": "Hi!!"}]
        stream = api.chat.completions.create(
            model="m", messages=question, stream=True, extra_headers={HEADER: json.dumps({"hold_after": 4})}
        )
        taken(stream, 4)
    ring: list[Any] = [stream]
    ring.append(ring)
    del stream, ring
    gc.collect()
    wait_for(lambda: list(shelf.rglob("parked/*.json")))
    (file,) = shelf.rglob("parked/*.json")
    assert b'"output_tokens"' in file.read_bytes()
    models.post("release")


def test_a_settlement_that_is_cancelled_is_asked_for_once_more_and_others_are_tried_as_ever(
    event_loop: Side, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    asked: list[Any] = []

    async def ask(self: AsyncSettler, steps: Any, first: Any = None) -> None:
        asked.append(steps)
        raise Unavailable("for a test", code="unavailable", status=503)

    async def main() -> bool:
        settler, call = async_settler_of(event_loop.ledger), ModelCall(Asked(model="m", operation="chat"), TERMS)
        tasks = [settler.settle(call), settler.settle(call)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        assert tasks[0].cancelled()
        times = len(asked)
        await asyncio.sleep(0.4)
        goes_on = not tasks[1].done() and len(asked) > times
        tasks[1].cancel()
        await asyncio.wait(tasks)
        return goes_on and times == 3

    assert event_loop.runner is not None
    with monkeypatch.context() as patch:
        patch.setattr(AsyncSettler, "ask", ask)
        assert event_loop.runner.run(main())


def test_a_client_may_be_used_on_one_loop_after_the_other(models: Remote, tmp_path: Path):
    url = f"sqlite:///{tmp_path}/credits.db"
    with open_ledger(tmp_path) as ledger:
        ledger.grant("alice", 100_000)
    question: Any = [{"role": "user", "content": "Hi!!"}]

    async def asks(ledger: farthing.AsyncClient) -> None:
        async with httpx2.AsyncClient() as http:
            vendor = openai.AsyncOpenAI(base_url=f"{models.url}/v1", api_key="k", http_client=http)
            await meter(vendor, ledger=ledger, account="alice").chat.completions.create(model="m", messages=question)

    client = asyncio.run(_opened(url))
    for _ in range(3):
        asyncio.run(asks(client))
    with farthing.connect(url) as ledger:
        assert len(list(ledger.charges.list("alice"))) == 3
        assert ledger.balance("alice").held == 0


async def _opened(url: str) -> farthing.AsyncClient:
    return await farthing.aconnect(url)


def test_an_answer_that_is_dropped_in_the_middle_of_a_settlement_does_not_wait_for_it(threads: Side):
    desk = threads.desk()
    settler = settler_of(desk.ledger)

    def drop() -> None:
        stream = desk.ask("chat", stream=True, habits={"answer_tokens": 5})
        read(stream, 3)
        # As where memory is cleared up while this thread is about to hand on another call.
        with settler._turn:
            del stream
            gc.collect(1)

    thread = threading.Thread(target=drop, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert desk.nothing_is_held()
    assert len(desk.charges()) == 1


@pytest.mark.parametrize("how", ["left", "cancelled", "drained"])
def test_a_loop_that_ends_meanwhile_has_settled_what_was_left(models: Remote, tmp_path: Path, how: str):
    url = f"sqlite:///{tmp_path}/credits.db"
    with open_ledger(tmp_path) as ledger:
        ledger.grant("alice", 100_000)

    async def reads(ledger: farthing.AsyncClient) -> None:
        policy = {"broken": "provider"} if how == "drained" else None
        async with httpx2.AsyncClient() as http:
            vendor = openai.AsyncOpenAI(base_url=f"{models.url}/v1", api_key="k", http_client=http)
            api = meter(vendor, ledger=ledger, account="alice", policy=policy)
            habits = {HEADER: json.dumps({"hold_after": 4})}
            question: Any = [{"role": "user", "content": "Hi!!"}]
            stream = await api.chat.completions.create(model="m", messages=question, stream=True, extra_headers=habits)
            try:
                for _ in range(4):
                    await anext(stream)
                if how == "cancelled":
                    await asyncio.Event().wait()
            finally:
                await stream.close()

    async def main() -> None:
        # Nobody closes it: it is the loop that ends.
        task = asyncio.create_task(reads(await farthing.aconnect(url)))
        await asyncio.wait([task], timeout=0.5 if how == "cancelled" else None)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    with farthing.connect(url) as ledger:
        (charge,) = ledger.charges.list("alice")
        assert ledger.balance("alice").held == 0
    assert charge.amount >= 5 + 30


# The provider fails


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", ["server_error", "html"])
@BOTH
def test_an_error_before_the_answer_costs_nothing(desk: Desk, way: Way, failure: str, stream: bool):
    with pytest.raises(BROKEN):
        desk.ask(way, stream=stream, habits={"fail": failure})
    assert desk.nothing_is_held()
    assert desk.charges() == []


@pytest.mark.parametrize("habit", [{"fail": "overloaded", "fail_after": 3}, {"cut_after": 3}])
@EVERY
def test_an_error_in_the_middle_costs_what_was_delivered(desk: Desk, way: Way, habit: dict[str, Any]):
    read(desk.ask(way, stream=True, habits=habit), swallow=Exception)
    call = last(desk.models)
    assert (call["billed"]["output_tokens"], desk.charge().amount) == (3, worth(call))
    assert how(desk) == ("failed" if "fail" in habit else "cut", "delivered")
    assert desk.nothing_is_held()


@pytest.mark.parametrize("habit", [{"fail": "overloaded", "fail_after": "usage"}, {"cut_after": "usage"}])
@BOTH
def test_an_error_after_the_usage_costs_what_was_told(desk: Desk, way: Way, habit: dict[str, Any]):
    read(desk.ask(way, stream=True, habits={**habit, "reasoning_tokens": 9}), swallow=Exception)
    call = last(desk.models)
    assert call["billed"]["reasoning_tokens"] == 9
    assert desk.charge().amount == worth(call)
    assert evidence(desk.charge())["sources"]["output_tokens"] == "reported"
    assert desk.nothing_is_held()


@pytest.mark.parametrize("stream", [False, True])
@BOTH
def test_what_the_library_tries_again_is_held_for_and_charged_once(
    desk: Desk, way: Way, stream: bool, monkeypatch: pytest.MonkeyPatch
):
    for library in (openai, anthropic):
        monkeypatch.setattr(library._base_client, "INITIAL_RETRY_DELAY", 0.001)
    desk.models.post("next", calls=[{"fail": "server_error", "times": 2}])
    desk.openai, desk.anthropic = (api.with_options(max_retries=3) for api in (desk.openai, desk.anthropic))
    ask, given = asking(desk.openai, desk.anthropic, way)
    before = desk.models.get("state")["calls"]
    answer = desk.done(ask(**given, stream=stream))
    if stream:
        read(answer)
    calls = desk.models.get("books", after=str(before))["calls"]
    assert [call["ended"] for call in calls] == ["refused", "refused", "finished"]
    assert desk.charge().amount == worth(calls[-1])
    assert len(list(desk.ledger.entries(desk.account, kinds="hold"))) == 1
    assert desk.nothing_is_held()


@BOTH
def test_an_answer_that_takes_too_long_costs_what_the_policy_says(side: Side, way: Way):
    for policy, charged in (("nothing", []), ("input", [7])):
        desk = side.desk(policy={"lost": policy})
        short = httpx2.Timeout(60, read=0.1)
        desk.openai, desk.anthropic = (api.with_options(timeout=short) for api in (desk.openai, desk.anthropic))
        with pytest.raises((openai.APITimeoutError, anthropic.APITimeoutError)):
            desk.ask(way, stream=False, habits={"hold_after": 0})
        assert [each.amount for each in desk.charges()] == charged
        assert desk.nothing_is_held()


@BOTH
def test_an_answer_whose_connection_is_lost_costs_what_the_policy_says(side: Side, way: Way):
    for policy, charged in (("nothing", []), ("input", [7])):
        desk = side.desk(policy={"lost": policy})
        with pytest.raises(BROKEN):
            desk.ask(way, stream=False, habits={"cut_after": 3})
        assert [(each.amount, evidence(each)["ended"]) for each in desk.charges()] == [(n, "lost") for n in charged]
        assert desk.nothing_is_held()


@pytest.mark.parametrize("stream", [False, True])
@BOTH
def test_a_provider_who_was_never_reached_costs_nothing_by_any_policy(side: Side, way: Way, stream: bool):
    desk = side.desk(policy={"lost": "input", "no_output": "charge"})
    with socket.socket() as nobody:  # bound, and nobody listens
        nobody.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        desk.openai, desk.anthropic = (api.with_options(base_url=away) for api in (desk.openai, desk.anthropic))
        with pytest.raises(BROKEN):
            desk.ask(way, stream=stream)
    assert desk.charges() == []
    assert desk.nothing_is_held()


class Told(pydantic.BaseModel):
    """What an answer is to be, and is not."""

    mood: str


@pytest.mark.parametrize("most", [5, 1_000])
def test_an_answer_that_can_not_be_made_what_its_caller_wants_is_charged(desk: Desk, most: int):
    _, given = asking(desk.openai, None, "chat", most=most)
    for api, more in (
        (desk.openai.chat.completions, given),
        (desk.openai.responses, {"model": "gpt-test", "input": "How?", "max_output_tokens": max(most, 16)}),
        (desk.anthropic.messages, asking(None, desk.anthropic, "messages", most=most)[1]),
    ):
        before = len(desk.charges())
        wanted = "response_format" if "max_completion_tokens" in more else "text_format" if "input" in more else None
        with pytest.raises((openai.OpenAIError, pydantic.ValidationError)):
            desk.done(api.parse(**more, **{wanted or "output_format": Told}))
        charge = desk.charges()[before:][0]
        assert charge.amount == worth(last(desk.models))
        assert (evidence(charge)["ended"], "unusable" in evidence(charge)) == ("finished", True)
    assert desk.nothing_is_held()


# Usage that is told badly


@pytest.mark.parametrize("stream", [False, True])
@EVERY
def test_usage_that_is_not_told_is_estimated_and_marked(desk: Desk, way: Way, stream: bool):
    answer = desk.ask(way, stream=stream, habits={"usage": "missing"})
    if stream:
        read(answer)
    assert desk.charge().amount == worth(last(desk.models))
    assert how(desk) == ("finished", "estimate")
    assert set(evidence(desk.charge())["sources"].values()) == {"estimated"}


@pytest.mark.parametrize("usage", ["twice", "zero"])
@EVERY
def test_usage_that_is_told_twice_counts_once_and_zero_is_zero(desk: Desk, way: Way, usage: str):
    read(desk.ask(way, stream=True, habits={"usage": usage}))
    call = last(desk.models)
    assert (desk.charge().amount, desk.charge().amount > 0) == (worth(call), usage == "twice")
    assert how(desk) == ("finished", "provider")


@pytest.mark.parametrize("stream", [False, True])
@EVERY
def test_cached_and_reasoning_tokens_are_charged_as_parts(desk: Desk, way: Way, stream: bool):
    habits = {"input_tokens": 900, "cached_tokens": 512, "cache_write_tokens": 100, "reasoning_tokens": 30}
    answer = desk.ask(way, stream=stream, habits=habits)
    if stream:
        read(answer)
    charge, call = desk.charge(), last(desk.models)
    assert {name: int(n) for name, n in charge.usage.dimensions.items()} == billed(call)
    assert (charge.usage.dimensions["cache_read_tokens"], charge.amount) == (512, worth(call))


# Loops with tools


@BOTH
def test_a_loop_with_tools_is_charged_call_by_call(desk: Desk, way: Way):
    ask, given = asking(desk.openai, desk.anthropic, way, tools=True)
    habits = {HEADER: json.dumps({"tool_rounds": 2, "tool_calls": 2})}
    before, rounds = desk.models.get("state")["calls"], 0
    while True:
        answer = desk.done(ask(**given, extra_headers=habits))
        rounds += 1
        if not (said := results(answer)):
            break
        given["messages"] = [*given["messages"], *said]
    calls = desk.models.get("books", after=str(before))["calls"]
    assert (rounds, [each.amount for each in desk.charges()]) == (3, list(map(worth, calls)))
    assert desk.nothing_is_held()


def results(answer: Any) -> list[Any]:
    """An answer that calls tools, and what they have come to."""
    if hasattr(answer, "choices"):
        message = answer.choices[0].message
        called = message.tool_calls or []
        return called and [
            message.to_dict(), *({"role": "tool", "tool_call_id": each.id, "content": "fine"} for each in called)
        ]  # fmt: skip
    called = [part for part in answer.content if part.type == "tool_use"]
    told = [{"type": "tool_result", "tool_use_id": each.id, "content": "fine"} for each in called]
    said = [part.to_dict() for part in answer.content]
    return called and [{"role": "assistant", "content": said}, {"role": "user", "content": told}]


# Calls side by side


async def all_of(desk: AsyncDesk, way: Way, calls: int, **given: Any) -> list[int | None]:
    """How many events each call had that was let through; None: it was refused, or ended for want of credits."""
    ask, more = asking(desk.openai, desk.anthropic, way, most=given.pop("most"))

    async def one() -> int | None:
        taken = 0
        try:
            async for _ in await ask(**more, stream=True, extra_headers={HEADER: json.dumps(given)}):
                taken += 1
        except farthing.InsufficientCredits:
            return None
        return taken

    return await asyncio.gather(*[one() for _ in range(calls)])


def at_once(desk: Desk, way: Way, calls: int, **given: Any) -> list[int | None]:
    """The same, in threads or tasks."""
    if isinstance(desk, AsyncDesk):
        return desk.runner.run(all_of(desk, way, calls, **given))
    most = given.pop("most")
    found: list[int | None] = []

    def one() -> None:
        try:
            found.append(sum(1 for _ in desk.ask(way, stream=True, most=most, habits=given)))
        except farthing.InsufficientCredits:
            found.append(None)

    threads = [threading.Thread(target=one) for _ in range(calls)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return found


@BOTH
def test_calls_whose_holds_cover_them_never_take_more_than_there_is(side: Side, way: Way):
    # Each may cost 7 + 10 * 40, and does: of six there is enough for three, at any one time.
    desk = side.desk(credits=1_300, policy={"factor": "1", "output_tokens": 40})
    ended = at_once(desk, way, 6, most=40, answer_tokens=40)
    done = [each for each in ended if each is not None]
    assert ([each.amount for each in desk.charges()], len(done)) == ([407] * len(done), 3)
    assert (desk.ledger.balance(desk.account).debt, desk.nothing_is_held()) == (0, True)


@BOTH
def test_calls_that_end_where_the_credits_do_never_take_more_than_there_is(side: Side, way: Way):
    # Nothing is known of how long they get; three tokens come at a time.
    desk = side.desk(credits=1_300, policy={"factor": "1", "output_tokens": 5, "spent": "stop"})
    ended = at_once(desk, way, 6, most=10_000, answer_tokens=60, tokens_per_chunk=3)
    assert None in ended
    charges = desk.charges()
    assert 1_300 - 6 * 30 <= sum(each.amount for each in charges) <= 1_300
    assert [each.debt for each in charges] == [0] * len(charges)
    assert (desk.ledger.balance(desk.account).debt, desk.nothing_is_held()) == (0, True)


@BOTH
def test_calls_that_go_on_owe_no_more_than_they_cost_above_their_holds(side: Side, way: Way):
    desk = side.desk(credits=300, policy={"factor": "1", "output_tokens": 10, "extend": False})
    ended = at_once(desk, way, 4, most=10_000, answer_tokens=30)
    charges, balance = desk.charges(), desk.ledger.balance(desk.account)
    assert 0 < len(charges) == len([each for each in ended if each is not None]) < 4
    assert [each.amount for each in charges] == [307] * len(charges)
    assert 0 < balance.debt <= len(charges) * (307 - 107)
    assert balance.held == 0


def test_without_more_to_set_aside_a_stream_ends_with_its_hold(desk: Desk, side: Side):
    desk = side.desk(policy={"hold": "fixed", "fixed": "100", "extend": False, "spent": "stop"})
    assert at_once(desk, "chat", 1, most=10_000, answer_tokens=60) == [None]
    assert (desk.charge().amount, desk.charge().usage.dimensions["output_tokens"]) == (97, 9)


# What a workspace says is known to the first calls, too


def test_all_of_the_first_calls_are_by_what_the_workspace_says(tmp_path: Path, vendors: Vendors, models: Remote):
    with open_ledger(tmp_path) as ledger:
        ledger.settings.change(metering='{"policy": {"hold": "fixed", "fixed": "5"}}')
        desk = Desk(ledger, vendors, models)
        together, streams = threading.Barrier(5), []

        def ask() -> None:
            together.wait(60)
            streams.append(desk.ask("chat", stream=True))

        asking = [threading.Thread(target=ask) for _ in range(5)]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        assert ledger.balance(desk.account).held == 5 * 5
        for stream in streams:
            read(stream)
        assert desk.nothing_is_held()


def test_who_is_cancelled_while_that_is_read_leaves_it_to_the_next_one(
    tmp_path: Path, vendors: Vendors, models: Remote
):
    with side_of("async", tmp_path, vendors, models) as side:
        desk = side.desk()
        assert isinstance(desk, AsyncDesk)
        desk.ledger.settings.change(metering='{"policy": {"hold": "fixed", "fixed": "5"}}')
        ask, given = asking(desk.openai, desk.anthropic, "chat")
        assert desk.runner.run(cancelled_at(ask(**given), 0))
        stream = desk.ask("chat", stream=True)
        assert desk.ledger.balance(desk.account).held == 5
        read(stream)
        assert desk.nothing_is_held()
