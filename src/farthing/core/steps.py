"""The steps of a price: which part of a quantity is priced by which, included units first."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from .exact import ZERO, add, multiply, plain, subtract
from .rules import Step, Tariff


def parts_of(tariff: Tariff, quantity: Decimal, totals: Mapping[str, Decimal]) -> Iterable[tuple[Step, Decimal, str]]:
    """The parts of a quantity that are priced alike: the step, how much of it, what is to be said of it."""
    rest, note = quantity, ""
    if tariff.included:
        taken = min(tariff.included, quantity)
        rest, note = subtract(quantity, taken), f"{plain(taken)} included"
    if len(tariff.steps) == 1:
        return ((tariff.steps[0], rest, note),)
    if tariff.whole:
        reached = totals.get(tariff.by, ZERO)
        step = next(step for step in reversed(tariff.steps) if not step.start or reached > step.start)
        return ((step, rest, _joined(note, f"all at the step from {plain(step.start)} {tariff.by}")),)
    return _graduated(tariff.steps, rest, note)


def _graduated(steps: tuple[Step, ...], rest: Decimal, note: str) -> Iterator[tuple[Step, Decimal, str]]:
    ends = [step.start for step in steps[1:]]
    for step, end in zip(steps, [*ends, rest], strict=True):
        if rest > step.start or not step.start:
            part = subtract(min(rest, end), step.start)
            yield step, part, _joined(note, f"step from {plain(step.start)}")
            note = ""


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def cost_of(tariff: Tariff, quantity: Decimal, totals: Mapping[str, Decimal]) -> Decimal | None:
    """What the rule says the provider asks, included units and all; None where it doesn't."""
    steps = tariff.steps
    if len(steps) == 1:
        return None if steps[0].cost is None else multiply(quantity, steps[0].cost)
    if any(step.cost is None for step in steps):
        return None
    counted = exact_sum(multiply(part, step.cost or ZERO) for step, part, _ in parts_of(tariff, quantity, totals))
    return add(counted, multiply(min(tariff.included, quantity), steps[0].cost or ZERO))


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum, not rounded."""
    total = ZERO
    for amount in amounts:
        total = add(total, amount)
    return total
