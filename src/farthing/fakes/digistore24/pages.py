"""Pages that a person can click through: buying by a link, and upgrading an order."""

from html import escape
from typing import Final
from urllib.parse import parse_qsl, quote

from farthing.fakes.web import Refusal, Request, Response, html_of, redirect

from .buying import plan_in
from .calls import Api, ApiError
from .model import Link, Order, Plan, Upgrade
from .selling import Buyer
from .upgrades import plan_for, upgradable

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 32em; margin: 3em auto; }} button {{ margin-right: .5em }}
small {{ color: #666 }}</style></head>
<body><small>A stand-in for Digistore24. No money is involved.</small><h1>{title}</h1>{body}</body></html>
"""
_METHODS: Final = ("creditcard", "paypal", "ELV", "klarna", "banktransfer")


class Pages:
    """What is shown, and what clicking does."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def checkout(self, request: Request, name: str) -> Response:
        """A link that somebody has followed."""
        link = self._link(name)
        if link is None:
            return _page("This link has expired", "<p>Ask the seller for a new one.</p>", 410)
        return _page(self._title(link), self._form(link, self._is_test(request)))

    async def decide(self, request: Request, name: str) -> Response:
        """Paid, declined or abandoned."""
        link, form = self._link(name), _form(request)
        if link is None:
            return _page("This link has expired", "<p>Ask the seller for a new one.</p>", 410)
        action = form.get("action")
        buyer = Buyer(
            form.get("email") or "buyer@example.com",
            pay_method=form.get("pay_method", "creditcard"),
            test=self._is_test(request),
        )
        if action == "decline":
            self._api.shop.decline(link, buyer)
            await self._api.post.send_due()
            return _page("Your payment was declined", f'<p><a href="{escape(request.path)}">Try again</a></p>', 402)
        if action != "pay":
            return redirect(link.fallback_url) if link.fallback_url else _page("Nothing was bought", "")
        order = self._api.shop.buy(link, buyer)
        # Before the buyer sees that it went well, as `before_thankyou` says.
        await self._api.post.send_due()
        return self._thank(link, order)

    async def product(self, request: Request, product_id: str) -> Response:
        """The product's own page: bought there, an order has no words of ours."""
        try:
            product = self._api.product(product_id)
        except ApiError as error:
            raise Refusal(str(error), 404) from error
        link = Link(self._api.state.number(), product.id, plan_in({}, product))
        self._api.state.links[link.id] = link
        return redirect(f"/checkout/{link.id}")

    async def order(self, request: Request, order_id: str) -> Response:
        """What was bought."""
        order = self._api.state.orders.get(order_id)
        if order is None:
            raise Refusal(f"there is no order {order_id}", 404)
        paid, back = order.total("payment"), order.total("refund", "chargeback")
        facts = {"Status": order.status, "Paid": f"{paid} {order.plan.currency}", "Given back": str(back)}
        rows = "".join(f"<p>{name}: {escape(text)}</p>" for name, text in facts.items())
        return _page(f"Order {order.id}", rows)

    # Upgrades

    async def upgrade(self, request: Request, name: str, order_ids: str) -> Response:
        """An upgrade that is offered for orders."""
        offer = self._offer(name, order_ids)
        if offer is None:
            return _page("This upgrade is not possible", "", 409)
        upgrade, order, plan = offer
        kind = upgrade.types[order.product_id]
        price = f"<p>{escape(kind.replace('_', ' '))} of the order {escape(order.id)}: {plan.first} {plan.currency}</p>"
        return _page(upgrade.name or "Upgrade", f'{price}<form method="post">{_button("pay", "Upgrade")}</form>')

    async def upgraded(self, request: Request, name: str, order_ids: str) -> Response:
        """It was taken."""
        offer = self._offer(name, order_ids)
        if offer is None:
            return _page("This upgrade is not possible", "", 409)
        upgrade, before, plan = offer
        buyer = Buyer(before.email, pay_method=before.pay_method, test=before.test)
        order = self._api.shop.upgrade(before, upgrade, plan, buyer)
        await self._api.post.send_due()
        return redirect(f"/order/{order.id}")

    def _offer(self, name: str, order_ids: str) -> tuple[Upgrade, Order, Plan] | None:
        try:
            upgrade = self._api.upgrade(name)
        except ApiError as error:
            raise Refusal(str(error), 404) from error
        order = upgradable(self._api, upgrade, order_ids)
        return None if order is None else (upgrade, order, plan_for(self._api, upgrade, order))

    # Inside

    def _link(self, name: str) -> Link | None:
        """The link; None where it has expired."""
        link = self._api.state.links.get(name.partition("-")[0])
        if link is None:
            raise Refusal(f"there is no link {name}", 404)
        return None if link.valid_until is not None and link.valid_until < self._api.shop.clock.now() else link

    def _is_test(self, request: Request) -> bool:
        key = self._api.state.testpay_key
        return bool(key) and request.query.get("testpay") == key

    def _title(self, link: Link) -> str:
        return link.placeholders.get("TITLE") or self._api.product(link.product_id).name

    def _form(self, link: Link, test: bool) -> str:
        plan, fixed = link.plan, " readonly" if link.is_email_fixed else ""
        price = f"{plan.first * link.quantity} {plan.currency}"
        again = {0: f", then {plan.other} every {plan.other_interval}", 1: ""}.get(
            plan.installments, f", then {plan.installments - 1} times {plan.other}"
        )
        methods = "".join(f"<option>{method}</option>" for method in _METHODS)
        extra = "".join(f"<li>{escape(self._api.product(row[0]).name)}: {row[1]}</li>" for row in link.extra)
        return (
            f"<p>{escape(link.placeholders.get('DESCRIPTION', ''))}</p><p>{escape(price + again)}</p><ul>{extra}</ul>"
            f'<form method="post"><p><label>E-mail <input name="email" value="{escape(link.email)}"{fixed}></label></p>'
            f'<p><label>Pay by <select name="pay_method">{methods}</select></label>{" (test)" if test else ""}</p>'
            f"{_button('pay', 'Pay')}{_button('decline', 'Decline')}{_button('abandon', 'Abandon')}</form>"
        )

    def _thank(self, link: Link, order: Order) -> Response:
        """Where the seller wants his buyer to come to, else the order's own page."""
        url = link.thankyou_url or f"/order/{order.id}"
        for name, text in (("[ORDER_ID]", order.id), ("[BUYER_EMAIL]", order.email)):
            url = url.replace(name, quote(text, safe=""))
        return redirect(url)


def _form(request: Request) -> dict[str, str]:
    try:
        return dict(parse_qsl(request.body.decode("ascii"), keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise Refusal(f"that is no form: {error}") from error


def _button(action: str, text: str) -> str:
    return f'<button name="action" value="{action}">{text}</button>'


def _page(title: str, body: str, status: int = 200) -> Response:
    return html_of(_PAGE.format(title=escape(title), body=body), status)
