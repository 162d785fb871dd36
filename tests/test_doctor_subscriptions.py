"""Doctor holds subscriptions against the entries on both databases, and a rebuild makes their rows again."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from farthing.clock import FakeClock
from farthing.core.draft import entry_hash
from farthing.core.invariants import Books
from farthing.core.records import Entry
from farthing.core.refundable import read_body
from farthing.doctor import examine
from farthing.rebuild import rebuild
from farthing.stores.schema import Place, is_postgres
from farthing.timezones import calendar
from tests.jobs.subscribers import ALL, Club
from tests.subscribing import DAY, buy, plan, put_plan, renewal
from tests.subscribing import after as after_of
from tests.support import START_US, Book

Tamper = Callable[[str], None]


@pytest.fixture(params=["sqlite", "postgres"])
def club(request: pytest.FixtureRequest, tmp_path: Any) -> Club:
    clock = FakeClock(START_US)
    if request.param == "sqlite":
        return Club(f"sqlite:///{tmp_path / 'club.db'}", clock)
    return Club(request.getfixturevalue("postgres_url"), clock)


@pytest.fixture
def place(club: Club) -> Place:
    """Two accounts with subscriptions, one of them renewed, and one without."""

    async def made() -> Place:
        await club.begin(plan())
        await club.subscribe("alice")
        club.clock.advance(us=30 * DAY)
        await club.renewals.run(ALL)
        await club.subscribe("bob")
        place = club.place()
        await club.ledger.aclose()
        return place

    return asyncio.run(made())


def execute(place: Place, sql: str) -> None:
    """Tamper with it."""
    if is_postgres(place):
        from farthing.stores.postgres_sync import SyncConnection

        db = SyncConnection(str(place))
        db.execute(sql)
        db.close()
        return
    from farthing.stores import sqlite

    sqlite_db = sqlite.connect(str(place))
    sqlite_db.execute(sql)
    sqlite_db.close()


def found(place: Place) -> list[str]:
    return [f"{each.law} {each.account}: {each.sentence}" for each in examine(place).findings]


def test_nothing_is_found_where_nothing_is_wrong(place):
    assert found(place) == []


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("update subscription set next_at = next_at + 1 where account = 'alice'", "the columns of subscription"),
        (
            "update subscription set terms = replace(terms, '\"periods\":2', '\"periods\":1') where account = 'alice'",
            "is",
        ),
        ("delete from subscription where account = 'alice'", "has no row"),
    ],
)
def test_a_row_that_is_not_what_the_entries_say_is_told_and_made_again(place, sql, said):
    execute(place, sql)
    (sentence,) = found(place)
    assert sentence.startswith("5 alice: ")
    assert said in sentence
    assert rebuild(place, "main", "alice", apply=True).applied
    assert found(place) == []


def test_a_row_that_no_entry_explains_is_told_and_taken_away(place):
    columns = "workspace, {account}, {bucket}, {id}, plan, billed_by, next_at, terms"
    into = columns.format(account="account", bucket="bucket", id="id")
    execute(place, "delete from subscription where account = 'bob'")
    of_alice = columns.format(account="'carol'", bucket="bucket", id="'sub_x'")
    execute(place, f"insert into subscription ({into}) select {of_alice} from subscription where account = 'alice'")
    said = found(place)
    assert any("bob" in each and "has no row" in each for each in said)
    assert any("carol: it has a subscription, but no row" in each for each in said)


def test_marks_of_who_renews_are_nothing_to_doctor(place):
    execute(place, "update subscription set claimed_until = 5, retry_at = 7")
    assert found(place) == []


# What entries may not say


def tampered(change: Callable[[Entry, Any], None]) -> list[str]:
    """What replaying says of the books of an account whose last entry, a renewal, is another."""
    book = Book()
    put_plan(book, plan())
    s = after_of(book.accept(buy()))
    book.clock.set(s.next_at)
    book.accept(renewal(s))
    *before, last = book.entries()
    books = Books("main", "alice", calendar, lambda id: None)
    problems = [str(p) for entry in before for p in books.add(entry)]
    body = read_body(last)
    change(last, body)
    last.body = msgspec.json.encode(body).decode()
    last.hash = entry_hash(last, before[-1].hash)
    problems += [f"{p.law} {p}" for p in books.add(last)]
    book.close()
    return problems


def test_a_period_that_is_given_again_is_found():
    def again(entry: Entry, body: Any) -> None:
        body.subscription = msgspec.structs.replace(body.subscription, periods=1)

    (said,) = tampered(again)
    assert said.startswith("3 entry 3: it gives period 1 of subscription sub_")


def test_a_renewal_under_another_key_is_found():
    def other(entry: Entry, body: Any) -> None:
        entry.key = "renew:sub_x:1"

    (said,) = tampered(other)
    assert said.startswith("3 entry 3: the key of the period is renew:sub_x:1, and should be renew:sub_")


def test_a_renewal_of_another_subscription_is_found():
    def other(entry: Entry, body: Any) -> None:
        body.subscription = msgspec.structs.replace(body.subscription, id="sub_x")

    assert any("which the account did not have" in said for said in tampered(other))


def test_a_renewal_that_tells_no_subscription_is_found():
    def none(entry: Entry, body: Any) -> None:
        body.subscription = None

    assert tampered(none) == ["5 entry 3: a renew tells of no subscription"]
