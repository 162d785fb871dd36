"""What all functions of the API share: errors, what can be switched, and finding what a call names."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlsplit

from .forms import Fields, text
from .model import Key, Order, Product, State, Upgrade, cents
from .post import Post
from .selling import Shop

BAD_KEY: Final = 2
BAD_PARAMETERS: Final = 3
NOT_FOUND: Final = 4
DENIED: Final = 8
BAD_CALL: Final = 9


class ApiError(Exception):
    """A call that is refused: its code, its sentence, and a status where it has one in any case."""

    def __init__(self, code: int, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass
class Rules:
    """What can be switched."""

    https_only: bool = True
    """Addresses must be public and https, as the real one has it."""
    open_products: bool = True
    """A product that nobody has made is made when it is named."""
    http_errors: bool = False
    """Errors come with a status of their own instead of 200."""


@dataclass(frozen=True)
class Call:
    """One call: its fields, its key, and the address that this server was called by."""

    fields: Fields
    key: Key
    base: str


@dataclass(frozen=True)
class Api:
    """What functions work on."""

    state: State
    shop: Shop
    post: Post
    rules: Rules

    def product(self, product_id: str) -> Product:
        """A product; one that is named for the first time is made, where that is allowed."""
        found = self.state.products.get(product_id)
        if found is None and self.rules.open_products and product_id.isdigit():
            found = Product(product_id, f"Product {product_id}", created_at=self.shop.clock.now())
            self.state.products[product_id] = found
        if found is None:
            raise ApiError(NOT_FOUND, f"The product {product_id} does not exist.")
        return found

    def order(self, order_id: str) -> Order:
        """An order."""
        found = self.state.orders.get(order_id.strip())
        if found is None:
            raise ApiError(NOT_FOUND, f"The order {order_id} does not exist.")
        return found

    def upgrade(self, upgrade_id: str) -> Upgrade:
        """An upgrade, by its number, or its number and key."""
        number, _, authkey = upgrade_id.partition("-")
        found = self.state.upgrades.get(number)
        if found is None or authkey not in ("", found.authkey):
            raise ApiError(NOT_FOUND, f"The upgrade {upgrade_id} does not exist.")
        return found

    def url(self, fields: Fields, name: str) -> str:
        """An address of the caller's: public and https."""
        url = text(fields, name)
        host = urlsplit(url).hostname or ""
        if url and self.rules.https_only and (not url.startswith("https://") or host in ("localhost", "127.0.0.1")):
            raise ApiError(BAD_PARAMETERS, f"Please only use secure URLs with https:// ({name}: {url}).")
        return url


Function = Callable[[Api, Call], Awaitable[Any]]


def needed(fields: Fields, name: str) -> str:
    """A text that has to be there."""
    found = text(fields, name)
    if not found:
        raise ApiError(BAD_PARAMETERS, f"{name} is missing.")
    return found


def amount_in(fields: Fields, name: str) -> Decimal | None:
    """Decimal text with a dot, in major units."""
    given = text(fields, name)
    if not given:
        return None
    try:
        amount = Decimal(given)
        if amount >= 0 and cents(amount) == amount:
            return cents(amount)
    except InvalidOperation:
        pass
    raise ApiError(BAD_PARAMETERS, f"{name} is no amount: {given}.")
