"""Reads litellm's `model_prices_and_context_window.json`.

Prices are USD per single token, second, image or page, and named by long keys: what is counted, then
`_above_200k_tokens` for a step of the whole request, then `_batches`, `_flex` or `_priority` for special terms. A
model's name there often has its provider before it, which is taken off; the whole name stays an alias.
"""

import re
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from farthing.core.modelprice import Price

from .catalogue import (
    FREE,
    MILLION,
    TOKENS,
    Dated,
    Key,
    Left,
    Listing,
    Source,
    Terms,
    Unfit,
    check_names,
    is_called_free,
    made_source,
    model_price,
    read_json,
    stepped,
)

NAME: Final = "litellm"
SAMPLE: Final = "sample_spec"
"""An entry that explains the others."""
DIMENSIONS: Final = {
    "input_cost_per_token": "input_tokens",
    "output_cost_per_token": "output_tokens",
    "cache_read_input_token_cost": "cache_read_tokens",
    "cache_creation_input_token_cost": "cache_write_tokens",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_tokens",
    "input_cost_per_audio_token": "input_audio_tokens",
    "input_cost_per_image_token": "input_image_tokens",
    "input_cost_per_video_token": "input_video_tokens",
    "output_cost_per_reasoning_token": "reasoning_tokens",
    "output_cost_per_audio_token": "output_audio_tokens",
    "output_cost_per_image_token": "output_image_tokens",
    "output_cost_per_video_token": "output_video_tokens",
    "input_cost_per_character": "input_characters",
    "output_cost_per_character": "output_characters",
    "output_cost_per_image": "images",
    "input_cost_per_request": "requests",
    "ocr_cost_per_page": "input_document_pages",
    "annotation_cost_per_page": "input_annotated_document_pages",
}
"""What each kind of price counts."""
BY_MODE: Final = {
    ("input_cost_per_second", "audio_transcription"): "audio_seconds",
    ("output_cost_per_second", "audio_speech"): "output_audio_seconds",
    ("output_cost_per_second", "video_generation"): "output_video_seconds",
    ("input_cost_per_query", "rerank"): "rerank_searches",
    ("input_cost_per_image", "chat"): "input_images",
    ("input_cost_per_image", "embedding"): "input_images",
}
"""What it counts where that depends on the kind of model."""
TERMS: Final[dict[str, Terms]] = {
    "": (),
    "batches": (("processing", "batch"),),
    "flex": (("service_tier", "flex"),),
    "priority": (("service_tier", "priority"),),
}
_SUFFIX = re.compile(r"(?:_above_([1-9][0-9]{0,5})k_tokens)?(?:_([a-z]+))?")

Steps = dict[int, Decimal | int]


def read_file(data: bytes) -> Source:
    """What the file says."""
    entries: dict[str, dict[str, Any]] = read_json(data, dict[str, dict[str, Any]], f"the {NAME} file")
    models: dict[Key, tuple[Dated, ...]] = {}
    left: list[Left] = []
    # Names without a provider before them come first: where two mean the same model, theirs is the price.
    for name, entry in sorted(entries.items(), key=lambda item: ("/" in item[0], item[0])):
        if name == SAMPLE:
            continue
        reader = _Reader(name, entry)
        listing = reader.listing()
        left += reader.left
        if listing is None:
            continue
        key = (listing.price.provider, listing.price.model)
        known = models.get(key)
        models[key] = (Dated(0, listing),) if known is None else known
        if known is not None and known[0].listing.price != listing.price:
            left.append(Left("the same model with another price", name))
    return made_source(NAME, sha256(data).hexdigest()[:16], models, left)


class _Reader:
    """Reads one entry, and keeps what it could not carry over."""

    def __init__(self, name: str, entry: dict[str, Any]) -> None:
        self._name, self._entry = name, entry
        self._mode = str(entry.get("mode"))
        self._seen: set[Left] = set()

    @property
    def left(self) -> list[Left]:
        return sorted(self._seen)

    def _leave(self, reason: str) -> None:
        self._seen.add(Left(reason, self._name))

    def listing(self) -> Listing | None:
        """The model; None where it can't be carried over."""
        provider = self._entry.get("litellm_provider")
        if not isinstance(provider, str):
            self._leave("no provider")
            return None
        model = self._name.removeprefix(f"{provider}/")
        try:
            check_names(provider, model)
            standard, variants = self._prices()
            if not standard and is_called_free(model):
                standard = dict(FREE)
            if not standard:
                raise Unfit("no price")
            price = model_price(provider, model, standard, variants)
            return Listing(price=price, aliases=(self._name,) if model != self._name else ())
        except Unfit as error:
            self._leave(str(error))
            return None

    def _prices(self) -> tuple[dict[str, Price], dict[Terms, dict[str, Price]]]:
        found = self._steps()
        standard = found.pop((), {})
        # What special terms have no step for costs what it costs otherwise, never less.
        full = {
            terms: {name: {**standard.get(name, {}), **steps} for name, steps in special.items()}
            for terms, special in found.items()
        }
        return self._priced(standard), {terms: self._priced(special) for terms, special in full.items()}

    def _priced(self, found: dict[str, Steps]) -> dict[str, Price]:
        prices = {}
        for dimension, steps in found.items():
            if 0 in steps:
                prices[dimension] = _price(dimension, steps)
            else:
                self._leave(f"only higher steps for {dimension}")
        return prices

    def _steps(self) -> dict[Terms, dict[str, Steps]]:
        """By terms and dimension: the price from each number of input tokens on."""
        found: dict[Terms, dict[str, Steps]] = {}
        for key, value in self._entry.items():
            if key == "tiered_pricing" and isinstance(value, list):
                for step in value:
                    self._tiered(step, found)
            elif key == "search_context_cost_per_query" and isinstance(value, dict):
                self._searches(value, found)
            elif "cost" in key:
                self._note(key, value, found, 0)
        return found

    def _note(self, key: str, value: Any, found: dict[Terms, dict[str, Steps]], start: int) -> None:
        base = max((known for known in self._kinds() if key.startswith(known)), key=len, default="")
        suffix = _SUFFIX.fullmatch(key.removeprefix(base))
        terms = TERMS.get(suffix[2] or "") if base and suffix else None
        if suffix is None or terms is None:
            self._leave(f"no dimension for {key}")
        elif isinstance(value, bool) or not isinstance(value, Decimal | int):
            self._leave("a price that is no number")
        else:
            dimension = DIMENSIONS.get(base) or BY_MODE[base, self._mode]
            at = 1_000 * int(suffix[1]) if suffix[1] else start
            found.setdefault(terms, {}).setdefault(dimension, {})[at] = value

    def _kinds(self) -> list[str]:
        return [*DIMENSIONS, *(kind for kind, mode in BY_MODE if mode == self._mode)]

    def _tiered(self, step: Any, found: dict[Terms, dict[str, Steps]]) -> None:
        limits = step.get("range") if isinstance(step, dict) else None
        if not isinstance(limits, list) or not limits or not _is_whole(limits[0]):
            raise Unfit("steps that can't be read")
        for key, value in step.items():
            if "cost" in key:
                self._note(key, value, found, int(limits[0]))

    def _searches(self, sizes: dict[str, Any], found: dict[Terms, dict[str, Steps]]) -> None:
        prices = set(sizes.values())
        if len(prices) != 1 or not isinstance(price := prices.pop(), Decimal | int):
            self._leave("a price of searches that depends on their size")
        else:
            found.setdefault((), {}).setdefault("web_searches", {})[0] = price


def _is_whole(value: Any) -> bool:
    return isinstance(value, Decimal | int) and 0 <= value < 10**12 and value == int(value)


def _price(dimension: str, steps: Steps) -> Price:
    per = MILLION if dimension in TOKENS or dimension.endswith("_characters") else 1
    return stepped(dimension, [(start, _times(value, per)) for start, value in sorted(steps.items())], per)


def _times(value: Decimal | int, per: int) -> Decimal:
    """The price of so many; shifting the point loses nothing, whatever the number of digits."""
    sign, digits, exponent = Decimal(value).as_tuple()
    assert isinstance(exponent, int), "JSON has no other numbers"
    return Decimal((sign, digits, exponent + len(str(per)) - 1))
