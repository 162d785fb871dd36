"""Properties of pricing, for any card and any usage: lines add up, nothing depends on order, garbage is a refusal."""

import json
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farthing.core.cardcheck import check_card
from farthing.core.pricing import Book, price
from farthing.core.quantities import TREE, PriceRefusal
from farthing.core.ratecard import CardError, read_card
from farthing.core.rules import compile_card
from farthing.core.usage import PARENTS, Priced, Usage
from tests.core.rates import a_book, a_card, a_model, rule

MODELS = ["a", "b/c", "d:e"]
DIMENSIONS = [*TREE, "requests", "images", "seconds", "gb"]

decimals = st.builds(
    lambda n, places: format(Decimal(n).scaleb(-places), "f"), st.integers(0, 10**9), st.integers(0, 9)
)
tiers = st.lists(st.tuples(st.integers(1, 1000), decimals), max_size=3, unique_by=lambda each: each[0]).map(
    lambda steps: [{"from": str(start), "price": price} for start, price in sorted([(0, "0.5"), *steps])]
)
matches = st.dictionaries(st.sampled_from(["model", "size", "operation"]), st.sampled_from(MODELS), max_size=2)


@st.composite
def rules(draw, number):
    terms = {"id": str(number), "dimension": draw(st.sampled_from(DIMENSIONS)), "priority": number}
    terms |= {"match": draw(matches), "default": draw(st.booleans()), "per": draw(st.sampled_from([1, 1000, 8]))}
    terms |= {"included": draw(st.sampled_from(["0", "0", "10", "2.5"]))}
    if draw(st.booleans()):
        return terms | {"price": draw(decimals)}
    return terms | {"tiers": draw(tiers), "tier_mode": draw(st.sampled_from(["graduated", "whole"]))}


@st.composite
def cards(draw):
    rounding = draw(st.sampled_from(["half_even", "up"]))
    # Most cards know a price for everything, so that most usages have one.
    names = ["tokens", "images", "seconds", "gb"] if draw(st.integers(0, 4)) else []
    return a_card(
        *[rule(name, draw(decimals), f"base {name}", priority=-1, per=1000) for name in names],
        *[draw(rules(number)) for number in range(draw(st.integers(1, 6)))],
        markup={"percent": draw(st.sampled_from(["0", "20", "-50", "12.5"])), "fixed": draw(decimals)},
        catalogue=draw(st.sampled_from([None, {"rate": "100", "markup": {"percent": "7"}}])),
        minimum=draw(st.sampled_from(["0", "1.5"])),
        rounding=rounding,
        decimals=draw(st.sampled_from([None, 0, 2, 6])),
        rate=draw(st.sampled_from(["1", "1.0875"])),
        currency="EUR",
    )


counts = st.integers(0, 10**5)


def ancestors(name):
    while name := PARENTS.get(name):
        yield name


@st.composite
def usages(draw):
    quantities = {name: draw(counts) for name in draw(st.sets(st.sampled_from(TREE), max_size=4))}
    for name in [*TREE][::-1]:
        # What is sent holds what is counted within it.
        holder = next((above for above in ancestors(name) if above in quantities), None)
        if name in quantities and holder:
            quantities[holder] += quantities[name]
    sent = {name: str(quantity) for name, quantity in quantities.items()}
    sent |= draw(st.dictionaries(st.sampled_from(["images", "requests"]), counts.map(str), max_size=2))
    sent |= draw(st.dictionaries(st.sampled_from(["gb", "seconds"]), decimals, max_size=2))
    attributes = draw(st.dictionaries(st.sampled_from(["size", "colour"]), st.sampled_from(MODELS), max_size=2))
    model, operation = draw(st.sampled_from(["", *MODELS])), draw(st.sampled_from(["", *MODELS]))
    return Usage(model=model, operation=operation, dimensions=sent, attributes=attributes)


def find(provider, model):
    return a_model("b", provider="c", input_tokens="2.5", output_tokens="10") if model == "b/c" else None


def book_of(card, policy="default"):
    return a_book(card, find_model=find, unknown_models=policy)


@given(cards(), usages(), st.sampled_from(["default", "refuse", "unpriced"]))
def test_the_lines_add_up_to_the_amount(card, usage, policy):
    found = price(usage, book_of(card, policy))
    if isinstance(found, Priced):
        amounts = [Fraction(line.amount) for line in found.lines]
        assert sum(amounts) == Fraction(found.amount, 10**6)
        unrounded = sum(Fraction(line.amount) for line in found.lines if line.kind != "rounding")
        assert unrounded == Fraction(found.exact)
        assert found.amount >= 0


@given(cards(), usages())
def test_every_priced_line_is_quantity_times_price(card, usage):
    found = price(usage, book_of(card))
    if isinstance(found, Priced):
        for line in (line for line in found.lines if line.kind == "price"):
            by_hand = Fraction(line.quantity) * Fraction(line.price) / line.per * Fraction(line.rate)
            assert Fraction(line.amount) == by_hand


@given(cards(), usages())
def test_every_token_is_priced_once(card, usage):
    card = replace(card, rules=tuple(replace(rule, included="0") for rule in card.rules))
    found = price(usage, book_of(card))
    if isinstance(found, Priced):
        priced = sum(int(line.quantity) for line in found.lines if line.dimension in TREE)
        sent = {name: int(text) for name, text in usage.dimensions.items() if name in TREE}
        tops = [name for name in sent if not any(above in sent for above in ancestors(name))]
        assert priced == sum(sent[name] for name in tops)


@given(cards(), usages(), st.randoms())
def test_order_is_no_matter(card, usage, random):
    def shuffled(members):
        items = list(members.items())
        random.shuffle(items)
        return dict(items)

    rules = list(card.rules)
    random.shuffle(rules)
    other = replace(card, rules=tuple(replace(each, match=shuffled(each.match)) for each in rules))
    same = replace(usage, dimensions=shuffled(usage.dimensions), attributes=shuffled(usage.attributes))
    assert price(usage, book_of(card)) == price(same, book_of(other)) == price(usage, book_of(card))


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4), st.text(max_size=9), usages())
def test_garbage_is_refused_and_never_an_exception(dimensions, text, usage):
    book = book_of(a_card(*[rule(name, "0.1") for name in DIMENSIONS], catalogue={"rate": "1"}))
    garbage = Usage(model=text, operation=text, dimensions={**usage.dimensions, **dimensions}, attributes=dimensions)
    assert isinstance(price(garbage, book), Priced | PriceRefusal)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4) | st.sampled_from(["0", "1.5", "-1", "1e3"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=3,
)
FIELDS = ["rules", "rate", "rounding", "decimals", "minimum", "markup", "catalogue", "profile", "currency"]
RULE_FIELDS = [
    "id",
    "dimension",
    "price",
    "per",
    "match",
    "tiers",
    "tier_by",
    "tier_mode",
    "included",
    "cost",
    "priority",
]
rule_objects = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b", ""]), "dimension": st.sampled_from(["gb", "X", ""])},
    optional=dict.fromkeys(RULE_FIELDS[2:], json_values),
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3),
    st.lists(st.one_of(rule_objects, json_values), max_size=3),
    usages(),
)
def test_any_document_is_a_card_that_prices_or_says_what_is_wrong(document, some, usage):
    card, problems = reading(json.dumps({"rules": some, **document}))
    assert all(message for _, message in problems)
    if card is None or problems:
        assert problems
    else:
        book = Book(card=compile_card(card), reference="card@1", scale=6)
        assert isinstance(price(usage, book), Priced | PriceRefusal)


def reading(document):
    """The card of a document, and what is wrong with it."""
    try:
        card = read_card(document)
    except CardError as error:
        return None, error.problems
    return card, check_card(card, 6)


@given(st.integers(0, 3000), decimals, decimals)
def test_graduated_steps_meet_at_their_boundaries(quantity, first, second):
    card = a_card(rule("gb", tiers=[{"from": "0", "price": first}, {"from": "1000", "price": second}]))
    found = price(Usage(dimensions={"gb": str(quantity)}), a_book(card))
    by_hand = min(quantity, 1000) * Fraction(first) + max(quantity - 1000, 0) * Fraction(second)
    if isinstance(found, Priced):
        assert Fraction(found.exact) == by_hand
    else:
        assert (found.code, by_hand >= 10**9 - 1) == ("amount_too_large", True)
