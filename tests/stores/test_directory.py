"""Listings and single things, the same on both databases: every row once and in order, nothing of other workspaces."""

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import apsw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.app import open_ledger
from farthing.core.commands import (
    DAY_US,
    MINUTE_US,
    Adjust,
    Command,
    CreateAccount,
    Refund,
    Release,
    SetAccount,
    Settle,
    Void,
)
from farthing.core.decide import RULES
from farthing.core.ids import BUCKETS
from farthing.core.records import Entry
from farthing.core.view import ENTRY_KINDS
from farthing.identity.keys import make_key
from farthing.stores.access import Act
from farthing.stores.directory import ENTRY_WINDOW
from farthing.stores.pages import WINDOW, Page, cut
from farthing.stores.statements import statements
from tests.support import START_US, grant_id

ACT = Act("tester", START_US)
_numbers = count()


def walk(page: Callable[[Any], Page[Any]], between: Callable[[], object] = lambda: None) -> list[Any]:
    """All items of a listing, page by page."""
    items, position = [], None
    for _ in range(10_000):
        found = page(position)
        items += found.items
        if found.next is None:
            return items
        position = found.next
        between()
    raise AssertionError("the listing never ended")


# Accounts


def test_accounts_are_listed_by_the_bytes_of_their_ids_and_found_by_a_prefix(shop):
    ids = ["p1", "p1a", "p1a b", "p1ä", "p1\U0010ffff", "p1\ue000", "p1/x", "p2", "P1", "p", "p1~"]
    for id in ids:
        shop.do(CreateAccount(workspace="main", account=id))
    shop.do(CreateAccount(workspace="other", account="p1b"))

    def page(prefix: str, limit: int) -> list[str]:
        listed = walk(
            lambda after: shop.wait(shop.directory.accounts("main", shop.now, prefix=prefix, after=after, limit=limit))
        )
        return [a.id for a in listed]

    expected = sorted((id for id in ids if id.startswith("p1")), key=str.encode)
    for limit in (1, 2, 3, 50):
        assert page("p1", limit) == expected
    everything = page("", 4)
    assert everything == sorted(everything, key=str.encode)
    assert set(ids) <= set(everything)
    assert page("nobody", 5) == []


def test_accounts_are_filtered_by_frozen_and_by_debt(shop):
    for id in ("f1", "f2", "f3", "f4"):
        shop.grant(id, 10)
    shop.do(SetAccount(workspace="main", account="f2", frozen=True, timezone="Europe/Berlin"))
    shop.do(SetAccount(workspace="main", account="f3", allowance=5, spend_limit_day=7))
    shop.charge("f4", 12, shortfall="debt")

    def ids(**filters: Any) -> list[str]:
        page = shop.wait(shop.directory.accounts("main", shop.now, prefix="f", **filters))
        return [a.id for a in page.items]

    assert ids(frozen=True) == ["f2"]
    assert ids(frozen=False) == ["f1", "f3", "f4"]
    assert ids(in_debt=True) == ["f4"]
    assert ids(in_debt=False, frozen=False) == ["f1", "f3"]


def test_an_account_is_listed_as_it_stands_with_a_lapse_that_is_not_booked_yet(shop, account):
    shop.grant(account, 10, expires_at=shop.now + MINUTE_US)
    shop.grant(account, 5)
    later = shop.now + MINUTE_US
    for at, balance in ((later - 1, 15), (later, 5)):
        page = shop.wait(shop.directory.accounts("main", at, prefix=account))
        assert [(a.id, a.balance) for a in page.items] == [(account, balance)]


def test_a_filter_goes_on_behind_a_window_without_a_match():
    rows = list(range(10))
    found = cut(rows[:4], 2, 4, lambda row: (row,), lambda row: row == 9)
    assert found == Page([], (3,))
    assert cut(rows[4:7], 2, 4, lambda row: (row,), lambda row: row == 9) == Page([], None)


@given(
    matching=st.lists(st.booleans(), max_size=40),
    limit=st.integers(1, 5),
    window=st.integers(1, 7),
)
def test_a_filtered_listing_gives_every_match_once_and_in_order(matching, limit, window):
    window = max(window, limit + 1)
    rows = list(enumerate(matching))

    def page(after: Any) -> Page[Any]:
        start = 0 if after is None else after[0] + 1
        return cut(rows[start : start + window], limit, window, lambda row: (row[0],), lambda row: row[1])

    assert walk(page) == [row for row in rows if row[1]]


# Entries


def test_every_kind_of_entry_is_known():
    assert set(ENTRY_KINDS) == {kind.kind for kind in RULES} - {"lapse"} | {"lapse", "expire", "refusal"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sampled_from(["grant", "charge", "hold", "settings"]), max_size=14),
    limit=st.integers(1, 6),
    oldest_first=st.booleans(),
    kinds=st.sets(st.sampled_from(["grant", "charge", "hold", "settings", "open"]), max_size=2),
)
def test_pages_hold_every_entry_once_and_in_order_while_others_are_written(shop, steps, limit, oldest_first, kinds):
    account = f"walk-{next(_numbers)}"
    acts = {
        "grant": lambda: shop.grant(account),
        "charge": lambda: shop.charge(account),
        "hold": lambda: shop.hold(account),
        "settings": lambda: shop.do(SetAccount(workspace="main", account=account, frozen=False)),
    }
    shop.grant(account, 1_000)
    for step in steps:
        acts[step]()

    def page(after: Any) -> Page[Entry]:
        return shop.wait(
            shop.directory.entries(
                "main", account, kinds=sorted(kinds), oldest_first=oldest_first, after=after, limit=limit
            )
        )

    before = [e.number for e in shop.wait(shop.ledger.reports.entries("main", account, limit=1_000))]
    known = {e.number: e.kind for e in shop.wait(shop.ledger.reports.entries("main", account, limit=1_000))}
    writes = iter(["charge"] * 3)
    listed = [e.number for e in walk(page, lambda: [acts[step]() for step in [next(writes, None)] if step])]
    assert listed == sorted(listed, reverse=not oldest_first)
    assert len(set(listed)) == len(listed)
    wanted = {n for n in before if not kinds or known[n] in kinds}
    assert wanted <= set(listed)
    assert {n for n in listed if n in known} == wanted


def test_entries_of_a_time_are_found_by_halving(shop, account):
    times = []
    for _ in range(9):
        times.append(shop.now)
        shop.grant(account, 1)
        shop.clock.advance(60)
    entries = {e.number: e.at for e in shop.wait(shop.ledger.reports.entries("main", account, limit=100))}
    for since in (None, times[0] - 1, times[3], times[3] + 1, times[8] + 1):
        for until in (None, times[0], times[5], times[5] + 1, times[8] + 1):
            found = shop.wait(shop.directory.entries("main", account, since=since, until=until))
            expected = [n for n, at in entries.items() if (since or 0) <= at and (until is None or at < until)]
            assert [e.number for e in found.items] == sorted(expected, reverse=True)


def test_a_page_of_rare_entries_looks_at_so_many_and_says_that_there_is_more(shop, account, monkeypatch):
    monkeypatch.setattr("farthing.stores.directory.ENTRY_WINDOW", 4)
    voided = shop.grant(account, 1)
    shop.do(Void(workspace="main", account=account, grant=grant_id(voided)))
    for _ in range(10):
        shop.grant(account, 1)
    for oldest_first in (False, True):
        pages: list[Page[Entry]] = []

        def page(after: Any, oldest_first: bool = oldest_first, pages: list = pages) -> Page[Entry]:
            found = shop.wait(
                shop.directory.entries("main", account, kinds=["void"], after=after, oldest_first=oldest_first)
            )
            pages.append(found)
            return found

        assert [e.kind for e in walk(page)] == ["void"]
        assert len(pages) == 4


# Charges


def test_charges_are_listed_with_what_was_refunded_of_them(shop, account):
    shop.grant(account, 100)
    plain, refunded = shop.charge(account, 5), shop.charge(account, 7)
    settled = shop.do(Settle(workspace="main", account=account, hold=shop.hold(account, 10), amount=9))
    shop.do(Refund(workspace="main", account=account, charge=refunded.id, amount=3))
    page = shop.wait(shop.directory.charges("main", account))
    assert [(x.entry.id, x.charge.amount, x.charge.refunded) for x in page.items] == [
        (settled.id, 9, 0),
        (refunded.id, 7, 3),
        (plain.id, 5, 0),
    ]
    assert page.next is None
    walked = walk(lambda after: shop.wait(shop.directory.charges("main", account, before=after, limit=1)))
    assert [x.entry.id for x in walked] == [settled.id, refunded.id, plain.id]
    assert shop.wait(shop.directory.charge("main", refunded.id)).charge.refunded == 3
    assert shop.wait(shop.directory.charge("main", plain.id)).charge.refunded == 0


def test_a_hold_that_ended_by_itself_is_a_charge_only_where_it_took_something(shop, account):
    shop.grant(account, 100)
    shop.hold(account, 10, on_expiry="release")
    shop.hold(account, 20, on_expiry="all")
    shop.clock.advance(61)
    shop.charge(account, 1)
    page = shop.wait(shop.directory.charges("main", account))
    assert [(x.entry.kind, x.charge.amount) for x in page.items] == [("charge", 1), ("expire", 20)]
    (empty,) = [
        e for e in shop.wait(shop.ledger.reports.entries("main", account)) if e.kind == "expire" and not e.amount
    ]
    assert shop.wait(shop.directory.charge("main", empty.id)) is None


# Grants


def test_a_grant_tells_what_remains_of_it_and_what_became_of_the_rest(shop, account):
    ends = shop.now + DAY_US
    lapsing = grant_id(shop.grant(account, 30, expires_at=ends, priority=1))
    spent = grant_id(shop.grant(account, 10, priority=2))
    live = grant_id(shop.grant(account, 50, priority=3))
    voided = grant_id(shop.grant(account, 7, priority=4))
    shop.do(Void(workspace="main", account=account, grant=voided))
    shop.charge(account, 20)
    shop.hold(account, 5, ttl=2 * DAY_US)

    def figures(id: str, at: int) -> tuple[str, int, int, int, int]:
        owner, view = shop.wait(shop.directory.grant("main", id, at))
        assert owner == account
        return view.state, view.remaining, view.held, view.gone, view.spent

    assert figures(lapsing, shop.now) == ("live", 10, 5, 0, 20)
    assert figures(live, shop.now) == ("live", 50, 0, 0, 0)
    assert figures(voided, shop.now) == ("voided", 0, 0, 7, 0)
    assert figures(lapsing, ends) == ("live", 5, 5, 5, 20), "what a hold has set aside lives on"
    shop.clock.advance(DAY_US // 10**6)
    shop.charge(account, 5)
    assert figures(lapsing, shop.now) == ("live", 5, 5, 5, 20), "booked, it reads the same"
    shop.charge(account, 55)
    assert figures(spent, shop.now) == ("spent", 0, 0, 0, 10)

    def ids(state: str, limit: int = 50) -> list[str]:
        return [
            view.terms.id
            for view in walk(
                lambda before: shop.wait(
                    shop.directory.grants("main", account, shop.now, state=state, before=before, limit=limit)
                )
            )
        ]

    for limit in (1, 2, 50):
        assert ids("all", limit) == [voided, live, spent, lapsing]
        assert ids("live", limit) == [lapsing]
        assert ids("spent", limit) == [live, spent]
        assert ids("voided", limit) == [voided]
        assert ids("lapsed", limit) == []


def test_a_grant_whose_time_ran_out_is_lapsed_before_and_after_that_is_booked(shop, account):
    ends = shop.now + MINUTE_US
    id = grant_id(shop.grant(account, 30, expires_at=ends))
    shop.charge(account, 10)

    def state(at: int) -> tuple[str, int, int, int]:
        (view,) = shop.wait(shop.directory.grants("main", account, at)).items
        return view.state, view.remaining, view.gone, view.spent

    assert state(ends - 1) == ("live", 20, 0, 10)
    assert state(ends) == ("lapsed", 0, 20, 10)
    shop.clock.advance(61)
    shop.grant(account, 1)
    assert shop.wait(shop.directory.grant("main", id, shop.now))[1].gone == 20


# Holds


def test_holds_are_listed_newest_first_live_or_ended(shop, account):
    shop.grant(account, 100)
    holds = [shop.hold(account, 1, ttl=(10 - n) * MINUTE_US) for n in range(6)]
    shop.do(Release(workspace="main", account=account, hold=holds[1]))
    shop.do(Settle(workspace="main", account=account, hold=holds[4], amount=1))

    def ids(state: str, at: int, limit: int) -> list[str]:
        pages = walk(
            lambda before: shop.wait(shop.directory.holds("main", account, at, state=state, before=before, limit=limit))
        )
        return [h.id for h in pages]

    newest_first = holds[::-1]
    for limit in (1, 2, 50):
        assert ids("all", shop.now, limit) == newest_first
        assert ids("live", shop.now, limit) == [holds[i] for i in (5, 3, 2, 0)]
        assert ids("ended", shop.now, limit) == [holds[i] for i in (4, 1)]
        # The newest one's time is over, and nobody has booked it.
        assert ids("live", shop.now + 5 * MINUTE_US, limit) == [holds[i] for i in (3, 2, 0)]
        assert ids("ended", shop.now + 5 * MINUTE_US, limit) == [holds[i] for i in (5, 4, 1)]


def test_a_hold_whose_end_has_come_is_shown_as_it_will_be_booked(shop, account):
    shop.grant(account, 100)
    id = shop.hold(account, 10, on_expiry="all")
    ends = shop.now + MINUTE_US
    found = shop.wait(shop.directory.hold("main", id, ends))
    assert (found.state, found.settled, found.remaining) == ("expired", 10, 0)
    assert shop.wait(shop.directory.hold("main", id, ends - 1)).state == "live"
    shop.clock.advance(61)
    shop.charge(account, 1)
    assert shop.wait(shop.directory.hold("main", id, shop.now)) == found


# Payments, audit, keys, workspaces


def test_payments_are_listed_newest_first_by_provider_and_account(shop):
    made = []
    for n in range(6):
        shop.clock.advance(1)
        provider, account = ("stripe", "digistore24")[n % 2], f"payer-{n % 3}"
        shop.grant(account, 1, claim=(provider, f"pay-{n}"))
        made.append((provider, f"pay-{n}", account))

    def listed(limit: int, **filters: Any) -> list[tuple[str, str, str]]:
        rows = walk(lambda before: shop.wait(shop.directory.payments("main", before=before, limit=limit, **filters)))
        return [(p.provider, p.object, p.account) for p in rows]

    for limit in (1, 4, 50):
        assert listed(limit) == made[::-1]
        assert listed(limit, provider="stripe") == [p for p in made[::-1] if p[0] == "stripe"]
        assert listed(limit, account="payer-1") == [p for p in made[::-1] if p[2] == "payer-1"]
        assert listed(limit, account="payer-1", provider="stripe") == [made[4]]
    assert shop.wait(shop.directory.payment("main", "stripe", "pay-0")).account == "payer-0"
    assert shop.wait(shop.directory.payment("other", "stripe", "pay-0")) is None
    assert shop.wait(shop.directory.payments("other")).items == []


def test_the_audit_log_is_filtered_by_who_what_whom_and_when(shop, account):
    began = shop.now
    for n in range(5):
        shop.clock.advance(1)
        shop.do(Adjust(workspace="main", account=account, amount=1, actor=f"clerk-{n % 2}") if n else _opening(account))
    page = shop.ledger.access.audit_page

    def actions(limit: int, **filters: Any) -> list[tuple[str, str]]:
        rows = walk(lambda before: shop.wait(page("main", before=before, limit=limit, **filters)))
        return [(r.action, r.actor) for r in rows]

    adjusts = [("account.adjust", f"clerk-{n % 2}") for n in (4, 3, 2, 1)]
    for limit in (1, 2, 50):
        assert actions(limit, subject=account) == [*adjusts, ("account.open", "")]
        assert actions(limit, subject=account, actor="clerk-1") == [a for a in adjusts if a[1] == "clerk-1"]
        assert actions(limit, subject=account, action="account.open") == [("account.open", "")]
        assert actions(limit, subject=account, since=began + 4 * 10**6) == adjusts[:2]
        assert actions(limit, subject=account, until=began + 2 * 10**6) == [("account.open", "")]
    assert shop.wait(page("other", subject=account)).items == []


def _opening(account: str) -> Command:
    return CreateAccount(workspace="main", account=account)


def _page(shop: Any, listing: Callable[..., Any], *where: str, limit: int) -> Page[Any]:
    *owner, after = where
    return shop.wait(listing(*owner, after=after, limit=limit))


def test_keys_and_workspaces_are_listed_in_pages(shop):
    for n in range(5):
        key = make_key("live")
        act = Act("tester", START_US + n // 2)
        shop.wait(
            shop.ledger.access.create_key("other", f"key_{n}", key.hash, key.hint, "bot", frozenset({"read"}), act)
        )
    access = shop.ledger.access
    for limit in (1, 2, 50):
        keys = walk(partial(_page, shop, access.keys_page, "other", limit=limit))
        assert [key.id for key in keys] == [f"key_{n}" for n in range(5)]
        assert [w.id for w in walk(partial(_page, shop, access.workspaces, limit=limit))] == ["main", "other"]
    assert shop.wait(shop.ledger.access.key("main", "key_1")) is None
    assert shop.wait(shop.ledger.access.key("other", "key_1")).id == "key_1"


# Walls


def test_nothing_is_found_from_another_workspace_nor_by_an_id_that_is_none(shop, account):
    granted = shop.grant(account, 100)
    charge, hold = shop.charge(account, 1), shop.hold(account)
    reports, directory, now = shop.ledger.reports, shop.directory, shop.now
    for workspace, made in (("main", True), ("other", False)):
        assert (shop.wait(reports.entry(workspace, charge.id)) is not None) is made
        assert (shop.wait(directory.charge(workspace, charge.id)) is not None) is made
        assert (shop.wait(directory.grant(workspace, grant_id(granted), now)) is not None) is made
        assert (shop.wait(directory.hold(workspace, hold, now)) is not None) is made
        assert (shop.wait(directory.entries(workspace, account)) is not None) is made
        assert (shop.wait(directory.charges(workspace, account)) is not None) is made
        assert (shop.wait(directory.grants(workspace, account, now)) is not None) is made
        assert (shop.wait(directory.holds(workspace, account, now)) is not None) is made
    for wrong in ("", "ent_", "ent_" + "g" * 32, charge.id + "0", "\0" + charge.id, "ent_\ud800" + "0" * 31, hold):
        assert shop.wait(reports.entry("main", wrong)) is None
        assert shop.wait(directory.charge("main", wrong)) is None
        assert shop.wait(directory.grant("main", wrong, now)) is None
    assert shop.wait(directory.hold("main", "hold_\0", now)) is None
    assert shop.wait(directory.charge("main", granted.id)) is None, "a grant is no charge"


# Plans


def plan_of(db: apsw.Connection, sql: str) -> list[str]:
    values = [0] * sql.count("?")
    return [row[3] for row in db.execute(f"explain query plan {sql}", values)]


def test_on_sqlite_every_listing_is_served_by_an_index_in_its_order(tmp_path: Path):
    with open_ledger(f"sqlite:///{tmp_path / 'plans.db'}", create=True):
        db = apsw.Connection(str(tmp_path / "plans.db"))
    named = {**statements("sqlite", "directory")}
    access = statements("sqlite", "access")
    named |= {name: access[name] for name in ("keys_page", "workspaces_page", "audit", "first_act", "has_key")}
    named["standing"] = statements("sqlite", "reports")["standing"]
    sorted_afterwards = {"live_holds": "as many as may live"}
    for name, sql in named.items():
        plan = plan_of(db, sql)
        scans = [step for step in plan if step.startswith("SCAN") and step.split()[1] not in ("live", "chosen", "c")]
        assert [step for step in scans if "json_each" not in step] == [], (name, plan)
        if name not in sorted_afterwards:
            # Only equal times may have to be put in order, never the whole.
            assert not any(step == "USE TEMP B-TREE FOR ORDER BY" for step in plan), (name, plan)
    assert any("hold_live" in step for step in plan_of(db, named["live_holds"]))
    assert any("hold_live" in step for step in plan_of(db, named["standing"]))


def test_the_windows_hold_a_whole_page():
    assert min(WINDOW, ENTRY_WINDOW) > 200
    assert BUCKETS == 4096
