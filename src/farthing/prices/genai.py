"""Reads genai-prices: the data that its package brings along, and its `data.json` (version 2).

Prices are USD per million tokens (or per 1,000, hour, billion), whole-request steps by input tokens, with dates. A
variant's few prices are laid over the standard ones, as the package does it.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Final

import msgspec
from msgspec import Struct

from farthing.core.modelprice import STANDARD, Price

from .catalogue import (
    FREE,
    MILLION,
    BadCatalogue,
    Clause,
    Dated,
    Key,
    Left,
    Listing,
    Source,
    Terms,
    Unfit,
    check_names,
    clause,
    flat,
    is_called_free,
    made_source,
    model_price,
    read_json,
    stepped,
)

NAME: Final = "genai-prices"
HOUR: Final = 3_600
SECOND_STEP: Final = Decimal("0.000000000001")
UNITS: Final[dict[str, tuple[str, int]]] = {
    "input_mtok": ("input_tokens", MILLION),
    "output_mtok": ("output_tokens", MILLION),
    "cache_read_mtok": ("cache_read_tokens", MILLION),
    "cache_write_mtok": ("cache_write_tokens", MILLION),
    "cache_write_1h_mtok": ("cache_write_1h_tokens", MILLION),
    "input_audio_mtok": ("input_audio_tokens", MILLION),
    "input_image_mtok": ("input_image_tokens", MILLION),
    "input_video_mtok": ("input_video_tokens", MILLION),
    "output_reasoning_mtok": ("reasoning_tokens", MILLION),
    "output_audio_mtok": ("output_audio_tokens", MILLION),
    "output_image_mtok": ("output_image_tokens", MILLION),
    "output_video_mtok": ("output_video_tokens", MILLION),
    "input_mchars": ("input_characters", MILLION),
    "input_text_messages_kcount": ("input_text_messages", 1_000),
    "audio_hours": ("audio_seconds", HOUR),
    "input_audio_hours": ("input_audio_seconds", HOUR),
    "output_audio_hours": ("output_audio_seconds", HOUR),
    "input_gpixels": ("input_pixels", 1_000_000_000),
    "input_document_kpages": ("input_document_pages", 1_000),
    "input_annotated_document_kpages": ("input_annotated_document_pages", 1_000),
    "rerank_searches_kcount": ("rerank_searches", 1_000),
    "web_searches_kcount": ("web_searches", 1_000),
    "social_searches_kcount": ("social_searches", 1_000),
    "storage_searches_kcount": ("storage_searches", 1_000),
    "code_executions_kcount": ("code_executions", 1_000),
    "requests_kcount": ("requests", 1_000),
}
"""What each kind of price counts, and for how many."""


class _Step(Struct):
    start: int
    price: Decimal


class _Steps(Struct):
    base: Decimal
    tiers: list[_Step]


class _Constraint(Struct):
    start_date: date | None = None
    start_time: time | None = None
    end_time: time | None = None


_Prices = dict[str, Decimal | _Steps | None]


class _Conditional(Struct):
    prices: _Prices
    constraint: _Constraint | None = None


class _Variant(Struct):
    when: dict[str, str]
    prices: _Prices
    constraint: _Constraint | None = None


class _Model(Struct):
    id: str
    match: dict[str, Any] = {}
    prices: _Prices | list[_Conditional] = {}
    price_variants: list[_Variant] | None = None


class _Provider(Struct):
    id: str
    models: list[_Model]


def read_bundle() -> Source:
    """What the installed package brings along."""
    # Costly to import, and wanted only for this.
    from genai_prices.data import providers

    plain = [{"id": provider.id, "models": [_plain(model) for model in provider.models]} for provider in providers]
    return _source(msgspec.convert(plain, list[_Provider]), version(NAME))


def read_file(data: bytes) -> Source:
    """What a `data.json` says."""
    return _source(read_json(data, list[_Provider], f"the {NAME} file"), sha256(data).hexdigest()[:16])


def _plain(value: Any) -> Any:
    """The package's objects as their file would have them."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if hasattr(value, "__dict__"):
        return {key.rstrip("_"): _plain(each) for key, each in vars(value).items() if each is not None}
    return value


def _source(providers: list[_Provider], version: str) -> Source:
    models: dict[Key, tuple[Dated, ...]] = {}
    left: list[Left] = []
    for provider in providers:
        for model in provider.models:
            key = (provider.id, model.id)
            if key in models:
                raise BadCatalogue(f"the {NAME} data has {provider.id}/{model.id} twice")
            reader = _Reader(*key)
            models[key] = reader.dated(model)
            left += reader.left
    return made_source(NAME, version, {key: dated for key, dated in models.items() if dated}, left)


class _Reader:
    """Reads one model, and keeps what it could not carry over."""

    def __init__(self, provider: str, model: str) -> None:
        self._provider, self._model = provider, model
        self._seen: set[Left] = set()

    @property
    def left(self) -> list[Left]:
        return sorted(self._seen)

    def _leave(self, reason: str) -> None:
        self._seen.add(Left(reason, f"{self._provider}/{self._model}"))

    def dated(self, model: _Model) -> tuple[Dated, ...]:
        """The model's prices over time; nothing where it can't be carried over."""
        try:
            check_names(self._provider, self._model)
            return self._dated(model)
        except Unfit as error:
            self._leave(str(error))
        except ArithmeticError:
            self._leave("a price that is no number")
        return ()

    def _dated(self, model: _Model) -> tuple[Dated, ...]:
        standard = model.prices if isinstance(model.prices, list) else [_Conditional(model.prices)]
        variants = model.price_variants or []
        aliases, match = self._names(model)
        found: list[Dated] = []
        for since in _beginnings([*standard, *variants]):
            prices = self._prices(self._standard_at(standard, since))
            if not prices and is_called_free(self._model):
                prices = dict(FREE)
            if not prices:
                self._leave("no price")
                continue
            special = self._variants_at(variants, since)
            price = model_price(self._provider, self._model, prices, special)
            listing = Listing(price=price, aliases=aliases, match=match)
            if not found or found[-1].listing != listing:
                found.append(Dated(since, listing))
        return tuple(found)

    def _standard_at(self, conditions: list[_Conditional], at: int) -> _Prices:
        """The last one that is in force; of prices that depend on the hour the dearest, so that nothing is charged
        below what the provider asks."""
        in_force = [each for each in conditions if _begins(each.constraint) <= at]
        if not in_force:
            in_force = conditions[:1]
        last = next((n for n in range(len(in_force) - 1, -1, -1) if not _by_hour(in_force[n].constraint)), 0)
        hourly = in_force[last + 1 :]
        if hourly:
            self._leave("a price that depends on the hour: the dearest is taken")
        return max([in_force[last].prices, *(each.prices for each in hourly)], key=_dearness)

    def _variants_at(self, variants: list[_Variant], at: int) -> dict[Terms, dict[str, Price]]:
        """By their terms; the first that has a price for a dimension wins."""
        found: dict[Terms, dict[str, Price]] = {}
        for variant in variants:
            if _begins(variant.constraint) > at:
                continue
            prices = self._prices(variant.prices)
            if _by_hour(variant.constraint):
                self._leave("special terms that depend on the hour")
            elif all(value in STANDARD for value in variant.when.values()):
                if prices:
                    self._leave("special prices for what counts as standard terms")
            else:
                known = found.setdefault(tuple(sorted(variant.when.items())), {})
                known.update({name: price for name, price in prices.items() if name not in known})
        return found

    def _prices(self, prices: _Prices) -> dict[str, Price]:
        found: dict[str, Price] = {}
        for kind, value in prices.items():
            if value is None:
                continue
            if kind not in UNITS:
                self._leave(f"no dimension for {kind}")
                continue
            dimension, per = UNITS[kind]
            if isinstance(value, Decimal) and per == HOUR:
                found[dimension] = self._by_second(dimension, value)
            elif isinstance(value, Decimal):
                found[dimension] = flat(dimension, value, per)
            elif per == HOUR:
                raise Unfit("steps of a price per hour")
            else:
                steps = [(0, value.base), *((step.start, step.price) for step in value.tiers)]
                found[dimension] = stepped(dimension, steps, per)
        return found

    def _by_second(self, dimension: str, hourly: Decimal) -> Price:
        """An hour's price as that of a second, which has to be a decimal number."""
        if not hourly.is_finite():
            raise Unfit("a price that is no number")
        exact = hourly / HOUR
        price = exact.quantize(SECOND_STEP, ROUND_HALF_EVEN)
        if price * HOUR != hourly:
            self._leave("a price per hour: taken per second, rounded to the 12th decimal")
        return flat(dimension, price)

    def _names(self, model: _Model) -> tuple[tuple[str, ...], tuple[Clause, ...]]:
        """Names that are equal to one of a list, and other ways of knowing the model."""
        aliases: set[str] = set()
        match: set[Clause] = set()
        for kind, text in _alternatives(model.match):
            if kind == "equals":
                aliases.add(str(text))
                continue
            try:
                match.add(_clause(kind, text))
            except Unfit as error:
                self._leave(str(error))
        return tuple(sorted(aliases - {model.id})), tuple(sorted(match, key=lambda c: (c.kind, c.text, str(c.parts))))


def _alternatives(logic: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for kind, value in logic.items():
        if kind == "or" and isinstance(value, list):
            for each in value:
                yield from _alternatives(_logic(each))
        else:
            yield kind, value


def _logic(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Unfit("a way of knowing names that can't be read")
    return value


def _clause(kind: str, value: Any) -> Clause:
    match kind:
        case "and" if isinstance(value, list):
            parts = [_clause(*alternative) for each in value for alternative in _alternatives(_logic(each))]
            return Clause("all", parts=tuple(parts))
        case "starts_with" | "ends_with" | "contains" | "regex" if isinstance(value, str) and value:
            return clause(kind, value)
        case _:
            raise Unfit(f"a way of knowing names that is not known here: {kind}")


def _begins(constraint: _Constraint | None) -> int:
    """The instant from which it holds, in microseconds; 0 for ever."""
    if constraint is None or constraint.start_date is None:
        return 0
    day = datetime.combine(constraint.start_date, time(), UTC)
    return int(day.timestamp()) * 1_000_000


def _by_hour(constraint: _Constraint | None) -> bool:
    return constraint is not None and constraint.start_time is not None


def _beginnings(of: Iterable[_Conditional | _Variant]) -> list[int]:
    return sorted({0, *(_begins(each.constraint) for each in of)})


def _dearness(prices: _Prices) -> Decimal:
    values = (price if isinstance(price, Decimal) else price.base for price in prices.values() if price is not None)
    return sum(values, Decimal(0))
