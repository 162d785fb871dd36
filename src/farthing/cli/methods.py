"""Payment methods: `payments methods`, `prefer` and `forget`: what an account has left to be charged again."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .buying import known_provider, trouble_of
from .opening import Desk, at_desk, played
from .options import Db, In, Json
from .output import Answer, columns

if TYPE_CHECKING:
    from farthing.commerce.methods import Kept, Methods
    from farthing.core.catalogue import Provider

T = TypeVar("T")
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Whose.")]
MethodId = Annotated[str, typer.Argument(metavar="METHOD", help="Its id: `payments methods` has it.")]
Provided = Annotated[
    str | None, typer.Option("--provider", metavar="NAME", help="stripe. Default: the only one there is.")
]


def methods(
    account: Account, provider: Provided = None, workspace: In = None, db: Db = None, as_json: Json = False
) -> Answer:  # fmt: skip
    """What an account has left with the provider to be charged again, and which of it is charged."""

    async def work(methods: "Methods", desk: Desk, named: "Provider") -> "list[Kept]":
        return await methods.of(desk.workspace, account, named)

    with at_desk(db, workspace) as desk:
        found = [_facts(each) for each in _asked(desk, provider, work)]
        facts = {"workspace": desk.workspace.id, "account": account, "data": found}
    rows = [("METHOD", "TYPE", "", "EXPIRES", "CHARGED")]
    rows += [(f["id"], f["type"], _name(f), _expires(f), "yes" if f["charged"] else "-") for f in found]
    return Answer(facts, columns(rows) if found else "it has left nothing that could be charged")


def prefer(
    account: Account, method: MethodId, provider: Provided = None, workspace: In = None, db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Have this payment method charged from now on."""

    async def work(methods: "Methods", desk: Desk, named: "Provider") -> "Kept":
        return await methods.prefer(desk.workspace, account, named, method, desk.act())

    with at_desk(db, workspace) as desk:
        facts = _facts(_asked(desk, provider, work))
        told = {"workspace": desk.workspace.id, "account": account, **facts}
    return Answer(told, f"{method} is charged from now on")


def forget(
    account: Account, method: MethodId, provider: Provided = None, workspace: In = None, db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Have a payment method never charged again. A subscription that was paid by it is not ended by that."""

    async def work(methods: "Methods", desk: Desk, named: "Provider") -> None:
        await methods.forget(desk.workspace, account, named, method, desk.act())

    with at_desk(db, workspace) as desk:
        _asked(desk, provider, work)
        facts = {"workspace": desk.workspace.id, "account": account, "id": method}
    return Answer(facts, f"{method} is never charged again")


def _asked(desk: Desk, wanted: str | None, work: "Callable[[Methods, Desk, Provider], Awaitable[T]]") -> T:
    known_provider(wanted)
    done: T = played(desk.ledger, _ask(desk, wanted or "", work))
    return done


async def _ask(desk: Desk, wanted: str, work: "Callable[[Methods, Desk, Provider], Awaitable[T]]") -> T:
    from farthing.commerce.parts import commerce_on
    from farthing.commerce.selling import Unsellable
    from farthing.commerce.troubles import ProviderTrouble

    ledger = desk.ledger
    commerce = commerce_on(ledger.engine, ledger.database, ledger.reports, desk.now_us)
    try:
        return await work(commerce.methods, desk, await commerce.selling.provider(desk.workspace, wanted))
    except (ProviderTrouble, Unsellable) as error:
        raise trouble_of(error) from error
    finally:
        await commerce.aclose()


def _facts(kept: "Kept") -> dict[str, Any]:
    return {
        "id": kept.id, "type": kept.type, "brand": kept.brand or None, "last4": kept.last4 or None,
        "exp_month": kept.exp_month, "exp_year": kept.exp_year, "charged": kept.charged,
    }  # fmt: skip


def _name(f: dict[str, Any]) -> str:
    return " ".join(each for each in (f["brand"], f["last4"]) if each) or "-"


def _expires(f: dict[str, Any]) -> str:
    return f"{f['exp_month']:02}/{f['exp_year']}" if f["exp_year"] else "-"
