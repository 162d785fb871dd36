"""Estimates: `estimate`, what a call to a model will probably cost, before it is made."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import metering
from .credits import PANEL
from .exits import Exit, Trouble, usage
from .metering import is_said, price_facts, reckoned, usage_facts
from .opening import Desk, at_desk
from .options import Db, In, Json, enter
from .output import Answer, columns
from .quote import afforded

if TYPE_CHECKING:
    from farthing.core.estimate import Estimate, Expected
    from farthing.core.pricing import Book
    from farthing.core.quantities import PriceRefusal
    from farthing.core.usage import Usage

STDIN = "-"
MAX_TOKENS = 10**9
_CASES = ("low", "expected", "high")


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "estimate",
        "$ farthing estimate --model gpt-4o --prompt-tokens 1500",
        "$ farthing estimate alice --model gpt-4o --prompt prompt.txt --expected 800 --max 1200",
        panel=PANEL,
    )(estimate)


def _tokens(name: str, help: str) -> Any:
    return typer.Option(f"--{name}", metavar="N", min=0, max=MAX_TOKENS, help=help)


def estimate(
    account: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT]", help="Also say whether this account could pay.")
    ] = None,
    model: metering.Model = None,
    provider: metering.Provider = None,
    prompt_tokens: Annotated[int | None, _tokens("prompt-tokens", "Of the prompt, as the vendor counts them.")] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="FILE", help="Or its text, which is counted roughly; - is input."),
    ] = None,
    expected: Annotated[
        int | None,
        _tokens("expected", "Tokens of the answer. Default: the mean of this model's answers in 30 days, or 500."),
    ] = None,
    least: Annotated[int, _tokens("min", "The shortest answer.")] = 0,
    most: Annotated[int | None, _tokens("max", "The longest answer. Default: twice what is expected.")] = None,
    dimension: metering.Dimensions = None,
    attribute: metering.Attributes = None,
    operation: metering.Operation = metering.DEFAULT_OPERATION,
    service: metering.Service = None,
    product: metering.Product = None,
    card: metering.OtherCard = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """What a call to a model will probably cost, with the least and the most. A hold of the most has room for it.

    With an account exit code 1 says that a charge of what is expected would be refused.
    """
    used = metering.read_usage(
        input_tokens=None, output_tokens=None, dimensions=dimension, attributes=attribute, used_at=None, model=model,
        provider=provider, operation=operation, service=service, product=product,
    )  # fmt: skip
    if not is_said(used) and operation == metering.DEFAULT_OPERATION:
        raise usage("say which model is to be called: --model gpt-4o")
    tokens = _prompt_tokens(prompt_tokens, prompt)
    with at_desk(db, workspace) as desk:
        usual = _usual(desk, used, card or "", expected)
        found = _estimated(desk, used, card or "", tokens, (expected, least, most), usual)
        data = {
            "workspace": desk.workspace.id, "account": account, "unit": desk.workspace.unit, "prompt_tokens": tokens,
            "counted": prompt is None, "completion_from": usual.source, "usage": usage_facts(used),
            **_cases(desk, account, used, found),
        }  # fmt: skip
    return Answer(data, _text(data), Exit.NO if data["expected"]["affordable"] is False else Exit.OK)


def _prompt_tokens(given: int | None, file: str | None) -> int:
    from farthing.core.estimate import count_tokens

    if (given is None) == (file is None):
        raise usage("say how long the prompt is: --prompt-tokens N, or --prompt FILE")
    if file is None:
        return given or 0
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
        return count_tokens(data.decode())
    except OSError as error:
        raise usage(f"--prompt can't be read: {error.strerror}: {file}") from error
    except UnicodeDecodeError as error:
        raise usage(f"--prompt can't be read: {file} is no UTF-8 text") from error


def _usual(desk: Desk, used: "Usage", card: str, given: int | None) -> "Expected":
    """How long the answer will probably be: as was said, else as this model's answers were of late."""
    from farthing.core.estimate import RECENT_US, Expected, expected_of
    from farthing.core.pricing import meant_by

    from .periods import reports_of

    if given is not None:
        return Expected(given, "given")
    now_us = desk.now_us()
    meant: tuple[str, str] = reckoned(desk, card, now_us, lambda book: meant_by(used, book))
    provider, model = meant
    if not model:
        return expected_of(0, 0)
    work = reports_of(desk).answers(desk.workspace.id, provider or None, model, now_us - RECENT_US)
    return expected_of(*desk.ledger.wait(work))


def _estimated(
    desk: Desk, used: "Usage", card: str, tokens: int, completion: tuple[int | None, int, int | None], usual: "Expected"
) -> "Estimate":
    from farthing.core.estimate import estimate as estimated

    def reckon(book: "Book") -> "Estimate | PriceRefusal":
        return estimated(used, book, tokens, *completion, usual.tokens)

    try:
        found: Estimate = reckoned(desk, card, desk.now_us(), reckon)
    except Trouble as trouble:
        if trouble.facts.get("field") == "completion_tokens":
            message = trouble.message.removeprefix("completion_tokens ")
            raise Trouble(trouble.code, f"expected {message}", trouble.exit, field="expected") from trouble
        raise
    return found


def _cases(desk: Desk, account: str | None, used: "Usage", found: "Estimate") -> dict[str, Any]:
    return {
        name: {
            "completion_tokens": tokens,
            "amount": desk.write(priced.amount),
            **afforded(desk, account, used, priced),
            "price": price_facts(priced),
        }
        for name, tokens, priced in zip(_CASES, found.tokens, (found.low, found.expected, found.high), strict=True)
    }


_FROM = {
    "given": "as you say",
    "history": "the mean of this model's answers in the last 30 days",
    "default": "nothing is known of this model's answers",
}


def _text(data: dict[str, Any]) -> str:
    head = f"{data['expected']['amount']} {data['unit']} expected: {data['prompt_tokens']:,} tokens of prompt"
    head += "" if data["counted"] else " (counted roughly)"
    head += f", {data['expected']['completion_tokens']:,} of answer ({_FROM[data['completion_from']]})"
    rows = [("", "ANSWER", "AMOUNT", "")]
    for name in _CASES:
        case = data[name]
        said = {True: f"{data['account']} can pay for it", False: case["refusal"]}.get(case["affordable"], "")
        rows.append((name, f"{case['completion_tokens']:,}", case["amount"], said))
    return f"{head}\n\n{columns(rows, right=(1, 2))}"
