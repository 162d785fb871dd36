"""Credentials: the form of API keys, their hash, their scopes, and how they are kept out of logs.

A key is `cs_live_` or `cs_test_` (an operator's: `cs_oper_`), 43 random characters of base 62 (256 bits)
and 6 characters of checksum. The text is shown once; what is stored is its SHA-256, which is enough for a
secret of 256 bits. The checksum turns a typing error away without a look at the database. Keys imported from
an existing CountWerk service begin with `cs_` and have any length and no checksum.

Scopes: `read` sees balances and history, `charge` takes and holds credits, `grant` gives them, `admin` may
do all of it. Only `admin` implies others: a key with `charge` alone can spend but cannot look. An operator's key
belongs to no workspace and has one scope of its own, which nothing implies: it makes workspaces, and can't touch
balances.
"""

import re
from collections.abc import Iterable
from enum import Enum
from hashlib import sha256
from typing import Final, Literal, get_args
from zlib import crc32

from msgspec import Struct

Mode = Literal["live", "test", "oper"]
"""What a key is for: a live workspace, one for tests, or operating the ledger."""
Scope = Literal["read", "charge", "grant", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)
OPERATOR: Final = "operator"
"""The scope of an operator's key."""

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIXES: dict[str, Mode] = {"cs_live_": "live", "cs_test_": "test", "cs_oper_": "oper"}
_PREFIX_LENGTH = 8
SECRET_LENGTH = 43
_CHECKSUM_LENGTH = 6
_KEY_LENGTH = _PREFIX_LENGTH + SECRET_LENGTH + _CHECKSUM_LENGTH
_HINT_LENGTH = 4
_HINT_NEEDS = 20
_MAX_LENGTH = 255
_LEGACY_SECRET_MIN = 4

# Printable ASCII without what ends a word in a log, a header, a URL or JSON: blanks, quotes, brackets,
# comma, semicolon, ampersand, backslash. Accepting and redacting share it: what can sign in can be kept out
# of a log.
_KEY_CHAR = r"[!#$%*+\-./0-9:=?@A-Z^_a-z|~]"
_LEGACY = re.compile(rf"cs_{_KEY_CHAR}{{{_LEGACY_SECRET_MIN},{_MAX_LENGTH - 3}}}")
# In a text: a whole key of ours without the punctuation after it; or anything else with our prefix; or a
# legacy key, unless `cs_` ends a word (`docs_`, `metrics_`; one letter before it may be an escape, as in
# `\n`).
_IN_TEXT = re.compile(
    rf"cs_(?:live|test|oper)_[0-9A-Za-z]{{{SECRET_LENGTH + _CHECKSUM_LENGTH}}}(?!{_KEY_CHAR}*[0-9A-Za-z])"
    rf"|cs_(?:live|test|oper)_{_KEY_CHAR}+"
    rf"|(?<![A-Za-z]{{2}})cs_{_KEY_CHAR}{{{_LEGACY_SECRET_MIN},}}"
)
_REDACTED = re.compile(r"cs_(?:live_|test_|oper_)?\.\.\.[0-9A-Za-z_-]{0,4}[^0-9A-Za-z]*")


class KeyProblem(Enum):
    """Why a text is not one of our keys; the value is the sentence to show."""

    PREFIX = "an API key begins with cs_live_ or cs_test_, an operator's with cs_oper_"
    LENGTH = f"an API key has {_KEY_LENGTH} characters; this one was cut or extended"
    ALPHABET = "after its prefix an API key has only the letters A to Z, a to z and digits"
    CHECKSUM = "the API key's checksum is wrong: a character was changed on the way"


class Credential(Struct, frozen=True):
    """What a stored key lets its bearer do."""

    key_id: str
    workspace: str
    mode: Mode
    scopes: frozenset[str]
    expires_at: int | None = None
    revoked_at: int | None = None
    rate_limit: int | None = None
    """Requests per window, in place of the default; 0 is no limit."""


def checksum(body: str) -> str:
    """CRC-32 of prefix and secret, six digits of base 62."""
    rest, digits = crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        rest, digit = divmod(rest, 62)
        digits = BASE62[digit] + digits
    return digits


def parse_key(text: str) -> Mode | KeyProblem:
    """The mode of one of our keys, or what is wrong with it."""
    mode = _PREFIXES.get(text[:_PREFIX_LENGTH])
    if mode is None:
        return KeyProblem.PREFIX
    if len(text) != _KEY_LENGTH:
        return KeyProblem.LENGTH
    if not (text.isascii() and text[_PREFIX_LENGTH:].isalnum()):
        return KeyProblem.ALPHABET
    if text[-_CHECKSUM_LENGTH:] != checksum(text[:-_CHECKSUM_LENGTH]):
        return KeyProblem.CHECKSUM
    return mode


def looks_like(text: str) -> Literal["ours", "legacy", "malformed"]:
    """Whether a text is worth looking up, and as what.

    With our prefix, length and alphabet but a wrong checksum it is a damaged key of ours, not somebody's
    old one.
    """
    problem = parse_key(text)
    if not isinstance(problem, KeyProblem):
        return "ours"
    if problem is KeyProblem.CHECKSUM or not _LEGACY.fullmatch(text):
        return "malformed"
    return "legacy"


def hash_key(text: str) -> bytes:
    """What is stored and looked up in place of the key."""
    return sha256(text.encode()).digest()


def hint_of(text: str) -> str:
    """The last characters, to tell keys apart by; none where they would be too much of the secret."""
    return text[-_HINT_LENGTH:] if len(text) >= _HINT_NEEDS else ""


def parse_scopes(names: str | Iterable[str]) -> frozenset[str]:
    """Scopes from `"read,charge"` or from a list; at least one, and only known ones."""
    given = names.replace(",", " ").split() if isinstance(names, str) else names
    scopes = frozenset(given)
    unknown = sorted(scopes.difference(SCOPES))
    if unknown or not scopes:
        problem = f"unknown scope {', '.join(map(repr, unknown))}" if unknown else "scopes: none given"
        raise ValueError(f"{problem}; a key has one or more of {', '.join(SCOPES)}")
    return scopes


def redact(text: str) -> str:
    """The text with whatever looks like a key replaced by its prefix and hint."""
    return _IN_TEXT.sub(_redacted, text) if "cs_" in text else text


def _redacted(found: re.Match[str]) -> str:
    key = found[0]
    if _REDACTED.fullmatch(key):
        return key
    prefix = key[:_PREFIX_LENGTH] if key[:_PREFIX_LENGTH] in _PREFIXES else "cs_"
    return f"{prefix}...{hint_of(key)}"
