"""Accounts: making one, finding them, what one has and may spend."""

from typing import Annotated, Any, Final
from urllib.parse import quote

from msgspec import UNSET, Meta, Struct, UnsetType

from farthing.core import view
from farthing.core.amounts import write_amount
from farthing.core.burn import out_of_scope
from farthing.core.commands import CreateAccount
from farthing.core.levels import Level, level_of
from farthing.core.notices import thresholds
from farthing.core.records import Account, Entry, Grant, Workspace
from farthing.stores.past import Archived, NotOpenYet

from ..endpoint import Caller, Endpoint, Request
from .account_settings import ACCOUNT, SETTINGS_EXAMPLE, SettingsView, account_named, write_settings
from .charges import TOLD
from .desk import Desk
from .fields import Form
from .parameters import parameter, text_parameter
from .problems import Fault
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import TIME, AccountId, Command, Credits, Done, Time, done, write_time

ATTRIBUTES: Final = ("service", "model", "product")


class ScopedCredits(Struct):
    """Credits that only some requests may take."""

    scope: list[str]
    available: Credits


class AccountView(Struct):
    """An account and what it has."""

    id: str
    balance: Credits
    """Live grants less debt, what is held included; as entries have it."""
    unscoped: Credits
    """The part of it that is not in grants with a scope."""
    held: Credits
    debt: Credits
    available: Credits
    """What a request may take now: without what is held, and without what only requests with a scope may take."""
    scoped: list[ScopedCredits]
    earned: Credits
    spent: Credits
    lapsed: Credits
    written_off: Credits
    grants: int
    """Live ones."""
    holds: int
    """Live ones."""
    next_expiration: Time | None
    """When the next of its credits lapse."""
    entries: int
    """The number of the last one."""
    updated_at: Time
    settings: SettingsView


class GrantLeft(Struct):
    """A grant, and what is left of it."""

    id: str
    remaining: Credits
    held: Credits
    category: str
    priority: int
    scope: list[str]
    expires_at: Time | None
    created_at: Time


class BalanceView(Struct, omit_defaults=True):
    """What an account can spend; or could, at an instant."""

    account: str
    balance: Credits
    unscoped: Credits
    held: Credits
    debt: Credits
    available: Credits
    """What a request of this operation, service, model and product may take now."""
    scoped: list[ScopedCredits]
    next_expiration: Time | None
    level: Level
    """How near its end the balance is."""
    low: Credits
    """Below it this balance is low: as the account says, or the workspace does now."""
    critical: Credits
    """Below it this balance is critical."""
    at: Annotated[Time, Meta(description="The instant that was asked for.")] | UnsetType = UNSET
    grants: Annotated[list[GrantLeft], Meta(description="Those that were live then, in burn order.")] | UnsetType = (
        UNSET
    )


class NewAccount(Command):
    """An account to be made."""

    account: AccountId


class Opened(Done, kw_only=True):
    """An account that was made."""

    @property
    def id(self) -> str:
        """As it stands in a path."""
        return quote(self.account, safe="")


def write_account(account: Account, scale: int) -> AccountView:
    """An account on the wire."""
    amounts = {
        name: write_amount(getattr(account, name), scale)
        for name in ("balance", "held", "debt", "earned", "spent", "lapsed", "written_off")
    }
    return AccountView(
        id=account.id,
        unscoped=write_amount(view.unscoped_balance(account), scale),
        available=write_amount(view.available(account), scale),
        scoped=_scoped(account, scale),
        grants=len(account.grants),
        holds=account.holds,
        next_expiration=_next_expiration(account),
        entries=account.number,
        updated_at=write_time(account.at),
        settings=write_settings(account.settings, scale),
        **amounts,
    )


def _scoped(account: Account, scale: int) -> list[ScopedCredits]:
    return [ScopedCredits(list(scope), write_amount(amount, scale)) for scope, amount in view.scoped(account)]


def _next_expiration(account: Account) -> str | None:
    at = view.next_expiration(account)
    return None if at is None else write_time(at)


async def list_accounts(request: Request, desk: Desk) -> Listed[AccountView]:
    """A page of the workspace's accounts."""
    params = Params(request, "prefix", "frozen", "in_debt", "limit", "cursor")
    prefix, frozen, in_debt = params.text("prefix") or "", params.flag("frozen"), params.flag("in_debt")
    turn = await params.turn(desk, "accounts")
    page = await desk.directory.accounts(
        turn.workspace, desk.now_us(), prefix=prefix, frozen=frozen, in_debt=in_debt, after=turn.after, limit=turn.limit
    )
    scale = request.caller.workspace.scale
    return await turn.told([write_account(account, scale) for account in page.items], page.next)


async def show_account(request: Request, desk: Desk) -> AccountView:
    """One account."""
    Params(request).check()
    return write_account(await account_named(request, desk), request.caller.workspace.scale)


async def show_balance(request: Request, desk: Desk) -> BalanceView:
    """What a request could take, or could have taken at an instant."""
    params = Params(request, "operation", *ATTRIBUTES, "at")
    operation = params.text("operation") or ""
    attributes = {name: value for name in ATTRIBUTES if (value := params.text(name))}
    at, now = params.instant("at"), desk.now_us()
    if at is not None and at > now:
        params.refuse("at", "must not be in the future: what is to come is simulated (farthing simulate)")
    params.check()
    workspace = request.caller.workspace
    if at is None:
        return _balance(await account_named(request, desk), operation, attributes, workspace)
    account = await _account_at(request, desk, at)
    told = _balance(account, operation, attributes, workspace)
    told.at, told.grants = write_time(at), [_grant_left(grant, workspace.scale) for grant in account.grants]
    return told


async def _account_at(request: Request, desk: Desk, at: int) -> Account:
    """The account that the path names, as it stood at an instant."""
    id = named(request, "account", "account")
    try:
        account = await desk.past.account(request.caller.workspace.id, id, at)
    except NotOpenYet as error:
        opened_at = write_time(error.opened_at)
        detail = f"There was no such account yet: it was opened at {opened_at}."
        raise Fault("account_not_found", detail=detail, opened_at=opened_at) from error
    except Archived as error:
        raise archived(error) from error
    if account is None:
        raise not_found("account")
    return account


def archived(error: Archived) -> Fault:
    """What lies before the entries that are kept."""
    since = write_time(error.since)
    return Fault("archived", detail=f"What was before {since} is archived: ask for what was since.", since=since)


def _grant_left(grant: Grant, scale: int) -> GrantLeft:
    return GrantLeft(
        grant.id, write_amount(grant.remaining, scale), write_amount(grant.held, scale), grant.category, grant.priority,
        list(grant.scope), None if grant.expires_at is None else write_time(grant.expires_at),
        write_time(grant.created_at),
    )  # fmt: skip


def _balance(account: Account, operation: str, attributes: dict[str, str], workspace: Workspace) -> BalanceView:
    scale, (low, critical) = workspace.scale, thresholds(account, workspace)
    everything = account.balance - account.held + account.settings.allowance
    return BalanceView(
        account=account.id,
        balance=write_amount(account.balance, scale),
        unscoped=write_amount(view.unscoped_balance(account), scale),
        held=write_amount(account.held, scale),
        debt=write_amount(account.debt, scale),
        available=write_amount(everything - out_of_scope(account.grants, operation, attributes), scale),
        scoped=_scoped(account, scale),
        next_expiration=_next_expiration(account),
        level=level_of(account.balance, low, critical),
        low=write_amount(low, scale),
        critical=write_amount(critical, scale),
    )


_new_account = Form(NewAccount)


def read_account(request: Request) -> CreateAccount:
    """An account to be made."""
    fields = _new_account.read(request)
    command = CreateAccount(account=fields.text("account"), **fields.said())
    fields.check()
    return command


def write_opened(entry: Entry, caller: Caller) -> Opened:
    """The account that was made."""
    return Opened(**done(entry, caller.workspace.scale))


_EXAMPLE: Final[dict[str, Any]] = {
    "id": "user_42", "balance": "895", "unscoped": "895", "held": "20", "debt": "0", "available": "875", "scoped": [],
    "earned": "1000", "spent": "105", "lapsed": "0", "written_off": "0", "grants": 2, "holds": 1,
    "next_expiration": None, "entries": 7, "updated_at": "2026-01-01T12:00:00.000000Z", "settings": SETTINGS_EXAMPLE,
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        path="/v1/accounts",
        operation_id="createAccount",
        summary="Make an account",
        description="Not needed before a grant, which makes the account where there is none.",
        scope="grant",
        request=NewAccount,
        answer=Opened,
        example={"account": "user_42"},
        answered=TOLD | {"after": {"balance": "0", "scoped": "0", "held": "0", "debt": "0"}},
        codes=frozenset({"account_exists"}),
        read=read_account,
        write=write_opened,
        status=201,
        location="/v1/accounts/{id}",
        keyed=True,
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts",
        operation_id="listAccounts",
        summary="Accounts of the workspace",
        description="In the order of their ids, compared as bytes; those that begin with a prefix, that are frozen or "
        "in debt only.",
        scope="read",
        request=None,
        answer=Listed[AccountView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"cursor_invalid"}),
        act=list_accounts,
        parameters=(
            text_parameter("prefix", "Whose ids begin like this.", "user_"),
            parameter("frozen", "Only those that are, or are not.", type="boolean"),
            parameter("in_debt", "Only those that are, or are not.", type="boolean"),
            *PAGING,
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}",
        operation_id="showAccount",
        summary="One account and what it has",
        description="As it stands now: what has lapsed counts from its instant on.",
        scope="read",
        own=True,
        request=None,
        answer=AccountView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"account_not_found"}),
        act=show_account,
        parameters=(ACCOUNT,),
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/balance",
        operation_id="showBalance",
        summary="What an account can spend",
        description="`available` counts what a request of this operation, service, model and product may take, grants "
        "with a scope that matches included; without any of them, grants without scope only. With `at`, all of it as "
        "it stood at that instant, what had lapsed by then included, and the grants that were live.",
        scope="read",
        own=True,
        request=None,
        answer=BalanceView,
        example={},
        answered={
            "account": "user_42",
            "balance": "995",
            "unscoped": "895",
            "held": "20",
            "debt": "0",
            "available": "975",
            "scoped": [{"scope": ["operation:image.*"], "available": "100"}],
            "next_expiration": None,
            "level": "fine",
            "low": "1",
            "critical": "0.1",
        },
        codes=frozenset({"account_not_found", "archived"}),
        act=show_balance,
        parameters=(
            ACCOUNT,
            parameter(
                "at", "As it stood at this instant, which is not to come.", **TIME, example="2026-01-01T00:00:00Z"
            ),
            text_parameter("operation", "What the credits would be for.", "image.edit"),
            *(text_parameter(name, f"The {name}, for grants of that scope.") for name in ATTRIBUTES),
        ),
    ),
)
