"""Deciding changes nothing but what the outcome carries, and decides the same when it is asked again."""

import random

import pytest
from msgspec import json

from farthing import engine as engine_module
from farthing.core.commands import Command
from farthing.core.context import Context
from farthing.core.decide import decide
from farthing.core.outcomes import Outcome
from tests.model.walk import Walk, on_sqlite

GIVEN = ("new_id", "calendar", "months_after", "now", "only_asked")
LOADED = [name for name in Context.__slots__ if name not in GIVEN]


def picture(context: Context) -> bytes:
    """All that was loaded, as text: no record in it is shared with the context."""
    parts = {
        name: [[list(k), v] for k, v in pairs] if name != "done" else list(pairs) for name, pairs in _pairs(context)
    }
    return json.encode(parts)


def _pairs(context: Context):
    for name in LOADED:
        yield name, [(k if isinstance(k, tuple) else (k,), v) for k, v in getattr(context, name).items()]


@pytest.mark.parametrize("seed", range(3))
def test_deciding_leaves_what_was_loaded_as_it_was_and_says_the_same_again(seed, tmp_path, monkeypatch):
    decided = []

    def watched(command: Command, context: Context) -> Outcome:
        before, asked = picture(context), json.encode(command)
        made = context.new_id.made  # type: ignore[attr-defined]
        first = decide(command, context)
        assert picture(context) == before
        assert json.encode(command) == asked
        context.new_id.made = made  # type: ignore[attr-defined]
        again = decide(command, context)
        assert json.encode(again) == json.encode(first)
        decided.append(command.kind)
        return again

    monkeypatch.setattr(engine_module, "decide_well_formed", watched)
    rng = random.Random(seed)
    walk = Walk(on_sqlite(tmp_path / "ledger.db"))
    for _ in range(250):
        walk.step(rng.randbytes(96))
    walk.finish()
    walk.close()
    assert len(set(decided)) >= 12
