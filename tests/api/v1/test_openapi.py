"""The native API in the OpenAPI document and on the page made from it: complete, true, and with examples that work."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from farthing.api.endpoint import Endpoint
from farthing.api.routes import names_of
from farthing.api.v1 import adjustments, bulk, charges, grants, holds, settles
from farthing.api.v1.face import ENDPOINTS
from farthing.api.v1.problems import CODES
from tests.api.serving import Server
from tests.api.test_pages import Reader, references
from tests.api.v1.client import Client, new_key
from tests.api.v1.used import put_card

WRITES = [
    e for noun in (charges, bulk, grants, holds, settles, adjustments) for e in noun.ENDPOINTS if e.method == "POST"
]
FILES = {
    "exportUsage": {"text/csv", "application/jsonl"},
    "streamEvents": {"text/event-stream"},
    "showStatement": {"application/json", "text/csv"},
}
"""Media types of what is a file, or may be one."""


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.send("GET", "/openapi.json").json
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if operation["tags"] == ["v1"]:
                yield path, method.upper(), operation


def test_every_endpoint_is_in_the_document_with_an_id_of_its_own(document: dict[str, Any]):
    assert {(path, method) for path, method, _ in operations(document)} == {(e.path, e.method) for e in ENDPOINTS}
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids) > len(ENDPOINTS)


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: dict[str, Any]):
    names = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert names == set(document["components"]["schemas"])


def test_errors_are_problem_documents_and_successes_are_json_or_a_file(document: dict[str, Any]):
    for _, _, operation in operations(document):
        file = FILES.get(operation["operationId"])
        for status, response in operation["responses"].items():
            kinds = (file or {"application/json"}) if status < "300" else {"application/problem+json"}
            assert set(response["content"]) == kinds
            assert (status in ("429", "503")) <= ("Retry-After" in response.get("headers", {}))


def test_every_name_in_a_path_is_a_parameter_that_is_required(document: dict[str, Any]):
    for path, _, operation in operations(document):
        told = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert sorted(told) == sorted(names_of(path))
        assert all(p["required"] and p["example"] for p in operation["parameters"] if p["in"] == "path")
        assert all({"name", "in", "schema", "description"} <= set(p) for p in operation["parameters"])


def test_every_write_but_a_bulk_needs_a_key_and_says_so(document: dict[str, Any]):
    without = {
        "createCharges",
        "renewDue",
        "checkAutoTopUp",  # that somebody is to look may be said twice
        "tellParked",
        *(endpoint.operation_id for endpoint in ENDPOINTS if endpoint.only_reads),
    }
    for _, method, operation in operations(document):
        required = {p["name"] for p in operation["parameters"] if p["in"] == "header" and p.get("required")}
        keyed = method != "GET" and operation["operationId"] not in without
        assert ("Idempotency-Key" in required) == keyed, operation["operationId"]


def test_either_credential_is_documented(document: dict[str, Any]):
    assert set(document["components"]["securitySchemes"]) == {"apiKey", "bearer"}
    for _, _, operation in operations(document):
        assert operation["security"] == [{"apiKey": []}, {"bearer": []}]


def test_every_code_has_its_status_and_an_example(document: dict[str, Any]):
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            if status < "300":
                continue
            for code, example in response["content"]["application/problem+json"]["examples"].items():
                body = example["value"]
                assert (body["code"], body["status"]) == (code, int(status)) == (code, CODES[code].status)
                assert body["detail"].endswith(".")


def test_a_command_takes_no_other_fields(document: dict[str, Any]):
    for _, _, operation in operations(document):
        if "requestBody" in operation:
            (reference,) = references(operation["requestBody"]["content"]["application/json"]["schema"])
            schema = document["components"]["schemas"][reference.rpartition("/")[2]]
            assert schema["additionalProperties"] is False


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.operation_id)
def test_the_examples_are_of_the_documented_types(endpoint: Endpoint):
    if endpoint.request is not None:
        msgspec.convert(endpoint.example, endpoint.request)
    answered = msgspec.convert(endpoint.answered, endpoint.answer)
    assert msgspec.to_builtins(answered) == endpoint.answered


# What is sent


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, Any, bytes]]]:
    """The examples of all commands, one after the other on one ledger: status, body and raw body of each answer."""
    with Server(tmp_path_factory.mktemp("story")) as server:
        put_card(server)
        client = Client(server, server.new_key("admin"))
        client.grant("user_43", "100")
        told: dict[str, tuple[int, Any, bytes]] = {}
        ids: dict[str, str] = {}

        def play(name: str, **path: str) -> None:
            endpoint = next(e for e in WRITES if e.operation_id == name)
            place = endpoint.path.removeprefix("/v1/").format(**path)
            body = dict(endpoint.example)
            if "expires_at" in body and name == "extendHold":
                body["expires_at"] = "2026-01-01T00:30:00Z"
            answer = client.post(place, body)
            told[name] = (answer.status, answer.json, answer.raw)
            ids[name] = answer.json.get("id", "")

        play("createGrant")
        play("createCharge")
        play("refundCharge", id=ids["createCharge"])
        play("createRefund")
        play("createCharges")
        play("createHold")
        play("extendHold", id=ids["createHold"])
        play("settleHold", id=ids["createHold"])
        play("createHold")
        play("releaseHold", id=ids["createHold"])
        play("adjustAccount", account="user_42")
        play("setBalance", account="user_42")
        play("voidGrant", id=ids["createGrant"])
        yield told


@pytest.mark.parametrize("endpoint", WRITES, ids=lambda e: e.operation_id)
def test_the_examples_work_and_their_answers_have_the_documented_form(
    story: dict[str, tuple[int, Any, bytes]], endpoint: Endpoint
):
    status, body, raw = story[endpoint.operation_id]
    assert status == endpoint.status, raw
    msgspec.json.decode(raw, type=endpoint.answer)
    if endpoint.operation_id != "createCharges":  # its example shows a refusal as well
        assert set(body) == set(endpoint.answered)


# The page


def test_the_type_of_every_problem_leads_to_its_place_on_the_page(server: Server):
    reader = Reader(server.send("GET", "/docs").raw.decode())
    assert {f"problem-{code}" for code in CODES} <= set(reader.ids)
    assert len(set(reader.ids)) == len(reader.ids)


def test_the_page_has_every_endpoint_field_and_code(server: Server):
    text = server.send("GET", "/docs").raw.decode()
    for endpoint in ENDPOINTS:
        assert f'id="{endpoint.operation_id}"' in text
        names = endpoint.request.__struct_fields__ if endpoint.request is not None else ()
        assert all(f"<code>{name}</code>" in text for name in (*names, *endpoint.codes))


def test_the_curl_lines_of_the_page_are_understood_as_they_stand(tmp_path: Any):
    with Server(tmp_path) as server:
        client = Client(server, server.new_key("admin"))
        client.grant("user_42", "100")
        server.run(server.app.end_streams())  # they have no end of their own
        reader = Reader(server.send("GET", "/docs").raw.decode())
        lines = [text for text in reader.pre if text.startswith("curl") and "/v1/" in text]
        assert len(lines) == len(ENDPOINTS)
        for line in lines:
            # What a shell does with the line, and then curl: no machine must have them for this.
            words = iter(shlex.split(line.replace("\\\n", "").replace("$FARTHING_API_KEY", client.api_key)))
            command, _, method = (next(words) for _ in range(3))
            base, path = re.fullmatch(r"(http://[^/]+)(/.*)", next(words)).groups()  # type: ignore[union-attr]
            assert (command, base) == ("curl", f"http://127.0.0.1:{server.port}")
            options = [(flag, next(words)) for flag in words]
            headers = dict(value.split(": ") for flag, value in options if flag == "-H")
            if "Idempotency-Key" in headers:
                headers["Idempotency-Key"] = new_key()
            data = next((value.encode() for flag, value in options if flag == "-d"), None)
            answer = server.send(method, path, data, headers)
            # What an example names by its id is nobody's here.
            assert answer.status < 300 or answer.status in (402, 403, 404, 409, 412), (line, answer.raw)
