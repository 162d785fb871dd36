"""LangChain's models with our handlers, on the stand-in: what is charged is what the provider's books say.

LangChain takes seconds to import: only who runs these tests does so, not who collects them.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing.client.errors import Unusable
from farthing.fakes.models import HEADER, Remote
from farthing.llm import asettled, metering, twice
from tests.llm.ledgers import CARD, PLENTY, Desk, evidence, open_ledger, worth
from tests.llm.vendors import Vendors, booked, last

pytestmark = pytest.mark.xdist_group("models")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened = open_ledger(tmp_path_factory.mktemp("ledger"))
    yield opened
    opened.close()


@pytest.fixture
def desk(ledger: Any, vendors: Vendors, models: Remote) -> Desk:
    return Desk(ledger, vendors, models)


@pytest.fixture(scope="module")
def model(models: Remote) -> Any:
    return made(models, stream_usage=True, max_tokens=1_000)


@pytest.fixture(scope="module")
def responses(models: Remote) -> Any:
    return made(models, use_responses_api=True)


def made(models: Remote, **more: Any) -> Any:
    """A model of LangChain's on the stand-in."""
    from langchain_openai import ChatOpenAI

    of: Any = ChatOpenAI
    return of(model="gpt-test", base_url=f"{models.url}/v1", api_key="k", max_retries=0, **more)


def by(desk: Desk, **said: Any) -> Any:
    """A configuration that has runs charged to a desk's account."""
    return {"callbacks": [handler(desk.ledger, account=desk.account, **said)]}


def handler(ledger: Any, **said: Any) -> Any:
    """A handler for threads."""
    from farthing.llm.langchain import CreditsHandler

    return CreditsHandler(ledger, **said)


def asynchronous(ledger: Any, **said: Any) -> Any:
    """A handler for asynchronous runs."""
    from farthing.llm.langchain import AsyncCreditsHandler

    return AsyncCreditsHandler(ledger, **said)


def meeting(**habits: Any) -> Any:
    """What a call is to meet."""
    return {"extra_headers": {HEADER: json.dumps(habits)}}


@pytest.fixture(scope="module")
def look() -> Any:
    from langchain_core.tools import tool

    def look(round: int) -> str:
        """Look around."""
        return f"Round {round}"

    return tool(look)


# What goes well


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("way", ["model", "responses"])
def test_a_run_is_charged_what_the_provider_bills_for_it(
    request: pytest.FixtureRequest, desk: Desk, way: str, stream: bool
):
    asked = request.getfixturevalue(way)
    if stream:
        assert len(list(asked.stream("How are you?", by(desk)))) > 2
    else:
        assert asked.invoke("How are you?", by(desk)).text
    call = last(desk.models)
    charge = desk.charge()
    facts = evidence(charge)
    assert (charge.amount, charge.hold is not None) == (worth(call), True)
    assert (facts["ended"], facts["charged_by"]) == ("finished", "provider")
    assert facts.get("answer", call["id"]) == call["id"]
    assert facts["delivered_tokens"] == call["billed"]["output_tokens"]
    assert desk.nothing_is_held()


def test_cached_and_reasoning_tokens_are_told_as_parts_and_the_tier_as_an_attribute(desk: Desk, model: Any):
    habits = {"input_tokens": 900, "cached_tokens": 512, "reasoning_tokens": 30, "service_tier": "priority"}
    for _ in model.stream("How are you?", by(desk), **meeting(**habits)):
        pass
    charge = desk.charge()
    counts = {name: int(count) for name, count in charge.usage.dimensions.items()}
    assert (counts["input_tokens"], counts["cache_read_tokens"], counts["reasoning_tokens"]) == (900, 512, 30)
    assert charge.usage.attributes == {"service_tier": "priority"}
    assert charge.amount == worth(last(desk.models))


def test_a_loop_with_tools_is_charged_run_by_run(desk: Desk, model: Any, look: Any):
    asked = model.bind_tools([look])
    messages: list[Any] = [("user", "How are you?")]
    while True:
        answer = asked.invoke(messages, by(desk), **meeting(tool_rounds=2, tool_calls=2))
        messages.append(answer)
        if not answer.tool_calls:
            break
        messages += [look.invoke(call) for call in answer.tool_calls]
    charges = desk.charges()
    ids = [evidence(charge)["answer"] for charge in charges]
    assert [charge.amount for charge in charges] == [worth(booked(desk.models, id)) for id in ids]
    assert len(charges) == 3
    # What goes in is estimated as it is billed, with tools, what they were called with, and what they have said.
    assert all(
        evidence(charge)["estimated_input_tokens"] == charge.usage.dimensions["input_tokens"] for charge in charges
    )  # fmt: skip


def test_runs_at_once_are_told_apart(ledger: Any, vendors: Vendors, models: Remote, model: Any):
    desks = [Desk(ledger, vendors, models) for _ in range(4)]
    made = handler(ledger, account_of=lambda metadata: metadata.get("payer"))
    questions = [f"Question {number} {'and more ' * number}" for number in range(4)]
    configs = [{"callbacks": [made], "metadata": {"payer": desk.account}} for desk in desks]
    answers = model.batch(questions, configs)
    for desk, answer in zip(desks, answers, strict=True):
        assert desk.charge().amount == worth(booked(models, answer.response_metadata["id"]))


def test_a_block_names_the_account_above_all(desk: Desk, model: Any):
    made = handler(desk.ledger, account="somebody", account_of=lambda metadata: "somebody else")
    with metering(account=desk.account, metadata={"page": "home"}):
        model.invoke("How are you?", {"callbacks": [made]})
    assert desk.charge().metadata["page"] == "home"


def test_metadata_name_no_account_by_themselves(desk: Desk, model: Any):
    config = {"callbacks": [handler(desk.ledger)], "metadata": {"account": desk.account}}
    with pytest.raises(ValueError, match="whose call is it"):
        model.invoke("How are you?", config)
    assert desk.charges() == []


def test_an_answer_out_of_a_cache_costs_nothing(desk: Desk, model: Any):
    from langchain_core.caches import InMemoryCache

    asked = model.model_copy(update={"cache": InMemoryCache()})
    first, again = asked.invoke("Once", by(desk)), asked.invoke("Once", by(desk))
    assert first.text == again.text
    assert desk.charge().amount > 0
    assert desk.nothing_is_held()


def test_a_model_that_completes_texts_is_charged_by_its_text(desk: Desk):
    from langchain_core.language_models import FakeListLLM

    asked = FakeListLLM(responses=["Four tokens of it"] * 2)
    asked.generate(["A prompt", "Another"], callbacks=by(desk)["callbacks"], metadata={"ls_model_name": "gpt-test"})
    charges = desk.charges()
    assert [evidence(charge)["charged_by"] for charge in charges] == ["estimate", "estimate"]
    assert [int(charge.usage.dimensions["output_tokens"]) for charge in charges] == [5, 5]


# What doesn't


def test_who_can_not_pay_is_refused_before_the_model_is_asked(
    ledger: Any, vendors: Vendors, models: Remote, model: Any
):
    poor = Desk(ledger, vendors, models, credits=100)
    before = models.get("state")["calls"]
    for ask in (model.invoke, lambda *given: list(model.stream(*given))):
        with pytest.raises(farthing.InsufficientCredits):
            ask("How are you?", by(poor))
    with pytest.raises(farthing.InsufficientCredits):
        asyncio.run(model.ainvoke("How are you?", by(poor)))
    assert models.get("state")["calls"] == before
    assert poor.charges() == []


def test_of_several_prompts_none_is_held_for_where_one_is_refused(
    ledger: Any, vendors: Vendors, models: Remote, tmp_path: Path
):
    from langchain_core.messages import HumanMessage

    model: Any = made(models)
    prompts: Any = [[HumanMessage(text)] for text in ("One", "Two", "Three")]
    desk = Desk(ledger, vendors, models, credits=15_000)
    with pytest.raises(farthing.InsufficientCredits):
        model.generate(prompts, callbacks=by(desk)["callbacks"])
    assert desk.nothing_is_held()
    assert len(list(ledger.holds.list(desk.account))) == 2

    async def on_a_loop() -> list[str]:
        own: Any
        async with farthing.aconnect(f"sqlite:///{tmp_path}/credits.db") as own:
            await own.rate_cards.put(CARD, reason="The first")
            await own.grant("alice", 15_000)
            with pytest.raises(farthing.InsufficientCredits):
                await model.agenerate(prompts, callbacks=[asynchronous(own, account="alice")])
            assert await asettled(own)
            return [each.state async for each in own.holds.list("alice")]

    assert asyncio.run(on_a_loop()) == ["released", "released"]


@pytest.mark.parametrize(
    ("habits", "ended"), [({"cut_after": 6}, "cut"), ({"fail": "server_error", "fail_after": 6}, "failed")]
)
@pytest.mark.parametrize("way", ["stream", "events"])
def test_a_stream_that_breaks_costs_what_was_delivered(
    desk: Desk, model: Any, way: str, habits: dict[str, Any], ended: str
):
    def read() -> None:
        if way == "stream":
            list(model.stream("How are you?", by(desk), **meeting(**habits)))
        else:
            list(model.stream_events("How are you?", by(desk), version="v3", **meeting(**habits)))

    with pytest.raises(Exception, match=r"Connection error|The server had an error"):
        read()
    charge = desk.charge()
    assert (charge.amount, evidence(charge)["ended"]) == (worth(last(desk.models)), ended)
    assert desk.nothing_is_held()


def test_tool_calls_that_are_cut_count_as_delivered(desk: Desk, model: Any, look: Any):
    asked = model.bind_tools([look])
    with pytest.raises(Exception, match="Connection error"):
        list(asked.stream("How are you?", by(desk), **meeting(tool_rounds=1, tool_calls=2, cut_after=5)))
    assert desk.charge().amount == worth(last(desk.models))


def test_a_reader_who_leaves_pays_for_what_he_has_taken(desk: Desk, model: Any):
    stream = model.stream("How are you?", by(desk), **meeting(answer_tokens=30, hold_after=8))
    taken = [next(stream) for _ in range(5)]
    stream.close()
    said = sum(bool(chunk.content) for chunk in taken)
    charge = desk.charge()
    assert (int(charge.usage.dimensions["output_tokens"]), evidence(charge)["ended"]) == (said, "left")
    desk.models.post("release")


def test_an_error_in_place_of_the_answer_costs_nothing(desk: Desk, model: Any):
    for stream in (False, True):
        with pytest.raises(Exception, match="Rate limit"):
            _ = list(model.stream("Hi", by(desk), **meeting(fail="rate_limited"))) if stream else model.invoke(
                "Hi", by(desk), **meeting(fail="rate_limited")
            )  # fmt: skip
    assert desk.charges() == []
    assert desk.nothing_is_held()


def test_a_run_that_is_tried_again_is_charged_once(desk: Desk, model: Any):
    desk.models.post("next", calls=[{"fail": "server_error", "containing": "Tried again"}])
    answer = model.with_retry(wait_exponential_jitter=False).invoke("Tried again", by(desk))
    assert desk.charge().amount == worth(booked(desk.models, answer.response_metadata["id"]))
    assert desk.nothing_is_held()


def test_usage_that_nobody_tells_is_estimated_by_what_came(desk: Desk, model: Any):
    for stream in (False, True):
        given = ("How are you?", by(desk))
        _ = list(model.stream(*given, **meeting(usage="missing"))) if stream else model.invoke(
            *given, **meeting(usage="missing")
        )  # fmt: skip
        assert desk.charges()[-1].amount == worth(last(desk.models))
    assert {evidence(charge)["charged_by"] for charge in desk.charges()} == {"estimate"}


def test_a_zero_that_is_told_is_zero(desk: Desk, model: Any):
    model.invoke("How are you?", by(desk), **meeting(usage="zero"))
    assert (desk.charge().amount, evidence(desk.charge())["charged_by"]) == (0, "provider")


def test_a_stream_ends_where_the_credits_do_if_the_policy_says_so(
    ledger: Any, vendors: Vendors, models: Remote, model: Any
):
    poor = Desk(ledger, vendors, models, credits=300)
    policy = {"spent": "stop", "output_tokens": 10, "factor": "1"}
    taken: list[Any] = []
    with pytest.raises(farthing.InsufficientCredits):
        taken.extend(model.stream("How are you?", by(poor, policy=policy), **meeting(answer_tokens=200)))
    charge = poor.charge()
    assert charge.amount <= 300
    assert int(charge.usage.dimensions["output_tokens"]) == sum(bool(chunk.content) for chunk in taken)


# Over a client that is metered, too


@pytest.mark.parametrize("stream", [False, True])
def test_over_a_metered_client_both_charge_and_the_log_says_so(
    desk: Desk, models: Remote, caplog: pytest.LogCaptureFixture, stream: bool
):
    twice._tell.cache_clear()
    api = desk.openai
    model = made(models, client=api.chat.completions, root_client=api, stream_usage=True)
    for _ in range(2):
        if stream:
            _ = list(model.stream("How are you?", by(desk)))
        else:
            model.invoke("How are you?", by(desk))
    assert len(desk.charges()) == 4
    assert len([record for record in caplog.records if "charged twice" in record.getMessage()]) == 1


def test_what_a_reader_asks_between_two_pieces_is_no_news(desk: Desk, models: Remote, caplog: pytest.LogCaptureFixture):
    twice._tell.cache_clear()
    stream = made(models, stream_usage=True).stream("How are you?", by(desk))
    next(stream)
    desk.ask("chat", stream=False)
    for _ in stream:
        pass
    assert ["run" in evidence(charge) for charge in desk.charges()] == [False, True]
    assert not [record for record in caplog.records if "charged twice" in record.getMessage()]


# On an event loop


def test_asynchronous_runs_are_charged_alike(desk: Desk, models: Remote, tmp_path: Path):
    async def play() -> None:
        model: Any = made(models, stream_usage=True, max_tokens=100)
        answer = await model.ainvoke("How are you?", by(desk))  # a ledger for threads will do
        assert desk.charge().amount == worth(booked(models, answer.response_metadata["id"]))
        ledger: Any
        async with farthing.aconnect(f"sqlite:///{tmp_path}/credits.db") as ledger:
            await ledger.rate_cards.put(CARD, reason="The first")
            await ledger.grant("alice", PLENTY)
            await ledger.grant("poor", 100)
            before = models.get("state")["calls"]
            config: Any = {"callbacks": [asynchronous(ledger, account="alice")]}
            with pytest.raises(farthing.InsufficientCredits), metering(account="poor"):
                await model.ainvoke("How are you?", config)
            await asyncio.gather(*[_astream(model, config, f"Question {number}") for number in range(3)])
            await model.ainvoke("How are you?", config)
            with pytest.raises(Exception, match="Connection error"):
                await _astream(model, config, "How are you?", cut_after=6)
            models.get("idle")
            calls = models.get("books", after=str(before))["calls"]
            await _astream(model, config, "How are you?", most=4, answer_tokens=30)
            assert await asettled(ledger)
            charges = [charge async for charge in ledger.charges.list("alice")]
            balance = await ledger.balance("alice")
        left = charges.pop(0)
        assert sorted(int(charge.amount) for charge in charges) == sorted(map(worth, calls))
        assert sorted(evidence(charge)["ended"] for charge in charges) == ["cut", *4 * ["finished"]]
        # The first of four chunks says nothing yet.
        assert (left.usage.dimensions["output_tokens"], evidence(left)["ended"], balance.held) == (3, "left", 0)

    asyncio.run(play())


async def _astream(model: Any, config: Any, text: str, most: int | None = None, **habits: Any) -> None:
    stream = model.astream(text, config, **meeting(**habits))
    taken = 0
    async for _ in stream:
        taken += 1
        if taken == most:
            break
    await stream.aclose()


def test_a_handler_for_asynchronous_runs_refuses_others(model: Any, models: Remote, tmp_path: Path):
    async def given() -> Any:
        async with farthing.aconnect(f"sqlite:///{tmp_path}/credits.db") as ledger:
            return asynchronous(ledger, account="alice")

    before = models.get("state")["calls"]
    with pytest.raises(Unusable, match="asynchronous runs alone"):
        model.invoke("How are you?", {"callbacks": [asyncio.run(given())]})
    assert models.get("state")["calls"] == before
