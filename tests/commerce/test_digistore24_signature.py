"""Notifications are believed by their signature alone; what they say is read exactly."""

import hashlib
from decimal import Decimal
from urllib.parse import urlencode

import pytest

from farthing.commerce.digistore24.notification import (
    MOST_BYTES,
    BadNotification,
    BadSignature,
    Event,
    Notification,
    notification_of,
    read_fields,
    signed_fields,
)
from farthing.commerce.digistore24.signature import is_signed, sign

PASS = "s3cret"
PAYMENT = {
    "event": "on_payment",
    "order_id": "A1B2C3D4",
    "transaction_id": "4711",
    "transaction_type": "payment",
    "transaction_amount": "49.00",
    "transaction_currency": "EUR",
    "api_mode": "live",
    "product_id": "512345",
    "custom": "acct=alice&x",
    "quantity": "2",
    "voucher_code": "",
}


def read(raw: bytes, passphrase: str) -> Notification:
    return notification_of(signed_fields(raw, passphrase))


def by_hand(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest().upper()


def body(fields: dict[str, str], passphrase: str = PASS, upper: bool = False) -> bytes:
    return urlencode(fields | {"sha_sign": sign(fields, passphrase, upper=upper)}).encode()


@pytest.mark.parametrize(
    ("fields", "upper", "text"),
    [
        ({"b": "2", "a": "1"}, False, "a=1s3cretb=2s3cret"),
        ({"a": "1", "b": "", "c": "0"}, False, "a=1s3cretc=0s3cret"),
        ({"a": "1", "sha_sign": "X", "SHASIGN": "Y", "Sha_Sign": "Z"}, False, "a=1s3cret"),
        ({"o": "7", "Zone": "z", "a_b": "1", "aB": "2"}, False, "Zone=zs3cretaB=2s3creta_b=1s3creto=7s3cret"),
        ({"o": "7", "Zone": "z", "a_b": "1", "aB": "2"}, True, "AB=2s3cretA_B=1s3cretO=7s3cretZONE=zs3cret"),
        ({"name": "Zoë Müller €"}, False, "name=Zoë Müller €s3cret"),
        ({"ä": "1", "z": "2"}, True, "Z=2s3cretä=1s3cret"),
        ({"a": "x=1&y <b>&amp;"}, False, "a=x=1&y <b>&amp;s3cret"),
        ({}, False, ""),
    ],
)  # fmt: skip
def test_what_is_signed_is_every_filled_field_in_the_order_of_its_names(fields, upper, text):
    assert sign(fields, PASS, upper=upper) == by_hand(text)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("name", ["sha_sign", "SHASIGN", "SHA_SIGN"])
def test_both_cases_of_names_are_taken_and_so_is_the_signature_under_any_name(upper, name):
    signature = sign(PAYMENT, PASS, upper=upper)
    assert is_signed(PAYMENT | {name: signature}, PASS)
    assert is_signed(PAYMENT | {name: signature.lower()}, PASS)


@pytest.mark.parametrize(
    "change",
    [
        {"transaction_amount": "490.00"},
        {"custom": "mallory"},
        {"api_mode": "test"},
        {"more": "1"},
        {"voucher_code": "FREE"},
        {"order_id": ""},
    ],
)
def test_what_was_changed_afterwards_is_not_believed(change):
    signed = dict(PAYMENT) | {"sha_sign": sign(PAYMENT, PASS)}
    with pytest.raises(BadSignature, match="none of this passphrase"):
        signed_fields(urlencode(signed | change).encode(), PASS)


@pytest.mark.parametrize(
    ("raw", "passphrase"),
    [
        (body(PAYMENT, "another"), PASS),
        (urlencode(PAYMENT).encode(), PASS),
        (urlencode(PAYMENT | {"sha_sign": ""}).encode(), PASS),
        (urlencode(PAYMENT | {"sha_sign": "é" * 128}).encode(), PASS),
        (body(PAYMENT) + b"&SHASIGN=" + b"A" * 128, PASS),
        (body(PAYMENT, ""), ""),
        (b"", PASS),
    ],
)
def test_without_the_right_signature_nothing_is_read(raw, passphrase):
    with pytest.raises(BadSignature):
        signed_fields(raw, passphrase)


def test_of_a_field_that_comes_twice_the_last_counts_and_is_the_one_that_is_signed():
    twice = b"transaction_amount=1.00&" + body(PAYMENT)
    assert read(twice, PASS).transaction_amount == Decimal("49.00")
    with pytest.raises(BadSignature):
        signed_fields(body(PAYMENT) + b"&transaction_amount=490.00", PASS)


def test_amounts_are_exact_and_what_is_empty_is_as_if_it_were_missing():
    found = read(body(PAYMENT), PASS)
    assert (found.known, found.order_id, found.transaction_id) == (Event.PAYMENT, "A1B2C3D4", "4711")
    assert (found.moved, found.moved_currency, found.quantity) == (Decimal("49.00"), "EUR", 2)
    assert (found.custom, found.voucher_code, found.pay_sequence_no) == ("acct=alice&x", "", None)
    assert not found.is_test


@pytest.mark.parametrize("amount", ["-49.00", "49.00"])
def test_the_sign_of_an_amount_decides_nothing(amount):
    refund = PAYMENT | {"event": "on_refund", "transaction_type": "refund", "transaction_amount": amount}
    found = notification_of(refund)
    assert (found.moved, found.transaction_type) == (Decimal("49.00"), "refund")


def test_names_may_come_upper_cased():
    shouted = {name.upper(): text for name, text in PAYMENT.items()}
    assert read(body(shouted, upper=True), PASS) == read(body(PAYMENT), PASS)


@pytest.mark.parametrize("mode", ["test", "", "LIVE"])
def test_what_does_not_say_that_it_is_live_is_a_test(mode):
    assert notification_of(PAYMENT | {"api_mode": mode}).is_test


def test_an_event_that_is_new_is_read_and_called_unknown():
    found = notification_of({"event": "on_something", "order_id": "A1"})
    assert (found.event, found.known, found.order_id) == ("on_something", None, "A1")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"a=%ff", "no form in UTF-8"),
        ("a=ä".encode(), "no form in UTF-8"),
        (b"&".join(b"f%d=1" % number for number in range(1_001)), "no form in UTF-8"),
        (b"a=" + b"x" * MOST_BYTES, "more than 200,000 bytes"),
    ],
)
def test_what_is_no_form_is_told_so(raw, why):
    with pytest.raises(BadNotification, match=why):
        read_fields(raw)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"transaction_amount": "49,00"}, "transaction_amount is no number"),
        ({"amount": "NaN"}, "amount is no number"),
        ({"pay_sequence_no": "first"}, "pay_sequence_no is no number"),
        ({"event": ""}, "it has no event"),
    ],
)
def test_what_is_signed_and_still_makes_no_sense_is_told_by_its_field(change, why):
    with pytest.raises(BadNotification, match=why):
        read(body(PAYMENT | change), PASS)
