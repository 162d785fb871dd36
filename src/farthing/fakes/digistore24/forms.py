"""Forms as PHP reads them: a[b][c]=text is a text in an object in an object."""

from typing import Any, TypeAlias
from urllib.parse import parse_qsl

Fields: TypeAlias = dict[str, Any]
"""Texts, and objects of the same."""


def parse(body: bytes) -> Fields:
    """The fields of a body; raises ValueError where it is no form in UTF-8."""
    found: Fields = {}
    for name, text in parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=5_000):
        _enter(found, _way(name), text)
    return found


def _way(name: str) -> list[str]:
    """a[b][c] is a, b, c."""
    first, bracket, rest = name.partition("[")
    return [first, *rest.removesuffix("]").split("][")] if bracket and first and rest.endswith("]") else [name]


def _enter(found: Fields, way: list[str], text: str) -> None:
    for step in way[:-1]:
        inner = found.get(step)
        if not isinstance(inner, dict):
            inner = found[step] = {}
        found = inner
    # a[]=x goes to the next place.
    found[way[-1] or str(len(found))] = text


def part(fields: Fields, name: str) -> Fields:
    """An object in the fields; empty where there is none."""
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


def text(fields: Fields, name: str, default: str = "") -> str:
    """A text in the fields; what is empty counts as not given."""
    found = fields.get(name)
    return found if isinstance(found, str) and found else default


def yes(fields: Fields, name: str) -> bool:
    """Whether it says Y."""
    return text(fields, name).upper() in ("Y", "1", "TRUE")
