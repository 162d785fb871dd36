"""The order of refusals of what is asked of subscriptions: where several apply, the one that is documented first."""

import re
from typing import Any

import pytest
from msgspec.structs import replace

from farthing.core import commands as ask
from farthing.core import decide, renewals
from farthing.core.outcomes import Accepted, Refusal, Refused
from farthing.core.subscription import end_key, renewal_key
from tests.subscribing import DAY, after, buy, ending, plan, put_plan, renewal
from tests.support import START_US, UNIT, Book

R = Refusal
MET = {
    R.PLAN_NOT_FOUND, R.PLAN_ARCHIVED, R.SUBSCRIPTION_NOT_FOUND, R.SUBSCRIPTION_ENDED, R.SUBSCRIPTION_EXPIRED,
    R.SUBSCRIPTION_CHANGED, R.NOT_DUE, R.RENEWED_BY_PAYMENT,
}  # fmt: skip
DUE = START_US + 30 * DAY
Trouble = tuple[Refusal, dict[str, Any]]
NO_ROW: Trouble = (R.SUBSCRIPTION_NOT_FOUND, {"sql": "delete from subscription"})
NOBODY: Trouble = (R.ACCOUNT_NOT_FOUND, {"account": "nobody"})
OTHER: Trouble = (R.SUBSCRIPTION_CHANGED, {"subscription": "sub_0"})
ENDED: Trouble = (R.SUBSCRIPTION_ENDED, {"ended": True})
FULL: Trouble = (R.TOO_MANY_GRANTS, {"rules": '{"max_live_grants": 1}'})
LIMIT: Trouble = (R.BALANCE_LIMIT, {"limit": 100 * UNIT})
GONE: Trouble = (R.PLAN_NOT_FOUND, {"sql": "delete from plan"})
EXPIRED: Trouble = (R.SUBSCRIPTION_EXPIRED, {"bought": {"expires_at": DUE}})
CANCELED: Trouble = (R.INVALID, {"canceled": True, "bought": {"expires_at": DUE + DAY}})
ARCHIVED: Trouble = (R.PLAN_ARCHIVED, {"sql": "update plan set archived_at = 1"})

MOVED_ON: Trouble = (R.SUBSCRIPTION_CHANGED, {"seen": "sub_0:pro:0"})

# Alice has a plan of 30 days, bought at the start. A trouble may change what was bought, the books, or what is asked.
TABLES: list[tuple[str, int, list[Trouble]]] = [
    ("subscribe", START_US, [GONE, (R.INVALID, {"expires_at": START_US}), FULL, LIMIT]),
    ("subscribe", START_US, [ARCHIVED, MOVED_ON, (R.INVALID, {"next_at": DUE}), FULL]),
    (
        "renew",
        DUE,
        [
            NOBODY, OTHER, ENDED, GONE, (R.SUBSCRIPTION_EXPIRED, {"bought": {"expires_at": START_US + DAY}}),
            (R.RENEWED_BY_PAYMENT, {"bought": {"billed_by": "stripe"}}), FULL, LIMIT,
        ],
    ),
    ("renew", DUE, [NO_ROW, (R.RENEWED_BY_PAYMENT, {"bought": {"billed_by": "stripe"}}), FULL]),
    ("renew", DUE - 1, [(R.SUBSCRIPTION_CHANGED, {"period_at": DUE + 1}), (R.NOT_DUE, {"at": DUE}), FULL]),
    ("unsubscribe", START_US, [NOBODY, NO_ROW]),
    ("unsubscribe", START_US, [NOBODY, ENDED]),
    ("resume", DUE, [NOBODY, NO_ROW]),
    ("resume", DUE, [NOBODY, ENDED, EXPIRED, GONE]),
    ("change", DUE, [NOBODY, NO_ROW]),
    ("change", DUE, [NOBODY, ENDED, EXPIRED, CANCELED, GONE]),
    ("change", START_US, [ENDED, (R.PLAN_ARCHIVED, {"sql": "update plan set archived_at = 1 where id = 'basic'"})]),
    ("end", DUE, [NOBODY, OTHER, ENDED, (R.NOT_DUE, {"bought": {"expires_at": DUE + 1}, "at": DUE})]),
    ("end", DUE, [NO_ROW]),
]  # fmt: skip


def meet(kind: str, at: int, troubles: list[Trouble], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The outcome of what is asked with all these troubles there at once."""
    causes: dict[str, Any] = {}
    for _, cause in reversed(troubles):
        causes = {**causes, **cause}
    causes["bought"] = {k: v for _, cause in reversed(troubles) for k, v in cause.get("bought", {}).items()}
    if kind == "end":
        causes["bought"].setdefault("expires_at", DUE)
    book = Book()
    put_plan(book, plan())
    put_plan(book, plan("basic"))
    s = after(book.accept(buy(**causes["bought"])))
    if causes.get("canceled"):
        book.accept(ask.Unsubscribe(workspace="main", account="alice"))
    if causes.get("ended"):
        book.accept(ask.Unsubscribe(workspace="main", account="alice", at_once=True))
    for _, cause in troubles:
        if "sql" in cause:
            book.db.execute(cause["sql"])
    if "rules" in causes:
        book.db.execute("update workspace set settings = json_patch(settings, ?)", (causes["rules"],))
    # The time of the last cure holds: what is not due yet is cured by waiting.
    book.clock.set(at if any(code is R.NOT_DUE for code, _ in troubles) or kind != "renew" else max(at, DUE))
    command = asked(kind, causes, s.id, s.next_at)
    with monkeypatch.context() as patch:
        if "limit" in causes:
            patch.setattr(decide, "MAX_BALANCE", causes["limit"])
        rows = (book.entries(), book.count("subscription"))
        outcome = book.do(command)
    if isinstance(outcome, Refused):
        assert (book.entries(), book.count("subscription")) == rows, "a refusal leaves nothing"
    book.close()
    return outcome


def asked(kind: str, causes: dict[str, Any], id: str, period_at: int) -> ask.Command:
    who = {"workspace": "main", "account": causes.get("account", "alice")}
    id, period_at = causes.get("subscription", id), causes.get("period_at", period_at)
    if kind == "subscribe":
        dates = {name: causes[name] for name in ("expires_at", "next_at", "seen") if name in causes}
        return ask.Subscribe(**who, plan="pro", **dates)
    if kind == "renew":
        return ask.Renew(**who, subscription=id, period_at=period_at, key=renewal_key(id, period_at))
    if kind == "end":
        return ask.EndSubscription(**who, subscription=id, key=end_key(id))
    if kind == "change":
        return ask.ChangePlan(**who, plan="basic")
    return ask.Resume(**who) if kind == "resume" else ask.Unsubscribe(**who)


CASES = [
    pytest.param(kind, at, troubles[n:], id=f"{kind}{t}-{troubles[n][0] if n < len(troubles) else 'accepted'}")
    for t, (kind, at, troubles) in enumerate(TABLES)
    for n in range(len(troubles) + 1)
]


@pytest.mark.parametrize(("kind", "at", "troubles"), CASES)
def test_of_all_the_troubles_the_first_documented_one_is_told(kind, at, troubles, monkeypatch):
    outcome = meet(kind, at, troubles, monkeypatch)
    if troubles:
        assert isinstance(outcome, Refused), outcome
        assert outcome.code is troubles[0][0]
    else:
        assert isinstance(outcome, Accepted), outcome


def test_the_tables_are_what_the_docstring_says():
    text = re.sub(r"\n  +", " ", renewals.__doc__ or "")
    found = {
        kind: re.findall(r"\b(" + "|".join(Refusal) + r")\b", told)
        for kind, told in re.findall(r"^- ([a-z]+): (.*)$", text, re.MULTILINE)
    }
    for kind, order in found.items():
        tables = [[str(code) for code, _ in troubles] for name, _, troubles in TABLES if name == kind]
        for codes in tables:
            assert [code for code in order if code in codes] == codes, f"{kind}: {order}"
        assert {code for codes in tables for code in codes} == set(order), kind


def test_every_refusal_of_subscriptions_is_met():
    assert {code for _, _, troubles in TABLES for code, _ in troubles} >= MET


def test_a_renewal_under_any_other_key_is_ill_formed(book):
    put_plan(book, plan())
    s = after(book.accept(buy()))
    renew = ask.Renew(workspace="main", account="alice", subscription=s.id, period_at=s.next_at, key="v1:mine")
    for command in (
        renew,
        replace(renew, key=None),
        ask.EndSubscription(workspace="main", account="alice", subscription=s.id),
    ):
        refused = book.refuse(command)
        assert (refused.code, refused.facts["field"]) == (R.INVALID, "key")


def test_a_refusal_is_never_recorded_under_the_key_of_a_period_which_all_others_use_as_well(book):
    put_plan(book, plan())
    s = after(book.accept(buy()))
    for command in (renewal(s), ending(s)):
        refused = book.refuse(replace(command, final=True))
        assert (refused.code, refused.facts["field"]) == (R.INVALID, "final")
    book.clock.set(s.next_at)
    book.accept(renewal(s))
