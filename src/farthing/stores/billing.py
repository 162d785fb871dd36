"""Billing: charges without the buyer, each under its key. A row is there before a provider is asked, so that nobody
asks a second time for the same; what became of it is put down by who has asked, and by the payment once it comes.
"""

from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .acts import AccessError, Act, Acts
from .contract import Raced
from .reports import Database, Execute, Row
from .statements import statements

State = Literal["free", "asked", "succeeded", "pending", "declined", "authentication_required", "failed"]
"""free: nothing was charged, and the same key may ask again; asked: nobody knows yet. The others are what was told."""
OPEN: Final[tuple[State, ...]] = ("free", "asked", "pending", "declined", "authentication_required", "failed")
"""What a payment that comes after all turns into a success."""
MOST: Final = 500
"""Of an account, the newest: more orders than that nobody looks through."""
RELEASE: Final = "charge.release"
_encode = msgspec.json.Encoder().encode


class Billing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A charge."""

    key: str
    account: str
    offer: str
    quantity: int = 1
    provider: str
    order: str = ""
    """Which earlier order was to be charged, where who asked has said it."""
    comes_as: str = ""
    """What its payment will be known by: the reference that goes along, or the provider's name of the payment."""
    state: State = "asked"
    asked_at: int
    """First of all."""
    tried_at: int = 0
    """When somebody has asked again under its key."""
    payment: str = ""
    url: str = ""
    page: str = ""
    """The provider's name of the page at `url`, where it can be closed."""
    reason: str = ""
    message: str = ""


class KeptBilling(Struct, frozen=True):
    """A charge, and how often it was changed."""

    billing: Billing
    version: int


_decoder = msgspec.json.Decoder(Billing)


class Billings:
    """Reads and writes of charges."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "billing")
        self._acts = Acts(db)

    async def begin(self, workspace: str, billing: Billing) -> KeptBilling | None:
        """Put a charge down before it is asked for; the one that is there under its key, if there is one."""
        b = billing

        async def work(execute: Execute) -> KeptBilling | None:
            values = (workspace, b.key, b.account, b.provider, b.comes_as, b.state, b.asked_at, _text(b))
            if await execute(self._sql["begin"], values):
                return None
            (row,) = await execute(self._sql["get"], (workspace, b.key))
            return _kept(row)

        return await self._db.write(work)

    async def get(self, workspace: str, key: str) -> KeptBilling | None:
        """The charge under a key."""
        rows = await self._db.rows(self._sql["get"], (workspace, key))
        return _kept(rows[0]) if rows else None

    async def key_of(self, workspace: str, provider: str, comes_as: str) -> str:
        """The key of the charge whose payment is known so; empty where there is none."""
        rows = await self._db.rows(self._sql["coming"], (workspace, provider, comes_as))
        return _kept(rows[0]).billing.key if rows else ""

    async def payments_of(self, workspace: str, account: str) -> set[str]:
        """What the provider calls the newest charges of an account that were begun."""
        rows = await self._db.rows(self._sql["of"], (workspace, account, MOST))
        return {_kept(row).billing.payment for row in rows}

    async def change(self, workspace: str, billing: Billing, version: int) -> None:
        """Write a charge that was read in that version; raises `Raced` where somebody has changed it meanwhile."""

        async def work(execute: Execute) -> None:
            await self._change(execute, workspace, billing, version)

        await self._db.write(work)

    async def paid(self, workspace: str, provider: str, comes_as: str, payment: str, key: str = "") -> None:
        """The payment has come that a charge has asked for, if there is one that is known so, or by the key that came
        back with it: whoever was to put down how it is known may not have been answered."""
        sql, values = (
            (self._sql["get"], (workspace, key)) if key else (self._sql["coming"], (workspace, provider, comes_as))
        )
        rows = await self._db.rows(sql, values)
        if not any(_kept(row).billing.state in OPEN for row in rows):
            return

        async def work(execute: Execute) -> None:
            for row in await execute(sql, values):
                kept = _kept(row)
                if kept.billing.state in OPEN and kept.billing.provider == provider:
                    done = replace(
                        kept.billing, state="succeeded", payment=payment, url="", page="", reason="", message=""
                    )
                    await self._change(execute, workspace, done, kept.version)

        await self._db.write(work)

    async def unknown(self, workspace: str, limit: int) -> list[Billing]:
        """Charges that were asked for and of which nobody knows what became, the oldest first."""
        return [_kept(row).billing for row in await self._db.rows(self._sql["unknown"], (workspace, limit))]

    async def release(self, workspace: str, key: str, before: int, detail: dict[str, str], act: Act) -> Billing:
        """Somebody has seen at the provider that nothing was charged under a key: it may ask again. Raises AccessError
        where that is known better, or where it was asked for since `before`, and may be on its way."""

        async def work(execute: Execute) -> Billing:
            rows = await execute(self._sql["get"], (workspace, key))
            if not rows:
                raise AccessError("no charge was asked for under this key", "charge_not_found")
            kept = _kept(rows[0])
            if kept.billing.state != "asked":
                raise AccessError("what became of it is known: the same key tells", "charge_known")
            if kept.billing.asked_at >= before:
                raise AccessError("it was asked for just now, and may be on its way", "charge_too_new")
            await self._change(execute, workspace, freed := replace(kept.billing, state="free"), kept.version)
            told = {"account": freed.account, "provider": freed.provider, "offer": freed.offer}
            await self._acts.changed(execute, workspace, act, RELEASE, key, told | detail)
            return freed

        return await self._db.write(work)

    async def _change(self, execute: Execute, workspace: str, b: Billing, version: int) -> None:
        values = (b.account, b.provider, b.comes_as, b.state, b.asked_at, _text(b), workspace, b.key, version)
        if not await execute(self._sql["change"], values):
            raise Raced(f"the charge {b.key} was changed by somebody else at the same moment")


def _text(billing: Billing) -> str:
    return _encode(billing).decode()


def _kept(row: Row) -> KeptBilling:
    return KeptBilling(_decoder.decode(row[0]), row[1])
