"""Decide: (command, what the books say) -> outcome. Pure; the one door through which a balance changes.

The order is the same for every command: well-formed? key used before? payment claimed before? account there? Then
what time has done meanwhile, then the rules of the kind (each names its refusals in its own file), then the entry is
sealed. A refusal leaves nothing behind, unless the command asks for it to be recorded (`final`).
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from msgspec import UNSET, Struct, json

from .accounts import change_settings, new_account, pass_time
from .amounts import MAX_BALANCE
from .auto_top_up import falls_below, is_set_anew
from .charges import refund, take_charge
from .clawbacks import close_dispute, open_dispute, take_back
from .commands import (
    ADMINISTRATIVE,
    CLAIMS,
    FIRST_SETTINGS,
    LATER_SETTINGS,
    NAMES_HOLD,
    Adjust,
    ChangePlan,
    CloseDispute,
    Command,
    CreateAccount,
    EndSubscription,
    Extend,
    GiveGrant,
    Import,
    Invalid,
    Lapse,
    OpenDispute,
    PlaceHold,
    Refund,
    Release,
    Renew,
    Resume,
    SetAccount,
    SetBalance,
    Settle,
    Subscribe,
    TakeBack,
    TakeCharge,
    Unsubscribe,
    Void,
    check,
)  # fmt: skip
from .context import Context
from .draft import Draft, fingerprint
from .grants import adjust, grant, set_balance, void
from .holds import DISPUTE, extend, place, release, settle
from .ids import bucket_of
from .imports import bring
from .notices import spend_limit_reached, tell
from .outcomes import Accepted, Outcome, Refusal, Refused
from .records import Account, Audit, Body, Entry, Event, PaymentClaim, SessionEnd, SessionStart, StreamSession, TopUpDue
from .refundable import read_body
from .renewals import change, end, renew, resume, subscribe, unsubscribe
from .usage import Metered, Usage
from .used import out_of_time, usage_record

# Tuples that are made once: a union of types written where it is needed is put together each time.
_OPEN: Final = (CreateAccount, Subscribe, Import)
_USE: Final = (TakeCharge, Settle, PlaceHold)
_HOLD_OR_SETTLE: Final = (PlaceHold, Settle)
_GOES_BACK: Final = (TakeBack, CloseDispute)


def _nothing(c: Any, d: Draft) -> Refused | None:
    return None


RULES: dict[type[Command], Callable[[Any, Draft], Refused | None]] = {
    TakeCharge: take_charge,
    PlaceHold: place,
    Settle: settle,
    Release: release,
    Extend: extend,
    GiveGrant: grant,
    Refund: refund,
    Void: void,
    TakeBack: take_back,
    OpenDispute: open_dispute,
    CloseDispute: close_dispute,
    Adjust: adjust,
    SetBalance: set_balance,
    Import: bring,
    SetAccount: change_settings,
    CreateAccount: _nothing,
    Subscribe: subscribe,
    Renew: renew,
    Unsubscribe: unsubscribe,
    Resume: resume,
    ChangePlan: change,
    EndSubscription: end,
    Lapse: _nothing,
}


def decide(c: Command, context: Context) -> Outcome:
    """What comes of a command; nothing is changed but what the outcome carries."""
    wrong = check(c)
    return malformed(wrong) if wrong else decide_well_formed(c, context)


def malformed(wrong: Invalid) -> Refused:
    """What comes of a command in which `check` has found something wrong."""
    return Refused(Refusal.INVALID, {"field": wrong.field, "message": wrong.message})


def decide_well_formed(c: Command, context: Context) -> Outcome:
    """What comes of a command that has passed `check`: for who has to know that before he decides."""
    if not c.account:
        # Named by a hold alone, which the store did not find in this workspace.
        return Refused(Refusal.HOLD_NOT_FOUND, {"hold": getattr(c, "hold", "")})
    if done := context.done.get(c.id):
        return _first_answer(done, replayed=False)
    if c.workspace not in context.workspaces:
        return Refused(Refusal.INVALID, {"field": "workspace", "message": "there is no such workspace"})
    if c.key is not None and (first := context.keys.get((c.workspace, c.account, c.key))):
        return _repeat(c, first, context)
    if isinstance(c, CLAIMS) and c.claim and (claimed := _claimed(c, context)):
        return claimed
    account = context.accounts.get((c.workspace, c.account))
    if account is None:
        if not (isinstance(c, _OPEN) or (isinstance(c, GiveGrant) and not c.must_exist)):
            return Refused(Refusal.ACCOUNT_NOT_FOUND, {"account": c.account})
        account = new_account(c.workspace, c.account, bucket_of(c.workspace, c.account))
    elif isinstance(c, CreateAccount):
        return Refused(Refusal.ACCOUNT_EXISTS, {"account": c.account})
    return _decide_on(account, c, context)


def _decide_on(account: Any, c: Command, context: Context) -> Outcome:
    d = Draft(account, c, context)
    if account.number == 0 and not isinstance(c, CreateAccount):
        d.seal("open")
    pass_time(d)
    if isinstance(c, Lapse):
        return _accept(d, None)
    metered: Metered | None = getattr(c, "usage", None)
    if metered is not None and (late := out_of_time(metered, d)):
        return late
    refused = RULES[type(c)](c, d) or _too_large(d)
    if refused:
        return _refuse(refused, account, d)
    return _accept(d, None if context.only_asked else _seal(c, d))


def _seal(c: Command, d: Draft) -> Entry:
    operation = c.operation
    if not operation and isinstance(c, NAMES_HOLD):
        operation = d.holds[c.hold].operation
    elif isinstance(c, OpenDispute):
        operation = DISPUTE
    if c.asked:
        d.body.asked = c.asked
    if isinstance(c, CLAIMS) and c.claim:
        d.records.append(PaymentClaim(c.workspace, *c.claim, c.account, c.id, d.at))
    if isinstance(c, _USE) and c.usage is not None:
        d.body.usage = c.usage
        if not isinstance(c, PlaceHold):
            d.records.append(usage_record(c, c.usage, operation, d))
    if isinstance(c, _HOLD_OR_SETTLE) and c.session is not None:
        d.records.append(_session(c, c.session, d))
    mark = content_mark(c, d.context) if c.key is not None else None
    return d.seal(c.kind, id=c.id, key=c.key, own=True, fingerprint=mark, operation=operation)


def _session(c: PlaceHold | Settle, s: StreamSession, d: Draft) -> SessionStart | SessionEnd:
    """The row of a streaming session that begins or ends with this command."""
    a = d.account
    if isinstance(c, Settle):
        return SessionEnd(a.workspace, a.id, a.bucket, s.name, d.at, s.failed)
    assert d.body.hold is not None, "what placing a hold has written"
    return SessionStart(a.workspace, a.id, a.bucket, s.name, d.body.hold.id, s.model, s.estimated, d.at)


def _accept(d: Draft, entry: Entry | None) -> Accepted:
    c = d.command
    # A lapse always says when the next is due: its row on the table may be older than the account's.
    if due := d.due(always=isinstance(c, Lapse)):
        d.records.append(due)
    if entry is not None and c.kind in ADMINISTRATIVE:
        d.records.append(_audit(c, entry, d))
    if d.account.settings.auto_top_up is not None or isinstance(c, SetAccount):
        _look_at_top_up(d)
    accepted = Accepted(
        entry, d.account, d.entries, list(d.holds.values()), list(d.charges.values()), list(d.grants.values()), d.gone,
        d.records,
    )  # fmt: skip
    if c.records:
        d.records.extend(record for record in c.records if not isinstance(record, Event))
        accepted.events.extend(record for record in c.records if isinstance(record, Event))
    workspace = d.context.workspaces[c.workspace]
    if workspace.told and not d.context.only_asked:
        tell(accepted, d, workspace)
    return accepted


def _look_at_top_up(d: Draft) -> None:
    """Have the account looked at where it has just fallen below its threshold, or been set anew."""
    a, c = d.account, d.command
    s, known = a.settings, d.context.accounts.get((c.workspace, c.account))
    if isinstance(c, SetAccount):
        look = is_set_anew(known.settings.auto_top_up if known else None, s.auto_top_up, a.balance, s.frozen)
    else:
        assert s.auto_top_up is not None, "the caller has seen it"
        look = not s.frozen and falls_below(s.auto_top_up, known.balance if known else 0, a.balance)
    if look:
        d.records.append(TopUpDue(a.workspace, a.id, a.bucket, d.at))


def _audit(c: Command, entry: Entry, d: Draft) -> Audit:
    """Who did it, and the account before and after; why he did stands on the entry, as its description."""
    detail: dict[str, Any] = {"kind": c.kind, "amount": entry.amount}
    if c.role:
        detail["role"] = c.role
    before = d.context.accounts.get((c.workspace, c.account))
    detail["before"] = None if before is None else _standing(before)
    detail["after"] = _standing(d.account)
    return Audit(c.workspace, d.at, c.actor, c.request_id, f"account.{c.kind}", c.account, c.id, detail)


def _standing(a: Account) -> dict[str, Any]:
    return {"balance": a.balance, "held": a.held, "debt": a.debt, "settings": a.settings}


def _too_large(d: Draft) -> Refused | None:
    # Spelled out: a loop over the six costs four times as much, on every charge.
    a, most = d.account, MAX_BALANCE
    if (
        -most < a.balance < most
        and a.held < most
        and a.debt < most
        and -most < a.earned < most
        and -most < a.spent < most
        and -most < a.written_off < most
    ):
        return None
    return Refused(Refusal.BALANCE_LIMIT, {"limit": MAX_BALANCE})


def _refuse(refused: Refused, account: Account, d: Draft) -> Refused:
    """A refusal; and what has to be saved all the same: its record under its key, that a spend limit was reached."""
    c, context = d.command, d.context
    if c.final and c.key:
        refused = _record(refused, account, c, context)
    if refused.code == Refusal.SPEND_LIMIT and not context.only_asked:
        if refused.accepted is None:
            refused.accepted = Accepted(None, account)
        spend_limit_reached(refused, refused.accepted, d, context.workspaces[c.workspace])
    return refused


def _record(refused: Refused, account: Any, c: Command, context: Context) -> Refused:
    """Put a refusal in the books under its key: an entry of 0 that a repeat finds."""
    if account.number == 0:
        return refused
    d = Draft(account, c, context)
    pass_time(d)
    d.body.refused = {"code": str(refused.code), "facts": refused.facts}
    mark = content_mark(c, context)
    entry = d.seal("refusal", id=c.id, key=c.key, own=True, fingerprint=mark, operation=c.operation)
    return Refused(refused.code, refused.facts, entry, accepted=_accept(d, entry))


# Keys


class Content(NamedTuple):
    """What makes two commands the same under one key: what was asked for, not what it cost or when."""

    kind: str
    amount: Any
    operation: str
    ref: str | None = None
    source: dict[str, str] | None = None


def content(c: Any, context: Context) -> Content:
    """The content of a command."""
    amount = c.asked or getattr(c, "amount", None)
    metered = getattr(c, "usage", None)
    if metered is not None and not metered.given:
        ref = getattr(c, "hold", None)
        return Content(c.kind, _as_sent(metered.usage), c.operation, ref)
    if isinstance(c, _GOES_BACK):
        return Content(c.kind, c.total, "", c.grant)
    if isinstance(c, NAMES_HOLD):
        if isinstance(c, Extend):
            amount = [c.raise_by, c.metered, c.expires_at]
        elif amount is None and isinstance(c, Settle) and c.last and (hold := context.holds.get(c.hold)):
            # To leave the amount out is to ask for what was set aside. (Of a hold that lives on that may change.)
            amount = hold.amount
        return Content(c.kind, amount, c.operation, c.hold)
    if isinstance(c, GiveGrant):
        return Content(c.kind, amount, c.operation, None, c.source)
    if isinstance(c, Import):
        amounts = [c.granted, c.remaining, c.owed, c.credited]
        terms = [c.category, c.priority, c.expires_at, c.given_at, c.scope, c.claim]
        return Content(c.kind, [*amounts, *terms], "", None, c.source)
    if isinstance(c, Subscribe):
        return Content(c.kind, c.billed_by, c.operation, c.plan)
    if isinstance(c, ChangePlan):
        return Content(c.kind, None, c.operation, c.plan)
    if isinstance(c, Renew | EndSubscription):
        # Their keys say all: whoever asks, and however, asks for the same.
        return Content(c.kind, None, "", c.subscription)
    if isinstance(c, SetBalance):
        amount = [amount, c.mode]
    elif isinstance(c, Unsubscribe):
        amount = c.at_once
    elif isinstance(c, SetAccount):
        amount = [str(getattr(c, field)) for field in FIRST_SETTINGS]
        # Only where they are given: keys that were used before there were such things stay good.
        amount += [f"{field}={_lean(value)}" for field in LATER_SETTINGS if (value := getattr(c, field)) is not UNSET]
    return Content(c.kind, amount, c.operation, getattr(c, "charge", None) or getattr(c, "grant", None))


def _lean(value: Any) -> Any:
    """A setting without what it has by default: parts that come to it later must not make another content of it."""
    return json.encode(value).decode() if isinstance(value, Struct) else value


def _as_sent(usage: Usage) -> list[Any]:
    """A usage but for its time, whatever the order of its parts."""
    words = [usage.provider, usage.model, usage.service, usage.product, usage.chat]
    return [sorted(usage.dimensions.items()), sorted(usage.attributes.items()), words]


def content_mark(c: Command, context: Context) -> bytes:
    """The fingerprint of that content."""
    if type(c) is TakeCharge and c.usage is None:  # the common one, spared the way round
        return fingerprint(c.workspace, c.account, c.kind, c.asked or c.amount, c.operation, None, None)
    return fingerprint(c.workspace, c.account, *content(c, context))


def _repeat(c: Command, first: Entry, context: Context) -> Outcome:
    """The first answer again, or a conflict that names what differs."""
    if content_mark(c, context) != first.fingerprint:
        return Refused(Refusal.KEY_CONFLICT, {"key": c.key, "entry": first.id, "differs": _differs(c, first, context)})
    return _first_answer(first, replayed=True)


def _first_answer(first: Entry, *, replayed: bool) -> Outcome:
    """What was told when the entry was written, which may have been a refusal."""
    if first.kind == "refusal":
        refused = read_body(first).refused or {}
        return Refused(Refusal(refused["code"]), refused["facts"], first, replayed=replayed)
    return Accepted(first, replayed=replayed)


def _differs(c: Command, first: Entry, context: Context) -> list[str]:
    """Names what differs, as far as the entry tells; `content` where it does not."""
    if first.kind == "refusal":
        # It tells why it was refused, not what was asked.
        return ["content"]
    if c.kind != first.kind:
        return ["kind"]
    body, asked = read_body(first), content(c, context)
    names = []
    if body.usage is not None and not body.usage.given and isinstance(asked.amount, list):
        if _as_sent(body.usage.usage) != asked.amount:
            names.append("usage")
    else:
        known = body.asked or _amount_of(first, body)
        if known is not None and str(known) != str(asked.amount):
            names.append("amount")
    if not isinstance(c, NAMES_HOLD) and first.operation != asked.operation:
        names.append("operation")
    if asked.ref is not None and body.ref != asked.ref:
        names.append("ref")
    if isinstance(c, GiveGrant) and body.grants and body.grants[0].source != asked.source:
        names.append("source")
    return names or ["content"]


def _amount_of(entry: Entry, body: Body) -> int | None:
    if entry.kind in ("charge", "settle"):
        return body.spent + body.unpaid
    if entry.kind == "hold" and body.hold:
        return body.hold.amount
    if entry.kind == "grant":
        return body.grants[0].amount
    return entry.amount if entry.kind == "adjust" else None


def _claimed(c: GiveGrant | Subscribe | Renew | Import, context: Context) -> Outcome | None:
    assert c.claim is not None
    known = context.claims.get((c.workspace, *c.claim))
    if known is None:
        return None
    of_another_kind = isinstance(c, Subscribe | Renew) and read_body(known.entry).subscription is None
    if known.claim.account != c.account or of_another_kind:
        return Refused(Refusal.PAYMENT_CLAIMED, {"payment": ":".join(c.claim), "entry": known.entry.id})
    return Accepted(known.entry, replayed=True)
