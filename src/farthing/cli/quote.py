"""Quotes: `quote`, what a usage would cost, and whether an account could pay for it. Nothing is charged."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import metering
from .credits import PANEL
from .exits import Exit
from .metering import attributes_of, price_facts, price_of, price_table, usage_facts
from .opening import Desk, at_desk
from .options import Db, In, Json, enter
from .output import Answer

if TYPE_CHECKING:
    from farthing.core.usage import Priced, Usage


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "quote",
        "$ farthing quote --model gpt-4o --input-tokens 1500 --output-tokens 800",
        "$ farthing quote alice --model gpt-4o --input-tokens 1500 --output-tokens 800 --json",
        "$ farthing quote alice --operation image_generation --dimension images=2 --card draft@1",
        panel=PANEL,
    )(quote)


def quote(
    account: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT]", help="Also say whether this account could pay.")
    ] = None,
    model: metering.Model = None,
    provider: metering.Provider = None,
    input_tokens: metering.InputTokens = None,
    output_tokens: metering.OutputTokens = None,
    dimension: metering.Dimensions = None,
    attribute: metering.Attributes = None,
    operation: metering.Operation = metering.DEFAULT_OPERATION,
    service: metering.Service = None,
    product: metering.Product = None,
    used_at: metering.UsedAt = None,
    card: metering.OtherCard = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """What a usage would cost now, line by line. With an account exit code 1 says that a charge would be refused."""
    used = metering.read_usage(
        input_tokens=input_tokens, output_tokens=output_tokens, dimensions=dimension, attributes=attribute,
        used_at=used_at, model=model, provider=provider, operation=operation, service=service, product=product,
    )  # fmt: skip
    with at_desk(db, workspace) as desk:
        priced = price_of(desk, used, card or "", used.at)
        data = {
            "workspace": desk.workspace.id, "account": account, "unit": desk.workspace.unit,
            "amount": desk.write(priced.amount), **afforded(desk, account, used, priced),
            "usage": usage_facts(used), "price": price_facts(priced),
        }  # fmt: skip
    return Answer(data, _text(data), Exit.NO if data["affordable"] is False else Exit.OK)


def afforded(desk: Desk, account: str | None, used: "Usage", priced: "Priced") -> dict[str, Any]:
    """What a charge of an account for it would come to, decided as it would be."""
    if account is None:
        return {"affordable": None, "refusal": None, "available": None, "deficit": None}
    from farthing.core.commands import TakeCharge
    from farthing.core.foresee import foresee
    from farthing.core.outcomes import Refusal, Refused
    from farthing.core.usage import Metered
    from farthing.core.view import available_to
    from farthing.timezones import calendar

    from .refusals import refused

    now_us, words = desk.now_us(), attributes_of(used)
    found = desk.ledger.wait(desk.ledger.reports.account(desk.workspace.id, account, now_us))
    charge = TakeCharge(
        workspace=desk.workspace.id, account=account, amount=priced.amount, usage=Metered(used, priced),
        operation=used.operation, attributes=words, at=now_us,
    )  # fmt: skip
    outcome = foresee(charge, found, desk.workspace, calendar)
    if isinstance(outcome, Refused) and outcome.code is Refusal.INVALID:
        raise refused(outcome, desk.workspace.unit, desk.workspace.scale)
    available = 0 if found is None else available_to(found, used.operation, words)
    no = isinstance(outcome, Refused)
    return {
        "affordable": not no,
        "refusal": str(outcome.code) if isinstance(outcome, Refused) else None,
        "available": desk.write(available),
        "deficit": desk.write(max(priced.amount - available, 0) if no else 0),
    }


def _text(data: dict[str, Any]) -> str:
    text = f"{data['amount']} {data['unit']}"
    if data["price"]["unpriced"]:
        text += " (nobody knows a price of the model: it would be recorded as unpriced)"
    if data["affordable"]:
        text += f"; {data['account']} can pay for it: {data['available']} available"
    elif data["refusal"] == "insufficient_credits":
        text += f"; {data['account']} can't pay for it: {data['available']} available, {data['deficit']} missing"
    elif data["refusal"]:
        text += f"; a charge of {data['account']} would be refused: {data['refusal']}"
    table = price_table(data["price"])
    return f"{text}\n\n{table}" if table else text
