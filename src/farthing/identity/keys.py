"""Making API keys; their form and what they allow is in `core.credentials`."""

import secrets
from dataclasses import dataclass, field

from farthing.core.credentials import BASE62, SECRET_LENGTH, Mode, checksum, hash_key, hint_of
from farthing.core.ids import NONCE_BITS, make_id


@dataclass(frozen=True)
class NewKey:
    """A key just made. `text` exists only here: show it once, store `hash` and `hint`."""

    text: str = field(repr=False)
    hash: bytes = field(repr=False)
    hint: str


def make_key(mode: Mode) -> NewKey:
    """A new key from the system's randomness."""
    body = f"cs_{mode}_" + "".join(secrets.choice(BASE62) for _ in range(SECRET_LENGTH))
    text = body + checksum(body)
    return NewKey(text=text, hash=hash_key(text), hint=hint_of(text))


def new_key_id(at_us: int) -> str:
    """An id for a key."""
    return make_id("key", at_us, secrets.randbits(28), secrets.randbits(NONCE_BITS), 0)
