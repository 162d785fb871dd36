"""Settings of the workspace: shown with their ETag, changed only where they are still what was read."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct
from msgspec.structs import asdict
from msgspec.structs import fields as fields_of

from farthing.core.records import OnOff, RefundLapsed, SignUp, UnknownModels, WorkspaceSettings
from farthing.core.view import etag
from farthing.stores.access import AccessError
from farthing.stores.acts import BOUNDS, checked_settings

from ..bodies import whole_number
from ..endpoint import Endpoint, Reply, Request
from .account_settings import IF_MATCH, TAG_EXAMPLE, if_match
from .administration import Answered, Asked, act_of, answer, encode, etag_field, once, told
from .desk import Desk
from .fields import Form
from .problems import Wrong
from .reading import Params
from .wire import AmountOrZero, Credits

NAMES: Final = tuple(field.name for field in fields_of(WorkspaceSettings))


def _within(name: str, description: str) -> Meta:
    least, most = BOUNDS[name]
    return Meta(ge=least, le=most, description=description)


GraceDays = Annotated[int, _within("refund_grace_days", "How many days.")]
HoldMinutes = Annotated[int, _within("hold_max_minutes", "How long a hold may live, extends included.")]
LiveGrants = Annotated[int, _within("max_live_grants", "Of an account.")]
LiveHolds = Annotated[int, _within("max_live_holds", "Of an account.")]
RateLimit = Annotated[int, _within("rate_limit", "Requests a minute for each key; 0: the server's own.")]
LateHours = Annotated[int, _within("usage_late_hours", "How long ago usage may have been that is charged now.")]
AheadSeconds = Annotated[int, _within("usage_ahead_seconds", "How far ahead the time of usage may lie.")]
SessionMinutes = Annotated[int, _within("session_minutes", "How long a streaming session holds its credits.")]
RetentionDays = Annotated[
    int, _within("retention_days", "How long entries stay here before they move to an archive file; 0: for ever.")
]
ExpiringDays = Annotated[int, _within("expiring_days", "How many days before its end a grant is told of.")]
Metering = Annotated[
    str,
    Meta(
        max_length=16_000,
        description="How metered calls of models are held for and settled, as JSON: `policy` for all of them, and "
        "`services` with what is different for each; empty: as usual.",
    ),
]
LoginHost = Annotated[
    str,
    Meta(
        max_length=253,
        description="The name of the host at which the login service serves this workspace; empty where there is "
        "only one.",
    ),
]


class WorkspaceSettingsRequest(Asked):
    """Settings to be changed; what is left out stays."""

    refund_lapsed: Annotated[
        RefundLapsed | None,
        Meta(description="Where a refund goes whose grant has lapsed: a new grant for some days, or nowhere."),
    ] = None
    refund_grace_days: GraceDays | None = None
    hold_max_minutes: HoldMinutes | None = None
    max_live_grants: LiveGrants | None = None
    max_live_holds: LiveHolds | None = None
    rate_limit: RateLimit | None = None
    unknown_models: Annotated[
        UnknownModels | None,
        Meta(
            description="Usage of a model that nothing has a price for: by the rate card's default rules, refused, or "
            "recorded as unpriced, which charges nothing and says so."
        ),
    ] = None
    usage_late_hours: LateHours | None = None
    usage_ahead_seconds: AheadSeconds | None = None
    usage_record_charges: Annotated[
        bool | None, Meta(description="Whether recording usage through the accounting dialect charges for it.")
    ] = None
    session_minutes: SessionMinutes | None = None
    users_may_charge: Annotated[
        bool | None, Meta(description="Whether a user's own token may charge his account here, beside reading it.")
    ] = None
    retention_days: RetentionDays | None = None
    login: Annotated[OnOff | None, Meta(description="Whether the login service serves this workspace.")] = None
    signup: Annotated[SignUp | None, Meta(description="Whether people may register themselves.")] = None
    login_host: LoginHost | None = None
    balance_low: Annotated[
        AmountOrZero | None, Meta(description="Below it a balance counts as low, unless its account says otherwise.")
    ] = None
    balance_critical: Annotated[AmountOrZero | None, Meta(description="Below it a balance counts as critical.")] = None
    expiring_days: ExpiringDays | None = None
    metering: Metering | None = None


class WorkspaceView(Struct):
    """The workspace that a key belongs to: what it counts in."""

    id: str
    name: str
    mode: str
    unit: str
    scale: Annotated[int, Meta(description="Decimals of its amounts.")]


class WorkspaceSettingsView(Answered, kw_only=True):
    """All settings of the workspace."""

    workspace: WorkspaceView
    refund_lapsed: RefundLapsed
    refund_grace_days: int
    hold_max_minutes: int
    max_live_grants: int
    max_live_holds: int
    rate_limit: int
    unknown_models: UnknownModels
    usage_late_hours: int
    usage_ahead_seconds: int
    usage_record_charges: bool
    session_minutes: int
    users_may_charge: bool
    retention_days: int
    login: OnOff
    signup: SignUp
    login_host: str
    balance_low: Credits
    balance_critical: Credits
    expiring_days: int
    metering: str


def _view(request: Request, settings: WorkspaceSettings) -> WorkspaceSettingsView:
    w = request.caller.workspace
    return WorkspaceSettingsView(workspace=WorkspaceView(w.id, w.name, w.mode, w.unit, w.scale), **asdict(settings))


async def show_settings(request: Request, desk: Desk) -> Reply:
    """The settings, and their ETag."""
    Params(request).check()
    settings = await desk.access.settings(request.caller.workspace.id)
    return Reply(200, encode(_view(request, settings)), headers=(etag_field(etag(settings)),))


def _plain(value: Any) -> Any:
    """A whole number may have been written as 5.0."""
    number = whole_number(value)
    return value if number is None else number


_form = Form(WorkspaceSettingsRequest)


async def change_settings(request: Request, desk: Desk) -> Reply:
    """Change some."""
    fields = _form.read(request)
    values = {name: getattr(fields.values, name) for name in NAMES}
    changes = {name: _plain(value) for name, value in values.items() if value is not UNSET and value is not None}
    for name, value in changes.items():
        try:
            checked_settings(WorkspaceSettings(), {name: value})
        except AccessError as error:
            fields.refuse(name, str(error).removeprefix(f"{name} "))
    if not changes:
        fields.wrong.append(Wrong(pointer="", detail=f"must have a setting to change: one of {', '.join(NAMES)}"))
    under = once(fields, changes=changes)
    try:
        settings = await desk.access.change_settings(
            request.caller.workspace.id, changes, act_of(request, desk), expected=if_match(request), once=under
        )
    except AccessError as error:
        raise told(error) from error
    return answer(under, _view(request, settings), headers=(etag_field(etag(settings)),))


_EXAMPLE: Final[dict[str, Any]] = {
    "workspace": {"id": "main", "name": "Main", "mode": "live", "unit": "credits", "scale": 6},
    **asdict(WorkspaceSettings()),
}

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/settings",
        operation_id="showSettings",
        summary="Settings of the workspace",
        description="And what it counts in. The header `ETag` stands for this very state; see `If-Match` of the "
        f'change. An example: `"{TAG_EXAMPLE}"`.',
        scope="read",
        request=None,
        answer=WorkspaceSettingsView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset(),
        act=show_settings,
    ),
    Endpoint(
        method="PATCH",
        path="/v1/settings",
        operation_id="changeSettings",
        summary="Change settings of the workspace",
        description="What is left out stays. Every process follows within a second.",
        scope="admin",
        request=WorkspaceSettingsRequest,
        answer=WorkspaceSettingsView,
        example={"hold_max_minutes": 1440},
        answered={**_EXAMPLE, "hold_max_minutes": 1440},
        codes=frozenset({"precondition_failed"}),
        act=change_settings,
        keyed=True,
        parameters=(IF_MATCH,),
    ),
)
