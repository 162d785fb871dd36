"""What makes a command well-formed, whatever the books say: the field that is wrong, and a sentence that helps."""

from typing import Any

import pytest

from farthing.core.amounts import MAX_AMOUNT
from farthing.core.commands import (
    MAX_TIME_US,
    Adjust,
    Command,
    CreateAccount,
    Extend,
    GiveGrant,
    Lapse,
    PlaceHold,
    Refund,
    Release,
    SetAccount,
    SetBalance,
    Settle,
    TakeCharge,
    Void,
    check,
    text_error,
)
from tests.support import USED

WHO: dict[str, Any] = {"workspace": "main", "account": "alice"}
HOLD = "hold_" + "0" * 32
GOOD: dict[str, Command] = {
    "open": CreateAccount(**WHO),
    "settings": SetAccount(**WHO, allowance=0, spend_limit_day=None, frozen=True, timezone="UTC"),
    "grant": GiveGrant(**WHO, amount=1, priority=0, expires_at=1, scope=("chat",), source={"type": "shop", "id": ""}),
    "void": Void(**WHO, grant="grt_" + "0" * 32),
    "charge": TakeCharge(**WHO, amount=1, key="k", operation="chat", attributes={"model": ""}),
    "charge of nothing": TakeCharge(**WHO, amount=0, usage=USED),
    "hold": PlaceHold(**WHO, amount=1, ttl=1),
    "extend": Extend(**WHO, hold=HOLD, metered=0),
    "settle": Settle(**WHO, hold=HOLD, amount=0),
    "settle all": Settle(**WHO, hold=HOLD),
    "release": Release(**WHO, hold=HOLD),
    "release by hold": Release(workspace="main", account="", hold=HOLD),
    "refund": Refund(**WHO, charge="ent_" + "0" * 32),
    "refund of the latest": Refund(**WHO, amount=1),
    "adjust": Adjust(**WHO, amount=-1),
    "set": SetBalance(**WHO, amount=0, mode="replace"),
    "lapse": Lapse(**WHO),
    "largest": TakeCharge(**WHO, amount=MAX_AMOUNT - 1, description="x" * 1000, metadata='"' + "x" * 16_382 + '"'),
    "longest": TakeCharge(workspace="main", account="ü" * 127, amount=1, key="k" * 272, operation="a b ☃"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_well_formed_command_passes(name):
    assert check(GOOD[name]) is None


LARGE = "is too large"
ABOVE = "must be above zero"
NOT_NEGATIVE = "must not be negative"
EMPTY, LONG, CONTROL = "must not be empty", "must have at most 255 bytes", "must have no control characters"
INT = "must be an int, in smallest units"


def charge(**fields: Any) -> TakeCharge:
    return TakeCharge(**{**WHO, "amount": 1, **fields})


@pytest.mark.parametrize(
    ("command", "field", "message"),
    [
        (charge(account=""), "account", EMPTY),
        (charge(account="x" * 256), "account", LONG),
        (charge(account="x" * 10_000), "account", LONG),
        (charge(account="ü" * 128), "account", LONG),
        (charge(account="a\x00b"), "account", CONTROL),
        (charge(account="a\nb"), "account", CONTROL),
        (charge(account="a\x7fb"), "account", CONTROL),
        (charge(account="a\x85b"), "account", CONTROL),
        (charge(account="\ud800"), "account", "must be valid Unicode text"),
        (charge(key=""), "key", EMPTY),
        (charge(key="k" * 273), "key", "must have at most 272 bytes"),
        (charge(key="k\tk"), "key", CONTROL),
        (charge(operation="o" * 256), "operation", LONG),
        (charge(operation="o\r"), "operation", CONTROL),
        (charge(description="x" * 1001), "description", "must have at most 1,000 characters"),
        (charge(description="\udfff"), "description", "must be valid Unicode text"),
        (charge(description="a\x00b"), "description", "must not contain the character NUL"),
        (charge(metadata="x" * 16_385), "metadata", "must have at most 16 kB as JSON"),
        (charge(metadata="ü" * 8_193), "metadata", "must have at most 16 kB as JSON"),
        (charge(metadata="☃" * 6_000), "metadata", "must have at most 16 kB as JSON"),
        (charge(metadata="\ud800"), "metadata", "must be valid Unicode text"),
        (charge(attributes={"model": "\ud800"}), "attributes", "must be valid Unicode text"),
        (charge(amount=0), "amount", ABOVE),
        (charge(amount=-1), "amount", ABOVE),
        (charge(amount=-1, usage=USED), "amount", NOT_NEGATIVE),
        (charge(amount=MAX_AMOUNT), "amount", LARGE),
        (charge(amount=2**63), "amount", LARGE),
        (charge(amount=1.0), "amount", INT),
        (charge(amount=True), "amount", INT),
        (charge(amount=float("nan")), "amount", INT),
        (GiveGrant(**WHO, amount=0), "amount", ABOVE),
        (GiveGrant(**WHO, amount=-1), "amount", ABOVE),
        (GiveGrant(**WHO, amount=MAX_AMOUNT), "amount", LARGE),
        (
            GiveGrant(**WHO, amount=1, priority=101),
            "priority",
            "must be a whole number from 0 to 100; the lower burns first",
        ),
        (
            GiveGrant(**WHO, amount=1, priority=-1),
            "priority",
            "must be a whole number from 0 to 100; the lower burns first",
        ),
        (GiveGrant(**WHO, amount=1, scope=("x",) * 21), "scope", "must have at most 20 patterns"),
        (
            GiveGrant(**WHO, amount=1, scope=("",)),
            "scope",
            "must be patterns such as 'operation:image.*' or 'model:gpt-4o'",
        ),
        (GiveGrant(**WHO, amount=1, expires_at=0), "expires_at", "must be a date before the year 10000"),
        (GiveGrant(**WHO, amount=1, expires_at=MAX_TIME_US), "expires_at", "must be a date before the year 10000"),
        (GiveGrant(**WHO, amount=1, claim=("", "x")), "claim", "must be the names of a provider and of its payment"),
        (
            GiveGrant(**WHO, amount=1, claim=("shop", "x" * 256)),
            "claim",
            "must be the names of a provider and of its payment",
        ),
        (GiveGrant(**WHO, amount=1, source={"id": "\ud800"}), "source", "must be valid Unicode text"),
        (PlaceHold(**WHO, amount=1, ttl=0), "ttl", ABOVE),
        (PlaceHold(**WHO, amount=0, ttl=1), "amount", ABOVE),
        (PlaceHold(**WHO, amount=MAX_AMOUNT, ttl=1), "amount", LARGE),
        (Extend(**WHO, hold=HOLD), "expires_at", "give a new end, an amount to raise by, or what was metered"),
        (
            Extend(**WHO, hold=HOLD, raise_by=-1),
            "raise_by",
            "must not be negative: a hold is lowered by settling part of it",
        ),
        (Extend(**WHO, hold=HOLD, raise_by=MAX_AMOUNT), "raise_by", LARGE),
        (Extend(**WHO, hold=HOLD, metered=-1), "metered", NOT_NEGATIVE),
        (Extend(**WHO, hold=HOLD, metered=2**63), "metered", LARGE),
        (Extend(**WHO, hold=HOLD, expires_at=MAX_TIME_US), "expires_at", "must be a date before the year 10000"),
        (Settle(**WHO, hold=HOLD, amount=-1), "amount", NOT_NEGATIVE),
        (Settle(**WHO, hold=HOLD, amount=MAX_AMOUNT), "amount", LARGE),
        (Refund(**WHO), "amount", "is needed where no charge is named"),
        (Refund(**WHO, charge="ent_1", amount=0), "amount", ABOVE),
        (Refund(**WHO, amount=MAX_AMOUNT), "amount", LARGE),
        (Adjust(**WHO, amount=0), "amount", "must not be zero"),
        (Adjust(**WHO, amount=-MAX_AMOUNT), "amount", LARGE),
        (Adjust(**WHO, amount=1, expires_at=MAX_TIME_US), "expires_at", "must be a date before the year 10000"),
        (SetBalance(**WHO, amount=-1, mode="replace"), "amount", NOT_NEGATIVE),
        (SetBalance(**WHO, amount=MAX_AMOUNT, mode="difference"), "amount", LARGE),
        (SetAccount(**WHO, allowance=-1), "allowance", "must be an int, zero or above, and not too large"),
        (SetAccount(**WHO, allowance=None), "allowance", "must be an amount; 0 allows none"),  # type: ignore[arg-type]
        (SetAccount(**WHO, spend_limit_day=-1), "spend_limit_day", "must be an int, zero or above, and not too large"),
        (
            SetAccount(**WHO, spend_limit_month=MAX_AMOUNT),
            "spend_limit_month",
            "must be an int, zero or above, and not too large",
        ),
    ],
)
def test_an_ill_formed_command_is_told_its_field_and_why(command, field, message):
    wrong = check(command)
    assert wrong is not None
    assert (wrong.field, wrong.message) == (field, message)


@pytest.mark.parametrize("kind", [TakeCharge, GiveGrant, CreateAccount, Void])
def test_only_a_command_that_names_a_hold_may_leave_its_account_out(kind):
    fields = {"amount": 1} if kind in (TakeCharge, GiveGrant) else {"grant": "g"} if kind is Void else {}
    wrong = check(kind(workspace="main", account="", **fields))
    assert wrong is not None
    assert wrong.field == "account"


@pytest.mark.parametrize("text", ["a", " ", "ümlaut", "日本", "👩‍🚀", "a\u00a0b", "\u200b", "x" * 255])
def test_any_printable_text_can_be_an_account(text):
    assert text_error(text) is None


def test_ids_are_compared_as_they_are_sent(book):
    """No case folding, no trimming, no normal forms: each of these is another account."""
    names = ["alice", "Alice", " alice", "alice ", "e\u0301", "\u00e9"]
    for n, name in enumerate(names, start=1):
        book.accept(GiveGrant(workspace="main", account=name, amount=n))
    assert [book.row(name).balance for name in names] == [1, 2, 3, 4, 5, 6]
