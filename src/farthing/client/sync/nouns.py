"""Nouns of the ledger: accounts, grants, charges and holds, made, read and changed one by one.

Made from `aio/nouns.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from msgspec import UNSET, UnsetType

from ..admin_results import AccountErased
from ..bodies import Usage, priced_body, said, usage_body
from ..calls import Call, get, patch, post
from ..forms import Page
from ..results import (
    Account,
    AccountSettings,
    AccountSettingsChanged,
    ChargeExplained,
    ChargeNow,
    Extended,
    GrantNow,
    Hold,
    HoldNow,
    Opened,
    Released,
    Settled,
    Voided,
)
from ..statement_results import Statement
from ..values import Amount, Day, Instant, amount_if, flag_text, instant_text, seconds
from .door import Door
from .pages import Pages
from .stating import stated, stated_as_csv, statement_call


class Accounts:
    """Accounts of the workspace."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def create(
        self, account: str, *, description: str | None = None, metadata: Mapping[str, Any] | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> Opened:  # fmt: skip
        """Make an account. Not needed before a grant, which makes it where there is none."""
        body = {"account": account, **said(description, metadata, dry_run=dry_run)}
        return self._door.ask(post(Opened, "/v1/accounts", body, key))

    def get(self, account: str) -> Account:
        """One account and what it has."""
        return self._door.ask(get(Account, "/v1/accounts/{account}", account=account))

    def list(
        self, prefix: str | None = None, *, frozen: bool | None = None, in_debt: bool | None = None,
        limit: int | None = None,
    ) -> Pages[Account]:  # fmt: skip
        """Accounts in the order of their ids; those that begin with a prefix, are frozen or in debt only."""
        query = {"prefix": prefix, "frozen": flag_text(frozen), "in_debt": flag_text(in_debt), "limit": _text(limit)}
        return Pages(self._door, get(Page[Account], "/v1/accounts", query))

    def erase(
        self, account: str, reason: str, *, user: bool | None = None, dry_run: bool | None = None,
        key: str | None = None,
    ) -> AccountErased:  # fmt: skip
        """Blank the texts of an account's entries, for good; `user` also removes the person of that id."""
        body = {"reason": reason, "user": user, "dry_run": dry_run}
        return self._door.ask(post(AccountErased, "/v1/accounts/{account}/erase", body, key, account=account))

    def settings(self, account: str) -> AccountSettings:
        """What is set on an account."""
        return self._door.ask(get(AccountSettings, "/v1/accounts/{account}/settings", account=account))

    def change_settings(
        self, account: str, *, allowance: Amount | None = None, frozen: bool | None = None,
        spend_limit_day: Amount | UnsetType | None = UNSET, spend_limit_month: Amount | UnsetType | None = UNSET,
        timezone: str | None = None, balance_low: Amount | UnsetType | None = UNSET,
        balance_critical: Amount | UnsetType | None = UNSET, if_match: str | None = None,
        description: str | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> AccountSettingsChanged:  # fmt: skip
        """Change what is set on an account; what is left out stays, a limit or threshold of None is taken away. With
        `if_match` (the `etag` of the settings as they were read) only where they are still the same."""
        body: dict[str, Any] = {
            "allowance": amount_if(allowance, "allowance"), "frozen": frozen, "timezone": timezone,
            "spend_limit_day": _limit(spend_limit_day, "spend_limit_day"),
            "spend_limit_month": _limit(spend_limit_month, "spend_limit_month"),
            "balance_low": _limit(balance_low, "balance_low"),
            "balance_critical": _limit(balance_critical, "balance_critical"),
            **said(description, dry_run=dry_run),
        }  # fmt: skip
        path = "/v1/accounts/{account}/settings"
        return self._door.ask(patch(AccountSettingsChanged, path, body, key, if_match, account=account))

    def statement(
        self, account: str, *, month: str | None = None, since: Day | None = None, until: Day | None = None,
        timezone: str | None = None, every: bool | None = None,
    ) -> Statement:  # fmt: skip
        """A period of an account: opening balance, the entries that moved it (or `every` one), closing balance. A
        month such as "2026-10", or from and until when; by default this month."""
        return stated(self._door, statement_call(Statement, account, month, since, until, timezone, every))

    def export_statement(
        self, account: str, *, month: str | None = None, since: Day | None = None, until: Day | None = None,
        timezone: str | None = None, every: bool | None = None,
    ) -> Iterator[bytes]:  # fmt: skip
        """The same as CSV, a page at a time: the bytes that the API's own has, to be written to a file. Its last row is
        the closing balance."""
        call = statement_call(dict[str, Any], account, month, since, until, timezone, every)
        return stated_as_csv(self._door, call)


class Grants:
    """Grants; given by the client's own `grant`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def get(self, id: str) -> GrantNow:
        """One grant, with what remains of it now."""
        return self._door.ask(get(GrantNow, "/v1/grants/{id}", id=id))

    def list(self, account: str, *, state: str | None = None, limit: int | None = None) -> Pages[GrantNow]:
        """An account's grants, newest first; those in a state (live, spent, lapsed, voided) only."""
        query = {"state": state, "limit": _text(limit)}
        return Pages(
            self._door, get(Page[GrantNow], "/v1/accounts/{account}/grants", query, account=account)
        )  # fmt: skip

    def void(
        self, id: str, *, description: str | None = None, metadata: Mapping[str, Any] | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> Voided:  # fmt: skip
        """Take a grant back; what was spent of it becomes debt."""
        body = said(description, metadata, dry_run=dry_run)
        return self._door.ask(post(Voided, "/v1/grants/{id}/void", body, key, id=id))


class Charges:
    """Charges; made by the client's own `charge`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def get(self, id: str) -> ChargeExplained:
        """One charge, explained: from what was used to the grants that paid, and what became of it."""
        return self._door.ask(get(ChargeExplained, "/v1/charges/{id}", id=id))

    def list(
        self, account: str, *, since: Instant | None = None, until: Instant | None = None, limit: int | None = None
    ) -> Pages[ChargeNow]:  # fmt: skip
        """An account's charges, newest first, with what was refunded of each."""
        query = {"from": instant_text(since, "since"), "to": instant_text(until, "until"), "limit": _text(limit)}
        return Pages(
            self._door, get(Page[ChargeNow], "/v1/accounts/{account}/charges", query, account=account)
        )  # fmt: skip


class Holds:
    """Holds by hand. The client's own `hold` ends one by itself at the end of a block."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def create(
        self, account: str, amount: Amount | None = None, *, usage: Usage | Mapping[str, Any] | None = None,
        provider: str | None = None, model: str | None = None, input_tokens: int | None = None,
        output_tokens: int | None = None, operation: str | None = None, service: str | None = None,
        product: str | None = None, expires_in: timedelta | int | None = None, on_expiry: str | None = None,
        description: str | None = None, metadata: Mapping[str, Any] | None = None, final: bool | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> Hold:  # fmt: skip
        """Set credits aside for work in progress: an amount, or what will probably be used."""
        call = hold_call(
            account,
            priced_body(
                amount, usage, provider, model, input_tokens, output_tokens, operation, service, product
            ),
            expires_in, on_expiry, said(description, metadata, final, dry_run), key,
        )  # fmt: skip
        return self._door.ask(call)

    def get(self, id: str) -> HoldNow:
        """One hold as it stands now, live or ended."""
        return self._door.ask(get(HoldNow, "/v1/holds/{id}", id=id))

    def list(self, account: str, *, state: str | None = None, limit: int | None = None) -> Pages[HoldNow]:
        """An account's holds, newest first; only those that are `live` or have `ended`."""
        query = {"state": state, "limit": _text(limit)}
        return Pages(
            self._door, get(Page[HoldNow], "/v1/accounts/{account}/holds", query, account=account)
        )  # fmt: skip

    def settle(
        self, id: str, amount: Amount | None = None, *, usage: Usage | Mapping[str, Any] | None = None,
        provider: str | None = None, model: str | None = None, input_tokens: int | None = None,
        output_tokens: int | None = None, last: bool | None = None, shortfall: str | None = None,
        late: str | None = None, description: str | None = None, metadata: Mapping[str, Any] | None = None,
        final: bool | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> Settled:  # fmt: skip
        """Charge what the work cost: an amount, what was used, or all that is left of the hold. With `last=False`
        the hold lives on and more settles may follow."""
        used = usage_body(
            usage, provider=provider, model=model, input_tokens=input_tokens, output_tokens=output_tokens
        )  # fmt: skip
        body = {
            "amount": amount_if(amount), "usage": used, "last": last, "shortfall": shortfall, "late": late,
            **said(description, metadata, final, dry_run),
        }  # fmt: skip
        return self._door.ask(post(Settled, "/v1/holds/{id}/settle", body, key, id=id))

    def extend(
        self, id: str, *, expires_at: Instant | None = None, raise_by: Amount | None = None,
        metered: Amount | None = None, description: str | None = None, metadata: Mapping[str, Any] | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> Extended:  # fmt: skip
        """Move a hold's end, set more aside, or report what was used so far in all."""
        body = {
            "expires_at": instant_text(expires_at, "expires_at"),
            "raise_by": amount_if(raise_by, "raise_by"),
            "metered": amount_if(metered, "metered"),
            **said(description, metadata, dry_run=dry_run),
        }
        return self._door.ask(post(Extended, "/v1/holds/{id}/extend", body, key, id=id))

    def release(
        self, id: str, *, description: str | None = None, metadata: Mapping[str, Any] | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> Released:  # fmt: skip
        """Free what a hold has set aside; nothing is charged."""
        body = said(description, metadata, dry_run=dry_run)
        return self._door.ask(post(Released, "/v1/holds/{id}/release", body, key, id=id))


def hold_call(
    account: str, priced: dict[str, Any], expires_in: timedelta | int | None, on_expiry: str | None,
    rest: dict[str, Any], key: str | None,
) -> Call[Hold]:  # fmt: skip
    """The call that places a hold."""
    life = {"expires_in": seconds(expires_in, "expires_in"), "on_expiry": on_expiry}
    return post(Hold, "/v1/holds", {"account": account, **priced, **life, **rest}, key)


def _limit(value: Amount | UnsetType | None, name: str) -> str | UnsetType | None:
    return value if value is UNSET or value is None else amount_if(value, name)


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
