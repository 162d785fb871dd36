"""PriceCalc profiles: the document, what makes it right, its rules in the order in which they win, and its hash.

Numbers of a profile are JavaScript's: a double. What is calculated with, and hashed, is the shortest decimal of that
double (`core.jsnumber`), so that 0.1+0.2 is exactly 0.30000000000000004.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from msgspec import Struct

from .collation import collation_key
from .exact import MAX_PRICE_DECIMALS, MAX_WHOLE_DIGITS, ZERO
from .jsdate import parse_date
from .jsnumber import double, number_text

Problem = tuple[str, str]

DISABLED: Final = "disabled"
ACTIVE: Final = "active"

_ESCAPED: Final = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


LONGEST_NUMBER: Final = 800
"""Characters; a double is told by fewer digits, and one of a million would be looked at for minutes."""


class ProfileError(ValueError):
    """A document that is no profile: where (a JSON pointer), and why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{pointer or 'the profile'} {message}" for pointer, message in problems))
        self.problems = problems


class ProfileRule(Struct, frozen=True):
    """A rule of a profile."""

    id: str
    dimension: str
    price: Decimal
    """Credits for one."""
    cost: Decimal | None
    """EUR for one."""
    match: dict[str, frozenset[str]]
    """The values that an attribute may have, as JSON text: the number 1 is not the text "1"."""
    priority: Decimal
    created_ms: int
    live: bool

    def matches(self, attributes: Mapping[str, str]) -> bool:
        """Whether it applies to attributes, their values as JSON text."""
        return all(attributes.get(key, "") in values for key, values in self.match.items())


class Profile(Struct, frozen=True):
    """A profile, read."""

    version_id: str
    eur_per_credit: Decimal
    rules: tuple[ProfileRule, ...]
    """As they stand in the document."""
    live: tuple[ProfileRule, ...]
    """Those that are not disabled, in the order in which they win."""
    by_dimension: dict[str, list[ProfileRule]]
    """The same, for each dimension."""
    hash: str
    """Computed from the rules."""
    given_hash: str
    """As the profile has it; empty where it has none."""
    engine_version: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Profile":
        """The profile in a document; `ProfileError` says all that is wrong with it."""
        if problems := list(_problems(document)):
            raise ProfileError(problems)
        rules = tuple(map(_rule, document["rateRules"]))
        live = tuple(_ranked(rule for rule in rules if rule.live))
        by_dimension: dict[str, list[ProfileRule]] = {}
        for rule in live:
            by_dimension.setdefault(rule.dimension, []).append(rule)
        return cls(
            version_id=document["profileVersionId"],
            eur_per_credit=_number(document["eurPerCredit"]) or ZERO,
            rules=rules,
            live=live,
            by_dimension=by_dimension,
            hash=ruleset_hash(document),
            given_hash=document.get("rulesetHash") or "",
            engine_version=document.get("engineVersion") or "unknown",
        )

    @property
    def is_genuine(self) -> bool:
        """Whether the rules are those that the given hash is of."""
        return not self.given_hash or self.given_hash == self.hash


def _as_written(text: str) -> Decimal:
    """A number of a document; ValueError where it is none that anybody counts with."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number may have {LONGEST_NUMBER} characters, one has {len(text):,}")
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"the exponent of {text[:40]} is beyond all bounds") from error


_READER: Final = msgspec.json.Decoder(float_hook=_as_written)


def read_profile(document: str | bytes) -> dict[str, Any]:
    """The JSON object in a document, with numbers as ints and Decimals, as they are written."""
    try:
        found = _READER.decode(document)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProfileError([("", f"must be a JSON object: {error}")]) from error
    if not isinstance(found, dict):
        raise ProfileError([("", "must be a JSON object")])
    return found


def _ranked(rules: Iterable[ProfileRule]) -> list[ProfileRule]:
    """Rules in the order in which they win: higher priority, later creation, smaller id."""
    return sorted(rules, key=lambda rule: (-rule.priority, -rule.created_ms, collation_key(rule.id)))


def _rule(rule: Mapping[str, Any]) -> ProfileRule:
    match = rule.get("attributesMatch") or {}
    created = rule.get("createdAt")
    if created is not None and not isinstance(created, str):
        created = javascript_json(created)
    return ProfileRule(
        id=rule["id"],
        dimension=rule["dimensionKey"],
        price=_number(rule["creditsPerUnit"]) or ZERO,
        cost=None if rule.get("costPerUnitEur") is None else _number(rule["costPerUnitEur"]),
        match={
            key: frozenset(map(javascript_json, value if isinstance(value, list) else [value]))
            for key, value in match.items()
        },
        priority=_number(rule.get("priority") or 0) or ZERO,
        created_ms=parse_date(created or "") or 0,
        live=(rule.get("status") or ACTIVE) != DISABLED,
    )


def _number(value: Any) -> Decimal | None:
    """The double that a number is; None where it is none, or an infinity."""
    number = exact_number(value)
    return None if number is None else double(number)


def exact_number(value: Any) -> Decimal | None:
    """A number as it was written; None where it is none. A float is the shortest text of its double."""
    if type(value) is Decimal:
        return value if value.is_finite() else None
    if type(value) is int:
        return Decimal(value)
    if type(value) is float:
        number = Decimal(repr(value))
        return number if number.is_finite() else None
    return None


# What is wrong


def profile_problems(document: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with a profile that is to price charges."""
    problems = list(_problems(document))
    if problems:
        return problems
    profile = Profile.of(document)
    if not profile.rules:
        problems.append(("/rateRules", "must have a rule"))
    if not profile.is_genuine:
        problems.append(("/rulesetHash", f"is not that of the rules: {profile.hash}"))
    for number, rule in enumerate(profile.rules):
        problems += [
            (f"/rateRules/{number}/{name}", wrong)
            for name, value in (("creditsPerUnit", rule.price), ("costPerUnitEur", rule.cost))
            if value is not None and (wrong := _price_problem(value))
        ]
    return problems


def _price_problem(value: Decimal) -> str | None:
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > MAX_PRICE_DECIMALS:
        return f"must have at most {MAX_PRICE_DECIMALS} decimals"
    if value and value.adjusted() >= MAX_WHOLE_DIGITS:
        return f"must have at most {MAX_WHOLE_DIGITS} digits before the point"
    return None


def _problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """What makes a profile unreadable for PriceCalc as well."""
    yield from _text("/profileVersionId", document.get("profileVersionId"))
    rate = _number(document.get("eurPerCredit"))
    if rate is None or rate <= ZERO:
        yield "/eurPerCredit", "must be a number above zero"
    for name in ("rulesetHash", "engineVersion"):
        if document.get(name) is not None and not isinstance(document[name], str):
            yield f"/{name}", "must be a text"
    rules = document.get("rateRules")
    if not isinstance(rules, list):
        yield "/rateRules", "must be a list of rules"
        return
    for number, rule in enumerate(rules):
        yield from _rule_problems(f"/rateRules/{number}", rule)


def _rule_problems(pointer: str, rule: object) -> Iterator[Problem]:
    if not isinstance(rule, dict):
        yield pointer, "must be an object"
        return
    yield from _text(f"{pointer}/id", rule.get("id"))
    yield from _text(f"{pointer}/dimensionKey", rule.get("dimensionKey"))
    yield from _not_negative(f"{pointer}/creditsPerUnit", rule.get("creditsPerUnit"))
    if rule.get("costPerUnitEur") is not None:
        yield from _not_negative(f"{pointer}/costPerUnitEur", rule["costPerUnitEur"])
    if rule.get("priority") is not None and _number(rule["priority"]) is None:
        yield f"{pointer}/priority", "must be a number"
    if rule.get("status") is not None and not isinstance(rule["status"], str):
        yield f"{pointer}/status", "must be a text"
    match = rule.get("attributesMatch")
    if match is None:
        return
    if not isinstance(match, dict):
        yield f"{pointer}/attributesMatch", "must be an object"
        return
    for key, value in match.items():
        if any(isinstance(each, list | dict) for each in (value if isinstance(value, list) else [value])):
            yield f"{pointer}/attributesMatch/{key}", "must be a value, or a list of values"


def _text(pointer: str, value: object) -> Iterator[Problem]:
    if not isinstance(value, str) or not value:
        yield pointer, "must be a text"


def _not_negative(pointer: str, value: object) -> Iterator[Problem]:
    number = _number(value)
    if number is None or number < ZERO:
        yield pointer, "must be a number, not negative"


# The hash


def ruleset_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 over the rules that are not disabled, in the form that PriceCalc hashes."""
    rules = [_hashed(rule) for rule in document["rateRules"] if rule.get("status") != DISABLED]
    rules.sort(key=lambda rule: (collation_key(rule["dimensionKey"]), collation_key(rule["id"])))
    return hashlib.sha256(javascript_json(rules).encode()).hexdigest()


def _hashed(rule: Mapping[str, Any]) -> dict[str, Any]:
    match = rule.get("attributesMatch") or {}
    return {
        "attributesMatch": {key: _sorted(value) for key, value in match.items()},
        "costPerUnitEur": rule.get("costPerUnitEur"),
        "creditsPerUnit": rule["creditsPerUnit"],
        "dimensionKey": rule["dimensionKey"],
        "id": rule["id"],
        "priority": rule.get("priority") or 0,
        "status": rule.get("status") or ACTIVE,
    }


def _sorted(value: Any) -> Any:
    """A list in the order of JavaScript's `sort`: by the text of its values, in units of UTF-16."""
    if not isinstance(value, list):
        return value
    return sorted(value, key=lambda each: _utf16(each if isinstance(each, str) else javascript_json(each)))


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


def javascript_json(value: Any) -> str:
    """What `JSON.stringify` makes of a value whose objects have their keys in order."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return '"' + _ESCAPED.sub(lambda found: _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}", value) + '"'
    if isinstance(value, list | tuple):
        return f"[{','.join(map(javascript_json, value))}]"
    if isinstance(value, dict):
        members = (f"{javascript_json(key)}:{javascript_json(value[key])}" for key in sorted(value, key=_utf16))
        return f"{{{','.join(members)}}}"
    number = _number(value)
    return "null" if number is None else number_text(number)
