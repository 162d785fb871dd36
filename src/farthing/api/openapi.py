"""OpenAPI 3.1, made from the same types and tables that the endpoints run by."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from .endpoint import Endpoint

Schema = dict[str, Any]
_REF = "#/components/schemas/{name}"


class Code(Struct, frozen=True):
    """A code that a client may meet."""

    status: int
    code: str
    sentence: str
    """What it means, as an example of the message."""


class Documented(Protocol):
    """What a face tells about itself."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """Its calls."""

    @property
    def error(self) -> type[Struct]:
        """The body of an error."""

    def success(self, endpoint: Endpoint) -> Any:
        """The type of the whole body of a success."""

    def success_example(self, endpoint: Endpoint) -> dict[str, Any]:
        """An example of that body."""

    def codes(self, endpoint: Endpoint) -> Iterable[Code]:
        """All codes that the endpoint may give."""

    def error_example(self, code: Code) -> dict[str, Any]:
        """An example of an error's body."""


def document(faces: Sequence[Documented], version: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {}
    for face in faces:
        for endpoint in face.endpoints:
            paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(face, endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Farthing",
            "version": version,
            "description": "An exact, durable credit ledger for AI products.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"apiKey": []}],
        "tags": [{"name": face.name} for face in faces],
        "paths": paths,
        "components": {
            "schemas": _schemas(faces),
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "A key of the workspace: cs_live_... or cs_test_...",
                }
            },
        },
    }


def _types(face: Documented) -> list[Any]:
    return [face.error, *(t for e in face.endpoints for t in (e.request, face.success(e)))]


def _schemas(faces: Sequence[Documented]) -> Mapping[str, Schema]:
    types = [t for face in faces for t in _types(face)]
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    return dict(sorted(components.items()))


def _reference(kind: Any) -> Schema:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _operation(face: Documented, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "operationId": endpoint.operation_id,
        "tags": [face.name],
        "summary": endpoint.summary,
        "description": f"{endpoint.description}\n\nTakes the scope `{endpoint.scope}`.",
        "parameters": _parameters(endpoint),
        "requestBody": {
            "required": True,
            "content": {"application/json": _content(endpoint.request, {"example": endpoint.example})},
        },
        "responses": {
            "200": {
                "description": "Done.",
                "content": {
                    "application/json": _content(face.success(endpoint), {"example": face.success_example(endpoint)}),
                },
            },
            **_errors(face, endpoint),
        },
    }


def _content(kind: Any, examples: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return {"schema": _reference(kind), "examples": {name: {"value": value} for name, value in examples.items()}}


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    request_id = {
        "name": "X-Request-Id",
        "in": "header",
        "description": "1 to 64 printable characters; comes back with the answer and stands in the log.",
        "schema": {"type": "string", "maxLength": 64},
    }
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes a write safe to repeat where the body has no key of its own.",
        "schema": {"type": "string", "maxLength": 200},
    }
    return [request_id] if endpoint.read is None else [request_id, key]


def _errors(face: Documented, endpoint: Endpoint) -> dict[str, Any]:
    by_status: dict[int, list[Code]] = {}
    for code in face.codes(endpoint):
        by_status.setdefault(code.status, []).append(code)
    return {str(status): _error(face, status, by_status[status]) for status in sorted(by_status)}


def _error(face: Documented, status: int, codes: Sequence[Code]) -> dict[str, Any]:
    names = ", ".join(f"`{code.code}`" for code in codes)
    answer: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}: {names}",
        "content": {"application/json": _content(face.error, {code.code: face.error_example(code) for code in codes})},
    }
    if status in (429, 503):
        seconds = {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}}
        answer["headers"] = {"Retry-After": seconds}
    return answer
