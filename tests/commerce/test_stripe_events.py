"""Stripe's events: who signed them and when, over the bytes as they came; then what they say, in old forms as well."""

import json
import subprocess
import sys
from typing import Any, get_args, get_type_hints

import pytest
from stripe import Event, WebhookSignature

from farthing.commerce.stripe import events
from farthing.commerce.stripe.errors import BadSignature, NotAnEvent
from farthing.commerce.stripe.events import KINDS, receive
from farthing.commerce.stripe.objects import Charge, Dispute, Intent, Invoice, Session, Subscription

SECRET = "whsec_one"
AT = 1_800_000_000
NOW_US = AT * 1_000_000


def event(type: str, about: dict[str, Any], **more: Any) -> str:
    base = {"id": "evt_1", "object": "event", "created": AT - 5, "livemode": False, "api_version": "2026-10-28.endive"}
    return json.dumps(base | {"type": type, "data": {"object": about}} | more)


def signed(body: str, secret: str = SECRET, at: int = AT) -> str:
    return str(WebhookSignature.generate_signature_header(body, secret, at))


def read(type: str, about: dict[str, Any], **more: Any) -> events.Event:
    body = event(type, about, **more)
    return receive(body.encode(), signed(body), [SECRET], NOW_US)


CHARGE = {
    "id": "ch_1", "object": "charge", "status": "succeeded", "paid": True, "amount": 1_000, "currency": "eur",
    "amount_refunded": 250, "refunded": False, "disputed": False, "payment_intent": "pi_1", "created": AT - 60,
    "livemode": False, "metadata": {"farthing_account": "ann"}, "customer": None,
}  # fmt: skip

# Signatures

BODY = event("charge.refunded", CHARGE)


def test_a_signed_event_is_read():
    told = receive(BODY.encode(), signed(BODY), [SECRET], NOW_US)
    assert (told.id, told.type, told.livemode, told.created_us) == (
        "evt_1",
        "charge.refunded",
        False,
        (AT - 5) * 1_000_000,
    )
    assert told.object == Charge(
        id="ch_1", status="succeeded", paid=True, amount_minor=1_000, currency="eur", amount_refunded_minor=250,
        payment_intent="pi_1", created_us=(AT - 60) * 1_000_000, metadata={"farthing_account": "ann"},
    )  # fmt: skip


@pytest.mark.parametrize("secrets", [["whsec_new", SECRET], [SECRET, "whsec_new"], ["", SECRET]])
def test_while_a_secret_is_changed_both_are_taken(secrets):
    assert receive(BODY.encode(), signed(BODY), secrets, NOW_US).id == "evt_1"


def test_an_event_that_is_signed_with_two_secrets_is_taken_with_either():
    both = signed(BODY, "whsec_old") + "," + signed(BODY).split(",")[1]
    assert receive(BODY.encode(), both, [SECRET], NOW_US).id == "evt_1"


@pytest.mark.parametrize(
    ("body", "signature", "secrets"),
    [
        (BODY, None, [SECRET]),
        (BODY, "", [SECRET]),
        (BODY, "nonsense", [SECRET]),
        (BODY, "t=,v1=", [SECRET]),
        (BODY, f"t={AT}", [SECRET]),
        (BODY, f"t={'9' * 5_000},v1=00", [SECRET]),
        (BODY, f"t={AT},v1=é", [SECRET]),
        (BODY, signed(BODY).replace("v1=", "v0="), [SECRET]),
        (BODY, signed(BODY, "whsec_other"), [SECRET]),
        (BODY, signed(BODY).replace(f"t={AT}", f"t={AT + 1}"), [SECRET]),
        (BODY + " ", signed(BODY), [SECRET]),
        (BODY.replace("250", "999"), signed(BODY), [SECRET]),
        (BODY, signed(BODY), []),
        (BODY, signed(BODY), [""]),
        (BODY, signed(BODY, " "), [" "]),
    ],
)
def test_what_was_not_signed_so_is_refused(body, signature, secrets):
    with pytest.raises(BadSignature):
        receive(body.encode(), signature, secrets, NOW_US)


def test_a_body_that_is_no_text_is_refused():
    with pytest.raises(BadSignature):
        receive(b"\xff\xfe", signed(BODY), [SECRET], NOW_US)


def test_five_minutes_are_the_limit_by_our_own_clock():
    receive(BODY.encode(), signed(BODY, at=AT - 300), [SECRET], NOW_US)
    with pytest.raises(BadSignature, match="five minutes"):
        receive(BODY.encode(), signed(BODY, at=AT - 301), [SECRET], NOW_US)


# What is no event


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{",
        "<html></html>",
        event("charge.refunded", CHARGE, object="v2.core.event"),
        event("charge.refunded", {"id": "ch_1", "object": "charge"}),
        event("charge.refunded", CHARGE | {"amount_refunded": "250"}),
        event("charge.refunded", CHARGE | {"amount_refunded": 2.5}),
        event("charge.refunded", CHARGE | {"created": "yesterday"}),
        event("charge.refunded", CHARGE | {"metadata": []}),
        event("charge.refunded", CHARGE, livemode="no"),
        event("customer.subscription.updated", {"id": "sub_1", "object": "subscription", "items": None}),
        event("invoice.paid", {"id": "in_1", "object": "invoice", "lines": {"data": [{}]}}),
        "[" * 100_000,
    ],
)
def test_signed_nonsense_is_refused_and_not_a_crash(body):
    with pytest.raises(NotAnEvent) as caught:
        receive(body.encode(), signed(body), [SECRET], NOW_US)
    assert caught.value.code == "stripe_bad_event"


def test_a_body_beyond_all_measure_is_refused_unread():
    with pytest.raises(NotAnEvent, match="longer"):
        receive(b" " * (events.MOST_BYTES + 1), "t=1,v1=00", [SECRET], NOW_US)


def test_an_event_of_another_type_is_taken_and_says_nothing_more():
    assert read("payout.paid", {"id": "po_1", "object": "payout", "amount": 5}).object is None


# What events say


def test_a_subscription_bill_names_it_and_its_metadata_and_no_payment():
    told = read(
        "invoice.paid",
        {
            "id": "in_1", "object": "invoice", "status": "paid", "currency": "usd", "amount_due": 2_000,
            "amount_paid": 2_000, "amount_remaining": 0, "total": 2_000, "customer": {"id": "cus_1"},
            "billing_reason": "subscription_cycle",
            "parent": {
                "type": "subscription_details",
                "subscription_details": {"subscription": "sub_1", "metadata": {"farthing_account": "ann"}},
            },
            "lines": {"data": [{
                "amount": 2_000, "period": {"start": AT, "end": AT + 60}, "quantity": 1,
                "pricing": {"price_details": {"price": "price_1", "product": "prod_1"}},
                "parent": {"subscription_item_details": {"proration": False}},
            }]},
        },
    ).object  # fmt: skip
    assert isinstance(told, Invoice)
    assert (told.subscription, told.subscription_metadata, told.payment_intents, told.customer) == (
        "sub_1",
        {"farthing_account": "ann"},
        [],
        "cus_1",
    )
    assert [(line.price, line.amount_minor, line.period_end_us, line.proration) for line in told.lines] == [
        ("price_1", 2_000, (AT + 60) * 1_000_000, False)
    ]


def test_a_bill_in_the_form_of_an_older_version_says_the_same():
    told = read(
        "invoice.paid",
        {
            "id": "in_1", "object": "invoice", "status": "paid", "currency": "usd", "amount_due": 2_000,
            "amount_paid": 2_000, "amount_remaining": 0, "total": 2_000, "customer": "cus_1",
            "subscription": "sub_1", "payment_intent": "pi_1",
            "subscription_details": {"metadata": {"farthing_account": "ann"}},
            "lines": {"data": [{
                "amount": 2_000, "period": {"start": AT, "end": AT + 60}, "proration": True,
                "price": {"id": "price_1", "product": "prod_1"},
            }]},
        },
        api_version="2023-10-16",
    ).object  # fmt: skip
    assert isinstance(told, Invoice)
    assert (told.subscription, told.payment_intents, told.subscription_metadata) == (
        "sub_1",
        ["pi_1"],
        {"farthing_account": "ann"},
    )
    assert (told.lines[0].price, told.lines[0].product, told.lines[0].proration) == ("price_1", "prod_1", True)


@pytest.mark.parametrize("where", ["item", "subscription"])
def test_the_period_of_a_subscription_is_found_where_it_stands(where):
    period = {"current_period_start": AT, "current_period_end": AT + 60}
    item = {"id": "si_1", "quantity": 1, "price": {"id": "price_1", "product": "prod_1", "unit_amount": 900}}
    told = read(
        "customer.subscription.updated",
        {
            "id": "sub_1", "object": "subscription", "status": "past_due", "customer": "cus_1", "currency": "eur",
            "cancel_at_period_end": True, "items": {"data": [item | (period if where == "item" else {})]},
            **(period if where == "subscription" else {}),
        },
    )  # fmt: skip
    assert isinstance(told.object, Subscription)
    (only,) = told.object.items
    assert (only.price, only.current_period_start_us, only.current_period_end_us, only.unit_amount_minor) == (
        "price_1",
        AT * 1_000_000,
        (AT + 60) * 1_000_000,
        900,
    )


def test_what_an_update_has_changed_is_told():
    body = event("charge.refunded", CHARGE)
    told = json.loads(body)
    told["data"]["previous_attributes"] = {"amount_refunded": 100}
    body = json.dumps(told)
    assert receive(body.encode(), signed(body), [SECRET], NOW_US).previous == {"amount_refunded": 100}


def test_references_are_ids_whether_they_were_expanded_or_not():
    plain = read("charge.refunded", CHARGE).object
    whole = read("charge.refunded", CHARGE | {"payment_intent": {"id": "pi_1", "object": "payment_intent"}}).object
    assert plain == whole


def test_a_failed_payment_says_why():
    told = read(
        "payment_intent.payment_failed",
        {
            "id": "pi_1", "object": "payment_intent", "status": "requires_payment_method", "amount": 500,
            "currency": "eur", "amount_received": 0,
            "last_payment_error": {"code": "card_declined", "decline_code": "lost_card"},
        },
    ).object  # fmt: skip
    assert isinstance(told, Intent)
    assert (told.error_code, told.decline_code) == ("card_declined", "lost_card")


def test_new_words_of_stripe_come_through():
    told = read(
        "charge.dispute.closed",
        {
            "id": "du_1", "object": "dispute", "status": "prevented", "reason": "brand_new", "amount": 5,
            "currency": "eur", "charge": "ch_1", "payment_intent": "pi_1", "surprise": {"a": 1},
        },
    ).object  # fmt: skip
    assert isinstance(told, Dispute)
    assert (told.status, told.reason) == ("prevented", "brand_new")


def test_a_checkout_says_who_paid_and_whether():
    told = read(
        "checkout.session.completed",
        {
            "id": "cs_1", "object": "checkout.session", "mode": "payment", "payment_status": "unpaid",
            "status": "complete", "amount_total": 1_000, "currency": "eur", "customer": None,
            "client_reference_id": "ann", "payment_intent": "pi_1",
            "customer_details": {"email": "ann@example.com"}, "metadata": None,
        },
    ).object  # fmt: skip
    assert isinstance(told, Session)
    assert (told.payment_status, told.email, told.client_reference_id, told.metadata) == (
        "unpaid",
        "ann@example.com",
        "ann",
        {},
    )


def test_what_farthing_wants_to_be_told_are_types_that_the_library_knows():
    hints = get_type_hints(Event, localns={"StripeObject": object})
    assert KINDS.keys() - set(get_args(hints["type"])) == set()


def test_the_library_is_not_loaded_until_it_is_used():
    modules = ("client", "events", "objects", "errors", "orders", "currencies")
    code = "import sys\n" + "\n".join(f"import farthing.commerce.stripe.{name}" for name in modules)
    code += "\nsys.exit('stripe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
