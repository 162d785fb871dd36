"""Books replay what entries say, and find each law that an entry breaks, also where the hashes are right."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from farthing.core.agreement import compare, differences
from farthing.core.commands import (
    Adjust,
    Command,
    CreateAccount,
    Extend,
    GiveGrant,
    Lapse,
    PlaceHold,
    Refund,
    SetAccount,
    SetBalance,
    Settle,
    TakeCharge,
    Void,
)
from farthing.core.context import Context
from farthing.core.decide import decide
from farthing.core.draft import entry_hash
from farthing.core.ids import bucket_of, make_id
from farthing.core.invariants import Books
from farthing.core.outcomes import Accepted
from farthing.core.records import (
    Account,
    AccountSettings,
    Body,
    Entry,
    GrantTerms,
    HoldTerms,
    Window,
    Workspace,
    WorkspaceSettings,
)
from farthing.core.refundable import charge_of, read_body
from farthing.timezones import calendar

NOW = 1_767_225_600_000_000
MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE


class Play:
    """Decides commands for one account, in memory."""

    def __init__(self, **settings: Any) -> None:
        self.ids = 0
        self.context = Context(self.new_id, calendar)
        rules = WorkspaceSettings(**settings)
        self.context.workspaces["w"] = Workspace("w", "W", "live", "credits", 6, NOW, rules)
        self.now = NOW
        self.entries: list[Entry] = []

    def new_id(self, prefix: str, at: int, bucket: int) -> str:
        self.ids += 1
        return make_id(prefix, at, self.ids, 0, bucket)

    def do(self, command: type[Command], after: int = 1, **fields: Any) -> Entry:
        self.now += after
        c = command(workspace="w", account="a", **fields)
        c.at, c.id = self.now, self.new_id("ent", self.now, bucket_of("w", "a"))
        if isinstance(c, Refund) and c.charge and c.charge not in self.context.charges:
            self.context.charges[c.charge] = charge_of(next(e for e in self.entries if e.id == c.charge))
        outcome = decide(c, self.context)
        assert isinstance(outcome, Accepted), outcome
        self.context.apply(outcome)
        self.entries += outcome.entries
        return self.entries[-1]

    @property
    def account(self) -> Account:
        return self.context.accounts[("w", "a")]


def replay(entries: list[Entry]) -> tuple[Books, list[tuple[int, str]]]:
    """The books after these entries, and what was wrong with them: law and sentence."""
    known = {e.id: e for e in entries}
    books = Books("w", "a", calendar, known.get)
    return books, [(p.law, str(p)) for e in entries for p in books.add(e)]


def problems(entries: list[Entry]) -> list[tuple[int, str]]:
    return replay(entries)[1]


def forged(entries: list[Entry], number: int, body: Body | None = None, **fields: Any) -> list[Entry]:
    """The entries with one changed, and all hashes made right again: as somebody would who knows how."""
    if body is not None:
        fields["body"] = msgspec.json.encode(body).decode()
    head, made = b"", []
    for entry in entries:
        changed = replace(entry, **fields) if entry.number == number else entry
        made.append(replace(changed, hash=entry_hash(changed, head)))
        head = made[-1].hash
    return made


def digits(entry: Entry) -> str:
    return entry.id[4:]


def story() -> Play:
    """Every kind of entry, with debt, repayment, a late settle, a stand-in and a pinned void."""
    p = Play()
    p.do(CreateAccount)
    first = p.do(GiveGrant, amount=100, expires_at=NOW + 2 * DAY, key="order 1")
    p.do(GiveGrant, amount=30, scope=("image.*",))
    charge = p.do(TakeCharge, amount=40, key="k1", operation="chat")
    hold = p.do(PlaceHold, amount=20, ttl=MINUTE)
    p.do(Extend, hold=f"hold_{digits(hold)}", raise_by=5, metered=3, expires_at=p.now + 2 * MINUTE)
    p.do(Settle, hold=f"hold_{digits(hold)}", amount=10, last=False)
    p.do(Refund, charge=charge.id, amount=15)
    p.do(Void, grant=f"grt_{digits(first)}")
    p.do(Settle, hold=f"hold_{digits(hold)}")
    p.do(TakeCharge, amount=7, shortfall="debt")
    p.do(GiveGrant, amount=80, priority=10)
    ending = p.do(PlaceHold, amount=5, ttl=MINUTE, on_expiry="all")
    p.do(Lapse, after=2 * MINUTE)
    p.do(Settle, hold=f"hold_{digits(ending)}", amount=9, late="charge")
    p.do(Adjust, amount=-500, force=True)
    p.do(SetBalance, amount=25, mode="replace")
    p.do(Refund, charge=charge.id)
    p.do(SetAccount, allowance=50, timezone="Europe/Berlin", after=DAY)
    p.do(TakeCharge, amount=60)
    return p


def test_a_story_of_every_kind_replays_to_the_very_row():
    p = story()
    books, found = replay(p.entries)
    assert found == []
    assert list(compare(p.account, books.row())) == []
    assert books.sound
    kinds = {e.kind for e in p.entries}
    assert kinds >= {"open", "grant", "charge", "hold", "extend", "settle", "refund", "void", "expire", "set"}


def test_holds_and_charges_replay_to_their_very_records():
    p = story()
    books, _ = replay(p.entries)
    assert dict(books.holds) == p.context.holds
    assert dict(books.charges) == p.context.charges


def test_grants_replay_with_what_is_gone_and_voided():
    p = story()
    books, _ = replay(p.entries)
    expected = {key[2]: terms for key, terms in p.context.grants.items()}
    assert dict(books.grants) == expected
    assert any(terms.voided for terms in expected.values())
    assert any(terms.gone for terms in expected.values())


# Entries that were tampered with as they stand


def test_an_edited_amount_is_found_by_its_hash_and_by_the_slices():
    entries = story().entries
    entries[3] = replace(entries[3], amount=-1)
    found = problems(entries)
    assert [law for law, _ in found] == [5, 5]
    assert found[0][1].startswith("entry 4: its hash (it or the entry before it was edited) is ")
    assert found[1][1] == "entry 4: its amount is -1, and should be -40"


def test_an_edited_balance_is_told_of_once_and_not_of_all_entries_after_it():
    entries = story().entries
    entries[3] = replace(entries[3], balance=1_000)
    assert [s for _, s in problems(entries) if "hash" not in s] == ["entry 4: its balance is 1000, and should be 90"]


@pytest.mark.parametrize("field", ["key", "actor", "operation", "description", "metadata", "request_id"])
def test_every_word_of_an_entry_is_covered_by_its_hash(field):
    p = Play()
    p.do(CreateAccount)
    p.do(GiveGrant, amount=5, key="k", actor="me", operation="o", description="d", metadata="{}", request_id="r")
    entries = [p.entries[0], replace(p.entries[1], **{field: "other"})]
    assert ["its hash" in s for _, s in problems(entries)] == [True]


def test_a_missing_entry_is_found_by_its_number():
    entries = story().entries
    books, found = replay(entries[:4] + entries[6:])
    assert found[0] == (5, "entry 7: entries 5 to 6 are missing before it")
    assert books.lost


def test_an_entry_of_another_account_does_not_follow():
    entries = story().entries
    assert "entry 2: it comes after number 20" in [
        s for _, s in problems([*entries[:20], replace(entries[1], number=2)])
    ]


def test_a_body_that_can_not_be_read_is_named():
    entries = story().entries
    entries[4] = replace(entries[4], body='{"slices":"none"}')
    assert any("entry 5: its body can't be read" in s for _, s in problems(entries))


# Entries that break a law although their hashes are right


def body_with(entry: Entry, **fields: Any) -> Body:
    return replace(read_body(entry), **fields)


def small() -> Play:
    """A grant of 100 that expires in a day, a charge of 40, a hold of 20, a refund of 10: entries 1 to 5."""
    p = Play()
    p.do(CreateAccount)
    p.do(GiveGrant, amount=100, expires_at=NOW + DAY)
    p.do(TakeCharge, amount=40)
    p.do(PlaceHold, amount=20, ttl=MINUTE)
    p.do(Refund, charge=p.entries[2].id, amount=10)
    return p


Forge = Callable[[list[Entry]], list[Entry]]


def grant_of(entries: list[Entry]) -> str:
    return f"grt_{digits(entries[1])}"


def slices(entries: list[Entry], *moved: tuple[int, int]) -> list[tuple[str, int, int]]:
    return [(grant_of(entries), remaining, held) for remaining, held in moved]


def hold_terms(entries: list[Entry]) -> HoldTerms:
    terms = read_body(entries[3]).hold
    assert terms is not None
    return terms


FORGERIES: dict[str, tuple[int, str, Forge]] = {
    "a charge of more than the grant has": (
        4,
        "what remains of grant",
        lambda e: forged(e, 3, body_with(e[2], slices=slices(e, (-140, 0)), spent=140), amount=-140, balance=-40),
    ),
    "a charge that takes what a hold has pinned": (
        6,
        "what is held in grant",
        lambda e: forged(
            [*e[:4], replace(e[2], number=5, id=e[4].id, at=e[4].at)],
            5,
            body_with(e[2], slices=slices(e, (-50, 0)), spent=50),
            amount=-50,
            balance=10,
            held=20,
        ),
    ),
    "a hold of more than is available": (
        4,
        "a hold leaves 15 more taken and held than grants and allowance cover",
        lambda e: forged(
            e,
            4,
            body_with(
                e[3],
                hold=HoldTerms(
                    read_body(e[3]).ref, 75, 75, "live", e[3].at + MINUTE, "release", None, ((grant_of(e), 60),)
                ),
                slices=slices(e, (0, 60)),
            ),
            held=75,
        ),
    ),
    "a hold that pins less than it says": (
        6,
        "what it pins in grants",
        lambda e: forged(e, 4, body_with(e[3], slices=slices(e, (0, 5)))),
    ),
    "debt that a refusing refund makes": (
        4,
        "a refund leaves 7 more taken",
        lambda e: forged(e, 5, body_with(e[4], debts=[(e[4].id, 7)]), debt=7, balance=63, amount=3),
    ),
    "a charge that counts more as spent than it took": (
        5,
        "what it spent is 41, and should be 40",
        lambda e: forged(e, 3, body_with(e[2], spent=41)),
    ),
    "credits that come from nowhere": (
        5,
        "earned - spent - lapsed - written off is 0, and should be 5",
        lambda e: forged(
            e,
            3,
            body_with(e[2], slices=[], spent=0, grants=[GrantTerms("grt_x", 5, created_at=e[2].at)]),
            amount=5,
            balance=105,
        ),
    ),
    "a refund of more than the charge": (
        7,
        "more than charge",
        lambda e: forged(
            e,
            5,
            body_with(
                e[4],
                slices=slices(e, (41, 0)),
                refunds=[(e[2].id, grant_of(e), 41)],
                spent=-41,
            ),
            amount=41,
            balance=101,
        ),
    ),
    "a refund that goes to another grant": (
        7,
        "10 of the refund did not go back to grant grt_",
        lambda e: forged(
            e,
            5,
            body_with(e[4], slices=[], grants=[GrantTerms("grt_y", 10, created_at=e[4].at)]),
        ),
    ),
    "a refund of a charge that is none": (
        7,
        "which is none of this account before it",
        lambda e: forged(e, 5, body_with(e[4], refunds=[(e[1].id, grant_of(e), 10)])),
    ),
    "a grant that is given twice": (
        5,
        "once, and above zero",
        lambda e: forged(e, 3, body_with(e[2], grants=read_body(e[1]).grants)),
    ),
    "a slice of a grant that nobody gave": (
        5,
        "it moves grant grt_z, which no entry gave",
        lambda e: forged(e, 3, body_with(e[2], slices=[("grt_z", -40, 0)])),
    ),
    "a lapse of a grant that lives": (
        4,
        "it finds 40 free in grant",
        lambda e: forged(e, 3, kind="lapse"),
    ),
    "a charge of a grant that is over": (
        4,
        "which ended, and takes it",
        lambda e: forged(e[:3], 3, at=NOW + DAY),
    ),
    "a time that goes back": (5, "its time is", lambda e: forged(e, 3, at=NOW - DAY)),
    "an account that is opened twice": (
        5,
        "the first entry, and no other, opens the account",
        lambda e: forged(e, 3, kind="open"),
    ),
    "a key without a fingerprint": (3, "a key and a fingerprint belong together", lambda e: forged(e, 3, key="k")),
    "an id of another bucket": (
        5,
        "the bucket of its row and of its id",
        lambda e: forged(e, 3, id=e[2].id[:-3] + "fff"),
    ),
    "a form that nobody knows": (5, "the version of its hashed form", lambda e: forged(e, 3, version=9)),
    "a zone that nobody knows": (
        5,
        "there is no time zone 'Mars/Base'",
        lambda e: forged(e, 1, Body(settings=AccountSettings(timezone="Mars/Base"))),
    ),
    "debt of another entry": (
        5,
        "which is not its own",
        lambda e: forged(e, 3, body_with(e[2], debts=[(e[1].id, 3)])),
    ),
    "scoped credits that are not there": (
        5,
        "the sum of scoped grants after it",
        lambda e: forged(e, 3, body_with(e[2], scoped=3)),
    ),
    "a grant that lapses, which nobody gave": (
        5,
        "it names grant grt_z, which no entry gave",
        lambda e: forged(e, 3, body_with(e[2], gone=[("grt_z", 3)])),
    ),
    "a grant of which more is gone than was given": (
        7,
        "what remains and is gone of grant",
        lambda e: forged(e, 3, body_with(e[2], gone=[(grant_of(e), 70)])),
    ),
    "a hold under the name of another": (
        6,
        "it places hold hold_other, which is not its own",
        lambda e: forged(e, 4, body_with(e[3], hold=replace(hold_terms(e), id="hold_other"))),
    ),
    "a hold that pins more than it sets aside": (
        6,
        "sets aside 10 of 10 and pins 20",
        lambda e: forged(e, 4, body_with(e[3], hold=replace(hold_terms(e), amount=10, remaining=10)), held=10),
    ),
    "a hold that has ended and still sets aside": (
        6,
        "sets aside after its end is 20, and should be 0",
        lambda e: forged(e, 4, body_with(e[3], hold=replace(hold_terms(e), state="released"))),
    ),
    "a refund of debt that is more than the charge": (
        7,
        "what was refunded of charge",
        lambda e: forged(e, 5, body_with(e[4], refunds=[(e[2].id, "", 41)])),
    ),
    "a refund that counts more than it gives": (
        7,
        "what it refunds is 10, and should be 11",
        lambda e: forged(e, 5, body_with(e[4], spent=-11)),
    ),
    "a settle of a hold that nobody placed": (
        5,
        "it names hold hold_x, which no entry placed",
        lambda e: forged(e, 3, body_with(e[2], hold=HoldTerms("hold_x", state="released"))),
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_entry_with_right_hashes_is_found(name):
    law, sentence, forge = FORGERIES[name]
    entries = small().entries
    assert problems(entries) == []
    found = problems(forge(entries))
    assert any(sentence in said and of == law for of, said in found), found
    assert not any("its hash (" in said for _, said in found)


def test_a_hold_that_ended_is_not_ended_again():
    p = small()
    p.do(Settle, hold=f"hold_{digits(p.entries[3])}", amount=0)
    entries = p.entries
    again = replace(entries[5], number=7, body=entries[5].body)
    found = problems(forged([*entries, again], 7, id=p.new_id("ent", p.now, entries[0].bucket)))
    assert any(law == 6 and "which had settled before" in said for law, said in found)


def test_debt_is_not_lowered_by_more_than_was_paid_and_not_below_zero():
    p = small()
    p.do(TakeCharge, amount=60, shortfall="debt")
    p.do(GiveGrant, amount=30)
    debt = p.entries[5].debt
    body = body_with(p.entries[6], debts=[(p.entries[5].id, -debt - 2)])
    found = problems(forged(p.entries, 7, body, debt=-2, balance=p.entries[6].balance + 2))
    said = [sentence for _, sentence in found]
    assert f"entry 7: it lowers the debt of charge {p.entries[5].id} by 2 that nobody paid" in said
    assert f"entry 7: the debt of charge {p.entries[5].id} is -2, and should be 0 or more" in said
    assert "entry 7: held (20) and debt (-2) must not be negative" in said


def test_a_refund_of_a_charge_that_can_not_be_read_is_told_and_not_a_crash():
    entries = small().entries
    entries[2] = replace(entries[2], body="{")
    assert any("entry 5: it gives back charge" in said and "can't be read" in said for _, said in problems(entries))


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (TakeCharge, {"amount": 200, "shortfall": "debt"}),
        (Adjust, {"amount": -200, "force": True}),
    ],
)
def test_debt_that_was_asked_for_is_no_problem(command, fields):
    p = small()
    entry = p.do(command, **fields)
    assert entry.debt > 0
    assert problems(p.entries) == []


def test_a_void_of_spent_credits_and_a_lowered_allowance_may_go_below_the_floor():
    p = small()
    p.do(SetAccount, allowance=100)
    p.do(TakeCharge, amount=100)
    p.do(SetAccount, allowance=0)
    p.do(Void, grant=grant_of(p.entries))
    assert p.account.balance - p.account.held < 0
    assert problems(p.entries) == []


# Rows


def rows() -> tuple[Account, Account]:
    p = story()
    books, _ = replay(p.entries)
    return p.account, books.row()


@pytest.mark.parametrize(
    "field",
    ["number", "balance", "held", "debt", "earned", "spent", "lapsed", "written_off", "at", "holds", "lapse_at"],
)
def test_each_number_of_the_row_is_compared(field):
    row, right = rows()
    wrong = replace(row, **{field: (getattr(row, field) or 0) + 1})
    assert [str(p).split(" is ")[0] for p in compare(wrong, right)] == [f"{field} of the account's row"]


def test_head_settings_and_spend_window_of_the_row_are_compared():
    row, right = rows()
    window = row.window
    assert isinstance(window, Window)
    for wrong in (
        replace(row, head=b"x"),
        replace(row, settings=AccountSettings()),
        replace(row, window=replace(window, day_spent=window.day_spent + 1)),
        replace(row, window=None),
    ):
        assert len(list(compare(wrong, right))) == 1


def test_the_end_of_a_spend_window_may_follow_other_rules_of_time_zones():
    row, right = rows()
    assert isinstance(row.window, Window)
    other = replace(row, window=replace(row.window, month_until=row.window.month_until + 3600))
    assert list(compare(other, right)) == []


def test_hold_due_at_may_be_early_but_not_late_and_not_missing():
    p = small()
    books, _ = replay(p.entries)
    right = books.row()
    assert right.hold_due_at is not None
    end = right.hold_due_at
    assert list(compare(replace(right, hold_due_at=end - 5), right)) == []
    assert [x.law for x in compare(replace(right, hold_due_at=end + 1), right)] == [6]
    assert [x.law for x in compare(replace(right, hold_due_at=None), right)] == [6]


def test_live_grants_are_compared_one_by_one_and_in_burn_order():
    p = Play()
    p.do(GiveGrant, amount=5)
    p.do(GiveGrant, amount=6)
    books, _ = replay(p.entries)
    right, grants = books.row(), p.account.grants
    changed = [replace(grants[0], remaining=4), grants[1]]
    assert [str(x) for x in compare(replace(right, grants=changed), right)] == [
        f"remaining of grant {grants[0].id} in the account's row is 4, and should be 5"
    ]
    (missing,) = compare(replace(right, grants=grants[1:]), right)
    assert str(missing) == f"grant {grants[0].id} in the account's row is missing"
    (extra,) = compare(right, replace(right, grants=grants[1:]))
    assert str(extra) == f"grant {grants[0].id} in the account's row is not live by the entries"
    (order,) = compare(replace(right, grants=grants[::-1]), right)
    assert order.what == "the burn order in the account's row"


def test_a_record_is_compared_field_by_field():
    p = small()
    (hold,) = p.context.holds.values()
    wrong = replace(hold, remaining=1, metered=2)
    assert [x.what for x in differences(6, "hold h", hold, wrong)] == ["remaining of hold h", "metered of hold h"]
    assert [str(x) for x in differences(6, "hold h", hold, None)] == ["hold h is missing"]
