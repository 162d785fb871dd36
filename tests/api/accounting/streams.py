"""Streaming sessions, begun and ended by people of the tests."""

from typing import Any

from tests.api.accounting.people import Person
from tests.api.serving import Answer, Server


def begin(person: Person, name: Any = "s", tokens: Any = 1000, model: Any = "gpt-4") -> Answer:
    return person.post(
        "streaming-sessions/initialize", {"sessionId": name, "modelId": model, "estimatedTokens": tokens}
    )


def end(person: Person, name: Any = "s", tokens: Any = 900, **more: Any) -> Answer:
    return person.post("streaming-sessions/finalize", {"sessionId": name, "actualTokens": tokens, **more})


def abort(person: Person, name: Any = "s", **more: Any) -> Answer:
    return person.post("streaming-sessions/abort", {"sessionId": name, **more})


def kinds(server: Server, person: Person) -> list[str]:
    return [entry.kind for entry in reversed(server.entries(person.id))]
