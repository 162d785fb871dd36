"""Tokens, as this stand-in counts them, and texts that have so many.

A token is four bytes of UTF-8, and what is left over is one more; a message costs four tokens beside its texts. Real
providers count otherwise, each in his own way: what matters here is that anybody can check it. What the stand-in says
itself comes in words of exactly four bytes, so that it doesn't matter where one cuts it before counting.
"""

from typing import Final

BYTES: Final = 4
MESSAGE_TOKENS: Final = 4
_FIRST: Final = ("Well", "Sure", "This", "Here", "Then", "Once", "Some", "Many")
_NEXT: Final = (
    " and", " the", " sun", " has", " not", " set", " yet", " but", " its", " red", " sky", " can", " now", " hum",
    " old", " low", " sea", " air", " one", " day", " ago", " far", " off", " dry", " hay", " ran", " out", " too",
)  # fmt: skip


def count(text: str) -> int:
    """How many tokens a text is."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES)


def words(seed: int, tokens: int) -> list[str]:
    """A text of so many tokens, by token; the same for the same seed."""
    if tokens <= 0:
        return []
    step = 1 + seed % 5
    return [_FIRST[seed % len(_FIRST)], *(_NEXT[(seed + step * n) % len(_NEXT)] for n in range(1, tokens))]


def filled(text: str) -> str:
    """A text of JSON, with spaces before its last bracket until it is whole tokens."""
    return text[:-1] + " " * (-len(text.encode()) % BYTES) + text[-1:]


def pieces(text: str) -> list[str]:
    """A text of ASCII by token."""
    return [text[at : at + BYTES] for at in range(0, len(text), BYTES)]
