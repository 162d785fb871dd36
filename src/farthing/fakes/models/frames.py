"""Frames: the parts that an answer is written in, each with what it carries; all formats are made of them."""

import json
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Stage(IntEnum):
    """How far an answer has come with a frame."""

    BEGIN = 0
    CONTENT = 1
    FINISH = 2
    """It says why it ends."""
    USAGE = 3
    END = 4


@dataclass(frozen=True)
class Frame:
    """One part."""

    data: bytes
    stage: Stage
    tokens: int = 0
    """Of the answer, that it carries. One that carries none is no chunk."""
    reasoning: bool = False
    """Those are of reasoning."""
    usage: bool = False
    """It tells the usage of the whole."""


def data_event(data: Any) -> bytes:
    """An event of which only the data count."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def named_event(name: str, data: Any) -> bytes:
    """An event with a name."""
    return b"event: " + name.encode() + b"\n" + data_event(data)
