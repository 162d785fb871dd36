"""The OpenAPI documents and their pages, made once in a process: each of the hundreds of servers that tests start would
make the same ones again, which is most of what a start takes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from farthing.api import docs, openapi, pages
from farthing.core.events import EventType

Made = tuple[list[Any], dict[str, Any], docs.DocsPage]
_make = openapi.document
_made: dict[tuple[Any, ...], Made] = {}


def document(
    faces: Sequence[openapi.Documented], version: str, events: Sequence[EventType] = ()
) -> dict[str, Any]:  # fmt: skip
    """The document of faces of these kinds with these endpoints, and of these events: it hangs on nothing else."""
    known = (version, *((type(face), *map(id, face.endpoints)) for face in faces), *map(id, events))
    if known not in _made:
        made = _make(faces, version, events)
        # The endpoints and events are kept: as long as they are there, nothing else has their ids.
        _made[known] = ([[face.endpoints for face in faces], events], made, docs.DocsPage(made))
    return _made[known][1]


def page(document: dict[str, Any]) -> docs.DocsPage:
    """The page of a document."""
    return next((page for _, made, page in _made.values() if made is document), None) or docs.DocsPage(document)


@contextmanager
def documents_made_once() -> Iterator[None]:
    """For the length of the block those who make documents get the ones that are there."""
    with mock.patch.object(openapi, "document", document), mock.patch.object(pages, "DocsPage", page):
        yield
