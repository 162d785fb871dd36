"""The pages beside the faces: alive, ready, metrics, the OpenAPI document, and the documentation made from it."""

import asyncio
import json
import re
import shlex
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import fields

from farthing.api.countwerk.endpoints import ENDPOINTS
from farthing.api.countwerk.errors import CODES
from farthing.api.docs import DocsPage
from farthing.api.metrics import Metrics
from farthing.api.pages import clock_check, database_check, pages, storage_check
from farthing.clock import ClockGuard, FakeClock
from farthing.stores.contract import Unavailable, result_of
from farthing.stores.postgres_database import PostgresDatabase
from farthing.stores.reports import Reports
from farthing.stores.sqlite import SqliteDatabase
from farthing.timezones import calendar
from tests.api.serving import Server
from tests.api.test_countwerk_bad_input import GOOD, request_of
from tests.api.transcripts import sell
from tests.postgres import Cluster
from tests.support import Book

# Alive and ready


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"])
def test_a_page_is_read_with_get_or_head_and_nothing_else(server: Server, path: str):
    page = server.send("GET", path)
    assert page.status == 200
    empty = server.send("HEAD", path)
    assert (empty.status, empty.raw, empty.headers["content-type"]) == (200, b"", page.headers["content-type"])
    assert server.send("OPTIONS", path).headers["allow"] == "GET, HEAD, OPTIONS"
    wrong = server.send("POST", path, b"{}")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert wrong.json["code"] == "method_not_allowed"


def test_alive_needs_nothing(server: Server):
    assert server.send("GET", "/livez").json["status"] == "alive"


def test_ready_says_of_each_check_that_it_is_ok(server: Server):
    answer = server.send("GET", "/readyz")
    checks = dict.fromkeys(("database", "schema", "storage", "clock"), "ok")
    assert (answer.status, answer.json) == (200, {"status": "ready", "checks": checks})


def test_a_clock_that_jumped_makes_it_not_ready(tmp_path):
    with Server(tmp_path) as server:
        server.clock.jump(-7_200)  # type: ignore[attr-defined]
        answer = server.send("GET", "/readyz")
        assert (answer.status, answer.json["status"], answer.json["checks"]["database"]) == (503, "not ready", "ok")
        assert "7200" in answer.json["checks"]["clock"]
        refused = server.post("deduct", GOOD["deduct"])
        assert refused.told == (503, "DEDUCTION_ERROR")
        assert refused.headers["retry-after"] == "10"
        assert server.send("GET", "/livez").status == 200


class Durable:
    def __init__(self, *weak: str, broken: bool = False) -> None:
        self.weak = list(weak)
        self.broken = broken

    async def weaknesses(self) -> list[str]:
        if self.broken:
            raise Unavailable("the file can't be read")
        return self.weak


def played(work: Callable[[], Any]) -> Any:
    """The result of a coroutine that does not wait."""
    try:
        work().send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a check on a local file does not wait")


def test_a_database_that_may_forget_is_not_ready():
    weak = Durable("fsync is off", "synchronous_commit is off")
    told = played(database_check(weak))
    assert told.startswith("fsync is off and synchronous_commit is off: a power cut could take back")
    assert "allow_unsafe" in told
    assert played(database_check(weak, allow_unsafe=True)) is None
    assert played(database_check(Durable())) is None


@pytest.mark.parametrize(
    ("setting", "weak"),
    [
        ("journal_mode = wal", False),
        ("synchronous = extra", False),
        ("synchronous = normal", True),
        ("journal_mode = delete", True),
        ("journal_mode = memory", True),
    ],
)
def test_a_file_whose_settings_may_forget_says_so(book: Book, setting: str, weak: bool):
    book.db.execute("pragma journal_mode = wal; pragma synchronous = full")
    book.db.execute(f"pragma {setting}")
    reports = Reports(SqliteDatabase(book.db), calendar)
    assert bool(result_of(reports.weaknesses())) == weak


def test_a_server_whose_settings_may_forget_says_so(postgres_cluster: Cluster):
    async def weaknesses() -> list[str]:
        database = PostgresDatabase(postgres_cluster.dsn)
        try:
            return await Reports(database, calendar).weaknesses()
        finally:
            await database.close()

    assert asyncio.run(weaknesses()) == []
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        postgres_cluster.sql(f"alter system set {setting} = off")
    postgres_cluster.restart()
    told = asyncio.run(weaknesses())
    assert told == ["fsync is off", "full_page_writes is off", "synchronous_commit is off"]


def test_a_steady_clock_is_good():
    assert played(clock_check(ClockGuard(FakeClock()))) is None


def test_a_file_that_can_be_written_to_on_a_disk_with_room_is_good(tmp_path):
    path = tmp_path / "ledger.db"
    path.touch()
    assert played(storage_check(path)) is None
    assert "only" in str(played(storage_check(path, least_bytes=10**18)))
    path.unlink()
    assert played(storage_check(path)) == "ledger.db can't be written to"


def test_a_page_with_a_bug_says_so_in_json_and_goes_on(tmp_path):
    with Server(tmp_path) as server:
        server.metrics.depth = lambda: 1 // 0
        answer = server.send("GET", "/metrics")
        assert (answer.status, answer.json["code"]) == (500, "internal_error")
        assert "ZeroDivisionError" in server.log.getvalue()
        server.metrics.depth = lambda: 0
        assert server.send("GET", "/metrics").status == 200


def test_a_check_that_fails_says_why():
    document = {"info": {"title": "t", "description": "d", "version": "1"}, "paths": {}, "components": {"schemas": {}}}
    checks = {"database": database_check(Durable(broken=True))}
    reply = played(lambda: pages({"": document}, checks, Metrics(), "1")["/readyz"](None))  # type: ignore[arg-type]
    assert (reply.status, json.loads(reply.body)["checks"]) == (503, {"database": "the file can't be read"})


# Metrics


def samples(server: Server) -> dict[str, float]:
    lines = server.send("GET", "/metrics").raw.decode().splitlines()
    return {name: float(value) for name, _, value in (li.rpartition(" ") for li in lines if not li.startswith("#"))}


def test_metrics_count_charges_refusals_replays_requests_and_batches(tmp_path):
    with Server(tmp_path) as server:
        server.add("alice", 10)
        for body in ({}, {}, {"amount": 6}, {"usage_event_id": "e2", "amount": 60}):
            server.post("deduct", {**GOOD["deduct"], **body})
        reservation = server.post("reserve", GOOD["reserve"]).data["reservationId"]
        server.post("confirm-reservation", {"reservationId": reservation})
        server.post("deduct", "{")
        server.send("POST", "/api/credits/deduct")
        found = samples(server)
        assert found["farthing_charges_total"] == 2
        assert found['farthing_commands_total{kind="charge"}'] == 1
        assert found['farthing_commands_total{kind="grant"}'] == 1
        assert found['farthing_commands_total{kind="hold"}'] == 1
        assert found['farthing_commands_total{kind="settle"}'] == 1
        assert found['farthing_replays_total{kind="charge"}'] == 1
        assert found['farthing_refusals_total{code="key_conflict"}'] == 1
        assert found['farthing_refusals_total{code="insufficient_credits"}'] == 1
        assert found['farthing_requests_total{face="countwerk",status="200"}'] == 5
        assert found['farthing_requests_total{face="countwerk",status="400"}'] == 1
        assert found['farthing_requests_total{face="countwerk",status="402"}'] == 1
        assert found['farthing_requests_total{face="countwerk",status="409"}'] == 1
        assert found['farthing_requests_total{face="none",status="401"}'] == 1
        assert found["farthing_queue_depth"] == 0
        assert found["farthing_batch_commands_count"] == found["farthing_commit_seconds_count"] >= 4
        assert found['farthing_request_seconds_bucket{le="+Inf"}'] == found["farthing_request_seconds_count"] == 9


def test_metrics_have_the_form_that_prometheus_reads(server: Server):
    answer = server.send("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    line = re.compile(r"# (HELP|TYPE) \w+ .+|\w+(\{\w+=\"[^\"]*\"(,\w+=\"[^\"]*\")*\})? [-+.\deInfNa]+")
    assert [li for li in answer.raw.decode().splitlines() if not line.fullmatch(li)] == []
    assert "process_resident_memory_bytes" in answer.raw.decode()


# OpenAPI


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.send("GET", "/openapi.json").json
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Those of the CountWerk dialect; `v1/test_openapi.py` looks at the native API's."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if operation["tags"] == ["countwerk"]:
                yield path, method, operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_the_document_has_the_form_of_openapi_3_1(document: dict[str, Any]):
    assert document["openapi"] == "3.1.0"
    assert {"info", "servers", "security", "paths", "components"} <= set(document)
    for path, method, operation in operations(document):
        assert path.startswith("/")
        assert method == "post"
        assert {"operationId", "summary", "description", "requestBody", "responses", "tags"} <= set(operation)
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[2-5]\d\d", status)
            assert response["description"]
            assert set(response["content"]) == {"application/json"}
        for parameter in operation["parameters"]:
            assert {"name", "in", "schema"} <= set(parameter)


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: dict[str, Any]):
    names = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert names == set(document["components"]["schemas"])


def test_every_endpoint_is_in_the_document_with_an_id_of_its_own(document: dict[str, Any]):
    found = {(path, method.upper()) for path, method, _ in operations(document)}
    assert found == {(e.path, e.method) for e in ENDPOINTS}
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids) == len(ENDPOINTS)


def test_every_code_is_in_the_document_with_its_status_and_an_example(document: dict[str, Any]):
    found = {
        (int(status), code): example["value"]
        for _, _, operation in operations(document)
        for status, response in operation["responses"].items()
        if status != "200"
        for code, example in response["content"]["application/json"]["examples"].items()
    }
    assert {(code.status, code.code) for code in CODES.values()} <= set(found)
    for (_, code), body in found.items():
        assert (body["success"], body["code"]) == (False, code)
        assert body["message"].endswith(".")


def test_the_security_scheme_is_the_header_that_is_asked_for(document: dict[str, Any]):
    scheme = document["components"]["securitySchemes"]["apiKey"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")
    assert document["security"] == [{"apiKey": []}]


def schema_of(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    found: dict[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def test_what_the_document_calls_required_is_required_and_the_rest_is_not(server: Server, document: dict[str, Any]):
    for path, _, operation in operations(document):
        call, schema = path.rpartition("/")[2], schema_of(document, operation)
        assert set(GOOD[call]) == set(schema["required"])
        for name in schema["required"]:
            body = {**GOOD[call], "padding": 1}
            del body[name]
            assert server.post(call, body).status == 400
        # 409: another test has had this payment credited to somebody else.
        assert server.post(call, GOOD[call]).status in (200, 402, 404, 409)


def edges(schema: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Values at the limits that a schema states, and whether it takes them."""
    schema = next((s for s in schema.get("anyOf", ()) if s != {"type": "null"}), schema)
    if schema.get("type") == "string" and "maxLength" in schema:
        yield "x" * schema["maxLength"], True
        yield "x" * (schema["maxLength"] + 1), False
    if "pattern" in schema:
        for text in ("abc", "ab", "x" * 64, "x" * 65, "A-b", "a.b_c-9"):
            yield text, re.search(schema["pattern"], text) is not None
    if schema.get("type") == "integer":
        yield from ((schema["minimum"], True), (schema["minimum"] - 1, False))
        yield from ((schema["maximum"], True), (schema["maximum"] + 1, False))
    if schema.get("type") == "number":
        lowest = "exclusiveMinimum" not in schema
        yield from ((0, lowest), (-1, False), (1.5, True))


def test_the_limits_that_the_document_states_are_those_that_hold(server: Server, document: dict[str, Any]):
    tried = 0
    for path, _, operation in operations(document):
        call = path.rpartition("/")[2]
        for name, schema in schema_of(document, operation)["properties"].items():
            for value, taken in edges(schema):
                answer = server.post(call, {**GOOD[call], name: value})
                assert (answer.status != 400) == taken, (call, name, value, answer.raw)
                tried += 1
    assert tried > 50


def test_the_examples_work_and_answers_have_the_documented_form(tmp_path, document: dict[str, Any]):
    with Server(tmp_path) as server:
        examples = {e.path.rpartition("/")[2]: dict(e.example) for e in ENDPOINTS}
        for call in ("add", "deduct", "reserve", "balance", "transactions", "confirm-reservation"):
            answer = server.post(call, examples[call])
            (endpoint,) = (e for e in ENDPOINTS if e.path == f"/api/credits/{call}")
            assert {f.name for f in fields(endpoint.answer)} >= set(answer.data)
            assert form(answer.data) == form(endpoint.answered), call
            if call == "reserve":
                for other in ("confirm-reservation", "cancel-reservation"):
                    examples[other]["reservationId"] = answer.data["reservationId"]
        again = server.post("reserve", examples["reserve"]).data["reservationId"]
        cancelled = server.post("cancel-reservation", {**examples["cancel-reservation"], "reservationId": again})
        assert form(cancelled.data) == form({"reservationId": "", "cancelled": True, "reason": ""})


def form(value: Any) -> Any:
    """Names and kinds of values, not the values; of a list the first kind."""
    if isinstance(value, dict):
        return {name: form(part) for name, part in value.items()}
    if isinstance(value, list):
        return [form(part) for part in value if form(part)][:1]
    return "number" if type(value) in (int, float) else type(value).__name__


# The documentation page


class Reader(HTMLParser):
    """Reads a page: its text, what it links to, and whatever would be fetched or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pre: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag in ("script", "img", "link", "iframe", "object", "form"):
            self.fetched.append(tag)
        if "href" in given:
            self.links.append(given["href"] or "")
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "pre":
            self.pre.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "pre":
            self.pre[-1] += data


def test_the_page_works_offline_under_a_policy_that_forbids_all_but_its_own_style(server: Server):
    answer = server.send("GET", "/docs")
    reader = Reader(answer.raw.decode())
    assert reader.fetched == []
    assert all(link == "/openapi.json" or link.removeprefix("#") in reader.ids for link in reader.links)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "style=" not in answer.raw.decode()
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_has_every_endpoint_field_and_code(server: Server):
    text = server.send("GET", "/docs").raw.decode()
    for endpoint in ENDPOINTS:
        assert endpoint.path in text
        assert all(f"<code>{field.name}</code>" in text for field in fields(request_of(endpoint)))
    assert all(f"<code>{code}</code>" in text for code in CODES)
    assert "source.transactionId" in text


def test_the_curl_lines_of_the_page_work_as_they_stand(tmp_path):
    with Server(tmp_path) as server:
        server.add("user_42", 1_000)
        sell(server)
        reader = Reader(server.send("GET", "/docs").raw.decode())
        lines = [text for text in reader.pre if text.startswith("curl") and "/api/" in text]
        assert len(lines) == len(ENDPOINTS)
        for line in lines:
            # What a shell does with the line, and then curl: no machine must have them for this.
            words = iter(shlex.split(line.replace("\\\n", "").replace("$FARTHING_API_KEY", server.key)))
            assert [next(words) for _ in range(3)] == ["curl", "-X", "POST"]
            base, path = re.fullmatch(r"(http://[^/]+)(/.*)", next(words)).groups()  # type: ignore[union-attr]
            assert base == f"http://127.0.0.1:{server.port}"
            options = [(flag, next(words)) for flag in words]
            headers = dict(value.split(": ") for flag, value in options if flag == "-H")
            (data,) = (value for flag, value in options if flag == "-d")
            body = server.send("POST", path, data.encode(), headers).json
            # The reservation of the example is nobody's, and the key of the provider is missing.
            assert body["success"] is True or body["code"] in ("RESERVATION_NOT_FOUND", "DS24_KEY_REQUIRED")


@pytest.mark.parametrize(
    ("host", "written"),
    [
        (b"credits.example:8443", "https://credits.example:8443/api"),
        (b"[::1]:8787", "https://[::1]:8787/api"),
        (b"", "https://127.0.0.1/api"),
        (b'"><script>', "https://127.0.0.1/api"),
        (b"a'b", "https://127.0.0.1/api"),
        (b"x y", "https://127.0.0.1/api"),
    ],
)
def test_the_page_names_the_host_it_was_reached_by_unless_that_is_no_host(
    document: dict[str, Any], host: bytes, written: str
):
    html = DocsPage(document).reply("https", host).body.decode()
    assert written in html
    assert "<script>" not in html
    assert "@base" not in html
