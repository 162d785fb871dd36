"""Parameters: forms with names in brackets become values, read with Stripe's complaints; the shape of its errors."""

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

Json = dict[str, Any]
_PARTS: Final = re.compile(r"\[([^\[\]]*)\]")
_MOST_FIELDS: Final = 1_000
_MOST_METADATA: Final = 50
_CURRENCY: Final = re.compile(r"[a-z]{3}")


class Refused(Exception):
    """A call that Stripe refuses: a status, and what its envelope has."""

    def __init__(self, message: str, *, status: int = 400, type: str = "invalid_request_error", **facts: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error: Json = {"message": message, "type": type, **facts}


def not_found(what: str, id: str, param: str = "id") -> Refused:
    """Nothing has that id."""
    return Refused(f"No such {what}: '{id}'", status=404, code="resource_missing", param=param)


# Forms


def read_form(text: str) -> Json:
    """Fields such as a[b][0][c]=v as nested values; levels that are numbered throughout become lists."""
    root: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS):
        head, bracket, rest = name.partition("[")
        _put(root, [head, *_PARTS.findall(bracket + rest)], value, name)
    return {name: _lists(value) for name, value in root.items()}


def _put(node: Json, path: list[str], value: str, name: str) -> None:
    for part in path[:-1]:
        node = node.setdefault(part or str(len(node)), {})
        if not isinstance(node, dict):
            raise Refused(f"Invalid parameter: {name}", param=name)
    node[path[-1] or str(len(node))] = value


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(each) for name, each in value.items()}
    numbered = bool(inner) and all(name.isdigit() for name in inner)
    return [inner[name] for name in sorted(inner, key=int)] if numbered else inner


# Reading


class Params:
    """The parameters of a call, or of one level of it."""

    def __init__(self, values: Any, path: str = "") -> None:
        if not isinstance(values, dict):
            raise Refused(f"Invalid object: {path} must be a hash", param=path)
        self._values: Json = values
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def path(self, name: str) -> str:
        """The full name of a parameter."""
        return f"{self._path}[{name}]" if self._path else name

    def only(self, known: Iterable[str]) -> None:
        """Refuse parameters that nobody knows: real ones that this stand-in does nothing with among them."""
        if unknown := sorted(self._values.keys() - set(known)):
            path = self.path(unknown[0])
            raise Refused(f"Received unknown parameter: {path}", code="parameter_unknown", param=path)

    def text(self, name: str) -> str | None:
        """Some text; None where there is none, or an empty one."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise Refused(f"Invalid string: {self.path(name)}", param=self.path(name))
        return value or None

    def needed(self, name: str) -> str:
        """Text that has to be there."""
        value = self.text(name)
        if value is None:
            path = self.path(name)
            raise Refused(f"Missing required param: {path}.", code="parameter_missing", param=path)
        return value

    def one_of(self, name: str, known: tuple[str, ...], default: str) -> str:
        """One of some words."""
        value = self.text(name) or default
        if value not in known:
            raise Refused(f"Invalid {self.path(name)}: must be one of {', '.join(known)}", param=self.path(name))
        return value

    def whole(self, name: str) -> int | None:
        """A whole number."""
        value = self.text(name)
        if value is not None and not re.fullmatch(r"-?[0-9]{1,18}", value):
            path = self.path(name)
            raise Refused(f"Invalid integer: {value}", code="parameter_invalid_integer", param=path)
        return None if value is None else int(value)

    def number(self, name: str) -> int:
        """A whole number that has to be there."""
        self.needed(name)
        return self.whole(name) or 0

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self.text(name)
        if value not in (None, "true", "false"):
            raise Refused(f"Invalid boolean: {value}", param=self.path(name))
        return default if value is None else value == "true"

    def currency(self, name: str) -> str:
        """A currency."""
        value = self.needed(name).lower()
        if not _CURRENCY.fullmatch(value):
            raise Refused(f"Invalid currency: {value}", param=self.path(name))
        return value

    def inner(self, name: str) -> "Params":
        """One level deeper; empty where nothing was said."""
        return Params(self._values.get(name) or {}, self.path(name))

    def rows(self, name: str) -> list["Params"]:
        """A list of such levels."""
        values = self._values.get(name) or []
        if not isinstance(values, list):
            raise Refused(f"Invalid array: {self.path(name)}", param=self.path(name))
        return [Params(each, f"{self.path(name)}[{place}]") for place, each in enumerate(values)]

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        values = self._values.get(name) or []
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise Refused(f"Invalid array: {self.path(name)}", param=self.path(name))
        return values

    def metadata(self, before: Json | None = None) -> Json:
        """What it has as metadata, over what was there; an empty value takes one away."""
        told = self._values.get("metadata")
        if told == "":
            return {}
        words = {**(before or {}), **self.inner("metadata")._values}
        kept = {name: value for name, value in words.items() if value != ""}
        fits = all(isinstance(v, str) and len(v) <= 500 and len(k) <= 40 for k, v in kept.items())
        if not fits or len(kept) > _MOST_METADATA:
            raise Refused("Metadata has at most 50 keys of 40 characters, with values of 500", param="metadata")
        return kept
