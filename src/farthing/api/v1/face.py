"""The native API as the application sees it: who asks, what is answered, how it is told what went wrong."""

from collections.abc import Awaitable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from farthing.core.commands import NAMES_HOLD, Command
from farthing.core.outcomes import Accepted, Outcome
from farthing.stores.contract import StoreError

from ..auth import KeyAuth
from ..bodies import key_schema
from ..endpoint import (
    API_KEY,
    AUTHORIZATION,
    CHALLENGE,
    CHALLENGE_INVALID,
    Act,
    Caller,
    CredentialKind,
    Endpoint,
    Headers,
    Parameter,
    Reply,
    Request,
    Stop,
    Trouble,
)
from ..openapi import Code
from . import (
    account_settings,
    accounts,
    adjustments,
    audit,
    auto_top_ups,
    bulk,
    buying,
    card_changes,
    charge_reads,
    charges,
    deliveries,
    entries,
    erasing,
    event_stream,
    events,
    exports,
    grant_reads,
    grants,
    hold_reads,
    holds,
    issuers,
    jobs,
    keys,
    model_prices,
    orders,
    own_prices,
    parked,
    payment_methods,
    payments,
    plans,
    products,
    provider_events,
    providers,
    purchases,
    quarantine,
    quotes,
    rate_cards,
    reconciling,
    renewals,
    settings,
    settles,
    statements,
    subscription_reads,
    subscriptions,
    usage_reads,
    usage_reports,
    users,
    webhooks,
    workspaces,
)
from .desk import Desk
from .problems import ANYWHERE, CODES, PROBLEM, TROUBLES, TYPE, WRITING, Fault, Problem, failed, problem, refused, reply
from .reach import check_reach, require_own, require_own_hold
from .usage import NoPrice, used_before, with_prices
from .wire import MAX_KEY

ENDPOINTS: Final[Sequence[Endpoint]] = (
    *charges.ENDPOINTS,
    *bulk.ENDPOINTS,
    *grants.ENDPOINTS,
    *holds.ENDPOINTS,
    *settles.ENDPOINTS,
    *adjustments.ENDPOINTS,
    *accounts.ENDPOINTS,
    *account_settings.ENDPOINTS,
    *erasing.ENDPOINTS,
    *entries.ENDPOINTS,
    *statements.ENDPOINTS,
    *charge_reads.ENDPOINTS,
    *grant_reads.ENDPOINTS,
    *hold_reads.ENDPOINTS,
    *usage_reads.ENDPOINTS,
    *exports.ENDPOINTS,
    *usage_reports.ENDPOINTS,
    *payments.ENDPOINTS,
    *reconciling.ENDPOINTS,
    *provider_events.ENDPOINTS,
    *plans.ENDPOINTS,
    *products.ENDPOINTS,
    *providers.ENDPOINTS,
    *buying.ENDPOINTS,
    *purchases.ENDPOINTS,
    *auto_top_ups.ENDPOINTS,
    *payment_methods.ENDPOINTS,
    *orders.ENDPOINTS,
    *subscriptions.ENDPOINTS,
    *subscription_reads.ENDPOINTS,
    *renewals.ENDPOINTS,
    *jobs.ENDPOINTS,
    *events.ENDPOINTS,
    *parked.ENDPOINTS,
    *event_stream.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *deliveries.ENDPOINTS,
    *quotes.ENDPOINTS,
    *rate_cards.ENDPOINTS,
    *card_changes.ENDPOINTS,
    *model_prices.ENDPOINTS,
    *own_prices.ENDPOINTS,
    *quarantine.ENDPOINTS,
    *audit.ENDPOINTS,
    *keys.ENDPOINTS,
    *issuers.ENDPOINTS,
    *users.ENDPOINTS,
    *settings.ENDPOINTS,
    *workspaces.ENDPOINTS,
)
_BEARER: Final = b"bearer "
_KEYS_BEGIN: Final = "cs_"
_REPLAYED: Final = (b"idempotent-replayed", b"true")
_RETRY_AFTER: Final = (b"retry-after", b"1")
_MISSING: Final = "Send your API key in the header X-API-Key, or as a bearer token."
_encode = msgspec.json.Encoder().encode


class Tokens(Protocol):
    """Says who bears a token of a person."""

    def known(self, text: str) -> Caller | None:
        """Who it is, where that is remembered."""

    def caller(self, text: str) -> Awaitable[Caller]:
        """Who it is; stops a request whose token is not taken."""


class V1:
    """New clients speak this."""

    name = "v1"
    prefixes = ("/v1/",)
    credentials: tuple[CredentialKind, ...] = ("key", "token", "none")
    endpoints = ENDPOINTS
    error = Problem
    error_type = PROBLEM.decode()
    schemes = ("apiKey", "bearer")
    problems = tuple(CODES.values())

    def __init__(self, desk: Desk, keys: KeyAuth, tokens: Tokens | None = None) -> None:
        self._desk = desk
        self._keys = keys
        self._tokens: Tokens = tokens or keys

    # Who asks

    def identify(self, request: Request) -> Awaitable[Caller]:
        """Who bears the key, or the token."""
        text, is_key = _credential(request)
        if not text:
            raise Stop(Trouble.CREDENTIAL_MISSING, _MISSING)
        return self._keys.caller(text) if is_key else self._tokens.caller(text)

    def known(self, request: Request) -> Caller | None:
        """Who bears it, where that is remembered."""
        text, is_key = _credential(request)
        if not text:
            return None
        return self._keys.known(text) if is_key else self._tokens.known(text)

    # What is asked

    async def answer(self, endpoint: Endpoint, request: Request) -> Reply:
        """Do what the request asks for."""
        try:
            if endpoint.act is not None:
                return await self._acted(endpoint.act, endpoint, request)
            return await self._carried_out(endpoint, request)
        except Fault as fault:
            return _faulty(fault, request)

    async def _acted(self, act: Act, endpoint: Endpoint, request: Request) -> Reply:
        if "account" in request.parameters:
            require_own(request.caller, request.parameters["account"])
        answered = await act(request, self._desk)
        if endpoint.keyed and not request.dry:
            await self._desk.changed()
        if isinstance(answered, Reply) and event_stream.is_endless(answered) and request.credential != "none":
            answered = event_stream.while_good(answered, request, endpoint.scope, self.identify)
        return self._told(endpoint, answered)

    async def _carried_out(self, endpoint: Endpoint, request: Request) -> Reply:
        without_price: NoPrice | None = None
        try:
            command = await with_prices(partial(self.start, endpoint, request), request, self._desk.books)
        except NoPrice as no:
            without_price, command = no, no.command
        if isinstance(command, Reply):
            return command
        if isinstance(command, NAMES_HOLD):
            await require_own_hold(request.caller, command.hold, self._desk)
        if without_price is not None:
            return await self._without_price(without_price, endpoint, request)
        if endpoint.owner is not None:
            found = await endpoint.owner(command, self._desk)
            if not isinstance(found, str):
                return self.finish(endpoint, request, command, found)
            command.account = found
        return self.finish(endpoint, request, command, await self._desk.engine.ask(command, dry=request.dry))

    async def _without_price(self, no: NoPrice, endpoint: Endpoint, request: Request) -> Reply:
        """That something has no price; or what became of it when it had one."""
        outcome = await self._desk.engine.ask(no.command, dry=True)
        if used_before(outcome):
            return self.finish(endpoint, request, no.command, outcome)
        return _faulty(no.fault, request)

    def start(self, endpoint: Endpoint, request: Request) -> Command | Reply:
        """The command that the request asks for, or why there is none."""
        assert endpoint.read is not None, "an endpoint that does nothing by itself reads a command"
        try:
            command = endpoint.read(request)
            check_reach(request.caller, command)
        except NoPrice as no:
            check_reach(request.caller, no.command)
            raise
        except Fault as fault:
            return _faulty(fault, request)
        return command

    def finish(self, endpoint: Endpoint, request: Request, command: Command, outcome: Outcome) -> Reply:
        """What came of a command."""
        if not request.dry:
            self._desk.observer.decided(command.kind, outcome)
        headers: Headers = (_REPLAYED,) if outcome.replayed else ()
        if not isinstance(outcome, Accepted):
            return reply(refused(request, outcome), headers)
        assert endpoint.write is not None, "what reads a command writes what came of it"
        assert outcome.entry is not None, "what a face asks for writes an entry"
        answer: Any = endpoint.write(outcome.entry, request.caller)  # a `Done`
        if request.dry:
            answer.dry_run = True
            return Reply(200, _encode(answer), headers=headers)
        return self._told(endpoint, answer, headers)

    def _told(self, endpoint: Endpoint, answer: Any, headers: Headers = ()) -> Reply:
        """An answer as an endpoint gave it: ready, or with the endpoint's own status."""
        if isinstance(answer, Reply):
            return answer
        if endpoint.location:
            headers = (*headers, (b"location", endpoint.location.replace("{id}", answer.id).encode()))
        return Reply(endpoint.status, _encode(answer), headers=headers)

    # What goes wrong

    def failed(self, error: StoreError, endpoint: Endpoint, request: Request) -> Reply:
        """A broken machine."""
        return reply(*failed(request, error))

    def stopped(self, stop: Stop, endpoint: Endpoint | None, request: Request) -> Reply:
        """Trouble around an endpoint."""
        code, headers, message = TROUBLES[stop.trouble], stop.headers, stop.message
        if stop.trouble in (Trouble.CREDENTIAL_INVALID, Trouble.UNAVAILABLE) and not message.endswith("."):
            message += "."  # of a token it is told in the words of another dialect
        if CODES[code].status == 401:
            invalid = stop.trouble is Trouble.CREDENTIAL_INVALID and request.credential == "token"
            headers = (*headers, CHALLENGE_INVALID if invalid else CHALLENGE)
        elif stop.trouble is Trouble.UNKNOWN and endpoint is not None and not endpoint.writes:
            # What only reads has no outcome that could be unknown.
            code, headers = "unavailable", (*headers, _RETRY_AFTER)
        return reply(problem(request, code, message), headers)

    # For the documentation

    def success(self, endpoint: Endpoint) -> type[Struct]:
        """The type of a whole body."""
        return endpoint.answer

    def success_example(self, endpoint: Endpoint) -> dict[str, Any]:
        """An example of one."""
        return endpoint.answered

    def codes(self, endpoint: Endpoint) -> Iterator[Code]:
        """All codes that the endpoint may send."""
        names = {*ANYWHERE, *endpoint.codes, *(WRITING if endpoint.writes else ())}
        if endpoint.own:
            names.add("account_not_found")
        if not endpoint.keyed:
            names -= {"idempotency_key_missing", "key_conflict"} - endpoint.codes
        return (code for name, code in CODES.items() if name in names)

    def parameters(self, endpoint: Endpoint) -> list[Parameter]:
        """What it takes beside its body."""
        return [*endpoint.parameters, *([KEY] if endpoint.keyed else [])]

    def error_example(self, code: Code) -> dict[str, Any]:
        """An example of an error."""
        body: dict[str, Any] = {
            "type": TYPE.format(code.code),
            "title": code.code.replace("_", " ").capitalize(),
            "status": code.status,
            "detail": code.sentence,
            "instance": "/v1/charges",
            "code": code.code,
            "request_id": "req_5f0c2a9be1d400000001",
        }
        return body | _EXAMPLES.get(code.code, {})


KEY: Final = Parameter(
    name="Idempotency-Key",
    place="header",
    description=f"1 to {MAX_KEY} printable ASCII characters, bare or in quotes; one for each act, the same for each "
    "try of it. Repeating it with the same content answers the same again, with `Idempotent-Replayed: true`.",
    schema=key_schema(MAX_KEY),
    required=True,
    example="7f3a6c1e-0001",
)
_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "invalid": {"errors": [{"pointer": "/amount", "detail": "must be above zero"}]},
    "insufficient_credits": {"required": "5", "available": "3", "deficit": "2", "next": None},
    "key_conflict": {"differs": ["amount"]},
    "hold_ended": {"state": "settled"},
    "refund_too_large": {"refundable": "4"},
    "spend_limit": {"required": "5", "period": "day", "limit": "8", "left": "3"},
}


def _credential(request: Request) -> tuple[str, bool]:
    """What the caller shows, and whether it is an API key: in its own header, or as a bearer token. Empty where there
    is none."""
    key = request.headers.get(API_KEY)
    if key is not None:
        return key.decode("latin-1"), True
    given = request.headers.get(AUTHORIZATION, b"")
    if given[: len(_BEARER)].lower() != _BEARER:
        return given.decode("latin-1"), True
    text = given[len(_BEARER) :].strip().decode("latin-1")
    return text, text.startswith(_KEYS_BEGIN)


def _faulty(fault: Fault, request: Request) -> Reply:
    return reply(problem(request, fault.code, fault.detail, fault.wrong, fault.facts), fault.headers)
