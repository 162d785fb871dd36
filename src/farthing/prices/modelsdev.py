"""Reads the `api.json` of models.dev: USD per million tokens, with steps of the whole request by its context."""

from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct

from farthing.core.modelprice import Price

from .catalogue import (
    FREE,
    MILLION,
    BadCatalogue,
    Dated,
    Key,
    Left,
    Listing,
    Source,
    Unfit,
    check_names,
    is_called_free,
    made_source,
    model_price,
    read_json,
    stepped,
)

NAME: Final = "models.dev"
DIMENSIONS: Final = {
    "input": "input_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "input_audio": "input_audio_tokens",
    "output_audio": "output_audio_tokens",
}
"""What each kind of price counts."""
OLD_STEP: Final = "context_over_200k"


class _Model(Struct):
    id: str
    cost: dict[str, Any] | None = None


class _Provider(Struct):
    id: str
    models: dict[str, _Model]


def read_file(data: bytes) -> Source:
    """What the file says."""
    providers: dict[str, _Provider] = read_json(data, dict[str, _Provider], f"the {NAME} file")
    models: dict[Key, tuple[Dated, ...]] = {}
    left: list[Left] = []
    for provider in providers.values():
        for model in provider.models.values():
            name = f"{provider.id}/{model.id}"
            if (provider.id, model.id) in models:
                raise BadCatalogue(f"the {NAME} file has {name} twice")
            try:
                check_names(provider.id, model.id)
                price = _prices(model.id, model.cost or {}, name, left)
            except Unfit as error:
                left.append(Left(str(error), name))
                continue
            listing = Listing(price=model_price(provider.id, model.id, price, {}))
            models[provider.id, model.id] = (Dated(0, listing),)
    return made_source(NAME, sha256(data).hexdigest()[:16], models, left)


def _prices(model: str, cost: dict[str, Any], name: str, left: list[Left]) -> dict[str, Price]:
    steps: dict[str, dict[int, Decimal | int]] = {}
    _note(cost, 0, steps, name, left)
    for start, rates in _further(cost):
        _note(rates, start, steps, name, left)
    if not steps and is_called_free(model):
        return dict(FREE)
    if not steps:
        raise Unfit("no price")
    return {dimension: stepped(dimension, sorted(found.items()), MILLION) for dimension, found in steps.items()}


def _further(cost: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The steps after the first: `tiers`, or the one there was before those."""
    tiers = cost.get("tiers")
    if not tiers:
        old = cost.get(OLD_STEP)
        return [(200_000, old)] if isinstance(old, dict) else []
    try:
        found = msgspec.convert(tiers, list[dict[str, Any]])
        marks = [msgspec.convert(rates["tier"], _Mark) for rates in found]
    except (msgspec.ValidationError, KeyError) as error:
        raise Unfit("steps that can't be read") from error
    return [(mark.size, rates) for mark, rates in zip(marks, found, strict=True)]


class _Mark(Struct):
    size: int
    type: str = "context"

    def __post_init__(self) -> None:
        if self.type != "context" or self.size <= 0:
            raise ValueError("only steps by the size of the context are known")


def _note(
    rates: dict[str, Any], start: int, steps: dict[str, dict[int, Decimal | int]], name: str, left: list[Left]
) -> None:
    for kind, value in rates.items():
        if kind in ("tiers", "tier", OLD_STEP) or value is None:
            continue
        if kind not in DIMENSIONS:
            left.append(Left(f"no dimension for {kind}", name))
        elif isinstance(value, bool) or not isinstance(value, Decimal | int):
            left.append(Left("a price that is no number", name))
        else:
            steps.setdefault(DIMENSIONS[kind], {})[start] = value
