"""Nouns of selling: products, the providers that take payments for them, and what is bought by their links.

Made from `aio/selling.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ..calls import ask, delete, get, post, put
from ..forms import Page
from ..product_results import (
    Checkout,
    MethodForgotten,
    Order,
    OrderLine,
    PaymentMethod,
    Portal,
    Product,
    Provider,
    Purchase,
    PurchaseLinks,
)
from ..values import amount_text, flag_text, id_text
from .door import Door
from .pages import Pages


class Products:
    """What customers buy: tiers, a plan each, and top-ups."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(self, *, archived: bool | None = None) -> Pages[Product]:
        """All products, by id; with those that are archived."""
        return Pages(self._door, get(Page[Product], "/v1/products", {"archived": flag_text(archived)}))

    def get(self, id: str) -> Product:
        """One product."""
        return self._door.ask(get(Product, "/v1/products/{id}", id=id))

    def put(
        self, id: str, *, name: str | None = None, tiers: Iterable[Mapping[str, Any]] = (),
        top_ups: Iterable[Mapping[str, Any]] = (), dry_run: bool | None = None, key: str | None = None,
    ) -> Product:  # fmt: skip
        """Make a product, or change it as a whole. A tier has `id`, `plan`, `rank`; a top-up has `id`, `credits`, and
        perhaps `category`, `priority`, `expires_days`; both may have `name`, `price`, `currency`, `description`, and
        `sold_as`: the provider's own id of it, by provider."""
        body = {
            "name": name, "tiers": [dict(tier) for tier in tiers], "top_ups": [_top_up(each) for each in top_ups],
            "dry_run": dry_run,
        }  # fmt: skip
        return self._door.ask(put(Product, "/v1/products/{id}", body, key, id=id))

    def archive(self, id: str, *, dry_run: bool | None = None, key: str | None = None) -> Product:
        """Take a product off sale; what is paid for it still counts."""
        return self._door.ask(post(Product, "/v1/products/{id}/archive", {"dry_run": dry_run}, key, id=id))


class Providers:
    """How the workspace speaks with providers of payments. Secrets never come back."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(self) -> Pages[Provider]:
        """All providers that are set."""
        return Pages(self._door, get(Page[Provider], "/v1/providers"))

    def get(self, id: str) -> Provider:
        """One provider: digistore24 or stripe."""
        return self._door.ask(get(Provider, "/v1/providers/{id}", id=id))

    def put(
        self, id: str, *, api_key: str | None = None, base_url: str | None = None, passphrase: str | None = None,
        merchant_id: str | None = None, product_ids: Iterable[str] | None = None, ipn_domain_id: str | None = None,
        thankyou_url: str | None = None, fallback_url: str | None = None, upgrade_error_url: str | None = None,
        webhook_secrets: Iterable[str] | None = None, keep_webhook_secrets: bool | None = None,
        success_url: str | None = None, cancel_url: str | None = None, return_url: str | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> Provider:  # fmt: skip
        """Set how a provider is spoken with, as a whole but for secrets: those that are left out stay. On a database of
        one's own a secret may be a reference, `env:NAME` or `file:/path`; over HTTP it is the secret itself."""
        body = {
            "api_key": api_key, "base_url": base_url, "passphrase": passphrase, "merchant_id": merchant_id,
            "product_ids": _texts(product_ids), "ipn_domain_id": ipn_domain_id, "thankyou_url": thankyou_url,
            "fallback_url": fallback_url, "upgrade_error_url": upgrade_error_url,
            "webhook_secrets": _texts(webhook_secrets), "keep_webhook_secrets": keep_webhook_secrets,
            "success_url": success_url, "cancel_url": cancel_url, "return_url": return_url, "dry_run": dry_run,
        }  # fmt: skip
        return self._door.ask(put(Provider, "/v1/providers/{id}", body, key, id=id))

    def remove(self, id: str, *, dry_run: bool | None = None, key: str | None = None) -> Provider:
        """Forget a provider's settings, secrets and all."""
        return self._door.ask(delete(Provider, "/v1/providers/{id}", {"dry_run": dry_run}, key, id=id))


class Purchases:
    """Where accounts buy, and what they have bought."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def links(
        self, account: str, product: str, *, provider: str | None = None, email: str | None = None,
        success_url: str | None = None, cancel_url: str | None = None, keep_method: bool | None = None,
    ) -> PurchaseLinks:  # fmt: skip
        """All that an account may buy of a product, and where: each link is made by the provider for this account.
        `provider` may be left out where the workspace has one only."""
        body = {
            "account": id_text(account, "account"), "product": product, "provider": provider, "email": email,
            "success_url": success_url, "cancel_url": cancel_url, "keep_method": keep_method,
        }  # fmt: skip
        return self._door.ask(ask(PurchaseLinks, "/v1/purchase-links", body))

    def checkout(
        self, account: str, offer: str, *, provider: str | None = None, email: str | None = None,
        success_url: str | None = None, cancel_url: str | None = None, keep_method: bool | None = None,
    ) -> Checkout:  # fmt: skip
        """Where an account buys one offer, `product/tier` or `product/top-up`. The credits come when the provider tells
        of the payment. With `keep_method` what is paid with may be charged again without the buyer."""
        body = {
            "account": id_text(account, "account"), "offer": offer, "provider": provider, "email": email,
            "success_url": success_url, "cancel_url": cancel_url, "keep_method": keep_method,
        }  # fmt: skip
        return self._door.ask(ask(Checkout, "/v1/checkouts", body))

    def buy(
        self, account: str, offer: str, *, provider: str | None = None, order: str | None = None,
        key: str | None = None,
    ) -> Purchase:  # fmt: skip
        """Buy a top-up for an account, without the buyer: with what he has paid with before, and left there by
        `keep_method`. At Digistore24 that is an order, which `order` may name. The same `key` never charges twice: it
        tells what is known by then. The credits come when the provider tells of the payment."""
        body = {"account": id_text(account, "account"), "offer": offer, "provider": provider, "order": order}
        return self._door.ask(post(Purchase, "/v1/purchases", body, key))

    def portal(self, account: str, *, return_url: str | None = None) -> Portal:
        """Where a customer of Stripe's sees bills, changes cards, and changes or ends a subscription."""
        body = {"return_url": return_url}
        return self._door.ask(ask(Portal, "/v1/accounts/{account}/portal", body, account=account))

    def methods(self, account: str, *, provider: str | None = None) -> Pages[PaymentMethod]:
        """What an account has left to be charged again, newest first; `charged` says which of it is. Stripe only."""
        path = "/v1/accounts/{account}/payment-methods"
        return Pages(self._door, get(Page[PaymentMethod], path, {"provider": provider}, account=account))

    def prefer_method(
        self, account: str, method: str, *, provider: str | None = None, dry_run: bool | None = None,
        key: str | None = None,
    ) -> PaymentMethod:  # fmt: skip
        """Have this one charged from now on."""
        path = "/v1/accounts/{account}/payment-methods/{method}/prefer"
        body = {"provider": provider, "dry_run": dry_run}
        return self._door.ask(post(PaymentMethod, path, body, key, account=account, method=method))

    def forget_method(
        self, account: str, method: str, *, provider: str | None = None, dry_run: bool | None = None,
        key: str | None = None,
    ) -> MethodForgotten:  # fmt: skip
        """Have this one never charged again. A subscription that was paid by it is not ended by that."""
        path = "/v1/accounts/{account}/payment-methods/{method}/forget"
        body = {"provider": provider, "dry_run": dry_run}
        return self._door.ask(post(MethodForgotten, path, body, key, account=account, method=method))

    def orders(self, account: str | None = None, *, unclaimed: bool | None = None) -> Pages[OrderLine]:
        """What was bought, newest first; by one account, or what nobody knows the account of."""
        query = {"account": account, "unclaimed": flag_text(unclaimed)}
        return Pages(self._door, get(Page[OrderLine], "/v1/orders", query))

    def order(self, provider: str, order: str) -> Order:
        """One order, with its payments."""
        return self._door.ask(get(Order, "/v1/orders/{provider}/{order}", provider=provider, order=order))

    def claim(
        self, provider: str, order: str, account: str, *, dry_run: bool | None = None, key: str | None = None
    ) -> Order:  # fmt: skip
        """Say whose an order is that nobody knew the account of; what was paid for it is credited."""
        body = {"account": id_text(account, "account"), "dry_run": dry_run}
        path = "/v1/orders/{provider}/{order}/claim"
        return self._door.ask(post(Order, path, body, key, provider=provider, order=order))


def _top_up(top_up: Mapping[str, Any]) -> dict[str, Any]:
    """A top-up as the API has it; one without credits is refused there."""
    found = dict(top_up)
    return found if found.get("credits") is None else found | {"credits": amount_text(found["credits"], "credits")}


def _texts(texts: Iterable[str] | None) -> list[str] | None:
    return None if texts is None else list(texts)
