"""Products: what a workspace sells, documents by name. Each change is an act: one transaction with its audit record."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from farthing.core.catalogue import Catalogue, KeptProduct, Product, Tier, placed

from .acts import AccessError, Act, Acts, Once
from .reports import Database, Execute, Row
from .statements import statements

MOST: Final = 1_000
"""Of a workspace."""
_encode = msgspec.json.Encoder().encode
_product = msgspec.json.Decoder(Product)


class Products:
    """Reads and writes of what is sold."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "products")
        self._acts = Acts(db)

    async def get(self, workspace: str, product: str) -> KeptProduct | None:
        """The product of that id, archived or not."""
        rows = await self._db.rows(self._sql["product"], (workspace, product))
        return read_product(rows[0]) if rows else None

    async def of(self, workspace: str) -> list[KeptProduct]:
        """All of a workspace, by id."""
        return [read_product(row) for row in await self._db.rows(self._sql["products"], (workspace,))]

    async def catalogue(self, workspace: str) -> Catalogue:
        """All that is or was sold: what is paid for something archived still counts."""
        return Catalogue(kept.product for kept in await self.of(workspace))

    async def put(self, workspace: str, product: Product, act: Act, once: Once | None = None) -> KeptProduct:
        """Make a product, or change it as a whole. One that was archived is on sale again."""

        async def work(execute: Execute) -> KeptProduct:
            (kept,) = await self._put(execute, workspace, [product], act, once)
            return kept

        return await self._acts.once(once, workspace, "product.put", KeptProduct, work)

    async def put_all(self, workspace: str, products: Sequence[Product], act: Act) -> list[KeptProduct]:
        """Put several: all of them, or none where one can't be."""

        async def work(execute: Execute) -> list[KeptProduct]:
            return await self._put(execute, workspace, products, act, None)

        return await self._db.write(work)

    async def archive(self, workspace: str, product: str, act: Act, once: Once | None = None) -> KeptProduct:
        """Nobody is offered it from now on; what is paid for it still counts."""

        async def work(execute: Execute) -> KeptProduct:
            rows = await execute(self._sql["product"], (workspace, product))
            if not rows:
                raise AccessError(f"there is no product {product!r}", "product_not_found")
            before = read_product(rows[0])
            kept = msgspec.structs.replace(before, updated_at=act.at, archived_at=before.archived_at or act.at)
            await execute(self._sql["archive_product"], (kept.archived_at, act.at, workspace, product))
            await self._note(execute, workspace, "product.archive", act, before, kept, once)
            return kept

        return await self._acts.once(once, workspace, "product.archive", KeptProduct, work)

    async def _put(
        self, execute: Execute, workspace: str, products: Sequence[Product], act: Act, once: Once | None
    ) -> list[KeptProduct]:  # fmt: skip
        rows = await execute(self._sql["products"], (workspace,))
        before = {kept.product.id: kept for kept in map(read_product, rows)}
        after = {id: kept.product for id, kept in before.items()} | {product.id: product for product in products}
        if len(after) > MOST:
            raise AccessError(f"a workspace has at most {MOST:,} products", field="id")
        plans = {id for (id,) in await execute(self._sql["plan_ids"], (workspace,))}
        for product in products:
            _require_plans(product, plans)
            _require_own(product, after.values())
        return [await self._put_one(execute, workspace, each, before.get(each.id), act, once) for each in products]

    async def _put_one(
        self, execute: Execute, workspace: str, product: Product, before: KeptProduct | None, act: Act,
        once: Once | None,
    ) -> KeptProduct:  # fmt: skip
        kept = KeptProduct(product, before.created_at if before else act.at, act.at)
        document = _encode(product).decode()
        await execute(self._sql["put_product"], (workspace, product.id, document, kept.created_at, act.at))
        await self._note(execute, workspace, "product.put", act, before, kept, once)
        return kept

    async def _note(
        self, execute: Execute, workspace: str, action: str, act: Act, before: KeptProduct | None, after: KeptProduct,
        once: Once | None,
    ) -> None:  # fmt: skip
        detail = {"before": before and msgspec.to_builtins(before), "after": msgspec.to_builtins(after)}
        await self._acts.changed(execute, workspace, act, action, after.product.id, detail, once, after)


def _require_plans(product: Product, plans: set[str]) -> None:
    """Refuse a tier whose plan is not there: what is paid for it would give nothing."""
    for place, offer in placed(product):
        if isinstance(offer, Tier) and offer.plan not in plans:
            field = f"{place}.plan"
            raise AccessError(f"{field} of {product.id!r} names a plan that is not there: {offer.plan!r}", field=field)


def _require_own(product: Product, all: Iterable[Product]) -> None:
    """Refuse what a provider sells as something else already: a payment for it would be for nobody knows what."""
    others = Catalogue(other for other in all if other.id != product.id)
    for place, offer in placed(product):
        for provider, name in offer.sold_as.items():
            if taken := others.sold_as(provider, name):
                field = f"{place}.sold_as.{provider}"
                message = f"{field} of {product.id!r} must be of no other product: {name!r} is {taken.name!r} already"
                raise AccessError(message, field=field)


def read_product(row: Row) -> KeptProduct:
    """A product from (document, created_at, updated_at, archived_at)."""
    document, created_at, updated_at, archived_at = row
    return KeptProduct(_product.decode(document), created_at, updated_at, archived_at)
