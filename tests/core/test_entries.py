"""Entries: what each says, the hash over itself and the one before, and the marks that make a repeat a repeat."""

import json
from hashlib import blake2b, sha256
from typing import Any

import msgspec
import pytest

from farthing.core import commands as ask
from farthing.core.amounts import MAX_AMOUNT, MAX_BALANCE
from farthing.core.draft import entry_hash
from farthing.core.outcomes import Accepted, Refusal
from farthing.core.records import Entry, Workspace, WorkspaceSettings
from farthing.core.refundable import read_body
from tests.support import START_US, UNIT, Book, entry_of, hold_id

ALICE: dict[str, Any] = {"workspace": "main", "account": "alice"}


def some_entry(**fields: Any) -> Entry:
    values: dict[str, Any] = {
        "workspace": "main", "account": "ümlaut", "bucket": 7, "number": 3, "id": "ent_1", "kind": "charge",
        "amount": -5, "balance": 10, "held": 1, "debt": 0, "at": START_US, "key": "k", "fingerprint": b"\x01" * 16,
        "actor": "key_1", "request_id": "req_1", "operation": "chat", "description": "words", "metadata": '{"a":1}',
        "body": '{"spent":5}', "version": 1, "hash": b"",
    }  # fmt: skip
    return Entry(**{**values, **fields})


def hash_by_hand(e: Entry, previous: bytes) -> bytes:
    """Form 1, written down once more."""
    words = [sha256(text.encode()).hexdigest() if text is not None else None for text in (e.description, e.metadata)]
    form = [
        e.version, e.workspace, e.account, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
        e.fingerprint.hex() if e.fingerprint else None, e.actor, e.request_id, e.operation, *words, e.body,
    ]  # fmt: skip
    return sha256(previous + json.dumps(form, separators=(",", ":"), ensure_ascii=False).encode()).digest()


def test_the_hash_is_sha256_over_the_one_before_and_all_fields():
    """Stored hashes hang on this form: a new form takes a new version."""
    for previous in (b"", b"\x02" * 32):
        for entry in (some_entry(), some_entry(key=None, fingerprint=None, description=None, metadata=None)):
            assert entry_hash(entry, previous) == hash_by_hand(entry, previous)


@pytest.mark.parametrize("name", [f for f in Entry.__struct_fields__ if f not in ("hash", "bucket")])
def test_no_field_can_be_changed_without_the_hash_saying_so(name):
    """But for the bucket, which follows from workspace and account."""
    entry = some_entry()
    value = getattr(entry, name)
    other = {int: lambda v: v + 1, str: lambda v: v + "x", bytes: lambda v: b"\x09" * 16}[type(value)](value)
    assert entry_hash(some_entry(**{name: other}), b"") != entry_hash(entry, b"")


def test_entries_are_numbered_without_a_gap_and_chained(book):
    book.accept(ask.GiveGrant(**ALICE, amount=10 * UNIT, expires_at=START_US + 1_000_000))
    book.clock.advance(2)
    book.do(ask.TakeCharge(**ALICE, amount=UNIT))
    book.accept(ask.GiveGrant(**ALICE, amount=UNIT, key="k", description="d", metadata="{}"))
    book.accept(ask.TakeCharge(**ALICE, amount=UNIT))
    entries = book.entries()
    assert [e.kind for e in entries] == ["open", "grant", "lapse", "grant", "charge"]
    assert [e.number for e in entries] == [1, 2, 3, 4, 5]
    head = b""
    for entry in entries:
        head = hash_by_hand(entry, head)
        assert entry.hash == head
    assert book.row().head == head


def test_only_the_command_s_own_entry_has_its_words(book):
    book.accept(ask.GiveGrant(**ALICE, amount=10 * UNIT, expires_at=START_US + 1_000_000))
    book.clock.advance(2)
    book.accept(
        ask.GiveGrant(
            **ALICE, amount=UNIT, key="k", description="d", metadata='{"a":1}', operation="o", actor="key_1",
            request_id="req_1",
        )
    )  # fmt: skip
    lapse, own = book.entries()[-2:]
    assert (lapse.key, lapse.fingerprint, lapse.description, lapse.metadata, lapse.operation) == (
        None,
        None,
        None,
        None,
        "",
    )
    assert (lapse.actor, lapse.request_id) == ("key_1", "req_1"), "who came by when it was booked"
    assert (own.key, own.description, own.metadata, own.operation) == ("k", "d", '{"a":1}', "o")


def test_an_account_s_time_never_goes_back(book):
    """Another process was ahead: a command of earlier is booked and judged at the account's last entry."""
    ahead = START_US + 60_000_000
    book.accept(ask.GiveGrant(**ALICE, amount=UNIT, expires_at=ahead, at=START_US))
    book.accept(ask.GiveGrant(**ALICE, amount=UNIT, at=ahead))
    charge = book.accept(ask.TakeCharge(**ALICE, amount=UNIT, at=START_US + 1))
    assert charge.at == ahead
    assert [e.at for e in book.entries()] == [START_US, START_US, ahead, ahead, ahead]
    assert book.refuse(ask.TakeCharge(**ALICE, amount=UNIT, at=START_US + 2)).facts["available"] == 0


def test_a_settle_is_of_the_operation_of_its_hold_and_nothing_else_is(book):
    """Also where another hold ends on the way."""
    book.accept(ask.GiveGrant(**ALICE, amount=10 * UNIT))
    hold = book.accept(ask.PlaceHold(**ALICE, amount=UNIT, ttl=60_000_000, operation="chat"))
    book.accept(ask.PlaceHold(**ALICE, amount=UNIT, ttl=1_000_000, operation="image"))
    book.clock.advance(2)
    settle = book.accept(ask.Settle(**ALICE, hold=hold_id(hold)))
    assert [(e.kind, e.operation) for e in book.entries()[-2:]] == [("expire", "image"), ("settle", "chat")]
    assert settle.operation == "chat"
    book.accept(ask.PlaceHold(**ALICE, amount=UNIT, ttl=1_000_000, operation="image"))
    book.clock.advance(2)
    assert book.accept(ask.GiveGrant(**ALICE, amount=UNIT)).operation == ""


def test_the_amount_as_it_was_sent_is_kept_where_it_was_rounded(book):
    book.accept(ask.GiveGrant(**ALICE, amount=10 * UNIT))
    entry = book.accept(ask.TakeCharge(**ALICE, amount=333_333, asked="0.33333333333", key="k"))
    assert read_body(entry).asked == "0.33333333333"
    again = book.do(ask.TakeCharge(**ALICE, amount=333_333, asked="0.33333333333", key="k"))
    assert again.replayed
    other = book.refuse(ask.TakeCharge(**ALICE, amount=333_333, asked="0.33333333334", key="k"))
    assert other.facts["differs"] == ["amount"]


def test_administrative_acts_leave_an_audit_record_and_charges_do_not(book):
    by: dict[str, Any] = {**ALICE, "actor": "key_9", "request_id": "req_9"}
    grant = book.accept(ask.GiveGrant(**by, amount=10 * UNIT))
    charge = book.accept(ask.TakeCharge(**by, amount=UNIT))
    acts = [
        grant,
        book.accept(ask.Refund(**by, charge=charge.id)),
        book.accept(ask.Adjust(**by, amount=-UNIT)),
        book.accept(ask.SetBalance(**by, amount=UNIT, mode="difference")),
        book.accept(ask.SetAccount(**by, frozen=True)),
        book.accept(ask.Void(**by, grant="grt" + grant.id[3:])),
    ]
    rows = list(
        book.db.execute("select workspace, actor, request_id, action, subject, entry from audit order by position")
    )
    assert rows == [("main", "key_9", "req_9", f"account.{e.kind}", "alice", e.id) for e in acts]


def test_a_refused_act_leaves_no_audit_record(book):
    book.refuse(ask.Adjust(**ALICE, amount=-UNIT))
    assert book.count("audit") == 0


# Marks


def mark(*content: object) -> bytes:
    return blake2b(json.dumps(content, separators=(",", ":")).encode(), digest_size=16).digest()


def test_marks_of_stored_keys_are_made_as_they_always_were(book):
    """A repeat years from now must find the same mark: this form may never change."""
    hold = "hold_" + "0" * 32
    book.accept(ask.GiveGrant(**ALICE, amount=100, key="grant", source={"id": "s"}))
    charge = book.accept(ask.TakeCharge(**ALICE, amount=5, key="charge", operation="chat"))
    placed = book.accept(ask.PlaceHold(**ALICE, amount=7, ttl=9_000_000, key="hold", operation="chat"))
    hold = hold_id(placed)
    book.accept(ask.Extend(**ALICE, hold=hold, metered=2, key="extend"))
    book.accept(ask.Settle(**ALICE, hold=hold, key="settle"))
    book.accept(ask.Refund(**ALICE, charge=charge.id, amount=1, key="refund"))
    book.accept(ask.SetBalance(**ALICE, amount=3, mode="replace", key="set"))
    marks = {e.key: e.fingerprint for e in book.entries() if e.key}
    who = ("main", "alice")
    assert marks == {
        "grant": mark(*who, "grant", 100, "", None, {"id": "s"}),
        "charge": mark(*who, "charge", 5, "chat", None, None),
        "hold": mark(*who, "hold", 7, "chat", None, None),
        "extend": mark(*who, "extend", [0, 2, None], "", hold, None),
        "settle": mark(*who, "settle", 7, "", hold, None),
        "refund": mark(*who, "refund", 1, "", charge.id, None),
        "set": mark(*who, "set", [3, "replace"], "", None, None),
    }


CHANGES: list[tuple[type[ask.Command], dict[str, Any], dict[str, Any], bool]] = [
    (ask.TakeCharge, {"amount": 5}, {"description": "other"}, True),
    (ask.TakeCharge, {"amount": 5}, {"metadata": "{}"}, True),
    (ask.TakeCharge, {"amount": 5}, {"actor": "other", "request_id": "other"}, True),
    (ask.TakeCharge, {"amount": 5}, {"shortfall": "debt"}, True),
    (ask.TakeCharge, {"amount": 5}, {"amount": 6}, False),
    (ask.TakeCharge, {"amount": 5}, {"operation": "other"}, False),
    (ask.GiveGrant, {"amount": 5}, {"expires_at": START_US * 2}, True),
    (ask.GiveGrant, {"amount": 5}, {"source": {"id": "s"}}, False),
    (ask.PlaceHold, {"amount": 5, "ttl": 1_000_000}, {"ttl": 2_000_000}, True),
    (ask.SetAccount, {"allowance": 5}, {"allowance": 6}, False),
    (ask.SetAccount, {"allowance": 5}, {"frozen": False}, False),
    (ask.Adjust, {"amount": 5}, {"amount": -5}, False),
    (ask.SetBalance, {"amount": 5, "mode": "replace"}, {"mode": "difference"}, False),
]


@pytest.mark.parametrize(("kind", "fields", "change", "same"), CHANGES)
def test_same_content_is_amount_operation_and_what_it_names(book, kind, fields, change, same):
    """Not description, metadata, times, or who asks."""
    book.accept(ask.GiveGrant(**ALICE, amount=100))
    book.accept(kind(**ALICE, **fields, key="k"))
    outcome = book.do(kind(**ALICE, **{**fields, **change}, key="k"))
    if same:
        assert isinstance(outcome, Accepted)
        assert outcome.replayed
    else:
        assert outcome.code is Refusal.KEY_CONFLICT


def test_a_key_is_of_its_account_and_workspace(tmp_path):
    workspaces = [Workspace(w, w, "live", "credits", 6, START_US, WorkspaceSettings()) for w in ("one", "two")]
    book = Book(tmp_path / "ledger.db", workspaces)
    made = [
        book.do(ask.GiveGrant(workspace=w, account=a, amount=n, key="k"))
        for n, (w, a) in enumerate([("one", "x"), ("one", "y"), ("two", "x"), ("two", "y")], start=1)
    ]
    assert len({entry_of(outcome).id for outcome in made}) == 4
    assert [book.row(a, w).balance for w in ("one", "two") for a in ("x", "y")] == [1, 2, 3, 4]
    book.close()


# The largest sums


def test_a_balance_stays_below_10_to_the_18():
    rules = WorkspaceSettings(max_live_grants=2_000)
    book = Book(workspaces=[Workspace("main", "Main", "live", "credits", 0, START_US, rules)])
    largest = MAX_AMOUNT - 1
    for _ in range(4):
        book.batch(*(ask.GiveGrant(**ALICE, amount=largest) for _ in range(250)))
    assert book.row().balance == 1000 * largest == MAX_BALANCE - 1000
    assert book.refuse(ask.GiveGrant(**ALICE, amount=1000)).facts == {"limit": MAX_BALANCE}
    book.accept(ask.GiveGrant(**ALICE, amount=999))
    assert book.row().balance == MAX_BALANCE - 1
    assert book.refuse(ask.GiveGrant(**ALICE, amount=1)).code is Refusal.BALANCE_LIMIT
    book.accept(ask.SetBalance(**ALICE, amount=5, mode="difference"))
    # What was ever earned is bounded as well: the totals must fit their columns.
    assert book.refuse(ask.GiveGrant(**ALICE, amount=1)).code is Refusal.BALANCE_LIMIT
    book.close()


def test_debt_stays_below_10_to_the_18():
    book = Book()
    book.accept(ask.CreateAccount(**ALICE))
    largest = MAX_AMOUNT - 1
    for _ in range(5):
        book.batch(*(ask.TakeCharge(**ALICE, amount=largest, shortfall="debt") for _ in range(200)))
    assert book.row().debt == 1000 * largest
    assert book.refuse(ask.TakeCharge(**ALICE, amount=1000, shortfall="debt")).code is Refusal.BALANCE_LIMIT
    book.close()


def test_outcomes_and_commands_can_be_written_as_json(book):
    """They cross processes and logs."""
    outcome = book.do(ask.GiveGrant(**ALICE, amount=1))
    assert json.loads(msgspec.json.encode(outcome))["entry"]["kind"] == "grant"
