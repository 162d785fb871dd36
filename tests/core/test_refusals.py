"""The order of refusals of every command: where several apply, the one that is documented first is told.

Each table below is a situation in which all its troubles are there at once. They are cured one after another, from the
first to the last: each time the next one is told, and with none left the command is accepted.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from farthing.core import accounts, charges, decide, grants, holds
from farthing.core import commands as ask
from farthing.core.checkpoint import Closed, Seal, write_closed
from farthing.core.outcomes import Accepted, Refusal, Refused
from farthing.core.records import AccountSettings, Entry, Workspace, WorkspaceSettings
from farthing.core.view import etag
from tests.core.test_subscription_refusals import MET as OF_SUBSCRIPTIONS
from tests.support import START_US, UNIT, Book, grant_id, hold_id

ALICE: dict[str, Any] = {"workspace": "main", "account": "alice"}
MINUTE = 60_000_000
R = Refusal


@dataclass
class Situation:
    """The command that will be asked, and what is done to the books before."""

    kind: type[ask.Command]
    fields: dict[str, Any]
    rules: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    before: list[Callable[[Book, "Situation"], None]] = field(default_factory=list)
    limit: int | None = None
    """Stands in for the largest balance."""
    granted: Entry | None = None
    charged: Entry | None = None
    held: Entry | None = None


Trouble = tuple[Refusal, Callable[[Situation], Any]]


def put(**fields: Any) -> Callable[[Situation], None]:
    """Trouble that lies in the command's own fields."""
    return lambda s: s.fields.update(fields)


def setting(**fields: Any) -> Callable[[Situation], None]:
    """Trouble that lies in the account's settings."""
    return lambda s: s.settings.update(fields)


def rule(**fields: Any) -> Callable[[Situation], None]:
    """Trouble that lies in the workspace's rules."""
    return lambda s: s.rules.update(fields)


def first(act: Callable[[Book, Situation], Any]) -> Callable[[Situation], None]:
    """Trouble that lies in what happened before."""
    return lambda s: s.before.append(act)


def limit(largest: int) -> Callable[[Situation], None]:
    """Trouble that lies in a sum that grows too large."""

    def lower(s: Situation) -> None:
        s.limit = largest

    return lower


def end_the_hold(book: Book, s: Situation) -> None:
    book.accept(ask.Release(**ALICE, hold=s.fields["hold"]))


def void_the_grant(book: Book, s: Situation) -> None:
    book.accept(ask.Void(**ALICE, grant=s.fields["grant"]))


def archive_everything(book: Book, s: Situation) -> None:
    """As retention leaves it when nothing lives on: see `tests/retention`."""
    row = book.row()
    state = write_closed(Closed(row, "ent_" + "0" * 32, [], [], [], [], None, Seal(), Seal()))
    values = (row.workspace, row.id, row.bucket, row.number, "", row.at, row.at, row.head, "", row.at, state)
    book.db.execute("insert into checkpoint values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


NOBODY: Trouble = (R.ACCOUNT_NOT_FOUND, put(account="nobody"))
FROZEN: Trouble = (R.FROZEN, setting(frozen=True))
LIMITED: Trouble = (R.SPEND_LIMIT, setting(spend_limit_day=12 * UNIT))
OVER: Trouble = (R.INVALID, put(expires_at=START_US))
TOO_MANY: Trouble = (R.TOO_MANY_GRANTS, rule(max_live_grants=1))
NO_HOLD: Trouble = (R.HOLD_NOT_FOUND, put(hold="hold_" + "0" * 32))
ENDED: Trouble = (R.HOLD_ENDED, first(end_the_hold))

# The books before: alice has 100 credits, of which 5 were charged and 10 are held.
TABLES: list[tuple[str, type[ask.Command], dict[str, Any], list[Trouble]]] = [
    (
        "charge",
        ask.TakeCharge,
        {"amount": UNIT},
        [NOBODY, FROZEN, LIMITED, (R.INSUFFICIENT_CREDITS, put(amount=86 * UNIT))],
    ),
    (
        "charge",
        ask.TakeCharge,
        {"amount": UNIT, "shortfall": "debt"},
        [NOBODY, FROZEN, LIMITED, (R.BALANCE_LIMIT, lambda s: (put(amount=600 * UNIT)(s), limit(500 * UNIT)(s)))],
    ),
    ("refund", ask.Refund, {"charge": "its own"}, [NOBODY, (R.CHARGE_NOT_FOUND, put(charge="ent_" + "0" * 32))]),
    (
        "refund",
        ask.Refund,
        {"charge": "its own"},
        [NOBODY, (R.CHARGE_ARCHIVED, first(archive_everything)), (R.REFUND_TOO_LARGE, put(amount=6 * UNIT))],
    ),
    ("refund", ask.Refund, {"amount": UNIT}, [NOBODY, (R.REFUND_TOO_LARGE, put(amount=6 * UNIT))]),
    (
        "grant",
        ask.GiveGrant,
        {"amount": UNIT},
        [
            (R.ACCOUNT_NOT_FOUND, put(account="nobody", must_exist=True)),
            OVER,
            TOO_MANY,
            (R.BALANCE_LIMIT, limit(100 * UNIT)),
        ],
    ),
    (
        "void",
        ask.Void,
        {"grant": "its own"},
        [NOBODY, (R.GRANT_NOT_FOUND, put(grant="grt_" + "0" * 32))],
    ),
    (
        "void",
        ask.Void,
        {"grant": "its own"},
        [NOBODY, (R.GRANT_ENDED, first(void_the_grant)), (R.GRANT_ARCHIVED, first(archive_everything))],
    ),
    ("void", ask.Void, {"grant": "its own"}, [NOBODY, (R.BALANCE_LIMIT, limit(90 * UNIT))]),
    (
        "adjust",
        ask.Adjust,
        {"amount": UNIT},
        [NOBODY, OVER, TOO_MANY, (R.BALANCE_LIMIT, limit(100 * UNIT))],
    ),
    ("adjust", ask.Adjust, {"amount": -UNIT}, [NOBODY, (R.INSUFFICIENT_CREDITS, put(amount=-86 * UNIT))]),
    (
        "set",
        ask.SetBalance,
        {"amount": 200 * UNIT, "mode": "replace"},
        [NOBODY, OVER, TOO_MANY, (R.BALANCE_LIMIT, limit(200 * UNIT))],
    ),
    (
        "set",
        ask.SetBalance,
        {"amount": 200 * UNIT, "mode": "difference"},
        [NOBODY, OVER, TOO_MANY, (R.BALANCE_LIMIT, limit(200 * UNIT))],
    ),
    (
        "hold",
        ask.PlaceHold,
        {"amount": UNIT, "ttl": MINUTE},
        [
            NOBODY,
            FROZEN,
            (R.TOO_MANY_HOLDS, rule(max_live_holds=1)),
            (R.HOLD_TOO_LONG, put(ttl=43_201 * MINUTE)),
            LIMITED,
            (R.INSUFFICIENT_CREDITS, put(amount=86 * UNIT)),
        ],
    ),
    (
        "extend",
        ask.Extend,
        {"hold": "its own", "raise_by": UNIT},
        [
            NOBODY,
            NO_HOLD,
            FROZEN,
            OVER,
            (R.METERED_INVALID, put(metered=500 * UNIT)),
            LIMITED,
            (R.INSUFFICIENT_CREDITS, put(raise_by=86 * UNIT)),
        ],
    ),
    (
        "extend",
        ask.Extend,
        {"hold": "its own", "raise_by": UNIT},
        [
            ENDED,
            FROZEN,
            (R.HOLD_TOO_LONG, put(expires_at=START_US + 43_201 * MINUTE)),
            (R.METERED_INVALID, put(metered=500 * UNIT)),
            LIMITED,
            (R.INSUFFICIENT_CREDITS, put(raise_by=86 * UNIT)),
        ],
    ),
    (
        "settle",
        ask.Settle,
        {"hold": "its own", "amount": 11 * UNIT},
        [NOBODY, NO_HOLD, FROZEN, LIMITED, (R.INSUFFICIENT_CREDITS, put(amount=96 * UNIT))],
    ),
    (
        "settle",
        ask.Settle,
        {"hold": "its own", "amount": 11 * UNIT},
        [ENDED, FROZEN, LIMITED, (R.INSUFFICIENT_CREDITS, put(amount=96 * UNIT))],
    ),
    (
        "settle",
        ask.Settle,
        {"hold": "its own", "amount": UNIT, "shortfall": "debt"},
        [(R.BALANCE_LIMIT, lambda s: (put(amount=600 * UNIT)(s), limit(500 * UNIT)(s)))],
    ),
    ("release", ask.Release, {"hold": "its own"}, [NOBODY, NO_HOLD]),
    ("release", ask.Release, {"hold": "its own"}, [ENDED]),
    (
        "settings",
        ask.SetAccount,
        {"frozen": True},
        [
            NOBODY,
            (R.PRECONDITION_FAILED, put(expected=etag(AccountSettings(allowance=1)))),
            (R.INVALID, put(timezone="Nowhere/Land")),
        ],
    ),
    ("open", ask.CreateAccount, {"account": "new"}, [(R.ACCOUNT_EXISTS, put(account="alice"))]),
    ("lapse", ask.Lapse, {}, [NOBODY]),
]


def meet(kind: type[ask.Command], fields: dict[str, Any], troubles: list[Trouble], monkeypatch: Any) -> Any:
    """The outcome of a command in that situation."""
    s = Situation(kind, {**ALICE, **fields})
    for _, cause in troubles:
        cause(s)
    book = Book(workspaces=[Workspace("main", "Main", "live", "credits", 6, START_US, WorkspaceSettings())])
    s.granted = book.accept(ask.GiveGrant(**ALICE, amount=100 * UNIT))
    s.charged = book.accept(ask.TakeCharge(**ALICE, amount=5 * UNIT))
    s.held = book.accept(ask.PlaceHold(**ALICE, amount=10 * UNIT, ttl=60 * MINUTE))
    own = {"hold": hold_id(s.held), "charge": s.charged.id, "grant": grant_id(s.granted)}
    for name, value in s.fields.items():
        if value == "its own":
            s.fields[name] = own[name]
    for act in s.before:
        act(book, s)
    if s.settings:
        book.accept(ask.SetAccount(**ALICE, **s.settings))
    book.db.execute("update workspace set settings = json_patch(settings, ?)", (_json(s.rules),))
    with monkeypatch.context() as patch:
        if s.limit is not None:
            patch.setattr(decide, "MAX_BALANCE", s.limit)
        entries, account = book.entries(), book.row()
        outcome = book.do(kind(**s.fields))
    if isinstance(outcome, Refused):
        assert book.entries() == entries, "a refusal leaves no entry"
        assert book.row() == account, "and no trace on the account"
    book.close()
    return outcome


def _json(rules: dict[str, Any]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in rules.items()) + "}"


CASES = [
    pytest.param(kind, fields, troubles[n:], id=f"{name}{t}-{troubles[n][0] if n < len(troubles) else 'accepted'}")
    for t, (name, kind, fields, troubles) in enumerate(TABLES)
    for n in range(len(troubles) + 1)
]


@pytest.mark.parametrize(("kind", "fields", "troubles"), CASES)
def test_of_all_the_troubles_the_first_documented_one_is_told(kind, fields, troubles, monkeypatch):
    outcome = meet(kind, fields, troubles, monkeypatch)
    if troubles:
        assert isinstance(outcome, Refused), outcome
        assert outcome.code is troubles[0][0]
    else:
        assert isinstance(outcome, Accepted), outcome


def documented() -> dict[str, list[str]]:
    """Kind -> its refusals in the order that the rules' docstrings give."""
    found = {}
    for module in (charges, grants, holds, accounts):
        assert module.__doc__
        text = re.sub(r"\n  +", " ", module.__doc__)
        for kind, told in re.findall(r"^- ([a-z]+): (.*)$|$^", text, re.MULTILINE):
            if kind:
                found[kind] = re.findall(r"\b(" + "|".join(Refusal) + r")\b", told)
    return found


def test_the_tables_are_what_the_docstrings_say():
    tables: dict[str, list[list[str]]] = {}
    for name, _, _, troubles in TABLES:
        tables.setdefault(name, []).append([str(code) for code, _ in troubles])
    assert documented().keys() == tables.keys() - {"lapse"}
    for kind, order in documented().items():
        for codes in tables[kind]:
            assert [code for code in order if code in codes] == codes, f"{kind}: {order}"
        assert {code for codes in tables[kind] for code in codes} == set(order), kind


# Before the rules of the kind: well-formed, workspace, key, claim


def test_the_common_checks_come_first_in_the_order_that_decide_says(book):
    """An ill-formed grant, in no workspace, with a used key, for a claimed payment, already over: cured one by one."""
    book.accept(ask.GiveGrant(**ALICE, amount=1, key="used", claim=("shop", "p1")))
    book.accept(ask.GiveGrant(workspace="main", account="bob", amount=1))
    fields: dict[str, Any] = {
        "workspace": "none", "account": "bob", "amount": 0, "expires_at": 1, "key": "used", "claim": ("shop", "p1"),
    }  # fmt: skip
    book.accept(ask.GiveGrant(workspace="main", account="bob", amount=2, key="used"))
    told = []
    for cure in ({"amount": 1}, {"workspace": "main"}, {"key": "new"}, {"claim": ("shop", "p2")}, {"expires_at": None}):
        outcome = book.refuse(ask.GiveGrant(**fields))
        told.append((str(outcome.code), outcome.facts.get("field")))
        fields.update(cure)
    assert told == [
        ("invalid", "amount"),
        ("invalid", "workspace"),
        ("key_conflict", None),
        ("payment_claimed", None),
        ("invalid", "expires_at"),
    ]
    book.accept(ask.GiveGrant(**fields))


def test_every_refusal_is_met_in_these_tests():
    met = {code for _, _, _, troubles in TABLES for code, _ in troubles}
    assert met | {R.KEY_CONFLICT, R.PAYMENT_CLAIMED} | OF_SUBSCRIPTIONS == set(Refusal)
