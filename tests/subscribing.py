"""Plans for tests, and a book whose accounts have them."""

from typing import Any

import msgspec

from farthing.core.commands import EndSubscription, Renew, Subscribe
from farthing.core.plans import Plan
from farthing.core.records import Entry
from farthing.core.refundable import read_body
from farthing.core.subscription import Subscription, end_key, renewal_key
from tests.support import START_US, UNIT, Book

DAY = 86_400_000_000


def plan(id: str = "pro", allowance: int = 100, **terms: Any) -> Plan:
    """A plan of 30 days, unless the test says otherwise; amounts in credits."""
    amounts = {"cap": terms.pop("cap") * UNIT} if "cap" in terms else {}
    return Plan(id=id, allowance=allowance * UNIT, **{"every": 30, **terms, **amounts})


def put_plan(book: Book, plan: Plan, archived_at: int | None = None) -> None:
    """As its row would stand."""
    row = ("main", plan.id, msgspec.json.encode(plan).decode(), START_US, START_US, archived_at)
    book.db.execute("insert or replace into plan values (?, ?, ?, ?, ?, ?)", row)


def after(entry: Entry) -> Subscription:
    """The subscription after an entry."""
    s = read_body(entry).subscription
    assert s is not None
    return s


def buy(plan: str = "pro", account: str = "alice", **terms: Any) -> Subscribe:
    return Subscribe(workspace="main", account=account, plan=plan, **terms)


def renewal(s: Subscription, account: str = "alice", **terms: Any) -> Renew:
    """The command for the period that comes next."""
    key = renewal_key(s.id, s.next_at)
    return Renew(workspace="main", account=account, subscription=s.id, period_at=s.next_at, key=key, **terms)


def ending(s: Subscription, account: str = "alice") -> EndSubscription:
    return EndSubscription(workspace="main", account=account, subscription=s.id, key=end_key(s.id))
