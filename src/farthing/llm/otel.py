"""OpenTelemetry: a metered call on a span, by the names of the GenAI conventions, where somebody records spans.

A call has a span of its own, which is current while it is made. Where the current one is the span of that very call
already, by a library that watches the vendor's, the call is told on that one. Either says from its beginning that it is
metered, so that whoever charges what spans tell of leaves it out; its charge is told too if it is made before the span
ends. A span of its own waits for that, and ends with the time at which the call was over.

Nothing of OpenTelemetry is imported before the first call, and nothing else happens where it is not there.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from farthing.client.results import Settled

from .evidence import to_charge

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from .call import ModelCall

COUNTS: Final[Mapping[str, str]] = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
"""By dimension of a charge. What came from a cache is within the input, and reasoning within the output."""
OPERATION: Final = "gen_ai.operation.name"
CALLS: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings", "completion", "responses"})
"""Operations that are one call of a model: agents and workflows are made of more."""
MODEL_ASKED: Final = "gen_ai.request.model"
MODEL: Final = "gen_ai.response.model"
PROVIDER: Final = "gen_ai.provider.name"
ANSWER: Final = "gen_ai.response.id"
CHAT: Final = "gen_ai.conversation.id"
TIER: Final = "openai.response.service_tier"
METERED: Final = "farthing.metered"
"""Said from the beginning: whatever it costs is charged, or isn't, by the policy of its call."""
CHARGE: Final = "farthing.charge"
"""Whoever has charged a call says so on its span."""
_TRACER: Final = "farthing.llm"
_NOWHERE: Final = nullcontext()
_LOG: Final = logging.getLogger(_TRACER)


class CallSpan:
    """What is told of a call on a span, from its hold to its settlement. Whatever fails here costs no call."""

    def __init__(self, span: "Span", *, own: bool) -> None:
        self._span = span
        self._own = own
        self._over_at: int | None = None

    def current(self) -> AbstractContextManager[Any]:
        """A block in which it is the current span."""
        if not self._own:
            return nullcontext()
        from opentelemetry.trace import use_span

        return use_span(self._span, record_exception=False, set_status_on_exception=False)

    def over(self, call: "ModelCall", error: BaseException | None) -> None:
        """The call has ended, and what it used is known as far as it will be."""
        self._over_at = time.time_ns()
        try:
            if self._span.is_recording():
                self._span.set_attributes(_outcome(call))
                if call.how in ("cut", "failed", "refused", "lost"):
                    self._fail(type(error).__name__ if error is not None else call.how)
        except Exception:
            _LOG.exception("a metered call can't be told of on a span")

    def _fail(self, kind: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def ended(self, call: "ModelCall") -> None:
        """The ledger was asked to settle the call, whatever came of that."""
        try:
            if self._span.is_recording():
                self._span.set_attributes(_charged(call))
                if self._own:
                    self._span.end(self._over_at)
        except Exception:
            _LOG.exception("a metered call can't be told of on a span")


def begun(call: "ModelCall") -> CallSpan | None:
    """The span on which a call is told of that is about to be made; None where nobody records it."""
    tracer = _tracer()
    if tracer is None:
        return None
    try:
        return _begun(tracer, call)
    except Exception:
        _LOG.exception("a metered call can't be told of on a span")
        return None


def within(call: "ModelCall") -> AbstractContextManager[Any]:
    """A block in which the call is made."""
    return _NOWHERE if call.span is None else call.span.current()


def records() -> bool:
    """Whether somebody may record spans."""
    return _recording()()


def _begun(tracer: "Tracer", call: "ModelCall") -> CallSpan | None:
    if not records():
        return None
    from opentelemetry.trace import SpanKind, get_current_span

    current = get_current_span()
    if _is_of_this_call(current):
        current.set_attributes(_marks(call))
        return CallSpan(current, own=False)
    name = f"{call.asked.operation} {call.asked.model}"
    span = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=_asked(call) | _marks(call))
    return CallSpan(span, own=True) if span.is_recording() else None


@cache
def _tracer() -> "Tracer | None":
    try:
        from opentelemetry.trace import get_tracer

        # Until somebody sets a provider, it is one that asks for him each time.
        return get_tracer(_TRACER)
    except ImportError:
        return None
    except Exception:  # a provider that the environment names, and that isn't there
        _LOG.exception("OpenTelemetry gives no tracer: metered calls are told of on no spans")
        return None


@cache
def _recording() -> Callable[[], bool]:
    # Asked before each call: what it takes is imported once.
    if _tracer() is None:
        return lambda: False
    from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider

    # As long as nobody sets another one, nothing is recorded.
    return lambda: not isinstance(get_tracer_provider(), ProxyTracerProvider)


def _is_of_this_call(span: "Span") -> bool:
    """Whether a span is one call of a model, and no other metered call was told on it."""
    told = getattr(span, "attributes", None)  # where it is recorded by OpenTelemetry's SDK
    if not span.is_recording() or not isinstance(told, Mapping):
        return False
    return OPERATION in told and told[OPERATION] in CALLS and METERED not in told


# Attributes


def _marks(call: "ModelCall") -> dict[str, Any]:
    marks = {METERED: True, "farthing.account": call.terms.account}
    return marks if call.hold is None else marks | {"farthing.hold": call.hold.id}


def _asked(call: "ModelCall") -> dict[str, Any]:
    asked, terms = call.asked, call.terms
    told = {
        OPERATION: asked.operation, MODEL_ASKED: asked.model, "gen_ai.request.max_tokens": asked.most_output,
        "gen_ai.request.stream": asked.stream, PROVIDER: terms.provider, CHAT: terms.chat,
    }  # fmt: skip
    return {name: value for name, value in told.items() if value}


def _outcome(call: "ModelCall") -> dict[str, Any]:
    """What came of a call, and what it used: estimated where nobody has told, which the basis of its charge says."""
    used = call.used
    if call.how not in ("refused", "lost"):
        used = used.filled(input_tokens=call.asked.input_tokens, output_tokens=call.delivered)
    counts = used.dimensions()
    told = {
        PROVIDER: call.terms.provider or used.provider, MODEL: used.model, ANSWER: call.id,
        "gen_ai.response.finish_reasons": [call.finish] if call.finish else None,
        TIER: used.attributes.get("service_tier"), "farthing.charged_by": to_charge(call)[1],
        "farthing.ended": call.how,
    }  # fmt: skip
    found = {COUNTS[name]: count for name, count in counts.items() if name in COUNTS}
    return found | {name: value for name, value in told.items() if value}


def _charged(call: "ModelCall") -> dict[str, Any]:
    done = call.settled
    if done is None:
        return {}
    id = done.charge if isinstance(done, Settled) else done.id
    # What couldn't be asked for yet has no charge; its amount isn't known either.
    return {CHARGE: id, "farthing.amount": str(done.amount)} if id else {}
