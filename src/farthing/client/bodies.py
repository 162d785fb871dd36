"""Bodies: what calls say, put together from what callers pass. A usage may be given whole, or by the few words and
counts that most calls have.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from msgspec import Struct

from .values import Amount, Instant, amount_if, instant_text, key_text, quantities


class Usage(Struct, frozen=True, kw_only=True):
    """What was used. Counts of tokens are inclusive: input has those from a cache, output those of reasoning."""

    provider: str | None = None
    model: str | None = None
    service: str | None = None
    operation: str | None = None
    product: str | None = None
    chat: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    dimensions: Mapping[str, Amount] = {}
    """All other quantities, such as `cache_read_tokens` or `images`."""
    attributes: Mapping[str, str] = {}
    at: Instant | None = None
    """When it was used, if not just now."""


class _Item(TypedDict):
    account: str


class ChargeItem(_Item, total=False):
    """One of many charges: the arguments of `charge`, by name."""

    amount: Amount | None
    usage: Usage | Mapping[str, Any] | None
    provider: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    operation: str | None
    service: str | None
    product: str | None
    shortfall: str | None
    description: str | None
    metadata: Mapping[str, Any] | None
    final: bool | None
    key: str | None


def usage_body(
    usage: Usage | Mapping[str, Any] | None, *, provider: str | None = None, model: str | None = None,
    input_tokens: int | None = None, output_tokens: int | None = None,
) -> dict[str, Any] | None:  # fmt: skip
    """A usage; None where nothing is said of one but perhaps its model."""
    counts = quantities({"input_tokens": input_tokens, "output_tokens": output_tokens})
    if usage is None:
        if provider is None and not counts:
            return None
        return _present({"provider": provider, "model": model, "dimensions": counts})
    if provider is not None or counts:
        raise TypeError("provider, input_tokens and output_tokens belong into usage where that is given")
    if not isinstance(usage, Usage):
        usage = Usage(**usage)
    return _whole(usage, model)


def _whole(usage: Usage, model: str | None) -> dict[str, Any]:
    counts = quantities({"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens})
    if twice := counts.keys() & usage.dimensions.keys():
        raise TypeError(f"{', '.join(sorted(twice))} is given twice in usage")
    words = ("provider", "service", "operation", "product", "chat")
    found = {name: getattr(usage, name) for name in words}
    return _present(
        found
        | {
            "model": usage.model if usage.model is not None else model,
            "dimensions": counts | quantities(usage.dimensions),
            "attributes": dict(usage.attributes) or None,
            "at": instant_text(usage.at, "usage.at"),
        }
    )


def priced_body(
    amount: Amount | None, usage: Usage | Mapping[str, Any] | None, provider: str | None, model: str | None,
    input_tokens: int | None, output_tokens: int | None, operation: str | None, service: str | None,
    product: str | None,
) -> dict[str, Any]:  # fmt: skip
    """An amount, or what was used; and the words that stand beside it."""
    used = usage_body(
        usage, provider=provider, model=model, input_tokens=input_tokens, output_tokens=output_tokens
    )  # fmt: skip
    if amount is None and used is None:
        raise TypeError("give an amount, or what was used: usage=..., or model=... with input_tokens=... and so on")
    return {
        "amount": amount_if(amount),
        "usage": used,
        "operation": operation,
        "service": service,
        "model": None if used is not None else model,
        "product": product,
    }


def said(
    description: str | None = None, metadata: Mapping[str, Any] | None = None, final: bool | None = None,
    dry_run: bool | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What every command may have."""
    return {"description": description, "metadata": metadata, "final": final, "dry_run": dry_run}


def item_body(item: ChargeItem) -> dict[str, Any]:
    """One of many charges, with its own key."""
    names = ChargeItem.__annotations__
    if unknown := item.keys() - names.keys():
        raise TypeError(f"an item has no {', '.join(sorted(unknown))}; it has {', '.join(names)}")
    if "account" not in item:
        raise TypeError("an item needs its account")
    priced = priced_body(
        item.get("amount"), item.get("usage"), item.get("provider"), item.get("model"), item.get("input_tokens"),
        item.get("output_tokens"), item.get("operation"), item.get("service"), item.get("product"),
    )  # fmt: skip
    rest = said(item.get("description"), item.get("metadata"), item.get("final"))
    del rest["dry_run"]
    return _present(
        {"key": key_text(item.get("key")), "account": item["account"], "shortfall": item.get("shortfall")}
        | priced
        | rest
    )


def prompt_body(prompt: int | str | list[Any]) -> dict[str, Any]:
    """What goes into a model: tokens that were counted, its text, or its messages."""
    if isinstance(prompt, bool):
        raise TypeError("prompt must be a number of tokens, a text or a list of messages")
    name = {int: "tokens", str: "text", list: "messages"}.get(type(prompt))
    if name is None:
        raise TypeError(f"prompt must be a number of tokens, a text or a list of messages, not {type(prompt).__name__}")
    return {name: prompt}


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
