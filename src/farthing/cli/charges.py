"""Charges without the buyer: `payments charges` shows those of which nobody knows what became, and `payments release`
says of one that nothing was charged, so that its key may ask again.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, invalid
from .opening import at_desk, played
from .options import Db, In, Json
from .output import Answer, columns
from .reading import read_key, write_time

if TYPE_CHECKING:
    from farthing.stores.billing import Billing

MOST = 1_000
ON_ITS_WAY_US = 600_000_000
"""Whoever asks a provider has given up by then."""


def charges(
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help="How many to show.")] = 50,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Charges without the buyer that were asked for, and of which nobody knows what became: the answer was lost, or
    whoever asked was cut off. One that was carried out leaves this list when the provider tells of its payment."""
    from farthing.stores.billing import Billings

    with at_desk(db, workspace) as desk:
        found = desk.ledger.wait(Billings(desk.ledger.database).unknown(desk.workspace.id, limit))
    data = [_facts(each) for each in found]
    rows = [("ASKED", "PROVIDER", "ACCOUNT", "OFFER", "KEY")]
    rows += [(f["asked_at"], f["provider"], f["account"], f["offer"] or "-", f["key"]) for f in data]
    return Answer(
        {"workspace": desk.workspace.id, "data": data},
        columns(rows) if found else "what became of every charge is known",
    )


def release(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Under which it was asked for: `payments charges` has it.")],
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; for the audit log.")] = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Say that nothing was charged under a key, after a look at the provider's own list: the same key may ask again. A
    payment that comes all the same is credited as any other."""
    from farthing.core.commands import text_error
    from farthing.stores.acts import AccessError
    from farthing.stores.billing import Billings

    if reason is not None and (wrong := text_error(reason)):
        raise invalid("reason", wrong)
    own = read_key(key) or ""
    with at_desk(db, workspace) as desk:
        now, detail = desk.now_us(), {"reason": reason} if reason else {}
        billings = Billings(desk.ledger.database)
        # Of `buy --charge --key` it is known without the prefix as well.
        under = own if desk.ledger.wait(billings.get(desk.workspace.id, own)) else key
        try:
            freed = played(
                desk.ledger, billings.release(desk.workspace.id, under, now - ON_ITS_WAY_US, detail, desk.act())
            )
        except AccessError as error:
            raise Trouble(error.code, str(error), Exit.NO, key=key) from error
    return Answer(_facts(freed) | {"workspace": desk.workspace.id}, f"{key} may ask {freed.provider} again")


def _facts(billing: "Billing") -> dict[str, Any]:
    return {
        "key": billing.key, "account": billing.account, "offer": billing.offer or None,
        "provider": billing.provider, "order": billing.order or None, "quantity": billing.quantity,
        "asked_at": write_time(billing.asked_at),
    }  # fmt: skip
