"""Cursors: they go on where they say, for whom they were made, for a day; anything else is told from them."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.api.v1.cursors import LIVES_SECONDS, CursorInvalid, Cursors
from farthing.clock import FakeClock
from farthing.stores.access import Access
from tests.support import START_US

FILTERS = {"account": "alice", "kind": ["charge", "hold"]}


def cursors(clock: FakeClock | None = None, secret: str = "5f" * 32) -> Cursors:
    async def find(name: str, new: str) -> str:
        assert len(new) == 64
        return secret

    return Cursors(find, (clock or FakeClock(START_US)).now_us)


def write(made: Cursors, position: tuple[int | str, ...] = (7, "x"), **more: Any) -> str:
    given = {"listing": "entries", "workspace": "main", "filters": FILTERS} | more
    return asyncio.run(made.write(given["listing"], given["workspace"], given["filters"], position))


def read(made: Cursors, text: str, **more: Any) -> tuple[int | str, ...]:
    given = {"listing": "entries", "workspace": "main", "filters": FILTERS} | more
    return asyncio.run(made.read(text, given["listing"], given["workspace"], given["filters"]))


@given(st.lists(st.integers(-(1 << 62), 1 << 62) | st.text(st.characters(codec="utf-8"), max_size=255), max_size=3))
def test_a_cursor_gives_back_its_position(position):
    text = write(cursors(), tuple(position))
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()
    assert read(cursors(), text) == tuple(position)


def test_the_order_of_filters_does_not_matter():
    assert read(cursors(), write(cursors()), filters=dict(reversed(FILTERS.items()))) == (7, "x")


@pytest.mark.parametrize(
    ("elsewhere", "words"),
    [
        ({"workspace": "other"}, "another workspace"),
        ({"listing": "holds"}, "another listing \\(entries\\)"),
        ({"filters": FILTERS | {"kind": ["charge"]}}, "other filters"),
        ({"filters": FILTERS | {"account": "bob"}}, "other filters"),
    ],
)
def test_a_cursor_is_bound_to_where_it_came_from(elsewhere, words):
    with pytest.raises(CursorInvalid, match=words):
        read(cursors(), write(cursors()), **elsewhere)


def test_a_cursor_lives_for_a_day():
    clock = FakeClock(START_US)
    text = write(cursors(clock))
    clock.advance(LIVES_SECONDS - 1)
    assert read(cursors(clock), text) == (7, "x")
    clock.advance(1)
    with pytest.raises(CursorInvalid, match="24 hours"):
        read(cursors(clock), text)


def test_a_changed_cursor_is_seen_wherever_it_was_changed():
    text = write(cursors())
    # The last letter may hold bits that stand for nothing.
    for position, letter in enumerate(text[:-1]):
        changed = text[:position] + ("A" if letter != "A" else "B") + text[position + 1 :]
        with pytest.raises(CursorInvalid, match="made up"):
            read(cursors(), changed)


@given(st.text(max_size=80) | st.text("abcXYZ019-_", max_size=80))
def test_anything_else_is_no_cursor(text):
    with pytest.raises(CursorInvalid, match="made up"):
        read(cursors(), text)


@pytest.mark.parametrize("text", ["", "a" * 100_000, "=" * 40, "\0", "\ud800"])
def test_an_unfit_text_is_no_cursor(text):
    with pytest.raises(CursorInvalid, match="made up"):
        read(cursors(), text)


def test_a_cursor_of_another_ledger_is_none():
    with pytest.raises(CursorInvalid, match="made up"):
        read(cursors(), write(cursors(secret="60" * 32)))


def test_the_secret_is_made_once_and_every_process_finds_the_same(book):
    from farthing.stores.sqlite import SqliteDatabase

    access = Access(SqliteDatabase(book.db))
    before = book.count("config")
    first, second = (Cursors(access.secret, book.clock.now_us) for _ in range(2))
    assert read(second, write(first)) == (7, "x")
    assert book.count("config") == before + 1
