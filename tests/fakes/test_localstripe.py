"""An independent opinion: localstripe, a stand-in for Stripe by others, agrees with ours on the flows that it knows.

It is a program of its own, never imported. It does not know checkouts, keys of idempotency, and refusals of what would
be refunded too much; a card that needs authentication waits for it there, whether the customer is away or not.
"""

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import stripe as library

from farthing.commerce.stripe.client import Stripe
from farthing.commerce.stripe.events import read_event
from farthing.commerce.stripe.orders import Charged, Charging, Owner, owner_of
from farthing.fakes.stripe import KEY, running
from tests.fakes.hook import hooked

SECRET = "whsec_shared"
ANN = Owner(workspace="main", account="ann")
PAYS, DECLINED_WHEN_CHARGED, ASKS = "4242424242424242", "4000000000000341", "4000002760003184"


PROGRAM = """
import socket, sys
from aiohttp import web
from localstripe.server import app
web.run_app(app, sock=socket.socket(fileno=int(sys.argv[1])), print=None)
"""
"""Its own way of starting takes the number of a port that somebody else may have by then, and wants IPv6."""
PATIENCE_SECONDS = 90


@contextmanager
def localstripe(webhook: str) -> Iterator[str]:
    """The program, which tells of events there."""
    with socket.create_server(("127.0.0.1", 0)) as listening, tempfile.TemporaryFile() as said:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        number = listening.fileno()
        words = [sys.executable, "-c", PROGRAM, str(number)]
        with subprocess.Popen(words, pass_fds=[number], stdout=said, stderr=said) as program:
            listening.close()
            try:
                told = {"url": webhook, "secret": SECRET}
                answer = httpx2.post(f"{url}/_config/webhooks/hook", data=told, timeout=PATIENCE_SECONDS)
                assert answer.status_code == 200
                yield url
            except httpx2.TransportError as error:
                said.seek(0)
                pytest.fail(f"localstripe ({program.poll()}): {error}: {said.read().decode()}")
            finally:
                program.terminate()


@contextmanager
def ours(webhook: str) -> Iterator[str]:
    with running() as fake:
        fake.post("endpoint", url=webhook, secrets=[SECRET])
        yield fake.url


async def story(url: str) -> dict[str, Any]:
    """What came of the same calls, in words that don't hang on ids."""
    api = library.StripeClient(KEY, base_addresses={"api": url}).v1
    client = Stripe(KEY, base=url)
    customer = await client.make_customer(ANN, "customer", email="ann@example.com")

    def keep(number: str) -> str:
        card: Any = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        method = api.payment_methods.create({"type": "card", "card": card})
        return str(api.payment_methods.attach(method.id, {"customer": customer.id}).id)

    async def charge(number: str, key: str) -> Charged:
        wanted = Charging(
            owner=ANN, customer=customer.id, payment_method=keep(number), amount_minor=1_000, currency="EUR"
        )
        return await client.charge_off_session(wanted, key)

    paid, declined, asked = [await charge(*each) for each in ((PAYS, "a"), (DECLINED_WHEN_CHARGED, "b"), (ASKS, "c"))]
    payment = await client.payment(paid.payment_intent)
    part = await client.refund(payment.id, "d", amount_minor=300)
    assert payment.latest_charge
    between = await client.charge(payment.latest_charge)
    rest = await client.refund(payment.id, "e", amount_minor=700)
    after = await client.charge(payment.latest_charge)
    preferred = keep(PAYS)
    told = {
        "outcomes": [type(each).__name__ for each in (paid, declined, asked)],
        "declined": getattr(declined, "code", ""),
        "payment": (payment.status, payment.amount_minor, payment.currency, owner_of(payment.metadata)),
        "over": (await client.payment(asked.payment_intent)).status,
        "refunds": [(each.amount_minor, each.status, each.payment_intent == payment.id) for each in (part, rest)],
        "charge": [(each.amount_refunded_minor, each.refunded, each.paid) for each in (between, after)],
        "preferred": (await client.prefer_payment_method(customer.id, preferred, "f")).default_payment_method
        == preferred,
        "brand": api.payment_methods.retrieve(preferred).to_dict()["card"]["brand"],
        "forgotten": (await client.forget_payment_method(preferred, "g")).customer,
    }
    await client.aclose()
    return told


def heard(server: Any) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What came of the story at a stand-in, and what it told of it."""
    wanted = {"payment_intent.succeeded", "payment_intent.payment_failed"}
    with hooked(SECRET) as hook, server(hook.url) as url:
        told = asyncio.run(story(url))
        until = time.monotonic() + PATIENCE_SECONDS
        while not wanted <= {each["type"] for each in hook.events_from(0)}:
            assert time.monotonic() < until, "no events came"
            time.sleep(0.05)
        return told, {type: _read(hook.bodies, type) for type in sorted(wanted)}


def _read(bodies: list[bytes], type: str) -> list[Any]:
    found = [event.object for event in map(read_event, bodies) if event.type == type]
    return [(about.amount_minor, about.currency, owner_of(about.metadata)) for about in found]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def theirs() -> tuple[dict[str, Any], dict[str, list[Any]]]:
    return heard(localstripe)


def test_both_say_the_same_of_the_same_calls(theirs):
    mine = heard(ours)
    assert mine[0] == theirs[0]
    assert mine[0]["outcomes"] == ["Paid", "Declined", "NeedsCustomer"]
    assert mine[0]["charge"] == [(300, False, True), (1_000, True, True)]


def test_events_of_both_are_verified_and_read(theirs):
    assert theirs[1]["payment_intent.succeeded"] == [(1_000, "eur", ANN)]
    assert theirs[1]["payment_intent.payment_failed"] == [(1_000, "eur", ANN)]
