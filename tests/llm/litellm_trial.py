"""LiteLLM with our callback, on the stand-in: what is charged is what the provider's books say.

No part of the suite: LiteLLM holds OpenAI's library below what the others need. `./dev soak litellm` makes an
environment of its own for them.
"""

import asyncio
import gc
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing.fakes.models import HEADER, Remote, running
from farthing.llm import meter, metering, settled, twice
from tests.llm.ledgers import PLENTY, evidence, open_ledger, worth

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network when it is imported
import litellm
import openai

from farthing.llm.litellm import CreditsLogger

litellm.suppress_debug_info = True


class Bench:
    """A ledger, a stand-in, and a callback that charges alice."""

    def __init__(self, ledger: Any, models: Remote) -> None:
        self.ledger = ledger
        self.models = models
        self.logger = CreditsLogger(ledger, account="alice")
        self.before = models.get("state")["calls"]
        litellm.callbacks = [self.logger]

    def asking(self, model: str = "openai/gpt-test", **habits: Any) -> dict[str, Any]:
        """The arguments of a call."""
        base = self.models.url if model.startswith("anthropic") else f"{self.models.url}/v1"
        headers = {"extra_headers": {HEADER: json.dumps(habits)}} if habits else {}
        messages = [{"role": "user", "content": "How are you?"}]
        return headers | {
            "model": model, "messages": messages, "api_base": base, "api_key": "k", "max_retries": 0, "max_tokens": 300,
        }  # fmt: skip

    def charges(self, count: int, account: str = "alice") -> list[Any]:
        """What was charged, oldest first, when there are so many; nothing is held any more."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert settled(self.ledger)
            charges = list(self.ledger.charges.list(account))[::-1]
            if len(charges) >= count and not self.ledger.balance(account).held:
                break
            gc.collect()  # streams that their readers have left hang together with what tells of them
            time.sleep(0.05)
        time.sleep(0.3)  # nothing comes after them
        charges = list(self.ledger.charges.list(account))[::-1]
        assert (len(charges), self.ledger.balance(account).held) == (count, 0)
        return charges

    def calls(self) -> list[dict[str, Any]]:
        """What the books have since the beginning, but for what was refused."""
        self.models.get("idle")
        calls = self.models.get("books", after=str(self.before))["calls"]
        return [call for call in calls if call["ended"] != "refused"]

    def are_as_billed(self, count: int) -> bool:
        """Whether the charges are what the books have, each once, and nothing else."""
        charged = sorted(int(charge.amount) for charge in self.charges(count))
        return charged == sorted(map(worth, self.calls()))


@pytest.fixture(scope="module")
def models() -> Iterator[Remote]:
    with running() as remote:
        yield remote


@pytest.fixture
def bench(models: Remote, tmp_path: Path) -> Iterator[Bench]:
    with open_ledger(tmp_path) as ledger:
        ledger.grant("alice", PLENTY)
        yield Bench(ledger, models)
    # It keeps a callback in several lists, each of which is asked.
    for name in ("input", "success", "failure", "_async_input", "_async_success", "_async_failure"):
        getattr(litellm, f"{name}_callback").clear()
    litellm.callbacks = []


@pytest.fixture(scope="module")
def play() -> Iterator[Callable[[Awaitable[Any]], Any]]:
    # One loop for all: LiteLLM keeps its connections, and tells of calls beside them.
    with asyncio.Runner() as runner:

        async def awaited(work: Awaitable[Any]) -> Any:
            found = await work
            await asyncio.sleep(0.2)
            return found

        yield lambda work: runner.run(awaited(work))


async def read(bench: Bench, *, most: int | None = None, follows: bool = False, **habits: Any) -> None:
    """Stream an answer, or so many pieces of it."""
    options = {"stream_options": {"include_usage": True}}
    stream = await litellm.acompletion(**bench.asking(**habits), stream=True, **options)
    pieces: Any = bench.logger.afollow(stream) if follows else stream
    taken = 0
    async for _ in pieces:
        taken += 1
        if taken == most:
            break
    if follows:
        await pieces.aclose()


def said_of(chunks: list[Any]) -> int:
    """How many tokens they say."""
    return sum(bool(chunk.choices[0].delta.content) for chunk in chunks)


# Synchronous


@pytest.mark.parametrize("model", ["openai/gpt-test", "anthropic/claude-test"])
def test_calls_are_charged_what_the_provider_bills(bench: Bench, model: str):
    parts = {"input_tokens": 900, "cached_tokens": 512}
    litellm.completion(**bench.asking(model))
    litellm.completion(**bench.asking(model, **parts))
    for _ in litellm.completion(**bench.asking(model, **parts), stream=True, stream_options={"include_usage": True}):
        pass
    assert bench.are_as_billed(3)
    charges = bench.charges(3)
    assert all(charge.hold is not None and evidence(charge)["charged_by"] == "provider" for charge in charges)
    assert [int(charge.usage.dimensions.get("cache_read_tokens", 0)) for charge in charges] == [0, 512, 512]
    assert {charge.usage.provider for charge in charges} == {model.partition("/")[0]}


def test_usage_that_nobody_tells_is_estimated(bench: Bench):
    for _ in litellm.completion(**bench.asking(), stream=True):
        pass
    assert bench.are_as_billed(1)
    assert evidence(bench.charges(1)[0])["charged_by"] == "estimate"


def test_embeddings_are_charged_for_what_goes_in(bench: Bench):
    litellm.embedding(model="openai/embed", input=["one text"], api_base=f"{bench.models.url}/v1", api_key="k")
    assert bench.are_as_billed(1)


def test_responses_and_texts_are_charged_like_chats(bench: Bench):
    given = {"api_base": f"{bench.models.url}/v1", "api_key": "k"}
    litellm.responses(model="openai/gpt-test", input="How are you?", **given)
    for _ in litellm.responses(model="openai/gpt-test", input="How are you?", stream=True, **given):
        pass
    assert bench.are_as_billed(2)


def test_a_stream_that_breaks_costs_what_was_delivered(bench: Bench):
    for habits in ({"cut_after": 6}, {"fail": "server_error", "fail_after": 6}):
        with pytest.raises(litellm.exceptions.MidStreamFallbackError):
            list(litellm.completion(**bench.asking(**habits), stream=True))
    assert bench.are_as_billed(2)
    assert [evidence(charge)["ended"] for charge in bench.charges(2)] == ["cut", "failed"]


def test_a_reader_who_leaves_pays_for_what_he_has_taken(bench: Bench):
    stream = litellm.completion(**bench.asking(answer_tokens=30), stream=True)
    said = said_of([next(stream) for _ in range(4)])
    del stream
    (charge,) = bench.charges(1)
    assert (charge.usage.dimensions["output_tokens"], evidence(charge)["ended"]) == (said, "left")
    followed = bench.logger.follow(litellm.completion(**bench.asking(answer_tokens=30), stream=True))
    assert said_of([next(followed) for _ in range(4)]) == said
    followed.close()  # type: ignore[attr-defined]
    assert [charge.usage.dimensions["output_tokens"] for charge in bench.charges(2)] == [said, said]


def test_an_error_costs_nothing_and_another_try_is_charged_once(bench: Bench):
    with pytest.raises(litellm.exceptions.RateLimitError):
        litellm.completion(**bench.asking(fail="rate_limited"))
    bench.models.post("next", calls=[{"fail": "server_error", "containing": "How"}])
    litellm.completion(**bench.asking(), num_retries=2)
    assert bench.are_as_billed(1)


def test_a_synchronous_call_that_nobody_can_pay_is_debt(bench: Bench):
    bench.ledger.grant("poor", 100)
    with metering(account="poor"):
        litellm.completion(**bench.asking())
    (charge,) = bench.charges(1, "poor")
    assert (charge.amount, charge.hold) == (worth(bench.calls()[-1]), None)
    assert bench.ledger.balance("poor").balance < 0


def test_over_a_metered_client_both_charge_and_the_log_says_so(bench: Bench, caplog: pytest.LogCaptureFixture):
    twice._tell.cache_clear()
    asked: dict[str, Any] = {"base_url": f"{bench.models.url}/v1", "api_key": "k", "max_retries": 0}
    api = meter(openai.OpenAI(**asked), ledger=bench.ledger, account="alice")
    litellm.completion(**bench.asking(), client=api)
    list(litellm.completion(**bench.asking(), client=api, stream=True))
    assert len(bench.charges(4)) == 4
    assert len([record for record in caplog.records if "charged twice" in record.getMessage()]) == 1


def test_what_a_metered_client_is_asked_besides_is_charged_besides(bench: Bench):
    given: dict[str, Any] = {"base_url": f"{bench.models.url}/v1", "api_key": "k", "max_retries": 0}
    api = meter(openai.OpenAI(**given), ledger=bench.ledger, account="alice")
    stream = litellm.completion(**bench.asking(), stream=True)
    next(stream)
    api.chat.completions.create(model="gpt-test", messages=[{"role": "user", "content": "Something else"}])
    list(stream)
    assert bench.are_as_billed(2)


# Asynchronous


@pytest.mark.parametrize("model", ["openai/gpt-test", "anthropic/claude-test"])
def test_asynchronous_calls_are_charged_alike(bench: Bench, play: Any, model: str):
    async def act() -> None:
        given = bench.asking(model)
        await asyncio.gather(*[litellm.acompletion(**given) for _ in range(3)])
        async for _ in await litellm.acompletion(**given, stream=True, stream_options={"include_usage": True}):
            pass

    play(act())
    assert bench.are_as_billed(4)
    assert all(charge.hold is not None for charge in bench.charges(4))


def test_who_can_not_pay_is_refused_before_the_model_is_asked(bench: Bench, play: Any):
    bench.ledger.grant("poor", 100)

    async def act() -> None:
        with metering(account="poor"):
            for more in ({}, {"stream": True}, {"num_retries": 1}):
                with pytest.raises(farthing.InsufficientCredits):
                    await litellm.acompletion(**bench.asking(), **more)
            router = litellm.Router([{"model_name": "gpt", "litellm_params": bench.asking()}], num_retries=1)
            with pytest.raises(farthing.InsufficientCredits):
                await router.acompletion("gpt", messages=[{"role": "user", "content": "Hi"}])

    play(act())
    assert (bench.calls(), bench.charges(0, "poor")) == ([], [])


def test_another_try_is_charged_once(bench: Bench, play: Any):
    async def act() -> None:
        for more in ({"num_retries": 2}, {"fallbacks": ["openai/gpt-other"]}):
            bench.models.post("next", calls=[{"fail": "server_error", "containing": "How"}])
            await litellm.acompletion(**bench.asking(), **more)
        with pytest.raises(litellm.exceptions.RateLimitError):
            await litellm.acompletion(**bench.asking(fail="rate_limited"))

    play(act())
    assert bench.are_as_billed(2)


def test_a_router_s_call_is_charged_once_by_the_metadata_that_it_is_given(bench: Bench, play: Any):
    bench.ledger.grant("tenant", PLENTY)
    litellm.callbacks = [CreditsLogger(bench.ledger, account_of=lambda metadata: metadata.get("tenant"))]

    async def act() -> None:
        deployments = [
            {"model_name": "gpt", "litellm_params": bench.asking(f"openai/gpt-{name}")} for name in ("one", "two")
        ]  # fmt: skip
        router = litellm.Router(deployments, num_retries=2)
        bench.models.post("next", calls=[{"fail": "server_error", "containing": "routed"}])
        await router.acompletion(
            "gpt", messages=[{"role": "user", "content": "Be routed"}], metadata={"tenant": "tenant"}
        )  # fmt: skip

    play(act())
    (charge,) = bench.charges(1, "tenant")
    assert charge.amount == worth(bench.calls()[-1])


def test_an_answer_out_of_a_cache_costs_nothing(bench: Bench, play: Any):
    async def act() -> None:
        for _ in range(2):
            await litellm.acompletion(**bench.asking())
            await asyncio.sleep(0.2)

    litellm.cache = litellm.Cache()
    try:
        play(act())
    finally:
        litellm.cache = None
    assert bench.are_as_billed(1)


def test_an_asynchronous_stream_that_breaks_costs_about_what_was_delivered(bench: Bench, play: Any):
    async def act() -> None:
        with pytest.raises(litellm.exceptions.MidStreamFallbackError):
            await read(bench, cut_after=6)
        with pytest.raises(litellm.exceptions.MidStreamFallbackError):
            await read(bench, follows=True, cut_after=6)

    play(act())
    told, followed = bench.charges(2)
    assert [evidence(charge)["ended"] for charge in (told, followed)] == ["cut", "cut"]
    assert told.usage.dimensions["output_tokens"] > 0  # by LiteLLM's own count
    assert followed.amount == worth(bench.calls()[-1])


def test_a_reader_of_an_asynchronous_stream_who_leaves_pays_if_it_is_followed(bench: Bench, play: Any):
    async def act() -> None:
        await read(bench, most=4, answer_tokens=30)
        gc.collect()
        await read(bench, most=4, follows=True, answer_tokens=30)
        await read(bench, follows=True)

    play(act())
    left, whole = bench.charges(2)
    assert (left.usage.dimensions["output_tokens"], evidence(left)["ended"]) == (3, "left")
    assert whole.amount == worth(bench.calls()[-1])


def test_a_call_that_is_cancelled_costs_nothing(bench: Bench, play: Any):
    async def act() -> None:
        task = asyncio.create_task(litellm.acompletion(**bench.asking(hold_after=0)))
        while not (await asyncio.to_thread(bench.models.get, "state"))["held"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()

    play(act())
    gc.collect()
    assert bench.charges(0) == []


def test_the_proxy_refuses_before_it_chooses_a_deployment(bench: Bench, play: Any):
    from fastapi import HTTPException

    class Log:
        litellm_call_id = "call-1"

    bench.ledger.grant("poor", 100)
    logger = CreditsLogger(bench.ledger, account_of=lambda metadata: metadata.get("user_api_key_user_id"))

    def data(user: str) -> dict[str, Any]:
        metadata = {"user_api_key_user_id": user, "account": "somebody"}
        return {**bench.asking(), "litellm_logging_obj": Log(), "metadata": metadata}

    async def act() -> None:
        with pytest.raises(HTTPException) as refused:
            await logger.async_pre_call_hook(None, None, data("poor"), "acompletion")
        told: Any = refused.value.detail
        assert (refused.value.status_code, told["code"]) == (402, "INSUFFICIENT_BALANCE")
        given = data("alice")
        assert await logger.async_pre_call_hook(None, None, given, "acompletion") is given
        assert bench.ledger.balance("alice").held > 0
        # The call that it makes then is the same one.
        assert await logger.async_pre_call_deployment_hook(given, "acompletion") is None
        failed = {"litellm_call_id": "call-1", "call_type": "acompletion", "litellm_params": given}
        await logger.async_log_failure_event(failed, None, None, None)

    play(act())
    assert bench.charges(0) == []
