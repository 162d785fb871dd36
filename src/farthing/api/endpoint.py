"""Endpoint: the few types that every HTTP face is made of.

A face is a table of endpoints, and the words in which it answers. A writing endpoint reads a request into a command
and writes the entry that came of it; a reading one asks the reports. What goes wrong before an endpoint is reached,
or around it, is a `Trouble`; each face has a total table from those, and from the core's refusals, to its own codes.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Literal, Protocol

from msgspec import Struct

from farthing.core.commands import Command
from farthing.core.outcomes import Outcome, Refused
from farthing.core.people import Person
from farthing.core.records import Entry, Workspace
from farthing.prices.book import PriceBook
from farthing.stores.contract import StoreError
from farthing.stores.reports import Reports

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]
CredentialKind = Literal["key", "token", "none"]

JSON: Final = b"application/json"
CONNECTION: Final = "farthing.connection"
"""Where a scope has the connection, among its extensions: to let go of what was written, or to end it at once."""
API_KEY: Final = b"x-api-key"
AUTHORIZATION: Final = b"authorization"
CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="farthing"')
CHALLENGE_INVALID: Final = (b"www-authenticate", b'Bearer realm="farthing", error="invalid_token"')
"""What goes with a 401 where a token was sent that is not taken."""


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks: what a credential came to."""

    id: str
    """The credential's id: what the rate limit counts by and the log names."""
    actor: str
    """How the ledger names who did it."""
    workspace: Workspace
    scopes: frozenset[str]
    """All that it may do; `admin` has been spelled out."""
    quota: int | None = None
    """Requests a window, in place of the process's own; 0 is no limit."""
    headers: Headers = ()
    """What each answer to it carries."""
    prices: PriceBook | None = None
    """Those of the workspace; an operator has none."""
    person: Person | None = None
    """Who bears a token; None for a key."""
    bound: str | None = None
    """The only account that it may touch, where it is bound to one."""

    @property
    def role(self) -> str:
        """Of the person, for the audit log; empty for a key."""
        return self.person.role if self.person else ""


class NotAtOnce(Exception):
    """What a request asks for can't be told before the ledger was asked: its face takes the time for it."""


class Cut(StrEnum):
    """Why a request was ended from outside."""

    SLOW = "its body did not arrive in time"
    LATE = "its answer took too long"
    GONE = "its client has gone"


async def _nothing_more() -> dict[str, Any]:
    return {"type": "http.disconnect"}


class Request:
    """A request as an endpoint sees it."""

    __slots__ = (
        "began",
        "body",
        "caller",
        "content",
        "credential",
        "cut",
        "dry",
        "extra",
        "headers",
        "id",
        "method",
        "parameters",
        "path",
        "reading",
        "receive",
        "scope",
        "watcher",
    )

    def __init__(self, scope: dict[str, Any], receive: Receive, id: bytes, began: float) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.scope = scope
        # Names are in small letters; of a field that came twice the last counts.
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.receive = receive
        self.id = id
        self.began = began
        self.credential: CredentialKind = (
            "key" if API_KEY in self.headers else "token" if AUTHORIZATION in self.headers else "none"
        )
        self.body = b""
        self.content: Any = None
        """What reading the body came to, where that is done in two steps."""
        self.dry = False
        """Only to be told what would come of it; known once the body was read."""
        self.parameters: dict[str, str] = {}
        """What stands in the path in place of the names of its template."""
        self.caller: Caller
        """Set once the credential is known to be good."""
        self.extra: Headers = ()
        """Fields that the answer carries, whatever it will be."""
        self.reading = True
        self.cut: Cut | None = None
        self.watcher: Any = None

    @classmethod
    def complete(
        cls, method: str, url: bytes, headers: list[tuple[bytes, bytes]], body: bytes, began: float
    ) -> "Request":  # fmt: skip
        """A request that is all there, without a query; its id is still to be given."""
        request = cls({"method": method, "path": url.decode("latin-1"), "headers": headers}, _nothing_more, b"", began)
        request.body = body
        request.reading = False
        return request

    @property
    def scheme(self) -> str:
        """`http` or `https`, as far as the server knows."""
        scheme: str = self.scope["scheme"]
        return scheme


class Reply(Struct, gc=False):
    """An answer, ready to be sent."""

    status: int
    body: bytes
    code: str = ""
    """The face's word for what went wrong; for the log."""
    headers: Headers = ()
    content_type: bytes = JSON
    parts: AsyncGenerator[bytes, None] | None = None
    """What follows the body, made while it is sent; how long all of it is, nobody knows yet."""


class Trouble(StrEnum):
    """What can go wrong around an endpoint, whatever it does."""

    CREDENTIAL_MISSING = "credential_missing"
    CREDENTIAL_INVALID = "credential_invalid"
    UNAVAILABLE = "unavailable"
    """Whether the credential is good can't be told now; nothing was done."""
    SCOPE_MISSING = "scope_missing"
    RATE_LIMIT = "rate_limit"
    NOT_FOUND = "not_found"
    METHOD = "method"
    MEDIA_TYPE = "media_type"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    MALFORMED = "malformed"
    UNKNOWN = "unknown_outcome"
    """The answer took too long: it is not known what became of the command."""
    BUG = "bug"


class Stop(Exception):
    """A request that can't go on; told in the words of the face that it was meant for."""

    def __init__(self, trouble: Trouble, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.message = message
        self.headers = headers


Read = Callable[[Request], Command]
Write = Callable[[Entry, Caller], Struct]
Query = Callable[[Request, Reports, int], Awaitable[Struct]]
Act = Callable[[Request, Any], Awaitable[Any]]
Owner = Callable[[Any, Any], Awaitable[str | Refused]]
Place = Literal["path", "query", "header"]


class Parameter(Struct, frozen=True, kw_only=True):
    """What a call takes beside its body, for the documentation."""

    name: str
    place: Place
    description: str
    schema: dict[str, Any]
    required: bool = False
    example: Any = None


class Endpoint(Struct, frozen=True, kw_only=True):
    """One call of a face: what it takes, what it gives, and the two functions between the wire and the ledger."""

    path: str
    """May hold names in braces, each of which stands for one segment."""
    operation_id: str
    summary: str
    description: str
    scope: str
    request: type[Struct] | None
    """The body as it is documented; what it leaves out, reading it leaves out."""
    answer: type[Struct]
    example: dict[str, Any]
    """A body that works."""
    answered: dict[str, Any]
    """What comes of it."""
    codes: frozenset[str]
    """Codes that only the endpoint itself gives; those of all endpoints stand with the face."""
    failure: str = ""
    """The face's code for: the machine failed while this was being done."""
    read: Read | None = None
    write: Write | None = None
    query: Query | None = None
    act: Act | None = None
    """All else: given the request and what its face works with, it does what is asked and gives the answer."""
    owner: Owner | None = None
    """Whose it is that the command names only by an id; or that there is no such thing."""
    method: str = "POST"
    own: bool = False
    """Open to a caller who is bound to one account, for that account."""
    shared: bool = False
    """Another face has the same path: without a credential nobody knows whose words to use."""
    status: int = 200
    """Of its success."""
    location: str = ""
    """Where what was made is found, by its `{id}`."""
    parameters: tuple[Parameter, ...] = ()
    """What it takes in path, query and header."""
    texts: dict[str, str] = {}
    """Media types of its success, each with an example, where that is not one JSON object."""
    also: dict[str, str] = {}
    """Media types that it can answer with beside JSON, each with an example."""
    keyed: bool = False
    """Has to be given the header Idempotency-Key."""
    only_reads: bool = False
    """Changes nothing, though its method may."""
    body_bytes: int | None = None
    """The largest body, in place of the process's own limit."""
    cost: Callable[[Request], int] | None = None
    """How many requests it counts as, where its body says so."""

    @property
    def writes(self) -> bool:
        """Whether it may change anything: then an answer that takes too long leaves its outcome unknown."""
        reads = self.only_reads or self.method in ("GET", "HEAD") or self.query is not None
        return self.read is not None or not reads


class Face(Protocol):
    """A dialect, as the application sees it."""

    @property
    def name(self) -> str:
        """What metrics and logs call it."""

    @property
    def prefixes(self) -> Sequence[str]:
        """Beginnings of the paths that are its own, whatever the credential; none where the credential chooses."""

    @property
    def credentials(self) -> tuple[CredentialKind, ...]:
        """The kinds of credential that choose it."""

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """Its calls."""

    def identify(self, request: Request) -> Awaitable[Caller]:
        """Who asks; stops a request whose credential is not good."""

    def known(self, request: Request) -> Caller | None:
        """Who asks, where that is remembered and needs no look at the database."""

    def start(self, endpoint: Endpoint, request: Request) -> Command | Reply:
        """The command that a writing request asks for, or why there is none."""

    def finish(self, endpoint: Endpoint, request: Request, command: Command, outcome: Outcome) -> Reply:
        """What came of that command."""

    async def answer(self, endpoint: Endpoint, request: Request) -> Reply:
        """Do what the request asks for, and write what came of it."""

    def failed(self, error: StoreError, endpoint: Endpoint, request: Request) -> Reply:
        """The machine failed while this was being done."""

    def stopped(self, stop: Stop, endpoint: Endpoint | None, request: Request) -> Reply:
        """The same trouble in the face's own words."""


class Route(Struct, frozen=True):
    """A call, and the face that it belongs to."""

    face: Face
    endpoint: Endpoint


class Observer(Protocol):
    """Who is told of what the faces did; must be quick and may not raise."""

    def answered(self, face: str, status: int, seconds: float) -> None:
        """A request was answered."""

    def decided(self, kind: str, outcome: Outcome) -> None:
        """A command was carried out or refused."""


def write_time(at_us: int) -> str:
    """An instant as the faces write it: ISO 8601, UTC, milliseconds."""
    return _millisecond(at_us // 1000)


@lru_cache(maxsize=256)
def _millisecond(at_ms: int) -> str:
    # A busy server asks for the same ones again and again.
    return f"{write_second(at_ms // 1000)}.{at_ms % 1000:03d}Z"


@lru_cache(maxsize=256)
def write_second(seconds: int) -> str:
    """An instant up to its second, without a zone."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
