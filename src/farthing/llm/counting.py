"""Counting: the tokens of a text that comes in pieces."""

from farthing.core.estimate import tokens_of, weigh


class Count:
    """Tokens of a text that comes in pieces, counted as `count_tokens` counts all of it."""

    def __init__(self) -> None:
        self._bytes = self._wide = 0
        self._before = 0, 0

    def add(self, text: str) -> None:
        """One more piece."""
        wide, rest = weigh(text)
        self._before = self._wide, self._bytes
        self._wide += wide
        self._bytes += rest

    def take_back(self) -> None:
        """The last piece is not passed on."""
        self._wide, self._bytes = self._before

    @property
    def tokens(self) -> int:
        """So far."""
        return tokens_of(self._wide, self._bytes)
