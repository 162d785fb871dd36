"""Signing by Standard Webhooks: three headers from which a receiver sees that a message is ours, new, and known or not.

What is signed is `id.timestamp.body`, by HMAC-SHA256 under the endpoint's secret. While a secret is changed for another
both sign, and the receiver takes either.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
ID: Final = b"webhook-id"
TIMESTAMP: Final = b"webhook-timestamp"
SIGNATURE: Final = b"webhook-signature"


def key_of(secret: str) -> bytes:
    """The bytes that a secret stands for; raises ValueError where it is none."""
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def headers_of(id: str, seconds: int, body: bytes, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """The headers of a message that is sent at that second, signed by each of the keys."""
    named, at = id.encode(), str(seconds).encode()
    signed = b".".join((named, at, body))
    signatures = [b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
    return [(ID, named), (TIMESTAMP, at), (SIGNATURE, b" ".join(signatures))]
