"""Signatures, as the receivers' own library sees them."""

from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from farthing.core.endpoints import secret_of
from farthing.outbox.signing import headers_of, key_of

BODY = '{"type":"charge.created","data":{"account":"Zoë"}}'.encode()
SECRETS = [secret_of(bytes(range(size))) for size in (24, 32, 64)]


def signed(*secrets: str, body: bytes = BODY) -> dict[str, str]:
    now = int(datetime.now(UTC).timestamp())
    headers = headers_of("evt_1", now, body, [key_of(secret) for secret in secrets])
    return {name.decode(): value.decode() for name, value in headers}


@pytest.mark.parametrize("secret", SECRETS)
def test_the_library_of_standard_webhooks_verifies_what_we_sign(secret: str):
    assert Webhook(secret).verify(BODY.decode(), signed(secret)) == {
        "type": "charge.created",
        "data": {"account": "Zoë"},
    }


def test_while_a_secret_is_changed_either_is_good():
    headers = signed(SECRETS[0], SECRETS[1])
    for secret in SECRETS[:2]:
        Webhook(secret).verify(BODY.decode(), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[2]).verify(BODY.decode(), headers)


def test_what_was_changed_on_its_way_is_seen():
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[0]).verify(BODY.decode() + " ", signed(SECRETS[0]))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[0]).verify(BODY.decode(), signed(SECRETS[0]) | {"webhook-id": "evt_2"})


def test_our_signature_is_that_of_the_library():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    ours = dict(headers_of("evt_1", int(at.timestamp()), BODY, [key_of(SECRETS[0])]))
    assert ours[b"webhook-signature"].decode() == Webhook(SECRETS[0]).sign("evt_1", at, BODY.decode())
