"""pydantic-ai's agents with our capability, on the stand-in: what is charged is what the provider's books say.

pydantic-ai takes seconds to import: only who runs these tests does so, not who collects them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

import farthing
from farthing.fakes.models import HEADER, Remote
from farthing.llm import asettled, meter, metering
from tests.llm.ledgers import CARD, PLENTY, Desk, evidence, open_ledger, worth
from tests.llm.vendors import Vendors, booked

BROKEN = r"Connection error|status_code: \d+"
pytestmark = pytest.mark.xdist_group("models")


class Bench:
    """A ledger, a model on the stand-in, and an agent that is charged to alice."""

    def __init__(self, ledger: Any, models: Remote, http: httpx2.AsyncClient) -> None:
        self.ledger = ledger
        self.models = models
        self.client = openai.AsyncOpenAI(base_url=f"{models.url}/v1", api_key="k", max_retries=0, http_client=http)
        self.model = self.on(self.client)
        self.before = models.get("state")["calls"]

    def on(self, client: Any, name: str = "gpt-test", *, responses: bool = False) -> Any:
        """A model that is asked by a client."""
        from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
        from pydantic_ai.providers.openai import OpenAIProvider

        kind: Any = OpenAIResponsesModel if responses else OpenAIChatModel
        return kind(name, provider=OpenAIProvider(openai_client=client))

    def agent(self, model: Any = None, account: str | None = "alice", more: Any = (), **said: Any) -> Any:
        """An agent; it takes what it is asked with as it is."""
        from pydantic_ai import Agent

        from farthing.llm.pydantic_ai import Credits

        return Agent(model or self.model, capabilities=[*more, Credits(self.ledger, account=account, **said)])

    async def charges(self, account: str = "alice") -> list[Any]:
        """What was charged, oldest first; nothing is held any more."""
        assert await asettled(self.ledger)
        assert (await self.ledger.balance(account)).held == 0
        return [charge async for charge in self.ledger.charges.list(account)][::-1]

    def calls(self) -> list[dict[str, Any]]:
        """What the books have since the beginning."""
        self.models.get("idle")
        found: list[dict[str, Any]] = self.models.get("books", after=str(self.before))["calls"]
        return found

    async def is_as_billed(self) -> bool:
        """Whether the charges are what the books have, each once, and nothing else."""
        charged = [int(charge.amount) for charge in await self.charges()]
        return charged == [worth(call) for call in self.calls() if call["ended"] != "refused"]


@pytest.fixture
def play(models: Remote, tmp_path: Path) -> Callable[[Callable[[Bench], Awaitable[None]]], None]:
    @asynccontextmanager
    async def bench() -> AsyncIterator[Bench]:
        async with farthing.aconnect(f"sqlite:///{tmp_path}/credits.db") as ledger, httpx2.AsyncClient() as http:
            await ledger.rate_cards.put(CARD, reason="The first")
            await ledger.grant("alice", PLENTY)
            yield Bench(ledger, models, http)

    async def played(act: Callable[[Bench], Awaitable[None]]) -> None:
        async with bench() as made:
            await act(made)

    return lambda act: asyncio.run(played(act))


def meeting(**habits: Any) -> Any:
    """What a request is to meet."""
    return {"extra_headers": {HEADER: json.dumps(habits)}, "max_tokens": 300}


async def read(agent: Any, *, most: int | None = None, fails: Exception | None = None, **habits: Any) -> None:
    """Stream an answer, or so many pieces of it; whoever has these may fail."""
    async with agent.run_stream("How are you?", model_settings=meeting(**habits)) as answer:
        taken = 0
        async for _ in answer.stream_text(delta=True, debounce_by=None):
            taken += 1
            if taken == most:
                if fails is not None:
                    raise fails
                await answer.cancel()
                break


# What goes well


def test_requests_are_charged_what_the_provider_bills_for_them(play: Any):
    async def act(bench: Bench) -> None:
        agent = bench.agent()
        parts: Any = {"input_tokens": 900, "cached_tokens": 512, "reasoning_tokens": 30, "service_tier": "priority"}
        await agent.run("How are you?", model_settings=meeting())
        await read(agent)
        await agent.run("How are you?", model=bench.on(bench.client, responses=True))
        await agent.run("How are you?", model_settings=meeting(**parts))
        await read(agent, **parts)
        assert await bench.is_as_billed()
        charges = await bench.charges()
        for charge, call in zip(charges, bench.calls(), strict=True):
            facts = evidence(charge)
            assert (facts["ended"], facts["charged_by"], facts["answer"]) == ("finished", "provider", call["id"])
            assert charge.hold is not None
        for charge in charges[3:]:
            counts = {name: int(count) for name, count in charge.usage.dimensions.items()}
            assert (counts["cache_read_tokens"], counts["reasoning_tokens"]) == (512, 30)
            assert charge.usage.attributes == {"service_tier": "priority"}

    play(act)


def test_a_loop_with_tools_is_charged_request_by_request(play: Any):
    async def act(bench: Bench) -> None:
        agent = bench.agent()

        @agent.tool_plain
        def look(round: int = 0, call: int = 0) -> str:
            return f"Round {round}"

        await agent.run("How are you?", model_settings=meeting(tool_rounds=2, tool_calls=2))
        assert (len(bench.calls()), await bench.is_as_billed()) == (3, True)

    play(act)


def test_a_run_says_by_its_context_whose_it_is_and_a_block_above_that(play: Any):
    async def act(bench: Bench) -> None:
        agent = bench.agent(account=None, account_of=lambda context: context.deps)
        names = [f"tenant-{number}" for number in range(3)]
        for name in names:
            await bench.ledger.grant(name, PLENTY)
        await asyncio.gather(*[agent.run(f"For {name}", deps=name) for name in names])
        with metering(account="alice"):
            await agent.run("Above all", deps="tenant-0")
        with pytest.raises(ValueError, match="whose call is it"):
            await agent.run("Nobody's", deps=None)
        assert [len(await bench.charges(name)) for name in (*names, "alice")] == [1, 1, 1, 1]

    play(act)


def test_a_client_that_is_metered_itself_is_not_charged_twice(play: Any):
    async def act(bench: Bench) -> None:
        client = meter(bench.client, ledger=bench.ledger, account="alice")
        agent = bench.agent(bench.on(client))
        await agent.run("How are you?")
        await read(agent)
        assert await bench.is_as_billed()

    play(act)


def test_models_that_others_stand_in_for_are_charged_each_for_its_own(play: Any):
    from pydantic_ai.capabilities import ModelFallback
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models.fallback import FallbackModel

    def rejected(answer: ModelResponse) -> bool:
        return answer.model_name == "gpt-test"

    async def act(bench: Bench) -> None:
        other = bench.on(bench.client, "gpt-other")

        await bench.agent(FallbackModel(bench.model, other, fallback_on=rejected)).run("Rejected")
        for agent in (bench.agent(FallbackModel(bench.model, other)), bench.agent(more=[ModelFallback(other)])):
            bench.models.post("next", calls=[{"model": "gpt-test", "fail": "server_error"}])
            await agent.run("How are you?")
        asked = [evidence(charge)["model_asked"] for charge in await bench.charges()]
        assert asked == ["gpt-test", "gpt-other", "gpt-other", "gpt-other"]
        assert await bench.is_as_billed()

    play(act)


@pytest.fixture
def desk(vendors: Vendors, models: Remote, tmp_path: Path) -> Iterator[Desk]:
    with open_ledger(tmp_path) as ledger:
        yield Desk(ledger, vendors, models)


def test_a_ledger_for_threads_will_do(desk: Desk, models: Remote):
    async def act() -> str:
        async with httpx2.AsyncClient() as http:
            bench = Bench(desk.ledger, models, http)
            answer = await bench.agent(account=desk.account).run("How are you?")
            await read(bench.agent(account=desk.account), most=4, answer_tokens=30)
            desk.ledger.grant("poor", 100)
            with pytest.raises(farthing.InsufficientCredits):
                await bench.agent(account="poor").run("How are you?")
            return str(answer.response.provider_response_id)

    id = asyncio.run(act())
    first, left = desk.charges()
    assert (first.amount, left.usage.dimensions["output_tokens"]) == (worth(booked(models, id)), 4)
    assert desk.nothing_is_held()


# What doesn't


def test_who_can_not_pay_is_refused_before_the_model_is_asked(play: Any):
    async def act(bench: Bench) -> None:
        await bench.ledger.grant("poor", 100)
        agent = bench.agent(account="poor")
        with pytest.raises(farthing.InsufficientCredits):
            await agent.run("How are you?")
        with pytest.raises(farthing.InsufficientCredits):
            await read(agent)
        assert (bench.calls(), await bench.charges("poor")) == ([], [])

    play(act)


def test_a_stream_that_breaks_costs_what_was_delivered(play: Any):
    async def act(bench: Bench) -> None:
        for habits in ({"cut_after": 6}, {"fail": "server_error", "fail_after": 6}):
            with pytest.raises(Exception, match=BROKEN):
                await read(bench.agent(), **habits)
        assert [evidence(charge)["ended"] for charge in await bench.charges()] == ["cut", "failed"]
        assert await bench.is_as_billed()

    play(act)


def test_a_reader_who_leaves_pays_for_what_he_has_taken(play: Any):
    async def act(bench: Bench) -> None:
        await read(bench.agent(), most=4, answer_tokens=30, hold_after=9)
        with pytest.raises(KeyError):
            await read(bench.agent(), most=1, fails=KeyError(), answer_tokens=30, hold_after=9)
        four, one = await bench.charges()
        assert (four.usage.dimensions["output_tokens"], one.usage.dimensions["output_tokens"]) == (4, 1)
        assert (evidence(four)["ended"], evidence(one)["ended"]) == ("left", "left")

    play(act)


def test_what_was_never_answered_costs_nothing(play: Any):
    async def act(bench: Bench) -> None:
        for habits in ({"fail": "rate_limited"}, {"cut_after": 0}):
            with pytest.raises(Exception, match=BROKEN):
                await bench.agent().run("How are you?", model_settings=meeting(**habits))
        with pytest.raises(Exception, match=BROKEN):
            await read(bench.agent(), fail="overloaded")
        waiting = asyncio.create_task(bench.agent().run("How are you?", model_settings=meeting(hold_after=0)))
        while not (await asyncio.to_thread(bench.models.get, "state"))["held"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await bench.charges() == []

    play(act)


def test_usage_that_nobody_tells_is_estimated_and_a_zero_that_is_told_is_zero(play: Any):
    async def act(bench: Bench) -> None:
        for usage in ("missing", "zero"):
            await bench.agent().run("How are you?", model_settings=meeting(usage=usage))
            await read(bench.agent(), usage=usage)
        told = [evidence(charge)["charged_by"] for charge in await bench.charges()]
        assert told == ["estimate", "estimate", "provider", "provider"]
        assert await bench.is_as_billed()

    play(act)


def test_a_stream_ends_where_the_credits_do_if_the_policy_says_so(play: Any):
    async def act(bench: Bench) -> None:
        await bench.ledger.grant("poor", 300)
        agent = bench.agent(account="poor", policy={"spent": "stop", "output_tokens": 10, "factor": "1"})
        with pytest.raises(farthing.InsufficientCredits):
            await read(agent, answer_tokens=200)
        (charge,) = await bench.charges("poor")
        assert 200 < charge.amount <= 300

    play(act)
