"""Settings of an account: overdraft, frozen, spend limits. A change may be bound to the state that was read."""

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct

from farthing.core.amounts import write_amount
from farthing.core.commands import SetAccount
from farthing.core.records import Account, AccountSettings, Entry
from farthing.core.refundable import read_body
from farthing.core.view import etag

from ..endpoint import Caller, Endpoint, Parameter, Reply, Request
from .charges import TOLD
from .desk import Desk
from .fields import Fields, Form, account_of
from .parameters import in_path
from .problems import Fault, Wrong
from .reading import Params, named, not_found
from .wire import AmountOrZero, Command, Credits, Done, done

MAX_ZONE: Final = 64
_LIMITS: Final = ("spend_limit_day", "spend_limit_month", "balance_low", "balance_critical")
_SETTINGS: Final = ("allowance", "frozen", "timezone", *_LIMITS)
_ETAG: Final = re.compile(rb'(W/)?"([\x21\x23-\x7e]{0,100})"')
_IF_MATCH: Final = r'^(\*|(W/)?"[!#-~]{0,100}")$'
_encode = msgspec.json.Encoder().encode


class SettingsView(Struct):
    """What an operator has set on an account."""

    allowance: Annotated[Credits, Meta(description="Overdraft: how far below its grants it may spend.")]
    frozen: bool
    spend_limit_day: Credits | None
    spend_limit_month: Credits | None
    timezone: Annotated[str, Meta(description="In which days and months of the spend limits begin.")]
    balance_low: Annotated[
        Credits | None, Meta(description="Below it the balance counts as low; null: as the workspace says.")
    ]
    balance_critical: Annotated[Credits | None, Meta(description="Below it the balance counts as critical.")]


Threshold = Annotated[AmountOrZero | None, Meta(description="Null is what the workspace says.")]
Limit = Annotated[AmountOrZero | None, Meta(description="At most so much, held credits included; null is no limit.")]


TimeZone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ZONE,
        pattern=r"^[A-Za-z0-9_+/-]+$",
        description="The IANA zone in which days and months begin, such as Europe/Berlin.",
    ),
]


class NewSettings(Command):
    """Settings to be changed; what is left out stays."""

    allowance: Annotated[AmountOrZero, Meta(description="Overdraft: how far below its grants it may spend.")] | None = (
        None
    )
    frozen: Annotated[bool | None, Meta(description="Refuse charges and holds; what is held may be settled.")] = None
    spend_limit_day: Limit = None
    spend_limit_month: Limit = None
    timezone: TimeZone | None = None
    balance_low: Threshold = None
    balance_critical: Threshold = None


class Changed(Done, kw_only=True):
    """Settings that were changed."""

    settings: SettingsView
    etag: str
    """For `If-Match` of the next change."""


def write_settings(settings: AccountSettings, scale: int) -> SettingsView:
    """Settings of an account on the wire."""
    amounts = {name: getattr(settings, name) for name in _LIMITS}
    return SettingsView(
        allowance=write_amount(settings.allowance, scale),
        frozen=settings.frozen,
        timezone=settings.timezone,
        **{name: None if amount is None else write_amount(amount, scale) for name, amount in amounts.items()},
    )


async def account_named(request: Request, desk: Desk) -> Account:
    """The account that the path names, as it stands now."""
    id = named(request, "account", "account")
    account = await desk.reports.account(request.caller.workspace.id, id, desk.now_us())
    if account is None:
        raise not_found("account")
    return account


async def show_settings(request: Request, desk: Desk) -> Reply:
    """The settings of an account, and their ETag."""
    Params(request).check()
    settings = (await account_named(request, desk)).settings
    body = _encode(write_settings(settings, request.caller.workspace.scale))
    return Reply(200, body, headers=((b"etag", b'"%s"' % etag(settings).encode()),))


_new_settings = Form(NewSettings)


def read_settings(request: Request) -> SetAccount:
    """Settings to be changed."""
    fields = _new_settings.read(request)
    changes: dict[str, Any] = {name: _limit(fields, name) for name in _LIMITS}
    if (allowance := fields.amount_if("allowance", zero=True)) is not None:
        changes["allowance"] = allowance
    if fields.values.frozen not in (UNSET, None):
        changes["frozen"] = fields.flag("frozen")
    if zone := fields.text_if("timezone"):
        changes["timezone"] = zone
    if len(zone) > MAX_ZONE:
        fields.refuse("timezone", f"must have at most {MAX_ZONE} characters")
    said = fields.said()
    if all(value is UNSET for value in changes.values()):
        nothing = f"must have a setting to change: one of {', '.join(_SETTINGS)}"
        fields.wrong.append(Wrong(pointer="", detail=nothing))
    fields.check()
    return SetAccount(account=account_of(request), expected=if_match(request), **changes, **said)


def _limit(fields: Fields, name: str) -> Any:
    """A limit, or a threshold; null takes it away."""
    return fields.amount_if(name, zero=True) if fields.given(name) else UNSET


def if_match(request: Request) -> str | None:
    """The state that is to be changed, as the client has read it; None where any will do."""
    value = request.headers.get(b"if-match")
    if value is None or value.strip() == b"*":
        return None
    found = _ETAG.fullmatch(value.strip())
    if found is None:
        raise Fault("invalid", [Wrong(header="If-Match", detail="must be one ETag in quotes, or *")])
    # A weak one stands for what reads alike, and is never the very same.
    return "weak" if found[1] else found[2].decode()


def write_changed(entry: Entry, caller: Caller) -> Changed:
    """Settings after a change."""
    settings = read_body(entry).settings
    assert settings is not None, "an entry of this kind has them all"
    scale = caller.workspace.scale
    return Changed(**done(entry, scale), settings=write_settings(settings, scale), etag=etag(settings))


ACCOUNT: Final = in_path("account", "The account's id.", "user_42")
SETTINGS_EXAMPLE: Final[dict[str, Any]] = {
    "allowance": "0", "frozen": False, "spend_limit_day": "100", "spend_limit_month": None, "timezone": "UTC",
    "balance_low": "5", "balance_critical": None,
}  # fmt: skip
TAG_EXAMPLE: Final = "5c0d9f1e2b3a48675c0d9f1e2b3a4867"


def tag_parameter(example: str, description: str) -> Parameter:
    """The header If-Match of a change."""
    return Parameter(
        name="If-Match",
        place="header",
        schema={"type": "string", "pattern": _IF_MATCH},
        example=f'"{example}"',
        description=description,
    )


IF_MATCH: Final = tag_parameter(
    TAG_EXAMPLE, "The ETag that the settings had when you read them: they are changed only if they still have it."
)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/settings",
        operation_id="showAccountSettings",
        summary="What is set on an account",
        description="The header `ETag` stands for this very state; see `If-Match` of the change.",
        scope="read",
        request=None,
        answer=SettingsView,
        example={},
        answered=SETTINGS_EXAMPLE,
        codes=frozenset({"account_not_found"}),
        act=show_settings,
        parameters=(ACCOUNT,),
    ),
    Endpoint(
        method="PATCH",
        path="/v1/accounts/{account}/settings",
        operation_id="changeAccountSettings",
        summary="Change what is set on an account",
        description="What is left out stays. A lowered allowance may leave `available` below zero; nothing is taken.",
        scope="admin",
        request=NewSettings,
        answer=Changed,
        example={"spend_limit_day": "100", "frozen": False},
        answered={**TOLD, "settings": SETTINGS_EXAMPLE, "etag": TAG_EXAMPLE},
        codes=frozenset({"account_not_found", "precondition_failed"}),
        read=read_settings,
        write=write_changed,
        keyed=True,
        parameters=(ACCOUNT, IF_MATCH),
    ),
)
