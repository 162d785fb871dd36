"""Requests made from the OpenAPI documents, by schemathesis: every operation of every face, checked against what its
document says. `test_schemathesis` runs it in short, `./dev soak document` for long.

The documents have to say all that JSON Schema can say. What they can't is in two places, each with its reason:
`narrowed` writes the limits of the very workspace under test into them, and the world of each face (`v1/world.py`,
`accounting/world.py`, `login/world.py`) names the refusals of requests that the document allows.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import msgspec
import schemathesis
from hypothesis.strategies._internal import lazy
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.engine import events, from_schema
from schemathesis.openapi.checks import RejectedPositiveData

from farthing import serving
from farthing.api.accounting.face import ENDPOINTS as ACCOUNTING
from farthing.api.countwerk.endpoints import ENDPOINTS as COUNTWERK
from farthing.api.endpoint import Endpoint
from farthing.api.login.face import ENDPOINTS as LOGIN
from farthing.api.v1.face import ENDPOINTS as V1
from farthing.core.records import WorkspaceSettings
from farthing.identity.passwords import Passwords
from tests.api.accounting.world import AccountingWorld
from tests.api.login.visitors import CHEAP
from tests.api.login.world import LoginWorld
from tests.api.serving import Server
from tests.api.v1.world import KeyWorld

LEAST, MOST = math.nextafter(0.5e-6, 1), math.nextafter(1e9 - 0.5e-6, 0)
"""The numbers that come to at least the smallest unit of 6 decimals, and to the largest amount."""
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"]


class World(Protocol):
    """What is there for the requests of one operation to be about."""

    document: str
    """Where the document stands."""
    beyond: Collection[str]
    """What the refusals have in them that the document does not foresee."""
    headers: Mapping[str, str]
    """What each request carries; nothing where `make_real` gives each its own credential."""

    def make_real(self, case: Any) -> None:
        """Put real things in the place of those that were made up."""


Maker = Callable[[Server, Endpoint], World]
_FACES: tuple[tuple[Maker, tuple[Endpoint, ...]], ...] = (
    (KeyWorld, (*V1, *COUNTWERK)),
    (AccountingWorld, ACCOUNTING),
    (LoginWorld, LOGIN),
)
ENDLESS = {"streamEvents"}
"""Their answers have no end that schemathesis could wait for."""
ABROAD = {"reconcilePayments", "listPaymentMethods", "preferPaymentMethod", "forgetPaymentMethod"}
"""They answer with what a provider says of what was made there: tests/commerce/test_stripe_flows.py has them."""
OPERATIONS: dict[str, tuple[Maker, Endpoint]] = {
    endpoint.operation_id: (maker, endpoint)
    for maker, endpoints in _FACES
    for endpoint in endpoints
    if endpoint.operation_id not in ENDLESS | ABROAD
}


_REF = re.compile(rb'"#/components/schemas/([^"]+)"')


def part_of(raw: bytes, path: str) -> dict[str, Any]:
    """What a document says of a path, with the schemas that are used there: to read all of it takes a tenth of a test's
    time."""
    found = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    item = msgspec.json.decode(found["paths"], type=dict[str, msgspec.Raw])[path]
    components = msgspec.json.decode(found["components"], type=dict[str, msgspec.Raw])
    schemas = msgspec.json.decode(components["schemas"], type=dict[str, msgspec.Raw])
    used: dict[str, msgspec.Raw] = {}
    ahead = [bytes(item)]
    while ahead:
        for name in map(bytes.decode, _REF.findall(ahead.pop())):
            if name not in used:
                used[name] = schemas[name]
                ahead.append(bytes(schemas[name]))
    whole: dict[str, Any] = {**found, "paths": {path: item}, "components": {**components, "schemas": used}}
    part: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(whole))
    return part


def narrowed(document: dict[str, Any]) -> dict[str, Any]:
    """What a document says, made as it is true for a workspace with 6 decimals: for others the limits of amounts
    lie elsewhere."""
    for schema in _schemas(document):
        pattern = schema.get("pattern", "")
        signed, zero = pattern.startswith("^-?"), not re.search(r"\[1-9\]", pattern)
        if "(\\.[0-9]+)?" in pattern and not (signed and zero):  # which is that of answers
            above = r"[1-9][0-9]{0,8}(\.[0-9]{1,6})?|0\.[0-9]{0,5}[1-9]"
            schema["pattern"] = f"^{'-?' if signed else ''}({above}{'|0' if zero else ''})$"
        elif schema.get("type") == "number":
            _narrow_number(schema)
        elif str(schema.get("description")).startswith("The IANA zone"):
            schema["enum"] = ZONES
    return document


def _narrow_number(schema: dict[str, Any]) -> None:
    """Amounts are rounded half-even, and are zero or too large after that; what was used has decimals of its own.
    Answers have no bounds, and stay as they are."""
    rounded = "rounded half-even" in str(schema.get("description"))
    above = {"minimum": LEAST, "maximum": MOST} if rounded else {"minimum": 1e-6, "maximum": 1e9 - 1}
    if "exclusiveMinimum" in schema:
        schema |= above
    elif "minimum" in schema:
        schema["anyOf"] = [{"const": 0}, above]
    elif schema.get("not") == {"const": 0}:
        schema["anyOf"] = [above, {"minimum": -above["maximum"], "maximum": -above["minimum"]}]


def _schemas(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from _schemas(child)
    elif isinstance(node, list):
        for child in node:
            yield from _schemas(child)


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """A ledger behind HTTP: it stands behind a proxy, so that each visitor may have an address of his own, and hashes
    passwords in no time."""
    own = WorkspaceSettings(login_host="127.0.0.1")
    with mock.patch.object(serving, "Passwords", return_value=Passwords(CHEAP)):
        server = Server(folder, workspace=own, trusted_proxies=1)
    with server:
        yield server


class Fuzz:
    """Asks a server what the document of an operation allows, and what it forbids."""

    def __init__(self, server: Server, operation: str) -> None:
        maker, endpoint = OPERATIONS[operation]
        self._base = f"http://127.0.0.1:{server.port}"
        self._operation = operation
        self._world = maker(server, endpoint)
        self._document = narrowed(part_of(server.send("GET", self._world.document).raw, endpoint.path))
        self.met: Counter[tuple[str, int]] = Counter()

    def run(self, examples: int, seed: int) -> list[str]:
        """All that is wrong with the operation, as text."""
        whole = schemathesis.openapi.from_dict(self._document, config=self._config(examples, seed))
        schema = whole.include(operation_id=self._operation)
        schema.hook(self._filter())

        def before_call(context: Any, case: Any, kwargs: Any) -> None:
            self._world.make_real(case)

        schemathesis.hook(before_call)  # it has to be one for all schemas
        try:
            # Else a tenth of the time goes into parsing files of schemathesis for the names of its lambdas.
            with mock.patch.object(lazy, "get_pretty_function_description", repr):
                return self._execute(schema)
        finally:
            schemathesis.hooks.unregister(before_call)

    def _filter(self) -> Callable[..., bool]:
        """What schemathesis calls; it takes functions only."""

        def filter_failure(context: Any, failure: Failure, case: Any, response: Any) -> bool:
            return is_failure(failure, case, response, self._world.beyond)

        return filter_failure

    def _execute(self, schema: Any) -> list[str]:
        found: dict[tuple[str, str], str] = {}
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError):
                found["error", str(event.value)] = f"{event.label}: {event.value!r}"
            elif isinstance(event, events.FatalError):
                raise event.exception
            elif isinstance(event, events.ScenarioFinished):
                found |= _failures(event)
                answers = (i.response for i in event.recorder.interactions.values())
                self.met.update((event.phase.value, a.status_code) for a in answers if a is not None)
        return list(found.values())

    def _config(self, examples: int, seed: int) -> SchemathesisConfig:
        headers = dict(self._world.headers)
        return SchemathesisConfig.from_dict(
            {
                "seed": seed,
                "continue-on-failure": True,
                "base-url": self._base,
                "headers": headers,
                "request-timeout": 60,
                "generation": {"max-examples": examples, "database": "none", "with-security-parameters": False},
                # Where each request has a credential of its own, schemathesis can't take it away to see what happens.
                "checks": {"ignored_auth": {"enabled": bool(headers)}},
                "output": {"sanitization": {"enabled": False}},
                "phases": {"stateful": {"enabled": False}},
            }
        )


def is_failure(failure: Failure, case: Any, response: Any, beyond: Collection[str]) -> bool:
    """Whether a failure is one."""
    if isinstance(failure, RejectedPositiveData):
        # schemathesis 4.32 finds no value for an optional header that must hold a quote, and sends 0 as a valid one.
        no_etag = "If-Match must be" in response.text and case.headers.get("If-Match") == "0"
        return not no_etag and not any(mark in response.text for mark in beyond)
    if isinstance(failure, AcceptedNegativeData) and case.operation.path == "/v1/charges/bulk":
        # Bulk by its contract: what is wrong with an item stands with the item. Too many items are told by 413.
        refused = [item["problem"]["status"] for item in response.json().get("results", ()) if "problem" in item]
        return response.status_code != 413 and 400 not in refused
    return True


def _failures(event: events.ScenarioFinished) -> dict[tuple[str, str], str]:
    found = {}
    for case_id, checks in event.recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                interaction = event.recorder.interactions.get(case_id)
                response = None if interaction is None else interaction.response
                answer = "" if response is None else f"{response.status_code} {response.text[:400]}"
                found[check.name, failure.message] = (
                    f"{check.name}: {failure.message}\n{answer}\n{check.failure_info.code_sample}"
                )
    return found
