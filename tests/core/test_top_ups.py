"""Automatic top-ups: when a decision has an account looked at, what is bought, and each step of an attempt."""

from typing import Any

import msgspec
import pytest
from msgspec import structs
from msgspec.structs import replace

from farthing.core.auto_top_up import AutoTopUp, problems
from farthing.core.catalogue import KeptProduct, Product, Tier, TopUp
from farthing.core.commands import CreateAccount, GiveGrant, Lapse, PlaceHold, SetAccount, Settle, TakeCharge
from farthing.core.events import TYPES
from farthing.core.top_up_attempts import Attempt, Standing, state_of
from farthing.core.top_up_offers import Bought, Unbuyable, sale_problem, to_buy
from farthing.core.top_up_pages import Closed
from farthing.core.top_ups import (
    HOUR_US,
    MINUTE_US,
    OVERDUE_US,
    Answer,
    Seen,
    Step,
    answered,
    closed,
    confirmed,
    found_out,
    is_its_payment,
    look,
    resumed,
    stuck,
)
from tests.support import START_US, UNIT, Book

PACK = TopUp(id="pack", credits=10 * UNIT, price="4.50", currency="EUR")
WANTED = AutoTopUp(provider="stripe", threshold=20 * UNIT, offer="bot/pack")
MONEY = AutoTopUp(provider="stripe", threshold=UNIT, amount=10 * UNIT)
DAY_US = 24 * HOUR_US


def seen(at: int = START_US, **more: Any) -> Seen:
    given: dict[str, Any] = {
        "settings": WANTED, "frozen": False, "balance": 15 * UNIT, "scale": 6, "unit": "credits", "at": at,
        "day_until": START_US + DAY_US, "month_until": START_US + 30 * DAY_US,
    }  # fmt: skip
    return Seen(**given | more)


def looked(s: Seen, sold: TopUp | None = PACK) -> Step:
    return look(s, sold, lambda: "tup_1")


def begun(**more: Any) -> tuple[Seen, Attempt]:
    """An account with an attempt that was just put down."""
    step = looked(seen(**more))
    assert step.ask
    assert step.attempt is not None
    return seen(standing=step.standing, attempt=step.attempt, **more), step.attempt


def after(s: Seen, step: Step | None, **more: Any) -> Seen:
    """What is known once a step is written."""
    assert step is not None
    attempt = step.attempt or s.attempt
    return replace(s, standing=step.standing, attempt=attempt if step.standing.attempt else None, **more)


def kinds(step: Step | None) -> list[str]:
    assert step is not None
    for type, data in step.events:
        # What an endpoint is sent has the form that the documentation says.
        said = {"workspace": "main", "account": "alice", **data}
        assert said.keys() == set(TYPES[type].data.__struct_fields__)
        msgspec.convert(said, TYPES[type].data)
    return [type.removeprefix("auto_top_up.") for type, _ in step.events]


# Which decisions have an account looked at


def due(book: Book) -> list[tuple[str, int]]:
    return list(book.db.execute("select subject, due_at from job where kind = 'top_up'"))


@pytest.fixture
def book() -> Book:
    book = Book()
    book.accept(GiveGrant(workspace="main", account="alice", amount=100 * UNIT))
    book.accept(SetAccount(workspace="main", account="alice", auto_top_up=WANTED))
    return book


def charge(book: Book, amount: int, account: str = "alice") -> None:
    book.accept(TakeCharge(workspace="main", account=account, amount=amount * UNIT))


def test_the_charge_that_falls_below_has_the_account_looked_at_and_no_other(book: Book):
    charge(book, 80)
    assert due(book) == [], "the threshold itself is enough"
    charge(book, 1)
    assert due(book) == [("alice", START_US)]
    book.db.execute("delete from job")
    charge(book, 1)
    assert due(book) == [], "it was below before"


def test_of_a_batch_that_crosses_one_item_comes(book: Book):
    book.batch(*(TakeCharge(workspace="main", account="alice", amount=UNIT) for _ in range(90)))
    assert len(due(book)) == 1


def test_a_settle_and_a_lapse_count_as_a_charge_does(book: Book):
    hold = book.accept(PlaceHold(workspace="main", account="alice", amount=90 * UNIT, ttl=HOUR_US))
    assert due(book) == [], "what is held is still there"
    ((held,),) = book.db.execute("select id from hold")
    assert hold.kind == "hold"
    book.accept(Settle(workspace="main", account="alice", hold=held))
    assert len(due(book)) == 1
    lapsing = GiveGrant(workspace="main", account="bob", amount=30 * UNIT, expires_at=START_US + HOUR_US)
    book.accept(lapsing)
    book.accept(SetAccount(workspace="main", account="bob", auto_top_up=WANTED))
    book.clock.advance(seconds=3_601)
    book.do(Lapse(workspace="main", account="bob"))
    assert sorted(subject for subject, _ in due(book)) == ["alice", "bob"]


def test_switching_it_on_below_the_threshold_looks_now_and_off_or_frozen_never():
    book = Book()
    for account in ("off", "frozen", "on", "none"):
        book.accept(CreateAccount(workspace="main", account=account))
    book.accept(SetAccount(workspace="main", account="off", auto_top_up=replace(WANTED, enabled=False)))
    book.accept(SetAccount(workspace="main", account="frozen", frozen=True, auto_top_up=WANTED))
    assert due(book) == []
    book.accept(SetAccount(workspace="main", account="on", auto_top_up=WANTED))
    book.accept(SetAccount(workspace="main", account="frozen", frozen=False))
    assert sorted(subject for subject, _ in due(book)) == ["frozen", "on"]


def test_settings_that_can_not_be_right_are_refused_by_the_ledger(book: Book):
    wrong = SetAccount(workspace="main", account="alice", auto_top_up=replace(WANTED, threshold=-1))
    assert book.refuse(wrong).facts["field"] == "auto_top_up.threshold"


def test_a_key_tells_settings_apart(book: Book):
    def put(wanted: AutoTopUp | None) -> SetAccount:
        return SetAccount(workspace="main", account="alice", key="k", auto_top_up=wanted)

    first = book.accept(put(MONEY))
    assert book.accept(put(MONEY)).id == first.id
    assert book.refuse(put(None)).code == "key_conflict"

    class Later(AutoTopUp, frozen=True, omit_defaults=True, kw_only=True):
        """As they may be one day."""

        more: int = 0

    assert book.accept(put(Later(**structs.asdict(MONEY)))).id == first.id, "a key is good for ever"
    assert book.refuse(put(Later(**structs.asdict(MONEY), more=1))).code == "key_conflict"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("offer", {"offer": ""}),
        ("offer", {"amount": UNIT}),
        ("offer", {"offer": "pack"}),
        ("amount", {"offer": "", "amount": UNIT, "provider": "digistore24"}),
        ("amount", {"offer": "", "amount": -UNIT}),
        ("cap_day", {"cap_day": -1}),
        ("cap_month", {"cap_month": 10**15}),
        ("order", {"order": "AB12"}),
        ("cool_down_minutes", {"cool_down_minutes": 0}),
    ],
)
def test_what_is_wrong_with_settings_is_named(field: str, change: dict[str, Any]):
    assert [each.field for each in problems(replace(WANTED, **change))] == [field]


def test_caps_of_zero_are_settings_like_others():
    assert list(problems(replace(WANTED, cap_day=0, cap_month=0))) == []


def test_an_offer_that_nobody_can_buy_is_found_out_when_it_is_set():
    def problem(wanted: AutoTopUp = WANTED, archived_at: int | None = None, **terms: Any) -> str:
        tiers = (Tier(id="tier", plan="p", rank=1),)
        product = Product(id="bot", tiers=tiers, top_ups=(replace(PACK, **terms),))
        found = sale_problem(wanted, KeptProduct(product, 0, 0, archived_at), "credits")
        return found.message if found else ""

    assert problem() == ""
    assert "on sale" in problem(archived_at=1)
    assert "on sale" in problem(replace(WANTED, offer="bot/tier"))
    assert "price" in problem(price="", currency="")
    assert "sold_as" in problem(replace(WANTED, provider="digistore24"))
    assert sale_problem(WANTED, None, "credits") is not None
    assert sale_problem(MONEY, None, "usd") is None
    assert "money" in problem(MONEY)


# What is bought


def buying(
    wanted: AutoTopUp, sold: TopUp | None, gap: int, *, unit: str = "credits", decimals: int = 2
) -> Bought | Unbuyable:  # fmt: skip
    return to_buy(wanted, sold, gap, scale=6, unit=unit, decimals=decimals)


@pytest.mark.parametrize(
    ("gap", "quantity", "price"),
    [(1, 1, "4.50"), (10 * UNIT, 1, "4.50"), (10 * UNIT + 1, 2, "9.00"), (95 * UNIT, 10, "45.00")],
)
def test_as_many_of_an_offer_are_bought_as_close_the_gap(gap: int, quantity: int, price: str):
    assert buying(WANTED, PACK, gap) == Bought(quantity, quantity * 10 * UNIT, price, "EUR")


@pytest.mark.parametrize(
    ("unit", "decimals", "gap", "price", "credits"),
    [
        ("usd", 2, UNIT, "10.00", 10 * UNIT),
        ("USD", 2, 30 * UNIT, "30.00", 30 * UNIT),
        ("USD", 2, 30 * UNIT + 1, "30.01", 30 * UNIT + 10_000),
        ("JPY", 0, 30 * UNIT + 1, "31", 31 * UNIT),
    ],
)
def test_an_amount_is_bought_or_the_gap_where_that_is_more_in_whole_coins(
    unit: str, decimals: int, gap: int, price: str, credits: int
):
    assert buying(MONEY, None, gap, unit=unit, decimals=decimals) == Bought(1, credits, price, unit.upper())


def test_what_can_not_be_bought_says_why():
    assert buying(MONEY, None, 1) == Unbuyable(
        "no_currency", "the workspace counts 'credits', which is no money: name an offer"
    )
    gone = buying(WANTED, None, 1)
    assert isinstance(gone, Unbuyable)
    assert gone.reason == "offer_not_found"


# Beginning


@pytest.mark.parametrize(
    ("why", "known"),
    [
        ("off", {"settings": None}),
        ("off", {"settings": replace(WANTED, enabled=False)}),
        ("frozen", {"frozen": True}),
        ("paused", {"standing": Standing(paused="failures")}),
        ("enough", {"balance": 20 * UNIT}),
    ],
)
def test_nothing_is_asked_and_nobody_looks_again(why: str, known: dict[str, Any]):
    step = looked(seen(**known))
    assert (step.why, step.ask, step.attempt, step.due_at) == (why, False, None, None)


def test_what_is_missing_is_put_down_before_it_is_asked_for():
    step = looked(seen())
    assert step.ask
    assert step.standing.attempt == "tup_1"
    assert step.attempt is not None
    assert (step.attempt.quantity, step.attempt.credits, step.attempt.price) == (1, 10 * UNIT, "4.50")
    assert step.due_at == START_US + 2 * MINUTE_US


def test_a_threshold_above_what_an_offer_gives_is_reached_in_one_payment():
    step = looked(seen(balance=-35 * UNIT))
    assert step.attempt is not None
    assert step.attempt.quantity == 6


@pytest.mark.parametrize(
    ("caps", "bought", "why", "until"),
    [
        ({"cap_day": 0}, {}, "cap_day", START_US + DAY_US),
        ({"cap_month": 0}, {}, "cap_month", START_US + 30 * DAY_US),
        ({"cap_day": 0, "cap_month": 0}, {}, "cap_month", START_US + 30 * DAY_US),
        ({"cap_day": 30 * UNIT}, {"day": 20 * UNIT + 1}, "cap_day", START_US + DAY_US),
        ({"cap_month": 30 * UNIT}, {"month": 30 * UNIT}, "cap_month", START_US + 30 * DAY_US),
    ],
)
def test_a_cap_is_hard_and_told_once(caps: dict[str, int], bought: dict[str, int], why: str, until: int):
    s = seen(settings=replace(WANTED, **caps), **bought)
    step = looked(s)
    assert (step.ask, step.attempt, step.due_at, step.why) == (False, None, until, why)
    assert kinds(step) == ["failed"]
    assert step.events[0][1]["reason"] == why
    assert kinds(looked(after(s, step))) == []


def test_up_to_a_cap_all_is_bought():
    assert looked(seen(settings=replace(WANTED, cap_day=30 * UNIT), day=20 * UNIT)).ask


# Answers


def test_money_on_its_way_waits_for_its_notification():
    s, attempt = begun()
    step = answered(s, attempt.id, Answer(state="succeeded", payment="pi_1"))
    assert step is not None
    assert step.attempt is not None
    assert (step.attempt.state, step.attempt.payment, step.due_at) == ("pending", "pi_1", START_US + OVERDUE_US)
    again = looked(after(s, step, at=START_US + HOUR_US, balance=0))
    assert (again.ask, again.why) == (False, "in_flight"), "one is under way"


@pytest.mark.parametrize(("provider", "days"), [("stripe", 1), ("digistore24", 14)])
def test_a_payment_that_takes_its_time_has_days_where_nobody_can_be_asked_how_it_stands(provider: str, days: int):
    s, attempt = begun(settings=replace(WANTED, provider=provider))
    step = answered(s, attempt.id, Answer(state="pending", payment="1", reason="processing"))
    assert step is not None
    assert step.due_at == START_US + days * DAY_US


def test_declines_cool_down_longer_and_longer_and_pause():
    s, attempt = begun()
    told = []
    for hours in (1, 2, None):
        step = answered(s, attempt.id, Answer(state="declined", reason="insufficient_funds"))
        assert step is not None
        assert step.due_at == (None if hours is None else s.at + hours * HOUR_US)
        told.append(kinds(step))
        s = after(s, step)
        if hours is not None:
            assert looked(s).why == "cooling_down"
            s = replace(s, at=s.at + hours * HOUR_US)
            step = looked(s)
            assert step.ask
            s, attempt = after(s, step), step.attempt or attempt
    assert told == [["failed"], ["failed"], ["failed", "paused"]]
    assert s.standing.paused == "failures"
    assert looked(replace(s, at=s.at + 100 * DAY_US)).why == "paused"


def test_a_bank_that_asks_for_the_customer_pauses_at_once_with_a_link():
    s, attempt = begun()
    step = answered(s, attempt.id, Answer(state="authentication_required", url="https://pay.example/1"))
    assert kinds(step) == ["paused"]
    assert step is not None
    assert step.standing.paused == "authentication_required"
    assert step.events[0][1]["url"] == step.standing.url == "https://pay.example/1"
    assert step.due_at is None


def test_trouble_that_passes_is_tried_again_and_never_pauses():
    s, attempt = begun()
    waits = []
    for _ in range(8):
        step = answered(s, attempt.id, Answer(state="failed", reason="unavailable", again=True))
        assert step is not None
        assert step.due_at is not None
        waits.append((step.due_at - s.at) // MINUTE_US)
        s = replace(after(s, step), at=step.due_at)
        step = looked(s)
        assert step.ask
        s, attempt = after(s, step), step.attempt or attempt
    assert waits == [5, 10, 20, 40, 60, 60, 60, 60]


def test_nothing_to_charge_is_a_failure_like_any_other():
    s, attempt = begun()
    step = answered(s, attempt.id, Answer(state="failed", reason="no_payment_method"))
    assert step is not None
    assert (step.standing.failures, step.due_at) == (1, START_US + HOUR_US)


def test_an_offer_that_is_gone_is_a_failure_without_an_attempt():
    step = looked(seen(), None)
    assert (step.attempt, step.ask, kinds(step), step.standing.failures) == (None, False, ["failed"], 1)


def test_an_answer_after_the_notification_says_nothing_more():
    s, attempt = begun()
    done = after(s, confirmed(s, attempt, "pi_1", 10 * UNIT))
    assert answered(done, attempt.id, Answer(state="declined")) is None


# Nobody knows


def test_an_answer_that_was_lost_is_asked_for_again_under_the_same_key():
    s, attempt = begun()
    s = after(s, answered(s, attempt.id, Answer(state="pending", reason="unknown")))
    assert looked(s).ask is False
    step = looked(replace(s, at=START_US + 10 * MINUTE_US))
    assert step.ask
    assert step.attempt is not None
    assert (step.attempt.id, step.attempt.tries) == (attempt.id, 2)


def test_who_died_before_he_asked_is_followed_under_the_same_key():
    s, attempt = begun()
    assert looked(replace(s, at=START_US + MINUTE_US)).ask is False, "he may still be at it"
    step = looked(replace(s, at=START_US + 2 * MINUTE_US))
    assert (step.ask, step.standing.attempt) == (True, attempt.id)


def test_switched_off_meanwhile_it_is_not_asked_again_and_its_payment_still_counts():
    s, _ = begun()
    off = replace(s, at=START_US + 2 * MINUTE_US, settings=None)
    step = looked(off)
    assert step.ask is False
    assert step.attempt is not None
    assert (step.attempt.state, step.due_at) == ("pending", START_US + OVERDUE_US)
    done = confirmed(after(off, step), step.attempt, "pi_1", 10 * UNIT)
    assert kinds(done) == ["done"]
    assert looked(after(off, done)).why == "off"


def test_a_key_that_the_provider_may_have_forgotten_is_not_asked_again():
    s, _ = begun()
    step = looked(replace(s, at=START_US + 21 * HOUR_US))
    assert step.ask is False
    assert step.attempt is not None
    assert step.attempt.state == "pending"


def test_a_second_asking_that_fails_says_nothing_about_the_first():
    s, attempt = begun()
    s = after(s, looked(replace(s, at=START_US + 2 * MINUTE_US)))
    step = answered(s, attempt.id, Answer(state="failed", reason="rate_limited", again=True))
    assert step is not None
    assert step.standing.attempt == attempt.id, "another one could be a second charge"
    assert step.attempt is not None
    assert step.attempt.state == "asking"


# Nobody has told


def overdue(provider: str = "stripe", after_us: int = OVERDUE_US) -> tuple[Seen, Attempt]:
    """An account whose attempt was answered, and told of by no notification."""
    s, attempt = begun(settings=replace(WANTED, provider=provider))
    s = after(s, answered(s, attempt.id, Answer(state="succeeded", payment="1")), at=START_US + after_us)
    return s, attempt


def finding(s: Seen, told: Answer | None) -> Step:
    assert s.attempt is not None
    step = found_out(s, s.attempt.id, told)
    assert step is not None
    return step


def test_an_overdue_attempt_is_asked_about_by_one_at_a_time_before_anything_else_is_bought():
    s, _ = overdue()
    step = looked(s)
    assert (step.find, step.ask, step.events, step.due_at) == (True, False, (), s.at + 2 * MINUTE_US)
    s = after(s, step)
    assert (looked(s).find, looked(s).why) == (False, "in_flight"), "he may still be at it"
    assert looked(replace(s, at=s.at + 2 * MINUTE_US)).find, "he has died"
    off = looked(replace(s, at=s.at + 2 * MINUTE_US, settings=None))
    assert (off.find, off.ask) == (True, False)
    assert not looked(overdue("digistore24")[0]).find


def test_what_is_not_paid_has_failed_and_is_tried_again_after_a_while():
    s, _ = overdue()
    step = finding(s, Answer(state="declined", payment="1", reason="insufficient_funds"))
    assert step.attempt is not None
    assert (step.attempt.state, step.standing.attempt, step.standing.failures) == ("declined", "", 1)
    assert (kinds(step), step.due_at) == (["failed"], s.at + HOUR_US)
    step = finding(s, Answer(state="authentication_required", url="https://pay.example/1"))
    assert (kinds(step), step.standing.paused) == (["paused"], "authentication_required")


def test_what_takes_its_time_is_asked_about_every_day_for_two_weeks():
    s, _ = overdue()
    days = 0
    while (step := finding(s, Answer(state="pending", payment="1", reason="processing"))).standing.attempt:
        days += 1
        assert days < 14, "it ends"
        assert step.due_at is not None
        s = after(s, step, at=step.due_at)
        assert looked(s).find
    assert (days, kinds(step), step.standing.unconfirmed) == (13, ["failed"], 1)


def test_who_can_not_be_asked_is_asked_again_for_a_day():
    s, _ = overdue(after_us=9 * DAY_US)
    s = after(s, looked(s))
    hours = 0
    while (step := finding(s, Answer(state="failed", reason="unavailable", again=True))).standing.attempt:
        assert step.due_at == s.at + HOUR_US
        hours += 1
        assert hours < 24, "it ends"
        s = after(s, step, at=step.due_at)
        s = after(s, looked(s))
    assert (hours, kinds(step), step.standing.unconfirmed) == (23, ["failed"], 1)


def test_what_nobody_knows_of_is_unconfirmed_and_what_was_told_meanwhile_stands():
    s, attempt = overdue()
    assert finding(s, None).standing == Standing(unconfirmed=1)
    done = after(s, confirmed(s, attempt, "pi_1", 10 * UNIT))
    assert found_out(done, attempt.id, None) is None


def test_a_late_payment_that_waits_for_a_person_is_told_of_all_the_same():
    s, attempt = overdue("digistore24")
    step = looked(s)
    assert (step.attempt is not None and step.attempt.state, step.standing.unconfirmed) == ("unconfirmed", 1)
    s = after(s, step)
    assert stuck(s, step.attempt or attempt, "T1", "other_amount").standing.unconfirmed == 0


def test_two_charges_that_no_notification_confirms_pause_and_a_late_one_heals():
    s, first = begun(settings=replace(WANTED, provider="digistore24"))
    s = after(s, answered(s, first.id, Answer(state="succeeded", payment="pi_1")))
    step = looked(replace(s, at=START_US + OVERDUE_US))
    assert kinds(step) == ["failed"]
    first = step.attempt or first
    assert first.state == "unconfirmed"
    s = replace(after(s, step), at=START_US + OVERDUE_US)
    step = look(s, PACK, lambda: "tup_2")
    assert step.ask
    s = after(s, step)
    s = after(s, answered(s, "tup_2", Answer(state="succeeded", payment="pi_2")))
    step = looked(replace(s, at=START_US + 2 * OVERDUE_US))
    assert kinds(step) == ["failed", "paused"]
    assert step.standing.paused == "unconfirmed"
    s = after(s, step)
    late = confirmed(s, first, "pi_1", 10 * UNIT)
    assert kinds(late) == ["done"]
    assert (late.standing.paused, late.standing.unconfirmed) == (None, 1)


def test_a_payment_that_waits_for_a_person_pauses_until_it_is_credited():
    s, attempt = begun()
    step = stuck(s, attempt, "pi_1", "other_amount")
    assert kinds(step) == ["paused"]
    s = after(s, step)
    assert looked(replace(s, at=START_US + 3 * OVERDUE_US)).why == "payment_waiting"
    assert s.attempt is not None
    step = confirmed(s, s.attempt, "pi_1", 10 * UNIT)
    assert (step.standing, kinds(step)) == (Standing(), ["done"])


def test_resuming_forgets_what_failed_and_keeps_what_is_under_way():
    s = seen(standing=Standing(failures=3, paused="failures", paused_at=START_US))
    step = resumed(s)
    assert (step.standing, step.due_at) == (Standing(), START_US)
    flying, attempt = begun()
    assert resumed(flying).standing.attempt == attempt.id
    waits = after(flying, stuck(flying, attempt, "pi_1", "other_amount"))
    assert resumed(waits).standing == Standing()


# Pages


def asked_by_bank(**more: Any) -> tuple[Seen, Attempt]:
    """An account whose buyer was sent to a page, on which he has not paid yet."""
    s, attempt = begun(**more)
    told = Answer(state="authentication_required", url="https://pay.example/1", page="cs_1")
    step = answered(s, attempt.id, told)
    assert step is not None
    assert step.attempt is not None
    return paged(s, step, step.attempt), step.attempt


def paged(s: Seen, step: Step | None, attempt: Attempt) -> Seen:
    """What is known once a step is written, with the attempt where its page is still of interest."""
    s = after(s, step)
    named = (s.standing.page, *s.standing.closing)
    return replace(s, pages=(attempt,) if attempt.id in named else ())


def test_a_page_is_closed_before_anything_else_is_bought():
    s, attempt = asked_by_bank()
    assert looked(s).why == "paused", "it is his until somebody says that it may go on"
    s = paged(s, resumed(s), attempt)
    step = looked(s)
    assert (step.close, step.ask, step.why, step.due_at) == ((attempt,), False, "page_open", s.at + 2 * MINUTE_US)
    then = closed(s, attempt.id, Closed(state="closed"))
    assert then is not None
    assert then.attempt is not None
    assert (then.attempt.url, then.attempt.page, then.standing, then.due_at) == ("", "", Standing(), s.at)
    assert closed(paged(s, then, attempt), attempt.id, Closed(state="closed")) is None, "two have closed it"
    assert looked(paged(s, then, attempt)).ask


def test_a_page_that_can_not_be_closed_is_tried_again_until_it_is_over_by_itself():
    s, attempt = asked_by_bank()
    s = paged(s, resumed(s), attempt)
    waits = []
    while (step := closed(s, attempt.id, Closed(state="open"))) is not None and step.standing.closing:
        assert step.due_at is not None
        waits.append((step.due_at - s.at) // MINUTE_US)
        assert len(waits) < 50, "it ends"
        s = replace(paged(s, step, attempt), at=step.due_at)
        assert looked(s).close == (attempt,)
    assert (waits[:6], s.at >= START_US + 25 * HOUR_US) == ([5, 10, 20, 40, 60, 60], True)
    assert step is not None
    assert step.standing == Standing()


def test_who_had_paid_on_a_page_before_it_was_closed_is_waited_for_and_told_of_once():
    s, attempt = asked_by_bank()
    s = paged(s, resumed(s), attempt)
    step = closed(s, attempt.id, Closed(state="paid", payment="pi_2"))
    assert step is not None
    assert step.attempt is not None
    assert (step.attempt.state, step.attempt.payment, step.due_at) == ("pending", "pi_2", s.at + OVERDUE_US)
    s = after(s, step, pages=())
    assert looked(s).why == "in_flight"
    done = confirmed(s, step.attempt, "pi_2", 10 * UNIT)
    assert (done.standing, kinds(done)) == (Standing(), ["done"])


def test_a_notification_that_is_faster_than_the_closing_settles_it():
    s, attempt = asked_by_bank()
    s = paged(s, resumed(s), attempt)
    done = confirmed(s, attempt, "pi_2", 10 * UNIT)
    assert done.standing == Standing()
    assert closed(paged(s, done, attempt), attempt.id, Closed(state="paid", payment="pi_2")) is None
    s, attempt = asked_by_bank()
    s = paged(s, resumed(s), attempt)
    waits = stuck(s, attempt, "pi_2", "other_amount")
    assert (waits.standing.closing, waits.standing.url) == ((), ""), "he has paid on it"


@pytest.mark.parametrize(
    "now",
    [None, replace(WANTED, enabled=False), replace(WANTED, provider="digistore24"), replace(WANTED, offer="bot/more")],
)
def test_what_is_not_set_any_more_is_not_sold_on_a_page_either(now: AutoTopUp | None):
    s, attempt = asked_by_bank()
    same = replace(s, settings=replace(WANTED, threshold=30 * UNIT, cap_day=UNIT))
    assert looked(same).close == ()
    step = looked(replace(s, settings=now))
    assert (step.close, step.standing.url, step.standing.paused) == ((attempt,), "", "authentication_required")
    s = paged(replace(s, settings=now), step, attempt)
    then = closed(s, attempt.id, Closed(state="paid", payment="pi_2"))
    assert then is not None
    assert then.standing == Standing(attempt=attempt.id), "he has said yes"


def test_another_amount_closes_the_page_of_the_first():
    s, attempt = asked_by_bank(settings=MONEY, unit="EUR", balance=0)
    assert looked(s).close == ()
    assert looked(replace(s, settings=replace(MONEY, amount=20 * UNIT))).close == (attempt,)


def test_a_page_that_comes_once_it_is_switched_off_is_looked_at_at_once():
    s, attempt = begun()
    told = Answer(state="authentication_required", url="https://pay.example/1", page="cs_1")
    step = answered(replace(s, settings=None), attempt.id, told)
    assert step is not None
    assert (step.due_at, step.standing.page) == (s.at, attempt.id)


@pytest.mark.parametrize("credited", [True, False])
def test_a_page_is_closed_when_an_earlier_payment_takes_its_place(credited: bool):
    s, attempt = asked_by_bank()
    earlier = replace(attempt, id="tup_0", url="https://pay.example/0", page="cs_0")
    step = confirmed(s, earlier, "pi_0", 10 * UNIT) if credited else stuck(s, earlier, "pi_0", "other_amount")
    assert step.standing.closing == (attempt.id,)
    assert step.due_at == s.at


def test_settings_that_change_have_the_account_looked_at_and_the_same_again_do_not(book: Book):
    def put(wanted: AutoTopUp | None) -> list[tuple[str, int]]:
        book.accept(SetAccount(workspace="main", account="alice", auto_top_up=wanted))
        found = due(book)
        book.db.execute("delete from job")
        return found

    assert put(WANTED) == []
    assert put(replace(WANTED, offer="bot/more")) == [("alice", START_US)]
    assert put(None) == [("alice", START_US)]
    assert put(None) == []
    assert put(WANTED) == []


def test_a_payment_is_known_by_its_name_or_that_of_its_order():
    attempt = Attempt(
        id="tup_1", account="a", provider="stripe", credits=1, began_at=0, ask_at=0, overdue_at=0, payment="pi_1"
    )  # fmt: skip
    assert is_its_payment(attempt, "pi_1", "")
    assert not is_its_payment(attempt, "pi_2", "")
    assert not is_its_payment(replace(attempt, payment=""), "", "")
    assert is_its_payment(replace(attempt, payment="AB12"), "T1", "AB12")


@pytest.mark.parametrize(
    ("state", "settings", "frozen", "standing"),
    [
        ("off", None, False, Standing()),
        ("in_flight", None, True, Standing(attempt="tup_1")),
        ("frozen", WANTED, True, Standing(paused="failures")),
        ("paused", WANTED, False, Standing(paused="failures")),
        ("cooling_down", WANTED, False, Standing(retry_at=2)),
        ("held_back", WANTED, False, Standing(retry_at=1, held_back="cap_day")),
        ("ready", WANTED, False, Standing()),
    ],
)
def test_how_it_stands_is_one_word(state: str, settings: AutoTopUp | None, frozen: bool, standing: Standing):
    assert state_of(settings, frozen, standing, 1) == state
