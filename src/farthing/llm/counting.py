"""Counting: the tokens of a text that comes in pieces."""

from farthing.core.estimate import tokens_of, weigh


class Count:
    """Tokens of a text that comes in pieces, counted as `count_tokens` counts all of it."""

    def __init__(self) -> None:
        self._bytes = self._wide = 0
        self.tokens = 0
        """So far."""
        self._last = ""

    def add(self, text: str) -> None:
        """One more piece."""
        self._last = text
        if text.isascii():  # as `weigh` has it: of each piece one call less
            self._bytes += len(text)
        else:
            wide, rest = weigh(text)
            self._wide += wide
            self._bytes += rest
        self.tokens = tokens_of(self._wide, self._bytes)

    def take_back(self) -> None:
        """The last piece is not passed on."""
        wide, rest = weigh(self._last)
        self._wide, self._bytes, self._last = self._wide - wide, self._bytes - rest, ""
        self.tokens = tokens_of(self._wide, self._bytes)
