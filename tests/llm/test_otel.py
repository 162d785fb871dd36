"""Metered calls on the spans of OpenTelemetry, recorded by its own SDK; and what an import of those spans charges."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, SamplingResult
from opentelemetry.trace import StatusCode

import farthing
from farthing.cli.root import run
from farthing.fakes.models import Remote
from farthing.llm import asettled, meter, metered, otel, settled, settling
from farthing.llm.otel import COUNTS
from tests.llm.ledgers import CARD, Desk, open_ledger, read
from tests.llm.vendors import Vendors, asking, booked

pytestmark = pytest.mark.xdist_group("models")

SCOPE = "farthing.llm"
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-test"}
QUESTION = [{"role": "user", "content": "How are you?"}]


class Switch(Sampler):
    """Has spans recorded while a test wants them: a process has one provider for ever."""

    on = False

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return (ALWAYS_ON if self.on else ALWAYS_OFF).should_sample(*args, **kwargs)

    def get_description(self) -> str:
        return "while a test wants them"


class Spans:
    """What was recorded."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def all(self) -> list[ReadableSpan]:
        """In the order in which they ended."""
        return list(self._exporter.get_finished_spans())

    def ours(self) -> list[ReadableSpan]:
        """Those that metered calls made themselves."""
        return [span for span in self.all if span.instrumentation_scope and span.instrumentation_scope.name == SCOPE]

    def the(self) -> ReadableSpan:
        """The only one that a metered call made."""
        (span,) = self.ours()
        return span

    def file(self, folder: Path) -> str:
        """All of them in a file, as a console exporter writes them."""
        path = folder / "spans.json"
        path.write_text("\n".join(span.to_json() for span in self.all))
        return str(path)


@pytest.fixture(scope="session")
def recording() -> tuple[Switch, InMemorySpanExporter]:
    switch, exporter = Switch(), InMemorySpanExporter()
    provider = TracerProvider(sampler=switch, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return switch, exporter


@pytest.fixture
def spans(recording: tuple[Switch, InMemorySpanExporter]) -> Iterator[Spans]:
    switch, exporter = recording
    exporter.clear()
    switch.on = True
    yield Spans(exporter)
    switch.on = False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


@pytest.fixture(scope="module")
def ledger(folder: Path) -> Iterator[Any]:
    opened = open_ledger(folder)
    yield opened
    opened.close()


@pytest.fixture
def desk(ledger: Any, vendors: Vendors, models: Remote) -> Desk:
    return Desk(ledger, vendors, models)


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def at(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def app() -> Any:
    return trace.get_tracer("an application")


# What is told


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_has_a_span_below_the_current_one_with_its_usage_and_its_charge(desk: Desk, spans: Spans, stream: bool):
    with app().start_as_current_span("GET /") as request:
        answer = desk.ask("chat", stream=stream, habits={"cached_tokens": 2, "reasoning_tokens": 3})
        assert trace.get_current_span() is request
        assert not stream or read(answer) > 2
    charge, span = desk.charge(), spans.the()
    call = booked(desk.models, said(span)["gen_ai.response.id"])["billed"]
    assert said(span) == {
        **CHAT, "gen_ai.request.max_tokens": 1_000, "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-test", "gen_ai.response.finish_reasons": ("stop",),
        **({"gen_ai.request.stream": True} if stream else {}),
        "gen_ai.usage.input_tokens": call["input_tokens"], "gen_ai.usage.output_tokens": call["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": call["cached_tokens"],
        "gen_ai.usage.reasoning.output_tokens": call["reasoning_tokens"],
        "gen_ai.response.id": said(span)["gen_ai.response.id"],
        "farthing.metered": True, "farthing.account": desk.account, "farthing.hold": said(span)["farthing.hold"],
        "farthing.charge": charge.id, "farthing.amount": str(charge.amount), "farthing.charged_by": "provider",
        "farthing.ended": "finished",
    }  # fmt: skip
    assert call["cached_tokens"]
    assert call["reasoning_tokens"]
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert (span.name, span.kind.name, span.status.status_code) == ("chat gpt-test", "CLIENT", StatusCode.UNSET)


def test_calls_within_one_span_are_told_apart(desk: Desk, spans: Spans):
    with app().start_as_current_span("an agent", attributes={**CHAT, "gen_ai.operation.name": "invoke_agent"}) as agent:
        for _ in range(2):
            desk.ask("chat", stream=False)
    settled(desk.ledger)
    ids = {said(span)["farthing.charge"] for span in spans.ours()}
    assert ids == {charge.id for charge in desk.charges()}
    assert len(ids) == 2
    assert "farthing.metered" not in agent.attributes


def test_a_call_is_told_on_the_span_that_a_library_has_made_for_it(desk: Desk, spans: Spans):
    with app().start_as_current_span("chat gpt-test", attributes=CHAT) as theirs:
        read(desk.ask("chat", stream=True))
        settled(desk.ledger)
        assert theirs.attributes["farthing.charge"] == desk.charge().id
        assert theirs.attributes["gen_ai.usage.output_tokens"] > 0
        assert theirs.is_recording()
        # One more call in it is another one.
        desk.ask("chat", stream=False)
    assert [at(span) for span in spans.all] == [at(spans.the()), at(theirs)]


def test_a_stream_that_is_cut_tells_what_was_delivered(desk: Desk, spans: Spans):
    read(desk.ask("chat", stream=True, habits={"cut_after": 4}))
    charge, span = desk.charge(), said(spans.the())
    assert span["farthing.charged_by"] == "delivered"
    assert (span["error.type"], span["farthing.ended"]) == ("RemoteProtocolError", "cut")
    told = {name: span[COUNTS[name]] for name in ("input_tokens", "output_tokens")}
    assert told == {name: int(charge.usage.dimensions[name]) for name in told}
    assert all(told.values())


def test_a_call_that_is_refused_tells_why_and_uses_nothing(desk: Desk, spans: Spans):
    with pytest.raises(openai.OpenAIError) as refused:
        desk.ask("chat", stream=False, habits={"error": 500})
    assert desk.charges() == []
    span = said(spans.the())
    assert span["error.type"] == type(refused.value).__name__
    assert spans.the().status.status_code is StatusCode.ERROR
    assert not {*COUNTS.values(), "farthing.charge"} & span.keys()
    assert span["farthing.charged_by"] == "nothing"


def test_who_can_not_pay_has_no_span(ledger: Any, vendors: Vendors, models: Remote, spans: Spans):
    poor = Desk(ledger, vendors, models, credits=1)
    with pytest.raises(farthing.InsufficientCredits):
        poor.ask("chat", stream=False)
    assert spans.all == []


def test_a_charge_that_is_made_after_the_span_has_ended_is_not_told(
    desk: Desk, spans: Spans, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(settling, "WAIT_SECONDS", 0)
    with app().start_as_current_span("chat gpt-test", attributes=CHAT):
        stream = desk.ask("chat", stream=True)
    assert read(stream) > 2
    assert desk.charge().amount
    assert said(spans.all[0]).keys() >= {"farthing.metered", "farthing.account", "farthing.hold"}
    assert "farthing.charge" not in said(spans.all[0])
    assert caplog.records == []


def test_an_asynchronous_call_is_told_likewise(tmp_path: Path, models: Remote, spans: Spans):
    async def ask() -> set[str]:
        async with farthing.aconnect(f"sqlite:///{tmp_path}/credits.db") as ledger:
            await ledger.rate_cards.put(CARD, reason="The first")
            await ledger.grant("alice", 100_000)
            async with openai.AsyncOpenAI(base_url=f"{models.url}/v1", api_key="k") as client:
                api = meter(client, ledger=ledger, account="alice")
                with app().start_as_current_span("GET /"):
                    call, given = asking(api, None, "chat")
                    await asyncio.gather(call(**given), call(**given))
                    assert await asettled(ledger)
            return {charge.id async for charge in ledger.charges.list("alice")}

    charges = asyncio.run(ask())
    assert {said(span)["farthing.charge"] for span in spans.ours()} == charges
    parents = {span.parent.span_id for span in spans.ours() if span.parent is not None}
    assert parents == {at(spans.all[-1])}
    assert len(charges) == 2


def test_where_nobody_records_nothing_is_told(desk: Desk, recording: tuple[Switch, InMemorySpanExporter]):
    _, exporter = recording
    exporter.clear()
    desk.ask("chat", stream=False)
    assert desk.charge()
    assert exporter.get_finished_spans() == ()


def test_a_recorder_that_fails_costs_no_call(desk: Desk, spans: Spans, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(SimpleSpanProcessor, "on_end", fail)
    desk.ask("chat", stream=False)
    assert desk.charge().amount > 0
    assert desk.nothing_is_held()
    monkeypatch.setattr(SimpleSpanProcessor, "on_start", fail)
    desk.ask("chat", stream=False)
    assert len(desk.charges()) == 2


def test_a_call_is_metered_without_opentelemetry(desk: Desk, spans: Spans, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "opentelemetry.trace", None)
        otel._tracer.cache_clear()
        desk.ask("chat", stream=False)
    otel._tracer.cache_clear()
    assert desk.charge().amount > 0
    assert spans.all == []


# What an import of them charges


def imported(capsys: pytest.CaptureFixture[str], folder: Path, file: str) -> dict[str, Any]:
    """What `farthing usage import` says."""
    capsys.readouterr()
    run(["usage", "import", file, "--db", f"sqlite:///{folder}/credits.db", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_an_import_charges_the_calls_that_were_not_metered_and_no_others(
    desk: Desk, vendors: Vendors, spans: Spans, folder: Path, tmp_path: Path, capsys: Any, stream: bool
):
    # Anthropic's library makes spans of its own, with the usage.
    with app().start_as_current_span("GET /", attributes={"user.id": desk.account}):
        for way in ("chat", "responses", "messages"):
            answer = desk.ask(way, stream=stream)
            assert not stream or read(answer) > 2
        metered_for = sum(charge.amount for charge in desk.charges())
        call, given = asking(None, vendors.anthropic, "messages")
        for _ in call(**given, stream=stream):
            pass
    told = imported(capsys, folder, spans.file(tmp_path))
    assert (told["charged"], told["left_out"], told["failed"]) == (1, {"charged_before": 4, "no_model_call": 1}, [])
    charges = desk.charges()
    assert len(charges) == 4
    assert sum(charge.amount for charge in charges) == metered_for + int(told["amount"])
    again = imported(capsys, folder, spans.file(tmp_path))
    assert (again["charged"], again["there"], len(desk.charges())) == (0, 1, 4)


def test_a_library_that_is_beside_a_metered_block_tells_of_the_same_answer(
    desk: Desk, vendors: Vendors, spans: Spans, folder: Path, tmp_path: Path, capsys: Any
):
    with (
        app().start_as_current_span("GET /", attributes={"user.id": desk.account}),
        metered(desk.ledger, desk.account, model="claude-test", prompt=QUESTION) as call,
    ):
        create, given = asking(None, vendors.anthropic, "messages")
        answer = create(**given)
        call.answered(id=answer.id)
        call.used(input_tokens=answer.usage.input_tokens, output_tokens=answer.usage.output_tokens)
    told = imported(capsys, folder, spans.file(tmp_path))
    assert (told["charged"], told["left_out"]) == (0, {"charged_before": 2, "no_model_call": 1})
    assert len(desk.charges()) == 1
