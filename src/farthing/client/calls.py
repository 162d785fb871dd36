"""Calls: what is asked, before it is known how it gets there. A method of a client builds one; a transport carries it;
`answers` turns what comes back into a result or an error.
"""

from collections.abc import Mapping
from typing import Any, Final, Generic, Literal, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, Struct

from .values import id_text, key_field, key_text

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
_encode = msgspec.json.Encoder().encode
NO_MATCH: Final = ""


class Begun(Protocol):
    """A call on its way."""

    @property
    def there(self) -> bool:
        """Whether nobody has to wait for its answer any more."""

    @property
    def accepted(self) -> bool:
        """Whether it is known to be done, now for the first time, and its answer was not read yet."""

    def decided(self) -> None:
        """Wait in this thread until nothing of it needs the interpreter any more, though not for long."""

    def told(self, seconds: float) -> None:
        """Wait in this thread until it is known what became of it, though no longer than that."""


class Call(Struct, Generic[T], frozen=True, kw_only=True):
    """One call of the API. It is sent as it is however often it has to be tried."""

    method: Method
    template: str
    """Its path, with names in braces."""
    answer: type[T]
    names: dict[str, str] = {}
    """What stands in the path for the names."""
    query: dict[str, str] = {}
    body: bytes = b""
    key: str = ""
    """The idempotency key; empty where it has none of its own."""
    if_match: str = NO_MATCH
    writes: bool = False
    """Whether it may change anything: then an answer that is lost leaves its outcome unknown."""
    ahead: "Begun | None" = None
    """What its transport has begun of it: who sends it the first time takes that up."""

    @property
    def path(self) -> str:
        """The path as it is sent, without its query."""
        if not self.names:
            return self.template
        return self.template.format_map({name: _segment(value) for name, value in self.names.items()})

    @property
    def query_text(self) -> str:
        """The query as it is sent."""
        return urlencode(self.query) if self.query else ""

    def headers(self) -> dict[str, str]:
        """The fields that belong to the call itself."""
        fields = {"content-type": "application/json"} if self.body else {}
        if self.key:
            fields["idempotency-key"] = key_field(self.key)
        if self.if_match:
            fields["if-match"] = f'"{self.if_match}"'
        return fields


def _segment(value: str) -> str:
    # A segment of dots alone is taken for a way up.
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def get(answer: type[T], template: str, query: Mapping[str, Any] | None = None, **names: str) -> Call[T]:
    """A call that reads; what is None in its query is left out."""
    return Call(method="GET", template=template, answer=answer, names=_ids(names), query=_given(query or {}))


def post(answer: type[T], template: str, body: Mapping[str, Any], key: str | None, **names: str) -> Call[T]:
    """A call that writes, under the caller's key or a new one; what is None in its body is left out."""
    return _write("POST", answer, template, _given(body), key, NO_MATCH, names)


def put(answer: type[T], template: str, body: Mapping[str, Any], key: str | None, **names: str) -> Call[T]:
    """A call that makes something what its body says; what is None in it is left out."""
    return _write("PUT", answer, template, _given(body), key, NO_MATCH, names)


def patch(
    answer: type[T], template: str, body: Mapping[str, Any], key: str | None, if_match: str | None, **names: str
) -> Call[T]:
    """A call that changes what is given; in its body None takes something away, and UNSET leaves it as it is."""
    given = {name: value for name, value in body.items() if value is not UNSET}
    return _write("PATCH", answer, template, given, key, if_match or NO_MATCH, names)


def delete(answer: type[T], template: str, body: Mapping[str, Any], key: str | None, **names: str) -> Call[T]:
    """A call that takes something away; what is None in its body is left out."""
    return _write("DELETE", answer, template, _given(body), key, NO_MATCH, names)


def tagged(call: Call[T], if_match: str | None) -> Call[T]:
    """The same call, done only where what it changes is still in the state of that ETag."""
    return msgspec.structs.replace(call, if_match=if_match or NO_MATCH)


def ask(
    answer: type[T], template: str, body: Mapping[str, Any], *, writes: bool = False, **names: str
) -> Call[T]:  # fmt: skip
    """A call that has a body but no key of its own."""
    return Call(
        method="POST", template=template, answer=answer, names=_ids(names), body=_encode(_given(body)), writes=writes
    )


def _write(
    method: Method, answer: type[T], template: str, body: dict[str, Any], key: str | None, if_match: str,
    names: Mapping[str, str],
) -> Call[T]:  # fmt: skip
    return Call(
        method=method, template=template, answer=answer, names=_ids(names), body=_encode(body), key=key_text(key),
        if_match=if_match, writes=True,
    )  # fmt: skip


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _ids(names: Mapping[str, str]) -> dict[str, str]:
    return {name: id_text(value, name) for name, value in names.items()} if names else {}
