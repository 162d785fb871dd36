"""Texts of an account are erased, wherever they stand; credits, books and keys stay."""

import json
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from farthing.core.commands import MINUTE_US, GiveGrant, TakeCharge
from farthing.core.events import TYPES
from farthing.core.ids import bucket_of
from farthing.core.outcomes import Accepted
from farthing.core.people import User
from farthing.core.purchases import Order, Receipt
from farthing.core.records import Event
from farthing.retention.archive import Archive, Line
from farthing.retention.erasing import erase_from
from farthing.stores.access import Act, Once
from farthing.stores.acts import AccessError
from farthing.stores.erasing import PAGE, Erased, Erasing
from farthing.stores.events import Events
from farthing.stores.purchases import Purchases
from farthing.stores.users import Users
from tests.retention.aging import MAIN, Aging, sound

SECRET = "Marjorie Daw, 7 Elm Street"


def erase(aging: Aging, account: str = "alice", **more: Any) -> Erased:
    """Erase an account's texts in the ledger."""
    database = aging.shop.ledger.database
    erasing, act = Erasing(database, Users(database)), Act("tester", aging.shop.now)
    return aging.shop.wait(erasing.erase("main", account, act, "she asked for it", **more))


def is_somewhere(aging: Aging, text: str) -> bool:
    """Whether a text stands in any column of any table."""
    if isinstance(aging.place, str):
        tables = aging.rows("select tablename from pg_tables where schemaname = 'public'")
        return any(aging.rows(f"select 1 from {t} x where cast(x as text) like '%{text}%' limit 1") for (t,) in tables)
    tables = aging.rows("select name from sqlite_schema where type = 'table'")
    return any(text in str(row) for (table,) in tables for row in aging.rows(f"select * from {table}"))


def speak(aging: Aging) -> None:
    """Entries with texts that nobody is to read one day; one with a key of v1, whose answer tells metadata."""
    told = json.dumps({"name": SECRET})
    aging.shop.grant("alice", 100, description=f"for {SECRET}", key="g", claim=("stripe", "pi_1"))
    aging.shop.charge("alice", 1, description=SECRET, metadata=told, key="v1:c")
    aging.shop.charge("alice", 1, metadata=told)
    aging.shop.hold("alice", 1, ttl=30_000 * MINUTE_US, description=SECRET, key="h")
    aging.shop.charge("alice", 1)
    aging.shop.grant("bob", 1, description="of somebody else")


def test_erased_texts_are_nowhere_and_the_books_are_sound(aging: Aging) -> None:
    speak(aging)
    before = aging.shop.wait(aging.shop.ledger.reports.account("main", "alice", aging.shop.now))
    told = erase(aging)
    assert (told.entries, told.answers, told.archived) == (4, 0, False)
    assert not is_somewhere(aging, "Marjorie")
    assert is_somewhere(aging, "of somebody else")
    assert sound(aging.doctor())
    assert aging.shop.wait(aging.shop.ledger.reports.account("main", "alice", aging.shop.now)) == before


def test_an_erased_text_that_is_put_back_or_changed_is_found(local: Aging) -> None:
    speak(local)
    erase(local)
    sql = "update erased set description = 'x'"
    local.run(sql)
    assert any("its hash" in finding.sentence for finding in local.doctor().findings)


def test_texts_of_archived_entries_are_erased_from_answers_and_files(aging: Aging) -> None:
    speak(aging)
    aging.wait_days(20)
    aging.shop.charge("alice", 1)
    aging.shop.charge("bob", 1)
    aging.retire(10)
    told = erase(aging)
    # The grant's answer stands with its key and with its payment.
    assert (told.entries, told.answers, told.archived) == (0, 4, True)
    assert not is_somewhere(aging, "Marjorie")
    assert erase_from(aging.files, "main", "alice", dry_run=True) == {aging.files[0]: 4}
    assert erase_from(aging.files, "main", "alice") == {aging.files[0]: 4}
    assert erase_from(aging.files, "main", "alice") == {}
    (file,) = aging.files
    lines = [line for line in Archive(file).lines() if isinstance(line, Line)]
    assert not any(SECRET in str(line) for line in lines)
    assert any(line.entry.description == "of somebody else" for line in lines)
    assert sound(aging.doctor())


def test_an_erased_entry_is_archived_with_its_digests(aging: Aging) -> None:
    speak(aging)
    erase(aging)
    aging.wait_days(20)
    aging.shop.charge("alice", 1)
    aging.retire(10)
    assert aging.rows("select count(*) from erased where account = 'alice'") == [(0,)]
    assert sound(aging.doctor())


def test_an_erased_key_still_answers_but_for_its_texts(aging: Aging) -> None:
    speak(aging)
    first = aging.rows("select id from entry where key = 'v1:c'")
    erase(aging)
    again = aging.ask(TakeCharge(**MAIN, amount=1, key="v1:c"))
    assert isinstance(again, Accepted)
    assert again.entry is not None
    assert (again.replayed, again.entry.id, again.entry.description) == (True, first[0][0], None)
    again = aging.ask(GiveGrant(**MAIN, amount=100, claim=("stripe", "pi_1")))
    assert isinstance(again, Accepted)
    assert again.replayed


def test_to_erase_again_does_no_harm_and_later_texts_are_erased_then(local: Aging) -> None:
    speak(local)
    assert erase(local).entries == 4
    assert erase(local).entries == 0
    local.shop.charge("alice", 1, description=SECRET)
    assert erase(local).entries == 1
    assert sound(local.doctor())


def test_a_dry_run_counts_and_erases_nothing(local: Aging) -> None:
    speak(local)
    assert erase(local, dry_run=True).entries == 4
    assert is_somewhere(local, SECRET)
    assert local.rows("select count(*) from audit where action = 'account.erase'") == [(0,)]


def test_more_texts_than_one_transaction_takes_are_erased(local: Aging) -> None:
    local.shop.grant("alice", 1_000)
    for _ in range(PAGE + 3):
        local.shop.charge("alice", 1, description=SECRET)
    assert erase(local).entries == PAGE + 3
    assert not is_somewhere(local, "Marjorie")


def test_the_audit_log_says_who_erased_and_why_and_a_key_erases_once(local: Aging) -> None:
    speak(local)
    under = Once("v1:e", {"account": "alice"})
    told = erase(local, once=under)
    ((actor, detail),) = local.rows("select actor, detail from audit where action = 'account.erase'")
    assert (actor, json.loads(detail)["reason"]) == ("tester", "she asked for it")
    local.shop.charge("alice", 1, description=SECRET)
    again = Once("v1:e", {"account": "alice"})
    assert (erase(local, once=again), again.replayed) == (told, True)
    assert is_somewhere(local, "Marjorie")


def test_the_person_goes_where_that_is_asked_for_and_the_log_tells_no_names(aging: Aging) -> None:
    speak(aging)
    users = Users(aging.shop.ledger.database)
    person = User("main", "alice", "marjorie", "marjorie@example.com", "user", True, "hash", 1, 1)
    aging.shop.wait(users.create(person, Act("tester", 1), "admin"))
    aging.shop.wait(users.change_names("main", "alice", None, "marjorie2@example.com", Act("tester", 2), "admin"))
    told = erase(aging, user=True)
    assert (told.user, told.acts) == (True, 3)
    assert not is_somewhere(aging, "arjorie")
    assert aging.shop.wait(users.get("main", "alice")) is None
    assert erase(aging, user=True).user is False


def test_what_providers_told_of_the_buyer_goes_but_for_what_is_still_to_be_carried_out(aging: Aging) -> None:
    speak(aging)
    purchases, wait = Purchases(aging.shop.ledger.database), aging.shop.wait
    orders = [Order(provider="stripe", id=f"O-{n}", account=a, bought_at=n, buyer=f"{SECRET} {a}") for n, a in _BUYERS]
    receipt = Receipt(provider="stripe", payment="P-9", order="O-1", account="alice", at=1)
    wait(purchases.keep("main", [(order, 0) for order in orders], [(receipt, 0)]))
    claimed = Once("v1:claim", {"account": "alice"})
    wait(purchases.claim("main", "stripe", "O-1", "alice", Act("tester", 2), claimed))
    for id, body in _MESSAGES.items():
        wait(purchases.received("main", "stripe", id, "paid", body, 1, 1))
        if id != "open":
            wait(purchases.done("main", "stripe", id, "credited to somebody", 2))
    would = erase(aging, dry_run=True)
    told = erase(aging)
    assert (told.messages, told.open) == (would.messages, would.open) == (3, 1)
    assert wait(purchases.order("main", "stripe", "O-1")).order == replace(orders[0], buyer="")
    assert wait(purchases.order("main", "stripe", "O-12")).order == orders[1]
    kept = {id: wait(purchases.event("main", "stripe", id)) for id in _MESSAGES}
    assert [id for id, event in kept.items() if event.body] == ["other", "open"]
    assert {event.outcome for id, event in kept.items() if id != "open"} == {"credited to somebody"}
    wait(purchases.done("main", "stripe", "open", "credited to somebody", 3))
    assert (erase(aging).messages, erase(aging).messages) == (1, 0)
    assert not is_somewhere(aging, f"{SECRET} alice")
    assert sound(aging.doctor())


_BUYERS = ((1, "alice"), (12, "bob"))
_MESSAGES = {
    "json": f'{{"order":"O-1","name":"{SECRET} alice"}}',
    "form": f"transaction=P-9&name={SECRET} alice",
    "other": f'{{"order":"O-12","name":"{SECRET} bob"}}',
    "open": f'{{"order":"O-1","again":true,"name":"{SECRET} alice"}}',
}


def test_what_was_told_of_a_card_that_was_declined_goes_and_the_event_stays(aging: Aging) -> None:
    speak(aging)
    said = dict(TYPES["auto_top_up.failed"].example) | {"message": f"ask {SECRET}", "url": f"https://pay/{SECRET}"}
    ids = [f"evt_{aging.shop.now // 1000:012x}7{number:019x}" for number in range(2)]
    told = [
        Event(id, "main", account, bucket_of("main", account), "auto_top_up.failed", aging.shop.now, said)
        for id, account in zip(ids, ("alice", "bob"), strict=True)
    ]
    events = Events(aging.shop.ledger.database)
    aging.shop.wait(events.add(told))
    erase(aging)
    kept = {event.account: event.data for event in aging.shop.wait(events.page("main")).items}
    assert kept == {"alice": said | {"message": None, "url": None}, "bob": said}


def test_an_account_that_is_not_there_is_told(local: Aging) -> None:
    with pytest.raises(AccessError, match="there is no account 'nobody'"):
        erase(local, "nobody")


def test_a_vacuumed_file_has_no_trace_of_what_was_erased(local: Aging) -> None:
    speak(local)
    erase(local)
    local.close()
    path = Path(str(local.place))
    db = apsw.Connection(str(path))
    db.execute("vacuum")
    db.pragma("wal_checkpoint(truncate)")
    db.close()
    assert b"Marjorie" not in path.read_bytes()
