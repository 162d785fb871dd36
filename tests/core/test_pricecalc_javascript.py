"""Numbers, dates, order and hash as JavaScript has them: the tables are answers of Node 20 (V8, ICU 78)."""

import hashlib
import json
import random
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.collation import collation_key
from farthing.core.jsdate import parse_date
from farthing.core.jsnumber import double, number_text, read_number
from farthing.core.profile import read_profile, ruleset_hash

# String(Number(text))
NUMBERS = {
    "1e-7": "1e-7",
    "1e21": "1e+21",
    "0.30000000000000004": "0.30000000000000004",
    "10.0": "10",
    "0.0002": "0.0002",
    "3e-7": "3e-7",
    "-0": "0",
    "1e-6": "0.000001",
    "123456789012345680000": "123456789012345680000",
    "1e20": "100000000000000000000",
    "999999999999999999999": "1e+21",
    "5e-324": "5e-324",
    "1.7976931348623157e308": "1.7976931348623157e+308",
    "2.2250738585072014e-308": "2.2250738585072014e-308",
    "9007199254740993": "9007199254740992",
    "1234.5678e-10": "1.2345678e-7",
    "1e300": "1e+300",
    "0.1000000000000000055511151231257827": "0.1",
    "2e-44": "2e-44",
    "5.684341886080802e-14": "5.684341886080802e-14",
    "847254783909480.75": "847254783909480.8",
    "-1.5": "-1.5",
    "2.4703282292062328e-324": "5e-324",
    "2.4703282292062327e-324": "0",
    "1.7976931348623158e308": "1.7976931348623157e+308",
}

# [...].sort((a, b) => a.localeCompare(b))
SORTED = [
    *("", "_r", "-r", "(", ")", "@", "#", "%", "+", "=", "~", "$", "1r", "a", "A", "aa", "Aa", "ab", "AB", "ae", "æ"),
    *("af", "b", "B", "e", "é", "É", "f", "n", "ñ", "o", "ö", "ø", "p", "r 1", "r_1", "R_1", "r-1", "r,1", "r:1"),
    *("r.1", "r/1", "r1", "R1", "r10", "r2", "rule_a", "rule-a", "rule-A", "Rule-a", "rulea", "ruleA", "ss", "ß"),
    *("z", "Z"),
]
# All of ASCII that can be printed, in the order in which localeCompare puts single characters.
PRINTABLE = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUvVwWxXyYzZ"

# Date.parse(text), in the time zone UTC; None where it is NaN
DATES = {
    "2024": 1704067200000,
    "2024-01": 1704067200000,
    "2024-02-30": 1709251200000,
    "2024-02-32": None,
    "2024-13": None,
    "2024-1-5": 1704412800000,
    "2024-01-01T10:00": 1704103200000,
    "2024-01-01T10": None,
    "2024-01-01T24:00:00": 1704153600000,
    "2024-01-01T24:00:01": None,
    "2024-01-01T10:00:60Z": None,
    "2024-01-01T10:00:00.1234567Z": 1704103200123,
    "2024-01-01T10:00:00.Z": None,
    "2024-01-01T10:00:00,5Z": None,
    "2024-01-01T10:00:00+01:00": 1704099600000,
    "2024-01-01T10:00:00+0100": 1704099600000,
    "2024-01-01T10:00:00-25:00": None,
    "2024-01-01t10:00:00z": 1704103200000,
    " 2024-01-01 ": 1704067200000,
    "2024-01-01 10:00:00": 1704103200000,
    "2024/02/03": 1706918400000,
    "2024-06-31T00:00:00Z": 1719792000000,
    "+002024-01-01T00:00:00Z": 1704067200000,
    "-000000-01-01T00:00:00Z": None,
    "0001-01-01T00:00:00Z": -62135596800000,
    "+275760-09-13T00:00:00Z": 8640000000000000,
    "+275760-09-13T00:00:00.001Z": None,
    "Jan 5, 2024": 1704412800000,
    "2 January 2024 10:00": 1704189600000,
    "Xyz 5, 2024": None,
    "Tue, 02 Jan 2024 10:00:00 GMT": 1704189600000,
    "Tue Jan 02 2024 10:00:00 GMT+0100 (CET)": 1704186000000,
    "1700000000000": None,
    "soon": None,
    "": None,
}

RULES = """[
    {"id": "r_1", "dimensionKey": "tokens", "creditsPerUnit": 1e-7},
    {"id": "r-1", "dimensionKey": "tokens", "creditsPerUnit": 1e21, "costPerUnitEur": null, "priority": 5},
    {"id": "R1", "dimensionKey": "tokens", "creditsPerUnit": 0.30000000000000004, "costPerUnitEur": 3e-7,
     "attributesMatch": {"tier": ["xl", "large"], "model": "gpt-4o"}},
    {"id": "r1", "dimensionKey": "tokens", "creditsPerUnit": 10.0, "status": "draft", "createdAt": "2025-01-01"},
    {"id": "r1", "dimensionKey": "Images", "creditsPerUnit": 0.0002, "attributesMatch": {}},
    {"id": "off", "dimensionKey": "images", "creditsPerUnit": 1, "status": "disabled"},
    {"id": "ü\\"\\\\\\u0007\\n", "dimensionKey": "images", "creditsPerUnit": 2.5,
     "attributesMatch": {"n": [10, 9, true, null], "s": 5}}
]"""
# JSON.stringify of the rules in the form that is hashed, put together by hand as well: it is what the hash is of.
HASHED = (
    r'[{"attributesMatch":{"n":[10,9,null,true],"s":5},"costPerUnitEur":null,"creditsPerUnit":2.5,'
    r'"dimensionKey":"images","id":"ü\"\\\u0007\n","priority":0,"status":"active"},'
    r'{"attributesMatch":{},"costPerUnitEur":null,"creditsPerUnit":0.0002,'
    r'"dimensionKey":"Images","id":"r1","priority":0,"status":"active"},'
    r'{"attributesMatch":{},"costPerUnitEur":null,"creditsPerUnit":1e-7,'
    r'"dimensionKey":"tokens","id":"r_1","priority":0,"status":"active"},'
    r'{"attributesMatch":{},"costPerUnitEur":null,"creditsPerUnit":1e+21,'
    r'"dimensionKey":"tokens","id":"r-1","priority":5,"status":"active"},'
    r'{"attributesMatch":{},"costPerUnitEur":null,"creditsPerUnit":10,'
    r'"dimensionKey":"tokens","id":"r1","priority":0,"status":"draft"},'
    r'{"attributesMatch":{"model":"gpt-4o","tier":["large","xl"]},"costPerUnitEur":3e-7,'
    r'"creditsPerUnit":0.30000000000000004,"dimensionKey":"tokens","id":"R1","priority":0,"status":"active"}]'
)
HASH = "30cb0af03ed093cc94800f6372b271e82f6668c2e7c6381391236654dd197df0"


@pytest.mark.parametrize(("text", "written"), NUMBERS.items())
def test_numbers_are_written_as_javascript_writes_them(text, written):
    assert number_text(Decimal(text)) == written


@pytest.mark.parametrize("text", ["1e309", "-1e309", "1.7976931348623159e308", "1e999999999"])
def test_what_no_double_can_hold_is_an_infinity(text):
    assert double(Decimal(text)) is None
    with pytest.raises(ValueError, match="infinity"):
        number_text(Decimal(text))


@given(st.integers(0, 2**64 - 1))
def test_every_double_has_its_shortest_text(bits):
    (number,) = struct.unpack("<d", struct.pack("<Q", bits))
    if number == number and abs(number) != float("inf"):
        # Python writes the same digits, in another form.
        assert double(Decimal(number)) == double(Decimal(repr(number))) == Decimal(repr(number))


@given(st.from_regex(r"[0-9]{1,25}(\.[0-9]{1,25})?(e-?[0-9]{1,3})?", fullmatch=True))
def test_every_decimal_goes_to_the_nearest_double(text):
    nearest = float(text)
    found = double(Decimal(text))
    assert found == (None if nearest == float("inf") else Decimal(repr(nearest)))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *((" 12\n", 12), ("+5", 5), ("-5", -5), ("1.", 1), (".5", Decimal("0.5")), ("1E3", 1000), ("0x1F", 31)),
        *(
            ("0b11", 3),
            ("0o17", 15),
            ("", None),
            ("1_0", None),
            ("5e", None),
            ("--5", None),
            ("0x", None),
            ("-0x1", None),
        ),
        *(("Infinity", None), ("NaN", None), ("12px", None), ("\u0661", None), ("1e9999999999", None)),
    ],
)
def test_texts_are_numbers_where_javascript_takes_them_for_one(text, number):
    assert read_number(text) == number


def test_a_text_of_any_length_is_read_in_no_time():
    assert read_number("9" * 100_000) is None
    assert read_number("1e-" + "9" * 100_000) == 0


@pytest.mark.parametrize(("text", "at"), DATES.items())
def test_dates_are_read_as_javascript_reads_them(text, at):
    assert parse_date(text) == at


def test_texts_are_sorted_as_javascript_sorts_them():
    shuffled = random.Random(7).sample(SORTED, len(SORTED))
    assert sorted(shuffled, key=collation_key) == SORTED
    assert "".join(sorted(sorted(PRINTABLE), key=collation_key)) == PRINTABLE
    assert len(PRINTABLE) == 95


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("ab", "aB"), ("aB", "Ab"), ("a\u00e1", "\u00e1a"), ("ae", "\u00e6"), ("\u00e6", "af"), ("l\u00b7", "m")),
        *(("\u00df", "st"), ("\u0133", "\u0132"), ("\u00bd", "\u00bc"), ("z", "\u00fe"), ("\u00fe", "\u03b1")),
    ],
)
def test_letters_come_before_accents_and_accents_before_case(first, second):
    assert collation_key(first) < collation_key(second)


def test_control_characters_count_for_nothing():
    assert collation_key("a\x00b\x7f\xad") == collation_key("ab")
    assert collation_key("a\tb") < collation_key("a b")


def test_the_hash_is_javascripts_to_the_byte():
    rules = json.loads(RULES)
    document = f'{{"profileVersionId": "p", "eurPerCredit": 1, "rateRules": {RULES}}}'
    assert hashlib.sha256(HASHED.encode()).hexdigest() == HASH
    assert ruleset_hash(read_profile(document)) == HASH
    assert ruleset_hash({"rateRules": rules[::-1]}) == HASH, "floats of Python are the same doubles"


def test_the_hash_of_no_rules_is_that_of_an_empty_list():
    assert ruleset_hash({"rateRules": []}) == hashlib.sha256(b"[]").hexdigest()
