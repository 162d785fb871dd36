"""The contract of a store, as tests: what is saved is what is loaded, once, or not at all.

A database inherits `StoreSuite` and gives two fixtures: `make_store`, which opens one more store on the same fresh
database with the workspaces `main` and `other`, and `execute`, which runs a statement and returns its rows. `run`
drives a store's coroutines to their end.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from msgspec.structs import asdict, replace

from farthing.core.commands import (
    Adjust,
    Command,
    CreateAccount,
    EndSubscription,
    Extend,
    GiveGrant,
    Lapse,
    PlaceHold,
    Refund,
    Release,
    Renew,
    SetAccount,
    SetBalance,
    Settle,
    Subscribe,
    TakeCharge,
    Unsubscribe,
    Void,
)
from farthing.core.context import Context
from farthing.core.decide import decide
from farthing.core.ids import bucket_in, bucket_of
from farthing.core.outcomes import Accepted, Outcome, Refused
from farthing.core.records import Audit, Due, Entry, Event, PaymentClaim, Workspace, WorkspaceSettings
from farthing.core.refundable import read_body
from farthing.core.subscription import Subscription, end_key, renewal_key
from farthing.stores.contract import Raced, Store, result_of
from farthing.timezones import calendar, months_after
from tests.support import START_US, UNIT, USED, SteadyIds, entry_of, grant_id, hold_id

T = TypeVar("T")
ALICE: dict[str, Any] = {"workspace": "main", "account": "alice"}
BOB: dict[str, Any] = {"workspace": "main", "account": "bob"}
SECOND = 1_000_000
WORKSPACES = (
    Workspace("main", "Main", "live", "credits", 6, START_US, WorkspaceSettings()),
    Workspace(
        "other", "Ümlaut ☃", "test", "USD", 9, START_US, WorkspaceSettings(refund_lapsed="lapse", max_live_holds=7)
    ),
)


def subscription_in(entry: Entry) -> Subscription:
    found = read_body(entry).subscription
    assert found is not None
    return found


class StoreSuite:
    """Tests that every store passes."""

    @pytest.fixture
    def make_store(self) -> Callable[[], Store]:
        raise NotImplementedError

    @pytest.fixture
    def execute(self) -> Callable[..., list[tuple[Any, ...]]]:
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        result_of(work)

    @pytest.fixture
    def store(self, make_store: Callable[[], Store]) -> Store:
        self.ids = SteadyIds()
        self.at = START_US
        return make_store()

    # Playing

    def load(self, store: Store, *commands: Command, again: bool = False) -> Context:
        """Stamp the commands as the engine does, and load what they need."""
        for command in commands:
            command.at = command.at or self.at
            bucket = bucket_of(command.workspace, command.account) if command.account else bucket_in(command.hold) or 0  # type: ignore[attr-defined]
            command.id = command.id or self.ids("ent", command.at, bucket)
        context = Context(self.ids, calendar, months_after)
        self.run(store.load(commands, context, again=again))
        return context

    def decide(self, context: Context, *commands: Command) -> tuple[list[Outcome], list[Accepted]]:
        """Decide in order, and what of it is to be saved."""
        outcomes, kept = [], []
        for command in commands:
            outcome = decide(command, context)
            keep = outcome.accepted if isinstance(outcome, Refused) else outcome
            if keep is not None and keep.account is not None:
                context.apply(keep)
                kept.append(keep)
            outcomes.append(outcome)
        return outcomes, kept

    def play(self, store: Store, *commands: Command) -> list[Outcome]:
        """One batch, to the end."""
        outcomes, kept = self.decide(self.load(store, *commands), *commands)
        self.run(store.save(kept))
        self.run(store.commit())
        return outcomes

    def write(self, store: Store, outcome: Accepted) -> None:
        """Save and commit: some stores write only with the commit."""
        self.run(store.save([outcome]))
        self.run(store.commit())

    def accept(self, store: Store, command: Command) -> Entry:
        return entry_of(self.play(store, command)[0])

    def look(self, store: Store, *commands: Command) -> Context:
        """What a store loads for these commands; nothing is kept."""
        context = self.load(store, *commands)
        self.run(store.rollback())
        return context

    # Nothing is there

    def test_what_does_not_exist_is_not_loaded(self, store):
        context = self.look(
            store,
            TakeCharge(**ALICE, amount=1, key="k"),
            GiveGrant(**ALICE, amount=1, claim=("shop", "p")),
            Void(**ALICE, grant="grt_" + "0" * 32),
            Settle(**ALICE, hold="hold_" + "0" * 32),
            Refund(**ALICE, charge="ent_" + "0" * 32),
            Refund(**ALICE, amount=1),
            TakeCharge(workspace="nowhere", account="alice", amount=1),
        )
        assert context.workspaces.keys() == {"main"}
        for name in ("accounts", "keys", "claims", "grants", "holds", "charges", "done", "due_holds", "owing"):
            assert getattr(context, name) == {}, name
        assert context.refundable == {("main", "alice"): []}

    @pytest.mark.parametrize("text", ["", "x", "ent_", "grt_zz", "' or 1=1 --", "☃" * 40])
    def test_text_that_is_no_id_finds_nothing(self, store, text):
        self.accept(store, GiveGrant(**ALICE, amount=1))
        context = self.look(
            store,
            Void(**ALICE, grant=text),
            Release(**ALICE, hold=text),
            Refund(**ALICE, charge=text or "x"),
            Release(workspace="main", account="", hold=text),
        )
        assert (context.grants, context.holds, context.charges) == ({}, {}, {})

    def test_workspaces_come_with_their_settings(self, store):
        context = self.look(store, Lapse(**ALICE), Lapse(workspace="other", account="x"))
        assert [context.workspaces[w.id] for w in WORKSPACES] == list(WORKSPACES)

    # Subscriptions

    def put_plan(self, execute, id="pro", workspace="main"):
        row = f'(\'{workspace}\', \'{id}\', \'{{"id":"{id}","allowance":100,"every":30}}\', 1, 2)'
        execute(f"insert into plan (workspace, id, document, created_at, updated_at) values {row}")

    def test_a_subscription_is_loaded_with_its_plan_where_it_is_named_and_nowhere_else(self, store, execute):
        self.put_plan(execute)
        self.put_plan(execute, "other", "other")
        entry = self.accept(store, Subscribe(**ALICE, plan="pro"))
        s = subscription_in(entry)
        key = renewal_key(s.id, s.next_at)
        renew = Renew(**ALICE, subscription=s.id, period_at=s.next_at, key=key)
        for command in (renew, Unsubscribe(**ALICE), EndSubscription(**ALICE, subscription=s.id, key=end_key(s.id))):
            context = self.look(store, command)
            assert context.subscriptions == {("main", "alice"): s}
            assert {at: kept.plan.allowance for at, kept in context.plans.items()} == {("main", "pro"): 100}
        assert self.look(store, Subscribe(**BOB, plan="other")).plans == {}
        context = self.look(store, TakeCharge(**ALICE, amount=1), GiveGrant(**ALICE, amount=1))
        assert (context.subscriptions, context.plans) == ({}, {})

    def test_the_row_of_a_subscription_is_that_of_the_last_change_and_free_of_marks(self, store, execute):
        self.put_plan(execute)
        s = subscription_in(self.accept(store, Subscribe(**ALICE, plan="pro")))
        execute("update subscription set claimed_until = 5, retry_at = 6")
        self.at = s.next_at
        renew = Renew(**ALICE, subscription=s.id, period_at=s.next_at, key=renewal_key(s.id, s.next_at))
        renewed, ended = self.play(store, renew, Unsubscribe(**ALICE, at_once=True))
        after = subscription_in(entry_of(ended))
        rows = execute("select plan, next_at, ended_at, claimed_until, retry_at from subscription")
        assert [tuple(row) for row in rows] == [("pro", after.next_at, s.next_at, 0, 0)]
        assert self.look(store, Unsubscribe(**ALICE)).subscriptions == {("main", "alice"): after}
        assert entry_of(renewed).key == renew.key

    def test_the_second_who_renews_a_period_finds_the_first(self, make_store, store, execute):
        self.put_plan(execute)
        s = subscription_in(self.accept(store, Subscribe(**ALICE, plan="pro")))
        self.at = s.next_at
        renew = {**ALICE, "subscription": s.id, "period_at": s.next_at, "key": renewal_key(s.id, s.next_at)}
        first = self.accept(store, Renew(**renew))
        (again,) = self.play(make_store(), Renew(**renew))
        assert again == Accepted(first, replayed=True)

    # What is saved is what is loaded

    def test_an_account_is_loaded_as_it_was_saved(self, store, make_store):
        """With every kind of figure: scoped, dated and pinned grants, a hold, debt, settings, a spend window."""
        self.play(
            store,
            GiveGrant(**ALICE, amount=100, expires_at=self.at + SECOND, scope=("a", "model:b*"), priority=3),
            GiveGrant(**ALICE, amount=10**15 - 1, category="promotional"),
            SetAccount(
                **ALICE,
                allowance=5,
                frozen=False,
                spend_limit_day=10**14,
                spend_limit_month=None,
                timezone="Asia/Tokyo",
            ),
            PlaceHold(**ALICE, amount=30, ttl=60 * SECOND),
            TakeCharge(**ALICE, amount=7, operation="a"),
        )
        commands = [TakeCharge(**ALICE, amount=3, shortfall="debt"), Adjust(**ALICE, amount=-1, force=True)]
        _, kept = self.decide(self.load(store, *commands), *commands)
        self.run(store.save(kept))
        self.run(store.commit())
        saved = kept[-1].account
        assert saved is not None
        assert self.look(make_store(), Lapse(**ALICE)).accounts == {("main", "alice"): saved}

    def test_an_entry_is_loaded_as_it_was_saved(self, store, make_store):
        command = GiveGrant(
            **ALICE, amount=5, key="k", actor="key_1", request_id="r", operation="o", description="d\n☃ '\"",
            metadata='{"a": "☃"}', source={"id": "'"},
        )  # fmt: skip
        entry = self.accept(store, command)
        again = replace(command, id="", at=0)
        assert self.look(make_store(), again).keys == {("main", "alice", "k"): entry}

    def test_a_hold_is_loaded_as_it_was_saved(self, store, make_store):
        self.accept(store, GiveGrant(**ALICE, amount=100))
        command = PlaceHold(
            **ALICE, amount=30, ttl=60 * SECOND, on_expiry="metered", operation="chat", attributes={"model": "☃"}
        )  # fmt: skip
        placed = self.play(store, command)[0]
        assert isinstance(placed, Accepted)
        (hold,) = placed.holds
        assert self.look(make_store(), Release(**ALICE, hold=hold.id)).holds == {hold.id: hold}
        extended = self.play(store, Extend(**ALICE, hold=hold.id, metered=4, raise_by=2))[0]
        assert isinstance(extended, Accepted)
        assert self.look(make_store(), Release(**ALICE, hold=hold.id)).holds == {hold.id: extended.holds[0]}

    def test_a_grant_is_loaded_with_what_became_of_it(self, store, make_store):
        command = GiveGrant(
            **ALICE, amount=100, expires_at=self.at + SECOND, scope=("x",), source={"id": "1"}, priority=7
        )
        grant = grant_id(self.accept(store, command))
        (terms,) = self.look(make_store(), Void(**ALICE, grant=grant)).grants.values()
        assert (terms.id, terms.amount, terms.priority, terms.scope, terms.source) == (
            grant,
            100,
            7,
            ("x",),
            {"id": "1"},
        )
        assert (terms.gone, terms.voided) == (0, False)
        self.accept(store, TakeCharge(**ALICE, amount=40, operation="x"))
        self.at += 2 * SECOND
        self.play(store, Lapse(**ALICE))
        self.accept(store, Void(**ALICE, grant=grant))
        (terms,) = self.look(make_store(), Void(**ALICE, grant=grant)).grants.values()
        assert (terms.gone, terms.voided) == (60, True)

    def test_a_charge_is_read_from_its_entry_until_something_becomes_of_it(self, store, make_store):
        self.accept(store, GiveGrant(**ALICE, amount=100))
        charge = self.accept(store, TakeCharge(**ALICE, amount=40))
        (loaded,) = self.look(make_store(), Refund(**ALICE, charge=charge.id)).charges.values()
        assert (loaded.amount, loaded.refunded, [s.amount for s in loaded.slices]) == (40, 0, [40])
        self.accept(store, Refund(**ALICE, charge=charge.id, amount=15))
        context = self.look(make_store(), Refund(**ALICE, charge=charge.id))
        (loaded,) = context.charges.values()
        assert (loaded.amount, loaded.refunded, [s.refunded for s in loaded.slices]) == (40, 15, [15])
        assert [key[2] for key in context.grants] == [loaded.slices[0].grant]

    def test_a_payment_is_found_whoever_asks(self, store, make_store):
        entry = self.accept(store, GiveGrant(**ALICE, amount=5, claim=("shop", "p")))
        context = self.look(make_store(), GiveGrant(**BOB, amount=5, claim=("shop", "p")))
        claimed = context.claims["main", "shop", "p"]
        assert claimed.entry == entry
        assert asdict(claimed.claim) == asdict(PaymentClaim("main", "shop", "p", "alice", entry.id, self.at))
        elsewhere = GiveGrant(workspace="other", account="alice", amount=5, claim=("shop", "p"))
        assert self.look(make_store(), elsewhere).claims == {}

    def test_the_largest_figures_come_back_exactly(self, store, make_store):
        self.accept(store, GiveGrant(**ALICE, amount=1))
        context = self.load(store, Adjust(**ALICE, amount=1))
        account = context.accounts["main", "alice"]
        huge = 10**18 - 1
        kept = self.decide(context, Adjust(**ALICE, amount=1, id="ent_" + "0" * 32, at=self.at))[1]
        kept[0].account = replace(
            account, balance=-huge, debt=huge, earned=huge, spent=huge, lapsed=huge, written_off=-huge
        )
        self.run(store.save(kept))
        self.run(store.commit())
        assert self.look(make_store(), Lapse(**ALICE)).accounts["main", "alice"] == kept[0].account

    def test_of_several_outcomes_of_an_account_the_last_is_its_state(self, store, make_store):
        outcomes = self.play(store, GiveGrant(**ALICE, amount=5), *(TakeCharge(**ALICE, amount=1) for _ in range(3)))
        assert [entry_of(o).number for o in outcomes] == [2, 3, 4, 5]
        assert self.look(make_store(), Lapse(**ALICE)).accounts["main", "alice"].balance == 2

    # All or nothing

    def test_what_is_rolled_back_was_never_there(self, store, make_store, execute):
        command = GiveGrant(**ALICE, amount=5, key="k", claim=("shop", "p"))
        self.run(store.save(self.decide(self.load(store, command), command)[1]))
        self.run(store.rollback())
        context = self.look(make_store(), command)
        assert (context.accounts, context.keys, context.claims) == ({}, {}, {})
        for table in ("entry", "account", "key", "grants", "payment", "audit", "job"):
            assert execute(f"select count(*) from {table}") == [(0,)], table

    def test_a_store_goes_on_after_a_rollback_and_one_too_many_is_harmless(self, store):
        self.look(store, Lapse(**ALICE))
        self.run(store.rollback())
        self.accept(store, GiveGrant(**ALICE, amount=5))
        self.run(store.rollback())
        assert self.look(store, Lapse(**ALICE)).accounts["main", "alice"].balance == 5

    @pytest.mark.parametrize("twice", ["key", "number", "id", "payment"])
    def test_what_must_be_unique_can_not_be_written_twice(self, store, make_store, execute, twice):
        """Another process was first, although this one did not see it: nothing is done; it is told to look again."""
        first = GiveGrant(**ALICE, amount=5, key="k", claim=("shop", "p"))
        kept = self.decide(self.load(store, first), first)[1]
        self.run(store.save(kept))
        self.run(store.commit())
        entry = kept[0].entry
        assert entry is not None
        other = replace(entry, id="ent_" + "0" * 32, number=9, key="other")
        records: list[Any] = []
        if twice == "payment":
            records = [PaymentClaim("main", "shop", "p", "alice", other.id, self.at)]
        else:
            other = replace(other, **{twice: getattr(entry, twice)})
        second = make_store()
        self.load(second, Lapse(**ALICE))
        with pytest.raises(Raced):
            self.write(second, Accepted(other, kept[0].account, [other], records=records))
        self.run(second.rollback())
        assert execute("select count(*) from entry") == [(2,)]
        self.accept(second, TakeCharge(**ALICE, amount=1))

    @pytest.mark.parametrize("table", ["entry", "audit", "key", "usage"])
    @pytest.mark.parametrize("change", ["update {} set workspace = 'x'", "delete from {}"])
    def test_entries_audit_keys_and_usage_are_never_changed_or_deleted(self, store, execute, table, change):
        self.accept(store, GiveGrant(**ALICE, amount=5, key="k"))
        self.accept(store, TakeCharge(**ALICE, amount=1, usage=USED))
        before = execute(f"select * from {table}")
        assert before
        with pytest.raises(Exception, match=r"never|for ever"):
            execute(change.format(table))
        assert execute(f"select * from {table}") == before

    # What is loaded for whom

    def test_after_an_unknown_outcome_what_was_written_is_found_by_its_id(self, store, make_store):
        written = TakeCharge(**ALICE, amount=1)
        refused = TakeCharge(**ALICE, amount=99, key="final", final=True)
        lost = TakeCharge(**ALICE, amount=1)
        self.accept(store, GiveGrant(**ALICE, amount=5))
        done, recorded = self.play(store, written, refused)
        second = make_store()
        context = self.load(second, written, refused, lost, again=True)
        self.run(second.rollback())
        assert isinstance(recorded, Refused)
        assert context.done == {written.id: entry_of(done), refused.id: recorded.entry}
        assert self.look(second, written).done == {}

    def test_a_hold_alone_says_whose_it_is(self, store):
        self.accept(store, GiveGrant(**ALICE, amount=50))
        hold = hold_id(self.accept(store, PlaceHold(**ALICE, amount=5, ttl=SECOND)))
        mine = Settle(workspace="main", account="", hold=hold)
        elsewhere = Settle(workspace="other", account="", hold=hold)
        context = self.look(store, mine, elsewhere)
        assert (mine.account, elsewhere.account) == ("alice", "")
        assert context.accounts.keys() == {("main", "alice")}

    def test_the_key_of_a_hold_that_is_not_there_is_nobodys(self, store, execute):
        """Keys of administrative writes belong to no account; a hold that was not found has none either."""
        bucket = bucket_of("main", "")
        execute(f"insert into key (workspace, key, account, bucket, number) values ('main', 'k', '', {bucket}, 1)")
        context = self.look(store, Settle(workspace="main", account="", hold="hold_" + "0" * 32, key="k"))
        assert context.keys == {}

    def test_a_hold_of_another_workspace_is_not_loaded(self, store):
        self.accept(store, GiveGrant(**ALICE, amount=50))
        hold = hold_id(self.accept(store, PlaceHold(**ALICE, amount=5, ttl=SECOND)))
        assert self.look(store, Release(workspace="other", account="alice", hold=hold)).holds == {}

    def test_a_grant_is_loaded_only_for_its_account(self, store):
        grant = grant_id(self.accept(store, GiveGrant(**ALICE, amount=50)))
        self.accept(store, GiveGrant(**BOB, amount=50))
        context = self.look(
            store,
            Void(**ALICE, grant=grant),
            Void(**BOB, grant=grant),
            Void(workspace="other", account="alice", grant=grant),
        )
        assert context.grants.keys() == {("main", "alice", grant)}

    def test_holds_that_have_ended_are_loaded_first_end_first_with_the_next_end(self, store):
        self.accept(store, GiveGrant(**ALICE, amount=50))
        holds = [self.accept(store, PlaceHold(**ALICE, amount=1, ttl=ttl * SECOND)) for ttl in (3, 1, 9, 2, 5)]
        self.accept(store, Release(**ALICE, hold=hold_id(holds[3])))
        self.at += 3 * SECOND
        context = self.look(store, TakeCharge(**ALICE, amount=1))
        assert context.due_holds == {("main", "alice"): [hold_id(holds[1]), hold_id(holds[0])]}
        assert context.next_hold == {("main", "alice"): START_US + 5 * SECOND}
        assert context.holds.keys() == {hold_id(holds[1]), hold_id(holds[0])}

    def test_holds_that_live_on_are_not_loaded(self, store):
        self.accept(store, GiveGrant(**ALICE, amount=50))
        self.accept(store, PlaceHold(**ALICE, amount=1, ttl=9 * SECOND))
        context = self.look(store, TakeCharge(**ALICE, amount=1))
        assert (context.holds, context.due_holds) == ({}, {})

    def test_debt_is_loaded_oldest_first_for_what_may_repay_it(self, store):
        self.accept(store, CreateAccount(**ALICE))
        owing = []
        for _ in range(3):
            self.at += SECOND
            owing.append(self.accept(store, TakeCharge(**ALICE, amount=5, shortfall="debt")).id)
        self.accept(store, Refund(**ALICE, charge=owing[1]))
        for command in (
            GiveGrant(**ALICE, amount=1),
            Adjust(**ALICE, amount=1),
            SetBalance(**ALICE, amount=1, mode="replace"),
            Refund(**ALICE, charge=owing[1]),
        ):
            context = self.look(store, command)
            assert context.owing == {("main", "alice"): [owing[0], owing[2]]}, command.kind
            assert {owing[0], owing[2]} <= context.charges.keys()
        assert self.look(store, TakeCharge(**ALICE, amount=1)).owing == {}

    def test_the_newest_charges_are_loaded_until_they_cover_a_refund(self, store):
        self.accept(store, GiveGrant(**ALICE, amount=100))
        charges = [self.accept(store, TakeCharge(**ALICE, amount=10)).id for _ in range(5)]
        self.accept(store, Refund(**ALICE, charge=charges[4]))
        self.accept(store, Refund(**ALICE, charge=charges[3], amount=4))
        wanted = {6: [3], 7: [3, 2], 16: [3, 2], 17: [3, 2, 1], 999: [3, 2, 1, 0]}
        for amount, expected in wanted.items():
            context = self.look(store, Refund(**ALICE, amount=amount))
            assert context.refundable == {("main", "alice"): [charges[n] for n in expected]}, amount

    # Records that ride along

    def test_records_of_a_command_are_written_in_its_commit(self, store, execute):
        riding = (Audit("main", self.at, "key_1", "req", "shop.sold", "alice", detail={"n": 1}),)
        self.accept(store, GiveGrant(**ALICE, amount=5, records=riding))
        assert execute("select actor, action, detail from audit where action = 'shop.sold'") == [
            ("key_1", "shop.sold", '{"n":1}')
        ]

    def test_usage_is_a_row_of_the_commit_for_each_charge_that_has_it(self, store, execute):
        self.accept(store, GiveGrant(**ALICE, amount=50))
        used, plain = TakeCharge(**ALICE, amount=3, usage=USED), TakeCharge(**ALICE, amount=2)
        broke = TakeCharge(**BOB, amount=1, usage=USED)
        outcomes = self.play(store, used, plain, broke)
        assert isinstance(outcomes[2], Refused)
        assert execute("select id, account, bucket, service, amount, cost, unpriced from usage") == [
            (used.id, "alice", bucket_of("main", "alice"), "tests", 3, None, 0)
        ]
        unkept = TakeCharge(**ALICE, amount=1, usage=USED)
        self.run(store.save(self.decide(self.load(store, unkept), unkept)[1]))
        self.run(store.rollback())
        assert execute("select count(*) from usage") == [(1,)]

    def test_what_time_will_do_next_is_on_the_table_and_taken_off_again(self, store, execute):
        due = "select workspace, subject, bucket, due_at from job where kind = 'account'"
        bucket = bucket_of("main", "alice")
        self.accept(store, GiveGrant(**ALICE, amount=50))
        assert execute(due) == []
        self.accept(store, GiveGrant(**ALICE, amount=50, expires_at=self.at + 9 * SECOND))
        assert execute(due) == [("main", "alice", bucket, START_US + 9 * SECOND)]
        self.accept(store, PlaceHold(**ALICE, amount=1, ttl=2 * SECOND))
        assert execute(due) == [("main", "alice", bucket, START_US + 2 * SECOND)]
        self.at += 2 * SECOND
        self.play(store, Lapse(**ALICE))
        assert execute(due) == [("main", "alice", bucket, START_US + 9 * SECOND)]
        self.at += 9 * SECOND
        self.play(store, Lapse(**ALICE))
        assert execute(due) == []

    def test_a_due_row_that_was_parked_or_locked_is_fresh_after_it_moved(self, store, execute):
        self.accept(store, GiveGrant(**ALICE, amount=50, expires_at=self.at + 9 * SECOND))
        execute("update job set attempts = 3, locked_until = 5, last_error = 'x', parked_at = 7")
        row = Due("main", "alice", bucket_of("main", "alice"), self.at + SECOND)
        context = self.load(store, Lapse(**ALICE))
        self.run(store.save([Accepted(None, context.accounts["main", "alice"], records=[row])]))
        self.run(store.commit())
        fresh = execute("select due_at, attempts, locked_until, last_error, parked_at from job")
        assert fresh == [(self.at + SECOND, 0, 0, None, None)]

    # Two stores

    def test_two_stores_take_turns_on_one_account(self, store, make_store):
        stores: Sequence[Store] = (store, make_store())
        self.accept(store, GiveGrant(**ALICE, amount=100 * UNIT))
        entries = [self.accept(stores[n % 2], TakeCharge(**ALICE, amount=UNIT)) for n in range(10)]
        assert [e.number for e in entries] == list(range(3, 13))
        assert entries[-1].balance == 90 * UNIT

    def test_a_key_of_one_store_is_found_by_the_other(self, store, make_store):
        self.accept(store, GiveGrant(**ALICE, amount=100))
        first = self.accept(store, TakeCharge(**ALICE, amount=1, key="k"))
        (again,) = self.play(make_store(), TakeCharge(**ALICE, amount=1, key="k"))
        assert isinstance(again, Accepted)
        assert (again.replayed, again.entry) == (True, first)

    # What is told

    ASKED = '[["whe_1",["charge.*","spend_limit.*"],0],["whe_2",["charge.created"],0]]'

    def ask_for(self, execute, told=ASKED, workspace="main"):
        execute(f"update workspace set told = '{told}' where id = '{workspace}'")

    def told(self, execute):
        return execute("select type, account, data from event order by id"), execute(
            "select endpoint, account, number, attempts from outbox order by number, endpoint"
        )

    def test_events_and_their_deliveries_are_in_the_commit_of_what_they_tell(self, store, execute):
        self.play(store, GiveGrant(**ALICE, amount=9), GiveGrant(**BOB, amount=9))
        self.ask_for(execute)
        charges = [TakeCharge(**ALICE, amount=2), TakeCharge(**BOB, amount=1), TakeCharge(**ALICE, amount=3)]
        numbers = [entry_of(outcome).number for outcome in self.play(store, *charges)]
        events, outbox = self.told(execute)
        assert [(type, account) for type, account, _ in events] == [
            ("charge.created", "alice"), ("charge.created", "bob"), ("charge.created", "alice"),
        ]  # fmt: skip
        assert sorted(outbox) == sorted(
            (endpoint, charge.account, number, 0)
            for charge, number in zip(charges, numbers, strict=True)
            for endpoint in ("whe_1", "whe_2")
        )
        rows = execute("select e.bucket, o.bucket, e.at, o.due_at from event e join outbox o on o.event = e.id")
        assert {(first == second, at, due_at) for first, second, at, due_at in rows} == {(True, self.at, self.at)}

    def test_what_is_not_committed_is_not_told(self, store, execute):
        self.accept(store, GiveGrant(**ALICE, amount=9))
        self.ask_for(execute)
        commands = [TakeCharge(**ALICE, amount=2), GiveGrant(**BOB, amount=1)]
        self.run(store.save(self.decide(self.load(store, *commands), *commands)[1]))
        self.run(store.rollback())
        assert self.told(execute) == ([], [])

    def test_who_asks_from_now_on_is_told_by_every_process_from_its_next_batch_on(self, store, make_store, execute):
        other = make_store()
        self.accept(store, GiveGrant(**ALICE, amount=9))
        self.accept(other, TakeCharge(**ALICE, amount=1))
        self.ask_for(execute)
        for each in (other, store):
            self.accept(each, TakeCharge(**ALICE, amount=1))
        assert len(self.told(execute)[1]) == 4
        self.ask_for(execute, "")
        for each in (other, store):
            self.accept(each, TakeCharge(**ALICE, amount=1))
        assert len(self.told(execute)[1]) == 4

    def test_what_a_workspace_is_told_is_no_other_s(self, store, execute):
        self.ask_for(execute)
        other: dict[str, Any] = {"workspace": "other", "account": "alice"}
        self.play(store, GiveGrant(**other, amount=9), TakeCharge(**other, amount=1))
        assert self.told(execute) == ([], [])

    @pytest.mark.parametrize("at_once", [False, True])
    def test_what_is_told_once_is_written_once_with_its_deliveries(self, store, make_store, execute, at_once):
        self.play(store, GiveGrant(**ALICE, amount=9), SetAccount(**ALICE, spend_limit_day=1))
        self.ask_for(execute)
        before = self.look(store, Lapse(**ALICE)).accounts
        refused = [TakeCharge(**ALICE, amount=5) for _ in range(3)]
        for batch in [refused] if at_once else [[each] for each in refused]:
            outcomes = self.play(make_store(), *batch)
            assert {getattr(outcome, "code", None) for outcome in outcomes} == {"spend_limit"}
        assert self.told(execute)[0] == [("spend_limit.reached", "alice", self.told(execute)[0][0][2])]
        assert self.told(execute)[1] == [("whe_1", "alice", 3, 0)]
        assert self.look(store, Lapse(**ALICE)).accounts == before

    def test_an_event_about_another_account_rides_along_as_well(self, store, execute):
        self.ask_for(execute, '[["whe_1",["*"],0]]')
        event = Event("evt_" + "1" * 32, "main", "bob", 7, "jobs.parked", self.at, {"kind": "x"})
        self.accept(store, GiveGrant(**ALICE, amount=9, records=(event,)))
        assert ("jobs.parked", "bob", '{"kind":"x"}') in self.told(execute)[0]
        assert ("whe_1", "bob", 2, 0) in self.told(execute)[1]
