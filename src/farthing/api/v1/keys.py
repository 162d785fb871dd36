"""API keys: made, shown this once, rotated with an overlap, revoked. Of what is kept of one nobody makes it again."""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from farthing.core.credentials import SCOPES, Scope, parse_scopes
from farthing.core.records import Workspace
from farthing.stores.access import AccessError, ApiKey, Once

from ..endpoint import Endpoint, Parameter, Reply, Request
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Fields, Form
from .parameters import in_path
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import Expiry, Time, text_of, write_time

MAX_NAME: Final = 255
MAX_OVERLAP_SECONDS: Final = 30 * 86_400
OVERLAP_SECONDS: Final = 86_400


Label = Annotated[str, text_of("Printable; for people.")]


class KeyRequest(Asked):
    """A key to be made."""

    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=len(SCOPES), description=f"Of {', '.join(SCOPES)}.")]
    name: Label | None = None
    expires_at: Expiry | None = None


Overlap = Annotated[int, Meta(ge=0, le=MAX_OVERLAP_SECONDS, description="How long the old key still works.")]


class RotateRequest(Asked):
    """A key to be replaced."""

    overlap_seconds: Overlap | None = OVERLAP_SECONDS


class RevokeRequest(Asked):
    """A key to be ended."""


class KeyView(Answered, kw_only=True):
    """A key as it may be shown."""

    id: str
    name: str
    scopes: list[str]
    hint: Annotated[str, Meta(description="Its last characters.")]
    state: Literal["live", "expired", "revoked"]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None


class MadeKeyView(KeyView, kw_only=True):
    """A key that was made."""

    api_key: Annotated[
        str | None,
        Meta(description="The key itself: shown this once. Null in a repeat and in a dry run; it is kept nowhere."),
    ]


class RotatedView(MadeKeyView, kw_only=True):
    """A key that took the place of another."""

    replaces: str
    old_key_ends_at: Time | None


def key_fields(key: ApiKey, now_us: int) -> dict[str, Any]:
    """A key on the wire."""
    over = key.expires_at is not None and key.expires_at <= now_us
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "hint": key.hint,
        "state": "revoked" if key.revoked_at is not None else "expired" if over else "live",
        "created_at": write_time(key.created_at),
        "expires_at": None if key.expires_at is None else write_time(key.expires_at),
        "revoked_at": None if key.revoked_at is None else write_time(key.revoked_at),
    }


async def list_keys(request: Request, desk: Desk) -> Listed[KeyView]:
    """A page of the workspace's keys."""
    turn = await Params(request, "limit", "cursor").turn(desk, "keys")
    page = await desk.access.keys_page(turn.workspace, after=turn.after, limit=turn.limit)
    now_us = desk.now_us()
    return await turn.told([KeyView(**key_fields(key, now_us)) for key in page.items], page.next)


async def show_key(request: Request, desk: Desk) -> KeyView:
    """One key."""
    Params(request).check()
    key = await desk.access.key(request.caller.workspace.id, named(request, "id", "key"))
    if key is None:
        raise not_found("key")
    return KeyView(**key_fields(key, desk.now_us()))


_new, _rotate, _revoke = Form(KeyRequest), Form(RotateRequest), Form(RevokeRequest)


async def create_key(request: Request, desk: Desk) -> Reply:
    """Make a key."""
    return await make_key(_new.read(request), desk, request.caller.workspace)


async def make_key(fields: Fields, desk: Desk, workspace: Workspace, *, first: bool = False) -> Reply:
    """Make a key of a workspace; its first one is made by an operator."""
    request = fields.request
    name, scopes, expires_at = read_label(fields), _scopes(fields), fields.instant("expires_at")
    asked = {"name": name, "scopes": sorted(scopes), "expires_at": expires_at}
    under = once(fields, **asked | ({"workspace": workspace.id} if first else {}))
    act, key = act_of(request, desk), desk.make_key(workspace.mode)
    try:
        made = await desk.access.create_key(
            workspace.id, desk.new_key_id(act.at), key.hash, key.hint, name, scopes, act, expires_at, first=first,
            once=under,
        )  # fmt: skip
    except AccessError as error:
        raise told(error) from error
    view = MadeKeyView(**key_fields(made, act.at), api_key=_shown(under, key.text))
    return answer(under, view, 201, ((b"location", f"/v1/keys/{made.id}".encode()),))


def read_label(fields: Fields) -> str:
    """A name for people."""
    name = fields.text_if("name")
    if name and not name.isprintable():
        fields.refuse("name", f"must have 1 to {MAX_NAME} printable characters")
    return name


def _scopes(fields: Fields) -> frozenset[str]:
    given = fields.texts("scopes", len(SCOPES))
    try:
        return parse_scopes(given)
    except ValueError as error:
        fields.refuse("scopes", f"must have one or more of {', '.join(SCOPES)}: {error}")
        return frozenset()


def _shown(under: Once, text: str) -> str | None:
    """The secret is told with the first answer alone."""
    return None if under.replayed or under.dry_run else text


async def rotate_key(request: Request, desk: Desk) -> Reply:
    """Replace a key."""
    fields, id = _rotate.read(request), named(request, "id", "key")
    seconds = fields.whole("overlap_seconds", 0, MAX_OVERLAP_SECONDS, OVERLAP_SECONDS)
    under = once(fields, key=id, overlap_seconds=seconds)
    workspace, act = request.caller.workspace, act_of(request, desk)
    key, until = desk.make_key(workspace.mode), act.at + seconds * 1_000_000
    try:
        done = await desk.access.rotate_key(
            id, desk.new_key_id(act.at), key, until, act, workspace=workspace.id, once=under
        )
    except AccessError as error:
        raise told(error) from error
    ends_at = done.old.expires_at
    view = RotatedView(
        **key_fields(done.new, act.at),
        api_key=_shown(under, key.text),
        replaces=done.old.id,
        old_key_ends_at=None if ends_at is None else write_time(ends_at),
    )
    return answer(under, view, 201, ((b"location", f"/v1/keys/{done.new.id}".encode()),))


async def revoke_key(request: Request, desk: Desk) -> Reply:
    """End a key."""
    fields, id = _revoke.read(request), named(request, "id", "key")
    under, act = once(fields, key=id), act_of(request, desk)
    try:
        key = await desk.access.revoke_key(id, act, workspace=request.caller.workspace.id, once=under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, KeyView(**key_fields(key, act.at)))


KEY_ID: Final = "key_0198c5f0a1b27c3d8e4f5a6b7c8d9000"
KEY_EXAMPLE: Final[dict[str, Any]] = {
    "id": KEY_ID, "name": "chat backend", "scopes": ["charge", "read"], "hint": "9aZ0", "state": "live",
    "created_at": "2026-01-01T12:00:00.000000Z", "expires_at": None, "revoked_at": None,
}  # fmt: skip
MADE_EXAMPLE: Final[dict[str, Any]] = {**KEY_EXAMPLE, "api_key": "cs_live_..."}
_KEY: Final[Parameter] = in_path("id", "The key's id.", KEY_ID)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/keys",
        operation_id="listKeys",
        summary="API keys of the workspace",
        description="Oldest first, ended ones included; none of them can be shown again.",
        scope="admin",
        request=None,
        answer=Listed[KeyView],
        example={},
        answered=listed_example(KEY_EXAMPLE),
        codes=frozenset({"cursor_invalid"}),
        act=list_keys,
        parameters=PAGING,
    ),
    Endpoint(
        path="/v1/keys",
        operation_id="createKey",
        summary="Make an API key",
        description="The key itself is in this answer and nowhere else: a repeat has everything but that.",
        scope="admin",
        request=KeyRequest,
        answer=MadeKeyView,
        example={"name": "chat backend", "scopes": ["read", "charge"]},
        answered=MADE_EXAMPLE,
        codes=frozenset(),
        act=create_key,
        status=201,
        keyed=True,
    ),
    Endpoint(
        method="GET",
        path="/v1/keys/{id}",
        operation_id="showKey",
        summary="One API key",
        description="All but the key itself.",
        scope="admin",
        request=None,
        answer=KeyView,
        example={},
        answered=KEY_EXAMPLE,
        codes=frozenset({"key_not_found"}),
        act=show_key,
        parameters=(_KEY,),
    ),
    Endpoint(
        path="/v1/keys/{id}/rotate",
        operation_id="rotateKey",
        summary="Replace an API key",
        description="A new key with the name and the scopes of the old one, which works on for a while.",
        scope="admin",
        request=RotateRequest,
        answer=RotatedView,
        example={"overlap_seconds": OVERLAP_SECONDS},
        answered={**MADE_EXAMPLE, "replaces": KEY_ID, "old_key_ends_at": "2026-01-02T12:00:00.000000Z"},
        codes=frozenset({"key_not_found", "key_ended"}),
        act=rotate_key,
        status=201,
        keyed=True,
        parameters=(_KEY,),
    ),
    Endpoint(
        path="/v1/keys/{id}/revoke",
        operation_id="revokeKey",
        summary="End an API key now",
        description="Every process refuses it within a second; it can't be brought back.",
        scope="admin",
        request=RevokeRequest,
        answer=KeyView,
        example={},
        answered={**KEY_EXAMPLE, "state": "revoked", "revoked_at": "2026-01-01T12:00:00.000000Z"},
        codes=frozenset({"key_not_found"}),
        act=revoke_key,
        keyed=True,
        parameters=(_KEY,),
    ),
)
