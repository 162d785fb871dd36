"""Reading what is sent to the login service: a JSON object, and cookies. Fields that a call lacks never count."""

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from farthing.core.commands import is_unicode
from farthing.core.people import Role, read_role

from ..bodies import check_media_type, unreadable
from ..endpoint import AUTHORIZATION, Request, Stop, Trouble
from .errors import INVALID_ROLE, MISSING_FIELDS, Fault
from .hosts import host_of, name_in

ACCESS_COOKIE: Final = "accessToken"
REFRESH_COOKIE: Final = "refreshToken"
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_NO_TYPE: Final = "Send the body as JSON, with the header Content-Type: application/json."
_ELSEWHERE: Final = "A cookie counts only for requests from this host's own pages."


class Body:
    """The fields of a body."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def text(self, name: str, missing: str = MISSING_FIELDS) -> str:
        """A text, which must be there."""
        value = self.optional(name, missing)
        if value is None:
            raise Fault(missing, details=f"{name} is missing")
        return value

    def optional(self, name: str, wrong: str = MISSING_FIELDS) -> str | None:
        """A text that may be missing; an empty one is."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or not is_unicode(value):
            raise Fault(wrong, details=f"{name} must be a text")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Yes or no."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise Fault(f"{name} must be true or false")
        return value

    def role(self, default: Role | None = None) -> Role:
        """A role."""
        value = self._values.get("role")
        if value is None and default is not None:
            return default
        role = read_role(value)
        if role is None:
            raise Fault(INVALID_ROLE, details="role must be enduser, supervisor or admin")
        return role

    def has(self, name: str) -> bool:
        """Whether it was sent."""
        return self._values.get(name) is not None

    def objects(self, name: str, most: int) -> list["Body"]:
        """Several objects."""
        value = self._values.get(name)
        if not isinstance(value, list) or not 1 <= len(value) <= most or not all(isinstance(v, dict) for v in value):
            raise Fault(f"{name} must be a list of 1 to {most:,} objects")
        return [Body(each) for each in value]


def read_body(request: Request) -> Body:
    """The object that was sent; none is one without fields."""
    if not request.body.strip():
        return Body({})
    if b"content-type" not in request.headers:
        # A page elsewhere can send a body without a type, but not one that says it is JSON, without being asked first.
        raise Stop(Trouble.MEDIA_TYPE, _NO_TYPE)
    check_media_type(request)
    try:
        return Body(_decode(request.body))
    except msgspec.ValidationError:
        raise Stop(Trouble.MALFORMED, "The body must be a JSON object.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(error, request) from None


def cookie(request: Request, name: str) -> str:
    """What a cookie says; empty where there is none. On calls that change something it counts only when it comes from a
    page of our own host: browsers keep it from other sites (`SameSite=Strict`), but not from a sister's subdomain."""
    for part in request.headers.get(b"cookie", b"").decode("latin-1").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name and value:
            _require_own_page(request)
            return value
    return ""


def _require_own_page(request: Request) -> None:
    origin = request.headers.get(b"origin")
    if origin is None or request.method in ("GET", "HEAD"):
        return
    if name_in(urlsplit(origin.decode("latin-1").lower()).netloc) != host_of(request):
        raise Stop(Trouble.SCOPE_MISSING, _ELSEWHERE)


def bearer(request: Request) -> str:
    """The access token: of the header, else of the cookie; empty where there is neither."""
    scheme, _, token = request.headers.get(AUTHORIZATION, b"").partition(b" ")
    if scheme.lower() == b"bearer" and token.strip():
        return token.strip().decode("latin-1")
    return cookie(request, ACCESS_COOKIE)
