"""The page about the library, made from the code: `python -m tests.reference` writes docs/reference/library.md."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

import farthing
from farthing import formats
from farthing.client import (
    admin_results,
    bodies,
    errors,
    forms,
    job_results,
    payment_results,
    plan_results,
    pricing_results,
    product_results,
    report_results,
    results,
    statement_results,
    webhook_results,
)
from farthing.client.errors import FarthingError
from tests.reference import sentences

LIBRARY = Path(__file__).parents[1] / "docs" / "reference" / "library.md"
WIDTH = 100
_COMMON = {"extra", "key", "replayed", "dry_run"}
_RESULTS = {
    "The ledger": results,
    "Statements": statement_results,
    "Prices, quotes, rate cards, settings": pricing_results,
    "Usage and reports": report_results,
    "Plans and subscriptions": plan_results,
    "Products and providers of payments": product_results,
    "Payments": payment_results,
    "Jobs and events": job_results,
    "Webhooks": webhook_results,
    "Keys, workspaces, payments, audit": admin_results,
    "Parts and forms": forms,
}


def library() -> str:
    """The whole page."""
    lines = [
        "# The library: reference",
        "",
        "Made from the code by `python -m tests.reference`; a test compares. The [tutorial](../tutorial.md) begins at",
        "nothing, [how to use it](../how-to/library.md) has what goes together.",
        "",
        "An amount is a `Decimal`, an int or decimal text, never a float; results have `Decimal`. A time is a",
        "`datetime` with its zone, or RFC 3339 text; results have `datetime` in UTC. Every write takes `key`, the",
        "idempotency key, and makes one where none is given; its result has `key` and `replayed`. `dry_run=True` tells",
        "what would come of it. The methods of `AsyncClient` are the same, to be awaited; its listings are iterated by",
        "`async for`, and it is closed by `aclose()`.",
        "",
        "## Opening",
        "",
        *_function("farthing.connect", farthing.connect),
        *_function("farthing.aconnect", farthing.aconnect),
        *_class("farthing.Usage", bodies.Usage),
        *_function("farthing.format_cost", formats.format_cost),
        *_function("farthing.format_tokens", formats.format_tokens),
        "## The client",
        "",
        *_methods("client", farthing.Client),
    ]
    for name, noun in _nouns():
        lines += [f"## client.{name}", "", _text(noun), "", *_methods(f"client.{name}", noun)]
    lines += ["## Errors", "", "| error | is a | codes | |", "| --- | --- | --- | --- |", *_errors(), ""]
    lines += [
        "## Results",
        "",
        "Those of writes have `key` and `replayed` as well, and all of them `extra`: what a newer server says beyond",
        "these fields.",
        "",
    ]
    for title, module in _RESULTS.items():
        lines += [f"### {title}", "", "| result | fields | |", "| --- | --- | --- |", *_results(module), ""]
    return "\n".join(lines)


def _nouns() -> Iterator[tuple[str, type]]:
    client = farthing.Client(cast(Any, None))
    for name, noun in vars(client).items():
        if not name.startswith("_"):
            yield name, type(noun)


def _methods(prefix: str, of: type) -> list[str]:
    found = inspect.getmembers(of, inspect.isfunction)
    public = [(name, method) for name, method in found if not name.startswith("_")]
    public.sort(key=lambda each: each[1].__code__.co_firstlineno)
    return [line for name, method in public for line in _function(f"{prefix}.{name}", method)]


def _function(name: str, function: Any) -> list[str]:
    return [f"### {name}", "", "```text", _signature(name, function), "```", "", _text(function), ""]


def _signature(name: str, function: Any) -> str:
    """The call with its arguments as they stand in the source, a line for each where they don't fit one."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    given = inspect.signature(function).parameters
    words = [_word(each, given[each.arg]) for each in node.args.args if each.arg != "self"]
    if node.args.kwonlyargs:
        words += ["*", *(_word(each, given[each.arg]) for each in node.args.kwonlyargs)]
    ends = f" -> {_kind(node.returns)}"
    whole = f"{name}({', '.join(words)}){ends}"
    return whole if len(whole) <= WIDTH else f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){ends}"


def _word(argument: ast.arg, given: inspect.Parameter) -> str:
    """An argument with its type and its default."""
    default = given.default
    value = f'"{default}"' if isinstance(default, str) else repr(default)
    return f"{argument.arg}: {_kind(argument.annotation)}" + ("" if default is given.empty else f" = {value}")


def _kind(node: ast.expr | None) -> str:
    """A type; one that is imported for the checker alone stands in quotes."""
    assert node is not None, "all of the library is typed"
    return ast.unparse(node).strip("'")


def _text(of: Any) -> str:
    return inspect.getdoc(of) or ""


def _class(name: str, of: type[Struct]) -> list[str]:
    said = sentences(of)
    fields = [f"- `{field}`" + (f": {said[field]}" if field in said else "") for field in of.__struct_fields__]
    return [f"### {name}", "", _text(of), "", *fields, ""]


def _errors() -> Iterator[str]:
    codes: dict[type, list[str]] = {}
    for code, kind in errors.BY_CODE.items():
        codes.setdefault(kind, []).append(f"`{code}`")
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, FarthingError):
            again = " Tried again by itself." if getattr(kind, "retries", False) else ""
            facts = [f"`{fact}`" for fact, value in vars(kind).items() if isinstance(value, property)]
            has = f" Has {', '.join(facts)}." if facts else ""
            base = "" if kind is FarthingError else f"`{kind.__bases__[0].__name__}`"
            yield f"| `{name}` | {base} | {', '.join(codes.get(kind, []))} | {_line(kind)}{has}{again} |"


def _results(module: Any) -> Iterator[str]:
    for name, kind in vars(module).items():
        if isinstance(kind, type) and issubclass(kind, Struct) and kind.__module__ == module.__name__:
            fields = ", ".join(f"`{field}`" for field in kind.__struct_fields__ if field not in _COMMON)
            yield f"| `{name}` | {fields} | {_line(kind)} |"


def _line(of: Any) -> str:
    return " ".join(_text(of).split())
