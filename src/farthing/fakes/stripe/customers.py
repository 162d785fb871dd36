"""Customers, and by what they pay."""

import re
from typing import Final

from .calls import PAGING, Call, Route, listing, page
from .cards import BY_ID, Bank, Card, bank_of, card_of
from .params import Json, Params, Refused
from .world import World

_CLAUSE: Final = re.compile(
    r"\s*(?:AND\s+)?(?:metadata\['(?P<key>[^']+)'\]|(?P<field>email|name)):'(?P<value>(?:[^'\\]|\\.)*)'", re.IGNORECASE
)
_FIELDS: Final = ("description", "email", "name", "phone")

# Customers


def make(world: World, params: Params) -> Json:
    """A new customer."""
    made = world.make(
        "customer",
        "cus",
        address=None,
        balance=0,
        currency=None,
        default_source=None,
        delinquent=False,
        discount=None,
        **{name: params.text(name) for name in _FIELDS},
        invoice_prefix="",
        invoice_settings=_settings(None),
        next_invoice_sequence=1,
        preferred_locales=[],
        shipping=None,
        tax_exempt="none",
        test_clock=None,
    )
    made["metadata"] = params.metadata()
    made["invoice_prefix"] = made["id"][4:12].upper()
    world.tell("customer.created", made)
    return made


def _settings(method: str | None) -> Json:
    return {"custom_fields": None, "default_payment_method": method, "footer": None, "rendering_options": None}


def create(call: Call) -> Json:
    """POST /v1/customers"""
    made = make(call.world, call.params)
    if method := call.params.text("payment_method"):
        attach(call.world, resolve(call.world, method), made)
    _prefer(call.world, made, call.params)
    return made


def retrieve(call: Call) -> Json:
    """GET /v1/customers/{id}"""
    return call.world.find("customer", call.id)


def living(world: World, id: str | None, param: str = "customer") -> Json:
    """A customer who is not deleted."""
    found = world.find("customer", id, param)
    if found.get("deleted"):
        raise Refused(f"No such customer: '{id}'", status=404, code="resource_missing", param=param)
    return found


def update(call: Call) -> Json:
    """POST /v1/customers/{id}"""
    found = living(call.world, call.id, "id")
    before = {name: found[name] for name in _FIELDS if name in call.params}
    found.update({name: call.params.text(name) for name in before})
    found["metadata"] = call.params.metadata(found["metadata"])
    _prefer(call.world, found, call.params)
    call.world.tell("customer.updated", found, before)
    return found


def _prefer(world: World, customer: Json, params: Params) -> None:
    method = params.inner("invoice_settings").text("default_payment_method")
    if method is not None:
        prefer(world, customer, world.find("payment_method", method))


def prefer(world: World, customer: Json, method: Json) -> None:
    """Make it the one that is charged if nothing else is said."""
    if method["customer"] != customer["id"]:
        raise Refused("The payment method does not belong to the customer", param="invoice_settings")
    before = {"invoice_settings": customer["invoice_settings"]}
    customer["invoice_settings"] = _settings(method["id"])
    world.tell("customer.updated", customer, before)


def delete(call: Call) -> Json:
    """DELETE /v1/customers/{id}"""
    found = living(call.world, call.id, "id")
    call.world.tell("customer.deleted", found)
    for method in of(call.world, found["id"]):
        method["customer"] = None
    left = {"id": found["id"], "object": "customer", "deleted": True, "created": found["created"]}
    call.world.put(left)
    return {name: left[name] for name in ("id", "object", "deleted")}


def search(call: Call) -> Json:
    """GET /v1/customers/search"""
    query = call.params.needed("query")
    wanted = _clauses(query)
    found = [each for each in call.world.all("customer") if not each.get("deleted") and _fits(each, wanted)]
    return {"object": "search_result", "data": found[::-1], "has_more": False, "next_page": None, "url": call.path}


def _clauses(query: str) -> list[tuple[str | None, str | None, str]]:
    found, end = [], 0
    for clause in _CLAUSE.finditer(query):
        if clause.start() != end:
            break
        end = clause.end()
        found.append((clause["key"], clause["field"], re.sub(r"\\(.)", r"\1", clause["value"])))
    if not found or query[end:].strip():
        raise Refused("We were unable to parse your search query.", param="query")
    return found


def _fits(customer: Json, wanted: list[tuple[str | None, str | None, str]]) -> bool:
    return all((customer["metadata"].get(key) if key else customer[field or ""]) == v for key, field, v in wanted)


# Payment methods


def resolve(world: World, id: str, param: str = "payment_method") -> Json:
    """A payment method; those that Stripe names for tests are made when they are named."""
    if id in BY_ID:
        return make_method(world, BY_ID[id])
    return world.find("payment_method", id, param)


def make_method(world: World, by: Card | Bank, billing: Json | None = None) -> Json:
    """A payment method of nobody."""
    details: Json
    if isinstance(by, Card):
        details = {"type": "card", "card": card_details(by)}
    else:
        country = {"country": by.iban[:2], "fingerprint": by.iban[-8:]}
        details = {"type": "sepa_debit", "sepa_debit": {**country, "bank_code": by.iban[4:9], "last4": by.last4}}
    address = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    return world.make(
        "payment_method", "pm", billing_details={**address, **(billing or {})}, customer=None,
        allow_redisplay="unspecified", _by=by, _set_up=False, **details,
    )  # fmt: skip


def card_details(card: Card) -> Json:
    """A card as its owner may be shown it."""
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": card.brand,
        "exp_month": 12,
        "exp_year": 2040,
        "fingerprint": card.number[-8:],
        "funding": "credit",
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def of(world: World, customer: str) -> list[Json]:
    """By what a customer can pay."""
    return [each for each in world.all("payment_method") if each["customer"] == customer]


def attach(world: World, method: Json, customer: Json) -> Json:
    """Keep it for a customer; some cards are declined already here."""
    by = method["_by"]
    if isinstance(by, Card) and by.decline_keeping and by.decline:
        code, decline, message = by.decline
        raise Refused(message, status=402, type="card_error", code=code, decline_code=decline)
    if method["customer"] not in (None, customer["id"]):
        raise Refused("The payment method you provided has already been attached to a customer.")
    if method["customer"] is None:
        method["customer"] = customer["id"]
        world.tell("payment_method.attached", method)
    return method


def create_method(call: Call) -> Json:
    """POST /v1/payment_methods"""
    kind = call.params.one_of("type", ("card", "sepa_debit"), "")
    details = call.params.inner(kind)
    by = card_of(_number(details)) if kind == "card" else bank_of(details.needed("iban"))
    billing = call.params.inner("billing_details")
    return make_method(call.world, by, {name: billing.text(name) for name in ("email", "name") if name in billing})


def _number(details: Params) -> str:
    """What is told of a card: a token such as tok_visa stands for the same as pm_card_visa."""
    named = BY_ID.get(f"pm_card_{(details.text('token') or '')[4:]}")
    return details.needed("number") if named is None else named.number


def attach_method(call: Call) -> Json:
    """POST /v1/payment_methods/{id}/attach"""
    return attach(call.world, resolve(call.world, call.id, "id"), living(call.world, call.params.needed("customer")))


def detach_method(call: Call) -> Json:
    """POST /v1/payment_methods/{id}/detach"""
    found = call.world.find("payment_method", call.id)
    if found["customer"] is None:
        raise Refused("The payment method you provided is not attached to a customer so detachment is impossible.")
    detach(call.world, found)
    return found


def detach(world: World, method: Json) -> None:
    """Keep it no longer."""
    customer = world.find("customer", method["customer"])
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        customer["invoice_settings"] = _settings(None)
    method["customer"] = None
    world.tell("payment_method.detached", method, {"customer": customer["id"]})


def list_methods(call: Call) -> Json:
    """GET /v1/customers/{id}/payment_methods"""
    kept = of(call.world, living(call.world, call.id, "id")["id"])
    wanted = call.params.text("type")
    return page(call, (each for each in kept if wanted in (None, each["type"])))


_WORDS: Final = (*_FIELDS, "metadata", "invoice_settings")
ROUTES: Final = (
    Route("POST", "/v1/customers", create, (*_WORDS, "payment_method")),
    listing("/v1/customers", "customer", "email"),
    Route("GET", "/v1/customers/search", search, ("query", "limit")),
    Route("GET", "/v1/customers/{id}", retrieve),
    Route("POST", "/v1/customers/{id}", update, _WORDS),
    Route("DELETE", "/v1/customers/{id}", delete),
    Route("GET", "/v1/customers/{id}/payment_methods", list_methods, ("type", *PAGING)),
    Route("POST", "/v1/payment_methods", create_method, ("type", "card", "sepa_debit", "billing_details")),
    listing("/v1/payment_methods", "payment_method", "customer", "type", by_time=False),
    Route("GET", "/v1/payment_methods/{id}", lambda call: resolve(call.world, call.id, "id")),
    Route("POST", "/v1/payment_methods/{id}/attach", attach_method, ("customer",)),
    Route("POST", "/v1/payment_methods/{id}/detach", detach_method),
)
