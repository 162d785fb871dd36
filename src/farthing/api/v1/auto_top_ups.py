"""Automatic top-ups of an account: what is set, how it stands, and what was tried. Nothing here moves credits: the
provider's notification of the payment does.
"""

from typing import Any, Final, cast

from farthing.core.auto_top_up import MOST_COOL_DOWN, AutoTopUp, problems
from farthing.core.catalogue import PROVIDERS
from farthing.core.commands import SetAccount
from farthing.core.outcomes import Refusal, Refused
from farthing.core.records import Entry
from farthing.core.refundable import read_body
from farthing.core.top_up_attempts import state_of
from farthing.core.top_up_offers import sale_problem
from farthing.stores.access import AccessError

from ..endpoint import Caller, Endpoint, Reply, Request
from .account_settings import ACCOUNT, account_named
from .administration import act_of, answer, once, told
from .charges import TOLD
from .desk import Desk
from .fields import Form, account_of
from .problems import Fault
from .reach import require_own
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .top_up_views import (
    AutoTopUpChanged,
    AutoTopUpChecked,
    AutoTopUpRequest,
    AutoTopUpResumed,
    AutoTopUpView,
    CheckRequest,
    PausedTopUp,
    RemoveAutoTopUpRequest,
    ResumeAutoTopUpRequest,
    TopUpAttempt,
    write_attempt,
    write_paused,
    write_settings,
    write_standing,
)
from .wire import done

# Looking


async def show_auto_top_up(request: Request, desk: Desk) -> AutoTopUpView:
    """How it stands."""
    Params(request).check()
    account, workspace = await account_named(request, desk), request.caller.workspace
    require_own(request.caller, account.id)
    top_ups = desk.commerce.top_ups
    standing = await top_ups.standing(workspace.id, account.id)
    attempt = await top_ups.attempt(workspace.id, account.id, standing.attempt) if standing.attempt else None
    return AutoTopUpView(**write_standing(account, standing, attempt, desk.now_us(), workspace.scale))


async def list_attempts(request: Request, desk: Desk) -> Listed[TopUpAttempt]:
    """What was tried, the newest first."""
    params, scale = Params(request, "limit", "cursor"), request.caller.workspace.scale
    account = await account_named(request, desk)
    require_own(request.caller, account.id)
    turn = await params.turn(desk, "auto-top-ups", account=account.id)
    page = await desk.commerce.top_ups.attempts(turn.workspace, account.id, turn.after, turn.limit)
    return await turn.told([write_attempt(attempt, scale) for attempt in page.items], page.next)


async def list_paused(request: Request, desk: Desk) -> Listed[PausedTopUp]:
    """Those that wait for somebody, by account."""
    turn = await Params(request, "limit", "cursor").turn(desk, "paused-top-ups")
    page = await desk.commerce.top_ups.paused(turn.workspace, turn.after, turn.limit)
    return await turn.told([write_paused(account, standing) for account, standing in page.items], page.next)


# Changing

_put, _remove, _resume = Form(AutoTopUpRequest), Form(RemoveAutoTopUpRequest), Form(ResumeAutoTopUpRequest)
_check = Form(CheckRequest)


def read_put(request: Request) -> SetAccount:
    """An automatic top-up as it is to be."""
    fields = _put.read(request)
    wanted = AutoTopUp(
        provider=fields.choice("provider", PROVIDERS),
        threshold=fields.amount("threshold", zero=True),
        offer=fields.text_if("offer"),
        amount=fields.amount_if("amount") or 0,
        cap_day=fields.amount_if("cap_day", zero=True),
        cap_month=fields.amount_if("cap_month", zero=True),
        enabled=fields.flag_or("enabled", True),
        order=fields.text_if("order"),
        cool_down_minutes=fields.whole("cool_down_minutes", 1, MOST_COOL_DOWN, 60),
    )
    said = fields.said()
    if not fields.wrong:
        for problem in problems(wanted):
            fields.refuse(problem.field, problem.message)
    fields.check()
    return SetAccount(account=account_of(request), auto_top_up=wanted, **said)


async def sellable(command: SetAccount, desk: Desk) -> str | Refused:
    """Refuse what nobody could buy there: it would be found out when somebody runs dry."""
    wanted = cast(AutoTopUp, command.auto_top_up)
    if (await desk.engine.ask(command, dry=True)).replayed:
        return command.account
    kept = await desk.products.get(command.workspace, wanted.offer.partition("/")[0]) if wanted.offer else None
    workspace = await desk.reports.workspace(command.workspace)
    assert workspace is not None, "its caller has been let in"
    problem = sale_problem(wanted, kept, workspace.unit)
    if problem is not None and problem.code == "offer_not_found":
        raise Fault(problem.code, detail=f"There is no top-up {wanted.offer!r} on sale.")
    if problem is not None:
        return Refused(Refusal.INVALID, {"field": problem.field, "message": problem.message})
    return command.account


def read_remove(request: Request) -> SetAccount:
    """An automatic top-up that is to be none any more."""
    fields = _remove.read(request)
    said = fields.said()
    fields.check()
    return SetAccount(account=account_of(request), auto_top_up=None, **said)


def write_changed(entry: Entry, caller: Caller) -> AutoTopUpChanged:
    """Settings after a change."""
    settings = read_body(entry).settings
    assert settings is not None, "an entry of this kind has them all"
    scale = caller.workspace.scale
    return AutoTopUpChanged(**done(entry, scale), auto_top_up=write_settings(settings.auto_top_up, scale))


async def resume_auto_top_up(request: Request, desk: Desk) -> Reply:
    """Somebody has seen to what was wrong."""
    fields, id = _resume.read(request), named(request, "account", "account")
    under, act = once(fields, account=id), act_of(request, desk)
    account = await account_named(request, desk)
    try:
        standing = await desk.commerce.topping_up.resume(request.caller.workspace, id, act, under)
    except AccessError as error:
        raise told(error) from error
    if standing is None:
        raise not_found("account")
    settings = account.settings
    state = state_of(settings.auto_top_up, settings.frozen, standing, desk.now_us())
    return answer(under, AutoTopUpResumed(account=id, state=state))


async def check_auto_top_up(request: Request, desk: Desk) -> AutoTopUpChecked:
    """Look at an account now, as the job does."""
    _check.read(request).check()
    account, workspace = await account_named(request, desk), request.caller.workspace
    require_own(request.caller, account.id)
    looked = await desk.commerce.topping_up.look(workspace, account.id)
    if looked is None:
        raise not_found("account")
    standing = write_standing(account, looked.standing, looked.attempt, desk.now_us(), workspace.scale)
    return AutoTopUpChecked(**standing, asked=looked.asked, reason=looked.why or None)


_SETTINGS: Final[dict[str, Any]] = {
    "provider": "stripe", "threshold": "100", "offer": "assistant/pack-500", "amount": None, "cap_day": "1000",
    "cap_month": "5000", "enabled": True, "order": None, "cool_down_minutes": 60,
}  # fmt: skip
_ATTEMPT: Final[dict[str, Any]] = {
    "id": "tup_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f", "state": "pending", "provider": "stripe",
    "offer": "assistant/pack-500", "quantity": 1, "credits": "500", "amount": "9.00", "currency": "EUR",
    "payment": "pi_3P9xYz", "reason": None, "message": None, "url": None, "created_at": "2026-01-01T12:00:00.000000Z",
    "ended_at": None,
}  # fmt: skip
_VIEW: Final[dict[str, Any]] = {
    "account": "user_42", "state": "in_flight", "settings": _SETTINGS, "paused": None, "url": None, "failures": 0,
    "retry_at": None, "attempt": _ATTEMPT,
}  # fmt: skip
_PAUSED: Final[dict[str, Any]] = {
    "account": "user_42", "paused": "authentication_required", "paused_at": "2026-01-01T12:00:00.000000Z",
    "url": "https://checkout.stripe.com/c/pay/cs_live_a1b2c3",
}  # fmt: skip
_PATH: Final = "/v1/accounts/{account}/auto-top-up"
_NOBODY: Final = frozenset({"account_not_found"})


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path=_PATH,
        operation_id="showAutoTopUp",
        summary="An account's automatic top-up",
        description="What is set, how it stands, and what is under way.",
        scope="read",
        request=None,
        answer=AutoTopUpView,
        example={},
        answered=_VIEW,
        codes=_NOBODY,
        act=show_auto_top_up,
        own=True,
        parameters=(ACCOUNT,),
    ),
    Endpoint(
        method="PUT",
        path=_PATH,
        operation_id="putAutoTopUp",
        summary="Have an account topped up by itself",
        description="As a whole: what is left out is as it is by default. When a charge leaves the balance below the "
        "threshold, the provider is asked for one payment that closes the gap, by what the customer has paid with "
        "before; one at a time. The credits come with the provider's notification of the payment. An account that is "
        "below the threshold already is looked at now.",
        scope="admin",
        request=AutoTopUpRequest,
        answer=AutoTopUpChanged,
        example={"provider": "stripe", "threshold": "100", "offer": "assistant/pack-500", "cap_month": "5000"},
        answered={**TOLD, "auto_top_up": _SETTINGS},
        codes=_NOBODY | {"offer_not_found"},
        read=read_put,
        owner=sellable,
        write=write_changed,
        keyed=True,
        parameters=(ACCOUNT,),
    ),
    Endpoint(
        method="DELETE",
        path=_PATH,
        operation_id="removeAutoTopUp",
        summary="Buy nothing for an account by itself any more",
        description="Nothing is asked for from now on. What a provider was asked for before may still be paid, and is "
        "then credited.",
        scope="admin",
        request=RemoveAutoTopUpRequest,
        answer=AutoTopUpChanged,
        example={},
        answered={**TOLD, "auto_top_up": None},
        codes=_NOBODY,
        read=read_remove,
        write=write_changed,
        keyed=True,
        parameters=(ACCOUNT,),
    ),
    Endpoint(
        method="GET",
        path=f"{_PATH}/attempts",
        operation_id="listTopUpAttempts",
        summary="What was tried",
        description="Purchases for the account that nobody had to make, newest first, with those that failed.",
        scope="read",
        request=None,
        answer=Listed[TopUpAttempt],
        example={},
        answered=listed_example(_ATTEMPT),
        codes=_NOBODY | {"cursor_invalid"},
        act=list_attempts,
        own=True,
        parameters=(ACCOUNT, *PAGING),
    ),
    Endpoint(
        method="GET",
        path="/v1/auto-top-ups/paused",
        operation_id="listPausedTopUps",
        summary="Automatic top-ups that wait for somebody",
        description="Accounts for which nothing is bought until somebody resumes it, or what it waits for comes: by "
        "their ids, with why, since when, and where the customer can pay.",
        scope="read",
        request=None,
        answer=Listed[PausedTopUp],
        example={},
        answered=listed_example(_PAUSED),
        codes=frozenset({"cursor_invalid"}),
        act=list_paused,
        parameters=PAGING,
    ),
    Endpoint(
        path=f"{_PATH}/resume",
        operation_id="resumeAutoTopUp",
        summary="Go on after a pause",
        description="As if nothing had failed: after the customer has another card, or his payment was assigned.",
        scope="admin",
        request=ResumeAutoTopUpRequest,
        answer=AutoTopUpResumed,
        example={},
        answered={"account": "user_42", "state": "ready"},
        codes=_NOBODY,
        act=resume_auto_top_up,
        keyed=True,
        parameters=(ACCOUNT,),
    ),
    Endpoint(
        path=f"{_PATH}/check",
        operation_id="checkAutoTopUp",
        summary="Look at an account now",
        description="What the job does within seconds by itself: tops the account up if it is below its threshold and "
        "nothing speaks against it. Asking twice buys once.",
        scope="charge",
        request=CheckRequest,
        answer=AutoTopUpChecked,
        example={},
        answered={**_VIEW, "asked": True, "reason": None},
        codes=_NOBODY,
        act=check_auto_top_up,
        own=True,
        parameters=(ACCOUNT,),
    ),
)
