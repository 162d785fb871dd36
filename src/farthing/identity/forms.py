"""Forms: what a name, an address and a password may look like, before anybody looks whether they are taken."""

import re
import unicodedata
from typing import Final

USERNAME: Final = (3, 30)
PASSWORD: Final = (8, 1_024)
NOT_YET: Final = "-"
"""In place of a password's hash: signs in here, once there is one."""
MAX_EMAIL: Final = 254
MAX_LOCAL: Final = 64
# What mail can be sent to everywhere. Letters beyond ASCII are left out: two that look alike must not be two addresses.
_LOCAL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+")
_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ALIKE: Final = frozenset({"LATIN", "GREEK", "CYRILLIC"})
_USERNAME: Final = re.compile(r"\w[\w.\- ]*\w")


def username_error(text: str) -> str | None:
    """Why a name can't be a user's. It holds no `@`, so that it is never taken for an address."""
    least, most = USERNAME
    if not least <= len(text) <= most:
        return f"must have {least} to {most} characters"
    if not _USERNAME.fullmatch(text) or not text.isprintable():
        return "must have letters, digits, '.', '-', '_' and blanks only, and no '.', '-' or blank at its ends"
    if unicodedata.normalize("NFKC", text) != text:
        return "must be written in plain letters (Unicode NFKC)"
    if len(_scripts(text)) > 1:
        return "must not mix Latin, Greek and Cyrillic letters: some of them look alike"
    return None


def _scripts(text: str) -> set[str]:
    """Those of the alphabets that share shapes which a text has letters of."""
    return {script for c in text if c.isalpha() and (script := unicodedata.name(c, "").split(" ")[0]) in _ALIKE}


def email_error(text: str) -> str | None:
    """Why mail can't be sent there."""
    local, at, domain = text.rpartition("@")
    labels = domain.split(".")
    good = (
        at
        and len(text) <= MAX_EMAIL
        and len(local) <= MAX_LOCAL
        and _LOCAL.fullmatch(local)
        and "" not in local.split(".")
        and len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
    )
    return None if good else "must be an e-mail address, such as anna@example.com"


def password_error(text: str) -> str | None:
    """Why a password can't be taken. No rule says what is in it: length is what makes one hard to guess."""
    least, most = PASSWORD
    if len(text) < least:
        return f"must have at least {least} characters"
    if len(text.encode(errors="surrogatepass")) > most:
        return f"must have at most {most:,} bytes"
    return None
