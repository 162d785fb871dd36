"""What decisions tell: each type of event, read from the row that its commit has written."""

import json
from random import Random
from typing import Any

import pytest

from farthing.core import commands as ask
from farthing.core.commands import DAY_US
from farthing.core.events import TYPES
from farthing.core.plans import Plan
from farthing.core.records import Event, Workspace, WorkspaceSettings
from farthing.core.subscription import renewal_key
from farthing.stores.rows import read_event
from tests.subscribing import after
from tests.support import START_US, UNIT, USED, Book, grant_id, hold_id

WHO: dict[str, Any] = {"workspace": "main", "account": "alice"}
HOUR = 3_600_000_000
ALL = json.dumps([["whe_1", ["*"], 0]])


class Teller(Book):
    """A ledger whose events are read."""

    def __init__(self, told: str = ALL, scale: int = 6, **rules: Any) -> None:
        settings = WorkspaceSettings(**rules)
        names = ("main", "other")
        super().__init__(
            workspaces=[Workspace(w, w, "live", "credits", scale, START_US, settings, told) for w in names]
        )
        self.tell(told)
        self.seen = 0

    def tell(self, told: str) -> None:
        self.db.execute("update workspace set told = ?", (told,))

    def events(self) -> list[Event]:
        """Those since they were read last."""
        rows = list(self.db.execute("select workspace, id, bucket, type, account, at, data from event order by id"))
        new, self.seen = rows[self.seen :], len(rows)
        return [read_event(row) for row in new]

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        return [(event.type, event.data) for event in self.events()]

    def types(self) -> list[str]:
        return [type for type, _ in self.told()]

    def outbox(self) -> list[tuple[Any, ...]]:
        return list(self.db.execute("select endpoint, event, account, number, due_at, attempts from outbox"))


@pytest.fixture
def book() -> Any:
    teller = Teller()
    yield teller
    # Whatever is told says all that its type has.
    for type, data in ((e.type, e.data) for e in map(read_event, teller.db.execute(
        "select workspace, id, bucket, type, account, at, data from event"
    ))):  # fmt: skip
        assert {"workspace", "account"} | data.keys() == set(TYPES[type].data.__struct_fields__), type
    teller.close()


def fund(book: Teller, credits: int = 10, **terms: Any) -> str:
    """A grant whose events are none of the test's."""
    grant = grant_id(book.accept(ask.GiveGrant(**WHO, amount=credits * UNIT, **terms)))
    book.events()
    return grant


def test_a_grant_is_told_with_its_terms(book: Teller) -> None:
    entry = book.accept(
        ask.GiveGrant(**WHO, amount=5 * UNIT, category="promotional", expires_at=START_US + DAY_US, scope=("model:x",))
    )
    assert book.told() == [
        (
            "grant.created",
            {
                "grant": grant_id(entry), "amount": "5", "category": "promotional",
                "expires_at": "2026-01-02T00:00:00.000000Z", "scope": ["model:x"], "entry": entry.id, "balance": "5",
            },
        )
    ]  # fmt: skip


def test_adjusting_and_setting_upwards_give_grants_and_say_so(book: Teller) -> None:
    fund(book)
    book.accept(ask.Adjust(**WHO, amount=UNIT))
    assert [(type, data["amount"]) for type, data in book.told()] == [("grant.created", "1")]
    book.accept(ask.SetBalance(**WHO, amount=20 * UNIT, mode="difference"))
    assert [(type, data["amount"]) for type, data in book.told()] == [("grant.created", "9")]


def test_a_charge_is_told_with_what_it_took(book: Teller) -> None:
    fund(book)
    entry = book.accept(ask.TakeCharge(**WHO, amount=UNIT // 4, operation="chat.message"))
    assert book.told() == [
        (
            "charge.created",
            {
                "charge": entry.id, "kind": "charge", "hold": None, "amount": "0.25", "unpaid": "0",
                "operation": "chat.message", "balance": "9.75", "held": "0", "debt": "0",
            },
        )
    ]  # fmt: skip


def test_a_charge_that_costs_nothing_is_told_as_well(book: Teller) -> None:
    fund(book)
    book.accept(ask.TakeCharge(**WHO, amount=0, usage=USED))
    assert [(type, data["amount"]) for type, data in book.told()] == [("charge.created", "0")]


def test_a_charge_tells_what_it_could_not_take_and_what_is_owed(book: Teller) -> None:
    fund(book)
    book.accept(ask.TakeCharge(**WHO, amount=12 * UNIT, shortfall="take"))
    (charge, *_) = book.told()
    assert (charge[1]["amount"], charge[1]["unpaid"], charge[1]["balance"]) == ("10", "2", "0")
    book.accept(ask.TakeCharge(**WHO, amount=3 * UNIT, shortfall="debt"))
    assert [(data["amount"], data["debt"], data["balance"]) for _, data in book.told()] == [("3", "3", "-3")]


def test_settling_is_told_as_a_charge_of_its_hold_and_releasing_as_nothing(book: Teller) -> None:
    fund(book)
    hold = hold_id(book.accept(ask.PlaceHold(**WHO, amount=2 * UNIT, ttl=HOUR, operation="image")))
    other = hold_id(book.accept(ask.PlaceHold(**WHO, amount=UNIT, ttl=HOUR)))
    assert book.told() == []
    entry = book.accept(ask.Settle(**WHO, hold=hold, amount=UNIT))
    assert book.told() == [
        (
            "charge.created",
            {
                "charge": entry.id, "kind": "settle", "hold": hold, "amount": "1", "unpaid": "0", "operation": "image",
                "balance": "9", "held": "1", "debt": "0",
            },
        )
    ]  # fmt: skip
    book.accept(ask.Release(**WHO, hold=other))
    book.accept(ask.Settle(**WHO, hold=hold_id(book.accept(ask.PlaceHold(**WHO, amount=1, ttl=9))), amount=0))
    assert book.told() == []


@pytest.mark.parametrize(("policy", "charged"), [("release", "0"), ("all", "2"), ("metered", "1.5")])
def test_a_hold_that_time_ends_is_told_with_what_its_policy_took(book: Teller, policy: Any, charged: str) -> None:
    fund(book)
    hold = hold_id(book.accept(ask.PlaceHold(**WHO, amount=2 * UNIT, ttl=HOUR, on_expiry=policy)))
    book.accept(ask.Extend(**WHO, hold=hold, metered=3 * UNIT // 2))
    book.clock.advance(hours=2)
    book.do(ask.Lapse(**WHO))
    told = dict(book.told())
    assert told["hold.expired"] | {"entry": ""} == {
        "hold": hold, "charged": charged, "operation": None, "expired_at": "2026-01-01T01:00:00.000000Z", "entry": "",
        "balance": told["hold.expired"]["balance"],
    }  # fmt: skip
    assert ("charge.created" in told) == (charged != "0")
    if charged != "0":
        assert (told["charge.created"]["kind"], told["charge.created"]["hold"]) == ("expire", hold)


def test_each_grant_that_lapses_is_told_with_what_lapsed_of_it(book: Teller) -> None:
    first = fund(book, 5, expires_at=START_US + HOUR)
    second = fund(book, 3, expires_at=START_US + 2 * HOUR)
    fund(book, 10)
    book.accept(ask.TakeCharge(**WHO, amount=UNIT))
    book.events()
    book.clock.advance(hours=3)
    book.accept(ask.TakeCharge(**WHO, amount=UNIT))
    told = book.told()
    assert [(type, data.get("grant"), data["amount"], data["balance"]) for type, data in told] == [
        ("grant.lapsed", first, "4", "13"),
        ("grant.lapsed", second, "3", "10"),
        ("charge.created", None, "1", "9"),
    ]
    assert [data["lapsed_at"] for _, data in told[:2]] == ["2026-01-01T01:00:00.000000Z", "2026-01-01T02:00:00.000000Z"]


def test_what_a_hold_gives_back_too_late_lapses_and_of_a_voided_grant_does_not(book: Teller) -> None:
    dated = fund(book, 5, expires_at=START_US + HOUR)
    hold = hold_id(book.accept(ask.PlaceHold(**WHO, amount=5 * UNIT, ttl=9 * HOUR)))
    voided = fund(book, 5)
    other = hold_id(book.accept(ask.PlaceHold(**WHO, amount=5 * UNIT, ttl=9 * HOUR)))
    book.accept(ask.Void(**WHO, grant=voided))
    book.clock.advance(hours=2)
    book.events()
    book.accept(ask.Release(**WHO, hold=other))
    assert "grant.lapsed" not in book.types()
    book.accept(ask.Settle(**WHO, hold=hold, amount=UNIT))
    told = dict(book.told())
    assert (told["grant.lapsed"]["grant"], told["grant.lapsed"]["amount"]) == (dated, "4")
    assert told["charge.created"]["amount"] == "1"


def test_a_refund_is_told_with_its_charge_or_none_where_none_was_named(book: Teller) -> None:
    fund(book)
    charge = book.accept(ask.TakeCharge(**WHO, amount=4 * UNIT)).id
    book.events()
    entry = book.accept(ask.Refund(**WHO, charge=charge, amount=UNIT))
    assert book.told() == [
        ("charge.refunded", {"charge": charge, "amount": "1", "entry": entry.id, "balance": "7", "debt": "0"})
    ]
    book.accept(ask.Refund(**WHO, amount=2 * UNIT))
    assert [(data["charge"], data["amount"]) for _, data in book.told()] == [(None, "2")]


def test_a_refund_into_a_grant_that_has_lapsed_tells_of_the_grant_that_stands_in(book: Teller) -> None:
    fund(book, 5, expires_at=START_US + HOUR)
    charge = book.accept(ask.TakeCharge(**WHO, amount=UNIT)).id
    book.clock.advance(hours=2)
    book.do(ask.Lapse(**WHO))
    book.events()
    book.accept(ask.Refund(**WHO, charge=charge))
    assert sorted(book.types()) == ["charge.refunded", "grant.created"]


def test_a_renewal_is_told_with_its_period(book: Teller) -> None:
    plan = Plan(id="pro", allowance=100 * UNIT, every=30)
    row = ("main", "pro", json.dumps({"id": "pro", "allowance": plan.allowance, "every": 30}), 1, 2)
    book.db.execute("insert into plan (workspace, id, document, created_at, updated_at) values (?, ?, ?, ?, ?)", row)
    s = after(book.accept(ask.Subscribe(**WHO, plan="pro")))
    assert book.types() == ["grant.created"]
    book.clock.set(s.next_at)
    entry = book.accept(ask.Renew(**WHO, subscription=s.id, period_at=s.next_at, key=renewal_key(s.id, s.next_at)))
    renewed, *rest = [each for each in book.told() if each[0] != "grant.lapsed"]
    assert renewed == (
        "subscription.renewed",
        {
            "subscription": s.id, "plan": "pro", "credits": "100", "period_at": "2026-01-31T00:00:00.000000Z",
            "next_at": "2026-03-02T00:00:00.000000Z", "entry": entry.id, "balance": renewed[1]["balance"],
        },
    )  # fmt: skip
    assert [type for type, _ in rest] == ["grant.created"]


def test_what_another_system_had_given_is_no_news(book: Teller) -> None:
    book.accept(ask.Import(**WHO, granted=5 * UNIT, remaining=5 * UNIT))
    assert book.told() == []


def test_taking_a_payment_back_tells_what_falls_with_the_balance(book: Teller) -> None:
    grant = fund(book)
    book.accept(ask.TakeBack(**WHO, grant=grant, total=10 * UNIT))
    assert book.types() == ["balance.low", "balance.critical", "balance.depleted"]


# Balances


@pytest.mark.parametrize(
    ("left", "types"),
    [
        ("1", []),
        ("0.999999", ["balance.low"]),
        ("0.1", ["balance.low"]),
        ("0.099999", ["balance.low", "balance.critical"]),
        ("0.000001", ["balance.low", "balance.critical"]),
        ("0", ["balance.low", "balance.critical", "balance.depleted"]),
        ("-2", ["balance.low", "balance.critical", "balance.depleted"]),
    ],
)
def test_each_threshold_that_a_charge_crosses_is_told_once(book: Teller, left: str, types: list[str]) -> None:
    fund(book)
    rest = round(float(left) * UNIT)
    entry = book.accept(ask.TakeCharge(**WHO, amount=10 * UNIT - rest, shortfall="debt"))
    told = book.told()[1:]
    assert [type for type, _ in told] == types
    assert all((data["balance"], data["entry"]) == (left, entry.id) for _, data in told)
    assert [data.get("threshold") for _, data in told] == ["1", "0.1", None][: len(types)]


def test_a_balance_that_stays_below_is_not_told_again_and_one_that_rose_meanwhile_is(book: Teller) -> None:
    fund(book)
    for amount in (9.5, 0.1, 0.1):
        book.accept(ask.TakeCharge(**WHO, amount=int(amount * UNIT)))
    assert book.types().count("balance.low") == 1
    book.accept(ask.GiveGrant(**WHO, amount=5 * UNIT))
    book.accept(ask.TakeCharge(**WHO, amount=5 * UNIT))
    assert book.types().count("balance.low") == 1


def test_an_account_s_own_thresholds_win_over_its_workspace_s() -> None:
    book = Teller(balance_low="5", balance_critical="2")
    fund(book)
    book.accept(ask.TakeCharge(**WHO, amount=6 * UNIT))
    assert book.types() == ["charge.created", "balance.low"]
    book.accept(ask.SetAccount(**WHO, balance_low=0, balance_critical=4 * UNIT))
    book.accept(ask.TakeCharge(**WHO, amount=UNIT))
    assert [(type, data.get("threshold")) for type, data in book.told()[1:]] == [("balance.critical", "4")]
    book.accept(ask.SetAccount(**WHO, balance_low=None, balance_critical=None))
    book.accept(ask.TakeCharge(**WHO, amount=2 * UNIT))
    assert [(type, data.get("threshold")) for type, data in book.told()[1:]] == [("balance.critical", "2")]
    book.close()


def test_a_workspace_of_whole_credits_has_no_tenth_of_one() -> None:
    book = Teller(scale=0)
    book.accept(ask.GiveGrant(**WHO, amount=3))
    book.accept(ask.TakeCharge(**WHO, amount=3))
    assert [(type, data.get("threshold")) for type, data in book.told()[2:]] == [
        ("balance.low", "1"),
        ("balance.depleted", None),
    ]
    book.close()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_balances_that_are_told_are_exactly_the_crossings(seed: int) -> None:
    random, book = Random(seed), Teller(json.dumps([["whe_1", ["balance.*"], 0]]))
    low, critical = UNIT, UNIT // 10
    expected: list[str] = []
    holds: list[str] = []
    for _ in range(250):
        before = row.balance if (row := book.account()) else 0
        book.clock.advance(minutes=random.randrange(40))
        outcome = book.do(_anything(random, holds, book))
        entry = getattr(outcome, "entry", None)
        if entry is not None and entry.kind == "hold":
            holds.append(hold_id(entry))
        now = row.balance if (row := book.account()) else 0
        expected += ["balance.low"] * (before >= low > now) + ["balance.critical"] * (before >= critical > now)
        expected += ["balance.depleted"] * (before > 0 >= now)
    assert book.types() == expected
    assert len(expected) > 9
    assert len(book.outbox()) == len(expected)
    book.close()


def _anything(random: Random, holds: list[str], book: Teller) -> ask.Command:
    amount = random.choice((1, UNIT // 20, UNIT // 2, UNIT, 2 * UNIT))
    expires_at = random.choice((None, book.clock.now_us() + HOUR))
    wanted = random.randrange(9)
    balance = row.balance if (row := book.account()) else 0
    if wanted < 2 or balance < -UNIT:
        # Never far from the thresholds.
        return ask.GiveGrant(**WHO, amount=max(-balance, 0) + amount, expires_at=expires_at)
    if wanted < 6:
        return ask.TakeCharge(**WHO, amount=amount, shortfall=random.choice(("refuse", "take", "debt")))
    if wanted == 6:
        return ask.PlaceHold(**WHO, amount=amount, ttl=HOUR, on_expiry=random.choice(("release", "all")))
    if wanted == 7 and holds:
        return ask.Settle(**WHO, hold=random.choice(holds), shortfall="debt")
    return ask.Adjust(**WHO, amount=-amount, force=True)


# Who is told


def test_nothing_is_written_where_nobody_asks() -> None:
    book = Teller("")
    fund(book)
    book.accept(ask.TakeCharge(**WHO, amount=10 * UNIT))
    assert (book.count("event"), book.count("outbox")) == (0, 0)
    book.tell(json.dumps([["whe_1", ["grant.created"], 0]]))
    book.accept(ask.GiveGrant(**WHO, amount=UNIT))
    book.accept(ask.TakeCharge(**WHO, amount=UNIT))
    assert (book.types(), book.count("outbox")) == (["grant.created"], 1)
    book.close()


def test_each_endpoint_that_asks_has_a_row_of_the_outbox_and_who_listens_has_none() -> None:
    told = [["whe_1", ["charge.*"], 0], ["whe_2", ["*"], 0], ["", ["grant.created"], START_US + HOUR]]
    book = Teller(json.dumps(told))
    fund(book)
    book.db.execute("delete from outbox")
    entry = book.accept(ask.TakeCharge(**WHO, amount=UNIT))
    (event,) = book.events()
    assert book.outbox() == [
        ("whe_1", event.id, "alice", entry.number, event.at, 0),
        ("whe_2", event.id, "alice", entry.number, event.at, 0),
    ]
    book.tell(json.dumps(told[2:]))
    book.db.execute("delete from outbox")
    book.accept(ask.GiveGrant(**WHO, amount=UNIT))
    book.accept(ask.TakeCharge(**WHO, amount=UNIT))
    assert (book.types(), book.outbox()) == (["grant.created"], [])
    book.clock.advance(hours=1)
    book.accept(ask.GiveGrant(**WHO, amount=UNIT))
    assert book.types() == []
    book.close()


def test_an_event_that_rides_along_is_delivered_to_who_asks_for_it(book: Teller) -> None:
    event = Event("evt_" + "0" * 32, "main", "alice", 7, "jobs.parked", START_US, {"kind": "x"})
    book.tell(json.dumps([["whe_1", ["jobs.*"], 0], ["whe_2", ["payment.*"], 0]]))
    entry = book.accept(ask.GiveGrant(**WHO, amount=UNIT, records=(event,)))
    assert book.outbox() == [("whe_1", event.id, "alice", entry.number, START_US, 0)]
    book.db.execute("delete from event")


def test_events_are_dated_by_their_telling_in_the_order_in_which_they_are_told(book: Teller) -> None:
    fund(book, 5, expires_at=START_US + HOUR)
    book.clock.advance(days=3)
    book.accept(ask.GiveGrant(**WHO, amount=UNIT))
    events = book.events()
    assert [event.type for event in events] == ["grant.lapsed", "grant.created"]
    assert {event.at for event in events} == {START_US + 3 * DAY_US}


def test_a_repeat_under_its_key_tells_nothing_again(book: Teller) -> None:
    fund(book)
    for _ in range(3):
        book.do(ask.TakeCharge(**WHO, amount=UNIT, key="k"))
    assert book.types() == ["charge.created"]


def test_a_dry_run_and_a_refusal_tell_nothing(book: Teller) -> None:
    fund(book)
    book.refuse(ask.TakeCharge(**WHO, amount=99 * UNIT))
    book.refuse(ask.TakeCharge(**WHO, amount=99 * UNIT, key="k", final=True))
    book.engine.submit(ask.TakeCharge(**WHO, amount=UNIT), lambda _: None, dry=True)
    book.loop.run()
    assert book.told() == []


# Spend limits


def limited(told: str = ALL, day: int | None = None, month: int | None = None) -> Teller:
    book = Teller(told)
    fund(book, 100)
    limits = [None if credits is None else credits * UNIT for credits in (day, month)]
    book.accept(ask.SetAccount(**WHO, spend_limit_day=limits[0], spend_limit_month=limits[1]))
    return book


@pytest.mark.parametrize("told", [ALL, ""])
def test_a_spend_limit_that_is_in_the_way_is_told_once_for_its_day(told: str) -> None:
    book = limited(told, day=5)
    book.accept(ask.TakeCharge(**WHO, amount=4 * UNIT))
    book.events()
    before = (book.account(), book.count("entry"))
    for _ in range(3):
        book.refuse(ask.TakeCharge(**WHO, amount=2 * UNIT))
    assert book.told() == [
        (
            "spend_limit.reached",
            {"period": "day", "limit": "5", "left": "1", "required": "2", "until": "2026-01-02T00:00:00.000000Z"},
        )
    ]
    assert (book.account(), book.count("entry")) == before
    book.clock.advance(days=1)
    book.accept(ask.TakeCharge(**WHO, amount=5 * UNIT))
    book.events()
    book.refuse(ask.TakeCharge(**WHO, amount=1))
    assert book.types() == ["spend_limit.reached"]
    book.close()


def test_a_limit_that_was_raised_is_told_when_it_is_reached_again_and_so_is_the_month_s() -> None:
    book = limited(day=1, month=2)
    book.accept(ask.TakeCharge(**WHO, amount=UNIT))
    book.events()
    book.refuse(ask.TakeCharge(**WHO, amount=1))
    book.accept(ask.SetAccount(**WHO, spend_limit_day=2 * UNIT))
    book.accept(ask.TakeCharge(**WHO, amount=UNIT))
    book.refuse(ask.TakeCharge(**WHO, amount=1))
    book.accept(ask.SetAccount(**WHO, spend_limit_day=None))
    book.refuse(ask.TakeCharge(**WHO, amount=1))
    told = [(data["period"], data["limit"]) for type, data in book.told() if type == "spend_limit.reached"]
    assert told == [("day", "1"), ("day", "2"), ("month", "2")]
    book.close()


def test_it_is_told_once_whoever_decides_and_however_the_refusals_come() -> None:
    book = limited(day=1)
    book.accept(ask.TakeCharge(**WHO, amount=UNIT))
    book.events()
    book.batch(*(ask.TakeCharge(**WHO, amount=1) for _ in range(5)))
    # Another process remembers nothing of it.
    book.engine._said.clear()
    book.refuse(ask.TakeCharge(**WHO, amount=1))
    book.refuse(ask.TakeCharge(**WHO, amount=1, key="k", final=True))
    assert book.types() == ["spend_limit.reached"]
    assert len([row for row in book.outbox() if row[2] == "alice"]) == book.count("event")
    book.close()


def test_what_was_only_tried_has_not_been_told() -> None:
    book = limited(day=1)
    book.engine.submit(ask.TakeCharge(**WHO, amount=2 * UNIT), lambda _: None, dry=True)
    book.loop.run()
    assert book.types() == []
    book.refuse(ask.TakeCharge(**WHO, amount=2 * UNIT))
    assert book.types() == ["spend_limit.reached"]
    book.close()


def test_it_is_told_in_each_workspace_that_has_an_account_of_that_name() -> None:
    book = limited(day=1)
    other = WHO | {"workspace": "other"}
    book.accept(ask.GiveGrant(**other, amount=9 * UNIT))
    book.accept(ask.SetAccount(**other, spend_limit_day=UNIT))
    book.events()
    for who in (WHO, other, WHO, other):
        book.refuse(ask.TakeCharge(**who, amount=2 * UNIT))
    assert [(event.workspace, event.type) for event in book.events()] == [
        ("main", "spend_limit.reached"), ("other", "spend_limit.reached")
    ]  # fmt: skip
    book.close()


def test_who_runs_against_a_limit_again_and_again_writes_nothing_more() -> None:
    book = limited(day=1)
    book.accept(ask.TakeCharge(**WHO, amount=UNIT))
    book.refuse(ask.TakeCharge(**WHO, amount=1))
    changes = book.db.total_changes()
    for _ in range(10):
        book.refuse(ask.TakeCharge(**WHO, amount=1))
    assert book.db.total_changes() == changes
    book.close()
