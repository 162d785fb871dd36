"""Prices: versions of rate cards, and of what models cost.

A version is written once and never changed: a card's may be withdrawn before it begins, a model's may wait in
quarantine until somebody lets it in or keeps it out. What begins later is written ahead of its time, by `LEAD_US` at
least, so that every process knows it when its instant comes. What documents mean is no matter of this file.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from typing import Any, Final

from .acts import AccessError, Act, Acts, Once
from .pages import LAST, Page, Position, cut
from .price_rows import (
    CardFacts,
    CardSummary,
    CardVersion,
    NewPrice,
    PriceRow,
    PriceStatus,
    card_facts,
    card_version,
    facts_of,
    price_page,
)
from .reports import Database, Execute, Row
from .statements import statements

__all__ = [
    "AccessError",
    "Act",
    "CardFacts",
    "CardSummary",
    "CardVersion",
    "NewPrice",
    "Once",
    "PriceRow",
    "PriceStatus",
    "PriceStore",
]

LEAD_US: Final = 2_000_000
"""How far ahead a version is known before it begins."""
MAX_DOCUMENT: Final = 1_000_000
"""Characters that a document may have."""
_PAGE: Final = 500
CARD_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_START: Final = ("", "", 0)


class PriceStore:
    """Reads and writes of prices."""

    def __init__(self, db: Database, now_us: Callable[[], int] = lambda: 0) -> None:
        self._db = db
        self._now_us = now_us
        """Asked inside a transaction, which may have waited for its turn since the act began."""
        self._sql = statements(db.dialect, "prices")
        acts = Acts(db)
        self._once, self._first, self._changed = acts.once, acts.first, acts.changed

    async def _rows(self, name: str, *values: Any) -> list[Row]:
        return await self._db.rows(self._sql[name], values)

    # Rate cards

    async def add_version(
        self, workspace: str, card: str, document: str, effective_from: int | None, act: Act, once: Once | None = None,
        reason: str = "", expected_version: int | None = None,
    ) -> CardFacts:  # fmt: skip
        """Write a card's next version. It begins at `effective_from`, by default as soon as every process can know it;
        the first one may begin at once. With `expected_version`, only where that is the last one (0: there is none)."""
        _check_card(card, document)

        async def work(execute: Execute) -> CardFacts:
            ((last,),) = await execute(self._sql["last_version"], (workspace, card))
            if expected_version not in (None, last):
                message = f"the card {card} is at version {last}, not {expected_version}: read it again"
                raise AccessError(message, "precondition_failed", field="expected_version")
            beginning = await execute(self._sql["last_beginning"], (workspace, card))
            begins = _beginning(effective_from, beginning, max(act.at, self._now_us()))
            hash = sha256(document.encode()).digest()
            made = CardFacts(workspace, card, last + 1, begins, hash.hex(), act.at, act.actor, reason)
            values = (workspace, card, made.version, begins, document, hash, act.at, act.actor, reason)
            await execute(self._sql["insert_card"], values)
            after = {"version": made.version, "effective_from": begins, "hash": made.hash}
            detail = {"before": {"version": last} if last else None, "after": after, "reason": reason}
            await self._changed(execute, workspace, act, "card.add", card, detail, once, made)
            return made

        return await self._once(once, workspace, "card.add", CardFacts, work)

    async def added_before(self, workspace: str, once: Once) -> CardFacts | None:
        """The version that was added under this key; None where there is none."""
        return await self._first(once, workspace, "card.add", CardFacts)

    async def withdraw(
        self, workspace: str, card: str, version: int, act: Act, once: Once | None = None, reason: str = ""
    ) -> CardFacts:
        """Take back a version that has not begun, and does not before every process knows; taking it back twice changes
        nothing."""

        async def work(execute: Execute) -> CardFacts:
            found = card_version(
                _one(await execute(self._sql["card_version"], (workspace, card, version)), card, version)
            )
            before = found.withdrawn_at
            if before is None:
                if found.effective_from < max(act.at, self._now_us()) + LEAD_US:
                    message = f"{found.name} has begun, or will before every process knows: add a version instead"
                    raise AccessError(message, "card_version_begun", field="version")
                await execute(self._sql["withdraw_card"], (act.at, workspace, card, version))
                found.withdrawn_at = act.at
            elif once is None:
                return facts_of(found)
            detail = {"version": version, "reason": reason, "before": {"withdrawn_at": before}}
            detail |= {"after": {"withdrawn_at": found.withdrawn_at}}
            await self._changed(execute, workspace, act, "card.withdraw", card, detail, once, facts_of(found))
            return facts_of(found)

        return await self._once(once, workspace, "card.withdraw", CardFacts, work)

    async def cards(self, workspace: str, at: int) -> list[CardSummary]:
        """A workspace's cards, by name, as they stand at that instant."""
        rows = await self._rows("cards", workspace, at, workspace, at, workspace)
        return [CardSummary(*row) for row in rows]

    async def versions(
        self, workspace: str, card: str, *, before: Position | None = None, limit: int = 50
    ) -> Page[CardFacts]:
        """A page of a card's versions, newest first, those that were withdrawn included."""
        rows = await self._rows("card_versions", workspace, card, before[0] if before else LAST, limit + 1)
        return cut([card_facts(row) for row in rows], limit, limit + 1, lambda facts: (facts.version,))

    async def version(self, workspace: str, card: str, version: int) -> CardVersion | None:
        """One version."""
        rows = await self._rows("card_version", workspace, card, version)
        return card_version(rows[0]) if rows else None

    async def version_at(self, workspace: str, card: str, at: int) -> CardVersion | None:
        """The version that is in force at that instant, or was."""
        rows = await self._rows("card_at", workspace, card, at)
        return card_version(rows[0]) if rows else None

    async def timeline(self, workspace: str, at: int) -> list[CardVersion]:
        """All that is in force at that instant or later, in the order in which it begins."""
        return [card_version(row) for row in await self._rows("timeline", workspace, at, at)]

    # The catalogue

    async def add_prices(
        self, prices: Sequence[NewPrice], source: str, source_version: str, act: Act
    ) -> list[NewPrice]:
        """Write versions of what models cost, in one transaction: give it few at a time. Those that somebody else was
        faster with are left out; what was written is returned."""

        async def work(execute: Execute) -> list[NewPrice]:
            done, soonest = [], max(act.at, self._now_us()) + LEAD_US
            for p in prices:
                status = "quarantined" if p.quarantine else "active"
                begins = soonest if p.effective_from is None else p.effective_from
                if act.at < begins < soonest:
                    begins = soonest  # its time came while this waited for its turn
                about = (source, source_version, p.quarantine, act.actor, act.at)
                values = (
                    p.provider,
                    p.model,
                    p.after,
                    begins,
                    status,
                    p.document,
                    *about,
                    p.provider,
                    p.model,
                    p.after,
                )
                if await execute(self._sql["insert_price"], values):
                    done.append(p)
            if done:
                detail = {"source_version": source_version, "added": len(done), "quarantined": _waiting(done)}
                await self._catalogue_changed(execute, act, "prices.sync", source, detail)
            return done

        return await self._db.write(work)

    async def withdraw_prices(self, prices: Sequence[tuple[str, str, int]], reason: str, act: Act) -> int:
        """Take back versions that have not begun, and don't before every process knows; says how many."""

        async def work(execute: Execute) -> int:
            count, soonest = 0, max(act.at, self._now_us()) + LEAD_US
            for provider, model, version in prices:
                values = (reason, act.actor, provider, model, version, soonest)
                count += len(await execute(self._sql["withdraw_price"], values))
            if count:
                detail = {"withdrawn": count, "reason": reason}
                await self._catalogue_changed(execute, act, "prices.withdraw", "", detail)
            return count

        return await self._db.write(work)

    async def activate(
        self, provider: str, model: str, version: int, act: Act, reason: str, once: Once | None = None
    ) -> PriceRow:
        """Let a price in that was quarantined; it begins when every process can know it, and not before its time."""
        return await self._decide(provider, model, version, act, "prices.activate", reason, once)

    async def refuse(
        self, provider: str, model: str, version: int, act: Act, reason: str, once: Once | None = None
    ) -> PriceRow:
        """Keep a quarantined price out for good; the same one does not come up again."""
        return await self._decide(provider, model, version, act, "prices.refuse", reason, once)

    async def _decide(
        self, provider: str, model: str, version: int, act: Act, action: str, reason: str, once: Once | None
    ) -> PriceRow:  # fmt: skip
        name = (provider, model, version)

        async def work(execute: Execute) -> PriceRow:
            found = PriceRow(*_one(await execute(self._sql["price"], name), f"{provider}/{model}", version))
            if found.status != "quarantined":
                message = (
                    f"version {version} of {provider}/{model} is {found.status}: nothing is to be decided about it"
                )
                raise AccessError(message, "price_not_quarantined", field="version")
            if action == "prices.activate":
                begins = max(found.effective_from, max(act.at, self._now_us()) + LEAD_US)
                await execute(self._sql["activate_price"], (begins, reason, act.actor, *name))
            else:
                await execute(self._sql["refuse_price"], (reason, act.actor, *name))
            row = PriceRow(*(await execute(self._sql["price"], name))[0])
            detail = {"version": version, "reason": reason, "quarantined_for": found.reason}
            detail |= {"before": _place(found), "after": _place(row)}
            await self._catalogue_changed(execute, act, action, f"{provider}/{model}", detail, once, row)
            return row

        return await self._once(once, "", action, PriceRow, work)

    async def _catalogue_changed(
        self, execute: Execute, act: Act, action: str, subject: str, detail: dict[str, Any], once: Once | None = None,
        answer: Any = None,
    ) -> None:  # fmt: skip
        """The catalogue belongs to no workspace, as its acts do; what processes keep of it hangs on its own version."""
        await execute(self._sql["raise_catalogue_version"])
        await self._changed(execute, "", act, action, subject, detail, once, answer)

    async def catalogue_version(self) -> int:
        """Raised by every change of the catalogue; 0 where there was none."""
        rows = await self._rows("catalogue_version")
        return int(rows[0][0]) if rows else 0

    async def catalogue(self, at: int) -> AsyncIterator[PriceRow]:
        """Of every model what is in force at that instant or later; read a page at a time."""
        after = _START
        while rows := await self._rows("catalogue", *after, at, at, _PAGE):
            for row in rows:
                yield PriceRow(*row)
            after = rows[-1][:3]

    async def with_status(self, status: PriceStatus) -> AsyncIterator[PriceRow]:
        """All versions of that status, by provider and model; read a page at a time."""
        after = _START
        while rows := await self._rows("with_status", status, *after, _PAGE):
            for row in rows:
                yield PriceRow(*row)
            after = rows[-1][:3]

    async def last_versions(self) -> dict[tuple[str, str], int]:
        """The last version of every model, whatever its status."""
        found: dict[tuple[str, str], int] = {}
        after = ("", "")
        while rows := await self._rows("last_versions", *after, _PAGE):
            found.update(((provider, model), version) for provider, model, version in rows)
            after = rows[-1][:2]
        return found

    async def quarantined(self, *, after: Position | None = None, limit: int = 50) -> Page[PriceRow]:
        """A page of the prices that wait for somebody to look at them."""
        rows = await self._rows("with_status", "quarantined", *(after or _START), limit + 1)
        return price_page(rows, limit)

    async def history(
        self, provider: str, model: str, *, before: Position | None = None, limit: int = 50
    ) -> Page[PriceRow]:
        """A page of a model's versions, newest first, whatever their status."""
        rows = await self._rows("prices_of", provider, model, before[0] if before else LAST, limit + 1)
        return cut([PriceRow(*row) for row in rows], limit, limit + 1, lambda row: (row.version,))

    async def price(self, provider: str, model: str, version: int) -> PriceRow | None:
        """One version of a model's price, whatever its status."""
        rows = await self._rows("price", provider, model, version)
        return PriceRow(*rows[0]) if rows else None

    async def price_at(self, provider: str, model: str, at: int) -> PriceRow | None:
        """A model's price that is in force at that instant, or was."""
        rows = await self._rows("price_at", provider, model, at)
        return PriceRow(*rows[0]) if rows else None

    async def search(
        self, text: str, at: int, *, provider: str = "", after: Position | None = None, limit: int = 50
    ) -> Page[PriceRow]:
        """A page of models whose `provider/model` holds the text, with the price in force at that instant."""
        start = after[:2] if after else ("", "")
        like = "%" + re.sub("([!%_])", r"!\1", text.lower()) + "%"
        rows = await self._rows("search", *start, provider, provider, like, at, limit + 1)
        return price_page(rows, limit)


def _check_card(card: str, document: str) -> None:
    if not CARD_NAME.fullmatch(card):
        message = "a card's name has 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit"
        raise AccessError(message, field="card")
    if len(document) > MAX_DOCUMENT:
        raise AccessError(
            f"a card may have {MAX_DOCUMENT:,} characters, this one has {len(document):,}", field="document"
        )


def _beginning(wanted: int | None, last: list[Row], now: int) -> int:
    """When a version begins that was asked for now, after the last one of its card."""
    soonest = now + LEAD_US if last else now
    begins = soonest if wanted is None else wanted
    if begins < soonest:
        message = "must be at least 2 s ahead, so that all processes switch at the same instant"
        raise AccessError(message if last else "must not be in the past", "too_soon", field="effective_from")
    if last and begins <= last[0][1]:
        message = f"version {last[0][0]} begins at that time or later: begin after it, or withdraw it"
        raise AccessError(message, "overlapping_versions", field="effective_from")
    return begins


def _one(rows: list[Row], name: str, version: int) -> Row:
    if not rows:
        raise AccessError(f"there is no version {version} of {name}", "version_not_found", field="version")
    return rows[0]


def _place(row: PriceRow) -> dict[str, Any]:
    return {"status": row.status, "effective_from": row.effective_from}


def _waiting(prices: Sequence[NewPrice]) -> int:
    return sum(1 for price in prices if price.quarantine)
