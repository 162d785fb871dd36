"""Accounts: opening, settings, and what time does to them (lapses and holds that end, booked in order of time).

Refusals, in order:
- open: account_exists
- settings: account_not_found, precondition_failed, invalid (an unknown time zone)
"""

from msgspec import UNSET
from msgspec.structs import replace

from .commands import SETTING_FIELDS, SetAccount
from .draft import Draft
from .holds import expire
from .outcomes import Refusal, Refused
from .records import Account
from .view import etag


def new_account(workspace: str, account: str, bucket: int) -> Account:
    """An account without a line; its opening is entry 1."""
    return Account(workspace, account, bucket)


def change_settings(c: SetAccount, d: Draft) -> Refused | None:
    """Change what is given; the rest stays."""
    if c.expected is not None and c.expected != etag(d.account.settings):
        return Refused(Refusal.PRECONDITION_FAILED)
    given = {name: getattr(c, name) for name in SETTING_FIELDS if getattr(c, name) is not UNSET}
    settings = replace(d.account.settings, **given)
    if settings.timezone != d.account.settings.timezone:
        try:
            d.context.calendar(d.at, settings.timezone)
        except LookupError:
            message = "must be the name of a time zone, such as Europe/Berlin"
            return Refused(Refusal.INVALID, {"field": "timezone", "message": message})
        # The spending of the old zone's day does not fit the new one's; the new day begins empty.
        d.account.window = None
    # After this point it must succeed.
    d.account.settings = settings
    d.body.settings = settings
    return None


def pass_time(d: Draft) -> None:
    """Book what has happened by `d.at`: free credits that lapsed, holds that ended; earliest first."""
    a = d.account
    hold_due = a.hold_due_at is not None and a.hold_due_at <= d.at
    if not hold_due and (a.lapse_at is None or a.lapse_at > d.at):
        return
    ending = _ending_holds(d) if hold_due else []
    until = d.at
    for hold_id in ending:
        hold = d.context.holds[hold_id]
        _book_lapses(d, hold.expires_at)
        d.at = max(a.at, hold.expires_at)
        expire(hold, d)
    _book_lapses(d, until)
    d.at = until
    if hold_due:
        a.hold_due_at = _next_hold_due(d)


def _ending_holds(d: Draft) -> list[str]:
    """Live holds that have ended by now, first end first."""
    context, owner = d.context, (d.account.workspace, d.account.id)
    due = [context.holds[i] for i in dict.fromkeys(context.due_holds.get(owner, ()))]
    ending = [h for h in due if h.state == "live" and h.expires_at <= d.at]
    return [h.id for h in sorted(ending, key=lambda h: (h.expires_at, h.id))]


def _next_hold_due(d: Draft) -> int | None:
    """No live hold ends before this: those that were loaded as due but have not ended yet, then the next one."""
    context, owner = d.context, (d.account.workspace, d.account.id)
    later = [context.holds[i] for i in context.due_holds.get(owner, ()) if i not in d.holds]
    ends = [h.expires_at for h in later if h.state == "live"]
    if owner in context.next_hold:
        ends.append(context.next_hold[owner])
    return min(ends, default=None)


def _book_lapses(d: Draft, until: int) -> None:
    a = d.account
    while a.lapse_at is not None and a.lapse_at <= until:
        at = a.lapse_at
        # Read from the row after each drop: positions stay, only `seal` takes empty grants out.
        for position, grant in enumerate(a.grants):
            gone = grant.remaining - grant.held
            if grant.expires_at is not None and grant.expires_at <= at and gone:
                d.drop(position, gone)
                d.lapse(gone)
        d.relapse = True
        d.seal("lapse", max(a.at, at))
