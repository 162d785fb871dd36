"""Exchanges of a page: what is asked over HTTP, and what is answered, as pages show them in their blocks `http`.

    # anna, a user
    POST /api/credits/check {"requiredCredits": 5}
    200 {"sufficient": true, "credits": 100.5, "requiredCredits": 5}

The first line is there where somebody else asks than before. In an answer a text that ends in three dots stands for
all that begin like it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct


class Exchange(Struct):
    """One of them; `by` is empty where the page names nobody."""

    by: str
    method: str
    path: str
    body: str
    status: int
    shown: Any


def exchanges(page: str) -> Iterator[Exchange]:
    """All exchanges of a page, in their order."""
    by = ""
    for block in re.findall(r"```http\n(.*?)```", page, re.DOTALL):
        for lines in block.strip().split("\n\n"):
            *comment, asked, told = lines.split("\n")
            by = comment[0].removeprefix("# ") if comment else by
            method, path, *body = asked.split(" ", 2)
            status, shown = told.split(" ", 1)
            yield Exchange(by, method, path, "".join(body), int(status), json.loads(shown))


def alike(shown: Any, found: Any) -> bool:
    """Whether an answer is the one that was shown."""
    if isinstance(shown, dict):
        return (
            isinstance(found, dict) and shown.keys() == found.keys() and all(alike(shown[k], found[k]) for k in shown)
        )
    if isinstance(shown, list):
        return isinstance(found, list) and len(shown) == len(found) and all(map(alike, shown, found))
    if isinstance(shown, str) and shown.endswith("..."):
        return str(found).startswith(shown[:-3])
    return bool(shown == found)
