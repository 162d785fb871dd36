"""Workspaces, for operators: made, listed, shown, and given their first key. Nothing here reaches a balance."""

import re
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from farthing.core.amounts import MAX_SCALE
from farthing.core.credentials import OPERATOR
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.stores.access import AccessError

from ..bodies import TEXT
from ..endpoint import Endpoint, Reply, Request
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Form
from .keys import MADE_EXAMPLE, KeyRequest, Label, MadeKeyView, make_key, read_label
from .parameters import in_path
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import Time, write_time

MAX_UNIT: Final = 32
DEFAULT_SCALE: Final = 6
MONEY_SCALE: Final = 9
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_MODES: Final[tuple[Literal["live", "test"], ...]] = ("live", "test")


Unit = Annotated[str, Meta(min_length=1, max_length=MAX_UNIT, pattern=TEXT, description="What it counts.")]
Scale = Annotated[int, Meta(ge=0, le=MAX_SCALE, description="Decimals of its amounts; 6, and 9 for money such as USD.")]


class WorkspaceRequest(Asked):
    """A workspace to be made. Its id, unit and scale stay for ever."""

    id: Annotated[str, Meta(pattern=f"^{_ID.pattern}$", max_length=64)]
    name: Label | None = None
    mode: Annotated[Literal["live", "test"] | None, Meta(description="Keys of `test` begin with cs_test_.")] = "live"
    unit: Unit | None = "credits"
    scale: Scale | None = None


class WorkspaceLine(Answered, kw_only=True):
    """A workspace."""

    id: str
    name: str
    mode: str
    unit: str
    scale: int
    created_at: Time


def _line(w: Workspace) -> WorkspaceLine:
    return WorkspaceLine(
        id=w.id, name=w.name, mode=w.mode, unit=w.unit, scale=w.scale, created_at=write_time(w.created_at)
    )


async def list_workspaces(request: Request, desk: Desk) -> Listed[WorkspaceLine]:
    """A page of all workspaces."""
    turn = await Params(request, "limit", "cursor").turn(desk, "workspaces")
    page = await desk.access.workspaces(after=turn.after, limit=turn.limit)
    return await turn.told([_line(workspace) for workspace in page.items], page.next)


async def _named(request: Request, desk: Desk) -> Workspace:
    workspace = await desk.reports.workspace(named(request, "workspace", "workspace"))
    if workspace is None:
        raise not_found("workspace")
    return workspace


async def show_workspace(request: Request, desk: Desk) -> WorkspaceLine:
    """One workspace."""
    Params(request).check()
    return _line(await _named(request, desk))


_form, _key = Form(WorkspaceRequest), Form(KeyRequest)


async def create_workspace(request: Request, desk: Desk) -> Reply:
    """Make a workspace."""
    fields = _form.read(request)
    id, name, unit = fields.text("id"), read_label(fields), fields.text_if("unit") or "credits"
    if id and not _ID.fullmatch(id):
        fields.refuse("id", "must be 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first")
    if len(unit) > MAX_UNIT or not unit.isprintable():
        fields.refuse("unit", f"must have 1 to {MAX_UNIT} printable characters")
    mode = fields.choice("mode", _MODES, "live")
    scale = fields.whole("scale", 0, MAX_SCALE, MONEY_SCALE if _CURRENCY.fullmatch(unit) else DEFAULT_SCALE)
    under = once(fields, id=id, name=name, mode=mode, unit=unit, scale=scale)
    act = act_of(request, desk)
    workspace = Workspace(id, name or id, mode, unit, scale, act.at, WorkspaceSettings())
    try:
        made = await desk.access.create_workspace(workspace, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, _line(made), 201, ((b"location", f"/v1/workspaces/{made.id}".encode()),))


async def create_first_key(request: Request, desk: Desk) -> Reply:
    """Make a workspace's first key."""
    fields = _key.read(request)
    return await make_key(fields, desk, await _named(request, desk), first=True)


_EXAMPLE: Final[dict[str, Any]] = {
    "id": "shop", "name": "The shop", "mode": "live", "unit": "USD", "scale": 9,
    "created_at": "2026-01-01T12:00:00.000000Z",
}  # fmt: skip
_WORKSPACE: Final = in_path("workspace", "The workspace's id.", "shop")

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/workspaces",
        operation_id="listWorkspaces",
        summary="All workspaces",
        description="In the order of their ids. For operators.",
        scope=OPERATOR,
        request=None,
        answer=Listed[WorkspaceLine],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"cursor_invalid"}),
        act=list_workspaces,
        parameters=PAGING,
    ),
    Endpoint(
        path="/v1/workspaces",
        operation_id="createWorkspace",
        summary="Make a workspace",
        description="Its id, unit and scale stay for ever. For operators.",
        scope=OPERATOR,
        request=WorkspaceRequest,
        answer=WorkspaceLine,
        example={"id": "shop", "name": "The shop", "unit": "USD"},
        answered=_EXAMPLE,
        codes=frozenset({"workspace_exists"}),
        act=create_workspace,
        status=201,
        keyed=True,
    ),
    Endpoint(
        method="GET",
        path="/v1/workspaces/{workspace}",
        operation_id="showWorkspace",
        summary="One workspace",
        description="For operators.",
        scope=OPERATOR,
        request=None,
        answer=WorkspaceLine,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"workspace_not_found"}),
        act=show_workspace,
        parameters=(_WORKSPACE,),
    ),
    Endpoint(
        path="/v1/workspaces/{workspace}/keys",
        operation_id="createFirstKey",
        summary="Make a workspace's first API key",
        description="Only while it has none: after that its own keys with the scope `admin` make them. For operators.",
        scope=OPERATOR,
        request=KeyRequest,
        answer=MadeKeyView,
        example={"name": "first", "scopes": ["admin"]},
        answered={**MADE_EXAMPLE, "name": "first", "scopes": ["admin"]},
        codes=frozenset({"workspace_not_found", "key_exists"}),
        act=create_first_key,
        status=201,
        keyed=True,
        parameters=(_WORKSPACE,),
    ),
)
