"""Prices without a database: `price`, a rate card from a file and usage as JSON lines."""

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from .cards import read_card_file
from .exits import Exit, Trouble, usage
from .options import Json, enter
from .output import clean, columns, say
from .reading import read_instant, read_scale

if TYPE_CHECKING:
    from farthing.core.pricing import Book
    from farthing.core.ratecard import RateCard
    from farthing.core.usage import Usage
    from farthing.prices.book import Catalogue

PANEL = "Prices"
STDIN = "-"
BUNDLED = "bundled"

Mode = Literal["STRICT", "RUNTIME"]
Unknown = Literal["default", "refuse", "unpriced"]


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "price",
        "$ farthing price --card card.json --usage usage.jsonl",
        "$ farthing price --card card.json --usage - --json < usage.jsonl",
        "$ farthing price --card card.json --catalogue bundled --usage usage.jsonl",
        panel=PANEL,
    )(price)


def price(
    card: Annotated[str, typer.Option("--card", metavar="FILE", help="The rate card: JSON, or a PriceCalc profile.")],
    used: Annotated[str, typer.Option("--usage", metavar="FILE", help="Usage, one JSON object a line; - is input.")],
    catalogue: Annotated[
        str | None,
        typer.Option(
            "--catalogue",
            metavar="FILE",
            help="What models cost, for cards that use it: a file of genai-prices, litellm or models.dev; or "
            f"`{BUNDLED}`, the prices at hand.",
        ),
    ] = None,
    unit: Annotated[str, typer.Option("--unit", metavar="NAME", help="What is counted.")] = "credits",
    scale: Annotated[
        int | None, typer.Option("--scale", metavar="N", help="Decimals. Default: 6; for money such as USD 9.")
    ] = None,
    unknown: Annotated[
        Unknown, typer.Option("--unknown-models", help="What becomes of models that no rule knows.")
    ] = "default",
    mode: Annotated[
        Mode | None, typer.Option("--mode", help="For a PriceCalc profile: how lines are priced that don't say.")
    ] = None,
    include_rounded: Annotated[
        bool, typer.Option("--include-rounded", help="For a PriceCalc profile: the total in whole credits, too.")
    ] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="For a PriceCalc profile: results with all that they were made of.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Price usage by a rate card, offline: JSON lines in, a line for each out. Lines that can't be priced say why, and
    make the exit code 1."""
    from farthing.core.ratecard import ProfileCard

    digits = read_scale(scale, unit)
    terms, _ = read_card_file(Path(card), digits)
    if isinstance(terms, ProfileCard):
        if catalogue is not None:
            raise usage("--catalogue is for cards that use it, and a PriceCalc profile has all its prices")
        pricer: _Pricer = _ProfilePricer(terms, mode, include_rounded, audit)
    elif mode or include_rounded or audit:
        raise usage("--mode, --include-rounded and --audit are for PriceCalc profiles, and the card is none")
    else:
        pricer = _CardPricer(terms, Path(card).stem, unit, digits, unknown, _read_catalogue(catalogue))
    if used == STDIN:
        return _price_all(sys.stdin.buffer, pricer, as_json)
    try:
        with open(used, "rb") as lines:
            return _price_all(lines, pricer, as_json)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise usage(f"--usage can't be read: {error.strerror}: {used}") from error


def _read_catalogue(name: str | None) -> "Catalogue | None":
    """The model prices of a file, or those that are at hand."""
    from farthing.prices import genai
    from farthing.prices.catalogue import BadCatalogue
    from farthing.prices.offline import catalogue_of
    from farthing.prices.sync import read_source

    if name is None:
        return None
    try:
        source = genai.read_bundle() if name == BUNDLED else read_source(Path(name).read_bytes())
    except OSError as error:
        raise usage(f"--catalogue can't be read: {error.strerror}: {name}") from error
    except BadCatalogue as error:
        raise Trouble("bad_catalogue", str(error), Exit.NO) from error
    return catalogue_of(source, _now_us())


def _now_us() -> int:
    return time.time_ns() // 1_000


# Lines


class _Refusal(Exception):
    """A line that has no price: what is told of it."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.told = {"code": code, "message": message, **facts}


class _Pricer(Protocol):
    """What prices a line."""

    def price(self, document: dict[str, Any]) -> dict[str, Any]:
        """The result as JSON; `_Refusal` where there is none."""

    def text(self, result: dict[str, Any]) -> str:
        """The result for people."""


def _price_all(lines: Iterable[bytes], pricer: _Pricer, as_json: bool) -> int:
    """A result for each line, or why there is none."""
    failed = False
    for number, line in _documents(lines):
        try:
            result = pricer.price(_decoded(line))
        except _Refusal as refusal:
            failed = True
            if as_json:
                _write({"error": {**refusal.told, "line": number}})
            else:
                say(f"line {number}: {refusal}")
        else:
            _write(result) if as_json else print(f"line {number}: {pricer.text(result)}\n")
    return Exit.NO if failed else Exit.OK


def _documents(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that have something on them, numbered; a file of one object over many lines is one of them."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    first = next(numbered, None)
    if first is None:
        return
    if first[1].strip() == b"{":
        yield 1, first[1] + b"".join(line for _, line in numbered)
        return
    yield first
    yield from numbered


def _decoded(line: bytes) -> dict[str, Any]:
    import msgspec

    try:
        found = msgspec.json.Decoder(float_hook=Decimal).decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _Refusal("usage_invalid", f"is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise _Refusal("usage_invalid", "must be a JSON object")
    return found


def _write(result: dict[str, Any]) -> None:
    """A line of JSON; Decimals are numbers with all their digits."""
    import msgspec

    print(msgspec.json.encode(_plain(result)).decode(), flush=True)


def _plain(value: Any) -> Any:
    import msgspec

    from farthing.core.exact import plain

    if isinstance(value, Decimal):
        return msgspec.Raw(plain(value).encode())
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 63:
        return msgspec.Raw(str(value).encode())
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


# A rate card of ours


_ADVICE = f"; the card uses a catalogue: name one with --catalogue FILE, or --catalogue {BUNDLED}"


class _CardPricer:
    def __init__(
        self, card: "RateCard", name: str, unit: str, scale: int, unknown: Unknown, catalogue: "Catalogue | None"
    ) -> None:
        from farthing.core.pricing import Book
        from farthing.core.rules import compile_card

        self._unit = unit
        self._scale = scale
        self._catalogue = catalogue
        self._book = Book(card=compile_card(card), reference=name, scale=scale, unknown_models=unknown)

    def price(self, document: dict[str, Any]) -> dict[str, Any]:
        from farthing.core.pricing import price as priced_by
        from farthing.core.quantities import PriceRefusal

        used = _read_usage(document)
        found = priced_by(used, self._book_at(used.at))
        if isinstance(found, PriceRefusal):
            advice = _ADVICE if found.code == "unknown_model" and self._lacks_catalogue else ""
            raise _Refusal(found.code, found.message + advice, field=found.field)
        return _priced_json(found, self._unit, self._scale)

    def _book_at(self, at: int | None) -> "Book":
        """The prices of an instant: the card is the same at any, the catalogue knows its past."""
        from msgspec.structs import replace

        known = self._catalogue
        if known is None:
            return self._book
        find = partial(known.tariffs, _now_us() if at is None else at)
        return replace(self._book, find_model=find, candidates=known.candidates)

    @property
    def _lacks_catalogue(self) -> bool:
        return self._catalogue is None and self._book.card.catalogue

    def text(self, result: dict[str, Any]) -> str:
        head = f"{result['amount']} {self._unit}" + (" (unpriced)" if result.get("unpriced") else "")
        rows = [("", "QUANTITY", "PRICE", "AMOUNT", "BY", "")]
        rows += [_row(line) for line in result["lines"]]
        return f"{head}\n{columns(rows, right=(1, 2, 3))}" if result["lines"] else head


def _row(line: dict[str, Any]) -> tuple[str, str, str, str, str, str]:
    price = f"{line.get('price', '')} {line.get('currency', '')}".strip()
    per = f" / {line['per']:,}" if line.get("per", 1) != 1 else ""
    by = line.get("rule") or line.get("source", "")
    name = line.get("dimension") or line["kind"]
    return name, line.get("quantity", ""), price + per, line["amount"], by, line.get("note", "")


def _priced_json(priced: Any, unit: str, scale: int) -> dict[str, Any]:
    """A price as programs read it: amounts as decimal text."""
    from farthing.core.amounts import write_amount
    from farthing.core.costs import COST_DECIMALS

    told = {"amount": write_amount(priced.amount, scale), "unit": unit, "exact": priced.exact}
    if priced.cost is not None:
        told["cost"] = write_amount(priced.cost, COST_DECIMALS)
    told |= {name: getattr(priced, name) for name in ("card", "provider", "model", "unpriced") if getattr(priced, name)}
    return {**told, "lines": [_line_json(line) for line in priced.lines]}


def _line_json(line: Any) -> dict[str, Any]:
    told = {name: getattr(line, name) for name in line.__struct_fields__ if getattr(line, name) != ""}
    if line.kind != "price":
        del told["per"]
    if not line.currency:
        del told["rate"]
    return told


_TEXTS = ("provider", "model", "service", "operation", "product", "chat")


def _read_usage(document: dict[str, Any]) -> "Usage":
    """A usage: quantities as numbers or decimal text."""
    from farthing.core.usage import Usage

    known = {*_TEXTS, "dimensions", "attributes", "at"}
    for name in document:
        if name not in known:
            raise _wrong(name, f"is no field of a usage; it has {', '.join(sorted(known))}")
    texts = {name: _text(name, document[name]) for name in _TEXTS if name in document}
    dimensions = {name: _quantity(name, value) for name, value in _members("dimensions", document)}
    attributes = {name: _text(f"attributes.{name}", value) for name, value in _members("attributes", document)}
    at = _read_at(document["at"]) if "at" in document else None
    return Usage(**texts, dimensions=dimensions, attributes=attributes, at=at)


def _read_at(value: Any) -> int:
    try:
        return read_instant(_text("at", value), 0, "at")
    except Trouble as trouble:
        raise _wrong("at", trouble.message.removeprefix("at ")) from trouble


def _members(field: str, document: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    found = document.get(field, {})
    if not isinstance(found, dict):
        raise _wrong(field, "must be a JSON object")
    return found.items()


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(field, "must be a text")
    return value


def _quantity(name: str, value: Any) -> str:
    from farthing.core.exact import plain

    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < 100:
        return plain(value)
    if isinstance(value, str) or type(value) is int:
        return str(value)
    raise _wrong(f"dimensions.{name}", "must be a number or decimal text")


def _wrong(field: str, message: str) -> _Refusal:
    return _Refusal("usage_invalid", f"{field} {message}", field=field)


# A PriceCalc profile


class _ProfilePricer:
    def __init__(self, card: Any, mode: Mode | None, include_rounded: bool, audit: bool) -> None:
        from farthing.core.profile import Profile

        self._profile = Profile.of(card.profile)
        self._mode = mode
        self._include_rounded = include_rounded
        self._audit = audit

    def price(self, document: dict[str, Any]) -> dict[str, Any]:
        from farthing.core.pricecalc import PriceCalcRefusal, audit_payload, calculate

        request = document if self._mode is None else {"mode": self._mode, **document}
        result = calculate(self._profile, request, self._include_rounded)
        if isinstance(result, PriceCalcRefusal):
            names = {"names": list(result.names)} if result.names else {}
            raise _Refusal(result.code, result.message, **names)
        if self._audit:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            return audit_payload(self._profile, request, result, now)
        return result

    def text(self, result: dict[str, Any]) -> str:
        shown = _shown(result)
        head = f"{shown['totalCredits']} credits"
        if "totalCreditsToDeduct" in shown:
            head += f", {shown['totalCreditsToDeduct']} to deduct"
        if reason := shown.get("quarantineReason"):
            head += f" (quarantined: {clean(' '.join([reason, *shown.get('unmatchedDimensions', [])]))})"
        rows = [("", "QUANTITY", "PRICE", "CREDITS", "RULE")]
        rows += [_profile_row(row) for row in shown["breakdown"]]
        return f"{head}\n{columns(rows, right=(1, 2, 3))}" if shown["breakdown"] else head


def _profile_row(row: dict[str, Any]) -> tuple[str, str, str, str, str]:
    return row["dimensionKey"], str(row["qty"]), str(row["creditsPerUnit"]), str(row["credits"]), row["ruleId"]


def _shown(value: Any) -> Any:
    """A result with its numbers as plain text."""
    from farthing.core.exact import plain

    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, dict):
        return {key: _shown(each) for key, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list) else value
