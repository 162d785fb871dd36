"""Cookies: the tokens of a session, for pages of the same host. No script reads them, and no other site sends them."""

from typing import Final

from farthing.identity.login import SignedIn
from farthing.identity.sessions import ACCESS_SECONDS, REFRESH_SECONDS

from ..endpoint import Headers
from .fields import ACCESS_COOKIE, REFRESH_COOKIE

ACCESS_PATH: Final = "/"
REFRESH_PATH: Final = "/api/auth"


def given(signed_in: SignedIn, https: bool) -> Headers:
    """Both tokens, for as long as they are good."""
    return (
        _cookie(ACCESS_COOKIE, signed_in.access, ACCESS_PATH, ACCESS_SECONDS, https),
        _cookie(REFRESH_COOKIE, signed_in.refresh, REFRESH_PATH, REFRESH_SECONDS, https),
    )


def taken(https: bool) -> Headers:
    """Both gone."""
    return (
        _cookie(ACCESS_COOKIE, "", ACCESS_PATH, 0, https),
        _cookie(REFRESH_COOKIE, "", REFRESH_PATH, 0, https),
    )


def _cookie(name: str, value: str, path: str, seconds: int, https: bool) -> tuple[bytes, bytes]:
    secure = "; Secure" if https else ""
    text = f"{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    return (b"set-cookie", text.encode())
