"""The world that schemathesis finds behind an API key: what the requests for one operation can be about, and why some
are refused though the document allows them. Of the native API, and of the CountWerk dialect."""

import atexit
import json
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from functools import cache
from itertools import count
from typing import Any, Final

import httpx2

from farthing.api.endpoint import Endpoint
from farthing.api.v1.usage import PRICE_CODES
from farthing.core.credentials import OPERATOR
from farthing.core.endpoints import secret_of
from farthing.core.purchases import Order, Receipt
from farthing.fakes import digistore24, stripe
from farthing.outbox.endpoints import event_of_test
from farthing.stores.customers import Customers
from farthing.stores.endpoints import Endpoints
from farthing.stores.events import Events
from farthing.stores.issuers import Issuers
from farthing.stores.purchases import Purchases
from tests.api.login.visitors import make_user
from tests.api.serving import ME, Server, id_of
from tests.api.v1.client import Client, new_key
from tests.api.v1.pricing import CARD, put, sells
from tests.api.v1.reading import operators_key
from tests.support import START_US

_numbers = count()
RICH = "user_42"
"""The account of the document's examples."""

BEYOND = {
    # A state or a right that the request by itself doesn't show.
    "insufficient_credits": "the account has too little",
    "INSUFFICIENT_CREDITS": "the account has too little",
    "precondition_failed": "the ETag is of another state",
    "cursor_invalid": "a cursor is signed: nobody makes one up",
    "cursor must be the nextCursor": "the same in the older dialect",
    "hold_too_long": "the workspace has a limit of its own",
    "it would be zero": "a number between zero and the smallest unit",
    "metered_invalid": "what was metered can't fall, nor be above what is held",
    "must be in the future": "what the clock says",
    "2 s ahead, so that all processes": "what the clock says",
    "(setting usage_": "what the clock says",
    # What the rate card says.
    **dict.fromkeys(PRICE_CODES, "what has a price is up to the rate card"),
    "must say what was used": "what has a price is up to the rate card",
    "must be left out: the card": "what the currency of the card is",
    '"pointer":"/card': "what makes a rate card right is more than a schema can say",
    # Two fields that must fit each other.
    "amount must be above zero": "an amount of zero goes with usage only",
    "must be one of HS256": "an algorithm, unless there is a preset",
    "goes with a preset only": "a domain and its preset",
    "must be the name of a host": "a domain and its preset",
    "does not go with": "a secret or published keys, by the algorithm",
    "is missing: what the tokens have": "a secret or published keys, by the algorithm",
    "is missing: where the keys": "a secret or published keys, by the algorithm",
    "is missing: HS256 has one": "a secret or published keys, by the algorithm",
    "must begin with https://": "what is a URL is more than a pattern can say",
    "must be a URL such as": "what is a URL is more than a pattern can say",
    "must go with a price": "price and currency",
    "there twice": "what one tier or top-up alone may have",
    "must be at most 100, top-ups": "tiers and top-ups together",
    "names a plan that is not there": "which plans there are",
    "names nothing that is sold": "which offers there are",
    "names no product that is on sale": "which products there are",
    "is no tier of": "which tiers there are",
    "can't be given with unclaimed": "one of two parameters",
    "of no other product": "what else is sold",
    "must have no slash": "an id, which TEXT says the rest of",
    "is no field of digistore24": "which provider it is",
    "is no field of stripe": "which provider it is",
    "must be 1 to 255 printable ASCII": "what a secret may have, by the provider",
    "which begins with sk_": "what begins a key, by the provider",
    "must begin with whsec_": "what begins a secret, by the provider",
    "must be the secret itself": "a text that would be a reference",
    "must be given again": "whether there is a key already, and where it may go",
    "goes with rollover": "rollover and cap",
    "is for periods of months": "unit and anchor_day",
    "a period has a length": "unit and every",
    "is for an account without a subscription": "what the account has already",
    "must not be after to": "from and to",
    "can't be given with a cursor": "offset and cursor",
    "a series has at most": "a range of time and the steps it is cut into",
    "must have a setting to change": "one of several fields, null being none",
    "must not be in the future": "the clock says what that is",
    "can't be given with from or to": "one of several parameters",
    "is for pages of JSON": "what goes with one format only",
    "give a new end, an amount to raise by": "one of several fields, null being none",
    "give an amount, or what was used": "one of several fields, null being none",
    "must have one of tokens, text and messages": "one of several fields, null being none",
    "must be from the least": "least, expected and most",
    "differs from usage.": "a word beside the usage, and in it",
    "is counted within": "counts of tokens within one another",
    "must be a whole number": "of what is counted; which that is depends on its name",
    "has no exact price for one": "a price and the units that it is for",
    "must be an object whose content is text": "what a message may be is up to the vendor",
    "must be a type of event": "which types there are",
    "must have a public name": "what is a URL is more than a pattern can say",
    "must have the name of a host": "what is a URL is more than a pattern can say",
    "is no address": "what is a URL is more than a pattern can say",
    "must be an address of": "what is a URL is more than a pattern can say",
    "base64 of": "how many bytes a secret has",
    "must have something to change": "one of several fields, null being none",
    "must be given alone": "an event, or a time",
    "or event must be given": "an event, or a time",
    "must be given, or an amount in its place": "one of two fields",
    "is not for Digistore24": "what goes with which provider",
    "is for Digistore24": "what goes with which provider",
    "is for a workspace that counts money": "what goes with which workspace",
    "must be product/top-up": "a slash among others",
    "must have a price in the catalogue": "what is on sale",
    "must be a top-up": "what is on sale",
    "can't be told for since": "a dry run of one event only",
    # What no pattern of JSON Schema can say.
    "must have at most 255 bytes": "JSON Schema counts characters",
    "must have at least 32 bytes": "JSON Schema counts characters",
    "must have at most 200 bytes": "JSON Schema counts characters",
    "must have names and texts of 1 to 255 bytes": "JSON Schema counts characters",
    "printable characters": "Unicode says what is printable",
}
"""Why a request that the document allows may be refused: what the refusal's code is or its text has, and the reason."""


class KeyWorld:
    """What is there to be named by the requests for one operation: most of those that schemathesis makes up would be
    about nothing, or about what an earlier one has ended."""

    document = "/openapi.json"
    beyond: Collection[str] = BEYOND

    def __init__(self, server: Server, endpoint: Endpoint) -> None:
        self._server = server
        self._client = Client(server, server.new_key("admin"))
        self._operator = Client(server, operators_key(server))
        self._examples = {p.name: p.example for p in endpoint.parameters if p.place == "path"}
        self._path, self._operation = endpoint.path, endpoint.operation_id
        self._noun = endpoint.path.split("/")[2]
        self._bulk = self._operation == "createCharges"
        self._calls = self._fitting = 0
        asks = self._operator if endpoint.scope == OPERATOR else self._client
        self.headers: Mapping[str, str] = {"X-API-Key": asks.api_key}
        self._settle()

    def _settle(self) -> None:
        put(self._server, CARD, "main")
        sells(self._server, "openai", "gpt-4o")
        if self._operation in _SELLS:
            self._sell()
        for _ in range(20):
            self._client.grant(RICH, "900000000")
        for _ in range(5):
            self._client.charge(RICH, "900000000")

    def make_real(self, case: Any) -> None:
        """Put real things in the place of the document's examples, and of three in four that were made up."""
        self._calls += 1
        meta, real = case.meta, self._calls % 4 != 0
        fuzzed = meta.phase.name.value == "fuzzing"
        # Few fit: those are counted apart, and the first is about something real.
        self._fitting += fuzzed and not any(part.mode.is_negative for part in meta.components.values())
        valid = {where.value for where, part in meta.components.items() if not part.mode.is_negative}
        made_up = fuzzed and (real or self._fitting % 4 == 1)
        if "path" in valid and self._examples and (made_up or case.path_parameters == self._examples):
            case.path_parameters = self._thing()
        if "body" in valid and isinstance(case.body, dict):
            case.body = self._about_something(case.body) if made_up else self._anew(case.body)
        if "query" in valid and self._path.endswith("/history") and made_up:
            case.query = {**(case.query or {}), "provider": "openai", "model": "gpt-4o"}
        if "header" in valid and "Idempotency-Key" in case.headers and real:
            case.headers["Idempotency-Key"] = new_key()

    def _about_something(self, body: dict[str, Any]) -> dict[str, Any]:
        found = self._anew(body)
        for name in ("account", "account_id"):
            if name in found:
                found[name] = RICH
        if "reservationId" in found:
            found["reservationId"] = self._client.hold(RICH)["id"]
        if isinstance(found.get("usage"), dict):
            found["usage"] = {**found["usage"], "dimensions": {"images": 1}}
        if self._noun == "issuers":
            nothing = dict.fromkeys(("preset", "domain", "issuer", "audience", "jwks_url", "claims"))
            found |= {**nothing, "algorithm": "HS256", "secret": _secret()}
        if self._operation == "putProduct":
            found |= self._offers(found)
        if self._operation == "putProvider":
            found = {name: value for name, value in found.items() if name == "dry_run"} | {"api_key": f"1-{new_key()}"}
        if self._operation in ("subscribe", "changeSubscription"):
            found["plan"] = self._plan()
        if self._operation in _SELLS:
            found |= {name: value for name, value in _SELLS[self._operation].items() if value or name in found}
        if self._operation == "resolveOrder":
            found["order_id"] = self._order(RICH)
        if self._noun == "webhooks":
            found |= {name: value for name, value in self._webhook_words().items() if found.get(name) is not None}
        if self._operation == "redeliver":
            found = {"event": self._event()}
        if self._noun == "rate-cards" and "card" in found:
            found["card"] = CARD
        if self._operation == "removeModelPrice":
            found = {**found, "model": "tiny", "provider": None}  # which the card has rules for
        if "quarantine" in self._path and "version" in found:
            found |= self._waiting()
        if self._bulk and isinstance(found.get("items"), list):
            found["items"] = [self._about_something({**item, "key": new_key()}) for item in found["items"]]
        return found

    def _anew(self, body: dict[str, Any]) -> dict[str, Any]:
        """The same under a key that was not used before."""
        found = dict(body)
        if isinstance(found.get("usage_event_id"), str):
            found["usage_event_id"] = new_key()
        if isinstance(found.get("source"), dict) and "transactionId" in found["source"]:
            found["source"] = {**found["source"], "transactionId": new_key()}
        return found

    def _thing(self) -> dict[str, str]:
        """Something that the path can name: what a write may change is made for it alone."""
        client = self._client
        if self._noun == "holds":
            return {"id": client.hold(RICH, expires_in=3_600)["id"]}
        if self._noun == "grants":
            return {"id": client.grant(RICH)["id"]}
        if self._noun in ("charges", "entries"):
            return {"id": client.charge(RICH)["id"]}
        if self._noun == "keys":
            return {"id": id_of(self._server.new_key("read"))}
        if self._noun == "issuers":
            return {"id": self._issuer()}
        if self._noun == "users":
            return {"id": make_user(self._server).id}
        if self._noun == "workspaces":
            workspace = f"w{next(_numbers)}"
            self._operator.made("workspaces", {"id": workspace}, 201)
            return {"workspace": workspace}
        if self._noun == "rate-cards":
            made = {"card": f"card-{next(_numbers)}", "version": "1"}
            body = {"card": CARD, "reason": "to be named", "effective_from": "2999-01-01T00:00:00Z"}
            if self._operation != "addRateCardVersion":
                client.made(f"rate-cards/{made['card']}/versions", body, 201)
            return {name: made[name] for name in self._examples}
        if self._noun == "plans":
            return {"id": self._plan()}
        if self._noun == "products":
            return {"id": self._product()}
        if self._noun == "providers":
            self._put("providers/digistore24", {"api_key": "1-a-key", "passphrase": "words"})
            return {"id": "digistore24"}
        if self._noun == "jobs":
            account = f"lapsing-{next(_numbers)}"
            client.grant(account, "1", expires_at="2999-01-01T00:00:00Z")
            return {"kind": "account", "subject": account}
        if self._noun == "webhooks":
            return {"id": self._webhook()}
        if self._noun == "orders":
            return {"provider": "digistore24", "order": self._order("" if "claim" in self._path else RICH)}
        if "/subscription" in self._path:
            return {"account": self._subscriber()}
        if self._operation == "assignPayment":
            return {"provider": "digistore24", "payment": self._waiting_payment()}
        if self._noun == "payments":
            return {"provider": "digistore24", "payment": self._payment()}
        if self._noun == "provider-events":
            return {"provider": "digistore24", "id": self._message()}
        return {"account": RICH}

    def _put(self, path: str, body: dict[str, Any]) -> None:
        fields = {"X-API-Key": self._client.api_key, "Content-Type": "application/json", "Idempotency-Key": new_key()}
        answer = self._server.send("PUT", f"/v1/{path}", json.dumps(body).encode(), fields)
        assert answer.status == 200, answer.raw

    def _sell(self) -> None:
        """A product that a stand-in sells, and somebody whom it knows as a customer."""
        fake, db = _fake_of(self._operation), self._server.ledger.database
        if self._operation == "createPortal":
            back = {"return_url": "https://app.example.com/"}
            self._put("providers/stripe", {"api_key": stripe.KEY.replace("test", "live"), "base_url": fake, **back})
            header = {"authorization": f"Bearer {stripe.KEY.replace('test', 'live')}"}
            id = httpx2.post(f"{fake}/v1/customers", data={"name": RICH}, headers=header, timeout=60).json()["id"]
            self._server.run(Customers(db).add("main", "stripe", RICH, id, START_US))
            return
        self._put("providers/digistore24", {"api_key": digistore24.KEY, "base_url": fake})
        pack = {"id": "pack-500", "credits": "500", "sold_as": {"digistore24": "500011"}}
        self._put("products/assistant", {"top_ups": [pack]})

    def _order(self, account: str) -> str:
        """Something that was bought."""
        order = Order(
            provider="digistore24", id=new_key(), account=account, offer="assistant/pack-500", bought_at=START_US
        )
        self._server.run(Purchases(self._server.ledger.database).keep("main", [(order, 0)]))
        return order.id

    def _webhook_words(self) -> dict[str, Any]:
        return {"url": "https://app.example.com/events", "types": ["charge.*"], "secret": secret_of(b"s" * 32)}

    def _webhook(self) -> str:
        """Where events are sent; those of earlier requests go, since a workspace has only so many."""
        endpoints = Endpoints(self._server.ledger.database)
        for each in self._server.run(endpoints.of("main")):
            self._server.run(endpoints.remove("main", each.id, ME))
        id: str = self._client.made("webhooks", self._webhook_words(), 201)["id"]
        return id

    def _event(self) -> str:
        """Something that happened."""
        event = event_of_test("main", "whe_1", START_US)
        self._server.run(Events(self._server.ledger.database).add([event]))
        return event.id

    def _plan(self) -> str:
        plan = f"plan-{next(_numbers)}"
        self._put(f"plans/{plan}", {"allowance": "1", "every": 30})
        return plan

    def _product(self) -> str:
        product = f"product-{next(_numbers)}"
        self._put(f"products/{product}", {"top_ups": [{"id": "pack", "credits": "1"}]})
        return product

    def _offers(self, body: dict[str, Any]) -> dict[str, Any]:
        """What is sold, each with what it alone may have."""
        found = {}
        for name in ("tiers", "top_ups"):
            offers = body.get(name)
            if isinstance(offers, list):
                found[name] = [self._offer(each) if isinstance(each, dict) else each for each in offers]
        return found

    def _offer(self, offer: dict[str, Any]) -> dict[str, Any]:
        number = next(_numbers)
        own = {"id": f"offer-{number}", "price": None, "currency": None, "sold_as": {"stripe": f"price_{number}"}}
        return offer | own | ({"plan": self._plan(), "rank": number} if "plan" in offer else {})

    def _subscriber(self) -> str:
        """Somebody whose next period is due."""
        account = f"subscriber-{next(_numbers)}"
        self._put(f"accounts/{account}/subscription", {"plan": self._plan(), "next_at": "2025-12-31T00:00:00Z"})
        return account

    def _issuer(self) -> str:
        """One whose tokens are taken; those of earlier requests go, since a workspace has only so many."""
        issuers = Issuers(self._server.ledger.database)
        for each in self._server.run(issuers.of("main")):
            self._server.run(issuers.remove("main", each.id, ME))
        id: str = self._client.made("issuers", {"algorithm": "HS256", "secret": _secret()}, 201)["id"]
        return id

    def _waiting(self) -> dict[str, Any]:
        """A price in quarantine."""
        model = f"model-{next(_numbers)}"
        sells(self._server, "acme", model, quarantine="for a test")
        return {"provider": "acme", "model": model, "version": 1}

    def _waiting_payment(self) -> str:
        """One that nobody knows the account of."""
        receipt = Receipt(
            provider="digistore24", payment=new_key(), amount="1", currency="CREDITS", at=START_US, reason="no_account"
        )
        self._server.run(Purchases(self._server.ledger.database).keep("main", receipts=[(receipt, 0)]))
        return receipt.payment

    def _message(self) -> str:
        """Something that Digistore24 has sent, of which nothing follows."""
        id, sent = new_key(), ("connection_test", "event=connection_test")
        db = self._server.ledger.database
        self._server.run(Purchases(db).received("main", "digistore24", id, *sent, START_US, START_US))
        return id

    def _payment(self) -> str:
        payment = new_key()
        source = {"productId": "p", "orderId": "o", "transactionId": payment}
        assert self._server.post("add", {"account_id": RICH, "amount": 1, "source": source}).status == 200
        return payment


_SELLS: Mapping[str, Mapping[str, Any]] = {
    "createLinks": {"product": "assistant", "provider": None},
    "createCheckout": {"offer": "assistant/pack-500", "provider": None},
    "createPurchase": {"offer": "assistant/pack-500", "provider": None, "order": None},
    "createPurchaseLinks": {
        "ai_product_id": "assistant", "current_tier_product_id": None, "current_order_id": None
    },
    "createPortal": {},
    "putAutoTopUp": {"provider": "digistore24", "offer": "assistant/pack-500", "amount": None, "order": None},
}  # fmt: skip
"""What those ask a provider about, and the fields that say it."""


@cache
def _fake_of(operation: str) -> str:
    """A stand-in for the provider that an operation asks; it ends with the process."""
    if operation == "createPortal":
        context: Any = stripe.running(stripe.Options(keys=(stripe.KEY.replace("test", "live"),)))
    else:
        context = digistore24.running(digistore24.Options(allow_http=True))
    url: str = _RUNNING.enter_context(context).url
    return url


_RUNNING: Final = ExitStack()
atexit.register(_RUNNING.close)


def _secret() -> str:
    return f"a secret that nobody has used {next(_numbers):08}"
