"""Logs: JSON lines, in a fixed order, without secrets, from their level on."""

import io
import json
from typing import Any

import pytest

from farthing.api.logs import LEVELS, make_logger
from farthing.core.credentials import redact
from farthing.identity.keys import make_key


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_that_begins_with_when_how_bad_and_what():
    stream = io.StringIO()
    make_logger("info", stream).info("started", port=8787, nothing=None, odd=object)
    (line,) = lines(stream)
    assert list(line)[:3] == ["at", "level", "event"]
    assert line["at"].endswith("Z")
    assert (line["level"], line["event"], line["port"], line["nothing"]) == ("info", "started", 8787, None)
    assert line["odd"] == "<class 'object'>"


@pytest.mark.parametrize("level", list(LEVELS))
def test_what_is_below_the_level_is_not_written(level: str):
    stream = io.StringIO()
    logger = make_logger(level, stream)
    for name in LEVELS:
        getattr(logger, name)("word")
    assert [line["level"] for line in lines(stream)] == [name for name in LEVELS if LEVELS[name] >= LEVELS[level]]


def test_an_exception_is_one_line_and_a_key_in_it_is_blotted_out():
    stream, key = io.StringIO(), make_key("live").text
    logger = make_logger("info", stream, redact)
    try:
        raise ValueError(f"no good: {key}")
    except ValueError:
        logger.exception("failed", path=f"/api/{key}")
    (line,) = lines(stream)
    assert "ValueError: no good: cs_live_" in line["exception"]
    assert key not in stream.getvalue()


def test_line_breaks_stay_inside_the_line():
    stream = io.StringIO()
    make_logger("info", stream).info("one\ntwo", path="/a\r\nb")
    assert len(stream.getvalue().splitlines()) == 1
