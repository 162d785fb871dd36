"""OpenAPI 3.1, made from the same types and tables that the endpoints run by."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import fields as fields_of

from farthing.core.events import EventType, example_of

from .endpoint import Endpoint, Parameter

Schema = dict[str, Any]
_REF: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"
_SCHEMES: Final = {
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key of the workspace: cs_live_... or cs_test_...",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same key, or the token of a person."},
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The token of a person."},
}
_REQUEST_ID: Final = Parameter(
    name="X-Request-Id",
    place="header",
    description="Comes back with the answer and stands in the log. Anything but 1 to 64 printable ASCII characters "
    "without blanks is no such id: a new one is made in its place.",
    schema={"type": "string"},
)


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

    @property
    def error_type(self) -> str:
        """The media type of an error."""

    @property
    def schemes(self) -> Sequence[str]:
        """The ways in which it takes a credential."""

    @property
    def problems(self) -> Sequence[Code]:
        """The codes to which the type of its errors leads, on the documentation page."""

    def success(self, endpoint: Endpoint) -> Any:
        """The type of the whole body of a success."""

    def success_example(self, endpoint: Endpoint) -> dict[str, Any]:
        """An example of that body."""

    def parameters(self, endpoint: Endpoint) -> Sequence[Parameter]:
        """What a call takes beside its body."""

    def codes(self, endpoint: Endpoint) -> Iterable[Code]:
        """All codes that the endpoint may give."""

    def error_example(self, code: Code) -> dict[str, Any]:
        """An example of an error's body."""


def document(
    faces: Sequence[Documented], version: str, events: Sequence[EventType] = ()
) -> dict[str, Any]:  # fmt: skip
    """The whole document; with the events that are sent to webhooks."""
    schemas = _Schemas(faces, events)
    paths: dict[str, Any] = {}
    ways = dict.fromkeys(way for face in faces for way in face.schemes)
    for face in faces:
        for endpoint in face.endpoints:
            paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(face, endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Farthing",
            "version": version,
            "description": "An exact, durable credit ledger for AI products.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{next(iter(ways)): []}],
        "tags": [{"name": face.name} for face in faces],
        "paths": paths,
        **({"webhooks": {event.name: {"post": _sent(event, schemas)} for event in events}} if events else {}),
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {way: _SCHEMES[way] for way in ways},
        },
        "x-problems": {
            code.code: {"status": code.status, "detail": code.sentence} for face in faces for code in face.problems
        },
    }


class _Schemas:
    """The schemas of all types, made together: only so do types of one name in two faces get names of their own."""

    def __init__(self, faces: Sequence[Documented], events: Sequence[EventType]) -> None:
        types = [t for face in faces for t in _types(face) if t is not None] + [event.data for event in events]
        made, components = msgspec.json.schema_components(types, ref_template=_REF)
        self._types = list(zip(types, made, strict=True))
        self.components: Mapping[str, Schema] = dict(sorted(components.items()))

    def of(self, kind: Any) -> Schema:
        """The schema of a type, by reference."""
        return next(schema for known, schema in self._types if known == kind)


def _types(face: Documented) -> list[Any]:
    return [face.error, *(t for e in face.endpoints for t in (e.request, face.success(e)))]


def _operation(face: Documented, endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.operation_id,
        "tags": [face.name],
        "summary": endpoint.summary,
        "description": f"{endpoint.description}\n\n{_takes(endpoint)}",
        "parameters": [_parameter(p) for p in (_REQUEST_ID, *face.parameters(endpoint))],
    }
    if not endpoint.scope:
        operation["security"] = []
    elif list(face.schemes) != ["apiKey"]:  # which stands for all others
        operation["security"] = [{name: []} for name in face.schemes]
    if endpoint.request is not None:
        content = _content(schemas.of(endpoint.request), {"example": endpoint.example})
        # No body at all is an object without fields.
        needed = any(field.required for field in fields_of(endpoint.request))
        operation["requestBody"] = {"required": needed, "content": {_JSON: content}}
    operation["responses"] = {**_successes(face, endpoint, schemas), **_errors(face, endpoint, schemas)}
    return operation


_SENT_HEADERS: Final[tuple[tuple[str, str, Schema], ...]] = (
    ("webhook-id", "The event's id, the same at every try: what was received before is known by it.", {}),
    ("webhook-timestamp", "When this try was made: Unix seconds.", {"pattern": "^[0-9]+$"}),
    ("webhook-signature", "`v1,` and the base64 of an HMAC-SHA256 over `id.timestamp.body`; several, separated by "
     "blanks, while a secret is replaced.", {}),
)  # fmt: skip


def _sent(event: EventType, schemas: _Schemas) -> dict[str, Any]:
    """What a webhook is sent of a type of event."""
    body = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "const": event.name},
            "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
            "data": schemas.of(event.data),
        },
    }
    recorded = "Always recorded." if event.always else "Recorded where a webhook or a listener asks for it."
    return {
        "operationId": f"on.{event.name}",
        "summary": event.summary,
        "description": f"{recorded}\n\nStandard Webhooks: verify the signature before anything else, answer with 2xx "
        "within 20 s, and go by `webhook-id`: an event may come more than once.",
        "security": [],
        "parameters": [
            {
                "name": name, "in": "header", "required": True, "description": said,
                "schema": {"type": "string", **more},
            }
            for name, said, more in _SENT_HEADERS
        ],
        "requestBody": {"required": True, "content": {_JSON: _content(body, {"example": example_of(event)})}},
        "responses": {
            "2XX": {"description": "Received. Whatever else is answered, the event is sent again later."},
            "410": {"description": "Nobody is here any more: the webhook is disabled."},
        },
    }  # fmt: skip


def _takes(endpoint: Endpoint) -> str:
    """What a caller needs for it."""
    if not endpoint.scope:
        return "Takes no credential."
    kind, _, role = endpoint.scope.rpartition(":")
    return f"Takes a token of role `{role}` or above." if kind else f"Takes the scope `{role}`."


def _content(schema: Schema, examples: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": parameter.schema,
    }
    if parameter.required:
        told["required"] = True
    if parameter.schema.get("type") == "array":
        told |= {"style": "form", "explode": False}  # one text, its parts separated by commas
    if parameter.example is not None:
        told["example"] = parameter.example
    return told


def _successes(face: Documented, endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    """What a success answers; one that makes something also answers that it would, in a dry run."""
    schema, example = schemas.of(face.success(endpoint)), face.success_example(endpoint)
    answer: dict[str, Any] = {"description": "Done.", "content": {_JSON: _content(schema, {"example": example})}}
    if endpoint.texts:
        text = {"type": "string"}
        answer["content"] = {kind: _content(text, {"example": example}) for kind, example in endpoint.texts.items()}
    for kind, text_example in endpoint.also.items():
        answer["content"][kind] = _content({"type": "string"}, {"example": text_example})
    fields = {}
    if endpoint.location:
        fields["Location"] = {"description": "Where it is found.", "schema": {"type": "string"}}
    if endpoint.keyed:
        fields["Idempotent-Replayed"] = {
            "description": "`true` when this was the answer before.",
            "schema": {"type": "string", "const": "true"},
        }
    if fields:
        answer["headers"] = fields
    if endpoint.status == 200:
        return {"200": answer}
    if not endpoint.keyed:
        return {str(endpoint.status): answer | {"description": "Made."}}
    would = {
        "description": "A dry run: nothing was kept.",
        "content": {_JSON: _content(schema, {"dry_run": example | {"dry_run": True}})},
    }
    return {"200": would, str(endpoint.status): answer | {"description": "Made."}}


def _errors(face: Documented, endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    by_status: dict[int, list[Code]] = {}
    for code in face.codes(endpoint):
        by_status.setdefault(code.status, []).append(code)
    return {str(status): _error(face, status, by_status[status], schemas) for status in sorted(by_status)}


def _error(face: Documented, status: int, codes: Sequence[Code], schemas: _Schemas) -> dict[str, Any]:
    names = ", ".join(f"`{code.code}`" for code in codes)
    content = _content(schemas.of(face.error), {code.code: face.error_example(code) for code in codes})
    answer: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}: {names}",
        "content": {face.error_type: content},
    }
    if status in (429, 503):
        seconds = {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}}
        answer["headers"] = {"Retry-After": seconds}
    return answer
