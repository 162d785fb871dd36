"""What files for others' libraries have in common: what is said where one is missing, and how calls have ended."""

import asyncio
import importlib
import sys

import pytest

from farthing.client.errors import InsufficientCredits
from farthing.llm.hooks import how_of


@pytest.mark.parametrize(
    ("name", "library", "package"),
    [("langchain", "langchain_core", "langchain-core"), ("litellm", "litellm", "litellm"),
     ("pydantic_ai", "pydantic_ai", "pydantic-ai-slim")],
)  # fmt: skip
def test_who_lacks_a_library_is_told_its_package(
    monkeypatch: pytest.MonkeyPatch, name: str, library: str, package: str
):
    for loaded in [module for module in sys.modules if module.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"farthing.llm.{name}", raising=False)
    with pytest.raises(ImportError, match=f"needs the package {package}, which is not installed"):
        importlib.import_module(f"farthing.llm.{name}")


class Refused(Exception):
    status_code = 429


def from_a_lost_connection() -> Exception:
    try:
        try:
            raise ConnectionResetError
        except ConnectionResetError as lost:
            raise ValueError("the answer ends here") from lost
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "streams", "began", "ended"),
    [
        (Refused(), False, False, "refused"),
        (Refused(), True, True, "failed"),
        (from_a_lost_connection(), False, False, "lost"),
        (from_a_lost_connection(), True, True, "cut"),
        (TimeoutError(), True, False, "cut"),
        (ValueError(), True, True, "failed"),
        (InsufficientCredits("spent", status=402), True, True, "cut"),
        (GeneratorExit(), False, False, "left"),
        (asyncio.CancelledError(), True, True, "left"),
        (asyncio.CancelledError(), False, False, "lost"),
    ],
)
def test_how_a_call_has_ended_is_told_by_its_error(error: BaseException, streams: bool, began: bool, ended: str):
    assert how_of(error, streams=streams, began=began) == ended
