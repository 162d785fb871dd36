"""The customer portal: links to a page on which a customer looks after cards and subscriptions."""

from typing import Final

from . import customers, subscriptions
from .calls import Call, Route
from .params import Json, Refused
from .world import World


def create(call: Call) -> Json:
    """POST /v1/billing_portal/sessions"""
    customer = customers.living(call.world, call.params.needed("customer"))
    made = call.world.make(
        "billing_portal.session", "bps", configuration="bpc_fake", customer=customer["id"], flow=None, locale=None,
        on_behalf_of=None, return_url=call.params.text("return_url"),
    )  # fmt: skip
    del made["metadata"]
    made["url"] = f"{call.world.base}/portal/{made['id']}"
    return made


def act(world: World, session: Json, what: str, id: str) -> None:
    """What a customer does on the page."""
    customer = session["customer"]
    if what in ("end", "resume"):
        found = world.find("subscription", id)
        if found["customer"] != customer:
            raise Refused(f"No such subscription: '{id}'", status=404)
        subscriptions.end_with_period(world, found, what == "end")
    elif what in ("prefer", "remove"):
        method = world.find("payment_method", id)
        if method["customer"] != customer:
            raise Refused(f"No such payment_method: '{id}'", status=404)
        if what == "remove":
            customers.detach(world, method)
        else:
            customers.prefer(world, world.find("customer", customer), method)
    else:
        raise Refused("There is no such act.", status=404)


ROUTES: Final = (Route("POST", "/v1/billing_portal/sessions", create, ("customer", "return_url")),)
