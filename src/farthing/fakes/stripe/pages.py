"""Pages that a person can click through: a checkout, a bank's question, a bill, the customer portal."""

from html import escape
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from farthing.fakes.web import Refusal, Request, Response, Routes, html_of, redirect

from . import checkout, customers, invoices, payments, portal, subscriptions
from .cards import BANKS, CARDS, bank_of, card_of
from .params import Json, Refused
from .sender import Sender
from .world import World

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 34em; margin: 3em auto; }} button {{ margin-right: .5em }}
small {{ color: #666 }} .bad {{ color: #a00 }} input, select {{ width: 100%; margin-bottom: .5em }}</style></head>
<body><small>A stand-in for Stripe. No money is involved.</small><h1>{title}</h1>{body}</body></html>
"""
_DECLINED: Final = "4000000000000002"
_ASKED: Final = "4000002500003155"


class Pages:
    """What is shown, and what clicking does."""

    def __init__(self, world: World, sender: Sender) -> None:
        self._world = world
        self._sender = sender

    def enter(self, routes: Routes) -> None:
        """Enter the routes."""
        for method, pattern, handler in (
            ("GET", "/checkout/{id}", self.checkout),
            ("POST", "/checkout/{id}", self.decide),
            ("GET", "/authenticate/{id}", self.question),
            ("POST", "/authenticate/{id}", self.answered),
            ("GET", "/invoice/{id}", self.invoice),
            ("POST", "/invoice/{id}", self.pay_invoice),
            ("GET", "/portal/{id}", self.portal),
            ("POST", "/portal/{id}", self.act),
        ):
            routes.add(method, pattern, handler)

    # Checkout

    async def checkout(self, request: Request, id: str) -> Response:
        """The page of a session."""
        session = self._find("checkout.session", id)
        if session["status"] != "open":
            return _page(f"This checkout is {session['status']}", "", 410)
        return _page("Checkout", _order(self._world, session) + _form(session, _last_error(self._world, session)))

    async def decide(self, request: Request, id: str) -> Response:
        """Paid, or given up."""
        session, form = self._find("checkout.session", id), _fields(request)
        if session["status"] != "open":
            return _page(f"This checkout is {session['status']}", "", 410)
        if form.get("act") == "abandon":
            back = session["cancel_url"]
            return redirect(back) if back else _page("Nothing was bought", "<p>You can come back later.</p>")
        self._world.base = request.base
        try:
            checkout.pay(self._world, session, _method(self._world, form), form.get("email"))
        except Refused as refused:
            return self._again(session, str(refused))
        return await self._after(session)

    def _again(self, session: Json, why: str) -> Response:
        return _page("Checkout", _order(self._world, session) + _form(session, why), 402)

    async def _after(self, session: Json) -> Response:
        """Where somebody comes who has paid, has not, or is asked by his bank."""
        await self._sender.send_due()
        if session["status"] == "complete":
            return redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))
        intent = self._world.find("payment_intent", session["_intent"])
        if intent["status"] == "requires_action":
            return redirect(intent["next_action"]["redirect_to_url"]["url"])
        return self._again(session, intent["last_payment_error"]["message"])

    # A bank's question

    async def question(self, request: Request, id: str) -> Response:
        """Is it you?"""
        intent = self._find("payment_intent", id)
        if intent["status"] != "requires_action":
            return _page("There is nothing to confirm", "", 410)
        buttons = _button("authenticate", "Yes, it is me") + _button("fail", "No")
        return _page("Your bank asks", f'<p>{_money(intent)}</p><form method="post">{buttons}</form>')

    async def answered(self, request: Request, id: str) -> Response:
        """It is, or it is not."""
        intent = self._find("payment_intent", id)
        if intent["status"] != "requires_action":
            return _page("There is nothing to confirm", "", 410)
        well = payments.authenticate(self._world, intent, _fields(request).get("act") == "authenticate")
        if session := self._world.by_id(intent.get("_session") or ""):
            return await self._after(session)
        await self._sender.send_due()
        if back := intent.get("_return_url"):
            return redirect(_with(back, payment_intent=id, redirect_status="succeeded" if well else "failed"))
        return _page("Your bank has told us", f"<p>The payment is {escape(intent['status'])}.</p>")

    # Bills

    async def invoice(self, request: Request, id: str) -> Response:
        """A bill."""
        found = self._find("invoice", id)
        facts = f"<p>{_money({'amount': found['amount_due'], 'currency': found['currency']})}: {found['status']}</p>"
        pay = f'<form method="post">{_cards()}{_button("pay", "Pay")}</form>' if found["status"] == "open" else ""
        return _page(f"Invoice {found['number']}", facts + pay)

    async def pay_invoice(self, request: Request, id: str) -> Response:
        """Somebody pays it; what he pays with is kept for the next ones."""
        found = self._find("invoice", id)
        if found["status"] != "open":
            return _page(f"This invoice is {found['status']}", "", 410)
        self._world.base = request.base
        try:
            method = _method(self._world, _fields(request))
            customers.attach(self._world, method, customers.living(self._world, found["customer"]))
        except Refused as refused:
            return _page(str(refused), "", 402)
        self._world.find("subscription", invoices.owner(found))["default_payment_method"] = method["id"]
        invoices.pay(self._world, found, method, off_session=False)
        await self._sender.send_due()
        intent = invoices.intent_of(self._world, found)
        if intent is not None and intent["status"] == "requires_action":
            return redirect(intent["next_action"]["redirect_to_url"]["url"])
        return redirect(f"/invoice/{id}")

    # The customer portal

    async def portal(self, request: Request, id: str) -> Response:
        """Cards and subscriptions of a customer."""
        session = self._find("billing_portal.session", id)
        customer = customers.living(self._world, session["customer"])
        rows = [*map(_subscription, self._subscriptions(customer)), *map(_kept, self._kept(customer))]
        back = f'<p><a href="{escape(session["return_url"])}">Back</a></p>' if session["return_url"] else ""
        add = f'<form method="post">{_cards()}{_button("add", "Add")}</form>'
        return _page("Your subscriptions and cards", "".join(rows) + add + back)

    def _subscriptions(self, customer: Json) -> list[Json]:
        return [each for each in self._world.all("subscription") if each["customer"] == customer["id"]]

    def _kept(self, customer: Json) -> list[Json]:
        return customers.of(self._world, customer["id"])

    async def act(self, request: Request, id: str) -> Response:
        """A customer does something."""
        session, form = self._find("billing_portal.session", id), _fields(request)
        try:
            if form.get("act") == "add":
                customer = customers.living(self._world, session["customer"])
                customers.attach(self._world, _method(self._world, form), customer)
            else:
                portal.act(self._world, session, form.get("act", ""), form.get("id", ""))
        except Refused as refused:
            return _page(str(refused), "", refused.status)
        await self._sender.send_due()
        return redirect(request.path)

    def _find(self, kind: str, id: str) -> Json:
        try:
            return self._world.find(kind, id)
        except Refused as refused:
            raise Refusal(str(refused), 404) from refused


# Forms


def _fields(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(errors="replace"), max_num_fields=50))


def _method(world: World, form: dict[str, str]) -> Json:
    """What somebody pays with: a button may say it as well as the list."""
    chosen = {"decline": _DECLINED, "authenticate": _ASKED}.get(form.get("act", ""), form.get("card", CARDS[0].number))
    by = bank_of(chosen) if chosen[:2].isalpha() else card_of(chosen)
    return customers.make_method(world, by, {"email": form.get("email")})


def _form(session: Json, why: str) -> str:
    email = "" if session["customer_details"]["email"] else '<input name="email" type="email" placeholder="E-mail">'
    buttons = "".join(
        _button(act, text)
        for act, text in (
            ("pay", "Pay"),
            ("decline", "Be declined"),
            ("authenticate", "Need authentication"),
            ("abandon", "Abandon"),
        )
    )
    said = f'<p class="bad">{escape(why)}</p>' if why else ""
    return f'{said}<form method="post">{email}{_cards()}{buttons}</form>'


def _cards() -> str:
    known = [(card.number, f"{card.brand} {card.what}") for card in CARDS]
    known += [(bank.iban, f"account {bank.what}") for bank in BANKS]
    return f'<select name="card">{"".join(_option(number, what) for number, what in known)}</select>'


def _option(number: str, what: str) -> str:
    return f'<option value="{number}">{number}: {escape(what)}</option>'


def _button(act: str, text: str) -> str:
    return f'<button name="act" value="{act}">{text}</button>'


# What is shown


def _order(world: World, session: Json) -> str:
    rows = []
    for line in session["_lines"]:
        every = line["price"]["recurring"]
        often = f" every {every['interval_count']} {every['interval']}" if every else ""
        name = world.find("product", line["price"]["product"])["name"]
        cost = _money({"amount": line["price"]["unit_amount"] * line["quantity"], "currency": session["currency"]})
        rows.append(f"<p>{line['quantity']} x {escape(name)}: {cost}{often}</p>")
    total = _money({"amount": session["amount_total"], "currency": session["currency"]})
    return "".join(rows) + f"<p><strong>Now: {total}</strong></p>"


def _money(about: Json) -> str:
    return f"{about['amount']:,} {escape(about['currency'].upper())} (in its smallest unit)"


def _last_error(world: World, session: Json) -> str:
    intent = world.by_id(session["_intent"] or "")
    error = intent["last_payment_error"] if intent else None
    return str(error["message"]) if error else ""


def _subscription(subscription: Json) -> str:
    name = escape(f"{subscriptions.items(subscription)[0]['price']['product']}: {subscription['status']}")
    if subscription["ended_at"]:
        return f"<p>{name}</p>"
    ends = subscription["cancel_at_period_end"]
    button = _button("resume", "Go on with it") if ends else _button("end", "End it")
    return f'<form method="post">{name} {_id(subscription)}{button}</form>'


def _kept(method: Json) -> str:
    name = escape(f"{method['type']} ending in {method[method['type']]['last4']}")
    buttons = _button("prefer", "Use it") + _button("remove", "Remove")
    return f'<form method="post">{name} {_id(method)}{buttons}</form>'


def _id(about: Json) -> str:
    return f'<input type="hidden" name="id" value="{escape(about["id"])}">'


def _page(title: str, body: str, status: int = 200) -> Response:
    return html_of(_PAGE.format(title=escape(title), body=body), status)


def _with(url: str, **query: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, urlencode(query)]))))
