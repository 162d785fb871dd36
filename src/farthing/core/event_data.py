"""Event data: what each type of event says, as programs are sent it. `events` is the catalogue of the types.

Amounts are decimal text, times RFC 3339 in UTC, ids as the native API has them. Nothing in here is text that erasing an
account has to find: no descriptions, no metadata, no names of buyers; but what a provider said of an automatic top-up.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Credits = Annotated[str, Meta(description="Credits as decimal text, exact.", pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Time = Annotated[str, Meta(description="RFC 3339, UTC.", extra_json_schema={"format": "date-time"})]
Balance = Annotated[Credits, Meta(description="The account's balance afterwards, held credits included.")]
EntryId = Annotated[str, Meta(description="The entry of the ledger that tells it.")]
Url = Annotated[str | None, Meta(description="Where the customer sees to it; null where there is no such page.")]


class Told(Struct, frozen=True, kw_only=True):
    """What all events say."""

    workspace: Annotated[str, Meta(description="Where it happened.")]


class OfAccount(Told, frozen=True, kw_only=True):
    """What all events say that are about an account."""

    account: Annotated[str, Meta(description="Whom it is about, by your own id.")]


class GrantCreated(OfAccount, frozen=True, kw_only=True):
    """Credits were given."""

    grant: str
    amount: Credits
    category: Literal["paid", "promotional"]
    expires_at: Annotated[Time | None, Meta(description="Null: it lives for ever.")]
    scope: Annotated[list[str], Meta(description="What alone it may pay for; empty: anything.")]
    entry: EntryId
    balance: Balance


class GrantExpiring(OfAccount, frozen=True, kw_only=True):
    """A grant with credits left will lapse soon."""

    grant: str
    remaining: Annotated[Credits, Meta(description="What is left of it, without what holds have set aside.")]
    category: Literal["paid", "promotional"]
    expires_at: Time
    scope: list[str]


class GrantLapsed(OfAccount, frozen=True, kw_only=True):
    """Credits of a grant lapsed."""

    grant: str
    amount: Annotated[Credits, Meta(description="What lapsed of it.")]
    lapsed_at: Time
    entry: EntryId
    balance: Balance


class ChargeCreated(OfAccount, frozen=True, kw_only=True):
    """Credits were taken for a usage: by a charge, by settling a hold, or by a hold that ended."""

    charge: Annotated[str, Meta(description="Its id, which is that of its entry.")]
    kind: Literal["charge", "settle", "expire"]
    hold: Annotated[str | None, Meta(description="The hold that it was taken by.")]
    amount: Annotated[Credits, Meta(description="What was taken.")]
    unpaid: Annotated[Credits, Meta(description="What could not be taken.")]
    operation: str | None
    balance: Balance
    held: Credits
    debt: Annotated[Credits, Meta(description="What the account owes in all.")]


class ChargeRefunded(OfAccount, frozen=True, kw_only=True):
    """Charged credits were given back."""

    charge: Annotated[str | None, Meta(description="The charge that was named; null: the account's latest.")]
    amount: Credits
    entry: EntryId
    balance: Balance
    debt: Credits


class BalanceLow(OfAccount, frozen=True, kw_only=True):
    """A balance fell below the threshold for low ones: told each time that it does."""

    balance: Balance
    threshold: Credits
    held: Credits
    debt: Credits
    entry: EntryId


class BalanceCritical(OfAccount, frozen=True, kw_only=True):
    """A balance fell below the threshold for critical ones: told each time that it does."""

    balance: Balance
    threshold: Credits
    held: Credits
    debt: Credits
    entry: EntryId


class BalanceDepleted(OfAccount, frozen=True, kw_only=True):
    """A balance that was above zero is so no more: told each time that it comes to that."""

    balance: Balance
    held: Credits
    debt: Credits
    entry: EntryId


class HoldExpired(OfAccount, frozen=True, kw_only=True):
    """A hold came to its end without being settled or released."""

    hold: str
    charged: Annotated[Credits, Meta(description="What its policy took: nothing, what was metered, or all of it.")]
    operation: str | None
    expired_at: Time
    entry: EntryId
    balance: Balance


class SubscriptionRenewed(OfAccount, frozen=True, kw_only=True):
    """A subscription was given its next period."""

    subscription: str
    plan: str
    credits: Annotated[Credits, Meta(description="What the period gave.")]
    period_at: Annotated[Time, Meta(description="When the period begins.")]
    next_at: Annotated[Time, Meta(description="When the one after it does.")]
    entry: EntryId
    balance: Balance


class RenewalFailed(OfAccount, frozen=True, kw_only=True):
    """A subscription that is due could not be renewed; it is tried again, and this told once for a period."""

    subscription: str
    plan: str
    period_at: Time
    error: Annotated[
        str,
        Meta(
            description="Why: a code, such as `too_many_grants`; `payment_missed` where the provider that bills it "
            "could not collect."
        ),
    ]


class Payment(Told, frozen=True, kw_only=True):
    """What all events about a payment say."""

    account: Annotated[str | None, Meta(description="Whose payment it is; null while nobody knows.")] = None
    provider: Literal["stripe", "digistore24"]
    payment: Annotated[str, Meta(description="The provider's name of it.")]
    order: str
    offer: Annotated[str, Meta(description="What was bought: `product/tier` or `product/top-up`.")]
    amount: Annotated[str, Meta(description="What was paid, as decimal text of the currency.")]
    currency: str


class PaymentCredited(Payment, frozen=True, kw_only=True):
    """A payment came in and was credited."""

    credits: Credits
    entry: EntryId


class PaymentWaiting(Payment, frozen=True, kw_only=True):
    """A payment came in, and waits for a person."""

    reason: Annotated[str, Meta(description="Why: a code, such as `no_account`.")]
    facts: Annotated[str, Meta(description="More words about it.")]


class PaymentRefunded(Payment, frozen=True, kw_only=True):
    """Money of a payment went back."""

    returned: Annotated[str, Meta(description="What has gone back in all, as decimal text of the currency.")]
    credits: Annotated[Credits, Meta(description="The credits that go with it.")]


class PaymentRefundFailed(Payment, frozen=True, kw_only=True):
    """Money that was to go back has stayed: its credits are given again."""

    returned: Annotated[str, Meta(description="What has gone back in all after that, as decimal text of the currency.")]
    credits: Annotated[Credits, Meta(description="The credits that went with it.")]


class DisputeOpened(Payment, frozen=True, kw_only=True):
    """A customer disputes a payment: what is free of its credits is set aside."""

    dispute: str


class DisputeClosed(Payment, frozen=True, kw_only=True):
    """A dispute came to its end."""

    dispute: str
    won: Annotated[bool, Meta(description="The money stays.")]


class AutoTopUp(OfAccount, frozen=True, kw_only=True):
    """What all events of an automatic top-up say."""

    attempt: Annotated[str | None, Meta(description="Its id; null where nothing was tried.")]
    provider: str
    offer: Annotated[str | None, Meta(description="What was to be bought; null: credits for money, one for one.")]
    quantity: int
    credits: Credits
    amount: Annotated[str | None, Meta(description="What it costs in all; null: the provider's own price.")]
    currency: str | None
    payment: Annotated[str | None, Meta(description="The provider's own id of it.")]
    reason: Annotated[str | None, Meta(description="Why not, as a code: ours, or the provider's.")]
    message: str | None
    url: Url


class AutoTopUpDone(AutoTopUp, frozen=True, kw_only=True):
    """What was bought automatically is credited."""


class AutoTopUpFailed(AutoTopUp, frozen=True, kw_only=True):
    """An automatic top-up did not go well, or would have been more than its caps allow."""

    retry_at: Annotated[Time | None, Meta(description="When it is tried again; null: see what follows.")]


class AutoTopUpPaused(AutoTopUp, frozen=True, kw_only=True):
    """Nothing is bought automatically for an account any more, until somebody resumes it."""

    cause: Annotated[
        Literal["failures", "authentication_required", "unconfirmed", "payment_waiting"],
        Meta(
            description="It failed three times in a row; the customer's bank wants to hear from him, at `url`; two "
            "charges were never confirmed; the payment came in and waits for a person."
        ),
    ]


class SpendLimitReached(OfAccount, frozen=True, kw_only=True):
    """A request was refused because of a spend limit; it is told once for a period."""

    period: Literal["day", "month"]
    limit: Credits
    left: Annotated[Credits, Meta(description="What may still be spent.")]
    required: Annotated[Credits, Meta(description="What was asked for.")]
    until: Annotated[Time, Meta(description="When the next period begins.")]


class JournalParked(Told, frozen=True, kw_only=True):
    """A call that the library had kept for later was refused when it was carried out, and waits for somebody."""

    account: Annotated[str | None, Meta(description="The account that it is about, if it names one.")] = None
    call: Annotated[str, Meta(description="What was asked for, such as `charge`.")]
    key: Annotated[str, Meta(description="Its idempotency key.")]
    error: Annotated[str, Meta(description="Why it was refused: a code.")]
    host: Annotated[str, Meta(description="The machine that has the journal, as it calls itself.")]


class JobsFailing(Told, frozen=True, kw_only=True):
    """Failures of a run of a job were above a tenth of its successes."""

    kind: str
    done: int
    failed: int
    errors: Annotated[list[dict[str, Any]], Meta(description="Some of them: account and error.")]


class JobsParked(Told, frozen=True, kw_only=True):
    """A job failed too often, and waits for somebody."""

    account: Annotated[str | None, Meta(description="The account that it is about, if it is about one.")] = None
    kind: str
    attempts: int
    error: str | None


class WebhookDisabled(Told, frozen=True, kw_only=True):
    """An endpoint is sent nothing any more, until somebody enables it."""

    endpoint: str
    reason: Annotated[str, Meta(description="`failing`: nothing got through for days; `gone`: it answered 410.")]


class WebhookTest(Told, frozen=True, kw_only=True):
    """Somebody tries whether an endpoint hears."""

    endpoint: str
