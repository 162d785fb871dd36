"""Routes: from a path as it was sent to the template that it is of, such as `/v1/holds/{id}/settle`.

A segment is what stands between two slashes; only then is it decoded, so that an id may hold any character, a slash
(`%2F`) included. A literal segment wins over a name, and an empty one is nobody's.
"""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

Found = tuple[str, dict[str, str]]
"""A template, and what stands in place of its names."""


class Templates:
    """All templates, by their segments."""

    def __init__(self, templates: Iterable[str]) -> None:
        self._root = _Node()
        for template in templates:
            node = self._root
            for segment in template.split("/")[1:]:
                node = node.down(segment)
            node.template = template

    def find(self, path: bytes) -> Found | None:
        """The template of a path; None where there is none, or where a segment is no UTF-8."""
        taken: list[bytes] = []
        template = self._root.find(path.split(b"/")[1:], 0, taken)
        if template is None:
            return None
        try:
            values = [unquote_to_bytes(segment).decode() for segment in taken]
        except UnicodeDecodeError:
            return None
        return template, dict(zip(names_of(template), values, strict=True))


def names_of(template: str) -> list[str]:
    """The names that a template has in braces, in order."""
    return [segment[1:-1] for segment in template.split("/") if segment.startswith("{")]


class _Node:
    """What may follow a beginning."""

    def __init__(self) -> None:
        self.template: str | None = None
        self._literals: dict[bytes, _Node] = {}
        self._named: _Node | None = None

    def down(self, segment: str) -> "_Node":
        """Where a segment of a template leads; made where it led nowhere."""
        if not segment.startswith("{"):
            return self._literals.setdefault(segment.encode(), _Node())
        if self._named is None:
            self._named = _Node()
        return self._named

    def find(self, segments: list[bytes], at: int, taken: list[bytes]) -> str | None:
        """The template that the rest of the segments lead to; `taken` gets those that stand for names."""
        if at == len(segments):
            return self.template
        literal = self._literals.get(segments[at])
        found = None if literal is None else literal.find(segments, at + 1, taken)
        if found is not None or self._named is None or not segments[at]:
            return found
        taken.append(segments[at])
        found = self._named.find(segments, at + 1, taken)
        if found is None:
            taken.pop()
        return found
