"""The page about events, made from their catalogue: `python -m tests.reference` writes docs/reference/events.md."""

import json
from pathlib import Path
from typing import Any

import msgspec

from farthing.core.events import TYPES, EventType, example_of

EVENTS = Path(__file__).parents[1] / "docs" / "reference" / "events.md"


def events() -> str:
    """The whole page."""
    lines = [
        "# Events: reference",
        "",
        "Made from the code by `python -m tests.reference`; a test compares. [Webhooks and",
        "events](../how-to/webhooks.md) has how to be told of them. The schemas are also the section `webhooks` of",
        "`/openapi.json`.",
        "",
        "Amounts are decimal text, exact; times are RFC 3339 in UTC. New fields may come: take no offence at them.",
        "",
        "| type | what happened | recorded |",
        "| --- | --- | --- |",
        *(f"| [`{t.name}`](#{_anchor(t.name)}) | {t.summary} | {_recorded(t)} |" for t in TYPES.values()),
        "",
    ]
    for each in TYPES.values():
        lines += _section(each)
    return "\n".join(lines)


def _recorded(type: EventType) -> str:
    return "always" if type.always else "where somebody asks"


def _anchor(name: str) -> str:
    return name.replace(".", "")


def _section(type: EventType) -> list[str]:
    _, components = msgspec.json.schema_components([type.data])
    schema = components[type.data.__name__]
    rows = [f"| `{name}` | {_kind(field)} | {_said(field)} |" for name, field in schema["properties"].items()]
    example = json.dumps(example_of(type), indent=2)
    return [
        f"## {type.name}", "", f"{type.summary} Recorded {_recorded(type)}.", "",
        "| field of `data` | | what it is |", "| --- | --- | --- |", *rows, "", "```json", example, "```", "",
    ]  # fmt: skip


def _kind(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(f"`{each}`" for each in field["enum"])
    options = field.get("anyOf")
    if options:
        return " or ".join(_kind(each) for each in options)
    found = field.get("type", "text")
    if found == "array":
        return f"list of {_kind(field.get('items', {}))}"
    named = {"string": "text", "null": "null", "boolean": "true or false", "integer": "whole number"}
    return named.get(found, found)


def _said(field: dict[str, Any]) -> str:
    own = field.get("description") or next(
        (each["description"] for each in field.get("anyOf", ()) if "description" in each), ""
    )
    return str(own)
