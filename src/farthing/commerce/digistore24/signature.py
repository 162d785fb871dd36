"""The signature of a notification: SHA-512 over its fields and a passphrase that both sides know.

Fields are taken in the order of their names' bytes, empty ones left out, each as name=value and the passphrase, with
nothing in between. An option of the Digistore24 account has the names upper-cased for it. There is no time in it and
nothing that is used up: what comes again is signed as well as the first.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

NAMES: Final = frozenset({"SHA_SIGN", "SHASIGN"})
"""What the signature itself is sent as, in whatever case."""


def sign(fields: Mapping[str, str], passphrase: str, *, upper: bool = False) -> str:
    """The signature of the fields, with names as they are or upper-cased."""
    named = sorted((_upper(name) if upper else name, name) for name in fields if _upper(name) not in NAMES)
    pairs = ((shown, fields[name]) for shown, name in named)
    text = "".join(f"{shown}={value}{passphrase}" for shown, value in pairs if value)
    return hashlib.sha512(text.encode()).hexdigest().upper()


def _upper(name: str) -> str:
    """Upper case as PHP has it: of ASCII letters alone."""
    return name.encode().upper().decode()


def given(fields: Mapping[str, str]) -> str:
    """The signature that came along; empty where there is none, or where there are two that differ."""
    found = {value for name, value in fields.items() if _upper(name) in NAMES and value}
    return found.pop() if len(found) == 1 else ""


def is_signed(fields: Mapping[str, str], passphrase: str) -> bool:
    """Whether who knows the passphrase has signed these fields; without a passphrase nobody has."""
    told = given(fields).upper().encode()
    # Both are made and compared in full: how long it takes says nothing of what is right about a wrong one.
    matches = [hmac.compare_digest(sign(fields, passphrase, upper=upper).encode(), told) for upper in (False, True)]
    return bool(passphrase) and any(matches)
