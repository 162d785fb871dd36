"""Buying: `buy` prints where an account buys an offer; `orders list`, `show` and `claim` are what was bought."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import Desk, at_desk, played
from .options import Db, In, Json, Key, enter
from .output import Answer, columns, pairs
from .products import PANEL
from .reading import KEY_PREFIX, read_key, write_time

if TYPE_CHECKING:
    from farthing.commerce.charges import Charged
    from farthing.commerce.links import Link
    from farthing.commerce.selling import Unsellable
    from farthing.commerce.troubles import ProviderTrouble
    from farthing.core.catalogue import Provider
    from farthing.core.purchases import Order, Receipt
    from farthing.stores.purchases import Purchases

MOST = 1_000
TROUBLES = {
    kind: f"provider_{kind}"
    for kind in ("key_missing", "key_invalid", "key_forbidden", "rate_limited", "unavailable", "refused")
}
"""What trouble with a provider is called, among the reasons of a charge."""
ProviderName = Annotated[str, typer.Argument(metavar="PROVIDER", help="digistore24 or stripe.")]
OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="The provider's own id of it.")]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    enter(
        app,
        "buy",
        "$ farthing buy alice assistant/pack-500",
        "$ farthing buy alice assistant/professional --provider stripe --json",
        "$ farthing buy alice assistant/pack-500 --charge --key top-up-4711",
        panel=PANEL,
    )(buy)
    group = typer.Typer(help="What accounts have bought.")
    enter(group, "list", "$ farthing orders list alice", "$ farthing orders list --unclaimed --json")(list_all)
    enter(group, "show", "$ farthing orders show digistore24 AB12CD34")(show)
    enter(group, "claim", "$ farthing orders claim digistore24 AB12CD34 alice")(claim)
    app.add_typer(group, name="orders", rich_help_panel=PANEL)


def buy(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Who is to have it.")],
    offer: Annotated[str, typer.Argument(metavar="OFFER", help="What: product/tier or product/top-up.")],
    provider: Annotated[
        str | None,
        typer.Option("--provider", metavar="PROVIDER", help="digistore24 or stripe. Default: the only one there is."),
    ] = None,
    email: Annotated[str, typer.Option("--email", metavar="ADDRESS", help="The buyer's, filled in for him.")] = "",
    success_url: Annotated[
        str, typer.Option("--success-url", metavar="URL", help="Where he comes to when he has paid.")
    ] = "",
    cancel_url: Annotated[
        str, typer.Option("--cancel-url", metavar="URL", help="Where he comes to when he has not.")
    ] = "",
    keep_method: Annotated[
        bool, typer.Option("--keep-method", help="What he pays with may be charged again without him.")
    ] = False,
    charge: Annotated[
        bool, typer.Option("--charge", help="Charge what he has left for that, without him; a top-up only.")
    ] = False,
    order: Annotated[
        str, typer.Option("--order", metavar="ORDER", help="With --charge: the order that Digistore24 charges again.")
    ] = "",
    key: Key = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Print where an account buys an offer: a page of the provider's, made for it.

    With --charge it is paid without him, once under its --key, which later tells what is known. Either way the credits
    come when the provider tells of the payment.
    """
    from farthing.commerce.links import Buyer

    known_provider(provider)
    if charge:
        if email or success_url or cancel_url or keep_method:
            raise usage("--charge is without the buyer: --email, addresses and --keep-method go with a link")
        return _charged(account, offer, provider or "", order, key, workspace, db)
    if order or key is not None:
        raise usage("--order and --key go with --charge")
    buyer = Buyer(email=email, success_url=success_url, cancel_url=cancel_url, keep_method=keep_method)
    with at_desk(db, workspace) as desk:
        found, link = played(desk.ledger, _link(desk, account, offer, provider or "", buyer))
        facts = {"workspace": desk.workspace.id, "account": account, "offer": offer, "provider": found}
    return Answer(facts | {"url": link.url}, link.url)


async def _link(desk: Desk, account: str, offer: str, wanted: str, buyer: Any) -> "tuple[Provider, Link]":
    from farthing.commerce.parts import commerce_on
    from farthing.commerce.selling import Unsellable
    from farthing.commerce.troubles import ProviderTrouble

    ledger = desk.ledger
    commerce = commerce_on(ledger.engine, ledger.database, ledger.reports, desk.now_us)
    try:
        provider = await commerce.selling.provider(desk.workspace, wanted)
        return provider, await commerce.selling.checkout(desk.workspace, account, offer, provider, buyer=buyer)
    except (ProviderTrouble, Unsellable) as error:
        raise trouble_of(error) from error
    finally:
        await commerce.aclose()


def _charged(
    account: str, offer: str, provider: str, order: str, key: str | None, workspace: str | None, db: str | None
) -> Answer:  # fmt: skip
    from farthing.core.commands import text_error

    if wrong := text_error(account):
        raise invalid("account", wrong)
    under = read_key(key) or KEY_PREFIX + uuid4().hex
    with at_desk(db, workspace) as desk:
        found, told = played(desk.ledger, _charge(desk, account, offer, provider, order, under))
        if told.reason == "offer_not_found":
            raise Trouble("offer_not_found", f"There is no top-up {offer!r}", Exit.NO)
        facts: dict[str, Any] = {"workspace": desk.workspace.id, "account": account, "offer": offer, "provider": found}
    shown = under.removeprefix(KEY_PREFIX)
    facts |= {"key": shown, "state": told.state, "again": told.again}
    facts |= {name: getattr(told, name) or None for name in ("payment", "url", "reason", "message")}
    if told.state == "succeeded":
        return Answer(facts, f"charged as {told.payment}; the credits come when {found} tells of it")
    if told.state == "pending":
        return Answer(facts, f"not known yet; the same --key tells later: {shown}")
    del facts["message"]  # it has its place in every error
    name = TROUBLES.get(told.reason, told.state)
    text = f"{told.state.replace('_', ' ')}: {told.message or told.reason}" + (f"; {told.url}" if told.url else "")
    raise Trouble(name, text, Exit.UNAVAILABLE if told.again else Exit.NO, **facts)


async def _charge(
    desk: Desk, account: str, offer: str, wanted: str, order: str, key: str
) -> "tuple[Provider, Charged]":  # fmt: skip
    from farthing.commerce.parts import commerce_on
    from farthing.commerce.selling import Unsellable
    from farthing.commerce.troubles import ProviderTrouble
    from farthing.stores.access import AccessError

    ledger = desk.ledger
    commerce = commerce_on(ledger.engine, ledger.database, ledger.reports, desk.now_us)
    try:
        provider = await commerce.selling.provider(desk.workspace, wanted)
        return provider, await commerce.charging.charge(desk.workspace, account, offer, provider, key, order=order)
    except (ProviderTrouble, Unsellable) as error:
        raise trouble_of(error) from error
    except AccessError as error:
        raise Trouble(error.code, str(error), Exit.NO, differs=list(error.differs)) from error
    finally:
        await commerce.aclose()


def trouble_of(error: "ProviderTrouble | Unsellable") -> Trouble:
    """Why a provider does not do what is asked."""
    from farthing.commerce.troubles import ProviderTrouble

    if isinstance(error, ProviderTrouble):
        return Trouble(f"provider_{error.kind}", error.message, Exit.UNAVAILABLE if error.passes else Exit.NO)
    if error.code in ("provider_needed", "methods_unknown"):
        return usage(f"--provider {error}")
    return Trouble(error.code, str(error), Exit.NO, **({"reason": error.reason} if error.reason else {}))


def known_provider(provider: str | None) -> None:
    """Refuse a name that is no provider's."""
    from farthing.core.catalogue import PROVIDERS

    if provider is not None and provider not in PROVIDERS:
        raise invalid("provider", f"must be one of {', '.join(PROVIDERS)}")


# What was bought


def purchases_of(desk: Desk) -> "Purchases":
    """The purchases of the ledger."""
    from farthing.stores.purchases import Purchases

    return Purchases(desk.ledger.database)


def order_facts(order: "Order") -> dict[str, Any]:
    """An order as programs read it."""
    names = ("provider", "id", "account", "offer", "product", "state")
    facts = {name: getattr(order, name) or None for name in names}
    return facts | {"bought_at": write_time(order.bought_at), "test": order.test}


def receipt_facts(receipt: "Receipt", desk: Desk) -> dict[str, Any]:
    """A payment as programs read it."""
    from farthing.core.purchases import taken_back

    return {
        "payment": receipt.payment, "amount": receipt.amount or None, "currency": receipt.currency or None,
        "at": write_time(receipt.at), "state": receipt.state, "reason": receipt.reason,
        "credits": desk.write(receipt.credits), "taken": desk.write(taken_back(receipt)),
        "entry": receipt.entry or None,
    }  # fmt: skip


def list_all(
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="Whose; all without.")] = None,
    unclaimed: Annotated[bool, typer.Option("--unclaimed", help="Those that nobody knows the account of.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help="How many at most.")] = 50,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """What was bought, newest first: by an account, or what nobody knows the account of."""
    if account is not None and unclaimed:
        raise usage("say whose orders, or --unclaimed, not both")
    with at_desk(db, workspace) as desk:
        page = desk.ledger.wait(purchases_of(desk).orders(desk.workspace.id, "" if unclaimed else account, None, limit))
        facts = [order_facts(kept.order) for kept in page.items]
    names = ("provider", "id", "account", "offer", "state", "bought_at")
    rows: list[tuple[str, ...]] = [("PROVIDER", "ORDER", "ACCOUNT", "OFFER", "STATE", "BOUGHT")]
    rows += [tuple(each[name] or "-" for name in names) for each in facts]
    told = {"workspace": desk.workspace.id, "data": facts, "has_more": page.next is not None}
    return Answer(told, columns(rows))


def show(
    provider: ProviderName, order: OrderId, workspace: In = None, db: Db = None, as_json: Json = False
) -> Answer:  # fmt: skip
    """One order, with its payments."""
    known_provider(provider)
    with at_desk(db, workspace) as desk:
        kept = desk.ledger.wait(purchases_of(desk).order(desk.workspace.id, provider, order))
        if kept is None:
            raise Trouble("order_not_found", f"there is no order {order!r} of {provider}", Exit.NO, order=order)
        return _shown(desk, kept.order)


def _shown(desk: Desk, order: "Order") -> Answer:
    found = desk.ledger.wait(purchases_of(desk).receipts_of_order(desk.workspace.id, order.provider, order.id))
    payments = [receipt_facts(kept.receipt, desk) for kept in found]
    facts = order_facts(order)
    told = pairs({name: str(value) for name, value in facts.items() if value is not None})
    rows = [("PAYMENT", "AMOUNT", "STATE", "CREDITS", "TAKEN BACK", "AT")]
    rows += [
        (
            each["payment"], f"{each['amount'] or '-'} {each['currency'] or ''}".strip(),
            f"{each['state']}: {each['reason']}" if each["reason"] else each["state"], each["credits"], each["taken"],
            each["at"],
        )
        for each in payments
    ]  # fmt: skip
    return Answer(facts | {"payments": payments}, f"{told}\n\n{columns(rows)}")


def claim(
    provider: ProviderName,
    order: OrderId,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Whose it is.")],
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Say whose an order is that nobody knew the account of: what was paid for it is credited."""
    from farthing.core.commands import text_error
    from farthing.stores.access import AccessError

    known_provider(provider)
    if wrong := text_error(account):
        raise invalid("account", wrong)
    with at_desk(db, workspace) as desk:
        work = purchases_of(desk).claim(desk.workspace.id, provider, order, account, desk.act())
        try:
            claimed = desk.ledger.wait(work)
        except AccessError as error:
            raise Trouble(error.code, str(error), Exit.NO, order=order) from error
        played(desk.ledger, _credit(desk, claimed))
        return _shown(desk, claimed)


async def _credit(desk: Desk, order: "Order") -> None:
    from farthing.commerce.parts import commerce_on

    ledger, act = desk.ledger, desk.act()
    commerce = commerce_on(ledger.engine, ledger.database, ledger.reports, desk.now_us)
    await commerce.fulfilling.claim_order(desk.workspace, order.provider, order.id, order.account, act.actor)
