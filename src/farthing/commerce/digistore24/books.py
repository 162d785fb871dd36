"""Digistore24's books: its list of transactions. Refunds stand there by themselves and name their order, not their
payment; so what has gone back is compared refund by refund.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from farthing.core.catalogue import Provider
from farthing.core.purchases import Receipt
from farthing.core.reconcile import Back, Contest, Theirs

from .client import Digistore24
from .errors import NotFound
from .results import Transaction
from .wanted import Search

ZONE: Final = "Europe/Berlin"
"""Of its times, which name no zone: that of its servers, as far as anybody knows."""
FORM: Final = "%Y-%m-%d %H:%M:%S"
BACK: Final = ("refund", "chargeback")
TEST: Final = "test"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Digistore24Books:
    """Asks by a client."""

    provider: Provider = "digistore24"

    def __init__(self, client: Digistore24, now_us: int, product_ids: Sequence[str] = ()) -> None:
        self._client = client
        self._now_us = now_us
        self._product_ids = frozenset(product_ids)

    async def told(self, since: int, until: int) -> AsyncIterator[Theirs | Back | Contest]:
        """All transactions from then on: what goes back comes later than what it is of."""
        # Until a fixed time: pages are counted from the beginning, and what comes meanwhile must not move them.
        search = Search(write_time(since), write_time(max(until, self._now_us + 1_000_000)))
        async for found in self._client.list_transactions(search):
            if found.kind == "payment":
                yield _theirs(found)
            elif found.kind in BACK:
                yield Back(
                    id=found.id, at=read_time(found.created_at), amount=abs(found.amount),
                    currency=found.currency, order=found.purchase_id,
                )  # fmt: skip

    async def look(self, handle: str) -> Theirs | None:
        """Its refunds name no payment."""
        return None

    async def find(self, receipt: Receipt) -> Theirs | None:
        """Among the transactions of its order."""
        if not receipt.order:
            return None
        try:
            order = await self._client.get_purchase(receipt.order)
        except NotFound:
            return None
        return next((_theirs(each) for each in order.transaction_list if each.id == receipt.payment), None)

    async def is_ours(self, workspace: str, theirs: Theirs) -> bool:
        """Where the workspace has named its products, whether one of them was bought."""
        if not self._product_ids:
            return True
        try:
            order = await self._client.get_purchase(theirs.order)
        except NotFound:
            return True
        return any(item.product_id in self._product_ids for item in order.items)


def _theirs(found: Transaction) -> Theirs:
    return Theirs(
        payment=found.id, order=found.purchase_id, at=read_time(found.created_at), amount=abs(found.amount),
        currency=found.currency, test=found.pay_method == TEST,
    )  # fmt: skip


def write_time(at_us: int) -> str:
    """An instant as its lists take it."""
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(ZoneInfo(ZONE)).strftime(FORM)


def read_time(text: str) -> int:
    """An instant out of its words; what can't be read is the beginning of all time, and in no range."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(ZONE))
    return (zoned - _EPOCH) // timedelta(microseconds=1)
