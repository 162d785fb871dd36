"""What the merchant's account has, by the API: products, where messages go, test payments."""

from typing import Any, Final

from .calls import BAD_PARAMETERS, NOT_FOUND, Api, ApiError, Call, Function, needed
from .clock import after, text_of
from .forms import text, yes
from .model import Connection

MOST_PASSPHRASE: Final = 63


async def ping(api: Api, call: Call) -> Any:
    """Whether anybody is there."""
    return {"server_time": text_of(api.shop.clock.now())}


async def list_products(api: Api, call: Call) -> Any:
    """What is sold."""
    return {
        "products": [
            {"id": int(each.id), "name": each.name, "note": "", "tag": "", "language": "en", "units_left": "infinite",
             "product_group_id": None, "product_group_name": "", "created_at": text_of(each.created_at)}
            for each in api.state.products.values()
        ]
    }  # fmt: skip


async def ipn_setup(api: Api, call: Call) -> Any:
    """Where messages go; the address is looked at first."""
    fields = call.fields
    url, domain = api.url(fields, "ipn_url") or needed(fields, "ipn_url"), text(fields, "domain_id", "default")
    if trouble := await api.post.look(url):
        raise ApiError(BAD_PARAMETERS, f"The IPN URL {url} {trouble}.")
    passphrase = text(fields, "sha_passphrase")
    if len(passphrase) > MOST_PASSPHRASE:
        raise ApiError(BAD_PARAMETERS, "sha_passphrase has more than 63 characters.")
    chosen = api.state.letters(30) if passphrase == "random" else ""  # noqa: S105
    place = f"{call.key.id}/{domain}"
    before = api.state.connections.get(place)
    connection = _connect(api, before.id if before else api.state.number(), url, domain, chosen or passphrase, call)
    api.state.connections[place] = connection
    told = {"created": "N" if before else "Y", "updated": "Y" if before else "N", "deleted": "N"}
    return told | {"ipn_id": connection.id, "domain_id": domain} | ({"sha_passphrase": chosen} if chosen else {})


def _connect(api: Api, id: str, url: str, domain: str, passphrase: str, call: Call) -> Connection:
    given = {name: text(call.fields, name) for name in ("product_ids", "categories", "transactions", "timing")}
    usual = {name: value for name, value in given.items() if value}
    return Connection(id, url, domain, needed(call.fields, "name"), passphrase, call.key.id, **usual)


async def ipn_info(api: Api, call: Call) -> Any:
    """How a connection was set up."""
    domain = text(call.fields, "domain_id", "default")
    found = api.state.connections.get(f"{call.key.id}/{domain}")
    if found is None:
        raise ApiError(NOT_FOUND, f"There is no connection {domain}.")
    return {
        "ipn_url": found.url, "name": found.name, "product_ids": found.product_ids, "domain_id": found.domain_id,
        "categories": found.categories, "transactions": found.transactions, "timing": found.timing,
    }  # fmt: skip


async def ipn_delete(api: Api, call: Call) -> Any:
    """No messages any more."""
    await ipn_info(api, call)
    del api.state.connections[f"{call.key.id}/{text(call.fields, 'domain_id', 'default')}"]
    return {"deleted": "Y"}


async def get_testpay_key(api: Api, call: Call) -> Any:
    """What, put behind a checkout's address, lets one pay without money."""
    if not api.state.testpay_key or yes(call.fields, "do_recreate"):
        api.state.testpay_key = api.state.letters(20)
    expires = after(api.shop.clock.now(), "1_day")
    return {
        "testpay_key": api.state.testpay_key, "get_param_name": "testpay", "expires_at": text_of(expires),
    }  # fmt: skip


READS: Final[dict[str, Function]] = {
    "ping": ping,
    "listProducts": list_products,
    "ipnInfo": ipn_info,
    "getTestpayKey": get_testpay_key,
}
WRITES: Final[dict[str, Function]] = {
    "ipnSetup": ipn_setup,
    "ipnDelete": ipn_delete,
}
